import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.widgets.colour_scale import ColourScale
from app.widgets.vocabulary_plot import VocabularyPlot, picture

X = np.array([-9.0, -1.0, -4.0, -2.0, -6.0])
Y = np.array([0.4, -0.1, 0.0, 0.25, -0.3])
LABELS = tuple("abcde")


@pytest.fixture
def plot(qtbot):
    plot = VocabularyPlot()
    qtbot.addWidget(plot)
    plot.resize(420, 360)
    plot.show()
    qtbot.waitExposed(plot)
    plot.show_points(X, Y, X + Y / 0.5, LABELS)
    plot.mark(2, (3, 0), (4, 1))
    QApplication.processEvents()
    return plot


def place(plot, row):
    scene = plot.view.mapViewToScene(QPointF(X[row], Y[row]))
    return plot.plot.mapFromScene(scene)


def rgb(image, point):
    return QColor(image.pixel(point)).getRgb()[:3]


def test_a_dot_covers_the_pixels_around_it_and_no_others():
    """One dot in the middle of a 9 x 5 picture, radius 1: a plus of five pixels."""
    area = QRectF(0, 0, 9, 5)
    image = picture(np.array([4.5]), np.array([2.5]), area, 9, 5, QColor("black"), 1.0)
    drawn = {(x, y) for x in range(9) for y in range(5) if QColor(image.pixelColor(x, y)).alpha()}
    assert drawn == {(4, 2), (3, 2), (5, 2), (4, 1), (4, 3)}


def test_row_0_of_the_picture_is_the_lowest_value_and_what_lies_outside_is_left_out():
    area = QRectF(-10, -1, 10, 2)
    x, y = np.array([-9.9, -50.0, 3.0]), np.array([-0.99, 0.0, 0.0])
    image = picture(x, y, area, 20, 10, QColor("black"), 0.0)
    drawn = [(c, r) for c in range(20) for r in range(10) if image.pixelColor(c, r).alpha()]
    assert drawn == [(0, 0)]


def test_many_dots_on_one_place_are_darker_than_one():
    x = np.array([0.5, *[2.5] * 50])
    image = picture(x, np.full(51, 0.5), QRectF(0, 0, 4, 1), 4, 1, QColor("black"), 0.0)
    assert 0 < image.pixelColor(0, 0).alpha() < image.pixelColor(2, 0).alpha() == 255


@pytest.mark.parametrize("dark", [False, True])
def test_every_token_has_a_dot_where_its_numbers_are(plot, dark):
    plot.set_scale(ColourScale(dark=dark))
    plot.mark(-1, (), ())
    image = plot.plot.grab().toImage()
    surface = ColourScale(dark=dark).surface
    for row in range(len(X)):
        assert rgb(image, place(plot, row)) != surface
    assert rgb(image, place(plot, 0) + QPoint(9, 9)) == surface


def test_extremes_have_the_colours_of_their_signs(plot):
    scale = ColourScale()
    image = plot.plot.grab().toImage()
    assert rgb(image, place(plot, 0)) == tuple(scale.colours(1.0))
    assert rgb(image, place(plot, 4)) == tuple(scale.colours(-1.0))
    assert [text.toPlainText() for text in plot.names] == ["c", "d", "a", "e", "b"]


def test_names_that_would_lie_on_each_other_are_left_out(plot):
    plot.show_points([-1.0, -1.001, -5.0], [0.1, 0.1, -0.1], [-1.0, -1.0, -5.0], LABELS[:3])
    plot.mark(0, (1,), (2,))
    assert [text.isVisible() for text in plot.names] == [True, False, True]


def test_the_mouse_names_the_nearest_token(plot):
    named = []
    plot.named.connect(named.append)
    view = plot.plot.viewport()
    for point in [place(plot, 1), place(plot, 0) + QPoint(4, 3), QPoint(60, 200)]:
        QTest.mouseMove(view, point)
        QTest.qWait(20)  # pyqtgraph drops moves that come faster than 100 a second
    assert named == [1, 0, -1]
    QTest.mouseMove(view, place(plot, 1))
    QTest.qWait(20)
    note = plot.note.toPlainText().replace("\u2212", "-")
    assert note.split() == "b r -0.100 log π -1.20 log π_ref -1.00".split()


def test_the_arrow_keys_walk_from_the_likeliest_on(plot):
    named = []
    plot.named.connect(named.append)
    plot.plot.setFocus()
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Right):
        QTest.keyClick(plot.plot, key)
    assert named == [1, 3, 2, 3]
    for _ in range(9):
        QTest.keyClick(plot.plot, Qt.Key.Key_Left)
    assert named[-1] == 0 and plot.note.isVisible()


def test_the_view_follows_until_the_user_zooms(plot):
    plot.show_points(X, 2 * Y, X, LABELS)
    low, high = plot.view.viewRange()[1]
    assert low < -0.6 and high > 0.8 and high < 1.0
    plot.view.setRange(xRange=(-5, 0), yRange=(-0.1, 0.1), padding=0)
    plot.view.sigRangeChangedManually.emit(plot.view.state["mouseEnabled"])
    plot.rescale(3.0)
    plot.show_points(X, 6 * Y, X, LABELS)
    assert plot.view.viewRange()[1] == pytest.approx([-0.3, 0.3])
    assert plot.view.viewRange()[0] == pytest.approx([-5, 0])
    QTest.mouseClick(plot.reset, Qt.MouseButton.LeftButton)
    assert plot.view.viewRange()[1][1] > 2.4


def test_unknown_numbers_have_no_dot_and_do_no_harm(plot):
    plot.show_points([-1.0, -np.inf, -2.0], [0.1, np.nan, np.inf], [-1.0] * 3, LABELS[:3])
    plot.mark(1, (2, 0), (1,))
    plot.grab()
    assert np.isfinite(plot.view.viewRange()).all()
    assert [text.toPlainText() for text in plot.names] == ["a"]
    plot.clear()
    plot.grab()


def test_a_whole_vocabulary_is_one_item(plot):
    before = len(plot.item.items)
    rng = np.random.default_rng(0)
    x = rng.normal(-15, 3, 150_000)
    plot.show_points(x, rng.normal(0, 0.1, 150_000), x, ("t",) * 150_000)
    plot.mark(-1, (), ())
    plot.grab()
    assert len(plot.item.items) == before - 5  # the five names went
