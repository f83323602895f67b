"""How an action is declared: all that menus, keys and tests need to know of it, in one place.

The object that owns a subject declares what can be done with it, beside the method that does it.
Knows nothing of Qt.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[[Any], None])
Switch = TypeVar("Switch", bound=Callable[[Any, bool], None])


@dataclass(frozen=True)
class Place:
    """Where an action stands: ``section`` of a menu (a line divides two), ``order`` in it."""

    menu: "Menu"
    section: int
    order: int


class Menu(Enum):
    """The menus of the menu bar, in its order; each value is the title."""

    FILE = "&File"
    EDIT = "&Edit"
    SEARCH = "&Search"
    TRAINING = "&Training"
    VIEW = "&View"
    HELP = "&Help"

    def at(self, section: int, order: int) -> Place:
        """Return a place in this menu."""
        return Place(self, section, order)


def always() -> bool:
    """Return True: most actions are always enabled."""
    return True


@dataclass(frozen=True)
class Declared:
    """What all kinds of actions have in common.

    ``name``: what other code and tests call it; ``title``: with an & before the mnemonic;
    ``keys``: the shortcut, or several divided by "; ", of which the first is shown.
    """

    name: str
    place: Place
    title: str
    keys: str
    tip: str


@dataclass(frozen=True)
class Action(Declared):
    """Something to do at once. ``enabled`` is asked anew whenever the window's state changes."""

    run: Callable[[], object]
    enabled: Callable[[], bool] = always


@dataclass(frozen=True)
class Toggle(Declared):
    """Something that is on or off, and how it begins."""

    switch: Callable[[bool], object]
    on: bool


@dataclass(frozen=True)
class Choice(Declared):
    """A submenu of which one entry is chosen: ``options`` are (value, title)."""

    choose: Callable[[str], object]
    options: tuple[tuple[str, str], ...]
    chosen: str


@dataclass(frozen=True)
class Entry:
    """One of a submenu's entries."""

    title: str
    tip: str
    run: Callable[[], object]
    enabled: bool = True


@dataclass(frozen=True)
class Listing(Declared):
    """A submenu that is filled each time it opens; ``none`` stands there where it has nothing."""

    entries: Callable[[], list[Entry]]
    none: str


_actions: dict[Callable[..., object], tuple[Action, Callable[[Any], bool] | None]] = {}
_toggles: dict[Callable[..., object], tuple[Toggle, Callable[[Any], bool]]] = {}
"""What ``action`` and ``toggle`` have been told of methods; bound to an owner in ``actions_of``."""


def action(
    place: Place,
    title: str,
    keys: str = "",
    tip: str = "",
    enabled: Callable[[Any], bool] | None = None,
) -> Callable[[Method], Method]:
    """Declare a method as an action of that name; ``enabled`` takes the method's owner."""

    def declare(method: Method) -> Method:
        entry = Action(method.__name__, place, title, keys, tip, lambda: None)
        _actions[method] = entry, enabled
        return method

    return declare


def toggle(
    place: Place, title: str, keys: str, tip: str, on: Callable[[Any], bool]
) -> Callable[[Switch], Switch]:
    """Declare a method that takes on or off; ``on`` takes its owner and says how it begins."""

    def declare(method: Switch) -> Switch:
        entry = Toggle(method.__name__, place, title, keys, tip, lambda _: None, False)
        _toggles[method] = entry, on
        return method

    return declare


def actions_of(owner: object) -> list[Declared]:
    """Return what the class of ``owner`` declares by ``action`` and ``toggle``, as its own."""
    found: list[Declared] = []
    for method in filter(callable, vars(type(owner)).values()):
        bound = partial(method, owner)
        if method in _actions:
            entry, enabled = _actions[method]
            can = partial(enabled, owner) if enabled is not None else always
            found.append(replace(entry, run=bound, enabled=can))
        elif method in _toggles:
            switch, on = _toggles[method]
            found.append(replace(switch, switch=bound, on=on(owner)))
    return found
