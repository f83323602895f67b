"""Puts the demo where named things are looked up: its base, its pair, its posts and its judge.

Imports nothing heavy; the rest of the package is imported when one of them is asked for.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from core.checkpoints.named import BASES, DEMO, PAIRS, NamedBase
from core.demo import DEMO_BASE
from core.evaluation.held_out import SOURCES
from core.progress import Report, Stop
from core.sweeps import EXTENSIONS

if TYPE_CHECKING:
    from core.checkpoints.plan import PairPlan
    from core.preferences import Preference


def register() -> None:
    """Make the demo known: its base, its pair, its posts and its judge; called at start."""
    BASES[DEMO_BASE] = NamedBase(DEMO_BASE, _cached, _base)
    PAIRS[DEMO] = _plan
    SOURCES["the demo's held-out posts"] = _held_out
    EXTENSIONS["demo"] = _sweeps


def _cached() -> Path | None:
    from core.demo.base import cached_base

    return cached_base()


def _base(report: Report, stop: Stop) -> Path:
    from core.demo.base import demo_base

    return demo_base(report, stop)


def _plan(report: Report, stop: Stop) -> "PairPlan":
    from core.demo.pair import demo_plan

    return demo_plan(report, stop)


def _held_out(count: int) -> "list[Preference]":
    from core.demo.posts import held_out_pairs

    return held_out_pairs(count)


def _sweeps() -> None:
    from core.demo import sweeps

    sweeps.register()
