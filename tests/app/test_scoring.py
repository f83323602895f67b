"""Scoring a data set from the window: the dialog, the bar, and the table that comes of it."""

import json

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QDialog

from app.ask import AskPath
from app.engine_client import real_engine
from app.scoring.dialog import ScoreDialog
from app.scoring.wanted import Wanted
from core.dataset import score as scoring
from core.dataset.scored import read_about
from core.engine.handlers import data
from core.engine.protocol import PairSpec
from tests.app.conftest import do, settled
from tests.tiny import save_pair

WAIT = 60_000


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    policy, reference = save_pair(tmp_path_factory.mktemp("pair"))
    return PairSpec(policy=str(policy), reference=str(reference), beta=0.1)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [
        {"ask": f"Say {n}.", "good": "yes " * (n % 4 + 1), "bad": f"no {n}", "x": "a"}
        for n in range(30)
    ]
    path.write_text("\n".join(map(json.dumps, [*lines, {"ask": 5}])), "utf-8")
    return path


# --- the dialog -------------------------------------------------------------------------------


@pytest.fixture
def dialog(qtbot, tmp_path):
    asked = AskPath(lambda *_: "", lambda *_: "", lambda *_: str(tmp_path / "chosen.parquet"))
    made = ScoreDialog(asked, Wanted())
    qtbot.addWidget(made)
    made.show()
    yield made
    made.reject()


def write(qtbot, dialog, path):
    dialog.data.edit.selectAll()
    qtbot.keyClicks(dialog.data.edit, str(path))
    qtbot.waitUntil(lambda: not dialog.is_looking(), timeout=10_000)


def choose(qtbot, box, name):
    box.setFocus()
    qtbot.keyClicks(box, name)
    box.activated.emit(box.currentIndex())


def test_nothing_is_scored_before_a_file_is_named(dialog):
    assert not dialog.score.isEnabled() and "Choose a file" in dialog.found.text()


def test_columns_that_no_guess_finds_are_named(dialog, qtbot, rows):
    write(qtbot, dialog, rows)
    assert not dialog.score.isEnabled()
    assert "“Columns”" in dialog.refusal.text() and "--" not in dialog.refusal.text()
    named = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    for role, name in named.items():
        choose(qtbot, dialog.columns[role], name)
        qtbot.waitUntil(lambda: not dialog.is_looking(), timeout=10_000)
    assert dialog.score.isEnabled() and dialog.wanted().columns == named
    choose(qtbot, dialog.columns["response"], "x")
    qtbot.waitUntil(lambda: not dialog.is_looking(), timeout=10_000)
    assert not dialog.score.isEnabled() and "response is of single" in dialog.refusal.text()
    assert dialog.out.path() == str(rows.with_name("pairs.scored.parquet"))


def test_what_was_guessed_is_shown_and_corrected(dialog, qtbot, tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(
        json.dumps({"prompt": "a?", "chosen": "yes", "rejected": "no", "worse": "nope"}), "utf-8"
    )
    write(qtbot, dialog, path)
    assert dialog.score.isEnabled() and "rejected: rejected" in dialog.found.text()
    assert dialog.columns["rejected"].currentText() == "as found: rejected"
    choose(qtbot, dialog.columns["rejected"], "worse")
    qtbot.waitUntil(lambda: not dialog.is_looking(), timeout=10_000)
    assert "rejected: worse" in dialog.found.text() and dialog.score.isEnabled()
    assert dialog.wanted().columns == {"rejected": "worse"}
    dialog.limit.setValue(7)
    qtbot.mouseClick(dialog.out.buttons["Choose…"], Qt.MouseButton.LeftButton)
    wanted = dialog.wanted()
    assert (wanted.data, wanted.limit, wanted.anew) == (str(path), 7, False)
    assert wanted.out == str(tmp_path / "chosen.parquet")


def test_what_is_read_is_never_written(dialog, qtbot, tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"prompt": "a?", "chosen": "yes", "rejected": "no"}), "utf-8")
    write(qtbot, dialog, path)
    dialog.out.show_path(str(path))
    assert not dialog.score.isEnabled() and "other than" in dialog.refusal.text()


@pytest.mark.parametrize("text", ["", "{", "\x00\xff"])
def test_a_file_of_nothing_is_refused_in_a_sentence(dialog, qtbot, tmp_path, text):
    path = tmp_path / "d.jsonl"
    path.write_bytes(text.encode("latin-1"))
    write(qtbot, dialog, path)
    assert not dialog.score.isEnabled() and dialog.refusal.text().endswith(".")
    write(qtbot, dialog, tmp_path / "none.jsonl")
    assert not dialog.score.isEnabled() and "none.jsonl" in dialog.refusal.text()


# --- the window -------------------------------------------------------------------------------


@pytest.fixture
def window(open_window, qtbot, spec, monkeypatch):
    monkeypatch.setattr(scoring, "WINDOW", 8)
    monkeypatch.setattr(data, "STEP", 0.0)
    window = open_window(spec=spec, engine=real_engine)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    return window


def named(rows, out, **more):
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    return Wanted(str(rows), str(out), columns, **more)


def test_a_data_set_is_scored_and_shown(window, qtbot, rows, tmp_path):
    out, bar = tmp_path / "o.parquet", window.scoring.bar
    told = []
    window.scoring.begin(named(rows, out))
    assert bar.isVisible() and "reading the file" in bar.words.text()
    assert not window.menus.actions["score_data_set"].isEnabled()

    def done():
        told.append(bar.words.text())
        return not bar.isVisible()

    qtbot.waitUntil(done, timeout=WAIT)
    assert any("of 31 rows" in words for words in told)
    assert window.notice.topic() == "data scored"
    assert "30 rows, 1 skipped" in window.notice.message.text()
    counts = read_about(out).counts
    assert (counts.rows, counts.skipped) == (30, 1)
    qtbot.waitUntil(lambda: window.data.view.answer is not None, timeout=WAIT)
    assert len(window.data.view.model.rows) == 30
    assert window.menus.actions["score_data_set"].isEnabled()


def test_stopped_it_goes_on_from_there(window, qtbot, rows, tmp_path):
    out, bar = tmp_path / "o.parquet", window.scoring.bar
    window.scoring.begin(named(rows, out))
    qtbot.waitUntil(lambda: " of 31 rows" in bar.words.text(), timeout=WAIT)
    qtbot.mouseClick(bar.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not bar.isVisible(), timeout=WAIT)
    assert not out.exists() and "what was scored is kept" in window.notice.message.text()
    window.scoring.begin(named(rows, out))
    qtbot.waitUntil(lambda: not bar.isVisible(), timeout=WAIT)
    assert read_about(out).counts.rows == 30


def test_a_refusal_is_one_sentence_in_the_windows_words(window, qtbot, rows, tmp_path):
    out = tmp_path / "o.parquet"
    out.write_text("mine")
    window.scoring.begin(named(rows, out))
    qtbot.waitUntil(lambda: not window.scoring.bar.isVisible(), timeout=WAIT)
    said = window.notice.message.text()
    assert "is there already" in said and "“Begin anew”" in said and "--" not in said
    assert out.read_text() == "mine"


def test_typing_goes_on_while_rows_are_scored(window, qtbot, rows, tmp_path):
    window.scoring.begin(named(rows, tmp_path / "o.parquet"))
    window.pages.bring(window.credit.page)
    panel = window.view.panels["A"]
    qtbot.keyClicks(panel.editor, " More words")
    qtbot.waitUntil(
        lambda: panel.is_current() and "More words" in panel.scoring.tokens.text,
        timeout=WAIT,
    )
    qtbot.waitUntil(lambda: not window.scoring.bar.isVisibleTo(window), timeout=WAIT)


def test_the_menu_asks_and_remembers_what_was_typed(window, qtbot, rows):
    seen = []

    def answer():
        dialog = window.scoring.dialog
        seen.append(dialog.data.path())
        dialog.data.edit.setText(str(rows))
        dialog.done(QDialog.DialogCode.Rejected)

    for _ in range(2):
        QTimer.singleShot(0, answer)
        do(window, "score_data_set")
    assert seen == ["", str(rows)]
    assert not window.scoring.bar.isVisible()
