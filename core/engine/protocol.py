"""What can be asked of the engine and what it answers: frozen records with an id.

Imports no model library, so that the window can name them before torch is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Literal

from core.noise import NoiseFloor
from core.runs.records import START, Checkpoint
from core.scoring import Inspection, Scoring, StateActions
from core.search.grown import Growth
from core.search.spec import SearchSpec
from core.sweeps.record import SweepInfo, SweepRow, SweepSpec
from core.text import Prompt

DEFAULT_BETA = 0.1
"""The beta of most DPO runs, TRL's default among them."""

Side = Literal["A", "B"]
SteerAction = Literal["prune", "pin", "release"]


@dataclass(frozen=True, slots=True)
class PairSpec:
    """Which two checkpoints to load, and how. ``demo`` stands in place of the paths."""

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
    """Of the training; None: the demo's own, or DEFAULT_BETA."""
    device: str = "auto"
    dtype: str = "auto"
    allow_pickle: bool = False
    allow_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class PairInfo:
    """What is loaded, in words and numbers for the status line."""

    policy: str
    reference: str
    device: str
    dtype: str
    memory_bytes: int
    base_shared: bool
    vocab_size: int
    context_length: int
    has_chat_template: bool
    cache: str
    seconds: float
    beta: float
    search_base: str = ""
    """The third model's name, if there is one."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Of a run, by step, the start before them; empty for a pair that is not of a run."""

    def at(self, checkpoint: str) -> "PairInfo":
        """The same with another checkpoint of the run, by its path, as the policy."""
        if checkpoint == START:
            return replace(self, policy=f"{self.reference}, the start of the run")
        if not self.checkpoints:
            return self
        last = PurePath(self.checkpoints[-1].path).name
        return replace(self, policy=self.policy.replace(last, PurePath(checkpoint).name))


@dataclass(frozen=True, slots=True)
class Load:
    """Load a pair; the pair before it, if any, is let go first."""

    id: int
    spec: PairSpec


@dataclass(frozen=True, slots=True)
class Unload:
    """Let go of the loaded pair."""

    id: int


@dataclass(frozen=True, slots=True)
class Score:
    """Score a response. Exactly one of three ways to say which:

    ``text``: what the editor holds; untouched tokens of that side keep their ids.
    ``ids``: these tokens and no others (an earlier state, on undo).
    ``replace``: (index, id): put one token in place and keep all others.

    ``fresh`` says that a text is another one, not an edit: no token of the old one is kept, though
    they may begin alike.
    """

    id: int
    side: Side
    prompt: Prompt
    text: str | None = None
    ids: tuple[int, ...] | None = None
    replace: tuple[int, int] | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Inspect:
    """The alternatives at the state before token ``index`` of a side's last scored response.

    ``index`` may be that of the closing token. ``query`` searches the whole vocabulary.
    """

    id: int
    side: Side
    index: int
    query: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """Grow a tree from a prompt and the first tokens of a response to it.

    ``pane`` names the tree in the window; a new search in a pane replaces the one that runs there.
    ``anew``: its tree is a new one; else the pane's tree grows on, under the checkpoint that it
    was begun under.
    """

    id: int
    pane: str
    prompt: Prompt
    prefix: tuple[int, ...]
    spec: SearchSpec
    anew: bool = True


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with the search of a pane that was stopped."""

    id: int
    pane: str


@dataclass(frozen=True, slots=True)
class Steer:
    """Take over at a node of the pane's search: ``prune`` it with all below it, ``pin`` it so that
    it is never pruned, or ``release`` it to the search again."""

    id: int
    pane: str
    node: int
    action: SteerAction


@dataclass(frozen=True, slots=True)
class Survey:
    """All actions at the state before token ``index`` of a side's last scored response."""

    id: int
    side: Side
    index: int


@dataclass(frozen=True, slots=True)
class InspectNode:
    """The actions at the state that a node of the token tree is.

    ``query`` searches the whole vocabulary. ``pane``: the search whose checkpoint is asked; the one
    that is shown, if there is none. ``prompt`` and ``ids``, the tokens after it, lead to the same
    state: by them it is found if the node was evicted, and answered under its new number.
    """

    id: int
    node: int
    query: str = ""
    pane: str = ""
    prompt: Prompt | None = None
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scrub:
    """Show another checkpoint of the run: what both sides hold is scored under it, and so is all
    that is asked later. A newer one replaces one that has not been answered."""

    id: int
    checkpoint: str
    """One of ``PairInfo.checkpoints``, by its path."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Score what both sides hold under each of these checkpoints, in this order, whenever nothing
    more urgent waits; the checkpoint that is shown stays."""

    id: int
    checkpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Sweep beam widths over prompts. Answers that an earlier sweep of the same pair has found,
    stopped or not, are not searched for again."""

    id: int
    spec: SweepSpec


@dataclass(frozen=True, slots=True)
class MeasureNoise:
    """Measure the noise floor of the pair that was loaded by ``Load`` of this id.

    The engine asks it of itself after each load; all else goes first.
    """

    id: int


Request = (
    Load
    | Unload
    | Score
    | Inspect
    | InspectNode
    | Survey
    | Search
    | Resume
    | Steer
    | Sweep
    | Scrub
    | Replay
    | MeasureNoise
)


@dataclass(frozen=True, slots=True)
class Progress:
    """Something is under way; ``fraction`` in 0..1, None while it cannot be known."""

    id: int
    what: str
    fraction: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of the pair's numbers and of its KV, in bytes, and how much may be.

    Said when it has changed; belongs to no request.
    """

    tree: int
    tree_budget: int
    kv: int
    kv_budget: int
    id: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    id: int
    info: PairInfo


@dataclass(frozen=True, slots=True)
class Unloaded:
    id: int


@dataclass(frozen=True, eq=False, slots=True)
class Scored:
    id: int
    side: Side
    scoring: Scoring
    prompt_text: str
    """The prompt as the models read it, chat template applied."""


@dataclass(frozen=True, slots=True)
class Inspected:
    id: int
    side: Side
    index: int
    inspection: Inspection


@dataclass(frozen=True, slots=True)
class NodeInspected:
    """Which node is said by ``inspection.state``."""

    id: int
    inspection: Inspection


@dataclass(frozen=True, eq=False, slots=True)
class Grown:
    """A search has taken a step; more follow, then ``Searched``, ``Stopped`` or ``Failed``."""

    id: int
    pane: str
    growth: Growth
    checkpoint: str = ""
    """Of a run: the one that the search goes on under."""


@dataclass(frozen=True, slots=True)
class Searched:
    """A search has ended by itself."""

    id: int
    pane: str
    steps: int
    computed: int
    """Tokens that went through the models."""
    seconds: float
    cache: str
    """The way of running attention, in words."""


@dataclass(frozen=True, slots=True)
class Steered:
    """A node was taken over; the steps to come obey."""

    id: int
    pane: str
    node: int


@dataclass(frozen=True, eq=False, slots=True)
class Surveyed:
    id: int
    side: Side
    index: int
    actions: StateActions


@dataclass(frozen=True, eq=False, slots=True)
class Scrubbed:
    """Another checkpoint is shown; ``scorings`` are of the sides that hold a scored response.

    ``anew``: it was written anew since it was last scored, so what was said of it is of another."""

    id: int
    checkpoint: str
    scorings: Mapping[Side, Scoring]
    seconds: float
    anew: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Replayed:
    """A replay has taken a step; more follow, then ``ReplayDone``, ``Stopped`` or ``Failed``.
    ``anew``: as for Scrubbed."""

    id: int
    checkpoint: str
    scorings: Mapping[Side, Scoring]
    fraction: float
    anew: bool = False


@dataclass(frozen=True, slots=True)
class ReplayDone:
    """A replay has come to its end."""

    id: int


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep has taken a step; ``row`` is what that finished, if anything. More follow, then
    ``SweepDone``, ``Stopped`` or ``Failed``."""

    id: int
    info: SweepInfo
    row: SweepRow | None
    what: str
    """What is being done, in words."""
    fraction: float


@dataclass(frozen=True, slots=True)
class SweepDone:
    """A sweep has come to its end."""

    id: int


@dataclass(frozen=True, slots=True)
class NoiseMeasured:
    """The noise floor of the pair that was loaded by ``Load`` of this id; None where it cannot be
    measured."""

    id: int
    floor: NoiseFloor | None


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """Files of the loaded pair have been written anew on disk; all numbers stay those of the
    weights as loaded. Told unasked, once; ``id`` is that of the pair's Load.

    ``sentence``: for the user; ``checkpoint``: of a run, the one that is shown, if it alone was
    written, so that to scrub to it again is enough.
    """

    id: int
    sentence: str
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The request could not be met; ``message`` is one sentence for the user."""

    id: int
    kind: str
    """The name of the request's class: "Load", "Score", ..."""
    message: str
    lost: bool = False
    """The device does nothing more for this process: only a new one can go on."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The request was cancelled or overtaken by a newer one; nobody needs to be told."""

    id: int
    kind: str


Event = (
    Progress
    | Memory
    | Loaded
    | Unloaded
    | Scored
    | Inspected
    | Surveyed
    | NodeInspected
    | Grown
    | Searched
    | Steered
    | Swept
    | SweepDone
    | Scrubbed
    | Replayed
    | ReplayDone
    | NoiseMeasured
    | FilesChanged
    | Failed
    | Stopped
)
