"""The panel about one node of a tree: its whole text in colours, its numbers, and what may follow.

Shows at once what the tree holds; the alternatives are asked for and arrive later. Says what the
user wants to do; does nothing itself. Knows grown trees and inspections; knows no engine.
"""

from html import escape

import numpy as np
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.inspect.choices import Choices
from app.inspect.facts import FactGrid
from app.inspect.search_box import VocabularySearch
from app.search.picture import Picture
from app.widgets.colour_scale import ColourScale
from app.widgets.spans import TokenSpans
from app.widgets.token_editor import TokenEditor
from core import quantities
from core.noise import NoiseFloor
from core.present.node_facts import node_facts
from core.present.spelling import spell
from core.scoring import Inspection
from core.search.grown import Reason

EMPTY = (
    "Click a node of the tree, or walk there with the arrow keys, to see its text, its numbers "
    "and what else could follow."
)
ACTIONS: tuple[tuple[str, str, str], ...] = (
    ("grow", "Grow from here", "Search on from this node, with the strategy of the form"),
    ("sample", "Sample on", "Draw responses that begin with this node's text"),
    ("pin", "Pin", "Never prune this node"),
    ("prune", "Prune", "Take this node and all below it out of the search"),
    ("A", "Send to A", "Put this text into editor A, tokens and all"),
    ("B", "Send to B", "Put this text into editor B, tokens and all"),
)


class NodePanel(QWidget):
    """One node."""

    wanted = Signal(str)
    """The name of an action of ACTIONS, or "release" in place of "pin" and "prune"."""
    forced = Signal(int)
    """Let this token follow."""
    walked = Signal(int)
    """The user went to an entry on the way to the one that is shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._way: list[int] = []
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.title.setObjectName("heading")
        self.empty = QLabel(EMPTY)
        self.empty.setObjectName("muted")
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.body = QWidget()
        self.text = TokenEditor()
        self.text.setReadOnly(True)
        self.text.setFrameShape(QFrame.Shape.NoFrame)
        self.text.setAccessibleName("Text of the node")
        self.text.setPlaceholderText("The start: nothing has been written yet.")
        self.text.setMinimumHeight(64)
        self.text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.facts = FactGrid()
        self.buttons: dict[str, QPushButton] = {}
        self.search = VocabularySearch(
            "Search the vocabulary for a token to follow",
            "Find any token; Enter lets the first found follow this node",
        )
        self.following_title = QLabel()
        self.following_title.setObjectName("heading")
        self.following_title.setWordWrap(True)  # else a long sentence widens the whole panel
        self.following = Choices("What may follow", "Let it follow")
        self._lay_out()
        self.search.entered.connect(self._take_first)
        self.following.taken.connect(self.forced)
        self.text.token_clicked.connect(self._token_clicked)
        self.clear()

    def _lay_out(self) -> None:
        actions = QGridLayout()
        actions.setSpacing(4)
        for place, (action, title, tip) in enumerate(ACTIONS):
            button = QPushButton(title)
            button.setToolTip(tip)
            button.setProperty("action", action)
            button.clicked.connect(self._pressed)
            actions.addWidget(button, place // 2, place % 2)
            self.buttons[action] = button
        inside = QVBoxLayout(self.body)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(5)
        inside.addWidget(self.text, 2)
        inside.addLayout(actions)
        inside.addLayout(self.facts)
        inside.addSpacing(2)
        inside.addWidget(self.following_title)
        inside.addWidget(self.search)
        self.following.setMinimumHeight(130)
        inside.addWidget(self.following, 3)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.addWidget(self.title)
        column.addWidget(self.empty, 1)
        self.area = QScrollArea()
        self.area.setWidget(self.body)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.viewport().setAutoFillBackground(False)
        self.body.setAutoFillBackground(False)
        column.addWidget(self.area, 1)

    # --- what is shown ----------------------------------------------------------------------

    def clear(self) -> None:
        """Show no node."""
        self.title.setText("Node")
        self.area.hide()
        self.empty.show()

    def show_node(
        self,
        picture: Picture,
        entry: int,
        beta: float,
        scale: ColourScale,
        alive: bool,
        noise: NoiseFloor,
    ) -> None:
        """Show what the tree holds of a node; ``alive``: the search can be steered there."""
        tree = picture.tree
        title = escape(picture.label(entry))
        pinned = " · pinned" if entry in picture.pinned else ""
        self.title.setText(
            f"Node &nbsp;<span style='font-size:130%'>{title}</span><small>{pinned}</small>"
        )
        self._show_text(picture, entry, beta, scale)
        self.facts.show_facts(node_facts(tree, entry, beta, noise))
        closed = tree.is_closed(entry)
        by_hand = tree.reason[entry] == Reason.BY_HAND
        for action in ("grow", "sample"):
            self.buttons[action].setEnabled(alive and not closed)
        self.buttons["pin"].setEnabled(alive and entry > 0)
        self.buttons["pin"].setText("Unpin" if entry in picture.pinned else "Pin")
        self.buttons["prune"].setEnabled(alive and entry > 0)
        self.buttons["prune"].setText("Take back" if by_hand else "Prune")
        self.search.setEnabled(alive and not closed)
        self.empty.hide()
        self.area.show()

    def _show_text(self, picture: Picture, entry: int, beta: float, scale: ColourScale) -> None:
        tree = picture.tree
        self._way = tree.path(entry).tolist()
        closing = ""
        if self._way and tree.is_closed(entry):
            closing = tree.labels[self._way[-1]]
        open_way = self._way[:-1] if closing else self._way
        tokens = spell([tree.pieces[i] for i in open_way], ())
        r = quantities.reward(
            tree.column("logp_policy")[self._way], tree.column("logp_reference")[self._way], beta
        )
        classes = scale.classes(r)
        if self.text.text() != tokens.text:
            self.text.set_text(tokens.text)
        self.text.set_scale(scale)
        self.text.viewport().setPalette(self.text.palette())
        starts = np.asarray(tokens.starts, dtype=np.int64)
        ends = np.asarray(tokens.ends, dtype=np.int64)
        self.text.set_tokens(TokenSpans(tokens.text, starts, ends, classes[: len(open_way)]))
        if closing:
            self.text.set_closing(closing, int(classes[-1]))
        else:
            self.text.set_closing("", None)

    def show_following(
        self, inspection: Inspection | None, beta: float, scale: ColourScale, why_not: str = ""
    ) -> None:
        """Show what may follow; None while that is being asked for, or cannot be (``why_not``)."""
        searching = bool(self.search.query())
        choices = () if inspection is None else inspection.by_policy
        title = "Likeliest to follow under π"
        if searching and inspection is not None:
            choices = inspection.found
            title = f"Found in the vocabulary: {len(choices)}" if choices else "No token has that"
        self.following_title.setText(why_not or title)
        self.following.setVisible(not why_not)
        self.following.show_choices(choices, beta, scale, -1)

    def end_search(self) -> None:
        """Empty the search box and say nothing."""
        self.search.end_search()

    def set_text_size(self, points: float) -> None:
        self.text.setFont(theme.reading_font(points))

    # --- what is wanted ---------------------------------------------------------------------

    @Slot()
    def _pressed(self) -> None:
        button = self.sender()
        if isinstance(button, QPushButton):
            undo = button.text() in ("Unpin", "Take back")
            self.wanted.emit("release" if undo else str(button.property("action")))

    @Slot()
    def _take_first(self) -> None:
        first = self.following.choice(0)
        if first is not None:
            self.forced.emit(first.id)

    @Slot(int)
    def _token_clicked(self, index: int) -> None:
        if 0 <= index < len(self._way):
            self.walked.emit(self._way[index])
