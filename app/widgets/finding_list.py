"""Lists findings: a mark in the colour of the level, the topic and the sentence, wrapped.

Knows levels and sentences; knows nothing of pairs or of who found them.
"""

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QWidget

from app.theme import MARKS
from app.widgets.drawing import draw_picture
from app.words import in_window
from core.finding import LEVELS, Finding, Level

SIGNS: dict[Level, str] = {"ok": "✓", "note": "i", "warning": "!", "stop": "✕"}
SIDE = 16
"""Pixels of a mark."""


class FindingList(QListWidget):
    """A list that is only read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setSpacing(1)
        self._findings: tuple[Finding, ...] = ()

    def findings(self) -> tuple[Finding, ...]:
        """Return what is shown."""
        return self._findings

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Show these lines in place of those that were there, the worst first."""
        self._findings = tuple(sorted(findings, key=lambda it: -LEVELS.index(it.level)))
        self.clear()
        marks = {level: self._mark(level) for level in SIGNS}
        for finding in self._findings:
            words = f"{finding.topic}: {in_window(finding.sentence)}"
            item = QListWidgetItem(marks[finding.level], words)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{finding.level}, {words}")
            item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
            self.addItem(item)

    def _mark(self, level: Level) -> QIcon:
        palette = self.palette()
        dark = palette.base().color().lightness() < 128
        font = self.font()
        font.setBold(True)
        font.setPixelSize(SIDE - 5)

        def draw(painter: QPainter) -> None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(MARKS[dark][level]))
            painter.drawEllipse(QPointF(SIDE / 2, SIDE / 2), SIDE / 2 - 0.5, SIDE / 2 - 0.5)
            painter.setFont(font)
            painter.setPen(palette.base().color())
            painter.drawText(QRectF(0, 0, SIDE, SIDE), Qt.AlignmentFlag.AlignCenter, SIGNS[level])

        return QIcon(draw_picture(SIDE, SIDE, self.devicePixelRatioF(), draw))

    def changeEvent(self, event: QEvent) -> None:
        """Draw the marks anew in another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._findings:
            self.show_findings(self._findings)
