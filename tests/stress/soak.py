"""Typing and searching for minutes: does memory stay where it was?

The engine, on its thread, scores random edits of two responses as fast as it can, inspects tokens,
and searches now and then, on a tiny random pair. The budgets of the tree and of the KV are small,
so that both are passed early. What the process holds in the last third of the time is compared
with the second third: it must not have grown by 3 %.
"""

import gc
import queue
import random
import time
from collections.abc import Callable
from pathlib import Path

from core.engine.loop import Engine
from core.engine.protocol import (
    Event,
    Failed,
    Inspect,
    JobStep,
    Load,
    Notice,
    PairSpec,
    Progress,
    Request,
    Score,
    Search,
    StateRef,
)
from core.registrations import register
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.best_first import BestFirst
from core.search.strategies.mcts import TreeSearch
from core.search.strategies.sampling import Sampling
from core.text import Prompt
from tests.stress.report import Report
from tests.tiny import save_pair

GROWN = 0.03
LEAST = 300.0
"""Seconds under which growth says nothing: budgets are not passed yet."""
TREE, KV = 16 << 20, 64 << 20
"""Bytes."""
EVERY = 5.0
"""Seconds between two looks at the memory."""
PATIENCE = 600.0
WORDS = "They offered $53K a year and refused flat: too low, in May, with a job for me".split()
PROMPT = Prompt.of("Summarise this post in one sentence. " + " ".join(WORDS))
STRATEGIES = (Beam(3), Sampling(4), BestFirst(20), TreeSearch(10))


class Desk:
    """An engine on its thread, asked one thing after the other."""

    def __init__(self) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.engine = Engine(self.events.put)
        self.engine.start()
        self.id = 0

    def ask(self, make: Callable[[int], Request[Event]]) -> Event:
        """The answer to a request.

        Raises:
            RuntimeError: there is none.
        """
        self.id += 1
        self.engine.submit(make(self.id))
        while True:
            event = self.events.get(timeout=PATIENCE)
            if event.id == self.id and not isinstance(event, JobStep | Progress | Notice):
                break
        if isinstance(event, Failed):
            raise RuntimeError(event.message)
        return event


def stress(room: Path, seed: int, more: Callable[[int], bool]) -> Report:
    """Type, inspect and search; a step is a request."""
    register()
    policy, reference = save_pair(room)
    desk, report, rng = Desk(), Report(), random.Random(seed)
    began = looked = time.monotonic()
    held: list[tuple[float, int]] = []
    try:
        desk.ask(lambda id: Load(id, PairSpec(policy=str(policy), reference=str(reference))))
        pair = desk.engine.session.pair
        pair.tree.budget, pair.kv_budget = TREE, KV
        words = {"A": WORDS * 4, "B": WORDS * 4}
        while more(report.done):
            _type(desk, rng, words, report.done)
            report.done = desk.id - 1
            if (now := time.monotonic()) - looked > EVERY:
                looked = now
                held.append((now - began, resident()))
        report.figures = {
            "tree MB": pair.tree.bytes() / 2**20,
            "nodes made": float(pair.tree.nodes[-1]),
            "KV MB": pair.kv_bytes() / 2**20,
            "resident MB": resident() / 2**20,
        }
        if pair.tree.bytes() > 1.5 * TREE or pair.kv_bytes() > 1.5 * KV:
            report.faults.append(f"step {report.done}: more is kept than the budgets allow")
    except (RuntimeError, queue.Empty) as error:
        report.faults.append(f"step {report.done + 1}: {type(error).__name__}: {error}")
    finally:
        desk.engine.close()
    seconds = time.monotonic() - began
    if seconds > LEAST:
        early = max(size for when, size in held if seconds / 3 < when < 2 * seconds / 3)
        late = max(size for when, size in held if when > 2 * seconds / 3)
        report.figures["grown %"] = 100 * (late / early - 1)
        if late / early - 1 > GROWN:
            report.faults.append(
                f"step {report.done}: memory has grown from {early >> 20} to {late >> 20} MB "
                f"from the second third of {seconds / 60:.0f} minutes to the last"
            )
    return report


def _type(desk: Desk, rng: random.Random, words: dict[str, list[str]], done: int) -> None:
    """Change a word and look at what comes of it."""
    side = rng.choice("AB")
    words[side][rng.randrange(len(words[side]))] = rng.choice(WORDS)
    text = " ".join(words[side])
    scored = desk.ask(lambda id: Score(id, side, PROMPT, text=text))
    if rng.random() < 0.2:
        state = StateRef.before(scored.scoring, rng.randrange(20), PROMPT)
        desk.ask(lambda id: Inspect(id, state))
    if rng.random() < 0.02:
        spec = SearchSpec(rng.choice(STRATEGIES), max_tokens=12)
        pane = rng.choice(("left", "right"))
        desk.ask(lambda id: Search(id, pane, PROMPT, (), spec))


def resident() -> int:
    """Bytes that the process holds in memory."""
    import psutil

    gc.collect()
    return int(psutil.Process().memory_info().rss)
