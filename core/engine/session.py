"""What the handlers of requests share: the pair that is loaded, and what is shown of it.

Everything but the callables belongs to the pair and goes with it. A handler's own state is a
record of its own (``own``), which goes with the pair too. A run's pair shows one checkpoint, and
what is asked is of it; searches and sweeps keep to the one that they were begun under.

Knows the pair and the protocol; knows nothing of threads, queues or single requests.
"""

import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from core.engine.protocol import Event, FilesChanged, PairInfo, Progress, Request, Side
from core.errors import Cancelled, UserFacingError
from core.progress import nothing

if TYPE_CHECKING:
    from core.checkpoints.identity import Identity
    from core.models.pair import Pair
    from core.scoring import Scoring
    from core.text import Prompt, Tokens
    from core.tree import Nodes

Own = TypeVar("Own")
Shown = tuple[str, "Identity | str"]
"""A checkpoint's path and which one it was, as Pair has them; "" for a pair that is of no run."""


class Response(NamedTuple):
    """What a side holds: the response that was scored last."""

    prompt: "Prompt"
    tokens: "Tokens"
    scoring: "Scoring"


@runtime_checkable
class KnowsNodes(Protocol):
    """A handler's state that holds nodes of the tree, which must not be evicted."""

    def nodes(self) -> "Iterator[Nodes]": ...


class Session:
    """The pair that is loaded, if any, and what is known of it.

    ``emit`` is told of progress and of notices; ``cancelled`` says whether what is being done is
    not wanted any more; ``collect`` has all garbage collected; ``got_on`` is told when a piece is
    done that stays, should the rest be cancelled.
    """

    load_id: int
    """The id of the request that loaded the pair."""
    info: PairInfo | None
    shown: Shown
    """The checkpoint that scores and inspections are of."""
    versions: "dict[str, Identity | str]"
    """By path, which checkpoint was shown or replayed last."""
    responses: dict[Side, Response]

    def __init__(
        self,
        emit: Callable[[Event], None],
        cancelled: Callable[[], bool],
        collect: Callable[[], object] = gc.collect,
        got_on: Callable[[], object] = nothing,
    ) -> None:
        self.emit, self.cancelled = emit, cancelled
        self.collect, self.got_on = collect, got_on
        self.forget_pair()

    def forget_pair(self) -> None:
        """Let go of the pair and of all that was found with it."""
        self._pair: Pair | None = None
        self._own: dict[Any, Any] = {}
        self.load_id, self.info, self.shown = 0, None, ("", "")
        self.versions, self.responses = {}, {}

    def take_pair(self, load_id: int, pair: "Pair", info: PairInfo) -> None:
        """Begin with a pair that was loaded by the request of this id."""
        self._pair, self.load_id, self.info = pair, load_id, info
        pair.wanted = self.nodes
        self.shown = pair.shown, pair.version
        self.versions = dict([self.shown])

    @property
    def has_pair(self) -> bool:
        """Return whether a pair is loaded."""
        return self._pair is not None

    @property
    def pair(self) -> "Pair":
        """Return the pair, under whichever checkpoint it was used last.

        Raises:
            UserFacingError: none is loaded.
        """
        if self._pair is None:
            raise UserFacingError("No models are loaded: open a policy and its reference first.")
        return self._pair

    def own(self, kind: Callable[[], Own]) -> Own:
        """Return a handler's own record of what it knows of this pair; made when first wanted."""
        if kind not in self._own:
            self._own[kind] = kind()
        found: Own = self._own[kind]
        return found

    def pair_for(self, request: Request[Event], shown: Shown | None = None) -> "Pair":
        """Return the pair under a checkpoint: the one that is shown, if none is named.

        Says once if files of the pair have been written anew.
        """
        pair = self.pair
        pair.use(*(self.shown if shown is None else shown))
        if pair.swap is not None:
            pair.swap.report = self.reporter(request)
        if (change := pair.changed()) is not None:
            checkpoint = pair.shown if change.policy_only else ""
            self.emit(FilesChanged(self.load_id, change.sentence, checkpoint))
        return pair

    def reporter(self, request: Request[Event]) -> Callable[[str, float | None], None]:
        """Return what tells of progress on behalf of a request, and stops it when it is unwanted.

        Raises (what is returned does):
            Cancelled: the request is not wanted any more.
        """

        def progress(what: str, fraction: float | None) -> None:
            if self.cancelled():
                raise Cancelled
            self.emit(Progress(request.id, what, fraction))

        return progress

    def nodes(self) -> "Iterator[Nodes]":
        """Yield the nodes of which a view, or a job that goes on, knows the numbers."""
        for response in self.responses.values():
            yield response.scoring.nodes
        for state in self._own.values():
            if isinstance(state, KnowsNodes):
                yield from state.nodes()
