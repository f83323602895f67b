"""A tiny pair to search on, and the sums that a search must find, by plain forwards."""

import copy
import itertools

import torch

from core.codec import Codec
from core.models.check import choose_way
from core.models.lane import Lane
from core.models.pair import Pair
from core.search.grown import GrownTree
from core.search.run import Run
from core.text import Prompt
from tests.tiny import byte_level_tokenizer, tiny_model

PROMPT = Prompt.of("Summarise this post.")


def search_pair(kind="llama", sharp=12.0, **options):
    """A pair with a real codec, and its two models; ``sharp`` makes their choices clear."""
    tokenizer = byte_level_tokenizer()
    models = [tiny_model(kind, len(tokenizer), seed) for seed in (1, 2)]
    for model in models:
        model.get_output_embeddings().weight.data.mul_(sharp)
    lanes = [Lane(copy.deepcopy(model)) for model in models]
    for lane in lanes:
        choose_way(lane)
    options = {"context_length": 256} | options
    return Pair(lanes, Codec(tokenizer), **options), models


class FewTokens:
    """A codec of a vocabulary of a few letters; the last token closes."""

    def __init__(self, size):
        self.end_of_turn = size - 1

    def prompt_ids(self, prompt):
        return (0, 1, 2)

    def label(self, id):
        return "abcdefgh"[id]

    def piece(self, id):
        return b"abcdefgh"[id : id + 1]


def small_pair(size=5):
    """A pair whose every response can be listed, and its two models."""
    models = [tiny_model("llama", size, seed) for seed in (1, 2)]
    for model in models:
        model.get_output_embeddings().weight.data.mul_(12.0)
    lanes = [Lane(copy.deepcopy(model)) for model in models]
    for lane in lanes:
        choose_way(lane)
    return Pair(lanes, FewTokens(size), context_length=64), models


def all_responses(size, longest):
    """Every closed response of a vocabulary, its closing token last."""
    closing = size - 1
    for length in range(longest):
        for ids in itertools.product(range(closing), repeat=length):
            yield (*ids, closing)


def grown(pair, spec, prefix=()):
    """Run a search to its end: the tree, and its growths."""
    run, tree, growths = Run(pair, PROMPT, tuple(prefix), spec), GrownTree(), []
    while (growth := run.step()) is not None:
        growths.append(growth)
        tree.add(growth)
    return tree, growths


def sequence_logp(model, pair, ids):
    """log π(ids | PROMPT), by one uncached forward in float64."""
    prompt = pair.codec.prompt_ids(PROMPT)
    whole = torch.tensor([[*prompt, *ids]])
    with torch.no_grad():
        logp = model(input_ids=whole, use_cache=False).logits[0].double().log_softmax(-1)
    taken = logp[len(prompt) - 1 : -1].gather(-1, torch.tensor(ids)[:, None])
    return float(taken.sum())
