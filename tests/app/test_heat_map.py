"""The heat map over a run's checkpoints, on the scripted engine: what is painted, said, clicked."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QGuiApplication, QPixmap

from app.replay import scrubbing
from app.replay.heat_map import HeatData, HeatMap
from app.replay.margin_plot import margin_and_spread
from app.widgets.colour_scale import ColourScale
from core.engine.protocol import PairSpec
from tests.app.conftest import do, settled
from tests.app.fake_engine import CHECKPOINTS, RUN_INFO, FakeEngine, scoring_of, tokens_of
from tests.app.fake_runs import made_log

LEFT = Qt.MouseButton.LeftButton


class OfRun(FakeEngine):
    info = RUN_INFO


@pytest.fixture
def window(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(scrubbing, "IDLE_MS", 10_000_000)
    monkeypatch.setattr(scrubbing, "EDITED_MS", 10_000_000)
    window = open_window(spec=PairSpec(run="/runs/fake"), engine=OfRun)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    return window


@pytest.fixture
def panel(window, qtbot, tmp_path):
    """The heat map where it stands, under the charts of the training view."""
    window.ask.new_file = lambda title, name, kinds: str(tmp_path / name)
    qtbot.keyClick(window, Qt.Key.Key_3, Qt.KeyboardModifier.ControlModifier)
    checkpoints = window.checkpoints
    qtbot.waitUntil(lambda: checkpoints.heat is not None, timeout=10_000)
    qtbot.waitUntil(checkpoints.heat.isVisible, timeout=10_000)
    qtbot.wait(5)
    return checkpoints.heat


def replay(qtbot, window):
    do(window, "replay_checkpoints")
    qtbot.waitUntil(lambda: len(window.view.by_checkpoint.known()) == 4, timeout=5000)
    qtbot.wait(5)


def centre(panel, checkpoint, token):
    return panel.map.rect_of(checkpoint, token).center().toPoint()


def hover(qtbot, panel, checkpoint, token):
    qtbot.mouseMove(panel.map, QPoint(1, panel.map.height() - 2))
    qtbot.mouseMove(panel.map, centre(panel, checkpoint, token))


def colour_at(panel, checkpoint, token):
    image = panel.map.grab().toImage()
    return QColor(image.pixel(centre(panel, checkpoint, token) * image.devicePixelRatio()))


def test_the_cells_have_the_credit_views_colours(panel, window, qtbot):
    replay(qtbot, window)
    scale = window.view.numbers.reward_scale()
    for index in (0, 1, 2):
        known = scoring_of(window.view.panels["B"].scoring.tokens, CHECKPOINTS[index].path)
        r = 0.1 * (known.logp_policy - known.logp_reference)
        for token in (0, 4, len(r) - 1):
            assert colour_at(panel, index, token).name() == scale.css(r[token])
    window.view.controls.choose("logp_policy", "token")
    qtbot.wait(5)
    scale = window.view.scale.scale(window.view.controls.measure())
    assert colour_at(panel, 2, 4).name() == scale.css(known.logp_policy[4])


def test_what_is_not_known_is_hatched(panel, window, qtbot):
    assert np.isnan(panel.map.data.values[:3]).all()
    assert "3 of 4 checkpoints are not computed yet" in panel.readout.text()
    before = panel.map.grab().toImage()
    row = panel.map.rect_of(1, 2).toRect().adjusted(1, 1, -2, -2)
    inside = {before.pixel(x, y) for x in range(row.left(), row.right()) for y in (row.top() + 4,)}
    assert len(inside) > 1
    hover(qtbot, panel, 1, 2)
    assert "not computed yet" in panel.readout.text()
    replay(qtbot, window)
    assert np.isfinite(panel.map.data.values).all()


def test_pointing_says_the_numbers_and_clicking_scrubs(panel, window, qtbot):
    replay(qtbot, window)
    known = scoring_of(window.view.panels["B"].scoring.tokens, CHECKPOINTS[1].path)
    hover(qtbot, panel, 1, 3)
    r = 0.1 * (known.logp_policy[3] - known.logp_reference[3])
    said = panel.readout.text().replace("−", "-")
    assert said == (
        f"{known.labels[3]}   step 10   r {r:+.3f}   log π {known.logp_policy[3]:+.3f}   "
        f"log π_ref {known.logp_reference[3]:+.3f}"
    )
    qtbot.mouseClick(panel.map, LEFT, pos=centre(panel, 1, 3))
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 1, timeout=5000)
    qtbot.wait(5)
    assert panel.map.shown == 1 and window.strip.axis.value() == 1
    steps = QPoint(6, centre(panel, 2, 0).y())
    qtbot.mouseClick(panel.map, LEFT, pos=steps)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 2, timeout=5000)


def test_clicking_a_token_pins_it(panel, window, qtbot):
    qtbot.mouseClick(panel.map, LEFT, pos=centre(panel, -1, 5))
    assert window.view.focus_on.pinned == ("B", 5) and panel.map.selected == 5
    qtbot.mouseClick(panel.sides["A"], LEFT)
    assert panel.side == "A" and panel.map.selected == -1
    qtbot.mouseClick(panel.map, LEFT, pos=centre(panel, -1, 2))
    assert window.view.focus_on.pinned == ("A", 2)


def test_the_keyboard_walks_the_cells(panel, window, qtbot):
    replay(qtbot, window)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Up):
        qtbot.keyClick(panel.map, key)
    labels = window.view.panels["B"].scoring.labels
    assert panel.readout.text().startswith(f"{labels[1]}   step 20")
    qtbot.keyClick(panel.map, Qt.Key.Key_Space)
    assert window.view.focus_on.pinned == ("B", 1)
    qtbot.keyClick(panel.map, Qt.Key.Key_Down)
    qtbot.keyClick(panel.map, Qt.Key.Key_Up)
    qtbot.keyClick(panel.map, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 2, timeout=5000)


def test_margin_and_spread_by_hand(panel, window, qtbot):
    replay(qtbot, window)
    qtbot.mouseClick(panel.sides["A"], LEFT)
    for index in range(4):
        r = {}
        for side in "AB":
            tokens = window.view.panels[side].scoring.tokens
            known = scoring_of(tokens, CHECKPOINTS[index].path)
            r[side] = 0.1 * (known.logp_policy - known.logp_reference)
        assert panel.measures.measures.margin[index] == pytest.approx(sum(r["A"]) - sum(r["B"]))
        spread = panel.measures.measures.spread[index]
        if index == 0:
            assert np.isnan(spread)  # no credit yet
        else:
            assert spread == pytest.approx(abs(r["A"]).sum() ** 2 / (r["A"] ** 2).sum())
    assert f"= {spread:.1f} of {len(r['A'])} tokens" in panel.measures.headings()[1]
    where = QPoint(round(panel.measures.x_of(1)), 40)
    qtbot.mouseClick(panel.measures, LEFT, pos=where)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 1, timeout=5000)


def test_one_side_alone_has_no_margin():
    scoring = scoring_of(tokens_of(["one", " two"]))
    found = margin_and_spread(2, {"A": {1: scoring}, "B": {}}, "A", 0.1)
    assert np.isnan(found.margin).all() and np.isnan(found.spread[0]) and found.spread[1] > 1


def test_numbers_and_picture_go_out(panel, window, qtbot, tmp_path):
    replay(qtbot, window)
    panel.save_numbers()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "credit-over-steps.csv").read_text())))
    a, b = (window.view.panels[side].scoring for side in "AB")
    assert len(rows) == 4 * (len(a) + len(b))
    row = rows[len(a) + 3]
    known = scoring_of(a.tokens, CHECKPOINTS[1].path)
    assert (row["response"], row["step"], row["index"], row["token"]) == (
        "A",
        "10",
        "3",
        a.labels[3],
    )
    assert float(row["logp_policy"]) == known.logp_policy[3]
    panel.save_picture()
    saved = QPixmap(str(tmp_path / "credit-over-steps.png"))
    assert saved.width() == 2 * (panel.map.width() + 12 + panel.measures.width())
    panel.copy_numbers()
    assert QGuiApplication.clipboard().text().count("\n") == len(rows) + 1
    panel.copy_picture()
    assert QGuiApplication.clipboard().pixmap().width() == saved.width()


def test_a_file_that_cannot_be_written_is_a_sentence(panel, tmp_path):
    said = []
    panel.problem.connect(said.append)
    (tmp_path / "credit-over-steps.csv").mkdir()
    panel.save_numbers()
    (tmp_path / "credit-over-steps.png").mkdir()
    panel.save_picture()
    assert len(said) == 2 and all("cannot be written" in sentence for sentence in said)


def test_without_a_run_it_says_how_to_open_one(panel, window, qtbot):
    do(window, "close_pair")
    qtbot.waitUntil(panel.why.isVisible, timeout=2000)
    assert "No run's checkpoints are loaded" in panel.why.text()
    window.ask.folder = lambda title: "/runs/fake"
    qtbot.mouseClick(panel.open_button, LEFT)
    qtbot.waitUntil(lambda: settled(window) and panel.map.isVisible(), timeout=10_000)


def test_the_training_view_and_the_strip_share_the_step(panel, window, qtbot):
    training = window.runs.view
    assert training.readout.title.text() == "At step 30"
    training.step_wanted.emit(14)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 1, timeout=5000)
    assert training.readout.title.text() == "At step 10"
    assert window.strip.axis.value() == 1
    do(window, "close_pair")
    assert training.readout.title.text() == "Last values"


def test_a_run_whose_curves_are_open_is_offered(panel, window, qtbot, tmp_path):
    do(window, "close_pair")
    log = made_log(str(tmp_path / "with-sft"), "with-sft", checkpoints=CHECKPOINTS)
    window.runs.view.session.take(log, 0.0)
    window.runs.view.runs_changed.emit()
    assert panel.open_button.text() == "Load the checkpoints of fake"  # the folder of CHECKPOINTS
    qtbot.mouseClick(panel.open_button, LEFT)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert window.pair.spec == PairSpec(run="/runs/fake")


@pytest.mark.parametrize("room", [60, 190, 400, 900])
@pytest.mark.parametrize("rows", [2, 11, 80])
def test_rows_can_be_read_and_pointed_at_and_no_outline_covers_them(qtbot, room, rows):
    heat = HeatMap()
    qtbot.addWidget(heat)
    values = np.linspace(-1, 1, rows * 6).reshape(rows, 6)
    heat.show_data(HeatData(tuple(range(rows)), ("the", "words") * 3, values), ColourScale(1.0))
    heat.set_room(room)
    heat.resize(500, heat.heightForWidth(500))
    heat.show()
    qtbot.waitExposed(heat)
    assert heat.row_height >= 14

    def colours(checkpoint):
        picture = heat.grab().toImage()
        found = set()
        for token in range(6):
            cell = heat.rect_of(checkpoint, token).toRect().adjusted(0, 1, -1, -1)
            found |= {
                (token, picture.pixelColor(x, y).rgb())
                for x in range(cell.left(), cell.right() + 1)
                for y in range(cell.top(), cell.bottom() + 1)
            }
        return found

    for checkpoint in (0, 1, rows - 1):
        heat.mark(-1, -1)
        qtbot.mouseMove(heat, QPoint(1, 1))
        bare = colours(checkpoint)
        assert len(bare) == 6  # one colour a cell
        heat.mark(checkpoint, -1)
        qtbot.mouseMove(heat, heat.rect_of(checkpoint, 2).center().toPoint())
        assert heat.hover == (checkpoint, 2)
        assert colours(checkpoint) == bare


def test_of_several_runs_one_is_chosen(panel, window, qtbot, tmp_path):
    do(window, "close_pair")
    for name in ("with-sft", "without-sft"):
        saved = tuple(replace(it, path=f"/runs/{name}/{it.step}") for it in CHECKPOINTS)
        window.runs.view.session.take(made_log(str(tmp_path / name), name, checkpoints=saved), 0.0)
    window.runs.view.runs_changed.emit()
    qtbot.mouseClick(panel.open_button, LEFT)
    assert panel.open_menu.isVisible()
    first, second = panel.open_menu.actions()
    assert (first.text(), second.text()) == ("with-sft", "without-sft")
    second.trigger()
    panel.open_menu.close()
    assert window.pair.spec == PairSpec(run="/runs/without-sft")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_a_long_response_wraps_and_every_cell_is_found_again(qtbot):
    heat = HeatMap()
    qtbot.addWidget(heat)
    heat.resize(500, 300)
    labels = tuple(f"·word{i}" if i % 7 else "↵" for i in range(300))
    heat.show_data(HeatData((0, 10, 25), labels, np.zeros((3, 300))), ColourScale())
    heat.show()
    assert heat.minimumHeight() > 600
    tops = set()
    for token in range(300):
        for checkpoint in (-1, 0, 2):
            rect = heat.rect_of(checkpoint, token)
            assert heat.cell_at(rect.center()) == (checkpoint, token)
            assert rect.left() >= 0 and rect.right() <= 500
            tops.add(rect.top())
    assert len(tops) > 6
