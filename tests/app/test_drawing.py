import numpy as np
import pytest
from PySide6.QtCore import QPointF, QTimer
from PySide6.QtGui import QColor, QFont, QImage, QPainter
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.widgets.clipped import Clipped
from app.widgets.drawing import draw_picture, mix, pack, picture_of, smaller, translucent
from app.widgets.layouts import fill, label
from app.widgets.plots import pen
from app.widgets.recent_cache import RecentCache
from app.widgets.timers import single_shot


def test_a_mixed_colour_lies_between_its_parts():
    black, white = QColor("black"), QColor("white")
    assert mix(black, white, 0.0) == black and mix(black, white, 1.0) == white
    assert mix(QColor(10, 20, 30), QColor(20, 40, 90), 0.5).getRgb() == (15, 30, 60, 255)
    assert translucent("#102030", 77).getRgb() == (16, 32, 48, 77)


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_a_line_of_a_plot_is_as_wide_on_every_screen(qapp, monkeypatch, ratio):
    """A cosmetic pen counts the pixels of the picture, of which a sharp screen has more."""
    monkeypatch.setattr(QApplication, "devicePixelRatio", lambda self: ratio)
    picture = QImage(round(40 * ratio), round(40 * ratio), QImage.Format.Format_RGB32)
    picture.setDevicePixelRatio(ratio)
    picture.fill(QColor("white"))
    with QPainter(picture) as painter:
        painter.setPen(pen("black", 2))
        painter.drawLine(0, 20, 40, 20)
    middle = round(20 * ratio)
    column = [QColor(picture.pixel(middle, y)) for y in range(picture.height())]
    assert column.count(QColor("black")) == 2 * ratio


def test_a_font_stays_legible(qtbot):
    font = QFont()
    font.setPointSizeF(10.0)
    assert smaller(font, 1.5).pointSizeF() == 8.5 and font.pointSizeF() == 10.0
    assert smaller(font, 9.0).pointSizeF() == 6.5


def test_pixels_become_a_picture_with_memory_of_its_own():
    pixels = pack([[(255, 0, 0), (0, 255, 0), (1, 2, 3)]])
    assert pixels.tolist() == [[0xFFFF0000, 0xFF00FF00, 0xFF010203]]
    picture = picture_of(pixels[:, ::-1])  # not in one piece of memory
    pixels[:] = 0
    seen = [QColor(picture.pixel(x, 0)).getRgb()[:3] for x in range(3)]
    assert seen == [(1, 2, 3), (0, 255, 0), (255, 0, 0)]


def test_a_drawn_picture_is_clear_where_nothing_is_drawn(qtbot):
    picture = draw_picture(16, 8, 2.0, lambda painter: painter.drawPoint(QPointF(1, 1)))
    image = picture.toImage()
    assert (image.width(), image.height(), picture.devicePixelRatio()) == (32, 16, 2.0)
    assert image.pixelColor(31, 15).alpha() == 0 and image.pixelColor(2, 2).alpha() > 0


def test_the_entry_used_longest_ago_is_evicted():
    cache = RecentCache[str](2)
    assert cache.put("a", "A") == "A" and cache.put("b", "B") == "B"
    assert cache.get("a") == "A"
    cache.put("c", "C")
    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == ("A", None, "C", 2)
    cache.clear()
    assert len(cache) == 0


def test_a_row_has_its_parts_in_order(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    one, two, inner = QLabel(), label("two", "muted", "a tip"), QVBoxLayout()
    row = fill(QHBoxLayout(widget), one, 1, (two, 3), inner, margins=(1, 2, 3, 4), spacing=5)
    assert row.itemAt(0).widget() is one and row.itemAt(1).spacerItem() is not None
    assert row.itemAt(2).widget() is two and row.itemAt(3).layout() is inner
    assert [row.stretch(i) for i in range(4)] == [0, 1, 3, 0]
    margins = row.contentsMargins()
    assert (margins.left(), margins.top(), margins.right(), margins.bottom()) == (1, 2, 3, 4)
    assert row.spacing() == 5 and two.objectName() == "muted" and two.toolTip() == "a tip"


def test_a_text_without_room_ends_in_dots(qtbot):
    short = Clipped()
    qtbot.addWidget(short)
    short.resize(60, 20)
    short.show()
    short.show_words("many words that need room")
    assert short.text().endswith("…") and short.words == "many words that need room"
    short.resize(600, 20)
    QApplication.processEvents()
    assert short.text() == short.words


def test_a_timer_fires_once_after_its_last_start(qtbot):
    owner, fired = QTimer(), []
    timer = single_shot(owner, lambda: fired.append(1), 30)
    assert timer.parent() is owner and timer.interval() == 30 and timer.isSingleShot()
    timer.start()
    timer.start()
    qtbot.waitUntil(lambda: fired == [1], timeout=2000)
    assert not timer.isActive()
    emitted = []
    owner.timeout.connect(lambda: emitted.append(1))
    single_shot(owner, owner.timeout).start()
    qtbot.waitUntil(lambda: emitted == [1], timeout=2000)


@pytest.mark.parametrize("shape", [(0, 0), (1, 0)])
def test_a_picture_of_nothing_is_empty(shape):
    assert picture_of(np.zeros(shape, dtype=np.uint32)).isNull()
