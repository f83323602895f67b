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


def test_a_small_chart_has_no_titles_at_its_axes(chart):
    chart.set_series("A", A)
    labels = [chart.item.getAxis(name).label for name in ("left", "right", "bottom")]
    assert all(label.isVisible() for label in labels)
    chart.resize(500, 120)
    QApplication.processEvents()
    assert not any(label.isVisible() for label in labels)
    chart.set_theme(True)  # which gives the axes new titles
    assert not any(label.isVisible() for label in labels)
    assert chart.item.getAxis("left").isVisible()
    chart.resize(700, 300)
    QApplication.processEvents()
    assert all(label.isVisible() for label in labels)


def test_a_chart_that_is_small_from_the_first_has_no_titles_either(qtbot):
    chart = RewardChart()
    qtbot.addWidget(chart)
    chart.set_series("A", A)
    chart.setFixedSize(500, 120)
    chart.show()
    QApplication.processEvents()
    assert not any(chart.item.getAxis(name).label.isVisible() for name in chart.axes)


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
    assert right_end() == pytest.approx(19.7)
    chart.set_series("A", np.ones(40))
    assert right_end() == pytest.approx(39.7)
    chart.view.setXRange(5, 9, padding=0)
    chart.view.sigRangeChangedManually.emit(chart.view.state["mouseEnabled"])
    chart.set_series("A", np.ones(60))
    assert right_end() == pytest.approx(9)
    QTest.mouseClick(chart.reset, Qt.MouseButton.LeftButton)
    assert right_end() == pytest.approx(59.7)


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
