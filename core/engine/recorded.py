"""Answers from a recording where there are no models: the same requests, the same events.

Views therefore need no second way: what was recorded looks as it did, and what was not is a
``Failed`` that says so (``needs_pair``), after which a text stays uncoloured. Each request is
answered before ``submit`` returns, on the thread that asks. Knows the protocol and recordings;
knows nothing of models, files or windows.
"""

from collections.abc import Callable
from dataclasses import replace

from core.engine.protocol import (
    Event,
    Failed,
    Grown,
    Inspect,
    Inspected,
    InspectStates,
    Learn,
    Learnt,
    Load,
    Loaded,
    NoiseMeasured,
    PairInfo,
    ReadTexts,
    Replay,
    ReplayDone,
    Replayed,
    Request,
    Resume,
    Score,
    Scored,
    ScoreVariants,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    Side,
    StatesDone,
    Steer,
    Steered,
    Stopped,
    Sweep,
    SweepDone,
    Swept,
    TextsRead,
    Unload,
    Unloaded,
    Variant,
    VariantsDone,
    VariantsScored,
)
from core.recording import Grow, Recording, ScoredResponse, StateKey
from core.scoring import Scoring
from core.text import Prompt

NEEDS_PAIR = "Not recorded: needs the pair."
NO_WAY = "recorded: no model runs"
"""In place of the way of running attention."""


class RecordedEngine:
    """An engine that knows what a recording holds, and no more.

    ``emit`` is told of each event. A recording without a pair's facts answers no ``Load``.
    """

    def __init__(self, emit: Callable[[Event], None], recording: Recording) -> None:
        self._emit = emit
        self._recording = recording
        self._held: dict[Side, ScoredResponse] = {}
        self._shown = ""
        self._replayed: dict[str, int] = {}
        """How many searches of each pane's tree have been answered."""

    def start(self) -> None:
        """Do nothing: there is no thread."""

    def cancel(self, kind: type[Request[Event]] | None = None, topic: str = "") -> None:
        """Do nothing: all that was asked is answered."""

    def close(self, timeout: float = 5.0) -> bool:
        """Do nothing; return True: it has ended."""
        return True

    def submit(self, request: Request[Event]) -> None:
        """Answer a request."""
        answer = self._answer(request)
        self._emit(Failed(request.id, NEEDS_PAIR, needs_pair=True) if answer is None else answer)
        if isinstance(answer, Loaded) and self._recording.noise is not None:
            self._emit(NoiseMeasured(request.id, self._recording.noise))

    def _answer(self, request: Request[Event]) -> Event | None:
        """Return the final answer, its steps told before; None for what was not recorded."""
        match request:
            case Load():
                return self._load(request)
            case Unload():
                return Unloaded(request.id)
            case Score():
                return self._score(request)
            case ReadTexts():
                held = self._held.get(request.side)
                read = held.read if held is not None else None
                return TextsRead(request.id, request.side, read) if read is not None else None
            case ScoreVariants():
                return self._score_variants(request)
            case Inspect():
                return self._inspect(request)
            case InspectStates():
                return StatesDone(request.id)  # there is no more to be seen than was
            case Search():
                return self._search(request)
            case Resume():
                tree = self._recording.trees.get(request.pane)
                return _ended(tree.grows[-1], request) if tree is not None else None
            case Steer():
                return self._steer(request)
            case Scrub():
                return self._scrub(request)
            case Replay():
                return self._replay(request)
            case Sweep():
                return self._sweep(request)
            case Learn():
                return self._learn(request)
        return None

    def _load(self, request: Load) -> Loaded | None:
        info = self._recording.info
        if info is None:
            return None
        self._held, self._replayed = {}, {}
        self._shown = info.checkpoints[-1].path if info.checkpoints else ""
        return Loaded(request.id, as_recorded(self._recording, info))

    # --- responses --------------------------------------------------------------------------

    def _score(self, request: Score) -> Scored | None:
        text, ids, held = request.text, request.ids, self._held.get(request.side)
        if request.replace is not None:
            if held is None:
                return None
            index, id = request.replace
            ids = (*held.tokens.ids[:index], id, *held.tokens.ids[index + 1 :])
        known = self._known(request.prompt, text or "", ids)
        here = next((it for it in known if self._shown in it.scorings), None)
        if known:
            self._held[request.side] = here or known[0]
        if here is None:
            return None
        scoring = here.scorings[self._shown]
        return Scored(request.id, request.side, scoring, here.prompt_text, self._shown)

    def _known(
        self, prompt: Prompt, text: str, ids: tuple[int, ...] | None
    ) -> list[ScoredResponse]:
        """Return the responses that may be meant, the likeliest first: of a text alone those that
        are split as the tokenizer does, then the newest."""
        known = [*self._recording.find(prompt, text, ids)]
        return sorted(known, key=lambda it: any(it.tokens.forced)) if ids is None else known

    def _score_variants(self, request: ScoreVariants) -> VariantsDone:
        found = tuple(map(self._scoring_of, request.variants))
        problems = tuple(NEEDS_PAIR if it is None else "" for it in found)
        if found:
            self._emit(VariantsScored(request.id, 0, found, problems, 1.0, self._shown))
        return VariantsDone(request.id)

    def _scoring_of(self, variant: Variant) -> Scoring | None:
        known = self._known(variant.prompt, variant.text, variant.ids)
        return next((it.scorings[self._shown] for it in known if self._shown in it.scorings), None)

    # --- checkpoints ------------------------------------------------------------------------

    def _scorings(self, checkpoint: str) -> dict[Side, Scoring]:
        """Return what was recorded under a checkpoint of what the sides hold."""
        found = {side: held.scorings.get(checkpoint) for side, held in self._held.items()}
        return {side: scoring for side, scoring in found.items() if scoring is not None}

    def _scrub(self, request: Scrub) -> Scrubbed | None:
        scorings = self._scorings(request.checkpoint)
        if not scorings and (self._held or not self._is_known(request.checkpoint)):
            return None
        self._shown = request.checkpoint
        return Scrubbed(request.id, request.checkpoint, scorings, 0.0)

    def _is_known(self, checkpoint: str) -> bool:
        info = self._recording.info
        return info is not None and checkpoint in [it.path for it in info.checkpoints]

    def _replay(self, request: Replay) -> ReplayDone:
        for number, checkpoint in enumerate(request.checkpoints, 1):
            if scorings := self._scorings(checkpoint):
                fraction = number / len(request.checkpoints)
                self._emit(Replayed(request.id, checkpoint, scorings, fraction))
        return ReplayDone(request.id)

    # --- states and trees -------------------------------------------------------------------

    def _inspect(self, request: Inspect) -> Inspected | None:
        tree = self._recording.trees.get(request.state.pane)
        checkpoint = tree.checkpoint if tree is not None else self._shown
        seen = self._recording.states.get(StateKey.of(checkpoint, request.state))
        found = seen.inspection(request.query, request.most) if seen is not None else None
        return Inspected(request.id, found, checkpoint) if found is not None else None

    def _search(self, request: Search) -> Searched | Stopped | None:
        """Answer the searches of a pane's tree in the order in which they were asked."""
        tree = self._recording.trees.get(request.pane)
        if tree is None:
            return None
        place = 0 if request.anew else self._replayed.get(request.pane, 0)
        if place >= len(tree.grows) or not tree.grows[place].is_asked_by(request):
            return None
        self._replayed[request.pane] = place + 1
        grow = tree.grows[place]
        for growth in grow.growths:
            self._emit(Grown(request.id, request.pane, growth, tree.checkpoint))
        return _ended(grow, request) or Stopped(request.id)

    def _steer(self, request: Steer) -> Steered | None:
        tree = self._recording.trees.get(request.pane)
        if tree is None or tree.steered.get(request.node) != request.action:
            return None
        return Steered(request.id, request.pane, request.node)

    def _sweep(self, request: Sweep) -> SweepDone | Stopped | None:
        sweep = self._recording.sweep
        if sweep is None or sweep.info is None or sweep.spec != request.spec:
            return None
        for number, row in enumerate(sweep.rows, 1):
            fraction = number / len(sweep.rows)
            self._emit(Swept(request.id, sweep.info, row, "recorded", fraction))
        return SweepDone(request.id) if sweep.ended else Stopped(request.id)

    def _learn(self, request: Learn) -> Learnt | None:
        """Answer what was asked, with more checkpoints than that if they were recorded."""
        learned = self._recording.learned
        if learned is None or (request.over_checkpoints and not learned.asked.over_checkpoints):
            return None
        asked = replace(learned.asked, id=request.id, over_checkpoints=request.over_checkpoints)
        return Learnt(request.id, learned.found, learned.checkpoint) if asked == request else None


def _ended(grow: Grow, request: Search | Resume) -> Searched | None:
    """Return how a search ended, as the answer to a request; None where it was stopped."""
    end = grow.ended
    return replace(end, id=request.id, pane=request.pane) if end is not None else None


def as_recorded(recording: Recording, info: PairInfo) -> PairInfo:
    """Return the facts of a pair that only a recording speaks for: nothing is loaded of it."""
    when = recording.computed.isoformat(timespec="seconds") if recording.computed else "?"
    return replace(info, memory_bytes=0, cache=NO_WAY, seconds=0.0, recorded=when)
