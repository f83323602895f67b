"""A row for a training run: where it is, and Stop, Resume and Show output.

Asks the run's files and its process now and then (core.training.process); a run outlives the row.
Knows nothing of curves.
"""

import os
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.theme import fixed_font
from app.widgets.icons import IconButton
from app.words import in_window
from core.errors import UserFacingError
from core.files import open_file
from core.training import process
from core.training.job import LOG, OUTPUT
from core.training.process import RunState

LOOK_MS = 500
TAIL = 200_000


class RunRow(QFrame):
    """One run, followed from its start or found again."""

    readable = Signal(object)
    """The run's path: it has a log to draw from now on."""
    closed = Signal(object)
    """The run's path: the row is no longer wanted. The run itself continues."""
    problem = Signal(str)
    ended = Signal(object)
    """The run's path: nothing is being trained there any more."""

    def __init__(self, run: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self.run = run
        self.state = RunState(run, "starting")
        self._readable = False
        self.name = QLabel(run.name)
        self.name.setObjectName("heading")
        self.name.setToolTip(str(run))
        self.name.setTextFormat(Qt.TextFormat.PlainText)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedSize(160, 8)
        self.bar.setAccessibleName("Progress of the training run")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Save a checkpoint after this step and end; it can be resumed")
        self.resume = QPushButton("Resume")
        self.resume.setToolTip("Continue from the last checkpoint")
        self.output = QPushButton("Show output")
        self.output.setToolTip("What the training process prints")
        self.close_button = IconButton("close", "Close this row")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 5, 6, 5)
        row.addWidget(self.name)
        row.addWidget(self.words, 1)
        for widget in (self.bar, self.stop, self.resume, self.output, self.close_button):
            row.addWidget(widget)
        self._look = QTimer(self)
        self._look.setInterval(LOOK_MS)
        self._look.timeout.connect(self.look)
        self.stop.clicked.connect(self._stop)
        self.resume.clicked.connect(self._resume)
        self.output.clicked.connect(self.show_output)
        self.close_button.clicked.connect(self._close)
        self._look.start()

    @Slot()
    def look(self) -> None:
        """Show where the run is now, and say when it has a log."""
        try:
            self.state = state = process.state_of(self.run)
        except UserFacingError as error:
            self.state = state = RunState(self.run, "failed", message=str(error))
        if not state.running:
            self._look.stop()
            self.ended.emit(self.run)
        sentence = in_window(state.sentence())
        self.words.setText(sentence)
        self.words.setAccessibleName(f"{self.run.name}: {sentence}")
        self.setProperty("kind", "error" if state.phase == "failed" else "")
        self.style().unpolish(self)
        self.style().polish(self)
        self.bar.setVisible(state.running)
        self.bar.setRange(0, state.of)
        self.bar.setValue(state.step)
        self.stop.setVisible(state.running)
        self.stop.setEnabled(state.phase != "stopping")
        self.resume.setVisible(state.resumable)
        self.close_button.setVisible(not state.running)
        if not self._readable and (self.run / LOG).is_file():
            self._readable = True
            self.readable.emit(self.run)

    @Slot()
    def _stop(self) -> None:
        self._do(process.stop)

    @Slot()
    def _resume(self) -> None:
        self._do(process.resume)
        self._look.start()

    def _do(self, act: Callable[[Path], None]) -> None:
        try:
            act(self.run)
        except UserFacingError as error:
            self.problem.emit(str(error))
        self.look()

    @Slot()
    def show_output(self) -> None:
        """Open a window on what the run prints."""
        dialog = OutputDialog(self.run, self)
        dialog.finished.connect(dialog.deleteLater)
        dialog.show()

    def pause(self) -> None:
        """Stop looking."""
        self._look.stop()

    @Slot()
    def _close(self) -> None:
        self.pause()
        self.closed.emit(self.run)


class OutputDialog(QDialog):
    """Shows the end of what a run's process has printed, while it prints."""

    def __init__(self, run: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Output of {run.name}")
        self.resize(860, 460)
        self._path = run / OUTPUT
        self._shown = ""
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setFont(fixed_font(10))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setAccessibleName("Output of the training process")
        where = QLabel(str(self._path))
        where.setObjectName("muted")
        where.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.addWidget(self.text, 1)
        column.addWidget(where)
        self._look = QTimer(self)
        self._look.setInterval(2 * LOOK_MS)
        self._look.timeout.connect(self.look)
        self._look.start()
        self.finished.connect(self._look.stop)
        self.look()

    @Slot()
    def look(self) -> None:
        """Show what was printed since; the view stays where it was unless it was at the end."""
        try:
            with open_file(self._path) as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
                text = file.read(TAIL).decode("utf-8", "replace")
        except OSError:
            text = "(Nothing has been printed.)"
        if text == self._shown:
            return
        bar = self.text.verticalScrollBar()
        at, end = bar.value(), bar.value() == bar.maximum()
        self._shown = text
        self.text.setPlainText(text)
        if end:
            self.text.moveCursor(QTextCursor.MoveOperation.End)
        else:
            bar.setValue(at)
