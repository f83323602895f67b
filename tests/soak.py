"""Hours of typing and searching in minutes: does memory stay where it was?

    python -m tests.soak --minutes 30

An engine scores random edits of two responses as fast as it can, inspects tokens, and searches now
and then, on a tiny random pair (or, with --demo, on the demo pair). The budgets of the tree and of
the KV are small, so that both are passed early. Each minute it prints what the process holds; at
the end, by how much that has grown since the first third. The exit status is 1 if by 3 % or more.
"""

import argparse
import gc
import queue
import random
import sys
import tempfile
import time
from pathlib import Path

GROWN = 0.03
WORDS = "They offered $53K a year and refused flat: too low, in May, with a job for me".split()


def main(argv=None):
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--demo", action="store_true", help="the demo pair, not a tiny random one")
    parser.add_argument("--budget", type=int, default=16, metavar="MB", help="of the tree")
    parser.add_argument("--kv-budget", type=int, default=64, metavar="MB")
    parser.add_argument("--every", type=float, default=60.0, metavar="S", help="between two lines")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        held = soak(arguments, folder)
    early = held[len(held) // 3 : 2 * len(held) // 3] or held[:1]
    late = held[2 * len(held) // 3 :]
    grown = max(late) / max(early) - 1
    verdict = "flat" if grown < GROWN else "GROWS"
    print(f"{verdict}: {grown:+.1%} from the second third to the last (limit {GROWN:.0%})")
    return int(grown >= GROWN)


def soak(arguments, folder):
    """Type and search for the time given; resident bytes at each line."""
    import core.models.load
    from core.engine.loop import Engine
    from core.engine.protocol import Failed, Load, Loaded, PairSpec
    from core.registrations import register
    from tests.tiny import save_pair

    register()
    load, pairs = core.models.load.load_pair, []

    def loaded(*args):
        pair, info = load(*args)
        pair.tree.budget = arguments.budget << 20
        pair.kv_budget = arguments.kv_budget << 20
        pairs.append(pair)
        return pair, info

    core.models.load.load_pair = loaded
    spec = PairSpec(demo=True)
    if not arguments.demo:
        policy, reference = save_pair(Path(folder))
        spec = PairSpec(policy=str(policy), reference=str(reference))
    events = queue.Queue()
    engine = Engine(events.put)
    engine.start()

    def ask(request):
        engine.submit(request)
        while (event := events.get(timeout=600)).id != request.id or not is_last(event):
            pass
        if isinstance(event, Failed):
            raise SystemExit(event.message)
        return event

    try:
        assert isinstance(ask(Load(1, spec)), Loaded)
        return typed(ask, pairs[0], 60 * arguments.minutes, arguments.every)
    finally:
        engine.close()


def is_last(event):
    """Whether an event is the last that its request is answered by."""
    from core.engine.protocol import Grown, Progress

    return not isinstance(event, Grown | Progress)


def typed(ask, pair, seconds, every):
    from core.engine.protocol import Inspect, Score, Search, StateRef
    from core.search.spec import SearchSpec
    from core.search.strategies.beam import Beam
    from core.search.strategies.best_first import BestFirst
    from core.search.strategies.mcts import TreeSearch
    from core.search.strategies.sampling import Sampling
    from core.text import Prompt

    prompt = Prompt.of("Summarise this post in one sentence. " + " ".join(WORDS))
    strategies = (Beam(3), Sampling(4), BestFirst(20), TreeSearch(10))
    rng, words = random.Random(0), {side: [*WORDS] * 4 for side in "AB"}
    began = said = time.monotonic()
    id, held = 1, []
    print("minutes  requests  tree MB  tree nodes made  KV MB  resident MB")
    while (now := time.monotonic()) - began < seconds or len(held) < 3:
        side, number = rng.choice("AB"), id
        words[side][rng.randrange(len(words[side]))] = rng.choice(WORDS)
        scored = ask(Score(id := id + 1, side, prompt, text=" ".join(words[side])))
        if number % 5 == 0:
            state = StateRef.before(scored.scoring, rng.randrange(20), prompt)
            ask(Inspect(id := id + 1, state))
        if number % 50 == 0:
            spec = SearchSpec(rng.choice(strategies), max_tokens=12)
            ask(Search(id := id + 1, rng.choice(("left", "right")), prompt, (), spec))
        if now - said >= every:
            said = now
            held.append(resident())
            numbers = (pair.tree.bytes(), pair.kv_bytes(), held[-1])
            tree, kv, rss = (f"{count / 2**20:.1f}" for count in numbers)
            made = int(pair.tree.nodes[-1])
            print(f"{(now - began) / 60:7.1f}  {id:8}  {tree:>7}  {made:15,}  {kv:>5}  {rss:>11}")
            sys.stdout.flush()
    return held


def resident():
    """Bytes that the process holds in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    sys.exit(main())
