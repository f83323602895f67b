"""Taking the charts away: a picture with their note, or all their numbers, into a file or the
clipboard.

Knows a widget to draw and where numbers come from; knows nothing of runs.
"""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication, QPixmap
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from app.files import write_text
from core.errors import UserFacingError

ChooseNew = Callable[[str, str, str], str]
"""Ask where to save: a title, a name, filters; "" for nowhere."""
SCALE = 2.0
"""Pixels of a PNG for each of the screen's."""


class ExportButton(QToolButton):
    """A menu of what can be taken away."""

    problem = Signal(str)

    def __init__(
        self,
        charts: QWidget,
        all_numbers: Callable[[], str],
        step_numbers: Callable[[], str],
        choose_new_file: ChooseNew,
    ) -> None:
        """``charts``: what a picture shows; ``all_numbers`` returns all logged values as CSV,
        ``step_numbers`` those at the step that is looked at."""
        super().__init__()
        self._charts, self._choose = charts, choose_new_file
        self._all_numbers, self._step_numbers = all_numbers, step_numbers
        self.setText("Export ")
        self.setToolTip("Save or copy the charts and their numbers")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for text, run, tip in (
            ("Save the charts as &PNG…", self.save_picture, "At twice the screen's resolution"),
            ("Save the &numbers as CSV…", self.save_numbers, "All logged values of what is shown"),
            ("&Copy the picture", self.copy_picture, "The charts, as they are"),
            ("Copy the n&umbers at this step", self.copy_numbers, "The table on the left"),
        ):
            menu.addAction(text, run).setToolTip(tip)
        menu.insertSeparator(menu.actions()[2])
        self.setMenu(menu)

    def save_picture(self) -> None:
        """Ask for a file and draw the charts into it."""
        # Drawn first: what is shown may change while one chooses.
        made = self._picture()
        path = self._choose("Save the charts", "training.png", "PNG (*.png)")
        if path and not made.save(path, "PNG"):
            self.problem.emit(f"{path} cannot be written: choose another file.")

    def save_numbers(self) -> None:
        """Ask for a file and write all logged values into it."""
        if path := self._choose("Save the numbers", "training.csv", "CSV (*.csv)"):
            try:
                write_text(Path(path), self._all_numbers())
            except UserFacingError as error:
                self.problem.emit(str(error))

    def copy_picture(self) -> None:
        """Put a picture of the charts on the clipboard."""
        QGuiApplication.clipboard().setPixmap(self._picture())

    def copy_numbers(self) -> None:
        """Put the numbers at the step that is looked at on the clipboard."""
        QGuiApplication.clipboard().setText(self._step_numbers())

    def _picture(self) -> QPixmap:
        """Draw all of the charts, what is scrolled out of sight too."""
        made = QPixmap(self._charts.size() * SCALE)
        made.setDevicePixelRatio(SCALE)
        made.fill(self._charts.palette().window().color())
        self._charts.render(made)
        return made
