"""What a trainer prints, kept as a file: its numbers among all else that a console shows.

Reads dicts (transformers, the reference DPO code) and lines of names with numbers (torchtune, verl,
progress bars of OpenRLHF). Where nothing there says the step, the bar above it does. What is
printed over several lines, and a dict around others, is not read. Knows nothing of files
(core.runs.readers.lines follows them).
"""

import re
from typing import Any

from core.runs.names import canonical, evaluation_set, is_usual, step_column
from core.runs.readers.lines import ROWS
from core.runs.table import Table
from core.runs.tail import check

_NUMBER = (
    r"[-+]?(?:\d++(?:\.\d*+)?(?:[eE][-+]?\d++)?|\.\d++(?:[eE][-+]?\d++)?|(?i:nan|inf(?:inity)?))"
)
"""Possessive (++), as all that repeats here: a long line must not be tried in every way."""
_CALL = r"(?:[A-Za-z_][\w.]*\()?"
"""Before a number that numpy or torch prints: np.float64(0.5), tensor(0.5, device='cuda:0')."""
_DICT = re.compile(r"\{\s*['\"][^{}]*\}")
_CELL = re.compile(
    rf"(['\"])(?P<name>[^'\"]+)\1\s*:\s*{_CALL}"
    rf"(?:(?P<quote>['\"])(?P<text>{_NUMBER}|\d+/\d+)(?P=quote)|(?P<bare>{_NUMBER})(?=[\s,)}}]))"
)
_ITEM = re.compile(
    rf"(?<![\w./-])(?P<name>[A-Za-z][\w./-]*)\s*[:=]\s*{_CALL}(?P<bare>{_NUMBER})(?=[\s,;|)\]]|$)"
)
_STEP = re.compile(
    r"(?<![\w/])(?:global[_ ])?(?:step|iter(?:ation)?|after)\b\s*+[:=#]?\s*+(\d++)", re.I
)
"""The step before what is printed; the reference DPO code: "train stats after 64 examples: {…}"."""
_COLOUR = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
_RAY = re.compile(r"^\(\w+ pid=\d+[^)]*\)")
"""What Ray puts before each line."""
_BAR = re.compile(
    r"^(?P<title>[^|]*?)(?<!\d)\d++%\|[^|]*\| *(?P<at>\d{1,15})/(?P<of>\d{1,15})(?!\S*[\w.])"
)
_TELLS = re.compile(
    rb"\{\s*['\"][^'\"]+['\"]\s*:|(?i:step|iter)\w{0,40}[\s:=#]{0,40}\d|(?<!\d)\d++/\d++ \["
)
"""What a line must have to be looked at in detail."""


class PrintedRows:
    """Rows that are printed in lines of their own or behind a progress bar."""

    kind = "printed log"

    def __init__(self) -> None:
        self._barred, self._plain = Table(), Table()
        self._bars: dict[int, int] = {}
        """How far bars without a title have come, by where they end."""
        self._bar = self._training_bar = 0
        self._last = -1
        self._misled = False
        """Whether two rows stand under the same place of the bar, which was drawn too seldom."""

    @property
    def tables(self) -> dict[str, Table]:
        """The curves; by the bar's steps where these can be right."""
        return {"": self._plain if self._misled else self._barred}

    def take(self, data: bytes) -> bytes:
        """Take rows in; return the part of ``data`` that need not be given again."""
        whole = data if data.rstrip().endswith((b"}", b"}]")) else data[: data.rfind(b"\n") + 1]
        plain, barred = [], []
        for line in lines_of(whole):
            if not any(map(str.isdigit, line)):
                continue
            check()
            for row in self.rows(line):
                plain.append(row)
                barred.append(self._with_step(row))
        self._plain.add_rows(plain)
        self._barred.add_rows(barred)
        return whole

    def rows(self, line: str) -> list[dict[str, Any]]:
        """Return the rows of a line; note how far its bar has come."""
        dicts = list(_DICT.finditer(line))
        before = line[: dicts[0].start()] if dicts else line
        bar = _BAR.search(before)
        if bar and not bar["title"].strip():
            self._bar = int(bar["of"])
            self._bars[self._bar] = int(bar["at"])
        rows = [cells(printed[0]) for printed in dicts] or [items(line)]
        said = _STEP.search(before)
        step = said[1] if said else bar["at"] if bar and not dicts else None
        rows = [row for row in rows if is_row(row)]
        for row in rows:
            if step is not None and step_column(tuple(row)) is None:
                row["step"] = step
        return [row for row in rows if dicts or step_column(tuple(row)) is not None]

    def _with_step(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row with the step that the bar of the training is at, if it says none."""
        if step_column(tuple(row)) is not None:
            return row
        trains = any(canonical(name) == "loss" for name in row)
        if trains and self._bar != self._training_bar:  # the first one, or another stage's
            self._training_bar, self._last = self._bar, -1
        step = self._bars.get(self._training_bar)
        if step is None:
            return row
        self._barred.notes = ("says no steps: they are those of the progress bar above each row.",)
        self._misled |= trains and step <= self._last
        self._last = step if trains else self._last
        return row | {"step": step}


def lines_of(data: bytes) -> list[str]:
    """Return lines, those that overwrite each other too, without colours."""
    return re.split(r"[\r\n]", _COLOUR.sub("", data.decode("utf-8", "replace")))


def cells(text: str) -> dict[str, Any]:
    """Return the numbers of a printed dict by name, as text."""
    return {cell["name"]: cell["text"] or cell["bare"] for cell in _CELL.finditer(text)}


def items(line: str) -> dict[str, Any]:
    """Return the numbers of a line by the names before them, as text."""
    return {item["name"]: item["bare"] for item in _ITEM.finditer(_RAY.sub("", line))}


def is_row(row: dict[str, Any]) -> bool:
    """Return whether some of the names are of what a training logs."""
    names = map(canonical, row)
    return any(is_usual(name) or evaluation_set(name) for name in names)


def _begin(line: bytes, whole: bool, file: str) -> PrintedRows | None:
    if not _TELLS.search(line):
        return None
    return PrintedRows() if any(map(PrintedRows().rows, lines_of(line))) else None


ROWS["printed"] = _begin
