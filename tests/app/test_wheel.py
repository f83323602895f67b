"""The mouse wheel over a box without the keys chooses nothing, in every view and dialog."""

import ast
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollArea,
    QScrollBar,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.launch.dialog import StartDialog
from app.open_dialog import OpenDialog
from app.widgets.boxes import ComboBox, DoubleSpinBox, Slider, SpinBox
from core.engine.protocol import PairSpec
from tests.app.conftest import do, settled

BOXES = QComboBox, QAbstractSpinBox, QAbstractSlider
APP = Path(__file__).parents[2] / "app"


def turn(qtbot, widget, notches=-1):
    """Turn the wheel over the middle of a widget, down for -1; return the event."""
    middle = QPointF(widget.rect().center())
    down = QWheelEvent(
        middle,
        widget.mapToGlobal(middle),
        QPoint(0, 0),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, down)
    QApplication.processEvents()
    return down


def value(box):
    return box.currentIndex() if isinstance(box, QComboBox) else box.value()


def boxes(widget):
    found = [box for kind in BOXES for box in widget.findChildren(kind)]
    return [box for box in found if not isinstance(box, QScrollBar)]


def still(qtbot, widget):
    """Turn the wheel over every box; how many there were."""
    found = boxes(widget)
    for box in found:
        if box.hasFocus():
            box.clearFocus()
        before = value(box)
        for notches in (-1, 1):
            turn(qtbot, box, notches)
            assert value(box) == before, f"{box} {box.accessibleName()}"
        assert not box.hasFocus()
        assert box.focusPolicy() != Qt.FocusPolicy.WheelFocus, box.accessibleName()
    return len(found)


def test_no_box_of_any_view_is_changed(open_window, qtbot):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window) and window.view.chart is not None, timeout=20_000)
    for name in ("search", "training"):
        page = next(it for it in window.menus.actions if name in it and it.startswith("show_"))
        do(window, page)
        qtbot.waitUntil(
            lambda name=name: (
                getattr(window, {"search": "searches", "training": "runs"}[name]).view is not None
            ),
            timeout=30_000,
        )
    assert still(qtbot, window) >= 12


def test_no_box_of_a_dialog_is_changed(qtbot, tmp_path):
    pair = OpenDialog(PairSpec(), (PairSpec(policy="/a"), PairSpec(policy="/b")))
    start = StartDialog(lambda job: None, tmp_path, "")
    for dialog in (pair, start):
        qtbot.addWidget(dialog)
        dialog.show()
        assert still(qtbot, dialog) >= 5
    qtbot.waitUntil(lambda: not start.busy(), timeout=10_000)


@pytest.mark.parametrize("make", [ComboBox, SpinBox, DoubleSpinBox])
def test_with_the_keys_the_wheel_chooses_and_without_it_scrolls(qtbot, make):
    inside = QWidget()
    column = QVBoxLayout(inside)
    box, other = make(), QSpinBox()
    for widget in (box, other):
        column.addWidget(widget)
    inside.setMinimumHeight(2000)
    if isinstance(box, QComboBox):
        box.addItems(list("abc"))
    area = QScrollArea()
    area.setWidget(inside)
    area.resize(200, 200)
    qtbot.addWidget(area)
    area.show()
    qtbot.waitActive(area)
    other.setFocus()
    event = turn(qtbot, box)
    assert value(box) == 0 and not event.isAccepted(), "so the area behind it has the wheel"
    box.setFocus()
    turn(qtbot, box, -1 if isinstance(box, QComboBox) else 1)
    assert value(box) == 1


def test_a_slider_too(qtbot):
    slider = Slider(Qt.Orientation.Horizontal)
    qtbot.addWidget(slider)
    slider.show()
    qtbot.waitActive(slider)
    slider.clearFocus()
    turn(qtbot, slider, 1)
    assert slider.value() == 0
    slider.setFocus()
    turn(qtbot, slider, 1)
    assert slider.value() > 0


def test_every_box_is_made_of_ours():
    """Who adds a box adds one of app/widgets/boxes.py: Qt's own are neither made nor derived."""
    names = {"QComboBox", "QSpinBox", "QDoubleSpinBox", "QSlider", "QDial", "QFontComboBox",
             "QDateEdit", "QTimeEdit", "QDateTimeEdit"}  # fmt: skip
    for path in APP.rglob("*.py"):
        if path.name == "boxes.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            made = node.func if isinstance(node, ast.Call) else None
            derived = node.bases if isinstance(node, ast.ClassDef) else []
            for one in [made, *derived]:
                assert not (isinstance(one, ast.Name) and one.id in names), f"{path}: {one.id}"
