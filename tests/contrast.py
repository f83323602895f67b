"""The contrast of two colours, as WCAG 2.1 defines it."""

import numpy as np

from app.widgets.colour_scale import to_linear


def contrast(one, other):
    """Return the WCAG contrast ratio, 1..21, of sRGB colours 0..255; [..., 3] -> [...]."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    a = to_linear(one) @ weights + 0.05
    b = to_linear(other) @ weights + 0.05
    return np.maximum(a, b) / np.minimum(a, b)
