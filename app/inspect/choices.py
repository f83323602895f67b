"""A table of the actions at a state: tokens that could stand there, one of which may be taken."""

from PySide6.QtCore import Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from app.inspect.rows import Cell, Line, Rows, shaded
from app.widgets.colour_scale import ColourScale
from core.present.numerals import percent, signed
from core.present.token_facts import alternative_tip
from core.scoring import Alternative

TITLES = "token", "r", "π", "π_ref"
ROOMY = 245
"""Pixels of width from which all columns are shown."""
COPIED = "token", "reward", "logp_policy", "logp_reference"


class Choices(Rows):
    """Alternatives, one a row: token, reward, probability under policy and reference.

    A double-click takes one, by its id.
    """

    def __init__(
        self,
        name: str,
        verb: str = "Put it in place",
        parent: QWidget | None = None,
        spare: str = "",
    ) -> None:
        """``verb``: what taking a token does, as its menu says; ``spare``: the title of the column
        that is left out where there is little room."""
        super().__init__(name, TITLES, COPIED, verb, "token", parent)
        self._choices: tuple[Alternative, ...] = ()
        self._spare, self._alone = spare, False
        self.cellDoubleClicked.connect(self._take)

    def show_choices(
        self, choices: tuple[Alternative, ...], beta: float, scale: ColourScale, current: int
    ) -> None:
        """Fill the rows; the token that stands there now (``current``, an id) is marked."""
        self._choices = choices
        self._alone = any(choice.logp_reference is None for choice in choices)
        self._hide_columns()
        self.show_lines([_line(it, beta, scale, it.id == current) for it in choices], scale)

    def _hide_columns(self) -> None:
        """Leave out what needs a reference, where there is none, and what there is no room for."""
        hidden = {"r", "π_ref"} if self._alone else set()
        if self.width() < ROOMY:
            hidden |= {self._spare}
        for column, title in enumerate(TITLES):
            self.setColumnHidden(column, title in hidden)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._hide_columns()

    def choice(self, row: int) -> Alternative | None:
        """Return what stands in a row."""
        return self._choices[row] if 0 <= row < len(self._choices) else None

    @Slot(int, int)
    def _take(self, row: int, column: int) -> None:
        self.take_row(row)


def _line(choice: Alternative, beta: float, scale: ColourScale, current: bool) -> Line:
    reference, tip = choice.logp_reference, alternative_tip(choice, beta, scale.floor)
    r = None if reference is None else beta * (choice.logp_policy - reference)
    cells = (
        Cell(choice.label),
        *shaded([("" if r is None else signed(r), r)], scale),
        Cell(percent(choice.logp_policy)),
        Cell("" if reference is None else percent(reference)),
    )
    known = (r, choice.logp_policy, reference)
    copied = (choice.text, *("" if it is None else it for it in known))
    return Line(choice.id, choice.text, cells, copied, tip, current)
