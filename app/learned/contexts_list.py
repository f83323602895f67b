"""Lists the places where a finding was seen: the text around each, its tokens coloured.

A token has the colour of its log π − log π_ref once that is known; before, what was found has that
of its effect. Below stands the prompt, and what a minimal pair has put in its place. Knows records,
spans and colours; asks for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QTextLayout, QTextOption
from PySide6.QtWidgets import (
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app import theme
from app.learned.findings_list import paint_ground
from app.widgets.colour_scale import ColourScale, fit_limit
from app.widgets.drawing import said_once
from app.widgets.layouts import as_tip
from app.widgets.painted_list import PaintedList
from app.widgets.spans import utf16_offsets
from core.learned.record import Context, MinimalPair
from core.present.numerals import with_minuses
from core.scoring import Scoring
from core.text import shared_prefix

Index = QModelIndex | QPersistentModelIndex
PAD = 7
FIGURE = 52
"""Pixels for the effect, before the text."""
ONE_LINE = QTextOption()
ONE_LINE.setWrapMode(QTextOption.WrapMode.NoWrap)
BEFORE = 34
"""Letters that are shown before what was found, at most."""
SHOWN, TOLD = 400, 2000
"""Letters of a text that are laid out, and that a tool tip tells."""


@dataclass(frozen=True)
class ContextRow:
    """A place in a response, and the minimal pair that was made there, if any."""

    context: Context
    prompt: str
    """The last turn of it."""
    text: str
    pair: MinimalPair | None = None
    scoring: Scoring | None = field(default=None, compare=False)

    @property
    def found(self) -> str:
        """Return what stands there."""
        return self.text[self.context.start : self.context.stop]

    @property
    def below(self) -> str:
        """Return the line below the text."""
        said = []
        if self.pair is not None:
            short = max(len(self.pair.before), len(self.pair.after)) <= 40
            swapped = (
                f"{self.pair.before or '∅'} → {self.pair.after or '∅'}" if short else "changed"
            )
            said.append(with_minuses(f"{swapped}: Σ differs by {self.pair.change:+.2f}"))
        return " · ".join([*said, " ".join(self.prompt[:SHOWN].split())])

    def spans(self) -> list[tuple[int, int, float]]:
        """Return what is coloured, in letters of the text, each with its value in nats."""
        if self.scoring is None or self.scoring.logp_reference is None:
            return [(self.context.start, self.context.stop, self.context.effect)]
        tokens = self.scoring.tokens
        values = self.scoring.logp_policy - self.scoring.logp_reference
        each = zip(tokens.starts, tokens.ends, values.tolist(), strict=False)
        return [*each]


@dataclass(frozen=True)
class Seen:
    """What one line shows of a text: ``text[first:last]`` behind ``lead`` letters of dots."""

    said: str
    first: int
    last: int
    lead: int


def seen_part(row: ContextRow, metrics: QFontMetrics, width: int) -> Seen:
    """Return what a line of a width in pixels shows of a text: what was found, whole if it fits,
    after as much of what stands before it as leaves room for it, dots where something is cut."""
    begin, end = row.context.start, row.context.stop
    earliest = max(begin - BEFORE, 0)
    letters = range(earliest, begin)
    words = [at for at in letters if not at or row.text[at - 1].isspace()]
    for first in (*(words or letters), begin):
        seen = _seen_from(row.text, first, metrics, width)
        if seen.last >= end:
            break
    return seen


def _seen_from(text: str, first: int, metrics: QFontMetrics, width: int) -> Seen:
    """Return what a line shows of a text from a letter on."""
    lead = "… " if first else ""
    piece = text[first : first + SHOWN].replace("\n", "↵").replace("\t", " ")
    more = "…" if first + SHOWN < len(text) else ""
    said = metrics.elidedText(lead + piece + more, Qt.TextElideMode.ElideRight, width)
    same = shared_prefix(said, lead + piece)
    return Seen(said, first, first + max(same - len(lead), 0), len(lead))


class ContextsModel(QAbstractListModel):
    """The places of one finding."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[ContextRow] = []

    def show(self, rows: Sequence[ContextRow]) -> None:
        """Show other places."""
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def put(self, row: int, shown: ContextRow) -> None:
        """Show one place otherwise."""
        self.rows[row] = shown
        self.dataChanged.emit(self.index(row), self.index(row))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 -- as Qt has it
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return with_minuses(f"{row.context.effect:+.2f} nats, {row.found}, in: {row.text}")
        if role == Qt.ItemDataRole.ToolTipRole:
            parts = (it[:TOLD] for it in (row.prompt, row.text, row.below))
            return as_tip("\n\n".join(parts))
        return None


class ContextDelegate(QStyledItemDelegate):
    """Paints one place: its effect, the text with its tokens coloured, and a line below."""

    scale = ColourScale()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        line = option.fontMetrics.height()
        return QSize(200, 2 * line + 2 * PAD + 5)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        with said_once():
            self._paint(painter, option, index)

    def _paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = index.model()
        assert isinstance(model, ContextsModel)
        row = model.rows[index.row()]
        colours = theme.colours(self.scale.dark)
        paint_ground(painter, option, self.scale.dark)
        room: QRect = option.rect.adjusted(PAD, PAD, -PAD, -PAD)
        font: QFont = option.font
        painter.save()
        painter.setFont(font)
        painter.setPen(QColor(colours.muted))
        top = Qt.AlignmentFlag.AlignTop
        number = QRect(room.left(), room.top(), FIGURE - PAD, room.height())
        painter.drawText(
            number, Qt.AlignmentFlag.AlignRight | top, with_minuses(f"{row.context.effect:+.2f}")
        )
        words = room.adjusted(FIGURE, 0, 0, 0)
        painter.setClipRect(words)
        self._paint_text(painter, words, row, font)
        painter.setPen(QColor(colours.muted))
        painter.setFont(font)
        below = painter.fontMetrics().elidedText(
            row.below, Qt.TextElideMode.ElideRight, words.width()
        )
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, below)
        painter.restore()

    def _paint_text(self, painter: QPainter, room: QRect, row: ContextRow, font: QFont) -> None:
        """Paint the text around what was found on one line, its tokens coloured behind it."""
        seen = seen_part(row, QFontMetrics(font), room.width())
        offsets = utf16_offsets(seen.said)
        layout = QTextLayout(seen.said, font)
        layout.setTextOption(ONE_LINE)
        layout.beginLayout()
        line = layout.createLine()
        line.setLineWidth(room.width())
        layout.endLayout()
        high = line.height()

        def box(start: int, stop: int) -> QRectF | None:
            begin, end = (
                min(max(at, seen.first), seen.last) - seen.first + seen.lead for at in (start, stop)
            )
            if begin >= end:
                return None
            left, right = (
                line.cursorToX(int(offsets[at]))[0]  # type: ignore[index]
                for at in (begin, end)
            )
            return QRectF(room.left() + min(left, right), room.top(), abs(right - left), high)

        for start, stop, value in row.spans():
            tile = box(start, stop)
            if tile is not None:
                painter.fillRect(tile.adjusted(0, 0, -1, 0), QColor(self.scale.css(value)))
        painter.setPen(QColor(*self.scale.text))
        layout.draw(painter, QPointF(room.left(), room.top()))
        found = box(row.context.start, row.context.stop)
        if found is not None:
            line_below = QRectF(found.left(), found.bottom() + 1, max(found.width(), 4), 2)
            painter.fillRect(line_below, QColor(theme.colours(self.scale.dark).accent))


class ContextsList(PaintedList):
    """The places, of which one is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self.contexts = ContextsModel()
        self._delegate = ContextDelegate()
        name = "Where it was found"
        super().__init__(self.contexts, self._delegate, name, self._text_of, parent)

    def _text_of(self, place: int) -> str:
        return self.contexts.rows[place].text

    def show_rows(self, rows: Sequence[ContextRow]) -> None:
        """Show other places, the first one chosen."""
        self.contexts.show(rows)
        self._fit()
        if rows:
            self.setCurrentIndex(self.contexts.index(0))
        else:
            self.chosen.emit(-1)

    def show_scorings(self, scorings: Sequence[Scoring | None]) -> None:
        """Colour the tokens of the first places, as far as these are known."""
        for number, scoring in enumerate(scorings):
            row = self.contexts.rows[number]
            if scoring is not None and row.scoring is None:
                shown = ContextRow(row.context, row.prompt, row.text, row.pair, scoring)
                self.contexts.put(number, shown)
        self._fit()

    def _fit(self) -> None:
        """Fit the colours to all that is shown."""
        values = [value for row in self.contexts.rows for _, _, value in row.spans()]
        limit = fit_limit(np.array(values)) if values else 1.0
        self._delegate.scale = ColourScale(limit, dark=self._delegate.scale.dark)
        self.viewport().update()

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._delegate.scale = ColourScale(self._delegate.scale.limit, dark=dark)
        self.viewport().update()
