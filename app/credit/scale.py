"""Chooses each measure's colour scale: fitted to what is shown, or locked.

Knows measures and colour scales; knows nothing of widgets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.widgets.colour_scale import ColourScale, fit_limit
from core.present.measures import Measure
from core.present.units import Floats


@dataclass
class ScaleChoice:
    """One limit per measure, and the choices that all measures share."""

    locked: bool = False
    swap: bool = False
    dark: bool = False
    floor: float = 0.0
    """The noise of one reward."""
    _limits: dict[str, float] = field(default_factory=dict)

    def fit(self, measure: Measure, *states: Sequence[Floats]) -> None:
        """Fit the measure's limit to both responses' values; while locked, only the first time.

        Of several states (the checkpoints of a run) the one that needs the most decides, so that
        the colours of all of them compare.
        """
        if self.locked and measure.key in self._limits:
            return
        all_known = [np.concatenate([*values, np.zeros(0)]) for values in states]
        # A state without any reward yet, as at a run's start, says nothing of the range.
        telling = [known for known in all_known if (np.isfinite(known) & (known != 0)).any()]
        if telling:
            self._limits[measure.key] = max(map(fit_limit, telling))
        elif any(np.isfinite(known).any() for known in all_known):
            self._limits[measure.key] = 1.0

    def lock(self, measure: Measure, limit: float) -> None:
        """Lock the range at the user's own limit."""
        self.locked = True
        self._limits[measure.key] = limit

    def scale(self, measure: Measure) -> ColourScale:
        """Return the measure's scale."""
        floor = self.floor * measure.noise
        limit = self._limits.get(measure.key, 1.0)
        return ColourScale(limit, measure.kind, self.swap, self.dark, floor)


def compared_words(checkpoints: int) -> str:
    """Return what the legend says of the checkpoints that the scale fits; "" of one alone."""
    if checkpoints < 2:
        return ""
    return (
        f"The range fits the {checkpoints} checkpoints of the run that are known for these "
        "responses, so that credit is seen to grow from one to the next."
    )
