"""The Q-function's page of the inspector: one token's numbers, and the whole vocabulary there.

All that depends on raw logits stands under "raw-logit gauge", with two sentences that say what
that means. Knows a gauge and a state's actions; asks for nothing itself.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.inspect.choices import Choices
from app.inspect.facts import show_fact
from app.widgets.colour_scale import ColourScale
from app.widgets.layouts import as_tip, fill
from core.gauge import FLOOR, Gauge, check_state, state_rewards
from core.present.numerals import percent, plain, signed
from core.present.token_facts import gauge_facts
from core.quantities import KL_REVERSE
from core.scoring import StateActions

if TYPE_CHECKING:
    from app.widgets.vocabulary_plot import VocabularyPlot

GAUGE = (
    "The two checkpoints fix the reward r, the advantage Q − V and the sum Σr of a response. "
    "Q, V and r raw they fix only up to a constant per state (Theorem 1): the policy's raw logits "
    "choose the one that is shown."
)
HEADINGS = (
    ("Raw-logit gauge", "Fixed only up to a constant per state; raw logits choose it"),
    ("In every gauge", "Fixed by the two checkpoints alone"),
)
ROWS = 3
PLOT_HEIGHT = 256
LIST_HEIGHT = 112


class QPage(QScrollArea):
    """Q, V, advantage and rewards of a token, and every token that could stand in its place."""

    chosen = Signal(int)
    """Put the token with this id in the place of the one that is shown."""
    shown = Signal()
    """The page has come to the front: what it did not show meanwhile is missing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot: VocabularyPlot | None = None
        self._may_plot = False
        self._actions: StateActions | None = None
        self._drawn: tuple[object, ...] = ()
        self._beta = 1.0
        self._facts: list[tuple[QLabel, QLabel]] = []
        self._plot_waits = QLabel()
        self.promoted = Choices("Most promoted tokens")
        self.demoted = Choices("Most demoted tokens")
        self.check = QLabel()
        self._lay_out()
        for table in (self.promoted, self.demoted):
            table.taken.connect(self.chosen)

    def _lay_out(self) -> None:
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # the arrow keys then scroll
        self._inside = QWidget()
        self.setWidget(self._inside)
        for surface in (self.viewport(), self._inside):
            surface.setAutoFillBackground(False)
        about = QLabel(GAUGE)
        about.setObjectName("muted")
        about.setWordWrap(True)
        said = fill(QVBoxLayout(), self._fact_grid(), about, self.check, 1, spacing=6)
        self._upper = fill(QHBoxLayout(), (said, 2), (self._plot_waits, 3), spacing=theme.MARGIN)
        lower = QHBoxLayout()
        self._column = fill(QVBoxLayout(self._inside), self._upper, (lower, 1))
        self._column.setContentsMargins(0, 6, 4, 0)
        self._plot_waits.setObjectName("muted")
        self._plot_waits.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._plot_waits.setMinimumHeight(PLOT_HEIGHT)
        self.check.setWordWrap(True)
        self.check.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.check.setToolTip(
            as_tip(
                "Summed over the vocabulary in double precision, from the numbers that are shown: "
                "the policy is the reference reweighted by exp(r/β); and Eq. 16, what the "
                "reference expects to be rewarded with"
            )
        )
        floor = percent(float(np.log(FLOOR)))
        tip = f"By reward, among the tokens that π or π_ref gives at least {floor}"
        for title, table in (("Most promoted", self.promoted), ("Most demoted", self.demoted)):
            heading = self._heading(f"{title} (π or π_ref ≥ {floor})", tip)
            table.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
            fill(lower, (fill(QVBoxLayout(), heading, (table, 1), spacing=4), 1))

    def _heading(self, text: str, tip: str) -> QLabel:
        label = QLabel(text)
        label.setObjectName("heading")
        label.setWordWrap(True)
        label.setToolTip(as_tip(tip))
        return label

    def _fact_grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(2)
        for block, (title, tip) in enumerate(HEADINGS):
            grid.addWidget(self._heading(title, tip), 0, 2 * block, 1, 2)
            grid.setColumnStretch(2 * block + 1, 1)
            for row in range(1, ROWS + 1):
                name, value = QLabel(), QLabel()
                name.setObjectName("muted")
                value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
                grid.addWidget(name, row, 2 * block)
                grid.addWidget(value, row, 2 * block + 1)
                self._facts.append((name, value))
        return grid

    # --- what is shown ----------------------------------------------------------------------

    def show_gauge(self, gauge: Gauge, row: int, floor: float = 0.0) -> None:
        """Show the token's own numbers, known at once; ``floor``: the noise of a reward."""
        facts = gauge_facts(gauge, row, floor)
        for labels, fact in zip(self._facts, facts, strict=True):
            show_fact(labels, fact)

    def show_actions(
        self,
        actions: StateActions | None,
        labels: tuple[str, ...],
        known_beta: float | None,
        scale: ColourScale,
        current: int,
    ) -> None:
        """Show a vocabulary and its labels; None while it is asked for.

        ``current``: the id of the token that stands there.
        """
        beta = known_beta or 1.0
        drawn = actions, known_beta, scale, current, self._may_plot
        if drawn == self._drawn:
            return  # filling tables is slow, and this is called with each key press
        self._drawn = drawn
        same = actions is not None and actions is self._actions
        factor, self._beta = beta / self._beta, beta
        self._actions = actions
        promoted, demoted = (actions.promoted, actions.demoted) if actions else ((), ())
        for table, choices in ((self.promoted, promoted), (self.demoted, demoted)):
            table.show_choices(choices, beta, scale, current)
            rows = sum(table.rowHeight(row) for row in range(table.rowCount()))
            height = table.horizontalHeader().sizeHint().height() + rows + 2
            table.setMinimumHeight(min(height, LIST_HEIGHT))
            table.setMaximumHeight(height)
        self._show_check(actions, known_beta)
        self._show_plot(actions, labels, beta, scale, current, factor if same else 1.0)
        self._fit_height()

    def let_plot(self) -> None:
        """Allow the plot's library to be imported from now on."""
        self._may_plot = True

    def vocabulary(self) -> StateActions | None:
        """Return the vocabulary that is shown."""
        return self._actions

    def _show_check(self, actions: StateActions | None, beta: float | None) -> None:
        if beta is None:
            self.check.setText("β is not known: Q, V and rewards are divided by it, in nats")
            return
        if actions is None or actions.logp_reference is None:
            self.check.setText("Σ π_ref·exp(r/β) = …")
            return
        found = check_state(actions, beta)
        self.check.setText(
            f"Σ π_ref·exp(r/β) = {plain(found.normaliser, 7)}\n"
            f"E_ref[r] = {signed(found.expected, 5)} = −β·{KL_REVERSE} = "
            f"{signed(found.expected_kl, 5)}"
        )

    def _show_plot(
        self,
        actions: StateActions | None,
        labels: tuple[str, ...],
        beta: float,
        scale: ColourScale,
        current: int,
        factor: float,
    ) -> None:
        self._plot_waits.setText("Asking for the whole vocabulary…" if actions is None else "")
        if actions is None or actions.logp_reference is None or not self._may_plot:
            if self.plot is not None:
                self.plot.clear()
            return
        plot = self.plot or self._make_plot()
        plot.set_scale(scale)
        if factor != 1.0:
            plot.rescale(factor)
        plot.show_points(
            actions.logp_reference,
            state_rewards(actions, beta),
            actions.logp_policy,
            labels,
        )
        promoted, demoted = (
            tuple(choice.id for choice in choices)
            for choices in (actions.promoted, actions.demoted)
        )
        plot.mark(current, promoted, demoted)

    def _make_plot(self) -> "VocabularyPlot":
        from app.widgets.vocabulary_plot import VocabularyPlot

        self.plot = VocabularyPlot()
        self.plot.setFixedHeight(PLOT_HEIGHT)
        self._upper.replaceWidget(self._plot_waits, self.plot)
        for before, after in pairwise(
            (self, self.plot.reset, self.plot.plot, self.promoted, self.demoted)
        ):
            self.setTabOrder(before, after)
        self._upper.setStretchFactor(self.plot, 3)
        self._upper.setAlignment(self.plot, Qt.AlignmentFlag.AlignTop)
        self._plot_waits.hide()
        return self.plot

    def _fit_height(self) -> None:
        """Set how high wrapped sentences make the page, which a scroll area does not ask."""
        height = self._column.minimumHeightForWidth(self.viewport().width())
        self._inside.setMinimumHeight(height)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_height()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.shown.emit()
