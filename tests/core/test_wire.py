"""Requests and events survive the way through bytes, all kinds of them, and stay small."""

import dataclasses
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest

from core.as_read import AsRead
from core.engine.protocol import (
    EVENTS,
    REQUESTS,
    DataScored,
    DataStep,
    Examine,
    Examined,
    Failed,
    FilesChanged,
    Grown,
    Inspect,
    Inspected,
    InspectStates,
    LabelsListed,
    Learn,
    LearnStep,
    Learnt,
    ListLabels,
    Load,
    Loaded,
    MeasureNoise,
    Memory,
    NoiseMeasured,
    PairInfo,
    PairSpec,
    Progress,
    ReadTexts,
    Replay,
    ReplayDone,
    Replayed,
    Resume,
    Score,
    ScoreAgain,
    Scored,
    ScoreData,
    ScoreVariants,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    StateRef,
    StatesDone,
    StatesInspected,
    Steer,
    Steered,
    Stopped,
    Survey,
    Surveyed,
    Sweep,
    SweepDone,
    Swept,
    TextsRead,
    Unload,
    Unloaded,
    Variant,
    VariantsDone,
    VariantsScored,
)
from core.engine.wire import decode, encode
from core.errors import UserFacingError
from core.finding import Finding
from core.noise import NoiseFloor
from core.plausibility import Plausibility
from core.provenance import Provenance
from core.runs.records import START, Checkpoint
from core.scoring import Alternative, Inspection, Scoring, StateActions
from core.search.grown import Growth, Step
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.given import Given
from core.search.strategies.mcts import TreeSearch
from core.search.strategies.sampling import Sampling
from core.sweeps.record import Answer, JudgeSpec, SweepInfo, SweepRow, SweepSpec, Verdict
from core.text import Message, Prompt, Tokens
from tests.core.made_learned import learned

PROMPT = Prompt(
    (Message("system", "Be brief."), Message("user", "Zoë?\n", '{"name": "Z"}')), '{"tools": []}'
)
SEEN = Plausibility(40, 0.2, 0.0, -4.0, -3.9, 50_000)
KNOWN = Provenance(beta=0.3, losses=(("sft", 0.5),), plain=True, sources={"beta": "beta in a.yaml"})
INFO = PairInfo(
    "policy", "reference", "cuda:0", "bfloat16", 1 << 40, True, 500, 1024, True, "tree cache", 2.5,
    0.1, "base", (Checkpoint(0, START), Checkpoint(10, "/run/checkpoint-10", True, 1 << 33)),
)  # fmt: skip
TOKENS = Tokens(
    "é!", (3, 4, 5), (0, 0, 1), (1, 1, 2), (b"\xc3", b"\xa9", b"!"), (False, True, False)
)
ANSWER = Answer("A job.", 3, -1.5, -2.5, True)


def floats(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def scoring(n=4):
    ints = np.arange(n)
    return Scoring(
        tokens=TOKENS,
        ids=ints,
        labels=("é", "·", "!", "∅"),
        logp_policy=floats(n),
        logp_reference=np.array([-1.0, -np.inf, np.nan, -0.0]),
        rank_policy=ints + 1,
        rank_reference=ints + 2,
        kl=floats(n, 1),
        kl_reverse=floats(n, 2),
        entropy_policy=floats(n, 3),
        entropy_reference=floats(n, 4),
        logit=floats(n, 5),
        logsumexp=floats(n, 6),
        start=2**40 - 1,
        nodes=ints + 2**40,
        computed=np.int64(3),
        reused=0,
        seconds=0.25,
        note="Forced.",
    )


def alternative(id):
    return Alternative(id, "·a", " a", -0.5, np.float64(-0.75), 1, 2)


def actions(size=7):
    logp = floats(size).astype(np.float32)
    ends = (alternative(1),), ()
    return StateActions(5, logp, logp - 1, *ends)


def growth(n=3):
    ints = np.arange(n)
    small = np.zeros(n, dtype=np.int8)
    step = Step(2, ints, small, small + 1, ints, ints[:1], 0.5)
    columns = [floats(n, seed) for seed in range(6)]
    columns[2][:] = np.nan
    return Growth(step, ints - 1, ints, ("a", "b", "c"), (b"a", b"\xff", b""), *columns)


INSPECTION = Inspection(5, (alternative(1), alternative(2)), (), (alternative(3),))
EXAMPLES = (
    Load(1, PairSpec(run="/run", beta=0.2)),
    Unload(2),
    MeasureNoise(1),
    Examine(2, PairSpec(policy="/p", beta=0.2), loaded=True),
    Score(3, "A", PROMPT, text=""),
    Score(3, "B", PROMPT, ids=(1, 2), fresh=True),
    Score(3, "B", PROMPT, replace=(4, 2)),
    ReadTexts(3, "A"),
    ScoreVariants(3, (Variant(PROMPT, "x"), Variant(PROMPT, "", (1, 2))), "evidence"),
    ScoreAgain(3, (Variant(PROMPT, "x"),), START),
    VariantsScored(3, 0, (scoring(), None), ("", "No."), 0.5, START),
    VariantsDone(3),
    TextsRead(3, "A", AsRead((1,), ("a",), ("prompt",), 1, 1, (Finding("end", "ok", "So."),))),
    Inspect(4, StateRef(5, PROMPT, (1, 2), "left"), "qu"),
    InspectStates(4, (StateRef(5, PROMPT, (1, 2)),)),
    StatesInspected(4, 0, (INSPECTION, None), 0.5, START),
    StatesDone(4),
    Survey(4, StateRef(2**40, PROMPT, ())),
    ListLabels(4),
    Search(5, "left", PROMPT, (), SearchSpec(Beam(3), Objective.dial(1.5), 8, 0.5, True), False),
    Search(5, "left", PROMPT, (1, 2), SearchSpec(Given((3, 4), closed=True))),
    Search(5, "left", PROMPT, (1,), SearchSpec(TreeSearch(value="rollout", temperature=2.0))),
    Search(5, "left", PROMPT, (1,), SearchSpec(Sampling(top_p=0.5), Objective.reward())),
    Resume(5, "left"),
    Steer(6, "left", 2**40, "prune"),
    Scrub(7, START),
    Replay(8, ("/run/checkpoint-10", START)),
    Sweep(9, SweepSpec(JudgeSpec("model", "/judge"), (1, 2), 5, "/p", "chosen", 1.5, 8, 0.5)),
    Sweep(9, SweepSpec(None)),
    Learn(10, "a.jsonl", (Variant(PROMPT, "x"),), 50, False, True, 40),
    LearnStep(10, "Scoring the responses", 0.5),
    Learnt(10, learned(), START),
    ScoreData(11, "a.jsonl", "a.parquet", (("prompt", "question"),), 50, True),
    DataStep(11, 50, 20, 1, None),
    DataScored(11, "a.parquet", 50, 1, ("All is well.",)),
    Progress(1, "Loading", None),
    Progress(1, "Loading", 0.5),
    Memory(1, 2**40, 5, 6, 7),
    Loaded(1, INFO),
    Loaded(
        1,
        dataclasses.replace(
            INFO, beta=None, provenance=KNOWN, plausibility=SEEN, doubts=("It is so.",)
        ),
    ),
    Loaded(1, INFO, kept=True, why="There is no folder."),
    Load(1, PairSpec(), recorded=True),
    Loaded(1, dataclasses.replace(INFO, weights={"policy": "ab"}, recorded="2026-11-27")),
    Unloaded(2),
    Examined(2, (Finding("β", "ok", "0.2 (given).", "beta", {"beta": 0.2}),)),
    NoiseMeasured(1, NoiseFloor("bfloat16", 0.1, 0.2, 0.3, 40, "by hand")),
    NoiseMeasured(1, None),
    FilesChanged(1, "Changed.", "/run/checkpoint-10"),
    Scored(3, "A", scoring(), "<user>", START),
    Inspected(4, INSPECTION, START),
    Inspected(4, INSPECTION.at_most(1), START, INSPECTION),
    Surveyed(4, actions(), "/run/checkpoint-10"),
    LabelsListed(4, ("é", "·", "")),
    Grown(5, "left", growth(), "/run/checkpoint-10"),
    Searched(5, "left", 3, 40, 0.5, "tree cache"),
    Steered(6, "left", 5),
    Scrubbed(7, START, {"A": scoring(), "B": scoring()}, 0.5, True),
    Scrubbed(7, START, {}, 0.5),
    Replayed(8, START, {"A": scoring()}, 0.5),
    ReplayDone(8),
    Swept(
        9,
        SweepInfo("p", "r", 0.1, "judge", "chosen", 3, (1, 2), 1.0, 8, 0.0),
        SweepRow(0, "post", 2, ANSWER, ANSWER, Verdict("win", 0.5, "why")),
        "searching",
        0.5,
    ),
    Swept(9, SweepInfo("p", "r", 0.1, "", "", 3, (1,), 1.0, 8, 0.0), None, "", 0.0),
    SweepDone(9),
    Failed(1, "No.", lost=True),
    Failed(1, "Not recorded.", needs_pair=True),
    Stopped(1),
)


def assert_same(found, expected):
    """Equal, types and all, where NumPy's numbers are as good as Python's."""
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)
    elif dataclasses.is_dataclass(expected):
        assert type(found) is type(expected)
        for field in dataclasses.fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, Mapping):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, tuple):
        assert type(found) is tuple and len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        plain = expected.item() if isinstance(expected, np.generic) else expected
        assert type(found) is type(plain) and found == plain


def test_every_kind_of_request_and_event_has_an_example():
    assert {type(it) for it in EXAMPLES} == {*REQUESTS, *EVENTS}


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda it: type(it).__name__)
def test_what_is_encoded_is_decoded_the_same(message):
    assert_same(decode(encode(message)), message)


def test_a_survey_carries_its_numbers_and_little_else():
    """Eight bytes a token: the labels of a vocabulary are listed once, not with each survey."""
    size = 256_000
    assert len(encode(Surveyed(4, actions(size)))) < 8 * size + 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Stranger:
    """A record that nothing in the protocol holds."""


def test_a_kind_of_record_that_was_made_since_is_known():
    decode(encode(Unload(1)))

    @dataclasses.dataclass(frozen=True, slots=True)
    class LongPrompt(Prompt):
        pages: int = 2

    message = Score(3, "A", LongPrompt(PROMPT.messages, 5), text="a")
    assert_same(decode(encode(message)), message)


def test_what_lives_in_this_process_cannot_leave_it():
    for message in (Loaded(1, print), Progress(1, "", {1, 2}), Loaded(1, Stranger())):
        with pytest.raises(TypeError, match="cannot leave this process"):
            encode(message)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        encode(Unload(1))[:-1],
        msgspec.msgpack.encode({"": "core.engine.loop.Engine"}),
        msgspec.msgpack.encode({"": "core.engine.protocol.Unload", "id": 1, "more": 2}),
        msgspec.msgpack.encode({"": "core.search.strategies.beam.Beam", "width": 1}),
        msgspec.msgpack.encode({"": "core.engine.protocol.Unload"}),
        msgspec.msgpack.encode(5),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(9, b"")),
    ],
)
def test_bytes_of_nothing_known_are_refused_in_a_sentence(data):
    with pytest.raises(UserFacingError, match="cannot be read"):
        decode(data)
