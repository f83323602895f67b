"""What is known of states is there at once and right; what is not is asked for after a rest."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app.engine_client import EngineClient
from app.inspect import answers
from app.inspect.answers import InspectionLookup, Question, StateAnswers, SurveyLookup
from app.inspect.facts import FactGrid
from app.inspect.search_box import VocabularySearch
from core.engine.protocol import (
    Failed,
    Inspect,
    Inspected,
    LabelsListed,
    ListLabels,
    Load,
    PairSpec,
    StateRef,
    Survey,
    Surveyed,
)
from core.present.token_facts import Fact
from core.scoring import Inspection
from core.text import Prompt
from tests.app.fake_engine import actions_at, labels
from tests.app.test_engine_client import Silent, tell

PROMPT = Prompt.of("x")


def question(node=7, checkpoint="", query="", pane=""):
    return Question(StateRef(node, PROMPT, (1,), pane), checkpoint, query)


class Desk:
    """A client whose engine the test plays, and a lookup; ``found`` counts what it says."""

    def __init__(self, kind, parent):
        self.client = EngineClient(Silent)
        self.client.start()
        self.engine = self.client._engine
        self.answers = StateAnswers()
        self.allowed = True
        self.lookup = kind(self.client, self.answers, parent, lambda: self.allowed)
        self.found, self.failed = [], []
        self.lookup.found.connect(lambda: self.found.append(1))
        self.lookup.failed.connect(self.failed.append)

    def asked(self, kind=Inspect):
        return [it for it in self.engine.requests if isinstance(it, kind)]


@pytest.fixture
def parent(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    return parent


@pytest.fixture
def desk(parent):
    return Desk(InspectionLookup, parent)


def rested(qtbot, desk, count=1, kind=Inspect):
    """The rest is over: something has been asked."""
    qtbot.waitUntil(lambda: len(desk.asked(kind)) == count, timeout=3000)
    return desk.asked(kind)[-1]


def test_what_is_not_known_is_asked_for_once_it_rests(desk, qtbot):
    for node in (5, 6, 7):
        assert desk.lookup.look(question(node)) is None
    assert desk.asked() == []
    request = rested(qtbot, desk)
    assert request.state == question(7).state
    inspection = Inspection(7, (), ())
    tell(desk.engine, Inspected(request.id, inspection))
    assert desk.found == [1] and desk.lookup.look(question(7)) is inspection
    qtbot.wait(2 * answers.ASK_MS)
    assert len(desk.asked()) == 1


def test_what_is_no_longer_looked_at_is_not_asked_for(desk, qtbot):
    desk.lookup.look(question())
    desk.lookup.look(None)
    qtbot.wait(2 * answers.ASK_MS)
    assert desk.asked() == []


def test_nothing_is_asked_where_it_is_not_worth_it(desk, qtbot):
    desk.allowed = False
    desk.lookup.look(question())
    qtbot.wait(2 * answers.ASK_MS)
    assert desk.asked() == []
    desk.allowed = True
    desk.lookup.look(question())
    rested(qtbot, desk)


def test_a_query_is_asked_at_once_and_its_answer_is_its_own(desk, qtbot):
    desk.lookup.look(question(query="a"))
    desk.lookup.ask_now()
    (request,) = desk.asked()
    assert request.query == "a"
    tell(desk.engine, Inspected(request.id, Inspection(7, (), ())))
    assert desk.lookup.look(question()) is None
    assert desk.lookup.look(question(query="a")) is not None
    desk.lookup.ask_now()  # it is known
    assert len(desk.asked()) == 1


def test_an_answer_of_another_checkpoint_is_shown_as_no_other(desk, qtbot):
    """It was asked under one checkpoint, and another was put in place before it was answered."""
    desk.lookup.look(question(checkpoint="/c-10"))
    request = rested(qtbot, desk)
    inspection = Inspection(7, (), ())
    tell(desk.engine, Inspected(request.id, inspection, "/c-20"))
    assert desk.lookup.look(question(checkpoint="/c-10")) is None
    assert desk.lookup.look(question(checkpoint="/c-20")) is inspection


def test_an_evicted_state_is_known_by_the_number_that_it_had(desk, qtbot):
    desk.lookup.look(question(7))
    request = rested(qtbot, desk)
    inspection = Inspection(9, (), ())
    tell(desk.engine, Inspected(request.id, inspection))
    assert desk.lookup.look(question(7)) is inspection


def test_what_a_search_is_asked_is_not_what_is_shown(desk, qtbot):
    """The search of a pane may be under an earlier version of the same checkpoint."""
    desk.lookup.look(question(pane="left"))
    tell(desk.engine, Inspected(rested(qtbot, desk).id, Inspection(7, (), ())))
    assert desk.lookup.look(question(pane="left")) is not None
    assert desk.lookup.look(question()) is None and desk.lookup.look(question(pane="right")) is None


def test_a_failure_is_one_sentence(desk, qtbot):
    desk.lookup.look(question())
    tell(desk.engine, Failed(rested(qtbot, desk).id, "Too long."))
    assert desk.failed == ["Too long."] and desk.found == []


def test_another_pair_and_a_rewritten_checkpoint_are_forgotten(desk, qtbot):
    for count, path in enumerate(("/c-10", "/c-20"), 1):
        desk.lookup.look(question(checkpoint=path))
        tell(desk.engine, Inspected(rested(qtbot, desk, count).id, Inspection(7, (), ()), path))
    desk.answers.forget_checkpoint("/c-10")
    assert desk.lookup.look(question(checkpoint="/c-10")) is None
    assert desk.lookup.look(question(checkpoint="/c-20")) is not None
    desk.lookup.look(question(8))
    request = rested(qtbot, desk, 3)
    desk.client.ask(Load, PairSpec())
    desk.answers.forget()
    tell(desk.engine, Inspected(request.id, Inspection(8, (), ())))
    assert desk.found == [1, 1] and desk.lookup.look(question(8)) is None


def test_no_more_than_so_many_are_cached(desk, qtbot, monkeypatch):
    monkeypatch.setattr(answers, "INSPECTIONS", 2)
    for count, node in enumerate((1, 2, 3), 1):
        desk.lookup.look(question(node))
        tell(desk.engine, Inspected(rested(qtbot, desk, count).id, Inspection(node, (), ())))
    known = [desk.lookup.look(question(node)) is not None for node in (1, 2, 3)]
    assert known == [False, True, True]


def test_the_labels_come_before_the_first_survey_and_once(parent, qtbot):
    desk = Desk(SurveyLookup, parent)
    desk.lookup.look(question())
    request = rested(qtbot, desk, 1, Survey)
    (listed,) = desk.asked(ListLabels)
    assert desk.engine.requests.index(listed) < desk.engine.requests.index(request)
    actions = actions_at(-1, 7)
    tell(desk.engine, LabelsListed(listed.id, labels()), Surveyed(request.id, actions))
    assert desk.lookup.look(question()) is actions and desk.answers.labels == labels()
    desk.lookup.look(question(8))
    rested(qtbot, desk, 2, Survey)
    assert len(desk.asked(ListLabels)) == 1
    desk.answers.forget()
    assert desk.answers.labels == ()


# --- the parts ----------------------------------------------------------------------------------


def test_facts_come_and_go(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    grid = FactGrid()
    widget.setLayout(grid)
    widget.show()
    grid.show_facts([Fact("r", "0.1", "the reward"), Fact("KL", "0.2", faint=True)])
    grid.show_facts([Fact("V", "<b>3</b>")])
    shown = [(name.text(), value.text()) for name, value in grid.rows if value.isVisible()]
    assert shown == [("V", "<b>3</b>")] and len(grid.rows) == 2
    assert grid.rows[0][1].textFormat() == Qt.TextFormat.PlainText


def test_a_token_that_is_written_from_right_to_left_turns_nothing_else(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    grid = FactGrid()
    widget.setLayout(grid)
    grid.show_facts([Fact("token", "'עברית'  ·  40 of 116"), Fact("token", "'it'  ·  4 of 5")])
    arabic, latin = (value.text() for _, value in grid.rows)
    assert arabic == "\u200e\u2068'עברית'\u2069  ·  40 of 116" and latin == "'it'  ·  4 of 5"


def test_a_query_is_said_once_it_rests_and_entered_after_that(qtbot):
    box = VocabularySearch("Search", "tip")
    qtbot.addWidget(box)
    said, entered = [], []
    box.searched.connect(said.append)
    box.entered.connect(lambda: entered.append(1))
    qtbot.keyClicks(box, "fo")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert said == [] and entered == []  # what was found is of an earlier query
    qtbot.waitUntil(lambda: said == ["fo"], timeout=3000)
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert entered == [1]
    qtbot.keyClicks(box, "r")
    box.stop_resting()  # it was asked for by the way
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert entered == [1, 1] and said == ["fo"]
    box.setEnabled(False)
    assert box.query() == "" and box.text() == "for"
    box.setEnabled(True)
    box.end_search()
    qtbot.wait(200)
    assert box.text() == "" and said == ["fo"]
