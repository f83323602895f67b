"""Shows one tree and runs the search that grows it: asks the engine, takes in what comes.

What has grown is taken in for some milliseconds at a time, so that a fast search never blocks the
window. The tree stays whatever happens to the search or to the pair. Knows the engine's client and
the canvas; knows nothing of forms, tables or the other pane.
"""

import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Literal

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
from core.recording import Grow, Tree
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
        self._next: tuple[Start, SearchSpec] | None = None
        self._anew = False
        self._is_given = False
        self._again: deque[Grow] = deque()
        """Searches of a recorded tree that are still to be asked for, in their order."""
        self._steer_again: dict[int, SteerAction] = {}
        """What is to be pinned or pruned by hand once they have grown, by the nodes' numbers."""
        self._queue: deque[tuple[Growth, bool]] = deque()
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
        self.start = start
        self._forget_recorded()
        self._anew = True
        if start.given is not None:
            self._next = start, spec
            tokens = Given(start.given, closed=True)
            room = len(start.given) + 1
            self._ask(start.prefix, replace(spec, strategy=tokens, max_tokens=room), given=True)
        else:
            self._next = None
            self._ask(start.prefix, spec)

    def grow_from(self, entry: int, spec: SearchSpec) -> None:
        """Let the tree grow from one of its nodes."""
        if self.start is None or not self.can_grow_from(entry):
            return
        self._next = None
        self._forget_recorded()
        self._anew = False
        given = isinstance(spec.strategy, Given)
        self._ask((*self.start.prefix, *self.tree.ids(entry)), spec, given)

    def show_again(self, start: Start, recorded: Tree) -> None:
        """Ask for the searches that made a recorded tree, one after another, and then for what was
        pinned or pruned by hand."""
        self.start, self._next = start, None
        self._again = deque(recorded.grows)
        self._steer_again = dict(recorded.steered)
        self._ask_again()

    def _ask_again(self) -> None:
        search = self._again.popleft()
        self._anew = search.anew
        self._ask(search.prefix, search.spec, isinstance(search.spec.strategy, Given))

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

    def _ask(self, prefix: tuple[int, ...], spec: SearchSpec, given: bool = False) -> None:
        assert self.start is not None
        self._other_prompt = False
        self._queue.clear()
        self._ending = None
        self._is_given = given
        if not self._anew:
            self._earlier.update(dict.fromkeys(self.tree.best.tolist()))
        if not given:
            self.spec = spec
        self._fraction, self._note = 0.0, ""
        self.problem.emit("")
        self._set_state("growing")
        start, anew = self.start, self._anew
        self._await(
            self._client.ask(Search, self.name, start.prompt, prefix, spec, anew, start.context)
        )

    def resume(self) -> None:
        """Resume the search that was stopped."""
        if self.state == "stopped" and self.fresh_pair:
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
        if len(self.tree):
            self.fresh_pair = False
            self._set_state("closed")
        elif self.state != "empty":
            self._set_state("empty")

    # --- answers ----------------------------------------------------------------------------

    def _grown(self, event: Grown) -> None:
        if self._anew:
            self.checkpoint = event.checkpoint
        self._queue.append((event.growth, self._is_given))
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
                self._add(*self._queue.popleft())
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
                self._add(*self._queue.popleft())
            self._refresh()

    def _add(self, growth: Growth, given: bool) -> None:
        if self._anew:
            self._anew = False
            self.fresh_pair = True
            self.growths = []
            self._earlier.clear()
            prefix = b"".join(self.start.pieces).decode("utf-8", "replace") if self.start else ""
            tail = prefix if len(prefix) < 24 else "…" + prefix[-23:]
            self.canvas.set_picture(self.canvas.new_picture(tail.replace("\n", "↵") or START))
        self._undrawn = True
        self.picture.take(growth, given)
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
            self._ask_again()
            return
        match event:
            case Searched():
                self._note = (
                    f"{event.steps} steps, {event.computed:,} tokens computed in "
                    f"{event.seconds:.1f} s · {event.cache}"
                )
                if self._next is not None:
                    start, spec = self._next
                    self._next = None
                    self._ask(start.prefix, spec)
                    return
                self._set_state("done")
                self._steer_as_before()
            case Stopped():
                self._next = None
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
