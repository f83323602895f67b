"""The panel about one token: its numbers, and what else could have stood there; pages in tabs.

The numbers that are known show at once; the alternatives are asked for and arrive later. Choosing
one says ``chosen``. Knows scorings and inspections; asks nothing itself.
"""

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QBrush, QColor, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.colour_scale import ColourScale
from core.noise import NOISELESS, NoiseFloor
from core.present.numerals import percent, signed
from core.present.token_facts import Fact, alternative_tip, token_facts
from core.scoring import Alternative, Inspection, Scoring

SEARCH_MS = 120
EMPTY = (
    "Point at a token to see its numbers.\n\nClick it, or press Alt+← and Alt+→, to pin it: then "
    "you can put another token in its place and keep the rest of the text."
)


def show_fact(labels: tuple[QLabel, QLabel], fact: Fact) -> None:
    """Put a fact into the labels of its name and its value."""
    for label, text in zip(labels, (fact.name, fact.value), strict=True):
        label.setText(text)
        label.setToolTip(fact.meaning)
    theme.set_faint(labels[1], fact.faint)


class Choices(QTableWidget):
    """Alternatives, one a row: token, reward, probability under policy and reference, ranks."""

    taken = Signal(int)
    """The user took the token with this id."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(0, 4, parent)
        self.setAccessibleName(name)
        self._choices: tuple[Alternative, ...] = ()
        for column, text in enumerate(("token", "r", "π", "π_ref")):
            heading = QTableWidgetItem(text)
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            heading.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            self.setHorizontalHeaderItem(column, heading)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setMinimumHeight(76)
        self.cellDoubleClicked.connect(self._take_row)

    def show_choices(
        self, choices: tuple[Alternative, ...], beta: float, scale: ColourScale, current: int
    ) -> None:
        """Fill the rows; the token that stands there now (``current``, an id) is marked."""
        self._choices = choices
        row_height = self.fontMetrics().height() + 5
        self.setRowCount(len(choices))
        dark_text = QBrush(QColor(*scale.text))
        faint_text = QBrush(QColor(theme.colours(scale.dark).muted))
        for row, choice in enumerate(choices):
            r = beta * (choice.logp_policy - choice.logp_reference)
            mark = "▸ " if choice.id == current else ""
            hidden = scale.hides(r)
            tip = alternative_tip(choice, beta, scale.floor)
            cells = (
                mark + choice.label,
                signed(r),
                percent(choice.logp_policy),
                percent(choice.logp_reference),
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(tip)
                if column:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                if column == 1:
                    if not hidden:
                        item.setBackground(QColor(scale.css(r)))
                    item.setForeground(faint_text if hidden else dark_text)
                if choice.id == current:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                self.setItem(row, column, item)
            self.setRowHeight(row, row_height)

    def choice(self, row: int) -> Alternative | None:
        return self._choices[row] if 0 <= row < len(self._choices) else None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._take_row(self.currentRow(), 0)
            event.accept()
            return
        super().keyPressEvent(event)

    @Slot(int, int)
    def _take_row(self, row: int, column: int) -> None:
        choice = self.choice(row)
        if choice is not None:
            self.taken.emit(choice.id)


class Inspector(QFrame):
    """One token's numbers and alternatives."""

    chosen = Signal(int)
    """Put the token with this id in the place of the one that is shown."""
    searched = Signal(str)
    """The user wants to see the vocabulary's tokens that match; "" for no search."""
    unpin = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self._facts: list[tuple[QLabel, QLabel]] = []
        self._current = -1
        self._inspection: Inspection | None = None
        self._shown: tuple[object, ...] = ()
        self.title = QLabel("Token")
        self.title.setObjectName("heading")
        self.unpin_button = QToolButton()
        self.unpin_button.setText("Unpin")
        self.unpin_button.setToolTip("Let the panel follow the mouse again (Esc)")
        self.empty = QLabel(EMPTY)
        self.empty.setObjectName("muted")
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.tabs = QTabWidget()
        """One page of numbers each; what is here is the first."""
        self.body = QWidget()
        self.grid = QGridLayout()
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search the whole vocabulary…")
        self.search.setClearButtonEnabled(True)
        self.search.setAccessibleName("Search the vocabulary for a token")
        self.search.setToolTip("Find any token; Enter takes the first, a double-click any other")
        self.by_policy = Choices("Likeliest under the policy")
        self.by_reference = Choices("Likeliest under the reference")
        self.found = Choices("Tokens found")
        self.policy_title = QLabel("Likeliest under the policy π")
        self.reference_title = QLabel("Likeliest under the reference π_ref")
        self.found_title = QLabel("Found in the vocabulary")
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(SEARCH_MS)
        self._lay_out()
        self._typing.timeout.connect(self._say_search)
        self.search.textChanged.connect(self._typed)
        self.search.returnPressed.connect(self._take_first)
        self.unpin_button.clicked.connect(self.unpin)
        for table in (self.by_policy, self.by_reference, self.found):
            table.taken.connect(self.chosen)
        self.clear()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.unpin_button)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setHorizontalSpacing(10)
        self.grid.setVerticalSpacing(2)
        self.grid.setColumnStretch(1, 1)
        inside = QVBoxLayout(self.body)
        inside.setContentsMargins(0, 6, 0, 0)
        inside.setSpacing(4)
        inside.addLayout(self.grid)
        inside.addSpacing(4)
        inside.addWidget(self.search)
        for title, table in (
            (self.found_title, self.found),
            (self.policy_title, self.by_policy),
            (self.reference_title, self.by_reference),
        ):
            title.setObjectName("heading")
            inside.addWidget(title)
            inside.addWidget(table, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 10, 8)
        column.addLayout(top)
        column.addWidget(self.empty, 1)
        column.addWidget(self.tabs, 1)
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(self.body, "&Token")

    # --- what is shown ----------------------------------------------------------------------

    def clear(self) -> None:
        """No token."""
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
    ) -> None:
        """What is known of a token already."""
        self._current = int(scoring.ids[index])
        state = " · pinned" if pinned else ""
        if stale:
            state += " · before the edit"
        label = scoring.labels[index].replace("&", "&amp;").replace("<", "&lt;")
        self.title.setText(
            f"{side} &nbsp;<span style='font-size:130%'>{label}</span><small>{state}</small>"
        )
        for row, fact in enumerate(token_facts(scoring, index, beta, noise)):
            if row >= len(self._facts):
                name, value = QLabel(), QLabel()
                name.setObjectName("muted")
                value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
                value.setTextFormat(Qt.TextFormat.PlainText)
                value.setWordWrap(True)
                self.grid.addWidget(name, row, 0, Qt.AlignmentFlag.AlignTop)
                self.grid.addWidget(value, row, 1)
                self._facts.append((name, value))
            show_fact(self._facts[row], fact)
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
        self.empty.hide()
        self.tabs.show()

    def show_alternatives(
        self, inspection: Inspection | None, beta: float, scale: ColourScale
    ) -> None:
        """The alternatives, or None while they are being asked for (rows are emptied)."""
        searching = bool(self.search.text()) and self.search.isEnabled()
        shown = inspection, beta, scale, self._current, searching
        if inspection is not None and shown == self._shown:
            return  # filling tables is slow, and this is called with each key press
        self._inspection, self._shown = inspection, shown
        for title, table in (
            (self.policy_title, self.by_policy),
            (self.reference_title, self.by_reference),
        ):
            title.setVisible(not searching)
            table.setVisible(not searching)
        self.found_title.setVisible(searching)
        self.found.setVisible(searching)
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

    def inspection(self) -> Inspection | None:
        """The alternatives that are shown."""
        return self._inspection

    def query(self) -> str:
        """What is searched for; "" where a search makes no sense."""
        return self.search.text() if self.search.isEnabled() else ""

    def search_asked(self) -> None:
        """What stands in the search box has been asked for: it need not rest first."""
        self._typing.stop()

    def end_search(self) -> None:
        """Empty the search box without a word."""
        blocked = self.search.blockSignals(True)
        self.search.clear()
        self.search.blockSignals(blocked)
        self._typing.stop()

    @Slot()
    def _typed(self) -> None:
        self._typing.start()

    @Slot()
    def _say_search(self) -> None:
        self.searched.emit(self.query())

    @Slot()
    def _take_first(self) -> None:
        first = self.found.choice(0)
        if first is not None and not self._typing.isActive() and self.found.isVisible():
            self.chosen.emit(first.id)
