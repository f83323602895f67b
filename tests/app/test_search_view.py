"""The search view in the real window, driven by keys and mouse, on a scripted engine."""

import time
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QWheelEvent
from PySide6.QtWidgets import QApplication

from app.search.hypotheses import COLUMNS
from app.search.start import Start
from app.search.trees import BESIDE, ONE, OVER
from app.search.viewpoint import Viewpoint
from app.settings import Settings
from core.engine.protocol import Inspect, ListLabels, PairSpec, Resume, Score, Search, Steer
from core.present.node_facts import fate
from core.recording import Grow, Tree
from core.search.grown import Reason, Status
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.best_first import BestFirst
from core.search.strategies.given import Given
from core.search.strategies.sampling import Sampling
from tests.app.conftest import do, settled
from tests.app.fake_engine import INFO, WORDS, FakeEngine, example, word_id
from tests.app.fake_search import Grower, Words, child_of, random_growths

CTRL = Qt.KeyboardModifier.ControlModifier
SPEC = SearchSpec(Beam(3), max_tokens=8)


class Stepwise(FakeEngine):
    gated = (Search, Resume)


class NoSearch(FakeEngine):
    fail_search = "The prompt is longer than the context of 1024 tokens: shorten it."


def quiet(qtbot, window):
    """Nothing grows and nothing is asked for."""
    view = window.searches.view
    qtbot.waitUntil(
        lambda: not window.client.busy() and not (view is not None and view.trees.are_growing()),
        timeout=10_000,
    )


def grown(qtbot, window, spec=SPEC):
    do(window, "show_search")
    window.searches.view.form.set_spec(spec)
    window.searches.view.grow()
    quiet(qtbot, window)
    return window.searches.view


@pytest.fixture
def view(window, qtbot):
    return grown(qtbot, window)


def pane(view, name="left"):
    return view.trees.panes[name]


def searches():
    return FakeEngine.last.asked(Search)


def click(qtbot, canvas, entry):
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect_of(entry).center())


# --- the view and what grows in it ----------------------------------------------------------------


def test_the_view_is_made_when_it_is_first_wanted(window, qtbot):
    assert window.searches.view is None
    qtbot.keyClick(window, Qt.Key.Key_2, CTRL)
    assert window.pages.currentWidget() is window.searches.view
    assert window.pages.tabs.currentIndex() == 1
    assert "No tree yet" in pane(window.searches.view).canvas.message
    qtbot.keyClick(window, Qt.Key.Key_1, CTRL)
    assert window.pages.currentWidget() is window.view


def test_a_tree_grows_as_the_engine_says(window, qtbot):
    do(window, "show_search")
    window.searches.view.form.set_spec(SPEC)
    qtbot.keyClick(window, Qt.Key.Key_G, CTRL)
    quiet(qtbot, window)
    asked = searches()[-1]
    assert asked.spec == SPEC and asked.prefix == () and asked.pane == "left"
    assert asked.prompt == window.view.prompt.prompt()
    growths = Grower(Words(word_id, WORDS), (), SPEC).growths
    nodes = {int(node) for growth in growths for node in growth.step.nodes}
    tree = pane(window.searches.view).tree
    assert set(tree.node.tolist()) == nodes and pane(window.searches.view).state == "done"
    assert f"{len(nodes) - 1} nodes" in pane(window.searches.view).about.text()
    rows = window.searches.view.hypotheses.table.found.rows
    assert [row.found.node for row in rows] == growths[-1].step.best.tolist()


def test_every_box_is_hit_where_it_is_drawn(view):
    canvas = pane(view).canvas
    canvas.fit()
    for entry in np.flatnonzero(canvas.picture.placed.shown).tolist():
        assert canvas.entry_at(QPointF(canvas.rect_of(entry).center())) == entry
    assert canvas.entry_at(QPointF(canvas.width() - 1, canvas.height() - 1)) == -1


def test_a_click_shows_the_node_and_asks_what_may_follow(view, window, qtbot):
    canvas, tree = pane(view).canvas, pane(view).tree
    entry = int(np.flatnonzero(tree.depth == 3)[0])
    canvas.fit()
    click(qtbot, canvas, entry)
    assert canvas.chosen == entry and view.side.currentWidget() is view.node_page
    assert view.node.text.text() == tree.text(entry)
    qtbot.waitUntil(lambda: view.node.following.rowCount() == 8, timeout=10_000)
    asked = FakeEngine.last.asked(Inspect)[-1]
    assert asked.state.node == tree.node[entry] and asked.state.pane == "left"
    # And by text, if the engine has evicted the node.
    assert asked.state.prompt == example().prompt and asked.state.ids == tree.ids(entry)
    asked = len(FakeEngine.last.requests)
    click(qtbot, canvas, 0)
    quiet(qtbot, window)
    click(qtbot, canvas, entry)
    qtbot.wait(120)
    assert len(FakeEngine.last.requests) <= asked + 1  # what is known is not asked for again


def test_hovering_says_what_became_of_a_node(view, qtbot):
    canvas, tree = pane(view).canvas, pane(view).tree
    canvas.fit()
    pruned = int(np.flatnonzero(tree.status == Status.PRUNED)[0])
    qtbot.mouseMove(canvas, QPoint(1, canvas.height() - 2))
    qtbot.mouseMove(canvas, canvas.rect_of(pruned).center())
    popup = pane(view).popup
    assert popup.isVisible()
    where = canvas.rect_of(pruned).translated(canvas.mapTo(popup.parentWidget(), QPoint(0, 0)))
    assert not popup.geometry().intersects(where)
    text = popup.label.text()
    assert f"pruned at step {int(tree.step[pruned])}, outscored" in text
    assert "raw-logit gauge" in text and "Σ log π_ref" in text and "visits" in text
    qtbot.mouseMove(canvas, QPoint(1, canvas.height() - 2))
    assert not popup.isVisible()
    qtbot.mouseMove(canvas, canvas.rect_of(pruned).center())
    assert popup.isVisible()
    do(view.window(), "show_credit")
    assert not popup.isVisible()


def test_arrow_keys_walk_the_tree(view, qtbot):
    canvas, picture = pane(view).canvas, pane(view).picture
    canvas.setFocus()
    way = picture.tree.path(int(picture.tree.best[0])).tolist()
    qtbot.keyClick(canvas, Qt.Key.Key_Home)
    assert canvas.chosen == 0
    for entry in way:
        qtbot.keyClick(canvas, Qt.Key.Key_Right)
        assert canvas.chosen == entry
    qtbot.keyClick(canvas, Qt.Key.Key_Left)
    assert canvas.chosen == way[-2]
    qtbot.keyClick(canvas, Qt.Key.Key_Home)
    qtbot.keyClick(canvas, Qt.Key.Key_End)
    assert canvas.chosen == way[-1] and canvas.rect().contains(canvas.rect_of(way[-1]).center())
    kids = picture.children(0)
    canvas.go_to(kids[0])
    qtbot.keyClick(canvas, Qt.Key.Key_Down)
    assert canvas.chosen == kids[1]
    qtbot.keyClick(canvas, Qt.Key.Key_Up)
    assert canvas.chosen == kids[0]
    assert view.selection.place == ("left", kids[0])


def test_keys_zoom_fit_and_follow(view, qtbot):
    canvas = pane(view).canvas
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_0)
    whole = canvas.view
    qtbot.keyClick(canvas, Qt.Key.Key_Plus)
    assert canvas.view.zoom > whole.zoom
    qtbot.keyClick(canvas, Qt.Key.Key_Minus)
    assert canvas.view.zoom == pytest.approx(whole.zoom)
    qtbot.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.view == whole
    qtbot.keyClick(canvas, Qt.Key.Key_F)
    assert canvas.following and view.trees.follow_button.isChecked()
    leaf = canvas.picture.best_leaf()
    assert canvas.rect().contains(canvas.rect_of(leaf).center())
    qtbot.keyClick(canvas, Qt.Key.Key_Minus)
    assert not canvas.following and not view.trees.follow_button.isChecked()


def test_the_wheel_zooms_at_the_mouse_and_dragging_moves(view, qtbot):
    canvas = pane(view).canvas
    canvas.fit()
    entry = canvas.picture.best_leaf()
    at = canvas.rect_of(entry).center()
    event = QWheelEvent(
        QPointF(at), QPointF(canvas.mapToGlobal(at)), QPoint(), QPoint(0, 240),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    before = canvas.view.zoom
    QApplication.sendEvent(canvas, event)
    assert canvas.view.zoom > before and canvas.rect_of(entry).contains(at)
    left = canvas.view.left
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at)
    qtbot.mouseMove(canvas, at + QPoint(40, 0))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at + QPoint(40, 0))
    assert canvas.view.left == pytest.approx(left - 40 / canvas.view.zoom)


def test_space_hides_what_is_below_and_u_unfolds_a_run(view, window, qtbot):
    canvas, picture = pane(view).canvas, pane(view).picture
    canvas.setFocus()
    canvas.go_to(picture.children(0)[0])
    top = canvas.chosen
    qtbot.keyClick(canvas, Qt.Key.Key_Space)
    assert picture.placed.inside[top] == sum(
        top in picture.tree.path(i)[:-1] for i in range(len(picture))
    )
    assert picture.children(top) == []
    qtbot.keyClick(canvas, Qt.Key.Key_Space)
    assert picture.placed.shown.all()
    grown(qtbot, window, SearchSpec(Beam(1), max_tokens=9))
    picture = pane(view).picture
    run = int(np.flatnonzero(picture.placed.run > 1)[0]) if (picture.placed.run > 1).any() else 0
    if run:
        canvas.go_to(run)
        qtbot.keyClick(canvas, Qt.Key.Key_U)
        assert picture.placed.run[run] == 1
        qtbot.keyClick(canvas, Qt.Key.Key_U)
        assert picture.placed.run[run] > 1


def test_the_map_goes_where_it_is_clicked(view, qtbot):
    canvas, small = pane(view).canvas, pane(view).minimap
    canvas.fit()
    assert not small.isVisible()
    canvas.look_from(Viewpoint(3.0, 0.0, 0.0))
    assert small.isVisible()
    small.grab()
    before = canvas.view
    qtbot.mouseClick(small, Qt.MouseButton.LeftButton, pos=QPoint(60, 40))
    assert canvas.view.zoom == 3.0 and (canvas.view.left, canvas.view.top) != (
        before.left,
        before.top,
    )


def test_beta_rescales_and_asks_nothing(view, window):
    asked = len(FakeEngine.last.requests)
    before = pane(view).picture.rewards.copy()
    shown = [row.reward(view.beta()) for row in view.hypotheses.table.found.rows]
    window.view.controls.beta.setValue(0.2)
    np.testing.assert_allclose(pane(view).picture.rewards, 2 * before)
    model = view.hypotheses.table.found
    texts = [model.data(model.index(row, 5)).replace("−", "-") for row in range(len(shown))]
    assert [float(text) for text in texts] == pytest.approx([2 * r for r in shown], abs=6e-4)
    assert len(FakeEngine.last.asked(Search)) == 1
    assert {type(r) for r in FakeEngine.last.requests[asked:]} <= {Score, Inspect}


# --- hypotheses -----------------------------------------------------------------------------------


def header_click(qtbot, table, title):
    column = [c.title for c in table_columns()].index(title)
    header = table.horizontalHeader()
    where = QPoint(header.sectionViewportPosition(column) + 8, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=where)


def table_columns():
    from app.search.hypotheses import COLUMNS

    return COLUMNS


@pytest.mark.parametrize("title", ["Σ r", "Σ log π_ref", "text", "rank"])
def test_the_table_is_sorted_by_any_column(view, qtbot, title):
    table = view.hypotheses.table
    column = next(c for c in table_columns() if c.title == title)
    orders = []
    for _ in range(2):
        header_click(qtbot, table, title)
        orders.append([column.key(row, view.beta()) for row in table.found.rows])
    rising = sorted(orders[0])
    assert sorted(orders, key=lambda order: order != rising) == [rising, rising[::-1]]


def test_two_hypotheses_are_compared_as_a_and_b(view, window, qtbot):
    texts = [window.view.panels[side].text() for side in "AB"]
    table = view.hypotheses.table
    table.setFocus()
    table.selectRow(1)
    assert not view.hypotheses.compare.isEnabled() and view.hypotheses.to_a.isEnabled()
    qtbot.keyClick(table, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    chosen = table.chosen()
    assert len(chosen) == 2
    qtbot.mouseClick(view.hypotheses.compare, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    for side, row in zip("AB", chosen, strict=True):
        assert window.view.panels[side].text() == row.found.text
        assert window.view.panels[side].scoring.tokens.ids == row.found.ids
        asked = [r for r in FakeEngine.last.asked(Score) if r.side == side][-1]
        assert asked.ids == row.found.ids
    assert window.view.isVisible() and not view.isVisible()  # there they are compared
    editor = window.view.panels["B"].editor
    editor.setFocus()
    qtbot.keyClick(editor, Qt.Key.Key_Z, CTRL)  # one step for both
    assert [window.view.panels[side].text() for side in "AB"] == texts
    qtbot.keyClick(editor, Qt.Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier)
    assert [window.view.panels[side].text() for side in "AB"] == [it.found.text for it in chosen]
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_a_response_that_was_cut_is_not_called_finished(window, qtbot):
    view = grown(qtbot, window, SearchSpec(Beam(8), Objective.dial(0.0), max_tokens=3))
    tree, found = pane(view).tree, view.hypotheses.table.found
    qtbot.waitUntil(lambda: bool(found.rows))
    column = next(i for i, c in enumerate(COLUMNS) if c.title == "finished")
    said = {}
    for place, row in enumerate(found.rows):
        words = found.index(place, column).data()
        assert words == ("yes" if tree.is_closed(row.found.index) else "cut")
        said[words] = row
    assert "cut" in said
    assert fate(tree, said["cut"].found.index).startswith("cut at step")


def test_enter_goes_to_a_hypothesis_in_its_tree(view, qtbot):
    table = view.hypotheses.table
    table.setFocus()
    table.selectRow(2)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert pane(view).canvas.chosen == table.found.rows[2].found.index
    assert pane(view).canvas.hasFocus()


def test_a_closed_hypothesis_is_sent_without_its_closing_token(window, qtbot):
    view = grown(qtbot, window, SearchSpec(Beam(8), Objective.dial(0.0), max_tokens=10))
    tree = pane(view).tree
    closed = [i for i in range(len(tree)) if tree.is_closed(i)]
    assert closed
    view.select("left", closed[0])
    qtbot.mouseClick(view.node.buttons["A"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert window.view.panels["A"].text() == tree.text(closed[0])
    assert FakeEngine.last.asked(Score)[-1].ids == tree.ids(closed[0])[:-1]
    assert not view.node.buttons["grow"].isEnabled()


# --- at a node ------------------------------------------------------------------------------------


def test_steering_is_asked_for_and_shown(view, window, qtbot):
    canvas, picture = pane(view).canvas, pane(view).picture
    entry = int(picture.tree.path(picture.best_leaf())[1])
    canvas.go_to(entry)
    node, before = int(picture.tree.node[entry]), int(picture.tree.status[entry])
    for button, action in (("pin", "pin"), ("pin", "release"), ("prune", "prune")):
        qtbot.mouseClick(view.node.buttons[button], Qt.MouseButton.LeftButton)
        quiet(qtbot, window)
        asked = FakeEngine.last.asked(Steer)[-1]
        assert (asked.pane, asked.node, asked.action) == ("left", node, action)
        assert (entry in picture.pinned) == (action == "pin")
    assert picture.tree.reason[entry] == Reason.BY_HAND and picture.pruned[entry]
    assert view.node.buttons["prune"].text() == "Take back"
    qtbot.mouseClick(view.node.buttons["prune"], Qt.MouseButton.LeftButton)
    quiet(qtbot, window)
    assert picture.tree.status[entry] == before and not picture.pruned[entry]


def test_a_node_is_grown_from_with_any_strategy(view, window, qtbot):
    canvas, tree = pane(view).canvas, pane(view).tree
    pruned = int(np.flatnonzero((tree.status == Status.PRUNED) & (tree.token > 0))[0])
    canvas.go_to(pruned)
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Return)
    assert view.node_actions.menu.isVisible()
    wanted = {action.data(): action for action in view.node_actions.menu.actions()}
    assert {"grow", "sample", "pin", "prune", "A", "B", "force"} <= set(wanted)
    inner = next(action.menu() for action in view.node_actions.menu.actions() if action.menu())
    size = len(tree)
    next(a for a in inner.actions() if a.data() == "grow best-first").trigger()
    view.node_actions.menu.close()
    quiet(qtbot, window)
    asked = searches()[-1]
    assert asked.prefix == tree.ids(pruned) and asked.spec.strategy == BestFirst()
    assert pane(view).tree is tree and len(tree) > size
    assert tree.entry(child_of(int(tree.node[pruned]), int(tree.token[size]))) is not None
    qtbot.mouseClick(view.node.buttons["sample"], Qt.MouseButton.LeftButton)
    quiet(qtbot, window)
    assert searches()[-1].spec.strategy == Sampling(count=4)


def test_a_token_is_forced_from_the_alternatives_and_the_vocabulary(view, window, qtbot):
    canvas, tree = pane(view).canvas, pane(view).tree
    entry = int(np.flatnonzero(tree.depth == 2)[0])
    canvas.go_to(entry)
    following = view.node.following
    qtbot.waitUntil(lambda: following.rowCount() == 8, timeout=10_000)
    following.setFocus()
    following.setCurrentCell(7, 0)
    qtbot.keyClick(following, Qt.Key.Key_Return)
    quiet(qtbot, window)
    asked = searches()[-1]
    assert asked.prefix == tree.ids(entry)
    forced = asked.spec.strategy
    assert isinstance(forced, Given) and len(forced.tokens) == 1
    child = tree.entry(child_of(int(tree.node[entry]), forced.tokens[0]))
    assert child is not None and pane(view).picture.given[child]
    assert pane(view).spec == SPEC  # hypotheses are ranked as before
    qtbot.keyClicks(view.node.search, "manage")
    qtbot.waitUntil(lambda: following.rowCount() == 1, timeout=10_000)
    assert FakeEngine.last.asked(Inspect)[-1].query == "manage"
    qtbot.keyClick(view.node.search, Qt.Key.Key_Return)
    quiet(qtbot, window)
    assert searches()[-1].spec.strategy == Given((word_id(" management"),))


# --- from the credit view -------------------------------------------------------------------------


def test_a_response_is_searched_from_its_token_and_shown_as_a_path(window, qtbot):
    editor = window.view.panels["A"].editor
    tokens = window.view.panels["A"].scoring.tokens
    editor.setFocus()
    cursor = editor.textCursor()
    cursor.setPosition(tokens.starts[3] + 1)
    editor.setTextCursor(cursor)
    do(window, "show_search")
    window.searches.view.form.set_spec(SPEC)
    do(window, "show_credit")
    editor.setFocus()
    qtbot.keyClick(editor, Qt.Key.Key_Return, CTRL)
    view = window.searches.view
    quiet(qtbot, window)
    assert window.pages.currentWidget() is view and editor.text() == tokens.text
    given, searched = searches()
    assert given.prefix == searched.prefix == tokens.ids[:3]
    assert given.spec.strategy == Given(tokens.ids[3:], closed=True)
    assert searched.spec == SPEC
    picture = pane(view).picture
    way = np.flatnonzero(picture.given)
    assert tuple(picture.tree.token[way].tolist()) == (*tokens.ids[3:], 0)
    assert picture.start == "They were offered"
    listed = [row.found.index for row in view.hypotheses.table.found.rows]
    assert int(way[-1]) in listed and len(listed) == 4  # the response beside what was found
    view.select("left", int(way[-1]))
    qtbot.mouseClick(view.node.buttons["B"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert window.view.panels["B"].text() == tokens.text
    qtbot.mouseClick(view.start_clear, Qt.MouseButton.LeftButton)
    view.grow()
    quiet(qtbot, window)
    assert searches()[-1].prefix == () and not pane(view).picture.given.any()


def test_search_from_here_needs_a_token(window):
    window.view.prompt.first_turn().setFocus()
    do(window, "search_from_here")
    assert "Put the caret on a token" in window.notice.message.text()
    assert not searches()


# --- stopping, failing, unloading -----------------------------------------------------------------


def test_a_stopped_search_goes_on_to_the_same_tree(open_window, qtbot):
    window = open_window(engine=Stepwise)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    do(window, "show_search")
    view = window.searches.view
    view.form.set_spec(SPEC)
    view.grow()
    left = pane(view)
    FakeEngine.last.allow(3)
    growths = Grower(Words(word_id, WORDS), (), SPEC).growths
    known = nodes_of(growths[:3])
    qtbot.waitUntil(lambda: set(left.tree.node.tolist()) == known, timeout=10_000)
    assert view.stop_button.isEnabled() and not view.resume_button.isEnabled()
    assert "growing" in left.about.text()
    qtbot.keyClick(window, Qt.Key.Key_Period, CTRL)
    qtbot.waitUntil(lambda: left.state == "stopped", timeout=10_000)
    assert set(left.tree.node.tolist()) == known
    assert "stopped" in left.about.text() and not view.stop_button.isEnabled()
    FakeEngine.last.allow()
    qtbot.mouseClick(view.resume_button, Qt.MouseButton.LeftButton)
    quiet(qtbot, window)
    assert FakeEngine.last.asked(Resume)[-1].pane == "left" and left.state == "done"
    nodes = nodes_of(growths)
    assert set(left.tree.node.tolist()) == nodes and len(nodes) > len(known)


@pytest.mark.parametrize("from_a_node", [False, True])
def test_a_search_dropped_while_it_waited_is_the_one_that_resume_begins(
    open_window, qtbot, from_a_node
):
    window = open_window(engine=Stepwise)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    do(window, "show_search")
    view, engine = window.searches.view, FakeEngine.last
    view.form.set_spec(SPEC)
    view.grow()
    left = pane(view)
    engine.allow(3)
    words = Words(word_id, WORDS)
    known = nodes_of(Grower(words, (), SPEC).growths[:3])
    qtbot.waitUntil(lambda: set(left.tree.node.tolist()) == known, timeout=10_000)
    view.stop()
    qtbot.waitUntil(lambda: left.state == "stopped", timeout=10_000)
    engine.gated = (*engine.gated, ListLabels)
    window.client.ask(ListLabels)  # what the next search waits for
    other = SearchSpec(Beam(2), max_tokens=6)
    prefix = left.tree.ids(1) if from_a_node else ()
    if from_a_node:
        left.grow_from(1, other)
    else:
        view.form.set_spec(other)
        view.grow()
    view.stop()
    qtbot.waitUntil(lambda: left.state == "stopped", timeout=10_000)
    assert set(left.tree.node.tolist()) == known
    engine.allow()
    qtbot.mouseClick(view.resume_button, Qt.MouseButton.LeftButton)
    quiet(qtbot, window)
    assert not engine.asked(Resume) and left.state == "done"
    expected = nodes_of(Grower(words, tuple(prefix), other).growths)
    assert set(left.tree.node.tolist()) == (known | expected if from_a_node else expected)
    grows = window.client.recording.trees["left"].grows
    assert [it.spec for it in grows] == ([SPEC, other] if from_a_node else [other])


def nodes_of(growths):
    return {int(node) for growth in growths for node in growth.step.nodes}


def test_a_search_stopped_on_the_given_path_goes_on_behind_it(open_window, qtbot):
    window = open_window(engine=Stepwise)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    do(window, "show_search")
    view, engine = window.searches.view, FakeEngine.last
    view.form.set_spec(SPEC)
    ids = window.view.scorings()["B"].tokens.ids
    view.search_from(Start(window.view.prompt.prompt(), given=ids, name="token 1 of B"))
    left = pane(view)
    engine.allow(3)
    qtbot.waitUntil(lambda: len(left.tree) == 3, timeout=10_000)
    view.stop()
    qtbot.waitUntil(lambda: left.state == "stopped", timeout=10_000)
    engine.allow()
    view.resume()
    quiet(qtbot, window)
    given, search = engine.asked(Search)
    assert isinstance(given.spec.strategy, Given) and search.spec == SPEC
    assert left.state == "done" and nodes_of(
        Grower(Words(word_id, WORDS), (), SPEC).growths
    ) <= set(left.tree.node.tolist())


def test_a_failed_search_keeps_the_tree_that_is_there(view, window, qtbot):
    before = pane(view).tree
    FakeEngine.last.fail_search = NoSearch.fail_search
    view.grow()
    quiet(qtbot, window)
    assert window.notice.message.text() == NoSearch.fail_search and pane(view).state == "failed"
    assert pane(view).tree is before and len(before)
    FakeEngine.last.fail_search = ""
    view.grow()
    quiet(qtbot, window)
    assert window.notice.topic() != "search" and pane(view).tree is not before


@pytest.mark.parametrize("instead", ["another", "failure"])
def test_what_was_pruned_in_a_recorded_tree_is_not_pruned_in_another(view, window, qtbot, instead):
    left, engine = pane(view), FakeEngine.last
    start, node = left.start, int(left.tree.node[1])
    grow = Grow(start.prompt, start.prefix, SPEC, True, start.context)
    if instead == "failure":
        engine.fail_search = NoSearch.fail_search
    left.show_again(start, Tree("", [grow, grow], {node: "prune"}))
    if instead == "failure":
        quiet(qtbot, window)
        assert left.state == "failed"
        engine.fail_search = ""
    view.grow()
    quiet(qtbot, window)
    assert left.state == "done" and left.tree.entry(node) is not None
    assert not engine.asked(Steer)


def test_a_pair_closed_while_a_tree_grows_leaves_the_tree(open_window, qtbot):
    window = open_window(engine=Stepwise)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    do(window, "show_search")
    view = window.searches.view
    view.form.set_spec(SPEC)
    view.grow()
    left = pane(view)
    FakeEngine.last.allow(4)
    qtbot.waitUntil(lambda: len(left.canvas.picture) > 8, timeout=10_000)
    do(window, "close_pair")
    assert left.state == "closed" and "no longer loaded" in left.about.text()
    assert not view.grow_button.isEnabled() and not view.stop_button.isEnabled()
    left.canvas.go_to(3)
    assert not any(view.node.buttons[name].isEnabled() for name in ("grow", "pin", "prune"))
    asked = len(searches())
    do(window, "grow_tree")
    assert "Nothing is loaded" in window.notice.message.text() and len(searches()) == asked
    kept = left.tree.text(3)
    qtbot.mouseClick(view.node.buttons["A"], Qt.MouseButton.LeftButton)
    assert window.view.panels["A"].text() == kept
    window.pair.load(PairSpec(policy="p", reference="r"))
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert left.tree.text(3) == kept and not left.can_grow_from(3)
    view.grow()
    FakeEngine.last.allow(2)
    qtbot.waitUntil(lambda: left.can_grow_from(1), timeout=10_000)
    view.stop()
    quiet(qtbot, window)


def test_the_window_closes_at_once_while_a_tree_grows(open_window, qtbot):
    window = open_window(engine=Stepwise)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    do(window, "show_search")
    window.searches.view.form.set_spec(SearchSpec(Beam(3), max_tokens=500))
    window.searches.view.grow()
    FakeEngine.last.allow(3)
    qtbot.waitUntil(lambda: len(pane(window.searches.view).tree) > 3, timeout=10_000)
    window.close()
    assert FakeEngine.last.ended


def test_absurd_settings_are_refused_and_nothing_is_asked(view, qtbot):
    asked = len(searches())
    box = view.form.settings.fields["width"]
    box.selectAll()
    qtbot.keyClicks(box, "0")
    qtbot.mouseClick(view.grow_button, Qt.MouseButton.LeftButton)
    assert view.form.problem.isVisible() and "from 1 to 4096, not 0" in view.form.problem.text()
    assert len(searches()) == asked and len(pane(view).tree)
    box.selectAll()
    qtbot.keyClicks(box, "2")
    assert not view.form.problem.isVisible()


def test_an_empty_prompt_is_refused_in_a_sentence(view, window):
    asked = len(searches())
    window.view.prompt.first_turn().clear()
    view.grow()
    assert "prompt is empty" in window.notice.message.text() and len(searches()) == asked


def test_a_tree_of_an_earlier_prompt_says_so(view, window, qtbot):
    assert "earlier prompt" not in pane(view).about.toolTip()
    do(window, "show_credit")
    qtbot.keyClicks(window.view.prompt.first_turn(), "Briefly. ")
    do(window, "show_search")
    assert "of an earlier prompt" in pane(view).about.toolTip()
    view.grow()
    quiet(qtbot, window)
    assert "earlier prompt" not in pane(view).about.toolTip()


# --- finding and comparing ------------------------------------------------------------------------


def test_text_is_found_and_gone_through(view, window, qtbot):
    canvas, picture = pane(view).canvas, pane(view).picture
    qtbot.keyClick(window, Qt.Key.Key_F, CTRL)
    assert view.find_bar.box.hasFocus()
    word = picture.tree.text(picture.best_leaf()).split()[2]
    qtbot.keyClicks(view.find_bar.box, word)
    wanted = picture.search(word)
    qtbot.waitUntil(lambda: picture.found == set(wanted), timeout=10_000)
    assert view.find_bar.count.text() == str(len(wanted))
    for count in (1, 2):
        qtbot.keyClick(view.find_bar.box, Qt.Key.Key_Return)
        assert canvas.chosen == wanted[(count - 1) % len(wanted)]
        assert view.find_bar.count.text().startswith(f"{(count - 1) % len(wanted) + 1} of")
    qtbot.mouseClick(view.find_bar.previous_button, Qt.MouseButton.LeftButton)
    assert canvas.chosen == wanted[0]
    view.find_bar.box.clear()
    qtbot.waitUntil(lambda: not picture.found, timeout=10_000)


def test_two_dials_are_compared_beside_and_over_each_other(view, window, qtbot):
    view.trees.mode.setCurrentIndex(view.trees.mode.findData(BESIDE))
    right = pane(view, "right")
    assert right.isVisible() and view.both_button.isVisible()
    right.canvas.setFocus()
    assert view.trees.active == "right"
    other = SearchSpec(Beam(3), Objective.dial(3.0), max_tokens=8)
    view.form.set_spec(other)
    view.grow()
    quiet(qtbot, window)
    assert searches()[-1].pane == "right" and searches()[-1].spec == other
    assert {row.pane for row in view.hypotheses.table.found.rows} == {"left", "right"}
    assert pane(view).picture.only is not None and set(right.picture.only) > {0}
    qtbot.mouseClick(pane(view).canvas, Qt.MouseButton.LeftButton, pos=QPoint(2, 2))
    pane(view).canvas.setFocus()
    assert view.form.spec() == SPEC
    view.trees.mode.setCurrentIndex(view.trees.mode.findData(OVER))
    assert view.trees.over.isVisible() and not right.isVisible()
    nodes = {*pane(view).tree.node.tolist(), *right.tree.node.tolist()}
    qtbot.waitUntil(
        lambda: set(view.trees.over.picture.tree.node.tolist()) == nodes, timeout=10_000
    )
    qtbot.waitUntil(lambda: not view.trees.is_comparing(), timeout=10_000)
    both = view.trees.over.picture.tree
    entry = next(e for e in range(len(both)) if pane(view).tree.entry(int(both.node[e])) is None)
    view.trees.over.fit()
    view.trees.over.go_to(entry)
    assert view.selection.place == ("right", right.tree.entry(int(both.node[entry])))
    view.grow_both()
    quiet(qtbot, window)
    assert [s.pane for s in searches()[-2:]] == ["left", "right"]
    view.trees.mode.setCurrentIndex(view.trees.mode.findData(ONE))
    assert pane(view).picture.only is None and view.trees.active == "left"


# --- looks and memory -----------------------------------------------------------------------------


def test_light_and_dark(view, window):
    canvas = pane(view).canvas
    for name, dark in (("theme dark", True), ("theme light", False)):
        do(window, name)
        image = canvas.grab().toImage()
        paper = image.pixelColor(image.width() // 2, image.height() - 6)
        assert (paper.lightness() < 80) == dark
        leaf = canvas.picture.best_leaf()
        canvas.fit()
        box = canvas.rect_of(leaf)
        inside = canvas.grab().toImage().pixelColor(box.left() + 3, box.top() + 3)
        r = float(canvas.picture.rewards[leaf])
        assert inside == QColor(canvas.ink.scale.css(r))


def test_what_was_pruned_has_a_dashed_outline_and_the_colour_of_its_reward(view, window):
    canvas = pane(view).canvas
    assert "dashed: pruned" in view.key.text()
    for name in ("theme dark", "theme light"):
        do(window, name)
        canvas.look_from(Viewpoint(1.0, -40.0, -40.0))
        image, ink, picture = canvas.grab().toImage(), canvas.ink, canvas.picture
        paper, seen = QColor(ink.colours.window), {True: 0, False: 0}
        for entry in range(1, len(picture)):
            box = canvas.rect_of(entry)
            if not canvas.rect().contains(box.adjusted(-4, -4, 4, 4)) or picture.best[entry]:
                continue
            if picture.placed.run[entry] > 1:
                continue
            pruned = bool(picture.pruned[entry])
            fill = QColor(ink.scale.css(float(picture.rewards[entry])))
            assert image.pixelColor(box.left() + 2, box.top() + 2) == fill
            edge = {image.pixel(x, box.top() - 1) for x in range(box.left(), box.right())}
            assert (paper.rgb() in edge) == pruned and ink.edges[0].rgb() in edge
            seen[pruned] += 1
        assert all(seen.values())


def test_from_afar_each_token_is_a_bar_of_its_colour(view):
    canvas = pane(view).canvas
    canvas.fit()
    canvas.look_from(Viewpoint(0.2, -40.0, -40.0))
    image, ink = canvas.grab().toImage(), canvas.ink
    picture = canvas.picture
    plain = [
        e for e in range(1, len(picture)) if not picture.best[e] and picture.placed.run[e] == 1
    ]
    assert plain
    for entry in plain:
        box = canvas.rect_of(entry)
        across = range(box.left(), box.right())
        seen = [image.pixelColor(x, box.center().y()) for x in across]
        colour = ink.bars[int(picture.classes[entry])]
        assert colour in seen, entry
        assert (QColor(ink.colours.window) in seen) == bool(picture.pruned[entry]), entry


@pytest.mark.parametrize("size", [(900, 600), (1600, 1000)])
def test_it_fits_small_and_large_windows_and_presentations(view, window, size):
    window.resize(*size)
    QApplication.processEvents()
    assert window.width() == size[0]
    for widget in (view.grow_button, view.find_bar.box, view.legend, view.hypotheses.compare):
        corner = widget.mapTo(window, widget.rect().bottomRight())
        assert window.rect().contains(corner) and widget.isVisible()
    usual = pane(view).canvas.usual
    do(window, "zoom_in")
    assert pane(view).canvas.usual > usual


def test_the_form_is_remembered(open_window, qtbot):
    first = open_window()
    qtbot.waitUntil(lambda: settled(first), timeout=10_000)
    spec = SearchSpec(BestFirst(expansions=50, optimism=0.5), Objective.dial(1.5), 20, 1.0)
    do(first, "show_search")
    first.searches.view.form.set_spec(spec)
    first.searches.view.trees.mode.setCurrentIndex(first.searches.view.trees.mode.findData(BESIDE))
    first.close()
    again = open_window(settings=Settings.of_user())
    qtbot.waitUntil(lambda: settled(again), timeout=10_000)
    do(again, "show_search")
    view = again.searches.view
    assert view.form.spec() == spec and view.trees.mode.currentData() == BESIDE


def test_the_dial_and_the_number_are_one(view, qtbot):
    form = view.form
    form.dial.setValue(40)
    assert form.weight.value() == 2.0 and form.spec().objective == Objective.dial(2.0)
    form.weight.setValue(0.5)
    assert form.dial.value() == 10 and "Between" in form.dial_meaning.text()
    form.reward_alone.click()
    assert (
        form.spec().objective == Objective.reward() and "over-optimises" in form.dial_meaning.text()
    )


def test_a_fast_search_is_taken_in_bit_by_bit(view, qtbot):
    """However much has gathered, one go takes in for some milliseconds only."""
    left = pane(view)
    for growth in random_growths(3000):
        left._queue.append(growth)
    left._starts = True
    left._take_in()
    assert len(left._queue) > 0
    begun = time.monotonic()
    while left._queue and time.monotonic() - begun < 20:
        qtbot.wait(5)
    assert len(left.tree) == 3000 and left.picture.placed is not None


# --- a third model --------------------------------------------------------------------------------


def test_a_larger_model_is_steered_where_there_is_one(view, qtbot):
    form = view.form
    assert form.emulated.isHidden()
    view.set_pair(replace(INFO, search_base="large"))
    assert form.emulated.isVisible() and form.emulated.text() == "Steer large"
    qtbot.mouseClick(form.emulated, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    form.weight.setValue(0.5)
    assert form.spec().objective == Objective.emulated(0.5)
    assert "larger model" in form.dial_meaning.text()
    view.set_pair(INFO)
    assert form.emulated.isHidden() and form.spec().objective == Objective.dial(0.5)
