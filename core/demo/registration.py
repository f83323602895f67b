"""Puts the demo where named things are looked up: its base, its pair, its posts and its judge.

Imports nothing heavy; the rest of the package is imported when one of them is asked for.
"""

from typing import TYPE_CHECKING

from core.checkpoints.named import BASES, DEMO, PAIRS, NamedBase, NamedPair
from core.demo import DEMO_BASE
from core.evaluation.held_out import SOURCES
from core.sweeps import EXTENSIONS

if TYPE_CHECKING:
    from core.preferences import Preference


def register() -> None:
    """Make the demo known: its base, its pair, its posts and its judge; called at start."""
    BASES[DEMO_BASE] = _base
    PAIRS[DEMO] = _pair
    SOURCES["the demo's held-out posts"] = _held_out
    EXTENSIONS["demo"] = _sweeps


def _base() -> NamedBase:
    from core.demo.base import cached_base, fetch_base

    return NamedBase(DEMO_BASE, cached_base, fetch_base)


def _pair() -> NamedPair:
    from core.demo.pair import demo_beta, demo_plan

    return NamedPair(demo_plan, demo_beta)


def _held_out(count: int) -> "list[Preference]":
    from core.demo.posts import held_out_pairs

    return held_out_pairs(count)


def _sweeps() -> None:
    from core.demo import sweeps

    sweeps.register()
