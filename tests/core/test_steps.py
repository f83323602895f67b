"""Forwards at fixed shapes give what others give, and never wait for a device."""

import copy

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from core.models.check import choose_way
from core.models.lane import Lane, Way
from core.models.lora import ActiveRows, pair_linears
from core.models.pair import Pair
from core.models.steps import SIZES
from tests.tiny import tiny_model

VOCAB = 120
WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique")
"""Operators whose result decides on the host: on a GPU it would wait for them."""


def models_of(kind):
    return [tiny_model(kind, VOCAB, seed) for seed in (1, 2)]


def adapted():
    """Two LoRA adapters on one base, in one lane."""
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(
        tiny_model("llama", VOCAB, 1), LoraConfig(r=4, target_modules=["q_proj"]), "policy"
    )
    wrapped.add_adapter("reference", LoraConfig(r=2, target_modules="all-linear"))
    torch.manual_seed(3)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    inner = wrapped.eval().base_model.model
    return Lane(inner, pair_linears(inner))


def pair_of(kind, fixed):
    lanes = [adapted()] if kind == "lora" else [Lane(copy.deepcopy(m)) for m in models_of(kind)]
    for lane in lanes:
        assert choose_way(lane) is Way.TREE
        if fixed:
            lane.use_steps(record=False)
    return Pair(lanes, None, context_length=2048)


def walked(pair):
    """Numbers of edits of every length and of branches, all in one pair."""
    found = []
    ids = np.random.default_rng(0).integers(3, VOCAB, 200).tolist()
    for back in (1, 2, 8, 9, 32, 33, 128, 150):
        ids[-back] = 3 + back % 100
        path = pair.tree.extend(pair.root(len(ids)), ids)
        pair.observe(path, range(5, len(path)), line="A")
        found += [pair.tree.column(name)[path[5:]] for name in ("logp_policy", "logp_reference")]
    tips = [int(path[-1])] * 5
    for step in range(4):
        tips = [int(pair.tree.extend(tip, [10 + step + 2 * i])[0]) for i, tip in enumerate(tips)]
        pair.reach(np.array(tips), line="search")
        found += list(pair.logits(np.array(tips)).double().numpy().reshape(10, -1))
    return found


@pytest.mark.parametrize("kind", ["llama", "gemma2", "mistral", "gpt2", "lora"])
def test_fixed_shapes_give_the_same_numbers(kind):
    fixed, usual = (walked(pair_of(kind, fixed)) for fixed in (True, False))
    for one, other in zip(fixed, usual, strict=True):
        assert one == pytest.approx(other, abs=5e-5)


class Watch(TorchDispatchMode):
    """Notes the operators that are dispatched."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.name())
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["llama", "gemma2", "lora"])
def test_a_fixed_step_decides_nothing_on_the_host(kind):
    """Its operators are the same ones whatever the text, and none is waited for."""
    pair = pair_of(kind, fixed=True)
    ids = np.random.default_rng(1).integers(3, VOCAB, 40).tolist()
    path = pair.tree.extend(pair.root(40), ids)
    pair.reach_path(path)
    lane, seen = pair.lanes[0], []
    forward = lane._steps._forward
    lane._steps._forward = lambda *inputs: noted(lambda: forward(*inputs), seen)
    for last in (50, 51, 52):  # the first makes what all later ones use
        path = pair.tree.extend(pair.root(40), [*ids[:-3], last, 7, 8])
        assert pair.reach_path(path) == 3
    assert len(seen) == 3 and seen[1] == seen[2]
    assert not [name for name in seen[1] if any(word in name for word in WAITING)]


def noted(run, seen):
    with Watch() as watch:
        result = run()
    seen.append(watch.names)
    return result


def test_more_tokens_than_fit_are_run_as_usual():
    pair = pair_of("llama", fixed=True)
    ids = [3 + i % 100 for i in range(SIZES[-1] + 40)]
    path = pair.tree.extend(pair.root(len(ids)), ids)
    assert pair.reach_path(path) == len(ids)
    assert np.isfinite(pair.logits(path[-1:]).numpy()).all()


def test_a_text_that_is_opened_leaves_a_cell_for_padding():
    """Else the edits of it would not be run at fixed shapes."""
    pair = pair_of("llama", fixed=True)
    for length in (255, 256, 512):
        pair.reach_path(pair.tree.extend(pair.root(length), [3 + length % 7] * length), line="A")
        (held,) = pair._lines.values()
        assert all(store.capacity > length for store in held.stores)
        pair.forget()


def test_masks_of_rows_stay_where_recorded_forwards_read_them():
    active, like = ActiveRows(), torch.zeros(1)
    first = active.own(16, 4, 3, like)
    active.own(2, 4, 3, like)
    assert active.own(16, 4, 3, like) is first
