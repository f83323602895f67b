"""Shows the heat map of A or B with what belongs to it: choice, readout, legend, curves, export.

Follows the credit view: its colour-by measure, units, beta and colour scale, and the scorings by
checkpoint that it has. Asks the engine for nothing. Knows the credit view; knows nothing of the
engine or of the training view that it stands in.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, QObject, QPoint, QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QGuiApplication, QPainter, QPixmap, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QSplitter,
    QStackedLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.credit.layout import SIDES
from app.credit.view import CreditView
from app.files import write_picture, write_text
from app.replay.heat_map import HeatData, HeatMap
from app.replay.margin_plot import MarginPlot, margin_and_spread
from app.settings import Settings
from app.widgets.layouts import fill
from app.widgets.legend import ScaleBar
from app.widgets.timers import single_shot
from core.engine.protocol import Side
from core.errors import UserFacingError
from core.present.columns import bare
from core.present.measures import rewards
from core.present.numerals import signed
from core.present.table import delimited

ROOMY, HIGH, NARROW = 760, 380, 470
"""Pixels. From a width of ROOMY, or below a height of HIGH, heat map and curves stand side by side,
else one below the other; narrower than NARROW and lower than HIGH there is the heat map alone."""
ABOUT = (
    "Each row is a checkpoint, the first at the top; each column a token of the response. Point at "
    "a cell for its numbers, click it to show that checkpoint, click a token to pin it in the "
    "credit view. Hatched rows are not computed yet: Replay, at the window's foot, does it."
)
OPEN = "Open a run's checkpoints…"
HEADER = "response step index token".split()
ChooseNewFile = Callable[[str, str, str], str]


class HeatPanel(QFrame):
    """A panel with the heat map of one response over all checkpoints of the loaded run."""

    step_wanted = Signal(int)
    """The user wants this checkpoint shown, by its number."""
    run_wanted = Signal(object)
    """The user wants a run's checkpoints loaded: its folder, None where that is to be asked."""
    problem = Signal(str)

    def __init__(
        self, view: CreditView, choose_new_file: ChooseNewFile, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self._view, self._choose_new_file = view, choose_new_file
        self.side: Side = "B"
        self.map = HeatMap()
        self.measures = MarginPlot()
        self.legend = ScaleBar()
        self.readout = QLabel()
        self.readout.setMinimumWidth(60)
        self.sides: dict[Side, QToolButton] = {}
        self._refresh_soon = single_shot(self, self.refresh)
        self._lay_out()
        view.recoloured.connect(self._changed)
        view.texts_replaced.connect(self._changed)
        self.map.hovered.connect(self._say)
        self.map.step_wanted.connect(self.step_wanted)
        self.map.token_wanted.connect(self._pin)
        self.measures.step_wanted.connect(self.step_wanted)

    def _lay_out(self) -> None:
        group = QButtonGroup(self)
        for side in SIDES:
            button = QToolButton()
            button.setText(side)
            button.setCheckable(True)
            button.setAccessibleName(f"Heat map of {side}")
            button.setToolTip(f"Show response {side}")
            group.addButton(button)
            self.sides[side] = button
        group.buttonClicked.connect(self._side_chosen)
        self.sides[self.side].setChecked(True)
        self.export = QToolButton()
        self.export.setText("Export")
        self.export.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.export.setToolTip("Save or copy the picture or the numbers")
        menu = QMenu(self.export)
        menu.addAction("Save the picture…", self.save_picture)
        menu.addAction("Save the numbers…", self.save_numbers)
        menu.addAction("Copy the picture", self.copy_picture)
        menu.addAction("Copy the numbers", self.copy_numbers)
        self.export.setMenu(menu)
        self.legend.setMaximumWidth(300)
        sides = self.sides.values()
        top = fill(QHBoxLayout(), *sides, (self.readout, 1), self.legend, self.export)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self.map)
        self._scroll.viewport().installEventFilter(self)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._halves = QSplitter(Qt.Orientation.Horizontal)
        self._halves.setChildrenCollapsible(False)
        self._halves.addWidget(self._scroll)
        self._halves.addWidget(self.measures)
        self._halves.setStretchFactor(0, 1)
        self._halves.setSizes([900, 280])
        filled = QWidget()
        around = theme.GAP, theme.TIGHT, theme.GAP, theme.GAP
        fill(QVBoxLayout(filled), top, (self._halves, 1), margins=around, spacing=theme.GAP)
        self._empty = QWidget()
        self.why = QLabel()
        self.why.setWordWrap(True)
        self.why.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.open_button = QPushButton(OPEN)
        self.open_menu = QMenu(self.open_button)
        """The runs to choose from, where there are several."""
        self._offered: tuple[Path, ...] = ()
        self.open_button.clicked.connect(self._open_pressed)
        middle = fill(QVBoxLayout(self._empty), 1, self.why)
        middle.addWidget(self.open_button, 0, Qt.AlignmentFlag.AlignCenter)
        middle.addStretch(1)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._empty)
        self._pages.addWidget(filled)
        self.setMinimumSize(260, 190)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        width, high = event.size().width(), event.size().height() >= HIGH
        wide = width >= ROOMY or not high
        self.legend.setMaximumWidth(300 if width >= ROOMY else 190)
        self.legend.setVisible(width >= NARROW)
        self.measures.setVisible(width >= NARROW or high)
        self._halves.setOrientation(Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical)

    def sizeHint(self) -> QSize:
        return QSize(900, 270)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Fit the heat map's rows into the height there is."""
        if event.type() == QEvent.Type.Resize:
            self.map.set_room(self._scroll.viewport().height())
        return super().eventFilter(watched, event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.refresh()

    # --- what is shown ----------------------------------------------------------------------

    def offer(self, runs: Sequence[Path]) -> None:
        """Name the run whose checkpoints can be loaded at once; of several one is chosen."""
        if (found := tuple(runs)) == self._offered:
            return
        self._offered = found
        self.open_button.setText(
            f"Load the checkpoints of {found[0].name}"
            if len(found) == 1
            else "Load the checkpoints of …"
            if found
            else OPEN
        )
        self.open_menu.clear()
        for run in found:
            name = run.name.replace("&", "&&")
            self.open_menu.addAction(name, partial(self.run_wanted.emit, run)).setToolTip(str(run))

    @Slot()
    def _open_pressed(self) -> None:
        if len(self._offered) > 1:
            below = self.open_button.mapToGlobal(QPoint(0, self.open_button.height()))
            self.open_menu.popup(below)
        else:
            self.run_wanted.emit(self._offered[0] if self._offered else None)

    @Slot()
    def _changed(self) -> None:
        if self.isVisible():
            self._refresh_soon.start()

    def empty_because(self) -> str:
        """Return why there is nothing to show; "" if there is something."""
        by_checkpoint = self._view.by_checkpoint
        if not by_checkpoint.checkpoints:
            return (
                "No run's checkpoints are loaded. Load them as a pair to see how credit emerges in "
                "a response from step to step, and where it smears."
            )
        if not by_checkpoint.of(self.side):
            return f"{self.side} is not scored yet."
        return ""

    @Slot()
    def refresh(self) -> None:
        """Show what is known, in the credit view's colours."""
        why = self.empty_because()
        by_checkpoint, view = self._view.by_checkpoint, self._view
        self._pages.setCurrentIndex(int(not why))
        self.why.setText(why)
        self.open_button.setVisible(not by_checkpoint.checkpoints)
        if why:
            return
        known = by_checkpoint.of(self.side)
        scoring = next(iter(known.values()))
        values = np.full((len(by_checkpoint.checkpoints), len(scoring)), np.nan)
        for index, frame in view.values_by_checkpoint().items():
            if self.side in frame:
                values[index] = frame[self.side]
        measure = view.controls.measure()
        scale = view.scale.scale(measure)
        steps = tuple(checkpoint.step for checkpoint in by_checkpoint.checkpoints)
        self.map.show_data(HeatData(steps, tuple(map(bare, scoring.labels)), values), scale)
        pinned = view.focus_on.pinned
        selected = pinned[1] if pinned is not None and pinned[0] == self.side else -1
        self.map.mark(by_checkpoint.shown, selected)
        unit = view.controls.unit()
        quantity = measure.quantity if unit == "token" else f"{measure.quantity}, each {unit}"
        self.legend.show_scale(scale, quantity, measure.unit, measure.at_most_zero)
        frames = {side: by_checkpoint.of(side) for side in SIDES}
        credit = view.numbers.credit
        found = margin_and_spread(len(steps), frames, self.side, view.beta(), credit)
        self.measures.symbol = credit.of_pairs
        self.measures.show_measures(steps, found, self.side, by_checkpoint.shown)
        self._say(*self.map.hover)

    @Slot(int, int)
    def _say(self, checkpoint: int, token: int) -> None:
        """Write the numbers of a cell."""
        by_checkpoint = self._view.by_checkpoint
        scoring = by_checkpoint.of(self.side).get(checkpoint)
        self.map.setToolTip("" if token >= 0 else ABOUT)
        labels = next((it.labels for it in by_checkpoint.of(self.side).values()), ())
        if checkpoint < 0 or not 0 <= token < len(labels):
            unknown = len(by_checkpoint.checkpoints) - len(by_checkpoint.of(self.side))
            left = f"{unknown} of {len(by_checkpoint.checkpoints)} checkpoints are not computed yet"
            self.readout.setText(
                left if unknown else "Tokens of the response under each checkpoint"
            )
            self.readout.setEnabled(False)
            return
        text = f"{labels[token]}   step {by_checkpoint.checkpoints[checkpoint].step}   "
        if scoring is None:
            text += "not computed yet"
        else:
            columns = {
                "r": rewards(scoring, self._view.beta()),
                "log π": scoring.logp_policy,
                "log π_ref": scoring.logp_reference,
            }
            text += "   ".join(
                f"{name} {signed(float(column[token]))}"
                for name, column in columns.items()
                if column is not None
            )
        self.readout.setEnabled(True)
        self.readout.setText(text)

    @Slot()
    def _side_chosen(self) -> None:
        self.show_side("A" if self.sides["A"].isChecked() else "B")

    def show_side(self, side: Side) -> None:
        """Show A or B."""
        self.side = side
        self.sides[side].setChecked(True)
        self.refresh()

    @Slot(int)
    def _pin(self, token: int) -> None:
        self._view.focus_on.pin(self.side, token)
        self.refresh()

    # --- export -----------------------------------------------------------------------------

    def picture(self) -> QPixmap:
        """Return the whole heat map with its legend and curves, at twice the screen's size."""
        scale = self._view.scale.scale(self._view.controls.measure())
        head, gap = 46, 12
        wide = self.map.width() + gap + self.measures.width()
        high = head + max(self.map.heightForWidth(self.map.width()), self.measures.height())
        made = QPixmap(2 * wide, 2 * high)
        made.setDevicePixelRatio(2)
        made.fill(QColor(*scale.surface))
        beta = self._view.known_beta()
        known = "β not known, in nats" if beta is None else f"β = {beta:g}"
        name = f"Response {self.side} under each checkpoint, {known}"
        with QPainter(made) as painter:
            painter.setFont(self.font())
            painter.setPen(QColor(*scale.text))
            painter.drawText(QRectF(8, 4, wide, 24), name)
        only = QWidget.RenderFlag.DrawChildren
        self.legend.render(made, QPoint(wide - self.legend.width() - 8, 4), renderFlags=only)
        beside = QPoint(self.map.width() + gap, head)
        self.measures.render(made, beside, renderFlags=only)
        with QPainter(made) as painter:
            painter.translate(0, head)
            self.map.paint_bands(painter, QRectF(self.map.rect()))
        return made

    def numbers(self, delimiter: str) -> str:
        """Return a table of all tokens of both responses under every known checkpoint; nats.

        Columns that need a reference are left out where there is none.
        """
        rows: list[Sequence[object]] = []
        by_checkpoint, values = self._view.by_checkpoint, self._view.values_by_checkpoint()
        for side in SIDES:
            for index, scoring in sorted(by_checkpoint.of(side).items()):
                step = by_checkpoint.checkpoints[index].step
                found = {
                    "reward": rewards(scoring, self._view.beta()),
                    "logp_policy": scoring.logp_policy,
                    "logp_reference": scoring.logp_reference,
                    "kl": scoring.kl,
                    "value": values[index][side],
                }
                columns = {name: it for name, it in found.items() if it is not None}
                rows = rows or [(*HEADER, *columns)]
                for i, label in enumerate(scoring.labels):
                    rows.append((side, step, i, label, *(float(c[i]) for c in columns.values())))
        return delimited(rows, delimiter)

    @Slot()
    def save_picture(self) -> None:
        """Save the picture as a PNG where the user says."""
        picture = self.picture()
        path = self._choose_new_file("Save the picture", "credit-over-steps.png", "PNG (*.png)")
        if path:
            self._try(lambda: write_picture(Path(path), picture))

    @Slot()
    def save_numbers(self) -> None:
        """Save the numbers as CSV or TSV where the user says."""
        kinds = "Comma-separated (*.csv);;Tab-separated (*.tsv)"
        path = self._choose_new_file("Save the numbers", "credit-over-steps.csv", kinds)
        if path:
            numbers = self.numbers("\t" if path.endswith(".tsv") else ",")
            self._try(lambda: write_text(Path(path), numbers))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except UserFacingError as error:
            self.problem.emit(str(error))

    @Slot()
    def copy_picture(self) -> None:
        """Put the picture on the clipboard."""
        QGuiApplication.clipboard().setPixmap(self.picture())

    @Slot()
    def copy_numbers(self) -> None:
        """Put the numbers on the clipboard, tab-separated."""
        QGuiApplication.clipboard().setText(self.numbers("\t"))

    # --- what is remembered -----------------------------------------------------------------

    def recall(self, settings: Settings) -> None:
        """Show the side that was shown last."""
        self.show_side("A" if settings.get("heat map of", "B", ("A", "B")) == "A" else "B")

    def remember(self, settings: Settings) -> None:
        """Save which side is shown."""
        settings.put("heat map of", self.side)
