"""Scoring a file of rows as the engine's job: told, interrupted, stopped, taken up again."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.dataset import score as scoring
from core.dataset.rows import open_source
from core.dataset.score import score_data
from core.dataset.scored import read_about
from core.engine.handlers import data
from core.engine.protocol import (
    DataScored,
    DataStep,
    Failed,
    Load,
    Loaded,
    PairSpec,
    Score,
    Scored,
    ScoreData,
    Stopped,
)
from core.models.load import load_pair
from core.progress import silent
from tests.core.test_engine import PROMPT, WAIT, Desk
from tests.tiny import save_pair

ROWS = 40


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    policy, reference = save_pair(tmp_path_factory.mktemp("pair"))
    return PairSpec(policy=str(policy), reference=str(reference), beta=0.2)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "d.jsonl"
    lines = [
        {"prompt": f"Say {n % 5}.", "chosen": "a b c " * (1 + n % 4), "rejected": f"no {n}"}
        for n in range(ROWS)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return path


@pytest.fixture(scope="module")
def wanted(spec, rows, tmp_path_factory):
    """What one call writes."""
    pair, info = load_pair(spec, silent)
    out = tmp_path_factory.mktemp("wanted") / "o.parquet"
    score_data(pair, info, open_source(rows), out)
    return pq.read_table(out)


@pytest.fixture
def desk(spec, monkeypatch):
    monkeypatch.setattr(scoring, "WINDOW", 8)
    monkeypatch.setattr(data, "STEP", 0.0)
    desk = Desk()
    desk.engine.start()
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    yield desk
    assert desk.engine.close(WAIT)


def finished(desk, id):
    """The steps of a job, and its answer."""
    steps = []
    while isinstance(event := desk.answer(id), DataStep):
        steps.append(event)
    return steps, event


def assert_equal(out, wanted):
    found = pq.read_table(out)
    assert found.column_names == wanted.column_names
    for name in found.column_names:
        one, two = found[name].to_pylist(), wanted[name].to_pylist()
        if "policy" in name or "reference" in name or "ratio" in name:
            for here, there in zip(one, two, strict=True):
                assert np.allclose(here, there, atol=1e-4)
        else:
            assert one == two


def test_a_file_is_scored_in_steps_that_count_its_rows(desk, rows, wanted, tmp_path):
    out = tmp_path / "o.parquet"
    desk.engine.submit(ScoreData(5, str(rows), str(out)))
    steps, done = finished(desk, 5)
    assert isinstance(done, DataScored) and (done.rows, done.skipped) == (ROWS, 0)
    assert [it.done for it in steps] == sorted(it.done for it in steps)
    assert {it.rows for it in steps} == {ROWS} and steps[-1].fraction == 1.0
    assert_equal(out, wanted)


def test_an_edit_goes_first_and_nothing_is_lost(desk, rows, wanted, tmp_path):
    out = tmp_path / "o.parquet"
    desk.engine.submit(ScoreData(5, str(rows), str(out)))
    first = desk.answer(5)
    assert isinstance(first, DataStep) and first.done < ROWS
    edits = []
    for id in range(10, 14):
        desk.engine.submit(Score(id, "A", PROMPT, text=f"Edit {id}"))
        while (event := desk.events.get(timeout=WAIT)).id != id or not isinstance(event, Scored):
            edits.append(event)
    _, done = finished(desk, 5)
    assert isinstance(done, DataScored) and done.rows == ROWS
    assert_equal(out, wanted)


def test_stopped_it_goes_on_where_it_was(desk, rows, wanted, tmp_path):
    out = tmp_path / "o.parquet"
    desk.engine.submit(ScoreData(5, str(rows), str(out)))
    while not (isinstance(event := desk.answer(5), DataStep) and event.done >= 16):
        assert isinstance(event, DataStep)
    desk.engine.cancel(ScoreData)
    _, stopped = finished(desk, 5)
    assert isinstance(stopped, Stopped) and not out.exists()
    desk.engine.submit(ScoreData(6, str(rows), str(out)))
    steps, done = finished(desk, 6)
    assert steps[0].done >= 8, "windows that were written are not scored again"
    assert isinstance(done, DataScored) and done.rows == ROWS
    assert_equal(out, wanted)


def test_what_is_in_the_way_is_said_and_replaced_where_that_is_asked(desk, rows, tmp_path):
    out = tmp_path / "o.parquet"
    out.write_text("something else")
    desk.engine.submit(ScoreData(5, str(rows), str(out)))
    _, failed = finished(desk, 5)
    assert isinstance(failed, Failed) and "is there already" in failed.message
    assert out.read_text() == "something else"
    desk.engine.submit(ScoreData(6, str(rows), str(out), limit=10, anew=True))
    _, done = finished(desk, 6)
    assert isinstance(done, DataScored) and done.rows == read_about(out).counts.rows == 10


def test_columns_are_named_and_wrong_ones_refused(desk, tmp_path):
    path, out = tmp_path / "d.jsonl", tmp_path / "o.parquet"
    path.write_text(json.dumps({"ask": "a?", "good": "yes", "bad": "no"}), "utf-8")
    named = (("prompt", "ask"), ("chosen", "good"), ("rejected", "bad"))
    desk.engine.submit(ScoreData(5, str(path), str(out), named))
    _, done = finished(desk, 5)
    assert isinstance(done, DataScored) and done.rows == 1
    desk.engine.submit(ScoreData(6, str(path), str(tmp_path / "none" / "o.parquet"), named))
    _, failed = finished(desk, 6)
    assert isinstance(failed, Failed) and "There is no folder" in failed.message
