"""Draws a token editor: backgrounds behind the text, outlines, and the closing token's chip.

This half of TokenEditor knows where every token lies on the screen, paints it and finds it under a
point; it knows nothing of key presses, undo or signals. Only exposed lines are looked at, and each
line's picture is cached (line_painting.py).
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSizeF, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QImage,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QResizeEvent,
    QTextBlock,
    QTextLine,
    QTextOption,
)
from PySide6.QtWidgets import QWidget

from app.widgets.closing_chip import Chip, paint_chip, place_chip
from app.widgets.colour_scale import NO_COLOUR, ColourScale
from app.widgets.drawing import mix, painting, smaller, translucent
from app.widgets.line_painting import (
    Columns,
    Ink,
    LineText,
    lay_out,
    line_at,
    measure,
    paint_strip,
    trailing_spaces,
)
from app.widgets.plain_edit import PlainEdit
from app.widgets.recent_cache import RecentCache
from app.widgets.spans import Freshness, LiveSpans, right_to_left, utf16

Rows = NDArray[np.int64]
"""Which row of the spans each unit of a line is of."""


@dataclass(frozen=True, slots=True)
class Note:
    """A few letters above some neighbouring tokens, and whether a ring goes around them."""

    tokens: range
    text: str
    ring: bool = False


class TokenView(PlainEdit):
    """A plain-text editor with tokens painted behind its text; use TokenEditor."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = ""
        self._units16 = utf16("")
        self._bytes16 = b""
        self._rtl = np.zeros(0, dtype=bool)
        self._any_rtl = False
        self._spans: LiveSpans | None = None
        self._packed = np.zeros((0, 3), dtype=np.int32)
        self._scale = ColourScale()
        self._ink: Ink | None = None
        self._columns: RecentCache[Columns] = RecentCache(400)
        self.pictures: RecentCache[QImage] = RecentCache(200)
        """The pictures of lines that were painted last."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._shapes = self._packed
        self._brushes = np.zeros(0, dtype=np.int16)
        self._boundaries, self._marks = True, False
        self._closing: tuple[str, int] | None = None
        self._closing_stale = False
        self._chip_place = QRect()
        """Where the chip was painted last: there it goes from, whatever becomes of the lines."""
        self._notes: tuple[Note, ...] = ()
        self._hover: int | None = None
        self._pin: int | None = None
        self.setLineWrapMode(PlainEdit.LineWrapMode.WidgetWidth)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        option = self.document().defaultTextOption()
        # Keeps room at the right for a newline's mark and for the closing token's.
        option.setFlags(QTextOption.Flag.AddSpaceForLineAndParagraphSeparators)
        self.document().setDefaultTextOption(option)
        self.document().setDocumentMargin(12)
        self._apply_palette()

    # --- what is shown ----------------------------------------------------------------------

    def set_closing(self, label: str, colour: int | None) -> None:
        """Show the closing (end-of-turn) token as a chip after the text; class None: no chip.

        Follows ``set_tokens``: it belongs to the spans set last.
        """
        self._closing = None if colour is None else (label, colour)
        self.viewport().update()

    def set_scale(self, scale: ColourScale) -> None:
        """Set the colours of the classes, and the theme's surface and text colour."""
        if scale != self._scale:
            self._scale = scale
            self._apply_palette()
            self._pack()
            self._forget_pictures()
        elif self.palette().base().color() != QColor(*scale.surface):
            self._apply_palette()  # another style sheet has taken it away

    def set_show_boundaries(self, on: bool) -> None:
        """Divide neighbouring tokens by a thin gap and a tick."""
        self._boundaries = on
        self._forget_pictures()

    def set_show_marks(self, on: bool) -> None:
        """Show spaces, tabs and all newlines as faint signs (a token's newline always shows)."""
        self._marks = on
        self._forget_pictures()

    def set_notes(self, notes: tuple[Note, ...]) -> None:
        """Write above some tokens; what an edit has made stale has no note."""
        if notes != self._notes:
            self._notes = notes
            self.viewport().update()

    def notes(self) -> tuple[Note, ...]:
        """Return what is written above tokens."""
        return self._notes

    def highlight(self, index: int | None) -> None:
        """Outline a token lightly (hover here or elsewhere); None for none."""
        if index != self._hover:
            self._update_token(self._hover)
            self._hover = index
            self._update_token(index)

    def pin(self, index: int | None) -> None:
        """Outline a token strongly until another is pinned; None for none."""
        if index != self._pin:
            self._update_token(self._pin)
            self._pin = index
            self._update_token(index)

    def spans(self) -> LiveSpans | None:
        """Return the tokens that are shown, moved along with edits; None for no tokens."""
        return self._spans

    def highlighted(self) -> int | None:
        """Return the token that is outlined lightly, if any."""
        return self._hover

    def pinned(self) -> int | None:
        """Return the pinned token, if any."""
        return self._pin

    # --- where things are -------------------------------------------------------------------

    def token_at(self, point: QPoint) -> int:
        """Return the token at a point of the viewport, or -1."""
        chip = self._chip()
        if self._spans is None:
            return -1
        if chip is not None and chip.box.contains(point):
            return self._spans.tokens
        for block, line, origin in self._lines(QRect(0, point.y(), 1, 1)):
            text, rows = self._line_text(block, line)
            for unit, left, right in measure(line, text, self._current_ink()):
                if left <= point.x() - origin.x() < right:
                    row = int(rows[unit])
                    touched = self._spans.freshness[row] == Freshness.TOUCHED
                    return -1 if touched else self._spans.token(row)
        return -1

    def token_rects(self, index: int) -> list[QRect]:
        """Return where a token's background is in the viewport: a rectangle for each line or visual
        run."""
        if self._spans is None or index < 0:
            return []
        if index == self._spans.tokens:
            chip = self._chip()
            return [chip.box.toAlignedRect()] if chip else []
        row = self._spans.row(index)
        return self._rects(row, row) if row >= 0 else []

    def _rects(self, first_row: int, last_row: int) -> list[QRect]:
        """Return where the backgrounds of some rows are, line by line."""
        if self._spans is None:
            return []
        start, end = int(self._spans.starts[first_row]), int(self._spans.ends[last_row])
        rects: list[QRect] = []
        ink = self._current_ink()
        block = self.document().findBlock(start)
        while block.isValid() and block.position() <= max(end - 1, start):
            origin = self.blockBoundingGeometry(block).translated(self.contentOffset()).topLeft()
            layout = block.layout()
            slack = len(utf16(layout.preeditAreaText()))
            first = layout.lineForTextPosition(max(start - block.position(), 0)).lineNumber()
            for number in range(max(first, 0), layout.lineCount()):
                line = layout.lineAt(number)
                if block.position() + line.textStart() > end + slack:
                    break
                text, rows = self._line_text(block, line)
                free = ink.inset(line.height()) - 1
                top, high = round(origin.y() + line.y()) + free, round(line.height()) - 2 * free
                here = text.units[(rows >= first_row) & (rows <= last_row)]
                for _, left, right in measure(line, replace(text, units=here), ink):
                    left += round(origin.x())
                    rects.append(QRect(left, top, right - left, high))
            block = block.next()
        return rects

    def _lines(self, exposed: QRect) -> Iterator[tuple[QTextBlock, QTextLine, QPointF]]:
        """Yield the lines in a part of the viewport: block, line, the block's origin there."""
        block = self.firstVisibleBlock()
        if not block.isValid():
            return
        origin = self.blockBoundingGeometry(block).translated(self.contentOffset()).topLeft()
        top, bottom = exposed.top(), exposed.bottom()
        while block.isValid() and origin.y() <= bottom:
            height = self.blockBoundingRect(block).height()
            if block.isVisible() and origin.y() + height >= top:
                layout = block.layout()
                for number in range(line_at(layout, top - origin.y()), layout.lineCount()):
                    line = layout.lineAt(number)
                    if origin.y() + line.y() > bottom:
                        break
                    yield block, line, origin
            origin = QPointF(origin.x(), origin.y() + height)
            block = block.next()

    def _line_text(self, block: QTextBlock, line: QTextLine) -> tuple[LineText, Rows]:
        """Return a line as it is to be painted, and the row of each of its units."""
        base, begin, length = block.position(), line.textStart(), line.textLength()
        size = block.length() - 1
        letters = self._units16[base : base + size]
        # Text being composed by an input method is in the layout, but not in the document.
        composed = utf16(block.layout().preeditAreaText())
        at, room = min(block.layout().preeditAreaPosition(), size), len(composed)
        first, stop = begin, begin + length
        ends_block = stop >= size + room
        if room:
            letters = np.insert(letters, at, composed)
            first, stop = (min(place, max(at, place - room)) for place in (first, stop))
        row, end = self._rows_between(base + first, base + stop + ends_block)
        units, rows = self._packed[row:end], np.arange(row, end)
        units = units - np.array([base, base, 0], dtype=np.int32)
        if room:
            units, rows = _around(units, rows, at, room)
            here = (units[:, 1] > begin) | (units[:, 0] >= begin)
            here &= units[:, 0] < begin + length + ends_block
            units, rows = units[here], rows[here]
        units -= np.array([begin, begin, 0], dtype=np.int32)
        bidi = (self._any_rtl or bool(room)) and bool(right_to_left(letters).any())
        line_letters = letters[begin : begin + length]
        return LineText(
            letters=line_letters.tobytes(),
            units=units,
            newline=ends_block and base + size < len(self._units16),
            scored=self._spans is not None,
            hang=0 if ends_block else trailing_spaces(line_letters),
            # Shapes and order of such a line may depend on the whole paragraph.
            context=letters.tobytes() + begin.to_bytes(4, "little") if bidi else b"",
            bidi=bidi,
            rtl=bidi and block.textDirection() == Qt.LayoutDirection.RightToLeft,
        ), rows

    def _simple(self, block: QTextBlock) -> bool:
        """Return whether the block's lines depend on their own letters alone."""
        if self._any_rtl:
            base = block.position()
            if self._rtl[base : base + block.length()].any():
                return False
        return not block.layout().preeditAreaText()

    def _rows_between(self, first: int, stop: int) -> tuple[int, int]:
        """Return the rows, from one to before another, of the units that touch UTF-16 first..stop.

        An empty unit belongs to the position that it stands before.
        """
        starts, ends = self._starts, self._ends
        row, end = bisect_left(ends, first), bisect_left(starts, stop)
        while row < end and starts[row] < first and ends[row] == first:
            row += 1
        return row, end

    def _pack(self) -> None:
        """Pack the units' starts, ends and brushes into one array; lines' keys are cut from it."""
        spans = self._spans
        if spans is None:
            self._packed = np.zeros((0, 3), dtype=np.int32)
            self._shapes, self._starts, self._ends = self._packed, [], []
            return
        classes = len(self._scale.palette)
        brush = spans.colours + classes * (spans.freshness == Freshness.STALE)
        brush = np.where((spans.colours == NO_COLOUR), -1, np.minimum(brush, 2 * classes - 1))
        self._packed = np.stack([spans.starts, spans.ends, brush], axis=1).astype(np.int32)
        self._brushes = self._packed[:, 2].astype(np.int16)
        # Lengths and gaps: the same for a line wherever in the text it stands.
        gaps = np.diff(spans.starts, prepend=0)
        self._shapes = np.stack([gaps, spans.ends - spans.starts], axis=1).astype(np.int32)
        self._starts, self._ends = spans.starts.tolist(), spans.ends.tolist()

    def _chip(self) -> Chip | None:
        """Return the closing token's chip, in the viewport; None where it is not shown."""
        block = self.document().lastBlock()
        layout = block.layout()
        if self._closing is None or not self._text:
            return None
        # Asking for the geometry lays the block out, where that has not been done yet.
        origin = self.blockBoundingGeometry(block).translated(self.contentOffset()).topLeft()
        if not layout.lineCount():
            return None
        rtl = block.textDirection() == Qt.LayoutDirection.RightToLeft
        line = layout.lineAt(layout.lineCount() - 1)
        bar = self.verticalScrollBar()
        below = self.viewport().height() if bar.minimum() == bar.maximum() else 0
        room = QSizeF(self.viewport().width(), below)
        free = self._current_ink().inset(line.height())
        return place_chip(self._closing[0], line, origin, rtl, room, self.font(), free)

    # --- painting ---------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with painting(self.viewport()) as painter:
            ink = self._current_ink()
            width = self.viewport().width()
            for block, line, origin in self._lines(event.rect()):
                at = QPointF(round(origin.x()), round(origin.y() + line.y()))
                painter.drawImage(at, self._picture(block, line, width, ink))
        super().paintEvent(event)
        outlined = self._hover is not None or self._pin is not None
        if self._closing is not None or self._notes or outlined:
            with painting(self.viewport()) as painter:
                self._paint_over(painter, event.rect())

    def _picture(self, block: QTextBlock, line: QTextLine, width: int, ink: Ink) -> QImage:
        """Return a line's picture, from the cache where an equal line was painted before."""
        base, begin, length = block.position(), line.textStart(), line.textLength()
        first = base + begin
        stop = first + length
        scored = self._spans is not None
        shape: Hashable
        text: LineText | None = None
        if self._simple(block):
            ends_block = begin + length >= block.length() - 1
            row, end = self._rows_between(first, stop + ends_block)
            shape = (
                self._bytes16[2 * first : 2 * stop],
                self._shapes[row + 1 : end].tobytes(),
                self._starts[row] - first if row < end else 0,
                self._ends[row] - first if row < end else 0,
                ends_block and stop < len(self._units16),
                ends_block,
            )
            brushes = self._brushes[row:end].tobytes()
        else:
            text, _ = self._line_text(block, line)
            shape = text.shape
            brushes = text.units[:, 2].tobytes()
        picture = self.pictures.get((shape, brushes, scored))
        if picture is None:
            text = text or self._line_text(block, line)[0]
            columns = self._columns.get(shape)
            if columns is None:
                columns = self._columns.put(shape, lay_out(line, text, width, ink))
            picture = paint_strip(line, text, columns, ink)
            self.pictures.put((shape, brushes, scored), picture)
        return picture

    def _paint_over(self, painter: QPainter, exposed: QRect) -> None:
        """Paint what lies over the text: the closing chip and the outlines."""
        painter.setClipRect(exposed)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self._current_ink()
        chip = self._chip()
        if chip is not None and self._closing is not None:
            colour = self._closing[1]
            if colour != NO_COLOUR:
                colour += len(self._scale.palette) * self._closing_stale
            paint_chip(painter, chip, colour, ink)
            self._chip_place = chip.box.toAlignedRect()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for index, pen_width, strength in ((self._hover, 1.5, 170), (self._pin, 2.5, 255)):
            if index is None or (index == self._hover == self._pin and pen_width < 2):
                continue
            painter.setPen(QPen(translucent(ink.text, strength), pen_width))
            for rect in self.token_rects(index):
                painter.drawRoundedRect(QRectF(rect).adjusted(-0.5, 0.5, -0.5, -0.5), 2.5, 2.5)
        for note in self._notes:
            self._paint_note(painter, note)

    def _paint_note(self, painter: QPainter, note: Note) -> None:
        """Paint a note at the upper edge of its tokens, where letters seldom reach."""
        spans = self._spans
        if spans is None or note.tokens.stop > spans.tokens:
            return
        rows = [spans.row(index) for index in note.tokens]
        if any(row < 0 or spans.freshness[row] != Freshness.FRESH for row in rows):
            return
        rects = [QRectF(it) for it in self._rects(rows[0], rows[-1])] if rows else []
        if not rects:
            return
        first = rects[0]
        for rect in rects[1:]:
            if rect.top() == first.top():
                first = first.united(rect)
        if first.bottom() < 0:
            return  # scrolled away, with what it is about
        colour = QColor(*self._scale.palette[0])
        surface, text = QColor(*self._scale.surface), QColor(*self._scale.text)
        if note.ring:
            painter.setPen(QPen(colour, 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(first.adjusted(0, 1, -1, -1), 4, 4)
        # Both fonts have them in the middle of their lines.
        capitals = first.center().y() - QFontMetricsF(self.font()).capHeight() / 2
        painter.setFont(smaller(self.font(), 0.52 * self.font().pointSizeF()))
        metrics = painter.fontMetrics()
        wide, high = metrics.horizontalAdvance(note.text) + 6, metrics.ascent()
        box = QRectF(first.right() - wide, max(capitals - 1 - high, 0.0), wide, high)
        painter.setPen(QPen(colour, 1) if note.ring else Qt.PenStyle.NoPen)
        painter.setBrush(surface)
        painter.drawRoundedRect(box, 3, 3)
        painter.setPen(text)
        painter.drawText(QPointF(box.left() + 3, box.bottom() - 1.5), note.text)

    def _update_token(self, index: int | None) -> None:
        for rect in self.token_rects(index) if index is not None else ():
            self.viewport().update(rect.adjusted(-4, -4, 4, 4))

    def _current_ink(self) -> Ink:
        ratio = self.devicePixelRatioF()
        if self._ink is None or self._ink.ratio != ratio:
            self._forget_lines()
            self._ink = Ink.of(
                self._scale,
                self.font(),
                boundaries=self._boundaries,
                marks=self._marks,
                ratio=ratio,
            )
        return self._ink

    def _forget_pictures(self) -> None:
        self._ink = None
        self._forget_lines()
        self.viewport().update()

    def _forget_lines(self) -> None:
        self._columns.clear()
        self.pictures.clear()

    def _apply_palette(self) -> None:
        """Set the scale's surface and text colour, and a selection that no class looks like."""
        surface, text = QColor(*self._scale.surface), QColor(*self._scale.text)
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.Base, surface)
        palette.setColor(QPalette.ColorRole.Text, text)
        palette.setColor(QPalette.ColorRole.PlaceholderText, mix(surface, text, 0.6))
        palette.setColor(QPalette.ColorRole.Highlight, mix(surface, text, 0.8))
        palette.setColor(QPalette.ColorRole.HighlightedText, surface)
        self.setPalette(palette)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._forget_pictures()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._forget_lines()
        # Two views of lines: enough to scroll and to edit, little enough on a large screen.
        lines = self.viewport().height() // max(self.fontMetrics().height(), 1)
        self.pictures.room = 2 * lines + 32


def _around(
    units: NDArray[np.int32], rows: Rows, at: int, room: int
) -> tuple[NDArray[np.int32], Rows]:
    """Return units and their rows with ``room`` positions let in at one, which no unit holds.

    A unit that the position divides becomes two, of the same row.
    """
    begins, ends = units[:, 0], units[:, 1]
    left, right = np.flatnonzero(begins < at), np.flatnonzero((ends > at) | (begins >= at))
    before, after = units[left], units[right]
    before[:, 1] = np.minimum(before[:, 1], at)
    after[:, 0] = np.maximum(after[:, 0], at)
    after[:, :2] += room
    return np.concatenate([before, after]), np.concatenate([rows[left], rows[right]])
