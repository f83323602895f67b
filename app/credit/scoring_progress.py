"""Says in a response's heading that scoring takes a while, how far it is, and lets it be cancelled.

Knows times and shares; knows nothing of texts, requests or engines.
"""

import time

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QWidget

from app.widgets.layouts import fill, label
from app.widgets.timers import single_shot

SHOWN_AFTER_MS = 500
"""Scoring that takes no longer says nothing: colours are the answer."""
TICK_MS = 1000


class ScoringProgress(QWidget):
    """A few words and a button; hidden unless scoring takes long or was cancelled."""

    cancel_wanted = Signal()
    again_wanted = Signal()
    """Score what was cancelled, after all."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words: QLabel = label("", "muted")
        self.button = QToolButton()
        self._fraction: float | None = None
        self._began = 0.0
        self._cancelled = False
        fill(QHBoxLayout(self), self.words, self.button, margins=(10, 0, 0, 0), spacing=6)
        self._delay = single_shot(self, self._appear, SHOWN_AFTER_MS)
        self._tick = QTimer(self)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._say)
        self.button.clicked.connect(self._pressed)
        self.hide()

    def begin(self) -> None:
        """Note that scoring begins; one that goes on already is overtaken and keeps its words."""
        self._fraction, self._cancelled = None, False
        if self._tick.isActive():
            self._say()
            return
        self.hide()
        self._began = time.perf_counter()
        self._delay.start()

    def tell(self, fraction: float | None) -> None:
        """Say how far it is, 0..1; None for not known."""
        self._fraction = fraction
        if self._tick.isActive():
            self._say()

    def end(self) -> None:
        """Note that nothing is being scored any more."""
        self._delay.stop()
        self._tick.stop()
        self.hide()

    def show_cancelled(self) -> None:
        """Say that scoring was cancelled, and offer to do it after all."""
        self.end()
        self._cancelled = True
        self.words.setText("not scored: cancelled")
        self.button.setText("Score")
        self.button.setToolTip("Score this text after all")
        self.show()

    @Slot()
    def _appear(self) -> None:
        self._tick.start()
        self.button.setText("Cancel")
        self.button.setToolTip("Stop scoring this text; it stays as it is")
        self._say()
        self.show()

    @Slot()
    def _say(self) -> None:
        parts = ["scoring …"]
        if self._fraction is not None:
            parts.append(f"{100 * self._fraction:.0f}%")
        if (seconds := time.perf_counter() - self._began) >= 2:
            parts.append(f"{seconds:.0f} s")
        self.words.setText(" ".join(parts))

    @Slot()
    def _pressed(self) -> None:
        (self.again_wanted if self._cancelled else self.cancel_wanted).emit()
