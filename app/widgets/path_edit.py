"""A line for a path, with buttons to choose it. Looks at no file."""

from collections.abc import Callable

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QWidget


class PathEdit(QWidget):
    """A path, with a button for each way to choose it; ``ways``: their texts, and what asks."""

    def __init__(self, name: str, hint: str, ways: dict[str, Callable[[], str]]) -> None:
        super().__init__()
        self.edit = QLineEdit()
        self.edit.setAccessibleName(name)
        self.edit.setPlaceholderText(hint)
        self.edit.setClearButtonEnabled(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit, 1)
        self._ways = ways
        self.buttons = {text: QPushButton(text) for text in ways}
        for button in self.buttons.values():
            button.setAutoDefault(False)
            button.clicked.connect(self._choose)
            row.addWidget(button)
        self.setFocusProxy(self.edit)

    def path(self) -> str:
        """Return what is typed; "" for nothing."""
        return self.edit.text().strip()

    @Slot()
    def _choose(self) -> None:
        button = self.sender()
        if isinstance(button, QPushButton) and (path := self._ways[button.text()]()):
            self.edit.setText(path)
