"""The demo pair: its posts, its recipe, its base and its judge.

Nothing else knows them: ``register`` puts them where named ones are looked up.
"""

from core.checkpoints.named import BASES, DEMO, PAIRS, NamedBase, NamedPair


def register() -> None:
    """Make the demo known by name: its base and its pair; called once, at start.

    The rest of this package is imported when one of them is asked for.
    """
    BASES["SmolLM2-135M-Instruct"] = _base
    PAIRS[DEMO] = _pair


def _base() -> NamedBase:
    from core.demo.base import cached_base, fetch_base

    return NamedBase(cached_base, fetch_base)


def _pair() -> NamedPair:
    from core.demo.pair import demo_beta, demo_plan

    return NamedPair(demo_plan, demo_beta)
