"""The panel about one token: its numbers, and what else could have stood there; pages in tabs.

The numbers that are known show at once; the alternatives are asked for and arrive later. Choosing
one says ``chosen``. Knows scorings and inspections; asks nothing itself.
"""

from html import escape

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.inspect.choices import Choices
from app.inspect.facts import FactGrid
from app.inspect.search_box import VocabularySearch
from app.widgets.clipped import Clipped
from app.widgets.colour_scale import ColourScale
from app.widgets.icons import IconButton
from app.widgets.layouts import as_tip, fill, scrolled
from core.noise import NOISELESS, NoiseFloor
from core.present.token_facts import Fact, token_facts
from core.scoring import Alternative, Inspection, Scoring

ALONE = "It needs a reference, and the policy is alone."
FACTS = 300
"""Pixels of the column of numbers."""
LOW = 260
"""Pixels of height below which why a token has its colour is one line, the rest in its tool tip."""
EMPTY = (
    "Point at a token to see its numbers.\n\nClick it, or press Alt+← and Alt+→, to pin it: then "
    "you can put another token in its place and keep the rest of the text."
)


class Inspector(QFrame):
    """One token's numbers and alternatives."""

    chosen = Signal(int)
    """Put the token with this id in the place of the one that is shown."""
    unpin = Signal()
    pin_wanted = Signal()
    """Hold the token that is shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("drawer")
        self._current = -1
        self._alone = False
        self._inspection: Inspection | None = None
        self._shown: tuple[object, ...] = ()
        self.title = QLabel("Token")
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.title.setObjectName("heading")
        self.unpin_button = IconButton("close", "Unpin", "Let the token go (Esc)")
        self.empty = QLabel(EMPTY)
        self.empty.setObjectName("muted")
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.tabs = QTabWidget()
        """One page of numbers each; what is here is the first."""
        self.body = QWidget()
        self.why = QLabel()
        self.why.setWordWrap(True)
        self.why.setTextFormat(Qt.TextFormat.PlainText)
        self.why.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.why_brief = Clipped()
        self.facts = FactGrid()
        self.search = VocabularySearch(
            "Search the vocabulary for a token",
            "Find any token; Enter takes the first, a double-click any other",
        )
        self.by_policy = Choices("Likeliest under the policy", spare="π_ref")
        self.by_reference = Choices("Likeliest under the reference", spare="π")
        self.found = Choices("Tokens found")
        self.policy_title = QLabel("Likeliest under the policy π")
        self.reference_title = QLabel("Likeliest under the reference π_ref")
        self.found_title = QLabel("Found in the vocabulary")
        self._sides: list[QWidget] = []
        self._lay_out()
        self.setTabOrder(self.tabs.tabBar(), self.unpin_button)
        self.search.entered.connect(self._take_first)
        self.unpin_button.clicked.connect(self.unpin)
        for table in (self.by_policy, self.by_reference, self.found):
            table.taken.connect(self.chosen)
        self.pin_action = QAction("Pin the token that stands there", self)
        self.pin_action.triggered.connect(self.pin_wanted)
        for table in (self.by_policy, self.by_reference, self.found):
            table.addAction(self.pin_action)
        self.clear()

    def _lay_out(self) -> None:
        named = QWidget()
        fill(QHBoxLayout(named), self.title, self.unpin_button, margins=(0, 0, 0, 2), spacing=6)
        self.tabs.setCornerWidget(named)
        known = QWidget()
        fill(QVBoxLayout(known), self.facts, 1, margins=(0, 0, theme.GAP, 0))
        facts = scrolled(known)
        facts.setFixedWidth(FACTS)
        facts.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # the arrow keys then scroll
        facts.setAccessibleName("Numbers of the token")
        for ground in (facts.viewport(), known):
            ground.setAutoFillBackground(False)
        sides = QSplitter(Qt.Orientation.Horizontal)
        words = QVBoxLayout()
        parts = self.search, (sides, 1)
        others = fill(QHBoxLayout(), facts, (fill(words, *parts, spacing=4), 1), spacing=theme.GAP)
        rows = self.why, self.why_brief, (others, 1)
        fill(QVBoxLayout(self.body), *rows, margins=(0, theme.TIGHT, 0, 0), spacing=theme.TIGHT)
        for title, table in (
            (self.found_title, self.found),
            (self.policy_title, self.by_policy),
            (self.reference_title, self.by_reference),
        ):
            title.setObjectName("heading")
            side = QWidget()
            fill(QVBoxLayout(side), title, (table, 1), margins=(0, 0, 0, 0), spacing=4)
            sides.addWidget(side)
            self._sides.append(side)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.MARGIN, 6, theme.GAP, theme.GAP)
        column.setSpacing(2)
        column.addWidget(self.empty, 1)
        column.addWidget(self.tabs, 1)
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(self.body, "&Token")

    # --- what is shown ----------------------------------------------------------------------

    def clear(self) -> None:
        """Show no token."""
        self._inspection, self._shown = None, ()
        self._current = -1
        self.title.setText("Token")
        self.tabs.hide()
        self.empty.show()
        self.unpin_button.hide()

    def show_token(
        self,
        side: str,
        scoring: Scoring,
        index: int,
        beta: float,
        pinned: bool,
        stale: bool,
        noise: NoiseFloor = NOISELESS,
        colour: Fact | None = None,
    ) -> None:
        """Show what is known of a token already; ``colour``: the number behind its colour."""
        self._current = int(scoring.ids[index])
        state = " · pinned" if pinned else ""
        if stale:
            state += " · before the edit"
        label = escape(scoring.labels[index])
        self.title.setText(
            f"{side} &nbsp;<span style='font-size:130%'>{label}</span><small>{state}</small>"
        )
        known = token_facts(scoring, index, beta, noise)
        self.facts.show_facts(known if colour is None else (*known, colour))
        closing = index >= len(scoring.tokens)
        self.search.setEnabled(pinned and not closing)
        self.search.setPlaceholderText(
            "The closing token cannot be replaced"
            if closing
            else "Search the whole vocabulary…"
            if pinned
            else "Pin the token (click) to replace it"
        )
        self.unpin_button.setVisible(pinned)
        self.pin_action.setEnabled(not pinned)
        self.empty.hide()
        self.tabs.show()

    def show_why(self, sentences: tuple[str, ...]) -> None:
        """Say why the token has its colour; of a policy alone there is nothing to say."""
        said = " ".join(sentences)
        self.why.setText(said)
        self.why_brief.show_words(said)
        self.why_brief.setToolTip(as_tip(said))
        self._place_why()

    def _place_why(self) -> None:
        """Show the sentences, or their beginning where the panel is low."""
        said, low = bool(self.why.text()), self.height() < LOW
        self.why.setVisible(said and not low)
        self.why_brief.setVisible(said and low)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_why()

    def show_alternatives(
        self, inspection: Inspection | None, beta: float, scale: ColourScale
    ) -> None:
        """Show the alternatives; None while they are being asked for (rows are emptied)."""
        searching = bool(self.search.query())
        shown = inspection, beta, scale, self._current, searching
        if inspection is not None and shown == self._shown:
            return  # filling tables is slow, and this is called with each key press
        self._inspection, self._shown = inspection, shown
        found, policy, reference = self._sides
        found.setVisible(searching)
        policy.setVisible(not searching)
        reference.setVisible(not searching and not self._alone)
        rows: tuple[tuple[Choices, tuple[Alternative, ...]], ...] = (
            (self.by_policy, inspection.by_policy if inspection else ()),
            (self.by_reference, inspection.by_reference if inspection else ()),
            (self.found, inspection.found if inspection else ()),
        )
        for table, choices in rows:
            table.show_choices(choices, beta, scale, self._current)
        if searching and inspection is not None:
            count = len(inspection.found)
            self.found_title.setText(
                f"Found in the vocabulary: {count}" if count else "No token contains that"
            )

    def set_alone(self, alone: bool) -> None:
        """Offer the other pages only where there is a reference, which their rewards need."""
        for page in range(1, self.tabs.count()):
            self.tabs.setTabEnabled(page, not alone)
            self.tabs.setTabToolTip(page, ALONE if alone else "")
        self._alone = alone

    def inspection(self) -> Inspection | None:
        """Return the alternatives that are shown."""
        return self._inspection

    @Slot()
    def _take_first(self) -> None:
        first = self.found.choice(0)
        if first is not None and self.found.isVisible():
            self.chosen.emit(first.id)
