"""The user's texts: examples, files that are read, drafts on disk, the last session.

Never loses what was typed: a second after a key it is on its way to the disk (app/drafts.py says
where it lies), and whatever is put in the place of texts is one step of undo, for prompt and
responses together; what was typed before stays in a draft of its own. Knows the credit view's
texts; knows nothing of scores.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QComboBox

from app.actions.action import Menu, action
from app.ask import AskPath
from app.credit.examples import Example
from app.credit.view import CreditView
from app.drafts import Draft, Drafts
from app.editing import can_redo, can_undo, focused_editor
from app.files import read_text
from app.notices import NoticeBar
from app.settings import pair_key
from core.engine.protocol import PairSpec, Side
from core.errors import UserFacingError
from core.history import Reached, State
from core.session_record import PairNamed, SessionRecord, record_of
from core.text import Prompt

if TYPE_CHECKING:
    from app.recover import RecoverDialog

AUTOSAVE_MS = 1000
"""From the first key that is not saved; later keys do not put it off."""
AGAIN_MS = 10_000
"""Until what could not be written is tried again."""
CLOSE_SECONDS = 4.0
"""How long closing waits for the disk."""
AT_ONCE = 200_000
"""Most characters that a window begins with unasked: an editor takes seconds for many more."""
STEPS = 50
"""Most replacements that can be undone."""
TEXT_FILES = "Text (*.txt *.md);;All files (*)"


@dataclass(frozen=True)
class Standing:
    """The texts as they stand."""

    prompt: Prompt
    a: str
    b: str
    example: str = field(default="", compare=False)
    paths: dict[str, Path] = field(default_factory=dict, compare=False)
    """The drafts they are saved in, by pair; the window's own while they stand there, so that they
    keep their draft however often they are undone and redone."""

    @classmethod
    def of(cls, record: SessionRecord) -> "Standing":
        """Return the texts of a record."""
        return cls(record.turns(), record.a.text, record.b.text, record.example)


class Texts(QObject):
    """What stands in the prompt and the two editors, and where it comes from."""

    session_changed = Signal()
    """There may be a last session to restore now."""
    put_in_place = Signal(str)
    """Other texts are being put in place: those of this example, "" for none."""
    steps_changed = Signal()
    """There may be other things to undo, or to do again."""

    def __init__(
        self,
        view: CreditView,
        examples: tuple[Example, ...],
        box: QComboBox,
        notice: NoticeBar,
        ask: AskPath,
        pair: Callable[[], PairSpec | None],
        data: Path | None,
    ) -> None:
        """``box`` chooses an example; ``pair`` returns the pair that the texts are written for.

        ``data``: the folder of the user's data, where drafts are kept; None keeps none.
        """
        super().__init__(view)
        self._view, self._examples, self._box = view, examples, box
        self._notice, self._ask, self._pair = notice, ask, pair
        self.drafts = Drafts(data, self) if data is not None else None
        self.recover_dialog: RecoverDialog | None = None
        self._last: Draft | None = None
        """What "Restore the last session" puts in place."""
        self._edited = self._unsaved = False
        """Edited: since the texts were put in place. Unsaved: since they were last written."""
        self._moving = False
        """Texts are being put in place, which is no typing."""
        self._told = self._refused = self._closed = False
        """Told: that texts cannot be saved. Refused: to close, for that."""
        self._written_for: PairSpec | None = None
        """The pair that was open at the last edit."""
        self._paths: dict[str, Path] = {}
        self._steps: list[tuple[Standing, Standing]] = []
        self._undone: list[tuple[Standing, Standing]] = []
        self._autosave = QTimer(self)
        self._autosave.setSingleShot(True)
        self._autosave.timeout.connect(self._save_soon)
        for example in examples:
            box.addItem(example.title)
        box.activated.connect(self.show_example)
        for panel in view.panels.values():
            panel.editor.undoAvailable.connect(self._tell_steps)
            panel.editor.redoAvailable.connect(self._tell_steps)
        view.edited.connect(self._note_edit)
        view.prompt.dropped.connect(self._turns_dropped)
        view.exchanged.connect(self._responses_exchanged)
        if self.drafts is not None:
            self.drafts.written.connect(self._written)
            self.drafts.problem.connect(self._set_aside)

    # --- examples and files -------------------------------------------------------------------

    def begin(self) -> None:
        """Put the first texts in place: the last session's if they were of the same pair."""
        self._view.show_example(self._examples[0])
        if self.drafts is None:
            return
        self.drafts.take_over()
        self._last = self.drafts.newest()
        self.session_changed.emit()
        spec = self._pair()
        if spec is None or spec.demo:
            return
        own = self.drafts.newest(spec)
        if own is not None and own.record.characters() > AT_ONCE:
            self._last = own
            self._offer()
        elif own is not None:
            texts = Standing.of(own.record)
            self._view.show_example(Example(texts.example, texts.prompt, texts.a, texts.b))
            self._show_title(texts.example)
            self.drafts.keep(own.path)

    def tidy(self) -> None:
        """Have drafts of long ago removed."""
        if self.drafts is not None:
            self.drafts.tidy()

    @Slot(int)
    def show_example(self, index: int) -> None:
        """Put an example in place, as one step of undo."""
        one = self._examples[index]
        self._put(Standing(one.prompt, one.a, one.b, one.title))

    @action(Menu.FILE.at(2, 1), "Read the p&rompt from a file…", tip="A UTF-8 text file")
    def read_prompt(self) -> None:
        """Ask for a file and make it the prompt; a system message stays."""
        text = self._read("Read the prompt")
        if text is not None:
            now = self._now()
            system = [turn.content for turn in now.prompt.messages if turn.role == "system"]
            prompt = Prompt.of(text, system[0] if system else None)
            self._replace(partial(self._view.prompt.put_prompt, prompt), now.example)
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
            self.put_responses({side: Reached(text)})

    def put_responses(self, responses: Mapping[Side, Reached]) -> None:
        """Put responses from elsewhere into their editors, together one step of undo."""
        before = self._now()
        self._turn_over()
        for side, it in responses.items():
            self._view.panels[side].swap_in(it.text, it.ids)
        self._remember_step(before)
        self._view.edited.emit()
        for side in responses:
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

    # --- replacing, and the way back ----------------------------------------------------------

    def _now(self) -> Standing:
        panels, title = self._view.panels, self._box.currentText()
        prompt = self._view.prompt.prompt()
        return Standing(prompt, panels["A"].text(), panels["B"].text(), title, self._paths)

    def _replace(self, put: Callable[[], object], example: str) -> None:
        """Have other texts put in place, which is one step of undo."""
        before = self._now()
        self._turn_over()
        self._moving = True
        put()
        self._moving = False
        self._show_title(example)
        self._remember_step(before)
        self._edited = False

    def put_state(self, state: State) -> None:
        """Put texts in place that were scored before, their very tokens, as one step of undo."""
        before = self._now()
        self._moving = True
        self._view.put_known(state.prompt, {"A": state.a, "B": state.b})
        self._moving = False
        self._remember_step(before)
        self._mark_edited()

    def state(self) -> State:
        """Return the texts as they stand, whatever their tokens."""
        now = self._now()
        return State(now.prompt, Reached(now.a), Reached(now.b))

    def keep_tokens(self, state: State) -> None:
        """Have the texts on the screen scored by these tokens: the pair is another one now."""
        self._moving = True
        self._view.put_known(state.prompt, {"A": state.a, "B": state.b})
        self._moving = False

    def put_session(self, state: State, example: str) -> None:
        """Put the texts of a session in place, their very tokens, as one step of undo."""
        self.put_in_place.emit("")
        self._replace(
            partial(self._view.put_known, state.prompt, {"A": state.a, "B": state.b}), example
        )
        self._notice.dismiss("draft")

    def _put(self, texts: Standing) -> None:
        self.put_in_place.emit(texts.example)
        put = partial(self._view.put_texts, texts.prompt, texts.a, texts.b)
        self._replace(put, texts.example)

    def put_pair(self, prompt: Prompt, a: str, b: str) -> None:
        """Put a prompt and two responses from elsewhere in place, as one step of undo; what both
        begin with is folded."""
        self._put(Standing(prompt, a, b))
        self._view.fold_shared()

    def _turn_over(self) -> None:
        """Leave what was typed in its draft; what comes now is saved in another."""
        if self._edited and self.drafts is not None:
            if self._unsaved:
                self._save_soon()
            spec = self._written_for  # it may have gone by now
            self._last = Draft(self._path(spec), self._record(spec))
            self.session_changed.emit()
        self._paths = {}

    def _remember_step(self, before: Standing) -> None:
        if (now := self._now()) != before:
            self._steps = [*self._steps, (before, now)][-STEPS:]
            self._undone.clear()
            self.steps_changed.emit()

    def _show_title(self, example: str) -> None:
        place = self._box.findText(example)
        if place >= 0:
            self._box.setCurrentIndex(place)

    @Slot(object)
    def _turns_dropped(self, before: Prompt) -> None:
        now = self._now()
        self._remember_step(Standing(before, now.a, now.b, now.example, now.paths))

    @Slot(str, str)
    def _responses_exchanged(self, a: str, b: str) -> None:
        now = self._now()
        self._remember_step(Standing(now.prompt, a, b, now.example, now.paths))

    @Slot(bool)
    def _tell_steps(self, there: bool) -> None:
        self.steps_changed.emit()

    def _can_undo(self) -> bool:
        editor = focused_editor() or self._view.put_into
        return self._is_step(back=True) or (editor is not None and can_undo(editor))

    def _can_redo(self) -> bool:
        editor = focused_editor() or self._view.put_into
        return self._is_step(back=False) or (editor is not None and can_redo(editor))

    def _is_step(self, back: bool) -> bool:
        """Return whether what was done last, or is to be done again, is a replacement."""
        if back:
            return bool(self._steps) and self._now() == self._steps[-1][1]
        return bool(self._undone) and self._now() == self._undone[-1][0]

    @action(
        Menu.EDIT.at(0, 1),
        "&Undo",
        "Ctrl+Z",
        "Take back what was typed, or put in its place",
        enabled=_can_undo,
    )
    def undo(self) -> None:
        """Undo the last replacement of the texts if nothing came after it, else in the editor."""
        if self._is_step(back=True):
            self._go(back=True)
        elif (editor := focused_editor() or self._view.put_into) is not None:
            editor.undo()

    @action(
        Menu.EDIT.at(0, 2),
        "R&edo",
        "Ctrl+Shift+Z; Ctrl+Y",
        "Do again what was undone",
        enabled=_can_redo,
    )
    def redo(self) -> None:
        """Do again what was undone last."""
        if self._is_step(back=False):
            self._go(back=False)
        elif (editor := focused_editor() or self._view.put_into) is not None:
            editor.redo()

    def _go(self, back: bool) -> None:
        """Undo or redo a replacement in all editors, as far as it is not done in one already."""
        given, taken = (self._undone, self._steps) if back else (self._steps, self._undone)
        step = taken.pop()
        given.append(step)
        texts = step[0] if back else step[1]
        self._moving = True
        self._view.undo_to(texts.prompt, texts.a, texts.b, redo=not back)
        self._moving = False
        self._show_title(texts.example)
        self._paths = texts.paths
        self._mark_edited()
        self.steps_changed.emit()

    def _follow_editor(self) -> None:
        """Where an editor has undone (or redone) its part of a replacement, do so in the others."""
        if not (self._steps or self._undone):
            return
        now, prompt = self._now(), self._view.prompt
        editors = [panel.editor.document() for panel in self._view.panels.values()]
        undone = prompt.can_redo() or any(one.isRedoAvailable() for one in editors)
        if self._steps and undone and _is_between(now, *self._steps[-1]):
            self._go(back=True)
        elif self._undone and _is_between(now, *reversed(self._undone[-1])):
            self._go(back=False)
        elif not undone:
            self._undone.clear()  # something was typed instead

    # --- drafts -------------------------------------------------------------------------------

    def record(self) -> SessionRecord:
        """Return the record of the texts as they stand."""
        return self._record(self._whose())

    def _record(self, spec: PairSpec | None) -> SessionRecord:
        now = self._now()
        beta = self._view.known_beta()
        return record_of(spec, beta, now.example, now.prompt, now.a, now.b)

    def _whose(self) -> PairSpec | None:
        return self._written_for if self._unsaved else self._pair()

    def _path(self, spec: PairSpec | None) -> Path:
        """Return the draft of a pair, a new one for its first."""
        assert self.drafts is not None
        pair = spec or PairNamed()
        if pair_key(pair) not in self._paths:
            self._paths[pair_key(pair)] = self.drafts.new_path(pair)
        return self._paths[pair_key(pair)]

    @Slot()
    def _save_soon(self) -> None:
        """Have the texts written, and wait for nothing."""
        self._autosave.stop()
        if self.drafts is not None:
            self.drafts.save(self._path(self._whose()), self.record())
            self._unsaved = False

    def save(self) -> bool:
        """Write the texts to disk and return whether they are there; a full disk stops nobody."""
        return not self._save_now()

    def _save_now(self) -> str:
        if self.drafts is None:
            return ""
        self._autosave.stop()
        why = self.drafts.save_now(self._path(self._whose()), self.record(), CLOSE_SECONDS)
        self._unsaved = bool(why)
        self._told = False
        self._written(why)
        return why

    def close(self) -> bool:
        """Save what was typed and return whether the window may go; nothing is saved any more.

        Where it cannot be saved, the window may not go the first time, and the notice says why.
        """
        if self.drafts is None:
            self._autosave.stop()
            return True
        if self._unsaved and (why := self._save_now()) and not self._refused:
            self._refused = True
            self._say_unsaved(why, "; close again to leave without them")
            return False
        self._closed = True
        self._autosave.stop()
        self.drafts.close(CLOSE_SECONDS)
        return True

    @Slot(str)
    def _written(self, why: str) -> None:
        if self._closed:
            return
        if not why:
            self._notice.dismiss("draft file")
            self._told = self._refused = False
            return
        self._unsaved = True
        self._autosave.start(AGAIN_MS)
        if not self._told:
            self._told = True
            self._say_unsaved(why)

    def _say_unsaved(self, why: str, more: str = "") -> None:
        self._notice.show_notice(
            "warning",
            f"Your texts could not be saved ({why}): make room on the disk, or copy them{more}.",
            topic="draft file",
            lasting=True,
        )

    @Slot(str)
    def _set_aside(self, sentence: str) -> None:
        self._notice.add("warning", sentence)

    def _has_session(self) -> bool:
        return self._last is not None

    @action(
        Menu.FILE.at(2, 4),
        "&Restore the last session",
        tip="The texts you had last time",
        enabled=_has_session,
    )
    def restore_session(self) -> None:
        """Put the texts of the last session in place, or those that were replaced last."""
        if self._last is not None:
            self.put_draft(self._last)

    @action(Menu.FILE.at(2, 5), "Reco&ver…", tip="The texts of the last 30 days, of all pairs")
    def recover(self) -> None:
        """Show the drafts that are kept, to put one in place or remove it."""
        if self.drafts is None:
            return
        from app.recover import RecoverDialog

        if self._unsaved:
            self._save_soon()
        own = frozenset(self._paths.values())
        dialog = RecoverDialog(self.drafts, own, self._view.window())
        dialog.chosen.connect(self.put_draft)
        self.recover_dialog = dialog
        dialog.open()

    @Slot(object)
    def put_draft(self, draft: Draft) -> None:
        """Put the texts of a draft in place, as one step of undo."""
        self._put(Standing.of(draft.record))
        self._notice.dismiss("draft")
        if self.drafts is not None:
            self.drafts.keep(draft.path)

    def offer_session(self) -> None:
        """Say that there are texts of the last session, if there are and no example has them."""
        if self._last is None or self._edited:
            return
        shown = Standing.of(self._last.record)
        if shown not in [Standing(it.prompt, it.a, it.b) for it in self._examples]:
            self._offer()

    def _offer(self) -> None:
        self._notice.show_notice(
            "info",
            "The texts of your last session are kept.",
            topic="draft",
            action="Restore them",
            then=self.restore_session,
        )

    @Slot()
    def _note_edit(self) -> None:
        if self._moving:
            return
        self._follow_editor()
        self._mark_edited()

    def _mark_edited(self) -> None:
        self._edited = self._unsaved = True
        self._written_for = self._pair()
        if not self._autosave.isActive() or self._autosave.remainingTime() > AUTOSAVE_MS:
            self._autosave.start(AUTOSAVE_MS)


def _is_between(now: Standing, old: Standing, new: Standing) -> bool:
    """Return whether some of the texts are the old ones and the others the new ones, not all."""
    parts = [(now.prompt, old.prompt, new.prompt), (now.a, old.a, new.a), (now.b, old.b, new.b)]
    return now != new and all(it in (before, after) for it, before, after in parts)
