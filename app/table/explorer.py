"""Opens a scored file, looks at it and writes rows of it, all on one thread beside the window.

The newest question takes the place of older ones: these are stopped, and their answers dropped.
Signals tell what was found. Knows core.dataset's table; knows nothing of widgets.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal, Slot

from app.later import Later
from core.errors import Cancelled, UserFacingError
from core.failures import reason
from core.progress import Report, Stop, calm

if TYPE_CHECKING:
    from core.dataset.look import Question
    from core.dataset.table import Rows, ScoredTable
    from core.preferences import Preference

log = logging.getLogger(__name__)
OPEN, LOOK, FIND, READ, EXPORT = "open", "look", "find", "read", "export"
WHAT = {
    OPEN: "The scored file cannot be opened",
    LOOK: "The rows cannot be filtered",
    FIND: "Known errors cannot be looked for",
    READ: "The pair cannot be read",
    EXPORT: "The rows cannot be written",
}


@dataclass(frozen=True, eq=False)
class ReadRow:
    """A whole row of the table; ``wanted``: it is to be shown in the credit view."""

    row: int
    pair: "Preference"
    cells: dict[str, Any]
    wanted: bool


class Explorer(QObject):
    """The scored file that is open, and what is asked of it."""

    opened = Signal(object)
    """A ScoredTable has taken the place of the one before."""
    looked = Signal(object)
    """A Look answers the newest question."""
    localised = Signal(object)
    """A Localised: how well known errors are found in the rows that were named."""
    read = Signal(object)
    """A ReadRow."""
    exported = Signal(object, int)
    """The path of a file that has been written, and its rows."""
    refused = Signal(str, str)
    """What was asked ("open", "look", "find", "read", "export"), and why it cannot be done, a
    sentence."""
    progress = Signal(str, object)
    """What takes long, and how far it is; "" once it is over."""
    _told = Signal(str, int, str, object)
    _answered = Signal(str, int, object, object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.table: ScoredTable | None = None
        self._later = Later("data")
        self._numbers = dict.fromkeys(WHAT, 0)
        """Of each kind, the newest question's number, and of the newest answer."""
        self._answers = dict(self._numbers)
        self._told.connect(self._tell)
        self._answered.connect(self._take)

    # --- asking -------------------------------------------------------------------------------

    def open(self, path: Path) -> None:
        """Have a file read; the one that is open stays until that is done."""

        def work(report: Report, cancelled: Stop) -> object:
            from core.dataset.table import open_scored

            return open_scored(path, report, cancelled)

        self._ask(OPEN, work)

    def look(self, question: "Question") -> None:
        """Ask which rows a question leaves; without a file, nothing."""
        if self.table is not None:
            from core.dataset.look import look

            self._stop(FIND)
            table = self.table
            self._ask(LOOK, lambda report, stop: (table, look(table, question, stop, report)))

    def localise(self, rows: "Rows") -> None:
        """Ask how well known errors are found in some rows."""
        if self.table is not None:
            from core.dataset.localised import localise

            self._ask(FIND, partial(localise, self.table, rows))

    def read_row(self, row: int, wanted: bool = False) -> None:
        """Have a whole row read; ``wanted``: to be shown in the credit view."""
        if self.table is not None:
            self._ask(READ, partial(_read, self.table, row, wanted))

    def export(self, rows: "Rows", path: Path, beta: float | None) -> None:
        """Have rows written into a file."""
        if self.table is not None:
            self._ask(EXPORT, partial(_export, self.table, rows, path, beta))

    @Slot()
    def cancel(self) -> None:
        """Open, look for and write nothing after all."""
        for kind in self._numbers:
            self._stop(kind)
        self.progress.emit("", None)

    def rests(self) -> bool:
        """Return whether all that was asked is answered."""
        return self._numbers == self._answers

    def close(self, seconds: float) -> None:
        """Stop what is under way and end the thread."""
        self.cancel()
        self._later.close(seconds)

    def _stop(self, kind: str) -> None:
        self._answers[kind] = self._numbers[kind] = self._numbers[kind] + 1

    def _ask(self, kind: str, work: Callable[[Report, Stop], object]) -> None:
        self._numbers[kind] += 1
        number = self._numbers[kind]
        self._later.put(kind, partial(self._do, kind, number, work))

    # --- on the thread ------------------------------------------------------------------------

    def _do(self, kind: str, number: int, work: Callable[[Report, Stop], object]) -> None:
        def cancelled() -> bool:
            return self._numbers[kind] != number

        def report(what: str, fraction: float | None) -> None:
            self._told.emit(kind, number, what, fraction)

        found: object = None
        problem: object = None
        try:
            if not cancelled():
                found = work(calm(report), cancelled)
        except Cancelled:
            return
        except UserFacingError as error:
            problem = str(error)
        except Exception as error:
            log.exception(WHAT[kind])
            problem = f"{WHAT[kind]} ({reason(error)}): the details are in the log."
        self._answered.emit(kind, number, found, problem)

    # --- answers ------------------------------------------------------------------------------

    @Slot(str, int, str, object)
    def _tell(self, kind: str, number: int, what: str, fraction: float | None) -> None:
        if self._numbers[kind] == number:
            self.progress.emit(what, fraction)

    @Slot(str, int, object, object)
    def _take(self, kind: str, number: int, found: Any, problem: str | None) -> None:
        if self._numbers[kind] != number:
            return  # overtaken, or cancelled
        self._answers[kind] = number
        self.progress.emit("", None)
        if problem is not None:
            self.refused.emit(kind, problem)
        elif kind == OPEN:
            self.table = found
            for other in (LOOK, FIND, READ):  # what is asked of the file before is not of this one
                self._stop(other)
            self.opened.emit(found)
        elif kind == LOOK:
            table, answer = found
            if table is self.table:
                self.looked.emit(answer)
        elif kind == FIND:
            if found is not None:
                self.localised.emit(found)
        elif kind == READ:
            self.read.emit(found)
        else:
            self.exported.emit(*found)


def _read(table: "ScoredTable", row: int, wanted: bool, report: Report, cancelled: Stop) -> ReadRow:
    pair, cells = table.pair(row)
    return ReadRow(row, pair, cells, wanted)


def _export(
    table: "ScoredTable",
    rows: "Rows",
    path: Path,
    beta: float | None,
    report: Report,
    cancelled: Stop,
) -> tuple[Path, int]:
    from core.dataset.export import export

    export(table, rows, path, beta, report, cancelled)
    return path, len(rows)
