"""The search view: one tree or two, the form that grows them, the node that is looked at, and the
hypotheses.

Gives the panes what to do, shows one node of the active one, and hands texts on to the editors by
a signal. Knows the bridge; knows nothing of files, menus, models or the credit view.
"""

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QShowEvent

from app.credit.scale import ScaleChoice
from app.engine_client import Bridge
from app.inspect.answers import InspectionLookup, StateAnswers
from app.search.acting import Acting
from app.search.arrangement import ONE, OVER, TABLE_MS
from app.search.finding import Finding
from app.search.following import Following
from app.search.hypotheses import Row
from app.search.start import Start
from app.search.trees import SearchTrees
from app.widgets.colour_scale import ColourScale, fit_limit
from core.engine.protocol import PairInfo, StateRef
from core.noise import NOISELESS, NoiseFloor
from core.present.measures import REWARD
from core.present.node_facts import fate
from core.search.spec import Given, SearchSpec
from core.text import Prompt

ENOUGH = 40
"""Nodes from which a scale can be fitted that then stays until the search has ended."""
NO_PAIR = "Nothing is loaded: open a policy and its reference, then press Grow."
BLANK = "The prompt is empty: write one in the credit view, then press Grow."


class SearchView(SearchTrees):
    """Trees of the responses to one prompt."""

    send = Signal(str, str, object)
    """A or B, a response's text, and its token ids (None where they mean nothing here)."""
    problem = Signal(str)
    """A search could not be done: one sentence; "" once that is over."""

    def __init__(self, bridge: Bridge, answers: StateAnswers, prompt: Callable[[], Prompt]) -> None:
        super().__init__(bridge)
        self._bridge = bridge
        self._prompt = prompt
        self._pair: PairInfo | None = None
        self._beta = 0.1
        self.scale = ScaleChoice()
        self._noise = NOISELESS
        """Of the pair that is loaded; trees of an earlier one keep theirs."""
        self._from: Start | None = None
        self._scaled = False
        self.shown: tuple[str, int] | None = None
        """The pane and the entry of the node that is looked at."""
        self._shown_key: tuple[object, ...] = ()
        lookup = InspectionLookup(bridge, answers, self)
        lookup.failed.connect(self.problem)
        self.following = Following(self.node, lookup)
        self.acting = Acting(self)
        self.finding = Finding(self)
        self._connect()
        self._show_pair()
        self._recolour()

    def _connect(self) -> None:
        for pane in self.panes.values():
            pane.grew.connect(self._grew)
            pane.state_changed.connect(self._states_changed)
            pane.problem.connect(self.problem)
            pane.focused.connect(self.set_active)
        left, right = self.panes["left"], self.panes["right"]
        left.selected.connect(self._selected_left)
        right.selected.connect(self._selected_right)
        self.over.selected.connect(self._selected_over)
        left.actions_wanted.connect(self.acting.menu_left)
        right.actions_wanted.connect(self.acting.menu_right)
        self.over.actions_wanted.connect(self.acting.menu_over)
        self.grow_button.clicked.connect(self.grow)
        self.both_button.clicked.connect(self.grow_both)
        self.stop_button.clicked.connect(self.stop)
        self.resume_button.clicked.connect(self.resume)
        self.fit_button.clicked.connect(self.fit)
        self.follow_button.toggled.connect(self.follow)
        for canvas in self.canvases():
            canvas.following_changed.connect(self._following_changed)
        self.mode.currentIndexChanged.connect(self._mode_chosen)
        self.start_clear.clicked.connect(self.forget_start)
        self.hypotheses_timer.timeout.connect(self._show_hypotheses)
        self.differences_timer.timeout.connect(self._show_differences)
        self.legend.locked_changed.connect(self._lock_changed)
        self.legend.limit_changed.connect(self._limit_changed)
        self.legend.swap_changed.connect(self.set_swap)
        self.node.walked.connect(self._go_to)
        self.hypotheses.table.went_to.connect(self._went_to)

    # --- what is loaded, and colours ----------------------------------------------------------

    def set_pair(self, info: PairInfo | None) -> None:
        """Another pair, or none: trees stay to be looked at."""
        self._pair = info
        self._noise = NOISELESS
        self._checkpoint = info.checkpoints[-1].path if info and info.checkpoints else ""
        self.form.set_base(info.search_base if info is not None else "")
        if info is None:
            self._from = None
            for pane in self.panes.values():
                pane.set_pair(False)
        self._show_pair()
        self._show_node()

    def _show_pair(self) -> None:
        self._show_start()
        self._show_buttons()

    def checkpoint_shown(self) -> str:
        """The checkpoint of the tree whose node is shown."""
        return self.panes[self.shown[0]].checkpoint if self.shown is not None else ""

    def set_beta(self, beta: float) -> None:
        """Everything rescales; nothing is asked for."""
        self._beta = beta
        self._recolour()

    def set_noise(self, noise: NoiseFloor) -> None:
        """The noise floor of the pair that is loaded."""
        self._noise = noise
        for pane in self.panes.values():
            if pane.fresh_pair:
                pane.noise = noise
        self._recolour()

    def noise(self) -> NoiseFloor:
        """The noise of what is shown: of two trees the noisier one's."""
        return max((pane.noise for pane in self.panes.values()), key=lambda one: one.token)

    def set_dark(self, dark: bool) -> None:
        self.scale.dark = dark
        self._recolour()

    @Slot(bool)
    def set_swap(self, on: bool) -> None:
        """Blue and red exchanged."""
        self.scale.swap = on
        self._recolour()

    @Slot(bool)
    def _lock_changed(self, on: bool) -> None:
        self.scale.locked = on
        self._recolour()

    @Slot(float)
    def _limit_changed(self, limit: float) -> None:
        self.scale.lock(REWARD, limit)
        self._recolour()

    def _recolour(self) -> None:
        """Fit the scale to all trees, and show every number and colour anew."""
        rewards = []
        for pane in self.panes.values():
            tree = pane.tree
            if len(tree):
                difference = tree.column("logp_policy") - tree.column("logp_reference")
                rewards.append(self._beta * difference)
        self._scaled = sum(map(len, rewards)) > ENOUGH
        self.scale.floor = float(self.noise().of_rewards(self._beta))
        self.scale.fit(REWARD, rewards)
        scale = self.scale.scale(REWARD)
        for pane in self.panes.values():
            pane.set_colours(self._beta, scale)
        self.over.set_colours(self._beta, scale)
        self.legend.set_scale(scale)
        self.legend.set_locked(self.scale.locked)
        self.legend.set_quantity(f"implicit reward r of a token, β = {self._beta:g}", "β·nats")
        self.show_key(self.scale.dark)
        self._shown_key = ()
        self._show_node()
        self._show_hypotheses()

    # --- growing ------------------------------------------------------------------------------

    def search_from(self, start: Start) -> None:
        """From now on, trees begin after the first tokens of a response; grow one."""
        self._from = start
        self._show_start()
        self.grow()

    @Slot()
    def forget_start(self) -> None:
        """From now on, trees begin at the prompt."""
        self._from = None
        self._show_start()

    def _show_start(self) -> None:
        name = self._from.name if self._from is not None else "the prompt"
        self.start_label.setText(f"Trees begin at {name}")
        self.start_clear.setVisible(self._from is not None)

    @Slot()
    def grow(self) -> None:
        """Grow a new tree in the active pane, as the form says."""
        spec = self.ready()
        if spec is not None:
            self._grow_in(self._active, spec)

    @Slot()
    def grow_both(self) -> None:
        """Grow both trees anew, each as it was grown last, the active one as the form says."""
        spec = self.ready()
        if spec is None:
            return
        for name, pane in self.panes.items():
            other = pane.spec if name != self._active and pane.spec is not None else spec
            self._grow_in(name, other)

    def ready(self) -> SearchSpec | None:
        """What to grow; None where it cannot be, which is then said."""
        spec = self.form.checked()
        if spec is None:
            self.side.setCurrentWidget(self.form_page)
            return None
        if self._pair is None:
            self.problem.emit(NO_PAIR)
            return None
        if not any(turn.content.strip() for turn in self._prompt().messages):
            self.problem.emit(BLANK)
            return None
        return spec

    def _grow_in(self, name: str, spec: SearchSpec) -> None:
        start = replace(self._from or Start(self._prompt()), prompt=self._prompt())
        self._scaled = False
        self.panes[name].noise = self._noise
        self.panes[name].grow(start, spec)
        if self.shown is not None and self.shown[0] == name:
            self.shown = None
            self.node.clear()

    @Slot()
    def stop(self) -> None:
        """Stop what grows; it can be resumed."""
        self._bridge.stop_search()

    @Slot()
    def resume(self) -> None:
        self.panes[self._active].resume()

    @Slot()
    def _states_changed(self) -> None:
        self._show_buttons()
        self._show_differences()
        self._compare_checkpoints()
        if not self.growing():
            self._recolour()
            self.finding.find()

    def growing(self) -> bool:
        return any(pane.state == "growing" for pane in self.panes.values())

    def _show_buttons(self) -> None:
        growing = self.growing()
        self.grow_button.setEnabled(self._pair is not None)
        self.both_button.setEnabled(self._pair is not None)
        self.grow_button.setToolTip(
            "Grow a tree as the form says (Ctrl+G)" if self._pair is not None else NO_PAIR
        )
        self.stop_button.setEnabled(growing)
        pane = self.panes[self._active]
        self.resume_button.setEnabled(pane.state == "stopped" and pane.fresh_pair)

    @Slot()
    def _grew(self) -> None:
        self._show_node()
        if not self.growing():
            return  # when a search ends, _states_changed shows the rest
        if not self._scaled:
            self._recolour()
        if not self.differences_timer.isActive() and self.mode.currentData() != ONE:
            self.differences_timer.start(TABLE_MS)
        if not self.hypotheses_timer.isActive():
            self.hypotheses_timer.start()

    # --- one tree or two ----------------------------------------------------------------------

    @Slot(str)
    def set_active(self, name: str) -> None:
        """The pane that the form, the table and the node panel speak of."""
        if name != self._active:
            self._active = name
            spec = self.panes[name].spec
            if spec is not None and not isinstance(spec.strategy, Given):
                self.form.set_spec(spec)
            self._show_buttons()
            self.finding.find()
        self.mark_active(self._active)

    @Slot()
    def _mode_chosen(self) -> None:
        self.arrange(self.mode.currentData())
        if self.mode.currentData() == ONE:
            self.set_active("left")
        self.mark_active(self._active)
        self.show_key(self.scale.dark)
        self._show_differences()
        self._show_hypotheses()

    # --- the node that is looked at -----------------------------------------------------------

    @Slot(int)
    def _selected_left(self, entry: int) -> None:
        self.select("left", entry)

    @Slot(int)
    def _selected_right(self, entry: int) -> None:
        self.select("right", entry)

    @Slot(int)
    def _selected_over(self, entry: int) -> None:
        if entry < len(self.over.picture.tree):
            self.select(*self.pane_of_over(entry))

    def select(self, name: str, entry: int) -> None:
        self.set_active(name)
        if self.shown != (name, entry):
            self.node.end_search()
        self.shown = name, entry
        if self.side.currentWidget() is not self.node_page:
            self.side.setCurrentWidget(self.node_page)
        self._shown_key = ()
        self._show_node()

    @Slot(int)
    def _go_to(self, entry: int) -> None:
        self.panes[self._active].canvas.go_to(entry)

    @Slot(str, int)
    def _went_to(self, name: str, entry: int) -> None:
        pane = self.panes[name]
        if self.mode.currentData() == OVER:
            found = self.over.picture.tree.entry(int(pane.tree.node[entry]))
            if found is not None:
                self.over.go_to(found)
                self.over.setFocus()
            return
        pane.canvas.go_to(entry)
        pane.canvas.setFocus()

    def _show_node(self) -> None:
        if self.shown is None:
            return
        name, entry = self.shown
        pane = self.panes[name]
        tree = pane.tree
        if entry >= len(tree):
            return
        alive = self.is_alive(name)
        pinned = entry in pane.picture.pinned
        state = tuple(int(values[entry]) for values in (tree.status, tree.reason, tree.visits))
        key = (name, entry, int(tree.node[entry]), state, pinned, alive)
        if key == self._shown_key:
            return
        self._shown_key = key
        scale = self.scale.scale(REWARD)
        self.node.show_node(pane.picture, entry, self._beta, scale, alive, pane.noise)
        text = f"{tree.text(entry, closing=True)}: {fate(tree, entry)}"
        pane.canvas.setAccessibleDescription(text)
        self.following.show(self.state_shown(), self.checkpoint_shown(), self._beta, scale)

    def is_alive(self, name: str) -> bool:
        """Whether the search of a pane can be told what to do with its nodes."""
        return self._pair is not None and self.panes[name].fresh_pair

    def state_shown(self) -> StateRef | None:
        """Return the state whose continuations can be asked for; None where nothing can follow."""
        if self.shown is None or self._pair is None:
            return None
        pane = self.panes[self.shown[0]]
        return pane.state_at(self.shown[1])

    # --- hypotheses ---------------------------------------------------------------------------

    @Slot()
    def _show_hypotheses(self) -> None:
        rows = [
            Row(name, rank + 1, found)
            for name, pane in self.panes.items()
            if name == "left" or self.mode.currentData() != ONE
            for rank, found in enumerate(pane.hypotheses())
        ]
        sums = [row.reward(self._beta) for row in rows]
        limit = fit_limit(sums)
        scale = ColourScale(limit, "diverging", self.scale.swap, self.scale.dark)
        self.hypotheses.set_colours(self._beta, scale, self.noise())
        self.hypotheses.show_rows(rows)

    # --- finding and moving -------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        for pane in self.panes.values():
            pane.compare_prompt(self._prompt())
