import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.widgets.colour_scale import (
    NO_COLOUR,
    STEPS,
    ColourScale,
    fit_limit,
    from_oklab,
    oklab,
)
from tests.contrast import contrast

THEMES = [False, True]
KINDS = ["diverging", "sequential"]


@pytest.mark.parametrize("dark", THEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_text_is_readable_on_every_colour(kind, dark):
    scale = ColourScale(1.0, kind, dark=dark)
    values = np.linspace(-1.5, 1.5, 2001)
    assert contrast(scale.colours(values), scale.text).min() >= 4.5
    assert contrast(scale.faded, scale.text).min() >= 4.5


@pytest.mark.parametrize("dark", THEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_zero_is_exactly_the_surface(kind, dark):
    scale = ColourScale(0.37, kind, dark=dark)
    assert tuple(scale.colours(0.0)) == scale.surface
    assert tuple(scale.faded[scale.zero]) == scale.surface
    if not dark:
        assert scale.surface == (255, 255, 255)


@pytest.mark.parametrize("dark", THEMES)
def test_both_sides_are_equally_light_and_equally_colourful(dark):
    lab = oklab(ColourScale(1.0, dark=dark).palette)
    low, high = lab[STEPS::-1], lab[STEPS:]
    assert np.abs(low[:, 0] - high[:, 0]).max() < 0.006  # rounding to 8 bits
    chroma = [np.hypot(side[:, 1], side[:, 2]) for side in (low, high)]
    # The dark surface is faintly blue itself, which tells only where colours are pale.
    assert np.abs(chroma[0] - chroma[1]).max() < 0.016
    assert np.abs(chroma[0][-1] - chroma[1][-1]) < 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_on_white_equal_steps_of_value_are_equal_steps_of_colour(kind):
    scale = ColourScale(1.0, kind)
    steps = np.linalg.norm(np.diff(oklab(scale.palette[scale.zero :]), axis=0), axis=1)
    # 8-bit rounding moves a step by up to 0.003; the steps themselves are about 0.012.
    assert steps.std() / steps.mean() < 0.2
    smooth = np.linalg.norm(np.diff(oklab(scale.palette[scale.zero :: 4]), axis=0), axis=1)
    assert smooth.max() / smooth.min() < 1.15


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_dark_a_larger_value_always_has_a_stronger_colour(kind):
    scale = ColourScale(1.0, kind, dark=True)
    lab = oklab(scale.palette[scale.zero :])
    far = np.linalg.norm(lab - oklab(scale.surface), axis=1)
    assert np.diff(far).min() > 0.004  # 8-bit rounding moves a colour by up to 0.003
    steps = np.diff(far[::4])
    assert (steps[1:] < steps[:-1] + 0.003).all()  # none is larger than the one before


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.33])
def test_weak_values_are_seen_in_the_dark_at_least_as_well_as_on_white(side, share):
    light, dark = (ColourScale(3.0, dark=dark) for dark in THEMES)
    seen = [
        contrast(scale.colours(3.0 * side * share), scale.surface).min() for scale in (light, dark)
    ]
    assert seen[1] >= seen[0]


def test_blue_is_positive_and_swap_exchanges_the_sides():
    plain, swapped = ColourScale(), ColourScale(swap=True)
    red, blue = plain.colours(-1.0).astype(int), plain.colours(1.0).astype(int)
    assert blue[2] > blue[0] + 100 and red[0] > red[2] + 100
    assert (swapped.palette == plain.palette[::-1]).all()


@pytest.mark.parametrize("dark", THEMES)
@pytest.mark.parametrize(
    "vision",
    [  # Machado, Oliveira, Fernandes 2009, severity 1.0, on linear light
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]],
    ],
    ids=["deuteranopia", "protanopia"],
)  # fmt: skip
def test_the_sides_differ_for_colour_blind_readers(vision, dark):
    from app.widgets.colour_scale import to_linear

    scale = ColourScale(dark=dark)
    seen = np.clip(to_linear(scale.palette) @ np.array(vision).T, 0, 1)
    srgb = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055) * 255
    lab = oklab(srgb)
    assert np.linalg.norm(lab[0] - lab[-1]) > 0.15
    half = STEPS // 2
    assert np.linalg.norm(lab[STEPS - half] - lab[STEPS + half]) > 0.07


def test_the_full_colours_are_inside_srgb():
    for dark in THEMES:
        for kind in KINDS:
            for end in ColourScale(1.0, kind, dark=dark).ends():
                exact = from_oklab(end)
                assert exact.min() >= -0.5 and exact.max() <= 255.5


@given(st.lists(st.floats(allow_infinity=True), max_size=50), st.floats(1e-6, 1e6))
def test_every_value_has_a_class(values, limit):
    scale = ColourScale(limit)
    classes = scale.classes(values)
    unknown = np.isnan(np.array(values, dtype=float))
    assert (classes[unknown] == NO_COLOUR).all()
    known = classes[~unknown]
    assert ((known >= 0) & (known < len(scale.palette))).all()
    order = np.argsort(np.array(values, dtype=float)[~unknown], kind="stable")
    assert (np.diff(known[order]) >= 0).all()


def test_classes_reach_the_ends_at_the_limit():
    scale = ColourScale(2.0)
    assert scale.classes([-9, -2, 0, 1, 2, 9]).tolist() == [0, 0, 32, 48, 64, 64]
    assert ColourScale(2.0, "sequential").classes([-2, 0, 1]).tolist() == [32, 0, 16]
    assert scale.css(0.0) == "#ffffff"


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_must_be_positive(limit):
    with pytest.raises(ValueError, match="limit"):
        ColourScale(limit)


@pytest.mark.parametrize(
    "values, limit",
    [
        ([], 1.0),
        ([0.0, 0.0], 1.0),
        ([float("nan")], 1.0),
        ([0.3], 0.3),
        ([2.4], 3.0),
        ([0.31], 0.5),
        ([-0.02], 0.02),
        ([0.1] * 99 + [40.0], 0.1),
        ([6.1, -6.1], 10.0),
        ([1.0], 1.0),
        ([1500.0], 2000.0),
    ],
)
def test_the_fitted_limit_is_a_nice_number_above_most_values(values, limit):
    assert fit_limit(values) == limit


@pytest.mark.parametrize("count", [1, 2, 3, 50, 101])
def test_a_limit_is_the_first_round_number_from_the_percentile_on(count):
    values = np.random.default_rng(count).normal(size=count)
    target = np.percentile(np.abs(values), 98)
    limit = fit_limit(values)
    smaller = {1: 0.5, 2: 0.5, 3: 2 / 3, 5: 0.6}[int(f"{limit:e}"[0])] * limit
    assert smaller < target <= limit


def test_colours_come_from_nothing():
    whole, none = ColourScale(2.0), ColourScale(2.0, strength=0.0)
    assert (none.palette == none.surface).all() and (none.faded == none.surface).all()
    half = ColourScale(2.0, strength=0.5).palette.astype(int)
    far = np.abs(whole.palette.astype(int) - whole.surface).sum(axis=1)
    assert (np.abs(half - whole.surface).sum(axis=1) <= far).all()
