"""Gaps of the GUI thread while the engine thread imports, loads, scores and decodes.

The real window on the demo pair, with a precise 8 ms timer on its thread; a gap is the time
between two ticks, so it holds whatever the window itself did in between: keys, layout, painting.
"Settling" is from the models' arrival to the first colours and the chart. "Scoring" types into
the middle of a long response, "decoding" a word at a time at its end; each key follows as soon
as the colours of the one before are there.
"""

import os
import statistics
import time
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Slot
from PySide6.QtGui import QKeyEvent, QTextCursor
from PySide6.QtWidgets import QApplication

from app.credit.examples import Example
from app.main_window import MainWindow
from app.settings import Settings
from app.start import make_application
from core.engine.protocol import PairSpec
from core.text import Prompt

SECONDS = 10.0
"""Length of the scoring and of the decoding phase, each."""
LIBRARIES = "Starting the engine", "Loading the model library"
PHASES = "opening", "importing", "loading", "settling", "scoring", "decoding"
SENTENCE = "The firm offered her a job as an analyst in Leeds with a salary of $53K from May. "
EXAMPLE = Example(
    "A long response",
    Prompt.of("Summarise this post in one sentence.\n\n" + SENTENCE * 4),
    SENTENCE * 8,
    SENTENCE,
)
WORDS = "she has not yet said whether the commute or the money would decide it for her".split()


class Watch(QObject):
    """Lives on the GUI thread: ticks, and types once the window has drawn the last colours."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__()
        self.window = window
        self.gaps: dict[str, list[float]] = {name: [] for name in PHASES}
        self.answers = dict.fromkeys(PHASES, 0)
        self.phase = "opening"
        self.until = 0.0
        self.failure = ""
        self.last = time.perf_counter()
        self.timer = QTimer(self)
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(8)
        self.timer.timeout.connect(self.tick)
        window.pair.changed.connect(self.pair_changed)
        window.client.failed.connect(self.failed)
        window.view.scored.connect(self.scored)
        self.timer.start()

    @Slot()
    def tick(self) -> None:
        now = time.perf_counter()
        self.gaps[self.phase].append(1000 * (now - self.last))
        self.last = now
        if self.phase in ("opening", "importing", "loading"):
            shown = self.window.banner.text.text().removesuffix(" …")
            self.phase = "importing" if shown in LIBRARIES else "loading"

    @Slot(object)
    def pair_changed(self, info: Any) -> None:
        if info is not None:
            self.phase = "settling"

    @Slot(object)
    def failed(self, event: Any) -> None:
        self.failure = event.message
        QApplication.quit()

    @Slot(str)
    def scored(self, side: str) -> None:
        """Press the next key, once the view has drawn the colours."""
        if side == "A":
            self.answers[self.phase] += 1
            QTimer.singleShot(0, self.next_key)

    @Slot()
    def next_key(self) -> None:
        if self.window.view.chart is None:  # its library is imported after the first colours
            QTimer.singleShot(100, self.next_key)
            return
        if time.perf_counter() > self.until:
            following = {"settling": "scoring", "scoring": "decoding"}.get(self.phase)
            if following is None:
                self.timer.stop()
                QApplication.quit()
                return
            self.phase = following
            self.until = time.perf_counter() + SECONDS
        editor = self.window.view.panels["A"].editor
        cursor = editor.textCursor()
        number = self.answers[self.phase]
        if self.phase == "scoring":
            cursor.setPosition(len(editor.toPlainText()) // 2)
        else:
            cursor.movePosition(QTextCursor.MoveOperation.End)
        editor.setTextCursor(cursor)
        if self.phase == "scoring":
            self.type(chr(ord("a") + number % 26))
        else:
            self.type(WORDS[number % len(WORDS)] + " ")

    def type(self, text: str) -> None:
        editor = self.window.view.panels["A"].editor
        for character in text:
            for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
                event = QKeyEvent(kind, 0, Qt.KeyboardModifier.NoModifier, character)
                QApplication.sendEvent(editor, event)


def summary(gaps: list[float]) -> dict[str, float]:
    ordered = sorted(gaps)
    return {
        "median": statistics.median(ordered),
        "p99": ordered[int(0.99 * (len(ordered) - 1))],
        "longest": ordered[-1],
        "count": len(ordered),
    }


def measure() -> dict[str, Any]:
    """Milliseconds between two ticks of an 8 ms timer, by phase."""
    application = make_application()  # it collects garbage, as the program does
    window = MainWindow(PairSpec(demo=True), Settings(), theme_name="light", examples=(EXAMPLE,))
    window.show()
    watch = Watch(window)
    application.exec()
    window.close()
    if watch.failure:
        raise RuntimeError(watch.failure)
    return {
        "milliseconds": {name: summary(gaps) for name, gaps in watch.gaps.items() if gaps},
        "answers": watch.answers,
        "asked": {"longest while scoring and decoding": 30, "longest while importing": 200},
    }
