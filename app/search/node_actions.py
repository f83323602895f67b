"""What can be done at a node of a tree: grow on, force a token, pin, prune, send it to an editor.

Acts on the node that is selected, and offers it all in a menu there. Knows panes and the panels
that ask; knows nothing of how a node is shown.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from PySide6.QtCore import QObject, QPoint, Signal, Slot
from PySide6.QtGui import QAction

from app.search.hypotheses import Hypotheses
from app.search.node_menu import node_menu
from app.search.node_panel import NodePanel
from app.search.pane import SearchPane
from app.search.selection import Selection
from app.search.trees import Trees
from core.engine.protocol import Side
from core.history import Reached
from core.search.spec import Objective, SearchSpec
from core.search.strategies import strategies
from core.search.strategies.given import Given
from core.search.strategies.sampling import Sampling


class NodeActions(QObject):
    """Does what the node panel, the menu and the table of hypotheses ask for."""

    send = Signal(object)
    """A ``Reached`` for "A", "B" or both: what is to go into that editor."""

    def __init__(
        self,
        trees: Trees,
        selection: Selection,
        node: NodePanel,
        hypotheses: Hypotheses,
        ready: Callable[[], SearchSpec | None],
    ) -> None:
        """``ready`` returns what the form asks for, or None after saying why that cannot be."""
        super().__init__(trees)
        self._trees, self._selection, self._node, self._ready = trees, selection, node, ready
        node.wanted.connect(self.do)
        node.forced.connect(self._force)
        hypotheses.send.connect(self._send)

    def show_menu(self, where: QPoint) -> None:
        """Offer what can be done at the selected node, at a place on the screen."""
        if self._selection.place is None:
            return
        name, entry = self._selection.place
        picture, alive = self._trees.panes[name].picture, self._trees.is_alive(name)
        self.menu = menu = node_menu(self._trees, picture, entry, alive)
        menu.triggered.connect(self._menu_chosen)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(where)

    @Slot(QAction)
    def _menu_chosen(self, action: QAction) -> None:
        if isinstance(name := action.data(), str):
            self.do(name)

    @Slot(str)
    def do(self, action: str) -> None:
        """Do something at the selected node; "grow beam" names a strategy."""
        if self._selection.place is None:
            return
        name, entry = self._selection.place
        pane = self._trees.panes[name]
        match action.split():
            case ["A" | "B" as side]:
                self._send({side: (name, entry)})
            case ["collapse"]:
                pane.canvas.toggle(entry)
            case ["unfold"]:
                pane.canvas.toggle_run(entry)
            case ["force"]:
                self._node.search.setFocus()
            case ["pin"]:
                pane.steer(entry, "pin")
            case ["prune"]:
                pane.steer(entry, "prune")
            case ["release"]:
                pane.steer(entry, "release")
            case ["sample"]:
                self._grow_on(pane, entry, Sampling.name)
            case ["grow", *named]:
                self._grow_on(pane, entry, *named)

    def _grow_on(self, pane: SearchPane, entry: int, strategy: str = "") -> None:
        spec = self._ready()
        if spec is None or not pane.can_grow_from(entry):
            return
        if strategy and spec.strategy.name != strategy:
            chosen = Sampling(count=4) if strategy == Sampling.name else strategies()[strategy]()
            spec = replace(spec, strategy=chosen)
        pane.grow_from(entry, spec)

    @Slot(int)
    def _force(self, token: int) -> None:
        """Let one token follow the selected node."""
        if self._selection.place is not None:
            name, entry = self._selection.place
            self._node.end_search()
            spec = SearchSpec(Given((token,)), Objective(), max_tokens=1)
            self._trees.panes[name].grow_from(entry, spec)

    @Slot(object)
    def _send(self, places: Mapping[Side, tuple[str, int]]) -> None:
        """Give the responses that end at nodes to the editors; nothing if a node has gone."""
        found = {side: self._response(*place) for side, place in places.items()}
        responses = {side: it for side, it in found.items() if it is not None}
        if len(responses) == len(places):
            self.send.emit(responses)

    def _response(self, name: str, entry: int) -> Reached | None:
        """Return a node's whole response: the prefix, and the way to the node; its token ids only
        where they mean the same to the pair that is loaded."""
        pane = self._trees.panes[name]
        if pane.start is None or entry >= len(pane.tree):
            return None
        tree = pane.tree
        way = tree.path(entry).tolist()
        if tree.is_closed(entry):
            way.pop()
        pieces = [*pane.start.pieces, *(tree.pieces[i] for i in way)]
        text = b"".join(pieces).decode("utf-8", "replace")
        ids = (*pane.start.prefix, *(int(tree.token[i]) for i in way))
        return Reached(text, ids if pane.fresh_pair else None)
