"""The fields of the dialog that starts a run: rates, paths, refusals, and the look at the pairs.

Knows preference files by core.preferences; knows nothing of jobs.
"""

import queue
import threading
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QResizeEvent, QValidator
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from core.errors import UserFacingError
from core.preferences import PreferencesInfo, as_text, inspect_preferences

REST_MS = 250
POLL_MS = 40
LONGEST = 400
"""Characters of a sample that are worth laying out."""


class RateBox(QDoubleSpinBox):
    """A learning rate, written as 5e-05 or as 0.00005."""

    def __init__(self, name: str, value: float) -> None:
        super().__init__()
        self.setDecimals(12)
        self.setRange(1e-12, 1000.0)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.setValue(value)
        self.setAccessibleName(name)

    def textFromValue(self, value: float) -> str:
        return f"{value:g}"

    def valueFromText(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return self.value()

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        try:
            good = self.minimum() <= float(text) <= self.maximum()
        except ValueError:
            good = False
        typed = all(letter in "0123456789.eE+-" for letter in text)
        state = QValidator.State
        return (state.Acceptable if good else state.Intermediate if typed else state.Invalid,
                text, position)  # fmt: skip


def count_box(name: str, low: int, high: int, value: int, tip: str = "") -> QSpinBox:
    """A field for a whole number."""
    box = QSpinBox()
    box.setRange(low, high)
    box.setValue(value)
    box.setAccessibleName(name)
    box.setToolTip(tip)
    return box


class PathEdit(QWidget):
    """A path, with a button for each way to choose it."""

    def __init__(self, name: str, hint: str, ways: dict[str, Callable[[], str]]) -> None:
        super().__init__()
        self.edit = QLineEdit()
        self.edit.setAccessibleName(name)
        self.edit.setPlaceholderText(hint)
        self.edit.setClearButtonEnabled(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit, 1)
        self._ways = ways
        self.buttons = {text: QPushButton(text) for text in ways}
        for button in self.buttons.values():
            button.setAutoDefault(False)
            button.clicked.connect(self._choose)
            row.addWidget(button)
        self.setFocusProxy(self.edit)

    def path(self) -> str:
        return self.edit.text().strip()

    @Slot()
    def _choose(self) -> None:
        button = self.sender()
        if isinstance(button, QPushButton) and (path := self._ways[button.text()]()):
            self.edit.setText(path)


class Refusal(QLabel):
    """Why the field above it cannot be used; not there while it can."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("refusal")
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.hide()

    def say(self, sentence: str) -> None:
        self.setText(sentence)
        self.setVisible(bool(sentence))


class PairsCheck(QObject):
    """Looks at a preference file on a thread of its own; a newer path replaces an older one.

    The thread hands its answer over in a queue, which a timer asks while one is awaited.
    """

    checked = Signal(object)
    """PreferencesInfo, or the sentence that says why the file cannot be used."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._path = ""
        self._number = 0
        self._answers: queue.SimpleQueue[tuple[int, PreferencesInfo | str]] = queue.SimpleQueue()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._begin)
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self._ask)

    def busy(self) -> bool:
        return self._rest.isActive() or self._poll.isActive()

    def look_at(self, path: str) -> None:
        """Look at a path when no other has been asked for in a moment."""
        self._path = path
        self._rest.start()

    def close(self) -> None:
        """Forget what was asked."""
        self._number += 1
        self._rest.stop()
        self._poll.stop()

    @Slot()
    def _begin(self) -> None:
        self._number += 1
        path, number, answers = Path(self._path).expanduser(), self._number, self._answers

        def look() -> None:
            try:
                answers.put((number, inspect_preferences(path)))
            except UserFacingError as error:
                answers.put((number, str(error)))
            except Exception as error:  # a library's: it must not leave the dialog waiting
                answers.put((number, f"{path} cannot be read ({error}): choose another file."))

        threading.Thread(target=look, name="preferences", daemon=True).start()
        self._poll.start()

    @Slot()
    def _ask(self) -> None:
        while not self._answers.empty():
            number, answer = self._answers.get()
            if number == self._number:
                self._poll.stop()
                self.checked.emit(answer)


class Line(QLabel):
    """One line of text that gives way: what finds no room becomes an ellipsis."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._text = ""

    def set_text(self, text: str) -> None:
        self._text = text
        self._elide()

    def text_of(self) -> str:
        """All of the text."""
        return self._text

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        right = Qt.TextElideMode.ElideRight
        self.setText(self.fontMetrics().elidedText(self._text, right, max(self.width(), 40)))


class PairsShown(QWidget):
    """What a preference file holds: a line, and its first pair."""

    def __init__(self) -> None:
        super().__init__()
        self.line = QLabel()
        self.line.setObjectName("muted")
        self.line.setWordWrap(True)
        self.line.setTextFormat(Qt.TextFormat.PlainText)
        self.sample = {name: Line() for name in ("prompt", "chosen", "rejected")}
        self._labels = {name: QLabel(name) for name in self.sample}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.line)
        for name, shown in self.sample.items():
            shown.setAccessibleName(f"Sample, {name}")
            row = QHBoxLayout()
            label = self._labels[name]
            label.setObjectName("muted")
            label.setFixedWidth(64)
            row.addWidget(label)
            row.addWidget(shown, 1)
            column.addLayout(row)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.show_nothing("")

    def show_nothing(self, words: str) -> None:
        self.line.setText(words)
        self.line.setVisible(bool(words))
        self._show_sample({})

    def show_info(self, info: PreferencesInfo) -> None:
        kind = "conversations" if info.conversational else "plain text"
        words = f"✓ {info.pairs:,} pairs, {kind} ({info.format})"
        if info.checked < info.pairs:
            words += f"; the first {info.checked:,} were checked"
        if info.equal:
            words += f"; in {info.equal:,} of them chosen and rejected are the same"
        self.line.setText(words)
        self.line.show()
        pair = info.sample
        self._show_sample(
            {name: as_text(getattr(pair, name)) for name in ("prompt", "chosen", "rejected")}
        )

    def _show_sample(self, texts: dict[str, str]) -> None:
        for name, shown in self.sample.items():
            text = texts.get(name, "")
            shown.set_text(" ".join(text[:LONGEST].split()))
            shown.setToolTip(text[:2000])
            shown.setVisible(bool(texts))
            self._labels[name].setVisible(bool(texts))
