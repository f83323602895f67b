"""Scrubs, plays and replays a run's checkpoints, between the strip, the engine and the credit view.

Asks for the checkpoint under the handle at once and shows what comes. Playing waits for each
checkpoint before it asks for the next. While the user rests, the checkpoints that are not known for
the texts on the screen are replayed; of a run of whole models only when the user says so. Knows
checkpoints and their order; draws nothing.
"""

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QMessageBox, QWidget

from app.credit.view import CreditView
from app.engine_client import EngineClient, Ticket
from app.replay.strip import SPEEDS, CheckpointStrip
from app.settings import Settings
from app.status import size_text
from core.engine.protocol import (
    Failed,
    PairInfo,
    Progress,
    Replay,
    ReplayDone,
    Replayed,
    Score,
    Scrub,
    Scrubbed,
    Stopped,
)
from core.runs.records import Checkpoint

IDLE_MS = 1500
"""Milliseconds without any event before a replay begins by itself."""
EDITED_MS = 3000
"""The same after an edit that has been scored."""


def ask_whether(parent: QWidget, question: str) -> bool:
    """Ask a question in a dialog; return True for yes."""
    buttons = QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No
    return (
        QMessageBox.question(parent, "Replay the run", question, buttons)
        == QMessageBox.StandardButton.Yes
    )


def duration_text(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def cost_text(checkpoints: int, bytes: int, seconds: float) -> str:
    """Return what it takes to replay checkpoints that are whole models, as a question.

    ``bytes`` is the size of the largest, ``seconds`` what one takes.
    """
    return (
        f"Each checkpoint is a whole model of {size_text(bytes)}: about {duration_text(seconds)} "
        f"each, {checkpoints} checkpoints, about {duration_text(checkpoints * seconds)}. "
        "Replay them all?"
    )


class Scrubbing(QObject):
    """The checkpoint that is wanted, and what is done to have it on the screen."""

    problem = Signal(str)
    """A checkpoint could not be shown: one sentence; "" once that is over."""
    shown = Signal(int)
    """Another step's policy is shown."""

    def __init__(self, client: EngineClient, view: CreditView, strip: CheckpointStrip) -> None:
        super().__init__(strip)
        self._client, self._view, self.strip = client, view, strip
        self._by_checkpoint = view.by_checkpoint
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self.wanted = -1
        """The checkpoint that is asked for; ``by_checkpoint.shown`` once it is shown."""
        self.whole_seconds = 0.0
        """Seconds that loading a checkpoint takes that is a whole model."""
        self.confirm: Callable[[QWidget, str], bool] = ask_whether
        self._replay_asked = False
        self._asked_at = 0.0
        self._declined = False
        """The user stopped the replay of these texts."""
        self._rest_ms = IDLE_MS
        self._idle = self._timer(self._idle_over)
        self._next = self._timer(self._play_on)
        strip.asked.connect(self.scrub)
        strip.touched.connect(self.stop_playing)
        strip.play_wanted.connect(self.play_or_stop)
        strip.replay_wanted.connect(self.replay_or_stop)
        view.edited.connect(self._edited)
        view.texts_replaced.connect(self._texts_replaced)
        for signal, slot in (
            (client.pair_let_go, self.forget),
            (view.scored, self._scored),
        ):
            signal.connect(slot)

    def _timer(self, slot: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(slot)
        return timer

    # --- the run ----------------------------------------------------------------------------

    def begin(self, info: PairInfo) -> None:
        """Take the checkpoints of a pair that has been loaded; the last one is shown."""
        self.checkpoints = info.checkpoints
        self.wanted = len(self.checkpoints) - 1
        self.whole_seconds = info.seconds
        self.strip.set_steps([checkpoint.step for checkpoint in self.checkpoints])
        if self.checkpoints:
            self.shown.emit(self.checkpoints[-1].step)

    @Slot()
    def forget(self) -> None:
        """Forget the run: its pair is no longer loaded."""
        self.stop_playing()
        self._idle.stop()
        self.checkpoints = ()
        self.wanted = -1
        self._replay_asked = False
        self._declined = False
        self._rest_ms = IDLE_MS
        self.strip.show_replaying(None)
        self.strip.set_steps(())

    # --- scrubbing --------------------------------------------------------------------------

    @Slot(int)
    def scrub(self, index: int) -> None:
        """Show a checkpoint, by its number."""
        if 0 <= index < len(self.checkpoints) and index != self.wanted:
            self._ask(index)

    def show_anew(self, path: str) -> None:
        """Show a checkpoint, by its path, as it lies on disk now, though it may be shown."""
        self.stop_playing()
        if (index := self._number(path)) >= 0:
            self._ask(index)

    def _ask(self, index: int) -> None:
        self.wanted = index
        self._asked_at = time.monotonic()
        self._idle.stop()
        self.strip.show_asked(index)
        self._ask_scrub(index).answered.connect(self._clear_problem)

    def _ask_scrub(self, index: int) -> Ticket[Scrubbed]:
        ticket = self._client.ask(Scrub, self.checkpoints[index].path)
        ticket.progress.connect(self._progress)
        ticket.answered.connect(self._scrubbed)
        ticket.failed.connect(self._scrub_failed)
        ticket.stopped.connect(self._scrub_stopped)
        return ticket

    def _clear_problem(self, event: Scrubbed) -> None:
        self.problem.emit("")

    @Slot(int)
    def show_checkpoint(self, index: int) -> None:
        """Show a checkpoint, asked for elsewhere than on the strip: playing stops."""
        self.stop_playing()
        self.scrub(index)

    @Slot(int)
    def scrub_to_step(self, step: int) -> None:
        """Show the checkpoint nearest to a step."""
        if self.checkpoints:
            numbers = range(len(self.checkpoints))
            self.show_checkpoint(min(numbers, key=lambda i: abs(self.checkpoints[i].step - step)))

    def _progress(self, event: Progress) -> None:
        """Show that a whole model is being loaded."""
        self.strip.show_under_way(event.what, event.fraction)

    def _scrubbed(self, event: Scrubbed) -> None:
        index = self._number(event.checkpoint)
        if index < 0:
            return
        if self.checkpoints[index].whole:
            self.whole_seconds = event.seconds
        if event.anew:
            self._view.forget_checkpoint(index)
        self._view.show_checkpoint(index, event.scorings)
        self.strip.show_shown(index)
        self.strip.set_known(self._by_checkpoint.known())
        self.shown.emit(self.checkpoints[index].step)
        step = self.checkpoints[index].step
        self._view.updated.emit(f"step {step}: {1000 * event.seconds:.0f} ms")
        if self.strip.playing:
            waited = time.monotonic() - self._asked_at
            self._next.start(max(0, round(1000 * (1 / self._speed() - waited))))
        else:
            self._rest()

    def _number(self, path: str) -> int:
        """Return a checkpoint's number by its path, -1 if it is of another run."""
        paths = [checkpoint.path for checkpoint in self.checkpoints]
        return paths.index(path) if path in paths else -1

    # --- playing ----------------------------------------------------------------------------

    @Slot()
    def play_or_stop(self) -> None:
        """Play from the checkpoint that is wanted, from the first at the end; or stop playing."""
        if self.strip.playing:
            self.stop_playing()
        elif len(self.checkpoints) > 1:
            self.strip.show_playing(True)
            self._idle.stop()
            at_end = self.wanted == len(self.checkpoints) - 1
            self.scrub(0 if at_end else self.wanted + 1)

    @Slot()
    def stop_playing(self) -> None:
        """Stay at the checkpoint that is shown."""
        self._next.stop()
        if self.strip.playing:
            self.strip.show_playing(False)
            self._rest()

    @Slot()
    def _play_on(self) -> None:
        if self.wanted + 1 < len(self.checkpoints):
            self.scrub(self.wanted + 1)
        elif self.strip.loop.isChecked():
            self.scrub(0)
        else:
            self.stop_playing()

    def _speed(self) -> int:
        return int(self.strip.speed.currentData())

    # --- replaying --------------------------------------------------------------------------

    def _rest(self) -> None:
        """Start to wait for the user to rest."""
        if self.checkpoints and not self._replay_asked and not self._declined:
            self._idle.start(self._rest_ms)

    @Slot()
    def _idle_over(self) -> None:
        if self._client.busy(Score, Scrub) or self.strip.playing or self._has_whole():
            return  # their answers restart the wait; whole models need the user's consent
        self._rest_ms = IDLE_MS
        self._replay()

    def _has_whole(self) -> bool:
        return any(checkpoint.whole for checkpoint in self.checkpoints)

    @Slot()
    def replay_or_stop(self) -> None:
        """Replay the unknown checkpoints, after asking where that is dear; or stop doing so."""
        if self._replay_asked:
            self._declined = True
            self._stop_replay()
            return
        missing = self._by_checkpoint.unknown()
        if self._has_whole() and missing:
            largest = max(self.checkpoints[index].bytes for index in missing)
            question = cost_text(len(missing), largest, self.whole_seconds)
            if not self.confirm(self.strip.window(), question):
                return
        self._declined = False
        self._replay()

    def _replay(self) -> None:
        missing = self._by_checkpoint.unknown()
        if missing and len(self._view.scorings()) == 2:
            paths = tuple(self.checkpoints[index].path for index in missing)
            ticket = self._client.ask(Replay, paths)
            ticket.progress.connect(self._progress)
            ticket.stepped.connect(self._replayed)
            ticket.answered.connect(self._replay_ended)
            ticket.failed.connect(self._replay_failed)
            ticket.stopped.connect(self._replay_ended)
            self._replay_asked = True
            self.strip.show_replaying(0.0)

    def _stop_replay(self) -> None:
        if self._replay_asked:
            self._client.cancel(Replay)
            self._end_replay()

    def _end_replay(self) -> None:
        self._replay_asked = False
        self.strip.show_replaying(None)

    def _replayed(self, event: Replayed) -> None:
        index = self._number(event.checkpoint)
        if index < 0 or not self._replay_asked:
            return
        if event.anew:
            self._view.forget_checkpoint(index)
        self._view.add_checkpoint(index, event.scorings)
        self.strip.set_known(self._by_checkpoint.known())
        # Once all are known, the engine only prepares the shown one for the next edit.
        self.strip.show_replaying(event.fraction if self._by_checkpoint.unknown() else None)

    def _replay_ended(self, event: ReplayDone | Stopped) -> None:
        self._end_replay()

    # --- the texts --------------------------------------------------------------------------

    @Slot()
    def _edited(self) -> None:
        """Let typing go first: stop playing and replaying until the texts are scored."""
        self._rest_ms = EDITED_MS
        self._texts_replaced()

    @Slot()
    def _texts_replaced(self) -> None:
        self._declined = False
        self._idle.stop()
        self.stop_playing()
        self._idle.stop()
        self._stop_replay()
        self.strip.set_known(())

    @Slot()
    def _scored(self) -> None:
        self.strip.show_under_way("", None)
        self.strip.set_known(self._by_checkpoint.known())
        if len(self._view.scorings()) == 2:
            self._rest()

    # --- what goes wrong --------------------------------------------------------------------

    def _scrub_failed(self, event: Failed) -> None:
        self.problem.emit(event.message)
        self._return()

    def _scrub_stopped(self, event: Stopped) -> None:
        self._return()

    def _replay_failed(self, event: Failed) -> None:
        self._declined = True
        self._end_replay()
        self.problem.emit(event.message)

    def _return(self) -> None:
        """Go back to the checkpoint that is shown, since the one that was wanted will not come.

        It is asked for again, since the engine may have gone to another one before that, whose
        answer was dropped.
        """
        self.stop_playing()
        failed, self.wanted = self.wanted, self._by_checkpoint.shown
        self.strip.show_asked(self.wanted)
        if failed != self.wanted and self.checkpoints:
            self._ask_scrub(self.wanted)  # and what kept the other one is still to be read

    # --- what is remembered -----------------------------------------------------------------

    def recall(self, settings: Settings) -> None:
        """Restore speed and loop as they were saved."""
        speed = round(settings.number("play speed", SPEEDS[1], min(SPEEDS), max(SPEEDS)))
        if speed in SPEEDS:
            self.strip.speed.setCurrentIndex(SPEEDS.index(speed))
        self.strip.loop.setChecked(settings.get("play loop", "0") == "1")

    def remember(self, settings: Settings) -> None:
        """Save the choices; nothing happens by itself any more."""
        self._idle.stop()
        self._next.stop()
        settings.put("play speed", str(self._speed()))
        settings.put("play loop", str(int(self.strip.loop.isChecked())))
