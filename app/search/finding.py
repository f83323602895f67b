"""Finding text in the tree: marks every match, and goes from one to the next.

Knows the find box and the canvas that is shown; knows nothing of searches.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot

if TYPE_CHECKING:
    from app.search.view import SearchView


class Finding(QObject):
    """The find box of one search view at work."""

    def __init__(self, view: "SearchView") -> None:
        super().__init__(view)
        self._view = view
        self._matches: list[int] = []
        view.find_box.textChanged.connect(self._typed)
        view.find_box.returnPressed.connect(self.next)
        view.find_timer.timeout.connect(self.find)
        view.next_button.clicked.connect(self.next)
        view.previous_button.clicked.connect(self.previous)
        view.find_again.activated.connect(self.next)
        view.find_back.activated.connect(self.previous)

    @Slot()
    def _typed(self) -> None:
        self._view.find_timer.start()

    @Slot()
    def find(self) -> None:
        """Mark what the box asks for."""
        view = self._view
        view.find_timer.stop()
        canvas = view.shown_canvas()
        self._matches = canvas.picture.search(view.find_box.text())
        for other in view.canvases():
            other.picture.found = set(self._matches) if other is canvas else set()
            other.update()
        self._show_count()

    def _show_count(self) -> None:
        view, count = self._view, len(self._matches)
        here = view.shown_canvas().chosen
        place = f"{self._matches.index(here) + 1} of " if here in self._matches else ""
        view.found_label.setText(f"{place}{count}" if view.find_box.text() else "")
        for button in (view.previous_button, view.next_button):
            button.setEnabled(count > 0)

    @Slot()
    def next(self) -> None:
        """Go to the next match, from the last one to the first."""
        self._step(1)

    @Slot()
    def previous(self) -> None:
        self._step(-1)

    def _step(self, step: int) -> None:
        if self._view.find_timer.isActive():
            self.find()
        if not self._matches:
            return
        canvas = self._view.shown_canvas()
        if canvas.chosen in self._matches:
            place = self._matches.index(canvas.chosen) + step
        else:
            place = 0 if step > 0 else -1
        canvas.go_to(self._matches[place % len(self._matches)])
        self._show_count()
