"""A sortable table of texts that could stand in a place, and of what each does; one can be taken.

A click or Enter takes a row; a click on a heading sorts, another the other way around. Knows
effects as numbers; knows nothing of responses or of the engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, Slot

from app.inspect.rows import Cell, Line, Rows, shaded
from app.widgets.colour_scale import ColourScale
from core.present.effects import COLUMNS, COPIED, MEANINGS, Effect, cells, copied, numbers, sort_key

TOTAL = COLUMNS.index("total Δ")
COLOURED = COLUMNS.index("own r"), COLUMNS.index("after Δ"), TOTAL
MARGIN = COLUMNS.index("margin")
TAKE = "A click or Enter puts it in place; the menu copies."


@dataclass(frozen=True)
class Row:
    """A line: its number among what was asked for, what to call it, and what it does if known."""

    number: int
    text: str
    effect: Effect | None
    tip: str = ""
    current: bool = False
    """Whether it is what stands there."""
    flips: bool = False
    """Whether the margin changes its sign."""


class EffectsTable(Rows):
    """Rows of effects."""

    def __init__(self, name: str) -> None:
        super().__init__(name, COLUMNS, COPIED)
        self._rows: tuple[Row, ...] = ()
        self._shown: tuple[object, ...] = ()
        self._scale, self._stale = ColourScale(), False
        self._column, self._falling = TOTAL, True
        for column, meaning in enumerate(MEANINGS):
            told = Qt.ItemDataRole.ToolTipRole
            self.set_title(column, f"{meaning}. A click sorts by it.", told)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(48)
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self.sort_by)
        self._show_order()
        self.cellClicked.connect(self._take)

    def show_rows(self, rows: Sequence[Row], scale: ColourScale, stale: bool = False) -> None:
        """Show these rows in the order that was chosen; ``stale``: of a text that is no more."""
        shown = tuple(rows), scale, stale, self._column, self._falling
        if shown == self._shown:
            return  # filling tables is slow
        self._shown, self._scale, self._stale = shown, scale, stale
        key = sort_key(self._column)
        known = sorted(rows, key=lambda it: key((it.text, it.effect)), reverse=self._falling)
        known.sort(key=lambda it: key((it.text, it.effect))[0])  # what is not known comes last
        chosen = self.line(self.currentRow())
        self._rows = tuple(known)
        self.show_lines([_line(row, scale, stale) for row in known], scale)
        if chosen is not None:
            places = [place for place, row in enumerate(known) if row.number == chosen.number]
            self.setCurrentCell(places[0] if places else -1, 0)

    def forget_choice(self) -> None:
        """Select no row: what comes is of something else."""
        self.setCurrentCell(-1, -1)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows in the order in which they are shown."""
        return self._rows

    @Slot(int)
    def sort_by(self, column: int) -> None:
        """Sort by a column, the largest first; the other way around where that is so already."""
        self._falling = not self._falling if column == self._column else column != 0
        self._column = column
        self._show_order()
        if self._shown:
            self.show_rows(self._rows, self._scale, self._stale)

    def _show_order(self) -> None:
        """Mark the column that is sorted by; Qt's own mark would cover its title."""
        mark, order = ("▾", "largest first") if self._falling else ("▴", "smallest first")
        for column, title in enumerate(COLUMNS):
            here = column == self._column
            self.set_title(column, f"{title} {mark}" if here else title)
            said = f"{title}, {order}" if here else title
            self.set_title(column, said, Qt.ItemDataRole.AccessibleTextRole)

    @Slot(int, int)
    def _take(self, row: int, column: int) -> None:
        self.take_row(row)


def _line(row: Row, scale: ColourScale, stale: bool) -> Line:
    """Return how a row is drawn; without colours where it is of a text that is no more."""
    texts = cells(row.text, row.effect)
    if stale or row.effect is None:
        drawn = [Cell(text, faint=True) for text in texts]
    else:
        values = (None, *numbers(row.effect))
        coloured = (value if at in COLOURED else None for at, value in enumerate(values))
        drawn = [*shaded(zip(texts, coloured, strict=True), scale)]
    if row.flips:
        drawn[MARGIN] = Cell(texts[MARGIN] + " ⇄", faint=stale, bold=True)
    whole = copied(row.text, row.effect)
    return Line(row.number, row.text, tuple(drawn), whole, row.tip, row.current)
