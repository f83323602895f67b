"""A data set that is scored by a process which is killed (SIGKILL) again and again, and finished.

A file is killed KILLS times while it is scored, at any moment: before a part, while one is written,
while all are put together. Then it is let end, and compared row by row with what one process gives
that was left alone: nothing is lost, nothing is there twice, no number differs. A step is a kill.
"""

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.stress.kills import PATIENCE, Child, WrongError
from tests.stress.report import Report

KILLS = 10
"""Kills of each file before it is let end."""
ROWS = 400, 20_000
"""Rows of a file that is killed in a test of a few steps, and in a long run."""
PARTS = 80
"""Parts of a file, so that some are left after each kill."""
EARLY = 0.2
"""How often a process is killed at any moment, and not soon after a part."""
LONG = 10
"""Steps from which on a run is a long one."""
CLOSE = 1e-4
"""Nats by which a number may differ."""
SIDES = "chosen", "rejected"


def stress(room: Path, seed: int, more: Callable[[int], bool]) -> Report:
    """Kill what scores a file KILLS times, let it end, and so on with the next."""
    import torch
    import transformers  # noqa: F401 -- the forks have all libraries then

    from core.registrations import register

    register()
    torch.set_num_threads(1)
    report, rng = Report(), random.Random(seed)
    os.environ["QSCOPE_CACHE"] = str(room / "cache")
    pair = make_pair(room)
    rows = ROWS[more(LONG)]
    report.figures = {"files compared": 0.0, "rows": float(rows), "killed at work": 0.0}
    while more(report.done):
        try:
            one_file(room, pair, rows, rng, report, more)
        except WrongError as error:
            report.faults.append(f"step {report.done}: {error}")
    return report


def one_file(
    room: Path,
    pair: list[str],
    rows: int,
    rng: random.Random,
    report: Report,
    more: Callable[[int], bool],
) -> None:
    """Kill, finish and compare one file."""
    number = int(report.figures["files compared"])
    data, out, whole = (room / f"{number}{it}" for it in (".jsonl", ".parquet", "-whole.parquet"))
    data.write_text("\n".join(made(rows, rng)), "utf-8")

    def score(to: Path) -> int:
        import main
        from core.dataset import score as scoring

        scoring.WINDOW = rows // PARTS
        return main.main(["score", *pair, "--data", str(data), "--out", str(to)])

    patience = PATIENCE + rows  # a second more a row: it may be long
    took = Child(lambda: score(whole), room / "alone").end(patience)
    for _ in range(KILLS):
        if not more(report.done):
            break
        before = parts_in(out)
        child = Child(lambda: score(out), room / "killed")
        if rng.random() < EARLY:
            time.sleep(rng.uniform(0, took))
        else:
            while len(parts_in(out)) < len(before) + 1 and child.alive():
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.1))
        report.figures["killed at work"] += child.alive() and bool(parts_in(out))
        child.kill()
        report.done += 1
        if before - parts_in(out) and not out.exists():
            raise WrongError("a part was lost")
    Child(lambda: score(out), room / "last").end(patience)
    compare(out, whole)
    left = [it.name for it in room.glob(f"{out.name}*") if it != out]
    if left:
        raise WrongError(f"{', '.join(left)} was left behind")
    report.figures["files compared"] += 1
    for path in (data, out, whole):
        path.unlink()


def parts_in(out: Path) -> set[str]:
    """The parts that are there of an output."""
    return {it.name for it in out.with_name(f"{out.name}.parts").glob("part-*.parquet")}


def compare(out: Path, whole: Path) -> None:
    """Compare two scored files.

    Raises:
        WrongError: they differ.
    """
    from core.dataset.scored import batches, read_about

    if read_about(out).counts != read_about(whole).counts:
        raise WrongError("the counts of rows differ")
    for ours, theirs in zip(batches(out), batches(whole), strict=True):
        for name in theirs.column_names:
            one, other = ours.column(name).to_pylist(), theirs.column(name).to_pylist()
            if not all(map(alike, one, other)):
                raise WrongError(f"the column {name} differs")


def alike(one: object, other: object) -> bool:
    """Whether two cells are the same, numbers within CLOSE."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= CLOSE
    return one == other


def make_pair(room: Path) -> list[str]:
    """The options of a tiny pair."""
    from tests.tiny import save_pair

    policy, reference = save_pair(room / "pair")
    return ["--policy", str(policy), "--reference", str(reference), "--device", "cpu"]


def made(count: int, rng: random.Random) -> list[str]:
    """Rows of a file, some of which cannot be used."""
    words = "They took the job at Harbour Labs in May for 250 euros, and then left it".split()
    rows = []
    for number in range(count):
        row = {"id": number, "prompt": f"Post {number // 3}: " + " ".join(rng.sample(words, 4))}
        row |= {side: " ".join(rng.sample(words, rng.randint(1, 6))) for side in SIDES}
        if rng.random() < 0.01:
            del row[rng.choice(SIDES)]
        rows.append("{broken" if rng.random() < 0.01 else json.dumps(row))
    return rows
