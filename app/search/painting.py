"""Paints a picture of a tree: batches of rectangles, and text where it can be read.

Everything but text is a filled rectangle, drawn in one call per colour from an array, without
smoothing (app.search.rectangles). What is outside of the window is left out. Seen from afar, boxes
are bars whose thickness is the token's probability; nearer they are boxes, and nearer still they
carry text. Knows Qt's painter; knows nothing of widgets.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPoint, QPointF, QRect, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QPainter,
    QPen,
    QStaticText,
    QTransform,
)

from app import theme
from app.search.layout import GAP, PAD, Flags, Floats, Ints
from app.search.picture import BOTH, ONLY_HERE, Picture
from app.search.rectangles import Brushes, Fill, Pixels
from app.search.viewpoint import BOX, Viewpoint
from app.widgets.colour_scale import ColourScale, Rgb, from_oklab, oklab
from app.widgets.recent_cache import RecentCache
from core.search.grown import Status

LETTERS = 13
"""Size of the letters in pixels, unzoomed."""
READABLE = 14.0
"""Boxes at least as high as this, in pixels, carry text."""
SOLID = 5.0
"""Boxes lower than this are bars."""
THICKEST = 7.0


def letters_font(pixels: int = LETTERS) -> QFont:
    """Return the font of the boxes."""
    font = theme.reading_font(10)
    font.setPixelSize(pixels)
    return font


@dataclass(frozen=True)
class TreeInk:
    """The colours of one theme and one scale, made when first used; compared by value."""

    scale: ColourScale = field(default_factory=ColourScale)

    @property
    def colours(self) -> theme.Colours:
        """Return the theme's colours."""
        return theme.colours(self.scale.dark)

    @cached_property
    def fills(self) -> list[QColor]:
        """Return the colours of boxes by class."""
        return _colours(self.scale.palette)

    @cached_property
    def bars(self) -> list[QColor]:
        """Return the colours of bars by class: as boxes, but grey at 0, as they have no outline."""
        ends = oklab(self.scale.palette)
        value = np.linspace(-1, 1, len(ends))[:, None]
        grey, paper = oklab(_rgb(self.colours.muted)), oklab(_rgb(self.colours.window))
        share = np.abs(value) ** 0.6
        far = np.where(value < 0, ends[0], ends[-1])
        mixed = (0.45 * paper + 0.55 * grey) * (1 - share) + far * share
        return _colours(np.clip(from_oklab(mixed), 0, 255))

    @cached_property
    def edges(self) -> list[QColor]:
        """Return the colours of lines: to what was kept, to what was pruned, to the best."""
        c = self.colours
        grey, paper = oklab(_rgb(c.muted)), oklab(_rgb(c.window))
        greys = from_oklab(np.stack([0.35 * paper + 0.65 * grey, 0.72 * paper + 0.28 * grey]))
        return [*_colours(np.clip(greys, 0, 255)), QColor(c.accent)]

    @cached_property
    def text(self) -> QColor:
        """Return the colour of letters."""
        return QColor(*self.scale.text)

    @cached_property
    def sides(self) -> list[QColor]:
        """Return the colours of what only one of two trees has: here, there."""
        found = theme.SIDE_COLOURS[self.scale.dark]
        return [QColor(found["A"]), QColor(found["B"])]


def _colours(rgb: NDArray[np.generic]) -> list[QColor]:
    return [QColor(int(r), int(g), int(b)) for r, g, b in np.asarray(rgb)]


def _rgb(name: str) -> Rgb:
    colour = QColor(name)
    return colour.red(), colour.green(), colour.blue()


class PaintCache:
    """A cache from one painting to the next: prepared texts of one size, and an image."""

    def __init__(self) -> None:
        self.font = letters_font()
        self.metrics = QFontMetricsF(self.font)
        self.pixels = Pixels()
        self._texts: RecentCache[QStaticText] = RecentCache(6000)

    def set_size(self, pixels: int) -> None:
        """Use letters of another size."""
        if pixels != self.font.pixelSize():
            self.font = letters_font(pixels)
            self.metrics = QFontMetricsF(self.font)
            self._texts.clear()

    def get(self, label: str, room: float) -> QStaticText:
        """Return the label, with letters left out of its middle where it is wider than ``room``."""
        key = label, int(room)
        found = self._texts.get(key)
        if found is None:
            shown = label
            if self.metrics.horizontalAdvance(label) > room + 2:
                shown = self.metrics.elidedText(label, Qt.TextElideMode.ElideMiddle, room)
            text = QStaticText(shown)
            text.setTextFormat(Qt.TextFormat.PlainText)
            text.prepare(QTransform(), self.font)
            found = self._texts.put(key, text)
        return found


def paint(
    painter: QPainter,
    size: QSize,
    picture: Picture,
    view: Viewpoint,
    ink: TreeInk,
    cache: PaintCache,
) -> int:
    """Draw what is in the window; return how many entries that was."""
    placed = picture.placed
    if placed is None:
        return 0
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    high = BOX * view.zoom
    paper = QColor(ink.colours.window)
    far = high < SOLID
    fill: Fill = cache.pixels if far else Brushes(painter)
    left, top = np.round(view.x(placed.x)), np.round(view.y(placed.row))
    right = np.round(view.x(placed.x + placed.width))
    seen = placed.shown & (right > -GAP * view.zoom) & (left < size.width() + GAP * view.zoom)
    inside = seen & (top + high > 0) & (top < size.height())
    if far:
        cache.pixels.clear(size, painter.device().devicePixelRatio(), paper)
    else:
        painter.fillRect(QRect(QPoint(), size), paper)
    _connect(fill, size, picture, view, ink, seen)
    entries = np.flatnonzero(inside)
    wide = right[entries] - left[entries]
    tall = np.full(len(entries), round(high))
    rects = np.stack([left[entries], top[entries], wide, tall], axis=1)
    if far:
        _bars(fill, picture, ink, entries, rects, high)
        cache.pixels.put(painter)
    else:
        _boxes(fill, picture, ink, entries, rects)
        _marks(fill, painter, picture, ink, entries, rects, high)
    if high >= READABLE:
        _letters(painter, size, picture, view, ink, cache, entries)
    return len(entries)


def _heads(picture: Picture, mask: Flags) -> Ints:
    assert picture.placed is not None
    return np.flatnonzero(mask & (picture.placed.head == np.arange(len(mask))))


def _connect(
    fill: Fill, size: QSize, picture: Picture, view: Viewpoint, ink: TreeInk, seen: Flags
) -> None:
    """Draw the lines from each box to its children, as thick as the first token is likely."""
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
    kind = np.where(picture.best[heads], 2, np.where(picture.pruned[heads], 1, 0))
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
    fill: Fill, picture: Picture, ink: TreeInk, entries: Ints, boxes: Floats, high: float
) -> None:
    """Draw each token as a bar in the middle of its box, as thick as it is likely; what was pruned
    has gaps."""
    pruned = picture.pruned[entries]
    thick = np.maximum(1.0, np.round(high * (0.3 + 0.7 * picture.chance[entries])))
    rects = boxes.copy()
    rects[:, 1] = np.round(rects[:, 1] + (high - thick) / 2)
    rects[:, 2] = np.maximum(rects[:, 2], 1.0)
    rects[:, 3] = thick
    classes = picture.classes[entries]
    fill(rects[pruned], ink.bars, classes[pruned], dashed=True)
    fill(rects[~pruned], ink.bars, classes[~pruned])
    marked = picture.best[entries]
    fill(_underlines(rects[marked], high), [QColor(ink.colours.accent)])
    found = np.isin(entries, list(picture.found))
    fill(_grown(rects[found], 1.0), [QColor(FOUND[ink.scale.dark])])
    if picture.only is not None:
        sided = picture.only[entries]
        fill(_underlines(rects[sided != BOTH], high), ink.sides, _side(sided))


FOUND = {False: "#c99700", True: "#ffd24a"}
"""The colour around what was searched for, on light and on dark."""


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


def _boxes(fill: Fill, picture: Picture, ink: TreeInk, entries: Ints, rects: Floats) -> None:
    """Draw boxes with an outline around each token or folded run, dashed where it was pruned: how
    strong a colour is says how large a reward is, and nothing else."""
    pruned = picture.pruned[entries]
    best, c = picture.best[entries], ink.colours
    # Outlines are larger rectangles below: tokens of one run are one box, so they join there.
    fill(_grown(rects[pruned], 1), [ink.edges[0]], dashed=True)
    fill(_grown(rects[~pruned], 1), [ink.edges[0]])
    fill(_grown(rects[best], 2), [QColor(c.accent)])
    found = np.isin(entries, list(picture.found))
    fill(_grown(rects[found], 3), [QColor(FOUND[ink.scale.dark])])
    fill(rects, ink.fills, picture.classes[entries])


def _marks(
    fill: Fill,
    painter: QPainter,
    picture: Picture,
    ink: TreeInk,
    entries: Ints,
    rects: Floats,
    high: float,
) -> None:
    """Mark ends of finished hypotheses, given responses, pins, and what only one tree has."""
    tree, c = picture.tree, ink.colours
    unit = max(1.0, round(high / 7))
    finished = tree.status[entries] == Status.FINISHED
    ended = rects[finished].copy()
    ended[:, 0] += ended[:, 2] - unit
    ended[:, 2] = unit
    cut = [not tree.is_closed(entry) for entry in entries[finished].tolist()]
    ended[cut, 3] /= 2  # what was not closed has half a bar
    fill(ended, [ink.text])
    for x, y, wide, tall in rects[picture.given[entries]].tolist():
        painter.setPen(QPen(ink.text, max(1.0, high / 12)))
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
    ink: TreeInk,
    cache: PaintCache,
    entries: Ints,
) -> None:
    """Write the label of every box that is seen, and how much a collapsed one hides."""
    placed = picture.placed
    assert placed is not None
    cache.set_size(max(6, round(LETTERS * view.zoom)))
    painter.setFont(cache.font)
    heads = np.unique(placed.head[entries])
    pad = PAD * view.zoom
    x = view.x(placed.x[heads]) + pad
    drop = (BOX * view.zoom - cache.metrics.height()) / 2
    y = np.round(view.y(placed.row[heads]) + drop)
    painter.setPen(ink.text)
    for i, head in enumerate(heads.tolist()):
        room = float(placed.box[head]) * view.zoom - 2 * pad + 1
        label = cache.get(picture.box_label(head), room)
        painter.drawStaticText(QPointF(round(x[i]), y[i]), label)
    painter.setPen(QColor(ink.colours.muted))
    for entry in entries[placed.inside[entries] > 0].tolist():
        note = cache.get(f"+{int(placed.inside[entry])}", 1e9)
        at = view.x(placed.x[entry] + placed.width[entry]) + pad / 2
        painter.drawStaticText(QPointF(float(at), float(view.y(placed.row[entry])) + drop), note)
