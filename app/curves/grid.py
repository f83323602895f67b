"""Arranges all charts, under and beside each other: one axis of steps, one crosshair.

The reward chart goes over the whole width, with its note below it; the others share rows, as many
side by side as there is room for. Importing this module imports pyqtgraph. Knows charts and lines;
knows nothing of runs or files.
"""

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QSplitter, QVBoxLayout, QWidget

from app.curves.chart import Chart
from app.curves.charts import kind_of
from app.curves.lines import CurveLine
from app.curves.note import Note, RunNote
from app.widgets.layouts import fill

FIRST = "rewards"
FIRST_HEIGHT, HEIGHT = 330, 220
"""Pixels that a row wants; the window's height is shared in this proportion if it has more."""
LEAST, LOWEST = 210, 130
"""Pixels that the reward chart has at least, whatever is noted below it; and where both together
are to be seen in a low window."""
NOTE_GAP = 4
NARROW, WIDE = 640, 1350
"""Widths from which two and three charts stand side by side."""


class ChartGrid(QScrollArea):
    """A scrolled grid of the charts that have something to show."""

    hovered = Signal(object)
    step_wanted = Signal(int)
    log_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.charts: dict[str, Chart] = {}
        """Made when they first have something to show."""
        self.note = Note()
        self._shown: tuple[str, ...] = ()
        self._columns = self._height = self._first_height = 0
        self._dark = self._log_x = False
        self._log_y: frozenset[str] = frozenset()
        self._step: int | None = None
        self._range = (0.0, 1.0)
        self._rows: list[QSplitter] = []
        self.rows = QSplitter(Qt.Orientation.Vertical)
        self._first = QWidget()
        column = QVBoxLayout(self._first)
        self._first_column = fill(column, self.note, margins=(0, 0, 0, 0), spacing=NOTE_GAP)
        self.rows.setChildrenCollapsible(False)
        self.rows.setHandleWidth(7)
        inside = QWidget()
        fill(QVBoxLayout(inside), self.rows, margins=(0, 0, 4, 0))
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.viewport().setAutoFillBackground(False)
        inside.setAutoFillBackground(False)

    # --- what is shown ----------------------------------------------------------------------

    def show_lines(self, lines: Mapping[str, Sequence[CurveLine]], log_x: bool) -> None:
        """Draw each chart's lines, by its key, in this order; a chart without any is hidden."""
        shown = tuple(key for key, own in lines.items() if own)
        fresh = [key for key in shown if key not in self._shown]
        refit = log_x != self._log_x or not self._shown
        self._log_x = log_x
        for key in shown:
            self._chart(key).show_lines(lines[key], log_x)
        for key in set(self._shown) - set(shown):
            self.charts[key].show_lines((), log_x)
        if shown != self._shown:
            self._shown = shown
            self._arrange()
        if refit or not any(chart.zoomed for chart in self.shown_charts()):
            self.fit()
        else:
            for key in fresh:
                self.charts[key].fit(*self._range)
        self.set_step(self._step)

    def shown_charts(self) -> list[Chart]:
        """Return the charts that are shown, in their order."""
        return [self.charts[key] for key in self._shown]

    def _chart(self, key: str) -> Chart:
        if key not in self.charts:
            self.charts[key] = chart = Chart(kind_of(key))
            chart.hovered.connect(self.hovered)
            chart.step_wanted.connect(self.step_wanted)
            chart.fit_wanted.connect(self.fit)
            chart.range_moved.connect(self._range_moved)
            chart.log.setChecked(key in self._log_y)
            chart.log_changed.connect(self._log_changed)
            chart.set_dark(self._dark)
        return self.charts[key]

    @Slot()
    def fit(self) -> None:
        """Show all steps and all values."""
        bounds = [b for chart in self.shown_charts() if (b := chart.bounds()) is not None]
        if not bounds:
            return
        left, right = min(b[0] for b in bounds), max(b[1] for b in bounds)
        if not self._log_x:
            left = min(left, 0.0)  # where the policy is the reference
        room = 0.015 * (right - left) or 0.5
        self._range = left - room, right + room
        for chart in self.shown_charts():
            chart.fit(*self._range)

    @Slot(float, float)
    def _range_moved(self, left: float, right: float) -> None:
        self._range = left, right
        for chart in self.shown_charts():
            if chart is not self.sender():
                chart.set_range(left, right)

    def cross(self, step: int | None) -> None:
        """Put the crosshair of all charts at a step; None for none."""
        for chart in self.shown_charts():
            chart.cross(step)

    def set_step(self, step: int | None) -> None:
        """Mark the step that is looked at elsewhere in all charts; None for none."""
        self._step = step
        for chart in self.shown_charts():
            chart.set_step(step)

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._dark = dark
        self.note.set_dark(dark)
        for chart in self.charts.values():
            chart.set_dark(dark)

    def log_y(self) -> frozenset[str]:
        """Return the keys of the charts whose values are on a logarithmic axis."""
        return self._log_y

    def set_log_y(self, keys: frozenset[str]) -> None:
        """Choose the charts with a logarithmic axis, before charts are made."""
        self._log_y = keys

    @Slot()
    def _log_changed(self) -> None:
        turned = {key for key, chart in self.charts.items() if chart.log.isChecked()}
        self._log_y = frozenset(turned | (self._log_y - set(self.charts)))
        self.log_changed.emit()
        chart = self.sender()
        if isinstance(chart, Chart):
            chart.fit(*self._range)

    # --- where it is shown ------------------------------------------------------------------

    def _columns_now(self) -> int:
        width = self.viewport().width()
        return 1 if width < NARROW else 2 if width < WIDE else 3

    def _arrange(self) -> None:
        """Put the charts into rows anew."""
        self._columns = self._columns_now()
        for chart in self.charts.values():
            chart.hide()
            chart.setParent(self._first)  # out of the old rows, which are deleted
        rest = [self.charts[key] for key in self._shown if key != FIRST]
        self._first.setVisible(FIRST in self._shown)
        old, self._rows = self._rows, []
        self.rows.addWidget(self._first)
        if FIRST in self._shown:
            self._first_column.insertWidget(0, self.charts[FIRST], 1)
            self.charts[FIRST].show()
        heights = [0]
        for start in range(0, len(rest), self._columns):
            row = QSplitter(Qt.Orientation.Horizontal)
            row.setChildrenCollapsible(False)
            row.setHandleWidth(7)
            for chart in rest[start : start + self._columns]:
                row.addWidget(chart)
                chart.show()
            row.setSizes([1000] * self._columns)
            self.rows.addWidget(row)
            self._rows.append(row)
            heights.append(HEIGHT)
        for row in old:
            row.hide()
            row.setParent(None)
            row.deleteLater()
        self._height = sum(heights) + 7 * (len(heights) - 1)
        self._make_room()
        heights[0] = self._first_height
        self.rows.setSizes(heights)
        for place, height in enumerate(heights):
            self.rows.setStretchFactor(place, height)

    def show_notes(self, notes: Sequence[RunNote]) -> None:
        """Show what the curves of runs say, below the reward chart."""
        self.note.show_notes(notes)
        self._make_room()

    def _make_room(self) -> None:
        """Let chart and note stand below each other: a splitter knows no height for a width.

        In a low window both are seen whole: the note is brief, the chart lower.
        """
        width, room = self.viewport().width() - 4, self.viewport().height()  # less the margin's
        brief = LEAST + self._note_height(width, False) > room
        note = self._note_height(width, brief)
        self.note.set_brief(brief)
        least = min(LEAST, max(LOWEST, room - note)) + note
        there = FIRST in self._shown
        self.note.setMinimumHeight(max(note - NOTE_GAP, 0))
        self._first.setMinimumHeight(least if there else 0)
        first = max(min(FIRST_HEIGHT, room), least) if there else 0
        self.rows.setMinimumHeight(self._height + first)
        if first != self._first_height:
            self._first_height = first
            self.rows.setSizes([first, *self.rows.sizes()[1:]])

    def _note_height(self, width: int, brief: bool) -> int:
        """Return how many pixels of height the note takes, with what parts it from the chart."""
        high = self.note.height_for(width, brief)
        return high + NOTE_GAP if high else 0

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._shown and self._columns_now() != self._columns:
            self._arrange()
        self._make_room()

    def minimumSizeHint(self) -> QSize:
        return QSize(260, 160)
