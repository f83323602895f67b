"""Recordings that are made up: plausible numbers that no model gave."""

import numpy as np

from core.as_read import AsRead
from core.engine.protocol import (
    Grown,
    Inspect,
    Inspected,
    Loaded,
    NoiseMeasured,
    PairInfo,
    Score,
    Scored,
    ScoreVariants,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    StateRef,
    Steer,
    Steered,
    Sweep,
    SweepDone,
    Swept,
    TextsRead,
    Variant,
    VariantsScored,
)
from core.finding import Finding
from core.noise import NoiseFloor
from core.recording import Recording
from core.runs.records import START, Checkpoint
from core.scoring import Alternative, Inspection, Scoring
from core.search.grown import Growth, Reason, Status, Step
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.sweeps.record import Answer, JudgeSpec, SweepInfo, SweepRow, SweepSpec, Verdict
from core.text import Message, Prompt, Tokens

PROMPT = Prompt((Message("user", "Zoë?\n", '{"name": "Z"}'),), '{"tools": []}')
LAST = "/run/checkpoint-10"
INFO = PairInfo(
    "policy", "reference", "cuda:0", "bfloat16", 1 << 40, True, 500, 1024, True, "tree cache", 2.5,
    0.1, "", (Checkpoint(0, START), Checkpoint(10, LAST)),
    weights={"policy": "ab", "reference": "c"},
)  # fmt: skip
FLOOR = NoiseFloor("bfloat16", 0.01, 0.002, 0.0, 40, "by hand")


def tokens_of(text, ids=None):
    """A token for each letter, its id the letter's code."""
    at = range(len(text))
    pieces = tuple(letter.encode("utf-8", "surrogatepass") for letter in text)
    ids = tuple(map(ord, text)) if ids is None else ids
    ends = tuple(place + 1 for place in at)
    return Tokens(text, ids, tuple(at), ends, pieces, (False,) * len(text), 0, (1, 2), (3,))


def scoring_of(text, seed=0, alone=False, ids=None):
    """A scoring of such tokens and of one that closes them."""
    tokens = tokens_of(text, ids)
    n, draw = len(text) + 1, np.random.default_rng(seed)
    logp = np.minimum(-draw.exponential(size=(2, n)), 0)
    logp[0, 0] = -np.inf
    kl = draw.exponential(size=(2, n))
    kl[1, 0] = np.inf
    ranks = draw.integers(1, 100, size=(2, n))
    return Scoring(
        tokens=tokens,
        ids=np.array([*tokens.ids, 3]),
        labels=(*text, "<end>"),
        logp_policy=logp[0],
        logp_reference=None if alone else logp[1],
        rank_policy=ranks[0],
        rank_reference=None if alone else ranks[1],
        kl=None if alone else kl[0],
        kl_reverse=None if alone else kl[1],
        entropy_policy=draw.exponential(size=n),
        entropy_reference=None if alone else draw.exponential(size=n),
        logit=draw.normal(size=n),
        logsumexp=draw.normal(size=n),
        start=7,
        nodes=np.arange(n) + 8,
        computed=np.int64(n),
        reused=2,
        seconds=0.25,
        note="Odd.",
    )


def alternative(id, reference=-0.75):
    return Alternative(id, "·a", " a", -0.5, reference, 1, None if reference is None else 2)


def growth(number, nodes, parents):
    n = len(nodes)
    ints = np.array(nodes)
    status, reason = np.full(n, Status.KEPT, np.int8), np.full(n, Reason.NONE, np.int8)
    step = Step(number, ints, status, reason, np.ones(n, np.int64), ints[-1:], 0.5)
    columns = np.where(np.arange(6 * n).reshape(6, n) % 3, -1.5, np.nan)
    pieces = (b"\xff",) * n
    return Growth(step, np.array(parents), ints % 400, ("a",) * n, pieces, *columns)


def made(*more, texts=("ab", "cd\n"), alone=False):
    """A recording of some of everything; ``more``: requests and events to note after that."""
    spec = SearchSpec(Beam(2), Objective.dial(1.5), 8, 0.5)
    end = () if alone else (alternative(1),)
    reference = None if alone else -0.75
    seen = Inspection(9, (alternative(1, reference),), end, (alternative(4, reference),))
    read = AsRead((1, 2, *map(ord, texts[0]), 3), ("x",) * (len(texts[0]) + 3),
                  ("template",) * (len(texts[0]) + 3), 2, len(texts[0]) + 3,
                  (Finding("end", "ok", "So.", numbers={"n": 1.0}),))  # fmt: skip
    sweep = Sweep(9, SweepSpec(JudgeSpec("model", "/j", allow_pickle=True), (1, 2)))
    answer = Answer("A job.", 3, -1.5, -2.5, True)
    row = SweepRow(0, "post", 2, answer, answer, Verdict("win", 0.5, "why"))
    about = SweepInfo("p", "r", 0.1, "judge", "chosen", 3, (1, 2), 1.0, 8, 0.0)
    search = Search(6, "left", PROMPT, (5,), spec)
    first = scoring_of(texts[0], 1, alone)
    recording = Recording()
    for request, event in (
        (None, Loaded(1, INFO)),
        (None, NoiseMeasured(1, FLOOR)),
        (Score(2, "A", PROMPT, text=texts[0]), Scored(2, "A", first, "<user>", LAST)),
        (Score(3, "B", PROMPT), Scored(3, "B", scoring_of(texts[1], 2, alone), "<user>", LAST)),
        (Scrub(4, START), Scrubbed(4, START, {"A": scoring_of(texts[0], 3, alone)}, 0.1)),
        (Score(4, "A", PROMPT), TextsRead(4, "A", read)),
        (Inspect(5, StateRef.before(first, 1, PROMPT), "a"), Inspected(5, seen, LAST)),
        (search, Grown(6, "left", growth(1, [20, 21, 22], [9, 20, 20]), LAST)),
        (search, Grown(6, "left", growth(2, [21, 23], [20, 21]), LAST)),
        (search, Searched(6, "left", 2, 40, 0.5, "tree cache")),
        (Steer(7, "left", 22, "prune"), Steered(7, "left", 22)),
        (sweep, Swept(9, about, None, "searching", 0.1)),
        (sweep, Swept(9, about, row, "searching", 0.5)),
        (sweep, SweepDone(9)),
        (
            ScoreVariants(8, (Variant(PROMPT, "no"), Variant(PROMPT, "e"))),
            VariantsScored(8, 0, (None, scoring_of("e", 4, alone)), ("No.", ""), 1.0, LAST),
        ),
        *more,
    ):
        recording.note(request, event)
    return recording
