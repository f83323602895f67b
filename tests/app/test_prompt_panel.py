"""The prompt's turns by themselves: what is asked in a line of its own is grey."""

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QApplication

from app import theme
from app.credit.prompt_panel import PromptPanel
from core.text import Message, Prompt

POST = "Summarise this post in one sentence.\n\nI like my team.\nShould I take it?"


@pytest.fixture
def panel(qtbot, qapp):
    theme.apply(qapp, False)
    panel = PromptPanel()
    qtbot.addWidget(panel)
    panel.resize(500, 400)
    panel.show()
    return panel


def grey(turn, dark=False):
    """The texts in the colour of what matters less."""
    muted = (theme.DARK if dark else theme.LIGHT).muted
    return [
        look.cursor.selectedText()
        for look in turn.extraSelections()
        if look.format.foreground().color().name() == muted
    ]


def test_an_instruction_above_its_text_is_grey(panel):
    panel.set_prompt(Prompt.of(POST))
    assert grey(panel.first_turn()) == ["Summarise this post in one sentence."]


@pytest.mark.parametrize(
    "text",
    [
        "Summarise this post in one sentence.",
        "Summarise this post in one sentence.\nI like my team.",
        "Summarise this post in one sentence.\n",
        "",
        "\n\nI like my team.",
        f"{'A long paragraph of a post. ' * 6}\n\nAnd another one.",
    ],
)
def test_what_is_no_instruction_is_not(panel, text):
    panel.set_prompt(Prompt.of(text))
    assert grey(panel.first_turn()) == []


def test_it_follows_what_is_typed(panel, qtbot):
    panel.set_prompt(Prompt.of(POST))
    turn = panel.first_turn()
    turn.moveCursor(QTextCursor.MoveOperation.Start)
    qtbot.keyClicks(turn, "Please: ")
    assert grey(turn) == ["Please: Summarise this post in one sentence."]
    turn.moveCursor(QTextCursor.MoveOperation.EndOfLine)
    qtbot.keyClicks(turn, " Be kind.")
    assert grey(turn) == ["Please: Summarise this post in one sentence. Be kind."]
    qtbot.keyClick(turn, Qt.Key.Key_Delete)
    assert grey(turn) == []  # nothing parts it from the text any more
    turn.undo()
    assert grey(turn) == ["Please: Summarise this post in one sentence. Be kind."]


def test_what_the_assistant_said_is_text(panel):
    turns = Message("user", "Hello."), Message("assistant", POST), Message("user", POST)
    panel.set_prompt(Prompt(turns))
    panel.show_evidence(())
    found = [grey(turn) for turn in panel.findChildren(type(panel.first_turn()))]
    assert sorted(map(len, found)) == [0, 0, 0, 1]


def test_in_the_dark_it_has_the_dark_themes_grey(panel, qapp):
    panel.set_prompt(Prompt.of(POST))
    theme.apply(qapp, True)
    QApplication.processEvents()
    panel.show_evidence(())
    assert grey(panel.first_turn(), dark=True)
    theme.apply(qapp, False)
