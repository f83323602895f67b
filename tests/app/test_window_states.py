"""What the window says when nothing is loaded, while loading, and when things fail.

In each the texts stay.
"""

import shutil
import threading
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt

from app.drafts import Drafts
from app.notices import Notices
from app.settings import Settings
from core.engine.protocol import Load, Memory, PairSpec, Score, Unload
from tests.app.conftest import PAIR, do, drop, settled
from tests.app.fake_engine import INFO, FakeEngine, example


class Slow(FakeEngine):
    load_seconds = 30.0


class NoPair(FakeEngine):
    fail_load = "The policy folder p is not there: check the path."


class OnTheHub(FakeEngine):
    fail_load = "org/name is not on this machine: it can be downloaded (1.00 GB in 4 files)."
    downloadable = True


class NoScores(FakeEngine):
    fail_score = "The response is longer than the context of 1024 tokens: shorten it."


class Plain(FakeEngine):
    info = type(INFO)(
        **{n: getattr(INFO, n) for n in INFO.__slots__} | {"has_chat_template": False}
    )


def texts(window):
    return [window.view.panels[side].text() for side in "AB"]


def ready(qtbot, window):
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_nothing_loaded(open_window):
    window = open_window(spec=None)
    assert window.banner.isVisible() and "Nothing loaded" in window.banner.text.text()
    assert window.banner.demo_button.isVisible() and window.banner.pair_button.isVisible()
    assert texts(window) == [example().a, example().b]


def test_loading_can_be_cancelled(open_window, qtbot):
    window = open_window(engine=Slow)
    qtbot.waitUntil(lambda: window.banner.bar.value() == 40, timeout=5000)
    assert "Loading the weights" in window.banner.text.text()
    qtbot.mouseClick(window.banner.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(window.banner.demo_button.isVisible, timeout=5000)
    assert texts(window) == [example().a, example().b]


def test_typing_works_while_loading(open_window, qtbot):
    window = open_window(engine=Slow)
    qtbot.waitUntil(lambda: window.banner.bar.value() == 40, timeout=5000)
    qtbot.keyClicks(window.view.panels["A"].editor, "Oh. ")
    qtbot.wait(120)
    assert texts(window)[0].startswith("Oh. ")
    assert not FakeEngine.last.asked(Score)


def test_closing_while_loading_is_quick(open_window, qtbot):
    window = open_window(engine=Slow)
    qtbot.waitUntil(lambda: bool(FakeEngine.last.asked(Load)), timeout=5000)
    window.close()
    assert FakeEngine.last.ended


def test_a_failed_load_leaves_the_texts(open_window, qtbot):
    window = open_window(engine=NoPair)
    qtbot.waitUntil(window.notice.isVisible, timeout=5000)
    assert window.notice.message.text() == NoPair.fail_load
    assert window.notice.property("kind") == "error"
    assert "could not be loaded" in window.banner.text.text()
    assert texts(window) == [example().a, example().b]


def test_a_model_of_the_hub_is_downloaded_once_the_user_agrees(open_window, qtbot, monkeypatch):
    window = open_window(engine=OnTheHub)
    qtbot.waitUntil(window.notice.isVisible, timeout=5000)
    assert window.notice.message.text() == OnTheHub.fail_load
    assert window.notice.action.text() == "Download it"
    assert FakeEngine.last.asked(Load)[-1].spec.download == "ask"
    monkeypatch.setattr(OnTheHub, "fail_load", "")
    window.notice.action.click()
    ready(qtbot, window)
    assert FakeEngine.last.asked(Load)[-1].spec.download == "yes"


def test_a_failed_score_is_said_and_taken_back(open_window, qtbot):
    window = open_window(engine=NoScores)
    qtbot.waitUntil(window.notice.isVisible, timeout=5000)
    assert window.notice.message.text() == NoScores.fail_score
    assert "not scored" in window.view.panels["A"].about.words
    assert texts(window) == [example().a, example().b]
    FakeEngine.last.fail_score = ""
    qtbot.keyClicks(window.view.panels["A"].editor, "x")
    qtbot.keyClicks(window.view.panels["B"].editor, "x")
    ready(qtbot, window)
    qtbot.waitUntil(lambda: not window.notice.isVisible(), timeout=3000)


def test_an_empty_prompt_asks_for_nothing(window, qtbot):
    asked = len(FakeEngine.last.requests)
    window.view.prompt.first_turn().selectAll()
    qtbot.keyClick(window.view.prompt.first_turn(), Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: "Write a prompt" in window.view.panels["A"].about.words, timeout=3000)
    assert len(FakeEngine.last.requests) == asked
    assert window.view.panels["A"].editor.spans() is not None


def test_an_empty_response_has_its_closing_token(window, qtbot):
    edit = window.view.panels["A"].editor
    edit.selectAll()
    qtbot.keyClick(edit, Qt.Key.Key_Delete)
    ready(qtbot, window)
    assert len(window.view.panels["A"].scoring) == 1
    assert "only the closing token" in window.view.panels["A"].about.words


def test_no_chat_template_is_said(open_window, qtbot):
    window = open_window(engine=Plain)
    ready(qtbot, window)
    assert "no chat template" in window.notice.message.text()
    assert window.notice.property("kind") == "info"


def test_a_file_that_is_no_utf8(window, tmp_path):
    path = tmp_path / "latin1.txt"
    path.write_bytes("caf\xe9".encode("latin-1"))
    window.ask.file = lambda title, filters: str(path)
    do(window, "read_a")
    assert "is not UTF-8 text (byte 0xE9 at position 3)" in window.notice.message.text()
    assert texts(window)[0] == example().a


def test_a_file_is_read_and_can_be_undone(window, qtbot, tmp_path):
    path = tmp_path / "good.txt"
    path.write_text("They said no.\r\n", encoding="utf-8")
    window.ask.file = lambda title, filters: str(path)
    do(window, "read_a")
    assert texts(window)[0] == "They said no.\n"
    ready(qtbot, window)
    window.view.panels["A"].editor.undo()
    assert texts(window)[0] == example().a
    ready(qtbot, window)


def test_a_pair_is_opened_and_remembered(window, qtbot):
    chosen = PairSpec(policy="other", reference="ref", beta=0.3, allow_pickle=True)
    window.pair.ask_for_pair = lambda spec, recent, parent, folders: chosen
    do(window, "open_pair")
    ready(qtbot, window)
    assert FakeEngine.last.asked(Load)[-1].spec == replace(chosen, download="ask")
    assert window.view.beta() == pytest.approx(0.3)
    first = Settings.of_user().recent()[0]
    assert first.policy == "other" and not first.allow_pickle


def test_a_beta_that_is_asked_for_outweighs_the_remembered_one(open_window, qtbot):
    first = open_window(spec=PairSpec(policy="p", reference="r", beta=0.4))
    ready(qtbot, first)
    assert first.view.beta() == pytest.approx(0.4)
    first.close()
    for asked, shown in ((0.7, 0.7), (None, 0.7)):
        again = open_window(spec=PairSpec(policy="p", reference="r", beta=asked))
        ready(qtbot, again)
        assert again.view.beta() == pytest.approx(shown)
        again.close()


def test_a_pair_that_cannot_be_opened_leaves_the_one_that_was_there(window, qtbot, monkeypatch):
    before = window.pair.spec
    monkeypatch.setattr(FakeEngine, "fail_load", "There is no folder /x: pass it with --base DIR.")
    monkeypatch.setattr(FakeEngine, "keeps", True)
    chosen = PairSpec(policy="/x")
    window.pair.ask_for_pair = lambda spec, recent, parent, folders: chosen
    do(window, "open_pair")
    ready(qtbot, window)
    assert window.pair.spec == before and window.pair.info == FakeEngine.last.info
    assert not window.banner.isVisible() and len(window.view.scorings()) == 2
    assert window.notice.message.text() == (
        "There is no folder /x: pass it as “Base” in Open a pair. The pair that was open stays."
    )
    assert chosen not in Settings.of_user().recent()


def test_folders_can_be_dropped_on_an_editor(window, qtbot):
    asked = []
    window.pair.ask_for_pair = lambda spec, recent, parent, folders: asked.append(folders)
    drop(window.view.panels["A"].editor.viewport(), ["/x/policy", "/x/reference"])
    assert asked == [["/x/policy", "/x/reference"]]
    assert texts(window)[0] == example().a


def test_closing_the_pair_keeps_the_texts(window):
    do(window, "close_pair")
    assert window.banner.isVisible() and texts(window) == [example().a, example().b]
    assert isinstance(FakeEngine.last.requests[-1], Unload)
    assert window.view.panels["A"].scoring is None


def test_texts_come_back_for_the_same_pair(open_window, qtbot, tmp_path):
    first = open_window()
    ready(qtbot, first)
    qtbot.keyClicks(first.view.panels["A"].editor, "Kept. ")
    ready(qtbot, first)
    first.close()
    assert Drafts(tmp_path).newest().record.a.text.startswith("Kept. ")
    again = open_window()
    assert texts(again)[0].startswith("Kept. ")
    other = open_window(spec=PairSpec(policy="another", reference="r"))
    assert texts(other)[0] == example().a
    do(other, "restore_session")
    assert texts(other)[0].startswith("Kept. ")
    for window in (again, other):
        ready(qtbot, window)


LOST = "The device no longer answers (CUDA error: device-side assert triggered): start anew."


class LostDevice(FakeEngine):
    fail_score, lost = LOST, True


def test_a_lost_device_is_said_with_one_way_out(open_window, qtbot, tmp_path):
    window = open_window(engine=LostDevice)
    qtbot.waitUntil(lambda: window.notice.topic() == "lost", timeout=5000)
    assert window.notice.message.text() == LOST and window.notice.action.text() == "Start anew"
    qtbot.keyClicks(window.view.panels["A"].editor, "Kept. ")
    qtbot.waitUntil(lambda: len(FakeEngine.last.asked(Score)) > 2, timeout=5000)
    ready_again = lambda: window.notice.topic() == "lost" and not window.client.busy()  # noqa: E731
    qtbot.waitUntil(ready_again, timeout=5000)
    assert not window.anew
    qtbot.mouseClick(window.notice.action, Qt.MouseButton.LeftButton)
    assert window.anew and not window.isVisible()
    assert Drafts(tmp_path).newest().record.a.text.startswith("Kept. ")


def test_nothing_is_started_anew_where_the_texts_cannot_be_saved(open_window, qtbot, tmp_path):
    window = open_window(engine=LostDevice)
    qtbot.waitUntil(lambda: window.notice.topic() == "lost", timeout=5000)
    shutil.rmtree(tmp_path / "drafts", ignore_errors=True)
    (tmp_path / "drafts").write_text("in the way")
    qtbot.mouseClick(window.notice.action, Qt.MouseButton.LeftButton)
    assert not window.anew and window.isVisible()
    assert "could not be saved" in window.notice.message.text()
    window.close()  # and may be closed all the same, when asked again


def test_undo_keeps_tokens_of_so_many_texts_and_no_more(window, monkeypatch):
    """By hand put tokens are remembered by text, the last ones, and few of very long texts."""
    panel, scoring = window.view.panels["A"], window.view.panels["A"].scoring
    monkeypatch.setattr("app.credit.response_panel.REMEMBERED_TOKENS", 5 * len(scoring))
    for number in range(30):
        panel.swap_in(f"text {number}", tuple(range(len(scoring))))
    kept = []
    for number in range(30):
        panel.editor.set_text_keeping_undo(f"text {number}")
        kept.append(panel.wanted().ids is not None)
    assert kept == [False] * 25 + [True] * 5
    panel.swap_in("long", tuple(range(50 * len(scoring))))
    assert panel.wanted().ids is not None  # the last one always is


def test_what_is_kept_is_in_the_status_lines_tooltip(window, qtbot):
    FakeEngine.last.emit(
        Memory(FakeEngine.last.asked(Load)[-1].id, 12 << 20, 256 << 20, 300 << 20, 2 << 30)
    )
    tip = window.status.machine.toolTip
    qtbot.waitUntil(lambda: "numbers kept: 12 MB of 256 MB" in tip(), timeout=3000)
    assert "KV kept: 300 MB of 2.0 GB" in tip() and "vocabulary 500" in tip()
    do(window, "close_pair")
    assert tip() == ""


def test_looks_are_remembered(open_window, qtbot):
    first = open_window()
    first.view.controls.choose("kl", "word")
    first.menus.actions["set_marks"].setChecked(True)
    do(first, "zoom_in")
    points = first.look.points
    ready(qtbot, first)
    first.close()
    again = open_window()
    assert again.view.controls.measure().key == "kl" and again.view.controls.unit() == "word"
    assert again.menus.actions["set_marks"].isChecked() and again.look.points == points
    ready(qtbot, again)


def test_themes_switch(window):
    do(window, "theme dark")
    assert window.view.scale.dark and window.palette().window().color().lightness() < 60
    do(window, "theme light")
    assert not window.view.scale.dark


def test_every_action_has_a_tip(window):
    for name, action in window.menus.actions.items():
        if not name.startswith("theme"):
            assert action.statusTip() and action.toolTip() == action.statusTip(), name


def test_help_opens(window, qtbot):
    do(window, "show_glossary")
    do(window, "show_keys")


@pytest.mark.log_errors_expected
def test_the_unexpected_is_noticed_and_logged(open_window, qtbot, tmp_path):
    notices = Notices(tmp_path / "log")
    notices.install()
    try:
        window = open_window(notices=notices)
        ready(qtbot, window)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        qtbot.waitUntil(window.notice.isVisible, timeout=3000)
        assert "ZeroDivisionError" in window.notice.message.text()
        assert "1 / 0" in (tmp_path / "log" / "qscope.log").read_text(encoding="utf-8")
        assert texts(window) == [example().a, example().b]
    finally:
        notices.uninstall()


def test_a_pair_that_is_asked_for_before_the_first_paint_is_loaded_once(open_window, qtbot):
    window = open_window(spec=None)
    window.pair.load(PAIR)
    window.pair.begin()  # which a busy machine puts off
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert len(FakeEngine.last.asked(Load)) == 1
