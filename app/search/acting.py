"""What can be done at a node of a tree: grow on, force a token, pin, prune, send it to an editor.

Acts on the node that the search view shows, and offers it all in a menu there. Knows the view and
its panes; knows nothing of how a node is shown.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, Slot

from app.search.menu import node_menu
from app.search.pane import SearchPane
from core.search.spec import Objective, SearchSpec
from core.search.strategies import strategies
from core.search.strategies.given import Given
from core.search.strategies.sampling import Sampling

if TYPE_CHECKING:
    from app.search.view import SearchView


class Acting(QObject):
    """Does what the node panel, the menu and the table of hypotheses ask for."""

    def __init__(self, view: "SearchView") -> None:
        super().__init__(view)
        self._view = view
        view.node.wanted.connect(self.wanted)
        view.node.forced.connect(self._force)
        view.hypotheses.send.connect(self._send_hypothesis)

    @Slot(int, QPoint)
    def menu_left(self, entry: int, where: QPoint) -> None:
        self._show_menu("left", entry, where)

    @Slot(int, QPoint)
    def menu_right(self, entry: int, where: QPoint) -> None:
        self._show_menu("right", entry, where)

    @Slot(int, QPoint)
    def menu_over(self, entry: int, where: QPoint) -> None:
        self._show_menu(*self._view.pane_of_over(entry), where)

    def _show_menu(self, name: str, entry: int, where: QPoint) -> None:
        view = self._view
        view.select(name, entry)
        menu = node_menu(view, view.panes[name].picture, entry, view.is_alive(name))
        menu.triggered.connect(self.menu_chosen)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(where)
        self.menu = menu

    @Slot(object)
    def menu_chosen(self, action: object) -> None:
        data = getattr(action, "data", lambda: None)()
        if isinstance(data, str):
            self.wanted(data)

    @Slot(str)
    def wanted(self, action: str) -> None:
        """Do something at the node that is shown; "grow beam" names a strategy."""
        if self._view.shown is None:
            return
        name, entry = self._view.shown
        pane = self._view.panes[name]
        match action.split():
            case ["A" | "B" as side]:
                self._send(name, entry, side)
            case ["collapse"]:
                pane.canvas.toggle(entry)
            case ["unfold"]:
                pane.canvas.toggle_run(entry)
            case ["force"]:
                self._view.node.search.setFocus()
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
        spec = self._view.ready()
        if spec is None or not pane.can_grow_from(entry):
            return
        if strategy and spec.strategy.name != strategy:
            chosen = Sampling(count=4) if strategy == Sampling.name else strategies()[strategy]()
            spec = replace(spec, strategy=chosen)
        pane.grow_from(entry, spec)

    @Slot(int)
    def _force(self, token: int) -> None:
        """Let one token follow the node that is shown."""
        if self._view.shown is not None:
            name, entry = self._view.shown
            spec = SearchSpec(Given((token,)), Objective(), max_tokens=1)
            self._view.node.end_search()
            self._view.panes[name].grow_from(entry, spec)

    @Slot(str, int, str)
    def _send_hypothesis(self, name: str, entry: int, side: str) -> None:
        self._send(name, entry, side)

    def _send(self, name: str, entry: int, side: str) -> None:
        """Give a node's whole response to an editor: the prefix, and the way to the node."""
        pane = self._view.panes[name]
        if pane.start is None or entry >= len(pane.tree):
            return
        tree = pane.tree
        way = tree.path(entry).tolist()
        if tree.is_closed(entry):
            way.pop()
        pieces = [*pane.start.pieces, *(tree.pieces[i] for i in way)]
        text = b"".join(pieces).decode("utf-8", "replace")
        ids = (*pane.start.prefix, *(int(tree.token[i]) for i in way))
        self._view.send.emit(side, text, ids if pane.fresh_pair else None)
