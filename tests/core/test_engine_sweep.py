"""A sweep as a job of the engine: it tells of each step, lets all else go first, can be stopped."""

import json

import pytest

from core.engine.loop import Engine
from core.engine.protocol import (
    Failed,
    Grown,
    Load,
    Loaded,
    PairSpec,
    Score,
    Scored,
    Search,
    Searched,
    Stopped,
    Sweep,
    SweepDone,
    Swept,
    Unload,
    Unloaded,
)
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.sweeps.record import JudgeSpec, SweepSpec
from core.text import Prompt
from tests.core.test_engine import WAIT, Desk
from tests.tiny import save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pair")


@pytest.fixture(scope="module")
def pair(folder):
    policy, reference = save_pair(folder)
    return PairSpec(policy=str(policy), reference=str(reference))


@pytest.fixture(scope="module")
def spec(folder):
    file = folder / "prompts.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": p, "chosen": "A job."}) for p in "abc"))
    return SweepSpec(JudgeSpec("reward"), (1, 2), prompt_file=str(file), max_tokens=8)


@pytest.fixture
def desk(pair):
    desk = Desk()
    assert isinstance(desk.engine, Engine)
    desk.engine.start()
    assert isinstance(desk.ask(Load(1, pair)), Loaded)
    yield desk
    assert desk.engine.close(WAIT)


def to_the_end(desk, id):
    """What a sweep tells of, and its final answer."""
    told = []
    while isinstance(event := desk.answer(id), Swept):
        told.append(event)
    return told, event


def test_a_sweep_tells_of_each_step_and_of_each_row(desk, spec):
    desk.engine.submit(Sweep(2, spec))
    told, end = to_the_end(desk, 2)
    assert end == SweepDone(2)
    rows = [event.row for event in told if event.row is not None]
    assert [(r.question, r.width) for r in rows] == [(n, w) for n in range(3) for w in (1, 2)]
    assert len(told) > len(rows)
    fractions = [event.fraction for event in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert "judges itself" in told[0].info.judge


def test_a_stopped_sweep_keeps_its_answers_for_the_next(desk, spec, monkeypatch):
    desk.engine.submit(Sweep(2, spec))
    while (event := desk.answer(2)).row is None:
        pass
    desk.engine.cancel(Sweep)
    told, end = to_the_end(desk, 2)
    assert end == Stopped(2)
    found = [event.row, *(e.row for e in told if e.row is not None)]
    from core.search.run import Run

    searched = []
    made = Run.__init__

    def counted(self, *args):
        searched.append(args[-1].strategy)
        made(self, *args)

    monkeypatch.setattr(Run, "__init__", counted)
    desk.engine.submit(Sweep(3, spec))
    told, end = to_the_end(desk, 3)
    assert end == SweepDone(3)
    rows = [event.row for event in told if event.row is not None]
    assert rows[: len(found)] == found
    assert searched.count(Beam(1)) <= 2 and len(searched) < 9


def test_all_else_goes_first(desk, spec):
    desk.engine.submit(Sweep(2, spec))
    assert isinstance(desk.answer(2), Swept)
    desk.engine.submit(Search(3, "left", PROMPT, (), SearchSpec(Beam(2), max_tokens=5)))
    desk.engine.submit(Score(4, "A", PROMPT, text="A job."))
    order = []
    while not order or not isinstance(order[-1], SweepDone):
        order.append(desk.events.get(timeout=WAIT))
    kinds = [type(event) for event in order]
    assert kinds.index(Scored) < kinds.index(Searched)
    grown = [i for i, kind in enumerate(kinds) if kind is Grown]
    between = kinds[grown[0] : kinds.index(Searched)]
    assert Swept not in between  # the sweep waited until the search had ended


def test_a_newer_sweep_replaces_the_one_that_runs(desk, spec):
    desk.engine.submit(Sweep(2, spec))
    assert isinstance(desk.answer(2), Swept)
    desk.engine.submit(Sweep(3, spec))
    assert to_the_end(desk, 2)[1] == Stopped(2)
    assert to_the_end(desk, 3)[1] == SweepDone(3)


def test_stopping_searches_leaves_a_sweep_alone(desk, spec):
    desk.engine.submit(Sweep(2, spec))
    assert isinstance(desk.answer(2), Swept)
    desk.engine.cancel(Search)
    assert to_the_end(desk, 2)[1] == SweepDone(2)


def test_unloading_ends_a_sweep(desk, spec):
    desk.engine.submit(Sweep(2, spec))
    assert isinstance(desk.answer(2), Swept)
    desk.engine.submit(Unload(3))
    assert to_the_end(desk, 2)[1] == Stopped(2)
    assert isinstance(desk.answer(3), Unloaded)
    refused = desk.ask(Sweep(4, spec))
    assert isinstance(refused, Failed) and "No models are loaded" in refused.message


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (SweepSpec(JudgeSpec("reward"), (0,)), "Beam widths must be from 1 to 4096, not 0."),
        (
            SweepSpec(JudgeSpec("reward"), prompts=0),
            "Number of prompts must be from 1 to 100000, not 0.",
        ),
        (SweepSpec(JudgeSpec("verdicts", "nowhere")), "nowhere cannot be read"),
        (SweepSpec(JudgeSpec("reward"), prompt_file="nowhere"), "nowhere cannot be read"),
    ],
)
def test_bad_sweeps_are_refused_in_a_sentence(desk, spec, said):
    refused = desk.ask(Sweep(2, spec))
    assert isinstance(refused, Failed) and said in refused.message


def test_closing_in_mid_sweep_is_quick(desk, spec):
    desk.engine.submit(Sweep(2, spec))
    assert isinstance(desk.answer(2), Swept)
    assert desk.engine.close(WAIT)
