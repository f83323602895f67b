"""Which colour scale each way of colouring has: fitted to what is shown, or locked.

Knows modes and colour scales; knows nothing of widgets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.credit.numbers import Floats, Key, Mode
from app.widgets.colour_scale import ColourScale, fit_limit


@dataclass
class ScaleChoice:
    """One limit per mode, and the choices that all modes share."""

    locked: bool = False
    swap: bool = False
    dark: bool = False
    _limits: dict[Key, float] = field(default_factory=dict)

    def fit(self, mode: Mode, values: Sequence[Floats]) -> None:
        """Fit the mode's limit to both responses' values; while locked, only the first time."""
        if self.locked and mode.key in self._limits:
            return
        known = np.concatenate([*values, np.zeros(0)])
        if np.isfinite(known).any():
            self._limits[mode.key] = fit_limit(known)

    def lock(self, mode: Mode, limit: float) -> None:
        """The user's own limit; it stays for new values."""
        self.locked = True
        self._limits[mode.key] = limit

    def scale(self, mode: Mode) -> ColourScale:
        """The mode's scale."""
        return ColourScale(self._limits.get(mode.key, 1.0), mode.kind, self.swap, self.dark)
