"""Arranges the credit view's panels: the prompt at the left, at the right what is said of a pair.

There the verdict stands over the two responses, one above the other, and their chart. The inspector
opens under the prompt. Where the window is narrow the prompt gives way until it is asked for.
Knows the panels as widgets; knows nothing of scores or of the engine.
"""

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSplitter, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.credit.controls import Controls
from app.credit.inspector import Inspector
from app.credit.prompt_panel import PromptPanel
from app.credit.q_page import QPage
from app.credit.response_panel import ResponsePanel
from app.credit.summary import PairSummary
from app.credit.verdict_bar import VerdictBar
from app.widgets.history_strip import HistoryStrip
from app.widgets.layouts import fill, label
from core.engine.protocol import Side

WAITS = "The rewards of A and B appear here once they are scored."
NARROW = 640
"""Editors in a column narrower than this, in pixels, are always stacked."""
CRAMPED = 1100
"""Pixels of the whole view below which the prompt is shown only where it is asked for."""
SIDES: tuple[Side, Side] = ("A", "B")


class CreditLayout(QWidget):
    """A widget with the credit view's panels in place."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side_by_side = False
        self._keeps_inspector = self._wants_inspector = False
        self.prompt = PromptPanel()
        self.verdict = VerdictBar()
        self.controls = Controls()
        self.panels: dict[Side, ResponsePanel] = {side: ResponsePanel(side) for side in SIDES}
        self.summary = PairSummary()
        self.inspector = Inspector()
        self.q_page = QPage()
        self.history = HistoryStrip()
        self.inspector.tabs.addTab(self.q_page, "&Q-function")
        self.show_prompt = QToolButton()
        self.show_prompt.setText("Prompt")
        self.show_prompt.setCheckable(True)
        self.show_prompt.setToolTip("Show the prompt beside the responses")
        self._lay_out()
        self.inspector.hide()
        self.show_prompt.toggled.connect(self._place_prompt)

    def _lay_out(self) -> None:
        self.editors = QSplitter(Qt.Orientation.Vertical)
        self.editors.setChildrenCollapsible(False)
        for panel in self.panels.values():
            panel.setMinimumHeight(76)
            self.editors.addWidget(panel)
        top = fill(QHBoxLayout(), (self.verdict, 1), self.show_prompt, spacing=8)
        middle = QWidget()
        parts = top, self.controls, (self.editors, 1), self.summary
        fill(QVBoxLayout(middle), *parts, margins=(0, 0, 0, 0), spacing=6)
        self.chart_card = QFrame()
        self.chart_card.setObjectName("card")
        self._chart_column = QVBoxLayout(self.chart_card)
        self._chart_column.setContentsMargins(4, 2, 4, 2)
        self._chart_waits = label(WAITS, "muted")
        self._chart_waits.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._chart_column.addWidget(self._chart_waits)
        self.chart_card.setMinimumHeight(96)
        self.prompt.setMinimumHeight(72)
        self.prompt.setMinimumWidth(300)
        self.rows = QSplitter(Qt.Orientation.Vertical)
        for widget in (middle, self.chart_card):
            self.rows.addWidget(widget)
        self.rows.setSizes([550, 250])
        self.rows.setStretchFactor(0, 1)
        self.rows.setStretchFactor(1, 1)
        self.rows.setCollapsible(0, False)
        self.columns = QSplitter(Qt.Orientation.Horizontal)
        self.left = QSplitter(Qt.Orientation.Vertical)
        for widget in (self.prompt, self.inspector):
            self.left.addWidget(widget)
        self.left.setChildrenCollapsible(False)
        self.left.setSizes([400, 400])
        self.columns.addWidget(self.left)
        self.columns.addWidget(self.rows)
        self.columns.setSizes([540, 860])
        self.columns.setStretchFactor(0, 2)
        self.columns.setStretchFactor(1, 3)
        self.columns.setCollapsible(1, False)
        for splitter in (self.rows, self.columns, self.editors, self.left):
            splitter.setHandleWidth(9)
        fill(QVBoxLayout(self), (self.columns, 1), self.history, margins=(0, 0, 0, 0), spacing=4)

    # --- what is shown when asked for ---------------------------------------------------------

    def keep_inspector(self, on: bool) -> None:
        """Let the inspector stay open, to follow the mouse, or open it only for a pinned token."""
        self._keeps_inspector = on
        self.show_inspector(self._wants_inspector)

    def show_inspector(self, on: bool) -> None:
        """Open or close the inspector; one that is kept stays open."""
        self._wants_inspector = on
        self.inspector.setVisible(on or self._keeps_inspector)
        self._place_prompt()

    @Slot()
    def _place_prompt(self) -> None:
        """Show the prompt where there is room for it or it is asked for."""
        cramped = self.width() < CRAMPED
        self.show_prompt.setVisible(cramped)
        self.prompt.setVisible(not cramped or self.show_prompt.isChecked())
        self.left.setVisible(self.prompt.isVisibleTo(self.left) or not self.inspector.isHidden())

    def put_chart(self, chart: QWidget) -> None:
        """Show the chart in the place that waits for it."""
        self._chart_waits.hide()
        self._chart_column.addWidget(chart)

    def set_text_size(self, points: float) -> None:
        """Set the size of the texts to read, in points."""
        reading = theme.reading_font(points * theme.RESPONSE)
        self.prompt.set_fonts(theme.reading_font(points), theme.fixed_font(max(points - 1, 6)))
        for panel in self.panels.values():
            panel.editor.setFont(reading)

    def set_side_by_side(self, on: bool) -> None:
        """Show A beside B where there is room, or always one below the other."""
        self._side_by_side = on
        self._arrange()

    def _arrange(self) -> None:
        wide = self._side_by_side and self.rows.width() >= NARROW
        wanted = Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical
        if self.editors.orientation() != wanted:
            self.editors.setOrientation(wanted)
            self.editors.setSizes([1000, 1000])

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_prompt()
        self._arrange()
