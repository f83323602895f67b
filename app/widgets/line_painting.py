"""Token backgrounds of one laid-out line of text: where they lie, and a picture of them.

A line's picture depends on its letters, on the tokens over it and on little else, so pictures
are kept by exactly that, whatever line they were painted for. A key press then repaints the few
lines that it changed and copies the others. Right-to-left lines are measured by glyph runs (a
token may be several pieces there), left-to-right ones by cursor positions, which is faster.

Knows Qt's layouts and arrays of spans; knows nothing of widgets, edits or rewards.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRect, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPen, QPixmap, QTextLine

from app.widgets.colour_scale import ColourScale

SLIVER = 3
"""Width in pixels of a token that has none of its own: an empty or a zero-width one."""
NEWLINE = "\u21b5"


@dataclass(frozen=True, eq=False)
class Ink:
    """The brushes, pens and choices with which lines are painted; replace it to change them."""

    brushes: tuple[QBrush, ...]
    """Fresh classes, then the same classes faded."""
    surface: QColor
    text: QColor
    faint: QPen
    tick: QBrush
    unscored: QPen
    font: QFont
    space: float
    newline: int
    boundaries: bool
    marks: bool
    ratio: float

    @classmethod
    def of(
        cls, scale: ColourScale, font: QFont, *, boundaries: bool, marks: bool, ratio: float
    ) -> "Ink":
        """Ink for a scale and a font at a device pixel ratio."""
        rows = np.vstack([scale.palette, scale.faded])
        surface, text = QColor(*scale.surface), QColor(*scale.text)
        metrics = QFontMetricsF(font)
        unscored = QPen(between(surface, text, 0.55), 1, Qt.PenStyle.DotLine)
        return cls(
            brushes=tuple(QBrush(QColor(*map(int, row))) for row in rows),
            surface=surface,
            text=text,
            faint=QPen(between(surface, text, 0.55), 1.2),
            tick=QBrush(between(surface, text, 0.38)),
            unscored=unscored,
            font=font,
            space=metrics.horizontalAdvance(" "),
            newline=round(metrics.horizontalAdvance(NEWLINE)),
            boundaries=boundaries,
            marks=marks,
            ratio=ratio,
        )


@dataclass(frozen=True, eq=False)
class Tile:
    """One unit's piece on a line: which unit of those given, and its left and right in pixels."""

    unit: int
    left: int
    right: int


@dataclass(frozen=True, eq=False)
class LineText:
    """One line as it is to be painted; positions are the layout's, relative to the line's start.

    ``units`` is [m, 3]: start, end and brush (-1 for no colour) of each unit that touches the
    line, in text order, not clipped. ``newline`` says that a newline ends the line. ``hang`` is
    the number of spaces at its end. ``context`` is whatever else decides the shapes (empty for
    plain left-to-right). ``scored`` says that the text has tokens, here or elsewhere.
    """

    letters: bytes
    units: NDArray[np.int32]
    newline: bool
    scored: bool
    hang: int = 0
    context: bytes = b""
    bidi: bool = False
    rtl: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Equal keys make equal pictures (under one ink and one width)."""
        return (self.letters, self.units.tobytes(), self.newline, self.scored, self.context)


@dataclass(frozen=True, eq=False)
class Strip:
    """A painted line: its picture and the tiles on it."""

    picture: QPixmap
    tiles: tuple[Tile, ...]


class StripCache:
    """The pictures of recent lines, oldest dropped first."""

    def __init__(self, room: int = 160) -> None:
        self._room = room
        self._strips: OrderedDict[tuple[object, ...], Strip] = OrderedDict()

    def clear(self) -> None:
        self._strips.clear()

    def get(self, line: QTextLine, text: LineText, width: int, ink: Ink) -> Strip:
        """The picture of a line, from an equal one seen before where there is one."""
        key = (width, *text.key)
        strip = self._strips.get(key)
        if strip is None:
            tiles = measure(line, text, ink)
            strip = Strip(paint_strip(line, text, tiles, width, ink), tiles)
            self._strips[key] = strip
            if len(self._strips) > self._room:
                self._strips.popitem(last=False)
        else:
            self._strips.move_to_end(key)
        return strip


def between(one: QColor, other: QColor, share: float) -> QColor:
    mixed = (
        round(a + (b - a) * share)
        for a, b in zip(one.getRgb()[:3], other.getRgb()[:3], strict=True)  # type: ignore[index]
    )
    return QColor(*mixed)


def line_end(line: QTextLine, rtl: bool) -> float:
    """Where the line's text ends in layout coordinates: right end, or left end if ``rtl``."""
    natural = line.naturalTextRect()
    return natural.left() if rtl else natural.right()


def measure(line: QTextLine, text: LineText, ink: Ink) -> tuple[Tile, ...]:
    """The pieces of every unit on the line, in whole pixels of layout coordinates."""
    pieces = _measure_runs if text.bidi else _measure_positions
    tiles: list[Tile] = pieces(line, text)
    if text.newline and len(text.units):
        length = len(text.letters) // 2
        row = len(text.units) - 1
        start, end, _ = text.units[row]
        if start <= length < end:
            edge = round(line_end(line, text.rtl))
            left = max(edge - ink.newline, 0) if text.rtl else edge
            tiles.append(Tile(row, left, left + ink.newline))
    return tuple(tiles)


def _measure_positions(line: QTextLine, text: LineText) -> list[Tile]:
    """Pieces of a line that runs left to right: between the x of start and of end."""
    first, length = line.textStart(), len(text.letters) // 2
    end_of_words = length - text.hang
    tiles: list[Tile] = []
    known: dict[int, int] = {}

    def x(position: int) -> int:
        at = known.get(position)
        if at is None:
            # The stub says int; a tuple of x and of the position that x is for comes back.
            at = known[position] = round(line.cursorToX(first + position)[0])  # type: ignore[index]
        return at

    for row, (start, end, _) in enumerate(text.units.tolist()):
        if end > length and start >= end_of_words:
            continue  # the space before a word that wrapped (the word has the colour), or newline
        left = x(max(start, 0))
        right = x(min(end, length))
        if right - left < 2:
            left, right = left - SLIVER // 2, left - SLIVER // 2 + SLIVER
        tiles.append(Tile(row, left, right))
    return tiles


def _measure_runs(line: QTextLine, text: LineText) -> list[Tile]:
    """Pieces of a line with right-to-left text: one per visual run of each unit."""
    first, length = line.textStart(), len(text.letters) // 2
    tiles: list[Tile] = []
    for row, (start, end, _) in enumerate(text.units.tolist()):
        start, end = max(start, 0), min(end, length)
        if start >= end:
            continue
        for run in line.glyphRuns(first + start, end - start):
            box = run.boundingRect()
            left, right = round(min(box.left(), box.right())), round(max(box.left(), box.right()))
            if right - left < 2:
                left, right = left - SLIVER // 2, left - SLIVER // 2 + SLIVER
            tiles.append(Tile(row, left, right))
    return tiles


def paint_strip(
    line: QTextLine, text: LineText, tiles: tuple[Tile, ...], width: int, ink: Ink
) -> QPixmap:
    """The line's backgrounds and marks on the surface, ``width`` by the line's height."""
    height = round(line.height())
    picture = QPixmap(round(width * ink.ratio), round(height * ink.ratio))
    picture.setDevicePixelRatio(ink.ratio)
    picture.fill(ink.surface)
    painter = QPainter(picture)
    gap = 1 if ink.boundaries else 0
    by_brush: dict[int, list[QRect]] = {}
    ticks: list[QRect] = []
    brushes = text.units[:, 2].tolist()
    for tile in tiles:
        brush = brushes[tile.unit]
        wide = max(tile.right - tile.left - gap, 1)
        if brush >= 0:
            by_brush.setdefault(brush, []).append(QRect(tile.left, 1, wide, height - 2))
        if gap:
            ticks.append(QRect(tile.right - 1, height - 5, 1, 4))
    painter.setPen(Qt.PenStyle.NoPen)
    for brush, boxes in by_brush.items():
        painter.setBrush(ink.brushes[brush])
        painter.drawRects(boxes)
    painter.setBrush(ink.tick)
    painter.drawRects(ticks)
    if text.scored:
        _paint_unscored(painter, tiles, brushes, line, ink)
    _paint_marks(painter, line, text, height, ink)
    painter.end()
    return picture


def _paint_unscored(
    painter: QPainter, tiles: tuple[Tile, ...], brushes: list[int], line: QTextLine, ink: Ink
) -> None:
    """Dots under what has no colour, so that it is not taken for a value of 0."""
    natural = line.naturalTextRect()
    left, right = round(natural.left()), round(natural.right())
    edges = sorted((t.left, t.right) for t in tiles if brushes[t.unit] >= 0)
    y = round(line.height()) - 1
    gaps: list[QLineF] = []
    for a, b in [*edges, (right, right)]:
        if a - left > 1:
            gaps.append(QLineF(left, y, a - 2, y))
        left = max(left, b)
    if gaps:
        painter.setPen(ink.unscored)
        painter.drawLines(gaps)


def _paint_marks(painter: QPainter, line: QTextLine, text: LineText, height: int, ink: Ink) -> None:
    """Faint signs for what has no shape: newline of a token; with marks on, space and tab too."""
    if text.newline and (ink.marks or text.units[:, 1].max(initial=0) > len(text.letters) // 2):
        edge = line_end(line, text.rtl)
        x = max(edge - ink.newline, 0) if text.rtl else edge
        painter.setPen(ink.faint)
        painter.setFont(ink.font)
        painter.drawText(QPointF(x, line.ascent()), NEWLINE)
    if not ink.marks:
        return
    letters = np.frombuffer(text.letters, dtype=np.uint16)
    first, middle = line.textStart(), height // 2
    dots, tabs = [], []
    for at in np.flatnonzero((letters == 0x20) | (letters == 0x09) | (letters == 0xA0)).tolist():
        x = line.cursorToX(first + at)[0]  # type: ignore[index]
        if letters[at] == 0x09:
            end = line.cursorToX(first + at + 1)[0] - 3  # type: ignore[index]
            x += 2
            tabs.append(QLineF(x, middle, end, middle))
            tabs.append(QLineF(end - 3, middle - 3, end, middle))
            tabs.append(QLineF(end - 3, middle + 3, end, middle))
        else:
            dots.append(QRect(round(x + ink.space / 2) - 1, middle, 2, 2))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ink.faint.color())
    painter.drawRects(dots)
    if tabs:
        painter.setPen(ink.faint)
        painter.drawLines(tabs)
