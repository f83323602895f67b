"""Dialog that scores a data set: the file, which column is which, where the numbers go.

Looks at the file's first rows on a thread of its own and shows what each column is taken for. Gives
a ``Wanted``; nothing typed is lost by cancelling. Knows files of rows; knows nothing of models.
"""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from app.ask import AskPath
from app.later import Later
from app.scoring.wanted import Wanted
from app.widgets.boxes import ComboBox, SpinBox
from app.widgets.layouts import fill, label, resize_on_screen, scrolled
from app.widgets.path_edit import PathEdit
from app.words import in_window
from core.dataset.rows import ROLES, Layout, NotGuessed, check_columns, look
from core.errors import UserFacingError
from core.failures import reason

log = logging.getLogger(__name__)
FILES = "Pairs or responses (*.jsonl *.ndjson *.json *.parquet *.arrow *.csv *.tsv *.gz);;All (*)"
SCORED = "Scored data (*.parquet)"
ENDING = ".scored.parquet"
REST_MS = 250
"""After the last key, before the file is looked at."""
CLOSE_SECONDS = 2.0
MOST = 1_000_000_000
CHOOSE = "Choose a file of pairs or responses: JSON Lines, JSON, CSV, Parquet or a datasets folder."
NOWHERE = "Choose a file to write, other than the one that is read."


class Looker(QObject):
    """Looks at the first rows of a file on a thread; only the newest question is answered."""

    looked = Signal(object, object)
    """A Layout, or a sentence on why there is none; and the columns that there are."""
    _answered = Signal(int, object, object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._later, self._number = Later("look at rows"), 0
        self._answered.connect(self._take)

    def look(self, path: Path, named: Mapping[str, str]) -> None:
        """Ask for a file's layout, with the columns that the user has named."""
        self._number += 1
        self._later.put("look", partial(self._do, self._number, path, dict(named)))

    def close(self) -> None:
        """Answer nothing more, and end the thread."""
        self._number += 1
        self._later.close(CLOSE_SECONDS)

    def _do(self, number: int, path: Path, named: Mapping[str, str]) -> None:
        found: Layout | str
        columns: tuple[str, ...] = ()
        try:
            check_columns(named)
        except ValueError as error:
            refused = f"These columns cannot be named together ({error}): choose others."
            self._answered.emit(number, refused, columns)
            return
        try:
            found = look(path, named)
            columns = found.columns
        except UserFacingError as error:
            found = in_window(str(error))
            columns = error.columns if isinstance(error, NotGuessed) else ()
        except Exception as error:
            log.exception("a file of rows cannot be looked at")
            found = f"{path} cannot be read ({reason(error)}): the details are in the log."
        self._answered.emit(number, found, columns)

    @Slot(int, object, object)
    def _take(self, number: int, found: object, columns: object) -> None:
        if number == self._number:
            self.looked.emit(found, columns)


class ScoreDialog(QDialog):
    """Choose what is to be scored."""

    def __init__(self, ask: AskPath, before: Wanted, parent: QWidget | None = None) -> None:
        """``before``: what was chosen the last time."""
        super().__init__(parent)
        self.data = PathEdit(
            "Data",
            "JSON Lines, JSON, CSV, Parquet, or a datasets folder",
            {
                "File…": lambda: ask.file("Data set to score", FILES),
                "Folder…": lambda: ask.folder("Folder that datasets saved"),
            },
        )
        self.found: QLabel = label("", "muted")
        self.found.setWordWrap(True)
        self.columns = {role: ComboBox() for role in ROLES}
        self.out = PathEdit(
            "Write to",
            "scored.parquet",
            {"Choose…": lambda: ask.new_file("Write scored data", "scored.parquet", SCORED)},
        )
        self.limit = SpinBox()
        self.anew = QCheckBox("Begin anew")
        self.refusal: QLabel = label("", "refusal")
        self.refusal.setWordWrap(True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.score = self.buttons.addButton("Score", QDialogButtonBox.ButtonRole.AcceptRole)
        self._layout: Layout | str = ""
        """Of the file, or why there is none; "" while that is not known."""
        self._looker = Looker(self)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._lay_out()
        self._show(before)
        self._looker.looked.connect(self._take)
        self._rest.timeout.connect(self._look)
        self.data.edit.textChanged.connect(self._data_changed)
        self.out.edit.textChanged.connect(self._refresh)
        for box in self.columns.values():
            box.activated.connect(self._named)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._data_changed()

    def _lay_out(self) -> None:
        self.setWindowTitle("Score a data set")
        resize_on_screen(self, 680, 400)
        self.limit.setRange(0, MOST)
        self.limit.setSpecialValueText("All rows")
        self.limit.setSuffix(" rows")
        self.limit.setAccessibleName("Only the first rows")
        self.limit.setToolTip("How many rows are scored, from the first on")
        self.anew.setToolTip(
            "Replace what another run has left in that file. Without it a run that was stopped "
            "goes on where it was"
        )
        grid = QGridLayout()
        for place, (role, box) in enumerate(self.columns.items()):
            box.setAccessibleName(f"Column of {role}")
            box.setToolTip(f"Which column holds the {role}; at first the one that was guessed")
            name = QLabel(role.capitalize())
            name.setBuddy(box)
            grid.addWidget(name, place // 2, 2 * (place % 2))
            grid.addWidget(box, place // 2, 2 * (place % 2) + 1)
        for column in (1, 3):
            grid.setColumnStretch(column, 1)
        inside = QWidget()
        form = QFormLayout(inside)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("&Data", self.data)
        form.addRow("", self.found)
        form.addRow("Columns", grid)
        form.addRow("&Write to", self.out)
        form.addRow("&Only the first", self.limit)
        form.addRow("", self.anew)
        self.score.setDefault(True)
        fill(QVBoxLayout(self), (scrolled(inside), 1), self.refusal, self.buttons)

    def _show(self, before: Wanted) -> None:
        self.data.show_path(before.data)
        self.out.show_path(before.out)
        self.limit.setValue(before.limit or 0)
        for role, name in (before.columns or {}).items():
            if role in self.columns:
                self.columns[role].addItem(name, name)
                self.columns[role].setCurrentIndex(self.columns[role].count() - 1)

    # --- what is chosen -----------------------------------------------------------------------

    def wanted(self) -> Wanted:
        """Return what is chosen."""
        named, limit = self._names(), self.limit.value() or None
        data, out = self.data.path(), self.out.path()
        return Wanted(_whole(data), _whole(out), named, limit, self.anew.isChecked())

    def typed(self) -> Wanted:
        """Return what is in the fields, to be shown again another time."""
        out = self.out.path() if self.out.chosen else ""
        return Wanted(self.data.path(), out, self._names(), self.limit.value() or None)

    def is_looking(self) -> bool:
        """Return whether the file is still to be looked at."""
        return self._rest.isActive() or (bool(self.data.path()) and self._layout == "")

    def _names(self) -> dict[str, str]:
        return {role: box.currentData() for role, box in self.columns.items() if box.currentData()}

    def done(self, result: int) -> None:
        self._rest.stop()
        self._looker.close()
        super().done(result)

    # --- what is known of it ------------------------------------------------------------------

    @Slot()
    def _data_changed(self) -> None:
        self._layout = ""
        if path := self.data.path():
            name = Path(path).expanduser()
            stem = name.name.partition(".")[0] or "rows"
            self.out.suggest(str(name.parent / f"{stem}{ENDING}"))
            self._rest.start()
        self._refresh()

    @Slot()
    def _named(self) -> None:
        self._layout = ""
        self._look()
        self._refresh()

    @Slot()
    def _look(self) -> None:
        if path := self.data.path():
            self._looker.look(Path(path).expanduser(), self._names())

    @Slot(object, object)
    def _take(self, found: Layout | str, columns: tuple[str, ...]) -> None:
        self._layout = found
        guessed = found.roles if isinstance(found, Layout) else {}
        for role, box in self.columns.items():
            if columns:
                _fill(box, columns, " + ".join(guessed.get(role, ())))
        self._refresh()

    @Slot()
    def _refresh(self) -> None:
        """Say what the file is taken for, or what is missing."""
        found, data, out = self._layout, self.data.path(), self.out.path()
        said, refused = "", ""
        if not data:
            said = CHOOSE
        elif isinstance(found, Layout):
            what = "single responses" if found.single else "pairs"
            note = f" {found.note[0].upper()}{found.note[1:]}." if found.note else ""
            said = f"{found.format}, {what}; {found.sentence}.{note}"
            if not out or _whole(out) == _whole(data):
                refused = NOWHERE
        elif found:
            refused = found
        else:
            said = "Looking at the file …"
        self.found.setText(said)
        self.refusal.setText(refused)
        self.refusal.setVisible(bool(refused))
        self.score.setEnabled(isinstance(found, Layout) and not refused)


def _whole(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path else ""


def _fill(box: ComboBox, columns: tuple[str, ...], guessed: str) -> None:
    """Show the columns that may be a role's; the first entry leaves it to the guess."""
    named = box.currentData() or ""
    box.clear()
    first = "as found" if named else f"as found: {guessed}" if guessed else "none found"
    box.addItem(first, "")
    for name in columns:
        box.addItem(name, name)
    box.setCurrentIndex(max(box.findData(named), 0))
