"""Sessions, as the window offers them: saved into a file, opened with the pair or without it.

A session that is opened is shown at once from what was recorded. If its pair is on this machine it
is loaded behind, takes the recording's place, and says how both agree. A file that is of a newer
Qscope, or damaged, is shown as far as it can be and never written over. Knows the window's parts;
knows nothing of how files are laid out or how a pair is loaded.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject, Qt, Signal, Slot
from PySide6.QtGui import QImageWriter
from PySide6.QtWidgets import QMainWindow, QToolButton

from app.actions.action import Entry, Listing, Menu, action
from app.ask import AskPath
from app.banner import PairBanner
from app.credit.view import CreditView
from app.engine_client import EngineClient
from app.history import EditHistory
from app.learned.actions import LearnedActions
from app.notices import Kind, NoticeBar
from app.pair_loader import PairLoader
from app.search.actions import SearchActions
from app.sessions.badge import RecordedBadge
from app.sessions.check import SessionCheck
from app.sessions.files import Read, SessionFiles
from app.sessions.record import full_record, points_of, spec_of, state_of, with_part, without_ids
from app.sessions.shown import Shown
from app.settings import Settings, pair_key
from app.texts import Texts
from app.widgets.timers import single_shot
from app.widgets.tool_button import make_reachable
from core.engine.protocol import Failed, InspectStates, Load, PairInfo, PairSpec, StatesDone
from core.recording import Recording
from core.session_check import other_weights
from core.session_record import ENDING, PairNamed, SessionRecord

if TYPE_CHECKING:
    from core.session_file import Opened

FILTER = f"Qscope sessions (*{ENDING})"
WIDE = 640
"""Pixels of a session's picture."""
SETTLE_MS = 60
"""How often it is looked whether recorded trees are there, before the pair is loaded behind."""
SLOW_MS = 500
"""After which it is said that a file is being read, and can be cancelled."""
STATES_LOOKED_AT = 1500
"""Most states that a session is given which nobody has looked at."""
COMPARING_LOOK = """
QToolButton { padding: 0 6px; border: none; }
QToolButton:hover, QToolButton:focus { text-decoration: underline; }
"""
"""A button that is no higher than a line of the status bar."""
TOPIC = "session"
NUMBERS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Parts:
    """The parts of the window whose state a session holds."""

    view: CreditView
    texts: Texts
    history: EditHistory
    searches: SearchActions
    learned: LearnedActions
    pair: PairLoader
    shown: Shown


class Sessions(QObject):
    """The session of one window: the file that is open, if any."""

    changed = Signal()
    """Another file is open, or there is something to save in it, or nothing any more."""

    def __init__(
        self,
        window: QMainWindow,
        client: EngineClient,
        parts: Parts,
        banner: PairBanner,
        settings: Settings,
        notice: NoticeBar,
        ask: AskPath,
    ) -> None:
        super().__init__(window)
        self._window, self._client, self._parts = window, client, parts
        self._banner, self._notice, self._ask = banner, notice, ask
        self.badge = RecordedBadge()
        self.path: Path | None = None
        """The session file that is open."""
        self.modified = False
        """Something has changed that it does not hold."""
        self._files = SessionFiles(settings, self)
        self._check = SessionCheck(client, self)
        self._opening: Path | None = None
        """The file that is being read."""
        self._opened: Opened | None = None
        """What was read of the one that is open, until its pair is loaded and compared."""
        self._spec: PairSpec | None = None
        """Its pair, where that is now."""
        self._beta: float | None = None
        self._as_before: dict[str, str] = {}
        """How all was shown before the pair took the recording's place."""
        self._saving: Path | None = None
        """The file that is being written, or was last."""
        self._saves = 0
        """How often it has been saved, or another one opened."""
        self._quiet = False
        """What changes now is no change of the user's."""
        self._offered = False
        self._asked = False
        """The user has asked for the pair, and is to be told why it cannot be loaded."""
        self._settle = single_shot(self, self._load_behind, SETTLE_MS)
        self._slow = single_shot(self, self._say_slow, SLOW_MS)
        self.comparing = QToolButton()
        """How far the pair is compared with the recording; a click stops that."""
        self._compares_long = single_shot(self, self.comparing.show, SLOW_MS)
        self._connect()

    def _connect(self) -> None:
        files, pair, view = self._files, self._parts.pair, self._parts.view
        self.comparing.setAutoRaise(True)
        self.comparing.setStyleSheet(COMPARING_LOOK)
        self.comparing.setToolTip("Stop comparing, and say what is known so far")
        make_reachable(self.comparing)
        self.comparing.clicked.connect(self._check.stop)
        self._window.statusBar().addPermanentWidget(self.comparing)
        self.comparing.hide()
        files.was_read.connect(self._take)
        files.was_written.connect(self._written)
        files.refused.connect(self._refused)
        files.found_last.connect(self._offer_last)
        self._check.said.connect(self._say_agreement)
        self._check.progress.connect(self._show_progress)
        self._banner.cancel.connect(self._cancel)
        self.badge.load_wanted.connect(self.load_pair)
        self.badge.find_wanted.connect(self.find_policy)
        self.badge.cancel_wanted.connect(self._stop_loading)
        pair.behind.connect(self.badge.show_loading)
        pair.behind_failed.connect(self._say_not_loaded)
        pair.switching.connect(self._remember_looks)
        view.edited.connect(self._touch)
        view.beta_chosen.connect(self._beta_chosen)
        self._parts.history.renamed.connect(self._touch)

    # --- the window's life --------------------------------------------------------------------

    def begin(self, path: Path | None) -> None:
        """Open a session file, or offer the one that was open last time."""
        self._files.look_for_recent()
        if path is not None:
            self.open(path)
        else:
            self._files.look_for_last()

    def close(self, seconds: float) -> None:
        """End the thread, once what was to be saved is."""
        self._files.close(seconds)

    def title(self) -> str:
        """Return what the window's title says of the session; "" for none."""
        return f"{self.path.name}[*] — " if self.path is not None else ""

    def has_texts(self) -> bool:
        """Return whether the texts are of a session, or one has been offered."""
        return self.path is not None or self._opening is not None or self._offered

    @Slot(object)
    def _offer_last(self, path: Path) -> None:
        if self.path is None and self._opening is None:
            self._offered = True
            self._notice.show_notice(
                "info",
                f"The session {path.name} was open last time.",
                topic=TOPIC,
                action="Open it",
                then=partial(self.open, path),
            )

    # --- saving -------------------------------------------------------------------------------

    @action(
        Menu.FILE.at(0, 3),
        "&Save the session",
        "Ctrl+S",
        "Texts, numbers, trees and history in one file, to be opened without the pair",
    )
    def save(self) -> None:
        """Save into the file that is open; ask for one where none is."""
        if self.path is None:
            self.save_as()
        else:
            self._save_in(self.path)

    @action(Menu.FILE.at(0, 4), "Save the session &as…", tip="Into another file")
    def save_as(self) -> None:
        """Ask for a file and save into it."""
        proposed = self.path.name if self.path is not None else f"session{ENDING}"
        chosen = self._ask.new_file("Save the session", proposed, FILTER)
        if not chosen:
            return
        path = Path(chosen)
        if path.suffix != ENDING:
            path = path.with_name(path.name + ENDING)
            if path.exists():  # the dialog has asked about another name
                self._say("error", f"{path} exists: choose it in the list, or another name.")
                return
        self._save_in(path)

    def _save_in(self, path: Path) -> None:
        parts, recording = self._parts, self._client.recording.snapshot()
        record = full_record(
            parts.texts.record(),
            parts.pair.spec,
            parts.view.scorings(),
            parts.history.history,
            parts.shown.gather(),
        )
        if not self._has_its_numbers():
            record, recording = without_ids(record), Recording()
        picture = self._picture()
        self._saving = path
        self._saves += 1
        self._say_briefly(f"Saving {path.name} …")
        self.modified = False  # what changes from now on is not in the file
        self.changed.emit()
        self._files.save(path, record, recording, picture)
        self._look_at_states(path, record, picture)

    def _has_its_numbers(self) -> bool:
        """Return whether what is recorded is of the pair that is to be saved; another one may be
        loading, or could not be loaded."""
        pair, of = self._parts.pair, self._client.recorded_of
        named = pair.spec is not None and of is not None and pair_key(pair.spec) == pair_key(of)
        return pair.info is not None or named

    def _look_at_states(self, path: Path, record: SessionRecord, picture: bytes) -> None:
        """Have the pair say what else could stand at each token, and then save that too."""
        checkpoint = self._parts.view.numbers.checkpoint()
        states = self._client.recording.unseen(checkpoint)[:STATES_LOOKED_AT]
        info = self._parts.pair.info
        if info is not None and not info.recorded and states:
            ticket = self._client.ask(InspectStates, states)
            ticket.answered.connect(partial(self._save_states, self._saves, path, record, picture))

    def _save_states(
        self, save: int, path: Path, record: SessionRecord, picture: bytes, event: StatesDone
    ) -> None:
        """Save once more what one save has written, unless another came after it."""
        if path == self._saving and save == self._saves:
            self._files.save(path, record, self._client.recording.snapshot(), picture)

    def _picture(self) -> bytes:
        """Return a small picture of the window, as a PNG."""
        grabbed = self._window.grab()
        small = grabbed.scaledToWidth(WIDE, Qt.TransformationMode.SmoothTransformation)
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        QImageWriter(buffer, QByteArray(b"png")).write(small.toImage())
        return bytes(buffer.data().data())

    @Slot(object, object)
    def _written(self, path: Path, remarks: tuple[str, ...]) -> None:
        if path != self._saving:
            return  # another session has been opened meanwhile
        self.path = path
        self._files.remember(path)
        self._notice.dismiss(TOPIC)
        if remarks:
            sentence = f"{path.name} is saved, but {'; '.join(remarks)}."
            self._notice.show_notice("warning", sentence, topic=TOPIC, lasting=True)
        self._say_briefly(f"Saved {path.name}")
        self.changed.emit()

    @Slot(object, str, bool)
    def _refused(self, path: Path, sentence: str, writing: bool) -> None:
        if not writing:
            if path == self._opening:
                self._end_opening()
                self._say("error", sentence)
            return
        if path == self._saving:
            self._saving = None
        self._touch()
        self._notice.show_notice(
            "error", sentence, topic=TOPIC, action="Save as…", then=self.save_as, lasting=True
        )

    # --- opening ------------------------------------------------------------------------------

    @action(
        Menu.FILE.at(0, 1),
        "Open a s&ession…",
        tip="What was saved is shown at once, without the pair; the pair is loaded behind",
    )
    def open_session(self) -> None:
        """Ask for a session file and open it."""
        if path := self._ask.file("Open a session", FILTER):
            self.open(Path(path))

    def recent_listing(self) -> Listing:
        """Return the submenu of the sessions that were open last."""
        return Listing(
            "recent_sessions",
            Menu.FILE.at(0, 2),
            "Recent sess&ions",
            "",
            "The sessions that were open last",
            self._recent_entries,
            "None yet",
        )

    def _recent_entries(self) -> list[Entry]:
        self._files.look_for_recent()
        return [
            Entry(
                path.name.replace("&", "&&"),
                str(path) if there else f"{path} is not there",
                partial(self.open, path),
                there,
            )
            for path, there in self._files.recent()
        ]

    def open(self, path: Path) -> None:
        """Open a session file; the texts that are there stay one step of undo away."""
        self._opening = path
        self._slow.start()
        self._files.open(path)

    @Slot()
    def _say_slow(self) -> None:
        if self._opening is not None:
            self._banner.show_loading(f"Opening {self._opening.name}", None)

    @Slot()
    def _cancel(self) -> None:
        """Open no file after all."""
        if self._opening is not None:
            self._end_opening()

    def _end_opening(self) -> None:
        self._opening = None
        self._slow.stop()
        if self._client.busy(Load):
            return  # it says how far that is
        if self._parts.pair.info is not None:
            self._banner.hide()
        else:
            self._banner.show_nothing()

    @Slot(object)
    def _take(self, read: Read) -> None:
        """Show what was read, unless that is not wanted any more."""
        if read.path != self._opening:
            return
        self._end_opening()
        self._opened, self._asked = read.opened, False
        self._notice.dismiss(TOPIC)
        record, recording = read.opened.record, read.opened.recording
        self._spec = spec_of(record.pair)
        self._beta, self._as_before = record.beta, dict(record.view)
        self.path, self.modified, self._saving = read.path, False, None
        self._files.remember(read.path)
        self.changed.emit()
        if recording.info is not None:
            self._client.replay(recording)
            self._parts.pair.show_recorded(self._spec or PairSpec())  # then ``set_pair``
        else:
            self._show_texts()
            if self._spec is not None and not read.missing:
                self._parts.pair.load(self._spec)
        self._say_troubles(read)

    def _say_troubles(self, read: Read) -> None:
        """Say what of the file could not be read, else what of its pair is not where it was."""
        if read.opened.remarks:
            clauses = "; ".join(read.opened.remarks)
            self._notice.show_notice(
                "warning",
                f"{read.path.name} is shown as far as it can be read: {clauses}. It is not written "
                "over: save under another name.",
                topic=TOPIC,
                lasting=True,
            )
        elif read.missing:
            self._say_missing(read.missing[0])

    def _say_missing(self, role: str) -> None:
        assert self._spec is not None  # it has a name that is gone
        where = msgspec.structs.asdict(PairNamed.of(self._spec))[role]
        what = {"run": "run", "search_base": "third model"}.get(role, role)
        self._notice.show_notice(
            "warning",
            f"The {what} was at {where}, which is not there.",
            topic=TOPIC,
            action="Find it…",
            then=partial(self._find, role),
        )

    def _show_texts(self) -> None:
        """Put the texts, the history and the looks of the session in place."""
        assert self._opened is not None
        record, parts = self._opened.record, self._parts
        self._quiet = True
        parts.history.restore(*points_of(record), self._spec or PairSpec())
        parts.texts.put_session(state_of(record), record.example)
        self._show_beta()
        parts.shown.show(record.view)
        self._quiet = False

    def _show_beta(self) -> None:
        """Show the session's beta, where it has one; else the pair's own stays."""
        if self._beta is None:
            return
        self._parts.view.controls.set_beta(self._beta)
        if self._parts.searches.view is not None:
            self._parts.searches.view.set_beta(self._beta)

    # --- the pair -----------------------------------------------------------------------------

    def set_pair(self, info: PairInfo | None) -> None:
        """Take note of what answers now: a recording, the pair itself, or nothing.

        To be called once all views know it.
        """
        self.badge.show_info(info)
        if info is None or self._opened is None:
            return
        if info.recorded:
            self._show_texts()
            self._parts.searches.show_again(self._opened.recording)
            self._parts.learned.show_again(self._opened.recording)
            self._parts.shown.show_search(self._opened.record.view)
            self._settle.start()
        elif self._is_its_pair():
            self._go_on_with_pair(info)
        else:
            self._opened = None  # the window has gone on to another pair

    def _is_its_pair(self) -> bool:
        spec, own = self._parts.pair.spec, self._spec
        return spec is not None and own is not None and pair_key(spec) == pair_key(own)

    def _go_on_with_pair(self, info: PairInfo) -> None:
        """Show all as it was, of the pair itself now, and compare what was recorded."""
        assert self._opened is not None
        parts, opened = self._parts, self._opened
        self._opened = None
        recorded = opened.recording.info
        others = recorded is not None and bool(other_weights(recorded, info))
        self._quiet = True
        history = parts.history.history
        now = history.current()
        if others:  # it may have another vocabulary
            history.forget_numbers(tokens_too=True)
        elif now is not None and now.state.without_ids() == parts.texts.state():
            parts.texts.keep_tokens(now.state)
        self._show_beta()
        parts.shown.show({**self._as_before, "page": ""})
        self._quiet = False
        if recorded is not None and not others:
            _carry_over(opened.recording, self._client.recording)
            parts.learned.show_again(self._client.recording)
        self._check.begin(opened.recording, info, parts.shown.checkpoint())

    @Slot()
    def _remember_looks(self) -> None:
        self._as_before = self._parts.shown.gather()

    @Slot()
    def _load_behind(self) -> None:
        """Load the pair behind, where it is on this machine, once recorded trees are there."""
        search = self._parts.searches.view
        if search is not None and search.trees.are_growing():
            self._settle.start()
        elif self._spec is not None and self._is_recorded():
            self._parts.pair.load_behind(self._exact(self._spec))

    def _is_recorded(self) -> bool:
        info = self._parts.pair.info
        return info is not None and bool(info.recorded)

    def _exact(self, spec: PairSpec) -> PairSpec:
        """Return the pair in the format that was recorded."""
        info = self._opened.recording.info if self._opened is not None else None
        dtype = info.dtype if info is not None and info.dtype in NUMBERS else "auto"
        return replace(spec, dtype=dtype)

    @Slot()
    def load_pair(self) -> None:
        """Load the pair of the session behind; say why where that cannot be."""
        if self._spec is None:
            self._parts.pair.open_pair()
            return
        self._asked = True
        self._parts.pair.load_behind(replace(self._exact(self._spec), download="ask"))

    @Slot()
    def _stop_loading(self) -> None:
        """Leave what was recorded to answer, and load no pair."""
        self._client.cancel(Load)

    @Slot(object)
    def _say_not_loaded(self, event: Failed) -> None:
        """Say why the pair cannot be loaded: aloud only if the user has asked for it."""
        self.badge.show_trouble(event.message)
        if not self._asked:
            return
        self._asked = False
        spec = self._spec
        if event.downloadable and spec is not None:
            wanted = replace(self._exact(spec), download="yes")
            self._notice.show_notice(
                "info",
                event.message,
                topic=TOPIC,
                action="Download it",
                then=partial(self._load_aloud, wanted),
            )
        else:
            self._say("error", event.message)

    def _load_aloud(self, spec: PairSpec) -> None:
        self._asked = True
        self._parts.pair.load_behind(spec)

    @Slot()
    def find_policy(self) -> None:
        """Ask where the policy, or the run, is now."""
        if self._spec is not None:
            self._find("run" if self._spec.run else "policy")

    def _find(self, role: str) -> None:
        """Ask for the folder of a part of the pair; the session remembers it."""
        assert self._spec is not None
        what = "run" if role == "run" else role.replace("search_base", "third model")
        folder = self._ask.folder(f"Find the {what}")
        if not folder:
            return
        self._spec = with_part(self._spec, role, folder)
        self._parts.history.found_again(self._spec)
        self._parts.pair.spec = self._spec
        self._touch()
        self._load_aloud(self._exact(self._spec))

    @Slot(str, bool)
    def _say_agreement(self, sentence: str, agrees: bool) -> None:
        self._say("info" if agrees else "warning", sentence)

    @Slot(object)
    def _show_progress(self, fraction: float | None) -> None:
        if fraction is None:
            self._compares_long.stop()
            self.comparing.hide()
            return
        self.comparing.setText(f"Stop comparing with the recording ({100 * fraction:.0f} %)")
        self.comparing.setAccessibleName(self.comparing.text())
        if self.comparing.isHidden() and not self._compares_long.isActive():
            self._compares_long.start()

    # --- what has changed ---------------------------------------------------------------------

    @Slot()
    def _touch(self) -> None:
        there = self.path is not None or self._saving is not None
        if there and not (self._quiet or self.modified):
            self.modified = True
            self.changed.emit()

    @Slot(object)
    def _beta_chosen(self, beta: float | None) -> None:
        if self._is_its_pair():
            self._beta = beta
        self._touch()

    def _say(self, kind: Kind, sentence: str) -> None:
        self._notice.show_notice(kind, sentence, topic=TOPIC)

    def _say_briefly(self, sentence: str) -> None:
        self._window.statusBar().showMessage(sentence, 5000)


def _carry_over(old: Recording, new: Recording) -> None:
    """Keep what was recorded of a pair and it has not been asked for again, as the older."""
    new.trees = {**old.trees, **new.trees}
    new.states = {**old.states, **new.states}
    new.sweep = new.sweep or old.sweep
    new.learned = new.learned or old.learned
    new.computed = new.computed or old.computed
    asked = dict(new.responses)
    for response in old.responses.values():
        new.add(replace(response, scorings=dict(response.scorings)))
    for key, response in asked.items():
        before = old.responses[key].scorings if key in old.responses else {}
        new.add(replace(response, scorings={**before, **response.scorings}))
