"""The demo pair: its posts, its recipe, its base and its judge.

Nothing else knows them: ``register`` puts them where named ones are looked up.
"""


def register() -> None:
    """Make the demo known under its names: its base and its pair; once, at start."""
    from core.checkpoints import named
    from core.demo.base import DEMO_BASE, cached_base, fetch_base
    from core.demo.pair import demo_beta, demo_plan

    named.BASES[DEMO_BASE] = named.NamedBase(cached_base, fetch_base)
    named.PAIRS[named.DEMO] = named.NamedPair(demo_plan, demo_beta)
