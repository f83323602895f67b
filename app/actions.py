"""The window's menus: every action with its name, key and tip, in one table.

Knows the names of the window's slots; does nothing itself.
"""

from dataclasses import dataclass

from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu


@dataclass(frozen=True)
class Entry:
    """A line of a menu; ``slot`` is a method of the window. An empty text is a separator."""

    text: str = ""
    slot: str = ""
    keys: str = ""
    tip: str = ""
    checkable: bool = False


LINE = Entry()
WALK = "Of the loaded run; in A or B the keys walk tokens"
MENUS: dict[str, tuple[Entry, ...]] = {
    "&File": (
        Entry("Open a &pair…", "open_pair", "Ctrl+O", "Choose a policy and its reference"),
        Entry(
            "Open training r&un…",
            "open_run",
            "Ctrl+Shift+R",
            "A run's folder, to see its curves in the training view",
        ),
        Entry("Open training &log…", "open_run_file", "", "A log of a run, in any usual format"),
        Entry(
            "Open a run's chec&kpoints…",
            "open_checkpoints",
            "Ctrl+Shift+O",
            "Choose a training run's folder, to see how credit emerges in it",
        ),
        Entry("Open the &demo pair", "open_demo", "Ctrl+Shift+D", "Load the pair Qscope brings"),
        Entry(
            "Compute in &float32",
            "compute_in_float32",
            "",
            "Load the pair again in float32: slower and larger, but without the noise of rounding",
        ),
        Entry("&Close the pair", "close_pair", "Ctrl+W", "Free its memory; the texts stay"),
        LINE,
        Entry("Read the p&rompt from a file…", "read_prompt", "", "A UTF-8 text file"),
        Entry("Read response &A from a file…", "read_a", "", "A UTF-8 text file"),
        Entry("Read response &B from a file…", "read_b", "", "A UTF-8 text file"),
        Entry("&Restore the last session", "restore_session", "", "The texts you had last time"),
        LINE,
        Entry("&Save the table…", "save_table", "Ctrl+S", "All tokens and numbers as TSV or CSV"),
        Entry("Save a p&icture…", "save_picture", "Ctrl+P", "The window as a PNG"),
        LINE,
        Entry("&Quit", "close", "Ctrl+Q", "Close Qscope"),
    ),
    "&Edit": (
        Entry("&Swap A and B", "swap_sides", "Ctrl+Shift+X", "Exchange the responses"),
        Entry("&Copy A to B", "copy_a_to_b", "Ctrl+Shift+B", "Make B the same as A"),
        LINE,
        Entry("Copy the &table", "copy_table", "Ctrl+Shift+T", "All tokens as TSV"),
        Entry("Copy the &numbers", "copy_numbers", "Ctrl+Shift+N", "Sums, margin and loss"),
        LINE,
        Entry("&Pin the token at the caret", "pin_at_caret", "Alt+Return", "Hold it to look at"),
        Entry("&Unpin", "unpin", "Esc", "Let the inspector follow the mouse"),
        LINE,
        Entry("&Find in the tree", "find_in_tree", "Ctrl+F", "Text on the way to a node"),
    ),
    "&Search": (
        Entry("&Grow a tree", "grow_tree", "Ctrl+G", "As the form of the search view says"),
        Entry("&Stop", "stop_search", "Ctrl+.", "Stop what grows; it can be resumed"),
        Entry("&Resume", "resume_search", "Ctrl+Shift+G", "Go on with what was stopped"),
        LINE,
        Entry(
            "Search from &here",
            "search_from_here",
            "Ctrl+Return",
            "Grow a tree from the token at the caret, the edited response as a path in it",
        ),
        LINE,
        Entry(
            "Sweep &beam widths…",
            "sweep_widths",
            "Ctrl+Shift+S",
            "Win rate and length over beam width (Fig. 2 of the paper)",
        ),
    ),
    "&Training": (
        Entry(
            "&Start a run…",
            "start_training",
            "Ctrl+Shift+L",
            "SFT and DPO on your own preference pairs, in a process of its own",
        ),
        LINE,
        Entry("&Play the checkpoints", "play_checkpoints", "F5", "One after another; again stops"),
        Entry("&Previous checkpoint", "previous_checkpoint", "Alt+Left", WALK),
        Entry("&Next checkpoint", "next_checkpoint", "Alt+Right", WALK),
        Entry("&First checkpoint", "first_checkpoint", "Alt+Home", "The start of the training"),
        Entry("&Last checkpoint", "last_checkpoint", "Alt+End", "The end of the training"),
        LINE,
        Entry(
            "&Replay all checkpoints",
            "replay_checkpoints",
            "",
            "Compute those not known for the texts on the screen; again stops",
        ),
    ),
    "&View": (
        Entry("&Credit", "show_credit", "Ctrl+1", "Prompt, two responses and their credit"),
        Entry("S&earch", "show_search", "Ctrl+2", "The tree of responses that searches grow"),
        Entry("&Training", "show_training", "Ctrl+3", "Runs over steps, and what they mean"),
        LINE,
        Entry("A &beside B", "set_side_by_side", "Ctrl+L", "Or one below the other", True),
        Entry("&Token boundaries", "set_boundaries", "", "Ticks between tokens", True),
        Entry("&White space", "set_marks", "Ctrl+Shift+W", "Show spaces and newlines", True),
        LINE,
        Entry("&Larger text", "zoom_in", "Ctrl++", "Larger prompt and responses"),
        Entry("S&maller text", "zoom_out", "Ctrl+-", "Smaller prompt and responses"),
        Entry("&Usual size", "zoom_reset", "Ctrl+0", "The usual size of text"),
        Entry("&Presentation", "set_presentation", "F11", "Full screen, large letters", True),
    ),
    "&Help": (
        Entry("&What am I looking at?", "show_glossary", "F1", "A short glossary"),
        Entry("&Keys", "show_keys", "Ctrl+/", "All keys on one page"),
        Entry("&Log file…", "show_log", "", "Where the details of faults are written"),
    ),
}
THEMES = (("&As the desktop", "auto"), ("&Light", "light"), ("&Dark", "dark"))


def build(window: QMainWindow) -> dict[str, QAction]:
    """Make the menus; the actions by the names of their slots, themes as "theme light"."""
    found: dict[str, QAction] = {}
    for title, entries in MENUS.items():
        menu = window.menuBar().addMenu(title)
        menu.setToolTipsVisible(True)
        for entry in entries:
            if not entry.text:
                menu.addSeparator()
                continue
            action = QAction(entry.text, window)
            if entry.keys:
                action.setShortcut(QKeySequence(entry.keys))
            action.setToolTip(entry.tip)
            action.setStatusTip(entry.tip)
            action.setCheckable(entry.checkable)
            slot = getattr(window, entry.slot)
            (action.toggled if entry.checkable else action.triggered).connect(slot)
            menu.addAction(action)
            found[entry.slot] = action
        if title == "&View":
            found |= _themes(window, menu)
    # "=" is where "+" is typed without Shift.
    found["zoom_in"].setShortcuts([QKeySequence("Ctrl++"), QKeySequence("Ctrl+=")])
    return found


def _themes(window: QMainWindow, menu: QMenu) -> dict[str, QAction]:
    found: dict[str, QAction] = {}
    inner = menu.addMenu("T&heme")
    group = QActionGroup(window)
    for text, name in THEMES:
        action = QAction(text, window)
        action.setCheckable(True)
        action.setData(name)
        group.addAction(action)
        inner.addAction(action)
        found[f"theme {name}"] = action
    group.triggered.connect(window.theme_chosen)  # type: ignore[attr-defined]
    return found


def key_rows(actions: dict[str, QAction]) -> list[tuple[str, str]]:
    """(keys, what) of every action that has keys."""
    return [
        (action.shortcut().toString(), action.text().replace("&", "").rstrip("…"))
        for action in actions.values()
        if not action.shortcut().isEmpty()
    ]
