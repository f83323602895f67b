"""Read the logs of a training run, and say what its curves mean.

A run's folder, or a log: TRL's trainer_state.json, TensorBoard events, JSON Lines, CSV (that of
Weights & Biases, TensorBoard or a spreadsheet too), what a trainer printed. Curves have TRL's
names.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import options

if TYPE_CHECKING:
    from core.runs.records import RunLog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("path", type=Path, help="a run's folder, or a log")
    parser.add_argument(
        "--beta",
        type=options.positive,
        metavar="B",
        help="of the training, where no file of the run says it",
    )
    parser.add_argument(
        "--loss",
        metavar="NAME",
        default="",
        help="of the training, as trainers write it (sigmoid, ipo, simpo, ...), where neither "
        "files nor curves say it",
    )
    parser.add_argument(
        "--json", action="store_true", help="print all curves as one JSON object; steps whose "
        "value is no number are left out"
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Read and print; return the exit status.

    Raises:
        UserFacingError: there is no log at the path, or the loss is none that is known.
    """
    from core.losses import TrainingLoss, named
    from core.runs.explain import explain
    from core.runs.read import read_runs

    said = []
    given = TrainingLoss(named(arguments.loss)) if arguments.loss else None
    for log in read_runs(arguments.path):
        log = log if given is None else replace(log, objective=given)
        beta = log.beta if arguments.beta is None else arguments.beta
        explanation = explain(log, beta)
        said.append((log, beta, explanation.text if explanation is not None else ""))
    if arguments.json:
        print(json.dumps({"runs": [_as_json(*run) for run in said]}, ensure_ascii=False))
        return 0
    for log, beta, words in said:
        known = "beta not known" if beta is None else f"beta {beta:g}"
        print(f"{log.name}: {log.kind}, {log.objective.title}, {known}, up to step {log.last_step}")
        print(f"curves: {', '.join(log.series) or 'none'}")
        for sentence in (*log.problems, *log.remarks, _holes(log), words):
            if sentence:
                print(sentence)
    return 0


def _holes(log: "RunLog") -> str:
    """Say where curves have no number; "" where all have one."""
    holes: dict[str, list[str]] = {}
    for name, series in log.series.items():
        steps = series.steps[series.values != series.values]  # NaN is not equal to itself
        if len(steps):
            where = f"{len(steps):,} of {len(series.steps):,} steps, the first {steps[0]:,}"
            holes.setdefault(where, []).append(name)
    said = "; ".join(f"{', '.join(names)} at {where}" for where, names in holes.items())
    return f"NaN or infinite, so left out: {said}." if said else ""


def _as_json(log: "RunLog", beta: float | None, words: str) -> dict[str, Any]:
    curves = {}
    for name, series in log.series.items():
        known = series.values == series.values  # NaN is not equal to itself
        curves[name] = [series.steps[known].tolist(), series.values[known].tolist()]
    return {
        "name": log.name,
        "kind": log.kind,
        "loss": log.objective.name or None,
        "beta": beta,
        "problems": [it for it in (*log.problems, *log.remarks, _holes(log)) if it],
        "series": curves,
        "explanation": words,
    }
