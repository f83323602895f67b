"""Scrubbing and replaying a run: what is shown, what is stopped, what is put off."""

import pytest

from core.growth import Beam, GrownTree, SearchSpec
from core.protocol import (
    Failed,
    Inspect,
    Inspected,
    Load,
    Loaded,
    PairSpec,
    Replay,
    ReplayDone,
    Replayed,
    Score,
    Scored,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    Stopped,
)
from core.runs import START
from tests.core.test_engine import PROMPT, WAIT, Desk, growing
from tests.tiny import save_run

TEXTS = {"A": "They were offered $53K a year.", "B": "They were offered $250K a year."}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))[1]


@pytest.fixture
def desk(run):
    """An engine with a run loaded and both sides scored; ``paths`` of its checkpoints."""
    desk = Desk()
    desk.engine.start()
    loaded = desk.ask(Load(1, PairSpec(run=str(run))))
    assert isinstance(loaded, Loaded)
    desk.paths = [checkpoint.path for checkpoint in loaded.info.checkpoints]
    desk.first = {}
    for id, (side, text) in enumerate(TEXTS.items(), 2):
        desk.first[side] = desk.ask(Score(id, side, PROMPT, text=text)).scoring
    yield desk
    assert desk.engine.close(WAIT)


def alone(run, checkpoint, side):
    """What an engine of its own says that sees this checkpoint only."""
    desk = Desk()
    desk.engine.start()
    spec = PairSpec(policy=checkpoint, reference=str(run / "ref"))
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    scoring = desk.ask(Score(2, side, PROMPT, text=TEXTS[side])).scoring
    assert desk.engine.close(WAIT)
    return scoring


def test_a_scrub_scores_both_sides_and_all_that_is_asked_later(desk, run):
    scrubbed = desk.ask(Scrub(10, desk.paths[1]))
    assert isinstance(scrubbed, Scrubbed) and scrubbed.checkpoint == desk.paths[1]
    for side in TEXTS:
        expected = alone(run, desk.paths[1], side).logp_policy
        assert scrubbed.scorings[side].logp_policy == pytest.approx(expected, abs=1e-5)
        same = desk.first[side].logp_reference
        assert (scrubbed.scorings[side].logp_reference == same).all()
    again = desk.ask(Score(11, "A", PROMPT, text=TEXTS["A"])).scoring
    assert (again.logp_policy == scrubbed.scorings["A"].logp_policy).all()
    assert again.computed == 0
    seen = desk.ask(Inspect(12, "A", 2))
    assert isinstance(seen, Inspected)
    taken = {it.id: it.logp_policy for it in seen.inspection.by_policy}
    top = int(again.ids[2])
    if top in taken:
        assert taken[top] == pytest.approx(again.logp_policy[2], abs=1e-5)


def test_the_start_has_no_reward_and_the_way_back_is_free(desk):
    start = desk.ask(Scrub(10, START))
    for scoring in start.scorings.values():
        assert (scoring.logp_policy == scoring.logp_reference).all()
        assert (scoring.rank_policy == scoring.rank_reference).all()
        assert not scoring.kl.any() and not scoring.kl_reverse.any()
    back = desk.ask(Scrub(11, desk.paths[-1]))
    for side, scoring in back.scorings.items():
        assert scoring.computed == 0
        assert (scoring.logp_policy == desk.first[side].logp_policy).all()


def test_the_newest_scrub_wins(run):
    waiting = Desk()
    waiting.engine.submit(Load(1, PairSpec(run=str(run))))
    waiting.engine.start()
    last = waiting.answer(1).info.checkpoints
    waiting.ask(Score(2, "A", PROMPT, text="word " * 200))
    ids = range(10, 22)
    for id in ids:
        waiting.engine.submit(Scrub(id, last[id % 4].path))
    answers = {}
    while len(answers) < len(ids):
        event = waiting.events.get(timeout=WAIT)
        answers[event.id] = event
    assert isinstance(answers[21], Scrubbed) and answers[21].checkpoint == last[21 % 4].path
    assert {type(answer) for answer in answers.values()} == {Stopped, Scrubbed}
    assert waiting.engine.close(WAIT)


def test_a_scrub_that_fails_leaves_what_is_shown(desk, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        failed = desk.ask(Scrub(10, str(path)))
        assert isinstance(failed, Failed) and failed.kind == "Scrub"
    again = desk.ask(Score(11, "A", PROMPT, text=TEXTS["A"])).scoring
    assert (again.logp_policy == desk.first["A"].logp_policy).all() and again.computed == 0


def replaying(desk, id):
    """The steps of a replay and its final answer."""
    steps = []
    while isinstance(event := desk.answer(id), Replayed):
        steps.append(event)
    return steps, event


def test_a_replay_goes_through_all_and_what_is_shown_stays(desk):
    desk.engine.submit(Replay(10, tuple(desk.paths)))
    steps, end = replaying(desk, 10)
    assert end == ReplayDone(10)
    assert [step.checkpoint for step in steps] == desk.paths
    assert [step.fraction for step in steps] == [0.25, 0.5, 0.75, 1.0]
    for side in TEXTS:
        assert (steps[-1].scorings[side].logp_policy == desk.first[side].logp_policy).all()
    # What is shown is in place, its KV too: an edit at the end computes what is new.
    edited = desk.ask(Score(11, "A", PROMPT, text=TEXTS["A"] + " Maybe.")).scoring
    assert (edited.logp_policy[:5] == desk.first["A"].logp_policy[:5]).all()
    assert edited.computed < 10
    for id, step in enumerate(steps, 12):
        scrubbed = desk.ask(Scrub(id, step.checkpoint))
        assert scrubbed.scorings["B"].computed == 0


def test_a_replay_lets_a_score_go_first_and_goes_on(desk):
    desk.engine.submit(Replay(10, tuple(desk.paths)))
    scored = desk.ask(Score(11, "A", PROMPT, text=TEXTS["A"] + " It was " + "long " * 100))
    assert isinstance(scored, Scored)
    seen = [event for event in list(desk.events.queue) if event.id == 10]
    assert not any(isinstance(event, ReplayDone | Stopped) for event in seen)
    steps, end = replaying(desk, 10)
    assert end == ReplayDone(10) and steps[-1].checkpoint == desk.paths[-1]
    assert (steps[-1].scorings["A"].logp_policy == scored.scoring.logp_policy).all()


def test_a_replay_is_stopped(desk):
    desk.ask(Score(9, "A", PROMPT, text="word " * 300))
    desk.engine.submit(Replay(10, tuple(desk.paths * 5)))
    assert isinstance(desk.answer(10), Replayed)
    desk.engine.cancel(Replay)
    assert replaying(desk, 10)[1] == Stopped(10, "Replay")
    scored = desk.ask(Score(11, "B", PROMPT, text=TEXTS["B"])).scoring
    assert (scored.logp_policy == desk.first["B"].logp_policy).all()


def test_a_replay_passes_over_what_cannot_be_shown(desk, tmp_path):
    gone = str(tmp_path / "checkpoint-99")
    desk.engine.submit(Replay(10, (desk.paths[1], gone, desk.paths[2])))
    steps, end = replaying(desk, 10)
    assert [step.checkpoint for step in steps] == desk.paths[1:3]
    assert isinstance(end, Failed) and gone in end.message


def test_a_search_goes_on_under_the_checkpoint_that_it_was_begun_under(desk):
    spec = SearchSpec(Beam(3), max_tokens=12)
    trees = {}
    for id, path in ((10, desk.paths[1]), (20, desk.paths[2])):
        desk.ask(Scrub(id, path))
        desk.engine.submit(Search(id + 1, "left", PROMPT, (), spec))
        trees[path] = GrownTree()
        assert isinstance(growing(desk, id + 1, trees[path]), Searched)
    best = {path: tree.hypotheses(spec)[0] for path, tree in trees.items()}
    assert best[desk.paths[1]].sum_policy != best[desk.paths[2]].sum_policy
    tree = GrownTree()
    desk.engine.submit(Search(30, "right", PROMPT, (), spec))
    tree.add(desk.answer(30).growth)
    desk.engine.submit(Scrub(31, desk.paths[1]))
    while not isinstance(event := desk.events.get(timeout=WAIT), Scrubbed | Searched):
        tree.add(event.growth)
    assert isinstance(event, Scrubbed)
    growing(desk, 30, tree)
    ours, theirs = tree.hypotheses(spec)[0], best[desk.paths[2]]
    assert ours.text == theirs.text
    assert ours.sum_policy == pytest.approx(theirs.sum_policy, abs=1e-4)
