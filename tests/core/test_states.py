"""Models whose cache cannot be cut, run from snapshots of their states, against plain forwards."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.models import states
from core.models.check import choose_way
from core.models.lane import MANNERS, Lane, Way
from core.models.lora import pair_linears
from core.models.pair import BOTH, POLICY, Pair
from core.models.states import Manner, forward_ends, thinned
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from tests.searches import grown, search_pair, sequence_logp
from tests.tiny import tiny_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of kernels that are not installed

VOCAB = 120
WAYS = {
    "mamba": Way.SINGLES,  # several tokens at once are silently wrong in transformers 5.24
    "mamba2": Way.STATES,
    "qwen3_next": Way.STATES,
    "lfm2": Way.STATES,
    "falcon_h1": Way.STATES,
    "granitemoehybrid": Way.STATES,
    "zamba2": Way.CHUNKS,  # a limit on time steps holds in chunks alone
}


def sharp_model(kind, seed=1):
    """A tiny model whose every layer matters."""
    model = tiny_model(kind, VOCAB, seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2 and abs(float(weight.mean())) < 0.2 * float(weight.std()):
                weight.mul_(weight.shape[-1] ** -0.5 / weight.std())
    return model


class Counted:
    """A pair of one model, and how many tokens its forwards ran."""

    def __init__(self, model, way=None, **options):
        self.model = model
        self.lane = Lane(copy.deepcopy(model))
        if way is None:
            choose_way(self.lane)
        else:
            self.lane.use(way)
        self.pair = Pair([self.lane], None, **{"context_length": 1024} | options)
        self.tokens = self.forwards = 0
        self.lane.model.get_input_embeddings().register_forward_pre_hook(self._count)

    def _count(self, module, inputs):
        self.tokens += inputs[0].numel()
        self.forwards += 1

    def run(self, ids, first, line=""):
        """Score a path from ``first`` on; returns how many tokens the forwards ran."""
        before = self.tokens
        path = self.pair.tree.extend(0, ids)
        self.pair.observe(path, range(first, len(path)), line=line)
        found = self.pair.tree.column("logp_policy")[path[first:]]
        assert found == pytest.approx(plain(self.model, ids, first), abs=2e-4)
        return self.tokens - before


def plain(model, ids, first):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    logp = torch.log_softmax(logits, dim=-1)
    return logp[np.arange(first - 1, len(ids) - 1), ids[first:]].numpy()


def cache_bytes(model, ids):
    """What transformers' own cache takes after a text."""
    with torch.inference_mode():
        output = model.base_model(input_ids=torch.tensor([ids]), use_cache=True)
    values = [value for layer in output[1].layers for value in vars(layer).values()]
    groups = [value.values() if isinstance(value, dict) else [value] for value in values]
    return sum(it.nbytes for group in groups for it in group if isinstance(it, torch.Tensor))


def text(length, seed=0):
    return np.random.default_rng(seed).integers(3, VOCAB, length).tolist()


@pytest.mark.parametrize("kind", WAYS)
def test_each_family_is_run_in_the_fastest_way_that_is_exact_for_it(kind):
    lane = Lane(sharp_model(kind))
    assert choose_way(lane) is WAYS[kind]
    assert "state snapshots" in lane.way.value


@pytest.mark.parametrize("kind", WAYS)
def test_random_edits_equal_plain_forwards_and_run_less(kind, monkeypatch):
    monkeypatch.setattr(states, "SPACING", 16)
    counted = Counted(sharp_model(kind), WAYS[kind])
    random = np.random.default_rng(1)
    ids = text(90)
    ran = counted.run(ids, 5)
    whole = 0
    for edit in range(12):
        start = int(random.integers(5, len(ids)))
        stop = min(len(ids), start + int(random.integers(0, 3)))
        ids = [*ids[:start], *text(2, edit + 10), *ids[stop:]]
        ran += counted.run(ids, 5)
        whole += len(ids)
    if kind != "mamba":  # whose edits far from the end are one whole forward
        assert ran < 0.75 * whole
    # Near the end, where most edits are, little is run.
    counted.run([*ids, 50, 51, 52], 5)
    for word in range(60, 64):
        assert counted.run([*ids, 50, 51, word, 53], 5) <= 2 * states.TAIL + 4
        ids = [*ids, 70]


@pytest.mark.parametrize("kind", ["mamba", "lfm2", "zamba2"])
def test_typing_keeps_few_states_and_says_what_they_take(kind):
    counted = Counted(sharp_model(kind), WAYS[kind])
    ids = text(40)
    counted.run(ids, 5, "A")
    sizes = []
    for word in text(120, 3):
        ids = [*ids, word]
        assert counted.run(ids, 5, "A") <= 2 * states.TAIL + 2
        sizes.append(counted.pair.kv_bytes())
    most = states.SPACED + len(ids).bit_length() + 1
    one, hidden = cache_bytes(counted.model, ids), 256 * 64 * 4
    assert 2 * one < sizes[-1] <= most * one + hidden
    counted.pair.release("A")
    assert counted.pair.kv_bytes() == 0


@pytest.mark.parametrize("kind", WAYS)
def test_branches_go_on_from_where_they_were(kind):
    """Beams grow by a token at each step, are cut, and begin in mid-line."""
    counted = Counted(sharp_model(kind), WAYS[kind])
    stem, tree = text(60), counted.pair.tree
    counted.run([*stem, *text(30, 5)], 5, "search")
    trunk = int(tree.extend(0, stem)[-1])
    tips = [int(tree.extend(trunk, [word])[-1]) for word in (10, 11, 12)]
    random = np.random.default_rng(2)
    for step in range(8):
        before = counted.tokens
        counted.pair.reach(np.array(tips), line="search")
        # The trunk is run once, whole if need be; then each tip goes on from where it was.
        most = 2 * len(tips) if step > 1 else len(stem) + states.TAIL + 2 * len(tips)
        assert counted.tokens - before <= most
        for tip, logits in zip(tips, counted.pair.logits(np.array(tips))[0], strict=True):
            ids = tree.token[tree.path(tip)].tolist()
            with torch.no_grad():
                expected = counted.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            assert logits.numpy() == pytest.approx(expected[-1].numpy(), abs=2e-4)
        parents = random.choice(tips, 3)
        words = random.choice(np.arange(3, VOCAB), 3, replace=False)
        tips = [
            int(tree.extend(int(parent), [int(word)])[-1])
            for parent, word in zip(parents, words, strict=True)
        ]


@pytest.mark.parametrize("kind", ["mamba", "qwen3_next", "zamba2"])
def test_a_beam_search_equals_plain_forwards(kind):
    pair, models = search_pair(kind)
    assert {lane.way for lane in pair.lanes} == {WAYS[kind]}
    spec = SearchSpec(Beam(4), max_tokens=7)
    tree, _ = grown(pair, spec)
    for h in tree.hypotheses(spec):
        sums = [sequence_logp(model, pair, h.ids) for model in models]
        assert [h.sum_policy, h.sum_reference] == pytest.approx(sums, abs=1e-3)


@pytest.mark.parametrize("kind", ["mamba", "lfm2"])
def test_rows_of_two_adapters_that_are_ready_to_different_places(kind):
    """The policy's row alone, then both; branches too; against PEFT."""
    from peft import LoraConfig, get_peft_model

    adapters = [LoraConfig(r=rank, target_modules=["in_proj"]) for rank in (4, 3)]
    wrapped = get_peft_model(sharp_model(kind), adapters[0], "policy")
    wrapped.add_adapter("reference", adapters[1])
    for name, weight in wrapped.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.2)
    wrapped.eval()

    def expected(row, ids):
        wrapped.set_adapter(row)
        with torch.no_grad():
            return wrapped(input_ids=torch.tensor([ids]), use_cache=False).logits[0].numpy()

    inner = copy.deepcopy(wrapped).base_model.model
    lane = Lane(inner, pair_linears(inner))
    assert choose_way(lane) is WAYS[kind]
    pair = Pair([lane], None, 1024)
    tree = pair.tree
    for length, edited, rows in ((40, 40, (POLICY,)), (40, 30, BOTH), (44, 38, BOTH)):
        ids = [*text(edited), *text(length - edited, length + edited)]
        path = tree.extend(0, ids)
        pair.reach_path(path, rows, line="A")
        found = pair.logits(path[-3:], rows)
        for row, name in zip(rows, ("policy", "reference"), strict=False):
            assert found[row].numpy() == pytest.approx(expected(name, ids)[-3:], abs=3e-4)
    for step in range(3):
        tips = [tree.extend(int(path[-1]), text(step + 1, 50 + tip)) for tip in range(3)]
        ends = np.array([tip[-1] for tip in tips])
        pair.reach(ends, (POLICY,) if step == 1 else BOTH, line="A")
        found = pair.logits(ends, (POLICY,))[0].numpy()
        for end, logits in zip(ends, found, strict=True):
            whole = tree.token[tree.path(int(end))].tolist()
            assert logits == pytest.approx(expected("policy", whole)[-1], abs=3e-4)


class Reversed:
    """Stands in for a run's checkpoints: each has the embeddings of the other with signs turned."""

    report = staticmethod(lambda what, fraction: None)

    def __init__(self, lane):
        self.lane = lane

    def check(self, checkpoint):
        return (checkpoint,)  # which it is, whatever lies at its path

    def place(self, version, cancelled):
        with torch.no_grad():
            self.lane.model.get_input_embeddings().weight.neg_()


def test_states_of_other_weights_are_never_gone_on_from():
    models = [sharp_model("mamba", seed) for seed in (1, 2)]
    lanes = [Lane(copy.deepcopy(model)) for model in models]
    for lane in lanes:
        lane.use(Way.SINGLES)
    pair = Pair(lanes, None, 1024, swap=Reversed(lanes[0]), shown="first", version=("first",))
    other = copy.deepcopy(models[0])
    with torch.no_grad():
        other.get_input_embeddings().weight.neg_()
    for checkpoint, model in (("first", models[0]), ("second", other), ("first", models[0])):
        pair.use(checkpoint)
        for words in ([7, 8, 9], [7, 10, 11]):
            ids = [*text(40), *words]
            path = pair.tree.extend(0, ids)
            pair.observe(path, range(5, len(path)), line="A")
            found = pair.tree.column("logp_policy")[path[5:]]
            assert found == pytest.approx(plain(model, ids, 5), abs=2e-4)
        for words in ([20], [20, 21], [20, 21, 22]):  # no trunk: all roots differ
            tips = [pair.tree.extend(0, [start, *words]) for start in (30, 31)]
            pair.reach(np.array([tip[-1] for tip in tips]), line="search")
            found = pair.logits(np.array([tip[-1] for tip in tips]))[POLICY].numpy()
            for tip, logits in zip(tips, found, strict=True):
                whole = torch.tensor([pair.tree.token[tip].tolist()])
                with torch.no_grad():
                    expected = model(input_ids=whole, use_cache=False).logits[0, -1].numpy()
                assert logits == pytest.approx(expected, abs=2e-4)


def test_what_is_cheaper_is_run():
    """Costs in single tokens, worked out by hand."""
    either = Manner(chunks=True, singles=True, start=8.0, token=0.5)
    assert [either.cost(count) for count in (1, 10, 16, 40)] == [1, 10, 16, 28]
    assert either.one_by_one(16) and not either.one_by_one(17)
    chunks = Manner(chunks=True, singles=False, start=8.0, token=0.5)
    assert chunks.cost(2) == 9 and not chunks.can_continue(1)
    # A quarter of a forward of 100 tokens is 14.5 single ones; of 10, 3.25: no chunk is that cheap.
    assert either.tail(100) == 14 and chunks.tail(100) == 13 and chunks.tail(10) == 0
    assert Manner(chunks=False, singles=True, start=8.0, token=0.5).spacing(1000) == 0
    # A quarter of a forward of 1,000 tokens is 127: fifteen more forwards, so the bound is eight.
    assert either.spacing(1000) == states.SPACING
    assert either.spacing(4000) == 512


def test_where_running_anew_is_cheaper_it_is_done():
    counted = Counted(sharp_model("mamba"), Way.SINGLES)
    counted.lane._costs = {"start": 1.0, "token": 0.25}
    ids = text(100)
    counted.run(ids, 5)
    before = counted.forwards
    counted.run([*ids[:40], 7, *ids[41:]], 5)  # 60 single tokens cost more than a forward of 100
    assert counted.forwards - before <= 1 + states.TAIL
    before = counted.forwards
    counted.run([*ids[:40], 7, *ids[41:98], 8, 9], 5)
    assert counted.forwards - before <= 4


@given(
    way=st.sampled_from(sorted(MANNERS, key=str)),
    start=st.integers(0, 300),
    more=st.integers(1, 400),
    costs=st.tuples(st.floats(1.0, 100.0), st.floats(0.0, 3.0)),
)
@example(Way.CHUNKS, 0, 257, (1.0, 1.0))  # one token behind a multiple of the spacing
@settings(max_examples=200)
def test_a_path_is_run_to_its_end_and_only_as_is_exact(way, start, more, costs):
    manner = MANNERS[way]
    manner = Manner(manner.chunks, manner.singles, *costs)
    length = start + more
    if start and not manner.can_continue(more):
        return
    ends = forward_ends(manner, start, length, states._marks(manner, start, length))
    assert ends[-1] == length and ends == sorted(set(ends)) and ends[0] > start
    sizes = np.diff([start, *ends])
    behind = sizes[1:] if start == 0 else sizes  # what begins a text is one forward of any size
    assert manner.singles or (behind > 1).all()
    assert manner.chunks or (behind == 1).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.sampled_from([0, 64, 128]))
@example([1, 1, 1, 1, 23, 23, 40, 7, 40, 40, 40, 40, 8, 40, 16, 24, 1], 0)
def test_few_snapshots_are_kept_and_never_far_from_where_one_was(edits, spacing):
    """A text that grows; there was a snapshot at each of its ends."""
    counts, every, length = set(), set(), 0
    for edit in edits:
        length += edit
        every.add(length)
        counts = thinned({*counts, length}, length, spacing)
        spaced = {count for count in every if spacing and count % spacing == 0}
        assert spaced | {length} <= counts <= every
        assert len(counts - spaced) <= length.bit_length() + 2
        for distance in range(1, length):
            if was := [length - it for it in every if length - it >= distance]:
                assert min(length - it for it in counts if length - it >= distance) < 4 * min(was)
