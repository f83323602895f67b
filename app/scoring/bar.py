"""A row that says how far the scoring of a data set is, and lets it be stopped.

Knows counts and rates; knows nothing of files or engines.
"""

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from app.widgets.layouts import fill
from core.engine.protocol import DataStep

STEPS = 1000


class ScoringBar(QWidget):
    """Hidden but while something is scored."""

    stop_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = QLabel()
        self.share = QProgressBar()
        self.share.setRange(0, STEPS)
        self.share.setTextVisible(False)
        self.share.setAccessibleName("How much of the data set is scored")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip(
            "Stop scoring: what is scored is kept, and the same goes on from there"
        )
        self._name = ""
        fill(
            QHBoxLayout(self), self.words, (self.share, 1), self.stop, margins=(12, 6, 12, 6),
            spacing=10,
        )  # fmt: skip
        self.stop.clicked.connect(self.stop_wanted)
        self.hide()

    def begin(self, name: str) -> None:
        """Say that a file is being read, of which nothing is scored yet."""
        self._name = name
        self.words.setText(f"Scoring {name}: reading the file …")
        self.share.setRange(0, 0)
        self.show()

    @Slot(object)
    def tell(self, step: DataStep) -> None:
        """Say how far it is."""
        said = [f"{step.done:,} of {step.rows:,} rows"]
        if step.skipped:
            said.append(f"{step.skipped:,} skipped")
        if step.rate:
            said.append(f"{step.rate:.3g} rows/s")
        if step.left is not None:
            said.append(f"{time_left(step.left)} left")
        self.words.setText(f"Scoring {self._name}: {', '.join(said)}")
        self.share.setRange(0, STEPS)
        self.share.setValue(round(STEPS * step.fraction))

    def end(self) -> None:
        """Say nothing more."""
        self.hide()


def time_left(seconds: float) -> str:
    """Return a time in words: "40 s", "3 min", "2 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
