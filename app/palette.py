"""The command palette: every action of the window by its name and keys, found by a few letters.

Knows actions and letters; knows nothing of what an action does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Slot
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from app import theme
from app.actions.action import Menu, action
from app.actions.menus import Command
from app.widgets.layouts import fill, label

WIDE, HIGH, TOP = 560, 420, 64
"""Pixels of the palette, and from the window's upper edge."""
NOTHING = "No action has these letters in this order."
WORD_START, NEXT = 3, 2
"""What a letter at the start of a word counts, and one right behind the letter before."""


def rank(typed: str, title: str) -> int | None:
    """Return how well letters fit a title that has them in this order; None where it has not.

    Letters at the starts of words and letters side by side fit better. Case and spaces of what is
    typed do not matter.
    """
    wanted = "".join(typed.lower().split())
    return _best(wanted, title.lower(), {}, 0, 0, False)


Known = dict[tuple[int, int, bool], int | None]


def _best(wanted: str, title: str, known: Known, i: int, j: int, on: bool) -> int | None:
    """Return the most that ``wanted[i:]`` counts in ``title[j:]``; ``on``: the letter before
    ``j`` was taken."""
    if i == len(wanted):
        return 0
    if (key := (i, j, on)) in known:
        return known[key]
    best: int | None = None
    for at in range(j, len(title)):
        if title[at] != wanted[i]:
            continue
        rest = _best(wanted, title, known, i + 1, at + 1, True)
        if rest is None:
            break
        starts = at == 0 or not title[at - 1].isalnum()
        counts = 1 + WORD_START * starts + NEXT * (on and at == j) + rest
        best = counts if best is None else max(best, counts)
    known[key] = best
    return best


@dataclass(frozen=True, eq=False)
class Row:
    """A command that fits what is typed."""

    command: Command
    rank: int


def fitting(typed: str, commands: Sequence[Command]) -> list[Command]:
    """Return the commands that fit, the best first; all of them, in their order, for nothing."""
    rows = [
        Row(command, fits)
        for command in commands
        if (fits := rank(typed, f"{command.title} {command.menu}")) is not None
    ]
    rows.sort(key=lambda row: (-row.rank, len(row.command.title) if typed else 0))
    return [row.command for row in rows]


class Typed(QLineEdit):
    """A field that leaves the keys of a list to the list."""

    LIST_KEYS = Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown
    OWN_KEYS = *LIST_KEYS, Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter

    def __init__(self, rows: QTreeWidget) -> None:
        super().__init__()
        self._rows = rows

    def event(self, event: QEvent) -> bool:
        """Take keys that are the window's elsewhere, as Esc."""
        overrides = event.type() == QEvent.Type.ShortcutOverride
        if overrides and isinstance(event, QKeyEvent) and event.key() in self.OWN_KEYS:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in self.LIST_KEYS:
            QApplication.sendEvent(self._rows, event)
        else:
            super().keyPressEvent(event)


class CommandPalette(QFrame):
    """A field and a list over the window; Enter runs what is chosen, Esc closes."""

    def __init__(self, window: QWidget, commands: Callable[[], Sequence[Command]]) -> None:
        super().__init__(window)
        self._window = window
        self.setObjectName("drawer")
        self._commands = commands
        self._before: QWidget | None = None
        """What had the keys."""
        self.rows = QTreeWidget()
        self.typed = Typed(self.rows)
        self.nothing = label(NOTHING, "muted")
        self._lay_out()
        self.typed.textChanged.connect(self._show)
        self.typed.returnPressed.connect(self.run)
        self.rows.itemClicked.connect(self.run)
        self.typed.installEventFilter(self)
        self.hide()

    def _lay_out(self) -> None:
        self.typed.setPlaceholderText("Type a few letters of what to do")
        self.typed.setAccessibleName("Action")
        self.rows.setColumnCount(2)
        self.rows.setHeaderHidden(True)
        self.rows.setRootIsDecorated(False)
        self.rows.setUniformRowHeights(True)
        self.rows.setFrameShape(QFrame.Shape.NoFrame)
        self.rows.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.rows.setAccessibleName("Actions")
        header = self.rows.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        inside = theme.MARGIN
        parts = self.typed, self.nothing, (self.rows, 1)
        fill(QVBoxLayout(self), *parts, margins=(inside, inside, inside, inside), spacing=theme.GAP)

    @action(Menu.HELP.at(1, 0), "&All actions…", "Ctrl+K", "Find an action by a few letters")
    def show_palette(self) -> None:
        """Open the palette, with all actions."""
        window = self._window
        wide = min(WIDE, window.width() - 2 * theme.MARGIN)
        high = min(HIGH, window.height() - TOP - theme.MARGIN)
        self.setGeometry((window.width() - wide) // 2, TOP, wide, high)
        if not self.isVisible():
            self._before = QApplication.focusWidget()
        self.typed.clear()
        self._show("")
        self.show()
        self.raise_()
        self.typed.setFocus()

    def shown(self) -> list[str]:
        """Return the titles that are listed."""
        return [item.text(0) for item in self._items()]

    def _items(self) -> list[QTreeWidgetItem]:
        rows = (self.rows.topLevelItem(row) for row in range(self.rows.topLevelItemCount()))
        return [item for item in rows if item is not None]

    @Slot(str)
    def _show(self, typed: str) -> None:
        self.rows.clear()
        muted = self.palette().placeholderText()
        for command in fitting(typed, self._commands()):
            on = " ✓" if command.action.isChecked() else ""
            keys = command.action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            item = QTreeWidgetItem([f"{command.title}{on}", keys or command.menu])
            item.setData(0, Qt.ItemDataRole.UserRole, command.action)
            item.setToolTip(0, command.action.toolTip())
            item.setDisabled(not command.action.isEnabled())
            item.setForeground(1, muted)
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.rows.addTopLevelItem(item)
        listed = self._items()
        self.nothing.setVisible(not listed)
        first = next((item for item in listed if not item.isDisabled()), None)
        if first is not None:
            self.rows.setCurrentItem(first)

    @Slot()
    def run(self) -> None:
        """Close the palette and do what is chosen."""
        item = self.rows.currentItem()
        if item is None or item.isDisabled():
            return
        chosen: QAction = item.data(0, Qt.ItemDataRole.UserRole)
        self.close_palette()
        QTimer.singleShot(0, chosen.trigger)

    @Slot()
    def close_palette(self) -> None:
        """Close it, and give the keys back to who had them."""
        self.hide()
        before, self._before = self._before, None
        if before is not None and isValid(before):  # it may have gone since, as a chip does
            before.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Close at Esc, and once something else has the keys."""
        if event.type() == QEvent.Type.FocusOut and self.isVisible():
            self.hide()
        pressed = event.type() == QEvent.Type.KeyPress
        if pressed and isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape:
            self.close_palette()
            return True
        return super().eventFilter(watched, event)
