"""The node of a search tree that is looked at. Knows panes; asks for nothing and shows nothing."""

from collections.abc import Mapping

from app.search.pane import SearchPane
from core.engine.protocol import StateRef


class Selection:
    """A pane and one of its entries, or nothing."""

    def __init__(self, panes: Mapping[str, SearchPane]) -> None:
        self._panes = panes
        self.place: tuple[str, int] | None = None
        """The name of the pane and the entry in its tree."""

    @property
    def pane(self) -> SearchPane | None:
        """The pane of the node."""
        return self._panes[self.place[0]] if self.place is not None else None

    def checkpoint(self) -> str:
        """Return the checkpoint of the tree that holds the node; "" for none."""
        return self.pane.checkpoint if self.pane is not None else ""

    def state(self) -> StateRef | None:
        """Return the state whose continuations can be asked for; None where nothing can follow."""
        if self.place is None or self.pane is None:
            return None
        return self.pane.state_at(self.place[1])
