"""A line for a path, with buttons to choose it. Looks at no file."""

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QWidget


class PathEdit(QWidget):
    """A path, with a button for each of the ``ways`` to choose it; "" chooses none."""

    def __init__(self, name: str, hint: str, ways: Mapping[str, Callable[[], str]]) -> None:
        super().__init__()
        self.chosen = False
        """Whether the user has said which path, by a button or by typing it."""
        self.edit = QLineEdit()
        self.edit.setAccessibleName(name)
        self.edit.setPlaceholderText(hint)
        self.edit.setClearButtonEnabled(True)
        self.edit.textEdited.connect(self._typed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit, 1)
        self.buttons = {text: QPushButton(text) for text in ways}
        for text, button in self.buttons.items():
            button.setAutoDefault(False)
            button.clicked.connect(partial(self._choose, ways[text]))
            row.addWidget(button)
        self.setFocusProxy(self.edit)

    def path(self) -> str:
        """Return what is typed."""
        return self.edit.text().strip()

    def show_path(self, path: str) -> None:
        """Show what the user has said before; "" if that was nothing."""
        self.edit.setText(path)
        self._typed()

    def suggest(self, path: str) -> None:
        """Show a path until the user says another one."""
        if not self.chosen:
            self.edit.setText(path)

    @Slot()
    def _typed(self) -> None:
        self.chosen = bool(self.path())

    def _choose(self, ask: Callable[[], str], *_: object) -> None:
        if path := ask():
            self.show_path(path)
