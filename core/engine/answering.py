"""What each request does with the pair that is loaded: what is on the table, and what was found.

All of it runs on the engine thread (core.engine.loop), one request at a time. It imports torch
itself, when a pair is loaded, so that a window can show first.

A run's pair shows one checkpoint; searches and sweeps keep to the one that they were begun under.
A checkpoint is meant as it was when it was shown: what is written anew under its path is another,
which is shown when it is asked for again. That files of the pair have changed is told once.

Knows nothing of threads, queues or urgency.
"""

import ctypes
import gc
import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.engine.protocol import (
    Event,
    Failed,
    FilesChanged,
    Grown,
    Inspect,
    Inspected,
    InspectNode,
    Load,
    Loaded,
    MeasureNoise,
    Memory,
    NodeInspected,
    NoiseMeasured,
    PairInfo,
    Progress,
    Replay,
    ReplayDone,
    Replayed,
    Request,
    Resume,
    Score,
    Scored,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    Side,
    Steer,
    Steered,
    Stopped,
    Survey,
    Surveyed,
    Sweep,
    SweepDone,
    Swept,
    Unload,
    Unloaded,
)
from core.errors import Cancelled, UserFacingError
from core.failures import is_device_lost, is_out_of_memory
from core.runs.records import START

if TYPE_CHECKING:
    from core.checkpoints.identity import Identity
    from core.models.noise import Measurement
    from core.models.pair import Pair
    from core.scoring import Scoring
    from core.search.run import Run
    from core.sweeps.run import Answers
    from core.sweeps.run import Sweep as SweepRun
    from core.text import Prompt, Tokens
    from core.tree import Nodes

log = logging.getLogger(__name__)

Shown = tuple[str, "Identity | str"]
"""A checkpoint's path and which one it was, as Pair has them; "" for a pair that is of no run."""


class Answering:
    """Answers requests about one pair at a time.

    ``emit`` is told of progress; ``cancelled`` says that what is being done is not wanted any more.
    """

    def __init__(self, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        self._emit = emit
        self._cancelled = cancelled
        self._pair: Pair | None = None
        self._info: PairInfo | None = None
        self._load_id = 0
        self._shown: Shown = "", ""
        """The checkpoint that scores and inspections are of."""
        self._scored: dict[str, Identity | str] = {}
        """By path, which checkpoint was scrubbed to, or replayed, last."""
        self._last: dict[Side, tuple[Prompt, Tokens, Scoring]] = {}
        self._searches: dict[str, _Grown] = {}
        """By pane."""
        self._sweep: tuple[SweepRun, Shown] | None = None
        self._answers: dict[Shown, Answers] = {}
        """What sweeps have found under each checkpoint of this pair."""
        self._replay: list[str] = []
        """The checkpoints that are yet to be replayed."""
        self._amiss = ""
        """What kept the first of them that could not be replayed."""
        self._measurement: tuple[Measurement, Shown] | None = None
        """Of the noise, and the checkpoint that it goes on under."""
        self._lost = ""
        """Why the device does nothing more for this process; "" while it does."""
        self._told = 0
        """Bytes held when they were last told of."""

    def answer(self, request: Request, again: bool = False) -> Event:
        """Do what was asked; every outcome, the unexpected too, is an event.

        Of a search, a sweep or a replay this is one step; ``again``: it is not the first. Where
        memory runs out, all that can be computed again is let go, and it is tried once more.
        """
        if self._lost and not isinstance(request, Unload):
            return Failed(request.id, type(request).__name__, self._lost, lost=True)
        event = self._try(request, again)
        if event is None:
            event = self._try(request, again, shed=True)
        assert event is not None
        self._tell_memory()
        return event

    def _try(self, request: Request, again: bool, shed: bool = False) -> Event | None:
        """Do what was asked; ``shed``: after the KV was let go. None: memory ran out before it was.

        What an error's traceback held on to is free again once this has returned.
        """
        kind = type(request).__name__
        try:
            if shed:
                gc.collect()
                self._loaded().shed()
            return self._do(request, again)
        except Cancelled:
            return Stopped(request.id, kind)
        except UserFacingError as error:
            return Failed(request.id, kind, str(error))
        except Exception as error:
            if is_out_of_memory(error):
                if self._pair is not None and not shed:
                    return None
                searching = isinstance(request, Search | Resume | Sweep)
                return Failed(request.id, kind, _MEMORY[searching])
            log.exception("%s failed", kind)
            if is_device_lost(error):
                why = str(error).strip().splitlines()[0].rstrip(" .")
                self._lost = f"The device no longer answers ({why}): {START_ANEW}"
                return Failed(request.id, kind, self._lost, lost=True)
            return Failed(
                request.id,
                kind,
                f"Something unexpected went wrong ({type(error).__name__}: {error}); the log has "
                f"the details, and your text is untouched.",
            )

    def _do(self, request: Request, again: bool) -> Event:
        if self._pair is not None:
            self._pair.trim(self._nodes_shown())
        match request:
            case Load():
                return self._load(request)
            case Unload():
                self._let_go()
                return Unloaded(request.id)
            case Score():
                return self._score(request)
            case Inspect():
                return self._inspect(request)
            case Search() | Resume():
                return self._grow(request, again)
            case Steer():
                return self._steer(request)
            case Survey():
                return self._survey(request)
            case InspectNode():
                return self._inspect_node(request)
            case Sweep():
                return self._sweep_on(request, again)
            case Scrub():
                return self._scrub(request)
            case Replay():
                return self._replay_on(request, again)
            case MeasureNoise():
                return self._measure_noise(request, again)

    def _nodes_shown(self) -> "Iterator[Nodes]":
        """The nodes of which a view, or what goes on, knows the numbers."""
        for _, _, scoring in self._last.values():
            yield scoring.nodes
        for search in self._searches.values():
            yield from search.nodes()
        if self._sweep is not None:
            yield self._sweep[0].nodes()

    def _tell_memory(self) -> None:
        """Say how much is held, if that has changed by what a reader would see."""
        if (pair := self._pair) is None:
            return
        held = Memory(pair.tree.bytes(), pair.tree.budget, pair.kv_bytes(), pair.kv_budget)
        if abs(held.tree + held.kv - self._told) >= NOTICEABLE:
            self._told = held.tree + held.kv
            self._emit(held)

    def end(self) -> None:
        """Let go of everything; the last thing that is asked."""
        self._forget_pair()
        gc.unfreeze()

    def _load(self, request: Load) -> Event:
        self._let_go()
        progress = self._reporter(request)
        progress("Starting the engine", None)
        with _garbage_left_alone():
            _open_torch_library()
            from core.models.load import load_pair

            self._pair, self._info = load_pair(request.spec, progress, self._cancelled)
        self._load_id = request.id
        self._shown = self._pair.shown, self._pair.version
        self._scored = dict([self._shown])
        self._told = 0
        return Loaded(request.id, self._info)

    def _forget_pair(self) -> None:
        """Let go of the pair and of all that was found with it."""
        self._pair = self._info = self._sweep = self._measurement = None
        self._shown = "", ""
        for found in (self._last, self._searches, self._answers, self._replay, self._scored):
            found.clear()

    def _let_go(self) -> None:
        """Free the pair; its weights hang in cycles, which nobody would look for in frozen ones."""
        self._forget_pair()
        if gc.get_freeze_count():
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _score(self, request: Score) -> Event:
        from core.models.score import score

        pair = self._showing(request)
        tokens = self._tokens(pair, request)
        scoring = score(pair, request.prompt, tokens, self._cancelled, hold=request.side)
        self._last[request.side] = request.prompt, tokens, scoring
        prompt_text = pair.codec.prompt_text(request.prompt)
        return Scored(request.id, request.side, scoring, prompt_text)

    def _tokens(self, pair: "Pair", request: Score) -> "Tokens":
        """The tokens that a request means; untouched tokens of the side keep their ids."""
        codec, last = pair.codec, self._last.get(request.side)
        if request.ids is not None:
            return codec.decode(request.prompt, request.ids)
        if request.replace is not None:
            if last is None or not 0 <= request.replace[0] < len(last[1].ids):
                raise UserFacingError("That token is no longer there: choose it again.")
            return codec.replace(request.prompt, last[1], *request.replace)
        text = request.text or ""
        if last is None or request.fresh:
            return codec.encode(request.prompt, text)
        return codec.edit(request.prompt, last[1], text)

    def _inspect(self, request: Inspect) -> Event:
        from core.models.score import inspect

        pair = self._showing(request)
        state = self._state(pair, request)
        found = inspect(pair, state, request.query, self._cancelled)
        return Inspected(request.id, request.side, request.index, found)

    def _survey(self, request: Survey) -> Event:
        from core.models.score import survey

        pair = self._showing(request)
        actions = survey(pair, self._state(pair, request), self._cancelled)
        return Surveyed(request.id, request.side, request.index, actions)

    def _state(self, pair: "Pair", request: Inspect | Survey) -> int:
        """The node of the state before the token that a request names."""
        last = self._last.get(request.side)
        if last is None or not 0 <= request.index < len(last[2]):
            raise Cancelled
        return int(pair.tree.parent[int(last[2].nodes[request.index])])

    def _grow(self, request: Search | Resume, again: bool) -> Event:
        """One step of a search; it goes on while steps are taken."""
        from core.search.run import Run

        first = isinstance(request, Search) and not again
        if isinstance(request, Search) and first:
            old = self._searches.get(request.pane)
            shown = self._shown if old is None or request.anew else old.shown
            pair = self._showing(request, shown)
            run = Run(pair, request.prompt, request.prefix, request.spec)
            before = [] if old is None else old.nodes()
            self._searches[request.pane] = _Grown(run, shown, before)
        if request.pane not in self._searches:
            self._loaded()
            raise UserFacingError("There is no search to go on with: start one.")
        search = self._searches[request.pane]
        self._showing(request, search.shown)
        run = search.run
        growth = run.step(self._cancelled)
        if isinstance(request, Search) and request.anew and first:
            search.before.clear()  # the tree that was there is no longer shown
        if growth is not None:
            return Grown(request.id, request.pane, growth, search.shown[0])
        return Searched(
            request.id, request.pane, run.steps, run.computed, run.seconds, run.attention
        )

    def _steer(self, request: Steer) -> Event:
        if request.pane not in self._searches:
            raise UserFacingError("There is no search to steer: start one.")
        self._searches[request.pane].run.steer(request.node, request.action)
        return Steered(request.id, request.pane, request.node)

    def _inspect_node(self, request: InspectNode) -> Event:
        from core.models.score import inspect

        search = self._searches.get(request.pane)
        pair = self._showing(request, search.shown if search is not None else None)
        state = request.node
        if not pair.tree.has(state):
            if request.prompt is None:
                raise Cancelled
            ids = [*pair.codec.prompt_ids(request.prompt), *request.ids]
            root = search.run.root if search is not None else pair.root(len(ids))
            state = int(pair.tree.extend(root, ids)[-1])
        if pair.tree.depth[state] == 0:
            raise Cancelled
        found = inspect(pair, state, request.query, self._cancelled)
        return NodeInspected(request.id, found)

    def _sweep_on(self, request: Sweep, again: bool) -> Event:
        """One step of a sweep; it goes on while steps are taken."""
        if not again or self._sweep is None:
            self._sweep = self._new_sweep(request), self._shown
        sweep, shown = self._sweep
        self._showing(request, shown)
        if sweep.ended:
            return SweepDone(request.id)
        row = sweep.step(self._cancelled)
        return Swept(request.id, sweep.info, row, sweep.what, sweep.fraction)

    def _new_sweep(self, request: Sweep) -> "SweepRun":
        from core.sweeps.judges import make_judge
        from core.sweeps.questions import questions_of
        from core.sweeps.run import Answers
        from core.sweeps.run import Sweep as SweepRun

        pair, spec = self._showing(request), request.spec
        assert self._info is not None
        info = self._info.at(self._shown[0])
        if self._shown not in self._answers:
            self._answers[self._shown] = Answers(pair, info)
        judge = make_judge(spec.judge, info.device) if spec.judge is not None else None
        answers = self._answers[self._shown]
        return SweepRun(pair, info, spec, questions_of(spec), judge, answers)

    def _scrub(self, request: Scrub) -> Event:
        """Show another checkpoint, once all that is on the table is scored under it."""
        began = time.perf_counter()
        scorings, self._shown, anew = self._scorings(request, request.checkpoint)
        for side, scoring in scorings.items():
            self._last[side] = *self._last[side][:2], scoring
        seconds = time.perf_counter() - began
        return Scrubbed(request.id, request.checkpoint, scorings, seconds, anew)

    def _replay_on(self, request: Replay, again: bool) -> Event:
        """One checkpoint of a replay; those that cannot be shown are passed over until its end.

        As its last act what is shown is made ready for the next edit.
        """
        if not again:
            self._loaded()
            self._replay, self._amiss = list(request.checkpoints), ""
        while self._replay:
            found = None
            try:
                found = self._scorings(request, self._replay[0])
            except UserFacingError as error:
                self._amiss = self._amiss or str(error)
            checkpoint = self._replay.pop(0)
            if found is not None:
                fraction = 1 - len(self._replay) / len(request.checkpoints)
                return Replayed(request.id, checkpoint, found[0], fraction, found[2])
        self._warm(request)
        if self._amiss:
            raise UserFacingError(self._amiss)
        return ReplayDone(request.id)

    def _scorings(
        self, request: Request, checkpoint: str
    ) -> "tuple[dict[Side, Scoring], Shown, bool]":
        """What both sides hold, scored under a checkpoint as it lies on disk now; which one that
        is, and whether it is another than the one that was scored before."""
        from core.models.score import score

        pair = self._loaded()
        pair.use(checkpoint)
        shown = pair.shown, pair.version
        self._showing(request, shown)
        scorings = {
            side: score(pair, prompt, tokens, self._cancelled, hold=side)
            for side, (prompt, tokens, _) in self._last.items()
        }
        anew = self._scored.get(checkpoint, pair.version) != pair.version
        self._scored[checkpoint] = pair.version
        return scorings, shown, anew

    def _warm(self, request: Request) -> None:
        """Have the KV of what both sides hold ready under the checkpoint that is shown."""
        pair = self._showing(request)
        for side, (_, _, scoring) in self._last.items():
            end = pair.tree.parent[scoring.nodes[-1:]]
            pair.reach_path(pair.tree.path(int(end[0])), cancelled=self._cancelled, line=side)

    def _measure_noise(self, request: MeasureNoise, again: bool) -> Event:
        """Measure the noise floor; what was found before it was put off is kept.

        At a run's start the policy is the reference, without any noise: another is measured then.
        As its last act what is shown is made ready for the next edit.
        """
        from core.models.noise import Measurement

        if not again or self._measurement is None:
            pair, shown = self._loaded(), self._shown
            assert self._info is not None
            if shown[0] == START:
                shown = self._info.checkpoints[-1].path, ""
            self._measurement = Measurement(pair), shown
        measurement, shown = self._measurement
        self._showing(request, shown)
        floor = measurement.finish(self._cancelled)
        self._warm(request)
        self._measurement = None
        return NoiseMeasured(request.id, floor)

    def _showing(self, request: Request, shown: Shown | None = None) -> "Pair":
        """The pair under a checkpoint: the one that is shown, if none is named."""
        pair = self._loaded()
        pair.use(*(self._shown if shown is None else shown))
        if pair.swap is not None:
            pair.swap.report = self._reporter(request)
        if (change := pair.changed()) is not None:
            checkpoint = pair.shown if change.policy_only else ""
            self._emit(FilesChanged(self._load_id, change.sentence, checkpoint))
        return pair

    def _reporter(self, request: Request) -> Callable[[str, float | None], None]:
        """Progress on behalf of a request; it stops what reports when it is unwanted."""

        def progress(what: str, fraction: float | None) -> None:
            if self._cancelled():
                raise Cancelled
            self._emit(Progress(request.id, what, fraction))

        return progress

    def _loaded(self) -> "Pair":
        if self._pair is None:
            raise UserFacingError("No models are loaded: open a policy and its reference first.")
        return self._pair


@dataclass
class _Grown:
    """What a pane shows: its search, and the checkpoint that this goes on under."""

    run: "Run"
    shown: "Shown"
    before: "list[Nodes]"
    """What the searches before it have grown there."""

    def nodes(self) -> "list[Nodes]":
        return [*self.before, self.run.nodes()]


NOTICEABLE = 1 << 20
"""Bytes by which memory must have changed to be told of."""
START_ANEW = "save the texts and start Qscope anew."
_MEMORY = {
    False: "The device ran out of memory: shorten the text, choose a smaller number format, or "
    "load the pair on the CPU.",
    True: "The device ran out of memory; the tree so far is kept: reduce the width or the number "
    "of samples, then resume or start again.",
}


def _open_torch_library() -> None:
    """Open torch's largest library before its import does so, which would hold Python's lock.

    The window stood still for 0.2 s of it. A foreign call lets the lock go; ``ctypes.CDLL`` does
    not. Where this fails, or on Windows, the import does all by itself.
    """
    package = importlib.util.find_spec("torch")
    if "torch" in sys.modules or package is None or package.origin is None:
        return
    suffix = {"linux": "so", "darwin": "dylib"}.get(sys.platform)
    if suffix is None:
        return
    path = Path(package.origin).parent / "lib" / f"libtorch_cpu.{suffix}"
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    dlopen(os.fsencode(path), os.RTLD_NOW)


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """While libraries and models are loaded, and for what they leave: no full collections.

    They leave some 400,000 objects that stay. Python would look at all of them over and over, its
    lock held, and the window with it (measured: seven times, up to 0.2 s each). Young garbage is
    collected as ever.
    """
    usual = gc.get_threshold()
    gc.set_threshold(10_000, 1_000, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.freeze()
