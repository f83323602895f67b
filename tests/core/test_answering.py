"""What the engine does when memory is short: the tree's budget, a cache let go, a device lost."""

import gc
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import core.models.load
import core.models.score
from core.engine.answering import Answering
from core.engine.protocol import (
    Failed,
    Grown,
    Inspect,
    Inspected,
    Load,
    Memory,
    PairSpec,
    Score,
    Scored,
    Search,
    Searched,
    StateRef,
    Steer,
    Steered,
    Unload,
    Unloaded,
)
from core.search.grown import GrownTree, Status
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.text import Prompt
from tests.tiny import save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")
WORDS = "They offered $53K a year and refused flat: too low, in May, with a job for me".split()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_pair(tmp_path_factory.mktemp("pair"))


class Desk:
    """An engine's answers, one at a time, of a pair whose budgets can be set."""

    def __init__(self, folders, monkeypatch):
        load, self.events, self.id = core.models.load.load_pair, [], 0

        def loaded(*args):
            self.pair, info = load(*args)
            return self.pair, info

        monkeypatch.setattr(core.models.load, "load_pair", loaded)
        self.answering = Answering(self.events.append, lambda: False)
        spec = PairSpec(policy=str(folders[0]), reference=str(folders[1]))
        self.info = self.ask(Load, spec).info

    def ask(self, kind, *args, again=False, **more):
        self.id += not again
        return self.answering.answer(kind(self.id, *args, **more), again)

    def score(self, text, side="A", **more):
        event = self.ask(Score, side, PROMPT, text=text, **more)
        assert isinstance(event, Scored), event
        return event.scoring

    def search(self, spec, tree=None, prefix=(), pane="left"):
        """Grow a tree, or let one grow on."""
        anew, again = tree is None, False
        tree = GrownTree() if anew else tree
        while True:
            event = self.ask(Search, pane, PROMPT, prefix, spec, anew, again=again)
            if not isinstance(event, Grown):
                assert isinstance(event, Searched), event
                return tree
            tree.add(event.growth)
            again = True

    def fill(self, rng):
        """Score texts until nodes have been evicted twice."""
        pair, evictions, made = self.pair, 0, len(self.pair.tree)
        while evictions < 2:
            self.score(" ".join(rng.choices(WORDS, k=30)), side="B", fresh=True)
            evictions += len(pair.tree) < made
            made = len(pair.tree)


@pytest.fixture
def desk(folders, monkeypatch):
    desk = Desk(folders, monkeypatch)
    yield desk
    desk.answering.end()


@pytest.fixture(scope="module")
def plain(folders):
    """A response's log-probs under both models, [2, n], by one uncached forward of each."""
    models = [AutoModelForCausalLM.from_pretrained(Path(folder)) for folder in folders]

    def logp(pair, ids):
        prompt = pair.codec.prompt_ids(PROMPT)
        whole = torch.tensor([[*prompt, *ids]])
        with torch.no_grad():
            all_logp = [model(whole, use_cache=False).logits[0].log_softmax(-1) for model in models]
        taken = torch.tensor(ids)[:, None]
        return np.stack([one[len(prompt) - 1 : -1].gather(-1, taken)[:, 0] for one in all_logp])

    return logp


def assert_plain(scoring, plain, pair):
    expected = plain(pair, scoring.ids.tolist())
    found = np.stack([scoring.logp_policy, scoring.logp_reference])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_memory_stays_flat_over_a_thousand_edits_and_searches(desk, plain):
    rng, pair = random.Random(0), desk.pair
    pair.tree.budget, pair.kv_budget = 1 << 20, 4 << 20
    words, peaks, sizes, tree = rng.choices(WORDS, k=30), [], [], None
    for block in range(8):
        peak = 0
        for step in range(120):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            scoring = desk.score(" ".join(words), side="AB"[step % 2])
            if step % 100 == 7:
                tree = desk.search(SearchSpec(Beam(3), max_tokens=6))
            if step % 50 == 0:
                assert_plain(scoring, plain, pair)
            peak = max(peak, pair.tree.bytes())
        peaks.append(peak)
        sizes.append(resident())
        assert pair.tree.has(tree.node).all()  # what a pane shows is there
        assert pair.kv_bytes() <= 2 * pair.kv_budget, block
    assert max(pair.tree.nodes) > 3 * len(pair.tree)  # most of what was made is gone
    assert max(peaks[4:]) < 1.03 * max(peaks[:4]) < 1.5 * pair.tree.budget
    assert sizes[-1] - sizes[4] < 8 << 20


def test_an_undone_text_that_was_evicted_has_the_same_numbers(desk, plain):
    desk.pair.tree.budget = 1 << 20
    first = desk.score("They turned it down flat.")
    desk.score("They took it.")
    desk.fill(random.Random(1))
    assert not desk.pair.tree.has(first.nodes).all()
    again = desk.ask(Score, "A", PROMPT, ids=first.tokens.ids).scoring
    assert again.computed > 0 and (again.nodes > first.nodes)[-1]
    np.testing.assert_allclose(again.logp_policy, first.logp_policy, atol=1e-5)
    assert_plain(again, plain, desk.pair)
    seen = desk.ask(Inspect, StateRef.before(again, 2, PROMPT)).inspection
    assert seen.state == again.nodes[1]


def test_the_other_side_is_never_evicted(desk):
    desk.pair.tree.budget = 1 << 20
    first = desk.score("They turned it down flat.")
    desk.fill(random.Random(1))
    assert desk.pair.tree.has(first.nodes).all()
    assert desk.ask(Score, "A", PROMPT, ids=first.tokens.ids).scoring.computed == 0


def test_a_panes_tree_stays_and_grows_on(desk):
    desk.pair.tree.budget = 1 << 20
    spec = SearchSpec(Beam(3), max_tokens=5)
    tree = desk.search(spec)
    desk.fill(random.Random(2))
    assert desk.pair.tree.has(tree.node).all()
    entry = int(tree.best[0])
    entry = int(tree.parent[entry]) if tree.is_closed(entry) else entry
    size, nodes = len(tree), set(tree.node.tolist())
    desk.search(spec, tree, tree.ids(entry))
    assert len(tree) > size and len(set(tree.node.tolist())) == len(tree)
    desk.fill(random.Random(3))
    assert nodes <= set(desk.pair.tree.nodes.tolist())  # those of the first search too
    assert isinstance(desk.ask(Steer, "left", int(tree.node[1]), "prune"), Steered)
    way = StateRef(int(tree.node[entry]), PROMPT, tree.ids(entry), "left")
    found = desk.ask(Inspect, way).inspection
    assert found.state == tree.node[entry]
    desk.search(spec)  # another tree in its place
    desk.fill(random.Random(4))
    assert not desk.pair.tree.has(tree.node).all()


def test_a_search_between_whose_steps_nodes_are_evicted_does_the_same(desk):
    spec = SearchSpec(Beam(3), max_tokens=5)
    expected = desk.search(spec)
    desk.pair.tree.budget = 1 << 20
    tree, rng = GrownTree(), random.Random(5)
    event = desk.ask(Search, "right", PROMPT, (), spec)
    search = desk.id
    while isinstance(event, Grown):
        tree.add(event.growth)
        desk.fill(rng)
        event = desk.answering.answer(Search(search, "right", PROMPT, (), spec), again=True)
    for name in ("token", "parent", "status", "reason", "visits", "best"):
        assert getattr(tree, name).tolist() == getattr(expected, name).tolist()
    assert Status.FINISHED in tree.status
    np.testing.assert_allclose(tree.column("sum_policy"), expected.column("sum_policy"), atol=1e-4)


def test_an_evicted_node_is_asked_about_by_text(desk):
    desk.pair.tree.budget = 1 << 20
    first = desk.score("They turned it down flat.")
    node, ids = int(first.nodes[2]), first.tokens.ids[:3]
    before = desk.ask(Inspect, StateRef(node, PROMPT, ids), "flat").inspection
    desk.score("They took it.")
    desk.fill(random.Random(1))
    assert not desk.pair.tree.has(node)
    event = desk.ask(Inspect, StateRef(node, PROMPT, ids), "flat")
    assert isinstance(event, Inspected)
    after = event.inspection
    assert after.state > node
    for one, other in ((before.by_policy, after.by_policy), (before.found, after.found)):
        assert [a.id for a in one] == [a.id for a in other]
        logp = [[a.logp_policy, a.logp_reference] for a in one]
        assert np.allclose(logp, [[a.logp_policy, a.logp_reference] for a in other], atol=1e-5)


def test_how_much_is_kept_is_told_when_it_has_changed(desk):
    pair = desk.pair
    desk.score("They turned it down flat.")
    count = len(desk.events)
    for text in ("They turned it down.", "They turned it."):
        before = pair.tree.bytes()
        while pair.tree.bytes() < before + (1 << 20):
            pair.tree.extend(0, range(1000, 2000))
            pair.tree.extend(int(pair.tree.nodes[-1]), range(1000))
        desk.score(text)
        count += 1
        assert len(desk.events) == count
        now = Memory(1, pair.tree.bytes(), 2**28, pair.kv_bytes(), pair.kv_budget)
        assert desk.events[-1] == now
    desk.score("They turned.")
    assert len(desk.events) == count


# --- memory that ran out, a device that is lost -------------------------------------------------


def failing(monkeypatch, desk, error, times):
    """The next forwards end in an error; returns how often they were begun."""
    reach_path, calls = type(desk.pair).reach_path, []

    def short(self, *args, **more):
        calls.append(1)
        if len(calls) <= times:
            raise error
        return reach_path(self, *args, **more)

    monkeypatch.setattr(type(desk.pair), "reach_path", short)
    return calls


FULL = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(FULL), MemoryError()]
)
def test_out_of_memory_sheds_the_cache_and_tries_once_more(desk, monkeypatch, plain, error):
    desk.score("They turned it down flat.", side="A")
    for number in range(5):
        desk.score(f"They turned {number} down flat.", side="B")
    evicted, forget = [], type(desk.pair).evict_kv
    monkeypatch.setattr(
        type(desk.pair), "evict_kv", lambda pair: (evicted.append(pair), forget(pair))
    )
    calls = failing(monkeypatch, desk, error, 1)
    scoring = desk.score("They took it.", side="B")
    assert evicted == [desk.pair] and len(calls) == 2
    assert_plain(scoring, plain, desk.pair)


def test_shedding_forgets_all_kv_and_no_number(desk, plain):
    first = desk.score("They turned it down flat.", side="A")
    other = desk.score("They took it.", side="B")
    assert all(desk.pair.has_kv(int(scoring.nodes[-2])) for scoring in (first, other))
    desk.pair.evict_kv()
    assert desk.pair.kv_bytes() == 0
    assert desk.score("They turned it down flat.", side="A").computed == 0
    for text in ("They turned it down.", "They turned 5 down."):
        assert_plain(desk.score(text, side="B"), plain, desk.pair)


def test_what_runs_out_twice_is_refused_in_a_sentence_and_the_next_is_done(
    desk, monkeypatch, plain
):
    failing(monkeypatch, desk, torch.OutOfMemoryError("CUDA out of memory."), 2)
    event = desk.ask(Score, "A", PROMPT, text="They took it.")
    assert isinstance(event, Failed) and not event.lost
    assert event.message.startswith("The device ran out of memory: shorten the text")
    assert_plain(desk.score("They took it."), plain, desk.pair)


def test_a_pair_that_does_not_fit_is_refused_at_once(desk, folders, monkeypatch):
    calls = []

    def load(*_):
        calls.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(core.models.load, "load_pair", load)
    event = desk.ask(Load, PairSpec(policy=str(folders[0]), reference=str(folders[1])))
    assert isinstance(event, Failed) and "out of memory" in event.message and len(calls) == 1


@pytest.mark.log_errors_expected
def test_a_lost_device_is_said_and_nothing_more_is_asked_of_it(desk, monkeypatch):
    error = RuntimeError("CUDA error: device-side assert triggered\nFor debugging consider ...")
    calls = failing(monkeypatch, desk, error, 1)
    event = desk.ask(Score, "A", PROMPT, text="They took it.")
    assert isinstance(event, Failed) and event.lost
    assert "(CUDA error: device-side assert triggered): save the texts and start" in event.message
    for kind, args in (
        (Inspect, (StateRef(1, PROMPT, ()),)),
        (Search, ("left", PROMPT, (), SearchSpec(Beam(2)))),
    ):
        again = desk.ask(kind, *args)
        assert (again.id, again.lost, again.message) == (desk.id, True, event.message)
    assert len(calls) == 1
    assert isinstance(desk.ask(Unload), Unloaded)
