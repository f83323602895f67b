"""Score all rows of a file into one Parquet file: score --data FILE --out scored.parquet.

Goes on where it was stopped, shares its work with the other processes of an ``accelerate launch``,
and puts the files of several machines together (--shard, --merge). The file's columns are described
in core.dataset.scored.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import options
from core.commands.console import Reporter
from core.errors import Cancelled, UserFacingError

if TYPE_CHECKING:
    from core.dataset.score import Progress, Share
    from core.dataset.scored import About
    from core.engine.protocol import PairSpec

SHOWN = 5
"""Skipped rows that are named."""
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that score a file."""
    group = parser.add_argument_group("a file of pairs or responses")
    group.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="pairs (prompt, chosen, rejected) or single responses (prompt, response), plain or "
        "conversational: JSON Lines, JSON, CSV, Parquet or a datasets folder",
    )
    group.add_argument(
        "--columns",
        type=options.columns,
        default={},
        metavar="prompt=question,chosen=a,rejected=b",
        help="which column is which, where the guess that is printed is wrong (also response, "
        "system, id)",
    )
    group.add_argument("--out", type=Path, metavar="OUT.parquet", help="the file to write")
    group.add_argument("--limit", type=_count, metavar="N", help="only the first N rows")
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="only this part of N, into OUT-0000I-of-0000N.parquet: run all of them, anywhere",
    )
    group.add_argument(
        "--merge",
        type=Path,
        nargs="+",
        metavar="SHARD",
        help="put the files of all shards together into --out",
    )
    group.add_argument(
        "--anew", action="store_true", help="begin anew, and replace what another run has left"
    )


def is_meant(arguments: argparse.Namespace) -> bool:
    """Return whether a file is to be scored, or shards to be put together."""
    named = ("data", "out", "merge", "columns", "limit", "shard", "anew")
    return any(getattr(arguments, name) for name in named)


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Score a file, or put shards together, and print the figures; returns the exit status.

    Raises:
        UserFacingError: a file cannot be read or written, the pair cannot be loaded, or another run
            is in the way.
    """
    if not arguments.out:
        parser.error("--data and --merge need --out")
    if bool(arguments.data) == bool(arguments.merge):
        parser.error("give --data FILE, or --merge SHARD ..., with --out")
    if arguments.merge:
        return put_together(arguments)
    options.require_pair(parser, arguments)
    spec = options.pair_spec(parser, arguments)
    from core.dataset.parts import parts_of
    from core.dataset.score import Share

    rank, ranks = ranks_of(os.environ)
    if ranks > 1 and arguments.anew:
        raise UserFacingError(
            f"--anew is for one process: delete {arguments.out} and {arguments.out}.parts, then "
            f"start all of them without it."
        )
    shard, shards = arguments.shard or (1, 1)
    out = arguments.out if not arguments.shard else shard_path(arguments.out, shard, shards)
    with Reporter(sys.stderr if not rank else None) as reporter:
        try:
            return score(arguments, spec, out, Share(shard, shards, rank, ranks), reporter)
        except (KeyboardInterrupt, Cancelled):
            kept = f"what was scored is kept in {out}.parts: " if parts_of(out).exists() else ""
            reporter.say(f"Stopped; {kept}the same command goes on from here.")
            return INTERRUPTED


def score(
    arguments: argparse.Namespace, spec: "PairSpec", out: Path, share: "Share", reporter: Reporter
) -> int:
    """Score the rows that are this process's; returns the exit status."""
    from core.dataset.rows import open_source
    from core.dataset.score import score_data

    # Before the models are loaded: a wrong file costs no wait.
    source = open_source(arguments.data, arguments.columns, reporter.progress)
    layout = source.layout
    what = "single responses" if layout.single else "pairs"
    reporter.say(
        f"{arguments.data}: {layout.format}, {source.rows:,} rows of {what}; {layout.sentence} "
        f"(another is named with --columns)"
    )
    if layout.note:
        reporter.say(f"{layout.note[0].upper()}{layout.note[1:]}.")
    if not out.parent.is_dir():
        raise UserFacingError(f"There is no folder {out.parent}: make it, or name another --out.")

    from core.models.load import load_pair
    from core.models.noise import Measurement

    pair, info = load_pair(_placed(spec, share, os.environ), reporter.progress)
    if arguments.checkpoint is not None:
        info = options.show(pair, info, arguments.checkpoint)
    for note in info.notes:
        reporter.say(note)
    floor = Measurement(pair).finish()
    pair.forget()
    about = score_data(
        pair,
        info,
        source,
        out,
        limit=arguments.limit,
        share=share,
        anew=arguments.anew,
        floor=floor,
        told=lambda progress: reporter.count(as_line(progress)),
        cancelled=reporter.interrupted,
    )
    reporter.clear()
    if about is not None:
        for finding in about.findings:
            if finding not in info.notes:
                reporter.say(finding)
        print_summary(out, about, arguments.json)
    return 0


def put_together(arguments: argparse.Namespace) -> int:
    """Put shards together and print the figures of all; returns the exit status."""
    from core.dataset.parts import merge

    about = merge(arguments.merge, arguments.out, arguments.anew)
    print_summary(arguments.out, about, arguments.json)
    return 0


def ranks_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return which of how many processes this is, from 0, as ``accelerate launch`` and torchrun
    say it.

    Raises:
        UserFacingError: what they say makes no sense.
    """
    said = environment.get("RANK", "0"), environment.get("WORLD_SIZE", "1")
    if not all(text.isdecimal() for text in said) or not int(said[0]) < int(said[1]):
        raise UserFacingError(
            f"RANK={said[0]} and WORLD_SIZE={said[1]} in the environment name no process: unset "
            f"them, or start with accelerate launch."
        )
    return int(said[0]), int(said[1])


def _placed(spec: "PairSpec", share: "Share", environment: Mapping[str, str]) -> "PairSpec":
    """Return the pair on the device of this process, where several share a machine's."""
    if share.ranks == 1 or spec.device not in ("auto", "cuda"):
        return spec
    import torch

    local = environment.get("LOCAL_RANK", "0")
    if not torch.cuda.is_available() or not local.isdecimal():
        return spec
    return replace(spec, device=f"cuda:{int(local) % torch.cuda.device_count()}")


def shard_path(out: Path, shard: int, shards: int) -> Path:
    """Return where a shard of an output is written."""
    return out.with_name(f"{out.stem}-{shard:05}-of-{shards:05}{out.suffix}")


def as_line(progress: "Progress") -> str:
    """Return how far it is, in one line."""
    said = [f"{progress.done:,} of {progress.rows:,} rows"]
    if progress.skipped:
        said.append(f"{progress.skipped:,} skipped")
    if progress.rate:
        said.append(f"{progress.rate:.3g} rows/s")
    if progress.left is not None:
        said.append(f"{_time(progress.left)} left")
    if progress.waiting:
        said.append(f"waiting for {progress.waiting:,} parts of other processes")
    return ", ".join(said)


def print_summary(out: Path, about: "About", as_json: bool) -> None:
    """Print the figures of a scored file, as lines or as one JSON object."""
    from core.dataset.scored import summarise
    from core.quantities import reward_unit
    from core.sweeps.record import wilson

    beta, figures = about.beta, summarise(out, about.objective, about.beta)
    pairs = figures.pairs
    interval = wilson(figures.right, pairs) if pairs else None
    table: dict[str, Any] = {
        "out": str(out),
        "rows": figures.rows,
        "skipped": about.counts.skipped,
        "reasons": dict(about.counts.reasons),
        "listed": [[it.row, it.place, it.why] for it in about.counts.listed],
        "duplicate_ids": about.duplicates,
        "pairs": pairs,
        "pair_accuracy": figures.right / pairs if pairs else None,
        "interval": interval,
        "mean_margin": figures.mean_margin,
        "mean_log_ratio": figures.mean_log_ratio,
        "median_length": figures.median_length,
        "beta": beta,
        "unit": reward_unit(beta),
        "loss": about.objective.name or None,
        "precomputed": about.precomputed or None,
    }
    if as_json:
        print(json.dumps(table, allow_nan=False))
        return
    print(f"{out}: {figures.rows:,} rows scored, {about.counts.skipped:,} skipped")
    for why, count in sorted(about.counts.reasons.items(), key=lambda it: -it[1]):
        print(f"  {count:,}: {why}")
    if about.counts.listed:
        first = "; ".join(it.place for it in about.counts.listed[:SHOWN])
        more = "; …" if about.counts.skipped > SHOWN else ""
        print(f"  skipped: {first}{more}")
    if about.duplicates:
        print(f"ids: {about.duplicates:,} rows have the id of a row before")
    if about.precomputed:
        print(about.precomputed)
    if interval is not None and figures.mean_margin is not None:
        low, high = interval
        print(
            f"pair accuracy {figures.right / pairs:.3f} (95% {low:.3f} to {high:.3f}, {pairs:,} "
            f"pairs), mean margin {figures.mean_margin:+.4f} {reward_unit(beta)}"
        )
    elif figures.mean_log_ratio is not None:
        print(f"mean Σ log π/π_ref {figures.mean_log_ratio:+.4f} nat")
    if figures.median_length is not None:
        print(f"median length {figures.median_length:g} tokens")


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    shard, sign, shards = text.partition("/")
    known = sign and shard.isdecimal() and shards.isdecimal()
    if not known or not 1 <= int(shard) <= int(shards):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard such as 1/4")
    return int(shard), int(shards)
