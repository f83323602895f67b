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
    assert dialog.recent.itemText(2) == "/p  against  its base"
    dialog.recent.setCurrentIndex(1)
    assert dialog.spec() == PairSpec(run="/runs/a")
