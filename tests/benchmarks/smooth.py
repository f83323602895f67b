"""Gaps of the GUI thread while the engine thread imports, loads, scores and decodes.

A precise 8 ms timer on the GUI thread notes when it is called; a gap is the time between two
calls. The engine is the real one, on the demo pair, and its events reach the GUI thread as the
window's do. "Scoring" is one edit after the other, "decoding" a response that grows by one token
at a time.
"""

import os
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal, Slot

from core.engine import Engine
from core.protocol import Event, Failed, Load, Loaded, PairSpec, Progress, Score, Scored
from core.text import Prompt

SECONDS = 12.0
"""Length of the scoring and of the decoding phase, each."""
LIBRARIES = "Starting the engine", "Loading the model library"
PROMPT = Prompt.of(
    "Summarise this post in one sentence.\n\nThey offered me the analyst job at $53K."
)
WORDS = "the firm offered her a job as an analyst in Leeds and a salary of".split()


@dataclass
class Gaps:
    """Gaps of one phase, in milliseconds."""

    values: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        ordered = sorted(self.values)
        return {
            "median": statistics.median(ordered),
            "p99": ordered[int(0.99 * (len(ordered) - 1))],
            "longest": ordered[-1],
            "count": len(ordered),
        }


class Watch(QObject):
    """Lives on the GUI thread: ticks, receives the engine's events and asks for the next thing."""

    arrived = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(self.arrived.emit)
        self.arrived.connect(self.receive, Qt.ConnectionType.QueuedConnection)
        self.phases = {name: Gaps() for name in ("importing", "loading", "scoring", "decoding")}
        self.phase = "importing"
        self.until = float("inf")
        self.asked = 0
        self.ids: tuple[int, ...] = ()
        self.answers = dict.fromkeys(self.phases, 0)
        self.failure = ""
        self.last = time.perf_counter()
        self.timer = QTimer(self)
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(8)
        self.timer.timeout.connect(self.tick)

    def begin(self) -> None:
        self.last = time.perf_counter()
        self.timer.start()
        self.engine.start()
        self.engine.submit(Load(1, PairSpec(demo=True)))

    @Slot()
    def tick(self) -> None:
        now = time.perf_counter()
        self.phases[self.phase].values.append(1000 * (now - self.last))
        self.last = now

    @Slot(object)
    def receive(self, event: Event) -> None:
        self.answers[self.phase] += 1
        match event:
            case Progress() if event.what not in LIBRARIES:
                self.phase = "loading"
            case Loaded():
                self.enter("scoring")
            case Scored():
                self.ids = event.scoring.tokens.ids
                if time.perf_counter() > self.until:
                    if self.phase == "decoding":
                        QCoreApplication.quit()
                        return
                    self.ids = ()
                    self.enter("decoding")
                else:
                    self.ask()
            case Failed():
                self.failure = event.message
                QCoreApplication.quit()

    def enter(self, phase: str) -> None:
        self.phase = phase
        self.until = time.perf_counter() + SECONDS
        self.ask()

    def ask(self) -> None:
        """Ask for the next score: another edit, or one more token."""
        self.asked += 1
        if self.phase == "scoring":
            words = WORDS * 8
            words[-(self.asked * 7 % len(words)) - 1] = str(self.asked)
            self.engine.submit(Score(self.asked + 1, "A", PROMPT, text=" ".join(words)))
        else:
            ids = (*self.ids, 260 + self.asked % 1000) if len(self.ids) < 512 else (260,)
            self.engine.submit(Score(self.asked + 1, "A", PROMPT, ids=ids))


def measure() -> dict[str, Any]:
    """Milliseconds between two ticks of an 8 ms timer, by phase."""
    application = QCoreApplication.instance() or QCoreApplication([])
    watch = Watch()
    watch.begin()
    application.exec()
    watch.timer.stop()
    watch.engine.close()
    if watch.failure:
        raise RuntimeError(watch.failure)
    return {
        "milliseconds": {name: gaps.summary() for name, gaps in watch.phases.items()},
        "answers": watch.answers,
        "asked": {"longest while scoring and decoding": 30, "longest while importing": 200},
    }
