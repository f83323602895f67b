"""The pair against plain, uncached Hugging Face forwards, after any sequence of edits."""

import copy
import gc
import weakref
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core import quantities as q
from core.errors import Cancelled, UserFacingError
from core.models.check import choose_way
from core.models.lane import Lane, Way
from core.models.lora import pair_linears
from core.models.pair import Pair
from tests.tiny import tiny_model

VOCAB = 120
KINDS = ("llama", "qwen2", "gpt2", "gpt_neox", "gemma2")
NEVER = bool


def pair_of(*models, way=None, **options):
    lanes = [Lane(copy.deepcopy(model)) for model in models]
    for lane in lanes:
        lane.use(way) if way else choose_way(lane)
    return Pair(lanes, None, context_length=64, **options)


def plain(model, ids):
    """Log-probs after each token, float64, by the textbook formula."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double()
    return (logits - logits.logsumexp(-1, keepdim=True)).numpy(), logits.numpy()


def observe(pair, ids, first, cancelled=NEVER, line=""):
    path = pair.tree.extend(0, ids)
    computed = pair.observe(path, range(first, len(path)), cancelled, line)
    return path, computed


def check(pair, models, ids, first):
    """Every column that was filled against plain forwards of both models."""
    path = pair.tree.extend(0, ids)
    (policy, logits), (reference, _) = (plain(model, ids) for model in models)
    nodes, states = path[first:], path[first - 1 : -1]
    taken = np.arange(first - 1, len(ids) - 1), np.array(ids[first:])
    column = pair.tree.column
    close = {"abs": 1e-4}
    assert column("logp_policy")[nodes] == pytest.approx(policy[taken], **close)
    assert column("logp_reference")[nodes] == pytest.approx(reference[taken], **close)
    assert column("logit")[nodes] == pytest.approx(logits[taken], **close)
    before, other = policy[first - 1 : -1], reference[first - 1 : -1]
    assert column("kl")[states] == pytest.approx(q.kl_divergence(before, other), **close)
    assert column("kl_reverse")[states] == pytest.approx(q.kl_divergence(other, before), **close)
    entropy = -(np.exp(before) * before).sum(-1)
    assert column("entropy_policy")[states] == pytest.approx(entropy, **close)
    ranks = (before > policy[taken][:, None] + 1e-6).sum(-1) + 1
    assert (column("rank_policy")[nodes] >= ranks).all()
    assert (column("rank_policy")[nodes] <= ranks + 1).all()


LLAMAS = [tiny_model("llama", VOCAB, seed) for seed in (1, 2)]


class EditMachine(RuleBasedStateMachine):
    """Two responses are edited, undone and swapped; the KV budget is too small for all of them."""

    way, models = Way.TREE, LLAMAS

    def __init__(self):
        super().__init__()
        self.pair = pair_of(*self.models, way=self.way, kv_budget=60_000)
        self.prompt = [5, 6, 7, 8]
        self.sides = {"A": [[9, 10, 11]], "B": [[9, 12]]}

    def now(self, side):
        return [*self.prompt, *self.sides[side][-1]]

    def score(self, side):
        return observe(self.pair, self.now(side), len(self.prompt), line=side)[1]

    @initialize()
    def start(self):
        for side in self.sides:
            self.score(side)

    @rule(side=st.sampled_from("AB"), data=st.data())
    def edit(self, side, data):
        text = self.sides[side][-1]
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, len(text)))
        new = data.draw(st.lists(st.integers(3, VOCAB - 1), min_size=start == 0, max_size=4))
        edited = [*text[:start], *new, *text[stop:]][:40]
        self.sides[side].append(edited)
        self.score(side)

    @rule(side=st.sampled_from("AB"))
    def undo(self, side):
        if len(self.sides[side]) > 1:
            self.sides[side].pop()
            assert self.score(side) == 0  # it was scored before: nothing is computed

    @rule(prompt=st.lists(st.integers(3, VOCAB - 1), min_size=1, max_size=6))
    def change_prompt(self, prompt):
        self.prompt = prompt
        self.sides = {side: texts[-1:] for side, texts in self.sides.items()}
        for side in self.sides:
            self.score(side)

    @rule(after=st.integers(0, 6))
    def cancel(self, after):
        """Stopped anywhere, nothing half-done is ever seen."""
        calls = iter(range(1000))
        longer = [*self.now("A"), 20, 21, 22, 23]
        with suppress(Cancelled):
            observe(self.pair, longer, len(self.prompt), lambda: next(calls) >= after)

    @invariant()
    def equals_a_plain_forward(self):
        for side in self.sides:
            check(self.pair, self.models, self.now(side), len(self.prompt))


class StatesEditMachine(EditMachine):
    """The same where states are kept."""

    way, models = Way.SINGLES, [tiny_model("mamba", VOCAB, seed) for seed in (1, 2)]


class FrontierMachine(RuleBasedStateMachine):
    """Branches grown from anywhere, many at once, under one model or both, in too little room."""

    def __init__(self):
        super().__init__()
        self.pair = pair_of(*LLAMAS, way=self.way, kv_budget=40_000)
        self.tree = self.pair.tree
        self.states = [int(self.tree.extend(0, [5, 6, 7, 8])[-1])]

    way = Way.TREE

    @rule(data=st.data(), rows=st.sampled_from([(0,), (1,), (0, 1)]))
    def grow(self, data, rows):
        """A few children of a few states: all advance in one forward."""
        for state in data.draw(st.lists(st.sampled_from(self.states), min_size=1, max_size=4)):
            new = data.draw(st.lists(st.integers(3, VOCAB - 1), min_size=1, max_size=3))
            self.states += self.tree.extend(state, new).tolist()
        wanted = data.draw(st.lists(st.sampled_from(self.states), min_size=1, max_size=5))
        self.check(np.array(wanted), rows)

    @rule(data=st.data(), rows=st.sampled_from([(0,), (1,), (0, 1)]))
    def come_back(self, data, rows):
        wanted = data.draw(st.lists(st.sampled_from(self.states), min_size=1, max_size=6))
        self.check(np.array(wanted), rows)

    @rule(data=st.data(), after=st.integers(0, 6))
    def cancel(self, data, after):
        calls = iter(range(1000))
        state = data.draw(st.sampled_from(self.states))
        self.states += self.tree.extend(state, [30, 31]).tolist()
        with suppress(Cancelled):
            self.pair.reach(np.array(self.states[-1:]), (0, 1), lambda: next(calls) >= after)

    def check(self, states, rows):
        self.pair.reach(states, rows)
        found = self.pair.logits(states, rows).double().numpy()
        for i, row in enumerate(rows):
            for j, state in enumerate(states):
                ids = self.tree.token[self.tree.path(int(state))]
                expected = plain(LLAMAS[row], ids)[1][-1]
                assert found[i, j] == pytest.approx(expected, abs=1e-4)


class PlainFrontierMachine(FrontierMachine):
    """The same without a usable cache: every path is run whole."""

    way = Way.WHOLE


class PathFrontierMachine(FrontierMachine):
    """The same where only paths are cached: every branch is run from the trunk's end."""

    way = Way.PATH


class StatesFrontierMachine(FrontierMachine):
    """The same where states are kept, which chunks of tokens and single ones go on from."""

    way = Way.STATES


class ChunksFrontierMachine(FrontierMachine):
    """The same where chunks alone do."""

    way = Way.CHUNKS


EditMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=8)
TestEdits = EditMachine.TestCase
TestStatesEdits = StatesEditMachine.TestCase
FEW = settings(max_examples=12, stateful_step_count=8)
for machine in (
    StatesEditMachine,
    FrontierMachine,
    PlainFrontierMachine,
    PathFrontierMachine,
    StatesFrontierMachine,
    ChunksFrontierMachine,
):
    machine.TestCase.settings = FEW
TestFrontier = FrontierMachine.TestCase
TestPlainFrontier = PlainFrontierMachine.TestCase
TestPathFrontier = PathFrontierMachine.TestCase
TestStatesFrontier = StatesFrontierMachine.TestCase
TestChunksFrontier = ChunksFrontierMachine.TestCase


def test_lines_go_in_the_order_of_their_last_use_and_responses_last():
    pair = pair_of(*LLAMAS, way=Way.TREE)
    tree = pair.tree
    paths = {name: tree.extend(0, [i, *range(20, 40)]) for i, name in enumerate(NAMES)}
    for name, path in paths.items():
        pair.reach_path(path, line=name)
    pair.reach_path(paths["cold"], line="cold")
    pair.kv_budget = pair.kv_bytes() - 1
    new = tree.extend(0, [40, 41])
    pair.reach_path(new, line="new")
    kept = [name for name, path in paths.items() if pair.has_kv(int(path[-1]))]
    assert kept == ["A", "B"] or set(kept) < {"A", "B", "cold"}
    assert pair.has_kv(int(new[-1]))
    assert pair.reach_path(paths["other"], line="other") == 21


NAMES = ("A", "cold", "B", "other")


def test_branches_that_nobody_needs_are_evicted_the_coldest_first():
    pair = pair_of(*LLAMAS, way=Way.TREE)
    tree = pair.tree
    stem = tree.extend(0, [5, 6, 7, 8])
    cold, warm = (tree.extend(int(stem[-1]), [first, 20, 21]) for first in (9, 10))
    pair.reach(np.array([cold[-1], warm[-1]]), line="search")
    pair.reach(np.array([warm[-1], stem[-1]]), line="search")
    size = pair.kv_bytes() // 256
    pair.kv_budget = 13 * size
    new = tree.extend(int(warm[0]), [40])
    pair.reach(np.array([new[-1], warm[-1]]), line="search")
    # Two of nine branches and trunk cells have to go: the ends of the coldest.
    assert [pair.has_kv(int(node)) for node in cold] == [True, False, False]
    assert all(pair.has_kv(int(node)) for node in (*stem, *warm, *new))
    found = pair.logits(np.array([new[-1], warm[-1]])).double().numpy()
    for i, node in enumerate((new[-1], warm[-1])):
        ids = tree.token[tree.path(int(node))]
        assert found[0, i] == pytest.approx(plain(LLAMAS[0], ids)[1][-1], abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_equals_its_plain_forward(kind):
    """Branches of one tree, edited in the middle, on every way that the self-check accepts."""
    models = [tiny_model(kind, VOCAB, seed) for seed in (1, 2)]
    pair = pair_of(*models)
    assert all(lane.way is Way.TREE for lane in pair.lanes)
    ids = np.random.default_rng(0).integers(3, VOCAB, 30).tolist()
    for edit in ([], [(25, 4)], [(8, 9), (9, 10)], [(28, 3)]):
        for at, id in edit:
            ids[at] = id
        observe(pair, ids, 6)
        check(pair, models, ids, 6)


def test_only_the_changed_suffix_is_computed():
    pair = pair_of(tiny_model("llama", VOCAB, 1), tiny_model("llama", VOCAB, 2))
    ids = list(range(10, 40))
    assert observe(pair, ids, 5)[1] == 29  # the last token's own state is not needed
    edited = [*ids[:20], 50, *ids[21:]]
    assert observe(pair, edited, 5)[1] == 9
    assert observe(pair, ids, 5)[1] == 0
    # What was known is known, but an edit ends what KV is kept of a line: from there on it is run.
    assert observe(pair, [*ids, 60], 5)[1] == 10
    assert observe(pair, [*ids, 60, 61], 5)[1] == 1


@pytest.mark.parametrize("way", list(Way))
def test_two_adapters_in_one_forward_equal_peft(way):
    """Row 0 is the policy, row 1 the reference, base weights shared; ranks and targets differ."""
    from peft import LoraConfig, get_peft_model

    base = tiny_model("llama", VOCAB, 1)
    wrapped = get_peft_model(
        base, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]), "policy"
    )
    wrapped.add_adapter("reference", LoraConfig(r=6, use_rslora=True, target_modules="all-linear"))
    torch.manual_seed(3)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    wrapped.eval()
    ids = list(range(10, 40))

    def model(row):
        def run(**inputs):
            wrapped.set_adapter(row)
            return wrapped(**inputs)

        return run

    expected = [plain(model(row), ids)[0] for row in ("policy", "reference")]
    inner = copy.deepcopy(wrapped).base_model.model
    weights = inner.model.layers[0].mlp.down_proj.get_base_layer().weight
    active = pair_linears(inner)
    assert inner.model.layers[0].mlp.down_proj.base.weight is weights
    lane = Lane(inner, active)
    lane.use(way)
    pair = Pair([lane], None, 64)
    observe(pair, ids[:20], 3)
    path, _ = observe(pair, ids, 3)
    for column, logp in zip(("logp_policy", "logp_reference"), expected, strict=True):
        taken = logp[np.arange(2, 29), ids[3:]]
        assert pair.tree.column(column)[path[3:]] == pytest.approx(taken, abs=1e-4)


def test_the_same_checkpoint_twice_has_no_reward():
    model = tiny_model("gpt2", VOCAB, 1)
    for pair in (pair_of(model), pair_of(model, model)):
        path, _ = observe(pair, list(range(10, 30)), 4)
        logp = (pair.tree.column(name)[path[4:]] for name in ("logp_policy", "logp_reference"))
        assert (q.reward(*logp, beta=0.1) == 0.0).all()
        assert pair.tree.column("kl")[path[3:-1]] == pytest.approx(np.zeros(16), abs=1e-12)


def test_bellman_residual_in_the_raw_logit_gauge():
    """r_raw = r + V(s) - V(s') from the tree's own columns, V(terminal) = 0."""
    pair = pair_of(tiny_model("llama", VOCAB, 1), tiny_model("llama", VOCAB, 2))
    path, _ = observe(pair, list(range(10, 40)), 4)
    nodes, states = path[4:], path[3:-1]
    column = pair.tree.column
    v = q.v_raw(column("logsumexp")[states], 0.1)
    v_next = np.append(v[1:], 0.0)
    reference = column("logp_reference")[nodes]
    raw = q.reward_raw(q.q_raw(column("logit")[nodes], 0.1), reference, v_next, 0.1)
    rewards = q.reward(column("logp_policy")[nodes], reference, 0.1)
    assert np.abs(q.bellman_residual(raw, rewards, v, v_next)).max() <= 1e-4


@pytest.mark.parametrize(
    ("ignored", "way", "said"),
    [
        (("attention_mask",), Way.SINGLES, "token by token"),  # which needs none
        (("attention_mask", "cache", "past_key_values"), Way.WHOLE, "no cache"),
    ],
)
def test_the_self_check_rejects_a_model_that_ignores_masks(ignored, way, said):
    """Its branches see each other, so it is run otherwise, and is right."""
    model = tiny_model("llama", VOCAB, 1)
    lane = Lane(copy.deepcopy(model))
    lane.model.config.ignores = ignored  # what is known of others is not said of it
    layer = lane.model.model.layers[1]
    run = layer.forward

    def forward(*args, **inputs):
        return run(*args, **inputs | dict.fromkeys(inputs.keys() & ignored))

    layer.forward = forward
    assert choose_way(lane) is way
    assert said in lane.way.value
    other = tiny_model("llama", VOCAB, 2)
    pair = Pair([lane, lane_of(other)], None, 64)
    observe(pair, list(range(10, 30)), 4)
    text = [*range(10, 25), 40, 41]
    observe(pair, text, 4)
    check(pair, [model, other], text, 4)
    tips = [pair.tree.extend(0, [*range(10, 25), *end]) for end in ([50, 51], [60], [61, 62])]
    pair.reach(np.array([tip[-1] for tip in tips]), line="search")
    found = pair.logits(np.array([tip[-1] for tip in tips])).double().numpy()
    for i, tip in enumerate(tips):
        assert found[0, i] == pytest.approx(plain(model, pair.tree.token[tip])[1][-1], abs=1e-4)


def lane_of(model):
    lane = Lane(model)
    choose_way(lane)
    return lane


def test_too_long_for_the_context_is_a_sentence():
    pair = pair_of(tiny_model("llama", VOCAB, 1))
    with pytest.raises(UserFacingError, match=r"70 tokens together.*context is 64"):
        observe(pair, [7] * 71, 4)


def test_many_logits_are_written_straight_to_where_they_are_wanted():
    lane = lane_of(tiny_model("llama", VOCAB, 1))
    head = lane.model.get_output_embeddings()
    called = []
    head.register_forward_hook(lambda *_: called.append(True))
    hidden = torch.randn(1, 64, head.in_features)
    for count, through_the_layer in ((63, True), (64, False)):
        called.clear()
        out = torch.empty(1, count, lane.vocab_size)
        lane.logits(hidden[:, :count], None, out)
        expected = hidden[:, :count].double() @ head.weight.double().T
        assert out == pytest.approx(expected.detach().numpy(), abs=1e-4)
        assert bool(called) == through_the_layer


@pytest.mark.parametrize("way", [Way.TREE, Way.PATH])
def test_kv_that_is_dropped_takes_no_memory(way, monkeypatch):
    model, stores, make = tiny_model("llama", VOCAB, 1), [], Lane.store
    monkeypatch.setattr(Lane, "store", lambda lane: stores.append(make(lane)) or stores[-1])
    pair = pair_of(model, model, way=way)
    observe(pair, list(range(10, 30)), 4, line="A")
    slabs = [weakref.ref(slab) for store in stores for slab in store.tensors()]
    assert slabs
    stores.clear()
    pair.evict_kv()
    gc.collect()
    assert not [it for it in slabs if it() is not None]


def test_nan_is_a_sentence_and_nothing_is_written():
    model = tiny_model("llama", VOCAB, 1)
    pair = pair_of(model, model)
    with torch.no_grad():
        pair.lanes[0].model.get_output_embeddings().weight[7] = float("nan")
    with pytest.raises(UserFacingError, match=r"NaN.*float32"):
        observe(pair, list(range(10, 20)), 4)
    path = pair.tree.extend(0, list(range(10, 20)))
    assert np.isnan(pair.tree.column("logp_policy")[path]).all()


def test_memory_that_runs_out_in_the_self_check_rules_nothing_out(monkeypatch):
    model = tiny_model("llama", VOCAB, 1)
    model.config.never_seen_before = True  # nothing is remembered of it

    def run_branches(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(Lane, "run_branches", run_branches)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        choose_way(Lane(model))


def test_a_model_whose_numbers_change_with_what_follows_is_refused():
    """Past its window a token's numbers depend on how long the text is: no edit could be shown."""
    model = tiny_model("mistral", VOCAB, 1)
    model.config.grows_colder = True  # what is known of others is not said of it
    run = model.model.forward

    def colder(input_ids, **inputs):
        out = run(input_ids, **inputs)
        length = input_ids.shape[1] + (inputs.get("cache") or NOTHING).get_seq_length()
        out.last_hidden_state = out.last_hidden_state / (1 + 0.1 * (length > 8))
        return out

    model.model.forward = colder
    with pytest.raises(UserFacingError, match="changes with the length of what follows"):
        choose_way(Lane(model))


class NOTHING:
    @staticmethod
    def get_seq_length():
        return 0


@pytest.mark.parametrize("kind", ["llama", "gemma2", "bloom", "mamba"])
def test_paths_that_are_observed_together_share_what_they_begin_with(kind):
    models = tiny_model(kind, VOCAB, 0), tiny_model(kind, VOCAB, 1)
    pair = pair_of(*models)
    prompt = [5, 9, 33, 70, 2, 14, 8]
    texts = [[*prompt, *rest] for rest in ([7, 8, 9], [7, 8, 11, 12], [3], [7, 8, 9])]
    paths = [(pair.tree.extend(0, ids), len(prompt)) for ids in texts]
    computed = pair.observe_all(paths, line="some")
    for ids in texts:
        check(pair, models, ids, len(prompt))
    assert computed == len(prompt) + 3  # of the responses, what is followed by a token
    assert pair.observe_all(paths) == 0
