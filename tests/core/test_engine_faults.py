"""Whatever is raised on the engine's thread, each request gets one final answer, and it goes on."""

import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from core.engine.loop import Engine
from core.engine.protocol import (
    Failed,
    Inspect,
    JobStep,
    ListLabels,
    Load,
    Loaded,
    NoiseMeasured,
    Notice,
    PairSpec,
    Progress,
    Replay,
    Resume,
    Score,
    Scored,
    Search,
    StateRef,
    Stopped,
    Survey,
)
from core.errors import Cancelled, UserFacingError
from core.models.pair import Pair
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.sampling import Sampling
from core.text import Prompt
from tests.tiny import save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")
TEXT = "They offered $53K a year."
WAIT = 60


class Panic(BaseException):
    """What libraries in Rust raise, which is no Exception."""


ERRORS = (
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    Panic("called `Option::unwrap()` on a `None` value"),
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    StopIteration(),
    AssertionError(),
    RuntimeError("The size of tensor a (3) must match\nthe size of tensor b"),
    UserFacingError("Choose another one."),
    Cancelled(),
)


class Faults:
    """Raises what is given at one of the next calls of a pair, before it or after."""

    def __init__(self):
        self.error, self.after, self.left = None, False, 0

    def around(self, method):
        def call(*args, **named):
            due, self.left = self.left == 0 and self.error is not None, self.left - 1
            if due and not self.after:
                raise self.error
            found = method(*args, **named)
            if due:
                raise self.error
            return found

        return call


class Desk:
    """An engine whose final answers are counted by the id of their request."""

    def __init__(self):
        self.changed = threading.Condition()
        self.answers, self.finals, self.steps = {}, Counter(), Counter()
        self.deaf = False
        self.engine = Engine(self._take)
        self.engine.start()

    def _take(self, event):
        if isinstance(event, JobStep):
            self.steps[event.id] += 1
        elif not isinstance(event, Notice | Progress):
            with self.changed:
                first = self.answers.setdefault(event.id, event)
                if not (isinstance(first, Loaded) and isinstance(event, Stopped)):
                    self.finals[event.id] += 1  # else the end of the load's noise measurement
                self.changed.notify_all()
        if self.deaf:
            raise SystemExit("the hearer is deaf")

    def wait(self, *ids):
        with self.changed:
            assert self.changed.wait_for(lambda: all(it in self.answers for it in ids), WAIT)
        return self.answers[ids[-1]]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    policy, reference = save_pair(tmp_path_factory.mktemp("pair"))
    return PairSpec(policy=str(policy), reference=str(reference))


@pytest.fixture(scope="module")
def faults():
    found = Faults()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("observe", "logits", "trim"):
            patch.setattr(Pair, name, found.around(getattr(Pair, name)))
        yield found


@pytest.fixture(scope="module")
def desk(spec, faults):
    desk = Desk()
    desk.engine.submit(Load(1, spec))
    assert isinstance(desk.wait(1), Loaded)
    desk.engine.submit(Score(2, "A", PROMPT, text=TEXT))
    assert isinstance(desk.wait(2), Scored)
    yield desk
    assert desk.engine.close(WAIT)


def request(kind, id, scoring):
    state = StateRef.before(scoring, 2, PROMPT)
    match kind:
        case "score":
            return Score(id, "A", PROMPT, text=TEXT + " No." * (id % 5))
        case "other side":
            return Score(id, "B", PROMPT, text=f"It is {id}.")
        case "inspect":
            return Inspect(id, state)
        case "survey":
            return Survey(id, state)
        case "labels":
            return ListLabels(id)
        case "search":
            return Search(id, "p", PROMPT, (), SearchSpec(Beam(2), max_tokens=4))
        case "sample":
            return Search(id, "q", PROMPT, (), SearchSpec(Sampling(2), max_tokens=4))
        case "resume":
            return Resume(id, "p")
        case "replay":
            return Replay(id, ("nowhere",))
        case "load":
            return Load(id, PairSpec(policy="/nowhere/at/all"))


KINDS = "score,other side,inspect,survey,labels,search,sample,resume,replay,load".split(",")
STEPS = st.tuples(
    st.sampled_from(KINDS),
    st.sampled_from((None, *ERRORS)),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@pytest.mark.log_errors_expected
def test_a_noise_measurement_that_raises_leaves_the_engine_alive(spec, faults):
    heard, told = [], threading.Event()

    def hear(event):
        heard.append(event)
        if isinstance(event, NoiseMeasured):
            told.set()
        if isinstance(event, Loaded):
            faults.error, faults.left, faults.after = SystemExit(1), 0, False
            told_loaded.set()

    told_loaded = threading.Event()
    engine = Engine(hear)
    engine.start()
    engine.submit(Load(1, spec))
    assert told_loaded.wait(WAIT) and told.wait(WAIT)
    faults.error = None
    assert [it.floor for it in heard if isinstance(it, NoiseMeasured)] == [None]
    engine.submit(ListLabels(2))
    assert engine.close(WAIT)


@pytest.mark.log_errors_expected
@settings(
    max_examples=15,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(steps=st.lists(STEPS, min_size=1, max_size=6))
def test_every_request_is_answered_once_whatever_is_raised(desk, faults, steps):
    first = desk.answers[2].scoring
    began = max(desk.answers) + 1
    ids = range(began, began + len(steps))
    for id, (kind, error, left, after, waits, deaf) in zip(ids, steps, strict=True):
        faults.error, faults.left, faults.after, desk.deaf = error, left, after, deaf
        desk.engine.submit(request(kind, id, first))
        if waits:
            desk.wait(id)
    desk.wait(*ids)
    faults.error, desk.deaf = None, False
    last = ids[-1] + 1
    desk.engine.submit(Score(last, "A", PROMPT, text=TEXT, fresh=True))
    answer = desk.wait(last)
    assert isinstance(answer, Scored), answer
    np.testing.assert_allclose(answer.scoring.logp_policy, first.logp_policy, atol=1e-5)
    assert [desk.finals[id] for id in (*ids, last)] == [1] * (len(steps) + 1)
    for id in ids:
        if isinstance(answer := desk.answers[id], Failed):
            assert answer.message.endswith(".") and "\n" not in answer.message


@pytest.mark.log_errors_expected
@pytest.mark.parametrize("error", ERRORS, ids=lambda it: type(it).__name__)
def test_the_thread_outlives_each_kind(desk, faults, error):
    id = max(desk.answers) + 1
    faults.error, faults.left, faults.after = error, 0, False
    desk.engine.submit(Score(id, "B", PROMPT, text="Another text altogether."))
    answer = desk.wait(id)
    faults.error = None
    if isinstance(error, Cancelled):
        assert isinstance(answer, Stopped)
    elif isinstance(error, MemoryError):  # once only: it is done again
        assert isinstance(answer, Scored)
    else:
        assert isinstance(answer, Failed) and not answer.lost
    desk.engine.submit(Score(id + 1, "B", PROMPT, text="Another text altogether."))
    assert isinstance(desk.wait(id + 1), Scored)
