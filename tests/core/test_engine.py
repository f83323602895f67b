"""The engine thread: every request gets one final answer, the newest wins, closing is quick."""

import queue
import threading

import pytest

from core.engine import Engine
from core.protocol import (
    Failed,
    Inspect,
    Inspected,
    Load,
    Loaded,
    PairSpec,
    Progress,
    Score,
    Scored,
    Stopped,
    Unload,
    Unloaded,
)
from core.text import Prompt
from tests.tiny import save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")
WAIT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def spec(folder):
    return PairSpec(policy=str(folder[0]), reference=str(folder[1]))


class Desk:
    """An engine and its answers."""

    def __init__(self):
        self.events = queue.Queue()
        self.threads = set()
        self.engine = Engine(self._take)

    def _take(self, event):
        self.threads.add(threading.current_thread().name)
        self.events.put(event)

    def ask(self, request):
        """The final answer to a request; progress is passed over."""
        self.engine.submit(request)
        return self.answer(request.id)

    def answer(self, id):
        while True:
            event = self.events.get(timeout=WAIT)
            if event.id == id and not isinstance(event, Progress):
                return event


@pytest.fixture
def desk():
    desk = Desk()
    desk.engine.start()
    yield desk
    assert desk.engine.close(WAIT)


@pytest.fixture
def loaded(desk, spec):
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    return desk


def test_load_score_inspect(loaded):
    scored = loaded.ask(Score(2, "A", PROMPT, text="They offered $53K a year."))
    assert isinstance(scored, Scored)
    assert scored.scoring.tokens.text == "They offered $53K a year."
    assert scored.prompt_text.endswith("<|im_start|>assistant\n")
    seen = loaded.ask(Inspect(3, "A", 2, "a"))
    assert isinstance(seen, Inspected)
    assert len(seen.inspection.by_policy) == 10
    closing = loaded.ask(Inspect(4, "A", len(scored.scoring) - 1))
    assert isinstance(closing, Inspected)


def test_replaced_tokens_stay_through_later_edits_and_undo(loaded):
    first = loaded.ask(Score(2, "A", PROMPT, text="They offered $53K a year.")).scoring
    other = int(first.ids[0]) if first.ids[2] != first.ids[0] else int(first.ids[1])
    put = loaded.ask(Score(3, "A", PROMPT, replace=(2, other))).scoring
    assert list(put.ids) == [*first.ids[:2], other, *first.ids[3:]]
    typed = loaded.ask(Score(4, "A", PROMPT, text=put.tokens.text + " Maybe.")).scoring
    assert list(typed.ids[: len(put) - 1]) == list(put.ids[:-1])
    undone = loaded.ask(Score(5, "A", PROMPT, ids=first.tokens.ids)).scoring
    assert (undone.logp_policy == first.logp_policy).all()
    assert undone.computed == 0


def test_switching_sides_computes_nothing(loaded):
    for id, (side, text) in enumerate((("A", "They said yes."), ("B", "They said no.")), 2):
        assert loaded.ask(Score(id, side, PROMPT, text=text)).scoring.computed > 0
    for id, (side, text) in enumerate((("A", "They said no."), ("B", "They said yes.")), 5):
        assert loaded.ask(Score(id, side, PROMPT, text=text)).scoring.computed == 0


def test_newer_requests_overtake_older_ones(desk, spec):
    """Submitted before the start, so that all of them wait: only the last of each side is done."""
    waiting = Desk()
    waiting.engine.submit(Load(1, spec))
    for id in range(2, 6):
        waiting.engine.submit(Score(id, "A", PROMPT, text="x" * id))
    waiting.engine.submit(Score(6, "B", PROMPT, text="y"))
    waiting.engine.start()
    answers = {id: waiting.answer(id) for id in (2, 3, 4, 1, 5, 6)}
    assert waiting.engine.close(WAIT)
    assert [type(answers[id]) for id in range(1, 7)] == [
        Loaded,
        Stopped,
        Stopped,
        Stopped,
        Scored,
        Scored,
    ]


def test_loading_another_pair_stops_everything(loaded, spec):
    loaded.engine.submit(Score(2, "A", PROMPT, text="word " * 300))
    loaded.engine.submit(Load(3, spec))
    assert isinstance(loaded.answer(3), Loaded)
    assert loaded.ask(Score(4, "A", PROMPT, text="again")).scoring.computed > 0


def test_cancelled_loading_leaves_a_working_engine(desk, spec):
    desk.engine.submit(Load(1, spec))
    desk.engine.cancel(Load)
    assert isinstance(desk.answer(1), Stopped | Loaded)
    assert isinstance(desk.ask(Load(2, spec)), Loaded)


def test_a_missing_folder_is_one_sentence(desk):
    failed = desk.ask(Load(1, PairSpec(policy="/nowhere/policy", reference="/nowhere/ref")))
    assert isinstance(failed, Failed)
    assert failed.kind == "Load"
    assert "/nowhere/policy" in failed.message
    assert "Traceback" not in failed.message


def test_scoring_without_models_is_one_sentence(desk, spec):
    failed = desk.ask(Score(1, "A", PROMPT, text="x"))
    assert isinstance(failed, Failed)
    assert "open a policy" in failed.message


def test_too_long_a_response_leaves_the_engine_usable(loaded):
    failed = loaded.ask(Score(2, "A", PROMPT, text="Zoë " * 1500))
    assert isinstance(failed, Failed)
    assert "context is 1024" in failed.message
    assert isinstance(loaded.ask(Score(3, "A", PROMPT, text="short")), Scored)


def test_unload(loaded):
    assert isinstance(loaded.ask(Unload(2)), Unloaded)
    assert isinstance(loaded.ask(Score(3, "A", PROMPT, text="x")), Failed)


@pytest.mark.log_errors_expected
def test_the_unexpected_is_told_and_survived(loaded, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("by hand")

    with monkeypatch.context() as patch:
        patch.setattr("core.models.score.score", broken)
        failed = loaded.ask(Score(2, "A", PROMPT, text="x"))
        assert isinstance(failed, Failed)
        assert "ZeroDivisionError" in failed.message
        patch.setattr("core.models.score.score", lambda *a, **k: exhausted())
        assert "ran out of memory" in loaded.ask(Score(3, "A", PROMPT, text="x")).message
    assert isinstance(loaded.ask(Score(4, "A", PROMPT, text="x")), Scored)


def exhausted():
    raise MemoryError


def test_closing_while_loading_is_quick_and_silent(spec):
    desk = Desk()
    desk.engine.start()
    desk.engine.submit(Load(1, spec))
    desk.events.get(timeout=WAIT)  # it is under way
    assert desk.engine.close(WAIT)
    seen = desk.events.qsize()
    desk.engine.submit(Score(2, "A", PROMPT, text="x"))
    assert desk.engine.close(WAIT)
    assert desk.events.qsize() == seen


def test_closing_before_the_start():
    assert Engine(lambda event: None).close()


def test_events_come_from_the_engine_thread(loaded):
    assert loaded.threads == {"qscope-engine"}
