"""Chooses each measure's colour scale: fitted once to what is shown, or locked.

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
    fitted: dict[str, float] = field(default_factory=dict)
    """The limits that were found first, by measure and what it is shown over; kept for a pair."""
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

    def fit_once(
        self, measure: Measure, over: str, values: Sequence[Floats], *states: Sequence[Floats]
    ) -> None:
        """Fit as ``fit`` does to the first values ``over`` something, and keep to that.

        Colours of other texts then compare. Other checkpoints' ``states`` widen the range.
        """
        if self.locked and measure.key in self._limits:
            return
        key = f"{measure.key} {over}"
        before = self.fitted.get(key)
        if before is not None:
            self._limits[measure.key] = before
        if not any((np.isfinite(it) & (it != 0)).any() for it in values):
            return
        if before is None:
            self.fit(measure, values, *states)
        elif len(states) > 1:
            self.fit(measure, *states)
            self._limits[measure.key] = max(before, self._limits[measure.key])
        self.fitted[key] = self._limits[measure.key]

    def forget(self, measure: Measure) -> None:
        """Let the measure be fitted anew, and unlock the range."""
        self.locked = False
        for key in [key for key in self.fitted if key.split(" ")[0] == measure.key]:
            del self.fitted[key]

    def is_fitted(self, measure: Measure) -> bool:
        """Return whether the measure has a limit that was found or chosen."""
        return measure.key in self._limits

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
