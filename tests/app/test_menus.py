"""The menu bar as it is built, compared with a table: nothing is lost without a word."""

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QMenuBar

from app.actions.action import Menu, Toggle, action, actions_of
from app.actions.menus import Menus
from tests.app.conftest import do

LINE = ("", "")
MENUS = {
    "&File": [
        ("Open a s&ession…", ""),
        ("Recent sess&ions", ""),
        ("&Save the session", "Ctrl+S"),
        ("Save the session &as…", ""),
        LINE,
        ("Open a &pair…", "Ctrl+O"),
        ("Open training r&un…", "Ctrl+Shift+R"),
        ("Open training &log…", ""),
        ("Score a data se&t…", ""),
        ("Open sc&ored data…", ""),
        ("Recentl&y scored data", ""),
        ("Open a run's chec&kpoints…", "Ctrl+Shift+O"),
        ("Open the &demo pair", "Ctrl+Shift+D"),
        ("Compute in &float32", ""),
        ("C&heck the pair…", ""),
        ("&Close the pair", "Ctrl+W"),
        ("Reopen this pair at the &next start", ""),
        LINE,
        ("Read the p&rompt from a file…", ""),
        ("Read response &A from a file…", ""),
        ("Read response &B from a file…", ""),
        ("&Restore the last session", ""),
        ("Reco&ver…", ""),
        LINE,
        ("Save the &table…", "Ctrl+T"),
        ("Save a p&icture…", "Ctrl+P"),
        ("E&xport scored rows…", ""),
        LINE,
        ("&Quit", "Ctrl+Q"),
    ],
    "&Edit": [
        ("&Undo", "Ctrl+Z"),
        ("R&edo", "Ctrl+Shift+Z, Ctrl+Y"),
        ("C&ut", "Ctrl+X"),
        ("C&opy", "Ctrl+C"),
        ("P&aste", "Ctrl+V"),
        ("Select a&ll", "Ctrl+A"),
        LINE,
        ("&Swap A and B", "Ctrl+Shift+X"),
        ("&Copy A to B", "Ctrl+Shift+B"),
        LINE,
        ("Copy the &table", "Ctrl+Shift+T"),
        ("Copy the &numbers", "Ctrl+Shift+N"),
        LINE,
        ("&Pin the token at the caret", "Alt+Return"),
        ("&Unpin", "Esc"),
        ("&Instead of this…", "Ctrl+Shift+I"),
        ("Find the &best edits…", "Ctrl+Shift+E"),
        ("What it &depends on…", "Ctrl+Shift+P"),
        LINE,
        ("&Find in the tree", "Ctrl+F"),
        LINE,
        ("&Earlier state", "Alt+PgUp"),
        ("&Later state", "Alt+PgDown"),
        ("&Name this state…", ""),
        LINE,
        ("Next most &wrong pair", "F8"),
        ("Previous most wron&g pair", "Shift+F8"),
    ],
    "&Search": [
        ("&Grow a tree", "Ctrl+G"),
        ("&Stop", "Ctrl+."),
        ("&Resume", "Ctrl+Shift+G"),
        LINE,
        ("Search from &here", "Ctrl+Return"),
        LINE,
        ("Sweep &beam widths…", "Ctrl+Shift+S"),
    ],
    "&Training": [
        ("&Start a run…", "Ctrl+Shift+L"),
        LINE,
        ("&Play the checkpoints", "F5"),
        ("&Previous checkpoint", "Alt+Left"),
        ("&Next checkpoint", "Alt+Right"),
        ("&First checkpoint", "Alt+Home"),
        ("&Last checkpoint", "Alt+End"),
        LINE,
        ("&Replay all checkpoints", ""),
        LINE,
        ("&What did it learn?", ""),
        ("Open a saved repor&t…", ""),
    ],
    "&View": [
        ("&Credit", "Ctrl+1"),
        ("S&earch", "Ctrl+2"),
        ("&Training", "Ctrl+3"),
        ("Lea&rned", "Ctrl+4"),
        ("&Data", "Ctrl+5"),
        LINE,
        ("A &beside B", "Ctrl+L"),
        ("&Token boundaries", ""),
        ("&White space", "Ctrl+Shift+W"),
        ("&Inspector", "Ctrl+I"),
        ("&History", "Ctrl+H"),
        LINE,
        ("&Larger text", "Ctrl++, Ctrl+="),
        ("S&maller text", "Ctrl+-"),
        ("&Usual size", "Ctrl+0"),
        ("&Presentation", "F11"),
        ("T&heme", ""),
        ("Less m&otion", ""),
    ],
    "&Help": [
        ("&All actions…", "Ctrl+K"),
        ("&What am I looking at?", "F1"),
        ("&Keys", "Ctrl+/"),
        ("&Log file…", ""),
    ],
}
TIPS = {
    "What it &depends on…": "Leave out each part of the prompt and see which words change",
    "&Instead of this…": "Score what else could stand at the selection or at the token",
    "Find the &best edits…": "Look for the token that flips the margin or raises the sum most",
    "Open a s&ession…": "What was saved is shown at once, without the pair; the pair is loaded "
    "behind",
    "&Save the session": "Texts, numbers, trees and history in one file, to be opened without the "
    "pair",
    "Save the session &as…": "Into another file",
    "Open a &pair…": "Choose a policy and its reference",
    "Open training r&un…": "A run's folder, to see its curves in the training view",
    "Open training &log…": "A log of a run, in any usual format",
    "Score a data se&t…": "Score all rows of a file of pairs or responses under the pair that is "
    "loaded",
    "Open sc&ored data…": "What score --data has written, as a table of pairs",
    "E&xport scored rows…": "The selected rows, or all that are shown: pairs as JSON Lines, or a "
    "scored Parquet",
    "Next most &wrong pair": "Of the scored data: the pair with the next larger margin",
    "Previous most wron&g pair": "Of the scored data: the pair with the next smaller margin",
    "Open a run's chec&kpoints…": "Choose a training run's folder, to see how credit emerges in it",
    "Open the &demo pair": "Load the pair Qscope brings",
    "Compute in &float32": "Load the pair again in float32: slower and larger, but without the "
    "noise of rounding",
    "C&heck the pair…": "What the pair's files say, how it runs, and what may be wrong with its "
    "numbers",
    "Reopen this pair at the &next start": "Begin with the pair that was open last, where nothing "
    "else is asked for",
    "&Close the pair": "Free its memory; the texts stay",
    "Read the p&rompt from a file…": "A UTF-8 text file",
    "Read response &A from a file…": "A UTF-8 text file",
    "Read response &B from a file…": "A UTF-8 text file",
    "&Restore the last session": "The texts you had last time",
    "Reco&ver…": "The texts of the last 30 days, of all pairs",
    "Save the &table…": "All tokens and numbers as TSV or CSV",
    "Save a p&icture…": "The window as a PNG",
    "&Quit": "Close Qscope",
    "&Undo": "Take back what was typed, or put in its place",
    "R&edo": "Do again what was undone",
    "C&ut": "Take the selection out",
    "C&opy": "Copy the selection",
    "P&aste": "Put in what was copied",
    "Select a&ll": "All of the text that has the caret",
    "&Earlier state": "Go back in the history: the state before, with its very tokens",
    "&Later state": "Go forward in the history",
    "&Name this state…": "A word that stands over its dot in the history",
    "&History": "A dot for each state that was scored, below the responses",
    "&Swap A and B": "Exchange the responses",
    "&Copy A to B": "Make B the same as A",
    "Copy the &table": "All tokens as TSV",
    "Copy the &numbers": "Sums, margin and loss",
    "&Pin the token at the caret": "Hold it to look at",
    "&Unpin": "Let the inspector follow the mouse",
    "&Find in the tree": "Text on the way to a node",
    "&Grow a tree": "As the form of the search view says",
    "&Stop": "Stop what grows; it can be resumed",
    "&Resume": "Go on with what was stopped",
    "Search from &here": "Grow a tree from the token at the caret, the edited response as a path "
    "in it",
    "Sweep &beam widths…": "Win rate and length over beam width (Fig. 2 of the paper)",
    "&Start a run…": "SFT and DPO on your own preference pairs, in a process of its own",
    "&Play the checkpoints": "One after another; again stops",
    "&Previous checkpoint": "Of the loaded run; in A or B the keys walk tokens",
    "&Next checkpoint": "Of the loaded run; in A or B the keys walk tokens",
    "&First checkpoint": "The start of the training",
    "&Last checkpoint": "The end of the training",
    "&Replay all checkpoints": "Compute those not known for the texts on the screen; again stops",
    "&Credit": "Prompt, two responses and their credit",
    "S&earch": "The tree of responses that searches grow",
    "&Training": "Runs over steps, and what they mean",
    "Lea&rned": "What the pair has learned, over many responses",
    "&What did it learn?": "Look through many responses for what the training made likelier "
    "or less likely",
    "Open a saved repor&t…": "What learned --json, or Export in the view, has written, whatever "
    "pair is loaded",
    "&Data": "A scored data set: sort, filter, charts and figures",
    "A &beside B": "Or one below the other",
    "&Token boundaries": "Ticks between tokens",
    "&Inspector": "Keep it open",
    "&White space": "Show spaces and newlines",
    "&Larger text": "Larger prompt and responses",
    "S&maller text": "Smaller prompt and responses",
    "&Usual size": "The usual size of text",
    "&Presentation": "Full screen, large letters",
    "Less m&otion": "Colours come at once",
    "&All actions…": "Find an action by a few letters",
    "&What am I looking at?": "A short glossary",
    "&Keys": "All keys on one page",
    "&Log file…": "Where the details of faults are written",
}
SWITCHES = {
    "Reopen this pair at the &next start": False,
    "A &beside B": False,
    "&Token boundaries": True,
    "&White space": False,
    "&Inspector": False,
    "&History": True,
    "&Presentation": False,
    "Less m&otion": False,
}
DISABLED = {
    "Compute in &float32",
    "&Restore the last session",
    "&Undo",
    "R&edo",
    "C&ut",
    "C&opy",
    "P&aste",
    "Select a&ll",
    "&Earlier state",
    "&Later state",
    "E&xport scored rows…",
    "Next most &wrong pair",
    "Previous most wron&g pair",
}
"""Of a window with a pair in float32, no last session, nothing edited and the keys in no editor."""


def entry(one):
    return one.text(), ", ".join(keys.toString() for keys in one.shortcuts())


def menus(window):
    return {bar.text(): bar.menu().actions() for bar in window.menuBar().actions()}


def test_every_action_is_where_it_was(window):
    built = menus(window)
    assert list(built) == list(MENUS)
    for title, expected in MENUS.items():
        assert [entry(one) for one in built[title]] == expected, title


def test_every_action_says_what_it_does_and_begins_as_it_did(window):
    found = {}
    for actions in menus(window).values():
        for one in actions:
            if one.isSeparator() or one.menu() is not None:
                continue
            found[one.text()] = one.statusTip()
            assert one.toolTip() == one.statusTip()
            assert one.isCheckable() == (one.text() in SWITCHES)
            assert one.isChecked() == SWITCHES.get(one.text(), False), one.text()
            assert one.isEnabled() == (one.text() not in DISABLED), one.text()
    assert found == TIPS


THEMES = ["&As the desktop", "&Light", "&Dark", "&High contrast"]


def test_one_theme_is_chosen(window):
    inner = next(a.menu() for a in menus(window)["&View"] if a.menu() is not None)
    assert [a.text() for a in inner.actions()] == THEMES
    assert [a.isChecked() for a in inner.actions()] == [False, True, False, False]
    do(window, "theme dark")
    assert [a.isChecked() for a in inner.actions()] == [False, False, True, False]


def test_the_tabs_and_the_tool_bar(window):
    tabs = window.pages.tabs
    titles = ["Credit", "Search", "Training", "Learned", "Data"]
    assert [tabs.tabText(i) for i in range(tabs.count())] == titles
    assert [tabs.tabToolTip(i) for i in range(tabs.count())] == [
        "The credit view (Ctrl+1)",
        "The search view (Ctrl+2)",
        "The training view (Ctrl+3)",
        "The learned view (Ctrl+4)",
        "The data view (Ctrl+5)",
    ]
    offered = [one.text() for one in window.chip.menu().actions()]
    assert offered == [
        "C&heck the pair…",
        "Open a &pair…",
        "Open the &demo pair",
        "&Close the pair",
    ]


@pytest.mark.parametrize("stacked", [True, False])
def test_a_is_beside_b_again_only_if_it_was(open_window, qtbot, stacked):
    first = open_window(spec=None)
    first.menus.actions["set_side_by_side"].setChecked(not stacked)
    first.close()
    again = open_window(spec=None)
    assert again.menus.actions["set_side_by_side"].isChecked() == (not stacked)
    again.resize(1440, 900)
    qtbot.waitUntil(lambda: again.width() == 1440, timeout=2000)
    a, b = (again.view.panels[side] for side in "AB")
    assert (b.mapTo(again, QPoint()).y() > a.mapTo(again, QPoint()).y()) == stacked


# --- menus of a test's own actions ----------------------------------------------------------------


class Toy:
    """Something that declares actions of its own."""

    def __init__(self):
        self.done, self.there = [], False

    def is_there(self):
        return self.there

    @action(Menu.FILE.at(2, 1), "&Toy", "Ctrl+T; F7", "Play", enabled=is_there)
    def play(self):
        self.done.append("toy")


def test_an_action_is_asked_whether_it_can_be_done(qtbot):
    bar, toy, other = QMenuBar(), Toy(), Toy()
    qtbot.addWidget(bar)
    on = Toggle("on", Menu.FILE.at(1, 1), "&On", "", "", toy.done.append, True)
    made = Menus(bar, [*actions_of(toy), on])
    assert entry(made.actions["play"]) == ("&Toy", "Ctrl+T, F7")
    made.actions["play"].trigger()
    assert not toy.done and not made.actions["play"].isEnabled()
    toy.there = True
    made.refresh()
    made.actions["play"].trigger()
    made.actions["on"].trigger()
    assert toy.done == ["toy", False] and not other.done
    assert [a.isSeparator() for a in bar.actions()[0].menu().actions()] == [False, True, False]
    assert made.key_rows() == [("Ctrl+T", "Toy")]


def test_two_actions_of_one_name_are_refused(qtbot):
    bar = QMenuBar()
    qtbot.addWidget(bar)
    with pytest.raises(ValueError, match="Two actions are called play"):
        Menus(bar, [*actions_of(Toy()), *actions_of(Toy())])
