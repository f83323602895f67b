"""Writes numbers as text: signs, digits, probabilities, and what noise hides.

Knows numbers and the noise floor; knows nothing of widgets.
"""

import re

import numpy as np

from core.noise import NoiseFloor

_NEGATIVE = re.compile(r"(?<![\w-])-(?=\d)")


def real_minus(text: str) -> str:
    """Return a number's text with a minus sign in place of a hyphen."""
    return text.replace("-", "\u2212")


def with_minuses(text: str) -> str:
    """Return a text with a real minus before each of its negative numbers; other hyphens stay."""
    return _NEGATIVE.sub("\u2212", text)


def as_number(text: str) -> float | str:
    """Return the number that one of these texts shows, the text itself where it shows none."""
    try:
        return float(text.replace("\u2212", "-"))
    except ValueError:
        return text


def signed(value: float, digits: int = 3) -> str:
    """Return a number with its sign, a real minus, and no minus zero."""
    text = f"{value:+.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return real_minus(text)


def plain(value: float, digits: int = 3) -> str:
    """Return a number with a real minus."""
    return real_minus(f"{value:.{digits}f}")


def tiny(value: float) -> str:
    """Return a number that should be 0, to its first digit."""
    if np.isnan(value):
        return "–"
    return real_minus(f"{value:.0e}") if value else "0"


def percent(logp: float) -> str:
    """Return a log-probability as a percentage, with as many digits as it deserves."""
    p = 100.0 * float(np.exp(logp))
    if p >= 99.95:
        return f"{p:.1f}%" if p < 100 else "100%"
    if p >= 1:
        return f"{p:.1f}%"
    if p >= 0.0001:
        return f"{p:.2g}%"
    return f"{p:.0e}%".replace("e-0", "e\u2212") if p > 0 else "≈0%"


def emphasised(value: str, faint: bool) -> str:
    """Return a number as rich text: bold, unless noise may be all that it is."""
    return f"{value} <small>(noise)</small>" if faint else f"<b>{value}</b>"


def noise_words(noise: NoiseFloor, floor: float) -> str:
    """Return why a number is grey."""
    return f"below the noise floor of {noise.dtype} (±{floor:.2g})"
