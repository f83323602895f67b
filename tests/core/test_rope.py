"""Models whose rotary factors depend on a text's length, against one plain forward of the text.

The truth is always that of a freshly loaded model: what was scored before must not matter.
"""

import copy

import numpy as np
import pytest
import torch

from core.errors import UserFacingError
from core.models.check import choose_way
from core.models.lane import Lane, Way
from core.models.pair import Pair
from core.models.rope import Regimes

VOCAB, ORIGINAL = 120, 24


def model_of(kind, seed):
    """A random model of a context of 256 tokens, trained on 24."""
    import transformers as hf

    sizes = {
        "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": None,
        "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    if kind == "longrope":
        scaling = {
            "rope_type": "longrope",
            "short_factor": [1.0] * 8,
            "long_factor": [1.0 + 3.0 * i for i in range(8)],
            "original_max_position_embeddings": ORIGINAL,
            "rope_theta": 10000.0,
        }
        config = hf.Phi3Config(
            **sizes,
            max_position_embeddings=256,
            original_max_position_embeddings=ORIGINAL,
            rope_parameters=scaling,
        )
    else:
        scaling = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
        config = hf.LlamaConfig(**sizes, max_position_embeddings=ORIGINAL, rope_parameters=scaling)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = hf.AutoModelForCausalLM.from_config(config).eval()
    model.get_output_embeddings().weight.data.mul_(6)
    return model


def fresh(model, ids):
    """Log-probs of a text's tokens by one forward of a model that has run nothing before."""
    with torch.no_grad():
        logits = copy.deepcopy(model)(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits.log_softmax(-1)[:-1].gather(-1, torch.tensor(ids)[1:, None])[:, 0].numpy()


def pair_of(models):
    lanes = [Lane(copy.deepcopy(model)) for model in models]
    for lane in lanes:
        assert choose_way(lane) is Way.TREE
    return Pair(lanes, None, context_length=256)


def scored(pair, ids, side):
    path = pair.tree.extend(pair.root(len(ids)), ids)
    pair.observe(path, range(3, len(path)), line=side)
    return [pair.tree.column(name)[path[3:]] for name in ("logp_policy", "logp_reference")]


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_numbers_are_those_of_the_whole_text_whatever_was_scored_before(kind):
    models = [model_of(kind, seed) for seed in (1, 2)]
    pair = pair_of(models)
    assert pair.depends_on_length
    text = np.random.default_rng(0).integers(3, VOCAB, 60).tolist()
    lengths = (10, 60, ORIGINAL, ORIGINAL + 1, 12, 40, 41, 59, 60)
    for turn, length in enumerate(lengths):
        ids = [*text[: length - 1], 5 + turn % 2]
        for model, logp in zip(models, scored(pair, ids, "AB"[turn % 2]), strict=True):
            assert logp == pytest.approx(fresh(model, ids)[2:], abs=5e-5)


def test_a_65th_token_changes_all_numbers_and_both_are_right():
    """Past the length that a model was trained on all its factors are others."""
    model = model_of("longrope", 1)
    pair = pair_of([model, model_of("longrope", 2)])
    text = np.random.default_rng(1).integers(3, VOCAB, ORIGINAL + 1).tolist()
    short, long = scored(pair, text[:-1], "A")[0], scored(pair, text, "A")[0]
    assert np.abs(short - long[:-1]).max() > 1e-3
    assert scored(pair, text[:-1], "A")[0] == pytest.approx(short, abs=0)
    for ids, logp in ((text[:-1], short), (text, long)):
        assert logp == pytest.approx(fresh(model, ids)[2:], abs=5e-5)


def test_branches_of_a_search_take_the_factors_of_its_longest_path():
    models = [model_of("longrope", seed) for seed in (1, 2)]
    pair = pair_of(models)
    text = np.random.default_rng(2).integers(3, VOCAB, ORIGINAL - 4).tolist()
    scored(pair, text, "A")
    longest = ORIGINAL + 8
    stem = pair.tree.extend(pair.root(longest), text)
    tips = [pair.tree.extend(int(stem[-1]), [id, id + 1, id + 2]) for id in (10, 20, 30)]
    pair.reach(np.array([tip[-1] for tip in tips]), line="search")
    found = pair.logits(np.array([tip[-1] for tip in tips])).log_softmax(-1)
    for row, model in enumerate(models):
        for i, tip in enumerate(tips):
            # The rest of the longest text does not matter to a causal model, its length does.
            ids = [*text, *pair.tree.token[tip].tolist()]
            ids += [7] * (longest - len(ids))
            with torch.no_grad():
                plain = copy.deepcopy(model)(torch.tensor([ids]), use_cache=False).logits[0]
            expected = plain[len(text) + 2].log_softmax(-1)
            assert found[row, i].numpy() == pytest.approx(expected.numpy(), abs=5e-5)


def test_models_of_fixed_factors_have_one_regime():
    import transformers as hf

    model = hf.AutoModelForCausalLM.from_config(hf.LlamaConfig(
        vocab_size=VOCAB, hidden_size=64, intermediate_size=96, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2,
    ))  # fmt: skip
    regimes = Regimes(model)
    assert not regimes.differ and {regimes.of(length) for length in (1, 500, 5000)} == {0}


def test_a_text_past_the_context_is_refused_all_the_same():
    pair = pair_of([model_of("longrope", seed) for seed in (1, 2)])
    with pytest.raises(UserFacingError, match="context is 256"):
        scored(pair, [7] * 300, "A")
