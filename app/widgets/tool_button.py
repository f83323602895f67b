"""Tool buttons that keys can reach and that say what they are. Knows nothing of what they do."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton


def make_reachable(button: QToolButton) -> None:
    """Let keys reach a button, call it what it says, and show its menu, if any, at once."""
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setAccessibleName(button.text().strip())
    if button.menu() is not None:
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
