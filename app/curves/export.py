"""Taking the charts away: a picture with their note, or all their numbers, into a file or the
clipboard.

Knows the training view and files; knows nothing of formats of logs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QAction, QGuiApplication, QPixmap
from PySide6.QtWidgets import QWidget

from app.curves.charts import BY_KEY, as_csv
from app.files import write_text
from core.errors import UserFacingError

if TYPE_CHECKING:
    from app.curves.view import TrainingView

ChooseNew = Callable[[str, str, str], str]
"""Ask where to save: a title, a name, filters; "" for nowhere."""
SCALE = 2.0
"""Pixels of a PNG for each of the screen's."""


def picture(widget: QWidget) -> QPixmap:
    """All of a widget, what is scrolled out of sight too."""
    made = QPixmap(widget.size() * SCALE)
    made.setDevicePixelRatio(SCALE)
    made.fill(widget.palette().window().color())
    widget.render(made)
    return made


class Export(QObject):
    """Does what the view's export menu says."""

    def __init__(self, view: "TrainingView", choose_new_file: ChooseNew) -> None:
        super().__init__(view)
        self._view = view
        self._choose = choose_new_file

    @Slot(QAction)
    def chosen(self, action: QAction) -> None:
        """``action``: its data is one of the names of app.curves.arrangement.EXPORTS."""
        clipboard = QGuiApplication.clipboard()
        match str(action.data()):
            case "copy picture":
                clipboard.setPixmap(picture(self._view.grid.rows))
            case "copy numbers":
                clipboard.setText(self._view.readout.as_text())
            case "csv":
                if path := self._choose("Save the numbers", "training.csv", "CSV (*.csv)"):
                    self._save_numbers(Path(path))
            case "png":
                # Drawn first: what is shown may change while one chooses.
                made = picture(self._view.grid.rows)
                path = self._choose("Save the charts", "training.png", "PNG (*.png)")
                if path and not made.save(path, "PNG"):
                    self._view.problem.emit(f"{path} cannot be written: choose another file.")

    def csv(self) -> str:
        """All logged values of the curves that are shown."""
        runs = [(run.log, run.known_beta()) for run in self._view.session.visible()]
        return as_csv(runs, [BY_KEY[key] for key in self._view.lines])

    def _save_numbers(self, path: Path) -> None:
        try:
            write_text(path, self.csv())
        except UserFacingError as error:
            self._view.problem.emit(str(error))
