"""The font with higher lines: the same letters, as high as asked, in the middle of their lines."""

import struct

import numpy as np
import pytest
from PySide6.QtGui import QFontInfo, QFontMetricsF

from app import theme
from app.tall_font import tall_font
from app.widgets.token_editor import TokenEditor

INTER = theme.RESOURCES / "fonts" / "Inter-Regular.otf"
OTHER_SCRIPTS = ["漢字とかな", "한국어", "שלום עולם", "سلام", "a 🙂 b", "e\u0301"]


def tables(font):
    (count,) = struct.unpack_from(">H", font, 4)
    records = (struct.unpack_from(">4sIII", font, 12 + 16 * i) for i in range(count))
    return {tag: (total, font[start : start + length]) for tag, total, start, length in records}


def words(part):
    return int(np.frombuffer(part + bytes(-len(part) % 4), ">u4").astype(object).sum()) % 2**32


@pytest.fixture
def editor(qtbot, fonts):
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.resize(600, 300)
    editor.show()
    return editor


def line_heights(editor):
    block, found = editor.document().firstBlock(), []
    while block.isValid():
        layout = block.layout()
        found += [layout.lineAt(i).height() for i in range(layout.lineCount())]
        block = block.next()
    return found


@pytest.mark.parametrize("points, high", [(15, 30), (18, 36)])
@pytest.mark.parametrize("text", ["They say so. " * 20, *OTHER_SCRIPTS])
def test_lines_are_one_and_a_half_times_as_high_as_their_text(editor, points, high, text):
    editor.setFont(theme.reading_font(points, roomy=True))
    editor.set_text(text)
    editor.viewport().repaint()
    assert set(line_heights(editor)) == {high}


def test_the_letters_are_those_of_inter_in_the_middle_of_the_line(fonts):
    roomy, usual = (QFontMetricsF(theme.reading_font(18, roomy=on)) for on in (True, False))
    text = "The poster was offered a management position for $250K"
    assert roomy.horizontalAdvance(text) == usual.horizontalAdvance(text)
    assert roomy.capHeight() == usual.capHeight()
    assert abs(roomy.ascent() - roomy.capHeight() - roomy.descent()) < 0.1
    assert QFontInfo(theme.reading_font(18, roomy=True)).family() == theme.ROOMY_FAMILY


def test_without_it_lines_are_as_they_were(qapp):
    assert theme.reading_font(18, roomy=True).families() == theme.reading_font(18).families()


def test_nothing_else_of_the_font_has_changed():
    before = INTER.read_bytes()
    after = tall_font(before, "Roomy", 1.5)
    old, new = tables(before), tables(after)
    assert len(after) == len(before) and old.keys() == new.keys()
    changed = {tag for tag in old if old[tag][1] != new[tag][1]}
    assert changed == {b"head", b"hhea", b"OS/2", b"name"}
    assert "The Inter Project Authors".encode("utf-16-be") in new[b"name"][1]


def test_its_sums_are_right():
    font = tall_font(INTER.read_bytes(), "Roomy", 1.5)
    for tag, (total, part) in tables(font).items():
        if tag == b"head":
            part = part[:8] + bytes(4) + part[12:]
        assert words(part) == total, tag
    assert words(font) == 0xB1B0AFBA


@pytest.mark.parametrize("data", [b"", b"OTTO", INTER.read_bytes()[:200], b"\x00\x01" * 400])
def test_what_is_no_font_is_refused(data):
    with pytest.raises(ValueError, match="font"):
        tall_font(data, "Roomy", 1.5)


def test_a_name_of_another_length_is_refused():
    with pytest.raises(ValueError, match="5 letters"):
        tall_font(INTER.read_bytes(), "Roomier", 1.5)
