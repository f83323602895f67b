"""Leaves the keys of undo and redo to the window, which knows steps that change several texts.

An editor would take them for itself. Knows nothing of what the window does with them.
"""

from PySide6.QtCore import QEvent
from PySide6.QtGui import QKeyEvent, QKeySequence

KEYS = QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo


def leaves_to_the_window(event: QEvent) -> bool:
    """Return whether an editor is asked about such a key; it is then told that a menu may have it.

    Where no menu has it, the key comes to the editor after all.
    """
    if event.type() != QEvent.Type.ShortcutOverride or not isinstance(event, QKeyEvent):
        return False
    if not any(event.matches(key) for key in KEYS):
        return False
    event.ignore()
    return True
