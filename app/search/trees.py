"""One tree or two in the search view: compared, looked at, and how that is remembered.

The base of SearchView; marks what only one of two trees kept, draws both as one, fits and follows.
Knows panes and canvases; knows nothing of searches to come or of nodes.
"""

from PySide6.QtCore import Slot

from app.search.arrangement import ONE, OVER, SearchArrangement
from app.search.canvas import TreeCanvas
from app.search.compare import Overlay, differences, same_start
from app.search.pane import SearchPane
from app.settings import Settings
from core.engine.protocol import PairInfo

ELSEWHERE = (
    "The two trees begin at different states, so they cannot lie over each other: press Grow both."
)


class SearchTrees(SearchArrangement):
    """The trees and the ways to look at them."""

    _active = "left"
    """The pane that the form, the table and the node panel speak of."""
    _pair: PairInfo | None
    _checkpoint = ""
    """Of a run: the one that is shown."""

    # --- compared -----------------------------------------------------------------------------

    @Slot()
    def _show_differences(self) -> None:
        """Mark what only one of two trees kept; draw both as one where that is asked for."""
        mode = self.mode.currentData()
        left, right = (self.panes[name] for name in ("left", "right"))
        comparable = mode != ONE and same_start(left.tree, right.tree)
        if mode == OVER:
            self._show_over(left, right, comparable)
            return
        for pane in (left, right):
            only = differences(pane.tree.node, left.tree, right.tree) if comparable else None
            pane.set_only(only)

    def _show_over(self, left: SearchPane, right: SearchPane, comparable: bool) -> None:
        if not self.overlay.holds(left.growths, right.growths) or not comparable:
            picture = self.over.new_picture(left.picture.start)
            self.overlay = Overlay(picture)
            self.over.set_picture(picture)
            both = len(left.tree) and len(right.tree)
            self.over.say(ELSEWHERE if both else "Press Grow both, to grow two trees.")
        if comparable:
            if not self.overlay.update(left.tree, right.tree, left.growths, right.growths):
                self.differences_timer.start(1)
            self.over.refresh()
        self.over_map.refresh()

    def pane_of_over(self, entry: int) -> tuple[str, int]:
        """The pane, the active one if it can be, and entry of a node of both trees in one."""
        node = int(self.over.picture.tree.node[entry])
        for name in (self._active, *self.panes):
            found = self.panes[name].tree.entry(node)
            if found is not None:
                return name, found
        return self._active, 0

    def set_checkpoint(self, checkpoint: str) -> None:
        """Another checkpoint of the run is shown: trees of others say so."""
        self._checkpoint = checkpoint
        self._compare_checkpoints()

    @Slot()
    def _compare_checkpoints(self) -> None:
        steps = {it.path: it.step for it in self._pair.checkpoints} if self._pair else {}
        for pane in self.panes.values():
            other = pane.fresh_pair and pane.checkpoint not in ("", self._checkpoint)
            step = steps.get(pane.checkpoint)
            pane.compare_checkpoint(f"of step {step}" if other and step is not None else "")

    # --- looked at ----------------------------------------------------------------------------

    def shown_canvas(self) -> TreeCanvas:
        """The canvas that keys and buttons mean."""
        return self.over if self.mode.currentData() == OVER else self.panes[self._active].canvas

    @Slot()
    def fit(self) -> None:
        for canvas in self.canvases():
            canvas.follow(False)
            canvas.fit()

    @Slot(bool)
    def follow(self, on: bool) -> None:
        for canvas in self.canvases():
            canvas.follow(on)

    @Slot(bool)
    def _following_changed(self, on: bool) -> None:
        blocked = self.follow_button.blockSignals(True)
        self.follow_button.setChecked(on)
        self.follow_button.blockSignals(blocked)

    # --- what is remembered -------------------------------------------------------------------

    def remember(self, settings: Settings) -> None:
        """Keep the form and the arrangement for the next session."""
        settings.put("search form", self.form.remembered())
        settings.put("search trees", str(self.mode.currentData()))
        settings.put_bytes("search rows", self.rows.saveState())
        settings.put_bytes("search columns", self.columns.saveState())

    def recall(self, settings: Settings) -> None:
        """The form and the arrangement as they were left."""
        self.form.recall(settings.get("search form", ""))
        for name, splitter in (("search rows", self.rows), ("search columns", self.columns)):
            state = settings.bytes(name)
            if not state.isEmpty():
                splitter.restoreState(state)
        place = self.mode.findData(settings.get("search trees", ONE))
        if place >= 0:
            self.mode.setCurrentIndex(place)
