"""Arranges the credit view's panels: the post at the left, at the right what is said of a pair.

There the verdict stands over the two responses, one above the other, and their chart. The inspector
is a drawer over the chart, so that nothing moves when it opens; where the window is narrow the post
is one too, over the responses. Knows the panels as widgets; knows nothing of scores or of the
engine.
"""

from functools import partial

from PySide6.QtCore import QPoint, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from app import theme
from app.credit.controls import Controls
from app.credit.inspector import Inspector
from app.credit.prompt_panel import PromptPanel
from app.credit.q_page import QPage
from app.credit.response_panel import ResponsePanel
from app.credit.summary import PairSummary
from app.credit.verdict_bar import VerdictBar
from app.widgets.drawer import Desk
from app.widgets.history_strip import HistoryStrip
from app.widgets.icons import IconButton
from app.widgets.layouts import fill, fill_with, label
from core.engine.protocol import Side

WAITS = "The rewards of A and B appear here once they are scored."
NARROW = 640
"""Editors in a column narrower than this, in pixels, are always stacked."""
CRAMPED = 1100
"""Pixels of the whole view below which the post is a drawer."""
SMALL, SMALLER = QSize(1100, 560), 0.85
"""A view that is narrower or lower than so many pixels has its texts smaller by this factor, and on
lower lines."""
LEAST, WHOLE = 76, 130
"""Pixels that a response is high at least, and where the view is not small: two lines of the usual
size."""
POST = 540
"""Pixels that the post is wide."""
INSPECTOR, LEAST_INSPECTOR = 340, 170
"""Pixels that the inspector is high, and at least, whatever it covers then."""
PARTLY = 240
"""Pixels that the inspector is high at least, if it leaves more than the first line of B."""
SIDES: tuple[Side, Side] = ("A", "B")


class CreditLayout(QWidget):
    """A widget with the credit view's panels in place."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side_by_side = self._scrolling = False
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
        self.show_prompt = IconButton("post", "Prompt", "Show the prompt over the responses")
        self.show_prompt.setCheckable(True)
        self._points, self._small = 15.0, False
        self._fonts = theme.reading_font(15, roomy=True), theme.fixed_font(14)
        self._lay_out()
        self.show_prompt.toggled.connect(self._place_prompt)
        for side, panel in self.panels.items():
            bar = panel.editor.verticalScrollBar()
            bar.valueChanged.connect(partial(self._scroll_along, side))

    def _lay_out(self) -> None:
        self.editors = QSplitter(Qt.Orientation.Vertical)
        self.editors.setChildrenCollapsible(False)
        for panel in self.panels.values():
            panel.setMinimumHeight(WHOLE)
            self.editors.addWidget(panel)
        top = fill(QHBoxLayout(), self.show_prompt, (self.verdict, 1), spacing=theme.GAP)
        top.setAlignment(self.show_prompt, Qt.AlignmentFlag.AlignTop)
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
        self._beside, self._over = QWidget(), QFrame()
        self._over.setObjectName("drawer")
        for place in (self._beside, self._over):
            fill(QVBoxLayout(place), margins=(0, 0, 0, 0))
        fill_with(self._beside, self.prompt)
        bottom, left = Qt.Edge.BottomEdge, Qt.Edge.LeftEdge
        self._right = Desk(self.rows, self.inspector, bottom, INSPECTOR)
        self.columns.addWidget(self._beside)
        self.columns.addWidget(self._right)
        self.columns.setSizes([POST, 860])
        self.columns.setStretchFactor(0, 2)
        self.columns.setStretchFactor(1, 3)
        self.columns.setCollapsible(1, False)
        for splitter in (self.rows, self.columns, self.editors):
            splitter.setHandleWidth(theme.GAP)
        self._desk = Desk(self.columns, self._over, left, POST)
        fill(QVBoxLayout(self), (self._desk, 1), self.history, margins=(0, 0, 0, 0), spacing=4)

    # --- what is shown when asked for ---------------------------------------------------------

    def keep_inspector(self, on: bool) -> None:
        """Let the inspector stay open, to follow the mouse, or open it only for a pinned token."""
        self._keeps_inspector = on
        self.show_inspector(self._wants_inspector)

    def show_inspector(self, on: bool) -> None:
        """Open or close the inspector; one that is kept stays open."""
        self._wants_inspector = on
        self._place_inspector()
        self._right.show_drawer(on or self._keeps_inspector)

    def _scroll_along(self, side: Side, value: int) -> None:
        """Scroll the other response as far: long texts are read side by side."""
        if self._scrolling:
            return
        self._scrolling = True
        bars = {it: panel.editor.verticalScrollBar() for it, panel in self.panels.items()}
        own = bars.pop(side)
        for other in bars.values():
            length, others = (it.maximum() - it.minimum() for it in (own, other))
            if length and others:
                share = (value - own.minimum()) / length
                other.setValue(other.minimum() + round(share * others))
        self._scrolling = False

    @Slot()
    def _place_inspector(self) -> None:
        """Let the inspector be as high as it is meant to, but leave the responses to be seen: whole
        lines of B, and all of them where there is room for that."""
        editor = self.panels[SIDES[-1]].editor
        line, margin = editor.fontMetrics().height(), round(editor.document().documentMargin())
        top = editor.viewport().mapTo(self._right, QPoint(0, margin)).y() + theme.TIGHT
        rooms = [self._right.height() - top - line * lines for lines in (1, 2, 3, 4)]
        rooms = [rooms[0], *(room for room in rooms[1:] if room >= PARTLY)]
        lines = max(round(editor.document().documentLayout().documentSize().height()), 1)
        room = rooms[min(len(rooms), lines) - 1]
        self._right.set_reach(max(min(INSPECTOR, room), LEAST_INSPECTOR))

    @Slot()
    def _place_prompt(self) -> None:
        """Show the post beside the responses where there is room, else over them if asked for."""
        cramped = self.width() < CRAMPED
        place = self._over if cramped else self._beside
        if self.prompt.parentWidget() is not place:
            fill_with(place, self.prompt)
            self.prompt.set_fonts(*self._fonts)  # a widget that moves loses those of its own
        self.show_prompt.setVisible(cramped)
        self._beside.setVisible(not cramped)
        self._desk.show_drawer(cramped and self.show_prompt.isChecked())

    def put_chart(self, chart: QWidget) -> None:
        """Show the chart in the place that waits for it."""
        self._chart_waits.hide()
        self._chart_column.addWidget(chart)

    def set_text_size(self, points: float) -> None:
        """Set the size of the texts to read, in points."""
        self._points = points
        if self._small:
            points *= SMALLER
        roomy = not self._small
        reading = theme.reading_font(points * theme.RESPONSE, roomy)
        self._fonts = theme.reading_font(points, roomy), theme.fixed_font(max(points - 1, 6))
        self.prompt.set_fonts(*self._fonts)
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

    def minimumSizeHint(self) -> QSize:
        """Return how small the view can be, which is then a small one."""
        hint = super().minimumSizeHint()
        return hint if self._small else hint - QSize(0, len(SIDES) * (WHOLE - LEAST))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        small = self.width() < SMALL.width() or self.height() < SMALL.height()
        if small != self._small:
            self._small = small
            for panel in self.panels.values():
                panel.setMinimumHeight(LEAST if small else WHOLE)
            self.verdict.set_narrow(small)
            self.set_text_size(self._points)
        self._place_prompt()
        self._arrange()
        if not self.inspector.isHidden():
            QTimer.singleShot(0, self._place_inspector)  # the rows have their places then
