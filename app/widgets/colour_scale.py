"""Turns numbers into colours: blue and red scales that are exactly the surface's colour at 0.

A scale runs along straight lines in OKLab (Ottosson 2020), from the surface (white, or the dark
editor's background) to one full colour on each side. Both full colours share one lightness and one
chroma, so equal magnitudes look equally strong, to colour-blind readers too: blue and vermilion
differ on the axis that the common kinds of colour blindness spare. Full colours stop where one text
colour per theme still has a contrast of 4.5:1, so text is never recoloured token by token.

On white, equal steps of value are equal steps along the line. On the dark surface the eye sees less
of what OKLab calls a step, the less the darker it is, so weak values go farther along their line:
they contrast with it at least as much as the same values do with white.

Values are cut into a small palette of classes, because painting is fast with few brushes. Knows
NumPy; knows nothing of Qt, tokens or models.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Classes = NDArray[np.int16]
Rgb = tuple[int, int, int]

STEPS = 32
"""Classes on each side of 0."""
NO_COLOUR = -1
"""The class of a value that is not known (NaN)."""

LIGHT_SURFACE: Rgb = (255, 255, 255)
LIGHT_TEXT: Rgb = (17, 19, 24)
DARK_SURFACE: Rgb = (15, 16, 20)
DARK_TEXT: Rgb = (244, 245, 248)

_LIGHT_END = (0.655, 0.165)
_DARK_END = (0.545, 0.19)
"""OKLab lightness and chroma of a full colour; the largest that sRGB and the contrast allow."""
_LIGHT_BEND, _DARK_BEND = 1.0, 0.6
"""A value goes along its line by its share of the limit to this power."""
_BLUE, _RED, _VIOLET = 259.0, 33.0, 305.0
"""OKLab hues in degrees."""
_FADED = 0.38
"""The share of its colour that a faded (stale) class has."""

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_linear(rgb: ArrayLike) -> Floats:
    """Return sRGB components 0..255, [..., 3], as linear light 0..1, [..., 3]."""
    c = np.asarray(rgb, dtype=np.float64) / 255.0
    light: Floats = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return light


def oklab(rgb: ArrayLike) -> Floats:
    """Return OKLab lightness, a and b, [..., 3], of sRGB components 0..255, [..., 3]."""
    lms: Floats = np.cbrt(to_linear(rgb) @ _TO_LMS.T)
    lab: Floats = lms @ _TO_LAB.T
    return lab


def from_oklab(lab: ArrayLike) -> Floats:
    """Return sRGB components of OKLab colours, [..., 3], on 0..255, neither rounded nor clipped."""
    lms = (np.asarray(lab, dtype=np.float64) @ np.linalg.inv(_TO_LAB).T) ** 3
    linear: Floats = lms @ np.linalg.inv(_TO_LMS).T
    sign, c = np.sign(linear), np.abs(linear)
    return sign * np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055) * 255.0


@dataclass(frozen=True)
class ColourScale:
    """A scale from -limit to limit (diverging) or from 0 to limit in magnitude (sequential).

    ``limit`` has the values' own unit and is positive; values beyond it have the full colour.
    ``swap`` exchanges blue (positive) and red (negative). Values of a magnitude below ``floor``,
    their noise, have the colour of 0. Immutable; compare scales by value.
    """

    limit: float = 1.0
    kind: Literal["diverging", "sequential"] = "diverging"
    swap: bool = False
    dark: bool = False
    floor: float = 0.0
    strength: float = 1.0
    """The share of their colour that all classes have, while they fade in."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.limit) and self.limit > 0):
            raise ValueError(f"a colour scale's limit must be positive, not {self.limit}")

    @property
    def surface(self) -> Rgb:
        """Return the background that text stands on, which is also the colour of 0."""
        return DARK_SURFACE if self.dark else LIGHT_SURFACE

    @property
    def text(self) -> Rgb:
        """Return the one text colour, at least 4.5:1 on every class and on the surface."""
        return DARK_TEXT if self.dark else LIGHT_TEXT

    @property
    def zero(self) -> int:
        """Return the class of the value 0."""
        return STEPS if self.kind == "diverging" else 0

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """Return the classes' colours, lowest first, [65, 3] diverging or [33, 3] sequential."""
        return self._mix(self.strength)

    @cached_property
    def faded(self) -> NDArray[np.uint8]:
        """Return the palette for values that an edit has made stale: paler, same hues."""
        return self._mix(_FADED * self.strength)

    def classes(self, values: ArrayLike) -> Classes:
        """Return the palette class of every value, any shape; NO_COLOUR where a value is NaN."""
        v = np.asarray(values, dtype=np.float64)
        known = ~np.isnan(v)
        told = known & (np.abs(v) >= self.floor)
        t = np.clip(np.where(told, v, 0.0), -self.limit, self.limit) / self.limit
        steps = t if self.kind == "diverging" else np.abs(t)
        index = np.rint(steps * STEPS) + self.zero
        return np.where(known, index, NO_COLOUR).astype(np.int16)

    def colours(self, values: ArrayLike) -> NDArray[np.uint8]:
        """Return sRGB colours 0..255 of values, [...] -> [..., 3]; the surface where NaN."""
        classes = self.classes(values)
        return self.palette[np.where(classes == NO_COLOUR, self.zero, classes)]

    def hides(self, value: float) -> bool:
        """Return whether a value lies below the noise floor."""
        return abs(value) < self.floor

    def css(self, value: float) -> str:
        """Return the colour of one value as ``#rrggbb``, for rich text and plots."""
        r, g, b = self.colours(value)
        return f"#{r:02x}{g:02x}{b:02x}"

    def _mix(self, strength: float) -> NDArray[np.uint8]:
        """Return the classes' colours: straight OKLab lines from the surface to full colours."""
        bend = _DARK_BEND if self.dark else _LIGHT_BEND
        t = strength * np.linspace(0.0, 1.0, STEPS + 1)[:, None] ** bend
        base = oklab(self.surface)
        low, high = self.ends()
        rows = base * (1 - t) + high * t
        if self.kind == "diverging":
            rows = np.vstack([(base * (1 - t) + low * t)[:0:-1], rows])
        return np.clip(np.rint(from_oklab(rows)), 0, 255).astype(np.uint8)

    def ends(self) -> tuple[Floats, Floats]:
        """Return the two full colours in OKLab, [3] each: of negative and of positive values."""
        lightness, chroma = _DARK_END if self.dark else _LIGHT_END
        hues = (_VIOLET, _VIOLET) if self.kind == "sequential" else (_RED, _BLUE)
        low, high = (
            np.array([lightness, chroma * np.cos(h), chroma * np.sin(h)])
            for h in np.radians(hues[::-1] if self.swap else hues)
        )
        return low, high


def fit_limit(values: ArrayLike, share: float = 98.0) -> float:
    """Return a limit that suits values: a high percentile of sizes, rounded up to 1, 2, 3 or
    5 x 10^k.

    A percentile, so that one extreme token does not make all others pale. 1.0 where there is
    nothing to fit (no values, all NaN, or all 0).
    """
    v = np.abs(np.asarray(values, dtype=np.float64).ravel())
    v = v[np.isfinite(v) & (v > 0)]
    if not v.size:
        return 1.0
    # np.percentile gives the same, but its first call takes 25 ms: it imports masked arrays.
    target = float(np.interp(share / 100 * (v.size - 1), np.arange(v.size), np.sort(v)))
    power = float(10.0 ** np.floor(np.log10(target)))
    for nice in (1.0, 2.0, 3.0, 5.0, 10.0):
        if nice * power >= target * (1 - 1e-9):
            return float(f"{nice * power:.12g}")
    return float(f"{10 * power:.12g}")
