"""What is known of how a checkpoint was trained: beta, losses, reference, …, each with its source.

Read from what trainers leave beside their checkpoints: Qscope's own record, training_args.bin,
recipes (TRL's and alignment-handbook's, LLaMA-Factory's, axolotl's, ms-swift's, OpenRLHF's), the
settings that wandb keeps, logged rewards over logged log-ratios, a model card. Nothing is assumed
where no file says it, not even a trainer's default. Opens no weights and runs no pickle.
"""

import contextlib
import json
import math
import re
import reprlib
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from core.checkpoints.describe import TOKENIZER_FILES
from core.checkpoints.limited import read_bytes
from core.checkpoints.training_args import NAME, read_training_args
from core.errors import UserFacingError
from core.failures import in_words
from core.files import entries, is_folder, open_file
from core.losses import trained_by
from core.provenance import Provenance, agree
from core.runs.records import ABOUT, EVALUATION, STATE, STEP

LARGEST = 2**20
"""Of a file of settings, in bytes; others are not opened."""
LARGEST_LOG = 2**25
LONGEST_KEY = 200
"""Characters of a logged name that are looked at, and of a text that is taken."""
ABOVE = 2
"""So many folders above a run are searched for a recipe that names the run."""
MOST_FILES = 200
"""So many files of a folder are looked at."""
MOST_ALIASES, DEEPEST, LONGEST = 20, 50, 1000
"""Of a recipe in YAML: places that repeat others, levels, letters of a plain value. With more, a
page of text may stand for gigabytes, or take minutes."""


# --- one setting --------------------------------------------------------------------------------


def _beta(value: Any) -> float:
    beta = _number(value[0] if isinstance(value, list) and len(value) == 1 else value)
    if beta <= 0:
        raise ValueError
    return beta


def _number(value: Any) -> float:
    """Return a finite number; YAML reads 1e-1 as text, and trainers take it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _whole(value: Any) -> int:
    number = _number(value)
    if number < 1 or number != int(number):
        raise ValueError
    return int(number)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: Any) -> str:
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_KEY:
        raise ValueError
    return value.strip()


@dataclass(frozen=True, slots=True)
class _Setting:
    """A field of Provenance: the names that trainers have for it, and how a value is read."""

    names: tuple[str, ...]
    read: Callable[[Any], Any] = _number


_SETTINGS = {
    "beta": _Setting(
        ("beta", "pref_beta", "rl_beta", "dpo_beta", "orpo_alpha", "ref_policy_kl_penalty",
         "reference_policy_kl_penalty"), _beta,
    ),
    "reference": _Setting(
        ("ref_model_adapters", "ref_adapters", "ref_model", "ref_model_name_or_path",
         "ref_pretrain", "reference_model", "reference_model_name_or_path", "reference"), _text,
    ),
    "base": _Setting(("model_name_or_path", "base_model", "pretrain", "model", "base"), _text),
    "ld_alpha": _Setting(("ld_alpha",)),
    "gamma": _Setting(("simpo_gamma",)),
    "label_smoothing": _Setting(("label_smoothing", "dpo_label_smoothing")),
    "f_divergence": _Setting(("f_divergence_type",), _text),
    "f_alpha": _Setting(("f_alpha_divergence_coef",)),
    "alpha": _Setting(("alpha",)),
    "discopop_tau": _Setting(("discopop_tau",)),
    "weighting": _Setting(("use_weighting",), _flag),
    "reference_free": _Setting(("reference_free",), _flag),
    "sync_ref_model": _Setting(("sync_ref_model",), _flag),
    "max_length": _Setting(("max_length", "cutoff_len", "sequence_len"), _whole),
    "max_prompt_length": _Setting(("max_prompt_length",), _whole),
    "max_completion_length": _Setting(("max_completion_length",), _whole),
    "truncation": _Setting(("truncation_mode",), _text),
}  # fmt: skip
_LOSSES = ("loss_type", "pref_loss")
_OF_SFT = ("rpo_alpha", "pref_ftx")
"""The weight of a loss on the chosen response's likelihood, beside the others."""
_TRAINERS = ("rl", "rlhf_type", "stage")
_METHODS = {
    "dpo": "dpo", "ipo": "dpo", "kto": "kto", "bco": "bco", "orpo": "orpo", "cpo": "cpo",
    "simpo": "cpo", "tpo": "tpo", "grpo": "grpo", "rloo": "rloo", "ppo": "ppo",
    "online_dpo": "online_dpo", "onlinedpo": "online_dpo", "gkd": "gkd", "sft": "sft",
    "reward": "reward",
}  # fmt: skip
"""What trainers and model cards call a way of training, and whose settings it has."""
_WITHOUT_BETA = ("sft", "reward", "gkd")
"""Ways of training in whose files beta is of another stage, or something else."""
_ARE_LOSSES = ("ipo", "simpo")
"""Methods that say a loss, too."""
_SECTIONS = ("finetuning_args", "model_args", "data_args", "training_args", "trl", "loss", "dpo")
"""Tables inside others whose settings count as if they stood outside."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What one file says. ``rank``: whom to believe, the lowest first."""

    rank: int
    values: Mapping[str, tuple[Any, str]]
    """By field of Provenance, with the source for people."""
    notes: tuple[str, ...] = ()
    run: str = ""
    """Where the training writes to, if it says that."""


_RECORD, _ARGUMENTS, _MEASURED, _RECIPE, _WANDB, _CARD = range(6)


def read_provenance(folder: Path) -> Provenance:
    """Return what the files of a checkpoint, or of a run's folder, say of the training.

    The checkpoint may lie in the run's folder or deeper. Above the run, only a recipe counts that
    names the run's folder as its output, or one that names none and lies above no other run.

    Raises:
        UserFacingError: Qscope's own record of the run is damaged.
    """
    inside = _inside(folder.expanduser().absolute())
    run = inside[-1]
    said = [one for place in inside for one in _of_trainer(place)]
    recipes = [one for place in inside for one in _recipes(place)]
    said += [one for one in recipes if Path(one.run).name == run.name] or recipes
    for place in list(run.parents)[:ABOVE]:
        below = run.relative_to(place).parts
        for one in _recipes(place):
            if Path(one.run).parts[-len(below) :] == below or (not one.run and _alone(run, place)):
                said.append(one)
    return _joined(said)


def _inside(folder: Path) -> list[Path]:
    """Return the folders of the same run: a checkpoint's first, the run's own last.

    For a run's folder that of its last checkpoint counts, which trainers save their settings in.
    """
    steps = [(int(it[1]), it[0]) for at in _folders(folder) if (it := STEP.fullmatch(at.name))]
    found = [folder / max(steps)[1], folder] if steps else [folder]
    for place in list(folder.parents)[:ABOVE]:
        in_checkpoint = STEP.fullmatch(found[-1].name) or STEP.fullmatch(place.name)
        marked = any((place / mark).is_file() for mark in (ABOUT, STATE, NAME))
        if not (in_checkpoint or marked or any(STEP.fullmatch(it.name) for it in _folders(place))):
            break
        found.append(place)
    return found


def _alone(run: Path, above: Path) -> bool:
    """Return whether a folder lies right above a run and holds no other run and no other model."""
    names = ("config.json", "adapter_config.json", NAME)
    return run.parent == above and not any(
        any((it / name).is_file() for name in names)
        or any(STEP.fullmatch(inner.name) for inner in _folders(it))
        for it in _folders(above)
        if it != run
    )


def _joined(said: Sequence[_Said]) -> Provenance:
    """Return the values of those who are believed first, with notes on who contradicts them."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    notes = [note for one in said for note in one.notes]
    ranked = sorted(said, key=lambda one: one.rank)
    for name in (it.name for it in fields(Provenance) if it.name not in ("sources", "notes")):
        found = [(one.rank, *one.values[name]) for one in ranked if name in one.values]
        if not found:
            continue
        rank, value, source = found[0]
        other = next((it for it in found if not agree(it[1], value)), None)
        undecided = other is not None and other[0] == rank and rank in (_RECIPE, _WANDB)
        if not undecided:
            values[name], sources[name] = value, source
        if other is not None and name in ("beta", "losses", "reference"):
            end = "neither is taken" if undecided else f"{_words(value)} is taken"
            notes.append(
                f"{_FOR_PEOPLE[name]} {_words(value)} by {source}, but {_words(other[1])} by "
                f"{other[2]}: {end}."
            )
    return replace(Provenance(**values), sources=sources, notes=tuple(dict.fromkeys(notes)))


_FOR_PEOPLE = {"beta": "β is", "losses": "The loss is", "reference": "The reference is"}


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- the files ----------------------------------------------------------------------------------


def _of_trainer(place: Path) -> Iterator[_Said]:
    """Yield what the trainer itself left in a folder."""
    if (about := place / ABOUT).is_file():
        yield _of_record(about)
    if (args := place / NAME).is_file():
        try:
            kind, table = read_training_args(args)
        except UserFacingError as error:
            yield _Said(_ARGUMENTS, {}, (str(error),))
        else:
            method = re.sub(r"(Training)?(Config|Arguments)$", "", kind)
            yield _settings(_ARGUMENTS, table, args, method)
    yield from _measured(place)
    yield from _logged(place / STATE)
    yield from _card(place / "README.md")


def _of_record(path: Path) -> _Said:
    """Read what Qscope wrote of a run, which is DPO with the sigmoid loss.

    ``chat``, whether texts were put into a template, is said where TRL's own trainer read them. The
    demo's recipe has no such field: it makes its rows itself, which end with the closing token.
    """
    table = _table(path)
    if table is None:
        raise UserFacingError(
            f"{path} is damaged: mend or delete it, and name the run's reference and beta."
        )
    if isinstance(chat := table.get("chat"), bool):
        said = _settings(_RECORD, table, path, "DPO")
        return replace(said, values={**said.values, "plain": (not chat, _source("chat", path))})
    said = _settings(_RECORD, table, path)
    losses = ((("sigmoid", 1.0),), _source("Qscope's record", path))
    return replace(said, values={"losses": losses, **said.values})


def _recipes(place: Path) -> Iterator[_Said]:
    """Yield what recipes in a folder, and the settings that wandb keeps there, say."""
    found = [(_RECIPE, path) for path in _files(place) if path.name not in _NO_RECIPES]
    for name in ("config.yaml", "config.json"):
        kept = sorted(place.glob(f"wandb/*run-*/files/{name}"))[:MOST_FILES]
        found += [(_WANDB, path) for path in kept]
    for rank, path in found:
        if path.suffix not in (".yaml", ".yml", ".json") or not _speaks_of_training(path):
            continue
        table = _table(path)
        if table is None:
            kind = "JSON" if path.suffix == ".json" else "YAML"
            yield _Said(rank, {}, (f"{path} is not valid {kind}, so what it says is not known.",))
        elif rank == _WANDB or "architectures" not in table:
            yield _settings(rank, table, path)


def _speaks_of_training(path: Path) -> bool:
    with contextlib.suppress(OSError):
        text = read_bytes(path, LARGEST).decode("utf-8", "replace")
        return _MARK.search(text.replace(",", "\n").replace("{", "\n")) is not None
    return False


_NO_RECIPES = {*TOKENIZER_FILES, "added_tokens.json", ABOUT, STATE, EVALUATION}
_MARK = re.compile(
    rf"""^[ \t]*["']?({"|".join((*_SETTINGS["beta"].names, "pref_loss"))})["']?\s*:"""
    rf"""|^[ \t]*["']?({"|".join(_TRAINERS)})["']?\s*:"""
    rf"""\s*["']?({"|".join({*_METHODS} - {"sft"})})\b"""
    r"""|^[ \t]*["']?loss_type["']?\s*:\s*(?!["']?For[A-Z]|null\b)""",
    re.MULTILINE,
)
"""What stands in a file with the settings of a training on preferences, and in few others."""


def _settings(rank: int, table: Mapping[str, Any], path: Path, trained_with: str = "") -> _Said:
    """Return what a table of settings says, by the names that trainers have for each."""
    found = _flat(table)
    values: dict[str, tuple[Any, str]] = {}
    notes = []
    for name, setting in _SETTINGS.items():
        for value, written in (found[key] for key in setting.names if key in found):
            if value is None or name in values:
                continue
            try:
                values[name] = setting.read(value), _source(written, path)
            except (ValueError, OverflowError):
                if name == "beta":
                    notes.append(
                        f"{_source(written, path)} is {reprlib.repr(value):.40}, which is no "
                        f"number above 0: it is not taken for β."
                    )
    for value, written in (found[key] for key in _LOSSES if key in found):
        if losses := _losses(value, found.get("loss_weights", (None, ""))[0]):
            values["losses"] = losses, _source(written, path)
    for value, written in (found[key] for key in _OF_SFT if key in found):
        with contextlib.suppress(ValueError):
            if value and (weight := _number(value)) > 0:
                losses, source = values.get("losses", ((("sigmoid", 1.0),), _source(written, path)))
                values["losses"] = (*losses, ("sft", weight)), source
    methods = [found[key] for key in _TRAINERS if key in found]
    if trained_with:
        methods.append((trained_with.lower(), trained_with))
    for method, written in methods:
        if isinstance(method, str) and method in _METHODS:
            values["trainer"] = _METHODS[method], _source(written, path)
            if method in _ARE_LOSSES:
                values["losses"] = ((method, 1.0),), _source(written, path)
    if values.get("trainer", ("",))[0] in _WITHOUT_BETA:
        values = {name: said for name, said in values.items() if name not in ("beta", "losses")}
    if "gamma_beta_ratio" in found and "beta" in values:  # of SimPO's own trainer
        ratio, written = found["gamma_beta_ratio"]
        with contextlib.suppress(ValueError):
            values["gamma"] = _number(ratio) * values["beta"][0], _source(written, path)
    run = found.get("output_dir", ("", ""))[0]
    return _Said(rank, values, tuple(notes), run if isinstance(run, str) else "")


def _losses(value: Any, weights: Any) -> tuple[tuple[str, float], ...]:
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        return ()
    if not isinstance(weights, list) or len(weights) != len(names):
        weights = [1.0] * len(names)
    with contextlib.suppress(ValueError):
        return tuple((name, _number(weight)) for name, weight in zip(names, weights, strict=True))
    return ()


def _flat(table: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return settings by name, each with the way to it; wandb has each under "value"."""

    def of(inner: Mapping[str, Any], way: str) -> dict[str, tuple[Any, str]]:
        wrapped = {str(key): value for key, value in inner.items()}
        return {
            key: (value["value"] if isinstance(value, dict) and "value" in value else value,
                  way + key)
            for key, value in wrapped.items()
        }  # fmt: skip

    found = of(table, "")
    for section in _SECTIONS:
        if isinstance(inner := found.get(section, (None, ""))[0], dict):
            found = {**of(inner, f"{section}."), **found}
    return found


def _measured(place: Path) -> Iterator[_Said]:
    """Yield the beta that logged rewards are of logged log-ratios, where both are logged."""
    for path in _files(place, LARGEST_LOG):
        if path.name != STATE and path.suffix != ".jsonl":
            continue
        with contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            data = read_bytes(path, LARGEST_LOG)
            if b"logps" not in data or b"ref" not in data:
                continue
            lines = map(json.loads, data.splitlines())
            rows = json.loads(data)["log_history"] if path.name == STATE else lines
            if beta := measured_beta(row for row in rows if isinstance(row, dict)):
                source = _source("rewards over log-ratios", path)
                yield _Said(_MEASURED, {"beta": (beta, source)})


def _logged(path: Path) -> Iterator[_Said]:
    """Yield the way of training that logs curves of the names that are in a trainer's state."""
    with contextlib.suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
        rows = json.loads(read_bytes(path, LARGEST_LOG))["log_history"]
        if way := trained_by({name for row in rows for name in row}):
            yield _Said(_CARD, {"trainer": (way, _source("names of curves", path))})


def measured_beta(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Return rewards ÷ (log π − log π_ref) of a log's rows; None unless at least two rows agree.

    Log-ratios below 0.05 nat are left out, since what is logged is rounded.
    """
    found = []
    for row in rows:
        for names in _LOGGED:
            reward, policy, reference = (
                next((row[key] for key in row if name.search(key[:LONGEST_KEY])), None)
                for name in names
            )
            with contextlib.suppress(ValueError):
                ratio = _number(policy) - _number(reference)
                if abs(ratio) > 0.05:
                    found.append(_number(reward) / ratio)
    if len(found) < 2 or (beta := statistics.median(found)) <= 0:
        return None
    near = [agree(one, beta) for one in found]
    return float(f"{beta:.3g}") if sum(near) > 0.9 * len(near) else None


_LOGGED = [
    (
        re.compile(rf"(^|[/_])rewards/{side}$"),
        re.compile(rf"^(?!.*ref)(.*[/_])?logps/{side}$"),
        re.compile(rf"(ref\w*_logps/{side}|logps/ref\w*_{side}|logps_ref\w*/{side})$"),
    )
    for side in ("chosen", "rejected")
]
"""The names that logs have for a reward, log π and log π_ref of a side."""


def _card(path: Path) -> Iterator[_Said]:
    """Yield what a model card says that a trainer wrote."""
    text = ""
    with contextlib.suppress(OSError), open_file(path) as file:
        text = file.read(LARGEST).decode("utf-8", "replace")
    values: dict[str, tuple[Any, str]] = {}
    if base := re.search(r"^base_model: *+['\"]?([^\s'\"]++)['\"]? *\r?$", text, re.MULTILINE):
        values["base"] = base[1], _source("base_model", path)
    method = re.search(r"This model was trained with (\w+)", text)
    if method and (trainer := _METHODS.get(method[1].lower())):
        values["trainer"] = trainer, _source("what it was trained with", path)
    if values:
        yield _Said(_CARD, values)


def _table(path: Path) -> Mapping[str, Any] | None:
    """Return the table in a YAML or JSON file; None if it holds none or cannot be read."""
    try:
        text = read_bytes(path, LARGEST).decode("utf-8-sig")
        table = json.loads(text) if path.suffix == ".json" else _yaml(text, path)
    except (OSError, ValueError, RecursionError, UserFacingError):
        return None
    return table if isinstance(table, dict) else None


def _yaml(text: str, path: Path) -> Any:
    """Return what a recipe says.

    Raises:
        UserFacingError: it is no YAML, or such as stands for far more than is written there.
    """
    import yaml

    with in_words("The recipe", path, "write it anew"):
        aliases = depth = 0
        for event in yaml.parse(text, yaml.CSafeLoader):
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            plain = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
            if aliases > MOST_ALIASES or depth > DEEPEST or (plain and len(event.value) > LONGEST):
                raise ValueError("it has more aliases, levels or letters than a recipe has")
        return yaml.load(text, yaml.CSafeLoader)


def _files(place: Path, largest: int = LARGEST) -> list[Path]:
    """Return the files in a folder that are not too large, by name."""
    with contextlib.suppress(OSError):
        found = [place / name for name in sorted(entry.name for entry in entries(place))]
        found = [it for it in found if it.is_file()][:MOST_FILES]
        return [it for it in found if it.stat().st_size <= largest]
    return []


def _folders(place: Path) -> list[Path]:
    return [place / entry.name for entry in entries(place) if is_folder(entry)]


def _source(key: str, path: Path) -> str:
    return f"{key} in {path.parent.name}/{path.name}"
