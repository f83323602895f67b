import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.widgets.colour_scale import ColourScale
from app.widgets.legend import Legend


@pytest.fixture
def legend(qtbot):
    legend = Legend()
    qtbot.addWidget(legend)
    legend.resize(500, 60)
    legend.show()
    return legend


@pytest.fixture
def said(legend):
    said = []
    legend.locked_changed.connect(lambda on: said.append(("locked", on)))
    legend.swap_changed.connect(lambda on: said.append(("swap", on)))
    legend.limit_changed.connect(lambda value: said.append(("limit", value)))
    return said


def bar_colour(legend, share):
    image = legend.bar.grab().toImage()
    bar = legend.bar.bar_rect()
    colour = image.pixelColor(round(bar.left() + share * bar.width()), round(bar.center().y()))
    return colour.red(), colour.green(), colour.blue()


@pytest.mark.parametrize("dark", [False, True])
def test_the_bar_has_the_scales_own_colours(legend, dark):
    scale = ColourScale(0.5, dark=dark)
    legend.set_scale(scale)
    for share, value in ((0.02, -0.5), (0.25, -0.25), (0.75, 0.25), (0.98, 0.5)):
        near = bar_colour(legend, share)
        assert max(abs(a - int(b)) for a, b in zip(near, scale.colours(value), strict=True)) < 14


def test_the_ends_are_labelled(legend):
    legend.set_scale(ColourScale(0.5))
    assert legend.bar.ends() == ("\u22120.5", "0", "+0.5")
    legend.set_scale(ColourScale(20.0, "sequential"), negative=True)
    assert legend.bar.ends() == ("0", "", "\u221220")
    assert not legend.swap.isEnabled()
    legend.set_quantity("KL(π\u202f||\u202fπ_ref)", "nats")
    assert "KL" in legend.bar.accessibleName() and "nats" in legend.bar.toolTip()
    assert "Neutral at 0" in legend.bar.toolTip()


def test_what_the_program_sets_is_not_announced(legend, said):
    legend.set_scale(ColourScale(3.0, swap=True))
    legend.set_locked(True)
    legend.set_locked(False)
    assert said == [] and legend.limit.value() == 3.0 and legend.swap.isChecked()


def test_lock_and_swap_work_from_mouse_and_keyboard(legend, said):
    QTest.mouseClick(legend.lock, Qt.MouseButton.LeftButton)
    QTest.keyClick(legend.swap, Qt.Key.Key_Space)
    assert said == [("locked", True), ("swap", True)] and legend.locked()


def test_a_typed_limit_locks_the_range(legend, said):
    legend.limit.selectAll()
    QTest.keyClicks(legend.limit, "0.25")
    assert said == []  # half-typed numbers are not announced
    QTest.keyClick(legend.limit, Qt.Key.Key_Return)
    assert said == [("locked", True), ("limit", 0.25)]


def test_the_arrows_step_through_round_numbers(legend, said):
    legend.set_scale(ColourScale(0.5))
    for _ in range(3):
        QTest.keyClick(legend.limit, Qt.Key.Key_Up)
    QTest.keyClick(legend.limit, Qt.Key.Key_Down)
    assert [value for name, value in said if name == "limit"] == [1.0, 2.0, 5.0, 2.0]


def test_what_is_rarely_needed_opens_from_a_button(legend, said):
    assert not legend.choices.isVisible() and legend.height() <= 60
    QTest.mouseClick(legend.more, Qt.MouseButton.LeftButton)
    assert legend.choices.isVisible() and legend.limit.isVisible()
    fits = []
    legend.fit_wanted.connect(lambda: fits.append(1))
    QTest.mouseClick(legend.fit, Qt.MouseButton.LeftButton)
    assert fits == [1] and said == []
    QTest.keyClick(legend.choices, Qt.Key.Key_Escape)
    assert not legend.choices.isVisible()


def test_a_locked_range_is_seen_on_the_button(legend):
    before = legend.more.grab().toImage()
    legend.set_locked(True)
    assert legend.more.grab().toImage() != before
