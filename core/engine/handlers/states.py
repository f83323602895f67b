"""Asking about states: the likeliest actions at one or many, those that match, or all of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.engine.handlers import answers, steps
from core.engine.handlers.searches import Searches
from core.engine.protocol import (
    Event,
    Inspect,
    Inspected,
    InspectStates,
    LabelsListed,
    ListLabels,
    Request,
    StateRef,
    StatesDone,
    StatesInspected,
    Survey,
    Surveyed,
)
from core.engine.session import Session, Shown
from core.errors import Cancelled
from core.scoring import KEPT, Inspection

if TYPE_CHECKING:
    from core.models.pair import Pair


TOGETHER = 8
"""States that are looked at in one step of a job."""


@dataclass
class Looking:
    """How far the job is, and which checkpoint it is of."""

    done: int = 0
    shown: Shown = ("", "")


@answers(Inspect)
def inspect(session: Session, request: Inspect) -> Inspected:
    """Return the likeliest actions at a state, and those that match a query."""
    from core.models.score import inspect

    pair, state = _find(session, request, request.state)
    wider = inspect(pair, state, request.query, session.cancelled, max(request.most, KEPT))
    return Inspected(request.id, wider.at_most(request.most), pair.shown, wider)


@steps(InspectStates)
def inspect_states(
    session: Session, request: InspectStates, again: bool
) -> StatesInspected | StatesDone:
    """Look at the next few states."""
    from core.models.score import inspect

    looking = session.own(Looking)
    if not again:
        session.pair  # noqa: B018 -- without one, that is what is to be said
        looking.done, looking.shown = 0, session.shown
    first, states = looking.done, request.states[looking.done : looking.done + TOGETHER]
    if not states:
        return StatesDone(request.id)
    found: list[Inspection | None] = []
    for state in states:
        pair, node = _walk(session, request, state, looking.shown)
        asked = bool(pair.tree.depth[node])
        found.append(inspect(pair, node, "", session.cancelled, KEPT) if asked else None)
    looking.done = first + len(states)
    fraction = looking.done / len(request.states)
    return StatesInspected(request.id, first, tuple(found), fraction, looking.shown[0])


@answers(Survey)
def survey(session: Session, request: Survey) -> Surveyed:
    """Return all actions at a state."""
    from core.models.score import survey

    pair, state = _find(session, request, request.state)
    return Surveyed(request.id, survey(pair, state, session.cancelled), pair.shown)


@answers(ListLabels)
def list_labels(session: Session, request: ListLabels) -> LabelsListed:
    """Return the labels of the vocabulary."""
    pair = session.pair
    return LabelsListed(request.id, pair.codec.labels(pair.vocab_size))


def _find(session: Session, request: Request[Event], state: StateRef) -> "tuple[Pair, int]":
    """Return the pair under the checkpoint that is asked, and the node of the state.

    Raises:
        Cancelled: nothing is asked there, as there is no token before it.
    """
    pair, node = _walk(session, request, state, session.shown)
    if pair.tree.depth[node] == 0:
        raise Cancelled
    return pair, node


def _walk(
    session: Session, request: Request[Event], state: StateRef, shown: Shown
) -> "tuple[Pair, int]":
    """Return the pair under the checkpoint of the state's search, or the one that is shown if it is
    of none, and the node of the state."""
    search = session.own(Searches).by_pane.get(state.pane)
    pair = session.pair_for(request, search.shown if search is not None else shown)
    node = state.node
    if not pair.tree.has(node):  # it was evicted, and is walked to again
        ids = [*(state.context or pair.codec.prompt_ids(state.prompt)), *state.ids]
        root = search.run.root if search is not None else pair.root(len(ids))
        node = int(pair.tree.extend(root, ids)[-1])
    return pair, node
