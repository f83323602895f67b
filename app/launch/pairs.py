"""Look at a preference file, on a thread of its own, and a display of what the file holds.

Knows preference files by core.preferences; knows nothing of jobs.
"""

import queue
import threading
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QFormLayout, QLabel, QSizePolicy, QWidget

from app.widgets.clipped import Clipped
from core.errors import UserFacingError
from core.failures import reason
from core.preferences import Preferences, as_text, inspect_preferences

REST_MS = 250
POLL_MS = 40
LONGEST = 400
"""Characters of a sample that are worth laying out."""


class PairsCheck(QObject):
    """Looks at a preference file; a newer path replaces an older one.

    The thread hands its answer over in a queue of its own, which a timer asks while one is awaited;
    that of an older look is dropped unread.
    """

    checked = Signal(object)
    """Preferences, or the sentence that says why the file cannot be used."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._path = Path()
        self._answer: queue.SimpleQueue[Preferences | str] | None = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._begin_or_ask)
        self.busy = self._timer.isActive
        self.stop = self._timer.stop

    def look_at(self, path: Path) -> None:
        """Look at a path when no other has been asked for in a moment."""
        self._path, self._answer = path, None
        self._timer.start(REST_MS)

    @Slot()
    def _begin_or_ask(self) -> None:
        if self._answer is None:
            self._answer = queue.SimpleQueue()
            look = (self._path, self._answer)
            threading.Thread(target=_look, args=look, name="preferences", daemon=True).start()
            self._timer.start(POLL_MS)
        elif not self._answer.empty():
            self._timer.stop()
            self.checked.emit(self._answer.get())


def _look(path: Path, answer: "queue.SimpleQueue[Preferences | str]") -> None:
    try:
        answer.put(inspect_preferences(path))
    except UserFacingError as error:
        answer.put(str(error))
    except BaseException as error:  # a library's: it must not leave the dialog waiting
        answer.put(f"{path} cannot be read ({reason(error)}): choose another file.")


class PairsShown(QWidget):
    """Shows what a preference file holds: a line, and its first pair."""

    def __init__(self) -> None:
        super().__init__()
        self.line = QLabel()
        self.line.setObjectName("muted")
        self.line.setWordWrap(True)
        self.line.setTextFormat(Qt.TextFormat.PlainText)
        self.sample = {name: Clipped() for name in ("prompt", "chosen", "rejected")}
        self._form = form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(2)
        form.addRow(self.line)
        for name, shown in self.sample.items():
            shown.setAccessibleName(f"Sample, {name}")
            form.addRow(name, shown)
            form.labelForField(shown).setObjectName("muted")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.show_words("")

    def show_words(self, words: str) -> None:
        """Show a line, and no pair."""
        self.line.setText(words)
        for row in range(self._form.rowCount()):
            self._form.setRowVisible(row, bool(words) and row == 0)

    def show_info(self, info: Preferences) -> None:
        """Show what a file holds."""
        kind = "conversations" if info.conversational else "plain text"
        words = f"✓ {info.rows:,} pairs, {kind} ({info.format})"
        if info.checked < info.rows:
            words += f"; the first {info.checked:,} were checked"
        self.show_words("\n".join([words, *info.problems]))
        pair = info.pairs[0]
        for shown, side in zip(
            self.sample.values(), (pair.prompt, pair.chosen, pair.rejected), strict=True
        ):
            text = as_text(side)
            self._form.setRowVisible(shown, True)
            shown.show_words(" ".join(text[:LONGEST].split()))
            shown.setToolTip(text[:2000])
