"""Shows the strip at the window's foot: which checkpoint of the run is shown, playing, replaying.

Signals what the user wants and shows what it is told. Knows checkpoints as steps; knows nothing of
scores, of the engine or of when a checkpoint has come.
"""

from collections.abc import Collection, Sequence
from html import escape

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from app import theme
from app.replay.checkpoint_slider import CheckpointSlider
from app.widgets.boxes import choice
from app.widgets.icons import IconButton
from app.widgets.layouts import fill

SPEEDS = (1, 2, 4, 8)
"""Checkpoints a second."""
USUAL_SPEED = 2


class CheckpointStrip(QFrame):
    """A row with play, axis, label, speed, loop and replay."""

    asked = Signal(int)
    """The user wants this checkpoint."""
    touched = Signal()
    """The user takes the handle, or moves it by keys: whatever plays must stop."""
    play_wanted = Signal()
    """The user wants to play, or to stop playing."""
    replay_wanted = Signal()
    """The user wants the checkpoints computed that are not known, or that to stop."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self.playing = self.replaying = False
        self._ask, self._shown, self._muted = -1, -1, "#808080"
        self._under_way = ""
        self.axis = CheckpointSlider()
        self.play = IconButton("play", "Play")
        self.back = IconButton(
            "back", "Previous checkpoint", "The one before (Alt+Left; in A or B that walks tokens)"
        )
        self.forward = IconButton(
            "forward", "Next checkpoint", "The next one (Alt+Right; in A or B that walks tokens)"
        )
        self.loop = IconButton("loop", "Loop", "Play over and over")
        for button in (self.play, self.back, self.forward, self.loop):
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.loop.setCheckable(True)
        self.label = QLabel()
        self.label.setTextFormat(Qt.TextFormat.RichText)
        self.label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.speed = choice(
            "Speed of playing",
            ((speed, f"{speed} a second") for speed in SPEEDS),
            "How many checkpoints a second; it waits for those not known yet",
        )
        self.speed.setCurrentIndex(SPEEDS.index(USUAL_SPEED))
        self.replay = QToolButton()
        self.replay.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        stays = self.replay.sizePolicy()
        stays.setRetainSizeWhenHidden(True)  # or the axis would jump
        self.replay.setSizePolicy(stays)
        before = self.back, self.play, self.forward
        after = self.label, self.speed, self.loop, self.replay
        row = QHBoxLayout(self)
        fill(row, *before, (self.axis, 1), *after, margins=(8, 0, 8, 0), spacing=4)
        self.setFixedHeight(38)
        self.axis.valueChanged.connect(self._moved)
        self.axis.sliderPressed.connect(self.touched)
        self.axis.play_wanted.connect(self.play_wanted)
        self.play.clicked.connect(self.play_wanted)
        self.back.clicked.connect(self.go_back)
        self.forward.clicked.connect(self.go_forward)
        self.replay.clicked.connect(self.replay_wanted)
        self.show_playing(False)
        self.show_replaying(None)
        self.set_steps(())

    # --- what is shown ----------------------------------------------------------------------

    def set_steps(self, steps: Sequence[int]) -> None:
        """Take a run's checkpoints, the last one shown; without any the strip hides."""
        self.axis.set_steps(steps)
        self._ask = self._shown = len(steps) - 1
        self._under_way = ""
        self.setVisible(bool(steps))
        if steps:
            last = len(steps) - 1
            far = f"{self._name(last)}{self._place(last)} → step {steps[-1]}"
            self.label.setFixedWidth(self.fontMetrics().horizontalAdvance(far) + 12)
            self.replay.setFixedWidth(self.fontMetrics().horizontalAdvance("Stop 100 %") + 14)
        self._show_label()

    def set_known(self, known: Collection[int]) -> None:
        """Mark the checkpoints whose colours are known."""
        self.axis.set_known(known)
        self._show_label()

    def show_asked(self, index: int) -> None:
        """Show that a checkpoint is asked for; its colours come later."""
        self._ask = index
        self._under_way = ""
        self.axis.ask(index)
        self._show_label()

    def show_shown(self, index: int) -> None:
        """Show that a checkpoint's colours are on the screen."""
        self._shown = index
        self._under_way = ""
        self.axis.set_shown(index)
        self._show_label()

    def show_under_way(self, what: str, fraction: float | None) -> None:
        """Show how far a model is loaded, ``fraction`` 0..1 or None; "" once that is over."""
        self._under_way = what if fraction is None else f"{what}, {100 * fraction:.0f} %"
        self._show_label()

    def show_playing(self, on: bool) -> None:
        """Show whether checkpoints are being played."""
        self.playing = on
        self.play.setAccessibleName("Pause" if on else "Play")
        what = "Stop playing" if on else "Play through the checkpoints"
        self.play.setToolTip(f"{what} (F5, or Space on the axis)")
        self.play.show_icon("pause" if on else "play")

    def show_replaying(self, fraction: float | None) -> None:
        """Show how much of a replay is done, None where there is none."""
        self.replaying = fraction is not None
        self._under_way = ""
        self.replay.setText("Replay" if fraction is None else f"Stop {100 * fraction:.0f} %")
        self.replay.setToolTip(
            "Stop computing the other checkpoints; what is known is kept"
            if self.replaying
            else "Compute the checkpoints that are not known for these texts"
        )
        self._show_label()

    def _show_label(self) -> None:
        steps = self.axis.steps
        all_known = len(self.axis.known) == len(steps)
        self.replay.setVisible(self.replaying or (bool(steps) and not all_known))
        if not steps:
            self.label.setText("")
            return
        plain, place, wanted = self._name(self._shown), self._place(self._shown), ""
        if self._ask != self._shown:
            wanted = f" → step {steps[self._ask]}"
        if self._under_way:
            place, wanted = "", f"{wanted} · {self._under_way}"
        self.label.setText(
            f'<b>{plain}</b>{place}<span style="color:{self._muted}">{escape(wanted)}</span>'
        )
        self.label.setAccessibleName(plain + self._place(self._shown) + wanted)
        self.label.setToolTip(
            f"The colours and numbers are those of {plain}{self._place(self._shown)}"
            + (f"; asked for:{wanted[2:]}" if wanted else "")
        )

    def _name(self, index: int) -> str:
        return f"step {self.axis.steps[index]}"

    def _place(self, index: int) -> str:
        steps = self.axis.steps
        return f" of {steps[-1]} · {index + 1} of {len(steps)}"

    # --- what the user does -----------------------------------------------------------------

    @Slot()
    def go_back(self) -> None:
        """Ask for the checkpoint before the one that is asked for."""
        self.go_to(self.axis.value() - 1)

    @Slot()
    def go_forward(self) -> None:
        """Ask for the checkpoint after the one that is asked for."""
        self.go_to(self.axis.value() + 1)

    def go_to(self, index: int) -> None:
        """Ask for a checkpoint as a key press would; beyond the ends there is none."""
        if self.axis.steps and 0 <= index < len(self.axis.steps):
            self.axis.setValue(index)

    @Slot(int)
    def _moved(self, index: int) -> None:
        self.touched.emit()
        self.asked.emit(index)

    # --- theme ------------------------------------------------------------------------------

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._muted = theme.colours(dark).muted
        self._show_label()
