"""What may follow the node that is shown: asked for after a moment, and kept by the tree's state.

Knows the node panel, the selection and the bridge; knows nothing of canvases.
"""

from PySide6.QtCore import QObject, QTimer, Slot

from app.engine_client import Bridge
from app.search.node_panel import NodePanel
from app.search.selection import Selection
from app.widgets.colour_scale import ColourScale
from core.engine.protocol import NodeInspected
from core.scoring import Inspection

ASK_MS = 80
KEPT = 400

Key = tuple[int, str, str]
"""A state, a query, and the checkpoint that the tree is of."""


class Following(QObject):
    """The alternatives of one search view."""

    def __init__(self, node: NodePanel, selection: Selection, bridge: Bridge) -> None:
        super().__init__(node)
        self._node, self._selection, self._bridge = node, selection, bridge
        self._colours = 0.1, ColourScale()
        self._kept: dict[Key, Inspection] = {}
        self._asked: dict[int, Key] = {}
        self._ask = QTimer(self)
        self._ask.setSingleShot(True)
        self._ask.setInterval(ASK_MS)
        self._ask.timeout.connect(self._request)
        node.searched.connect(self._searched)
        bridge.node_inspected.connect(self._inspected)

    def forget(self) -> None:
        """Another pair: what is kept of states is of the old one."""
        self._kept.clear()
        self._asked.clear()

    def show(self, beta: float, scale: ColourScale) -> None:
        """What is known of the node that is shown; what is not known is asked for."""
        self._colours = beta, scale
        state, node = self._selection.state(), self._node
        if state is None:
            why = "Nothing follows: the response is closed, or its pair is gone."
            node.show_following(None, beta, scale, why)
            self._ask.stop()
            return
        found = self._kept.get((state, node.query(), self._selection.checkpoint()))
        node.show_following(found, beta, scale)
        if found is None:
            self._ask.start()

    @Slot()
    def _request(self) -> None:
        state, pane, place = self._selection.state(), self._selection.pane, self._selection.place
        if state is None or pane is None or place is None or pane.start is None:
            return
        (name, entry), start = place, pane.start
        ids = pane.tree.ids(entry)
        self._asked.clear()
        key = state, self._node.query(), self._selection.checkpoint()
        id = self._bridge.inspect_node(*key[:2], name, start.prompt, (*start.prefix, *ids))
        self._asked[id] = key

    @Slot(object)
    def _inspected(self, event: NodeInspected) -> None:
        key = self._asked.pop(event.id, None)
        if key is None:
            return
        self._kept[key] = event.inspection
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        chosen = self._selection
        if (chosen.state(), self._node.query(), chosen.checkpoint()) == key:
            self.show(*self._colours)

    @Slot(str)
    def _searched(self, query: str) -> None:
        self.show(*self._colours)
        if self._ask.isActive():
            self._ask.stop()
            self._request()
