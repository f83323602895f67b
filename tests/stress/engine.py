"""The engine under random requests and random trouble: each number against a plain forward.

Pairs of many kinds are loaded in turn; texts are edited, undone, swapped and replaced token by
token; states are inspected; searches of all strategies, sweeps and replays go on in between and are
steered; checkpoints of runs are shown, and written anew, cut or deleted meanwhile; what runs is
cancelled, or finds no memory, at any moment; budgets are cut, so that what was shown is evicted and
comes back. Requests and answers travel as bytes. What is answered is compared with plain forwards
of the checkpoints as they were (tests.stress.truth), and what is not answered must have a reason.

One thread, without the engine's queue: so the same seed takes the same steps.
"""

import math
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from core.engine.answering import NO_ROOM, NO_ROOM_TO_SEARCH, Answering
from core.engine.protocol import (
    Event,
    Examine,
    Failed,
    Grown,
    Inspect,
    Inspected,
    Job,
    LabelsListed,
    ListLabels,
    Load,
    Loaded,
    MeasureNoise,
    NoiseMeasured,
    ReadTexts,
    Replay,
    ReplayDone,
    Replayed,
    Request,
    Resume,
    Score,
    Scored,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    StateRef,
    Steer,
    Stopped,
    Survey,
    Sweep,
    SweepDone,
    Swept,
    Urgency,
)
from core.engine.wire import decode, encode
from core.registrations import register
from core.runs.records import START
from core.scoring import Alternative, Scoring
from core.search.grown import GrownTree
from core.search.spec import Objective, SearchSpec, Strategy
from core.search.strategies.beam import Beam
from core.search.strategies.beam_sample import BeamSample
from core.search.strategies.best_first import BestFirst
from core.search.strategies.chunks import ChunkBeam
from core.search.strategies.diverse import DiverseBeam
from core.search.strategies.given import Given
from core.search.strategies.mcts import TreeSearch
from core.search.strategies.sampling import Sampling
from core.search.strategies.stochastic import StochasticBeam
from core.sweeps.record import SweepSpec
from core.text import Prompt
from tests.stress.pairs import WORLDS, World, make
from tests.stress.report import Report
from tests.stress.truth import Truth, divergences, entropy
from tests.tiny import byte_level_tokenizer

TOLERANCE = 1e-4
"""Nats by which a number may differ from a plain forward in float32."""
MOST_FAULTS = 20
WORDS = (
    "They offered $53K a year and refused flat: too low, in May, with a job for me. naïve 你好 🙂 "
    "עברית\n line,\n\n 1,200 euros -- (or so) Harbour Labs' post; the poster's  two  spaces"
).split(" ")
PROMPTS = (
    Prompt.of("Summarise this post in one sentence."),
    Prompt.of("The poster was offered a job at Harbour Labs for $53K a year. " * 3),
    Prompt.of("Who was offered a job?", "You answer in a word."),
)
CLOSING = "<|im_end|>"
EDGES = ("logp_policy", "logp_reference", "logit")
BUDGETS = (60_000, 400_000, 2**31), (60_000, 600_000, 2**28)
"""Bytes of KV, and of the tree."""


class WrongError(Exception):
    """What was answered is not true, or nothing was and there is no reason."""


class Short(TorchDispatchMode):
    """No memory for the nth operator; nor, if it lasts, for any behind it."""

    def __init__(self, nth: int, lasts: bool, error: Exception) -> None:
        super().__init__()
        self.left, self.lasts, self.error, self.raised = nth, lasts, error, False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        self.left -= 1
        if self.left == 0 or (self.lasts and self.left < 0):
            self.raised = True
            raise self.error
        return function(*args, **(kwargs or {}))


def no_memory(rng: random.Random) -> Exception:
    """What libraries raise where memory runs out."""
    return rng.choice(
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 B."),
            MemoryError(),
        )
    )


@dataclass
class Shown:
    """A checkpoint that is asked: its path, and the copies of what it may be.

    ``edition``: how often it had been written; None if it is whatever lies there.
    """

    path: str
    truths: list[Path]
    edition: int | None = 0


@dataclass
class Held:
    """A response that was scored."""

    prompt: Prompt
    text: str
    scoring: Scoring

    @property
    def ids(self) -> tuple[int, ...]:
        tokens = self.scoring.tokens
        return *tokens.context, *map(int, self.scoring.ids)


@dataclass
class Pane:
    """A search: where it starts, what it has grown, and under what."""

    shown: Shown
    prompt: Prompt
    base: tuple[int, ...]
    context: tuple[int, ...]
    longest: int
    spec: SearchSpec
    tree: GrownTree = field(default_factory=GrownTree)


@dataclass
class Files:
    """A checkpoint of a run on disk: copies of what it was, the newest last; how it lies there."""

    editions: list[Path]
    state: str = "whole"


class Machine:
    """What was asked so far, and what must be answered now."""

    def __init__(self, room: Path, seed: int) -> None:
        self.room, self.rng = room, random.Random(seed)
        self.truth, self.tokenizer = Truth(), byte_level_tokenizer()
        self.events: list[Event] = []
        self.polls_left = -1
        self.answering = Answering(self.events.append, self._cancelled)
        self.id = 0
        self.counted: Counter[str] = Counter()
        self.worst = 0.0
        self.last = ""
        self.world: World | None = None
        self.prompts = room / "prompts.jsonl"
        self.prompts.write_text(
            '{"prompt": "Who was offered a job?", "chosen": "The poster."}\n'
            '{"prompt": "Summarise it.", "chosen": "They refused."}\n',
            "utf-8",
        )

    # --- asking -------------------------------------------------------------------------------

    def _cancelled(self) -> bool:
        self.polls_left -= 1
        return self.polls_left == 0 or (self.polls_left < 0 and self._stays_cancelled)

    _stays_cancelled = False

    def ask(
        self,
        request: Request[Event],
        wanted: type | tuple[type, ...],
        again: bool = False,
        may_fail: Callable[[str], bool] = lambda said: False,
        trouble: bool = True,
    ) -> Any:
        """The answer, sent as bytes and back; None where there is a good reason for none.

        ``may_fail``: whether a sentence is a fit one for what was asked.
        """
        kind = self.rng.random() if trouble else 1.0
        self._stays_cancelled = False
        self.polls_left = -1
        short: Any = nullcontext()
        if kind < 0.1:
            self.polls_left = int(math.exp(self.rng.uniform(0, math.log(40))))
            self._stays_cancelled = True
        elif kind < 0.2:
            nth = int(math.exp(self.rng.uniform(0, math.log(3000))))
            short = Short(nth, self.rng.random() < 0.4, no_memory(self.rng))
        self.last = f"{request!r:.300} trouble {kind:.3f}"
        sent = decode(encode(request))
        assert isinstance(sent, Request)
        with short:
            found = self.answering.answer(sent, again)
        stopped = self._stays_cancelled and self.polls_left <= 0
        no_room = isinstance(short, Short) and short.raised
        self._stays_cancelled, self.polls_left = False, -1
        self.counted["stopped"] += stopped
        self.counted["no memory"] += no_room
        for event in self.events:
            decode(encode(event))
        self.events.clear()
        event = decode(encode(found))
        if isinstance(event, wanted):
            return event
        if isinstance(event, Stopped) and stopped:
            return None
        if isinstance(event, Failed):
            said = event.message
            if "Something unexpected" in said or event.lost:
                raise WrongError(said)
            if no_room and (said in (NO_ROOM, NO_ROOM_TO_SEARCH) or "memory" in said.lower()):
                return None
            if may_fail(said):
                self.counted["refused"] += 1
                return None
        raise WrongError(f"answered by {event!r:.400}")

    def next_id(self) -> int:
        self.id += 1
        return self.id

    # --- what must be true --------------------------------------------------------------------

    def near(self, name: str, got: Any, true: Any) -> None:
        """Compare numbers; NaN stands for not known and is not compared."""
        got, true = np.asarray(got, dtype=float), np.asarray(true, dtype=float)
        known = ~np.isnan(got)
        off = np.abs(got - true)[known]
        self.counted["numbers"] += int(known.sum())
        if off.size:
            self.worst = max(self.worst, float(off.max()))
            if not off.max() <= TOLERANCE:
                raise WrongError(f"{name} is off by {off.max():.3g}")

    def said(self, shown: Shown, truth: Path, ids: tuple[int, ...], length: int) -> tuple:
        """What policy and reference say of a text; None for no reference."""
        world = self.world
        assert world is not None
        length = length if world.by_length else 0
        policy = self.truth.say(truth, ids, length)
        if world.reference is None:
            return policy, None
        return policy, self.truth.say(self.reference, ids, length)

    def against(self, shown: Shown, check: Callable[[Path], None]) -> None:
        """Check an answer against what its checkpoint was; where that is not known, against each
        of what it can have been, and know it from then on."""
        problems = []
        for truth in shown.truths:
            try:
                check(truth)
            except WrongError as error:
                problems.append(error)
            else:
                if shown.edition is not None:
                    shown.truths = [truth]
                return
        raise problems[0]

    def check_scoring(self, scoring: Scoring, prompt: Prompt, text: str | None, shown: Shown):
        tokens = scoring.tokens
        context, scored = tokens.context, tuple(map(int, scoring.ids))
        if scored != (*tokens.ids, *tokens.closing):
            raise WrongError(f"tokens {tokens.ids} with {tokens.closing}, scored {scored}")
        if text is not None:
            if tokens.text != text:
                raise WrongError(f"the text is {tokens.text!r} and not {text!r}")
            read = self.tokenizer.decode([*context, *tokens.ids])
            if read != self.prompt_text(prompt) + text:
                raise WrongError(f"what is read is {read!r}")
        ids = (*context, *scored)
        self.against(shown, lambda truth: self._check_rows(scoring, ids, truth, shown))

    def _check_rows(self, scoring: Scoring, ids: tuple[int, ...], truth: Path, shown: Shown):
        policy, reference = self.said(shown, truth, ids, len(ids))
        states = slice(len(ids) - len(scoring) - 1, len(ids) - 1)
        rows, taken = np.arange(len(scoring)), np.asarray(scoring.ids)
        logits = policy.logits[states]
        self.near("logit", scoring.logit, logits[rows, taken])
        self.near("logsumexp", scoring.logsumexp, np.logaddexp.reduce(logits, axis=-1))
        sides = [("policy", policy)] + ([("reference", reference)] if reference else [])
        for name, said in sides:
            logp = said.logp[states]
            mine = logp[rows, taken]
            self.near(f"logp_{name}", getattr(scoring, f"logp_{name}"), mine)
            self.near(f"entropy_{name}", getattr(scoring, f"entropy_{name}"), entropy(logp))
            rank = getattr(scoring, f"rank_{name}")
            least = (logp > (mine + TOLERANCE)[:, None]).sum(-1) + 1
            most = (logp > (mine - TOLERANCE)[:, None]).sum(-1)
            if not ((least <= rank) & (rank <= np.maximum(most, 1))).all():
                raise WrongError(f"rank_{name}: {rank}, true {least} to {most}")
        if reference is None:
            if scoring.logp_reference is not None or scoring.kl is not None:
                raise WrongError("numbers of a reference that there is not")
            return
        kl, reverse = divergences(policy.logp[states], reference.logp[states])
        self.near("kl", scoring.kl, kl)
        self.near("kl_reverse", scoring.kl_reverse, reverse)

    def prompt_text(self, prompt: Prompt) -> str:
        turns = [{"role": it.role, "content": it.content} for it in prompt.messages]
        template = self.tokenizer.apply_chat_template
        return str(template(turns, add_generation_prompt=True, tokenize=False))

    def length(self, prompt: Prompt, text: str) -> int:
        """Tokens of a prompt and a response, about."""
        return len(self.tokenizer(self.prompt_text(prompt) + text)["input_ids"]) + 1

    # --- pairs --------------------------------------------------------------------------------

    def load(self, name: str = "", trouble: bool = False) -> None:
        """Load a pair; of the pair before, if there is one, nothing is left then."""
        name = name or self.rng.choice([*WORLDS])
        folder = self.room / "pairs"
        world = make(folder, name)
        if self.world is not None and self.world.name == name:
            self.world = None  # its files were just written anew
        beta = self.rng.choice((None, 0.05, 0.1, 2.0))
        spec = replace(world.spec, beta=beta, dtype="float32", device="cpu")
        load = Load(self.next_id(), spec)
        event = self.ask(load, Loaded, trouble=trouble, may_fail=lambda said: trouble)
        self.sides: dict[str, Held] = {}
        self.before: list[tuple[str, Held]] = []
        self.panes: dict[str, Pane] = {}
        self.jobs: dict[Urgency, tuple[Job[Any, Any], bool]] = {}
        self.swept: Shown | None = None
        if event is None or (event.kept and self.world is None):
            self.load(name)
        elif event.kept:
            self.counted["loads that failed"] += 1
            if self.world.checkpoints:
                self.shown = Shown(f"{self.world.checkpoints[-1]}", [], None)
                self._follow_disk()
        else:
            self.counted["loads"] += 1
            self.take(world, load.id)
            if event.info.weight != (1.0 if beta is None else beta):
                raise WrongError(f"beta {beta} is {event.info.beta}")

    def take(self, world: World, load_id: int) -> None:
        self.world, self.load_id = world, load_id
        self.copies = self.room / "copies" / f"{load_id}"
        self.files = {f"{it}": Files([self._copy(it)]) for it in world.checkpoints}
        policy = self._copy(world.policy)
        self.reference = self._copy(world.reference) if world.reference else policy
        if world.checkpoints:
            self.shown = Shown(f"{world.policy}", [self.files[f"{world.policy}"].editions[-1]])
        else:
            self.shown = Shown("", [policy])

    def _copy(self, folder: Path) -> Path:
        """A copy of a checkpoint as it is now, which is never changed."""
        new = self.copies / f"{len([*self.copies.glob('*')])}"
        shutil.copytree(folder, new)
        return new

    def _follow_disk(self) -> None:
        self.shown.truths = self.files[self.shown.path].editions[::-1]

    def changed(self, shown: Shown) -> Callable[[str], bool]:
        """Whether a sentence fits a checkpoint that has been changed on disk since it was shown."""
        files = None if self.world is None else self.files.get(shown.path)
        if files is None:
            return lambda said: False
        same = shown.edition == len(files.editions) - 1 and files.state == "whole"
        return lambda said: not same and "checkpoint" in said.lower()

    # --- what is done -------------------------------------------------------------------------

    def score(self, side: str, prompt: Prompt, text: str | None, **how: Any) -> None:
        asked = Score(self.next_id(), side, prompt, text=text, **how)
        held = self.sides.get(side)
        long = text is None or self.length(prompt, text) > self.world.context - 8

        def fits(said: str) -> bool:
            return (long and "context" in said) or self.changed(self.shown)(said)

        event = self.ask(asked, Scored, may_fail=fits)
        if event is None:
            return
        self.check_scoring(event.scoring, prompt, text, self.shown)
        if event.prompt_text != self.prompt_text(prompt):
            raise WrongError(f"the prompt is {event.prompt_text!r}")
        if asked.replace is not None:
            index, id = asked.replace
            was = [*held.scoring.tokens.ids]
            if event.scoring.tokens.ids != (*was[:index], id, *was[index + 1 :]):
                raise WrongError(f"{was} became {event.scoring.tokens.ids}")
        if held is not None:
            self.before = [*self.before, (side, held)][-30:]
        self.sides[side] = Held(prompt, event.scoring.tokens.text, event.scoring)
        self.counted["scorings"] += 1

    def write(self) -> None:
        """Another text on a side."""
        words = self.rng.choices(WORDS, k=self.rng.choice((0, 1, 5, 20, 40)))
        self.score(self.side(), self.rng.choice(PROMPTS), " ".join(words), fresh=True)

    def edit(self) -> None:
        rng, side = self.rng, self.side()
        held = self.sides.get(side)
        if held is None:
            return self.write()
        text, n = held.text, len(held.text)
        i, j = sorted((rng.randint(0, n), rng.randint(0, n)))
        way = rng.randrange(5)
        if way == 0:
            text = text[:i] + rng.choice("abc é.5$\n") + text[i:]
        elif way == 1:
            text = text[:i] + text[i + 1 :]
        elif way == 2:
            text += rng.choice((" ", "")) + rng.choice(WORDS)
        elif way == 3:
            text = text[:i] + rng.choice(WORDS) + text[min(j, i + 9) :]
        else:
            text = text[:i] + text[j:] if n > 150 else text[:j] + text[i:j] + text[j:]
        prompt = rng.choice(PROMPTS) if rng.random() < 0.05 else held.prompt
        self.score(side, prompt, text)

    def undo(self) -> None:
        if not self.before:
            return self.edit()
        side, held = self.rng.choice(self.before)
        self.score(side, held.prompt, held.text, ids=held.scoring.tokens.ids)

    def swap(self) -> None:
        """The other side's text, as the other's tokens."""
        side = self.side()
        held = self.sides.get("B" if side == "A" else "A")
        if held is None:
            return self.edit()
        self.score(side, held.prompt, held.text, ids=held.scoring.tokens.ids)

    def replace_token(self) -> None:
        side = self.side()
        held = self.sides.get(side)
        if held is None or not held.scoring.tokens.ids:
            return self.edit()
        index = self.rng.randrange(len(held.scoring.tokens.ids))
        id = self.rng.randrange(20, len(self.tokenizer) - 3)
        self.score(side, held.prompt, None, replace=(index, id))

    def side(self) -> str:
        return self.rng.choice("AB")

    def state(self) -> tuple[StateRef, tuple[int, ...], int, Shown] | None:
        """A state with the ids before it, the length of its text, and under what it is asked."""
        rng = self.rng
        if self.panes and rng.random() < 0.4:
            name, pane = rng.choice([*self.panes.items()])
            if len(pane.tree) == 0:
                return None
            entry = rng.randrange(len(pane.tree))
            prefix = pane.base[len(pane.context) :]
            ids = (*prefix, *pane.tree.ids(entry))
            node = int(pane.tree.node[entry])
            state = StateRef(node, pane.prompt, ids, pane=name, context=pane.context)
            return state, (*pane.context, *ids), pane.longest, pane.shown
        held = [*self.sides.values()]
        if not self.world.by_length:
            held += [it for _, it in self.before]
        if not held:
            return None
        chosen = rng.choice(held)
        index = rng.randrange(len(chosen.scoring))
        state = StateRef.before(chosen.scoring, index, chosen.prompt)
        before = (*state.context, *state.ids)
        return state, before, len(chosen.ids), self.shown

    def inspect(self) -> None:
        found = self.state()
        if found is None:
            return self.edit()
        state, ids, length, shown = found
        query = self.rng.choice(("", "", "the", "a"))
        asked: Any = Inspect(self.next_id(), state, query)
        if whole := self.rng.random() < 0.3:
            asked = Survey(self.next_id(), state)
        event = self.ask(asked, Inspected if not whole else object, may_fail=self.changed(shown))
        if event is None or isinstance(event, Stopped):
            return
        if isinstance(event, Failed):
            if not self.changed(shown)(event.message) and "memory" not in event.message:
                raise WrongError(event.message)
            return
        self.counted["states"] += 1

        def check(truth: Path) -> None:
            sides = self.said(shown, truth, ids, length)
            logps = [None if it is None else it.logp[-1] for it in sides]
            if whole:
                actions = event.actions
                shared = len(actions.logp_policy)
                self.near("policy's actions", actions.logp_policy, logps[0][:shared])
                if logps[1] is not None:
                    self.near("reference's actions", actions.logp_reference, logps[1][:shared])
                return
            inspection = event.inspection
            shared = min(len(it) for it in logps if it is not None)
            for name, logp, best in zip(
                ("logp_policy", "logp_reference"),
                logps,
                (inspection.by_policy, inspection.by_reference),
                strict=True,
            ):
                if logp is None:
                    continue
                rows: list[Alternative] = [
                    *inspection.by_policy, *inspection.by_reference, *inspection.found
                ]  # fmt: skip
                got = [getattr(it, name) for it in rows]
                self.near(name, got, [logp[it.id] for it in rows])
                least = np.sort(logp[:shared])[-len(best)]
                if any(logp[it.id] < least - TOLERANCE for it in best):
                    raise WrongError(f"not the likeliest by {name}")

        self.against(shown, check)

    # --- searches -----------------------------------------------------------------------------

    def strategy(self) -> Strategy:
        rng = self.rng
        seed, hot = rng.randrange(9), rng.choice((0.5, 1.0, 30.0))
        ids = tuple(rng.randrange(20, 200) for _ in range(3))
        return rng.choice(
            (
                Beam(rng.randint(1, 5)),
                DiverseBeam(4, 2),
                BeamSample(3, temperature=hot, seed=seed),
                StochasticBeam(3, temperature=hot, seed=seed),
                BestFirst(rng.randint(1, 12), children=4, batch=rng.randint(1, 3)),
                Sampling(rng.randint(1, 5), temperature=hot, seed=seed),
                TreeSearch(5, children=3),
                TreeSearch(3, children=3, value="rollout", rollout=3, temperature=hot, seed=seed),
                ChunkBeam(2, 2, chunk=2, temperature=hot, seed=seed),
                Given(ids, closed=rng.random() < 0.5),
            )
        )

    def search(self) -> None:
        rng, world = self.rng, self.world
        strategy = self.strategy()
        alone = world.reference is None
        if alone and strategy.needs_reference:
            strategy = Beam(3)
        objective = Objective.dial(1.0)
        if not alone and rng.random() < 0.6:
            objective = rng.choice((Objective.dial(1.5), Objective.dial(0), Objective.reward()))
        policy_only = (
            objective == Objective.dial(1.0) and not strategy.needs_reference and rng.random() < 0.3
        )
        spec = SearchSpec(strategy, objective, rng.randint(2, 9), policy_only=policy_only)
        name = rng.choice(("left", "right"))
        held = self.sides.get(self.side())
        prompt = rng.choice(PROMPTS)
        context: tuple[int, ...] = ()
        prefix: tuple[int, ...] = ()
        if held is not None:
            tokens = held.scoring.tokens
            prompt, context = held.prompt, tokens.context
            prefix = tokens.ids[: rng.randint(0, min(8, len(tokens.ids)))]
        else:
            context = tuple(self.tokenizer(self.prompt_text(prompt))["input_ids"])
        base = (*context, *prefix)
        longest = min(len(base) + spec.max_tokens, world.context)
        self.panes[name] = Pane(self.shown, prompt, base, context, longest, spec)
        request = Search(self.next_id(), name, prompt, prefix, spec, context=context)
        self.jobs[Urgency.SEARCH] = request, False
        self.go_on()

    def resume(self) -> None:
        grown = [name for name, pane in self.panes.items() if len(pane.tree)]
        if not grown:
            return self.search()
        self.jobs[Urgency.SEARCH] = Resume(self.next_id(), self.rng.choice(grown)), False
        self.go_on()

    def steer(self) -> None:
        grown = [name for name, pane in self.panes.items() if len(pane.tree) > 1]
        if not grown:
            return self.search()
        name = self.rng.choice(grown)
        tree = self.panes[name].tree
        node = int(self.rng.choice(tree.node[1:].tolist()))
        action = self.rng.choice(("prune", "pin", "release"))
        self.ask(Steer(self.next_id(), name, node, action), object)

    def go_on(self) -> None:
        """Take a step of the most urgent job."""
        if not self.jobs:
            return self.edit()
        urgency = min(self.jobs)
        request, again = self.jobs[urgency]
        shown = self.shown
        if isinstance(request, Search | Resume):
            shown = self.panes[request.pane].shown
        elif isinstance(request, Sweep) and self.swept is not None:
            shown = self.swept

        def fits(said: str) -> bool:
            if isinstance(request, Search | Resume):
                pane = self.panes[request.pane]
                if "context" in said and pane.longest >= self.world.context:
                    return True
            elif isinstance(request, Replay):
                return any(self.changed(Shown(it, [], None))(said) for it in request.checkpoints)
            elif isinstance(request, MeasureNoise) and self.world.checkpoints:
                return "checkpoint" in said
            return self.changed(shown)(said)

        steps = (Grown, Searched, Swept, SweepDone, Replayed, ReplayDone, NoiseMeasured)
        event = self.ask(request, steps, again, fits)
        if event is None:
            # It was interrupted and is done again, or it was stopped for good.
            begun = not isinstance(request, Search | Resume) or len(self.panes[request.pane].tree)
            if begun and again and self.rng.random() < 0.5:
                return
            del self.jobs[urgency]
            if isinstance(request, Search) and not len(self.panes[request.pane].tree):
                del self.panes[request.pane]
            return
        if isinstance(event, Searched | SweepDone | ReplayDone | NoiseMeasured):
            del self.jobs[urgency]
            self.counted[type(event).__name__.lower()] += 1
            return
        self.jobs[urgency] = request, True
        if isinstance(event, Grown):
            self.check_growth(self.panes[event.pane], event)
        elif isinstance(event, Replayed):
            files = self.files.get(event.checkpoint)
            truths = [self.reference] if files is None else files.editions[::-1]
            if files is not None and files.state == "whole":
                truths = truths[:1]
            for side, scoring in event.scorings.items():
                held = self.sides[side]
                self.check_scoring(scoring, held.prompt, None, Shown(event.checkpoint, truths))
        elif isinstance(event, Swept) and event.row is not None:
            self.check_sweep(event.row, request.spec)

    def check_growth(self, pane: Pane, event: Grown) -> None:
        if event.checkpoint != pane.shown.path:
            raise WrongError(f"the search is under {event.checkpoint}")
        tree, base = pane.tree, pane.base
        changed = tree.add(event.growth)
        self.counted["growths"] += 1
        some = {int(it) for it in self.rng.sample(changed.tolist(), min(2, len(changed)))}
        some |= {int(it) for it in tree.best[:1]}

        def check(truth: Path) -> None:
            for entry in some:
                way = tree.path(entry)
                ids = (*base, *tree.ids(entry))
                policy, reference = self.said(pane.shown, truth, ids, pane.longest)
                edges = np.arange(len(base) - 1, len(ids) - 1)
                states = np.arange(len(base) - 1, len(ids))
                entries, taken = np.array([0, *way]), tree.token[way]
                if np.isnan(tree.column("logp_policy")[way]).any():
                    raise WrongError("a node's log-prob is not known")
                true = {
                    "logp_policy": policy.logp[edges, taken],
                    "logit": policy.logits[edges, taken],
                }
                said = {"logsumexp": np.logaddexp.reduce(policy.logits[states], axis=-1)}
                if reference is not None:
                    true["logp_reference"] = reference.logp[edges, taken]
                    said["kl"], _ = divergences(policy.logp[states], reference.logp[states])
                for name, numbers in true.items():
                    self.near(f"{name} of a search", tree.column(name)[way], numbers)
                for name, numbers in said.items():
                    self.near(f"{name} of a search", tree.column(name)[entries], numbers)

        self.against(pane.shown, check)

    # --- sweeps -------------------------------------------------------------------------------

    def sweep(self) -> None:
        if self.world.reference is None or Urgency.SWEEP in self.jobs:
            return self.edit()
        spec = SweepSpec(
            None,
            widths=self.rng.choice(((1,), (1, 2), (3, 1))),
            prompt_file=str(self.prompts),
            against=self.rng.choice(("chosen", "reference-greedy")),
            objective=self.rng.choice((1.0, 1.5, 0.0)),
            max_tokens=self.rng.randint(2, 5),
        )
        self.jobs[Urgency.SWEEP] = Sweep(self.next_id(), spec), False
        self.swept = self.shown
        self.go_on()

    def check_sweep(self, row: Any, spec: SweepSpec) -> None:
        """One beam is the greedy text, found here token by token."""
        if row.width != 1:
            return
        shown = self.swept

        def check(truth: Path) -> None:
            prompt = Prompt.of(row.prompt)
            before = tuple(self.tokenizer(self.prompt_text(prompt))["input_ids"])
            length = min(len(before) + spec.max_tokens, self.world.context)
            ids, total, closing = [*before], 0.0, self.tokenizer.convert_tokens_to_ids(CLOSING)
            while len(ids) < length and ids[-1:] != [closing]:
                policy, reference = self.said(shown, truth, tuple(ids), length)
                scores = spec.objective * policy.logp[-1] + (1 - spec.objective) * _like(
                    reference.logp[-1], policy.logp[-1]
                )
                first, second = np.argsort(-scores)[:2]
                if scores[first] - scores[second] < 1e-3:
                    return  # rounding may choose either
                total += policy.logp[-1][first]
                ids.append(int(first))
            self.near("Σ log π of a sweep", [row.answer.sum_policy], [total])
            self.counted["sweep rows"] += 1

        self.against(shown, check)

    # --- runs ---------------------------------------------------------------------------------

    def scrub(self) -> None:
        world = self.world
        if not world.checkpoints:
            return self.edit()
        path = self.rng.choice([START, *map(str, world.checkpoints)])
        files = self.files.get(path)
        broken = files is not None and files.state != "whole"
        event = self.ask(
            Scrub(self.next_id(), path),
            Scrubbed,
            may_fail=lambda said: (broken and path in said) or self._overflows(said),
        )
        if event is None:
            return
        if files is None:
            shown = Shown(path, [self.reference])
        elif files.state == "cut":
            raise WrongError("a checkpoint that is cut is shown")
        else:
            last = len(files.editions) - 1
            whole = files.state == "whole"
            truths = files.editions[-1:] if whole else files.editions[::-1]
            shown = Shown(path, [*truths], last if whole else -1)
        if event.scorings.keys() != self.sides.keys():
            raise WrongError(f"scored are {event.scorings.keys()}")
        for side, scoring in event.scorings.items():
            held = self.sides[side]
            self.check_scoring(scoring, held.prompt, None, shown)
            if scoring.tokens.ids != held.scoring.tokens.ids:
                raise WrongError("a scrub has changed a text")
            self.sides[side] = replace(held, scoring=scoring)
        self.shown = shown
        self.counted["scrubs"] += 1

    def _overflows(self, said: str) -> bool:
        return "context" in said and self.world.context < 1024

    def replay(self) -> None:
        world = self.world
        if not world.checkpoints:
            return self.edit()
        paths = [START, *map(str, world.checkpoints)]
        some = tuple(self.rng.sample(paths, self.rng.randint(1, len(paths))))
        self.jobs[Urgency.REPLAY] = Replay(self.next_id(), some), False
        self.go_on()

    def change_files(self) -> None:
        """Write another checkpoint over one, cut it, delete it, or put it back."""
        world, rng = self.world, self.rng
        if not world.checkpoints:
            if world.name in ("llama", "gpt2", "alone"):  # what is loaded is a copy of its own
                weights = world.policy / "model.safetensors"
                weights.write_bytes(weights.read_bytes()[:-64] + bytes(64))
            return self.edit()
        checkpoint = rng.choice(world.checkpoints)
        files = self.files[f"{checkpoint}"]
        name = "model" if world.name == "whole run" else "adapter_model"
        weights = checkpoint / f"{name}.safetensors"
        if files.state != "whole":
            shutil.rmtree(checkpoint, ignore_errors=True)
            shutil.copytree(rng.choice(files.editions), checkpoint)
            os.utime(checkpoint / f"{name}.safetensors")
            files.state = "whole"
            files.editions.append(self._copy(checkpoint))
            return
        way = rng.choice(("write", "replace", "cut", "delete"))
        if way in ("write", "replace"):
            data = bytearray(weights.read_bytes())
            header = 8 + int.from_bytes(data[:8], "little")
            numbers = np.frombuffer(data, dtype=np.float32, offset=header)
            numbers *= rng.choice((0.5, 0.9, 1.1))
            if way == "write":
                weights.write_bytes(data)
            else:
                new = weights.with_suffix(".new")
                new.write_bytes(data)
                new.replace(weights)
            files.editions.append(self._copy(checkpoint))
        elif way == "cut":
            os.truncate(weights, weights.stat().st_size // 2)
            files.state = "cut"
        else:
            shutil.rmtree(checkpoint)
            files.state = "gone"
        self.counted["files changed"] += 1

    # --- the rest -----------------------------------------------------------------------------

    def budgets(self) -> None:
        """Cut or raise what may be kept; what was found by nobody's view goes at the next step."""
        pair = self.answering.session.pair
        pair.kv_budget, pair.tree.budget = map(self.rng.choice, BUDGETS)

    def read(self) -> None:
        side = self.side()
        if side not in self.sides:
            return self.edit()
        self.ask(ReadTexts(self.next_id(), side), object, trouble=False)
        if self.rng.random() < 0.2:
            self.ask(ListLabels(self.next_id()), LabelsListed, trouble=False)
            self.ask(Examine(self.next_id(), self.world.spec, loaded=True), object, trouble=False)

    def noise(self) -> None:
        self.jobs[Urgency.UNASKED] = MeasureNoise(self.load_id), False

    def another(self) -> None:
        self.load(trouble=True)

    def step(self) -> None:
        actions, weights = zip(*WEIGHTS.items(), strict=True)
        action = self.rng.choices(actions, weights)[0]
        self.counted[action] += 0
        getattr(self, action)()


def _like(numbers: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Log-probs at the width of others: what a model lacks, it never says."""
    return np.pad(numbers, (0, max(0, len(other) - len(numbers))), constant_values=-np.inf)[
        : len(other)
    ]


WEIGHTS = {
    "edit": 26,
    "write": 4,
    "undo": 7,
    "swap": 4,
    "replace_token": 5,
    "inspect": 13,
    "search": 6,
    "resume": 2,
    "go_on": 22,
    "steer": 3,
    "sweep": 1,
    "scrub": 9,
    "replay": 2,
    "change_files": 3,
    "budgets": 3,
    "read": 2,
    "noise": 1,
    "another": 1.5,
}
"""How often each is done."""


@contextmanager
def ended(answering: Answering) -> Iterator[None]:
    try:
        yield
    finally:
        answering.end()


def stress(room: Path, seed: int, more: Callable[[int], bool]) -> Report:
    """Ask and compare; after a fault another pair is loaded and it goes on."""
    register()
    torch.set_num_threads(1)
    machine, report = Machine(room, seed), Report()
    with ended(machine.answering):
        machine.load()
        while more(report.done) and len(report.faults) < MOST_FAULTS:
            try:
                machine.step()
            except Exception as error:
                name = machine.world.name if machine.world else ""
                report.faults.append(
                    f"step {report.done + 1} ({name}): {type(error).__name__}: {error} "
                    f"after {machine.last}"
                )
                machine.world = None
                machine.load()
            report.done += 1
    names = ("numbers", "scorings", "states", "growths", "scrubs", "loads", "stopped", "no memory")
    report.figures = {name: float(machine.counted[name]) for name in names}
    report.figures["worst nats"] = machine.worst
    return report
