"""The search view: trees, the form that grows them, the node that is looked at, the hypotheses.

Makes the parts, puts them in place and says what follows from what: gives panes what to grow,
colours everything on one scale, and shows one node of the active pane. Knows the engine's client;
knows nothing of files, menus, models or the credit view.
"""

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.credit.scale import ScaleChoice
from app.engine_client import EngineClient
from app.inspect.answers import InspectionLookup, StateAnswers
from app.search.controls import SearchForm
from app.search.find_bar import FindBar
from app.search.following import Following
from app.search.hypotheses import Hypotheses, HypothesisRow
from app.search.node_actions import NodeActions
from app.search.node_panel import NodePanel
from app.search.selection import Selection
from app.search.start import Start
from app.search.trees import ONE, Trees
from app.settings import Settings
from app.widgets.colour_scale import ColourScale, fit_limit
from app.widgets.icons import IconButton
from app.widgets.legend import Legend
from core.engine.protocol import PairInfo, Resume, Search
from core.noise import NOISELESS, NoiseFloor
from core.present.measures import REWARD
from core.present.node_facts import fate
from core.recording import Grow, Recording
from core.search.spec import SearchSpec
from core.search.strategies.given import Given
from core.text import Prompt

ENOUGH = 40
"""Nodes from which a scale can be fitted that then stays until the search has ended."""
TABLE_MS = 250
NO_PAIR = "Nothing is loaded: open a policy and its reference, then press Grow."
BLANK = "The prompt is empty: write one in the credit view, then press Grow."
KEY = (
    "thick: likely · dashed: pruned · outlined: the best · underlined: a given response · "
    "dot: pinned · bar at the end: finished, half a bar: cut at the most tokens"
)


class SearchView(QWidget):
    """Trees of the responses to one prompt."""

    send = Signal(object)
    """A ``Reached`` for "A", "B" or both: what is to go into that editor."""
    problem = Signal(str)
    """A search could not be done: one sentence; "" once that is over."""

    def __init__(
        self, client: EngineClient, answers: StateAnswers, prompt: Callable[[], Prompt]
    ) -> None:
        """``prompt`` returns the prompt to search from."""
        super().__init__()
        self._client, self._prompt = client, prompt
        self._pair: PairInfo | None = None
        self._known_beta: float | None = None
        self._beta = 1.0
        self._noise = NOISELESS
        """Of the pair that is loaded; trees of an earlier one keep theirs."""
        self._from: Start | None = None
        self._scale = ScaleChoice()
        self._scaled = False
        self._shown_key: tuple[object, ...] = ()
        self.trees = Trees(client)
        self.form = SearchForm()
        self.node = NodePanel()
        self.hypotheses = Hypotheses()
        self.legend = Legend()
        self.key = QLabel()
        self.key.setTextFormat(Qt.TextFormat.RichText)
        self.find_bar = FindBar(self.trees, keys_in=self)
        self.grow_button = QPushButton("&Grow")
        self.both_button = QPushButton("Grow &both")
        self.stop_button = QPushButton("&Stop")
        self.resume_button = QPushButton("&Resume")
        self.start_label = QLabel()
        self.start_clear = IconButton("close", "Begin at the prompt again")
        self._table_soon = QTimer(self)
        self._table_soon.setSingleShot(True)
        self._table_soon.setInterval(TABLE_MS)
        self.selection = Selection(self.trees.panes)
        lookup = InspectionLookup(client, answers, self)
        lookup.failed.connect(self.problem)
        self._following = Following(self.node, lookup)
        self.node_actions = NodeActions(
            self.trees, self.selection, self.node, self.hypotheses, self._ready
        )
        self._lay_out()
        self._connect()
        self._show_arrangement()
        self._show_pair()
        self._recolour()

    def _lay_out(self) -> None:
        self.grow_button.setDefault(True)
        self.both_button.setToolTip("Grow both trees anew from the same start")
        self.stop_button.setToolTip("Stop at the next step; the tree stays (Ctrl+.)")
        self.resume_button.setToolTip("Go on with the search that was stopped")
        self.start_label.setObjectName("muted")
        self.start_label.setWordWrap(True)
        self.key.setObjectName("muted")
        self.key.setWordWrap(True)
        bar = QHBoxLayout()
        bar.setSpacing(5)
        for button in (self.grow_button, self.both_button, self.stop_button, self.resume_button):
            bar.addWidget(button)
        bar.addSpacing(6)
        bar.addWidget(self.trees.mode)
        bar.addStretch(1)
        for widget in (self.find_bar, self.trees.fit_button, self.trees.follow_button):
            bar.addWidget(widget)
        colours = QHBoxLayout()
        colours.addWidget(self.legend, 3)
        colours.addSpacing(8)
        colours.addWidget(self.key, 4)
        upper = QWidget()
        stack = QVBoxLayout(upper)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(5)
        stack.addWidget(self.trees, 1)
        stack.addLayout(colours)
        self._rows = QSplitter(Qt.Orientation.Vertical)
        self._rows.addWidget(upper)
        self._rows.addWidget(self.hypotheses)
        self.hypotheses.setMinimumHeight(96)
        self._rows.setSizes([560, 190])
        self._rows.setStretchFactor(0, 1)
        self._rows.setCollapsible(0, False)
        self.side = QTabWidget()
        self._form_page, self.node_page = self._make_form_page(), _page(self.node)
        self.side.addTab(self._form_page, "Search")
        self.side.addTab(self.node_page, "Node")
        self.side.setTabToolTip(0, "What to search for, and how")
        self.side.setTabToolTip(1, "The node that was chosen, and what can be done there")
        self.side.setMinimumWidth(250)
        self._columns = QSplitter(Qt.Orientation.Horizontal)
        self._columns.addWidget(self._rows)
        self._columns.addWidget(self.side)
        self._columns.setSizes([1080, 300])
        self._columns.setStretchFactor(0, 1)
        self._columns.setCollapsible(0, False)
        for splitter in (self._rows, self._columns):
            splitter.setHandleWidth(7)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(5)
        outer.addLayout(bar)
        outer.addWidget(self._columns, 1)

    def _make_form_page(self) -> QFrame:
        begin = QHBoxLayout()
        begin.setContentsMargins(10, 6, 6, 0)
        begin.addWidget(self.start_label, 1)
        begin.addWidget(self.start_clear)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(begin)
        column.addWidget(self.form, 1)
        return _page(inside)

    def _connect(self) -> None:
        trees = self.trees
        trees.grew.connect(self._grew)
        trees.states_changed.connect(self._states_changed)
        trees.problem.connect(self.problem)
        trees.active_changed.connect(self._active_changed)
        trees.arranged.connect(self._show_arrangement)
        trees.selected.connect(self.select)
        trees.actions_wanted.connect(self._offer_actions)
        self.node_actions.send.connect(self.send)
        self.grow_button.clicked.connect(self.grow)
        self.both_button.clicked.connect(self.grow_both)
        self.stop_button.clicked.connect(self.stop)
        self.resume_button.clicked.connect(self.resume)
        self.start_clear.clicked.connect(self.forget_start)
        self._table_soon.timeout.connect(self._show_hypotheses)
        self.legend.locked_changed.connect(self._lock_changed)
        self.legend.limit_changed.connect(self._limit_changed)
        self.legend.swap_changed.connect(self.set_swap)
        self.node.walked.connect(self._walk_to)
        self.hypotheses.table.went_to.connect(trees.go_to)

    # --- what is loaded, and colours ----------------------------------------------------------

    def set_pair(self, info: PairInfo | None) -> None:
        """Take another pair, or none: trees stay to be looked at."""
        self._pair = info
        self._noise = NOISELESS
        self.form.set_base(info.search_base if info is not None else "")
        alone = info is not None and info.alone
        self.form.set_alone(alone)
        self.legend.setVisible(not alone)
        if info is None:
            self._from = None
        self.trees.set_pair(info)
        self._show_pair()
        self._show_node()

    def _show_pair(self) -> None:
        self._show_start()
        self._show_buttons()

    def set_checkpoint(self, checkpoint: str) -> None:
        """Take another checkpoint of the run as the policy: trees of others say so."""
        self.trees.set_checkpoint(checkpoint)

    def beta(self) -> float:
        """Return what the log-ratios that are shown are multiplied by."""
        return self._beta

    @Slot(object)
    def set_beta(self, beta: float | None) -> None:
        """Rescale everything, by 1 where beta is not known; nothing is asked for."""
        self._known_beta, self._beta = beta, beta or 1.0
        self._recolour()

    def set_noise(self, noise: NoiseFloor) -> None:
        """Take the noise floor of the pair that is loaded."""
        self._noise = noise
        self.trees.set_noise(noise)
        self._recolour()

    def set_dark(self, dark: bool) -> None:
        """Show light or dark colours."""
        self._scale.dark = dark
        self._recolour()

    @Slot(bool)
    def set_swap(self, on: bool) -> None:
        """Exchange blue and red."""
        self._scale.swap = on
        self._recolour()

    def set_text_size(self, points: float) -> None:
        """Set the size of the texts to read, in points."""
        self.node.set_text_size(points)
        self.trees.set_text_size(points)

    @Slot(bool)
    def _lock_changed(self, on: bool) -> None:
        self._scale.locked = on
        self._recolour()

    @Slot(float)
    def _limit_changed(self, limit: float) -> None:
        self._scale.lock(REWARD, limit)
        self._recolour()

    def _recolour(self) -> None:
        """Fit the scale to all trees, and show every number and colour anew."""
        rewards = []
        for pane in self.trees.panes.values():
            tree = pane.tree
            if len(tree):
                difference = tree.column("logp_policy") - tree.column("logp_reference")
                rewards.append(self._beta * difference)
        self._scaled = sum(map(len, rewards)) > ENOUGH
        self._scale.floor = float(self.trees.noise().of_rewards(self._beta))
        self._scale.fit(REWARD, rewards)
        scale = self._scale.scale(REWARD)
        self.trees.set_colours(self._beta, scale)
        self.legend.set_scale(scale)
        self.legend.set_locked(self._scale.locked)
        beta = "β unknown" if self._known_beta is None else f"β = {self._beta:g}"
        unit = REWARD.unit_at(self._known_beta)
        self.legend.set_quantity(f"implicit reward r of a token, {beta}", unit)
        self._show_key()
        self._shown_key = ()
        self._show_node()
        self._show_hypotheses()

    def _show_key(self) -> None:
        """Say what the marks mean."""
        colours = theme.SIDE_COLOURS[self._scale.dark]
        extra = ""
        if self.trees.arrangement() != ONE:
            extra = (
                f' · <b style="color:{colours["A"]}">▂</b> only left kept it'
                f' · <b style="color:{colours["B"]}">▂</b> only right'
            )
        self.key.setText(f"<small>{KEY}{extra}</small>")

    # --- growing ------------------------------------------------------------------------------

    def search_from(self, start: Start) -> None:
        """Let trees begin after the first tokens of a response from now on; grow one."""
        self._from = start
        self._show_start()
        self.grow()

    def show_again(self, recording: Recording) -> None:
        """Show the trees that were recorded, by asking for the searches that made them."""
        for name, tree in recording.trees.items():
            if name not in self.trees.panes or not tree.grows:
                continue
            first = tree.grows[0]
            pieces = _pieces(recording, first)
            place = f"token {len(first.prefix) + 1} of a response"
            start = Start(
                first.prompt,
                first.prefix,
                pieces,
                name=place if first.prefix else "the prompt",
                context=first.context,
            )
            pane = self.trees.panes[name]
            pane.noise = self._noise
            pane.show_again(start, tree)
        spec = self.trees.active_pane().spec
        if spec is not None:
            self.form.set_spec(spec)

    @Slot()
    def forget_start(self) -> None:
        """Let trees begin at the prompt from now on."""
        self._from = None
        self._show_start()

    def _show_start(self) -> None:
        name = self._from.name if self._from is not None else "the prompt"
        self.start_label.setText(f"Trees begin at {name}")
        self.start_clear.setVisible(self._from is not None)

    @Slot()
    def grow(self) -> None:
        """Grow a new tree in the active pane, as the form says."""
        spec = self._ready()
        if spec is not None:
            self._grow_in(self.trees.active, spec)

    @Slot()
    def grow_both(self) -> None:
        """Grow both trees anew, each as it was grown last, the active one as the form says."""
        spec = self._ready()
        if spec is None:
            return
        for name, pane in self.trees.panes.items():
            other = pane.spec if name != self.trees.active and pane.spec is not None else spec
            self._grow_in(name, other)

    def _ready(self) -> SearchSpec | None:
        """Return what to grow; None where it cannot be, after saying why."""
        spec = self.form.checked()
        if spec is None:
            self.side.setCurrentWidget(self._form_page)
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
        pane = self.trees.panes[name]
        pane.noise = self._noise
        pane.grow(start, spec)
        if self.selection.place is not None and self.selection.place[0] == name:
            self.selection.place = None
            self.node.clear()

    @Slot()
    def stop(self) -> None:
        """Stop what grows; it can be resumed."""
        self._client.cancel(Search, Resume)

    @Slot()
    def resume(self) -> None:
        """Resume the stopped search of the active pane."""
        self.trees.active_pane().resume()

    @Slot()
    def _states_changed(self) -> None:
        self._show_buttons()
        if not self.trees.are_growing():
            self._recolour()
            self.find_bar.mark_matches()

    def _show_buttons(self) -> None:
        loaded, pane = self._pair is not None, self.trees.active_pane()
        self.grow_button.setEnabled(loaded)
        self.both_button.setEnabled(loaded)
        self.grow_button.setToolTip("Grow a tree as the form says (Ctrl+G)" if loaded else NO_PAIR)
        self.stop_button.setEnabled(self.trees.are_growing())
        self.resume_button.setEnabled(pane.can_resume())

    @Slot()
    def _grew(self) -> None:
        self._show_node()
        if not self.trees.are_growing():
            return  # when a search ends, _states_changed shows the rest
        if not self._scaled:
            self._recolour()
        if not self._table_soon.isActive():
            self._table_soon.start()

    # --- one tree or two ----------------------------------------------------------------------

    @Slot()
    def _active_changed(self) -> None:
        spec = self.trees.active_pane().spec
        if spec is not None and not isinstance(spec.strategy, Given):
            self.form.set_spec(spec)
        self._show_buttons()
        self.find_bar.mark_matches()

    @Slot()
    def _show_arrangement(self) -> None:
        self.both_button.setVisible(self.trees.arrangement() != ONE)
        self._show_key()
        self._show_hypotheses()

    # --- the node that is looked at -----------------------------------------------------------

    @Slot(str, int)
    def select(self, name: str, entry: int) -> None:
        """Look at a node: the pane's name, and the entry in its tree."""
        self.trees.set_active(name)
        if self.selection.place != (name, entry):
            self.node.end_search()
        self.selection.place = name, entry
        if self.side.currentWidget() is not self.node_page:
            self.side.setCurrentWidget(self.node_page)
        self._shown_key = ()
        self._show_node()

    @Slot(str, int, QPoint)
    def _offer_actions(self, name: str, entry: int, where: QPoint) -> None:
        self.select(name, entry)
        self.node_actions.show_menu(where)

    @Slot(int)
    def _walk_to(self, entry: int) -> None:
        self.trees.active_pane().canvas.go_to(entry)

    def _show_node(self) -> None:
        if self.selection.place is None:
            return
        name, entry = self.selection.place
        pane = self.trees.panes[name]
        tree = pane.tree
        if entry >= len(tree):
            return
        alive = self.trees.is_alive(name)
        pinned = entry in pane.picture.pinned
        state = tuple(int(values[entry]) for values in (tree.status, tree.reason, tree.visits))
        key = (name, entry, int(tree.node[entry]), state, pinned, alive)
        if key == self._shown_key:
            return
        self._shown_key = key
        scale = self._scale.scale(REWARD)
        self.node.show_node(pane.picture, entry, self._beta, scale, alive, pane.noise)
        text = f"{tree.text(entry, closing=True)}: {fate(tree, entry)}"
        pane.canvas.setAccessibleDescription(text)
        chosen = self.selection
        self._following.show(chosen.state(), chosen.checkpoint(), self._beta, scale)

    # --- hypotheses, prompt, finding ----------------------------------------------------------

    @Slot()
    def _show_hypotheses(self) -> None:
        rows = [
            HypothesisRow(name, rank + 1, found)
            for name, pane in self.trees.shown_panes().items()
            for rank, found in enumerate(pane.hypotheses())
        ]
        limit = fit_limit([row.reward(self._beta) for row in rows])
        scale = ColourScale(limit, "diverging", self._scale.swap, self._scale.dark)
        self.hypotheses.set_colours(self._beta, scale, self.trees.noise())
        self.hypotheses.show_rows(rows)

    def start_finding(self) -> None:
        """Give the keys to the box that finds text."""
        self.find_bar.begin()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        for pane in self.trees.panes.values():
            pane.compare_prompt(self._prompt())

    # --- what is remembered -------------------------------------------------------------------

    def remember(self, settings: Settings) -> None:
        """Remember the form and the arrangement for the next session."""
        settings.put("search form", self.form.remembered())
        settings.put("search trees", self.trees.arrangement())
        settings.remember_splitters(search_rows=self._rows, search_columns=self._columns)

    def recall(self, settings: Settings) -> None:
        """Show the form and the arrangement as they were left."""
        self.form.recall(settings.get("search form", ""))
        settings.recall_splitters(search_rows=self._rows, search_columns=self._columns)
        place = self.trees.mode.findData(settings.get("search trees", ONE))
        if place >= 0:
            self.trees.mode.setCurrentIndex(place)


def _pieces(recording: Recording, search: Grow) -> tuple[bytes, ...]:
    """Return the bytes of the tokens that a search began after, as a scored response has them."""
    count = len(search.prefix)
    for key, response in recording.responses.items():
        if key.prompt == search.prompt and key.ids[:count] == search.prefix:
            return response.tokens.pieces[:count]
    return ()


def _page(inside: QWidget) -> QFrame:
    """Return a page of the tabs beside the trees."""
    page = QFrame()
    page.setObjectName("page")
    column = QVBoxLayout(page)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(inside)
    return page
