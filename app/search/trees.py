"""The search view's trees: one, two beside each other, or two drawn as one.

Marks what only one of two trees kept, fits and follows, and says which pane is meant and which node
was chosen. Knows panes and canvases; knows nothing of forms, of colours, or of what is done at a
node.
"""

from functools import partial
from typing import Literal

from PySide6.QtCore import QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QFrame, QSplitter, QToolButton, QVBoxLayout, QWidget

from app.engine_client import EngineClient
from app.search.canvas import TreeCanvas
from app.search.compare import Overlay, differences, same_start
from app.search.minimap import Minimap
from app.search.pane import SearchPane
from app.widgets.boxes import choice
from app.widgets.colour_scale import ColourScale
from core.engine.protocol import PairInfo
from core.noise import NoiseFloor

Arrangement = Literal["one", "beside", "over"]
ONE, BESIDE, OVER = "one", "beside", "over"
ARRANGEMENTS = (
    (ONE, "One tree", "One tree in the whole room"),
    (BESIDE, "Two, side by side", "Two strategies or two λ on one prompt"),
    (OVER, "Two, overlaid", "Both trees drawn as one, differences marked"),
)
COMPARE_MS = 250
ELSEWHERE = (
    "The two trees begin at different states, so they cannot lie over each other: press Grow both."
)


class Trees(QSplitter):
    """The trees and the ways to look at them; its buttons stand wherever the view puts them."""

    grew = Signal()
    """A tree has changed."""
    states_changed = Signal()
    """A search has begun or ended."""
    problem = Signal(str)
    """A search could not be done: one sentence; "" once that is over."""
    active_changed = Signal()
    arranged = Signal()
    selected = Signal(str, int)
    """A node was chosen: its pane and its entry there."""
    actions_wanted = Signal(str, int, QPoint)
    """What can be done at a node is to be offered at a place on the screen."""

    def __init__(self, client: EngineClient, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.active = "left"
        """The pane that the form, the table and the node panel speak of."""
        self._pair: PairInfo | None = None
        self._checkpoint = ""
        """Of a run: the one that is shown."""
        self.panes = {name: SearchPane(name, client) for name in ("left", "right")}
        self.over = TreeCanvas("Both search trees, overlaid")
        self._over_map = Minimap(self.over)
        self._overlay = Overlay(self.over.picture)
        tip = "Compare two strategies, or two λ, on one prompt"
        self.mode = choice("One tree or two", ARRANGEMENTS, tip)
        self.fit_button, self.follow_button = QToolButton(), QToolButton()
        self._compare_soon = QTimer(self)
        self._compare_soon.setSingleShot(True)
        self._compare_soon.timeout.connect(self._compare)
        self._lay_out()
        self._arrange()
        self._connect()

    def _lay_out(self) -> None:
        self.fit_button.setText("Fit")
        self.fit_button.setToolTip("Show the whole tree (0); + and − and the wheel zoom")
        self.follow_button.setText("Follow")
        self.follow_button.setCheckable(True)
        self.follow_button.setToolTip("Follow the best hypothesis while it grows (F)")
        self._over_card = QFrame()
        self._over_card.setObjectName("card")
        inside = QVBoxLayout(self._over_card)
        inside.setContentsMargins(2, 4, 2, 2)
        inside.addWidget(self.over)
        self.setChildrenCollapsible(False)
        self.setHandleWidth(7)
        for shown in (*self.panes.values(), self._over_card):
            self.addWidget(shown)

    def _connect(self) -> None:
        for name, pane in self.panes.items():
            pane.grew.connect(self._grew)
            pane.state_changed.connect(self._states_changed)
            pane.problem.connect(self.problem)
            pane.focused.connect(self.set_active)
            pane.selected.connect(partial(self._select, name))
            pane.actions_wanted.connect(partial(self.actions_wanted.emit, name))
        self.over.selected.connect(self._selected_over)
        self.over.actions_wanted.connect(self._actions_wanted_over)
        for canvas in self.canvases():
            canvas.following_changed.connect(self._following_changed)
        self.fit_button.clicked.connect(self.fit)
        self.follow_button.toggled.connect(self.follow)
        self.mode.currentIndexChanged.connect(self._mode_chosen)

    # --- what others ask ----------------------------------------------------------------------

    def arrangement(self) -> Arrangement:
        """Return whether there are one tree, two beside each other, or two drawn as one."""
        chosen: Arrangement = self.mode.currentData()
        return chosen

    def active_pane(self) -> SearchPane:
        """Return the pane that buttons and the form mean."""
        return self.panes[self.active]

    def shown_panes(self) -> dict[str, SearchPane]:
        """Return the panes whose trees are looked at, by their names."""
        if self.arrangement() == ONE:
            return {"left": self.panes["left"]}
        return self.panes

    def canvases(self) -> tuple[TreeCanvas, ...]:
        """Return all canvases, whether they show or not."""
        return (*(pane.canvas for pane in self.panes.values()), self.over)

    def shown_canvas(self) -> TreeCanvas:
        """Return the canvas that keys and buttons mean."""
        return self.over if self.arrangement() == OVER else self.active_pane().canvas

    def are_growing(self) -> bool:
        """Return whether a search runs."""
        return any(pane.state == "growing" for pane in self.panes.values())

    def is_alive(self, name: str) -> bool:
        """Return whether the search of a pane can be told what to do with its nodes."""
        return self._pair is not None and self.panes[name].fresh_pair

    def noise(self) -> NoiseFloor:
        """Return the noise of what is shown: of two trees the noisier one's."""
        return max((pane.noise for pane in self.panes.values()), key=lambda one: one.token)

    # --- what is loaded -----------------------------------------------------------------------

    def set_pair(self, info: PairInfo | None) -> None:
        """Take another pair, or none; the trees stay to be looked at."""
        self._pair = info
        self._checkpoint = info.checkpoints[-1].path if info and info.checkpoints else ""
        if info is None:
            for pane in self.panes.values():
                pane.set_pair(False)

    def set_noise(self, noise: NoiseFloor) -> None:
        """Take the noise floor of the pair that is loaded; trees of an earlier pair keep theirs."""
        for pane in self.panes.values():
            if pane.fresh_pair:
                pane.noise = noise

    def set_checkpoint(self, checkpoint: str) -> None:
        """Let trees of other checkpoints of the run than this one say so."""
        self._checkpoint = checkpoint
        self._compare_checkpoints()

    def _compare_checkpoints(self) -> None:
        steps = {it.path: it.step for it in self._pair.checkpoints} if self._pair else {}
        for pane in self.panes.values():
            other = pane.fresh_pair and pane.checkpoint not in ("", self._checkpoint)
            step = steps.get(pane.checkpoint)
            pane.compare_checkpoint(f"of step {step}" if other and step is not None else "")

    # --- one tree or two ----------------------------------------------------------------------

    @Slot(str)
    def set_active(self, name: str) -> None:
        """Make a pane the one that the form, the table and the node panel speak of."""
        changed, self.active = name != self.active, name
        self._mark_active()
        if changed:
            self.active_changed.emit()

    @Slot()
    def _mode_chosen(self) -> None:
        self._arrange()
        if self.arrangement() == ONE:
            self.set_active("left")
        self._mark_active()
        self._compare()
        self.arranged.emit()

    def _arrange(self) -> None:
        mode = self.arrangement()
        self.panes["left"].setVisible(mode != OVER)
        self.panes["right"].setVisible(mode == BESIDE)
        self._over_card.setVisible(mode == OVER)
        for name, pane in self.panes.items():
            pane.set_title(name.capitalize() if mode != ONE else "")
        if mode == BESIDE:
            self.setSizes([1000, 1000, 0])

    def _mark_active(self) -> None:
        """Frame the active pane, where there are two."""
        for name, pane in self.panes.items():
            on = name == self.active and self.arrangement() == BESIDE
            pane.setProperty("active", "true" if on else "false")
            pane.style().unpolish(pane)
            pane.style().polish(pane)

    # --- growing and comparing ----------------------------------------------------------------

    @Slot()
    def _grew(self) -> None:
        comparing = self.are_growing() and self.arrangement() != ONE
        if comparing and not self._compare_soon.isActive():
            self._compare_soon.start(COMPARE_MS)
        self.grew.emit()

    @Slot()
    def _states_changed(self) -> None:
        self._compare()
        self._compare_checkpoints()
        self.states_changed.emit()

    def is_comparing(self) -> bool:
        """Return whether something that has grown is still to be compared."""
        return self._compare_soon.isActive()

    @Slot()
    def _compare(self) -> None:
        """Mark what only one of two trees kept; draw both as one where that is asked for."""
        left, right = self.panes["left"], self.panes["right"]
        comparable = self.arrangement() != ONE and same_start(left.tree, right.tree)
        if self.arrangement() == OVER:
            self._draw_over(left, right, comparable)
            return
        for pane in (left, right):
            only = differences(pane.tree.node, left.tree, right.tree) if comparable else None
            pane.set_only(only)

    def _draw_over(self, left: SearchPane, right: SearchPane, comparable: bool) -> None:
        if not self._overlay.holds(left.growths, right.growths) or not comparable:
            picture = self.over.new_picture(left.picture.start)
            self._overlay = Overlay(picture)
            self.over.set_picture(picture)
            both = len(left.tree) and len(right.tree)
            self.over.say(ELSEWHERE if both else "Press Grow both, to grow two trees.")
        if comparable:
            if not self._overlay.update(left.tree, right.tree, left.growths, right.growths):
                self._compare_soon.start(1)
            self.over.refresh()
        self._over_map.refresh()

    # --- nodes --------------------------------------------------------------------------------

    def _select(self, name: str, entry: int) -> None:
        self.set_active(name)
        self.selected.emit(name, entry)

    @Slot(int)
    def _selected_over(self, entry: int) -> None:
        if entry < len(self.over.picture.tree):
            self._select(*self._pane_of_over(entry))

    @Slot(int, QPoint)
    def _actions_wanted_over(self, entry: int, where: QPoint) -> None:
        self.actions_wanted.emit(*self._pane_of_over(entry), where)

    def _pane_of_over(self, entry: int) -> tuple[str, int]:
        """Return the pane, the active one if it can be, and entry of a node of both trees in
        one."""
        node = int(self.over.picture.tree.node[entry])
        for name in (self.active, *self.panes):
            found = self.panes[name].tree.entry(node)
            if found is not None:
                return name, found
        return self.active, 0

    def go_to(self, name: str, entry: int) -> None:
        """Choose a node of a pane in the canvas that shows it, and give that the keys."""
        pane = self.panes[name]
        canvas, found = pane.canvas, entry
        if self.arrangement() == OVER:
            over = self.over.picture.tree.entry(int(pane.tree.node[entry]))
            if over is None:
                return
            canvas, found = self.over, over
        canvas.go_to(found)
        canvas.setFocus()

    # --- looks --------------------------------------------------------------------------------

    def set_colours(self, beta: float, scale: ColourScale) -> None:
        """Colour all trees by rewards at a beta."""
        for pane in self.panes.values():
            pane.set_colours(beta, scale)
        self.over.set_colours(beta, scale)

    def set_text_size(self, points: float) -> None:
        """Set the size of the tokens, in points."""
        for canvas in self.canvases():
            canvas.set_usual(points / 13.0)

    @Slot()
    def fit(self) -> None:
        """Show each tree as a whole."""
        for canvas in self.canvases():
            canvas.follow(False)
            canvas.fit()

    @Slot(bool)
    def follow(self, on: bool) -> None:
        """Keep the best hypothesis in sight while it grows."""
        for canvas in self.canvases():
            canvas.follow(on)

    @Slot(bool)
    def _following_changed(self, on: bool) -> None:
        blocked = self.follow_button.blockSignals(True)
        self.follow_button.setChecked(on)
        self.follow_button.blockSignals(blocked)
