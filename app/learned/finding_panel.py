"""Shows one finding whole: its figures, its members and exceptions, the places where it was seen.

A place opens in the credit view as response A, or beside the other side of its minimal pair as B.
The tokens of the places are scored behind, to be coloured. Knows a report and the engine's client;
knows nothing of the window.
"""

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.engine_client import EngineClient
from app.inspect.variants import VariantsRun
from app.learned.contexts_list import ContextRow, ContextsList
from app.learned.findings_list import LONGEST
from app.learned.over_lines import OverLines
from app.widgets.layouts import fill, label
from app.widgets.timers import single_shot
from core.engine.protocol import Variant
from core.history import Reached, State
from core.learned import report
from core.learned.record import Finding, Learned
from core.present.numerals import with_minuses

PURPOSE = "learned"
REST_MS = 150
"""After which the places of the chosen finding are scored."""
NO_PLACES = (
    "This is about whole responses, so there is no single place to show: look at the figures above."
)
NO_PAIR = "No minimal pair was made at this place: choose another one."


class FindingPanel(QFrame):
    """One finding of a report."""

    put = Signal(object)
    """A ``State`` that is to stand in the credit view."""

    def __init__(self, client: EngineClient, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self._report: Learned | None = None
        self._finding: Finding | None = None
        self._can_score = False
        self.claim = label("", "heading")
        self.status = label("", "muted")
        self.figures = label("", "muted")
        for words in (self.claim, self.status, self.figures):
            words.setTextFormat(Qt.TextFormat.PlainText)
            words.setWordWrap(True)
            words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.over = OverLines()
        self.places = ContextsList()
        self.nothing = label(NO_PLACES, "muted")
        self.nothing.setWordWrap(True)
        self.open = QPushButton("Open in Credit")
        self.open.setToolTip("The prompt, and this response as A (Enter, or a double click)")
        self.counterfactual = QPushButton("Counterfactual")
        buttons = fill(QHBoxLayout(), self.open, self.counterfactual, 1, margins=(0, 0, 0, 0))
        fill(
            QVBoxLayout(self),
            self.claim,
            self.status,
            self.figures,
            self.over,
            (self.places, 1),
            (self.nothing, 1),
            buttons,
            margins=(theme.MARGIN, theme.GAP, theme.MARGIN, theme.GAP),
            spacing=theme.TIGHT,
        )
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._run = VariantsRun(client, PURPOSE, self)
        self._run.stepped.connect(self._colour)
        self._rest = single_shot(self, self._score, REST_MS)
        self.places.chosen.connect(self._show_buttons)
        self.places.taken.connect(self.open_place)
        self.open.clicked.connect(self.open_place)
        self.counterfactual.clicked.connect(self.open_counterfactual)

    def show_finding(self, found: Learned | None, number: int, can_score: bool) -> None:
        """Show one of a report's findings; −1 for none.

        ``can_score``: there is something that answers, so that tokens can be coloured.
        """
        self._rest.stop()
        self._run.stop()
        there = found is not None and 0 <= number < len(found.findings)
        self._report = found
        self._finding = found.findings[number] if found is not None and there else None
        self._can_score = can_score
        self.setVisible(there)
        if found is None or self._finding is None:
            return
        finding = self._finding
        self.claim.setText(report.capital(finding.claim)[:LONGEST])
        self.status.setText(with_minuses(f"{finding.figures}; {report.status(finding)}"))
        lines = (it[:LONGEST] for it in report.details(finding))
        self.figures.setText(with_minuses("\n".join(lines)))
        self.over.show_finding(found, number)
        rows = [self._row(found, finding, place) for place in range(len(finding.contexts))]
        self.places.show_rows(rows)
        self.places.setVisible(bool(rows))
        self.nothing.setVisible(not rows)
        if rows and can_score:
            self._rest.start()

    def _row(self, found: Learned, finding: Finding, place: int) -> ContextRow:
        context = finding.contexts[place]
        own = context.response
        pair = next((it for it in finding.pairs if it.response == own), None)
        return ContextRow(context, found.prompts[own].messages[-1].content, found.texts[own], pair)

    # --- colours --------------------------------------------------------------------------------

    @Slot()
    def _score(self) -> None:
        if self._report is not None and self._finding is not None:
            found = self._report
            self._run.begin(
                tuple(
                    Variant(found.prompts[it.response], found.texts[it.response])
                    for it in self._finding.contexts
                )
            )

    def is_coloured(self) -> bool:
        """Return whether nothing more is to be known of the places' tokens."""
        return not (self._rest.isActive() or self._run.running)

    @Slot()
    def _colour(self) -> None:
        self.places.show_scorings(self._run.scorings)

    # --- opening --------------------------------------------------------------------------------

    @Slot(int)
    def _show_buttons(self, place: int) -> None:
        self.open.setEnabled(place >= 0)
        pair = self.places.contexts.rows[place].pair if place >= 0 else None
        self.counterfactual.setEnabled(pair is not None)
        self.counterfactual.setToolTip(
            NO_PAIR
            if pair is None
            else "This response as A, and as B the same with one thing changed: see Σr and what "
            "follows"
        )

    @Slot()
    def open_place(self) -> None:
        """Have the chosen place's prompt and response put into the credit view, as A."""
        if (row := self._chosen()) is not None:
            self._put(row, "")

    @Slot()
    def open_counterfactual(self) -> None:
        """Have the chosen place's response put there as A, its minimal pair's other side as B."""
        row = self._chosen()
        if row is not None and row.pair is not None:
            self._put(row, row.pair.text)

    def _chosen(self) -> ContextRow | None:
        place = self.places.current()
        return self.places.contexts.rows[place] if place >= 0 else None

    def _put(self, row: ContextRow, other: str) -> None:
        assert self._report is not None
        prompt = self._report.prompts[row.context.response]
        self.put.emit(State(prompt, Reached(row.text), Reached(other)))

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self.places.set_dark(dark)
        self.over.set_dark(dark)
