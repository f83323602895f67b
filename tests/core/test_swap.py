"""A run's checkpoints in one loaded pair, each against a plain Hugging Face and PEFT forward."""

import gc
import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from safetensors.torch import load_file, save_file

from core import quantities as q
from core.engine.protocol import PairSpec
from core.errors import Cancelled, UserFacingError
from core.models.load import load_pair
from core.models.swap import PeftSwap, RowSwap, WholeSwap
from core.runs.records import ABOUT, START
from tests.tiny import save_lora, save_model, save_run

IDS = list(range(10, 40))
FIRST = 4


def opened(run, **named):
    """A run's pair, and the paths of its checkpoints, START first."""
    pair, info = load_pair(PairSpec(run=str(run), device="cpu", **named), lambda *_: None)
    return pair, [checkpoint.path for checkpoint in info.checkpoints]


def plain(base, adapter=None):
    """A Hugging Face model of its own, PEFT's adapter over it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return (PeftModel.from_pretrained(model, adapter) if adapter else model).eval()


def logprobs(model, ids=IDS):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    return logits.log_softmax(-1).numpy(), logits.numpy()


def observed(pair, checkpoint=None, ids=IDS, first=FIRST):
    """Tokens that were run to know a path's numbers, under a checkpoint."""
    if checkpoint is not None:
        pair.use(checkpoint)
    path = pair.tree.extend(0, ids)
    return pair.observe(path, range(first, len(path)), lambda: False)


def check(pair, policy, reference, ids=IDS, first=FIRST):
    """All columns of a path against the log-probs and logits of both models."""
    path = pair.tree.extend(0, ids)
    nodes, states = path[first:], path[first - 1 : -1]
    taken = np.arange(first - 1, len(ids) - 1), np.array(ids[first:])
    column = pair.tree.column
    (logp, logits), (logq, _) = policy, reference
    before, other = logp[first - 1 : -1], logq[first - 1 : -1]
    for name, expected in {
        "logp_policy": logp[taken],
        "logp_reference": logq[taken],
        "logit": logits[taken],
    }.items():
        assert column(name)[nodes] == pytest.approx(expected, abs=1e-4), name
    for name, expected in {
        "kl": q.kl_divergence(before, other),
        "kl_reverse": q.kl_divergence(other, before),
        "entropy_policy": -(np.exp(before) * before).sum(-1),
        "entropy_reference": -(np.exp(other) * other).sum(-1),
        "logsumexp": (logits - logp)[first - 1 : -1, 0],
    }.items():
        assert column(name)[states] == pytest.approx(expected, abs=1e-4), name
    ranks = (before > logp[taken][:, None] + 1e-6).sum(-1) + 1
    assert (np.abs(column("rank_policy")[nodes] - ranks) <= 1).all()


def in_turn(pair, paths, truths, reference):
    """Every checkpoint there and back, the start in between: right each time, known at once."""
    for path in [*paths[1:], START, *paths[:0:-1], paths[2], START]:
        observed(pair, path)
        check(pair, truths[path], reference)
    for path in paths:
        assert observed(pair, path) == 0
    pair.use(START)
    tree, nodes = pair.tree, pair.tree.extend(0, IDS)[FIRST:]
    assert (tree.column("logp_policy")[nodes] == tree.column("logp_reference")[nodes]).all()
    assert not tree.column("kl")[tree.extend(0, IDS)].any()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("with_reference", [True, False])
def test_adapters_of_all_ranks_equal_peft(kind, with_reference, tmp_path):
    base, run = save_run(tmp_path, kind, ranks=(2, 3, 1), reference=with_reference)
    pair, paths = opened(run)
    assert isinstance(pair.swap, RowSwap) and len(pair.lanes) == 1
    truths = {path: logprobs(plain(base, path)) for path in paths[1:]}
    truths[START] = logprobs(plain(base, run / "ref" if with_reference else None))
    in_turn(pair, paths, truths, truths[START])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_read_here_is_what_peft_has_read(dtype, tmp_path):
    _, run = save_run(tmp_path, use_rslora=True)
    pair, paths = opened(run, dtype=dtype)
    buffers = dict(pair.lanes[0].model.named_buffers())
    before = {name: buffer.clone() for name, buffer in buffers.items() if "_proj" in name}
    assert len(before) == 3 * 2 * 2
    pair.swap.place(pair.swap.check(paths[1]), lambda: False)
    assert not all(torch.equal(buffers[name], old) for name, old in before.items())
    pair.swap.place(pair.swap.check(paths[-1]), lambda: False)
    assert all(torch.equal(buffers[name], old) for name, old in before.items())


def test_the_loaded_checkpoint_comes_back_after_the_trainer_has_deleted_it(tmp_path):
    base, run = save_run(tmp_path)
    pair, paths = opened(run)
    expected = [logprobs(plain(base, at)) for at in (paths[-1], run / "ref")]
    shutil.rmtree(paths[-1])
    observed(pair, paths[1])
    observed(pair, paths[-1])
    check(pair, *expected)


def test_ranks_and_scalings_of_single_layers_are_kept(tmp_path):
    options = {
        "use_rslora": True,
        "rank_pattern": {"model.layers.1.self_attn.q_proj": 5},
        "alpha_pattern": {"down_proj": 3},
    }
    base, run = save_run(tmp_path, ranks=(2, 4), **options)
    pair, paths = opened(run)
    for path in paths[1:]:
        observed(pair, path)
        check(pair, logprobs(plain(base, path)), logprobs(plain(base, run / "ref")))


TELLS = pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
"""PEFT, when a test saves an adapter of an embedding or of the head."""


@TELLS
@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["norm"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"trainable_token_indices": [12, 30]},
    ],
    ids=str,
)
def test_adapters_that_are_not_plain_go_through_peft(options, tmp_path):
    base, run = save_run(tmp_path, "qwen2", **options)
    pair, paths = opened(run)
    assert isinstance(pair.swap, PeftSwap)
    truths = {path: logprobs(plain(base, path)) for path in paths[1:]}
    truths[START] = logprobs(plain(base, run / "ref"))
    in_turn(pair, paths, truths, truths[START])


@TELLS
def test_an_adapted_head(tmp_path):
    base, run = save_run(tmp_path, "qwen2", target_modules=["q_proj", "lm_head"])
    pair, paths = opened(run)
    assert isinstance(pair.swap, RowSwap)
    truths = {path: logprobs(plain(base, path)) for path in paths[1:]}
    truths[START] = logprobs(plain(base, run / "ref"))
    in_turn(pair, paths, truths, truths[START])


def test_adapters_against_a_reference_of_another_base(tmp_path):
    base, run = save_run(tmp_path, reference=False)
    other = save_model(tmp_path / "other", seed=8)
    pair, paths = opened(run, reference=str(other))
    assert isinstance(pair.swap, PeftSwap) and len(pair.lanes) == 2
    truths = {path: logprobs(plain(base, path)) for path in paths[1:]}
    truths[START] = logprobs(plain(other))
    in_turn(pair, paths, truths, truths[START])


def test_the_last_checkpoint_as_its_own_reference(tmp_path):
    base, run = save_run(tmp_path)
    last = run / "checkpoint-30"
    pair, paths = opened(run, reference=str(last))
    truths = {path: logprobs(plain(base, path)) for path in paths[1:]}
    truths[START] = truths[str(last)]
    in_turn(pair, paths, truths, truths[START])


@pytest.fixture
def whole(tmp_path):
    """A run of whole models with tied embeddings, one of them in shards; and its reference."""
    from transformers import AutoModelForCausalLM

    run = tmp_path / "run"
    for step, seed in enumerate((21, 22, 23), 1):
        folder = save_model(run / f"checkpoint-{step}", seed=seed)
        if step == 2:
            model = AutoModelForCausalLM.from_pretrained(folder)
            (folder / "model.safetensors").unlink()
            model.save_pretrained(folder, max_shard_size="60KB")
            assert (folder / "model.safetensors.index.json").is_file()
    return run, save_model(tmp_path / "reference", seed=20)


def test_whole_models_equal_plain_forwards(whole):
    run, reference = whole
    pair, paths = opened(run, reference=str(reference))
    assert isinstance(pair.swap, WholeSwap)
    truths = {path: logprobs(plain(path)) for path in paths[1:]}
    truths[START] = logprobs(plain(reference))
    in_turn(pair, paths, truths, truths[START])
    model = pair.lanes[0].model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_one_whole_model_is_in_memory_at_a_time(whole, monkeypatch):
    run, reference = whole
    pair, paths = opened(run, reference=str(reference))
    seen = []
    load = pair.swap._load

    def watched(*arguments):
        seen.append({weight.device.type for weight in pair.lanes[0].model.parameters()})
        return load(*arguments)

    monkeypatch.setattr(pair.swap, "_load", watched)
    told = []
    pair.swap.report = lambda what, fraction: told.append(what)
    observed(pair, paths[1])
    assert seen == [{"meta"}] and "Loading the weights" in told
    gc.disable()
    try:  # what was left behind must not wait for the collector of cycles
        before = parameters()
        for path in (*paths[2:], *paths[1:]):
            pair.use(path)
            pair.reach_path(pair.tree.extend(0, IDS))
        after = parameters()
    finally:
        gc.enable()
    assert after == before


def parameters():
    """How many weights are alive."""
    return sum(type(it) is torch.nn.Parameter for it in gc.get_objects())


def test_a_load_that_is_cancelled_is_done_again(whole):
    run, reference = whole
    pair, paths = opened(run, reference=str(reference))
    pair.use(paths[1])
    path = pair.tree.extend(0, IDS)
    with pytest.raises(Cancelled):
        pair.observe(path, range(FIRST, len(path)), lambda: True)
    for checkpoint in paths[1:3]:
        observed(pair, checkpoint)
        check(pair, logprobs(plain(checkpoint)), logprobs(plain(reference)))


def test_an_adapter_comes_back_from_memory(tmp_path):
    base, run = save_run(tmp_path)
    pair, paths = opened(run)
    for path in paths:
        observed(pair, path)
    shutil.rmtree(paths[1])
    other = [*IDS[:20], 50, 51]
    observed(pair, paths[1], other)
    assert observed(pair, paths[1]) == 0
    save_lora(Path(paths[1]), base, rank=1, seed=1)
    check(pair, logprobs(plain(base, paths[1]), other), logprobs(plain(base, run / "ref"), other),
          other)  # fmt: skip


def broken(run, base, how):
    """A folder that cannot be shown in the run's pair."""
    folder = run / "checkpoint-90"
    if how == "another base":
        other = save_model(run.parent / "elsewhere", seed=5)
        return save_lora(folder, other)
    if how == "other layers":
        return save_lora(folder, base, target_modules=["q_proj", "up_proj"])
    if how == "fewer layers":
        return save_lora(folder, base, target_modules=["q_proj"])
    if how == "another kind":
        return save_lora(folder, base, use_dora=True)
    if how == "a changed base":
        return save_lora(folder, base, init_lora_weights="pissa")
    if how == "a whole model":
        return save_model(folder, seed=5)
    if how == "missing":
        return folder
    save_lora(folder, base)
    weights = folder / "adapter_model.safetensors"
    if how == "half-written":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "damaged settings":
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA"')
    else:
        assert how == "other shapes"
        tensors = load_file(weights)
        name = next(name for name in tensors if "lora_A" in name)
        tensors[name] = torch.zeros(2, 7)
        save_file(tensors, weights)
    return folder


HOW = ("another base", "other layers", "fewer layers", "another kind", "a changed base",
       "a whole model", "missing", "half-written", "damaged settings", "other shapes")  # fmt: skip


@pytest.mark.parametrize("how", HOW)
def test_what_cannot_be_shown_leaves_all_as_it_was(how, tmp_path):
    base, run = save_run(tmp_path)
    pair, paths = opened(run)
    observed(pair, paths[1])
    bad = broken(run, base, how)
    with pytest.raises(UserFacingError) as caught:
        pair.use(str(bad))
    assert str(bad) in str(caught.value) and str(caught.value).count(". ") == 0
    assert pair.shown == paths[1]
    assert observed(pair) == 0
    longer = [*IDS, 50]
    assert observed(pair, ids=longer) == 1
    expected = (logprobs(plain(base, at), longer) for at in (paths[1], run / "ref"))
    check(pair, *expected, longer)


def test_a_whole_model_that_does_not_fit_leaves_all_as_it_was(whole):
    run, reference = whole
    pair, paths = opened(run, reference=str(reference))
    observed(pair, paths[2])
    bad = save_model(run / "checkpoint-9", "gpt2")
    lora = save_lora(run / "checkpoint-8", reference)
    config = save_model(run / "checkpoint-7", seed=4) / "config.json"
    config.write_text(config.read_text().replace('"hidden_act": "silu"', '"hidden_act": "gelu"'))
    half = save_model(run / "checkpoint-6", seed=4) / "model.safetensors"
    half.write_bytes(half.read_bytes()[:-100])
    for folder in (bad, lora, config.parent, half.parent, run / "checkpoint-5"):
        with pytest.raises(UserFacingError, match=str(folder)):
            pair.use(str(folder))
        assert pair.shown == paths[2] and observed(pair) == 0
    # What goes wrong in loading leaves nothing in place: what was shown is loaded again.
    pair.use(paths[1])
    shutil.rmtree(paths[1])
    with pytest.raises(UserFacingError):
        observed(pair)
    pair.use(paths[2])
    assert observed(pair, ids=[*IDS, 50]) > 0
    expected = (logprobs(plain(at), [*IDS, 50]) for at in (paths[2], reference))
    check(pair, *expected, [*IDS, 50])


def test_a_pair_that_is_no_run_says_so(tmp_path):
    save_run(tmp_path)
    spec = PairSpec(policy=str(tmp_path / "run" / "checkpoint-10"), device="cpu")
    pair, info = load_pair(spec, lambda *_: None)
    assert info.checkpoints == () and pair.shown == ""
    with pytest.raises(UserFacingError, match="not of a training run"):
        pair.use(START)


def test_what_is_told_of_a_run(tmp_path):
    _, run = save_run(tmp_path)
    (run / ABOUT).write_text(json.dumps({"beta": 0.25}))
    for named, beta in ((None, 0.25), (0.5, 0.5)):
        _, info = load_pair(PairSpec(run=str(run), beta=named, device="cpu"), lambda *_: None)
        assert info.beta == beta
    assert [(it.step, it.path, it.whole) for it in info.checkpoints] == [
        (0, START, False),
        *((step, str(run / f"checkpoint-{step}"), False) for step in (10, 20, 30)),
    ]
    files = [run / f"checkpoint-{step}" / "adapter_model.safetensors" for step in (10, 20, 30)]
    sizes = [file.stat().st_size for file in files]
    assert [it.bytes for it in info.checkpoints] == [0, *sizes]
    assert info.policy == "run/checkpoint-30 (adapter on base)"
    assert info.at(info.checkpoints[1].path).policy == "run/checkpoint-10 (adapter on base)"


def test_only_the_policy_is_run_after_a_swap(tmp_path, monkeypatch):
    _, run = save_run(tmp_path)
    pair, paths = opened(run)
    observed(pair)
    rows = []
    run_path = pair.lanes[0].run_path

    def counted(store, ids, first, which):
        rows.append((len(ids) - first, which))
        return run_path(store, ids, first, which)

    monkeypatch.setattr(pair.lanes[0], "run_path", counted)
    for path in paths[1:3]:
        observed(pair, path)
    assert rows == [(len(IDS) - 1, slice(0, 1))] * 2
    observed(pair, START)
    assert len(rows) == 2  # from the reference's own states


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """A run of two checkpoints, and a plain model for each and for the start."""
    base, run = save_run(tmp_path_factory.mktemp("run"), ranks=(2, 1))
    places = {str(run / f"checkpoint-{step}"): run / f"checkpoint-{step}" for step in (10, 20)}
    return run, {path: plain(base, at) for path, at in (places | {START: run / "ref"}).items()}


def test_any_order_of_edits_swaps_and_searches_equals_fresh_computation(tiny_run):
    """States of a run are scored under checkpoints in any order, in too little room for them."""
    run, models = tiny_run
    state = st.lists(st.integers(3, 60), min_size=1, max_size=4)

    class SwapMachine(RuleBasedStateMachine):
        @initialize()
        def open(self):
            self.pair, self.paths = opened(run)
            self.pair.kv_budget = 50_000
            self.prompt, self.sides = [5, 6, 7, 8], {"A": [9, 10, 11], "B": [9, 12]}
            self.replayed = []

        @rule(side=st.sampled_from("AB"), data=st.data(), new=state)
        def edit(self, side, data, new):
            at = data.draw(st.integers(0, len(self.sides[side])))
            self.sides[side] = [*self.sides[side][:at], *new, *self.sides[side][at + 2 :]][:30]

        @rule(data=st.data())
        def swap(self, data):
            self.pair.use(data.draw(st.sampled_from(self.paths)))

        @rule(data=st.data(), after=st.integers(0, 8))
        def replay_until_cancelled(self, data, after):
            shown, calls = self.pair.shown, iter(range(1000))
            with suppress(Cancelled):
                for path in data.draw(st.permutations(self.paths)):
                    self.pair.use(path)
                    for side in self.sides:
                        self.score(side, lambda: next(calls) >= after)
            self.pair.use(shown)

        @rule(new=state, rows=st.sampled_from([(0,), (1,), (0, 1)]))
        def search(self, new, rows):
            """Some states are run for some of the models only, as searches do."""
            path = self.pair.tree.extend(0, [*self.prompt, *new])
            self.pair.reach(path[-1:], rows)
            found = self.pair.logits(path[-1:], rows).double().log_softmax(-1)
            for row, logp in zip(rows, found, strict=True):
                model = models[(self.pair.shown, START)[row]]
                expected = logprobs(model, [*self.prompt, *new])[0][-1]
                assert logp[0].numpy() == pytest.approx(expected, abs=1e-4)

        def score(self, side, cancelled=lambda: False):
            ids = [*self.prompt, *self.sides[side]]
            path = self.pair.tree.extend(0, ids)
            return self.pair.observe(path, range(len(self.prompt), len(path)), cancelled, side)

        @invariant()
        def equals_plain_forwards(self):
            if not hasattr(self, "pair"):
                return
            for side in self.sides:
                self.score(side)
                assert self.score(side) == 0
                ids = [*self.prompt, *self.sides[side]]
                policy, reference = (logprobs(models[at], ids) for at in (self.pair.shown, START))
                check(self.pair, policy, reference, ids, len(self.prompt))

    run_state_machine_as_test(
        SwapMachine, settings=settings(max_examples=15, stateful_step_count=8)
    )
