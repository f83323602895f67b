import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.widgets.reward_chart import RewardChart

A = np.array([0.1, -0.2, 0.3, 0.0])
B = np.array([0.1, -2.0, 0.3, 0.0, -1.0])


@pytest.fixture
def chart(qtbot):
    chart = RewardChart()
    qtbot.addWidget(chart)
    chart.resize(700, 300)
    chart.show()
    qtbot.waitExposed(chart)
    return chart


def place(chart, x, y):
    """Where a point of the plot is in the viewport."""
    QApplication.processEvents()
    scene = chart.view.mapViewToScene(QPointF(x, y))
    return chart.plot.mapFromScene(scene)


def test_bars_and_sums_are_those_given(chart):
    chart.set_series("A", A)
    chart.set_series("B", B)
    for side, rewards in (("A", A), ("B", B)):
        assert np.allclose(chart.bars[side].opts["height"], rewards)
        _, y = chart.lines[side].getData()
        assert np.allclose(y * chart.item.getAxis("right").scale, np.cumsum(rewards))


def test_one_item_draws_all_bars_of_a_side(chart):
    before = len(chart.item.items)
    chart.set_series("A", np.random.default_rng(0).normal(size=2_000))
    assert len(chart.item.items) == before


def test_a_sum_that_outgrows_the_rewards_gets_its_own_axis(chart):
    chart.set_series("A", np.full(400, 0.1))
    assert chart.item.getAxis("right").scale >= 400
    _, y = chart.lines["A"].getData()
    assert y.max() <= 0.1 + 1e-9
    chart.set_series("A", [0.5, -0.5])
    assert chart.item.getAxis("right").scale == 1.0


def test_it_says_when_there_is_nothing(chart):
    for dark in (True, False):
        chart.set_theme(dark)
        assert chart.empty.isVisible()
        assert not chart.item.getAxis("left").isVisible()
    chart.set_series("A", A)
    assert not chart.empty.isVisible()
    chart.clear()
    assert chart.empty.isVisible()


def names(chart):
    """What the axis says below the columns that are in sight, by where it says it."""
    QApplication.processEvents()
    axis, (low, high) = chart.names, chart.view.viewRange()[0]
    ((spacing, places), *_) = axis.tickValues(low, high, float(axis.width()))
    return dict(zip(places, axis.tickStrings(places, 1.0, spacing), strict=True))


def test_columns_are_named_by_their_words_as_far_as_there_is_room(chart):
    chart.set_series("A", A, ("The", "·analyst", "·has", "<end>"))
    chart.set_series("B", B, ("The", "·manager", "·has", "·more", "<end>"), [0, 1, 2, 3, 4])
    assert list(names(chart).values()) == [
        "The", "analyst\nmanager", "has", "<end>\nmore", "<end>",
    ]  # fmt: skip
    chart.resize(700, 120)  # there is no room for two lines
    assert list(names(chart).values()) == ["The", "manager", "has", "more", "<end>"]
    chart.set_series("A", np.ones(200), tuple("w" * 200))
    assert "w" not in names(chart).values()  # they are counted
    chart.view.setXRange(20, 30, padding=0)
    assert set(names(chart).values()) == {"w"}  # zoomed in, there is room


SPANS = np.array([[20, 60], [60, 150], [np.nan] * 2, [150, 180], [200, 240]], dtype=float)
"""Of the columns in pixels of the plot; nothing stands over the third one."""


def test_columns_stand_under_the_words_that_they_are_told(chart):
    left = chart.view.sceneBoundingRect().left()
    chart.set_series("A", B, tuple("abcde"))
    chart.set_series("B", A, tuple("abde"), [0, 1, 3, 4])
    chart.put_under(SPANS + left)
    for column, (begin, end) in enumerate(SPANS[[0, 1, 3, 4]]):
        at = chart.bars["B"].opts
        x, width = at["x0"][column], at["width"][column]
        assert x == pytest.approx((begin + end) / 2)  # the right half is B's
        on_screen = place(chart, x, 0.0).x(), place(chart, x + width, 0.0).x()
        assert on_screen == pytest.approx((left + x, left + x + width), abs=1)
        assert begin < on_screen[0] - left < on_screen[1] - left < end + 1
    third = chart.bars["A"].opts["x0"][2]
    assert 140 < third < 160
    assert list(names(chart).values()) == ["a", "b", "", "d", "e"]
    chart.highlight("B", 2)
    assert chart.mark.value() == 165
    chart.put_under(None)
    chart.highlight("B", 2)
    assert chart.mark.value() == 3


def test_the_mouse_finds_columns_wherever_they_stand(chart):
    left = chart.view.sceneBoundingRect().left()
    chart.set_series("A", B)
    chart.set_series("B", A, (), [0, 1, 3, 4])
    chart.put_under(SPANS + left)
    clicks = []
    chart.clicked.connect(lambda side, index: clicks.append((side, index)))
    for x in (30, 50, 149, 170, 300):
        at = place(chart, x, 0.0)
        QTest.mouseClick(chart.plot.viewport(), Qt.MouseButton.LeftButton, pos=at)
        QTest.qWait(20)
    assert clicks == [("A", 0), ("B", 0), ("A", 2), ("B", 2)]


def test_the_mouse_names_side_and_token(chart):
    chart.set_series("A", A)
    chart.set_series("B", B)
    hovers, clicks = [], []
    chart.hovered.connect(lambda side, index: hovers.append((side, index)))
    chart.clicked.connect(lambda side, index: clicks.append((side, index)))
    view = chart.plot.viewport()
    points = [place(chart, 0.8, 0.0), place(chart, 1.2, -0.5), place(chart, 3.8, -0.5)]
    for point in [*points, QPoint(2, 2)]:  # A has no fifth token, and then nothing is there
        QTest.mouseMove(view, point)
        QTest.qWait(20)  # pyqtgraph drops moves that come faster than 100 a second
    assert hovers == [("A", 1), ("B", 1), ("B", 4), ("", -1)]
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=place(chart, 1.2, -0.5))
    assert clicks == [("B", 1)]


def test_a_highlight_is_marked_and_taken_away(chart):
    chart.set_series("B", B, tuple("abcde"))
    chart.highlight("B", 1)
    assert chart.mark.value() == 1 and chart.mark.isVisible()
    assert "b" in chart.note.toPlainText() and "2.000" in chart.note.toPlainText()
    chart.highlight("", -1)
    assert not chart.mark.isVisible()
    chart.highlight("A", 3)  # A has no tokens
    assert not chart.mark.isVisible()


def test_numbers_have_a_real_minus_whatever_the_token_is(chart):
    chart.set_series("B", B, ("a", "well-known", "c", "d", "e"))
    chart.highlight("B", 1)
    assert chart.note.toPlainText().split() == ["B", "well-known", "r", "−2.000", "Σr", "−1.900"]


def test_the_view_follows_until_the_user_zooms(chart):
    def right_end():
        return chart.view.viewRange()[0][1]

    chart.set_series("A", np.ones(20))
    assert 19.5 < right_end() < 22  # and the numbers at the edge have room of their own
    chart.set_series("A", np.ones(40))
    assert 39.5 < right_end() < 43
    chart.view.setXRange(5, 9, padding=0)
    chart.view.sigRangeChangedManually.emit(chart.view.state["mouseEnabled"])
    chart.set_series("A", np.ones(60))
    assert right_end() == pytest.approx(9)
    QTest.mouseClick(chart.reset, Qt.MouseButton.LeftButton)
    assert 59.5 < right_end() < 65


def test_unknown_rewards_leave_a_gap_and_no_harm(chart):
    chart.set_series("A", [0.5, float("nan"), 0.25])
    chart.highlight("A", 1)
    chart.grab()
    assert np.isfinite(chart.view.viewRange()).all()


def test_labels_must_be_as_many_as_rewards(chart):
    with pytest.raises(ValueError, match="label"):
        chart.set_series("A", A, ("a",))


def test_the_theme_changes_the_picture(chart):
    chart.set_series("A", A)
    light = chart.grab().toImage()
    chart.set_theme(True)
    assert chart.grab().toImage() != light


def test_the_axis_counts_tokens_from_one_as_the_inspector_does(chart):
    axis = chart.plot.getPlotItem().getAxis("bottom")
    ((spacing, places), *_) = axis.tickValues(-0.7, 39.3, 600.0)
    strings = axis.tickStrings(places, 1.0, spacing)
    assert [float(text) for text in strings] == [place + 1 for place in places]
    assert all(float(text) % spacing == 0 for text in strings)  # round numbers stay round
