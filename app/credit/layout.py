"""Arranges the credit view's panels: side by side or stacked, large or small.

Knows the panels as widgets; knows nothing of scores or of the engine.
"""

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QSplitter, QVBoxLayout, QWidget

from app import theme
from app.credit.controls import Controls
from app.credit.inspector import Inspector
from app.credit.prompt_panel import PromptPanel
from app.credit.q_page import QPage
from app.credit.response_panel import ResponsePanel
from app.credit.summary import PairSummary
from app.widgets.layouts import fill, label
from core.engine.protocol import Side

WAITS = "The rewards of A and B appear here once they are scored."
NARROW = 640
"""Editors in a column narrower than this, in pixels, are always stacked."""
SIDES: tuple[Side, Side] = ("A", "B")


class CreditLayout(QWidget):
    """A widget with the credit view's panels in place."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side_by_side = True
        self.prompt = PromptPanel()
        self.controls = Controls()
        self.panels: dict[Side, ResponsePanel] = {side: ResponsePanel(side) for side in SIDES}
        self.summary = PairSummary()
        self.inspector = Inspector()
        self.q_page = QPage()
        self.inspector.tabs.addTab(self.q_page, "&Q-function")
        self._lay_out()

    def _lay_out(self) -> None:
        self.editors = QSplitter(Qt.Orientation.Horizontal)
        self.editors.setChildrenCollapsible(False)
        for panel in self.panels.values():
            panel.setMinimumHeight(84)
            self.editors.addWidget(panel)
        middle = QWidget()
        parts = self.controls, (self.editors, 1), self.summary
        fill(QVBoxLayout(middle), *parts, margins=(0, 0, 0, 0), spacing=6)
        self.chart_card = QFrame()
        self.chart_card.setObjectName("card")
        self._chart_column = QVBoxLayout(self.chart_card)
        self._chart_column.setContentsMargins(4, 2, 4, 2)
        self._chart_waits = label(WAITS, "muted")
        self._chart_waits.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._chart_column.addWidget(self._chart_waits)
        self.chart_card.setMinimumHeight(110)
        self.prompt.setMinimumHeight(72)
        self.rows = QSplitter(Qt.Orientation.Vertical)
        for widget in (self.prompt, middle, self.chart_card):
            self.rows.addWidget(widget)
        self.rows.setSizes([130, 380, 200])
        self.rows.setStretchFactor(1, 1)
        self.rows.setCollapsible(1, False)
        self.columns = QSplitter(Qt.Orientation.Horizontal)
        self.columns.addWidget(self.rows)
        self.columns.addWidget(self.inspector)
        self.inspector.setMinimumWidth(290)
        self.columns.setSizes([1050, 350])
        self.columns.setStretchFactor(0, 1)
        self.columns.setCollapsible(0, False)
        for splitter in (self.rows, self.columns, self.editors):
            splitter.setHandleWidth(7)
        fill(QVBoxLayout(self), self.columns, margins=(0, 0, 0, 0))

    def put_chart(self, chart: QWidget) -> None:
        """Show the chart in the place that waits for it."""
        self._chart_waits.hide()
        self._chart_column.addWidget(chart)

    def set_text_size(self, points: float) -> None:
        """Set the size of the texts to read, in points."""
        reading, fixed = theme.reading_font(points), theme.fixed_font(points - 1)
        self.prompt.set_fonts(theme.reading_font(max(points - 1, 6)), fixed)
        for panel in self.panels.values():
            panel.editor.setFont(reading)

    def set_side_by_side(self, on: bool) -> None:
        """Show A beside B where there is room, or always one below the other."""
        self._side_by_side = on
        self._arrange()

    def _arrange(self) -> None:
        wide = self._side_by_side and self.columns.sizes()[0] >= NARROW
        wanted = Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical
        if self.editors.orientation() != wanted:
            self.editors.setOrientation(wanted)
            self.editors.setSizes([1000, 1000])

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()
