"""Beam search on the demo pair: Qscope against transformers' ``generate`` for the same result.

8 beams, 32 new tokens, float32, after prompts of 128, 512 and 1,024 tokens. The rival is
``generate(num_beams=8, early_stopping="never", length_penalty=0.0)`` on the policy with its
adapter merged into the weights. Qscope searches once with the policy alone and once with the
reference scored for every node. All ways take turns; each prompt is new to all of them. Peak
memory is that of a fresh process over what it held before the search, models loaded.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEAMS, NEW = 8, 32
PROMPTS = (128, 512, 1024)
REPETITIONS = 3
WAYS = "generate", "policy alone", "policy and reference"
STATUS = Path("/proc/self/status")


def measure() -> dict[str, Any]:
    """Median seconds of each way at each length, ratios to generate's, and peak memory."""
    import torch

    ways, texts = both()
    seconds: dict[str, dict[str, float]] = {}
    worst, same = 0.0, True
    for length in PROMPTS:
        taken: dict[str, list[float]] = {name: [] for name in WAYS}
        for turn in range(REPETITIONS + 1):
            prompt = texts(length)
            found = {}
            for name in WAYS:
                began = time.perf_counter()
                found[name] = ways[name](prompt)
                if turn:  # the first round warms up
                    taken[name].append(time.perf_counter() - began)
            for name in WAYS[1:]:
                same = same and found[name][0] == found["generate"][0]
                worst = max(worst, abs(found[name][1] - found["generate"][1]))
        seconds[str(length)] = {name: statistics.median(taken[name]) for name in WAYS}
    ratios = {
        length: {name: row["generate"] / row[name] for name in WAYS[1:]}
        for length, row in seconds.items()
    }
    result: dict[str, Any] = {
        "beams": BEAMS,
        "new tokens": NEW,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "ratio": ratios,
        "asked": {"policy alone": [2, 3.5, 4.5], "policy and reference at 512": 2},
        "same best hypothesis": same,
        "largest difference of its score": worst,
    }
    if STATUS.exists():
        memory = {name: peak(name) for name in WAYS}
        result["peak extra memory at 1,024, MB"] = memory
        result["share of generate's"] = {n: memory[n] / memory["generate"] for n in WAYS[1:]}
        result["asked share"] = 1 / 3
    return result


Search = Callable[[list[int]], tuple[list[int], float]]


def both() -> tuple[dict[str, Search], Callable[[int], list[int]]]:
    """The three ways, each from prompt ids to the best hypothesis; and new prompts of a length."""
    ours, words = qscope()
    return {"generate": generate(), **ours}, words


def qscope() -> tuple[dict[str, Search], Callable[[int], list[int]]]:
    from core.growth import Beam, GrownTree, SearchSpec
    from core.models.load import load_pair
    from core.protocol import PairSpec
    from core.search.run import Run
    from core.text import Prompt
    from tests.benchmarks.rescore import ignore, single_token_words

    pair, _ = load_pair(PairSpec(demo=True, device="cpu", dtype="float32"), ignore)
    words = single_token_words(pair.codec.label, pair.codec.vocab_size)
    fresh = iter(range(0, len(words), 97))

    def texts(length: int) -> list[int]:
        start = next(fresh)
        text = " ".join((words[start:] + words)[:length])
        return list(pair.codec.encode(Prompt.of(""), text).ids)[:length]

    def way(policy_only: bool) -> Search:
        def run(ids: list[int]) -> tuple[list[int], float]:
            pair.codec.prompt_ids = lambda prompt: tuple(ids)
            pair.codec.end_of_turn = 0
            spec = SearchSpec(Beam(BEAMS), max_tokens=NEW, policy_only=policy_only)
            search, tree = Run(pair, Prompt.of("as it is"), (), spec), GrownTree()
            while (growth := search.step()) is not None:
                tree.add(growth)
            best = tree.hypotheses(spec)[0]
            forget(pair)
            return list(best.ids), best.score

        return run

    return {"policy alone": way(True), "policy and reference": way(False)}, texts


def forget(pair: Any) -> None:
    """Let go of what was computed, so that the next way starts as a stranger to the prompt."""
    pair.forget()


def generate() -> Search:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from core.checkpoints.demo import demo_plan
    from tests.benchmarks.rescore import ignore

    plan = demo_plan(ignore)
    base = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(plan.policy_adapter)).merge_and_unload().eval()

    def run(ids: list[int]) -> tuple[list[int], float]:
        prompt = torch.tensor([ids])
        with torch.inference_mode():
            out = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                num_beams=BEAMS,
                early_stopping="never",
                length_penalty=0.0,
                max_new_tokens=NEW,
                do_sample=False,
                eos_token_id=0,
                pad_token_id=0,
                return_dict_in_generate=True,
                output_scores=True,
            )
        found = out.sequences[0, len(ids) :].tolist()
        if 0 in found:
            found = found[: found.index(0) + 1]
        return found, float(out.sequences_scores[0])

    return run


def peak(name: str) -> float:
    """Megabytes that a way takes at its peak at the longest prompt, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.beam", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak_here(name: str) -> float:
    """The same, in this process."""
    if name == "generate":
        run, ids = generate(), list(range(1000, 1000 + PROMPTS[-1]))
    else:
        ways, texts = qscope()
        run, ids = ways[name], texts(PROMPTS[-1])
    run(ids[:8])
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run(ids)
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    """A line of this process's status, in kB."""
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return next(int(words[1]) for words in lines if words[0] == f"{key}:")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=WAYS)
    print(json.dumps(peak_here(parser.parse_args().name)))
