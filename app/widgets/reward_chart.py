"""Draws the chart under the editors: reward of each token or word as bars, their sum as a line.

Bars and sums of both responses share one plot, and a column where they say the same. A sum soon
outgrows the single rewards, so it is drawn smaller by a round factor, and the right-hand axis
counts in its units: the zero is one line for both. Importing this module imports pyqtgraph, which
takes a while; do so after the window is shown. Knows arrays and labels; knows nothing of tokens,
editors or models.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QResizeEvent
from PySide6.QtWidgets import QLabel, QWidget

from app.widgets.colour_scale import fit_limit
from app.widgets.drawing import translucent
from app.widgets.token_chart import NOWHERE, TokenChart
from core.present.numerals import signed

SIDES = ("A", "B")
COLOURS = {
    # Orange and bluish green of Okabe and Ito: told apart by colour-blind readers, and unlike
    # the blue and red that mean a reward's sign. Darker on white, for contrast.
    False: {"A": "#c87f00", "B": "#00805d"},
    True: {"A": "#f0a830", "B": "#2fc79b"},
}
EMPTY = "The rewards of A and B appear here once they are scored."


class RewardChart(TokenChart):
    """Rewards and running sums of A and B, linked with the editors by token."""

    axes = ("left", "right", "bottom")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rewards: dict[str, NDArray[np.float64]] = {s: np.zeros(0) for s in SIDES}
        self._labels: dict[str, tuple[str, ...]] = dict.fromkeys(SIDES, ())
        self._places: dict[str, NDArray[np.int64]] = {s: np.zeros(0, np.int64) for s in SIDES}
        self._rows = dict(self._places)
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
        ``draw`` nothing is drawn anew until the other side is set.

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
        self._show_range(max(map(self._width, SIDES)), both, room=0.12)

    def _width(self, side: str) -> int:
        """Return how many columns a side needs."""
        return int(self._places[side].max(initial=-1)) + 1

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
        titles = (
            "reward r" if word == "reward" else word,
            f"running sum {self._symbol}",
            f"{self._what} of the response",
        )
        text, _ = self._dress(dark, titles)
        for side in SIDES:
            colour = QColor(COLOURS[dark][side])
            self.bars[side].setOpts(brush=colour, pen=None)
            style = Qt.PenStyle.SolidLine if side == "A" else Qt.PenStyle.DashLine
            self.lines[side].setPen(pg.mkPen(colour, width=2, style=style))
        a, b = (COLOURS[dark][side] for side in SIDES)
        self.key.setText(
            f'<b style="color:{a}">■ A</b> {word}, <b style="color:{a}">—</b> its running sum '
            f'&nbsp;&nbsp; <b style="color:{b}">■ B</b> {word}, '
            f'<b style="color:{b}">- -</b> its running sum &nbsp;&nbsp; in {self._unit}'
        )
        self.empty.setStyleSheet(f"color: {text.name()}; background: transparent;")
        self._show_axes()
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
            x = self._places[side].astype(np.float64)
            width = 0.8 if alone else 0.4
            left = x - 0.4 if alone or side == "A" else x
            self.bars[side].setOpts(
                x0=left, y0=np.zeros(len(v)), width=width, height=np.nan_to_num(v)
            )
            self.lines[side].setData(x, total / self._shrink)
        self._show_axes()
        self._show_mark()

    def _show_axes(self) -> None:
        """Show axes where there is something to measure, and a sentence where there is not."""
        empty = all(len(self._rewards[side]) == 0 for side in SIDES)
        self.empty.setVisible(empty)
        self._zero.setVisible(not empty)
        super()._show_axes()
        for name in self.axes:
            self.item.getAxis(name).setVisible(not empty)  # a new label shows its axis

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
        self.mark.setPen(pg.mkPen(translucent(colour, 150), width=1.5))
        self._dots.setData([column], [total / self._shrink], brush=colour, pen=None)
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
