"""The engine thread: every request gets one final answer, the newest wins, closing is quick."""

import gc
import queue
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest

from core.checkpoints import named
from core.engine.loop import Engine
from core.engine.protocol import (
    Examine,
    Failed,
    Grown,
    Inspect,
    Inspected,
    InspectStates,
    LabelsListed,
    ListLabels,
    Load,
    Loaded,
    Memory,
    PairSpec,
    Progress,
    Resume,
    Score,
    Scored,
    Search,
    Searched,
    StateRef,
    StatesDone,
    StatesInspected,
    Steer,
    Steered,
    Stopped,
    Survey,
    Surveyed,
    Unload,
    Unloaded,
)
from core.engine.wire import decode, encode
from core.errors import Cancelled
from core.search.grown import GrownTree, Status
from core.search.run import Run
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.sampling import Sampling
from core.text import Prompt
from tests.tiny import byte_level_tokenizer, save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")
WAIT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def spec(folder):
    return PairSpec(policy=str(folder[0]), reference=str(folder[1]))


class Desk:
    """An engine and its answers, which come as from another process: as bytes."""

    def __init__(self, **more):
        self.events = queue.Queue()
        self.threads = set()
        self.engine = Engine(self._take, **more)

    def _take(self, event):
        self.threads.add(threading.current_thread().name)
        self.events.put(decode(encode(event)))

    def ask(self, request):
        """The final answer to a request; progress is passed over."""
        self.engine.submit(decode(encode(request)))
        return self.answer(request.id)

    def answer(self, id):
        while True:
            event = self.events.get(timeout=WAIT)
            if event.id == id and not isinstance(event, Progress):
                return event


@pytest.fixture
def desk():
    desk = Desk()
    desk.engine.start()
    yield desk
    assert desk.engine.close(WAIT)


@pytest.fixture
def loaded(desk, spec):
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    return desk


def test_load_score_inspect(loaded):
    scored = loaded.ask(Score(2, "A", PROMPT, text="They offered $53K a year."))
    assert isinstance(scored, Scored)
    assert scored.scoring.tokens.text == "They offered $53K a year."
    assert scored.prompt_text.endswith("<|im_start|>assistant\n")
    scoring = scored.scoring
    seen = loaded.ask(Inspect(3, StateRef.before(scoring, 2, PROMPT), "a"))
    assert isinstance(seen, Inspected)
    assert len(seen.inspection.by_policy) == 10
    assert len(seen.wider.by_policy) == len(seen.wider.by_reference) == 20
    assert seen.wider.by_policy[:10] == seen.inspection.by_policy
    assert seen.wider.found == seen.inspection.found
    assert seen.inspection.state == scoring.nodes[1] and seen.inspection.found
    closing = loaded.ask(Inspect(4, StateRef.before(scoring, len(scoring) - 1, PROMPT)))
    assert isinstance(closing, Inspected)


def test_many_states_are_inspected_as_each_would_be(loaded):
    scoring = loaded.ask(Score(2, "A", PROMPT, text="They offered $53K a year.")).scoring
    states = tuple(StateRef.before(scoring, index, PROMPT) for index in range(len(scoring)))
    loaded.engine.submit(InspectStates(3, states))
    found = []
    while isinstance(event := loaded.answer(3), StatesInspected):
        assert event.first == len(found)
        found += event.inspections
    assert isinstance(event, StatesDone) and event.id == 3
    for id, (state, inspection) in enumerate(zip(states, found, strict=True), 4):
        alone = loaded.ask(Inspect(id, state, most=20)).inspection
        assert alone == inspection and len(alone.by_policy) == 20


def test_where_there_is_no_state_none_is_inspected(loaded):
    loaded.engine.submit(InspectStates(3, (StateRef(0, PROMPT, ()),)))
    assert loaded.answer(3).inspections == (None,)
    assert isinstance(loaded.answer(3), StatesDone)


def test_survey(loaded):
    scoring = loaded.ask(Score(2, "A", PROMPT, text="They offered $53K a year.")).scoring
    last = len(scoring) - 1
    for id, index in ((3, 0), (4, last)):
        surveyed = loaded.ask(Survey(id, StateRef.before(scoring, index, PROMPT)))
        assert isinstance(surveyed, Surveyed)
        actions = surveyed.actions
        taken = int(scoring.ids[index])
        assert actions.logp_policy[taken] == pytest.approx(scoring.logp_policy[index], abs=1e-5)
    assert actions.state == scoring.nodes[-2]
    listed = loaded.ask(ListLabels(5))
    assert isinstance(listed, LabelsListed) and len(listed.labels) == len(actions.logp_policy)
    assert [listed.labels[id] for id in scoring.ids] == list(scoring.labels)


def test_the_states_of_a_response_are_named(loaded):
    """The first is the prompt's last node, where the first token is yet to come."""
    scoring = loaded.ask(Score(2, "A", PROMPT, text="They offered $53K a year.")).scoring
    tree, codec = loaded.engine.session.pair.tree, loaded.engine.session.pair.codec
    assert tree.token[tree.path(scoring.start)].tolist() == list(codec.prompt_ids(PROMPT))
    states = [scoring.state(index) for index in range(len(scoring))]
    assert states == tree.parent[scoring.nodes].tolist()


def test_a_survey_waits_in_a_place_of_its_own(spec):
    """It is overtaken by newer surveys only, and comes after what is more urgent."""
    waiting = Desk(clock=lambda: 0.0)
    waiting.engine.submit(Load(1, spec))
    state = StateRef(10**9, PROMPT, (65,))
    for id in (2, 3):
        waiting.engine.submit(Survey(id, state))
    waiting.engine.submit(Inspect(4, state))
    waiting.engine.submit(Score(5, "A", PROMPT, text="They offered $53K."))
    waiting.engine.start()
    answers = {id: waiting.answer(id) for id in (2, 1, 5, 4, 3)}
    assert waiting.engine.close(WAIT)
    assert isinstance(answers[2], Stopped) and isinstance(answers[3], Surveyed)
    assert isinstance(answers[4], Inspected)


def test_what_searches_ask_waits_in_a_place_of_its_own(spec):
    waiting = Desk(clock=lambda: 0.0)
    waiting.engine.submit(Load(1, spec))
    for id, pane in enumerate(("", "left", "right"), 2):
        waiting.engine.submit(Inspect(id, StateRef(10**9, PROMPT, (65,), pane)))
    waiting.engine.start()
    answers = {id: waiting.answer(id) for id in (3, 1, 2, 4)}
    assert waiting.engine.close(WAIT)
    assert isinstance(answers[3], Stopped)
    assert answers[2].inspection == answers[4].inspection


def test_replaced_tokens_stay_through_later_edits_and_undo(loaded):
    first = loaded.ask(Score(2, "A", PROMPT, text="They offered $53K a year.")).scoring
    other = int(first.ids[0]) if first.ids[2] != first.ids[0] else int(first.ids[1])
    put = loaded.ask(Score(3, "A", PROMPT, replace=(2, other))).scoring
    assert list(put.ids) == [*first.ids[:2], other, *first.ids[3:]]
    typed = loaded.ask(Score(4, "A", PROMPT, text=put.tokens.text + " Maybe.")).scoring
    assert list(typed.ids[: len(put) - 1]) == list(put.ids[:-1])
    undone = loaded.ask(Score(5, "A", PROMPT, ids=first.tokens.ids)).scoring
    assert (undone.logp_policy == first.logp_policy).all()
    assert undone.computed == 0


def test_another_text_keeps_none_of_the_tokens_put_in_by_hand(loaded):
    text = "They offered $53K a year."
    usual = byte_level_tokenizer()(text).input_ids
    letters = ["Ġ" if letter == " " else letter for letter in text]
    spelt = tuple(byte_level_tokenizer().convert_tokens_to_ids(letters))
    put = loaded.ask(Score(2, "A", PROMPT, ids=spelt)).scoring
    assert put.tokens.text == text and any(put.tokens.forced)
    edited = loaded.ask(Score(3, "A", PROMPT, text=text + " Yes.")).scoring
    assert list(edited.ids[: len(spelt) - 1]) == list(spelt[:-1])
    another = loaded.ask(Score(4, "A", PROMPT, text=text, fresh=True)).scoring
    assert list(another.tokens.ids) == usual and not any(another.tokens.forced)


def test_switching_sides_computes_nothing(loaded):
    for id, (side, text) in enumerate((("A", "They said yes."), ("B", "They said no.")), 2):
        assert loaded.ask(Score(id, side, PROMPT, text=text)).scoring.computed > 0
    for id, (side, text) in enumerate((("A", "They said no."), ("B", "They said yes.")), 5):
        assert loaded.ask(Score(id, side, PROMPT, text=text)).scoring.computed == 0


def test_newer_requests_overtake_older_ones(desk, spec):
    """Submitted before the start, so that all of them wait: only the last of each side is done."""
    waiting = Desk()
    waiting.engine.submit(Load(1, spec))
    for id in range(2, 6):
        waiting.engine.submit(Score(id, "A", PROMPT, text="x" * id))
    waiting.engine.submit(Score(6, "B", PROMPT, text="y"))
    waiting.engine.start()
    answers = {id: waiting.answer(id) for id in (2, 3, 4, 1, 6, 5)}  # the shorter first
    assert waiting.engine.close(WAIT)
    assert [type(answers[id]) for id in range(1, 7)] == [
        Loaded,
        Stopped,
        Stopped,
        Stopped,
        Scored,
        Scored,
    ]


def test_loading_another_pair_stops_everything(loaded, spec):
    loaded.engine.submit(Score(2, "A", PROMPT, text="word " * 300))
    loaded.engine.submit(Load(3, spec))
    assert isinstance(loaded.answer(3), Loaded)
    assert loaded.ask(Score(4, "A", PROMPT, text="again")).scoring.computed > 0


def test_cancelled_loading_leaves_a_working_engine(desk, spec):
    desk.engine.submit(Load(1, spec))
    desk.engine.cancel(Load)
    assert isinstance(desk.answer(1), Stopped | Loaded)
    assert isinstance(desk.ask(Load(2, spec)), Loaded)


def test_a_missing_folder_is_one_sentence(desk):
    failed = desk.ask(Load(1, PairSpec(policy="/nowhere/policy", reference="/nowhere/ref")))
    assert isinstance(failed, Failed)
    assert "/nowhere/policy" in failed.message
    assert "Traceback" not in failed.message


def test_scoring_without_models_is_one_sentence(desk, spec):
    failed = desk.ask(Score(1, "A", PROMPT, text="x"))
    assert isinstance(failed, Failed)
    assert "open a policy" in failed.message


def test_too_long_a_response_leaves_the_engine_usable(loaded):
    failed = loaded.ask(Score(2, "A", PROMPT, text="Zoë " * 1500))
    assert isinstance(failed, Failed)
    assert "context is 1024" in failed.message
    assert isinstance(loaded.ask(Score(3, "A", PROMPT, text="short")), Scored)


def test_unload(loaded):
    assert isinstance(loaded.ask(Unload(2)), Unloaded)
    assert isinstance(loaded.ask(Score(3, "A", PROMPT, text="x")), Failed)


def test_a_pair_that_cannot_be_loaded_leaves_the_one_that_was_there(loaded):
    info = loaded.engine.session.info
    before = loaded.ask(Score(2, "A", PROMPT, text="x"))
    kept = loaded.ask(Load(3, PairSpec(policy="/nowhere")))
    assert isinstance(kept, Loaded) and kept.kept and kept.info == info
    assert "There is no folder /nowhere" in kept.why
    again = loaded.ask(Score(4, "A", PROMPT, text="x"))
    np.testing.assert_array_equal(again.scoring.logp_policy, before.scoring.logp_policy)
    assert loaded.engine.session.load_id == 3  # so that notices are of this load


def test_a_load_that_is_cancelled_leaves_the_pair_that_was_there(loaded, spec, monkeypatch):
    def cancelled(*args):
        raise Cancelled

    monkeypatch.setattr("core.models.load.load_pair", cancelled)
    kept = loaded.ask(Load(3, spec))
    assert kept.kept and kept.why == ""
    assert isinstance(loaded.ask(Score(4, "A", PROMPT, text="x")), Scored)


def test_a_pair_goes_first_where_there_is_little_memory(loaded, spec, monkeypatch):
    monkeypatch.setattr("core.models.load.ROOM", 2**40)
    gone = []
    monkeypatch.setattr("core.engine.handlers.pair._let_go", lambda it: gone.append(it.has_pair))
    assert not loaded.ask(Load(3, spec)).kept
    assert gone[0] and len(gone) == 2


def test_what_files_say_is_asked_without_a_load(loaded, spec):
    examined = loaded.ask(Examine(2, replace(spec, beta=0.7)))
    found = {it.id: it for it in examined.findings}
    assert found["beta"].numbers == {"beta": 0.7} and "way" not in found
    examined = loaded.ask(Examine(3, spec, loaded=True))
    assert "way" in {it.id for it in examined.findings}
    (stop,) = loaded.ask(Examine(4, PairSpec(policy="/nowhere"))).findings
    assert stop.level == "stop"


def test_nothing_is_fetched_by_looking(desk, monkeypatch):
    def plan(report, stop):
        report("Fetching the base (98 MB)", None)

    monkeypatch.setitem(named.PAIRS, named.DEMO, plan)
    (note,) = desk.ask(Examine(1, PairSpec(demo=True))).findings
    assert note.level == "note"
    assert note.sentence == "Fetching the base (98 MB): this is done when the pair is opened."


@pytest.mark.parametrize("follow", [Unload(2), "another"])
def test_what_is_let_go_is_freed_at_once(loaded, spec, follow):
    """The weights hang in cycles, and what the engine has loaded is kept from the collector."""
    weights = [
        weakref.ref(weight)
        for lane in loaded.engine.session.pair.lanes
        for weight in lane.model.parameters()
    ]
    assert gc.get_freeze_count() > 0
    usual = gc.get_threshold()
    gc.disable()
    try:
        loaded.ask(Load(2, spec) if follow == "another" else follow)
        assert not any(weight() is not None for weight in weights)
    finally:
        gc.enable()
    assert gc.get_threshold() == usual


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_torch_finds_its_library_open():
    script = (
        "import sys\n"
        "from core.engine.startup import open_torch_library\n"
        "open_torch_library()\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'libtorch_cpu.so' in open('/proc/self/maps').read()\n"
        "import torch\n"
        "print(int(torch.ones(3).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["3"], done.stderr


@pytest.mark.log_errors_expected
def test_the_unexpected_is_told_and_survived(loaded, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("by hand")

    with monkeypatch.context() as patch:
        patch.setattr("core.models.score.score", broken)
        failed = loaded.ask(Score(2, "A", PROMPT, text="x"))
        assert isinstance(failed, Failed)
        assert "ZeroDivisionError" in failed.message
        patch.setattr("core.models.score.score", lambda *a, **k: exhausted())
        assert "ran out of memory" in loaded.ask(Score(3, "A", PROMPT, text="x")).message
    assert isinstance(loaded.ask(Score(4, "A", PROMPT, text="x")), Scored)


def exhausted():
    raise MemoryError


def test_closing_while_loading_is_quick_and_silent(spec):
    desk = Desk()
    desk.engine.start()
    desk.engine.submit(Load(1, spec))
    desk.events.get(timeout=WAIT)  # it is under way
    assert desk.engine.close(WAIT)
    seen = desk.events.qsize()
    desk.engine.submit(Score(2, "A", PROMPT, text="x"))
    assert desk.engine.close(WAIT)
    assert desk.events.qsize() == seen


def test_closing_before_the_start():
    assert Engine(lambda event: None).close()


def test_events_come_from_the_engine_thread(loaded):
    assert loaded.threads == {"qscope-engine"}


BEAM = SearchSpec(Beam(3), max_tokens=5)
LONG = SearchSpec(Sampling(8, temperature=3.0), max_tokens=200)


def growing(desk, id, tree):
    """Take in what a search does until it has its final answer, which is returned."""
    while isinstance(event := desk.answer(id), Grown):
        tree.add(event.growth)
    return event


def search(desk, id, pane="left", spec=BEAM):
    """Run a search to its end; the tree and the final answer."""
    tree = GrownTree()
    desk.engine.submit(Search(id, pane, PROMPT, (), spec))
    return tree, growing(desk, id, tree)


@pytest.fixture
def under_way(loaded):
    """A long search whose first step is done."""
    tree = GrownTree()
    loaded.engine.submit(Search(2, "left", PROMPT, (), LONG))
    tree.add(loaded.answer(2).growth)
    return loaded, tree


def test_a_search_tells_of_each_step_and_ends(loaded):
    tree, end = search(loaded, 2)
    assert isinstance(end, Searched) and end.pane == "left"
    assert end.steps == 5 and end.computed > 0 and "tree cache" in end.cache
    assert len(tree.hypotheses(BEAM)) == 3


def test_what_is_more_urgent_is_answered_between_steps(under_way):
    desk, tree = under_way
    desk.engine.submit(Score(3, "A", PROMPT, text="A job."))
    steps = 0
    while not isinstance(event := desk.events.get(timeout=WAIT), Scored):
        if isinstance(event, Memory):  # told unasked
            continue
        assert isinstance(event, Grown)
        tree.add(event.growth)
        steps += 1
    assert steps < 100
    desk.engine.cancel(Search)
    assert growing(desk, 2, tree) == Stopped(2)


def test_a_stopped_search_is_gone_on_with(loaded):
    expected, _ = search(loaded, 2, "right")
    tree = GrownTree()
    loaded.engine.submit(Search(3, "left", PROMPT, (), BEAM))
    tree.add(loaded.answer(3).growth)
    loaded.engine.cancel(Search)
    assert isinstance(growing(loaded, 3, tree), Stopped | Searched)
    loaded.engine.submit(Resume(4, "left"))
    assert isinstance(growing(loaded, 4, tree), Searched)
    assert [h.text for h in tree.hypotheses(BEAM)] == [h.text for h in expected.hypotheses(BEAM)]
    assert tree.status.tolist() == expected.status.tolist()


def test_a_search_that_took_no_step_leaves_the_one_before(loaded, monkeypatch):
    expected, _ = search(loaded, 2, "right")
    tree = GrownTree()
    loaded.engine.submit(Search(3, "left", PROMPT, (), BEAM))
    tree.add(loaded.answer(3).growth)
    loaded.engine.cancel(Search)
    growing(loaded, 3, tree)
    step, begun = Run.step, threading.Event()

    def without_end(self, cancelled):
        begun.set()
        while not cancelled():
            time.sleep(0.001)
        raise Cancelled

    monkeypatch.setattr(Run, "step", without_end)
    loaded.engine.submit(Search(4, "left", PROMPT, (5,), LONG))
    assert begun.wait(WAIT)
    loaded.engine.cancel(Search)
    assert loaded.answer(4) == Stopped(4)
    monkeypatch.setattr(Run, "step", step)
    loaded.engine.submit(Resume(5, "left"))
    assert isinstance(growing(loaded, 5, tree), Searched)
    assert [h.text for h in tree.hypotheses(BEAM)] == [h.text for h in expected.hypotheses(BEAM)]


def test_a_newer_search_of_a_pane_replaces_the_one_that_runs(under_way):
    desk, tree = under_way
    desk.engine.submit(Search(3, "left", PROMPT, (), BEAM))
    assert growing(desk, 2, tree) == Stopped(2)
    assert isinstance(growing(desk, 3, GrownTree()), Searched)


def test_another_pane_waits_for_its_turn(under_way):
    desk, tree = under_way
    desk.engine.submit(Search(3, "right", PROMPT, (), BEAM))
    desk.engine.cancel(Resume)  # nothing of that kind
    desk.engine.submit(Search(4, "left", PROMPT, (), BEAM))
    assert growing(desk, 2, tree) == Stopped(2)
    finished = []
    while len(finished) < 2:
        event = desk.events.get(timeout=WAIT)
        finished += [event.pane] if isinstance(event, Searched) else []
    assert sorted(finished) == ["left", "right"]


def test_a_node_is_steered(loaded):
    tree = GrownTree()
    loaded.engine.submit(Search(2, "left", PROMPT, (), LONG))
    tree.add(loaded.answer(2).growth)
    node = int(tree.node[tree.best[0]])
    loaded.engine.submit(Steer(3, "left", node, "prune"))
    while not isinstance(event := loaded.events.get(timeout=WAIT), Steered):
        tree.add(event.growth)
    tree.add(loaded.answer(2).growth)
    assert tree.status[tree.entry(node)] == Status.PRUNED
    assert not any(node in tree.node[tree.path(int(entry))] for entry in tree.best)
    loaded.engine.cancel(Search)
    assert isinstance(growing(loaded, 2, tree), Stopped)
    refused = loaded.ask(Steer(4, "left", 10**6, "pin"))
    assert isinstance(refused, Failed)


def test_searches_are_refused_in_a_sentence_and_the_engine_goes_on(loaded):
    absurd = loaded.ask(Search(2, "left", PROMPT, (), SearchSpec(Beam(0))))
    assert isinstance(absurd, Failed) and "Width must be" in absurd.message
    nothing = loaded.ask(Resume(3, "right"))
    assert isinstance(nothing, Failed) and "no search" in nothing.message
    assert isinstance(search(loaded, 4)[1], Searched)


def test_unloading_ends_a_search(under_way):
    desk, tree = under_way
    desk.engine.submit(Unload(3))
    assert growing(desk, 2, tree) == Stopped(2)
    assert isinstance(desk.answer(3), Unloaded)
    assert isinstance(desk.ask(Resume(4, "left")), Failed)


def test_closing_in_mid_search_is_quick(under_way):
    desk, _ = under_way
    assert desk.engine.close(WAIT)


def test_out_of_memory_in_a_search_keeps_the_tree(loaded, monkeypatch):
    """It is tried once more before it is refused."""
    step, calls = Run.step, iter(range(100))

    def short(self, cancelled):
        if next(calls) in (2, 3):
            raise MemoryError
        return step(self, cancelled)

    monkeypatch.setattr(Run, "step", short)
    tree, end = search(loaded, 2)
    assert isinstance(end, Failed) and "the tree so far is kept: reduce" in end.message
    assert len(tree) > 1
    loaded.engine.submit(Resume(3, "left"))
    assert isinstance(growing(loaded, 3, tree), Searched)
    assert len(tree.hypotheses(BEAM)) == 3
