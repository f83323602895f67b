"""A session of probing the real demo pair: saved, opened without the pair and with it, equal."""

import numpy as np
import pytest
from PySide6.QtCore import QSettings
from PySide6.QtGui import QTextCursor

from app.main_window import MainWindow
from app.settings import Settings
from core.engine.protocol import Failed, Load, PairSpec
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam

pytestmark = pytest.mark.demo
PATIENCE = 120_000


class Absent:
    """An engine on whose machine the pair is not: it must not be asked for anything else."""

    def __init__(self, emit):
        self._emit = emit

    def start(self):
        pass

    def submit(self, request):
        assert isinstance(request, Load), request
        self._emit(Failed(request.id, "The demo pair is not on this machine."))

    def cancel(self, kind=None, topic=""):
        pass

    def close(self, timeout=5.0):
        return True


@pytest.fixture
def open_window(qtbot, tmp_path, monkeypatch):
    QSettings.setPath(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings")
    )
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = []

    def make(spec=None, **more):
        window = MainWindow(spec, Settings(), data_folder=tmp_path, theme_name="light", **more)
        made.append(window)
        qtbot.addWidget(window)
        window.show()
        qtbot.waitExposed(window)
        return window

    yield make
    for window in made:
        window.close()


def rest(window, qtbot):
    """Wait until both responses are scored and nothing is asked for any more."""

    def rested():
        view = window.view
        busy = window.client.busy() or view.is_to_tell() or view.chart is None
        return len(view.scorings()) == 2 and not busy

    qtbot.waitUntil(rested, timeout=PATIENCE)


def shown(window):
    """Every number that is shown of the responses, the history, the token and the tree."""
    view, search = window.view, window.searches.view
    pane = search.trees.panes["left"]
    tree = pane.tree
    return {
        "texts": [view.panels[side].text() for side in "AB"],
        "ids": {side: it.tokens.ids for side, it in view.scorings().items()},
        "rewards": {
            side: (it.logp_policy - it.logp_reference).tolist()
            for side, it in view.scorings().items()
        },
        "colours": {side: np.asarray(it).tolist() for side, it in view.numbers.values.items()},
        "limit": view.numbers.colour_scale().limit,
        "sums": [view.panels[side].sum.text() for side in "AB"],
        "about": [view.panels[side].about.words for side in "AB"],
        "figures": {key: label.text() for key, label in view.summary.figures.items()},
        "delta": view.summary.delta.words,
        "verdict": (view.verdict.headline.words, view.verdict.detail.words),
        "history": window.view.history.rows,
        "pinned": view.focus_on.pinned,
        "alternatives": view.inspector.inspection(),
        "tree": {
            "nodes": len(tree),
            "status": tree.status.tolist(),
            "policy": str(tree.column("logp_policy").tolist()),  # NaN is not NaN
            "reference": str(tree.column("logp_reference").tolist()),
            "hypotheses": [(it.text, it.closed) for it in pane.hypotheses()],
            "state": pane.state,
        },
    }


def test_an_hour_of_probing_opens_without_the_pair_and_with_it(open_window, qtbot, tmp_path):
    window = open_window(PairSpec(demo=True))
    view = window.view
    rest(window, qtbot)
    editor = view.panels["B"].editor
    for words in (" They", " can't", " sleep."):
        editor.moveCursor(QTextCursor.MoveOperation.End)
        qtbot.keyClicks(editor, words)
        rest(window, qtbot)
    scoring = view.scorings()["A"]
    assert view.replace("A", 2, int(scoring.ids[4]))
    rest(window, qtbot)
    window.history.ask_name = lambda name, parent: "another word in A"
    window.menus.actions["name_this"].trigger()
    window.menus.actions["go_back"].trigger()
    rest(window, qtbot)
    window.menus.actions["go_forward"].trigger()
    rest(window, qtbot)
    window.menus.actions["show_search"].trigger()
    search = window.searches.view
    search.form.set_spec(SearchSpec(Beam(width=3), max_tokens=8))
    window.menus.actions["grow_tree"].trigger()
    qtbot.waitUntil(lambda: search.trees.panes["left"].state == "done", timeout=PATIENCE)
    window.menus.actions["show_credit"].trigger()
    view.focus_on.pin("B", 3)
    qtbot.waitUntil(lambda: view.inspector.inspection() is not None, timeout=PATIENCE)
    rest(window, qtbot)
    before = shown(window)
    # At first, typed (one burst where that is quick), another word.
    assert len(before["history"]) >= 3 and before["tree"]["nodes"] > 8
    path = tmp_path / "an hour.qscope"
    window.ask.new_file = lambda title, name, filters: str(path)
    window.menus.actions["save"].trigger()
    qtbot.waitUntil(path.exists, timeout=PATIENCE)
    window.close()

    without = open_window(make_engine=Absent, session=path)
    rest(without, qtbot)
    known = without.view
    qtbot.waitUntil(lambda: known.inspector.inspection() is not None, timeout=PATIENCE)
    qtbot.waitUntil(lambda: all(row.value == row.value for row in known.history.rows))
    trees = without.searches.view.trees
    qtbot.waitUntil(lambda: trees.panes["left"].state == "done", timeout=PATIENCE)
    assert shown(without) == before
    assert without.sessions.badge.text().startswith("Recorded ")
    without.close()

    again = open_window(session=path)
    qtbot.waitUntil(lambda: again.notice.topic() == "session", timeout=PATIENCE)
    assert again.notice.message.text().endswith("tokens agree.")
    rest(again, qtbot)
    qtbot.waitUntil(lambda: again.view.inspector.inspection() is not None, timeout=PATIENCE)
    qtbot.waitUntil(lambda: all(row.value == row.value for row in again.view.history.rows))
    after = shown(again)
    for part in ("texts", "ids", "about", "pinned", "verdict", "figures"):
        assert after[part] == before[part], part
    for side in "AB":
        assert after["rewards"][side] == pytest.approx(before["rewards"][side], abs=1e-4)
    assert not again.sessions.badge.isVisible() and not again.isWindowModified()
