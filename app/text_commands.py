"""What the window does about the user's texts: examples, the draft on disk, the last session.

The part of MainWindow that never loses what was typed. Knows the credit view's texts; knows nothing
of scores.
"""

from pathlib import Path

from PySide6.QtCore import QTimer, Slot
from PySide6.QtWidgets import QComboBox

from app.commands import WindowCommands
from app.credit.examples import Example
from app.settings import Draft, pair_key, write_draft
from core.engine.protocol import Failed, PairSpec


class TextCommands(WindowCommands):
    """The base of MainWindow, which sets these attributes and those of its bases."""

    examples: tuple[Example, ...]
    example_box: QComboBox
    _draft_path: Path | None
    _last_draft: Draft | None
    _touched: bool
    anew = False
    """The window was closed to be opened again in a new process."""
    _autosave: QTimer

    @Slot(int)
    def show_example(self, index: int) -> None:
        """Put an example in place; the texts that were there can be restored."""
        if self._touched:
            self._last_draft = self.draft()
            self.actions_by_name["restore_session"].setEnabled(True)
        self.view.show_example(self.examples[index])
        self._touched = False

    def draft(self) -> Draft:
        """The texts as they stand."""
        return Draft(
            pair_key(self.spec) if self.spec is not None else "",
            self.example_box.currentText(),
            self.view.prompt.prompt(),
            self.view.panels["A"].text(),
            self.view.panels["B"].text(),
        )

    @Slot()
    def save_draft(self) -> bool:
        """Write the texts to disk; a full disk must not stop anyone. Whether they are there."""
        if self._draft_path is None:
            return True
        try:
            write_draft(self._draft_path, self.draft())
        except OSError as error:
            self.notice.show_notice(
                "warning", f"Your texts could not be saved: {error}.", topic="draft file"
            )
            return False
        return True

    @Slot(object)
    def _device_lost(self, event: Failed) -> None:
        """Only a new process can go on: offer one, whatever else the notice said."""
        self.save_draft()
        self.notice.show_notice("error", event.message, topic="lost", action="Start anew")

    def start_anew(self) -> None:
        """Close the window to open it again in a new process, with the same pair and texts."""
        if not self.save_draft():
            return  # nothing may be lost: the notice says why
        self.anew = True
        self.anew = self.close()

    @Slot()
    def restore_session(self) -> None:
        """The texts of the last session, or those that an example replaced."""
        draft = self._last_draft
        if draft is None:
            return
        self._last_draft = self.draft() if self._touched else draft
        self.view.show_example(Example(draft.example, draft.prompt, draft.a, draft.b))
        self.notice.dismiss("draft")
        self._touched = True

    def _restore_if_same(self, spec: PairSpec) -> None:
        if self._last_draft is not None and self._last_draft.pair == pair_key(spec):
            self.restore_session()

    def _differs(self, draft: Draft | None) -> bool:
        """Whether a draft holds anything that no example does."""
        if draft is None or self._touched:
            return False
        return not any(
            (e.prompt, e.a, e.b) == (draft.prompt, draft.a, draft.b) for e in self.examples
        )

    @Slot()
    def _edited(self) -> None:
        self._touched = True
        self._autosave.start()
