"""What the engine has answered of one pair, by what each answer is of.

A session file keeps it (core.session_file), and core.engine.recorded answers from it where there
are no models. Log-probs, ranks and divergences are recorded, never rewards: beta stays free. All
that is kept are the frozen records of the answers themselves, so to note one copies nothing.

A response is known by its prompt, text, tokens and context, and has a scoring for each checkpoint
that it was seen under; a state by its checkpoint, its prompt and the tokens before it. Node numbers
are those of the token tree that the pair had when an answer came: they tell nodes apart within one
scoring or one pane's tree. A tree that is kept from before the pair was loaded again has numbers of
another token tree.

What is kept has a budget, the oldest goes first, and what the sides hold stays. Used on one thread;
``snapshot`` gives another thread what it can read. Knows no files, windows or models.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from core.as_read import AsRead
from core.engine.protocol import (
    Event,
    Grown,
    Inspect,
    Inspected,
    InspectStates,
    Learn,
    Learnt,
    Loaded,
    NoiseMeasured,
    PairInfo,
    Replayed,
    Request,
    Score,
    ScoreAgain,
    Scored,
    ScoreVariants,
    Scrubbed,
    Search,
    Searched,
    Side,
    StateRef,
    StatesInspected,
    Steer,
    SteerAction,
    Steered,
    Sweep,
    SweepDone,
    Swept,
    TextsRead,
    VariantsScored,
)
from core.learned.record import Learned
from core.noise import NoiseFloor
from core.scoring import KEPT, Alternative, Inspection, Scoring
from core.search.grown import Growth
from core.search.spec import SearchSpec
from core.sweeps.record import SweepInfo, SweepRow, SweepSpec
from core.text import Prompt, Tokens

SCORED_TOKENS = 200_000
"""Tokens of scorings, each counted once per checkpoint, that are kept of responses that no side
holds: some 80 MB."""
STATES = 2_000
"""States whose likeliest actions are kept: some 20 MB."""

# --- what is kept -------------------------------------------------------------------------------


class ResponseKey(NamedTuple):
    """What a response is known by."""

    prompt: Prompt
    text: str
    ids: tuple[int, ...]
    context: tuple[int, ...]

    @classmethod
    def of(cls, prompt: Prompt, tokens: Tokens) -> "ResponseKey":
        """Return the key of a response to a prompt."""
        return cls(prompt, tokens.text, tokens.ids, tokens.context)


class StateKey(NamedTuple):
    """What a state is known by; ``context`` as in StateRef."""

    checkpoint: str
    prompt: Prompt
    context: tuple[int, ...]
    ids: tuple[int, ...]

    @classmethod
    def of(cls, checkpoint: str, state: StateRef) -> "StateKey":
        """Return the key of a state under a checkpoint."""
        return cls(checkpoint, state.prompt, state.context, state.ids)


@dataclass
class ScoredResponse:
    """A response with its scorings by checkpoint ("" for a pair that is not of a run)."""

    prompt: Prompt
    tokens: Tokens
    prompt_text: str = ""
    """The prompt as the models read it; "" where that was not told."""
    scorings: dict[str, Scoring] = field(default_factory=dict)
    read: AsRead | None = None
    """How the models read prompt and response, where it was asked."""

    @property
    def key(self) -> ResponseKey:
        """Return what it is known by."""
        return ResponseKey.of(self.prompt, self.tokens)

    @property
    def size(self) -> int:
        """Return its tokens, each counted once per checkpoint."""
        return sum(map(len, self.scorings.values()))


@dataclass
class SeenState:
    """The likeliest actions at a state, and what queries found there."""

    node: int
    by_policy: tuple[Alternative, ...]
    by_reference: tuple[Alternative, ...]
    most: int
    """So many of each model were asked for; there are fewer where the vocabulary has no more."""
    found: dict[str, tuple[Alternative, ...]] = field(default_factory=dict)

    def inspection(self, query: str, most: int) -> Inspection | None:
        """Return the answer to a question; None where it was not recorded."""
        if most > self.most or (query and query not in self.found):
            return None
        found = self.found.get(query, ())
        return Inspection(self.node, self.by_policy[:most], self.by_reference[:most], found)


@dataclass
class Grow:
    """One search of a tree, as it was asked, and what it did."""

    prompt: Prompt
    prefix: tuple[int, ...]
    spec: SearchSpec
    anew: bool
    context: tuple[int, ...]
    growths: list[Growth] = field(default_factory=list)
    ended: Searched | None = None
    """None where it was stopped."""

    @classmethod
    def of(cls, request: Search) -> "Grow":
        """Return what a request asks for."""
        return cls(request.prompt, request.prefix, request.spec, request.anew, request.context)

    def is_asked_by(self, request: Search) -> bool:
        """Return whether a request asks for just this search."""
        asked = request.prompt, request.prefix, request.spec, request.anew, request.context
        return asked == (self.prompt, self.prefix, self.spec, self.anew, self.context)


@dataclass
class Tree:
    """The tree of a pane: the searches that grew it, in their order, the first one ``anew``."""

    checkpoint: str
    grows: list[Grow] = field(default_factory=list)
    steered: dict[int, SteerAction] = field(default_factory=dict)
    """Nodes that are pinned or pruned by hand, in the order in which they were."""


@dataclass
class RecordedSweep:
    """The last sweep and what it has found."""

    spec: SweepSpec
    info: SweepInfo | None = None
    rows: list[SweepRow] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True)
class RecordedLearning:
    """What the pair has learned, as it was found last; ``asked`` is what was asked."""

    asked: Learn
    found: Learned
    checkpoint: str = ""


class Recording:
    """What the engine has answered of one pair."""

    def __init__(self) -> None:
        self.info: PairInfo | None = None
        """Of the pair, as it was loaded; None before that."""
        self.noise: NoiseFloor | None = None
        """Its noise floor; None where that is not known (yet)."""
        self.computed: datetime | None = None
        """When the last of the numbers came, in UTC."""
        self.responses: dict[ResponseKey, ScoredResponse] = {}
        """The oldest first."""
        self.states: dict[StateKey, SeenState] = {}
        """The oldest first."""
        self.trees: dict[str, Tree] = {}
        """By pane."""
        self.sweep: RecordedSweep | None = None
        self.learned: RecordedLearning | None = None
        self._held: dict[Side, ResponseKey] = {}
        """What the sides hold."""
        self._size = 0
        """Tokens of all scorings."""
        self._growing: dict[str, int] = {}
        """The search of each pane whose steps were noted last, by its request's id."""
        self._asked: dict[str, Search] = {}
        """The last search of each pane that took a step: what is gone on with."""
        self._sweeping = 0

    def __bool__(self) -> bool:
        """Return whether there are any numbers."""
        return bool(self.responses or self.states or self.trees or self.sweep or self.learned)

    def snapshot(self) -> "Recording":
        """Return the same as it is now, for another thread: what is noted later is not in it."""
        found = Recording()
        found.info, found.noise, found.computed = self.info, self.noise, self.computed
        found.responses = {
            key: replace(it, scorings=dict(it.scorings)) for key, it in self.responses.items()
        }
        found.states = {key: replace(it, found=dict(it.found)) for key, it in self.states.items()}
        for pane, tree in self.trees.items():
            grows = [replace(grow, growths=list(grow.growths)) for grow in tree.grows]
            found.trees[pane] = Tree(tree.checkpoint, grows, dict(tree.steered))
        if self.sweep is not None:
            found.sweep = replace(self.sweep, rows=list(self.sweep.rows))
        found.learned = self.learned
        found._held, found._size = dict(self._held), self._size
        return found

    def add(self, response: ScoredResponse) -> None:
        """Put a response in, now the newest."""
        key = response.key
        if (old := self.responses.pop(key, None)) is not None:
            self._size -= old.size
        self.responses[key] = response
        self._size += response.size

    # --- noting ---------------------------------------------------------------------------------

    def note(self, request: Request[Any] | None, event: Event) -> None:
        """Keep what an answer, or a step of a job, says; whatever else there is passes by.

        ``request``: what it answers; None for a notice. The first is a ``Loaded``: whoever holds
        this begins another recording for another pair, since it has another token tree.
        """
        match event:
            case Loaded():
                self.info = event.info
            case NoiseMeasured():
                self.noise = event.floor
            case Scored() if isinstance(request, Score):
                scoring = event.scoring
                response = self._response(request.prompt, scoring.tokens, event.prompt_text)
                self._held[event.side] = response.key
                self._put(response, event.checkpoint, scoring)
            case VariantsScored() if isinstance(request, ScoreVariants | ScoreAgain):
                self._note_variants(request, event)
            case Scrubbed() | Replayed():
                self._note_checkpoint(event)
            case TextsRead():
                self._note_read(event)
            case Inspected() if isinstance(request, Inspect):
                key = StateKey.of(event.checkpoint, request.state)
                seen = event.wider or event.inspection
                self._note_state(key, seen, request.most, request.query)
            case StatesInspected() if isinstance(request, InspectStates):
                some = request.states[event.first : event.first + len(event.inspections)]
                for state, inspection in zip(some, event.inspections, strict=True):
                    if inspection is not None:
                        self._note_state(StateKey.of(event.checkpoint, state), inspection, KEPT)
            case Grown():
                self._note_growth(request, event)
            case Searched() if event.pane in self.trees:
                search = request if isinstance(request, Search) else self._asked.get(event.pane)
                if search is None or self._growing.get(event.pane) == search.id:
                    self.trees[event.pane].grows[-1].ended = event
            case Steered() if isinstance(request, Steer) and event.pane in self.trees:
                steered = self.trees[event.pane].steered
                steered.pop(event.node, None)
                if request.action != "release":
                    steered[event.node] = request.action
            case Swept() if isinstance(request, Sweep):
                self._note_sweep(request, event)
            case Learnt() if isinstance(request, Learn):
                self.learned = RecordedLearning(request, event.found, event.checkpoint)
                self.computed = datetime.now(UTC)
            case SweepDone() if self.sweep is not None:
                self.sweep.ended = True

    def _response(self, prompt: Prompt, tokens: Tokens, prompt_text: str = "") -> ScoredResponse:
        """Return the record of a response, now the newest; made where there is none."""
        key = ResponseKey.of(prompt, tokens)
        found = self.responses.pop(key, None) or ScoredResponse(prompt, tokens)
        self.responses[key] = found
        found.prompt_text = prompt_text or found.prompt_text
        return found

    def _put(self, response: ScoredResponse, checkpoint: str, scoring: Scoring) -> None:
        before = response.size
        response.scorings[checkpoint] = scoring
        self.computed = datetime.now(UTC)
        self._size += response.size - before
        while self._size > SCORED_TOKENS:
            held = {*self._held.values(), response.key}
            oldest = next((key for key in self.responses if key not in held), None)
            if oldest is None:
                break
            self._size -= self.responses.pop(oldest).size

    def _note_variants(self, request: ScoreVariants | ScoreAgain, event: VariantsScored) -> None:
        variants = request.variants[event.first : event.first + len(event.scorings)]
        for variant, scoring in zip(variants, event.scorings, strict=True):
            if scoring is not None:
                response = self._response(variant.prompt, scoring.tokens)
                self._put(response, event.checkpoint, scoring)

    def _note_checkpoint(self, event: Scrubbed | Replayed) -> None:
        if event.anew:
            self._forget_checkpoint(event.checkpoint)
        for side, scoring in event.scorings.items():
            held = self._held.get(side)
            # A text that was overtaken before anybody was told of it has another key.
            if held is not None and held == ResponseKey.of(held.prompt, scoring.tokens):
                self._put(self._response(held.prompt, scoring.tokens), event.checkpoint, scoring)

    def _forget_checkpoint(self, checkpoint: str) -> None:
        """Drop the numbers of a checkpoint that was written anew; a tree shows what it was of."""
        for response in self.responses.values():
            response.scorings.pop(checkpoint, None)
        self._size = sum(it.size for it in self.responses.values())
        self.states = {key: it for key, it in self.states.items() if key.checkpoint != checkpoint}

    def _note_read(self, event: TextsRead) -> None:
        held, read = self._held.get(event.side), event.read
        if held is not None and read.ids[read.first : read.first + len(held.ids)] == held.ids:
            self.responses[held].read = read

    def _note_state(self, key: StateKey, seen: Inspection, most: int, query: str = "") -> None:
        most = max(most, len(seen.by_policy))
        state = self.states.pop(key, None)
        if state is None or state.most <= most:
            found = state.found if state is not None else {}
            state = SeenState(seen.state, seen.by_policy, seen.by_reference, most, found)
        if query:
            state.found[query] = seen.found
        self.states[key] = state
        self.computed = datetime.now(UTC)
        while len(self.states) > STATES:
            del self.states[next(iter(self.states))]

    def _note_growth(self, request: Request[Any] | None, event: Grown) -> None:
        if isinstance(request, Search):
            self._asked[event.pane] = request
        tree, search = self.trees.get(event.pane), self._asked.get(event.pane)
        if search is not None and self._growing.get(event.pane) != search.id:
            self._growing[event.pane] = search.id
            if tree is None or search.anew:
                tree = self.trees[event.pane] = Tree(event.checkpoint)
            tree.grows.append(Grow.of(search))
        if tree is not None:
            tree.grows[-1].growths.append(event.growth)
            self.computed = datetime.now(UTC)

    def _note_sweep(self, request: Sweep, event: Swept) -> None:
        if self.sweep is None or self._sweeping != request.id:
            self._sweeping, self.sweep = request.id, RecordedSweep(request.spec)
        self.sweep.info = event.info
        if event.row is not None:
            self.sweep.rows.append(event.row)

    # --- looking up -----------------------------------------------------------------------------

    def find(
        self, prompt: Prompt, text: str | None = None, ids: tuple[int, ...] | None = None
    ) -> Iterator[ScoredResponse]:
        """Yield the responses to a prompt with these ids, or with this text, the newest first."""
        for key in reversed(self.responses):
            same = key.ids == ids if ids is not None else key.text == text
            if same and key.prompt == prompt:
                yield self.responses[key]

    def unseen(self, checkpoint: str) -> tuple[StateRef, ...]:
        """Return the states before the tokens that the sides hold, scored under a checkpoint, at
        which nobody has looked: as InspectStates takes them, so that a file has all of them."""
        found = {}
        for response in (self.responses[key] for key in self._held.values()):
            if (scoring := response.scorings.get(checkpoint)) is None:
                continue
            for index in range(len(scoring)):
                state = StateRef.before(scoring, index, response.prompt)
                found[StateKey.of(checkpoint, state)] = state
        return tuple(state for key, state in found.items() if key not in self.states)

    def checkpoints(self) -> set[str]:
        """Return the checkpoints under which any response was scored."""
        return {path for it in self.responses.values() for path in it.scorings}
