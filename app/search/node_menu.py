"""The menu of what can be done at a node.

Knows the actions' names; the view does what is chosen.
"""

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from app.search.picture import Picture
from core.search.grown import Reason
from core.search.strategies import strategies


def node_menu(parent: QWidget, picture: Picture, entry: int, alive: bool) -> QMenu:
    """Return a menu for a node; each action's data is its name."""
    tree = picture.tree
    open_end = alive and not tree.is_closed(entry)
    by_hand = tree.reason[entry] == Reason.BY_HAND
    menu = QMenu(parent)
    menu.setToolTipsVisible(True)

    def add(to: QMenu, text: str, name: str, on: bool, tip: str = "") -> None:
        action = QAction(text, to)
        action.setData(name)
        action.setEnabled(on)
        action.setToolTip(tip)
        to.addAction(action)

    add(menu, "&Grow from here", "grow", open_end, "As the form says")
    inner = menu.addMenu("Grow from here &with")
    inner.setEnabled(open_end)
    inner.setToolTipsVisible(True)
    for name, kind in strategies().items():
        add(inner, kind.title, f"grow {name}", open_end, kind.meaning)
    add(menu, "&Sample on", "sample", open_end, "Draw responses that begin with this text")
    add(menu, "&Force a token…", "force", open_end, "Choose the token that follows")
    menu.addSeparator()
    pinned = entry in picture.pinned
    name = "release" if pinned else "pin"
    add(menu, "Un&pin" if pinned else "&Pin", name, alive and entry > 0, "Never prune it")
    name = "release" if by_hand else "prune"
    add(menu, "Take back" if by_hand else "P&rune", name, alive and entry > 0)
    menu.addSeparator()
    add(menu, "Send to &A", "A", True, "The whole text, tokens and all")
    add(menu, "Send to &B", "B", True, "The whole text, tokens and all")
    menu.addSeparator()
    add(menu, "&Collapse or expand", "collapse", True, "Space")
    add(menu, "&Unfold or fold the run", "unfold", True, "U, or a double click")
    return menu
