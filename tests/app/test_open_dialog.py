"""The dialog that names a pair or a run."""

import pytest

from app.engine_client import EngineClient
from app.open_dialog import OpenDialog
from app.pair_check import PairCheck
from core.engine.protocol import Examine, PairSpec
from tests.app.fake_engine import FakeEngine


@pytest.fixture
def dialog(qtbot):
    dialog = OpenDialog(PairSpec(), (PairSpec(run="/runs/a"), PairSpec(policy="/p")))
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def open_button(dialog):
    return dialog.buttons.button(dialog.buttons.StandardButton.Open)


def test_a_run_needs_nothing_else(dialog, qtbot):
    assert not open_button(dialog).isEnabled()
    qtbot.keyClicks(dialog.policy.edit, "/p")
    qtbot.keyClicks(dialog.run.edit, "/runs/b")
    assert open_button(dialog).isEnabled()
    assert not dialog.policy.isEnabled() and dialog.reference.isEnabled()
    assert dialog.spec() == PairSpec(run="/runs/b")
    qtbot.keyClicks(dialog.reference.edit, "/sft")
    dialog.beta.setValue(0.3)
    assert dialog.spec() == PairSpec(run="/runs/b", reference="/sft", beta=0.3)
    dialog.run.edit.clear()
    assert dialog.spec() == PairSpec(policy="/p", reference="/sft", beta=0.3)


def test_a_recent_run_is_named_and_chosen(dialog):
    assert dialog.recent.itemText(1) == "run /runs/a"
    assert dialog.recent.itemText(2) == "/p"
    dialog.recent.setCurrentIndex(1)
    assert dialog.spec() == PairSpec(run="/runs/a")


def test_a_reference_that_is_left_out_says_what_is_then_shown(dialog, qtbot):
    qtbot.keyClicks(dialog.policy.edit, "/p")
    assert open_button(dialog).isEnabled() and dialog.left_out.isVisible()
    assert "alone" in dialog.left_out.text() and "log π" in dialog.left_out.text()
    qtbot.keyClicks(dialog.reference.edit, "/sft")
    assert not dialog.left_out.isVisible()


def test_how_texts_are_read_can_be_said(dialog):
    spec = PairSpec(policy="/p", plain=True, trainer="cpo")
    dialog.show_spec(spec)
    assert dialog.spec() == spec
    dialog.show_spec(PairSpec(policy="/p"))
    assert dialog.spec() == PairSpec(policy="/p")


def test_the_loss_of_the_training_can_be_named(dialog):
    dialog.show_spec(PairSpec(policy="/p", loss="simpo"))
    assert dialog.loss.currentText() == "SimPO (simpo)" and dialog.spec().loss == "simpo"
    dialog.show_spec(PairSpec(policy="/p", loss="sigmoid,sft"))
    assert dialog.spec().loss == "sigmoid,sft"
    dialog.show_spec(PairSpec(policy="/p"))
    assert dialog.spec() == PairSpec(policy="/p", beta=dialog.spec().beta)


@pytest.fixture
def client(qtbot):
    client = EngineClient(FakeEngine)
    yield client
    assert client.close()


def test_what_the_files_say_shows_before_anything_is_loaded(client, qtbot):
    dialog = OpenDialog(PairSpec(), (), None, client)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.keyClicks(dialog.policy.edit, "/nowhere")
    assert dialog.said.text() == "Looking at the files …"
    qtbot.waitUntil(lambda: dialog.findings.count() == 1)
    assert len(FakeEngine.last.asked(Examine)) == 1  # not at each key
    assert not FakeEngine.last.asked(Examine)[0].loaded
    assert dialog.findings.item(0).text() == ("policy: /nowhere: pass it as “Base” in Open a pair.")
    assert not dialog.findings.item(0).icon().isNull()
    qtbot.keyClicks(dialog.run.edit, "/runs/a")
    qtbot.waitUntil(lambda: "/runs/a" in dialog.findings.item(0).text())
    dialog.run.edit.clear()
    dialog.policy.edit.clear()
    assert dialog.findings.count() == 0 and dialog.said.text() == ""


def test_an_answer_on_another_pair_is_dropped(client, qtbot, monkeypatch):
    monkeypatch.setattr(FakeEngine, "gated", (Examine,))
    dialog = OpenDialog(PairSpec(policy="/old"), (), None, client)
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: client.busy(Examine))
    dialog.policy.edit.setText("/new")
    FakeEngine.last.allow()
    qtbot.waitUntil(lambda: dialog.findings.count() == 1)
    assert "/new" in dialog.findings.item(0).text()


def test_the_pair_that_is_loaded_is_checked(client, qtbot):
    dialog = PairCheck(client, PairSpec(policy="/p"))
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: dialog.findings.count() == 2)
    assert [it.level for it in dialog.findings.findings()] == ["note", "ok"]
    assert FakeEngine.last.asked(Examine)[0].loaded


def test_the_dialog_fits_on_a_small_screen(client, qtbot):
    dialog = OpenDialog(PairSpec(policy="/p"), (), None, client)
    qtbot.addWidget(dialog)
    assert dialog.minimumSizeHint().height() <= 500
    assert dialog.height() <= dialog.screen().availableGeometry().height()
