"""Lists findings, the strongest first: a sentence each, its figures, and its bar against the floor.

Knows records of findings; knows nothing of texts, models or the window.
"""

from collections.abc import Sequence

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFont, QPainter
from PySide6.QtWidgets import (
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app import theme
from app.learned.bars import Bars
from app.widgets.drawing import said_once
from app.widgets.layouts import as_tip
from app.widgets.painted_list import PaintedList
from core.learned import report
from core.learned.record import Finding, Learned
from core.present.numerals import with_minuses

Index = QModelIndex | QPersistentModelIndex
BAR, NARROW_BAR = 168, 96
"""Pixels of a bar, and of one where the list is narrow."""
NARROW = 460
PAD = 8
LONGEST = 500
"""Letters of a sentence that are shown: what a file says may be of any length."""
FLOOR = "The bar is the effect with its 95% interval; the dotted lines are the floor it must pass."


class FindingsModel(QAbstractListModel):
    """The findings of one report."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: tuple[Finding, ...] = ()

    def show(self, findings: Sequence[Finding]) -> None:
        """Show other findings."""
        self.beginResetModel()
        self.findings = tuple(findings)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 -- as Qt has it
        return 0 if parent.isValid() else len(self.findings)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        finding = self.findings[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return finding.claim
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{with_minuses(finding.sentence)}, {finding.status}"
        if role == Qt.ItemDataRole.ToolTipRole:
            lines = [finding.sentence, report.status(finding), *report.details(finding), FLOOR]
            return as_tip(with_minuses("\n".join(it[:LONGEST] for it in lines)))
        return None


class FindingDelegate(QStyledItemDelegate):
    """Paints one finding on two lines, with its bar at the right."""

    bars = Bars(1.0, 0.7, False)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        line = option.fontMetrics.height()
        return QSize(200, 2 * line + 2 * PAD + 3)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        with said_once():
            self._paint(painter, option, index)

    def _paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = index.model()
        assert isinstance(model, FindingsModel)
        finding = model.findings[index.row()]
        paint_ground(painter, option, self.bars.dark)
        colours = theme.colours(self.bars.dark)
        room: QRect = option.rect.adjusted(PAD, PAD, -PAD, -PAD)
        wide = BAR if room.width() >= NARROW else NARROW_BAR
        bar = QRectF(room.right() - wide, room.top() + 2, wide, room.height() - 4)
        low, high = finding.interval
        self.bars.paint(painter, bar, finding.effect, low, high)
        number = 26
        words = QRect(
            room.left() + number, room.top(), room.width() - number - wide - PAD, room.height()
        )
        painter.save()
        plain: QFont = option.font
        painter.setFont(plain)
        painter.setPen(QColor(colours.muted))
        top = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        painter.drawText(room, top, str(index.row() + 1))
        bold = QFont(plain)
        bold.setBold(True)
        painter.setFont(bold)
        painter.setPen(QColor(colours.text))
        elide = Qt.TextElideMode.ElideRight
        claim = painter.fontMetrics().elidedText(
            report.capital(finding.claim), elide, words.width()
        )
        painter.drawText(words, top, claim)
        painter.setFont(plain)
        sure = finding.status == "confirmed"
        mark = "✓ confirmed" if sure else "seen, not confirmed"
        figures = painter.fontMetrics().elidedText(
            f"{figures_of(finding)} · ", elide, words.width()
        )
        bottom = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom
        painter.setPen(QColor(colours.muted))
        painter.drawText(words, bottom, figures)
        aside = words.adjusted(painter.fontMetrics().horizontalAdvance(figures), 0, 0, 0)
        painter.setPen(QColor(colours.good if sure else colours.muted))
        painter.drawText(
            aside, bottom, painter.fontMetrics().elidedText(mark, elide, max(aside.width(), 0))
        )
        painter.restore()


def figures_of(finding: Finding) -> str:
    """Return a finding's figures in a few words."""
    return with_minuses(
        f"{finding.effect:+.2f} nats · {finding.agreeing} of {finding.responses} responses"
    )


def paint_ground(painter: QPainter, option: QStyleOptionViewItem, dark: bool) -> None:
    """Paint the ground of a row: whether it is chosen, under the mouse, and has the keys."""
    colours = theme.colours(dark)
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


class FindingsList(PaintedList):
    """The findings, of which one is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self.findings = FindingsModel()
        self._delegate = FindingDelegate()
        name = "Findings, the strongest first"
        super().__init__(self.findings, self._delegate, name, self._words_of, parent)

    def _words_of(self, number: int) -> str:
        finding = self.findings.findings[number]
        return f"{finding.sentence}, {report.status(finding)}"

    def show_report(self, found: Learned | None) -> None:
        """Show the findings of a report, the first one chosen; None for no report."""
        findings = found.findings if found is not None else ()
        widest = max((abs(it.effect) + 1.96 * it.error for it in findings), default=1.0)
        floor = found.method.floor if found is not None else 0.7
        self._delegate.bars = Bars(max(widest, floor), floor, self._delegate.bars.dark)
        self.findings.show(findings)
        if findings:
            self.setCurrentIndex(self.findings.index(0))
        else:
            self.chosen.emit(-1)

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        bars = self._delegate.bars
        self._delegate.bars = Bars(bars.widest, bars.floor, dark)
        self.viewport().update()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.scheduleDelayedItemsLayout()
