"""The panel that sweeps beam widths, by mouse and keys, on a scripted engine."""

import json
import random

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage

from app import theme
from core.engine.protocol import Failed, Stopped, Sweep, SweepDone, Swept
from core.sweeps.record import Answer, SweepInfo, SweepRow, SweepSpec, Verdict
from tests.app.conftest import do, settled
from tests.app.fake_engine import FakeEngine

WIDTHS = [1, 2, 4]


class SweepEngine(FakeEngine):
    """Sweeps as it is asked to; every number follows from the prompt and the width."""

    fail_sweep = ""

    def _answer(self, request):
        if not isinstance(request, Sweep):
            return super()._answer(request)
        spec = request.spec
        judge = spec.judge.kind
        info = SweepInfo(
            "pi", "ref", 0.1, judge, "the reference response", spec.prompts, spec.widths,
            spec.objective, spec.max_tokens, 0.0,
        )  # fmt: skip
        for question in range(spec.prompts):
            for width in spec.widths:
                if not self._may_step(request):
                    return Stopped(request.id)
                if self.fail_sweep:
                    return Failed(request.id, self.fail_sweep)
                done = (question + width / max(spec.widths)) / spec.prompts
                row = made_row(question, width)
                self.emit(Swept(request.id, info, row, f"Prompt {question + 1}", done))
        return SweepDone(request.id)


def made_row(question, width):
    rng = random.Random(100 * question + width)
    answer = Answer("text", 10 * width + rng.randint(0, 3), -9.0, -11.0, True)
    verdict = Verdict(rng.choice(("win", "tie", "loss")), 0.0)
    return SweepRow(question, "prompt", width, answer, answer, verdict)


@pytest.fixture
def engine(monkeypatch):
    """A class of engines of this test alone."""
    return type("ThisEngine", (SweepEngine,), {})


@pytest.fixture
def window(open_window, engine, qtbot):
    window = open_window(engine=engine)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    return window


@pytest.fixture
def panel(window, qtbot):
    do(window, "sweep_widths")
    panel = window.searches.sweep_panel
    qtbot.waitExposed(panel)
    panel.widths.selectAll()
    qtbot.keyClicks(panel.widths, "1, 2, 4")
    panel.prompts.setValue(3)
    return panel


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def asked(window):
    return window.client._engine.asked(Sweep)


def run(qtbot, panel):
    click(qtbot, panel.start)
    qtbot.waitUntil(lambda: not panel.running, timeout=10_000)


def test_start_sweeps_what_the_fields_say_and_draws_it(window, panel, qtbot):
    run(qtbot, panel)
    spec = asked(window)[-1].spec
    assert (spec.widths, spec.prompts, spec.judge.kind) == ((1, 2, 4), 3, "facts")
    assert (spec.prompt_file, spec.against, spec.objective) == ("", "chosen", 1.0)
    assert panel.doing.text() == "Done"
    rows = [made_row(q, w) for q in range(3) for w in WIDTHS]
    lengths = [sum(r.answer.tokens for r in rows if r.width == w) / 3 for w in WIDTHS]
    assert panel.plot.length.points() == [
        (x, pytest.approx(y)) for x, y in zip((0.0, 1.0, 2.0), lengths, strict=True)
    ]
    points = {"win": 1.0, "tie": 0.5, "loss": 0.0}
    rates = [sum(points[r.verdict.winner] for r in rows if r.width == w) / 3 for w in WIDTHS]
    assert [y for _, y in panel.plot.win.points()] == pytest.approx(rates)
    assert "judge: facts" in panel.plot.subtitle.text()
    assert "3 prompts" in panel.plot.subtitle.text()


def test_enter_starts(window, panel, qtbot):
    qtbot.keyClick(panel.widths, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.doing.text() == "Done", timeout=10_000)
    assert len(asked(window)) == 1


def test_the_figure_grows_while_it_runs_and_stop_keeps_it(window, panel, engine, qtbot):
    FakeEngine.last.gated, FakeEngine.last.steps = (Sweep,), 7
    panel.prompts.setValue(1000)
    click(qtbot, panel.start)
    assert not panel.start.isEnabled() and panel.stop.isEnabled()
    qtbot.waitUntil(lambda: len(panel.plot.win.points()) == 3, timeout=10_000)
    assert panel.running and panel.progress.isVisible() and "Prompt" in panel.doing.text()
    click(qtbot, panel.stop)
    qtbot.waitUntil(lambda: not panel.running, timeout=10_000)
    assert "Start resumes" in panel.doing.text()
    assert panel.start.isEnabled() and not panel.stop.isEnabled()
    assert len(panel.plot.win.points()) == 3 and panel.rows
    assert " of 1000 prompts" in panel.plot.subtitle.text()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_sweep_is_shown_again_when_its_session_is_opened(
    window, panel, engine, open_window, qtbot, tmp_path, stopped
):
    panel.against.setCurrentIndex(1)
    panel.numbers.show_values({"objective": 1.5, "max_tokens": 9, "length_penalty": 0.5})
    if stopped:
        FakeEngine.last.gated, FakeEngine.last.steps = (Sweep,), 4
        click(qtbot, panel.start)
        qtbot.waitUntil(lambda: len(panel.rows) == 4, timeout=10_000)
        click(qtbot, panel.stop)
        qtbot.waitUntil(lambda: not panel.running, timeout=10_000)
    else:
        run(qtbot, panel)
    before = shown(panel)
    path = tmp_path / "s.qscope"
    window.ask.new_file = lambda title, name, filters: str(path)
    do(window, "save")
    qtbot.waitUntil(lambda: not window.client.busy() and bool(window.sessions.path), timeout=10_000)
    window.close()
    again = open_window(spec=None, engine=engine, session=path)
    qtbot.waitUntil(lambda: again.searches.sweep_panel is not None, timeout=10_000)
    other = again.searches.sweep_panel
    qtbot.waitUntil(lambda: not other.running, timeout=10_000)
    assert shown(other) == before and other.isVisible()
    qtbot.waitUntil(lambda: again.pair.info and not again.pair.info.recorded, timeout=10_000)
    qtbot.waitUntil(lambda: settled(again), timeout=10_000)
    assert shown(other) == before and not FakeEngine.last.asked(Sweep)
    found = again.client.recording.sweep
    assert found.spec == before["spec"] and found.ended is not stopped and found.rows == other.rows


def shown(panel):
    """All that the panel says of its sweep, and what its fields ask for."""
    return {
        "spec": panel.spec(),
        "info": panel.info,
        "rows": [*panel.rows],
        "doing": panel.doing.text(),
        "win": panel.plot.win.points(),
        "length": panel.plot.length.points(),
        "said": (panel.plot.title.text(), panel.plot.subtitle.text()),
    }


def test_closing_the_panel_stops_the_sweep(window, panel, engine, qtbot):
    FakeEngine.last.gated, FakeEngine.last.steps = (Sweep,), 7
    panel.prompts.setValue(1000)
    click(qtbot, panel.start)
    qtbot.waitUntil(lambda: bool(panel.rows), timeout=10_000)
    qtbot.keyClick(panel, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not panel.running, timeout=10_000)
    assert not panel.isVisible()
    do(window, "sweep_widths")
    assert window.searches.sweep_panel is panel and panel.isVisible() and panel.rows


def test_closing_the_pair_ends_the_sweep_in_the_panel(window, panel, engine, qtbot):
    FakeEngine.last.gated, FakeEngine.last.steps = (Sweep,), 7
    panel.prompts.setValue(1000)
    click(qtbot, panel.start)
    qtbot.waitUntil(lambda: bool(panel.rows), timeout=10_000)
    do(window, "close_pair")
    assert not panel.running and "the pair was closed" in panel.doing.text()


def test_a_failure_is_told_in_the_panel_and_nothing_typed_is_lost(window, panel, engine, qtbot):
    engine.fail_sweep = "There is no reward model in x."
    run(qtbot, panel)
    assert panel.notice.message.text() == "There is no reward model in x."
    assert panel.widths.text() == "1, 2, 4"
    engine.fail_sweep = ""
    run(qtbot, panel)
    assert not panel.notice.isVisible()


@pytest.mark.parametrize(
    ("widths", "source", "judge", "said"),
    [
        ("", 0, 0, "Beam widths: '' is not a list of numbers such as 1,2,3,5,8,16."),
        ("1, two", 0, 0, "'1, two' is not a list of numbers"),
        ("1", 1, 1, "Choose the file of prompts."),
        ("1", 0, 2, "A reward model is needed to judge: choose the folder."),
        ("1", 0, 3, "A file of verdicts is needed to judge: choose the file."),
        ("0", 0, 0, "Beam widths must be from 1 to 4096, not 0."),
    ],
)
def test_what_does_not_fit_is_told_at_once(window, panel, qtbot, widths, source, judge, said):
    panel.widths.clear()
    qtbot.keyClicks(panel.widths, widths)
    panel.source.setCurrentIndex(source)
    panel.judge.setCurrentIndex(judge)
    click(qtbot, panel.start)
    assert said in panel.notice.message.text()
    assert not asked(window) and not panel.running


def test_numbers_are_those_of_the_record_and_refused_by_it(window, panel, qtbot):
    for name in ("objective", "max_tokens", "length_penalty"):
        field = panel.numbers.fields[name]
        assert field.value() == getattr(SweepSpec(None), name)
        field.setValue({"objective": -1.5, "max_tokens": 9, "length_penalty": 0.5}[name])
    run(qtbot, panel)
    spec = asked(window)[-1].spec
    assert (spec.objective, spec.max_tokens, spec.length_penalty) == (-1.5, 9, 0.5)
    panel.prompts.setValue(0)
    click(qtbot, panel.start)
    assert panel.notice.message.text() == "Number of prompts must be from 1 to 100000, not 0."
    assert len(asked(window)) == 1 and not panel.running


def test_own_prompts_and_verdicts_are_asked_for(window, panel, qtbot, monkeypatch):
    assert not panel.prompt_file.isVisible() and not panel.judge_path.isVisible()
    panel.source.setCurrentIndex(1)
    panel.judge.setCurrentIndex(3)
    assert panel.prompt_file.isVisible() and panel.judge_path.isVisible()
    qtbot.keyClicks(panel.prompt_file.edit, "p.jsonl")
    qtbot.keyClicks(panel.judge_path.edit, "v.jsonl")
    panel.against.setCurrentIndex(1)
    run(qtbot, panel)
    spec = asked(window)[-1].spec
    assert (spec.prompt_file, spec.judge.path, spec.judge.kind) == (
        "p.jsonl",
        "v.jsonl",
        "verdicts",
    )
    assert spec.against == "reference-greedy"


def test_picture_and_numbers_are_saved(window, panel, qtbot, tmp_path, monkeypatch):
    assert not panel.save_picture.isEnabled()
    run(qtbot, panel)
    answers = iter([str(tmp_path / "f.png"), str(tmp_path / "f.json"), str(tmp_path / "no" / "x")])
    monkeypatch.setattr(
        panel, "_ask", type(panel._ask)(None, None, lambda title, name, filters: next(answers))
    )
    click(qtbot, panel.save_picture)
    assert not QImage(str(tmp_path / "f.png")).isNull()
    click(qtbot, panel.save_numbers)
    found = json.loads((tmp_path / "f.json").read_text())
    assert [f["width"] for f in found["figures"]] == WIDTHS and len(found["rows"]) == 9
    click(qtbot, panel.save_numbers)
    assert "cannot be written" in panel.notice.message.text()


def test_the_figure_follows_the_theme(window, panel, qtbot, qapp):
    run(qtbot, panel)
    seen = []
    for dark in (False, True):
        theme.apply(qapp, dark)
        corner = panel.plot.grab().toImage().pixelColor(2, 2)
        assert corner.name() == theme.colours(dark).surface
        seen.append(corner.name())
    assert seen[0] != seen[1]
