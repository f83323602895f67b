"""The user's texts: examples, files that are read, the draft on disk, the last session.

Never loses what was typed. Knows the credit view's texts; knows nothing of scores.
"""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QComboBox

from app.actions.action import Menu, action
from app.ask import AskPath
from app.credit.examples import Example
from app.credit.view import CreditView
from app.files import read_text
from app.notices import NoticeBar
from app.settings import Draft, pair_key, read_draft, write_draft
from core.engine.protocol import PairSpec, Side
from core.errors import UserFacingError
from core.text import Prompt

AUTOSAVE_MS = 1500
TEXT_FILES = "Text (*.txt *.md);;All files (*)"


class Texts(QObject):
    """What stands in the prompt and the two editors, and where it comes from."""

    session_changed = Signal()
    """There may be a last session to restore now."""

    def __init__(
        self,
        view: CreditView,
        examples: tuple[Example, ...],
        box: QComboBox,
        notice: NoticeBar,
        ask: AskPath,
        pair: Callable[[], PairSpec | None],
        draft_path: Path | None,
    ) -> None:
        """``box`` chooses an example; ``pair`` returns the pair that the texts are written for."""
        super().__init__(view)
        self._view, self._examples, self._box = view, examples, box
        self._notice, self._ask, self._pair = notice, ask, pair
        self._draft_path = draft_path
        self._last_session = read_draft(draft_path) if draft_path is not None else None
        self._edited = False
        """Whether the user has changed the texts since they were put in place."""
        self._autosave = QTimer(self)
        self._autosave.setSingleShot(True)
        self._autosave.setInterval(AUTOSAVE_MS)
        self._autosave.timeout.connect(self.save)
        for example in examples:
            box.addItem(example.title)
        box.activated.connect(self.show_example)
        view.edited.connect(self._note_edit)

    # --- examples and files -------------------------------------------------------------------

    def begin(self) -> None:
        """Put the first texts in place: the last session's if they were of the same pair."""
        self._view.show_example(self._examples[0])
        spec, draft = self._pair(), self._last_session
        if spec is not None and not spec.demo and draft and draft.pair == pair_key(spec):
            self.restore_session()

    @Slot(int)
    def show_example(self, index: int) -> None:
        """Put an example in place; the texts that were there can be restored."""
        if self._edited:
            self._last_session = self.draft()
            self.session_changed.emit()
        self._view.show_example(self._examples[index])
        self._edited = False

    @action(Menu.FILE.at(2, 1), "Read the p&rompt from a file…", tip="A UTF-8 text file")
    def read_prompt(self) -> None:
        """Ask for a file and make it the prompt; a system message stays."""
        text = self._read("Read the prompt")
        if text is not None:
            prompt = self._view.prompt.prompt()
            system = [turn.content for turn in prompt.messages if turn.role == "system"]
            self._view.prompt.set_prompt(Prompt.of(text, system[0] if system else None))
            self._view.prompt.changed.emit()

    @action(Menu.FILE.at(2, 2), "Read response &A from a file…", tip="A UTF-8 text file")
    def read_a(self) -> None:
        """Ask for a file and make it response A."""
        self._read_response("A")

    @action(Menu.FILE.at(2, 3), "Read response &B from a file…", tip="A UTF-8 text file")
    def read_b(self) -> None:
        """Ask for a file and make it response B."""
        self._read_response("B")

    def _read_response(self, side: Side) -> None:
        text = self._read(f"Read response {side}")
        if text is not None:
            self.put_response(side, text, None)

    def put_response(self, side: Side, text: str, ids: tuple[int, ...] | None) -> None:
        """Put a response from elsewhere into an editor, as one step of its undo."""
        self._view.panels[side].swap_in(text, ids)
        self._view.edited.emit()
        self._view.ask(side)

    def _read(self, title: str) -> str | None:
        path = self._ask.file(title, TEXT_FILES)
        if not path:
            return None
        try:
            return read_text(Path(path))
        except UserFacingError as error:
            self._notice.show_notice("error", str(error), topic="file")
            return None

    # --- the draft and the last session -------------------------------------------------------

    def draft(self) -> Draft:
        """Return the texts as they stand."""
        spec, panels = self._pair(), self._view.panels
        return Draft(
            pair_key(spec) if spec is not None else "",
            self._box.currentText(),
            self._view.prompt.prompt(),
            panels["A"].text(),
            panels["B"].text(),
        )

    @Slot()
    def save(self) -> bool:
        """Write the texts to disk and return whether they are there; a full disk stops nobody."""
        if self._draft_path is None:
            return True
        try:
            write_draft(self._draft_path, self.draft())
        except OSError as error:
            self._notice.show_notice(
                "warning", f"Your texts could not be saved: {error}.", topic="draft file"
            )
            return False
        return True

    def close(self) -> None:
        """Save what was typed; nothing is saved by itself any more."""
        if self._edited:
            self.save()
        self._autosave.stop()

    def _has_session(self) -> bool:
        return self._last_session is not None

    @action(
        Menu.FILE.at(2, 4),
        "&Restore the last session",
        tip="The texts you had last time",
        enabled=_has_session,
    )
    def restore_session(self) -> None:
        """Put the texts of the last session in place, or those that an example replaced."""
        draft = self._last_session
        if draft is None:
            return
        self._last_session = self.draft() if self._edited else draft
        self._view.show_example(Example(draft.example, draft.prompt, draft.a, draft.b))
        self._notice.dismiss("draft")
        self._edited = True

    def offer_session(self) -> None:
        """Say that there are texts of the last session, if there are and no example has them."""
        draft = self._last_session
        if draft is None or self._edited:
            return
        shown = (draft.prompt, draft.a, draft.b)
        if shown not in [(each.prompt, each.a, each.b) for each in self._examples]:
            self._notice.show_notice(
                "info",
                "The texts of your last session are kept.",
                topic="draft",
                action="Restore them",
                then=self.restore_session,
            )

    @Slot()
    def _note_edit(self) -> None:
        self._edited = True
        self._autosave.start()
