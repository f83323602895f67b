"""Shows the list of open runs: a row each with tick, colour, name, kind, last step and beta.

Signals what the user did with a row; knows nothing of charts or files.
"""

from collections.abc import Collection, Sequence

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.curves.session import OpenRun
from app.curves.styles import swatch
from app.widgets.beta_box import BetaBox
from app.widgets.clipped import Clipped
from app.widgets.icons import IconButton
from app.widgets.layouts import fill
from core.runs.records import RunLog


class OpenRunRow(QFrame):
    """A row of the list: one run."""

    shown = Signal(str, bool)
    removed = Signal(str)
    beta_chosen = Signal(str, float)
    load_wanted = Signal(str)
    """Its checkpoints are to be loaded as the pair."""

    def __init__(self, run: OpenRun, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.run = run.key
        self.setObjectName("run")
        self.tick = QCheckBox()
        self.colour = QLabel()
        self.name, self.about, self.trouble = Clipped(), Clipped(), Clipped()
        self.live = QLabel("● live")
        self.beta = BetaBox(unknown="β = ?")
        self.close_button = IconButton("close", "Remove this run")
        self.load = QToolButton()
        self._lay_out()
        self.load.clicked.connect(self._load)
        self.tick.toggled.connect(self._ticked)
        self.close_button.clicked.connect(self._close)
        self.beta.valueChanged.connect(self._beta_chosen)

    def _lay_out(self) -> None:
        self.name.setObjectName("heading")
        self.about.setObjectName("muted")
        self.live.setToolTip("Its log has grown in the last minute; the charts follow it")
        self.load.setText("Load")
        self.load.setToolTip("Load its checkpoints as the pair, to see how credit emerges in it")
        self.beta.setPrefix("β = ")
        self.beta.setFixedWidth(96)
        self.beta.setToolTip(
            "β of the training: the log does not say it. Rewards are as logged; it is needed for "
            "−β KL alone"
        )
        row = QGridLayout(self)
        row.setContentsMargins(4, 3, 2, 3)
        row.setHorizontalSpacing(5)
        row.setVerticalSpacing(1)
        row.addWidget(self.tick, 0, 0)
        row.addWidget(self.colour, 0, 1)
        row.addWidget(self.name, 0, 2)
        row.addWidget(self.live, 0, 3)
        row.addWidget(self.close_button, 0, 4)
        row.addWidget(self.about, 1, 2, 1, 3)
        row.addLayout(fill(QHBoxLayout(), self.beta, 1, self.load, spacing=4), 2, 2, 1, 3)
        row.addWidget(self.trouble, 3, 2, 1, 3)
        row.setColumnStretch(2, 1)

    def show_run(self, run: OpenRun, live: bool, dark: bool) -> None:
        """Show what is known of the run now."""
        log = run.log
        with QSignalBlocker(self.tick):
            self.tick.setChecked(run.visible)
        self.beta.show_beta(run.beta)
        self.colour.setPixmap(swatch(run.hue, dark).pixmap(12, 12))
        self.name.show_words(run.name)
        self.name.setToolTip(str(run.source))
        self.tick.setAccessibleName(f"Show {run.name}")
        self.tick.setToolTip("Show this run in the charts")
        self.close_button.setAccessibleName(f"Remove {run.name}")
        self.close_button.setToolTip("Remove this run from the list; its files stay (Delete)")
        self.beta.setAccessibleName(f"Beta of {run.name}")
        self.live.setVisible(live)
        self.beta.setVisible(log.beta is None)
        self.load.setVisible(bool(log.checkpoints))
        self.load.setAccessibleName(f"Load the checkpoints of {run.name}")
        about = _about(log, log.kind)
        self.about.show_words(about, _about(log))
        self.about.setToolTip("\n".join([str(run.source), about, *log.remarks]))
        problems = run.problems()
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        self.trouble.setVisible(bool(problems))
        self.trouble.show_words(f"⚠ {problems[0]}{more}" if problems else "")
        self.trouble.setToolTip("\n".join(problems))
        self.trouble.setAccessibleName("Problems: " + " ".join(problems))

    @Slot(bool)
    def _ticked(self, on: bool) -> None:
        self.shown.emit(self.run, on)

    @Slot()
    def _close(self) -> None:
        self.removed.emit(self.run)

    @Slot()
    def _load(self) -> None:
        self.load_wanted.emit(self.run)

    @Slot(float)
    def _beta_chosen(self, beta: float) -> None:
        self.beta_chosen.emit(self.run, beta)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete:
            self._close()
            return
        super().keyPressEvent(event)


def _about(log: RunLog, kind: str = "") -> str:
    """Return what there is to say of a run in a line, with the kind of its log where that is
    named."""
    beta = f"β {log.beta:g}" if log.beta is not None else ""
    saved = f"{len(log.checkpoints)} checkpoints" if log.checkpoints else ""
    return " · ".join(filter(None, (f"step {log.last_step:,}", beta, kind, saved)))


class RunList(QScrollArea):
    """The scrolled list of all open runs."""

    shown = Signal(str, bool)
    removed = Signal(str)
    beta_chosen = Signal(str, float)
    load_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: dict[str, OpenRunRow] = {}
        inside = QWidget()
        self._column = fill(QVBoxLayout(inside), 1, margins=(2, 2, 2, 2), spacing=2)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Open runs")
        self.viewport().setAutoFillBackground(False)
        inside.setAutoFillBackground(False)

    def show_runs(self, runs: Sequence[OpenRun], live: Collection[str], dark: bool) -> None:
        """Show these runs; ``live``: the keys of those that grow. Rows that are there stay."""
        for key in set(self.rows) - {run.key for run in runs}:
            row = self.rows.pop(key)
            row.hide()
            row.deleteLater()
        for run in runs:
            if run.key not in self.rows:
                self.rows[run.key] = row = OpenRunRow(run)
                row.shown.connect(self.shown)
                row.removed.connect(self.removed)
                row.beta_chosen.connect(self.beta_chosen)
                row.load_wanted.connect(self.load_wanted)
                self._column.insertWidget(self._column.count() - 1, row)
            self.rows[run.key].show_run(run, run.key in live, dark)
