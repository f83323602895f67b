"""Shows what one pair has learned and another has not: each finding with both effects as bars.

Knows a comparison; knows nothing of files or of the engine.
"""

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFont, QPainter
from PySide6.QtWidgets import (
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.learned.bars import Bars
from app.learned.findings_list import BAR, LONGEST, NARROW, NARROW_BAR, PAD, paint_ground
from app.widgets.drawing import said_once
from app.widgets.layouts import as_tip, fill, label
from app.widgets.painted_list import PaintedList
from core.learned.compare import Comparison, Row
from core.learned.report import capital
from core.present.numerals import with_minuses

Index = QModelIndex | QPersistentModelIndex
WHERE = {"only here": "Only here", "both": "In both", "only there": "Only there"}


class ComparedModel(QAbstractListModel):
    """The rows of a comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[Row, ...] = ()

    def show(self, rows: tuple[Row, ...]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def words(self, row: int) -> str:
        """Return all that a row says."""
        it = self.rows[row]
        return with_minuses(f"{WHERE[it.where]}: {it.finding.claim}; {it.figures}")

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 -- as Qt has it
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.DisplayRole:
            return self.rows[index.row()].finding.claim
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self.words(index.row())
        return (
            as_tip(self.words(index.row())[:LONGEST])
            if role == Qt.ItemDataRole.ToolTipRole
            else None
        )


class ComparedDelegate(QStyledItemDelegate):
    """Paints a row: where it is found, the claim, both effects, the upper bar that of this pair."""

    bars = Bars(1.0, 0.7, False)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, 2 * option.fontMetrics.height() + 2 * PAD + 3)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        with said_once():
            self._paint(painter, option, index)

    def _paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = index.model()
        assert isinstance(model, ComparedModel)
        row = model.rows[index.row()]
        paint_ground(painter, option, self.bars.dark)
        colours = theme.colours(self.bars.dark)
        room: QRect = option.rect.adjusted(PAD, PAD, -PAD, -PAD)
        wide = BAR if room.width() >= NARROW else NARROW_BAR
        high = room.height() / 2
        for place, side in enumerate((row.here, row.there)):
            if side is not None:
                place_of = QRectF(room.right() - wide, room.top() + place * high, wide, high)
                self.bars.paint(painter, place_of, side.effect, *side.interval)
        words = room.adjusted(0, 0, -wide - PAD, 0)
        painter.save()
        plain: QFont = option.font
        painter.setFont(plain)
        painter.setPen(QColor(colours.muted))
        where = f"{WHERE[row.where]}   "
        top = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        painter.drawText(words, top, where)
        column = max(map(painter.fontMetrics().horizontalAdvance, WHERE.values())) + 2 * PAD
        beside = words.adjusted(column, 0, 0, 0)
        elide = Qt.TextElideMode.ElideRight
        figures = painter.fontMetrics().elidedText(with_minuses(row.figures), elide, beside.width())
        bottom = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom
        painter.drawText(beside, bottom, figures)
        bold = QFont(plain)
        bold.setBold(True)
        painter.setFont(bold)
        painter.setPen(QColor(colours.text))
        claim = painter.fontMetrics().elidedText(
            capital(row.finding.claim)[:LONGEST], elide, beside.width()
        )
        painter.drawText(beside, top, claim)
        painter.restore()


class ComparedList(PaintedList):
    """The rows, which are only read and copied."""

    def __init__(self) -> None:
        self.compared = ComparedModel()
        self.delegate = ComparedDelegate()
        name = "Findings of both pairs"
        super().__init__(self.compared, self.delegate, name, self.compared.words)


class ComparedPage(QWidget):
    """Which pairs are compared, what stands in the way of that, and the rows."""

    def __init__(self) -> None:
        super().__init__()
        self._dark = False
        self.comparison: Comparison | None = None
        self.about = label("", "muted")
        self.about.setWordWrap(True)
        self.list = ComparedList()
        margins = (theme.MARGIN, theme.GAP, theme.MARGIN, theme.GAP)
        fill(QVBoxLayout(self), self.about, (self.list, 1), margins=margins)

    def show_comparison(self, comparison: Comparison, floor: float) -> None:
        """Show another comparison; ``floor``: what the findings of this pair must pass."""
        self.comparison = comparison
        both = f"Here: {comparison.here} (upper bars). There: {comparison.there} (lower bars)."
        nothing = () if comparison.rows else ("Neither has a finding.",)
        self.about.setText(" ".join((both, *comparison.notes, *nothing)))
        sides = [side for row in comparison.rows for side in (row.here, row.there) if side]
        widest = max([floor, *(max(map(abs, side.interval)) for side in sides)])
        self.list.delegate.bars = Bars(widest, floor, self._dark)
        self.list.compared.show(comparison.rows)

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._dark = dark
        bars = self.list.delegate.bars
        self.list.delegate.bars = Bars(bars.widest, bars.floor, dark)
        self.list.viewport().update()
