"""Draws the chart under the editors: reward of each token or word as bars, their sum as a line.

Bars and sums of both responses share one plot, and a column where they say the same. Columns stand
under words that are above the chart, where it is told their places, else beside each other, and are
named below. A sum soon outgrows the single rewards, so it is drawn smaller by a round factor, and
the right-hand axis counts in its units: the zero is one line for both. Importing this module
imports pyqtgraph, which takes a while; do so after the window is shown. Knows arrays and labels;
knows nothing of tokens, editors or models.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QResizeEvent
from PySide6.QtWidgets import QLabel, QWidget

from app import theme
from app.widgets.colour_scale import fit_limit
from app.widgets.drawing import translucent
from app.widgets.plots import pen
from app.widgets.token_chart import EDGE, NOWHERE, TokenChart
from core.present.columns import bare
from core.present.numerals import signed

SIDES = ("A", "B")
COLOURS = {
    # Orange and bluish green of Okabe and Ito: told apart by colour-blind readers, and unlike
    # the blue and red that mean a reward's sign. Darker on white, for contrast.
    False: {"A": "#c87f00", "B": "#00805d"},
    True: {"A": "#f0a830", "B": "#2fc79b"},
}
EMPTY = "The rewards of A and B appear here once they are scored."
ROOMY = 170
"""A chart that is less high, in pixels, names a column in one line."""
BETWEEN = 6.0
"""Pixels that a column has on either side of its middle where it is under no word."""
FILLED = 0.8
"""The share of a column that its bars fill."""


class RewardChart(TokenChart):
    """Rewards and running sums of A and B, linked with the editors by token."""

    axes = ("left", "right", "bottom")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rewards: dict[str, NDArray[np.float64]] = {s: np.zeros(0) for s in SIDES}
        self._labels: dict[str, tuple[str, ...]] = dict.fromkeys(SIDES, ())
        self._places: dict[str, NDArray[np.int64]] = {s: np.zeros(0, np.int64) for s in SIDES}
        self._rows = dict(self._places)
        self._spans: NDArray[np.float64] | None = None
        self._what = "token"
        self._shrink = 1.0
        self._symbol = "Σr"
        self._room: tuple[float, ...] = (0.0,) * 4
        """Least and most of rewards and of sums that the range always fits."""
        self.bars: dict[str, Any] = {}
        self.lines: dict[str, Any] = {}
        self.empty = QLabel(EMPTY, self.plot)
        self._lay_out()
        self.set_theme(False)
        self._refresh()

    def _lay_out(self) -> None:
        for side in SIDES:
            self.bars[side] = pg.BarGraphItem(x0=[], y0=[], width=0.4, height=[])
            self.lines[side] = pg.PlotDataItem(connect="finite")
            self.item.addItem(self.bars[side])
            self.lines[side].setZValue(1)  # over the bars of both
            self.item.addItem(self.lines[side])
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName("Chart of rewards per token and their running sum")

    # --- what is shown ----------------------------------------------------------------------

    def set_series(
        self,
        side: str,
        rewards: ArrayLike,
        labels: tuple[str, ...] = (),
        places: ArrayLike | None = None,
        rows: ArrayLike | None = None,
        *,
        draw: bool = True,
    ) -> None:
        """Show one side's rewards, [n] in nats times beta, and what they are of, [n] or none.

        ``places`` [n] are their columns, ascending; ``rows`` [tokens] says which reward each token
        is a part of. Without them every token has a reward, in a column of its own.

        An empty array takes the side away. The view follows unless the user has zoomed. Without
        ``draw`` nothing is drawn anew until the other side is set, or columns are put.

        Raises:
            ValueError: there are labels, but not one for each reward.
        """
        values = np.asarray(rewards, dtype=np.float64)
        if labels and len(labels) != len(values):
            raise ValueError("every reward needs a label, or none has one")
        self._rewards[side], self._labels[side] = values, tuple(labels)
        own = np.arange(len(values))
        self._places[side] = own if places is None else np.asarray(places)
        self._rows[side] = own if rows is None else np.asarray(rows)
        if self._marked[0] == side:
            self._marked = NOWHERE
        if not draw:
            return
        self._refresh()
        if not self._zoomed:
            self.fit()

    def set_room(self, series: Sequence[ArrayLike]) -> None:
        """Let the range also fit rewards that are not shown now, [n] each.

        So charts that are shown one after the other compare.
        """
        rewards = [np.nan_to_num(np.asarray(one, dtype=np.float64)) for one in series]
        ends = [np.concatenate([[0.0], *parts]) for parts in (rewards, map(np.cumsum, rewards))]
        room = tuple(float(end) for part in ends for end in (part.min(), part.max()))
        if room != self._room:
            self._room = room
            self._refresh()
            if not self._zoomed:
                self.fit()

    def put_under(self, spans: NDArray[np.float64] | None, *, draw: bool = False) -> None:
        """Put the columns where words are: from left to right edge of each, [columns, 2], in pixels
        of the plot's viewport, NaN for a column without a word. None: one beside the other.

        ``draw``: also draw anew what was set without being drawn.
        """
        if spans is not None:
            left = self.view.sceneBoundingRect().left()
            spans = _closed(np.asarray(spans, dtype=np.float64) - left)
        known, told = (np.zeros(0) if it is None else it for it in (self._spans, spans))
        moved, self._spans = not np.array_equal(known, told), spans
        if moved or draw:
            self._refresh()
        if moved or (draw and not self._zoomed):
            self.fit()

    def clear(self) -> None:
        """Show that there is nothing to show."""
        for side in SIDES:
            self.set_series(side, [], draw=side == SIDES[-1])

    def fit(self) -> None:
        """Show all tokens and values, and follow new ones again."""
        super().fit()
        values = [self._rewards[side] for side in SIDES]
        scaled = [np.cumsum(np.nan_to_num(v)) / self._shrink for v in values]
        room = np.divide(self._room, (1.0, 1.0, self._shrink, self._shrink))
        both = np.concatenate([*values, *scaled, room])
        self._show_range(self.columns(), both, room=0.12)
        if self._spans is not None:
            width = float(self.view.width())
            self.view.setLimits(xMin=0.0, xMax=width, minXRange=2 * EDGE)
            self.view.setXRange(0.0, width, padding=0)
            self._show_mark()

    def columns(self) -> int:
        """Return how many columns both sides need."""
        return 1 + max(int(places.max(initial=-1)) for places in self._places.values())

    def _span(self, column: int) -> tuple[float, float]:
        left, right = self._spans_of(np.array([column]))[0].tolist()
        return left, right

    def _spans_of(self, columns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where columns begin and end on the axis, [n, 2]."""
        if self._spans is None or int(columns.max(initial=0)) >= len(self._spans):
            return np.stack([columns - 0.5, columns + 0.5], axis=1)
        return self._spans[columns]

    def _column_at(self, x: float) -> int:
        if self._spans is None:
            return super()._column_at(x)
        inside = (self._spans[:, 0] <= x) & (x < self._spans[:, 1])
        # What stands between two words lies over both.
        narrow = np.where(inside, self._spans[:, 1] - self._spans[:, 0], np.inf)
        return int(narrow.argmin()) if inside.any() else -1

    def set_what(self, what: str) -> None:
        """Say what a bar is of: a "token" or a "word"."""
        if what != self._what:
            self._what = what
            self.set_theme(self.dark)

    def set_symbol(self, symbol: str) -> None:
        """Say what the numbers sum to: "Σr" of rewards, "Σ log π" or the "score" of a loss."""
        if symbol != self._symbol:
            self._symbol = symbol
            self.set_theme(self.dark)

    def _word(self) -> str:
        """Return what the number of a token is called."""
        return {"Σr": "reward", "score": "share"}.get(self._symbol, self._symbol.removeprefix("Σ "))

    def set_theme(self, dark: bool) -> None:
        """Draw for a dark or a light theme; A and B keep their hues."""
        word = self._word()
        text, _ = self._dress(dark)
        for side in SIDES:
            colour = QColor(COLOURS[dark][side])
            self.bars[side].setOpts(brush=colour, pen=None)
            style = Qt.PenStyle.SolidLine if side == "A" else Qt.PenStyle.DashLine
            self.lines[side].setPen(pen(colour, theme.PEN, style))
        a, b = (COLOURS[dark][side] for side in SIDES)
        self.key.setText(
            f'<b style="color:{a}">■ A</b> {word}, <b style="color:{a}">—</b> its running sum '
            f'&nbsp;&nbsp; <b style="color:{b}">■ B</b> {word}, '
            f'<b style="color:{b}">- -</b> its running sum (right) &nbsp;&nbsp; in {self._unit}'
        )
        self.empty.setStyleSheet(f"color: {text.name()}; background: transparent;")
        self._show_axes()
        self._name_columns()
        self._show_mark()

    def _refresh(self) -> None:
        """Give the items their numbers: one item for all bars of a side."""
        values = [self._rewards[side] for side in SIDES]
        sums = [np.cumsum(np.nan_to_num(v)) for v in values]
        bars = [*values, np.array(self._room[:2])]
        tops = [*sums, np.array(self._room[2:])]
        bar = max(float(np.nanmax(np.abs(v), initial=0.0)) for v in bars)
        top = max(float(np.max(np.abs(s), initial=0.0)) for s in tops)
        ratio = top / bar if bar else 1.0
        # A round factor, so that the right-hand axis has round numbers where the left one has.
        self._shrink = max(1.0, fit_limit([ratio])) if ratio > 1.5 else 1.0
        self.item.getAxis("right").setScale(self._shrink)
        alone = sum(len(v) > 0 for v in values) < 2
        for side, v, total in zip(SIDES, values, sums, strict=True):
            spans = self._spans_of(self._places[side])
            middle = spans.mean(axis=1)
            width = (spans[:, 1] - spans[:, 0]) * (FILLED if alone else FILLED / 2)
            left = middle - width / 2 if alone else middle - width if side == "A" else middle
            self.bars[side].setOpts(
                x0=left, y0=np.zeros(len(v)), width=width, height=np.nan_to_num(v)
            )
            self.lines[side].setData(middle, total / self._shrink)
        self._show_axes()
        self._name_columns()
        self._show_mark()

    def _show_axes(self) -> None:
        """Show axes where there is something to measure, and a sentence where there is not."""
        empty = all(len(self._rewards[side]) == 0 for side in SIDES)
        self.empty.setVisible(empty)
        self._zero.setVisible(not empty)
        for name in self.axes:
            self.item.getAxis(name).setVisible(not empty)

    def _name_columns(self) -> None:
        """Name the columns by their words, where they are known."""
        both = all(map(len, self._labels.values()))
        lines = 2 if both and self.height() >= ROOMY else 1
        known = any(map(len, self._labels.values()))
        spans = self._spans_of(np.arange(self.columns() if known else 0))
        self.names.set_columns(spans, partial(self._name, lines), lines, self._spans is None)

    def _name(self, lines: int, column: int) -> str:
        """Return what a column is called: A's word and B's where they differ, in two lines, or B's
        where there is room for one."""
        words = []
        for side in SIDES:
            bar = int(np.searchsorted(self._places[side], column))
            if bar < len(self._labels[side]) and self._places[side][bar] == column:
                words.append(bare(self._labels[side][bar]))
        return "\n".join(list(dict.fromkeys(words))[-lines:])

    def _lengths(self) -> dict[str, int]:
        return {side: len(rows) for side, rows in self._rows.items()}

    def _place(self, side: str, index: int) -> int:
        return int(self._places[side][self._rows[side][index]])

    def _token_in(self, side: str, column: int) -> int:
        places = self._places[side]
        bar = int(np.searchsorted(places, column))
        if bar >= len(places) or places[bar] != column:
            return -1
        return int(np.argmax(self._rows[side] == bar))

    def _draw_mark(self, side: str, index: int) -> None:
        rewards, bar, column = (
            self._rewards[side],
            self._rows[side][index],
            self._place(side, index),
        )
        total = float(np.nansum(rewards[: bar + 1]))
        colour = QColor(COLOURS[self.dark][side])
        self.mark.setPen(pen(translucent(colour, 150), 1.5))
        self._dots.setData([self._middle(column)], [total / self._shrink], brush=colour, pen=None)
        label = self._labels[side][bar] if self._labels[side] else f"{self._what} {bar}"
        word = "r" if self._symbol == "Σr" else self._word()
        own = f"{word} {signed(float(rewards[bar]))}"
        self._put_note(column, f"{side}  {label}   {own}   {self._symbol} {signed(total)}")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self.empty.setGeometry(self.plot.rect())
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.empty.setGeometry(self.plot.rect())
        self._name_columns()


def _closed(spans: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return spans of columns with narrow ones for those that are under no word, around the end of
    the word before them."""
    found, none = spans.copy(), np.isnan(spans[:, 0])
    for first in np.flatnonzero(none & ~np.roll(none, 1)).tolist():
        count = int((~none[first:]).argmax()) or len(none) - first
        middle = found[first - 1, 1] if first else BETWEEN * count
        ends = middle + BETWEEN * (2 * np.arange(count + 1) - count)
        found[first : first + count] = np.stack([ends[:-1], ends[1:]], axis=1)
    return found
