"""The noise floor against errors that plain Hugging Face forwards show, on text of other kinds."""

import copy
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from core.engine.protocol import PairSpec
from core.errors import Cancelled
from core.models import noise
from core.models.load import load_pair
from core.models.noise import Measurement, widened
from core.models.score import score
from core.noise import NOISELESS, NoiseFloor, floor_of
from core.text import Prompt
from tests.tiny import save_adapters, save_model, save_pair

OTHER = (
    "They turned the management position down: 250 people, and the salary was too low!",
    "line one\n\tline two, indented; 7:30 pm, 1,200 euros, naïve café, 你好 🙂",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 4,
)
PROMPT = Prompt.of("Summarise this post in one sentence.")


def quiet(*_):
    """No progress is wanted."""


def load(policy, reference, dtype="bfloat16"):
    return load_pair(PairSpec(policy=str(policy), reference=str(reference), dtype=dtype), quiet)


def exact(folder, ids):
    """Log-probs of a path's tokens in float32, by the weights as bfloat16 has them."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).float().eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    logp = torch.log_softmax(logits, dim=-1)
    return logp[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()


def errors_on_other_text(pair, policy, reference):
    """What is shown, less the truth: one array of log-ratio errors a text."""
    found = []
    for text in OTHER:
        tokens = pair.codec.encode(PROMPT, text)
        shown = score(pair, PROMPT, tokens)
        before = pair.codec.prompt_ids(PROMPT)
        ids = [*before, *tokens.ids, pair.codec.end_of_turn]
        truth = (exact(policy, ids) - exact(reference, ids))[len(before) - 1 :]
        found.append(shown.logp_policy - shown.logp_reference - truth)
    return found


def test_errors_that_scatter_add_up_as_the_root_of_their_number():
    found = floor_of([np.array([0.3, -0.3] * 100)], "bfloat16", "")
    assert found.token == pytest.approx(0.6) and found.spread == pytest.approx(0.3)
    assert found.bias == 0 and found.tokens == 200
    assert found.total([1, 4, 100]) == pytest.approx([0.6, 1.2, 6.0])


def test_a_bias_adds_up_in_proportion():
    found = floor_of([np.full(50, -0.02), np.full(50, -0.02)], "bfloat16", "")
    assert found.spread == pytest.approx(0, abs=1e-9) and found.bias == pytest.approx(0.02)
    assert found.token == pytest.approx(0.04)
    assert found.total([2, 100]) == pytest.approx([0.04, 2.0])


def test_neighbours_that_err_together_widen_sums():
    blocks = np.repeat([0.1, -0.1] * 10, 16)
    found = floor_of([blocks], "bfloat16", "")
    assert found.token == pytest.approx(0.2)
    sums = np.array([blocks[i : i + 16].sum() for i in range(len(blocks) - 15)])
    assert found.total(16) == pytest.approx(2 * np.sqrt((sums**2).mean()))


def test_a_short_sample_may_have_missed_much():
    """Of draws of 20 the floor covers 95 in 100 of all errors most of the time."""
    generator = np.random.default_rng(0)
    covers = [
        (abs(generator.normal(size=5000)) < floor_of([draw], "", "").token).mean()
        for draw in generator.normal(size=(200, 20))
    ]
    assert np.mean(np.array(covers) >= 0.95) > 0.8


def test_no_errors_no_floor():
    with pytest.raises(ValueError, match="errors"):
        floor_of([], "bfloat16", "")


def test_what_is_hidden():
    floor = NoiseFloor("bfloat16", token=0.1, spread=0.05, bias=0.0, tokens=9, measured="")
    rewards = [0.009, -0.009, 0.011, -0.011, np.nan, 0.0]
    assert floor.hides(rewards, 0.1).tolist() == [True, True, False, False, False, True]
    assert floor.hides([0.03, 0.05], 0.1, [16, 16]).tolist() == [True, False]
    assert not NOISELESS.hides([0.0, 1e-9], 0.1).any()
    tiny = NoiseFloor("float32", token=1e-5, spread=5e-6, bias=0.0, tokens=9, measured="")
    assert not tiny.matters and not tiny.hides([0.0, 1e-9], 0.1).any()


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "gpt_neox"])
def test_the_floor_covers_the_errors_on_other_text(kind, tmp_path):
    policy, reference = save_pair(tmp_path, kind)
    pair, _ = load(policy, reference)
    floor = Measurement(pair).finish()
    assert floor.matters and floor.dtype == "bfloat16"
    assert f"against float32 on {floor.tokens} tokens" in floor.measured
    errors = errors_on_other_text(pair, policy, reference)
    every = np.concatenate(errors)
    # 95 in 100, less what chance may leave of so few (two standard errors).
    assert (abs(every) < floor.token).mean() >= 0.95 - 2 * (0.05 * 0.95 / len(every)) ** 0.5
    assert floor.token < 4 * every.std()  # and is not large for nothing
    for own in errors:
        assert abs(own.sum()) < 1.5 * floor.total(len(own))


def test_adapters_on_one_base(tmp_path):
    _, policy, reference = save_adapters(tmp_path)
    pair, info = load(policy, reference)
    assert info.base_shared and len(pair.lanes) == 1
    floor = Measurement(pair).finish()
    assert floor.matters and "float32" in floor.measured


def test_float32_hides_nothing(tmp_path):
    pair, _ = load(*save_pair(tmp_path), dtype="float32")
    floor = Measurement(pair).finish()
    assert 0 < floor.token < 1e-4 and not floor.matters
    assert "plain forwards" in floor.measured


def test_two_identical_models_have_no_noise(tmp_path):
    one = save_model(tmp_path / "one")
    other = tmp_path / "other"
    shutil.copytree(one, other)
    for reference in (one, other):
        pair, _ = load(one, reference)
        assert Measurement(pair).finish().token == 0
        found = score(pair, PROMPT, pair.codec.encode(PROMPT, OTHER[0]))
        assert (found.logp_policy - found.logp_reference == 0).all()


def test_without_room_for_float32_two_ways_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(noise, "free_bytes", lambda _: 0)
    pair, _ = load(*save_pair(tmp_path))
    floor = Measurement(pair).finish()
    if floor is None:
        pytest.skip("two ways of bfloat16 agree in all on this processor")
    assert floor.token > 0
    assert "two bfloat16 forwards" in floor.measured and floor.measured.endswith("noise is larger")


def test_two_ways_that_agree_in_all_say_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(noise, "free_bytes", lambda _: 0)
    monkeypatch.setattr(noise, "EDIT", 10_000)
    pair, _ = load(*save_pair(tmp_path))
    for lane in pair.lanes:
        lane.use(None)  # every path is run whole, as plain forwards are
    assert Measurement(pair).finish() is None


class Odd(torch.nn.Module):
    """A model with tensors of its own, a layer that stands in two places, and one in float32."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.shift = torch.nn.Parameter(torch.randn(8))
        twice = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))
        self.layers = torch.nn.ModuleList([twice, torch.nn.Linear(8, 8), twice])
        self.bfloat16()
        self.layers[0][1].float()

    def forward(self, states):
        states = states + self.shift
        for layer in self.layers:
            states = layer(states)
        return states


def test_widened_layers_compute_in_float32_and_come_back():
    model = Odd()
    before = {name: id(tensor) for name, tensor in model.named_parameters()}
    states = torch.randn(3, 8)
    with torch.no_grad():
        expected = copy.deepcopy(model).float()(states)
        with widened(model):
            found = model(states)
            assert {tensor.dtype for tensor in model.parameters()} == {
                torch.bfloat16,
                torch.float32,
            }
    assert torch.equal(found, expected)
    assert {name: id(tensor) for name, tensor in model.named_parameters()} == before
    with pytest.raises(RuntimeError), widened(model):
        model(torch.randn(3, 5))
    assert {name: id(tensor) for name, tensor in model.named_parameters()} == before


def test_a_cancelled_measurement_goes_on_and_ends_the_same(tmp_path):
    folders = save_pair(tmp_path)
    straight = Measurement(load(*folders)[0]).finish()
    pair, _ = load(*folders)
    measurement, calls, stops = Measurement(pair), 0, 0

    def sometimes():
        nonlocal calls
        calls += 1
        return calls % 23 == 0  # a part of it takes fewer polls

    while True:
        try:
            floor = measurement.finish(sometimes)
            break
        except Cancelled:
            stops += 1
    assert stops > 3 and floor.tokens == straight.tokens
    assert floor.token == pytest.approx(straight.token, rel=0.1)


def test_the_users_texts_are_left_as_they_were(tmp_path):
    policy, reference = save_pair(tmp_path)
    pair, _ = load(policy, reference)
    before = score(pair, PROMPT, pair.codec.encode(PROMPT, OTHER[0]), hold="A")
    Measurement(pair).finish()
    again = score(pair, PROMPT, pair.codec.encode(PROMPT, OTHER[0]), hold="A")
    assert again.computed == 0 and (again.logp_policy == before.logp_policy).all()
    tokens = pair.codec.encode(PROMPT, OTHER[0] + " Yes.")
    edited = score(pair, PROMPT, tokens, hold="A")
    assert 0 < edited.computed < 8
    ids = [*pair.codec.prompt_ids(PROMPT), *tokens.ids, pair.codec.end_of_turn]
    truth = exact(policy, ids)[-len(edited) :]
    assert np.abs(edited.logp_policy - truth).max() < 0.1


def test_a_text_longer_than_the_context_is_cut(tmp_path):
    pair, _ = load(*save_pair(tmp_path))
    pair.context_length = 40
    floor = Measurement(pair).finish()
    assert 0 < floor.tokens <= 4 * 40
