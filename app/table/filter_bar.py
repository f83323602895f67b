"""The box in which rows are filtered, the ready questions beside it, and what a chart has chosen.

The box completes the names of columns and the values of those with few words. Knows what filters
look like; knows nothing of rows.
"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from PySide6.QtCore import QEvent, QObject, QStringListModel, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCompleter,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.widgets.layouts import as_tip, fill
from app.widgets.timers import single_shot
from core.dataset.filters import HELP, written
from core.dataset.look import Band, Ready
from core.present.numerals import real_minus

WIDEST = 190
"""Pixels of what is said of a stretch that was chosen in a chart."""
REST_MS = 250
"""How long typing rests before rows are filtered."""
WORD = re.compile(
    r'(?:(?P<name>"[^"]*"|[^\s"<>=!:]+)\s*(?:=|!=|:)\s*)?(?P<word>"[^"]*|[^\s"<>=!:-]*)$'
)
EXAMPLE = "Filter: margin < -2   category = code   sorry"


class FilterBox(QLineEdit):
    """A line that completes the word at the caret."""

    def __init__(self) -> None:
        super().__init__()
        self._names: tuple[str, ...] = ()
        self._values: Mapping[str, tuple[str, ...]] = {}
        self._words = QStringListModel(self)
        completer = QCompleter(self._words, self)
        completer.setWidget(self)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.activated.connect(self._complete)
        self._popup = cast(QAbstractItemView, completer.popup())
        self._completer = completer
        self.setClearButtonEnabled(True)
        self.setAcceptDrops(False)  # what is dropped is the window's
        self.setPlaceholderText(EXAMPLE)
        self.setAccessibleName("Filter")
        self.setToolTip(HELP)
        self.textEdited.connect(self._offer)

    def offer(self, names: Sequence[str], values: Mapping[str, tuple[str, ...]]) -> None:
        """Complete these names of columns, and these values of some."""
        self._names, self._values = tuple(names), values

    def completer_popup(self) -> QAbstractItemView:
        """Return the list of what the word may become."""
        return self._popup

    def keyPressEvent(self, event: QKeyEvent) -> None:
        popup = self._popup
        taking = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Tab)
        if popup.isVisible() and taking and popup.currentIndex().isValid():
            event.ignore()  # the list takes it
            return
        if taking:
            popup.hide()
        super().keyPressEvent(event)

    @Slot(str)
    def _offer(self, text: str) -> None:
        """Show what the word at the caret may become, once it has begun."""
        at = WORD.search(self.text()[: self.cursorPosition()])
        word = at["word"].lstrip('"') if at is not None else ""
        name = at["name"].strip('"') if at is not None and at["name"] else ""
        known = self._values.get(name, ()) if name else self._names
        fitting = [written(it) for it in known if it.casefold().startswith(word.casefold())]
        if not fitting or (not word and not name) or [word] == fitting:
            self._popup.hide()
            return
        self._words.setStringList(fitting)
        self._completer.setCompletionPrefix("")
        self._completer.complete()

    @Slot(str)
    def _complete(self, chosen: str) -> None:
        text, caret = self.text(), self.cursorPosition()
        at = WORD.search(text[:caret])
        start = at.start("word") if at is not None else caret
        self.setText(f"{text[:start]}{chosen} {text[caret:].lstrip()}")
        self.setCursorPosition(start + len(chosen) + 1)
        self.textEdited.emit(self.text())


class FilterBar(QWidget):
    """The filter, ready ones, what is brushed, and what is wrong with the filter."""

    changed = Signal()
    """Another filter is to be asked."""
    ready_chosen = Signal(object)
    """A ``Ready`` was chosen; its filter stands in the box."""
    bands_cleared = Signal()
    escaped = Signal()
    """Back to the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.box = FilterBox()
        self.problem = QLabel()
        self.problem.setObjectName("refusal")
        self.problem.setWordWrap(True)
        self.problem.hide()
        self.band = QToolButton()
        self.band.hide()
        self.ready: list[QPushButton] = []
        self._row = QHBoxLayout()
        self._before: tuple[Ready, ...] = ()
        fill(self._row, (self.box, 1), self.band, margins=(0, 0, 0, 0))
        fill(QVBoxLayout(self), self._row, self.problem, margins=(0, 0, 0, 0), spacing=4)
        self._rest = single_shot(self, self.changed, REST_MS)
        self.box.textChanged.connect(self._typed)
        self.box.returnPressed.connect(self._ask_now)
        self.box.installEventFilter(self)
        self.band.clicked.connect(self.bands_cleared)

    def add(self, widget: QWidget) -> None:
        """Put a widget at the end of the row."""
        self._row.addWidget(widget)

    def text(self) -> str:
        """Return the filter."""
        return self.box.text()

    def waits(self) -> bool:
        """Return whether what was typed has not been asked yet."""
        return self._rest.isActive()

    def set_text(self, text: str) -> None:
        """Put a filter into the box; nobody is asked."""
        self.box.setText(text)
        self._rest.stop()

    def offer(self, questions: Sequence[Ready]) -> None:
        """Show a button for each question that is ready."""
        if tuple(questions) == self._before:
            return
        self._before = tuple(questions)
        for button in self.ready:
            button.hide()
            button.deleteLater()
        self.ready = []
        for place, one in enumerate(questions):
            button = QPushButton(one.title)
            said = f"{one.tip}.", one.caveat, f"The filter: {one.filter}"
            button.setToolTip(as_tip("\n".join(filter(None, said))))
            button.clicked.connect(partial(self._choose, one))
            self._row.insertWidget(2 + place, button)
            self.ready.append(button)

    def caveat(self, text: str) -> str:
        """Return what cannot be concluded of the rows that a filter leaves; "" for nothing."""
        return next((it.caveat for it in self._before if it.filter == text.strip()), "")

    def show_problem(self, sentence: str) -> None:
        """Show why the filter cannot be used; "" for nothing."""
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))

    def show_bands(self, bands: Sequence[Band], titles: Mapping[str, str]) -> None:
        """Show what is chosen in a chart, to be let go by a click; ``titles``: of columns."""
        said = ", ".join(band_words(it, titles.get(it.name, it.name)) for it in bands)
        metrics = self.band.fontMetrics()
        self.band.setText(metrics.elidedText(said, Qt.TextElideMode.ElideRight, WIDEST) + "  ✕")
        self.band.setToolTip(f"{said}: chosen in a chart; a click lets all rows in again")
        self.band.setVisible(bool(bands))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Down)
        ):
            self.escaped.emit()
            return True
        return super().eventFilter(watched, event)

    def _choose(self, question: Ready, checked: bool = False) -> None:
        self.set_text(question.filter)
        self.ready_chosen.emit(question)

    @Slot()
    def _typed(self) -> None:
        self._rest.start()

    @Slot()
    def _ask_now(self) -> None:
        self._rest.stop()
        self.changed.emit()


def band_words(band: Band, name: str) -> str:
    """Return a stretch of a column of this name in a few words."""
    low, high = (real_minus(f"{end:.3g}") for end in (band.low, band.high))
    if math.isinf(band.low) and math.isinf(band.high):
        return name
    if math.isinf(band.low):
        return f"{name} ≤ {high}"
    return f"{name} ≥ {low}" if math.isinf(band.high) else f"{name} {low} to {high}"
