"""Measures the token backgrounds of one laid-out line of text, and paints them into a picture.

A line's tiles depend on its letters and on where tokens begin, its picture on the tokens' colours
as well; both are cached by exactly these, so equal lines share them. A key press then makes the few
lines that it changed and copies the others; new colours leave all tiles as they were. Pictures are
composed in NumPy, because a line of 40 tokens is 80 calls of QPainter otherwise. Right-to-left
lines are measured by glyph runs (a token may be several pieces there), others by cursor positions,
which is faster.

Knows Qt's layouts and arrays of spans; knows nothing of widgets, edits or rewards.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRect, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontInfo,
    QFontMetricsF,
    QImage,
    QPainter,
    QPen,
    QTextLayout,
    QTextLine,
)

from app.widgets.colour_scale import ColourScale
from app.widgets.drawing import Pixels, mix, pack, picture_of

_BARE, _GAP = -1, -2
SLIVER = 3
"""Width in pixels that an empty or zero-width token is given."""
BOX = 1.25
"""How high the background of a token is at most, in sizes of its letters."""
NEWLINE = "\u21b5"


@dataclass(frozen=True, eq=False)
class Ink:
    """The brushes, pens and choices with which lines are painted; replace it to change them."""

    pixels: Pixels
    """[2 c + 2]: 0xffRRGGBB of the c fresh classes, of the same classes faded, and twice of the
    surface, which the indices _BARE and _GAP then find."""
    surface: QColor
    text: QColor
    faint: QPen
    tick: int
    unscored: int
    font: QFont
    space: float
    newline: int
    boundaries: bool
    marks: bool
    ratio: float
    box: float
    """Pixels that the background of a token is high at most."""

    @classmethod
    def of(
        cls, scale: ColourScale, font: QFont, *, boundaries: bool, marks: bool, ratio: float
    ) -> "Ink":
        """Return the ink for a scale and a font at a device pixel ratio."""
        surface, text = QColor(*scale.surface), QColor(*scale.text)
        metrics = QFontMetricsF(font)
        return cls(
            pixels=pack(np.vstack([scale.palette, scale.faded, [scale.surface] * 2])),
            surface=surface,
            text=text,
            faint=QPen(mix(surface, text, 0.55), 1.2),
            tick=mix(surface, text, 0.38).rgb(),
            unscored=mix(surface, text, 0.6).rgb(),
            font=font,
            space=metrics.horizontalAdvance(" "),
            newline=round(metrics.horizontalAdvance(NEWLINE)),
            boundaries=boundaries,
            marks=marks,
            ratio=ratio,
            box=BOX * QFontInfo(font).pixelSize(),
        )

    def inset(self, high: float) -> int:
        """Return how many pixels of a line, ``high`` as it is, stay free above a token's background
        and below it: one at least."""
        return max(round((high - self.box) / 2), 1)

    def colour(self, brush: int) -> QColor:
        """Return the colour of a class, of a faded class, or (-1) of the surface."""
        return QColor.fromRgb(int(self.pixels[brush]))


Tile = tuple[int, int, int]
"""One unit's piece on a line: which unit of those given, its left and its right in pixels."""


@dataclass(frozen=True, eq=False)
class LineText:
    """One line as it is to be painted; positions are the layout's, relative to the line's start.

    ``units`` is [m, 3]: start, end and brush (-1 for no colour) of each unit that touches the line,
    in text order, not clipped. ``newline`` says that a newline ends the line. ``hang`` is the
    number of spaces at its end. ``context`` is whatever else decides the shapes (empty for plain
    left-to-right). ``scored`` says that the text has tokens, in this line or elsewhere.
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
    def shape(self) -> Hashable:
        """Return a key: lines of equal shape have equal tiles (under one font and width)."""
        return (self.letters, self.units[:, :2].tobytes(), self.newline, self.context)


def line_at(layout: QTextLayout, y: float) -> int:
    """Return the number of the first line that reaches below y (layout coordinates)."""
    low, high = 0, layout.lineCount()
    while low < high:
        middle = (low + high) // 2
        line = layout.lineAt(middle)
        if line.y() + line.height() <= y:
            low = middle + 1
        else:
            high = middle
    return low


def trailing_spaces(letters: NDArray[np.uint16]) -> int:
    """Return how many spaces and tabs end a line."""
    count, at = 0, len(letters) - 1
    while at >= 0 and letters[at] in (0x20, 0x09):
        count, at = count + 1, at - 1
    return count


def line_end(line: QTextLine, rtl: bool) -> float:
    """Return where the line's text ends in layout coordinates: its left end if ``rtl``."""
    natural = line.naturalTextRect()
    return natural.left() if rtl else natural.right()


def measure(line: QTextLine, text: LineText, ink: Ink) -> tuple[Tile, ...]:
    """Return the pieces of every unit on the line, in whole pixels of layout coordinates."""
    pieces = _measure_runs if text.bidi else _measure_positions
    tiles: list[Tile] = pieces(line, text)
    if text.newline and len(text.units):
        length = len(text.letters) // 2
        row = len(text.units) - 1
        start, end, _ = text.units[row]
        if start <= length < end:
            edge = round(line_end(line, text.rtl))
            left = max(edge - ink.newline, 0) if text.rtl else edge
            tiles.append((row, left, left + ink.newline))
    return tuple(tiles)


def _measure_positions(line: QTextLine, text: LineText) -> list[Tile]:
    """Return the pieces of a left-to-right line: each between the x of its start and of its end."""
    first, length = line.textStart(), len(text.letters) // 2
    end_of_words = length - text.hang
    tiles: list[Tile] = []
    known: dict[int, int] = {}

    def x(position: int) -> int:
        at = known.get(position)
        if at is None:
            # The stub says int; it returns a tuple: x, and the position that x is of.
            at = known[position] = round(line.cursorToX(first + position)[0])  # type: ignore[index]
        return at

    for row, (start, end, _) in enumerate(text.units.tolist()):
        if end > length and start >= end_of_words:
            continue  # the space before a word that wrapped (the word has the colour), or newline
        left = x(max(start, 0))
        right = x(min(end, length))
        if right - left < 2:
            left, right = left - SLIVER // 2, left - SLIVER // 2 + SLIVER
        tiles.append((row, left, right))
    return tiles


def _measure_runs(line: QTextLine, text: LineText) -> list[Tile]:
    """Return the pieces of a line with right-to-left text: one per visual run of each unit."""
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
            tiles.append((row, left, right))
    return tiles


@dataclass(frozen=True, eq=False)
class Columns:
    """The unit in each column of a line's pixels, whatever its colour.

    ``unit`` is [width in device pixels]: a unit's number, or _GAP or _BARE. ``ticks`` are the
    columns of the ticks between tokens.
    """

    unit: NDArray[np.int16]
    ticks: NDArray[np.int64]


def lay_out(line: QTextLine, text: LineText, width: int, ink: Ink) -> Columns:
    """Measure a line and return its tiles as columns of pixels."""
    ratio = ink.ratio
    wide, one = round(width * ratio), max(round(ratio), 1)
    unit_at = np.full(wide, _BARE, dtype=np.int16)
    ticks = []
    for unit, left, right in measure(line, text, ink):
        if ratio != 1.0:
            left, right = round(left * ratio), round(right * ratio)
        left = max(left, 0)
        if right <= left:
            continue
        unit_at[left:right] = unit
        if ink.boundaries and right <= wide:
            ticks.append(right - one)
            if right - one > left:
                unit_at[right - one : right] = _GAP
    return Columns(unit_at, np.array(ticks, dtype=np.int64))


def paint_strip(line: QTextLine, text: LineText, columns: Columns, ink: Ink) -> QImage:
    """Return a picture of the line's backgrounds and marks, as wide as its columns."""
    ratio = ink.ratio
    wide, high = len(columns.unit), round(round(line.height()) * ratio)
    one, free = max(round(ratio), 1), round(ink.inset(line.height()) * ratio)
    if wide < 1 or high < 2 * free + 4 * one:
        return QImage()
    brushes = np.append(text.units[:, 2], (_GAP, _BARE))  # at the indices _GAP and _BARE
    brush_at = brushes[columns.unit]
    rows = np.empty((high, wide), dtype=np.uint32)
    rows[:] = ink.pixels[brush_at]
    rows[:free] = rows[-free:] = ink.pixels[_GAP]
    rows[high - free - 4 * one : high - free, columns.ticks] = ink.tick
    if text.scored:
        # Dots under what has no colour, so that it is not taken for a value of 0.
        natural = line.naturalTextRect()
        left, right = max(round(natural.left() * ratio), 0), round(natural.right() * ratio)
        bare = np.flatnonzero(brush_at[left:right] == _BARE) + left
        rows[-free - one : -free, bare[bare // one % 3 != 2]] = ink.unscored
    picture = picture_of(rows)
    picture.setDevicePixelRatio(ratio)
    shows_newline = text.newline and (
        ink.marks or text.units[:, 1].max(initial=0) > len(text.letters) // 2
    )
    if shows_newline or ink.marks:
        with QPainter(picture) as painter:
            if shows_newline:
                edge = line_end(line, text.rtl)
                painter.setPen(ink.faint)
                painter.setFont(ink.font)
                x = max(edge - ink.newline, 0.0) if text.rtl else edge
                painter.drawText(QPointF(x, line.ascent()), NEWLINE)
            if ink.marks:
                _paint_marks(painter, line, text, round(line.height()), ink)
    return picture


def _paint_marks(painter: QPainter, line: QTextLine, text: LineText, height: int, ink: Ink) -> None:
    """Paint faint signs for spaces and tabs."""
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
