"""A scrub to a checkpoint that was never shown, against the plain forwards that it needs.

A run over the demo's base is made of random LoRA adapters of rank 2, one of them the reference. A
and B, 200 tokens each, share a prompt of about 100 tokens and nothing else. Qscope's time is from
``Scrub`` being submitted to ``Scrubbed`` being received, the engine's thread between them. What it
needs is one forward of the checkpoint over the prompt with A and one over the prompt with B, the
reference being known. The plain way is a Hugging Face model with the checkpoint merged into it
beforehand: a forward of each of the two texts and a full log_softmax of it, float32. A second one
runs the prompt once and then A and B as a batch. All take turns, so that a busy machine slows all
of them.
"""

import queue
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESPONSE, PROMPT_WORDS = 200, 90
REPETITIONS = 7
WAIT = 600
RANK = 2
WAYS = (
    "scrub",
    "scrub, numbers known",
    "swap alone",
    "two plain forwards",
    "prompt once, then a batch",
)


def measure() -> dict[str, Any]:
    """Median seconds of each way, and Qscope's over the plain one's."""
    import torch

    from core.engine.protocol import Scrub
    from core.models.swap import RowSwap

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        plain, merge = write_run(run, REPETITIONS + 1)
        desk = Desk(run)
        codec, (prompt, texts) = desk.pair.codec, two_texts(desk.pair.codec)
        start = codec.prompt_ids(prompt)
        ids = [[*start, *desk.score(side, prompt, text)] for side, text in texts.items()]
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        worst = 0.0
        warm, *rest = desk.paths[:-1]  # the last one is shown
        desk.ask(lambda id: Scrub(id, warm))
        for path in rest:
            merge(path)
            for way in (two_forwards, shared_prompt):  # both warm
                way(plain, ids, len(start))
            took, scrubbed = desk.ask(lambda id, path=path: Scrub(id, path))
            seconds["scrub"].append(took)
            assert all(it.computed >= RESPONSE for it in scrubbed.scorings.values())
            for name, way in (
                ("two plain forwards", two_forwards),
                ("prompt once, then a batch", shared_prompt),
            ):
                began = time.perf_counter()
                expected = way(plain, ids, len(start))
                seconds[name].append(time.perf_counter() - began)
                for logp, scoring in zip(expected, scrubbed.scorings.values(), strict=True):
                    worst = max(worst, float(abs(logp - scoring.logp_policy[:-1]).max()))
            took, _ = desk.ask(lambda id: Scrub(id, warm))
            seconds["scrub, numbers known"].append(took)
        pair, info = desk.pair, desk.info
        desk.engine.close(WAIT)
        for path in rest:
            swap = RowSwap(pair.lanes[0].model, pair.swap._plan)
            began = time.perf_counter()
            swap.place(swap.check(path), lambda: False)
            seconds["swap alone"].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "prompt tokens": len(start),
        "response tokens": [len(both) - len(start) for both in ids],
        "checkpoints": len(desk.paths),
        "threads": torch.get_num_threads(),
        "device": info.device,
        "seconds": medians,
        "ratio to two plain forwards": medians["scrub"] / medians["two plain forwards"],
        "ratio to prompt once, then a batch": medians["scrub"]
        / medians["prompt once, then a batch"],
        "asked": {"ratio": 1.3, "scrub, numbers known": 0.030, "swap alone": 0.100},
        "largest difference in nats": worst,
    }


class Desk:
    """An engine with the run loaded, and its answers."""

    def __init__(self, run: Path) -> None:
        from core.engine.loop import Engine
        from core.engine.protocol import Load, PairSpec

        self.events: queue.Queue[tuple[float, Any]] = queue.Queue()
        self.engine = Engine(lambda event: self.events.put((time.perf_counter(), event)))
        self.engine.start()
        self.last_id = 0
        spec = PairSpec(run=str(run), device="cpu", dtype="float32")
        self.info = self.ask(lambda id: Load(id, spec))[1].info
        self.paths = [checkpoint.path for checkpoint in self.info.checkpoints[1:]]
        self.pair: Any = self.engine.session.pair

    def ask(self, make: Callable[[int], Any]) -> tuple[float, Any]:
        """Seconds from a request to its final answer, and the answer."""
        from core.engine.protocol import Failed, Progress

        self.last_id += 1
        request = make(self.last_id)
        began = time.perf_counter()
        self.engine.submit(request)
        while True:
            came, event = self.events.get(timeout=WAIT)
            assert not isinstance(event, Failed), event.message
            if event.id == request.id and not isinstance(event, Progress):
                return came - began, event

    def score(self, side: Any, prompt: Any, text: str) -> list[int]:
        """Put the first tokens of a text on a side; these tokens."""
        from core.engine.protocol import Score

        ids = self.pair.codec.encode(prompt, text).ids[:RESPONSE]
        self.ask(lambda id: Score(id, side, prompt, ids=ids))
        return list(ids)


def two_texts(codec: Any) -> tuple[Any, dict[str, str]]:
    """A prompt, and a response for each side."""
    from core.text import Prompt
    from tests.benchmarks.rescore import SYSTEM, single_token_words

    words = iter(single_token_words(codec.label, codec.vocab_size))
    parts = [[next(words) for _ in range(n)] for n in (PROMPT_WORDS, RESPONSE, RESPONSE)]
    prompt, a, b = (" ".join(part) for part in parts)
    return Prompt.of(prompt, system=SYSTEM), {"A": a, "B": b}


def write_run(run: Path, count: int) -> tuple[Any, Callable[[str], None]]:
    """Write a run of random adapters; a plain model, and what merges a checkpoint into it."""
    import warnings

    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from core.demo.base import DEMO_BASE
    from core.demo.pair import demo_base
    from tests.benchmarks.rescore import ignore

    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    base = AutoModelForCausalLM.from_pretrained(demo_base(ignore), dtype=torch.float32)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    wrapped = get_peft_model(base, config)
    wrapped.peft_config["default"].base_model_name_or_path = DEMO_BASE
    generator = torch.Generator().manual_seed(0)
    for name in ("ref", *(f"checkpoint-{10 * (i + 1)}" for i in range(count + 1))):
        for key, weight in wrapped.named_parameters():
            if "lora_" in key:
                weight.data.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
        wrapped.save_pretrained(run / name)
    del wrapped, base
    plain = AutoModelForCausalLM.from_pretrained(demo_base(ignore), dtype=torch.float32).eval()

    def merge(path: str) -> None:
        """PEFT's own merge, into a base of its own."""
        own = AutoModelForCausalLM.from_pretrained(demo_base(ignore), dtype=torch.float32)
        merged = PeftModel.from_pretrained(own, path).merge_and_unload()
        plain.load_state_dict(merged.state_dict())

    return plain, merge


def two_forwards(model: Any, ids: list[list[int]], start: int) -> list[Any]:
    """Log-probs of the response's tokens, each text run whole."""
    import torch

    found = []
    with torch.inference_mode():
        for text in ids:
            batch = torch.tensor([text])
            logp = model(input_ids=batch, use_cache=False).logits.float().log_softmax(-1)
            taken = logp[0, start - 1 : -1].gather(-1, batch[0, start:, None])
            found.append(taken[:, 0].double().numpy())
    return found


def shared_prompt(model: Any, ids: list[list[int]], start: int) -> list[Any]:
    """The same with the prompt run once and the responses as a batch behind its cache."""
    import torch
    from transformers import DynamicCache

    from core.models.kv import cache_argument

    cache, name = DynamicCache(), cache_argument(model)
    with torch.inference_mode():
        prompt = torch.tensor([ids[0][:start]])
        first = model(input_ids=prompt, use_cache=True, logits_to_keep=1, **{name: cache}).logits
        cache.batch_repeat_interleave(len(ids))
        batch = torch.tensor([text[start:] for text in ids])
        more = model(input_ids=batch, use_cache=True, **{name: cache}).logits
        logits = torch.cat([first.expand(len(ids), -1, -1), more[:, :-1]], dim=1)
        taken = logits.float().log_softmax(-1).gather(-1, batch[..., None])[..., 0]
    return list(taken.double().numpy())
