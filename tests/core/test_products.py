"""Products with a weight: the same by every way, and the fastest way is the one that is taken."""

import numpy as np
import pytest
import torch
from torch import nn

from core.engine.protocol import PairSpec
from core.models import products
from core.models.load import load_pair
from core.models.products import KERNELS, TOKENS, learn, multiply, project, replace_linears
from tests.tiny import save_adapters, save_pair, tiny_model

IDS = list(range(10, 40))


def force(monkeypatch, way):
    """Let one way win every race."""
    monkeypatch.setattr(products, "_chosen", {})
    monkeypatch.setattr(products, "recall", lambda *_: None)
    monkeypatch.setattr(products, "remember", lambda *_: None)
    monkeypatch.setattr(products, "_fastest", lambda tokens, weights: KERNELS[way])


@pytest.mark.parametrize("way", KERNELS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_every_way_gives_the_same_numbers(way, transposed, biased, monkeypatch):
    force(monkeypatch, way)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 40, generator=generator)
    if transposed:
        weight = weight.t().contiguous().t()
    bias = torch.randn(48, generator=generator) if biased else None
    learn([weight])
    for tokens in (1, 2, 5, 16, 33, 200):
        states = torch.randn(tokens, 40, generator=generator)
        expected = states.double() @ weight.double().t() + (0 if bias is None else bias.double())
        for given in (states, states.t().contiguous().t()):
            assert multiply(given, weight, bias).double() == pytest.approx(expected, abs=1e-4)
        found = project(states.view(1, tokens, 40), weight, bias)
        assert found.shape == (1, tokens, 48)
        assert found[0].double() == pytest.approx(expected, abs=1e-4)


def taken(model, ids=IDS, first=4):
    """Log-probs of the tokens of a path by a plain forward."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    return logits.log_softmax(-1)[np.arange(first - 1, len(ids) - 1), ids[first:]].numpy()


@pytest.mark.parametrize("way", KERNELS)
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
def test_a_pair_has_the_same_numbers_by_every_way(way, kind, tmp_path, monkeypatch):
    """Two whole models, and two adapters on one base; edits of few tokens and of many."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    def model(path):
        return AutoModelForCausalLM.from_pretrained(path)

    force(monkeypatch, way)
    base, *adapters = save_adapters(tmp_path, kind)
    models = save_pair(tmp_path, kind)
    adapted = [PeftModel.from_pretrained(model(base), path).eval() for path in adapters]
    for paths, plain in ((models, list(map(model, models))), (adapters, adapted)):
        spec = PairSpec(policy=str(paths[0]), reference=str(paths[1]), device="cpu")
        pair, _ = load_pair(spec, lambda *_: None)
        for ids in (IDS, [*IDS[:-1], 50], [*IDS[:8], 50, *IDS[9:]]):
            path = pair.tree.extend(0, ids)
            pair.observe(path, range(4, len(path)), lambda: False)
            for name, each in zip(("logp_policy", "logp_reference"), plain, strict=True):
                found = pair.tree.column(name)[path[4:]]
                assert found == pytest.approx(taken(each, ids), abs=1e-4)


def test_the_fastest_way_is_chosen_for_each_number_of_tokens(monkeypatch):
    """By a clock that the ways themselves turn."""
    now = [0.0]

    def costing(seconds):
        def way(states, weight, bias):
            now[0] += seconds(len(states)) * len(weight)
            return states @ weight.t()

        return way

    plain = costing(lambda tokens: 1.0)
    few, no_faster = costing(lambda tokens: tokens / 10), costing(lambda tokens: 0.95)
    monkeypatch.setattr(products, "_states_first", plain)
    monkeypatch.setattr(products, "KERNELS", {"plain": plain, "few": few, "much alike": no_faster})
    monkeypatch.setattr(products, "CLOCK", lambda: now[0])
    monkeypatch.setattr(products, "_chosen", {})
    monkeypatch.setattr(products, "recall", lambda *_: None)
    monkeypatch.setattr(products, "remember", lambda *_: None)
    weight = torch.ones(300, 20)
    learn([weight, torch.ones(300, 20)])
    (chosen,) = products._chosen.values()
    assert chosen == tuple(few if tokens <= 8 else plain for tokens in TOKENS)
    for tokens, cost in ((1, 0.1), (3, 0.3), (8, 0.8), (9, 1.0), (500, 1.0)):
        began = now[0]
        multiply(torch.ones(tokens, 20), weight)
        assert now[0] - began == pytest.approx(300 * cost)


def test_a_kernel_that_lacks_a_format_is_left_out(monkeypatch):
    def lacking(states, weight, bias):
        raise RuntimeError("could not create a primitive descriptor")

    own = KERNELS["states first"]
    monkeypatch.setattr(products, "KERNELS", {"states first": own, "other": lacking})
    assert products._fastest(1, [torch.ones(8, 8)]) is own


def test_layers_are_replaced_and_nothing_else():
    model = tiny_model("llama")
    before = dict(model.named_parameters())
    expected = taken(model)
    replace_linears(model)
    assert not any(type(module) is nn.Linear for module in model.modules())
    after = dict(model.named_parameters())
    assert before.keys() == after.keys()
    assert all(after[name] is parameter for name, parameter in before.items())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert taken(model) == pytest.approx(expected, abs=1e-5)
