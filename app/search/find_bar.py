"""Finding text in the tree: a box that marks every match, and ways from one to the next.

Knows the trees; knows nothing of searches.
"""

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QShortcut
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QWidget

from app.search.trees import Trees
from app.widgets.icons import IconButton

FIND_MS = 150


class FindBar(QWidget):
    """The box, the number of matches, and two buttons."""

    def __init__(self, trees: Trees, keys_in: QWidget) -> None:
        """``keys_in``: where F3 and Shift+F3 work."""
        super().__init__()
        self._trees = trees
        self._matches: list[int] = []
        self.box = QLineEdit()
        self.box.setPlaceholderText("Find in the tree…")
        self.box.setClearButtonEnabled(True)
        self.box.setAccessibleName("Find in the tree")
        self.box.setToolTip("Text on the way to a node (Ctrl+F); Enter goes to the next")
        self.box.setMinimumWidth(110)
        self.box.setMaximumWidth(240)
        self.count = QLabel()
        self.count.setObjectName("muted")
        self.previous_button = IconButton("previous", "The one before (Shift+F3)")
        self.next_button = IconButton("next", "The next one (F3)")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(5)
        for widget in (self.box, self.count, self.previous_button, self.next_button):
            row.addWidget(widget)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(FIND_MS)
        self._soon.timeout.connect(self.mark_matches)
        self.box.textChanged.connect(self._typed)
        self.box.returnPressed.connect(self.next)
        self.next_button.clicked.connect(self.next)
        self.previous_button.clicked.connect(self.previous)
        QShortcut("F3", keys_in).activated.connect(self.next)
        QShortcut("Shift+F3", keys_in).activated.connect(self.previous)

    def begin(self) -> None:
        """Give the keys to the box, all of it selected."""
        self.box.setFocus()
        self.box.selectAll()

    @Slot()
    def _typed(self) -> None:
        self._soon.start()

    @Slot()
    def mark_matches(self) -> None:
        """Mark what the box asks for."""
        self._soon.stop()
        canvas = self._trees.shown_canvas()
        self._matches = canvas.picture.search(self.box.text())
        for other in self._trees.canvases():
            other.picture.found = set(self._matches) if other is canvas else set()
            other.update()
        self._show_count()

    def _show_count(self) -> None:
        count = len(self._matches)
        here = self._trees.shown_canvas().chosen
        place = f"{self._matches.index(here) + 1} of " if here in self._matches else ""
        self.count.setText(f"{place}{count}" if self.box.text() else "")
        for button in (self.previous_button, self.next_button):
            button.setEnabled(count > 0)

    @Slot()
    def next(self) -> None:
        """Go to the next match, from the last one to the first."""
        self._step(1)

    @Slot()
    def previous(self) -> None:
        """Go to the match before, from the first one to the last."""
        self._step(-1)

    def _step(self, step: int) -> None:
        if self._soon.isActive():
            self.mark_matches()
        if not self._matches:
            return
        canvas = self._trees.shown_canvas()
        if canvas.chosen in self._matches:
            place = self._matches.index(canvas.chosen) + step
        else:
            place = 0 if step > 0 else -1
        canvas.go_to(self._matches[place % len(self._matches)])
        self._show_count()
