"""Scrubbing and replaying a run: what is shown, what is stopped, what is put off."""

import itertools
import os
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from core.checkpoints import watch
from core.engine.protocol import (
    Failed,
    FilesChanged,
    Grown,
    Inspect,
    Inspected,
    Load,
    Loaded,
    PairSpec,
    Progress,
    Replay,
    ReplayDone,
    Replayed,
    Resume,
    Score,
    ScoreAgain,
    Scored,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    StateRef,
    Stopped,
    Survey,
    Sweep,
    SweepDone,
    Swept,
    Variant,
    VariantsDone,
    VariantsScored,
)
from core.errors import Cancelled
from core.runs.records import START
from core.search.grown import GrownTree
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.sweeps.record import SweepSpec
from tests.core.test_engine import PROMPT, WAIT, Desk, growing
from tests.tiny import save_model, save_pair, save_run

LONG = "a long text that is scored " * 30
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


def alone(run, checkpoint, side, text=""):
    """What an engine of its own says that sees this checkpoint only."""
    desk = Desk()
    desk.engine.start()
    spec = PairSpec(policy=checkpoint, reference=str(run / "ref"))
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    scoring = desk.ask(Score(2, side, PROMPT, text=text or TEXTS[side])).scoring
    assert desk.engine.close(WAIT)
    return scoring


def test_an_answer_names_the_checkpoint_that_is_asked(desk):
    state = StateRef.before(desk.first["A"], 2, PROMPT)
    for id, path in ((10, desk.paths[-1]), (20, desk.paths[1]), (30, START)):
        if id > 10:
            desk.ask(Scrub(id, path))
        assert desk.ask(Inspect(id + 1, state)).checkpoint == path
        assert desk.ask(Survey(id + 2, state)).checkpoint == path


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
    seen = desk.ask(Inspect(12, StateRef.before(again, 2, PROMPT)))
    assert isinstance(seen, Inspected) and seen.checkpoint == desk.paths[1]
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


@pytest.fixture
def pieces(desk, monkeypatch):
    """The checkpoint under which each layer runs a piece of a long text; ``at`` is called there."""
    forward, seen = LlamaDecoderLayer.forward, SimpleNamespace(under=[], at=lambda: None)

    def watched(self, hidden, *args, **more):
        if hidden.shape[1] > 100:
            seen.under.append(desk.engine.session.pair.shown)
            seen.at()
        return forward(self, hidden, *args, **more)

    monkeypatch.setattr("core.engine.loop.QUIET", 3600.0)
    monkeypatch.setattr("core.engine.loop.LONG", 0.0)
    monkeypatch.setattr("core.models.pair.CPU_PATH_TOKENS", 128)
    monkeypatch.setattr(LlamaDecoderLayer, "forward", watched)
    return seen


def test_a_look_goes_before_what_is_left_of_a_scrub(desk, run, pieces):
    """It is of the checkpoint that is shown, and what the scrub has read stays."""
    desk.ask(Score(10, "A", PROMPT, text=LONG))
    state = StateRef.before(desk.first["B"], 2, PROMPT)
    before = desk.ask(Inspect(11, state))
    pieces.under.clear()
    desk.ask(Scrub(12, desk.paths[2]))
    undisturbed = len(pieces.under)
    desk.ask(Scrub(13, desk.paths[-1]))
    pieces.under.clear()

    def look():
        if len(pieces.under) == undisturbed - 1:
            desk.engine.submit(Inspect(15, state))

    pieces.at = look
    desk.engine.submit(Scrub(14, desk.paths[1]))
    found = []
    while len(found) < 2:
        event = desk.events.get(timeout=WAIT)
        found += [event] if event.id in (14, 15) and not isinstance(event, Progress) else []
    seen, scrubbed = found
    assert isinstance(seen, Inspected) and seen.checkpoint == desk.paths[-1]
    found, expected = seen.inspection.by_policy, before.inspection.by_policy
    assert [it.id for it in found] == [it.id for it in expected]
    logp = pytest.approx([it.logp_policy for it in expected], abs=1e-5)
    assert [it.logp_policy for it in found] == logp
    assert isinstance(scrubbed, Scrubbed) and {*pieces.under} == {desk.paths[1]}
    assert undisturbed < len(pieces.under) <= undisturbed + 2  # the last piece is run twice
    fresh = alone(run, desk.paths[1], "A", LONG).logp_policy
    assert scrubbed.scorings["A"].logp_policy == pytest.approx(fresh, abs=1e-5)
    after = desk.ask(Inspect(16, state))
    assert after.checkpoint == desk.paths[1]
    assert abs(after.inspection.by_policy[0].logp_policy - expected[0].logp_policy) > 1e-3


def test_looks_without_end_keep_no_scrub_from_its_end(desk, run, pieces):
    desk.ask(Score(10, "A", PROMPT, text=LONG))
    state, looks = StateRef.before(desk.first["B"], 2, PROMPT), itertools.count(20)
    pieces.at = lambda: desk.engine.submit(Inspect(next(looks), state))
    scrubbed = desk.ask(Scrub(11, desk.paths[1]))
    pieces.at = lambda: None
    assert isinstance(scrubbed, Scrubbed) and next(looks) > 25
    expected = alone(run, desk.paths[1], "A", LONG).logp_policy
    assert scrubbed.scorings["A"].logp_policy == pytest.approx(expected, abs=1e-5)


def test_an_edit_waits_for_a_scrub_and_is_of_its_checkpoint(desk, pieces):
    desk.ask(Score(10, "A", PROMPT, text=LONG))
    pieces.under.clear()

    def edit():
        if len(pieces.under) == 1:
            desk.engine.submit(Score(12, "B", PROMPT, text=TEXTS["B"] + " Yes."))

    pieces.at = edit
    assert isinstance(desk.ask(Scrub(11, desk.paths[1])), Scrubbed)
    assert desk.answer(12).checkpoint == desk.paths[1]


def test_a_long_scrub_tells_how_far_it_is_with_both_responses(desk, pieces, monkeypatch):
    monkeypatch.setattr("core.progress.SOON", 0.0)
    monkeypatch.setattr("core.progress.BETWEEN", 0.0)
    desk.ask(Score(10, "A", PROMPT, text=LONG))
    desk.ask(Score(11, "B", PROMPT, text="another " + LONG))
    desk.engine.submit(Scrub(12, desk.paths[1]))
    told = []
    while isinstance(event := desk.events.get(timeout=WAIT), Progress) or event.id != 12:
        told += [event.fraction] if event.id == 12 and event.fraction is not None else []
    assert isinstance(event, Scrubbed)
    assert len(told) > 8 and told == sorted(told) and told[0] < 0.2 and 0.8 < told[-1] <= 1


def test_a_scrub_that_fails_leaves_what_is_shown(desk, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        failed = desk.ask(Scrub(10, str(path)))
        assert isinstance(failed, Failed) and failed.id == 10
    again = desk.ask(Score(11, "A", PROMPT, text=TEXTS["A"])).scoring
    assert (again.logp_policy == desk.first["A"].logp_policy).all() and again.computed == 0


def test_a_checkpoint_that_gives_nan_leaves_what_is_shown(desk, run, tmp_path):
    folder = shutil.copytree(run / "checkpoint-10", tmp_path / "checkpoint-40")
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name: weight.new_full(weight.shape, float("nan")) for name, weight in weights.items()},
        folder / "adapter_model.safetensors",
    )
    failed = desk.ask(Scrub(10, str(folder)))
    assert isinstance(failed, Failed) and "NaN" in failed.message
    longer = TEXTS["A"] + " It was long."
    again = desk.ask(Score(11, "A", PROMPT, text=longer)).scoring
    assert (again.logp_policy[:5] == desk.first["A"].logp_policy[:5]).all()
    assert (again.logp_policy < 0).all()


def test_scrubbing_without_a_run_is_one_sentence(tmp_path):
    desk = Desk()
    desk.engine.start()
    failed = desk.ask(Scrub(1, START))
    assert isinstance(failed, Failed) and "open a policy" in failed.message
    policy, reference = save_pair(tmp_path)
    desk.ask(Load(2, PairSpec(policy=str(policy), reference=str(reference))))
    for id, request in ((3, Scrub(3, START)), (4, Replay(4, (str(policy),)))):
        failed = desk.ask(request)
        assert isinstance(failed, Failed) and "not of a training run" in failed.message, id
    assert desk.engine.close(WAIT)


def test_whole_models_tell_how_far_they_are(tmp_path):
    for step in (1, 2):
        save_model(tmp_path / "run" / f"checkpoint-{step}", seed=step)
    reference = save_model(tmp_path / "reference", seed=9)
    desk = Desk()
    desk.engine.start()
    spec = PairSpec(run=str(tmp_path / "run"), reference=str(reference))
    paths = [it.path for it in desk.ask(Load(1, spec)).info.checkpoints]
    desk.ask(Score(2, "A", PROMPT, text=TEXTS["A"]))
    desk.engine.submit(Scrub(3, paths[1]))
    told = []
    while isinstance(event := desk.events.get(timeout=WAIT), Progress):
        told.append((event.id, event.what))
    assert isinstance(event, Scrubbed) and (3, "Loading the weights") in told
    spec = PairSpec(policy=paths[1], reference=str(reference))
    assert isinstance(desk.ask(Load(4, spec)), Loaded)
    fresh = desk.ask(Score(5, "A", PROMPT, text=TEXTS["A"])).scoring
    assert event.scorings["A"].logp_policy == pytest.approx(fresh.logp_policy, abs=1e-5)
    assert desk.engine.close(WAIT)


def test_a_sweep_is_of_the_checkpoint_that_is_shown(desk, tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "chosen": "A job."}\n{"prompt": "b", "chosen": "A job."}')
    spec = SweepSpec(None, (1, 2), prompt_file=str(file), max_tokens=6)

    def swept(id):
        desk.engine.submit(Sweep(id, spec))
        rows = []
        while isinstance(event := desk.answer(id), Swept):
            rows += [event.row] if event.row is not None else []
        assert event == SweepDone(id)
        return rows, event

    last, _ = swept(10)
    desk.ask(Scrub(11, desk.paths[1]))
    first, _ = swept(12)
    sums = [[row.answer.sum_policy for row in rows] for rows in (last, first)]
    assert len(sums[0]) == 4 and all(a != b for a, b in zip(*sums, strict=True))
    desk.ask(Scrub(13, desk.paths[-1]))
    assert swept(14)[0] == last


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


def test_recorded_responses_are_scored_again_under_another_checkpoint_and_what_is_shown_stays(
    desk, run
):
    one, variants = desk.paths[1], tuple(Variant(PROMPT, text) for text in TEXTS.values())
    desk.engine.submit(ScoreAgain(10, variants, one))
    found = []
    while isinstance(event := desk.answer(10), VariantsScored):
        assert event.checkpoint == one and event.first == len(found)
        found += event.scorings
    assert event == VariantsDone(10)
    for side, scoring in zip(TEXTS, found, strict=True):
        expected = alone(run, one, side).logp_policy
        assert scoring.logp_policy == pytest.approx(expected, abs=1e-5)
        assert not (scoring.logp_policy == desk.first[side].logp_policy).all()
    edited = desk.ask(Score(11, "A", PROMPT, text=TEXTS["A"] + " Maybe."))
    assert edited.checkpoint == desk.paths[-1] and edited.scoring.computed < 10
    assert (edited.scoring.logp_policy[:5] == desk.first["A"].logp_policy[:5]).all()
    gone = desk.ask(ScoreAgain(12, variants, str(run / "checkpoint-99")))
    assert isinstance(gone, Failed) and "checkpoint-99" in gone.message
    back = desk.ask(Score(13, "A", PROMPT, text=TEXTS["A"]))
    assert (back.scoring.logp_policy == desk.first["A"].logp_policy).all()


def test_a_replay_lets_a_score_go_first_and_goes_on(desk):
    desk.engine.submit(Replay(10, tuple(desk.paths)))
    scored = desk.ask(Score(11, "A", PROMPT, text=TEXTS["A"] + " It was " + "long " * 100))
    assert isinstance(scored, Scored)
    seen = [event for event in list(desk.events.queue) if event.id == 10]
    assert not any(isinstance(event, ReplayDone | Stopped) for event in seen)
    steps, end = replaying(desk, 10)
    assert end == ReplayDone(10) and steps[-1].checkpoint == desk.paths[-1]
    assert (steps[-1].scorings["A"].logp_policy == scored.scoring.logp_policy).all()


def test_a_score_stops_a_replay_in_mid_step_which_is_done_again(desk, monkeypatch):
    """The step under way here would not end before it is stopped."""
    observe, calls = desk.engine.session.pair.observe, []

    def endless(path, rows, cancelled, line):
        calls.append(desk.engine.session.pair.shown)
        while len(calls) == 2 and not cancelled():
            begun.set()
            time.sleep(0.001)
        if len(calls) == 2:
            raise Cancelled
        return observe(path, rows, cancelled, line)

    begun = threading.Event()
    monkeypatch.setattr(desk.engine.session.pair, "observe", endless)
    desk.engine.submit(Replay(10, tuple(desk.paths[1:3])))
    assert begun.wait(WAIT)
    desk.engine.submit(Score(11, "B", PROMPT, text=TEXTS["B"] + " Yes."))
    heard = []
    while not heard or heard[-1].id != 10 or isinstance(heard[-1], Replayed):
        event = desk.events.get(timeout=WAIT)
        heard += [] if isinstance(event, Progress) else [event]  # on a busy machine it takes long
    assert [type(event) for event in heard] == [Scored, Replayed, Replayed, ReplayDone]
    assert calls[:3] == [desk.paths[1], desk.paths[1], desk.paths[3]]
    assert calls[3:] == [desk.paths[1]] * 2 + [desk.paths[2]] * 2
    assert [event.checkpoint for event in heard[1:3]] == desk.paths[1:3]
    assert heard[1].scorings["B"].tokens.text == TEXTS["B"] + " Yes."


def test_a_replay_that_is_stopped_in_mid_step_is_not_done_again(desk, monkeypatch):
    begun = threading.Event()

    def endless(path, rows, cancelled, line):
        begun.set()
        while not cancelled():
            time.sleep(0.001)
        raise Cancelled

    with monkeypatch.context() as patch:
        patch.setattr(desk.engine.session.pair, "observe", endless)
        desk.engine.submit(Replay(10, tuple(desk.paths)))
        assert begun.wait(WAIT)
        desk.engine.cancel(Replay)
        assert desk.answer(10) == Stopped(10)
        begun.clear()
        desk.engine.submit(Replay(11, tuple(desk.paths)))
        assert begun.wait(WAIT)
        desk.engine.submit(Replay(12, ()))  # a newer one replaces it
        assert desk.answer(11) == Stopped(11)
        assert desk.answer(12) == ReplayDone(12)
    again = desk.ask(Score(13, "A", PROMPT, text=TEXTS["A"])).scoring
    assert (again.logp_policy == desk.first["A"].logp_policy).all()


def test_a_replay_is_stopped(desk):
    desk.ask(Score(9, "A", PROMPT, text="word " * 300))
    desk.engine.submit(Replay(10, tuple(desk.paths * 5)))
    assert isinstance(desk.answer(10), Replayed)
    desk.engine.cancel(Replay)
    assert replaying(desk, 10)[1] == Stopped(10)
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


def test_a_tree_s_nodes_are_asked_about_and_grow_on_under_its_own_checkpoint(desk):
    spec = SearchSpec(Beam(2), max_tokens=3)
    desk.ask(Scrub(10, desk.paths[1]))
    desk.engine.submit(Search(11, "left", PROMPT, (), spec))
    grown = desk.answer(11)
    assert isinstance(grown, Grown) and grown.checkpoint == desk.paths[1]
    tree = GrownTree()
    tree.add(grown.growth)
    growing(desk, 11, tree)
    node = int(tree.node[0])
    in_tree, shown = StateRef(node, PROMPT, (), "left"), StateRef(node, PROMPT, ())
    own = desk.ask(Inspect(12, in_tree)).inspection
    desk.ask(Scrub(13, START))
    still = desk.ask(Inspect(14, in_tree))
    assert still.checkpoint == desk.paths[1]
    still = still.inspection
    assert [it.logp_policy for it in still.by_policy] == [it.logp_policy for it in own.by_policy]
    of_start = desk.ask(Inspect(15, shown))
    assert of_start.checkpoint == START
    of_start = of_start.inspection
    assert all(it.logp_policy == it.logp_reference for it in of_start.by_policy)
    desk.engine.submit(Search(16, "left", PROMPT, tree.ids(1), spec, anew=False))
    on = desk.answer(16)
    assert on.checkpoint == desk.paths[1]
    tree.add(on.growth)
    assert isinstance(growing(desk, 16, tree), Searched)
    desk.engine.submit(Search(17, "left", PROMPT, (), spec))
    assert desk.answer(17).checkpoint == START


# --- checkpoints that are written anew ---------------------------------------------------------


def rewrite(folder, seed):
    """Other numbers in the weights of a checkpoint, into the same files."""
    generator = torch.Generator().manual_seed(seed)
    for path in Path(folder).glob("*.safetensors"):
        tensors = load_file(path)
        for name, tensor in tensors.items():
            tensors[name] = tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
        content = save(tensors, {"format": "pt"})
        with path.open("r+b") as file:
            file.write(content)


@pytest.fixture(params=["plain", "dora", "whole"])
def changing(request, tmp_path, monkeypatch):
    """An engine with a run of its own, one side scored, every look at the files one at the disk."""
    monkeypatch.setattr(watch, "EVERY", 0.0)
    run = tmp_path / "run"
    if request.param == "whole":
        for step in (10, 20):
            save_model(run / f"checkpoint-{step}", seed=step)
        save_model(run / "ref", seed=1)
    else:
        save_run(tmp_path, ranks=(1, 2), use_dora=request.param == "dora")
    desk = Desk()
    desk.engine.start()
    loaded = desk.ask(Load(1, PairSpec(run=str(run))))
    desk.run, desk.kind = run, request.param
    desk.paths = [checkpoint.path for checkpoint in loaded.info.checkpoints]
    desk.ask(Score(2, "A", PROMPT, text=TEXTS["A"]))
    yield desk
    assert desk.engine.close(WAIT)


def gather(desk, request, into):
    """The answer to a request; what is told of files meanwhile goes ``into`` a list."""
    desk.engine.submit(request)
    while (event := desk.events.get(timeout=WAIT)).id != request.id or isinstance(event, Progress):
        if isinstance(event, FilesChanged):
            into.append(event)
    return event


def test_what_is_written_under_the_shown_checkpoint_changes_no_number_until_it_is_chosen(changing):
    desk, said = changing, []
    one = desk.paths[1]
    desk.ask(Scrub(10, one))
    before = alone(desk.run, one, "B").logp_policy
    rewrite(one, 3)
    scored = gather(desk, Score(11, "B", PROMPT, text=TEXTS["B"]), said).scoring
    assert scored.logp_policy == pytest.approx(before, abs=1e-5)
    assert [(it.id, it.checkpoint) for it in said] == [(1, one)]
    assert said[0].sentence.startswith("The policy's files on disk have changed")
    gather(desk, Inspect(12, StateRef.before(scored, 2, PROMPT)), said)
    assert len(said) == 1  # said once
    scrubbed = gather(desk, Scrub(13, one), said)
    now = alone(desk.run, one, "B").logp_policy
    assert scrubbed.anew and abs(now - before).max() > 0.01
    assert scrubbed.scorings["B"].logp_policy == pytest.approx(now, abs=1e-5)
    again = gather(desk, Scrub(14, one), said)
    assert not again.anew and again.scorings["B"].computed == 0 and len(said) == 1


def test_a_checkpoint_that_was_written_anew_is_scored_anew(changing):
    desk, said = changing, []
    one, last = desk.paths[1], desk.paths[-1]
    desk.ask(Scrub(10, one))
    back = desk.ask(Scrub(11, last))
    rewrite(one, 4)
    seen = gather(desk, Scrub(12, one), said)
    expected = alone(desk.run, one, "A").logp_policy
    assert seen.anew and said == []
    assert seen.scorings["A"].logp_policy == pytest.approx(expected, abs=1e-5)
    there = gather(desk, Scrub(13, last), said)
    assert not there.anew and there.scorings["A"].computed == 0
    assert (there.scorings["A"].logp_policy == back.scorings["A"].logp_policy).all()
    rewrite(one, 5)
    desk.engine.submit(Replay(14, (one,)))
    replayed = desk.answer(14)
    assert isinstance(desk.answer(14), ReplayDone)
    expected = alone(desk.run, one, "A").logp_policy
    assert isinstance(replayed, Replayed) and replayed.anew
    assert replayed.scorings["A"].logp_policy == pytest.approx(expected, abs=1e-5)


def test_a_search_goes_on_under_the_weights_that_it_was_begun_under_or_not_at_all(changing):
    desk, spec = changing, SearchSpec(Beam(2), max_tokens=60)  # too long to end by itself
    one, last = desk.paths[1], desk.paths[-1]
    expected = GrownTree()
    desk.ask(Scrub(9, one))
    desk.engine.submit(Search(10, "right", PROMPT, (), spec))
    growing(desk, 10, expected)
    tree = GrownTree()
    desk.engine.submit(Search(11, "left", PROMPT, (5,), spec))
    tree.add(desk.answer(11).growth)
    desk.engine.cancel(Search)
    while not isinstance(event := desk.answer(11), Stopped | Searched):
        tree.add(event.growth)
    assert isinstance(event, Stopped)
    desk.ask(Scrub(12, last))
    desk.ask(Score(13, "B", PROMPT, text=TEXTS["B"]))  # its weights are in place
    rewrite(one, 6)
    desk.engine.submit(Resume(14, "left"))
    ended = growing(desk, 14, tree)
    if desk.kind == "plain":  # its factors are kept in memory
        assert isinstance(ended, Searched)
    else:
        assert isinstance(ended, Failed) and "has been written anew since it was" in ended.message
    back = desk.ask(Score(15, "A", PROMPT, text=TEXTS["A"])).scoring
    assert back.logp_policy == pytest.approx(alone(desk.run, last, "A").logp_policy, abs=1e-5)


def test_a_checkpoint_that_is_cut_or_gone_leaves_the_others_as_they_were(changing):
    desk, said = changing, []
    one, last = desk.paths[1], desk.paths[-1]
    expected = {path: alone(desk.run, path, "B").logp_policy for path in (one, last)}
    desk.ask(Scrub(10, one))
    for path in Path(one).glob("*.safetensors"):
        os.truncate(path, 2000)
    scored = gather(desk, Score(11, "B", PROMPT, text=TEXTS["B"]), said).scoring
    assert scored.logp_policy == pytest.approx(expected[one], abs=1e-5)
    cut = gather(desk, Scrub(12, one), said)
    assert isinstance(cut, Failed) and "cut short" in cut.message
    shutil.rmtree(last)  # by the trainer
    gone = gather(desk, Scrub(13, last), said)
    if desk.kind == "plain":
        assert gone.scorings["B"].logp_policy == pytest.approx(expected[last], abs=1e-5)
    else:
        assert isinstance(gone, Failed) and "no longer there" in gone.message
    shutil.rmtree(one)
    desk.ask(Scrub(14, START))
    kept = gather(desk, Scrub(15, one), said)  # its weights are in place, or in memory
    assert kept.scorings["B"].logp_policy == pytest.approx(expected[one], abs=1e-5)
    assert len(said) == 1


def test_a_pair_tells_of_its_own_files_and_of_no_deleted_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.0)
    policy, reference = save_pair(tmp_path)
    desk, said = Desk(), []
    desk.engine.start()
    desk.ask(Load(1, PairSpec(policy=str(policy), reference=str(reference))))
    first = gather(desk, Score(2, "A", PROMPT, text=TEXTS["A"]), said).scoring
    (policy / "model.safetensors").unlink()
    gather(desk, Score(3, "A", PROMPT, text=TEXTS["B"]), said)
    assert said == []
    rewrite(reference, 7)
    again = gather(desk, Score(4, "B", PROMPT, text=TEXTS["A"]), said).scoring
    assert [(it.id, it.checkpoint) for it in said] == [(1, "")]
    assert str(reference / "model.safetensors") in said[0].sentence
    assert (again.logp_reference == first.logp_reference).all()
    assert desk.engine.close(WAIT)
