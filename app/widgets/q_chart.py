"""Draws the Q-function over one response: Q, V, advantage and raw reward as lines.

All are in the raw-logit gauge, and the chart says so. Importing this module imports pyqtgraph,
which takes a while; do so after the window is shown. Knows a gauge's arrays and labels; knows
nothing of editors or models.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QWidget

from app.widgets.token_chart import NOWHERE, TokenChart
from core.gauge import Gauge

Style = Qt.PenStyle


@dataclass(frozen=True)
class GaugeLine:
    """One quantity: its name in ``Gauge``, and how it is drawn on light and on dark."""

    key: str
    name: str
    sign: str
    style: Style
    light: str
    dark: str

    def colour(self, dark: bool) -> str:
        """Return the line's colour on a dark or a light surface."""
        return self.dark if dark else self.light


LINES = (
    # Told apart by dashes too, and unlike the colours of A, B and a reward's sign.
    GaugeLine("q", "Q", "—", Style.SolidLine, "#6a3d9a", "#b79cf0"),
    GaugeLine("v", "V", "- -", Style.DashLine, "#555b68", "#a9b0be"),
    GaugeLine("advantage", "Q − V", "···", Style.DotLine, "#00708f", "#56c5e0"),
    GaugeLine("raw", "r raw", "-·-", Style.DashDotLine, "#b0306a", "#ff8fc0"),
)


class QChart(TokenChart):
    """The Q-function along one response, linked with the editors by token index."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side = ""
        self._gauge: Gauge | None = None
        self._labels: tuple[str, ...] = ()
        self._marked = -1
        self._lines: dict[str, Any] = {}
        self._lay_out()
        self.set_theme(False)
        self.clear()

    def _lay_out(self) -> None:
        for line in LINES:
            self._lines[line.key] = pg.PlotDataItem(connect="finite")
            self._item.addItem(self._lines[line.key])
        self.key.setWordWrap(True)
        self.key.setToolTip(
            "Q, V and the raw reward are fixed up to a constant per state; the policy's raw "
            "logits choose it. The advantage Q − V does not depend on that choice. The Bellman "
            "residual is what rounding leaves of r raw = r + V(s) − V(s′)."
        )
        self.setAccessibleName("Chart of Q, V, advantage and raw reward per token")

    # --- what is shown ----------------------------------------------------------------------

    def show_gauge(self, side: str, gauge: Gauge, labels: tuple[str, ...]) -> None:
        """Show one response; the view follows unless the user has zoomed."""
        if side != self._side or len(gauge) <= self._marked:
            self._marked = -1
        self._side, self._gauge, self._labels = side, gauge, labels
        x = np.arange(len(gauge), dtype=np.float64)
        for line in LINES:
            self._lines[line.key].setData(x, self._values(line))
        self._describe()
        if not self._zoomed:
            self.fit()
        self._show_mark()

    def clear(self) -> None:
        """Show that there is nothing to show."""
        self._side, self._gauge, self._labels, self._marked = "", None, (), -1
        for item in self._lines.values():
            item.setData([], [])
        self._describe()
        self._show_mark()

    def highlight(self, side: str, index: int) -> None:
        """Mark one token of the response that is shown; anything else for none."""
        there = side == self._side and self._gauge is not None and 0 <= index < len(self._gauge)
        self._marked = index if there else -1
        self._show_mark()

    def fit(self) -> None:
        """Show all tokens and values, and follow new ones again."""
        super().fit()
        if self._gauge is not None:
            values = np.concatenate([*map(self._values, LINES), [0.0]])
            self._show_range(len(self._gauge), values, room=0.1)

    def set_theme(self, dark: bool) -> None:
        """Draw for a dark or a light theme; the lines keep their dashes and hues."""
        _, faint = self._dress(dark, ("β·nats", "token of the response"))
        self._mark.setPen(pg.mkPen(faint, width=1.5))
        for line in LINES:
            pen = pg.mkPen(line.colour(dark), width=2, style=line.style)
            self._lines[line.key].setPen(pen)
        self._show_axes()
        self._describe()
        self._show_mark()

    def _values(self, line: GaugeLine) -> NDArray[np.float64]:
        values: NDArray[np.float64] = getattr(self._gauge, line.key)
        return values

    def _describe(self) -> None:
        """Write the key, with the largest Bellman residual."""
        if self._gauge is None:
            self.key.setText("The Q-function appears here once a response is scored.")
            return
        names = " &nbsp; ".join(
            f'<b style="color:{line.colour(self._dark)}">{line.sign} {line.name}</b>'
            for line in LINES
        )
        worst = f"{self._gauge.worst_residual:.0e}".replace("-", "\u2212").replace("0e+00", "0")
        self.key.setText(
            f"<b>{self._side}</b> &nbsp; {names} &nbsp; raw-logit gauge · largest Bellman "
            f"residual {worst}"
        )

    def _show_mark(self) -> None:
        """Show the line, dots and note of the marked token."""
        index, gauge = self._marked, self._gauge
        shown = gauge is not None and index >= 0
        for item in (self._mark, self._dots, self._note):
            item.setVisible(shown)
        if gauge is None or not shown:
            return
        values = [float(self._values(line)[index]) for line in LINES]
        self._mark.setValue(index)
        self._dots.setData(
            [index] * len(LINES),
            values,
            brush=[pg.mkBrush(line.colour(self._dark)) for line in LINES],
            pen=None,
        )
        label = self._labels[index] if self._labels else f"token {index}"
        numbers = "   ".join(
            f"{line.name} {value:+.3f}".replace("-", "\u2212")
            for line, value in zip(LINES, values, strict=True)
        )
        self._put_note(index, f"{self._side}  {label}   {numbers}")

    def _token_at(self, scene: QPointF) -> tuple[str, int]:
        column = self._column_at(scene)
        if self._gauge is None or column is None:
            return NOWHERE
        index = int(np.floor(column + 0.5))
        return (self._side, index) if 0 <= index < len(self._gauge) else NOWHERE
