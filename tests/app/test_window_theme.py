"""Both themes can be read: every text colour on every ground that it stands on."""

import pytest
from PySide6.QtGui import QColor, QPalette

from app import theme
from tests.app.conftest import do
from tests.contrast import contrast


def rgb(name):
    return QColor(name).getRgb()[:3]


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark, qapp):
    c = theme.colours(dark)
    for ground in (c.window, c.surface, c.card, c.raised, c.error, c.warning, c.info):
        assert contrast(rgb(c.text), rgb(ground)) >= 7
    for ground in (c.window, c.surface, c.card, c.raised):
        assert contrast(rgb(c.muted), rgb(ground)) >= 4.5
    assert contrast(rgb(c.on_accent), rgb(c.accent)) >= 4.5
    for ground in (c.card, c.surface):
        for colour in theme.SIDE_COLOURS[dark].values():
            # Letters A and B are large and bold.
            assert contrast(rgb(colour), rgb(ground)) >= 3
    role = QPalette.ColorRole
    made = theme.palette(dark)
    assert made.color(role.Text).name() == c.text


def test_auto_asks_the_desktop(qapp):
    assert theme.is_dark("dark") and not theme.is_dark("light")
    assert theme.is_dark("auto") in (True, False)


def test_another_theme_leaves_the_size_of_the_text(open_window):
    window = open_window()
    editor = window.view.panels["A"].editor
    do(window, "zoom_in")
    size = editor.font().pointSizeF()
    for name in ("dark", "light"):
        do(window, f"theme {name}")
        assert editor.font().pointSizeF() == size == window.look.points * theme.RESPONSE
