"""A picture of a tree put on the screen: batches of rectangles, and text where it can be read.

Everything but text is a filled rectangle, drawn in one call per colour from an array, without
smoothing. What is outside of the window is left out. Seen from afar, boxes are bars whose
thickness is the token's probability, put into the pixels of an image without a painter; nearer
they are boxes, and nearer still they carry text. Knows Qt's painter; knows nothing of widgets.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import shiboken6
from numpy.typing import NDArray
from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QPainter,
    QPen,
    QStaticText,
    QTransform,
)

from app import theme
from app.search.layout import GAP, PAD, Flags, Floats, Ints
from app.search.picture import BOTH, ONLY_HERE, Picture
from app.widgets.colour_scale import ColourScale, Rgb, from_oklab, oklab
from core.growth import Status

ROW = 27.0
"""From one row to the next."""
BOX = 21.0
"""Height of a box."""
LETTERS = 13
"""Size of the letters in pixels, unzoomed."""
READABLE = 14.0
"""Boxes at least as high as this, in pixels, carry text."""
SOLID = 5.0
"""Boxes lower than this are bars."""
THICKEST = 7.0
_KEPT_TEXTS = 6000


def letters_font(pixels: int = LETTERS) -> QFont:
    """The font of the boxes."""
    font = theme.reading_font(10)
    font.setPixelSize(pixels)
    return font


@dataclass(frozen=True)
class Viewpoint:
    """Where one stands: ``left`` and ``top`` in layout units at the window's corner."""

    zoom: float = 1.0
    left: float = 0.0
    top: float = 0.0

    def x(self, values: Floats) -> Floats:
        pixels: Floats = (values - self.left) * self.zoom
        return pixels

    def y(self, rows: Ints) -> Floats:
        """The top of boxes in these rows."""
        pixels: Floats = (rows.astype(np.float64) * ROW - self.top) * self.zoom
        return pixels

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point of the window as layout x and row; the gap between rows belongs to none."""
        down = y / self.zoom + self.top
        row = down / ROW
        return x / self.zoom + self.left, row if down - np.floor(row) * ROW <= BOX else -1.0


@dataclass(frozen=True)
class Ink:
    """The colours of one theme and one scale; compared by value, kept as long as they hold."""

    scale: ColourScale = field(default_factory=ColourScale)

    @property
    def colours(self) -> theme.Colours:
        return theme.colours(self.scale.dark)

    @cached_property
    def fills(self) -> list[QColor]:
        """Boxes by class: strong, then faint."""
        return _colours(np.concatenate([self.scale.palette, self.scale.faded]))

    @cached_property
    def bars(self) -> list[QColor]:
        """Bars by class: as the boxes, but grey at 0, since they have no outline."""
        ends = oklab(self.scale.palette)
        value = np.linspace(-1, 1, len(ends))[:, None]
        grey, paper = oklab(_rgb(self.colours.muted)), oklab(_rgb(self.colours.window))
        share = np.abs(value) ** 0.6
        far = np.where(value < 0, ends[0], ends[-1])
        strong = (0.45 * paper + 0.55 * grey) * (1 - share) + far * share
        faint = 0.66 * paper + 0.34 * strong
        return _colours(np.clip(from_oklab(np.concatenate([strong, faint])), 0, 255))

    @cached_property
    def edges(self) -> list[QColor]:
        """Lines: strong, faint, best."""
        c = self.colours
        grey, paper = oklab(_rgb(c.muted)), oklab(_rgb(c.window))
        greys = from_oklab(np.stack([0.35 * paper + 0.65 * grey, 0.72 * paper + 0.28 * grey]))
        return [*_colours(np.clip(greys, 0, 255)), QColor(c.accent)]

    @cached_property
    def text(self) -> QColor:
        return QColor(*self.scale.text)

    @cached_property
    def sides(self) -> list[QColor]:
        """What only one of two trees has: here, there."""
        found = theme.SIDE_COLOURS[self.scale.dark]
        return [QColor(found["A"]), QColor(found["B"])]


def _colours(rgb: NDArray[np.generic]) -> list[QColor]:
    return [QColor(int(r), int(g), int(b)) for r, g, b in np.asarray(rgb)]


def _rgb(name: str) -> Rgb:
    colour = QColor(name)
    return colour.red(), colour.green(), colour.blue()


class Fill(Protocol):
    """Fills rectangles, [n, 4] as x, y, width, height; the colour of each by ``index``, [n]."""

    def __call__(self, rects: Floats, colours: list[QColor], index: Ints | None = None) -> None: ...


class Brushes:
    """Fills with the painter: one call per colour. For boxes of some size."""

    def __init__(self, painter: QPainter) -> None:
        self._painter = painter

    def __call__(self, rects: Floats, colours: list[QColor], index: Ints | None = None) -> None:
        if not len(rects):
            return
        self._painter.setPen(Qt.PenStyle.NoPen)
        if index is None:
            index = np.zeros(len(rects), dtype=np.int64)
        order = np.argsort(index, kind="stable")
        rects, index = np.ascontiguousarray(rects[order]), index[order]
        cuts = np.flatnonzero(np.diff(index)) + 1
        for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(index)], strict=True):
            part = rects[start:stop]
            self._painter.setBrush(colours[int(index[start])])
            # The array's memory is what C++ has in an array of QRectF: four doubles each.
            first = shiboken6.wrapInstance(part.ctypes.data, QRectF)
            self._painter.drawRects(first, len(part))  # type: ignore[call-overload]


class Pixels:
    """Fills pixels of an image: for thousands of specks, where a painter's calls would be slow."""

    def __init__(self) -> None:
        self._ratio = 1.0
        self._pixels = np.zeros((1, 1), dtype=np.uint32)

    def clear(self, size: QSize, ratio: float, paper: QColor) -> None:
        """Begin anew; the memory is kept while the size stays."""
        high, wide = max(round(size.height() * ratio), 1), max(round(size.width() * ratio), 1)
        if self._pixels.shape != (high, wide):
            self._pixels = np.zeros((high, wide), dtype=np.uint32)
        self._ratio = ratio
        self._pixels.fill(paper.rgb())

    def __call__(self, rects: Floats, colours: list[QColor], index: Ints | None = None) -> None:
        high, wide = self._pixels.shape
        ratio = self._ratio
        left = np.rint(rects[:, 0] * ratio).clip(0, wide).astype(np.int64)
        top = np.rint(rects[:, 1] * ratio).clip(0, high).astype(np.int64)
        right = np.rint((rects[:, 0] + rects[:, 2]) * ratio).clip(0, wide).astype(np.int64)
        bottom = np.rint((rects[:, 1] + rects[:, 3]) * ratio).clip(0, high).astype(np.int64)
        across = right - left
        counts = across * (bottom - top)
        of = np.repeat(np.arange(len(rects)), counts)
        nth = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
        down, along = np.divmod(nth, across[of])
        values = np.array([colour.rgb() for colour in colours], dtype=np.uint32)
        ink = values[0] if index is None else values[index][of]
        self._pixels[top[of] + down, left[of] + along] = ink

    def put(self, painter: QPainter) -> None:
        """Draw all pixels. The image looks at the array's memory, so it must not stay."""
        high, wide = self._pixels.shape
        form = QImage.Format.Format_RGB32
        image = QImage(self._pixels.data, wide, high, 4 * wide, form)
        image.setDevicePixelRatio(self._ratio)
        painter.drawImage(0, 0, image)


class Tools:
    """What painting keeps from one time to the next: texts of one size, and an image."""

    def __init__(self) -> None:
        self.font = letters_font()
        self.metrics = QFontMetricsF(self.font)
        self.pixels = Pixels()
        self._kept: dict[tuple[str, int], QStaticText] = {}

    def set_size(self, pixels: int) -> None:
        if pixels != self.font.pixelSize():
            self.font = letters_font(pixels)
            self.metrics = QFontMetricsF(self.font)
            self._kept.clear()

    def get(self, label: str, room: float) -> QStaticText:
        """The label, with letters left out of its middle where it is wider than ``room``."""
        key = label, int(room)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) > _KEPT_TEXTS:
                self._kept.clear()
            shown = label
            if self.metrics.horizontalAdvance(label) > room + 2:
                shown = self.metrics.elidedText(label, Qt.TextElideMode.ElideMiddle, room)
            text = QStaticText(shown)
            text.setTextFormat(Qt.TextFormat.PlainText)
            text.prepare(QTransform(), self.font)
            found = self._kept[key] = text
        return found


def paint(
    painter: QPainter, size: QSize, picture: Picture, view: Viewpoint, ink: Ink, tools: Tools
) -> int:
    """Draw what is in the window; how many entries that was."""
    placed = picture.placed
    if placed is None:
        return 0
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    high = BOX * view.zoom
    paper = QColor(ink.colours.window)
    far = high < SOLID
    fill: Fill = tools.pixels if far else Brushes(painter)
    left, top = np.round(view.x(placed.x)), np.round(view.y(placed.row))
    right = np.round(view.x(placed.x + placed.width))
    seen = placed.shown & (right > -GAP * view.zoom) & (left < size.width() + GAP * view.zoom)
    inside = seen & (top + high > 0) & (top < size.height())
    if far:
        tools.pixels.clear(size, painter.device().devicePixelRatio(), paper)
    else:
        painter.fillRect(QRect(QPoint(), size), paper)
    _connect(fill, size, picture, view, ink, seen)
    entries = np.flatnonzero(inside)
    if far:
        _bars(fill, picture, ink, entries, left, right, top, high)
        tools.pixels.put(painter)
    else:
        _boxes(fill, painter, picture, ink, entries, left, right, top, high)
    if high >= READABLE:
        _letters(painter, size, picture, view, ink, tools, entries)
    return len(entries)


def _heads(picture: Picture, mask: Flags) -> Ints:
    assert picture.placed is not None
    return np.flatnonzero(mask & (picture.placed.head == np.arange(len(mask))))


def _connect(
    fill: Fill, size: QSize, picture: Picture, view: Viewpoint, ink: Ink, seen: Flags
) -> None:
    """The lines from each box to those that hang on it, as thick as the first token is likely."""
    placed = picture.placed
    assert placed is not None
    heads = _heads(picture, seen)
    heads = heads[heads > 0]
    above = placed.above[heads]
    middle = BOX / 2 * view.zoom
    y, y_above = view.y(placed.row[heads]) + middle, view.y(placed.row[above]) + middle
    keep = (y > -2) & (y_above < size.height() + 2)
    heads, above, y, y_above = heads[keep], above[keep], y[keep], y_above[keep]
    x = view.x(placed.x[heads])
    gap = GAP * view.zoom
    thick = np.clip(THICKEST * view.zoom * picture.chance[heads], 1.0, None)
    kind = np.where(picture.best[heads], 2, np.where(picture.faint[heads], 1, 0))
    lower = y > y_above + 0.5
    start = np.where(lower, x - gap / 2, np.round(view.x(placed.x[above] + placed.box[above])))
    across = np.stack([start, y - thick / 2, x - start, thick], axis=1)
    thin = max(1.0, 1.5 * view.zoom)
    trunk = x - gap / 2 - thin / 2
    # A trunk of thousands of rows is cut to the window: rectangles must fit Qt's coordinates.
    first, last = np.maximum(y_above, -4), np.minimum(y, size.height() + 4)
    down = np.stack([trunk, first, np.full(len(x), thin), np.maximum(last - first, 0)], axis=1)
    for which in (1, 0, 2):
        mine = kind == which
        fill(np.concatenate([down[mine & lower], across[mine]]), [ink.edges[which]])


def _bars(
    fill: Fill,
    picture: Picture,
    ink: Ink,
    entries: Ints,
    left: Floats,
    right: Floats,
    top: Floats,
    high: float,
) -> None:
    """From afar: each token a bar, as thick as it is likely."""
    faint = picture.faint[entries]
    thick = np.maximum(1.0, np.round(high * (0.3 + 0.7 * picture.chance[entries])))
    rects = np.stack(
        [
            left[entries],
            np.round(top[entries] + (high - thick) / 2),
            np.maximum(right[entries] - left[entries], 1.0),
            thick,
        ],
        axis=1,
    )
    classes = picture.classes[entries] + len(ink.scale.palette) * faint
    for which in (faint, ~faint):
        fill(rects[which], ink.bars, classes[which])
    marked = picture.best[entries]
    fill(_underlines(rects[marked], high), [QColor(ink.colours.accent)])
    found = np.isin(entries, list(picture.found))
    fill(_grown(rects[found], 1.0), [QColor(FOUND[ink.scale.dark])])
    if picture.only is not None:
        sided = picture.only[entries]
        fill(_underlines(rects[sided != BOTH], high), ink.sides, _side(sided))


FOUND = {False: "#c99700", True: "#ffd24a"}
"""Around what was searched for."""


def _side(only: Ints) -> Ints:
    return np.where(only[only != BOTH] == ONLY_HERE, 0, 1)


def _underlines(rects: Floats, high: float) -> Floats:
    lines = rects.copy()
    lines[:, 1] += rects[:, 3]
    lines[:, 3] = max(1.0, round(high / 4))
    return lines


def _grown(rects: Floats, by: float) -> Floats:
    grown: Floats = rects + np.array([-by, -by, 2 * by, 2 * by])
    return grown


def _boxes(
    fill: Fill,
    painter: QPainter,
    picture: Picture,
    ink: Ink,
    entries: Ints,
    left: Floats,
    right: Floats,
    top: Floats,
    high: float,
) -> None:
    """Boxes with an outline around each token or folded run."""
    placed = picture.placed
    assert placed is not None
    tall = round(high)
    rects = np.stack(
        [left[entries], top[entries], right[entries] - left[entries], np.full(len(entries), tall)],
        axis=1,
    )
    faint = picture.faint[entries]
    best, c = picture.best[entries], ink.colours
    # Outlines are larger rectangles below: tokens of one run are one box, so they join there.
    fill(_grown(rects[faint], 1), [ink.edges[1]])
    fill(_grown(rects[~faint], 1), [ink.edges[0]])
    fill(_grown(rects[best], 2), [QColor(c.accent)])
    found = np.isin(entries, list(picture.found))
    fill(_grown(rects[found], 3), [QColor(FOUND[ink.scale.dark])])
    classes = picture.classes[entries] + len(ink.scale.palette) * faint
    fill(rects, ink.fills, classes)
    _marks(fill, painter, picture, ink, entries, rects, high)


def _marks(
    fill: Fill,
    painter: QPainter,
    picture: Picture,
    ink: Ink,
    entries: Ints,
    rects: Floats,
    high: float,
) -> None:
    """Ends of finished hypotheses, given responses, pins, and what only one tree has."""
    tree, c = picture.tree, ink.colours
    unit = max(1.0, round(high / 7))
    ended = rects[tree.status[entries] == Status.FINISHED].copy()
    ended[:, 0] += ended[:, 2] - unit
    ended[:, 2] = unit
    fill(ended, [ink.text])
    for x, y, wide, tall in rects[picture.given[entries]].tolist():
        painter.setPen(QPen(ink.text, max(1.0, high / 12), Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x, y + tall + 1.5), QPointF(x + wide, y + tall + 1.5))
    pinned = np.isin(entries, list(picture.pinned))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(c.window), 1))
    painter.setBrush(QColor(c.accent))
    for x, y, *_ in rects[pinned].tolist():
        painter.drawEllipse(QPointF(x + 1, y + 1), high / 5, high / 5)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    if picture.only is not None:
        sided = picture.only[entries]
        stripes = rects[sided != BOTH].copy()
        stripes[:, 1] += stripes[:, 3] - unit
        stripes[:, 3] = unit
        fill(stripes, ink.sides, _side(sided))


def _letters(
    painter: QPainter,
    size: QSize,
    picture: Picture,
    view: Viewpoint,
    ink: Ink,
    tools: Tools,
    entries: Ints,
) -> None:
    """The label of every box that is seen, and how much a collapsed one hides."""
    placed = picture.placed
    assert placed is not None
    tools.set_size(max(6, round(LETTERS * view.zoom)))
    painter.setFont(tools.font)
    heads = np.unique(placed.head[entries])
    pad = PAD * view.zoom
    x = view.x(placed.x[heads]) + pad
    drop = (BOX * view.zoom - tools.metrics.height()) / 2
    y = np.round(view.y(placed.row[heads]) + drop)
    strong, faint = ink.text, QColor(ink.colours.muted)
    is_faint = picture.faint[heads].tolist()
    for pale in (True, False):
        painter.setPen(faint if pale else strong)
        for i, head in enumerate(heads.tolist()):
            if is_faint[i] is pale:
                room = float(placed.box[head]) * view.zoom - 2 * pad + 1
                label = tools.get(picture.box_label(head), room)
                painter.drawStaticText(QPointF(round(x[i]), y[i]), label)
    painter.setPen(faint)
    for entry in entries[placed.inside[entries] > 0].tolist():
        note = tools.get(f"+{int(placed.inside[entry])}", 1e9)
        at = view.x(placed.x[entry] + placed.width[entry]) + pad / 2
        painter.drawStaticText(QPointF(float(at), float(view.y(placed.row[entry])) + drop), note)
