"""Strategies of search: each module of this folder is one, and registers itself.

Such a module holds the strategy's record (its name, title and settings, from which the form and
the command line are made) and the algorithm that does it. Settings that strategies share are made
by core.search.spec (at_once, in_all, seed, temperature), others by core.setting.setting; a test
asks that every field be one. It must not import torch when it is
imported: the window and ``--help`` read the records. Knows no strategy by name.
"""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from core.search.spec import Strategy

if TYPE_CHECKING:
    from core.search.field import Algorithm, Field

S = TypeVar("S", bound=Strategy)

_STRATEGIES: dict[str, type[Strategy]] = {}
_BEGIN: dict[str, "Callable[[Field, Any], Algorithm]"] = {}


def register(strategy: type[S], begin: "Callable[[Field, S], Algorithm]") -> None:
    """Add a strategy: its record's class, and what makes its algorithm from such a record."""
    _STRATEGIES[strategy.name], _BEGIN[strategy.name] = strategy, begin


def unregister(strategy: type[Strategy]) -> None:
    """Take a strategy out again."""
    del _STRATEGIES[strategy.name], _BEGIN[strategy.name]


def strategies() -> dict[str, type[Strategy]]:
    """Return the strategies that can be chosen, by name, in the order of their titles."""
    _discover()
    by_title = sorted(_STRATEGIES.values(), key=lambda found: found.title)
    return {found.name: found for found in by_title if found.offered}


def records() -> tuple[type[Strategy], ...]:
    """Return the record of every strategy, of those too that a user cannot choose."""
    _discover()
    return tuple(_STRATEGIES.values())


def begin(field: "Field", strategy: Strategy) -> "Algorithm":
    """Return the algorithm that does a strategy on a field."""
    _discover()
    return _BEGIN[strategy.name](field, strategy)


@cache
def _discover() -> None:
    """Import every module of this folder, once."""
    for found in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{found.name}")
