"""The header: the chip of the pair, the command palette, and the mode for a stage."""

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtWidgets import QApplication, QPushButton

from app import theme
from app.actions.menus import Command
from app.pair_chip import PairChip
from app.palette import fitting, rank
from core.noise import NoiseFloor
from tests.app.conftest import do, settled

CTRL = Qt.KeyboardModifier.ControlModifier


# --- the pair -------------------------------------------------------------------------------------


def test_the_chip_names_the_pair_its_beta_and_what_can_be_done(window):
    assert window.chip.text() == "fake policy vs fake reference · β 0.1"
    assert "fake reference" in window.chip.toolTip()
    window.view.controls.beta.setValue(0.5)
    assert window.chip.text().endswith("β 0.5")
    do(window, "close_pair")


def test_the_chip_says_how_far_rounding_reaches(window):
    noise = NoiseFloor("bfloat16", 0.03, 0.01, 0.0, 50, "by hand")
    window.view.set_noise(noise)
    assert window.chip.text().endswith("· floor 0.003")


def test_there_may_be_no_pair(qtbot):
    chip = PairChip()
    qtbot.addWidget(chip)
    assert chip.text() == "No pair" and chip.accessibleName()


def test_icons_in_the_header_have_the_size_of_all_others(window):
    for button in (window.present_button, window.palette_button):
        assert button.iconSize().toTuple() == (theme.ICON, theme.ICON)


# --- the palette ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "title", "fits"),
    [
        ("", "Anything", True),
        ("gt", "Grow a tree", True),
        ("GROW", "grow a tree", True),
        ("g tree", "Grow a tree", True),
        ("tg", "Grow a t", False),
        ("growz", "Grow a tree", False),
    ],
)
def test_letters_fit_a_title_that_has_them_in_order(typed, title, fits):
    assert (rank(typed, title) is not None) == fits


def test_starts_of_words_and_neighbours_fit_better():
    assert rank("st", "Save the table") > rank("st", "Last checkpoint")
    assert rank("dark", "Theme: Dark") > rank("dark", "Read a park")
    assert rank("ab", "xa xb ab") == rank("ab", "ab")


def test_the_best_come_first_and_nothing_typed_keeps_the_order():
    titles = ["Last checkpoint", "Save the table", "Swap"]
    commands = [Command(title, "Menu", None) for title in titles]
    assert [it.title for it in fitting("", commands)] == titles
    assert fitting("sat", commands)[0].title == "Save the table"


@pytest.fixture
def palette(window, qtbot):
    window.view.panels["A"].editor.setFocus()
    qtbot.keyClick(window.view.panels["A"].editor, Qt.Key.Key_K, CTRL)
    assert window.commands.isVisible() and window.commands.typed.hasFocus()
    return window.commands


def test_it_lists_every_action(window, palette):
    listed = len(window.menus.actions) - 2  # recent files are menus of their own
    assert len(palette.shown()) == listed


def test_enter_does_what_was_found(window, palette, qtbot):
    qtbot.keyClicks(palette.typed, "theme dark")
    assert palette.shown()[0] == "Theme: Dark"
    qtbot.keyClick(palette.typed, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.look.dark)
    assert not palette.isVisible() and window.view.panels["A"].editor.hasFocus()


def test_the_arrows_choose_and_the_mouse_too(window, palette, qtbot):
    before = [panel.text() for panel in window.view.panels.values()]
    first = palette.rows.currentItem()
    qtbot.keyClick(palette.typed, Qt.Key.Key_Down)
    assert palette.rows.currentItem() is not first
    qtbot.keyClick(palette.typed, Qt.Key.Key_Up)
    assert palette.rows.currentItem() is first
    qtbot.keyClicks(palette.typed, "swap")
    where = palette.rows.visualItemRect(palette.rows.currentItem()).center()
    qtbot.mouseClick(palette.rows.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.waitUntil(lambda: [it.text() for it in window.view.panels.values()] == before[::-1])
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_escape_closes_it_and_unpins_nothing(window, palette, qtbot):
    qtbot.keyClick(palette.typed, Qt.Key.Key_Escape)
    assert not palette.isVisible() and window.view.panels["A"].editor.hasFocus()
    window.view.focus_on.pin("B", 2)
    do(window, "show_palette")
    qtbot.keyClick(palette.typed, Qt.Key.Key_Escape)
    assert window.view.focus_on.pinned == ("B", 2)


def test_it_closes_when_what_had_the_keys_is_gone(window, qtbot):
    gone = QPushButton("gone", window)
    gone.show()
    gone.setFocus()
    do(window, "show_palette")
    gone.deleteLater()
    QCoreApplication.sendPostedEvents(gone, QEvent.Type.DeferredDelete.value)
    qtbot.keyClick(window.commands.typed, Qt.Key.Key_Escape)
    assert not window.commands.isVisible()


def test_nothing_found_is_said_and_nothing_is_done(window, palette, qtbot):
    qtbot.keyClicks(palette.typed, "zzzz")
    assert not palette.shown() and palette.nothing.isVisible()
    qtbot.keyClick(palette.typed, Qt.Key.Key_Return)
    assert palette.isVisible()


def test_what_cannot_be_done_is_listed_and_not_done(window, palette, qtbot):
    qtbot.keyClicks(palette.typed, "compute in float32")
    assert palette.rows.topLevelItem(0).isDisabled()


def test_it_goes_when_something_else_is_clicked(window, palette, qtbot):
    window.view.panels["B"].editor.setFocus()
    assert not palette.isVisible()


# --- the stage ------------------------------------------------------------------------------------


def test_a_stage_shows_the_view_alone_in_larger_letters(window, qtbot):
    editor = window.view.panels["A"].editor
    before = editor.font().pointSizeF()
    editor.setFocus()
    qtbot.keyClick(editor, Qt.Key.Key_F11)
    choices = window.view.controls.choices
    aside = window.menuBar(), window.tool_bar, window.statusBar(), choices
    assert window.isFullScreen() and not any(part.isVisible() for part in aside)
    assert window.view.controls.legend.isVisible()  # colours are never without their meaning
    assert editor.font().pointSizeF() > before or window.height() < 900
    qtbot.keyClick(QApplication.focusWidget() or window, Qt.Key.Key_Escape)
    assert not window.isFullScreen() and all(part.isVisible() for part in aside)
    assert not window.menus.actions["set_presentation"].isChecked()
    window.resize(1440, 900)
    qtbot.waitUntil(lambda: editor.font().pointSizeF() == before)


def test_escape_lets_a_token_go_before_it_leaves_the_stage(window, qtbot):
    do(window, "set_presentation")
    window.view.focus_on.pin("B", 2)
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert window.view.focus_on.pinned is None and window.isFullScreen()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert not window.isFullScreen()


def test_keys_of_menus_work_on_a_stage(window, qtbot):
    do(window, "set_presentation")
    qtbot.keyClick(window, Qt.Key.Key_I, CTRL)
    assert window.view.inspector.isVisible()
    qtbot.keyClick(window, Qt.Key.Key_F11)
    assert not window.isFullScreen()


def test_a_stage_is_not_remembered(open_window):
    first = open_window(spec=None)
    points = first.look.points
    do(first, "set_presentation")
    first.close()
    again = open_window(spec=None)
    assert not again.isFullScreen() and again.look.points == points
