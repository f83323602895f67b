"""Searching: the trees that panes show, how they grow, and how they are steered."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.engine.handlers import answers, steps
from core.engine.protocol import Grown, Resume, Search, Searched, Steer, Steered
from core.engine.session import Session, Shown
from core.errors import UserFacingError

if TYPE_CHECKING:
    from core.search.run import Run
    from core.tree import Nodes


@dataclass
class PaneSearch:
    """The search of a pane, the checkpoint that it is under, and what searches before it grew."""

    run: "Run"
    shown: Shown
    before: "list[Nodes]"

    def nodes(self) -> "list[Nodes]":
        """Return all nodes that the pane shows."""
        return [*self.before, self.run.nodes()]


@dataclass
class Searches:
    """The searches of a pair."""

    by_pane: dict[str, PaneSearch] = field(default_factory=dict)

    def nodes(self) -> "Iterator[Nodes]":
        """Yield all nodes that panes show."""
        for search in self.by_pane.values():
            yield from search.nodes()


@steps(Search)
def search(session: Session, request: Search, again: bool) -> Grown | Searched:
    """Begin a search and take its first step, or take another one.

    Until it has taken that, the pane's search is the one before: that is gone on with.
    """
    if again:
        return _step(session, request, session.own(Searches).by_pane[request.pane])
    from core.search.run import Run

    by_pane = session.own(Searches).by_pane
    old = by_pane.get(request.pane)
    shown = session.shown if old is None or request.anew else old.shown
    pair = session.pair_for(request, shown)
    run = Run(pair, request.prompt, request.prefix, request.spec, request.context)
    if old is not None and not request.anew:
        for node, action in old.run.steered():  # it is the same tree
            run.steer(node, action)
    begun = PaneSearch(run, shown, [] if old is None or request.anew else old.nodes())
    found = _step(session, request, begun)
    by_pane[request.pane] = begun
    return found


@steps(Resume)
def resume(session: Session, request: Resume, again: bool) -> Grown | Searched:
    """Take another step of a pane's search."""
    search = session.own(Searches).by_pane.get(request.pane)
    if search is None:
        session.pair  # noqa: B018 -- without one, that is what is to be said
        raise UserFacingError("There is no search to go on with: start one.")
    return _step(session, request, search)


def _step(session: Session, request: Search | Resume, search: PaneSearch) -> Grown | Searched:
    session.pair_for(request, search.shown)
    run = search.run
    growth = run.step(session.cancelled)
    if growth is not None:
        return Grown(request.id, request.pane, growth, search.shown[0])
    return Searched(request.id, request.pane, run.steps, run.computed, run.seconds, run.attention)


@answers(Steer)
def steer(session: Session, request: Steer) -> Steered:
    """Prune, pin or release a node of a pane's search."""
    search = session.own(Searches).by_pane.get(request.pane)
    if search is None:
        raise UserFacingError("There is no search to steer: start one.")
    search.run.steer(request.node, request.action)
    return Steered(request.id, request.pane, request.node)
