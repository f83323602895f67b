"""Asking about states: the likeliest actions at one, those that match a query, or all of them."""

from typing import TYPE_CHECKING

from core.engine.handlers import answers
from core.engine.handlers.searches import Searches
from core.engine.protocol import (
    Event,
    Inspect,
    Inspected,
    LabelsListed,
    ListLabels,
    Request,
    StateRef,
    Survey,
    Surveyed,
)
from core.engine.session import Session
from core.errors import Cancelled
from core.scoring import KEPT

if TYPE_CHECKING:
    from core.models.pair import Pair


@answers(Inspect)
def inspect(session: Session, request: Inspect) -> Inspected:
    """Return the likeliest actions at a state, and those that match a query."""
    from core.models.score import inspect

    pair, state = _find(session, request, request.state)
    wider = inspect(pair, state, request.query, session.cancelled, max(request.most, KEPT))
    return Inspected(request.id, wider.at_most(request.most), pair.shown, wider)


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
    search = session.own(Searches).by_pane.get(state.pane)
    pair = session.pair_for(request, search.shown if search is not None else None)
    node = state.node
    if not pair.tree.has(node):  # it was evicted, and is walked to again
        ids = [*(state.context or pair.codec.prompt_ids(state.prompt)), *state.ids]
        root = search.run.root if search is not None else pair.root(len(ids))
        node = int(pair.tree.extend(root, ids)[-1])
    if pair.tree.depth[node] == 0:
        raise Cancelled
    return pair, node
