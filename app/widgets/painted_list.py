"""A list of painted rows of two lines: one is chosen, taken by Enter or two clicks, and copied.

Knows Qt's models and delegates; knows nothing of what the rows are of.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app import theme
from app.widgets.drawing import said_once
from app.widgets.layouts import as_tip

Index = QModelIndex | QPersistentModelIndex
Draw = Callable[[QPainter, QRect, int], None]
"""Paints a row, by its number, into a rectangle; the painter has the row's font."""
AROUND = 19
"""Pixels that a row is higher than its two lines."""


class Told(NamedTuple):
    """What is said of a row: in the list, to screen readers, in its tool tip, when it is copied."""

    shown: str
    read: str
    tip: str
    copied: str


class PaintedList(QListView):
    """Rows, of which one is chosen; how each is told and painted is asked by its number."""

    chosen = Signal(int)
    """Another row is current; −1 for none."""
    taken = Signal()
    """The user pressed Enter, or clicked twice."""

    def __init__(
        self,
        name: str,
        tell: Callable[[int], Told],
        draw: Draw,
        parent: QWidget | None = None,
    ) -> None:
        """``name`` is what screen readers call the list."""
        super().__init__(parent)
        self._tell, self._model, self._delegate = tell, _Rows(tell), _TwoLines(draw)
        self.setModel(self._model)
        self.setItemDelegate(self._delegate)
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.doubleClicked.connect(self.taken)

    @property
    def rows(self) -> list[Any]:
        """Return what the rows are of."""
        return self._model.rows

    def show_rows(self, rows: Iterable[Any]) -> None:
        """Show other rows, of which none is chosen."""
        self._model.show(rows)

    @property
    def dark(self) -> bool:
        """Return whether it is drawn for a dark theme."""
        return self._delegate.dark

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._delegate.dark = dark
        self.viewport().update()

    def current(self) -> int:
        """Return the number of the chosen row, −1 for none."""
        return self.currentIndex().row()

    def choose(self, row: int) -> None:
        """Choose a row by its number."""
        self.setCurrentIndex(self._model.index(row))

    def choose_first(self) -> None:
        """Choose the first row, or say that there is none."""
        if self.rows:
            self.choose(0)
        else:
            self.chosen.emit(-1)

    def currentChanged(self, current: Index, previous: Index) -> None:
        super().currentChanged(current, previous)
        self.chosen.emit(current.row())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current() >= 0:
            self.taken.emit()
        elif event.matches(QKeySequence.StandardKey.Copy) and self.current() >= 0:
            QApplication.clipboard().setText(self._tell(self.current()).copied)
        else:
            super().keyPressEvent(event)


class _Rows(QAbstractListModel):
    """What the rows are of, and what is said of each."""

    def __init__(self, tell: Callable[[int], Told]) -> None:
        super().__init__()
        self._tell = tell
        self.rows: list[Any] = []

    def show(self, rows: Iterable[Any]) -> None:
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 -- as Qt has it
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.DisplayRole:
            return self._tell(index.row()).shown
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self._tell(index.row()).read
        if role == Qt.ItemDataRole.ToolTipRole:
            return as_tip(self._tell(index.row()).tip)
        return None


class _TwoLines(QStyledItemDelegate):
    """Paints each row on its ground, as high as two lines."""

    dark = False

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self._draw = draw

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, 2 * option.fontMetrics.height() + AROUND)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        with said_once():
            self._paint_ground(painter, option)
            painter.save()
            painter.setFont(option.font)
            self._draw(painter, option.rect, index.row())
            painter.restore()

    def _paint_ground(self, painter: QPainter, option: QStyleOptionViewItem) -> None:
        """Paint whether a row is chosen, under the mouse, and has the keys."""
        colours = theme.colours(self.dark)
        state: QStyle.StateFlag = option.state
        rect: QRect = option.rect
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, QColor(colours.chosen))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, QColor(colours.raised))
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), QColor(colours.line))
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QColor(colours.accent))
            painter.drawRect(rect.adjusted(0, 0, -1, -1))
