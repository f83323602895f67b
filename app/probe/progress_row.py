"""A row that says how far something is, with a button that cancels it; hidden while nothing is."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget

from app.widgets.layouts import fill


class ProgressRow(QWidget):
    """Progress and Cancel."""

    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop, and keep what has come (Esc)")
        self.cancel.clicked.connect(self.cancelled)
        fill(QHBoxLayout(self), (self.bar, 1), self.cancel, margins=(0, 0, 0, 0))
        self.hide()

    def show_progress(self, done: int, count: int, what: str) -> None:
        """Show that ``done`` of ``count`` are done; ``count`` 0: it is not known yet."""
        self.bar.setMaximum(count)
        self.bar.setValue(done)
        self.bar.setFormat(f"{what}: {done} of {count}" if count else what)
        self.bar.setTextVisible(True)
        self.show()
