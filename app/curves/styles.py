"""Gives each run a hue, and each curve of a chart a line and a mark.

The hues are Okabe and Ito's, darker on white and lighter on black, so that colour-blind readers
tell runs apart. Curves of one run share its hue and differ by dashes, lightness and marks, so that
nothing hangs on colour alone. Knows colours; knows nothing of runs or logs.
"""

from dataclasses import dataclass

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPen
from PySide6.QtWidgets import QApplication

from app import theme
from app.widgets.drawing import draw_picture, mix, translucent
from core.runs.records import EVAL

HUES = {
    False: ("#0072b2", "#c04a00", "#00805d", "#a8437f", "#9a6700", "#2b7fa8", "#5b5b5b", "#7a5230"),
    True: ("#5fb0ec", "#ff8a4a", "#2fc79b", "#e59ac4", "#f0b23c", "#8fd3f5", "#c4c4c4", "#cfa27c"),
}
Dash = Qt.PenStyle


@dataclass(frozen=True, slots=True)
class CurveStyle:
    """A curve's line, its share of the hue, its mark at points, and that mark's sign in the key."""

    dash: Dash
    strength: float
    mark: str
    mark_sign: str


CURVE_STYLES = (
    CurveStyle(Dash.SolidLine, 1.0, "o", "●"),
    CurveStyle(Dash.DashLine, 0.62, "t", "▼"),
    CurveStyle(Dash.DotLine, 0.85, "d", "◆"),
    CurveStyle(Dash.DashDotLine, 0.72, "s", "■"),
    CurveStyle(Dash.DashDotDotLine, 0.52, "t1", "▲"),
)

SET_MARKS = (("star", "☆"), ("h", "⬡"), ("x", "×"), ("+", "+"))
"""Marks of the curves of evaluation sets that have names, and their signs."""


def mark(style: CurveStyle, source: str, rank: int) -> tuple[str, str]:
    """Return the mark of a curve that the training itself did not log, and its sign in the key.

    Args:
        rank: of its evaluation set among those with a name, from 1; 0 for others.
    """
    if rank:
        return SET_MARKS[(rank - 1) % len(SET_MARKS)]
    return style.mark, "○" if source == EVAL else "●"


def hue(place: int, dark: bool) -> QColor:
    """Return the colour of a run; after the last one they begin again."""
    return QColor(HUES[dark][place % len(HUES[dark])])


def shade(place: int, style: CurveStyle, dark: bool) -> QColor:
    """Return a run's hue, mixed with the surface as the style says."""
    return mix(QColor(theme.colours(dark).surface), hue(place, dark), style.strength)


def line_sample(style: CurveStyle, dark: bool) -> str:
    """Return a piece of a curve's line for the key of a chart, as rich text, in no run's hue."""
    wide, high = 38, 10
    colour = translucent(theme.colours(dark).text, round(255 * style.strength))

    def draw(painter: QPainter) -> None:
        painter.setPen(QPen(colour, 2, style.dash))
        painter.drawLine(1, high // 2, wide - 1, high // 2)

    picture = draw_picture(wide, high, 2, draw)
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    picture.save(buffer, "PNG")
    code = bytes(data.toBase64().data()).decode()
    return f'<img src="data:image/png;base64,{code}" width="{wide}" height="{high}">'


def swatch(place: int, dark: bool, size: int = 12) -> QIcon:
    """Return a run's colour as an icon."""

    def draw(painter: QPainter) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(hue(place, dark))
        painter.drawRoundedRect(0, 0, size, size, 3, 3)

    application = QApplication.instance()
    ratio = application.devicePixelRatio() if isinstance(application, QApplication) else 1.0
    return QIcon(draw_picture(size, size, ratio, draw))
