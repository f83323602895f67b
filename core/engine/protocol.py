"""What can be asked of the engine and what it answers: frozen records with an id.

A request says where it waits, how urgent it is and which event answers it. Nothing here assumes
that the engine shares the window's memory: records hold values and arrays, no live objects, and
``core.engine.wire`` turns each into bytes and back. Imports no model library, so that the window
can name the records before torch is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import PurePath
from typing import ClassVar, Generic, Literal, Never, TypeVar

from core import quantities
from core.as_read import AsRead
from core.finding import Finding
from core.learned.record import MOST_RESPONSES, Learned
from core.losses import UNNAMED, TrainingLoss
from core.noise import NoiseFloor
from core.plausibility import Plausibility
from core.provenance import UNKNOWN, Provenance
from core.runs.records import START, Checkpoint
from core.scoring import Inspection, Scoring, StateActions
from core.search.grown import Growth
from core.search.spec import SearchSpec
from core.sweeps.record import SweepInfo, SweepRow, SweepSpec
from core.text import Prompt

Side = Literal["A", "B"]
Download = Literal["", "ask", "yes"]
"""What to do about a model that is not on this machine: nothing, ask the user, or download it."""
SteerAction = Literal["prune", "pin", "release"]

# --- what all requests and events have ----------------------------------------------------------


class Urgency(IntEnum):
    """How soon a request is answered, the lowest first; jobs go on when nothing lower waits."""

    PAIR = 0
    """Stops and drops everything else."""
    EDIT = 1
    LOOK = 2
    PROBE = 3
    SEARCH = 4
    SWEEP = 5
    REPLAY = 6
    LEARN = 7
    DATA = 8
    UNASKED = 9
    """Of what the engine asks of itself: not begun before nothing was asked for a moment."""


Slot = tuple[Urgency, str]
"""Where a request waits. A newer request of the same slot replaces an older one."""


@dataclass(frozen=True, eq=False, slots=True)
class Event:
    """Something that the engine says; ``id`` is that of the request that it is about."""

    id: int


@dataclass(frozen=True, eq=False, slots=True)
class JobStep(Event):
    """A job has taken a step; more follow, then its answer, ``Stopped`` or ``Failed``."""


@dataclass(frozen=True, eq=False, slots=True)
class Notice(Event):
    """Told unasked, about the pair that is loaded; ``id`` is that of the pair's ``Load``."""


Answer = TypeVar("Answer", bound=Event, covariant=True)
StepTaken = TypeVar("StepTaken", bound=Event, covariant=True)


@dataclass(frozen=True, eq=False, slots=True)
class Request(Generic[Answer]):
    """Something asked, which one final event answers: ``Answer``, ``Failed`` or ``Stopped``."""

    urgency: ClassVar[Urgency]
    gives_way: ClassVar[bool] = False
    """Whether something more urgent stops it, a job in mid-step; that is then done again."""

    makes_way_for: ClassVar[tuple[Urgency, ...]] = ()
    """What stops it once it takes long, by its urgency; it is then done again, and goes on with
    what it had found."""

    id: int

    @property
    def topic(self) -> str:
        """Return what it is about, among requests of the same urgency."""
        return type(self).__name__

    @property
    def size(self) -> int:
        """Return how much there is to do, about: of what is as urgent, the least goes first."""
        return 0

    @property
    def slot(self) -> Slot:
        """Return the place that it waits in."""
        return self.urgency, self.topic


@dataclass(frozen=True, eq=False, slots=True)
class Job(Request[Answer], Generic[StepTaken, Answer]):
    """A request that takes a while: it goes on, a step at a time, when nothing more urgent waits.

    ``StepTaken`` tells of each step."""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Something is under way; ``fraction`` in 0..1, None while it cannot be known."""

    what: str
    fraction: float | None


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The request could not be met; ``message`` is one sentence for the user."""

    message: str
    lost: bool = False
    """The device does nothing more for this process: only a new one can go on."""
    downloadable: bool = False
    """It would go on with ``PairSpec.download`` set to "yes"."""
    needs_pair: bool = False
    """It was not recorded in the session file that answers: only the pair itself can say."""


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The request was cancelled or overtaken by a newer one; nobody needs to be told."""


# --- the pair -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PairSpec:
    """Which two checkpoints to load, and how. ``demo`` stands in place of the paths.

    In place of a path stands also the name of a model on huggingface.co, "org/name@revision". A
    run's folder as the policy is taken as ``run``.
    """

    demo: bool = False
    policy: str = ""
    reference: str = ""
    base: str = ""
    run: str = ""
    """A training run's folder: its last checkpoint is the policy, and all of them can be shown.
    ``reference`` and ``base`` are found by its files unless they are named too."""
    search_base: str = ""
    """A third model for emulated fine-tuning; only searches use it."""
    beta: float | None = None
    """Of the training, which outweighs what is known of it; None: what is known, if anything."""
    loss: str = ""
    """Of the training, as core.losses.named reads it; "": what is known, if anything."""
    device: str = "auto"
    dtype: str = "auto"
    allow_pickle: bool = False
    allow_remote_code: bool = False
    plain: bool = False
    """Read texts as they are, without the chat template that there may be."""
    trainer: str = ""
    """TRL's trainer by whose rule the tokens of a response are found ("dpo", "kto", "cpo", "orpo");
    of another, or of none, a response ends with its closing token."""
    download: Download = ""
    """What to do about a model that is named as on huggingface.co and not on this machine."""


@dataclass(frozen=True, slots=True)
class PairInfo:
    """What is loaded, in words and numbers for the status line."""

    policy: str
    reference: str
    """Its name; "" for a policy that was opened alone."""
    device: str
    dtype: str
    memory_bytes: int
    base_shared: bool
    vocab_size: int
    context_length: int
    has_chat_template: bool
    cache: str
    seconds: float
    beta: float | None
    """Of the training; None where it is not known."""
    search_base: str = ""
    """The third model's name, if there is one."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Of a run, by step, the start before them; empty for a pair that is not of a run."""
    provenance: Provenance = UNKNOWN
    """What is known of the policy's training."""
    objective: TrainingLoss = UNNAMED
    """The loss of that training."""
    plausibility: Plausibility | None = None
    """How the two read ordinary sentences; None where it cannot be said."""
    doubts: tuple[str, ...] = ()
    """What may be wrong with the pair and so with its numbers, a sentence each."""
    remarks: tuple[str, ...] = ()
    """What is good to know of it and is no fault."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """What the weights are known by (core.checkpoints.identity), by their role: "policy",
    "reference", "policy's base", …"""
    recorded: str = ""
    """When its numbers were computed, in UTC as ISO 8601 writes it, where a session file answers
    in place of models; "" for a pair that is loaded."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of the pair before its numbers are believed, the doubts first."""
        return (*self.doubts, *self.remarks)

    @property
    def alone(self) -> bool:
        """Whether there is no reference."""
        return not self.reference

    @property
    def weight(self) -> float:
        """What log-ratios are multiplied by to be rewards: beta, or 1 where it is not known."""
        return 1.0 if self.beta is None else self.beta

    @property
    def unit(self) -> str:
        """The unit of rewards, as ``weight`` makes them."""
        return quantities.reward_unit(self.beta)

    def at(self, checkpoint: str) -> "PairInfo":
        """Return the same with another checkpoint of the run, by its path, as the policy."""
        if checkpoint == START:
            return replace(self, policy=f"{self.reference}, the start of the run")
        if not self.checkpoints:
            return self
        last = PurePath(self.checkpoints[-1].path).name
        return replace(self, policy=self.policy.replace(last, PurePath(checkpoint).name))


@dataclass(frozen=True, slots=True)
class Loaded(Event):
    """A pair is loaded: the one that was asked for, or, if ``kept``, the one that was there.

    ``why``: a sentence on why it was kept, "" if loading was cancelled; ``downloadable``: as in
    Failed.
    """

    info: PairInfo
    kept: bool = False
    why: str = ""
    downloadable: bool = False


@dataclass(frozen=True, slots=True)
class Load(Request[Loaded]):
    """Load a pair in place of the one that is there, if any.

    That one is kept until then if there is memory for both, and for good if loading fails.
    ``recorded``: no models, but what a session file has recorded of that pair, answers from now on.
    """

    spec: PairSpec
    recorded: bool = False

    urgency = Urgency.PAIR


@dataclass(frozen=True, slots=True)
class Unloaded(Event):
    """The pair was let go."""


@dataclass(frozen=True, slots=True)
class Unload(Request[Unloaded]):
    """Let go of the loaded pair."""

    urgency = Urgency.PAIR


@dataclass(frozen=True, slots=True)
class Examined(Event):
    """What there is to say of a pair before its numbers are believed."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Examine(Request[Examined]):
    """Ask what the files of a pair say of it; nothing is loaded.

    ``loaded``: it is the pair that is loaded, so that how it runs is said too.
    """

    spec: PairSpec
    loaded: bool = False

    urgency = Urgency.LOOK


@dataclass(frozen=True, slots=True)
class NoiseMeasured(Notice):
    """The noise floor of the pair; None where it cannot be measured."""

    floor: NoiseFloor | None


@dataclass(frozen=True, slots=True)
class MeasureNoise(Job[Never, NoiseMeasured]):
    """Measure the noise floor of the pair that was loaded by ``Load`` of this id.

    The engine asks it of itself after each load; all else goes first. Where it fails, the floor is
    not known.
    """

    urgency = Urgency.UNASKED
    gives_way = True


@dataclass(frozen=True, slots=True)
class FilesChanged(Notice):
    """Files of the loaded pair have been written anew on disk; all numbers stay those of the
    weights as loaded. Told once.

    ``sentence``: for the user; ``checkpoint``: of a run, the one that is shown, if it alone was
    written, so that to scrub to it again is enough.
    """

    sentence: str
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class Memory(Notice):
    """What is kept of the pair's numbers and of its KV, in bytes, and how much may be.

    Told when it has changed.
    """

    tree: int
    tree_budget: int
    kv: int
    kv_budget: int


# --- a response -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Scored(Event):
    side: Side
    scoring: Scoring
    prompt_text: str
    """The prompt as the models read it, chat template applied."""
    checkpoint: str = ""
    """Of a run: the one that it was scored under."""


@dataclass(frozen=True, slots=True)
class Score(Request[Scored]):
    """Score a response. One of three ways to say which:

    ``text``: what the editor holds; untouched tokens of that side keep their ids.
    ``ids``: these tokens and no others (an earlier state, on undo), shown as ``text``.
    ``replace``: (index, id): put one token in place and keep all others.

    ``fresh`` says that a text is another one, not an edit: no token of the old one is kept, though
    they may begin alike.
    """

    side: Side
    prompt: Prompt
    text: str | None = None
    ids: tuple[int, ...] | None = None
    replace: tuple[int, int] | None = None
    fresh: bool = False

    urgency = Urgency.EDIT
    makes_way_for = Urgency.EDIT, Urgency.LOOK

    @property
    def topic(self) -> str:
        return self.side

    @property
    def size(self) -> int:
        return len(self.text or "")


@dataclass(frozen=True, slots=True)
class TextsRead(Event):
    side: Side
    read: AsRead


@dataclass(frozen=True, slots=True)
class ReadTexts(Request[TextsRead]):
    """Ask how the models read the prompt and the response that a side holds."""

    side: Side

    urgency = Urgency.LOOK


# --- variants of a response ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Variant:
    """A response to a prompt, as a text or, with ``ids``, as these tokens, shown as ``text``."""

    prompt: Prompt
    text: str
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class VariantsScored(JobStep):
    """Some more variants are scored; more follow, then ``VariantsDone``, ``Stopped`` or ``Failed``.

    ``first``: the place of the first one in the request. One that cannot be scored has None, and a
    sentence in ``problems``, where the others have "". ``checkpoint``: as in Scored.
    """

    first: int
    scorings: tuple[Scoring | None, ...]
    problems: tuple[str, ...]
    fraction: float
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class VariantsDone(Event):
    """All variants are scored."""


@dataclass(frozen=True, slots=True)
class ScoreVariants(Job[VariantsScored, VariantsDone]):
    """Score many responses, the same to other prompts or others to the same, in batches.

    What they share is run once. ``purpose`` says what they are asked for: a newer request of the
    same purpose replaces an older one. They are of the checkpoint that is shown when it begins.
    """

    variants: tuple[Variant, ...]
    purpose: str = ""

    urgency = Urgency.PROBE
    gives_way = True

    @property
    def topic(self) -> str:
        return f"ScoreVariants {self.purpose}"


@dataclass(frozen=True, slots=True)
class ScoreAgain(Job[VariantsScored, VariantsDone]):
    """Score responses as ScoreVariants does, under a checkpoint that need not be the one shown,
    which stays: to compare what was recorded. All else goes first.

    ``checkpoint``: one of ``PairInfo.checkpoints``, by its path; "" for a pair that is of no run.
    """

    variants: tuple[Variant, ...]
    checkpoint: str = ""

    urgency = Urgency.REPLAY
    gives_way = True


# --- a state ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateRef:
    """A state that is asked about: a node of the token tree, and the way to it.

    ``prompt`` and ``ids``, the tokens after it, lead to the same state: by them it is found again
    if the node was evicted. ``pane``: the search whose checkpoint is asked; "" for the one shown.
    ``context``: the ids of the prompt, where a response's first token is merged with its end.
    """

    node: int
    prompt: Prompt
    ids: tuple[int, ...]
    pane: str = ""
    context: tuple[int, ...] = ()

    @classmethod
    def before(cls, scoring: Scoring, index: int, prompt: Prompt) -> "StateRef":
        """Return the state before a token that is scored."""
        tokens = scoring.tokens
        ids = (*tokens.ids, *tokens.closing)[:index]
        return cls(scoring.state(index), prompt, ids, context=tokens.context)


@dataclass(frozen=True, slots=True)
class Inspected(Event):
    """The likeliest actions at a state, which may have a new number.

    ``checkpoint``: of a run, the one that was asked. ``wider``: the same with so many of each model
    as a session file keeps of a state, where that is more than was asked for.
    """

    inspection: Inspection
    checkpoint: str = ""
    wider: Inspection | None = None


@dataclass(frozen=True, slots=True)
class Inspect(Request[Inspected]):
    """Ask for the likeliest actions at a state; ``query`` searches the whole vocabulary.

    ``most``: how many of each model. What searches ask, what is asked of a response and what is
    asked for a ``purpose`` wait in places of their own.
    """

    state: StateRef
    query: str = ""
    most: int = 10
    purpose: str = ""

    urgency = Urgency.LOOK
    gives_way = True

    @property
    def topic(self) -> str:
        place = "Inspect in a search" if self.state.pane else "Inspect"
        return f"{place} for {self.purpose}" if self.purpose else place


@dataclass(frozen=True, eq=False, slots=True)
class StatesInspected(JobStep):
    """Some more states were looked at; more follow, then ``StatesDone``, ``Stopped`` or ``Failed``.

    ``first``: the place of the first one in the request. A state before which there is no token has
    None. ``checkpoint`` as in Inspected.
    """

    first: int
    inspections: tuple[Inspection | None, ...]
    fraction: float
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class StatesDone(Event):
    """All states were looked at."""


@dataclass(frozen=True, slots=True)
class InspectStates(Job[StatesInspected, StatesDone]):
    """Look at many states, so that a session file has the likeliest actions at each.

    As many of each model are found as a file keeps. They are of the checkpoint that is shown when
    it begins. All else goes first.
    """

    states: tuple[StateRef, ...]

    urgency = Urgency.REPLAY
    gives_way = True


@dataclass(frozen=True, eq=False, slots=True)
class Surveyed(Event):
    """All actions at a state, which may have a new number; ``checkpoint`` as in Inspected."""

    actions: StateActions
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class Survey(Request[Surveyed]):
    """Ask for all actions at a state."""

    state: StateRef

    urgency = Urgency.LOOK
    gives_way = True


@dataclass(frozen=True, slots=True)
class LabelsListed(Event):
    """The labels of the pair's vocabulary as in Scoring, by token id, [V]."""

    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListLabels(Request[LabelsListed]):
    """Ask for the labels of the pair's vocabulary, which are the same at all states."""

    urgency = Urgency.LOOK


# --- searches ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Grown(JobStep):
    """A search has taken a step; more follow, then ``Searched``, ``Stopped`` or ``Failed``."""

    pane: str
    growth: Growth
    checkpoint: str = ""
    """Of a run: the one that the search is under."""


@dataclass(frozen=True, slots=True)
class Searched(Event):
    """A search has ended by itself."""

    pane: str
    steps: int
    computed: int
    """Tokens that went through the models."""
    seconds: float
    cache: str
    """The way of running attention, in words."""


@dataclass(frozen=True, slots=True)
class Search(Job[Grown, Searched]):
    """Grow a tree from a prompt and the first tokens of a response to it.

    ``pane`` names the tree in the window; a new search in a pane replaces the one that runs there.
    ``anew``: its tree is a new one; else the pane's tree grows on, under the checkpoint that it
    was begun under. ``context``: as in ``StateRef``.
    """

    pane: str
    prompt: Prompt
    prefix: tuple[int, ...]
    spec: SearchSpec
    anew: bool = True
    context: tuple[int, ...] = ()

    urgency = Urgency.SEARCH

    @property
    def topic(self) -> str:
        return self.pane


@dataclass(frozen=True, slots=True)
class Resume(Job[Grown, Searched]):
    """Resume the search of a pane that was stopped: the last one that has taken a step."""

    pane: str

    urgency = Urgency.SEARCH

    @property
    def topic(self) -> str:
        return self.pane


@dataclass(frozen=True, slots=True)
class Steered(Event):
    """A node was taken over; the steps to come obey."""

    pane: str
    node: int


@dataclass(frozen=True, slots=True)
class Steer(Request[Steered]):
    """Take over at a node of the pane's search: ``prune`` it with all below it, ``pin`` it so that
    it is never pruned, or ``release`` it to the search again."""

    pane: str
    node: int
    action: SteerAction

    urgency = Urgency.EDIT

    @property
    def topic(self) -> str:
        return f"{self.pane} {self.node}"


# --- sweeps -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Swept(JobStep):
    """A sweep has taken a step; ``row`` is what that finished, if anything. More follow, then
    ``SweepDone``, ``Stopped`` or ``Failed``."""

    info: SweepInfo
    row: SweepRow | None
    what: str
    """What is being done, in words."""
    fraction: float


@dataclass(frozen=True, slots=True)
class SweepDone(Event):
    """A sweep has come to its end."""


@dataclass(frozen=True, slots=True)
class Sweep(Job[Swept, SweepDone]):
    """Sweep beam widths over prompts. Answers that an earlier sweep of the same pair has found,
    stopped or not, are not searched for again."""

    spec: SweepSpec

    urgency = Urgency.SWEEP


# --- the checkpoints of a run -----------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Scrubbed(Event):
    """Another checkpoint is shown; ``scorings`` are of the sides that hold a scored response.

    ``anew``: it was written anew since it was last scored, so what was said of it is of another."""

    checkpoint: str
    scorings: Mapping[Side, Scoring]
    seconds: float
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Scrub(Request[Scrubbed]):
    """Show another checkpoint of the run: what both sides hold is scored under it, and so is all
    that is asked later. A newer one replaces one that has not been answered."""

    checkpoint: str
    """One of ``PairInfo.checkpoints``, by its path."""

    urgency = Urgency.EDIT
    makes_way_for = (Urgency.LOOK,)


@dataclass(frozen=True, eq=False, slots=True)
class Replayed(JobStep):
    """A replay has taken a step; more follow, then ``ReplayDone``, ``Stopped`` or ``Failed``.
    ``anew``: as for Scrubbed."""

    checkpoint: str
    scorings: Mapping[Side, Scoring]
    fraction: float
    anew: bool = False


@dataclass(frozen=True, slots=True)
class ReplayDone(Event):
    """A replay has come to its end."""


@dataclass(frozen=True, slots=True)
class Replay(Job[Replayed, ReplayDone]):
    """Score what both sides hold under each of these checkpoints, in this order, whenever nothing
    more urgent waits; the checkpoint that is shown stays."""

    checkpoints: tuple[str, ...]

    urgency = Urgency.REPLAY
    gives_way = True


# --- what was learned -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class LearnStep(JobStep):
    """A step of it is taken; more follow, then ``Learnt``, ``Stopped`` or ``Failed``."""

    what: str
    """What is done next, in words."""
    fraction: float


@dataclass(frozen=True, eq=False, slots=True)
class Learnt(Event):
    """What the pair has learned, as far as the responses show it; ``checkpoint`` as in Scored."""

    found: Learned
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class Learn(Job[LearnStep, Learnt]):
    """Look for what the pair has learned, under the checkpoint that is shown when it begins.

    Over ``responses``; where there are none over those of the file ``data``, at most ``most``, and
    where none is named over the neutral corpus. ``amplify``: responses are sampled at λ above 1
    too. ``over_checkpoints``: the findings are weighed at each checkpoint of the run. ``sampled``:
    as many responses are sampled from the reference, to the prompts of these, and looked through in
    their place; 0 for none. What was found last is not looked for again. All else goes first.
    """

    data: str = ""
    responses: tuple[Variant, ...] = ()
    most: int = MOST_RESPONSES
    amplify: bool = True
    over_checkpoints: bool = False
    sampled: int = 0

    urgency = Urgency.LEARN
    gives_way = True


# --- data sets ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class DataStep(JobStep):
    """Some more rows are scored; more follow, then ``DataScored``, ``Stopped`` or ``Failed``."""

    rows: int
    done: int
    skipped: int
    rate: float | None
    """Rows a second since it was begun or taken up again; None while it is not known."""

    @property
    def fraction(self) -> float:
        """Return the share of the rows that is done."""
        return self.done / self.rows if self.rows else 1.0

    @property
    def left(self) -> float | None:
        """Return the seconds that the rest will take, None while that is not known."""
        return (self.rows - self.done) / self.rate if self.rate else None


@dataclass(frozen=True, eq=False, slots=True)
class DataScored(Event):
    """All rows are scored; the file is written. ``findings``: what there is to say of it, a
    sentence each."""

    out: str
    rows: int
    skipped: int
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreData(Job[DataStep, DataScored]):
    """Score all rows of a file into another, under the checkpoint that is shown when it begins.

    Stopped, it goes on where it was when it is asked for again. All else goes first.
    """

    data: str
    out: str
    columns: tuple[tuple[str, str], ...] = ()
    """Columns that the user has named, by what they are: ("prompt", "question")."""
    limit: int | None = None
    """Only so many rows."""
    anew: bool = False
    """Replace what another run has left."""

    urgency = Urgency.DATA
    gives_way = True


# --- all of them --------------------------------------------------------------------------------

Kind = TypeVar("Kind")


def _all(base: type[Kind]) -> tuple[type[Kind], ...]:
    """Return the records of this module that are of a kind; not those that only name one."""
    names = (Request, Job, Event, JobStep, Notice)
    found = (it for it in globals().values() if isinstance(it, type) and issubclass(it, base))
    return tuple(it for it in found if it not in names)


REQUESTS = _all(Request)
EVENTS = _all(Event)
