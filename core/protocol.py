"""What can be asked of the engine and what it answers: frozen records with an id.

Imports no model library, so that the window can name them before torch is loaded.
"""

from dataclasses import dataclass
from typing import Literal

from core.scoring import Inspection, Scoring
from core.text import Prompt

DEFAULT_BETA = 0.1
"""The beta of most DPO runs, TRL's default among them."""

Side = Literal["A", "B"]


@dataclass(frozen=True, slots=True)
class PairSpec:
    """Which two checkpoints to load, and how. ``demo`` stands in place of the paths."""

    demo: bool = False
    policy: str = ""
    reference: str = ""
    base: str = ""
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
    """

    id: int
    side: Side
    prompt: Prompt
    text: str | None = None
    ids: tuple[int, ...] | None = None
    replace: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Inspect:
    """The alternatives at the state before token ``index`` of a side's last scored response.

    ``index`` may be that of the closing token. ``query`` searches the whole vocabulary.
    """

    id: int
    side: Side
    index: int
    query: str = ""


Request = Load | Unload | Score | Inspect


@dataclass(frozen=True, slots=True)
class Progress:
    """Something is under way; ``fraction`` in 0..1, None while it cannot be known."""

    id: int
    what: str
    fraction: float | None


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
class Failed:
    """The request could not be met; ``message`` is one sentence for the user."""

    id: int
    kind: str
    """The name of the request's class: "Load", "Score", ..."""
    message: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The request was cancelled or overtaken by a newer one; nobody needs to be told."""

    id: int
    kind: str


Event = Progress | Loaded | Unloaded | Scored | Inspected | Failed | Stopped
