"""What is typed is on the disk a second later, in a draft of its own, and there is a way back."""

import json
import os
import time

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.drafts import Drafts
from core.engine.protocol import PairSpec
from core.session_record import PairNamed, decode
from core.text import Message, Prompt
from tests.app.conftest import do, settled
from tests.app.fake_engine import FakeEngine, example

DEMO = PairSpec(demo=True)
OTHER = PairSpec(policy="/q", reference="/r")
SECOND = type(example())("A second one", Prompt.of("Say more."), "More.", "And more.")


def kept(tmp_path):
    """The texts of A in all drafts on the disk."""
    folder = tmp_path / "drafts"
    files = folder.glob("*.json") if folder.exists() else ()
    return sorted(decode(path.read_bytes()).record.a.text for path in files)


def editor(window, side="A"):
    return window.view.panels[side].editor


def texts(window):
    prompt = window.view.prompt.prompt()
    return [m.content for m in prompt.messages], *(editor(window, side).text() for side in "AB")


def saved(qtbot, tmp_path, text):
    qtbot.waitUntil(lambda: any(text in it for it in kept(tmp_path)), timeout=30_000)


# --- nothing is lost ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["A", "prompt"])
def test_steady_typing_is_saved_while_it_goes_on(open_window, qtbot, tmp_path, where):
    """No pause is longer than 100 ms, so whoever waits for one saves nothing."""
    window = open_window(examples=(example(), SECOND))
    target = editor(window) if where == "A" else window.view.prompt.first_turn()
    began = time.monotonic()
    while not list((tmp_path / "drafts").glob("*.json")):
        qtbot.keyClicks(target, "x")
        QTest.qWait(30)
        assert time.monotonic() - began < 30
    qtbot.waitUntil(lambda: settled(window), timeout=30_000)


def test_closing_saves_the_last_key(open_window, qtbot, tmp_path):
    window = open_window()
    qtbot.keyClicks(editor(window), "x")
    editor(window).insertPlainText("é🙂 你")
    window.close()
    assert kept(tmp_path)[0].startswith("xé🙂 你")


def test_texts_that_cannot_be_saved_are_said_once_and_keep_the_window_once(
    open_window, qtbot, tmp_path
):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    (tmp_path / "drafts").write_text("in the way")
    qtbot.keyClicks(editor(window), "x")
    qtbot.waitUntil(lambda: window.notice.topic() == "draft file", timeout=30_000)
    assert window.notice.message.text().count("could not be saved") == 1
    window.notice.dismiss_any()
    window.close()
    assert window.isVisible() and window.notice.topic() == "draft file"
    (tmp_path / "drafts").unlink()
    window.close()
    assert not window.isVisible() and kept(tmp_path)[0].startswith("x")


def test_texts_can_be_given_up(open_window, qtbot, tmp_path):
    window = open_window()
    (tmp_path / "drafts").write_text("in the way")
    qtbot.keyClicks(editor(window), "x")
    window.close()
    assert window.isVisible()
    window.close()
    assert not window.isVisible()


# --- drafts of their own --------------------------------------------------------------------------


def test_two_windows_never_write_one_draft(open_window, qtbot, tmp_path):
    one, two = open_window(), open_window()
    qtbot.keyClicks(editor(one), "AN HOUR ")
    qtbot.keyClicks(editor(two), "y")
    saved(qtbot, tmp_path, "AN HOUR")
    for window in (one, two):
        window.close()
    assert kept(tmp_path) == ["AN HOUR " + example().a, "y" + example().a]


def test_another_pair_has_its_own(open_window, qtbot, tmp_path):
    first = open_window()
    qtbot.keyClicks(editor(first), "AN HOUR ")
    first.close()
    other = open_window(spec=OTHER)
    assert texts(other)[1] == example().a
    qtbot.keyClicks(editor(other), "y")
    other.close()
    assert len(kept(tmp_path)) == 2
    again = open_window()
    assert texts(again)[1].startswith("AN HOUR ")


def test_texts_typed_for_one_pair_are_not_saved_as_anothers(open_window, qtbot, tmp_path):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.keyClicks(editor(window), "first ")
    window.pair.load(OTHER)
    saved(qtbot, tmp_path, "first ")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.keyClicks(editor(window), "then ")
    saved(qtbot, tmp_path, "then ")
    drafts = Drafts(tmp_path)
    assert "then" not in drafts.newest(window.settings.recent()[-1]).record.a.text
    assert "then" in drafts.newest(OTHER).record.a.text


def test_restoring_beside_one_letter_loses_neither(open_window, qtbot, tmp_path):
    first = open_window(spec=DEMO)
    qtbot.keyClicks(editor(first), "AN HOUR ")
    first.close()
    again = open_window(spec=DEMO)
    qtbot.waitUntil(lambda: again.notice.topic() == "draft", timeout=10_000)
    qtbot.keyClicks(editor(again), "y")
    again.notice.action.click()
    assert texts(again)[1].startswith("AN HOUR ")
    saved(qtbot, tmp_path, "y" + example().a)
    assert any(text.startswith("AN HOUR ") for text in kept(tmp_path))
    do(again, "undo")
    assert texts(again)[1] == "y" + example().a
    do(again, "redo")
    assert texts(again)[1].startswith("AN HOUR ")
    do(again, "restore_session")
    assert texts(again)[1].startswith("y")
    qtbot.waitUntil(lambda: settled(again), timeout=10_000)


def test_drafts_are_kept_for_30_days(open_window, qtbot, tmp_path):
    folder = tmp_path / "drafts"
    drafts = Drafts(tmp_path)
    for name, days in (("old", 31), ("young", 29)):
        path = drafts.new_path(PairNamed())
        path = path.with_name(f"{name}-{path.name}")
        folder.mkdir(exist_ok=True)
        path.write_text(json.dumps({"version": 1, "a": {"text": name}}))
        os.utime(path, (time.time() - days * 86_400,) * 2)
    (folder / "of another program.txt").write_text("x")
    os.utime(folder / "of another program.txt", (0, 0))
    window = open_window()
    qtbot.waitUntil(lambda: kept(tmp_path) == ["young"], timeout=10_000)
    assert (folder / "of another program.txt").exists()
    window.close()


def test_the_one_draft_of_versions_before_is_taken_over(open_window, qtbot, tmp_path):
    old = {"pair": "p\nr\n", "example": "E", "prompt": [["user", "P"]], "a": "old A", "b": "B"}
    (tmp_path / "draft.json").write_text(json.dumps(old))
    window = open_window()
    assert texts(window) == (["P"], "old A", "B")
    assert not (tmp_path / "draft.json").exists() and kept(tmp_path) == ["old A"]


def test_a_window_does_not_begin_with_texts_that_take_long(open_window, qtbot, tmp_path):
    drafts = Drafts(tmp_path)
    path = drafts.new_path(PairSpec(policy="p", reference="r"))
    record = {"version": 1, "pair": {"policy": "p", "reference": "r"}, "a": {"text": "x" * 300_000}}
    path.parent.mkdir()
    path.write_text(json.dumps(record))
    window = open_window()
    assert texts(window)[1] == example().a and window.notice.action.text() == "Restore them"
    window.close()
    assert path.exists()


@pytest.mark.parametrize("kind", ["deep", "huge", "pipe", "folder", "no UTF-8", "odd"])
def test_a_bad_draft_of_versions_before_is_set_aside(open_window, tmp_path, kind):
    old = tmp_path / "draft.json"
    match kind:
        case "deep":
            old.write_text("[" * 100_000)
        case "no UTF-8":
            old.write_bytes(b'{"pair": "\xff"}')
        case "odd":
            old.write_text(json.dumps({"pair": [], "example": 1, "prompt": [1], "a": {}, "b": 0}))
        case "folder":
            old.mkdir()
        case "pipe":
            os.mkfifo(old)
        case "huge":
            with old.open("wb") as file:
                file.truncate(1 << 33)
    window = open_window(spec=None)
    assert "The draft draft.json cannot be read" in window.notice.message.text()
    assert os.path.lexists(tmp_path / "draft.json.bad") and not os.path.lexists(old)
    window.close()


def test_what_stands_where_drafts_go_is_set_aside(open_window, qtbot, tmp_path):
    (tmp_path / "drafts").write_text("x")
    window = open_window(spec=None)
    assert "drafts is no folder" in window.notice.message.text()
    qtbot.keyClicks(editor(window), "kept ")
    window.close()
    assert kept(tmp_path)[0].startswith("kept ")


# --- the way back ---------------------------------------------------------------------------------


def by_action(window, qtbot):
    do(window, "undo")


def by_key(window, qtbot):
    qtbot.keyClick(editor(window, "B"), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)


def by_an_editor(window, qtbot):
    """As the context menu of an editor does."""
    editor(window).undo()


@pytest.mark.parametrize("undo", [by_action, by_key, by_an_editor])
def test_choosing_an_example_is_one_step(open_window, qtbot, undo):
    window = open_window(examples=(example(), SECOND))
    qtbot.keyClicks(editor(window), "Mine. ")
    qtbot.keyClicks(editor(window, "B"), "Mine too. ")
    qtbot.keyClicks(window.view.prompt.first_turn(), "Asked. ")
    before = texts(window)
    window.texts.show_example(1)
    assert texts(window) == (["Say more."], "More.", "And more.")
    qtbot.keyClicks(editor(window), "!")
    editor(window).undo()
    assert texts(window)[1] == "More."
    undo(window, qtbot)
    assert texts(window) == before and window.example_box.currentIndex() == 0
    do(window, "redo")
    assert texts(window) == (["Say more."], "More.", "And more.")
    undo(window, qtbot)
    editor(window).undo()
    assert "Mine. " not in texts(window)[1] or texts(window)[1] != before[1], "typing undoes too"
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_what_looks_like_undo_and_is_typed_changes_nothing_else(open_window, qtbot):
    window = open_window(examples=(example(), SECOND))
    editor(window).selectAll()
    qtbot.keyClick(editor(window), Qt.Key.Key_Delete)
    window.texts.show_example(1)
    editor(window).selectAll()
    qtbot.keyClick(editor(window), Qt.Key.Key_Delete)  # A is as before the example
    assert texts(window) == (["Say more."], "", "And more.")


def test_a_prompt_from_a_file_can_be_undone(open_window, qtbot, tmp_path):
    window = open_window()
    window.view.prompt.add_turn.click()
    turns = [Message("user", "One"), Message("assistant", "Two"), Message("user", "Three")]
    window.view.prompt.put_prompt(Prompt(tuple(turns)))
    path = tmp_path / "prompt.txt"
    path.write_text("From a file")
    window.ask.file = lambda title, filters: str(path)
    do(window, "read_prompt")
    assert texts(window)[0] == ["From a file"]
    do(window, "undo")
    assert texts(window)[0] == ["One", "Two", "Three"]


def test_turns_that_are_taken_away_come_back(open_window, qtbot):
    window = open_window()
    prompt = window.view.prompt
    before = prompt.prompt().messages[0].content
    prompt.put_prompt(
        Prompt((Message("user", before), Message("assistant", "x"), Message("user", "y")))
    )
    prompt.drop_turn.click()
    assert texts(window)[0] == [before]
    do(window, "undo")
    assert texts(window)[0] == [before, "x", "y"]
    do(window, "redo")
    assert texts(window)[0] == [before]


def test_a_hidden_system_turn_keeps_its_text(open_window, qtbot):
    window = open_window(examples=(example(), SECOND))
    window.view.prompt.use_system.setChecked(True)
    qtbot.keyClicks(window.view.prompt.system, "Be brief.")
    window.view.prompt.use_system.setChecked(False)
    window.texts.show_example(1)
    window.view.prompt.use_system.setChecked(True)
    assert texts(window)[0] == ["Be brief.", "Say more."]


# --- File, Recover --------------------------------------------------------------------------------


def open_recover(window, qtbot):
    do(window, "recover")
    dialog = window.texts.recover_dialog
    qtbot.waitUntil(lambda: "Reading" not in dialog.about.text(), timeout=10_000)
    return dialog


def test_recover_says_that_there_is_nothing(open_window, qtbot):
    window = open_window()
    qtbot.waitUntil(lambda: window.view.chart is not None, timeout=30_000)
    dialog = open_recover(window, qtbot)
    assert "No texts" in dialog.about.text() and dialog.list.topLevelItemCount() == 0
    assert not dialog.put.isEnabled() and not dialog.delete.isEnabled()
    dialog.close()


def test_recover_lists_puts_in_place_and_removes(open_window, qtbot, tmp_path):
    for spec, words in ((DEMO, "of the demo "), (OTHER, "of another ")):
        one = open_window(spec=spec)
        qtbot.keyClicks(editor(one), words)
        one.close()
    window = open_window(spec=PairSpec(policy="/new", reference="/r"))
    qtbot.keyClicks(editor(window), "z")
    before = texts(window)
    dialog = open_recover(window, qtbot)
    rows = [dialog.list.topLevelItem(i) for i in range(dialog.list.topLevelItemCount())]
    said = {row.text(1): row.text(2)[:10] for row in rows}
    assert said == {"demo": "of the dem", "q / r": "of another"}
    assert all(row.text(0)[:2] == "20" for row in rows)
    dialog.list.setCurrentItem(next(row for row in rows if row.text(1) == "demo"))
    assert "of the demo" in dialog.preview.toPlainText()
    dialog.delete.click()
    qtbot.waitUntil(lambda: not any("demo" in text for text in kept(tmp_path)), timeout=10_000)
    dialog.back.click()
    qtbot.waitUntil(lambda: any("demo" in text for text in kept(tmp_path)), timeout=10_000)
    assert "of the demo" in dialog.preview.toPlainText()
    dialog.put.click()
    assert texts(window)[1].startswith("of the demo ")
    do(window, "undo")
    assert texts(window) == before
    window.close()


def test_damaged_drafts_are_set_aside_and_the_others_are_shown(open_window, qtbot, tmp_path):
    first = open_window()
    qtbot.keyClicks(editor(first), "Kept. ")
    first.close()
    folder = tmp_path / "drafts"
    good = next(folder.glob("*.json"))
    for number, data in enumerate((b"[" * 100_000, b"\xff\xfe", b"", b"{}")):
        (folder / f"x{number}-{good.name[16:]}").write_bytes(data)
    os.mkfifo(folder / f"pipe-{good.name[16:]}")
    (folder / f"folder-{good.name[16:]}").mkdir()
    with (folder / f"huge-{good.name[16:]}").open("wb") as file:
        file.truncate(1 << 33)
    window = open_window()
    assert texts(window)[1].startswith("Kept. ")
    assert "cannot be read" in window.notice.message.text()
    assert len(list(folder.glob("*.bad"))) == 7 and len(list(folder.glob("*.json"))) == 1
    assert FakeEngine.last is not None
