"""Draws the Q-function over one response: Q, V, advantage and raw reward as lines.

All are in the raw-logit gauge, and the chart says so. Importing this module imports pyqtgraph,
which takes a while; do so after the window is shown. Knows a gauge's arrays and labels; knows
nothing of editors or models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app import theme
from app.widgets.layouts import as_tip
from app.widgets.plots import pen
from app.widgets.token_chart import NOWHERE, TokenChart
from core.gauge import Gauge
from core.present.numerals import signed, tiny

Style = Qt.PenStyle


@dataclass(frozen=True)
class GaugeLine:
    """One quantity of a Gauge, and how it is drawn on light and on dark."""

    key: str
    of: Callable[[Gauge], NDArray[np.float64]]
    name: str
    sign: str
    style: Style
    light: str
    dark: str

    def colour(self, dark: bool) -> str:
        """Return the line's colour on a dark or a light surface."""
        return self.dark if dark else self.light


BLUES = "#00708f", "#56c5e0"
LINES = (
    # Told apart by dashes too, and unlike the colours of A, B and a reward's sign.
    GaugeLine("q", attrgetter("q"), "Q", "—", Style.SolidLine, "#6a3d9a", "#b79cf0"),
    GaugeLine("v", attrgetter("v"), "V", "- -", Style.DashLine, "#555b68", "#a9b0be"),
    GaugeLine("advantage", attrgetter("advantage"), "Q − V", "···", Style.DotLine, *BLUES),
    GaugeLine("raw", attrgetter("raw"), "r raw", "-·-", Style.DashDotLine, "#b0306a", "#ff8fc0"),
)


class QChart(TokenChart):
    """The Q-function along one response, linked with the editors by token index."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side = ""
        self._gauge: Gauge | None = None
        self._labels: tuple[str, ...] = ()
        self.lines: dict[str, Any] = {}
        self._lay_out()
        self.set_theme(False)
        self.clear()

    def _lay_out(self) -> None:
        for line in LINES:
            self.lines[line.key] = pg.PlotDataItem(connect="finite")
            self.item.addItem(self.lines[line.key])
        self.key.setWordWrap(True)
        self.key.setToolTip(
            as_tip(
                "Q, V and the raw reward are fixed up to a constant per state; the policy's raw "
                "logits choose it. The advantage Q − V does not depend on that choice. The Bellman "
                "residual is what rounding leaves of r raw = r + V(s) − V(s′)."
            )
        )
        self.setAccessibleName("Chart of Q, V, advantage and raw reward per token")

    # --- what is shown ----------------------------------------------------------------------

    def show_gauge(self, side: str, gauge: Gauge, labels: tuple[str, ...]) -> None:
        """Show one response; the view follows unless the user has zoomed."""
        self._side, self._gauge, self._labels = side, gauge, labels
        x = np.arange(len(gauge), dtype=np.float64)
        for line in LINES:
            self.lines[line.key].setData(x, self._values(line))
        self._describe()
        self.highlight(*self._marked)  # which may not be there any more
        if not self._zoomed:
            self.fit()

    def clear(self) -> None:
        """Show that there is nothing to show."""
        self._side, self._gauge, self._labels = "", None, ()
        for item in self.lines.values():
            item.setData([], [])
        self._describe()
        self.highlight(*NOWHERE)

    def fit(self) -> None:
        """Show all tokens and values, and follow new ones again."""
        super().fit()
        if self._gauge is not None:
            values = np.concatenate([*map(self._values, LINES), [0.0]])
            self._show_range(len(self._gauge), values, room=0.1)

    def set_theme(self, dark: bool) -> None:
        """Draw for a dark or a light theme; the lines keep their dashes and hues."""
        _, faint = self._dress(dark)
        self.mark.setPen(pen(faint, 1.5))
        for line in LINES:
            self.lines[line.key].setPen(pen(line.colour(dark), theme.PEN, line.style))
        self._describe()
        self._show_mark()

    def _values(self, line: GaugeLine) -> NDArray[np.float64]:
        """Return one quantity's values, [n]."""
        assert self._gauge is not None
        return line.of(self._gauge)

    def _describe(self) -> None:
        """Write the key, with the largest Bellman residual."""
        if self._gauge is None:
            self.key.setText("The Q-function appears here once a response is scored.")
            return
        names = " &nbsp; ".join(
            f'<b style="color:{line.colour(self.dark)}">{line.sign} {line.name}</b>'
            for line in LINES
        )
        self.key.setText(
            f"<b>{self._side}</b> &nbsp; {names} &nbsp; in {self._unit} · raw-logit gauge · "
            f"largest Bellman residual {tiny(self._gauge.worst_residual)}"
        )

    def _lengths(self) -> dict[str, int]:
        return {} if self._gauge is None else {self._side: len(self._gauge)}

    def _draw_mark(self, side: str, index: int) -> None:
        values = [float(self._values(line)[index]) for line in LINES]
        brushes = [pg.mkBrush(line.colour(self.dark)) for line in LINES]
        self._dots.setData([index] * len(LINES), values, brush=brushes, pen=None)
        label = self._labels[index] if self._labels else f"token {index}"
        numbers = "   ".join(
            f"{line.name} {signed(value)}" for line, value in zip(LINES, values, strict=True)
        )
        self._put_note(index, f"{side}  {label}   {numbers}")
