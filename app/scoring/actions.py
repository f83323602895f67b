"""Scoring a data set, as the window offers it: asked for, told of, stopped, and shown when done.

Asks the engine and hands the file to whoever shows it. Knows requests; knows nothing of tables.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.actions.action import Menu, action
from app.ask import AskPath
from app.engine_client import EngineClient
from app.notices import NoticeBar, Topic
from app.scoring.bar import ScoringBar
from app.scoring.wanted import Wanted
from app.words import in_window
from core.engine.protocol import DataScored, DataStep, Failed, PairInfo, ScoreData, Stopped

if TYPE_CHECKING:
    from app.scoring.dialog import ScoreDialog


class ScoringActions(QObject):
    """The data set that is being scored by one window's pair."""

    changed = Signal()
    """Scoring has begun or ended."""

    def __init__(
        self,
        client: EngineClient,
        show_scored: Callable[[Path], None],
        show_bar: Callable[[], None],
        notice: NoticeBar,
        ask: AskPath,
        parent: QWidget,
    ) -> None:
        """``show_scored`` opens a scored file; ``show_bar`` brings the view in which the bar is."""
        super().__init__(parent)
        self._client, self._ask = client, ask
        self._show_scored, self._show_bar, self._window = show_scored, show_bar, parent
        self._problems, self._remarks = Topic(notice, "scoring data"), Topic(notice, "data scored")
        self.bar = ScoringBar()
        self.dialog: ScoreDialog | None = None
        """While it is open."""
        self._typed = Wanted()
        self._under_way: Wanted | None = None
        self._has_pair = False
        self.bar.stop_wanted.connect(self.stop)

    def _can_score(self) -> bool:
        return self._has_pair and self._under_way is None

    @action(
        Menu.FILE.at(1, 3),
        "Score a data se&t…",
        tip="Score all rows of a file of pairs or responses under the pair that is loaded",
        enabled=_can_score,
    )
    @Slot()
    def score_data_set(self) -> None:
        """Ask what is to be scored, and begin."""
        from app.scoring.dialog import ScoreDialog

        self.dialog = dialog = ScoreDialog(self._ask, self._typed, self._window)
        try:
            accepted = bool(dialog.exec())
            self._typed = dialog.typed()
            wanted = dialog.wanted()
        finally:
            self.dialog = None
            dialog.deleteLater()
        if accepted:
            self.begin(wanted)

    def begin(self, wanted: Wanted) -> None:
        """Score a file; what was scored of it before stays."""
        self._under_way = wanted
        self._problems.show_error("")
        self._remarks.show_remark("")
        self.bar.begin(Path(wanted.data).name)
        self._show_bar()
        columns = tuple((wanted.columns or {}).items())
        ticket = self._client.ask(
            ScoreData, wanted.data, wanted.out, columns, wanted.limit, wanted.anew
        )
        ticket.stepped.connect(self._step)
        ticket.answered.connect(self._done)
        ticket.failed.connect(self._failed)
        ticket.stopped.connect(self._stopped)
        self.changed.emit()

    @Slot()
    def stop(self) -> None:
        """Stop; what is scored is kept."""
        self._client.cancel(ScoreData)

    def set_pair(self, info: PairInfo | None) -> None:
        """Take another pair, or none: nothing is scored with the one before any more."""
        self._has_pair = info is not None and not info.recorded
        if self._under_way is not None:
            self._end()
            self._remarks.show_remark(_kept("its pair was let go"))

    def _step(self, step: DataStep) -> None:
        self.bar.tell(step)

    def _done(self, event: DataScored) -> None:
        wanted = self._end()
        skipped = f", {event.skipped:,} skipped" if event.skipped else ""
        name = Path(wanted.data).name if wanted is not None else event.out
        said = " ".join(event.findings[:1])
        self._remarks.show_remark(
            f"{name} is scored: {event.rows:,} rows{skipped}, in {event.out}. {said}".strip()
        )
        self._show_scored(Path(event.out))

    def _failed(self, event: Failed) -> None:
        self._end()
        self._problems.show_error(in_window(event.message))

    def _stopped(self, _: Stopped) -> None:
        self._end()
        self._remarks.show_remark(_kept("it was stopped"))

    def _end(self) -> Wanted | None:
        wanted, self._under_way = self._under_way, None
        self.bar.end()
        self.changed.emit()
        return wanted


def _kept(why: str) -> str:
    return (
        f"The data set is not scored to its end, as {why}: what was scored is kept, and scoring "
        f"the same file into the same place goes on from there."
    )
