"""Adapters beside the weights, policy and reference in one batch, against PEFT's own forwards."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from core.engine.protocol import PairSpec
from core.models.inputs import layers_by_input
from core.models.load import load_pair
from core.models.lora import ROWS, ActiveRows, Joined, PairLinear, pair_linears
from tests.tiny import byte_level_tokenizer, save_adapters, save_model, tiny_model

IDS = list(range(10, 30))
FIRST = 4


def family(kind, vocab_size):
    """A tiny random model of a family whose adapted layers are given other than 3-D inputs."""
    import transformers as hf

    common = {"vocab_size": vocab_size} | dict.fromkeys(
        ("bos_token_id", "eos_token_id", "pad_token_id")
    )
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
    }
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    configs = {
        "opt": lambda: hf.OPTConfig(
            **common,
            hidden_size=32,
            ffn_dim=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=128,
            word_embed_proj_dim=32,
        ),
        "mixtral": lambda: hf.MixtralConfig(
            **common, **sizes, num_local_experts=4, num_experts_per_tok=2
        ),
        "qwen2_moe": lambda: hf.Qwen2MoeConfig(
            **common, **sizes, **experts, shared_expert_intermediate_size=24
        ),
        "qwen3_moe": lambda: hf.Qwen3MoeConfig(**common, **sizes, **experts, head_dim=8),
        "jamba": lambda: hf.JambaConfig(
            **common,
            **sizes,
            num_experts=2,
            mamba_d_state=4,
            mamba_dt_rank=4,
            attn_layer_offset=1,
            attn_layer_period=2,
        ),
        "gpt2": lambda: hf.GPT2Config(**common, n_embd=32, n_layer=2, n_head=4),
    }
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(configs[kind]()).eval()


def randomise(wrapped, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


def save_family(folder, kind):
    """A base and two all-linear adapters of different ranks on it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = folder / "base"
    family(kind, len(byte_level_tokenizer())).save_pretrained(base)
    byte_level_tokenizer().save_pretrained(base)
    for rank, row in enumerate(ROWS, 2):
        config = LoraConfig(
            r=rank,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            fan_in_fan_out=kind == "gpt2",
        )
        wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        randomise(wrapped, rank)
        wrapped.peft_config["default"].base_model_name_or_path = str(base)
        wrapped.save_pretrained(folder / row)
    return base, *(folder / row for row in ROWS)


def peft(base, adapter, **how):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, **how)
    return PeftModel.from_pretrained(model, adapter).eval()


def taken(model, ids=IDS):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    return logits.log_softmax(-1)[np.arange(FIRST - 1, len(ids) - 1), ids[FIRST:]].numpy()


@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys:RuntimeWarning")
@pytest.mark.parametrize(
    ("kind", "lanes"),
    # Adapted experts and routers are left to PEFT, and what a model calls past its own layers.
    [("opt", 1), ("qwen2_moe", 1), ("gpt2", 1), ("mixtral", 2), ("qwen3_moe", 2), ("jamba", 2)],
)
def test_all_linear_adapters_of_every_family_equal_peft(kind, lanes, tmp_path):
    base, *adapters = save_family(tmp_path, kind)
    expected = [taken(peft(base, adapter)) for adapter in adapters]
    assert np.abs(expected[0] - expected[1]).max() > 0.02
    spec = PairSpec(policy=str(adapters[0]), reference=str(adapters[1]), device="cpu")
    pair, _ = load_pair(spec, lambda *_: None)
    assert len(pair.lanes) == lanes
    path = pair.tree.extend(0, IDS)
    pair.observe(path, range(FIRST, len(path)), lambda: False)
    for name, logp in zip(("logp_policy", "logp_reference"), expected, strict=True):
        assert pair.tree.column(name)[path[FIRST:]] == pytest.approx(logp, abs=1e-4)


def adapted(kind="qwen2", dtype=torch.float32, rows=ROWS, **options):
    """A tiny model with random adapters of ranks 2, 3, ...; factors in float32, as PEFT trains."""
    from peft import LoraConfig, get_peft_model

    settings = {"target_modules": "all-linear"} | options
    base = tiny_model(kind, 120, 1).to(dtype)
    wrapped = get_peft_model(base, LoraConfig(r=2, **settings), rows[0])
    for rank, row in enumerate(rows[1:], 3):
        wrapped.add_adapter(row, LoraConfig(r=rank, **settings))
    randomise(wrapped)
    return wrapped.eval()


@torch.inference_mode()
def alone(wrapped, row, ids):
    wrapped.set_adapter(row)
    return wrapped(input_ids=ids, use_cache=False).logits


@pytest.mark.parametrize("length", [1, 9, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float32_factors_beside_weights_of_any_format(dtype, length):
    """Few tokens and many: as PEFT computes it, but for fewer roundings than bfloat16 costs it."""
    wrapped = adapted(dtype=dtype)
    ids = torch.randint(3, 120, (1, length), generator=torch.Generator().manual_seed(1))
    expected = torch.cat([alone(wrapped, row, ids) for row in ROWS])
    fine = adapted()
    noise = (expected - torch.cat([alone(fine, row, ids) for row in ROWS])).float().std()
    inner = wrapped.base_model.model
    active = pair_linears(inner)
    layers = [layer for layer in inner.modules() if isinstance(layer, PairLinear)]
    assert {layer.down.dtype for layer in layers} == {torch.float32}

    @torch.inference_mode()
    def ran(first, stop):
        active.rows = slice(first, stop)
        return inner(input_ids=ids.expand(stop - first, -1), use_cache=False).logits

    for found in (ran(0, 2), torch.cat([ran(0, 1), ran(1, 2)])):
        assert (found - expected).float().std() < max(noise / 2, 1e-5)


def test_one_adapter_is_a_batch_of_one_row():
    wrapped = adapted(rows=ROWS[:1])
    ids = torch.tensor([IDS])
    expected = alone(wrapped, ROWS[0], ids)
    inner = wrapped.base_model.model
    pair_linears(inner, ROWS[:1])
    with torch.inference_mode():
        assert inner(input_ids=ids, use_cache=False).logits == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_are_not_merged_where_the_bases_differ(dtype, tmp_path):
    base, adapter, _ = save_adapters(tmp_path, "qwen2")
    other = save_model(tmp_path / "other", "qwen2", seed=9)
    spec = PairSpec(policy=str(adapter), reference=str(other), device="cpu", dtype=dtype)
    pair, _ = load_pair(spec, lambda *_: None)
    lane = pair.lanes[0]
    layers = [layer for layer in lane.model.modules() if isinstance(layer, PairLinear)]
    assert len(layers) == 2 * 3 and {layer.down.dtype for layer in layers} == {torch.float32}
    found = lane.plain_logits(torch.tensor(IDS))
    model, fine = (peft(base, adapter, dtype=getattr(torch, it)) for it in (dtype, "float32"))
    with torch.inference_mode():
        expected, true = (it(input_ids=torch.tensor([IDS])).logits for it in (model, fine))
    noise = (expected - true).float().std()
    assert (found - expected).float().std() < max(noise / 2, 1e-5)


def test_a_layers_weights_are_in_memory_once():
    wrapped = adapted()
    inner = wrapped.base_model.model
    tied = inner.get_input_embeddings().weight
    pair_linears(inner)
    layer = inner.model.layers[0].self_attn
    q, k = layer.q_proj, layer.k_proj
    assert q.joined is k.joined is layer.v_proj.joined
    own = {it.untyped_storage().data_ptr() for it in (q.weight, k.weight, q.down, k.down)}
    assert len(own) == 1
    assert inner.model.layers[0].mlp.gate_proj.joined is inner.model.layers[0].mlp.up_proj.joined
    assert inner.get_input_embeddings().weight is tied


def two_layers(**of):
    """Two layers of one input, random factors, and what each makes of states, by the formula."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    active = ActiveRows()
    layers = []
    for wide in (7, 5):
        base = nn.Linear(6, wide)
        layers.append(PairLinear(base, random(2, 3, 6), random(2, 3, wide)))
    Joined(layers, active)

    def expected(layer, states, rows=(0, 1)):
        return torch.stack(
            [
                layer.base(each) + each @ layer.down[row].t() @ layer.up[row]
                for row, each in zip(rows, states, strict=True)
            ]
        )

    return layers, active, expected, random


@torch.inference_mode()
def test_layers_of_one_input_are_right_in_whatever_order_they_are_asked():
    (first, second), active, expected, random = two_layers()
    one, other = random(2, 4, 6), random(2, 4, 6)
    for layer, states in [
        (second, one), (first, one), (first, one), (first, other), (second, one), (second, other),
        (second, other.clone()), (first, one), (first, other), (second, other),
    ]:  # fmt: skip
        assert layer(states) == pytest.approx(expected(layer, states), abs=1e-5)
    same = random(1, 4, 6)
    for row in (1, 0):  # the same tensor for another row
        active.rows = slice(row, row + 1)
        assert first(same) == pytest.approx(expected(first, same, (row,)), abs=1e-5)
    active.rows = slice(0, 2)
    out = first(one)
    first.put(0, random(3, 6), random(3, 7))
    second.put(0, random(3, 6), random(3, 5))
    assert not torch.equal(first(one), out)
    assert second(one) == pytest.approx(expected(second, one), abs=1e-5)


@torch.inference_mode()
def test_a_larger_rank_moves_all_layers_of_an_input():
    (first, second), _, expected, random = two_layers()
    states = random(2, 4, 6)
    kept = first(states).clone()
    second.put(1, random(8, 6), random(8, 5))
    assert first.down.shape[1] == second.down.shape[1] == 8
    assert first(states) == pytest.approx(kept, abs=1e-5)
    assert second(states) == pytest.approx(expected(second, states), abs=1e-5)


class RunsOut(TorchDispatchMode):
    """Memory that runs out in one operation: the ``nth`` of some."""

    def __init__(self, nth):
        super().__init__()
        self.left = nth

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.left -= 1
        if self.left == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return operation(*args, **(kwargs or {}))


@torch.inference_mode()
@pytest.mark.parametrize("nth", range(1, 12))
def test_a_rank_for_which_memory_runs_out_can_be_asked_again(nth):
    (first, second), _, expected, random = two_layers()
    states, new = random(2, 4, 6), (random(8, 6), random(8, 5))
    kept = first(states).clone()
    with contextlib.suppress(torch.OutOfMemoryError), RunsOut(nth):
        second.put(1, *new)
    assert first(states) == pytest.approx(kept, abs=1e-5)
    second.put(1, *new)
    assert first(states) == pytest.approx(kept, abs=1e-5)
    assert second(states) == pytest.approx(expected(second, states), abs=1e-5)
    assert torch.equal(second.down[1], new[0]) and torch.equal(second.up[1], new[1])


class Toy(nn.Module):
    """A causal model's outside; ``run`` is given its linear layers and states [2, T, 8]."""

    device = torch.device("cpu")

    def __init__(self, run):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(50, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.run = run

    def get_input_embeddings(self):
        return self.embedding

    def forward(self, input_ids, use_cache):
        return self.run(self.layers, self.embedding(input_ids))


def groups(run, rows=2):
    model = Toy(run)
    found = layers_by_input(model, list(model.layers), rows)
    return [[list(model.layers).index(layer) for layer in alike] for alike in found]


def routed(layers, states):
    flat = states.reshape(-1, 8)
    which = (flat[:, 0] > 0.1).long() + (flat[:, 1] > 0).long()
    for expert, layer in enumerate(layers):
        layer(flat[which == expert])


def changed_between(layers, states):
    layers[0](states)
    states.mul_(2)
    layers[1](states)
    layers[2](states)


def test_layers_that_are_given_the_same_tensor():
    assert groups(lambda layers, x: (layers[0](x), layers[2](x), layers[1](x + 0))) == [[0, 2], [1]]
    assert groups(lambda layers, x: [it(x.reshape(-1, 8)) for it in layers]) == [[0], [1], [2]]
    assert groups(changed_between) == [[0], [1, 2]]
    twice = groups(lambda layers, x: [layers[i](y) for y in (x, x + 1) for i in (0, 1)], rows=1)
    assert twice == [[0, 1], [2]]


def test_memory_that_runs_out_says_nothing_of_a_layers_inputs():
    def run(layers, states):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        groups(run)


@pytest.mark.parametrize(
    "run",
    [
        routed,
        lambda layers, x: [layer(x.transpose(0, 1)) for layer in layers],
        lambda layers, x: [layer(torch.ones(7, 8)) for layer in layers],
        lambda layers, x: [layer(torch.arange(80.0).view(10, 8)) for layer in layers],
        lambda layers, x: [layer(input=x) for layer in layers],
        lambda layers, x: [layer(x) for layer in layers[:2]],
        lambda layers, x: layers[0](x[..., :3]),
    ],
    ids=("routed", "time first", "positions", "shared", "by name", "not called", "cannot be run"),
)
def test_inputs_whose_rows_cannot_be_told(run):
    with pytest.raises(ValueError, match=r"rows cannot be told|cannot be run"):
        groups(run)
