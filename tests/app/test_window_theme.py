"""Both themes can be read: every text colour on every ground that it stands on."""

import numpy as np
import pytest
from PySide6.QtGui import QColor, QPalette

from app import theme
from app.banner import PairBanner
from app.widgets.colour_scale import ColourScale, oklab
from tests.app.conftest import do
from tests.contrast import contrast


def rgb(name):
    return QColor(name).getRgb()[:3]


@pytest.fixture
def worn(qapp):
    """Dresses the application; light again at the end."""
    yield lambda dark, contrast: theme.apply(qapp, dark, contrast)
    theme.apply(qapp, False)


@pytest.mark.parametrize("contrasty", [False, True])
@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark, contrasty, worn):
    worn(dark, contrasty)
    c = theme.colours(dark)
    calm = c.window, c.surface, c.card, c.raised, c.chosen, c.info
    for ground in (*calm, c.error, c.warning):
        assert contrast(rgb(c.text), rgb(ground)) >= 7
    for ground in calm:
        assert contrast(rgb(c.muted), rgb(ground)) >= (7 if contrasty else 4.5)
    assert contrast(rgb(c.on_accent), rgb(c.accent)) >= 4.5
    for ground in (c.window, c.surface, c.card, c.raised):
        assert contrast(rgb(c.accent), rgb(ground)) >= 4.5  # links
    for ground in (c.window, c.surface, c.card):
        assert contrast(rgb(c.outline), rgb(ground)) >= (7 if contrasty else 3)
        assert contrast(rgb(c.evidence), rgb(ground)) >= 3
    for ground in (c.card, c.surface):
        for colour in theme.SIDE_COLOURS[dark].values():
            # Letters A and B are large and bold.
            assert contrast(rgb(colour), rgb(ground)) >= 3
    role = QPalette.ColorRole
    made = theme.palette(dark)
    assert made.color(role.Text).name() == c.text


@pytest.mark.parametrize("dark", [False, True])
def test_the_surface_of_a_theme_is_the_colour_of_no_reward(dark):
    assert rgb(theme.colours(dark).surface) == ColourScale(dark=dark).surface


def test_the_accent_is_no_colour_of_a_reward():
    """Its hue is away from both: by more than a tenth of a turn."""
    for dark in (False, True):
        hue = np.degrees(np.arctan2(*oklab(rgb(theme.colours(dark).accent))[:0:-1]))
        for end in ColourScale(dark=dark).ends():
            apart = abs(hue - np.degrees(np.arctan2(end[2], end[1]))) % 360
            assert min(apart, 360 - apart) > 18


@pytest.mark.parametrize("dark", [False, True])
def test_a_small_reward_is_seen(dark):
    """A tenth of the full colour differs from the ground by more than readers need to see it."""
    scale = ColourScale(1.0, dark=dark)
    ground = oklab(scale.surface)
    for value in (-0.1, 0.1):
        assert np.linalg.norm(oklab(scale.colours(value)) - ground) > 0.02


def test_auto_asks_the_desktop(qapp):
    assert theme.is_dark("dark") and not theme.is_dark("light")
    assert theme.is_dark("auto") in (True, False)
    assert theme.is_high_contrast("contrast") and not theme.is_high_contrast("dark")
    assert theme.is_high_contrast("auto") in (True, False)


def test_another_theme_leaves_the_size_of_the_text(open_window):
    window = open_window()
    editor = window.view.panels["A"].editor
    do(window, "zoom_in")
    size = editor.font().pointSizeF()
    for name in ("dark", "light"):
        do(window, f"theme {name}")
        assert editor.font().pointSizeF() == size == window.look.points * theme.RESPONSE


def test_high_contrast_is_a_theme_of_its_own(open_window):
    window = open_window()
    do(window, "theme contrast")
    assert theme.colours(True) == theme.CONTRAST_DARK and window.look.dark
    surface = QColor(theme.CONTRAST_DARK.surface)
    for panel in window.view.panels.values():
        assert panel.editor.palette().base().color() == surface
    do(window, "theme light")
    assert theme.colours(False) == theme.LIGHT


def test_motion_is_the_users_to_forbid(open_window, qapp, qtbot):
    window = open_window()
    assert theme.motion(0) == 0
    banner = PairBanner()
    qtbot.addWidget(banner)
    banner.show_loading("Importing", None)
    assert not banner.bar.isHidden()
    do(window, "set_still")
    assert theme.motion(150) == 0
    banner.show_loading("Importing", None)  # a bar that knows no share moves without end
    assert banner.bar.isHidden() and banner.text.text() == "Importing …"
    banner.show_loading("Loading", 0.5)
    assert not banner.bar.isHidden() and banner.bar.value() == 50
    do(window, "set_still")
