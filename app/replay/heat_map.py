"""Draws a heat map: the tokens of one response as text, below each its colours by checkpoint.

A row per checkpoint, the first at the top, and a column per token, as wide as its label, so that
the head of each band reads as the response itself; long ones wrap into several bands. One widget,
painted from an image per band; bands that are not visible are not painted. Knows labels, steps (or
other names of rows) and an array of values; knows nothing of scorings, runs or what the values
are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.widgets.colour_scale import ColourScale
from app.widgets.drawing import pack, painting, picture_of, smaller, translucent

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Cell = tuple[int, int]
"""A checkpoint's row and a token's column; -1 in either place for none."""
NOWHERE: Cell = (-1, -1)
TALLEST, LOWEST, USUAL_ROOM = theme.ROW, 14, 250
"""Pixels: the most and the least height of a row, and the usual height for a band to fit into."""
NARROWEST = 12.0
GAP = 10
"""Pixels between two bands."""


@dataclass(frozen=True, eq=False)
class HeatData:
    """Steps, tokens' labels, and ``values`` [checkpoints, tokens], NaN where unknown."""

    steps: tuple[int, ...] | tuple[str, ...]
    labels: tuple[str, ...]
    values: Floats


@dataclass(frozen=True, eq=False)
class Band:
    """One band: tokens ``first`` up to ``end``, their left edges and widths in whole pixels."""

    first: int
    end: int
    lefts: Ints
    widths: Ints


EMPTY = HeatData((), (), np.zeros((0, 0)))


class HeatMap(QWidget):
    """A widget of rows of checkpoints over columns of tokens."""

    hovered = Signal(int, int)
    """The checkpoint and token under the mouse, or under the cursor of the keyboard."""
    step_wanted = Signal(int)
    """A row was clicked: this checkpoint is to be shown."""
    token_wanted = Signal(int)
    """A token was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.data = EMPTY
        self.shown = self.selected = -1
        self._scale = ColourScale()
        self.hover: Cell = NOWHERE
        """The cell under the mouse or under the cursor of the keyboard."""
        self._room = USUAL_ROOM
        self._bands: list[Band] = []
        self._images: dict[int, QImage] = {}
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName("Heat map: tokens of the response under each checkpoint")

    # --- what is shown ----------------------------------------------------------------------

    def show_data(self, data: HeatData, scale: ColourScale) -> None:
        """Show values in a scale's colours."""
        same = (data.labels, data.steps) == (self.data.labels, self.data.steps)
        self.data, self._scale = data, scale
        self._images.clear()
        if not same:
            self._say_hover(NOWHERE)
            self._arrange()
        self.update()

    def mark(self, shown: int, selected: int) -> None:
        """Outline a checkpoint's row and a token's label; -1 for none."""
        if (shown, selected) != (self.shown, self.selected):
            self.shown, self.selected = shown, selected
            self.update()

    def set_room(self, height: int) -> None:
        """Choose a row height that lets a band fit into ``height`` pixels, if still readable; what
        does not fit is scrolled."""
        before, self._room = self.row_height, height
        if self.row_height != before:
            self._arrange()
            self.update()

    @property
    def row_height(self) -> int:
        """Return the height of a row in pixels."""
        rows = max(len(self.data.steps), 1)
        return max(LOWEST, min(TALLEST, (self._room - self._head() - GAP) // rows))

    def _head(self) -> int:
        return round(QFontMetricsF(self.font()).height()) + 4

    def _band_height(self) -> int:
        return self._head() + len(self.data.steps) * self.row_height + GAP

    def _gutter(self) -> int:
        metrics = QFontMetricsF(smaller(self.font(), 1.5))
        widest = max((metrics.horizontalAdvance(str(it)) for it in self.data.steps), default=0.0)
        return round(widest) + 22

    def _wrap(self, width: int) -> list[Band]:
        """Return the bands of a width: as many tokens in each as fit."""
        metrics = QFontMetricsF(self.font())
        wide = [max(metrics.horizontalAdvance(t) + 5, NARROWEST) for t in self.data.labels]
        widths = np.ceil(np.asarray(wide)).astype(np.int64)
        room = max(width - self._gutter() - 2, 60)
        widths = np.minimum(widths, room)
        edges = np.append(0, np.cumsum(widths))
        bands: list[Band] = []
        first = 0
        while first < len(widths):
            end = int(np.searchsorted(edges, edges[first] + room, side="right")) - 1
            lefts = self._gutter() + edges[first:end] - edges[first]
            bands.append(Band(first, end, lefts, widths[first:end]))
            first = end
        return bands

    def _arrange(self) -> None:
        self._bands = self._wrap(self.width())
        self._images.clear()
        self.updateGeometry()
        self.setMinimumHeight(self.heightForWidth(self.width()))

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return max(len(self._wrap(width)), 1) * self._band_height()

    def sizeHint(self) -> QSize:
        return QSize(600, self.heightForWidth(max(self.width(), 200)))

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self._band_height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._arrange()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._arrange()

    # --- where things are -------------------------------------------------------------------

    def cell_at(self, where: QPointF) -> Cell:
        """Return the checkpoint (-1 on a label) and token (-1 on a step's number) at a point."""
        number = int(where.y() // max(self._band_height(), 1))
        if not 0 <= number < len(self._bands):
            return NOWHERE
        band = self._bands[number]
        down = where.y() - number * self._band_height() - self._head()
        row = int(down // self.row_height) if down >= 0 else -1
        if row >= len(self.data.steps):
            return NOWHERE
        column = int(np.searchsorted(band.lefts, where.x(), side="right")) - 1
        inside = column >= 0 and where.x() < band.lefts[column] + band.widths[column]
        return row, band.first + column if inside else -1

    def rect_of(self, checkpoint: int, token: int) -> QRectF:
        """Return where a cell is; checkpoint -1 for the token's label."""
        for number, band in enumerate(self._bands):
            if band.first <= token < band.end:
                column = token - band.first
                top = number * self._band_height()
                height = self._head() if checkpoint < 0 else self.row_height
                if checkpoint >= 0:
                    top += self._head() + checkpoint * self.row_height
                return QRectF(float(band.lefts[column]), top, float(band.widths[column]), height)
        return QRectF()

    # --- mouse and keys ---------------------------------------------------------------------

    def _say_hover(self, cell: Cell) -> None:
        if cell != self.hover:
            self.hover = cell
            self.hovered.emit(*cell)
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._say_hover(self.cell_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._say_hover(NOWHERE)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            event.ignore()
            return
        checkpoint, token = self.cell_at(event.position())
        if checkpoint >= 0:
            self.step_wanted.emit(checkpoint)
        elif token >= 0:
            self.token_wanted.emit(token)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move a cursor over the cells by arrows; Enter shows its checkpoint, Space its token."""
        moves = {
            Qt.Key.Key_Left: (0, -1),
            Qt.Key.Key_Right: (0, 1),
            Qt.Key.Key_Up: (-1, 0),
            Qt.Key.Key_Down: (1, 0),
        }
        key = Qt.Key(event.key())
        rows, columns = self.data.values.shape
        checkpoint, token = self.hover
        if key in moves and rows and columns:
            down, right = moves[key]
            if self.hover == NOWHERE:
                checkpoint, token, down, right = max(self.shown, 0), 0, 0, 0
            row = min(max(checkpoint + down, 0), rows - 1)
            self._say_hover((row, min(max(token + right, 0), columns - 1)))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and checkpoint >= 0:
            self.step_wanted.emit(checkpoint)
        elif key == Qt.Key.Key_Space and token >= 0:
            self.token_wanted.emit(token)
        else:
            super().keyPressEvent(event)

    # --- painting ---------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with painting(self) as painter:
            painter.fillRect(event.rect(), QColor(*self._scale.surface))
            self.paint_bands(painter, QRectF(event.rect()))
            if self.hasFocus():
                painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Highlight), 1.5))
                painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))

    def paint_bands(self, painter: QPainter, area: QRectF) -> None:
        """Paint the bands that an area touches."""
        height = self._band_height()
        for number, band in enumerate(self._bands):
            top = number * height
            if top + height >= area.top() and top <= area.bottom():
                self._paint_labels(painter, band, top)
                self._paint_cells(painter, number, band, top + self._head())
                self._paint_steps(painter, top + self._head())
                self._paint_marks(painter, band, top + self._head())

    def _paint_labels(self, painter: QPainter, band: Band, top: int) -> None:
        text = QColor(*self._scale.text)
        metrics = QFontMetricsF(self.font())
        painter.setFont(self.font())
        for column, token in enumerate(range(band.first, band.end)):
            box = QRectF(float(band.lefts[column]), top, float(band.widths[column]), self._head())
            if token == self.selected:
                painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Highlight), 1.5))
                painter.drawRect(box.adjusted(0, 1, -1, -2))
            painter.setPen(text)
            label = metrics.elidedText(
                self.data.labels[token], Qt.TextElideMode.ElideRight, box.width()
            )
            painter.drawText(QPointF(box.left() + 2, top + 1 + metrics.ascent()), label)

    def _paint_cells(self, painter: QPainter, number: int, band: Band, top: int) -> None:
        if number not in self._images:
            values = self.data.values[:, band.first : band.end]
            self._images[number] = _image(values, band.widths, self.row_height, self._scale)
        painter.drawImage(QPointF(float(band.lefts[0]), top), self._images[number])
        unknown = np.flatnonzero(np.isnan(self.data.values).all(axis=1))
        hatch = QBrush(translucent(QColor(*self._scale.text), 55), Qt.BrushStyle.BDiagPattern)
        wide = float(band.widths.sum()) - 1
        for row in unknown.tolist():
            place = QRectF(float(band.lefts[0]), top + row * self.row_height, wide, self.row_height)
            painter.fillRect(place.adjusted(0, 0, 0, -1), hatch)

    def _paint_steps(self, painter: QPainter, top: int) -> None:
        """Paint steps beside the rows, as many as fit: the shown, first and last ones first."""
        font = smaller(self.font(), 1.5)
        metrics = QFontMetricsF(font)
        painter.setFont(font)
        text, rows = QColor(*self._scale.text), len(self.data.steps)
        faint = translucent(text, 170)
        taken: list[int] = []
        for row in dict.fromkeys((self.shown, 0, rows - 1, *range(rows))):
            near = any(abs(row - other) * self.row_height < metrics.height() - 3 for other in taken)
            if row < 0 or near:
                continue
            taken.append(row)
            painter.setPen(text if row == self.shown else faint)
            middle = top + (row + 0.5) * self.row_height
            box = QRectF(0, middle - 12, self._gutter() - 8, 24)
            align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            mark = "▸ " if row == self.shown else ""
            painter.drawText(box, align, f"{mark}{self.data.steps[row]}")

    def _paint_marks(self, painter: QPainter, band: Band, top: int) -> None:
        """Outline the row that is shown and the cell that is pointed at."""
        painter.setBrush(Qt.BrushStyle.NoBrush)
        high, edges = self.row_height, (int(band.lefts[0]), int(band.lefts[-1] + band.widths[-1]))
        if self.shown >= 0:
            painter.setPen(QPen(QColor(*self._scale.text), 1))
            self._outline(painter, edges, top + self.shown * high)
        checkpoint, token = self.hover
        if checkpoint >= 0 and band.first <= token < band.end:
            left = int(band.lefts[token - band.first])
            right = left + int(band.widths[token - band.first])
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Highlight), 1))
            self._outline(painter, (left, right), top + checkpoint * high)

    def _outline(self, painter: QPainter, edges: tuple[int, int], top: int) -> None:
        """Draw around cells of one row, in the pixels that are left free between cells."""
        left, right = edges
        painter.drawRect(left - 1, top, right - left, self.row_height - 1)


def _image(values: Floats, widths: Ints, high: int, scale: ColourScale) -> QImage:
    """Return values [m, n] as a picture of cells ``widths`` by ``high``; a pixel at the right and
    one above and below each are free."""
    pixels = np.repeat(np.repeat(pack(scale.colours(values)), widths, axis=1), high, axis=0)
    free = pack(scale.surface)
    pixels[:, np.cumsum(widths) - 1] = pixels[high - 1 :: high] = pixels[::high] = free
    return picture_of(pixels)
