"""The box that searches the whole vocabulary; says what to look for once typing rests."""

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QLineEdit

SEARCH_MS = 120


class VocabularySearch(QLineEdit):
    """A query for tokens."""

    searched = Signal(str)
    """The user wants to see the vocabulary's tokens that match; "" for no search."""
    entered = Signal()
    """Return was pressed on a query that has rested: take the first token that was found."""

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self.setPlaceholderText("Search the whole vocabulary…")
        self.setClearButtonEnabled(True)
        self.setAccessibleName(name)
        self.setToolTip(tip)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(SEARCH_MS)
        self._rest.timeout.connect(self._say_searched)
        self.textChanged.connect(self._rest_again)
        self.returnPressed.connect(self._say_entered)

    def query(self) -> str:
        """Return what is searched for; "" where a search makes no sense."""
        return self.text() if self.isEnabled() else ""

    def end_search(self) -> None:
        """Empty the box and say nothing."""
        blocked = self.blockSignals(True)
        self.clear()
        self.blockSignals(blocked)
        self._rest.stop()

    @Slot()
    def stop_resting(self) -> None:
        """Say nothing of the query: what stands there has been asked for already."""
        self._rest.stop()

    @Slot()
    def _rest_again(self) -> None:
        self._rest.start()

    @Slot()
    def _say_searched(self) -> None:
        self.searched.emit(self.query())

    @Slot()
    def _say_entered(self) -> None:
        if self.query() and not self._rest.isActive():
            self.entered.emit()
