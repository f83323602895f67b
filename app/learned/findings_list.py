"""Lists findings, the strongest first: a sentence each, its figures, and its bar against the floor.

Knows records of findings; knows nothing of texts, models or the window.
"""

from PySide6.QtCore import QEvent, QRect, QRectF, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from app import theme
from app.learned.bars import Bars, bar_width
from app.widgets.drawing import bold, write
from app.widgets.painted_list import PaintedList, Told
from core.learned import report
from core.learned.record import Finding, Learned
from core.present.numerals import with_minuses

PAD, NUMBER = 8, 26
"""Pixels around a row, and for its number."""
LONGEST = 500
"""Letters of a sentence that are shown: what a file says may be of any length."""
FLOOR = "The bar is the effect with its 95% interval; the dotted lines are the floor it must pass."
TOP = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
BOTTOM = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom


def figures_of(finding: Finding) -> str:
    """Return a finding's figures in a few words."""
    return with_minuses(
        f"{finding.effect:+.2f} nats · {finding.agreeing} of {finding.responses} responses"
    )


class FindingsList(PaintedList):
    """The findings, of which one is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Findings, the strongest first", self._told, self._draw, parent)
        self._axis = 1.0, 0.7
        """The most nats of either sign, and the floor."""

    def _told(self, number: int) -> Told:
        finding: Finding = self.rows[number]
        read = f"{with_minuses(finding.sentence)}, {finding.status}"
        status = report.status(finding)
        lines = [finding.sentence, status, *report.details(finding), FLOOR]
        tip = with_minuses("\n".join(it[:LONGEST] for it in lines))
        return Told(finding.claim, read, tip, f"{finding.sentence}, {status}")

    def _draw(self, painter: QPainter, rect: QRect, number: int) -> None:
        """Paint a finding on two lines, with its bar at the right."""
        finding: Finding = self.rows[number]
        colours = theme.colours(self.dark)
        room = rect.adjusted(PAD, PAD, -PAD, -PAD)
        wide = bar_width(room)
        bar = QRectF(room.right() - wide, room.top() + 2, wide, room.height() - 4)
        Bars(*self._axis, self.dark).paint(painter, bar, finding.effect, *finding.interval)
        words = room.adjusted(NUMBER, 0, -wide - PAD, 0)
        write(painter, room, TOP, str(number + 1), colours.muted)
        done = write(painter, words, BOTTOM, f"{figures_of(finding)} · ", colours.muted)
        sure = finding.status == "confirmed"
        mark = "✓ confirmed" if sure else "seen, not confirmed"
        hue = colours.good if sure else colours.muted
        write(painter, words.adjusted(done, 0, 0, 0), BOTTOM, mark, hue)
        painter.setFont(bold(painter.font()))
        write(painter, words, TOP, report.capital(finding.claim), colours.text)

    def show_report(self, found: Learned | None) -> None:
        """Show the findings of a report, the first one chosen; None for no report."""
        findings = found.findings if found is not None else ()
        widest = max((abs(it.effect) + 1.96 * it.error for it in findings), default=1.0)
        floor = found.method.floor if found is not None else 0.7
        self._axis = max(widest, floor), floor
        self.show_rows(findings)
        self.choose_first()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.scheduleDelayedItemsLayout()
