"""How fast Qscope is on a GPU: loading, fresh texts, edits, beams, beside the notebook's ways.

Goes through what Qscope's views and commands go through. The notebook is measured first and let go
of, so that both need not fit into memory at once.
"""

import statistics
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import torch

from core.models.load import load_pair
from tests.benchmarks import card, plain
from tests.benchmarks.beam import best_generated, best_hypothesis
from tests.benchmarks.desk import Desk
from tests.benchmarks.gpu_stage import PIECE, Stage
from tests.benchmarks.pairs import forget
from tests.benchmarks.texts import PROMPT

FIRST_TEXT = 200
"""Tokens of the text whose colours are the first."""
WARM_EDITS, EDITS = 3, 5


class Phases:
    """Seconds of each phase of loading, by what is said to be done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._what, self._began = "Reading the plan", time.perf_counter()

    def note(self, what: str, fraction: float | None) -> None:
        """A phase has begun, or goes on."""
        if what != self._what:
            self.end()
            self._what = what

    def end(self) -> None:
        """The phase under way has ended."""
        now = time.perf_counter()
        self.seconds[self._what] = self.seconds.get(self._what, 0.0) + now - self._began
        self._began = now


def speed(stage: Stage, kind: str) -> None:
    """The notebook and generate, then Qscope: both need not fit into memory at once."""
    base = card.held()
    rival = notebook(stage, kind)
    left = card.held() - base
    if left > 2**20:
        stage.say(["left of the notebook, bytes"], left)
    qscope(stage, kind, rival, card.held())


def notebook(stage: Stage, kind: str) -> dict[str, Any]:
    """Milliseconds of both forwards by length and of generate, and generate's best."""
    began, bf16 = time.perf_counter(), torch.bfloat16
    reference = stage.folder / "reference"
    policy = (
        plain.whole(stage.folder / "policy", bf16, stage.device)
        if kind == "whole"
        else plain.merged(reference, stage.folder / "adapter", bf16, stage.device)
    )
    rows = [policy, plain.whole(reference, bf16, stage.device)]
    card.synchronise()
    stage.say(["notebook", "load, s"], time.perf_counter() - began)
    found: dict[str, Any] = {}
    start = len(stage.texts.start)
    for length in stage.sizes.fresh:
        numbers = count()

        def forwards(length: int = length, numbers: Iterator[int] = numbers) -> object:
            return plain.logp(rows, stage.ids(length, next(numbers)), start, PIECE)

        timed = partial(card.milliseconds, forwards, runs(length))
        found[str(length)] = stage.part(["notebook", f"{length}, ms"], timed)
    prompt = stage.texts.ids(stage.sizes.prompt, 0)
    closing = stage.texts.codec.end_of_turn
    best: list[Any] = []

    def generate() -> None:
        best[:] = best_generated(policy[0], prompt, closing)

    timed = partial(card.milliseconds, generate, 2)
    found["generate"] = stage.part(["notebook", "generate, ms"], timed)
    return {**found, "best": best}


def qscope(stage: Stage, kind: str, rival: dict[str, Any], base: int) -> None:
    """Everything that Qscope is asked, beside the rival's figures."""
    phases = Phases()
    pair, info = load_pair(stage.spec(kind, "bfloat16"), phases.note)
    phases.end()
    desk = Desk(pair, stage.texts)
    stage.part(["load"], partial(load, stage, desk, phases))
    stage.say(["load", "attention"], info.cache)
    for length in stage.sizes.fresh[:-1]:
        stage.part(["fresh", str(length)], partial(fresh, stage, desk, length, rival))
        if length in stage.sizes.edited:
            for place, from_end in places(length).items():
                stage.part(
                    ["edit", str(length), place],
                    partial(edit, stage, desk, length, from_end, rival),
                )
    for policy_only in (True, False):
        name = "policy" if policy_only else "both"
        stage.part(["beam", name], partial(beam, stage, desk, policy_only, rival))
    short = stage.sizes.edited[0]
    for place in ("last", "middle"):
        from_end = places(short)[place]
        stage.part(["observed", f"{place} of {short}"], partial(observed, stage, desk, from_end))
    stage.part(["observed", f"fresh, {short}"], partial(observed_fresh, stage, desk))
    longest = stage.sizes.fresh[-1]
    stage.part(["memory"], partial(memory, stage, desk, info, base))
    stage.part(["fresh", str(longest)], partial(fresh, stage, desk, longest, rival))


def load(stage: Stage, desk: Desk, phases: Phases) -> dict[str, Any]:
    """Seconds of loading and of the first colours, and the share of what only checks.

    The share counts the phases of loading that are called checks, and what the first text took
    longer than the next one: captures, noise figures, kernels' first runs.
    """
    first, second = (card.once(partial(desk.fresh, FIRST_TEXT, n)) / 1e3 for n in (0, 1))
    checks = sum(s for what, s in phases.seconds.items() if what.startswith("Check"))
    loading = sum(phases.seconds.values())
    return {
        "seconds": loading,
        "phases": phases.seconds,
        "first text, s": first,
        "second text, s": second,
        "share of checks": (checks + max(0.0, first - second)) / (loading + first),
    }


def fresh(stage: Stage, desk: Desk, length: int, rival: dict[str, Any]) -> dict[str, Any]:
    """A text that is new to the pair."""
    numbers = count()
    for number in range(runs(length) + 1):
        desk.tokens(length, number)  # tokenised beforehand, as the rival's are
    taken = card.milliseconds(lambda: desk.fresh(length, next(numbers)), runs(length))
    return {"ms": taken, "ratio": over(taken, rival.get(str(length)))}


def edit(
    stage: Stage, desk: Desk, length: int, from_end: int, rival: dict[str, Any]
) -> dict[str, Any]:
    """Another word in a text that is known, from the edited text to its numbers."""
    desk.open(length)
    taken = [desk.edit(from_end) for _ in range(1 + WARM_EDITS + EDITS)]
    warm = taken[1 + WARM_EDITS :]
    ms = statistics.median(edit.ms for edit in warm)
    return {
        "ms": ms,
        "ratio": over(rival.get(str(length)), ms),
        "first, ms": taken[0].ms,
        "tokenising, ms": statistics.median(edit.tokenising_ms for edit in warm),
        "computed": warm[-1].computed,
    }


def beam(stage: Stage, desk: Desk, policy_only: bool, rival: dict[str, Any]) -> dict[str, Any]:
    """A beam search after a prompt that is new to the pair."""
    prefix = stage.texts.ids(stage.sizes.prompt, 0)[len(stage.texts.start) :]
    best: list[Any] = []

    def search() -> None:
        forget(desk.pair)
        best[:] = best_hypothesis(desk.pair, PROMPT, prefix, policy_only)

    taken = card.milliseconds(search, 2)
    found = {"ms": taken, "ratio": over(rival.get("generate"), taken)}
    if rival.get("best"):
        ids, logp = rival["best"]
        found |= {"same best": best[0] == ids, "score differs by": abs(best[1] - logp)}
    return found


def observed(stage: Stage, desk: Desk, from_end: int) -> dict[str, Any]:
    """What the GPU does during an edit of a short text."""
    desk.open(stage.sizes.edited[0])
    edits = [desk.edit(from_end).ms for _ in range(1 + WARM_EDITS + EDITS)]
    wall = statistics.median(edits[1 + WARM_EDITS :])
    return beside_the_wall(card.observe(lambda: desk.edit(from_end)), wall)


def observed_fresh(stage: Stage, desk: Desk) -> dict[str, Any]:
    """What the GPU does during a fresh short text."""
    length, numbers = stage.sizes.edited[0], count()

    def fresh() -> None:
        desk.fresh(length, next(numbers))

    wall = card.milliseconds(fresh, runs(length))
    return beside_the_wall(card.observe(fresh), wall)


def memory(stage: Stage, desk: Desk, info: Any, base: int) -> dict[str, Any]:
    """What the longest text takes at its peak beyond the weights and the KV of its tokens."""
    length = stage.sizes.fresh[-1]
    peak = card.peak(lambda: desk.fresh(length, 0), base)
    kv = 2 * kv_bytes(stage.config, length)  # of both models
    weights = info.memory_bytes
    return {
        "tokens": length,
        "peak, GB": peak / 1e9,
        "weights, GB": weights / 1e9,
        "KV, GB": kv / 1e9,
        "beyond weights and KV, GB": (peak - weights - kv) / 1e9,
    }


def places(length: int) -> dict[str, int]:
    """Where a text is edited: that many tokens from its end."""
    return {"last": 1, "last 16": 16, "middle": length // 2}


def runs(length: int) -> int:
    """How often a text of some length is run."""
    return 5 if length < 4096 else 3 if length < 20_000 else 2


def over(value: float | None, other: float | None) -> float | None:
    """A ratio; None where one of the two was not measured."""
    return value / other if value and other else None


def beside_the_wall(observed: dict[str, float], wall: float) -> dict[str, Any]:
    """What was observed, with the wall time of a run that nobody observed."""
    ratio = over(wall, observed["busy, ms"])
    return {"wall, ms": wall, "wall over busy": ratio, **observed}


def kv_bytes(config: Any, tokens: int) -> int:
    """Bytes of the keys and values of one model in two bytes a number."""
    width: int = config.num_key_value_heads * config.head_dim
    layers: int = config.num_hidden_layers
    return 2 * layers * width * tokens * 2
