"""Shows one tree and runs the search that grows it: asks the engine, takes in what comes.

What has grown is taken in for some milliseconds at a time, so that a fast search never blocks the
window. The tree stays whatever happens to the search or to the pair. Knows the engine's client and
the canvas; knows nothing of forms, tables or the other pane.
"""

import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from PySide6.QtCore import QPoint, QRect, Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.engine_client import EngineClient, JobTicket
from app.search.canvas import TreeCanvas
from app.search.layout import Ints
from app.search.minimap import Minimap
from app.search.picture import START, Picture
from app.search.start import Start
from app.widgets.clipped import Clipped
from app.widgets.colour_scale import ColourScale
from app.widgets.layouts import fill, label
from app.widgets.popup import TokenPopup
from app.widgets.timers import single_shot
from core.engine.protocol import (
    Failed,
    Grown,
    Resume,
    Search,
    Searched,
    StateRef,
    Steer,
    SteerAction,
    Steered,
    Stopped,
)
from core.noise import NOISELESS
from core.present.node_facts import popup_html
from core.recording import Tree
from core.search.grown import GrownTree, Growth, Hypothesis, Status
from core.search.spec import SearchSpec, named
from core.search.strategies.given import Given
from core.text import Prompt

TAKE_MS = 8.0
"""Milliseconds that taking in growths may use before the window draws again."""
CALM = 3.0
"""Drawing anew takes at most one part in this many of the time."""
EMPTY = (
    "No tree yet. Choose a strategy and press Grow, or put the caret on a token of A or B in the "
    "credit view and press Ctrl+Return to search from there."
)
PaneState = Literal["empty", "growing", "done", "stopped", "failed", "closed"]


class Asked(NamedTuple):
    """A search that was asked for."""

    start: Start
    prefix: tuple[int, ...]
    spec: SearchSpec
    anew: bool


class SearchPane(QFrame):
    """A card with a tree, its heading and its search."""

    grew = Signal()
    """The tree has changed."""
    state_changed = Signal()
    selected = Signal(int)
    actions_wanted = Signal(int, QPoint)
    problem = Signal(str)
    """A search failed: one sentence; "" once that is over."""
    focused = Signal(str)

    def __init__(self, name: str, client: EngineClient, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.name = name
        self.state: PaneState = "empty"
        self.spec: SearchSpec | None = None
        """The last search from the tree's start: hypotheses are ranked by it."""
        self.start: Start | None = None
        """Where the tree begins."""
        self.growths: list[Growth] = []
        """All growths of the tree, so that it can be drawn together with another."""
        self.fresh_pair = True
        """Whether the tree is of the loaded pair: only then can it grow."""
        self.checkpoint = ""
        """The checkpoint that the tree is of; "" for a pair that is not of a run."""
        self._elsewhere = ""
        self._client = client
        self._beta = 0.1
        self.noise = NOISELESS
        """The noise floor of the pair that the tree is of."""
        self._asked: Asked | None = None
        """What was asked for last, of the pair that is loaded."""
        self._began = False
        """Whether that has taken a step: only then does the engine go on with it."""
        self._next: Asked | None = None
        """What is asked for once that has ended."""
        self._again: deque[Asked] = deque()
        """Searches of a recorded tree that are still to be asked for, in their order."""
        self._steer_again: dict[int, SteerAction] = {}
        """What is to be pinned or pruned by hand once they have grown, by the nodes' numbers."""
        self._queue: deque[Growth] = deque()
        self._starts = False
        """The next growth begins a new tree."""
        self._ending: Searched | Stopped | Failed | None = None
        self._earlier: dict[int, None] = {}
        self._other_prompt = False
        self._undrawn = False
        self._fraction = 0.0
        self._note = ""
        self._refreshed = 0.0
        self._pause = 0.0
        self.canvas = TreeCanvas(f"Search tree, {name}")
        self.minimap = Minimap(self.canvas)
        self.popup: TokenPopup | None = None
        self.title = label("", "heading")
        self.about = Clipped()
        self.about.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.about.setObjectName("muted")
        row = fill(QHBoxLayout(), self.title, (self.about, 1), margins=(10, 5, 10, 0))
        fill(QVBoxLayout(self), row, (self.canvas, 1), margins=(2, 0, 2, 2), spacing=3)
        self._take = single_shot(self, self._take_in)
        self.canvas.hovered.connect(self._hovered)
        self.canvas.selected.connect(self.selected)
        self.canvas.actions_wanted.connect(self.actions_wanted)
        self.canvas.focused.connect(self._say_focused)
        self.canvas.moved.connect(self._hide_popup)
        self._show_state()

    @property
    def tree(self) -> GrownTree:
        """Return the tree that has grown."""
        return self.canvas.picture.tree

    @property
    def picture(self) -> Picture:
        """Return the tree as it is drawn."""
        return self.canvas.picture

    # --- asking -----------------------------------------------------------------------------

    def grow(self, start: Start, spec: SearchSpec) -> None:
        """Grow a new tree; first the response that follows the start, if there is one."""
        self._forget_recorded()
        search = Asked(start, start.prefix, spec, anew=True)
        self._next = None
        if start.given is not None:
            self._next = search._replace(anew=False)
            tokens = Given(start.given, closed=True)
            room = len(start.given) + 1
            search = search._replace(spec=replace(spec, strategy=tokens, max_tokens=room))
        self._ask(search)

    def grow_from(self, entry: int, spec: SearchSpec) -> None:
        """Let the tree grow from one of its nodes."""
        if self.start is None or not self.can_grow_from(entry):
            return
        self._next = None
        self._forget_recorded()
        prefix = (*self.start.prefix, *self.tree.ids(entry))
        self._ask(Asked(self.start, prefix, spec, anew=False))

    def show_again(self, start: Start, recorded: Tree) -> None:
        """Ask for the searches that made a recorded tree, one after another, and then for what was
        pinned or pruned by hand."""
        self._next = None
        self._again = deque(Asked(start, it.prefix, it.spec, it.anew) for it in recorded.grows)
        self._steer_again = dict(recorded.steered)
        self._ask(self._again.popleft())

    def _forget_recorded(self) -> None:
        """Ask for nothing more of a recorded tree: another one, or none, is to be shown."""
        self._again.clear()
        self._steer_again.clear()

    def can_grow_from(self, entry: int) -> bool:
        """Return whether anything can follow a node: nothing can after the closing token."""
        known = 0 <= entry < len(self.tree) and self.fresh_pair
        return known and not self.tree.is_closed(entry)

    def state_at(self, entry: int) -> StateRef | None:
        """Return the state that a node is; None where nothing can follow it."""
        if self.start is None or not self.can_grow_from(entry):
            return None
        ids = *self.start.prefix, *self.tree.ids(entry)
        node, start = int(self.tree.node[entry]), self.start
        return StateRef(node, start.prompt, ids, self.name, start.context)

    def _ask(self, search: Asked) -> None:
        self._other_prompt = False
        self._queue.clear()
        self._ending = None
        self._asked, self._began, self._starts = search, False, False
        start, prefix, spec, anew = search
        if not anew:
            self._earlier.update(dict.fromkeys(self.tree.best.tolist()))
        if not isinstance(spec.strategy, Given):
            self.spec = spec
        self._fraction, self._note = 0.0, ""
        self.problem.emit("")
        self._set_state("growing")
        self._await(
            self._client.ask(Search, self.name, start.prompt, prefix, spec, anew, start.context)
        )

    def can_resume(self) -> bool:
        """Return whether there is a search that was stopped and can go on."""
        return self.state == "stopped" and self._asked is not None

    def resume(self) -> None:
        """Resume the search that was stopped; begin the one that was stopped before it began."""
        if self._asked is None or not self.can_resume():
            return
        if not self._began:
            self._ask(self._asked)
            return
        self._ending = None
        self._set_state("growing")
        self._await(self._client.ask(Resume, self.name))

    def steer(self, entry: int, action: SteerAction) -> None:
        """Prune, pin or release a node."""
        if self.fresh_pair and 0 < entry < len(self.tree):
            ticket = self._client.ask(Steer, self.name, int(self.tree.node[entry]), action)
            ticket.answered.connect(partial(self._steered, entry, action))
            ticket.failed.connect(self._steering_failed)

    def _await(self, ticket: JobTicket[Grown, Searched]) -> None:
        ticket.stepped.connect(self._grown)
        ticket.answered.connect(self._ended)
        ticket.stopped.connect(self._ended)
        ticket.failed.connect(self._ended)

    def set_pair(self, loaded: bool) -> None:
        """Take note that the pair has changed: the tree can still be looked at, but not grow."""
        self._next = None
        self._forget_recorded()
        self._flush()
        self._asked = None
        if len(self.tree):
            self.fresh_pair = False
            self._set_state("closed")
        elif self.state != "empty":
            self._set_state("empty")

    # --- answers ----------------------------------------------------------------------------

    def _grown(self, event: Grown) -> None:
        assert self._asked is not None  # another pair silences what was asked of this one
        if self._asked.anew and not self._began:
            self.checkpoint = event.checkpoint
            self._starts = True
        self._began = True
        self._queue.append(event.growth)
        if not self._take.isActive():
            self._take.start(0)

    def _ended(self, event: Searched | Stopped | Failed) -> None:
        self._ending = event
        self._take.start(0)

    @Slot()
    def _take_in(self) -> None:
        """Take in for a short time what has come; draw now and then, and at the end.

        One thing in one go: the window must answer in between.
        """
        now = time.perf_counter()
        if self._undrawn and (not self._queue or now - self._refreshed > self._pause):
            self._refresh()
        elif self._queue:
            while self._queue and time.perf_counter() - now < TAKE_MS / 1000:
                self._add(self._queue.popleft())
        elif self._ending is not None:
            ending, self._ending = self._ending, None
            self._finish(ending)
        if self._queue or self._undrawn or self._ending is not None:
            self._take.start(1)

    def _flush(self) -> None:
        """Take in all that has come, at once."""
        self._take.stop()
        if self._queue:
            while self._queue:
                self._add(self._queue.popleft())
            self._refresh()

    def _add(self, growth: Growth) -> None:
        assert self._asked is not None
        start, _, spec, _ = self._asked
        if self._starts:
            self._starts = False
            self.start = start
            self.fresh_pair = True
            self.growths = []
            self._earlier.clear()
            prefix = b"".join(start.pieces).decode("utf-8", "replace")
            tail = prefix if len(prefix) < 24 else "…" + prefix[-23:]
            self.canvas.set_picture(self.canvas.new_picture(tail.replace("\n", "↵") or START))
        self._undrawn = True
        self.picture.take(growth, isinstance(spec.strategy, Given))
        self.growths.append(growth)
        self._fraction = growth.step.fraction

    def _refresh(self) -> None:
        begin = time.perf_counter()
        self._undrawn = False
        self.canvas.refresh()
        self.minimap.refresh(soon=self.state != "growing")
        self._show_state()
        self.grew.emit()
        self._refreshed = time.perf_counter()
        self._pause = max(0.03, CALM * (self._refreshed - begin))

    def _finish(self, event: Searched | Stopped | Failed) -> None:
        if self._again and not isinstance(event, Failed):
            self._ask(self._again.popleft())
            return
        match event:
            case Searched():
                self._note = (
                    f"{event.steps} steps, {event.computed:,} tokens computed in "
                    f"{event.seconds:.1f} s · {event.cache}"
                )
                if self._next is not None:
                    search, self._next = self._next, None
                    self._ask(search)
                    return
                self._set_state("done")
                self._steer_as_before()
            case Stopped():
                self._set_state("stopped")
                self._steer_as_before()
            case Failed():
                self._next = None
                self._forget_recorded()
                self._set_state("failed")
                self.problem.emit(event.message)

    def _steer_as_before(self) -> None:
        steered, self._steer_again = self._steer_again, {}
        for node, action in steered.items():
            if (entry := self.tree.entry(node)) is not None:
                self.steer(entry, action)

    def _steered(self, entry: int, action: SteerAction, event: Steered) -> None:
        picture = self.picture
        if action == "pin":
            picture.pinned.add(entry)
        elif action == "release":
            picture.pinned.discard(entry)
            picture.set_pruned(entry, False)
        else:
            picture.pinned.discard(entry)
            picture.set_pruned(entry, True)
        self._refresh()

    def _steering_failed(self, event: Failed) -> None:
        self.problem.emit(event.message)

    # --- what is shown ----------------------------------------------------------------------

    def hypotheses(self) -> list[Hypothesis]:
        """Return what searches found in this tree, the best first."""
        if self.spec is None or not len(self.tree):
            return []
        return self.picture.hypotheses(self.spec, self._earlier)

    def set_colours(self, beta: float, scale: ColourScale) -> None:
        """Colour the tree by another beta or scale."""
        self._beta = beta
        self.canvas.set_colours(beta, scale)
        self.minimap.refresh()

    def set_only(self, only: Ints | None) -> None:
        """Mark what only one of two compared trees has, [n]; None for no comparison."""
        old = self.picture.only
        if old is None and only is None:
            return
        if old is None or only is None or not np.array_equal(old, only):
            self.picture.only = only
            self.canvas.refresh()

    def compare_prompt(self, prompt: Prompt) -> None:
        """Say so if the tree is not of the prompt that the credit view shows now."""
        self._other_prompt = self.start is not None and self.start.prompt != prompt
        self._show_state()

    def compare_checkpoint(self, words: str) -> None:
        """Say which checkpoint the tree is of, if another one is shown now; "" if none is."""
        if words != self._elsewhere:
            self._elsewhere = words
            self._show_state()

    def set_title(self, title: str) -> None:
        """Set the pane's title where there are two; "" where there is one."""
        self.title.setText(title)
        self.title.setVisible(bool(title))

    def _set_state(self, state: PaneState) -> None:
        self.state = state
        self._show_state()
        self.state_changed.emit()

    def _show_state(self) -> None:
        name = named(self.spec) if self.spec is not None else ""
        count = max(len(self.tree) - 1, 0)
        pruned = int((self.tree.status == Status.PRUNED).sum()) if count else 0
        size = f"{count:,} nodes, {pruned:,} pruned" if count else ""
        if count and self._other_prompt:
            size = f"of an earlier prompt  ·  {size}"
        if count and self._elsewhere:
            size = f"{self._elsewhere}  ·  {size}"
        words = {
            "empty": "",
            "growing": f"growing … {100 * self._fraction:.0f}%",
            "done": self._note,
            "stopped": "stopped: Resume goes on",
            "failed": "the search failed: see the notice above",
            "closed": "of a pair that is no longer loaded: look at it, or grow a new one",
        }[self.state]
        about = "  ·  ".join(part for part in (name, size, words) if part)
        self.about.setToolTip(about)
        self.about.show_words(about)
        self.canvas.say("Growing …" if self.state == "growing" else EMPTY)

    @Slot(int)
    def _hovered(self, entry: int) -> None:
        where = self.canvas.rect_of(entry)
        if entry < 0 or where.isNull():
            self._hide_popup()
            return
        if self.popup is None:
            # In the whole window there is room for it beside the node, not over it.
            self.popup = TokenPopup(self.window())
        html = popup_html(self.tree, entry, self._beta, self.picture.start, self.noise)
        corner = self.canvas.mapTo(self.window(), QPoint(0, 0))
        inside = where.translated(corner) & QRect(corner, self.canvas.size())
        self.popup.show_at(inside, html)

    @Slot()
    def _hide_popup(self) -> None:
        if self.popup is not None:
            self.popup.dismiss()

    @Slot()
    def _say_focused(self) -> None:
        self.focused.emit(self.name)
