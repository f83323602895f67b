"""What may follow the node that is shown: looked up and put into the node's panel.

Knows the panel and a lookup of states; knows nothing of trees or canvases.
"""

from PySide6.QtCore import QObject, Slot

from app.inspect.answers import InspectionLookup, Question
from app.search.node_panel import NodePanel
from app.widgets.colour_scale import ColourScale
from core.engine.protocol import StateRef

CLOSED = "Nothing follows: the response is closed, or its pair is gone."


class Following(QObject):
    """The alternatives of one search view."""

    def __init__(self, node: NodePanel, lookup: InspectionLookup) -> None:
        super().__init__(node)
        self._node, self._lookup = node, lookup
        self._state: StateRef | None = None
        self._checkpoint = ""
        self._beta, self._scale = 0.1, ColourScale()
        node.search.searched.connect(self._searched)
        lookup.asking.connect(node.search.stop_resting)
        lookup.found.connect(self._show)

    def show(
        self, state: StateRef | None, checkpoint: str, beta: float, scale: ColourScale
    ) -> None:
        """Show what may follow at a state, None where nothing can, under a tree's checkpoint.

        What is not known is asked for.
        """
        self._state, self._checkpoint = state, checkpoint
        self._beta, self._scale = beta, scale
        self._show()

    @Slot()
    def _show(self) -> None:
        question = None
        if self._state is not None:
            question = Question(self._state, self._checkpoint, self._node.search.query())
        found = self._lookup.look(question)
        why_not = CLOSED if question is None else ""
        self._node.show_following(found, self._beta, self._scale, why_not)

    @Slot(str)
    def _searched(self, query: str) -> None:
        self._show()
        self._lookup.ask_now()
