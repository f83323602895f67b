"""Starting, following and closing over a training run, by keys and mouse; processes are faked."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication, QMessageBox

from app.launch import dialog as start_dialog
from app.launch.dialog import StartDialog
from app.launch.launching import ask_about_running, ask_to_train
from app.launch.run_row import OutputDialog, RunRow
from core.checkpoints.named import NamedBase
from core.errors import UserFacingError
from core.setting import settings_of
from core.training import process
from core.training.cost import cost_of
from core.training.job import TrainingJob
from core.training.process import RunState
from tests.app.conftest import do, settled
from tests.tiny import save_model
from tests.training_runs import write_pairs


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def runs(monkeypatch):
    """Runs by their path, as the process module would tell of them; what was asked of it."""
    states, asked = {}, []

    def state_of(run):
        if run not in states:
            raise UserFacingError(f"{run} is not a run that Qscope started.")
        return states[run]

    def act(name, phase):
        def done(run):
            asked.append((name, run))
            states[run] = replace(states[run], phase=phase)

        return done

    monkeypatch.setattr(process, "state_of", state_of)
    monkeypatch.setattr(process, "stop", act("stop", "stopping"))
    monkeypatch.setattr(process, "resume", act("resume", "starting"))
    monkeypatch.setattr(process, "known_runs", lambda: list(states))
    monkeypatch.setattr(
        process, "running_runs", lambda: [run for run, state in states.items() if state.running]
    )
    states_and_asked = type("Runs", (), {"states": states, "asked": asked})
    return states_and_asked


@pytest.fixture
def dialog(qtbot, tmp_path, monkeypatch):
    """Makes dialogs; what they start is gathered in ``dialog.jobs``."""
    unfetched = NamedBase("a-base", lambda: None, lambda report, stop: tmp_path)
    monkeypatch.setattr(start_dialog, "usual_base", lambda: unfetched)

    def make(typed="", start=None):
        def begin(job):
            make.jobs.append(job)
            return Path(job.out)

        made = StartDialog(start or begin, tmp_path / "runs", typed)
        qtbot.addWidget(made)
        made.show()
        qtbot.waitExposed(made)
        return made

    make.jobs = []
    yield make


def type_into(qtbot, edit, text):
    edit.setFocus()
    edit.selectAll()
    qtbot.keyClick(edit, Qt.Key.Key_Delete)
    qtbot.keyClicks(edit, str(text))


def ready(made):
    """Whether all that was typed has been looked at."""
    return made.form.data.path() != "" and not made.busy()


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_what_is_not_used_of_the_pairs_is_told(dialog, qtbot, tmp_path):
    made = dialog()
    path = tmp_path / "weighted.jsonl"
    row = {"question": "Why?", "chosen": "So.", "rejected": "No.", "weight": 2}
    path.write_text(json.dumps(row), "utf-8")
    type_into(qtbot, made.form.data.edit, path)
    qtbot.waitUntil(lambda: ready(made))
    assert made.form.pairs.line.text() == (
        "✓ 1 pairs, plain text (JSON Lines)\nNot used: weight (every pair counts the same)."
    )


def test_pairs_are_looked_at_while_one_types_and_the_run_is_named_after_them(
    dialog, qtbot, tmp_path
):
    made = dialog()
    type_into(qtbot, made.form.data.edit, write_pairs(tmp_path))
    qtbot.waitUntil(lambda: ready(made))
    assert made.form.pairs.line.text() == "✓ 8 pairs, plain text (JSON Lines)"
    assert made.form.pairs.sample["chosen"].words == "It is 0."
    assert made.form.out.path() == str(tmp_path / "runs" / "pairs-1")
    (tmp_path / "runs" / "pairs-1").mkdir(parents=True)
    type_into(qtbot, made.form.data.edit, tmp_path / "none.jsonl")
    qtbot.waitUntil(lambda: ready(made))
    assert "cannot be read" in made.form.refusals["data"].text()
    assert made.form.refusals["data"].isVisible() and not made.form.pairs.line.isVisible()
    type_into(qtbot, made.form.data.edit, tmp_path / "pairs.jsonl")
    qtbot.waitUntil(lambda: ready(made))
    assert not made.form.refusals["data"].isVisible()
    assert made.form.out.path() == str(tmp_path / "runs" / "pairs-2")
    type_into(qtbot, made.form.out.edit, tmp_path / "mine")
    type_into(qtbot, made.form.data.edit, tmp_path / "pairs.jsonl")
    assert made.form.out.path() == str(tmp_path / "mine")


def test_what_the_fields_say_is_what_is_started(dialog, qtbot, tmp_path, base):
    made = dialog()
    type_into(qtbot, made.form.data.edit, write_pairs(tmp_path))
    press(qtbot, made.form.own_base)
    type_into(qtbot, made.form.base.edit, base)
    made.form.sft.setChecked(False)
    type_into(qtbot, made.form.numbers["learning_rate"].lineEdit(), "3e-6")
    type_into(qtbot, made.form.numbers["steps"].lineEdit(), "50")
    type_into(qtbot, made.form.numbers["beta"].lineEdit(), "0.3")
    type_into(qtbot, made.form.numbers["rank"].lineEdit(), "8")
    qtbot.waitUntil(lambda: ready(made))
    assert made.form.numbers["save_steps"].text() == "4 steps (auto)"
    press(qtbot, made.start_button)
    assert made.result() == StartDialog.DialogCode.Accepted
    (job,) = dialog.jobs
    assert (job.base, job.sft, job.learning_rate, job.steps, job.beta, job.rank, job.chat) == (
        str(base), False, 3e-6, 50, 0.3, 8, True,
    )  # fmt: skip
    assert made.run == tmp_path / "runs" / "pairs-1"
    again = dialog(made.typed())
    assert replace(again.form.job(), out="") == replace(job, out="")


def test_every_setting_of_a_job_has_a_field_with_its_name_meaning_limits_and_default(dialog):
    made = dialog()
    form = made.form
    for setting in settings_of(TrainingJob):
        field = form.numbers[setting.name]
        assert field.isVisible() and field.value() == setting.default
        assert field.accessibleName() == setting.title and field.toolTip() == setting.meaning
        if setting.kind is int and setting.name != "rank":  # 0 is "all parameters"
            assert field.minimum() == setting.minimum
            assert field.maximum() == min(setting.maximum, 2**31 - 1)


def test_faults_stand_beside_their_fields_and_nothing_typed_is_lost(dialog, qtbot, tmp_path):
    made = dialog()
    press(qtbot, made.form.own_base)
    type_into(qtbot, made.form.out.edit, tmp_path)
    write_pairs(tmp_path)
    press(qtbot, made.start_button)
    assert dialog.jobs == [] and made.isVisible()
    said = {name: label.text() for name, label in made.form.refusals.items() if label.isVisible()}
    assert said.keys() == {"base", "data", "out"}
    assert said["base"] == "Choose the folder of a model, or the demo's base."
    assert said["data"] == "Choose a file of preference pairs."
    assert "is not empty" in said["out"]
    assert made.focusWidget() is made.form.base.edit
    press(qtbot, made.form.demo_base)
    type_into(qtbot, made.form.data.edit, tmp_path / "pairs.jsonl")
    type_into(qtbot, made.form.out.edit, tmp_path / "new")
    qtbot.waitUntil(lambda: ready(made))
    assert not any(label.isVisible() for label in made.form.refusals.values())
    qtbot.keyClick(made, Qt.Key.Key_Escape)
    again = dialog(made.typed())
    assert again.form.job() == made.form.job()
    press(qtbot, again.start_button)
    assert dialog.jobs == [] and "still being looked at" in again.form.refusals["data"].text()


def test_a_run_that_cannot_be_started_leaves_the_dialog_open(dialog, qtbot, tmp_path):
    def refuse(job):
        raise UserFacingError("Training needs the package trl: install it.")

    made = dialog(start=refuse)
    type_into(qtbot, made.form.data.edit, write_pairs(tmp_path))
    qtbot.waitUntil(lambda: ready(made))
    press(qtbot, made.start_button)
    assert made.isVisible() and made.run is None
    assert made.notice.message.text() == "Training needs the package trl: install it."


def test_the_cost_is_said_for_adapters_and_for_all_parameters(dialog, qtbot, base):
    made = dialog()
    qtbot.waitUntil(lambda: "fetched first" in made.form.cost.text())
    press(qtbot, made.form.own_base)
    type_into(qtbot, made.form.base.edit, base)
    qtbot.waitUntil(lambda: made.form.cost.text().startswith("12 checkpoints of about"))
    assert made.form.numbers["rank"].isVisible() and not made.form.warning.isVisible()
    made.form.trained.setFocus()
    qtbot.keyClick(made.form.trained, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: made.form.cost.text().startswith("Each checkpoint is a whole model"))
    assert not made.form.numbers["rank"].isVisible() and made.form.job().rank == 0
    assert "1e-06 is usual for DPO" in made.form.warning.text() and made.form.warning.isVisible()
    cost = replace(cost_of(made.form.job(), base), free=1)
    assert "That will not fit" in start_dialog.cost_words(made.form.job(), cost)


def test_paths_are_chosen_by_buttons(dialog, qtbot, tmp_path):
    data = write_pairs(tmp_path)
    made = dialog()
    made.form.ask_file = lambda title, filters: str(data)
    made.form.ask_folder = lambda title: str(tmp_path / title)
    press(qtbot, made.form.data.buttons["File…"])
    assert made.form.data.path() == str(data)
    press(qtbot, made.form.out.buttons["Choose…"])
    assert made.form.out.path() == str(tmp_path / "Folder of the run")
    press(qtbot, made.form.own_base)
    press(qtbot, made.form.base.buttons["Choose…"])
    assert made.form.base.path() == str(tmp_path / "Folder of the base model")
    press(qtbot, made.form.data.buttons["Folder…"])
    assert made.form.data.path() == str(tmp_path / "Folder that datasets saved")
    assert made.form.out.path() == str(tmp_path / "Folder of the run")


@pytest.mark.parametrize(
    "typed", ["", "{", "[]", '{"steps": "many"}', '{"steps": 1e99}', '{"from": "the future"}']
)
def test_what_was_remembered_badly_does_no_harm(dialog, typed):
    assert dialog(typed).form.job().steps == 120


# --- rows -----------------------------------------------------------------------------------


def test_a_row_stops_and_resumes_and_says_why_a_run_failed(qtbot, runs):
    run = Path("/runs/pairs-1")
    runs.states[run] = RunState(run, "training", "DPO", 3, 12)
    row = RunRow(run)
    row.look()
    qtbot.addWidget(row)
    row.show()
    assert row.words.text() == "Training: DPO, step 3 of 12"
    assert (row.bar.value(), row.bar.maximum(), row.resume.isVisible()) == (3, 12, False)
    press(qtbot, row.stop)
    assert runs.asked == [("stop", run)] and not row.stop.isEnabled()
    assert row.words.text().startswith("Stopping after this step")
    runs.states[run] = RunState(run, "failed", "DPO", 4, 12, "The disk is full: free some.")
    qtbot.waitUntil(lambda: row.words.text() == "Failed: The disk is full: free some.")
    assert not row.stop.isVisible()
    press(qtbot, row.resume)
    assert runs.asked[-1] == ("resume", run) and row.stop.isVisible()
    runs.states[run] = RunState(run, "done", "DPO", 12, 12)
    qtbot.waitUntil(lambda: row.words.text() == "Done: DPO, step 12 of 12")
    assert not row.resume.isVisible() and row.close_button.isVisible()
    runs.states.clear()
    row.look()
    assert "is not a run that Qscope started" in row.words.text()


def test_output_is_shown_as_it_is_printed(qtbot, tmp_path, runs):
    dialog = OutputDialog(tmp_path)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.text.toPlainText() == "(Nothing has been printed.)"
    (tmp_path / "output.txt").write_text("one\n", "utf-8")
    qtbot.waitUntil(lambda: dialog.text.toPlainText() == "one\n")
    dialog.close()


# --- the window -----------------------------------------------------------------------------


@pytest.fixture
def training_window(window, runs, tmp_path, qtbot):
    """A window with one run going on, started from the menu's key."""
    run = tmp_path / "runs" / "pairs-1"
    run.mkdir(parents=True)
    runs.states[run] = RunState(run, "training", "DPO", 3, 12)
    window.launching.ask_to_train = lambda typed, parent: (run, json.dumps({"steps": 7}))
    window.launching.ask_about_running = lambda count, parent: "go on"
    qtbot.keyClick(
        window,
        Qt.Key.Key_L,
        Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
    )
    assert list(window.launching.rows) == [run]
    return window, run


def log(run, *steps):
    """Append records as a run's process does."""
    with (run / "log.jsonl").open("a", encoding="utf-8") as file:
        for step in steps:
            record = {"loss": 0.69, "rewards/chosen": 0.1 * step, "rewards/rejected": -0.1 * step}
            file.write(json.dumps({**record, "step": step}) + "\n")


def test_the_window_follows_a_run_and_says_when_it_can_be_drawn(training_window, qtbot):
    window, run = training_window
    assert window.launching.isVisible()
    assert json.loads(window.settings.get("training form", ""))["steps"] == 7
    with qtbot.waitSignal(window.launching.readable) as said:
        (run / "log.jsonl").touch()
    assert said.args == [run]


def test_a_started_run_is_drawn_in_the_training_view_as_it_grows(training_window, qtbot):
    window, run = training_window
    qtbot.waitUntil(lambda: window.runs.view is not None, timeout=10_000)
    view = window.runs.view
    assert window.pages.currentWidget() is view and view.runs.start_button.isVisible()
    do(window, "show_credit")
    log(run, 1, 2)
    qtbot.waitUntil(lambda: [r.log.last_step for r in view.session.runs] == [2], timeout=10_000)
    assert window.pages.currentWidget() is window.view  # nobody is taken away from elsewhere
    log(run, 3)
    qtbot.waitUntil(lambda: view.session.runs[0].log.last_step == 3, timeout=10_000)


def test_a_run_with_a_log_is_drawn_when_the_view_is_first_wanted(training_window, qtbot):
    window, run = training_window
    log(run, 1, 2)
    qtbot.waitUntil(lambda: window.runs.view is not None, timeout=10_000)
    view = window.runs.view
    qtbot.waitUntil(lambda: [r.name for r in view.session.runs] == ["pairs-1"], timeout=10_000)
    window.launching.ask_to_train = lambda typed, parent: (None, typed)
    press(qtbot, view.runs.start_button)
    assert list(window.launching.rows) == [run]


def test_closing_the_window_asks_what_becomes_of_a_run(training_window, runs, qtbot):
    window, run = training_window
    answers = ["cancel", "stop"]
    window.launching.ask_about_running = lambda count, parent: answers.pop(0)
    qtbot.keyClick(window, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
    assert window.isVisible() and runs.asked == []
    window.close()
    assert not window.isVisible() and runs.asked == [("stop", run)] and answers == []


def test_a_window_finds_the_runs_of_the_one_before(training_window, runs, open_window, qtbot):
    window, run = training_window
    window.close()
    assert runs.asked == []
    runs.states[run] = RunState(run, "done", "DPO", 12, 12)
    other = run.with_name("of-the-command-line")
    runs.states[other] = RunState(other, "starting")
    runs.states[run.with_name("old")] = RunState(run, "done")
    after = open_window()
    after.launching.ask_about_running = lambda count, parent: "go on"
    qtbot.waitUntil(lambda: set(after.launching.rows) == {run, other})
    assert after.launching.rows[run].words.text() == "Done: DPO, step 12 of 12"
    press(qtbot, after.launching.rows[run].close_button)
    assert set(after.launching.rows) == {other}
    qtbot.waitUntil(lambda: settled(after) and after.view.chart is not None, timeout=10_000)


def test_a_stop_that_fails_is_said_in_the_window(training_window, monkeypatch, qtbot):
    def fail(run):
        raise UserFacingError("stop cannot be made (Permission denied): end the process by hand.")

    window, run = training_window
    monkeypatch.setattr(process, "stop", fail)
    press(qtbot, window.launching.rows[run].stop)
    assert window.notice.message.text().startswith("stop cannot be made")


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Let it go on", "go on"), ("Save and stop", "stop"), ("Cancel", "cancel"), ("", "cancel")],
)
def test_the_close_question_has_three_answers(window, qtbot, text, answer):
    def reply():
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        found = [button for button in box.buttons() if button.text().replace("&", "") == text]
        if found:
            press(qtbot, found[0])
        else:
            qtbot.keyClick(box, Qt.Key.Key_Escape)

    QTimer.singleShot(0, reply)
    assert ask_about_running(1, window) == answer


def test_the_dialog_is_asked_for_and_what_was_typed_survives_cancelling(window, qtbot):
    def reply():
        made = QApplication.activeModalWidget()
        type_into(qtbot, made.form.numbers["steps"].lineEdit(), "33")
        qtbot.keyClick(made, Qt.Key.Key_Escape)

    QTimer.singleShot(0, reply)
    run, typed = ask_to_train("", window)
    assert run is None and json.loads(typed)["steps"] == 33
