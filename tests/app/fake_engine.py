"""A scripted engine with the interface of the real one: numbers that follow from the letters.

A "token" is a word with the space before it; its log-probs depend on itself and on the word
before, so that an edit has an effect downstream.
"""

import math
import re
import threading
import zlib
from dataclasses import replace

import numpy as np

from app.credit.examples import Example
from core.as_read import AsRead
from core.engine.protocol import (
    Examine,
    Examined,
    Failed,
    Grown,
    Inspect,
    Inspected,
    InspectStates,
    Job,
    LabelsListed,
    Learn,
    LearnStep,
    Learnt,
    ListLabels,
    Load,
    Loaded,
    PairInfo,
    Progress,
    ReadTexts,
    Replay,
    ReplayDone,
    Replayed,
    Resume,
    Score,
    ScoreAgain,
    Scored,
    ScoreVariants,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    StatesDone,
    StatesInspected,
    Steer,
    Steered,
    Stopped,
    Survey,
    Surveyed,
    TextsRead,
    Unload,
    Unloaded,
    VariantsDone,
    VariantsScored,
)
from core.finding import Finding
from core.gauge import extremes
from core.runs.records import START, Checkpoint
from core.scoring import Alternative, Inspection, Scoring, StateActions
from core.text import Prompt, Tokens
from tests.app.fake_search import START as FIRST
from tests.app.fake_search import Grower, Words, inspection_of
from tests.core.made_learned import learned

CLOSING = 0
VARIANTS_A_STEP = 4
VOCABULARY = 250_000
"""Ids of words are their hashes: so many that no two words of the tests share one."""
WORDS: dict[int, str] = {}
FORCED: dict[tuple[int, ...], tuple[int, ...]] = {}
"""Which tokens of a response were put in the place of others, by its ids."""
MORE_WORDS = [f" word{i}" for i in range(60)]
INFO = PairInfo(
    "fake policy", "fake reference", "cpu", "float32", 1 << 20, True, 500, 1024, True, "tree",
    0.1, 0.1,
)  # fmt: skip
CHECKPOINTS = (
    Checkpoint(0, START),
    *(Checkpoint(step, f"/runs/fake/checkpoint-{step}", bytes=2_442_240) for step in (10, 20, 30)),
)
RUN_INFO = replace(INFO, policy="fake/checkpoint-30", checkpoints=CHECKPOINTS)
"""Of a run: set ``FakeEngine.info`` to it."""


def example():
    return Example(
        "A job offer",
        Prompt.of("Summarise this post in one sentence.\n\nThey offered me $53K."),
        "They were offered a job for $53K a year.",
        "They were offered a job for $250K a year.",
    )


def word_id(word):
    id = zlib.crc32(word.encode()) % (VOCABULARY - 1) + 1
    assert WORDS.setdefault(id, word) == word
    return id


def tokens_of(words, forced=()):
    starts, ends, at = [], [], 0
    for word in words:
        starts.append(at)
        at += len(word)
        ends.append(at)
    return Tokens(
        "".join(words),
        tuple(map(word_id, words)),
        tuple(starts),
        tuple(ends),
        tuple(word.encode() for word in words),
        tuple(i in forced for i in range(len(words))),
    )


def split(text):
    return re.findall(r"\s*\S+|\s+$", text)


def _hash(id):
    """A number for each word, whatever its id."""
    return zlib.crc32(WORDS[id].encode()) % 1_000_000 + 1 if id in WORDS else id


def _logp(before, id, salt):
    said = f"{_hash(before)} {_hash(id)} {salt}"
    return -0.5 - (zlib.crc32(said.encode()) % 6000) / 1000


def _logsumexp(befores):
    """A log-partition for each state, by the token that led to it."""
    return np.array([15 + zlib.crc32(f"{_hash(b)} z".encode()) % 5000 / 1000 for b in befores])


def reading_of(tokens):
    """A reading with a template's token before the response and one after it."""
    ids, last = (1, *tokens.ids, CLOSING, 2), len(tokens) + 2
    labels = ("<user>", *(piece.decode() for piece in tokens.pieces), "<end>", "↵")
    roles = ("template", *("response",) * len(tokens), "template", "template")
    said = (Finding("border", "ok", "All is well."), Finding("date", "warning", "It says a date."))
    return AsRead(ids, labels, roles, 1, last, said)


def scoring_of(tokens, checkpoint=""):
    """Scores under a checkpoint; the last one's are the pair's, START's the reference's."""
    ids = [*tokens.ids, CLOSING]
    befores = [-1, *ids[:-1]]
    salt = {"": "pi", START: "ref", CHECKPOINTS[-1].path: "pi"}.get(checkpoint, checkpoint)
    policy = [_logp(b, i, salt) for b, i in zip(befores, ids, strict=True)]
    reference = [_logp(b, i, "ref") for b, i in zip(befores, ids, strict=True)]
    n = len(ids)
    node, nodes = FIRST, []
    for id in ids:
        node = zlib.crc32(f"{node} {id}".encode())
        nodes.append(node)
    return Scoring(
        tokens=tokens,
        ids=np.array(ids),
        labels=(*(piece.decode().replace(" ", "·") for piece in tokens.pieces), "<end>"),
        logp_policy=np.array(policy),
        logp_reference=np.array(reference),
        rank_policy=np.arange(1, n + 1),
        rank_reference=np.arange(2, n + 2),
        kl=np.full(n, 0.25),
        kl_reverse=np.full(n, 0.5),
        entropy_policy=np.full(n, 1.0),
        entropy_reference=np.full(n, 1.5),
        logit=np.array(policy) + _logsumexp(befores),
        logsumexp=_logsumexp(befores),
        start=FIRST,
        nodes=np.array(nodes),
        computed=2,
        reused=n,
        seconds=0.012,
        note="1 token is not how the tokenizer would split this text."
        if any(tokens.forced)
        else "",
    )


def alternative(before, rank, word):
    id = word_id(word)
    return Alternative(
        id, word.replace(" ", "·"), word, _logp(before, id, "pi"), _logp(before, id, "ref"),
        rank, rank + 1,
    )  # fmt: skip


def actions_at(before, state):
    """All words met so far as a vocabulary, with the log-probs that scores give them; all other
    ids are forbidden."""
    for word in MORE_WORDS:
        word_id(word)
    policy, reference = np.full((2, VOCABULARY), -np.inf, np.float32)
    for id in (CLOSING, *WORDS):
        policy[id], reference[id] = _logp(before, id, "pi"), _logp(before, id, "ref")
    ends = (
        tuple(alternative(before, rank + 1, WORDS.get(id, "<end>")) for rank, id in enumerate(ids))
        for ids in extremes(policy, reference, 10)
    )
    return StateActions(state, policy, reference, *ends)


def labels():
    """The labels of the vocabulary, by id."""
    found = ["∅"] * VOCABULARY
    for id, word in {CLOSING: "<end>", **WORDS}.items():
        found[id] = word.replace(" ", "·")
    return tuple(found)


class FakeEngine:
    """Answers on a thread of its own, in order."""

    gated: tuple[type, ...] = ()
    """Kinds of requests that go on by as many steps as are allowed: a job's steps, others whole."""
    steps = 0
    """How many may still be taken."""
    load_seconds = 0.0
    fail_load = ""
    keeps = False
    """Whether the pair before stays where loading fails."""
    downloadable = False
    fail_score = ""
    lost = False
    fail_search = ""
    fail_scrub = ""
    fail_learn = ""
    learned = learned()
    info = INFO
    last: "FakeEngine"

    def __init__(self, emit):
        self.emit = emit
        self.requests = []
        self._waiting = []
        self._running = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._closed = False
        self._last = {}
        self._shown = ""
        self._rest = {}
        self._pruned = set()
        self.ended = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        FakeEngine.last = self

    def start(self):
        self._thread.start()

    def submit(self, request):
        with self._changed:
            self.requests.append(request)
            self._waiting.append(request)
            running = self._running
            if isinstance(request, Load | Unload) or (running and running.slot == request.slot):
                self._stop.set()  # what runs is overtaken
            self._changed.notify_all()

    def cancel(self, kind=None, topic=""):
        """Drop what waits and stop what runs, as the real one does."""

        def meant(request):
            return (kind is None or isinstance(request, kind)) and topic in ("", request.topic)

        with self._changed:
            dropped = [request for request in self._waiting if meant(request)]
            self._waiting = [request for request in self._waiting if not meant(request)]
            if self._running is not None and meant(self._running):
                self._stop.set()
            self._changed.notify_all()
        for request in dropped:
            self.emit(Stopped(request.id))

    def allow(self, steps=math.inf):
        """Let so many more steps be taken of what is gated."""
        with self._changed:
            self.steps += steps
            self._changed.notify_all()

    def _may_step(self, request):
        """Wait until a request may take a step; return False if it is not wanted any more."""

        def unwanted():
            return self._stop.is_set() or self._closed or self._is_overtaken(request)

        with self._changed:
            gated = isinstance(request, self.gated)
            self._changed.wait_for(lambda: not gated or self.steps > 0 or unwanted())
            if unwanted():
                return False
            self.steps -= gated
            return True

    def close(self, timeout=5.0):
        with self._changed:
            self._closed = True
            self._stop.set()
            self._changed.notify_all()
        self._thread.join(timeout)
        self.ended = not self._thread.is_alive()
        return self.ended

    def asked(self, kind):
        return [r for r in self.requests if isinstance(r, kind)]

    def _work(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                request = self._running = self._waiting.pop(0)
                self._stop.clear()
            waits = isinstance(request, self.gated) and not isinstance(request, Job)
            refused = waits and not self._may_step(request)
            event = Stopped(request.id) if refused else self._answer(request)
            with self._changed:
                self._running = None
            if not self._closed:
                self.emit(event)

    def _answer(self, request):
        match request:
            case Load():
                self._last.clear()
                self._shown = ""
                self.emit(Progress(request.id, "Loading the weights", 0.4))
                if self.load_seconds and self._stop.wait(self.load_seconds):
                    return Stopped(request.id)
                if self.fail_load and self.keeps:
                    return Loaded(request.id, self.info, kept=True, why=self.fail_load)
                if self.fail_load:
                    return Failed(request.id, self.fail_load, downloadable=self.downloadable)
                return Loaded(request.id, self.info)
            case Examine():
                named = request.spec.policy or request.spec.run
                level = "stop" if "nowhere" in named else "ok"
                found = [Finding("policy", level, f"{named}: pass it with --base DIR.")]
                found += [Finding("run as", "note", "Tree cache.")] * request.loaded
                return Examined(request.id, tuple(found))
            case Unload():
                return Unloaded(request.id)
            case Score():
                if "slowly" in (request.text or ""):  # until it is cancelled
                    self.emit(Progress(request.id, "scoring", 0.25))
                    assert self._stop.wait(60)
                    return Stopped(request.id)
                if self.fail_score:
                    return Failed(request.id, self.fail_score, self.lost)
                tokens = self._tokens(request)
                self._last[request.side] = tokens
                scoring = scoring_of(tokens, self._shown)
                return Scored(request.id, request.side, scoring, "<user>…", self._asked())
            case ScoreVariants() | ScoreAgain():
                return self._score_variants(request)
            case ReadTexts():
                return TextsRead(request.id, request.side, reading_of(self._last[request.side]))
            case Inspect():
                return self._inspect(request)
            case InspectStates():
                found = tuple(map(self._alternatives, request.states))
                self.emit(StatesInspected(request.id, 0, found, 1.0, self._asked()))
                return StatesDone(request.id)
            case Survey():
                return self._survey(request)
            case ListLabels():
                return LabelsListed(request.id, labels())
            case Search():
                return self._search(request)
            case Resume():
                return self._grow(request, self._rest.pop(request.pane, []))
            case Steer():
                if request.action == "prune":
                    self._pruned.add(request.node)
                return Steered(request.id, request.pane, request.node)
            case Scrub():
                if request.checkpoint in self.fail_scrub:
                    return Failed(request.id, self.fail_scrub)
                self._shown = request.checkpoint
                return Scrubbed(request.id, self._shown, self._scorings(self._shown), 0.012)
            case Replay():
                return self._replay(request)
            case Learn():
                return self._learn(request)

    def _score_variants(self, request):
        """One event for every few variants; a newer request of the same purpose overtakes it."""
        count = len(request.variants)
        again = isinstance(request, ScoreAgain)
        checkpoint, asked = (request.checkpoint,) * 2 if again else (self._shown, self._asked())
        for first in range(0, count, VARIANTS_A_STEP):
            if not self._may_step(request):
                return Stopped(request.id)
            some = request.variants[first : first + VARIANTS_A_STEP]
            scorings = tuple(scoring_of(self._tokens(it), checkpoint) for it in some)
            fraction = (first + len(some)) / count
            problems = ("",) * len(some)
            said = first, scorings, problems, fraction, asked
            self.emit(VariantsScored(request.id, *said))
        return VariantsDone(request.id)

    def _is_overtaken(self, request):
        """Whether a newer request waits in the place of this one."""
        return any(it.slot == request.slot for it in [*self._waiting])

    def _scorings(self, checkpoint):
        return {side: scoring_of(tokens, checkpoint) for side, tokens in self._last.items()}

    def _urgent(self, replay):
        """What waits, or comes before the next step, and does not stop a replay, taken out."""
        with self._changed:
            held = isinstance(replay, self.gated)
            over = lambda: self.steps > 0 or self._stop.is_set() or self._closed  # noqa: E731
            self._changed.wait_for(lambda: not held or self._waiting or over())
            stops = self._waiting and isinstance(self._waiting[0], Load | Unload | Replay)
            return self._waiting.pop(0) if self._waiting and not stops else None

    def _replay(self, request):
        """One event for each checkpoint; what else is asked meanwhile is answered between them."""
        for number, checkpoint in enumerate(request.checkpoints, 1):
            while (urgent := self._urgent(request)) is not None:
                self.emit(self._answer(urgent))
            if not self._may_step(request):
                return Stopped(request.id)
            fraction = number / len(request.checkpoints)
            self.emit(Replayed(request.id, checkpoint, self._scorings(checkpoint), fraction))
        return ReplayDone(request.id)

    def _learn(self, request):
        """Four steps, and what some pair has learned; over checkpoints if that was asked."""
        if self.fail_learn:
            return Failed(request.id, self.fail_learn)
        for number in range(4):
            if not self._may_step(request):
                return Stopped(request.id)
            self.emit(LearnStep(request.id, f"Step {number + 1}", (number + 1) / 4))
        found = replace(self.learned, over=self.learned.over * request.over_checkpoints)
        return Learnt(request.id, found, self._asked())

    def _search(self, request):
        if self.fail_search:
            return Failed(request.id, self.fail_search)
        grower = Grower(Words(word_id, WORDS), request.prefix, request.spec, self._pruned)
        return self._grow(request, grower.growths)

    def _grow(self, request, growths):
        """One event for each growth; those that are left when it is stopped are kept."""
        for number, growth in enumerate(growths):
            if not self._may_step(request):
                self._rest[request.pane] = growths[number:]
                return Stopped(request.id)
            self.emit(Grown(request.id, request.pane, growth, self._asked()))
        return Searched(request.id, request.pane, len(growths), 100, 0.5, "tree")

    def _tokens(self, request):
        if request.ids is not None:
            return tokens_of([WORDS[id] for id in request.ids], FORCED.get(request.ids, ()))
        if isinstance(request, Score) and request.replace is not None:
            index, id = request.replace
            words = [piece.decode() for piece in self._last[request.side].pieces]
            words[index] = WORDS[id]
            found = tokens_of(words, forced=(index,))
            FORCED[found.ids] = (index,)
            return found
        return tokens_of(split(request.text))

    def _asked(self):
        """The checkpoint that is asked: the last one, until there was a scrub."""
        runs = self.info.checkpoints
        return self._shown or (runs[-1].path if runs else "")

    def _inspect(self, request):
        state = request.state
        before = state.ids[-1] if state.ids else -1
        if state.pane:
            found = inspection_of(Words(word_id, WORDS), state.node, before, request.query)
            return Inspected(request.id, found, self._asked())
        return Inspected(request.id, self._alternatives(state, request.query), self._asked())

    def _alternatives(self, state, query=""):
        """The likeliest actions at a state of a response."""
        before = state.ids[-1] if state.ids else -1
        words = [" forty", " seventy", " a", " management"]
        found = tuple(alternative(before, i + 1, word) for i, word in enumerate(words))
        matching = tuple(a for a in found if query and query in a.text)
        return Inspection(state.node, found, found[::-1], matching)

    def _survey(self, request):
        ids = request.state.ids
        actions = actions_at(ids[-1] if ids else -1, request.state.node)
        return Surveyed(request.id, actions, self._asked())
