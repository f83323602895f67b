"""What is raised while a widget is painted: its painter ends, it is told once, all goes on."""

import ast
from contextlib import contextmanager
from pathlib import Path

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QApplication

from app.notices import Notices
from app.replay.checkpoint_slider import CheckpointSlider
from app.replay.heat_map import HeatMap
from app.replay.margin_plot import MarginPlot
from app.search.canvas import TreeCanvas
from app.widgets.drawing import draw_picture, painting
from app.widgets.legend import ScaleBar
from app.widgets.token_editor import TokenEditor
from tests.app.conftest import settled

APP = Path(__file__).parents[2] / "app"
PAINTED = [TokenEditor, TreeCanvas, CheckpointSlider, MarginPlot, HeatMap, ScaleBar]


def trees():
    return [(path, ast.parse(path.read_text())) for path in sorted(APP.rglob("*.py"))]


def name_of(call):
    function = call.func
    return getattr(function, "id", getattr(function, "attr", ""))


def test_every_painter_is_ended_by_a_with():
    guarded, made = set(), set()
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.With):
                guarded |= {(path, item.context_expr.lineno) for item in node.items}
            if isinstance(node, ast.Call) and name_of(node) in ("QPainter", "painting"):
                made.add((path, node.lineno))
    assert made and made <= guarded, made - guarded


def test_every_paint_event_paints_with_painting():
    """Or leaves it to Qt."""
    found = 0
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "paintEvent":
                calls = {name_of(call) for call in ast.walk(node) if isinstance(call, ast.Call)}
                assert "painting" in calls or "paintEvent" in calls, path
                found += "painting" in calls
    assert found >= len(PAINTED)


class Broken:
    """A painter that can do nothing."""

    def __getattr__(self, name):
        raise LookupError(f"no {name} today")


@pytest.mark.parametrize("make", PAINTED)
def test_a_fault_in_painting_is_told_once_and_the_widget_goes_on(qtbot, monkeypatch, make):
    """Qt says nothing of painters that are still active, which would fail the test."""
    told = []
    monkeypatch.setattr("sys.excepthook", lambda kind, error, trace: told.append(kind))
    monkeypatch.setattr("app.widgets.drawing._said", set())
    widget = make()
    qtbot.addWidget(widget)
    widget.resize(300, 120)
    widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # a caret blinks
    widget.show()
    qtbot.waitExposed(widget)
    whole = widget.grab().toImage()

    @contextmanager
    def broken(device):
        with painting(device):
            yield Broken()

    with monkeypatch.context() as patch:
        patch.setattr(f"{painter_of(make)}.painting", broken)
        for _ in range(3):
            widget.repaint()
            QApplication.processEvents()
        widget.grab()
    qtbot.waitUntil(lambda: bool(told), timeout=5000)
    assert told == [LookupError]
    assert widget.grab().toImage() == whole


def painter_of(make):
    """The module in which a class or its base paints."""
    return next(base.__module__ for base in make.__mro__ if "paintEvent" in vars(base))


@pytest.mark.log_errors_expected
def test_the_window_says_a_fault_of_painting_once_and_goes_on(open_window, qtbot, monkeypatch):
    """Its notice makes the window paint again, where the fault still is."""
    notices = Notices()
    notices.install()
    try:
        window = open_window(notices=notices)
        qtbot.waitUntil(lambda: settled(window), timeout=10_000)
        told = []
        notices.raised.connect(lambda *said: told.append(said[1]))
        monkeypatch.setattr("app.widgets.drawing._said", set())
        monkeypatch.setattr("app.widgets.token_view.paint_strip", lambda *_: 1 / 0)
        editor = window.view.panels["A"].editor
        for letter in "some more words":
            qtbot.keyClicks(editor, letter)
            editor.viewport().repaint()
        qtbot.waitUntil(lambda: bool(told), timeout=5000)
        qtbot.waitUntil(lambda: settled(window), timeout=10_000)
        window.repaint()
        qtbot.wait(5)
        assert len(told) == 1 and "ZeroDivisionError" in window.notice.message.text()
        assert "some more words" in window.view.panels["A"].scoring.tokens.text
    finally:
        notices.uninstall()


def test_a_picture_that_cannot_be_drawn_raises_and_ends_its_painter():
    painters = []

    def draw(painter):
        painters.append(painter)
        raise LookupError

    with pytest.raises(LookupError):
        draw_picture(8, 8, 1.0, draw)
    assert not painters[0].isActive()


def test_painting_yields_a_painter_that_is_ended():
    image = QImage(QSize(4, 4), QImage.Format.Format_RGB32)
    with painting(image) as painter:
        assert isinstance(painter, QPainter) and painter.isActive()
    assert not painter.isActive()
