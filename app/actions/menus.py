"""The menu bar and its keys, made from declared actions.

Knows QActions; knows nothing of what an action does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from PySide6.QtGui import QAction, QActionGroup, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar

from app.actions.action import Action, Choice, Declared, Listing, Menu, Toggle


@dataclass(frozen=True)
class Command:
    """An action as a list of all of them names it."""

    title: str
    menu: str
    action: QAction


class Menus:
    """The menus of one window."""

    def __init__(self, bar: QMenuBar, declared: Iterable[Declared]) -> None:
        self.actions: dict[str, QAction] = {}
        """The actions by their names; a choice's are named "theme dark"."""
        self.commands: list[Command] = []
        """The same in the order of the menus."""
        self._conditions: list[tuple[QAction, Action]] = []
        ordered = sorted(declared, key=lambda it: (it.place.section, it.place.order))
        for title in Menu:
            menu = bar.addMenu(title.value)
            menu.setToolTipsVisible(True)
            inside = [it for it in ordered if it.place.menu is title]
            for number, (_, section) in enumerate(groupby(inside, lambda it: it.place.section)):
                if number:
                    menu.addSeparator()
                for entry in section:
                    self._add(menu, entry)
        self.refresh()

    def refresh(self) -> None:
        """Ask every action anew whether it can be done now."""
        for action, entry in self._conditions:
            action.setEnabled(entry.enabled())

    def key_rows(self) -> list[tuple[str, str]]:
        """Return (keys, what they do) of every action that has keys."""
        return [
            (action.shortcut().toString(), _plain(action.text()))
            for action in self.actions.values()
            if not action.shortcut().isEmpty()
        ]

    def _add(self, menu: QMenu, entry: Declared) -> None:
        if isinstance(entry, Choice):
            self._add_choice(menu, entry)
            return
        if isinstance(entry, Listing):
            inner = menu.addMenu(entry.title)
            inner.setToolTipsVisible(True)
            inner.menuAction().setToolTip(entry.tip)
            inner.menuAction().setStatusTip(entry.tip)
            inner.aboutToShow.connect(partial(_fill, inner, entry))
            self._keep(entry.name, inner.menuAction())
            return
        action = QAction(entry.title, menu)
        action.setShortcuts(QKeySequence.listFromString(entry.keys))
        action.setToolTip(entry.tip)
        action.setStatusTip(entry.tip)
        if isinstance(entry, Toggle):
            action.setCheckable(True)
            action.setChecked(entry.on)
            action.toggled.connect(entry.switch)
        elif isinstance(entry, Action):
            run = entry.run
            action.triggered.connect(partial(_run, run))
            self._conditions.append((action, entry))
        menu.addAction(action)
        self._name(entry.name, entry.title, menu, action)

    def _add_choice(self, menu: QMenu, entry: Choice) -> None:
        inner = menu.addMenu(entry.title)
        group = QActionGroup(inner)
        for value, title in entry.options:
            action = QAction(title, inner)
            action.setCheckable(True)
            action.setChecked(value == entry.chosen)
            action.setData(value)
            group.addAction(action)
            inner.addAction(action)
            self._name(f"{entry.name} {value}", f"{entry.title}: {title}", menu, action)
        group.triggered.connect(lambda action: entry.choose(str(action.data())))

    def _keep(self, name: str, action: QAction) -> None:
        if name in self.actions:
            raise ValueError(f"Two actions are called {name}: give one another name.")
        self.actions[name] = action

    def _name(self, name: str, title: str, menu: QMenu, action: QAction) -> None:
        self._keep(name, action)
        self.commands.append(Command(_plain(title), _plain(menu.title()), action))


def _plain(title: str) -> str:
    """Return a title without its mnemonic and its dots."""
    return title.replace("&", "").rstrip("…")


def _fill(menu: QMenu, listing: Listing) -> None:
    """Fill a submenu with what there is now."""
    menu.clear()
    entries = listing.entries()
    for entry in entries:
        action = menu.addAction(entry.title)
        action.setToolTip(entry.tip)
        action.setStatusTip(entry.tip)
        action.setEnabled(entry.enabled)
        action.triggered.connect(partial(_run, entry.run))
    if not entries:
        menu.addAction(listing.none).setEnabled(False)


def _run(run: Callable[[], object], checked: bool = False) -> None:
    """Run an action; what an input method composes is committed first, while the text is there."""
    QGuiApplication.inputMethod().commit()
    run()
