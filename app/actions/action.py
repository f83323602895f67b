"""How an action is declared: all that menus, keys and tests need to know of it, in one record.

A subject's object declares its own actions and is called back by them. Knows nothing of Qt.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Menu(Enum):
    """The menus of the menu bar, in its order; each value is the title."""

    FILE = "&File"
    EDIT = "&Edit"
    SEARCH = "&Search"
    TRAINING = "&Training"
    VIEW = "&View"
    HELP = "&Help"


@dataclass(frozen=True)
class Place:
    """Where an action stands: ``section`` of a menu (a line divides two), ``order`` in it."""

    menu: Menu
    section: int
    order: int


def always() -> bool:
    """Return True: most actions are always enabled."""
    return True


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What all kinds of actions have in common.

    ``name``: what other code and tests call it; ``title``: with an & before the mnemonic;
    ``keys``: shortcuts, the first one is shown; ``enabled``: asked anew whenever something changes
    that it may depend on (``Menus.refresh``).
    """

    name: str
    title: str
    place: Place
    keys: tuple[str, ...] = ()
    tip: str = ""
    enabled: Callable[[], bool] = always


@dataclass(frozen=True, kw_only=True)
class Action(Declared):
    """Something to do at once."""

    run: Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Toggle(Declared):
    """Something that is on or off, and how it begins."""

    on: bool
    switch: Callable[[bool], object]


@dataclass(frozen=True, kw_only=True)
class Choice(Declared):
    """A submenu of which one entry is chosen: ``options`` are (value, title)."""

    options: tuple[tuple[str, str], ...]
    chosen: str
    choose: Callable[[str], object]
