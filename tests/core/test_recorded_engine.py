"""What an engine has said, kept in a session file, is said again without it, to the bit.

A machine asks a real engine with tiny models for all sorts of things, notes every answer, writes
the recording to a file and reads it; a model of its own remembers what the newest answer to each
question was.
"""

import dataclasses
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from core import session_file
from core.engine.protocol import (
    Failed,
    Grown,
    Inspect,
    Inspected,
    InspectStates,
    JobStep,
    ListLabels,
    Load,
    Loaded,
    NoiseMeasured,
    PairSpec,
    Progress,
    ReadTexts,
    Replay,
    ReplayDone,
    Replayed,
    Resume,
    Score,
    Scored,
    ScoreVariants,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    StateRef,
    StatesDone,
    Steer,
    Steered,
    Survey,
    TextsRead,
    Unload,
    Unloaded,
    Variant,
    VariantsDone,
    VariantsScored,
)
from core.engine.recorded import RecordedEngine
from core.noise import NoiseFloor
from core.recording import Recording
from core.search.grown import GrownTree
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.sampling import Sampling
from core.session_record import SessionRecord
from core.text import Message, Prompt
from tests.core.made_recordings import LAST, made, scoring_of
from tests.core.test_engine import WAIT, Desk
from tests.core.test_wire import assert_same
from tests.tiny import save_run

PROMPTS = (
    Prompt.of("Summarise this post in one sentence."),
    Prompt((Message("system", "Be brief."), Message("user", "Zoë?"))),
)
TEXTS = ("They were offered $53K a year.", "naïve 你好", "x", "Too low!\n\nNo.", "🙂 half")
FLOOR = NoiseFloor("float32", 2e-6, 1e-6, 1e-8, 40, "by a test")


def same_bits(found, expected):
    """Equal in all fields, arrays bit by bit."""
    assert_same(found, expected)
    if isinstance(expected, np.ndarray):
        assert found.tobytes() == expected.tobytes()
    elif dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            same_bits(getattr(found, field.name), getattr(expected, field.name))


class Answers:
    """A recorded engine with nothing asked of it yet, and what it says."""

    def __init__(self, recording, checkpoint=None):
        self.events = []
        self.engine = RecordedEngine(self.events.append, recording)
        self.ids = count(100)
        assert isinstance(self.ask(Load, PairSpec(), recorded=True)[0], Loaded)
        if checkpoint is not None:
            assert self.ask(Scrub, checkpoint)[-1].checkpoint == checkpoint

    def ask(self, kind, *args, **more):
        """All that is said to one request; its final answer is the last but notices."""
        self.events.clear()
        self.engine.submit(kind(next(self.ids), *args, **more))
        return [*self.events]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A real engine with a run of three checkpoints."""
    desk = Desk()
    desk.engine.start()
    run = save_run(tmp_path_factory.mktemp("run"))[1]
    desk.loaded = desk.ask(Load(1, PairSpec(run=str(run))))
    assert isinstance(desk.loaded, Loaded)
    desk.ids = count(10)
    desk.paths = [it.path for it in desk.loaded.info.checkpoints]
    yield desk
    assert desk.engine.close(WAIT)


class Machine(RuleBasedStateMachine):
    """Asks, notes, and knows for itself what was answered last to each question."""

    desk = None
    path = None

    def __init__(self):
        super().__init__()
        self.recording = Recording()
        self.recording.note(None, self.desk.loaded)
        self.recording.note(None, NoiseMeasured(1, FLOOR))
        self.shown = self.desk.paths[-1]
        self.held, self.scored, self.looked, self.read, self.grown = {}, {}, {}, {}, {}
        self.steered = {}
        self._ask(Scrub, self.shown)

    def _ask(self, kind, *args, **more):
        """The final answer of the real engine; all it says is noted. Steps are returned too."""
        request, steps = kind(next(self.desk.ids), *args, **more), []
        self.desk.engine.submit(request)
        while True:
            event = self.desk.answer(request.id)
            self.recording.note(request, event)
            if not isinstance(event, JobStep | Progress):
                return event, steps
            steps.append(event)

    def _remember(self, checkpoint, prompt, scoring):
        self.scored[checkpoint, prompt, scoring.tokens.ids, scoring.tokens.context] = scoring

    @rule(side=st.sampled_from("AB"), prompt=st.sampled_from(PROMPTS), text=st.sampled_from(TEXTS))
    def score(self, side, prompt, text):
        event, _ = self._ask(Score, side, prompt, text=text)
        assert event.checkpoint == self.shown
        self.held[side] = prompt, event.scoring.tokens
        self._remember(self.shown, prompt, event.scoring)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), id=st.integers(40, 300))
    def replace(self, data, id):
        side = data.draw(st.sampled_from(sorted(self.held)))
        prompt, tokens = self.held[side]
        index = data.draw(st.integers(0, len(tokens) - 1))
        event, _ = self._ask(Score, side, prompt, replace=(index, id))
        if isinstance(event, Scored):
            self.held[side] = prompt, event.scoring.tokens
            self._remember(self.shown, prompt, event.scoring)

    @rule(place=st.integers(0, 9))
    def scrub(self, place):
        path = self.desk.paths[place % len(self.desk.paths)]
        event, _ = self._ask(Scrub, path)
        self.shown = path
        self._frame(path, event.scorings)

    @rule()
    def replay(self):
        event, steps = self._ask(Replay, tuple(self.desk.paths))
        assert isinstance(event, ReplayDone)
        for step in steps:
            self._frame(step.checkpoint, step.scorings)

    def _frame(self, checkpoint, scorings):
        for side, (prompt, _) in self.held.items():
            self._remember(checkpoint, prompt, scorings[side])

    @rule(prompt=st.sampled_from(PROMPTS), texts=st.lists(st.sampled_from(TEXTS), max_size=3))
    def variants(self, prompt, texts):
        variants = tuple(Variant(prompt, text) for text in texts)
        event, steps = self._ask(ScoreVariants, variants)
        assert isinstance(event, VariantsDone)
        for step in steps:
            for scoring in step.scorings:
                self._remember(self.shown, prompt, scoring)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), query=st.sampled_from(["", "a", "ee"]), most=st.sampled_from([3, 10, 30]))
    def inspect(self, data, query, most):
        prompt, tokens = self.held[data.draw(st.sampled_from(sorted(self.held)))]
        until = data.draw(st.integers(0, len(tokens)))
        ids = (*tokens.ids, *tokens.closing)[:until]
        state = StateRef(-1, prompt, ids, context=tokens.context)
        event, _ = self._ask(Inspect, state, query, most)
        self.looked[self.shown, state, query, most] = event.inspection

    @rule()
    def inspect_all(self):
        states = self.recording.unseen(self.shown)
        event, steps = self._ask(InspectStates, states)
        assert isinstance(event, StatesDone)
        found = [inspection for step in steps for inspection in step.inspections]
        for state, inspection in zip(states, found, strict=True):
            assert len(inspection.by_policy) == 20
            self.looked[self.shown, state, "", 20] = inspection
        assert self.recording.unseen(self.shown) == ()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def read_texts(self, data):
        side = data.draw(st.sampled_from(sorted(self.held)))
        event, _ = self._ask(ReadTexts, side)
        if isinstance(event, TextsRead):
            prompt, tokens = self.held[side]
            self.read[prompt, tokens.text, tokens.ids, tokens.context] = event.read

    @rule(
        pane=st.sampled_from(["left", "right"]),
        anew=st.booleans(),
        prompt=st.sampled_from(PROMPTS),
        strategy=st.sampled_from([Beam(2), Sampling(2)]),
        weight=st.sampled_from([0.0, 1.5]),
    )
    def search(self, pane, anew, prompt, strategy, weight):
        old = self.grown.get(pane)
        anew = anew or old is None or old[0][0].prompt != prompt
        spec = SearchSpec(strategy, Objective.dial(weight), max_tokens=3)
        event, steps = self._ask(Search, pane, prompt, (), spec, anew)
        assert isinstance(event, Searched) and steps
        request = Search(0, pane, prompt, (), spec, anew)
        self.grown[pane] = [*([] if anew else old), (request, steps, event)]
        if anew:
            self.steered[pane] = {}

    @precondition(lambda self: self.grown)
    @rule(data=st.data(), action=st.sampled_from(["pin", "prune", "release"]))
    def steer(self, data, action):
        pane = data.draw(st.sampled_from(sorted(self.grown)))
        nodes = self.grown[pane][0][1][-1].growth.step.nodes.tolist()
        node = data.draw(st.sampled_from(nodes))
        event, _ = self._ask(Steer, pane, node, action)
        assert isinstance(event, Steered)
        self.steered[pane][node] = action

    def teardown(self):
        left_out = session_file.write(self.path, SessionRecord(), self.recording)
        opened = session_file.read(self.path)
        assert left_out == () and opened.whole, (left_out, opened.remarks)
        again = opened.recording
        self._check_pair(again)
        self._check_responses(again)
        self._check_states(again)
        self._check_trees(again)

    def _check_pair(self, again):
        said = Answers(again).ask(Load, PairSpec(), recorded=True)
        info, mine = said[0].info, self.desk.loaded.info
        assert info.recorded and not mine.recorded and info.memory_bytes == 0
        assert info.weights == mine.weights and len(mine.weights["policy"]) == 32
        known = {"recorded", "memory_bytes", "cache", "seconds"}
        for field in dataclasses.fields(mine):
            if field.name not in known:
                assert_same(getattr(info, field.name), getattr(mine, field.name))
        assert said[1].floor == FLOOR and said[1].id == said[0].id

    def _check_responses(self, again):
        for (checkpoint, prompt, ids, context), expected in self.scored.items():
            asked = Answers(again, checkpoint)
            (event,) = asked.ask(Score, "A", prompt, ids=ids, text=expected.tokens.text)
            assert isinstance(event, Scored) and event.checkpoint == checkpoint
            if event.scoring.tokens.context == context:
                same_bits(event.scoring, expected)
            (event,) = asked.ask(Score, "B", prompt, text=expected.tokens.text)
            assert event.scoring.tokens.text == expected.tokens.text
            variant = Variant(prompt, expected.tokens.text, ids)
            found, done = asked.ask(ScoreVariants, (variant, Variant(prompt, "other")))
            assert isinstance(found, VariantsScored) and isinstance(done, VariantsDone)
            assert found.scorings[0] is not None and found.scorings[1] is None
            assert found.problems[0] == "" and found.problems[1]
            read = self.read.get((prompt, expected.tokens.text, ids, context))
            if read is not None:
                same_bits(asked.ask(ReadTexts, "A")[0].read, read)
            known = {path for path, *rest in self.scored if rest == [prompt, ids, context]}
            asked = Answers(again, checkpoint)
            asked.ask(Score, "A", prompt, ids=ids, text=expected.tokens.text)
            *steps, done = asked.ask(Replay, tuple(self.desk.paths))
            assert {it.checkpoint for it in steps} == known and isinstance(done, ReplayDone)
            assert all(isinstance(it, Replayed) for it in steps)
            for path in self.desk.paths:
                (event,) = asked.ask(Scrub, path)
                assert isinstance(event, Scrubbed) == (path in known)
                if path in known:
                    same_bits(event.scorings["A"], self.scored[path, prompt, ids, context])

    def _check_states(self, again):
        for (checkpoint, state, query, most), expected in self.looked.items():
            (event,) = Answers(again, checkpoint).ask(Inspect, state, query, most)
            assert isinstance(event, Inspected) and event.checkpoint == checkpoint
            found, wanted = event.inspection, expected
            assert [it.id for it in found.by_policy] == [it.id for it in wanted.by_policy]
            for name in ("by_policy", "by_reference", "found"):
                assert_same(getattr(found, name), getattr(wanted, name))

    def _check_trees(self, again):
        asked = Answers(again)
        for pane, searches in self.grown.items():
            tree, original = GrownTree(), GrownTree()
            for request, steps, ended in searches:
                more = request.prefix, request.spec, request.anew, request.context
                *found, last = asked.ask(Search, pane, request.prompt, *more)
                assert isinstance(last, Searched) and last.pane == pane
                assert (last.steps, last.computed) == (ended.steps, ended.computed)
                for event, step in zip(found, steps, strict=True):
                    assert isinstance(event, Grown) and event.checkpoint == step.checkpoint
                    same_bits(event.growth, step.growth)
                    tree.add(event.growth), original.add(step.growth)
            assert tree.labels == original.labels
            assert isinstance(asked.ask(Resume, pane)[0], Searched)
            for node, action in self.steered[pane].items():
                (event,) = asked.ask(Steer, pane, node, action)
                assert isinstance(event, Failed if action == "release" else Steered)


@pytest.mark.parametrize("examples", [8])
def test_what_was_said_is_said_again(desk, tmp_path, examples):
    Machine.desk, Machine.path = desk, tmp_path / "a.qscope"
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=12, suppress_health_check=slow
        ),
    )


def test_what_was_not_recorded_needs_the_pair():
    recording = Recording()
    engine = Answers.__new__(Answers)
    events = []
    engine = RecordedEngine(events.append, recording)
    state = StateRef(3, PROMPTS[0], (1,))
    spec = SearchSpec(Beam(2))
    for request in (
        Load(1, PairSpec(), recorded=True),
        Score(2, "A", PROMPTS[0], text="a"),
        Score(3, "A", PROMPTS[0], replace=(0, 1)),
        ReadTexts(4, "A"),
        Inspect(5, state),
        Survey(6, state),
        ListLabels(7),
        Search(8, "left", PROMPTS[0], (), spec),
        Resume(9, "left"),
        Steer(10, "left", 1, "pin"),
        Scrub(11, "/c"),
    ):
        engine.submit(request)
        (event,) = events
        assert isinstance(event, Failed) and event.needs_pair and event.id == request.id
        assert event.message == "Not recorded: needs the pair."
        events.clear()
    engine.submit(Unload(12))
    assert isinstance(events.pop(), Unloaded)
    engine.submit(ScoreVariants(13, (Variant(PROMPTS[0], "a"),)))
    step, done = events
    assert step.scorings == (None,) and step.problems[0] and isinstance(done, VariantsDone)
    assert engine.close()


def test_a_text_without_ids_is_what_the_tokenizer_makes_of_it():
    recording, prompt = made(), PROMPTS[0]
    usual, forced = scoring_of("ab", 1), scoring_of("ab", 2, ids=(7, 8))
    forced = dataclasses.replace(
        forced, tokens=dataclasses.replace(forced.tokens, forced=(False, True))
    )
    for scoring in (usual, forced):
        recording.note(Score(1, "A", prompt, text="ab"), Scored(1, "A", scoring, "", LAST))
    asked = Answers(recording, LAST)
    for ids, expected in ((None, usual), ((7, 8), forced)):
        assert asked.ask(Score, "A", prompt, text="ab", ids=ids)[0].scoring is expected
        (found, _) = asked.ask(ScoreVariants, (Variant(prompt, "ab", ids),))
        assert found.scorings == (expected,)
