"""Which pair is open: opening, loading, closing it, and what the window says of that.

Owns the banner and the pair's part of the status line. Says when the pair has changed; who shows
numbers of it is told by the window. Knows the engine's client and settings; knows nothing of texts
or views.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.actions.action import Menu, action, toggle
from app.banner import PairBanner
from app.engine_client import EngineClient
from app.notices import Kind, NoticeBar
from app.settings import Settings
from app.status import Status
from core.engine.protocol import (
    Failed,
    Load,
    Loaded,
    NoiseMeasured,
    PairInfo,
    PairSpec,
    Progress,
    Stopped,
    Unload,
)
from core.noise import NOISELESS
from core.provenance import chosen_beta

REOPEN, LAST = "reopen", "last pair"
"""The names of settings: whether the pair that was open last is opened at the start, and whether
that was the demo's or the first of the recent ones."""
DEMO_BETA = 0.5
"""The demo's, before its recipe is read: shown from the first frame."""
AskForPair = Callable[
    [PairSpec, tuple[PairSpec, ...], QWidget | None, list[str] | None], PairSpec | None
]
NO_TEMPLATE = (
    "This tokenizer has no chat template: the prompt is read as plain text, its turns divided by "
    "blank lines."
)


class PairLoader(QObject):
    """The pair that was asked for and, once it is loaded, what the engine says of it."""

    changed = Signal(object)
    """The PairInfo of a pair that has been loaded; None once there is none any more."""
    named = Signal(str)
    """What to call the policy; "" for none."""
    noise_measured = Signal(object)
    """The noise floor of the pair that is loaded."""
    behind = Signal(str, object)
    """What is being done to load a pair behind a recording, and how far, 0..1 or None; "" once that
    is over."""
    behind_failed = Signal(object)
    """Why that cannot be: a ``Failed``."""
    switching = Signal()
    """The pair that was loaded behind takes the place of what was recorded of it."""

    def __init__(
        self,
        client: EngineClient,
        settings: Settings,
        banner: PairBanner,
        notice: NoticeBar,
        status: Status,
        spec: PairSpec | None,
    ) -> None:
        super().__init__(banner)
        self.spec = spec
        self.info: PairInfo | None = None
        self.ask_for_pair: AskForPair = partial(_ask_for_pair, client)
        """Replaceable, so that tests can answer."""
        self._client, self._settings = client, settings
        self._banner, self._notice, self._status = banner, notice, status
        self._held: PairSpec | None = None
        """The pair that the engine has and goes back to if another cannot be loaded."""
        self._asked = False
        """Whether a pair was asked for, or what was recorded of one."""
        self._before_float32: PairSpec | None = None
        """What to go back to, while the pair is loaded again in float32."""
        client.noise_measured.connect(self._noise_measured)
        client.memory.connect(status.show_memory)
        status.float32_wanted.connect(self.compute_in_float32)
        banner.open_demo.connect(self.open_demo)
        banner.open_pair.connect(self.open_pair)
        banner.cancel.connect(self._cancel)

    def first_beta(self) -> float | None:
        """Return the beta to show before anything is loaded; None where it is not known yet."""
        spec = self.spec
        if spec is None:
            return None
        known = spec.beta or self._settings.beta(spec)
        return DEMO_BETA if known is None and spec.demo else known

    def limits(self) -> dict[str, float]:
        """Return the limits that colours had with this pair, by what they are of."""
        return self._settings.limits(self._loaded_spec())

    @Slot(object)
    def remember_limits(self, limits: dict[str, float]) -> None:
        """Remember the limits that colours have with this pair."""
        if self.spec is not None:
            self._settings.remember_limits(self.spec, limits)

    def beta(self) -> float | None:
        """Return the beta of the pair that is loaded: the user's, else the pair's, if any.

        It is the user's if the command line or the dialog said so, or if it was chosen before.
        """
        if self.info is None:
            return None
        return self._settings.beta(self._loaded_spec()) or self.info.beta

    def _loaded_spec(self) -> PairSpec:
        return self.spec or PairSpec(demo=True)

    # --- what the user asks for ---------------------------------------------------------------

    @action(Menu.FILE.at(1, 1), "Open a &pair…", "Ctrl+O", "Choose a policy and its reference")
    @Slot()
    def open_pair(self) -> None:
        """Ask for a pair and load it."""
        self.open_folders(None)

    def open_folders(self, folders: list[str] | None) -> None:
        """Ask for a pair, beginning with folders that were dropped on the window, and load it."""
        known = self.spec if self.spec is not None and not self.spec.demo else PairSpec()
        recent = self._settings.recent()
        chosen = self.ask_for_pair(known, recent, self._banner.window(), folders)
        if chosen is not None:
            self.load(chosen)

    @action(
        Menu.FILE.at(1, 5), "Open the &demo pair", "Ctrl+Shift+D", "Load the pair Qscope brings"
    )
    @Slot()
    def open_demo(self) -> None:
        """Load the demo pair."""
        self.load(PairSpec(demo=True))

    def _reopens(self) -> bool:
        return self._settings.get(REOPEN, "0", ("0", "1")) == "1"

    @toggle(
        Menu.FILE.at(1, 9),
        "Reopen this pair at the &next start",
        "",
        "Begin with the pair that was open last, where nothing else is asked for",
        _reopens,
    )
    def reopen(self, on: bool) -> None:
        """Choose whether a window begins with the pair that was open last."""
        self._settings.put(REOPEN, str(int(on)))

    def _can_be_more_exact(self) -> bool:
        return self.info is not None and self.info.dtype != "float32"

    @action(
        Menu.FILE.at(1, 6),
        "Compute in &float32",
        tip="Load the pair again in float32: slower and larger, but without the noise of rounding",
        enabled=_can_be_more_exact,
    )
    @Slot()
    def compute_in_float32(self) -> None:
        """Load the pair again in float32; the texts stay."""
        if self.spec is not None:
            spec = self.spec
            self.load(replace(spec, dtype="float32"))
            self._before_float32 = spec

    @Slot(object)
    def load(self, spec: PairSpec) -> None:
        """Load a pair in place of the one that is there; the texts stay."""
        self.spec, self._asked = spec, True
        self._let_go()
        for topic in ("load", "files", "pair"):
            self._notice.dismiss(topic)
        self._banner.show_loading("Loading the demo pair" if spec.demo else "Loading", None)
        ticket = self._client.ask(Load, replace(spec, download=spec.download or "ask"))
        ticket.progress.connect(self._progress)
        ticket.answered.connect(self._loaded)
        ticket.failed.connect(self._failed)
        ticket.stopped.connect(self._stopped)

    def show_recorded(self, spec: PairSpec) -> None:
        """Have what a session has recorded of a pair answer in its place (EngineClient.replay)."""
        self.spec, self._asked = spec, True
        self._let_go()
        self._held = None
        for topic in ("load", "files", "pair"):
            self._notice.dismiss(topic)
        ticket = self._client.ask(Load, spec, recorded=True)
        ticket.answered.connect(self._loaded)
        ticket.failed.connect(self._failed)

    def load_behind(self, spec: PairSpec) -> None:
        """Load a pair while what was recorded of it goes on answering; ``behind_failed`` says why
        that cannot be, and then all stays as it is."""
        ticket = self._client.load_behind(spec)
        ticket.progress.connect(self._progress_behind)
        ticket.answered.connect(partial(self._loaded_behind, spec))
        ticket.failed.connect(self._failed_behind)
        ticket.stopped.connect(self._stopped_behind)

    def _progress_behind(self, event: Progress) -> None:
        self.behind.emit(event.what, event.fraction)

    def _failed_behind(self, event: Failed) -> None:
        self.behind.emit("", None)
        self.behind_failed.emit(event)

    def _stopped_behind(self, event: Stopped) -> None:
        self.behind.emit("", None)

    def _loaded_behind(self, spec: PairSpec, event: Loaded) -> None:
        self.behind.emit("", None)
        self.switching.emit()
        self.spec = spec
        self._let_go()
        self._loaded(event)

    def begin(self) -> None:
        """Load the pair that the window was made for, unless one was asked for meanwhile."""
        if not self._asked:
            self.load_again()

    def load_again(self) -> None:
        """Load the same pair as it lies on disk now."""
        if self.spec is not None:
            self.load(self.spec)

    def _is_loaded(self) -> bool:
        return self.info is not None

    @action(
        Menu.FILE.at(1, 7),
        "C&heck the pair…",
        tip="What the pair's files say, how it runs, and what may be wrong with its numbers",
        enabled=_is_loaded,
    )
    @Slot()
    def check_pair(self) -> None:
        """Show what there is to say of the pair that is loaded."""
        from app.pair_check import show_check

        show_check(self._client, self._loaded_spec(), self._banner.window())

    @action(Menu.FILE.at(1, 8), "&Close the pair", "Ctrl+W", "Free its memory; the texts stay")
    @Slot()
    def close_pair(self) -> None:
        """Free the models; the texts stay."""
        self._client.ask(Unload)
        self._let_go()
        self._held = None
        self._banner.show_nothing()

    @Slot(object)
    def remember_beta(self, beta: float | None) -> None:
        """Remember a beta that the user has chosen for this pair; None: none any more."""
        if self.spec is not None:
            self._settings.remember_beta(self.spec, beta)

    @Slot()
    def _cancel(self) -> None:
        self._client.cancel(Load)

    def _let_go(self) -> None:
        self.info = None
        self._before_float32 = None
        self._status.show_pair(None)
        self.named.emit("")
        self.changed.emit(None)

    # --- what the engine says -----------------------------------------------------------------

    @Slot(object)
    def _progress(self, event: Progress) -> None:
        self._banner.show_loading(event.what, event.fraction)

    @Slot(object)
    def _loaded(self, event: Loaded) -> None:
        self.info = event.info
        self._before_float32 = None
        self._banner.hide()
        self._status.show_pair(event.info)
        asked = self.spec
        if event.kept:
            self.spec = self._held
        else:
            self._notice.dismiss("load")
            if not event.info.recorded:
                self._remember()
        _, contradicted = chosen_beta(self.beta(), event.info.provenance)
        if event.why:
            message = f"{event.why} The pair that was open stays."
            self._tell_failure(message, asked if event.downloadable else None)
        elif not (event.kept or event.info.recorded):
            doubts = *event.info.doubts, *contradicted
            plain = () if event.info.has_chat_template else (NO_TEMPLATE,)
            notes = tuple(dict.fromkeys((*doubts, *event.info.remarks, *plain)))
            self._show_notes("warning" if doubts else "info", notes)
        self.named.emit(event.info.policy)
        self.changed.emit(event.info)

    def _show_notes(self, kind: Kind, notes: tuple[str, ...]) -> None:
        """Show the first of some notes, with a button for the others."""
        if not notes:
            return
        every = "\n".join(notes)
        if len(notes) == 1:
            self._notice.show_notice(kind, every, topic="pair")
            return
        self._notice.show_notice(
            kind,
            notes[0],
            every,
            topic="pair",
            action=f"And {len(notes) - 1} more",
            then=lambda: self._notice.show_notice(kind, every, topic="pair"),
        )

    def _remember(self) -> None:
        spec = self._held = self._loaded_spec()
        self._settings.remember_pair(spec)
        self._settings.put(LAST, "demo" if spec.demo else "recent")
        if spec.beta:  # asked for in so many words: it outweighs what is remembered
            self._settings.remember_beta(spec, spec.beta)

    @Slot(object)
    def _noise_measured(self, event: NoiseMeasured) -> None:
        self._status.show_noise(event.floor, self.info)
        self.noise_measured.emit(event.floor or NOISELESS)

    @Slot(object)
    def _failed(self, event: Failed) -> None:
        self._banner.show_nothing(failed=True)
        before = self._before_float32
        if before is None or event.downloadable:
            self._tell_failure(event.message, self.spec if event.downloadable else None)
            return
        self._notice.show_notice(
            "error",
            event.message,
            topic="load",
            action="Load it as before",
            then=lambda: self.load(before),
        )

    def _tell_failure(self, message: str, downloadable: PairSpec | None) -> None:
        """Say why a pair could not be loaded; offer to download the one that can be."""
        if downloadable is None:
            self._notice.show_notice("error", message, topic="load")
            return
        self._notice.show_notice(
            "info",
            message,
            topic="load",
            action="Download it",
            then=lambda: self.load(replace(downloadable, download="yes")),
        )

    @Slot(object)
    def _stopped(self, event: Stopped) -> None:
        self._banner.show_nothing()


def _ask_for_pair(
    client: EngineClient,
    spec: PairSpec,
    recent: tuple[PairSpec, ...],
    parent: QWidget | None,
    folders: list[str] | None = None,
) -> PairSpec | None:
    from app.open_dialog import ask_for_pair  # not before it is wanted: the window shows sooner

    return ask_for_pair(client, spec, recent, parent, folders)


def pair_to_begin_with(settings: Settings, usual: PairSpec) -> PairSpec:
    """Return the pair that was open last, where the user wants that and there is one."""
    wanted = settings.get(REOPEN, "0") == "1" and settings.get(LAST, "") == "recent"
    recent = settings.recent() if wanted else ()
    return recent[0] if recent else usual
