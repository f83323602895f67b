"""Diverse beam search (Vijayakumar et al., arXiv 1610.02424): beam searches that avoid each other.

The algorithm is core.search.strategies.beam's, with several groups.
"""

from dataclasses import dataclass

from core.search.spec import Strategy, at_once
from core.search.strategies import register
from core.search.strategies.beam import BeamSearch
from core.setting import setting


@dataclass(frozen=True, slots=True)
class DiverseBeam(Strategy):
    """Diverse beam search: groups of beams, each kept from the tokens that the groups before it
    chose at that step by ``diversity`` nats for each time."""

    name = "diverse"
    title = "Diverse beam search"
    meaning = "Groups of beams, each kept from what the groups before it chose"

    width: int = at_once(6, "Width", "Hypotheses that go on at each step, of all groups together")
    groups: int = at_once(3, "Groups", "The width is divided among so many groups")
    # Below 0 a token would have to be looked for beyond the best ones, where it is not.
    diversity: float = setting(
        1.0,
        "Diversity",
        "Nats by which a token chosen before is made worse",
        0,
        step=0.1,
        unit="nats",
    )

    def conflicts(self) -> dict[str, str]:
        """Return a sentence where the groups cannot share the width."""
        if self.width % self.groups == 0:
            return {}
        return {
            "groups": f"{self.width} beams cannot be shared by {self.groups} groups: choose a "
            f"width that is a multiple of the groups."
        }


register(
    DiverseBeam,
    lambda field, settings: BeamSearch(field, settings.width, settings.groups, settings.diversity),
)
