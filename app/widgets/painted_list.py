"""A list whose rows a delegate paints: one is chosen, taken by Enter or two clicks, and copied.

Knows Qt's models and delegates; knows nothing of what the rows are of.
"""

from collections.abc import Callable

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QApplication, QListView, QStyledItemDelegate, QWidget


class PaintedList(QListView):
    """Rows, of which one is chosen; ``words`` says what is copied of a row by its number."""

    chosen = Signal(int)
    """Another row is current; −1 for none."""
    taken = Signal()
    """The user pressed Enter, or clicked twice."""

    def __init__(
        self,
        model: QAbstractItemModel,
        delegate: QStyledItemDelegate,
        name: str,
        words: Callable[[int], str],
        parent: QWidget | None = None,
    ) -> None:
        """``name`` is what screen readers call the list."""
        super().__init__(parent)
        self._words = words
        self.setModel(model)
        self.setItemDelegate(delegate)
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.doubleClicked.connect(self.taken)

    def current(self) -> int:
        """Return the number of the chosen row, −1 for none."""
        return self.currentIndex().row()

    def currentChanged(
        self,
        current: QModelIndex | QPersistentModelIndex,
        previous: QModelIndex | QPersistentModelIndex,
    ) -> None:
        super().currentChanged(current, previous)
        self.chosen.emit(current.row())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current() >= 0:
            self.taken.emit()
        elif event.matches(QKeySequence.StandardKey.Copy) and self.current() >= 0:
            QApplication.clipboard().setText(self._words(self.current()))
        else:
            super().keyPressEvent(event)
