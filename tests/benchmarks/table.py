"""Sorting and filtering a scored file of 100,000 pairs, against pandas on the same columns.

"sort" orders all rows by their margin; "filter" keeps rows by two numbers and a category; "words"
looks for a word in prompt, chosen and rejected, which both have in memory; "look" is all that
follows from a question in the window: filter, order and figures. Opening is from the path to the
table; pandas reads the columns that it needs. All take turns. Memory is by how much opening raises
the peak of the process.
"""

import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.timing import Timing
from tests.made_scored import write_scored

BETA, REPETITIONS, WORD = 0.1, 9, "harbour labour"
FILTER = "margin < -1 length_difference > 10 category = code"
NAMES = "open", "sort", "filter", "words"


def measure(rows: int = 100_000, file: str = "") -> dict[str, Any]:
    """Milliseconds of both and their ratio; ``file``: a made file to use, or to write."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(file or Path(folder) / "scored.parquet")
        if not path.exists():
            write_scored(path, rows)
        return compare(path)


def compare(path: Path) -> dict[str, Any]:
    """The figures of one file."""
    from core.dataset.filters import matching, parse
    from core.dataset.look import Question, look
    from core.dataset.table import open_scored

    timing, first = Timing(), peak()
    table = timing.time("open", lambda: open_scored(path))
    held = peak() - first
    every = np.arange(table.count)

    def words() -> Any:
        table.found.clear()
        return np.flatnonzero(matching(table, parse(f'"{WORD}"', table), BETA))

    question = Question(FILTER, by="margin", beta=BETA, group="source.category")
    whole = Question(by="margin", beta=BETA, group="source.category")
    ours: dict[str, Callable[[], Any]] = {
        "sort": lambda: table.order(every, "margin", BETA),
        "filter": lambda: np.flatnonzero(matching(table, parse(FILTER, table), BETA)),
        "words": words,
        "look": lambda: look(table, question).shown,
        "look at all rows": lambda: look(table, whole).shown,
    }
    frame = timing.time("pandas open", lambda: rival(path))
    theirs: dict[str, Callable[[], Any]] = {
        "sort": lambda: frame.margin.sort_values(kind="stable").index,
        "filter": lambda: frame.index[
            (frame.margin < -1)
            & (frame.length_chosen - frame.length_rejected > 10)
            & (frame.category == "code")
        ],
        "words": lambda: frame.index[
            frame.prompt.str.contains(WORD, case=False, regex=False)
            | frame.chosen.str.contains(WORD, case=False, regex=False)
            | frame.rejected.str.contains(WORD, case=False, regex=False)
        ],
    }
    for turn in range(REPETITIONS + 1):
        for name, work in ours.items():
            found = timing.time(name, work)
            if name in theirs:
                wanted = timing.time(f"pandas {name}", theirs[name])
                assert np.array_equal(found, wanted.to_numpy()), name
        if not turn:
            opened = timing.medians()
            timing.clear()  # the first round fills the file cache
    seconds, own = timing.medians(), timing.own()
    seconds |= {name: opened[name] for name in ("open", "pandas open")}
    return {
        "rows": table.count,
        "milliseconds": {name: 1000 * it for name, it in seconds.items()},
        "milliseconds of the process": {name: 1000 * it for name, it in own.items()},
        "pandas over ours": {name: seconds[f"pandas {name}"] / seconds[name] for name in NAMES},
        "MB that the open table takes": held,
        "asked": {"milliseconds of sort and filter": 100},
    }


def rival(path: Path) -> Any:
    """The same columns as a pandas frame."""
    import pandas as pd

    names = ("prompt", "chosen", "rejected", "log_ratio_chosen", "log_ratio_rejected",
             "length_chosen", "length_rejected", "source.category")  # fmt: skip
    frame = pd.read_parquet(path, columns=[*names])
    frame["margin"] = BETA * (frame.log_ratio_chosen - frame.log_ratio_rejected)
    frame["category"] = frame["source.category"].astype("category")
    return frame


def peak() -> float:
    """The most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
