"""The mode for a stage: the window on the whole screen, larger texts, and nothing but the view.

Not remembered: the next session begins as the one before was left. Knows the window's parts as
widgets, and the looks; knows nothing of what is shown.
"""

from collections.abc import Sequence

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMainWindow, QWidget

from app.actions.action import Menu, toggle
from app.look import Look

LARGER = 1.25
"""How much larger texts are on a stage."""


class Present(QObject):
    """Presents one window."""

    def __init__(self, window: QMainWindow, look: Look, aside: Sequence[QWidget]) -> None:
        """``aside``: what is not shown on a stage."""
        super().__init__(window)
        self._window, self._look = window, look
        self._aside = tuple(aside)
        self._were: list[QWidget] = []
        self._maximised = False
        self.switch: QAction | None = None
        """The action that was made of ``set_presentation``, so that Esc unchecks it."""

    @toggle(
        Menu.VIEW.at(3, 4), "&Presentation", "F11", "Full screen, large letters", lambda own: False
    )
    def set_presentation(self, on: bool) -> None:
        """Show nothing but the view, in large letters on the full screen, or all as it was."""
        if on:
            self._maximised = self._window.isMaximized()
            self._were = [part for part in self._aside if not part.isHidden()]
        for part in self._were:
            part.setHidden(on)
        self._look.magnify(LARGER if on else 1.0)
        if on:
            self._window.showFullScreen()
        elif self._maximised:
            self._window.showMaximized()
        else:
            self._window.showNormal()

    @Slot()
    def leave(self) -> None:
        """Show all as it was, if the window is presented."""
        if self.switch is not None:
            self.switch.setChecked(False)
