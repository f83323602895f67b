import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.widgets.q_chart import LINES, QChart
from core.gauge import gauge

GAUGE = gauge(
    logit=[20.0, 10.0, 12.0],
    logsumexp=[21.0, 12.0, 12.5],
    logsumexp_next=[12.0, 12.5, 0.0],
    logp_policy=[-1.0, -2.0, -0.5],
    logp_reference=[-1.5, -1.0, -0.5],
    beta=0.5,
)


@pytest.fixture
def chart(qtbot):
    chart = QChart()
    qtbot.addWidget(chart)
    chart.resize(700, 300)
    chart.show()
    qtbot.waitExposed(chart)
    return chart


def place(chart, x, y):
    QApplication.processEvents()
    return chart.plot.mapFromScene(chart.view.mapViewToScene(QPointF(x, y)))


def test_the_lines_are_q_v_advantage_and_raw_reward(chart):
    """By hand, beta 0.5: r raw = Q - 0.5 log π_ref - V', and V' is 0 after the closing token."""
    chart.show_gauge("A", GAUGE, ("a", "b", "c"))
    drawn = {key: line.getData()[1].tolist() for key, line in chart.lines.items()}
    assert drawn["q"] == pytest.approx([10, 5, 6])
    assert drawn["v"] == pytest.approx([10.5, 6, 6.25])
    assert drawn["advantage"] == pytest.approx([-0.5, -1, -0.25])
    assert drawn["raw"] == pytest.approx([10 + 0.75 - 6, 5 + 0.5 - 6.25, 6 + 0.25])
    low, high = chart.view.viewRange()[1]
    assert low < -1 and high > 10.5


def test_it_names_lines_gauge_and_the_largest_residual(chart):
    chart.show_gauge("B", GAUGE, ())
    assert "raw-logit gauge · largest Bellman residual 0" in chart.key.text()
    assert all(line.name in chart.key.text() for line in LINES)
    off = gauge([1.0], [2.0], [0.0], [-1.004], [-1.0], 0.5)
    chart.show_gauge("B", off, ())
    assert chart.key.text().endswith("largest Bellman residual 2e−03")


def test_the_mouse_names_the_token(chart):
    chart.show_gauge("B", GAUGE, ("a", "b", "c"))
    hovers, clicks = [], []
    chart.hovered.connect(lambda side, index: hovers.append((side, index)))
    chart.clicked.connect(lambda side, index: clicks.append((side, index)))
    view = chart.plot.viewport()
    for point in [place(chart, 1.2, 3.0), place(chart, 2.2, 0.0), QPoint(2, 2)]:
        QTest.mouseMove(view, point)
        QTest.qWait(20)  # pyqtgraph drops moves that come faster than 100 a second
    assert hovers == [("B", 1), ("B", 2), ("", -1)]
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=place(chart, 1.2, 3.0))
    assert clicks == [("B", 1)]


def test_a_highlight_is_of_its_own_side_only(chart):
    chart.show_gauge("B", GAUGE, ("a", "b", "c"))
    chart.highlight("B", 1)
    assert chart.mark.value() == 1 and chart.note.isVisible()
    note = chart.note.toPlainText().replace("−", "-")
    assert note.split() == "B b Q +5.000 V +6.000 Q - V -1.000 r raw -0.750".split()
    chart.highlight("A", 1)
    assert not chart.note.isVisible()
    chart.highlight("B", 3)
    assert not chart.note.isVisible()
    chart.highlight("B", 2)
    chart.show_gauge("A", GAUGE, ())
    assert not chart.note.isVisible()


def test_a_mark_goes_with_its_token(chart):
    chart.show_gauge("B", GAUGE, ("a", "b", "c"))
    chart.highlight("B", 2)
    assert chart.marked() == ("B", 2)
    chart.show_gauge("B", gauge([1.0], [2.0], [0.0], [-1.0], [-1.0], 0.5), ("a",))
    assert chart.marked() == ("", -1) and not chart.note.isVisible()


def test_the_view_follows_until_the_user_zooms(chart):
    chart.show_gauge("A", GAUGE, ())
    chart.view.setXRange(0, 4, padding=0)
    chart.view.sigRangeChangedManually.emit(chart.view.state["mouseEnabled"])
    chart.show_gauge("A", GAUGE, ())
    assert chart.view.viewRange()[0] == pytest.approx([0, 4])
    QTest.mouseClick(chart.reset, Qt.MouseButton.LeftButton)
    left, right = chart.view.viewRange()[0]
    assert left < -0.7 and right > 7.7


def test_unknown_states_leave_a_gap(chart):
    part = gauge([1.0, 2.0], [3.0, 4.0], [4.0, np.nan], [-2.0, -2.0], [-1.0, -1.0], 0.5)
    chart.show_gauge("A", part, ())
    chart.highlight("A", 1)
    chart.grab()
    assert np.isfinite(chart.view.viewRange()).all()
    chart.clear()
    assert "once a response is scored" in chart.key.text()


def test_the_theme_changes_the_picture(chart):
    chart.show_gauge("A", GAUGE, ())
    light = chart.grab().toImage()
    chart.set_theme(True)
    assert chart.grab().toImage() != light
