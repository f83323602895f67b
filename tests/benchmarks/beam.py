"""Beam search on the demo pair: Qscope against transformers' ``generate`` for the same result.

8 beams, 32 new tokens, float32, after prompts of 128, 512 and 1,024 tokens. The rival is
``generate(num_beams=8, early_stopping="never", length_penalty=0.0)`` on the policy with its
adapter merged into the weights. Qscope searches once with the policy alone and once with the
reference scored for every node. All ways take turns; each prompt is new to all of them. Peak
memory is that of a fresh process over what it held before the search, models loaded.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.benchmarks.memory import peak_mb
from tests.benchmarks.pairs import forget
from tests.benchmarks.timing import Timing, Values

BEAMS, NEW = 8, 32
PROMPTS = (128, 512, 1024)
REPETITIONS = 3
WAYS = "generate", "policy alone", "policy and reference"
CLOSING = 0
"""The token that ends a hypothesis, for all ways: one that the models hardly ever choose, so that
the beams run to their full length."""


def measure(repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Seconds of each way at each length, ratios to generate's, and peak memory."""
    import torch

    ways, texts = both()
    timing = Timing()
    worst, same = 0.0, True
    for length in PROMPTS:
        for turn in range(repetitions + 1):
            prompt = texts(length)
            taken = timing if turn else Timing()  # the first round warms up
            found = {
                name: taken.time(f"{name} after {length}", partial(way, prompt))
                for name, way in ways.items()
            }
            for name in WAYS[1:]:
                same = same and found[name][0] == found["generate"][0]
                worst = max(worst, abs(found[name][1] - found["generate"][1]))
    result: dict[str, Any] = {
        "beams": BEAMS,
        "new tokens": NEW,
        "threads": torch.get_num_threads(),
        **timing.report(ratios),
        "asked": {"policy alone": [1.6, 3.2, 4.5], "policy and reference at 512": 2},
        "same best hypothesis": same,
        "largest difference of its score": worst,
    }
    peaks = {name: peak(name) for name in WAYS}
    memory = {name: megabytes for name, megabytes in peaks.items() if megabytes is not None}
    if memory.keys() == peaks.keys():
        result["peak extra memory at 1,024, MB"] = memory
        result["share of generate's"] = {n: memory[n] / memory["generate"] for n in WAYS[1:]}
        result["asked share"] = 1 / 3
    return result


def ratios(seconds: Values) -> dict[str, Values]:
    """How many times as fast as generate each of Qscope's ways is, by length of the prompt."""

    def ratio(name: str, length: int) -> float:
        return seconds[f"generate after {length}"] / seconds[f"{name} after {length}"]

    return {str(length): {name: ratio(name, length) for name in WAYS[1:]} for length in PROMPTS}


Search = Callable[[list[int]], tuple[list[int], float]]


def both() -> tuple[dict[str, Search], Callable[[int], list[int]]]:
    """The three ways, each from prompt ids to the best hypothesis; and new prompts of a length."""
    ours, texts = qscope()
    return {"generate": generate(), **ours}, texts


def qscope() -> tuple[dict[str, Search], Callable[[int], list[int]]]:
    from core.engine.protocol import PairSpec
    from core.models.load import load_pair
    from core.text import Prompt
    from tests.benchmarks.rescore import ignore, single_token_words

    pair, _ = load_pair(PairSpec(demo=True, device="cpu", dtype="float32"), ignore)
    pair.codec.end_of_turn = CLOSING
    prompt = Prompt.of("Continue.")
    start = pair.codec.prompt_ids(prompt)
    words = single_token_words(pair.codec.label, pair.codec.vocab_size)
    fresh = iter(range(0, len(words), 97))

    def texts(length: int) -> list[int]:
        begin = next(fresh)
        text = " ".join((words[begin:] + words)[:length])
        return [*start, *pair.codec.encode(prompt, text).ids][:length]

    def way(policy_only: bool) -> Search:
        def run(ids: list[int]) -> tuple[list[int], float]:
            forget(pair)  # a stranger to the prompt
            return best_hypothesis(pair, prompt, ids[len(start) :], policy_only)

        return run

    return {"policy alone": way(True), "policy and reference": way(False)}, texts


def best_hypothesis(
    pair: Any, prompt: Any, prefix: list[int], policy_only: bool
) -> tuple[list[int], float]:
    """Qscope's beam search after a prompt and the first tokens of a response to it."""
    from core.search.grown import GrownTree
    from core.search.run import Run
    from core.search.spec import SearchSpec
    from core.search.strategies.beam import Beam

    spec = SearchSpec(Beam(BEAMS), max_tokens=NEW, policy_only=policy_only)
    search, tree = Run(pair, prompt, tuple(prefix), spec), GrownTree()
    while (growth := search.step()) is not None:
        tree.add(growth)
    found = tree.hypotheses(spec)[0]
    return list(found.ids), found.score


def generate() -> Search:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from core.demo.pair import demo_plan
    from tests.benchmarks.rescore import ignore

    plan = demo_plan(ignore)
    base = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(plan.policy_adapter)).merge_and_unload().eval()
    return lambda ids: best_generated(model, ids, CLOSING)


def best_generated(model: Any, ids: list[int], closing: int) -> tuple[list[int], float]:
    """The best continuation of ``ids`` by transformers' beam search, and its log-prob."""
    import torch

    prompt = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        out = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            num_beams=BEAMS,
            early_stopping="never",
            length_penalty=0.0,
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=closing,
            pad_token_id=closing,
            return_dict_in_generate=True,
            output_scores=True,
        )
    found = out.sequences[0, len(ids) :].tolist()
    if closing in found:
        found = found[: found.index(closing) + 1]
    return found, float(out.sequences_scores[0])


def peak(name: str) -> float | None:
    """Megabytes that a way takes at its peak at the longest prompt, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.beam", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: float | None = json.loads(done.stdout.splitlines()[-1])
    return found


def peak_here(name: str) -> float | None:
    """The same, in this process."""
    if name == "generate":
        run, ids = generate(), list(range(1000, 1000 + PROMPTS[-1]))
    else:
        ways, texts = qscope()
        run, ids = ways[name], texts(PROMPTS[-1])
    run(ids[:64])
    return peak_mb(lambda: run(ids))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=WAYS)
    print(json.dumps(peak_here(parser.parse_args().name)))
