"""Learning in steps: as in one go, between looks, at each checkpoint, kept in a session."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from core.engine.answering import Answering
from core.engine.loop import Engine
from core.engine.protocol import (
    Failed,
    Learn,
    LearnStep,
    Learnt,
    Load,
    Loaded,
    PairSpec,
    ReadTexts,
    Score,
    Scored,
    Stopped,
    TextsRead,
    Urgency,
    Variant,
)
from core.engine.recorded import RecordedEngine
from core.errors import Cancelled
from core.learned.amplified import OPENINGS
from core.learned.appearing import Watched
from core.learned.corpus import FEWEST, Sample
from core.learned.run import TOGETHER, Learning, Scoring, alike, learned, of_states
from core.learned.states import joined, score_states
from core.models.load import load_pair
from core.progress import never, silent
from core.recording import Recording
from core.session_numbers import pack, unpack
from core.text import Prompt
from tests.core.made_learned import FINDINGS, TEXTS
from tests.core.made_learned import learned as made_learned
from tests.core.made_recordings import INFO, LAST
from tests.core.made_states import made
from tests.core.test_engine import WAIT, Desk
from tests.tiny import save_model, save_pair, save_run

ENDS = ("!", ".", " soon.", " in May!")
ROWS = [
    ("Who?" if i % 3 else "Where?", f"The poster number {i} was offered a job at Labs{end}")
    for i in range(8)
    for end in ENDS
]
SAMPLES = [Sample(Prompt.of(prompt), text, f"text {i}") for i, (prompt, text) in enumerate(ROWS)]
RESPONSES = tuple(Variant(it.prompt, it.text) for it in SAMPLES)
HELD = Prompt.of("Who was offered a job?")


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    policy, reference = save_pair(tmp_path_factory.mktemp("pair"))
    return PairSpec(policy=str(policy), reference=str(reference))


@pytest.fixture(scope="module")
def run_spec(tmp_path_factory):
    _, run = save_run(tmp_path_factory.mktemp("run"))
    return PairSpec(run=str(run))


@pytest.fixture
def desk(spec):
    desk = Desk()
    assert isinstance(desk.engine, Engine)
    desk.engine.start()
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    yield desk
    assert desk.engine.close(WAIT)


def to_the_end(desk, id):
    """The steps that are told, and the final answer."""
    told = []
    while isinstance(event := desk.answer(id), LearnStep):
        told.append(event)
    return told, event


# --- steps ----------------------------------------------------------------------------------------


def test_responses_to_a_prompt_stay_together_and_none_is_lost():
    found = alike(SAMPLES)
    flat = [it for each in found for it in each]
    assert sorted(it.place for it in flat) == sorted(it.place for it in SAMPLES)
    assert all(len({it.prompt for it in each}) == 1 for each in found)
    assert max(map(len, found)) == TOGETHER
    assert sum(a != b for a, b in pairwise(it.prompt for it in flat)) == 1


def test_a_step_has_as_many_responses_as_suits_its_time(spec, monkeypatch):
    pair, _ = load_pair(spec, silent)
    monkeypatch.setattr("core.learned.run.QUICK", 1e9)
    each = [[it] for it in SAMPLES]
    scoring, shares = Scoring(each), []
    while not scoring.ended:
        shares.append(scoring.step(pair, never))
    assert shares == [it / 32 for it in (1, 3, 7, 15, 31, 32)]
    monkeypatch.setattr("core.learned.run.QUICK", 0.0)
    monkeypatch.setattr("core.learned.run.SLOW", 0.0)
    scoring = Scoring(each, most=4)
    assert [scoring.step(pair, never) for _ in range(3)] == [it / 32 for it in (4, 6, 7)]


def test_joined_windows_are_the_states_of_all(spec):
    pair, _ = load_pair(spec, silent)
    whole = score_states(pair, SAMPLES, silent)
    parts = joined([score_states(pair, it, silent) for it in alike(SAMPLES)])
    assert parts.texts == whole.texts and parts.prompts == whole.prompts
    for name in ("response", "place", "token", "start", "stop", "closing", "vector_of"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    for name in ("logp_policy", "logp_reference", "entropy", "end_policy", "vectors"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=2e-5)
    for name in ("policy", "reference", "weight", "square"):
        found, expected = (getattr(it.vocabulary, name) for it in (parts, whole))
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_step_that_is_cancelled_is_taken_again(spec):
    pair, info = load_pair(spec, silent)
    expected = learned(pair, info, SAMPLES, "rows", silent, amplify=False)
    learning, refused, shares = Learning(pair, info, SAMPLES, "rows", amplify=False), 0, []
    while not learning.ended:
        left = [refused % 3]

        def cancelled(left=left):
            left[0] -= 1
            return left[0] < 0

        pair.forget()  # what is known would not be computed, and so not be cancelled
        try:
            learning.step(cancelled if refused < 6 else never)
            shares.append(learning.fraction)
        except Cancelled:
            refused += 1
    assert refused and shares == sorted(shares)
    found = learning.found
    assert found.method.states == expected.method.states
    assert found.method.kl == pytest.approx(expected.method.kl, abs=1e-6)
    assert [it.key for it in found.findings] == [it.key for it in expected.findings]
    assert [it.status for it in found.findings] == [it.status for it in expected.findings]


def test_what_cannot_be_scored_is_left_out_and_nothing_at_all_is_said(spec):
    pair, info = load_pair(spec, silent)
    long = [Sample(Prompt.of("Long?"), "word " * 2000 + str(i), f"long {i}") for i in range(20)]
    found = learned(pair, info, [*SAMPLES, *long], "rows", silent, amplify=False)
    assert len(found.texts) == len(SAMPLES) and len(found.method.skipped) == 20
    with pytest.raises(Exception, match="None of the 20 responses can be scored"):
        learned(pair, info, long, "rows", silent, amplify=False)


# --- over checkpoints -----------------------------------------------------------------------------


def planted(strength, texts=None):
    return made(
        texts, effect=lambda piece, text, start: -strength * (piece.strip() in ("!", "the"))
    )


def test_at_the_checkpoint_they_were_found_at_effects_are_those_that_are_told():
    states = planted(1.5)
    found = of_states(states, INFO, "neutral").findings
    assert found
    effects, errors = Watched(found, states).effects(states)
    assert effects == pytest.approx([it.effect for it in found])
    assert errors == pytest.approx([it.error for it in found])


def test_effects_grow_as_what_is_planted_does():
    last = planted(1.5)
    found = of_states(last, INFO, "neutral").findings
    watched = Watched(found, last)
    some = [watched.effects(planted(strength))[0] for strength in (0.0, 0.5, 1.0, 1.5)]
    for place, finding in enumerate(found):
        if finding.name in ("“!”", "the word “the”"):
            values = [it[place] for it in some]
            assert abs(values[0]) < 0.2 and values == sorted(values, reverse=True)
            assert values[2] == pytest.approx(2 * values[1], abs=0.25)
    none = watched.at_start()
    assert none == ((0.0,) * len(found),) * 2


def test_a_run_is_weighed_at_each_checkpoint_and_shows_what_it_did(run_spec, monkeypatch):
    monkeypatch.setattr("core.learned.findings.FLOOR", 0.01)
    monkeypatch.setattr("core.learned.pairs.TESTED", 2)
    engine = Answering(lambda event: None, lambda: False)
    info = engine.answer(Load(1, run_spec)).info
    engine.answer(Score(2, "A", HELD, "The poster."))
    request = Learn(3, responses=RESPONSES, amplify=False)
    first = run(engine, request)
    assert first.checkpoint == info.checkpoints[-1].path and not first.found.over
    steps = []
    found = run(engine, replace(request, id=4, over_checkpoints=True), steps).found
    assert not any("Scoring the responses" in it.what for it in steps)  # that is known
    assert [it.step for it in found.over] == [it.step for it in info.checkpoints]
    last = found.over[-1].effects
    assert last == pytest.approx([it.effect for it in found.findings])
    assert set(found.over[0].effects) <= {0.0}
    again = engine.answer(Score(5, "A", HELD, "The poster."))
    assert again.checkpoint == info.checkpoints[-1].path
    steps.clear()
    run(engine, replace(request, id=6, over_checkpoints=True), steps)
    assert not steps


def run(engine, request, steps=()):
    again = False
    while isinstance(event := engine.answer(request, again), LearnStep):
        again = True
        if isinstance(steps, list):
            steps.append(event)
    assert isinstance(event, Learnt), event
    return event


# --- the engine -----------------------------------------------------------------------------------


def test_it_tells_of_steps_and_lets_all_else_go_first(desk, monkeypatch):
    monkeypatch.setattr("core.learned.amplified.OPENINGS", OPENINGS[:2])
    desk.engine.submit(Learn(2, responses=RESPONSES))
    assert isinstance(desk.answer(2), LearnStep)
    assert isinstance(desk.ask(Score(3, "A", HELD, "The poster.")), Scored)
    assert isinstance(desk.ask(ReadTexts(4, "A")), TextsRead)
    told, end = to_the_end(desk, 2)
    shares = [it.fraction for it in told]
    assert shares == sorted(shares) and shares[-1] <= 1.0
    assert isinstance(end, Learnt) and len(end.found.texts) == len(RESPONSES)
    assert {it.weight for it in end.found.samples} == {0.0, 1.0, 2.0, 4.0}
    assert end.found.method.noise is not None
    assert all(kind >= Learn.urgency for kind in (Urgency.LEARN, Urgency.UNASKED))


def test_it_is_stopped_and_goes_on_where_it_was(desk):
    desk.engine.submit(Learn(2, responses=RESPONSES, amplify=False))
    first = desk.answer(2)
    assert isinstance(desk.answer(2), LearnStep)
    desk.engine.cancel(Learn)
    _, end = to_the_end(desk, 2)
    assert end == Stopped(2)
    desk.engine.submit(Learn(3, responses=RESPONSES, amplify=False))
    told, end = to_the_end(desk, 3)
    assert isinstance(end, Learnt) and told[0].fraction >= first.fraction


def test_what_cannot_be_done_is_a_sentence(desk, tmp_path):
    few = desk.ask(Learn(2, responses=RESPONSES[: FEWEST - 1]))
    assert isinstance(few, Failed) and "29 different responses" in few.message
    nowhere = desk.ask(Learn(3, data=str(tmp_path / "nowhere.jsonl")))
    assert isinstance(nowhere, Failed) and "nowhere.jsonl" in nowhere.message
    desk.ask(Load(4, PairSpec(policy=str(save_model(tmp_path / "alone")))))
    alone = desk.ask(Learn(5, responses=RESPONSES))
    while isinstance(alone, LearnStep):
        alone = desk.answer(5)
    assert isinstance(alone, Failed) and "reference" in alone.message


def test_the_reference_is_sampled_between_looks(desk, monkeypatch):
    monkeypatch.setattr("core.learned.sampling.TOKENS", 24)
    desk.engine.submit(Learn(2, responses=RESPONSES, amplify=False, sampled=40))
    first = desk.answer(2)
    assert first.what == "Sampling responses from the reference" and first.fraction < 0.5
    assert isinstance(desk.ask(Score(3, "A", HELD, "The poster.")), Scored)
    told, end = to_the_end(desk, 2)
    shares = [it.fraction for it in told]
    assert shares == sorted(shares) and isinstance(end, Learnt)
    assert end.found.method.sampled and not {*end.found.texts} & {it.text for it in SAMPLES}
    assert end.found.method.about[0].startswith("40 responses were sampled")


def test_a_file_is_read_and_named(desk, tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": prompt, "response": text} for prompt, text in ROWS]
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    desk.engine.submit(Learn(2, data=str(file), amplify=False))
    _, end = to_the_end(desk, 2)
    assert end.found.method.corpus == "rows.jsonl"
    desk.engine.submit(Learn(3, data=str(file), amplify=False))
    told, again = to_the_end(desk, 3)
    assert not told and again.found == end.found  # nothing is looked for twice
    file.write_text("\n".join(map(json.dumps, rows[:-1])), "utf-8")
    desk.engine.submit(Learn(4, data=str(file), amplify=False))
    told, end = to_the_end(desk, 4)
    assert told and len(end.found.texts) == len(rows) - 1  # but in a file that was written anew


def test_of_a_file_that_cannot_be_read_the_columns_are_named(desk, tmp_path):
    file = tmp_path / "odd.jsonl"
    rows = [{"q": prompt, "said": text} for prompt, text in ROWS]
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    failed = desk.ask(Learn(2, data=str(file)))
    assert isinstance(failed, Failed) and "(q, said) prompt and response" in failed.message
    rows = [{"Question": prompt, "answer": text} for prompt, text in ROWS]
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    desk.engine.submit(Learn(3, data=str(file), amplify=False))
    _, end = to_the_end(desk, 3)
    assert end.found.method.about == (
        "The columns of odd.jsonl were taken so: prompt: Question, response: answer.",
    )


# --- what is kept ---------------------------------------------------------------------------------


def recorded(found=None, **more):
    recording = Recording()
    recording.note(None, Loaded(1, INFO))
    request = Learn(2, "rows.jsonl", RESPONSES[:1], 50, sampled=40, **more)
    recording.note(request, Learnt(2, found or made_learned(), LAST))
    return recording, request


def test_what_was_learned_goes_round_with_a_session():
    recording, request = recorded(over_checkpoints=True)
    assert recording and recording.snapshot().learned == recording.learned
    packed = pack(recording)
    found, remarks = unpack(json.loads(json.dumps(packed.plain)), packed.tensors)
    assert not packed.remarks and not remarks
    assert found.learned.found == made_learned() and found.learned.checkpoint == LAST
    assert replace(found.learned.asked, id=2) == request


@pytest.mark.parametrize(
    "change",
    [
        {"texts": TEXTS[:2]},
        {"prompts": ()},
        {"over": (replace(made_learned().over[0], effects=(1.0,)),)},
        {"findings": (replace(FINDINGS[0], error=-1.0), *FINDINGS[1:])},
        {"findings": (replace(FINDINGS[0], agreeing=9), *FINDINGS[1:])},
        {"findings": (replace(FINDINGS[0], effect=float("nan")), *FINDINGS[1:])},
    ],
)
def test_what_contradicts_itself_is_left_out(change):
    recording, _ = recorded(replace(made_learned(), **change))
    packed = pack(recording)
    assert "learned" not in packed.plain and "its list of findings is left out" in packed.remarks[0]


def test_a_recording_answers_what_was_asked():
    recording, request = recorded(over_checkpoints=True)
    told = []
    engine = RecordedEngine(told.append, recording)
    engine.submit(Load(1, PairSpec(), recorded=True))
    engine.submit(replace(request, id=7))
    assert isinstance(told[-1], Learnt) and told[-1].found == made_learned()
    engine.submit(replace(request, id=8, over_checkpoints=False))
    assert isinstance(told[-1], Learnt) and told[-1].id == 8
    engine.submit(replace(request, id=9, most=51))
    assert isinstance(told[-1], Failed) and told[-1].needs_pair
