"""Long texts and large vocabularies on a CPU: fresh texts against two plain forwards, and a key.

Two pairs, float32. The demo pair reads 8,000 tokens that are new to it; a random pair of four
layers of the demo's width with a vocabulary of 256,000 reads 1,000. The rival is a notebook's: one
base with its adapters in PEFT, an uncached forward of the policy and one of the reference, and the
log_softmax of the response in pieces of 512 tokens. Every way runs in a process of its own, warmed
up by a short text, and all take turns; peak memory is over what the process held before the text.

Long texts of random words have a few tokens at which float32 itself is off by 1e-3 nats in any way
(against float64), so the 99th percentile of the differences stands beside the largest.

"A key" is an edit of the last token of the demo's text, and of one of 512 tokens. Its parts:
tokenising; the forward, the time inside the models' modules; and, as what walking the path and
reading its numbers costs, the scoring of a text that is known already.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module
from transformers import AutoTokenizer, LlamaConfig

from core.codec import Codec
from core.demo.pair import demo_plan
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.models.score import score as score_tokens
from tests.benchmarks.made import WORDS, save_pair
from tests.benchmarks.memory import peak_mb
from tests.benchmarks.pairs import forget
from tests.benchmarks.plain import adapted, logp
from tests.benchmarks.rescore import ignore, single_token_words
from tests.benchmarks.texts import PROMPT, Texts, joined
from tests.benchmarks.timing import Timing

TOKENS, SHORT, WIDE_TOKENS = 8_000, 512, 1_000
WARM = 64
PIECE = 512
EDITS = 5
REPETITIONS = 2
DEMO, WIDE = "demo", "vocabulary of 256k"
WAYS = "notebook", "qscope"
RATIO = "qscope over notebook"
ASKED = {DEMO: 1.3, WIDE: 1.5}
WIDE_SHAPE = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 4,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 256_000,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


def measure(
    repetitions: int = REPETITIONS, tokens: int = TOKENS, wide_tokens: int = WIDE_TOKENS
) -> dict[str, Any]:
    """Seconds of each way, Qscope's over the notebook's, peak memory, and the parts of a key."""
    found: dict[str, Any] = {"threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_pair(folder, LlamaConfig(**WIDE_SHAPE), "cpu", torch.float32, whole=False)
        for pair, length in ((DEMO, tokens), (WIDE, wide_tokens)):
            found[pair] = taking_turns(pair, length, folder, repetitions)
    return {**found, "asked": {RATIO: ASKED}}


def taking_turns(pair: str, length: int, folder: Path, repetitions: int) -> dict[str, Any]:
    """Both ways in turn on texts of ``length`` tokens of one pair."""
    timing = Timing()
    memory: dict[str, float | None] = {}
    apart, keys = [], dict[str, Any]()
    for turn in range(repetitions):
        said = {}
        for way in WAYS:
            answer = in_a_process(way, pair, length, folder, turn)
            timing.add(way, *answer["seconds"])
            memory[way] = answer["peak extra memory, MB"]
            keys = answer.get("key", keys)
            said[way] = np.load(folder / f"{way}.npy")
        apart.append(np.abs(said["qscope"] - said["notebook"]).ravel())
    return {
        "tokens": length,
        **timing.report(lambda seconds: {RATIO: seconds["qscope"] / seconds["notebook"]}),
        "peak extra memory, MB": memory,
        "largest difference in nats": float(np.concatenate(apart).max()),
        "99th percentile of differences": float(np.quantile(np.concatenate(apart), 0.99)),
        **({"a key": keys} if keys else {}),
    }


def in_a_process(way: str, pair: str, length: int, folder: Path, turn: int) -> dict[str, Any]:
    """What one way measures in a process of its own; its log-probs are left in the folder."""
    command = [sys.executable, "-m", "tests.benchmarks.long", way, pair, *map(str, (length, turn))]
    environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [*command, str(folder)], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run_here(way: str, pair: str, length: int, turn: int, folder: Path) -> dict[str, Any]:
    """One way in this process."""
    score, key = (notebook if way == "notebook" else qscope)(pair, folder)
    score(WARM, -1)
    timing, said = Timing(), []
    peak = peak_mb(lambda: said.append(timing.time(way, lambda: score(length, turn))))
    np.save(folder / f"{way}.npy", said[0])
    seconds = timing.medians()[way], timing.own()[way]
    answer: dict[str, Any] = {"seconds": seconds, "peak extra memory, MB": peak}
    if way == "qscope" and pair == DEMO and turn == 0:
        answer["key"] = {str(n): key(n) for n in (SHORT, length)}
    return answer


Way = tuple[Callable[[int, int], Any], Callable[[int], dict[str, Any]]]
"""The log-probs [2, n] of a text of so many tokens and of that number; and the parts of a key."""


def notebook(pair: str, folder: Path) -> Way:
    """PEFT's forwards of both adapters."""
    base, policy, reference, words = folders(pair, folder)
    rows = adapted(base, policy, reference, torch.float32, "cpu")
    texts = texts_of(pair, Codec(AutoTokenizer.from_pretrained(words)))

    def score(length: int, number: int) -> Any:
        return logp(rows, texts.ids(length, number), len(texts.start), PIECE)

    return score, lambda length: {}


def qscope(pair: str, folder: Path) -> Way:
    """Qscope's own scoring."""
    spec = PairSpec(demo=True, device="cpu", dtype="float32")
    if pair == WIDE:
        adapter, base = str(folder / "adapter"), str(folder / "reference")
        spec = replace(spec, demo=False, policy=adapter, reference=base, base=base)
    loaded, _ = load_pair(spec, ignore)
    texts = texts_of(pair, loaded.codec)

    def score(length: int, number: int) -> Any:
        forget(loaded)
        tokens = texts.tokens(texts.words(length, number))
        scoring = score_tokens(loaded, PROMPT, tokens, hold="A")
        return np.stack([scoring.logp_policy, scoring.logp_reference])[:, :-1]

    return score, lambda length: parts_of_a_key(loaded, texts, length)


def folders(pair: str, folder: Path) -> tuple[Path, Path, Path | None, Path]:
    """Where a pair's base lies, its policy's adapter, its reference's if any, its tokenizer."""
    if pair == WIDE:
        base = folder / "reference"
        return base, folder / "adapter", None, base
    plan = demo_plan(ignore)
    assert plan.base and plan.policy_adapter
    return plan.base, plan.policy_adapter, plan.reference_adapter, plan.tokenizer


def texts_of(pair: str, codec: Codec) -> Texts:
    """Texts of words that are one token each to this pair."""
    known = single_token_words(codec.label, codec.vocab_size) if pair == DEMO else WORDS
    return Texts(codec, known)


def parts_of_a_key(pair: Any, texts: Texts, length: int) -> dict[str, Any]:
    """What an edit of the last token takes, in all and in its parts."""
    words = texts.words(length, 0)
    others = iter(texts.known)
    timing = Timing()

    def typed(old: Any) -> Any:
        words[-1] = next(others)
        return timing.time("tokenising", partial(pair.codec.edit, PROMPT, old, joined(words)))

    tokens = texts.tokens(words)
    score_tokens(pair, PROMPT, tokens, hold="A")
    for turn in range(EDITS + 1):
        tokens = typed(tokens)
        scoring = partial(score_tokens, pair, PROMPT, tokens, hold="A")
        timing.time("scoring", scoring)
        timing.time("a known text", scoring)
        tokens = typed(tokens)
        with InModules() as modules:
            score_tokens(pair, PROMPT, tokens, hold="A")
        timing.add("forward", modules.seconds, modules.own)
        if turn == 0:  # the first round warms up
            timing.clear()
    return timing.report(lambda seconds: seconds["tokenising"] + seconds["scoring"], "all")


class InModules:
    """The time spent inside torch modules, the outermost counted."""

    def __init__(self) -> None:
        self.seconds = self.own = 0.0
        self._depth, self._began, self._own_began = 0, 0.0, 0.0

    def __enter__(self) -> "InModules":
        self._hooks = (
            module.register_module_forward_pre_hook(self._enter),
            module.register_module_forward_hook(self._leave, always_call=True),
        )
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _enter(self, *_: object) -> None:
        if self._depth == 0:
            self._began, self._own_began = time.perf_counter(), time.process_time()
        self._depth += 1

    def _leave(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._began
            self.own += time.process_time() - self._own_began


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("pair", choices=(DEMO, WIDE))
    parser.add_argument("length", type=int)
    parser.add_argument("turn", type=int)
    parser.add_argument("folder", type=Path)
    print(json.dumps(run_here(**vars(parser.parse_args()))))
