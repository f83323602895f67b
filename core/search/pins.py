"""Goes on from pinned nodes that a search has left: a pin is never without a way on.

Whatever the strategy, a node that is pinned has a hypothesis through it: where no hypothesis of the
search's own runs through it any more, its likeliest continuation is taken, a token at each step.
Knows fields; knows no strategy by name.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from core.search.grown import Reason, Status

if TYPE_CHECKING:
    from core.search.field import Field


Ways = dict[int, int]
"""Of each pin, how far the way on from it has come: a node."""


class Pins:
    """The ways on from pinned nodes of one search."""

    def __init__(self, field: "Field") -> None:
        self._field = field
        self.ways: Ways = {}

    def further(self, best: Iterable[int]) -> Ways:
        """Return all ways, one token further; those that have ended stay where they are.

        ``best``: the hypotheses that the search itself has. The caller sets ``ways`` once the step
        that this is a part of is done.
        """
        field = self._field
        if not field.pinned:
            return {}
        held = {node for end in best for node in field.way(end)}
        ways = {pin: end for pin, end in self.ways.items() if self._is_meant(pin)}
        for pin in field.pinned - ways.keys() - held:
            if self._is_meant(pin):
                self._reach(pin)
                ways[pin] = pin
        going = [end for end in dict.fromkeys(ways.values()) if not self._is_over(end)]
        if not going:
            return ways
        actions = field.expand(going)
        _, tokens = actions.best(1)
        nodes = actions.take(range(len(going)), tokens[:, 0].tolist()).tolist()
        for node in nodes:
            self._mark(node)
        steps = dict(zip(going, nodes, strict=True))
        return {pin: steps.get(end, end) for pin, end in ways.items()}

    def _is_meant(self, pin: int) -> bool:
        """Return whether a node is still pinned, behind the start, and not cut off."""
        field, tree = self._field, self._field.pair.tree
        if pin not in field.pinned or not tree.has(pin) or pin == field.start:
            return False
        return field.start in tree.path(pin) and not field.is_cut(pin)

    def _is_over(self, node: int) -> bool:
        field = self._field
        closed = field.pair.tree.token[node] == field.closing
        return bool(closed) or field.length(node) >= field.max_tokens

    def _reach(self, pin: int) -> None:
        """Keep the way from the start to a pin, and score what of it another search has grown."""
        field, before = self._field, self._field.start
        for node in field.way(pin):
            if node not in field.score:
                field.expand([before], visit=False).take([0], [int(field.pair.tree.token[node])])
            if node != pin:
                field.ledger.mark(node, Status.KEPT)
            before = node

    def _mark(self, node: int) -> None:
        field = self._field
        if not self._is_over(node):
            field.ledger.mark(node, Status.KEPT)
            return
        closed = field.pair.tree.token[node] == field.closing
        field.ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
