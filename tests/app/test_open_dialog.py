"""The dialog that names a pair or a run."""

import pytest

from app.open_dialog import OpenDialog
from core.engine.protocol import PairSpec


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


def test_the_loss_of_the_training_can_be_named(dialog):
    dialog.show_spec(PairSpec(policy="/p", loss="simpo"))
    assert dialog.loss.currentText() == "SimPO (simpo)" and dialog.spec().loss == "simpo"
    dialog.show_spec(PairSpec(policy="/p", loss="sigmoid,sft"))
    assert dialog.spec().loss == "sigmoid,sft"
    dialog.show_spec(PairSpec(policy="/p"))
    assert dialog.spec() == PairSpec(policy="/p", beta=dialog.spec().beta)
