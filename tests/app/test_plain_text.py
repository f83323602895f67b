"""What models, files and logs say is shown as it is, never taken for HTML."""

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QTextDocument
from PySide6.QtWidgets import QApplication, QLabel, QMessageBox, QTextBrowser, QToolTip

from app import theme
from app.curves.view import TrainingView
from app.replay.strip import CheckpointStrip
from core.engine.protocol import PairSpec
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from tests.app.conftest import do, settled
from tests.app.fake_engine import INFO, FakeEngine, example
from tests.app.fake_runs import FakeWatcher, made_log

HOSTILE = "<img/src='file:///etc/x.png'><b>bold</b>&lt;i&gt;<a/href='https://there'>go</a>"
"""One word, and so one token of the scripted engine."""


class Hostile(FakeEngine):
    info = replace(INFO, policy=HOSTILE, reference=f"ref {HOSTILE}", doubts=(f"It is {HOSTILE}.",))


def shown_by(label):
    """What a reader sees of a label, whatever Qt takes it for; it has no picture and no link."""
    assert label.textFormat() != Qt.TextFormat.AutoText, label.text()
    if label.textFormat() == Qt.TextFormat.PlainText:
        return label.text()
    document = QTextDocument()
    document.setHtml(label.text())
    for form in document.allFormats():
        assert not form.isImageFormat() or form.toImageFormat().name().startswith("data:")
        assert not form.isCharFormat() or form.toCharFormat().anchorHref() in ("", "float32")
    return document.toPlainText()


def labels():
    """What all labels say that are on the screen."""
    found = (it for it in QApplication.allWidgets() if isinstance(it, QLabel))
    return [shown_by(it) for it in found if it.isVisible()]


@pytest.fixture
def window(open_window, qtbot):
    it = example()
    texts = replace(it, a=f"They {HOSTILE} it.", b=f"{HOSTILE} said so.")
    window = open_window(
        spec=PairSpec(policy=HOSTILE, reference="r"), engine=Hostile, examples=(texts,)
    )
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    return window


def test_a_token_that_looks_like_html_is_shown_as_it_is(window, qtbot):
    qtbot.waitUntil(lambda: window.view.chart is not None)  # nothing moves any more
    edit = window.view.panels["A"].editor
    where = edit.token_rects(1)[0].center()
    qtbot.mouseMove(edit.viewport(), where)
    qtbot.waitUntil(window.view.focus_on.popup.isVisible)
    assert HOSTILE in shown_by(window.view.focus_on.popup.label)
    qtbot.mouseClick(edit.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.waitUntil(lambda: not window.client.busy(), timeout=10_000)
    assert HOSTILE in shown_by(window.view.inspector.title)
    assert sum(HOSTILE in said for said in labels()) >= 4  # the status line and a notice too
    do(window, "show_search")
    window.searches.view.form.set_spec(SearchSpec(Beam(2), max_tokens=3))
    do(window, "search_from_here")
    qtbot.waitUntil(lambda: not window.client.busy(), timeout=10_000)
    labels()


@pytest.mark.parametrize("kind", ["error", "warning", "info"])
def test_a_notice_is_plain(window, kind):
    window.notice.show_notice(kind, f"{HOSTILE} cannot be read: choose another.", HOSTILE)
    assert any(said.startswith(HOSTILE) for said in labels())


@pytest.mark.parametrize("dark", [False, True])
def test_tooltips_and_message_boxes_are_plain(qtbot, qapp, dark):
    theme.apply(qapp, dark)
    box = QMessageBox()
    qtbot.addWidget(box)
    box.setText(HOSTILE)
    box.setInformativeText(HOSTILE)
    box.show()
    assert labels().count(HOSTILE) == 2
    box.close()
    QToolTip.showText(QPoint(9, 9), HOSTILE, box)
    (tip,) = (it for it in qapp.topLevelWidgets() if it.objectName() == "qtooltip_label")
    assert shown_by(tip) == HOSTILE
    QToolTip.hideText()
    tip.close()


def test_a_run_is_named_as_its_folder_is(qtbot, qapp):
    theme.apply(qapp, False)
    path, bad = Path("/runs") / HOSTILE, Path("/bad") / HOSTILE
    there = {path: (made_log(path, HOSTILE, remarks=(HOSTILE,)),)}
    watcher = type("ThisWatcher", (FakeWatcher,), {"there": there})
    view = TrainingView(lambda *_: "", watcher, demo_runs=())
    qtbot.addWidget(view)
    view.resize(1200, 760)
    view.show()
    view.open((path, bad))
    qtbot.waitUntil(lambda: not view.is_reading(), timeout=3000)
    assert any(HOSTILE[:12] in said for said in labels())
    view.close_runs()


def test_what_is_under_way_is_plain(qtbot, qapp):
    strip = CheckpointStrip()
    qtbot.addWidget(strip)
    strip.set_steps([10, 20])
    strip.show_asked(0)
    strip.show_under_way(f"reading {HOSTILE}", 0.5)
    assert f"reading {HOSTILE}, 50 %" in shown_by(strip.label)


def test_no_page_opens_what_it_names(window, qtbot):
    do(window, "show_glossary")
    do(window, "show_keys")
    pages = window.findChildren(QTextBrowser)
    assert len(pages) == 2 and not any(page.openExternalLinks() for page in pages)
    for page in pages:
        page.window().close()
