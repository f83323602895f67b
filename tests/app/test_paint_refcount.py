"""PySide6 6.12.0 on Python 3.11 loses a reference to None with each painting call."""

import gc
import sys

import numpy as np
import pytest
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication

from app.search.canvas import TreeCanvas
from app.search.viewpoint import Viewpoint
from app.widgets.spans import TokenSpans
from app.widgets.token_editor import TokenEditor
from tests.app.fake_search import random_growths

# From 3.12 on None is immortal, and its count is a constant.
pytestmark = pytest.mark.skipif(sys.version_info >= (3, 12), reason="None cannot die")


def references():
    """To None, after what earlier tests have left is gone: that held some, too."""
    gc.collect()
    return sys.getrefcount(None)


def test_painting_calls_lose_no_reference_to_none():
    image = QImage(16, 16, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    before = references()
    for _ in range(3_000):
        painter.fillRect(0, 0, 4, 4, QColor("red"))
        painter.drawRect(1, 1, 2, 2)
    after = sys.getrefcount(None)
    painter.end()
    assert after > before - 1_000


def test_the_editor_paints_without_losing_references(qtbot):
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.resize(200, 60)
    editor.set_text("one two three")
    editor.set_closing("end", 3)
    editor.show()
    spans = [
        TokenSpans("one two three", [0, 3, 7], [3, 7, 13], np.array([n, 32, 64 - n]))
        for n in range(60)
    ]
    before = references()
    for number in range(2_000):
        editor.set_tokens(spans[number % 60])
        editor.pin(number % 3)
        editor.viewport().repaint()
    QApplication.processEvents()
    assert sys.getrefcount(None) > before - 1_000


def test_the_tree_paints_without_losing_references(qtbot):
    """From afar, as boxes and with text."""
    canvas = TreeCanvas()
    qtbot.addWidget(canvas)
    canvas.resize(300, 200)
    for growth in random_growths(200):
        canvas.picture.take(growth)
    canvas.show()
    canvas.refresh()
    before = references()
    for number in range(600):
        canvas.look_from(Viewpoint((0.1, 0.4, 1.0)[number % 3], -10.0, -10.0 + number % 7))
        canvas.repaint()
    QApplication.processEvents()
    assert canvas.paint_ms > 0 and sys.getrefcount(None) > before - 300
