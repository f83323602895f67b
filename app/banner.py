"""Shows over the foot of the view what state the pair is in: nothing loaded, loading, failed.

Hidden while a pair is loaded. Knows words and fractions; knows nothing of the engine.
"""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from app import theme
from app.widgets.layouts import fill


class PairBanner(QFrame):
    """A strip that says what is going on and what can be done about it."""

    open_demo = Signal()
    open_pair = Signal()
    cancel = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setFixedWidth(220)
        self.bar.setAccessibleName("Progress of loading")
        self.demo_button = QPushButton("Open the demo pair")
        self.demo_button.setToolTip("A small real DPO pair; its base is fetched on first use")
        self.pair_button = QPushButton("Open a pair…")
        self.pair_button.setToolTip("Choose your own policy and reference")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop loading; the texts stay")
        buttons = self.demo_button, self.pair_button, self.cancel_button
        fill(QHBoxLayout(self), (self.text, 1), self.bar, *buttons, margins=(12, 4, 10, 4))
        self.demo_button.clicked.connect(self.open_demo)
        self.pair_button.clicked.connect(self.open_pair)
        self.cancel_button.clicked.connect(self.cancel)

    def show_nothing(self, failed: bool = False) -> None:
        """Say that there is no pair, and offer to open one."""
        self.text.setText(
            "The pair could not be loaded; your texts are untouched."
            if failed
            else "Nothing loaded: open a DPO policy and its reference to see the credit."
        )
        self._buttons(loading=False)

    def show_loading(self, what: str, fraction: float | None) -> None:
        """Show that a pair is being loaded; ``fraction`` 0..1, or None while it cannot be known."""
        self.text.setText(f"{what} …")
        if fraction is None:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 100)
            self.bar.setValue(round(100 * fraction))
        self._buttons(loading=True)
        # A bar that knows no share moves all the time: not where nothing is to move.
        self.bar.setVisible(fraction is not None or theme.motion(1) > 0)

    def _buttons(self, loading: bool) -> None:
        self.bar.setVisible(loading)
        self.cancel_button.setVisible(loading)
        self.demo_button.setVisible(not loading)
        self.pair_button.setVisible(not loading)
        self.show()
