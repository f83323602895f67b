"""Shows the history of the texts as a slim strip: a dot for each state, its height the margin.

At the left it tells of the state that is pointed at, else of the one on the screen. Clicks and keys
say which state is wanted, to be compared or to be named. Knows rows of words and numbers; knows
nothing of texts, scores or the engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QFrame, QMenu, QSizePolicy, QToolTip, QWidget

from app import theme
from app.widgets.drawing import painting, smaller, translucent

HIGH = 42
LEAST_APART, MOST_APART = 11.0, 56.0
"""Pixels from one dot to the next."""
TELLS = 0.3
"""Share of the width in which a state is told of."""
LEAST_TELLS, MOST_TELLS = 170.0, 330.0
NEAR = 14.0
"""Pixels from a dot within which a click means it."""
HOW = (
    "Click to go back to it; Shift+click to compare it with what is on the screen, as A and B. "
    "With the keys: arrows, Enter, Shift+Enter, F2 for a name."
)


@dataclass(frozen=True)
class Row:
    """A state as the strip shows it."""

    number: int
    """Of its point."""
    title: str
    """What changed."""
    figures: str
    """Its sums and margin, in words."""
    value: float
    """What the dot's height says; NaN where it is not known."""
    side: str = ""
    """Of an edit of one response, "A" or "B"."""
    name: str = ""


class HistoryStrip(QFrame):
    """A strip of dots, the first state at the left."""

    wanted = Signal(int)
    """The user wants to go back to this point."""
    compare_wanted = Signal(int)
    """The user wants this point and what is on the screen as A and B."""
    name_wanted = Signal(int)
    """The user wants to name this point."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self.rows: list[Row] = []
        self.now = 0
        """The number of the point that is on the screen; 0 for none."""
        self._hover = self._cursor = -1
        self.menu = QMenu(self)
        self.setFixedHeight(HIGH)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("History of the texts")
        self.hide()

    def sizeHint(self) -> QSize:
        return QSize(600, HIGH)

    # --- what is shown ------------------------------------------------------------------------

    def show_rows(self, rows: list[Row], now: int) -> None:
        """Show these states, the one of number ``now`` as the one on the screen."""
        if len(rows) != len(self.rows) or now != self.now:
            self._hover = self._cursor = -1
        self.rows, self.now = rows, now
        self._describe()
        self.update()

    def told(self) -> int:
        """Return the place of the state that is told of: pointed at, else on the screen; or -1."""
        for place in (self._hover, self._cursor):
            if 0 <= place < len(self.rows):
                return place
        return self._place_of(self.now)

    def sentence(self) -> str:
        """Return what is told of that state; "" for none."""
        place = self.told()
        if place < 0:
            return ""
        row = self.rows[place]
        name = f"{row.name}: " if row.name else ""
        return f"{name}{_title(row)} ({place + 1} of {len(self.rows)}). {row.figures}"

    def _describe(self) -> None:
        self.setAccessibleDescription(self.sentence())

    def _place_of(self, number: int) -> int:
        return next((i for i, row in enumerate(self.rows) if row.number == number), -1)

    # --- where it is --------------------------------------------------------------------------

    def _room(self) -> QRectF:
        """Return where dots are drawn."""
        left = 12 + min(max(TELLS * self.width(), LEAST_TELLS), MOST_TELLS)
        return QRectF(left + 12, 15, max(self.width() - left - 30, 20), HIGH - 23)

    def _xs(self) -> list[float]:
        """Return where each dot is, in pixels from the left; those out of sight are outside."""
        room, count = self._room(), len(self.rows)
        apart = min(max(room.width() / max(count - 1, 1), LEAST_APART), MOST_APART)
        beyond = max((count - 1) * apart - room.width(), 0.0)
        shown = self._cursor if self._cursor >= 0 else self._place_of(self.now)
        keep = max(shown, 0) * apart
        first = min(beyond, max(keep - room.width() / 2, 0.0)) if beyond else 0.0
        return [room.left() + place * apart - first for place in range(count)]

    def point_at(self, number: int) -> QPointF:
        """Return where a point's dot is, in the strip."""
        place = self._place_of(number)
        return QPointF(self._xs()[place], self._ys()[place])

    def _ys(self) -> list[float]:
        room = self._room()
        values = np.array([row.value for row in self.rows])
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        if high - low < 1e-9:
            return [room.center().y()] * len(values)
        shares = np.where(np.isfinite(values), (values - low) / (high - low), 0.5)
        return [room.bottom() - float(share) * room.height() for share in shares]

    def _near(self, x: float) -> int:
        """Return the place of the dot at x pixels, or -1."""
        room = self._room()
        if not self.rows or not room.left() - NEAR <= x <= room.right() + NEAR:
            return -1
        away = [abs(at - x) for at in self._xs()]
        place = int(np.argmin(away))
        return place if away[place] <= NEAR + MOST_APART / 2 else -1

    # --- mouse and keys -----------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._point_at(self._near(event.position().x()))

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._point_at(-1)

    def _point_at(self, place: int) -> None:
        if place != self._hover:
            self._hover = place
            self.setCursor(
                Qt.CursorShape.PointingHandCursor if place >= 0 else Qt.CursorShape.ArrowCursor
            )
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        place = self._near(event.position().x())
        if event.button() != Qt.MouseButton.LeftButton or place < 0:
            super().mousePressEvent(event)
            return
        compares = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        (self.compare_wanted if compares else self.wanted).emit(self.rows[place].number)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        by_mouse = event.reason() == QContextMenuEvent.Reason.Mouse
        place = self._near(event.pos().x()) if by_mouse else self.told()
        if place >= 0:
            self.show_menu(self.rows[place].number)

    def show_menu(self, number: int) -> None:
        """Show what can be done with a point."""
        self.menu.clear()
        for title, signal in (
            ("&Go back to it", self.wanted),
            ("&Compare with now as A and B", self.compare_wanted),
            ("&Name…", self.name_wanted),
        ):
            entry = self.menu.addAction(title)
            entry.triggered.connect(lambda _=False, signal=signal: signal.emit(number))
            entry.setEnabled(signal is self.name_wanted or number != self.now)
        self.menu.popup(self.mapToGlobal(self.point_at(number).toPoint()))

    def event(self, event: QEvent) -> bool:
        asked = event.type() == QEvent.Type.ShortcutOverride
        if asked and isinstance(event, QKeyEvent) and _alt_arrow(event):
            event.accept()  # or the checkpoints would have the key
            return True
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            place = self._near(event.pos().x())
            said = f"{self.sentence()}\n\n{HOW}" if place >= 0 else HOW
            QToolTip.showText(event.globalPos(), said, self)
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        place, last = self.told(), len(self.rows) - 1
        key = event.key()
        moves = {
            Qt.Key.Key_Left: place - 1,
            Qt.Key.Key_Right: place + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        if place < 0:
            super().keyPressEvent(event)
        elif key in moves:
            self._hover, self._cursor = -1, min(max(moves[Qt.Key(key)], 0), last)
            self._describe()
            self.update()
            if _alt_arrow(event):
                self.wanted.emit(self.rows[self._cursor].number)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            compares = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            (self.compare_wanted if compares else self.wanted).emit(self.rows[place].number)
        elif key == Qt.Key.Key_F2:
            self.name_wanted.emit(self.rows[place].number)
        else:
            super().keyPressEvent(event)

    # --- painting -----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            palette = self.palette()
            accent = palette.color(QPalette.ColorRole.Highlight)
            if self.hasFocus():
                painter.setPen(QPen(accent, 1.5))
                painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)
            if self.rows:
                self._paint_words(painter)
                self._paint_dots(painter, accent)

    def _paint_words(self, painter: QPainter) -> None:
        """Tell of one state: what changed, and below it the numbers."""
        palette, place = self.palette(), self.told()
        row = self.rows[place] if place >= 0 else None
        wide = self._room().left() - 24
        title = "History" if row is None else row.name or _title(row)
        figures = "" if row is None else f"{place + 1} of {len(self.rows)} · {row.figures}"
        font = self.font()
        font.setBold(True)
        base = 4.0
        for words, one, colour in (
            (title, font, palette.color(QPalette.ColorRole.WindowText)),
            (figures, smaller(self.font(), 1.0), palette.color(QPalette.ColorRole.PlaceholderText)),
        ):
            metrics = QFontMetricsF(one)
            painter.setFont(one)
            painter.setPen(colour)
            line = metrics.elidedText(words, Qt.TextElideMode.ElideRight, wide)
            painter.drawText(QPointF(12, base + metrics.ascent()), line)
            base += metrics.height()

    def _paint_dots(self, painter: QPainter, accent: QColor) -> None:
        palette, room = self.palette(), self._room()
        text = palette.color(QPalette.ColorRole.WindowText)
        sides = theme.SIDE_COLOURS[theme.is_dark_palette(palette)]
        points = list(map(QPointF, self._xs(), self._ys()))
        painter.setClipRect(room.adjusted(-9, -15, 9, 9))
        painter.setPen(QPen(translucent(text, 80), 1.3))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF(points))
        here, told = self._place_of(self.now), self.told()
        for place, (point, row) in enumerate(zip(points, self.rows, strict=True)):
            colour = QColor(sides[row.side]) if row.side in sides else translucent(text, 190)
            known = bool(np.isfinite(row.value))
            painter.setPen(QPen(colour, 1.4))
            painter.setBrush(colour if known else palette.color(QPalette.ColorRole.Base))
            painter.drawEllipse(point, 3.2, 3.2)
            if place in (here, told):
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(accent if place == here else text, 1.8))
                painter.drawEllipse(point, 6.5, 6.5)
        self._paint_names(painter, points, text)
        painter.setClipping(False)

    def _paint_names(self, painter: QPainter, points: Sequence[QPointF], text: QColor) -> None:
        """Write the names over their dots, as far as there is room up to the next name."""
        font = smaller(self.font(), 1.5)
        metrics = QFontMetricsF(font)
        painter.setFont(font)
        painter.setPen(text)
        named = [place for place, row in enumerate(self.rows) if row.name]
        for this, after in pairwise([*named, -1]):
            left = points[this].x() - 4
            right = points[after].x() - 10 if after >= 0 else self.width() - 6.0
            words = metrics.elidedText(
                self.rows[this].name, Qt.TextElideMode.ElideRight, right - left
            )
            painter.drawText(QPointF(left, 1 + metrics.ascent()), words)


def _title(row: Row) -> str:
    return f"{row.side}: {row.title}" if row.side and row.title else row.title or "The first texts"


def _alt_arrow(event: QKeyEvent) -> bool:
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    keys = Qt.Key.Key_Left, Qt.Key.Key_Right
    return modifiers == Qt.KeyboardModifier.AltModifier and event.key() in keys
