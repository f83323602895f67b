"""Shows what one pair has learned and another has not: each finding with both effects as bars.

Knows a comparison; knows nothing of files or of the engine.
"""

from collections.abc import Sequence

from PySide6.QtCore import QRect, QRectF
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app import theme
from app.learned.bars import Bars, bar_width
from app.learned.findings_list import BOTTOM, LONGEST, PAD, TOP
from app.widgets.drawing import bold, write
from app.widgets.layouts import fill, label
from app.widgets.painted_list import PaintedList, Told
from core.learned.compare import Comparison, Row
from core.learned.report import capital
from core.present.numerals import with_minuses

WHERE = {"only here": "Only here", "both": "In both", "only there": "Only there"}


class ComparedList(PaintedList):
    """The rows of a comparison, which are only read and copied."""

    def __init__(self) -> None:
        super().__init__("Findings of both pairs", self._told, self._draw)
        self._axis = 1.0, 0.7
        """The most nats of either sign, and the floor."""

    def _told(self, number: int) -> Told:
        row: Row = self.rows[number]
        words = with_minuses(f"{WHERE[row.where]}: {row.finding.claim}; {row.figures}")
        return Told(row.finding.claim, words, words[:LONGEST], words)

    def _draw(self, painter: QPainter, rect: QRect, number: int) -> None:
        """Paint where it is found, the claim, both effects, the upper bar that of this pair."""
        row: Row = self.rows[number]
        colours = theme.colours(self.dark)
        room = rect.adjusted(PAD, PAD, -PAD, -PAD)
        wide, high = bar_width(room), room.height() / 2
        for place, side in enumerate((row.here, row.there)):
            if side is not None:
                bar = QRectF(room.right() - wide, room.top() + place * high, wide, high)
                Bars(*self._axis, self.dark).paint(painter, bar, side.effect, *side.interval)
        words = room.adjusted(0, 0, -wide - PAD, 0)
        write(painter, words, TOP, WHERE[row.where], colours.muted)
        column = max(map(painter.fontMetrics().horizontalAdvance, WHERE.values())) + 2 * PAD
        beside = words.adjusted(column, 0, 0, 0)
        write(painter, beside, BOTTOM, with_minuses(row.figures), colours.muted)
        painter.setFont(bold(painter.font()))
        write(painter, beside, TOP, capital(row.finding.claim)[:LONGEST], colours.text)

    def show_findings(self, rows: Sequence[Row], floor: float) -> None:
        """Show other rows; ``floor``: what the findings of this pair must pass."""
        sides = [side for row in rows for side in (row.here, row.there) if side]
        self._axis = max([floor, *(max(map(abs, side.interval)) for side in sides)]), floor
        self.show_rows(rows)


class ComparedPage(QWidget):
    """Which pairs are compared, what stands in the way of that, and the rows."""

    def __init__(self) -> None:
        super().__init__()
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
        self.list.show_findings(comparison.rows, floor)

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self.list.set_dark(dark)
