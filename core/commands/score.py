"""Score responses under a policy and its reference, without a window: one text or a million.

Prints the implicit reward of every token of a response, the closing (end-of-turn) token last:
as a table, or with --json as one object. With --jsonl FILE, one object for each line of the file,
the models loaded once. "score" is what the training's loss makes of the response and of each token;
what is not known, or needs a reference that is not there, is null. "noise" says how far the number
format alone moves a log-ratio, of one token and of the response's sum, in nats. With --data FILE
all rows of a file of pairs or single responses are scored into one Parquet file. Progress and
remarks go to stderr. One line ending at the very end of --prompt-file and --response-file is the
editor's, not the text's, and is left out.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import options, score_data
from core.commands.console import Reporter
from core.errors import UserFacingError

if TYPE_CHECKING:
    from core.engine.protocol import PairInfo
    from core.models.pair import Pair
    from core.noise import NoiseFloor
    from core.scoring import Floats, Scoring


NO_REFERENCE = "none: what needs one is left out (name it with --reference DIR)"


@dataclass(frozen=True, slots=True)
class Item:
    """One response to score; ``where`` names its source in a message."""

    where: str
    prompt: str
    response: str
    system: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(parser=parser)
    parser.add_argument("--prompt-file", type=Path, metavar="F", help="the user's turn, UTF-8")
    parser.add_argument("--response-file", type=Path, metavar="G", help="the response, UTF-8")
    parser.add_argument("--system", metavar="S", help="a system turn before the user's")
    parser.add_argument(
        "--jsonl",
        type=Path,
        metavar="FILE",
        help='one {"prompt": "...", "response": "...", "system": "..."} a line, system optional',
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument(
        "--checkpoint",
        type=int,
        metavar="N",
        help="with --run: the checkpoint of this step is the policy (0: the start of the run)",
    )
    score_data.add_arguments(parser)
    options.add_pair_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score what the arguments name and print it; returns the exit status.

    Raises:
        UserFacingError: a file cannot be read, the pair cannot be loaded or a text not scored.
    """
    parser: argparse.ArgumentParser = arguments.parser
    files = arguments.prompt_file, arguments.response_file
    if arguments.jsonl and any(files):
        parser.error("--jsonl and --prompt-file/--response-file exclude each other")
    if score_data.is_meant(arguments) and (arguments.jsonl or any(files)):
        parser.error("--data and --jsonl or --prompt-file/--response-file exclude each other")
    if arguments.checkpoint is not None and not arguments.run:
        parser.error("--checkpoint needs --run")
    if score_data.is_meant(arguments):
        return score_data.run(parser, arguments)
    if not arguments.jsonl and not all(files):
        parser.error("give --prompt-file and --response-file, or --jsonl, or --data")
    options.require_pair(parser, arguments)
    spec = options.pair_spec(parser, arguments)
    # Before the models are loaded, so that a slip in the last line does not cost the wait for it.
    items = read_items(arguments)

    from core.models.load import load_pair
    from core.models.noise import Measurement

    with Reporter(sys.stderr) as reporter:
        pair, info = load_pair(spec, reporter.progress, lambda: False)
        for note in info.notes:
            reporter.say(note)
        if arguments.checkpoint is not None:
            info = options.show(pair, info, arguments.checkpoint)
        measurement = Measurement(pair)
        for count, item in enumerate(items, 1):
            pair.trim()
            if (change := pair.changed()) is not None:
                reporter.say(change.sentence)
            scoring = score_item(pair, item)
            floor = measurement.finish()  # done by the first call
            if scoring.note:
                reporter.say(f"{item.where}: {scoring.note}")
            result = as_json(info, scoring, floor)
            reporter.clear()
            if arguments.json or arguments.jsonl:
                print(json.dumps(result, allow_nan=False), flush=True)
            else:
                print_table(result, scoring.labels)
                if floor and floor.matters:
                    print(noise_line(result))
            if arguments.jsonl:
                reporter.count(f"{count} scored")
    return 0


def score_item(pair: "Pair", item: Item) -> "Scoring":
    """Score one item; a failure names the line it came from."""
    from core.models.score import score
    from core.text import Prompt

    prompt = Prompt.of(item.prompt, system=item.system)
    try:
        return score(pair, prompt, pair.codec.encode(prompt, item.response))
    except UserFacingError as error:
        raise UserFacingError(f"{item.where}: {error}") from error


def as_json(info: "PairInfo", scoring: "Scoring", floor: "NoiseFloor | None") -> dict[str, Any]:
    """Return one scored response as ``--json`` prints it."""
    from core.losses import UNNAMED
    from core.noise import as_json as noise_json
    from core.quantities import response_score

    tokens, logps = scoring.tokens, scoring.logps
    rewards = UNNAMED.rewards(logps, info.beta)
    shares = info.objective.rewards(logps, info.beta)
    rows: list[dict[str, Any]] = []
    spans = [*zip(tokens.starts, tokens.ends, strict=True)]
    spans += [(len(tokens.text),) * 2] * (len(scoring) - len(spans))
    for row, (start, end) in enumerate(spans):
        template = row < tokens.opening or row >= len(tokens)
        rows.append(
            {
                "id": int(scoring.ids[row]),
                "text": scoring.labels[row] if template else tokens.text[start:end],
                "start": start,
                "end": end,
                "logp_policy": float(scoring.logp_policy[row]),
                "logp_reference": at(scoring.logp_reference, row),
                "reward": at(rewards, row),
                "score": at(shares, row),
                "rank_policy": int(scoring.rank_policy[row]),
                "kl": at(scoring.kl, row),
            }
        )
        if template:
            rows[-1] |= {"template": True}
    if len(rows) > len(tokens):
        rows[len(tokens)] |= {"end_of_turn": True}
    return {
        "beta": info.beta,
        "unit": info.unit,
        "policy": info.policy,
        "reference": info.reference or None,
        "loss": info.objective.name or None,
        "notes": list(info.notes),
        "score": info.objective.score(logps, info.beta),
        "total_reward": None if rewards is None else response_score(rewards),
        "noise": noise_json(floor, info.dtype, len(rows)),
        "tokens": rows,
    }


def at(values: "Floats | None", row: int) -> float | None:
    """Return one value of a column; None where the column is not there."""
    return None if values is None else float(values[row])


def print_table(result: dict[str, Any], labels: tuple[str, ...]) -> None:
    """Print one scored response for a person to read."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    width = max(5, *map(len, labels))
    print(f"policy     {result['policy']}\nreference  {result['reference'] or NO_REFERENCE}")
    print(f"{'token':<{width}} {'reward':>9} {'log π':>9} {'log π_ref':>9} {'rank':>7} {'KL':>8}")
    for label, token in zip(labels, result["tokens"], strict=True):
        print(
            f"{label:<{width}} {cell(token['reward'], 9, '+')} {token['logp_policy']:>9.4f} "
            f"{cell(token['logp_reference'], 9)} {token['rank_policy']:>7} {cell(token['kl'], 8)}"
        )
    beta = "β is not known, so in nats of log π/π_ref: give it with --beta"
    if result["beta"] is not None:
        beta = f"β = {result['beta']:g}, nats"
    if result["total_reward"] is not None:
        print(f"{'Σ reward':<{width}} {cell(result['total_reward'], 9, '+')}   ({beta})")
    else:
        total = sum(token["logp_policy"] for token in result["tokens"])
        print(f"{'Σ log π':<{width}} {total:>+9.4f}   (nats)")
    if result["loss"]:
        print(f"{'score':<{width}} {cell(result['score'], 9, '+')}   ({result['loss']})")


def cell(value: float | None, width: int, sign: str = "-") -> str:
    """Return a number of a table, or a dash where there is none."""
    return f"{'–':>{width}}" if value is None else f"{value:>{sign}{width}.4f}"


def noise_line(result: dict[str, Any]) -> str:
    """Return what the table says of its noise, as rewards."""
    noise, beta = result["noise"], result["beta"] or 1.0
    return (
        f"noise of {noise['dtype']}: a reward ±{beta * noise['token']:.4f}, Σ reward "
        f"±{beta * noise['total']:.4f}; below that they say nothing (--dtype float32 has none)"
    )


def read_items(arguments: argparse.Namespace) -> Iterator[Item]:
    """Yield the items to score, each file checked from end to end beforehand where it can be."""
    if arguments.jsonl:
        if readable(arguments.jsonl).is_file():
            for _ in read_jsonl(arguments.jsonl, arguments.system):
                pass
        return read_jsonl(arguments.jsonl, arguments.system)
    prompt, response = read_text(arguments.prompt_file), read_text(arguments.response_file)
    check_text(prompt, "prompt", str(arguments.prompt_file))
    check_text(response, "response", str(arguments.response_file))
    return iter([Item(str(arguments.response_file), prompt, response, arguments.system)])


def readable(path: Path) -> Path:
    """``path``, if something is there that can hold text. Raises UserFacingError otherwise."""
    if not path.exists():
        raise UserFacingError(f"There is no file {path}.")
    if path.is_dir():
        raise UserFacingError(f"{path} is a folder: name a text file.")
    return path


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file without its last line ending, all else as it is."""
    try:
        text = readable(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserFacingError(
            f"{path} is not UTF-8 (byte {error.start + 1}): save it as UTF-8."
        ) from error
    except OSError as error:
        raise UserFacingError(f"{path} cannot be read: {error.strerror}.") from error
    return text.removesuffix("\n").removesuffix("\r")


def read_jsonl(path: Path, system: str | None) -> Iterator[Item]:
    """Yield the items of a JSON Lines file. Raises UserFacingError naming the line."""
    found = False
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                where = f"{path}, line {number}"
                if raw.strip(b"\xef\xbb\xbf \t\r\n"):
                    found = True
                    yield parse_line(raw, where, system)
    except OSError as error:
        raise UserFacingError(f"{path} cannot be read: {error.strerror}.") from error
    if not found:
        raise UserFacingError(f'{path} is empty: give one {{"prompt", "response"}} a line.')


def parse_line(raw: bytes, where: str, system: str | None) -> Item:
    """Read a line of JSON as an item. Raises UserFacingError naming ``where`` and what is wrong."""
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserFacingError(f"{where}: not UTF-8 (byte {error.start + 1}).") from error
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(":")[0]
        raise UserFacingError(f"{where}: not valid JSON ({reason}).") from error
    if not isinstance(value, dict):
        raise UserFacingError(f'{where}: not an object with "prompt" and "response".')
    for key in ("prompt", "response"):
        if key not in value:
            raise UserFacingError(f'{where}: "{key}" is missing.')
        if not isinstance(value[key], str):
            raise UserFacingError(f'{where}: "{key}" is not a string.')
        check_text(value[key], key, where)
    own = value.get("system")
    if own is not None and not isinstance(own, str):
        raise UserFacingError(f'{where}: "system" is not a string.')
    check_characters(own or "", "system", where)
    return Item(where, value["prompt"], value["response"], system if own is None else own)


def check_text(text: str, what: str, where: str) -> None:
    """Raise UserFacingError unless a tokenizer can take the text and there is some."""
    if not text.strip():
        raise UserFacingError(f"{where}: the {what} is empty.")
    check_characters(text, what, where)


def check_characters(text: str, what: str, where: str) -> None:
    """Raise UserFacingError for half of a surrogate pair, which no tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserFacingError(
            f"{where}: the {what} has half a surrogate pair at character {error.start + 1}."
        ) from error
