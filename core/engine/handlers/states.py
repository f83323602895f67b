"""Asking about states: the likeliest actions at one, those that match a query, or all of them."""

from typing import TYPE_CHECKING

from core.engine.handlers import answers
from core.engine.handlers.searches import Searches
from core.engine.protocol import (
    Inspect,
    Inspected,
    InspectNode,
    NodeInspected,
    Survey,
    Surveyed,
)
from core.engine.session import Session
from core.errors import Cancelled

if TYPE_CHECKING:
    from core.models.pair import Pair


@answers(Inspect)
def inspect(session: Session, request: Inspect) -> Inspected:
    from core.models.score import inspect

    pair = session.pair_for(request)
    state = _state(session, pair, request)
    found = inspect(pair, state, request.query, session.cancelled)
    return Inspected(request.id, request.side, request.index, found)


@answers(Survey)
def survey(session: Session, request: Survey) -> Surveyed:
    from core.models.score import survey

    pair = session.pair_for(request)
    actions = survey(pair, _state(session, pair, request), session.cancelled)
    return Surveyed(request.id, request.side, request.index, actions)


def _state(session: Session, pair: "Pair", request: Inspect | Survey) -> int:
    """The node of the state before the token that a request names."""
    last = session.responses.get(request.side)
    if last is None or not 0 <= request.index < len(last.scoring):
        raise Cancelled
    return int(pair.tree.parent[int(last.scoring.nodes[request.index])])


@answers(InspectNode)
def inspect_node(session: Session, request: InspectNode) -> NodeInspected:
    from core.models.score import inspect

    search = session.own(Searches).by_pane.get(request.pane)
    pair = session.pair_for(request, search.shown if search is not None else None)
    state = request.node
    if not pair.tree.has(state):
        if request.prompt is None:
            raise Cancelled
        ids = [*pair.codec.prompt_ids(request.prompt), *request.ids]
        root = search.run.root if search is not None else pair.root(len(ids))
        state = int(pair.tree.extend(root, ids)[-1])
    if pair.tree.depth[state] == 0:
        raise Cancelled
    found = inspect(pair, state, request.query, session.cancelled)
    return NodeInspected(request.id, found)
