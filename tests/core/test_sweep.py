"""A sweep of beam widths: its statistics by hand, its answers against single searches, resuming."""

import json
import math

import numpy as np
import pytest

from core.engine.protocol import PairInfo
from core.errors import Cancelled, UserFacingError
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.given import Given
from core.sweeps.judges import RewardJudge, judge_kinds
from core.sweeps.problems import problems
from core.sweeps.questions import Question
from core.sweeps.record import (
    Answer,
    JudgeSpec,
    SweepInfo,
    SweepRow,
    SweepSpec,
    Verdict,
    as_json,
    bootstrap,
    figures,
    wilson,
)
from core.sweeps.run import Answers, Sweep, Task
from tests.searches import PROMPT, grown, search_pair, sequence_logp

INFO = PairInfo("pi", "ref", "cpu", "float32", 1, False, 480, 256, True, "tree", 0.1, 0.5)
QUESTIONS = [
    Question("Summarise this post.", chosen="They said yes."),
    Question("A job at Harbour Labs", chosen="A job."),
]
SPEC = SweepSpec(None, (3, 1), max_tokens=6)


def row(question, width, winner, tokens=10, finished=True):
    answer = Answer("text", tokens, -3.0, -5.0, finished)
    verdict = Verdict(winner, 0.0) if winner else None
    return SweepRow(question, "p", width, answer, answer, verdict)


# --- statistics -------------------------------------------------------------------------------


def test_wilson_is_the_textbooks():
    # 8 of 10: (0.8 + 1.92073/10 ± 1.95996 √(0.016 + 0.0096036)) / 1.384146
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.49016, abs=1e-5)
    assert high == pytest.approx(0.94331, abs=1e-5)
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == pytest.approx(1.0)
    assert all(map(math.isnan, wilson(0, 0)))


def test_bootstrap_of_two_values_spans_both():
    # The mean of two draws is 0 or 10 a quarter of the times each, so both quantiles are reached.
    assert bootstrap(np.array([0.0, 10.0])) == (0.0, 10.0)
    assert bootstrap(np.array([4.0, 4.0, 4.0])) == (4.0, 4.0)
    assert all(map(math.isnan, bootstrap(np.array([1.0]))))


def test_bootstrap_comes_near_the_normal_interval():
    values = np.random.default_rng(3).normal(size=400)
    half = 1.96 * values.std() / 20
    low, high = bootstrap(values)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_figures_by_hand():
    rows = [
        row(0, 1, "loss", 10), row(0, 4, "win", 30),
        row(1, 1, "tie", 20), row(1, 4, "tie", 50, finished=False),
        row(2, 1, "win", 30), row(2, 4, None, 100),
    ]  # fmt: skip
    narrow, wide = figures(rows)
    assert (narrow.width, narrow.judged, narrow.wins, narrow.ties, narrow.losses) == (1, 3, 1, 1, 1)
    assert (narrow.win_rate, narrow.tokens, narrow.gain) == (0.5, 20.0, 0.0)
    assert (wide.prompts, wide.judged, wide.win_rate) == (3, 2, 0.75)
    assert wide.gain == 0.5  # +1 on the first prompt, 0 on the second, the third is not judged
    assert wide.tokens == 60.0
    assert wide.finished == pytest.approx(2 / 3)
    assert (wide.sum_policy, wide.log_ratio) == (-3.0, 2.0)


def test_a_figure_of_part_of_a_sweep_says_so():
    info = SweepInfo("pi", "ref", 0.1, "none", "it", 3, (1, 4), 1.0, 64, 0.0)
    whole = [row(n, w, "win") for n in range(3) for w in (1, 4)]
    assert info.subtitle(whole) == info.subtitle()
    assert "3 prompts · beam" in info.subtitle()
    assert "· 2 of 3 prompts · beam" in info.subtitle(whole[:4])
    assert "3 prompts · 5 of 6 answers judged ·" in info.subtitle([*whole[:5], row(2, 4, None)])


# --- answers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models():
    return search_pair()


def swept(pair, spec=SPEC, judge=None, answers=None, questions=QUESTIONS):
    sweep = Sweep(pair, INFO, spec, questions, judge, answers or Answers(pair, INFO))
    while not sweep.ended:
        sweep.step()
    return sweep


def test_each_width_answers_what_its_search_finds(models):
    pair, _ = models
    sweep = swept(pair)
    assert [(r.question, r.width) for r in sweep.rows] == [(0, 1), (0, 3), (1, 1), (1, 3)]
    for found in sweep.rows[:2]:
        spec = SearchSpec(Beam(found.width), Objective(), max_tokens=6)
        best = grown(pair, spec)[0].hypotheses(spec)[0]
        assert (found.answer.text, found.answer.tokens) == (best.text, best.length)
        assert found.answer.sum_policy == pytest.approx(best.sum_policy, abs=1e-4)


def test_the_response_to_beat_is_scored_as_plain_forwards_do(models):
    pair, (policy, reference) = models
    ids = pair.codec.encode(PROMPT, "They said yes.").ids
    whole = (*ids, pair.codec.end_of_turn)
    to_beat = swept(pair).rows[0].against
    assert (to_beat.text, to_beat.tokens, to_beat.finished) == ("They said yes.", len(whole), True)
    assert to_beat.sum_policy == pytest.approx(sequence_logp(policy, pair, whole), abs=1e-3)
    assert to_beat.sum_reference == pytest.approx(sequence_logp(reference, pair, whole), abs=1e-3)


def test_the_reference_models_greedy_response_can_be_what_is_to_beat(models):
    pair, _ = models
    sweep = swept(pair, SweepSpec(None, (1,), against="reference-greedy", max_tokens=6))
    spec = SearchSpec(Beam(1), Objective.dial(0.0), max_tokens=6)
    best = grown(pair, spec)[0].hypotheses(spec)[0]
    assert sweep.rows[0].against.text == best.text
    assert "greedy" in sweep.info.against


def test_a_cancelled_step_is_done_again_and_changes_nothing(models):
    pair, _ = search_pair()
    sweep = Sweep(pair, INFO, SPEC, QUESTIONS, None, Answers(pair, INFO))
    fractions = [sweep.fraction]
    with pytest.raises(Cancelled):
        sweep.step(lambda: True)
    while not sweep.ended:
        sweep.step()
        fractions.append(sweep.fraction)
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    others = swept(models[0]).rows
    assert [r.answer.text for r in sweep.rows] == [r.answer.text for r in others]


# --- resuming ---------------------------------------------------------------------------------


def test_a_second_run_searches_only_for_what_is_not_known(models, tmp_path, monkeypatch):
    pair, _ = models
    file = tmp_path / "answers.jsonl"
    answers = Answers(pair, INFO, file)
    first = Sweep(pair, INFO, SPEC, QUESTIONS, None, answers)
    while len(first.rows) < 3:
        first.step()
    answers.close()
    with file.open("a") as torn:
        torn.write('{"key": "cut o')
    again = Answers(pair, INFO, file)
    assert len(again) == 5  # two responses to beat, three answers
    searched = []
    monkeypatch.setattr("core.sweeps.run.Run", _counted(searched))
    second = swept(pair, judge=RewardJudge(), answers=again)
    again.close()
    assert searched == [Beam(3)]
    assert [r.answer for r in second.rows[:3]] == [r.answer for r in first.rows]
    assert all(r.verdict for r in second.rows)
    assert len(file.read_text().splitlines()) == 1 + 6
    for line in file.read_text().splitlines():
        json.loads(line)


def _counted(searched):
    from core.search.run import Run

    def run(pair, prompt, prefix, spec):
        searched.append(spec.strategy)
        return Run(pair, prompt, prefix, spec)

    return run


def test_answers_that_an_earlier_version_wrote_are_found():
    """The keys that Qscope 0.1 wrote for these two searches."""
    search = SearchSpec(Beam(3), Objective.dial(1.0), 6, 0.0)
    given = SearchSpec(Given((5, 6, 7), closed=True), Objective.dial(0.0), 6, 0.0)
    assert Task(0, QUESTIONS[0], 3, search).key == "14e7139d4b3b7ea2b9bc1825"
    assert Task(7, QUESTIONS[0], 0, given).key == "4c66c540467d9e61178ebc22"


@pytest.mark.parametrize("text", ["my notes", "my notes\n", "[]\n", '{"a": 1}\n', "null\n{}\n"])
def test_a_file_that_is_no_sweeps_is_left_alone(models, tmp_path, text):
    file = tmp_path / "notes.txt"
    file.write_text(text)
    with pytest.raises(UserFacingError, match="not a file that a sweep wrote"):
        Answers(models[0], INFO, file)
    assert file.read_text() == text


def test_answers_of_other_weights_are_refused(models, tmp_path):
    file = tmp_path / "answers.jsonl"
    Answers(models[0], INFO, file).close()
    other, _ = search_pair("qwen2")
    with pytest.raises(UserFacingError, match="is of another pair"):
        Answers(other, INFO, file)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(), (0,), (-1, 2), (100_000,)])
def test_senseless_widths_are_refused(models, widths):
    assert list(problems(SweepSpec(None, widths))) == ["widths"]
    with pytest.raises(UserFacingError, match="width"):
        Sweep(models[0], INFO, SweepSpec(None, widths), QUESTIONS, None, Answers(models[0], INFO))


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        (SweepSpec(None, prompts=0), "prompts", "Number of prompts must be from 1 to 100000"),
        (SweepSpec(None, against="hope"), "against", "must be 'chosen' or 'reference-greedy'"),
        (SweepSpec(None, objective=math.inf), "objective", "Objective λ must be from -1000000"),
        (SweepSpec(None, max_tokens=0), "max_tokens", "Most tokens must be from 1 to 1000000"),
        (SweepSpec(None, length_penalty=51), "length_penalty", "from -50 to 50, not 51."),
        (SweepSpec(JudgeSpec("oracle")), "judge", "There is no judge 'oracle': choose facts"),
        (SweepSpec(JudgeSpec("model")), "judge", "choose the folder."),
        (SweepSpec(JudgeSpec("verdicts")), "judge", "choose the file."),
        (SweepSpec(JudgeSpec("reward", "x")), "judge", "takes no path"),
        (SweepSpec(JudgeSpec("facts"), prompt_file="f"), "judge", "choose another judge."),
    ],
)
def test_what_a_sweep_may_not_be_is_a_sentence(spec, field, words):
    found = problems(spec)
    assert list(found) == [field]
    assert words in found[field] and found[field].endswith(".")


def test_every_judge_is_fine_with_what_it_needs():
    for name, kind in judge_kinds().items():
        assert problems(SweepSpec(JudgeSpec(name, "x" if kind.takes else ""))) == {}
    assert problems(SweepSpec(None, (1, 4096), prompts=100_000, prompt_file="f")) == {}


def test_a_prompt_that_is_too_long_is_named(models):
    long = [QUESTIONS[0], Question("word " * 400, chosen="x")]
    with pytest.raises(UserFacingError, match="Prompt 2: "):
        swept(models[0], questions=long)


def test_json_has_no_nan(models):
    sweep = swept(models[0])
    found = json.loads(json.dumps(as_json(sweep.info, sweep.rows), allow_nan=False))
    assert [f["width"] for f in found["figures"]] == [1, 3]
    assert found["figures"][0]["win_rate"] is None
    assert found["judge"] == "none"
    assert found["rows"][0]["against"]["text"] == "They said yes."
