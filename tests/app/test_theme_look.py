"""What a theme draws by itself: boxes that can be seen unchecked, fields of one height, fonts."""

import pytest
from PySide6.QtGui import QColor, QFontDatabase, QFontInfo, QTextLayout
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QRadioButton, QSpinBox, QStyle

from app import theme
from tests.contrast import contrast


@pytest.fixture
def dressed(qapp):
    yield lambda dark: theme.apply(qapp, dark)
    theme.apply(qapp, False)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", [QCheckBox, QRadioButton])
def test_an_unchecked_box_has_an_outline(qtbot, dressed, kind, dark):
    dressed(dark)
    box = kind("A box")
    qtbot.addWidget(box)
    box.resize(120, 28)
    image = box.grab().toImage()
    row = [image.pixelColor(x, 14).getRgb()[:3] for x in range(24)]
    ground = QColor(theme.colours(dark).window).getRgb()[:3]
    assert max(contrast(colour, ground) for colour in row) >= 3


@pytest.mark.parametrize("dark", [False, True])
def test_the_tick_is_there(dark):
    name = f"tick-{'dark' if dark else 'light'}.svg"
    assert (theme.RESOURCES / "look" / name).is_file()
    assert name in theme.style_sheet(dark)


def test_fields_have_one_height(qtbot, dressed):
    dressed(False)
    heights = set()
    for kind in (QComboBox, QSpinBox, QLineEdit):
        field = kind()
        qtbot.addWidget(field)
        field.ensurePolished()
        least, most = field.minimumHeight(), field.maximumHeight()
        heights.add(min(max(field.sizeHint().height(), least), most))
    assert heights == {28}


def test_fonts_that_are_brought_have_their_licence():
    fonts = theme.RESOURCES / "fonts"
    files = list(fonts.glob("*.[ot]t[fc]"))
    assert files and sum(it.stat().st_size for it in files) < 8_000_000
    for name in {it.stem.partition("-")[0] for it in files}:
        said = (fonts / f"LICENSE-{name}.txt").read_text()
        assert "Open Font License" in said or "Apache License" in said


def test_what_qscope_brings_writes_emoji_code_and_cjk(fonts):
    assert {"Inter", "JetBrains Mono", "Noto Emoji"} <= set(QFontDatabase.families())
    for letters in ("漢字かな你好한글다", "🎉👩"):
        layout = QTextLayout(letters, theme.reading_font(12))
        layout.beginLayout()
        layout.createLine()
        layout.endLayout()
        for run in layout.glyphRuns():
            drawn = [run.rawFont().pathForGlyph(glyph) for glyph in run.glyphIndexes()]
            assert all(0 not in run.glyphIndexes() and not it.isEmpty() for it in drawn)
    assert QFontInfo(theme.fixed_font(12)).family() == theme.MONO_FAMILY
    assert QFontInfo(theme.reading_font(12)).family() == theme.UI_FAMILY


def test_motion_may_be_forbidden(qapp):
    """What the fade asks: Fusion says how long the desktop lets things move."""
    assert qapp.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration) >= 0
