"""The Q-function in the credit view: its page of the inspector, and its chart under the editors.

Asks for the vocabulary at the state that is looked at, while the page is at the front, and keeps
the last ones by the tree's state. Scales everything by beta without asking. Knows the view, its
panels and the bridge; knows nothing of how Focus finds the token that is looked at.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QComboBox

from app.credit.q_page import QPage
from app.engine_client import Bridge
from core.engine.protocol import Side, Surveyed
from core.gauge import response_gauge
from core.scoring import StateActions

if TYPE_CHECKING:
    from app.credit.view import CreditView
    from app.widgets.q_chart import QChart
    from app.widgets.reward_chart import RewardChart

ASK_MS = 80
KEPT = 24
"""Vocabularies kept; one takes sixteen bytes a token."""
CHARTS = ("Implicit reward", "Q-function")


class ChartChoice(QComboBox):
    """What the chart under the editors shows; stands in the header of each chart."""

    def __init__(self) -> None:
        super().__init__()
        self.addItems(CHARTS)
        self.setAccessibleName("What the chart shows")
        self.setToolTip(
            "Implicit reward: of A and B, with running sums. Q-function: Q, V, advantage and raw "
            "reward of the response whose editor or token was chosen last."
        )


class QFunction(QObject):
    """Page and chart of one credit view."""

    chart_hovered = Signal(str, int)
    chart_clicked = Signal(str, int)

    def __init__(self, view: "CreditView", bridge: Bridge, page: QPage) -> None:
        super().__init__(view)
        self._view, self._bridge, self._page = view, bridge, page
        self.chart: QChart | None = None
        self.side: Side = "A"
        """The response that the chart shows."""
        self._spot: tuple[Side, int] | None = None
        self._state = 0, -1
        """The state before the token that is looked at, and the checkpoint that is shown."""
        self._kept: dict[tuple[int, int], StateActions] = {}
        self._asked: dict[int, tuple[int, int]] = {}
        self._choices: list[ChartChoice] = []
        self._ask = QTimer(self)
        self._ask.setSingleShot(True)
        self._ask.setInterval(ASK_MS)
        self._ask.timeout.connect(self._request)
        page.shown.connect(self._show_page)
        bridge.surveyed.connect(self._surveyed)
        for panel in view.panels.values():
            panel.editor.installEventFilter(self)

    # --- the page ---------------------------------------------------------------------------

    def look(self, side: Side, index: int, state: int, pinned: bool) -> None:
        """A token is shown in the inspector; ``state`` names the state before it."""
        self._spot, self._state = (side, index), (state, self._view.film.shown)
        if pinned:
            self._take_side(side)
        self._show_page()

    def look_away(self) -> None:
        """No token is shown."""
        self._spot = None
        self._ask.stop()

    def forget(self) -> None:
        """Another pair: what is kept of states is of the old one."""
        self._kept.clear()
        self._asked.clear()
        self.look_away()

    def forget_checkpoint(self, index: int) -> None:
        """What is kept of a checkpoint is of another one, which lay there before."""
        self._kept = {state: kept for state, kept in self._kept.items() if state[1] != index}
        self._asked.clear()

    @Slot()
    def _show_page(self) -> None:
        """Fill the page, if it is at the front."""
        self._ask.stop()
        if self._spot is None or not self._page.isVisible():
            return
        side, index = self._spot
        scoring = self._view.panels[side].scoring
        if scoring is None or index >= len(scoring):
            return
        beta, scale = self._view.beta(), self._view.reward_scale()
        self._page.show_gauge(response_gauge(scoring, beta), index, scale.floor)
        known = self._kept.get(self._state)
        self._page.show_actions(known, beta, scale, int(scoring.ids[index]))
        if known is None:
            self._ask.start()

    @Slot()
    def _request(self) -> None:
        if self._spot is None or not self._view.panels[self._spot[0]].is_current():
            return  # the scoring that is under way brings a refresh
        if self._view.between_checkpoints():
            return  # and so does the checkpoint
        self._asked.clear()
        self._asked[self._bridge.survey(*self._spot)] = self._state

    @Slot(object)
    def _surveyed(self, event: Surveyed) -> None:
        state = self._asked.pop(event.id, None)
        if state is None or (state[0] >= 0 and event.actions.state != state[0]):
            return
        if state[1] != self._view.film.shown or self._view.between_checkpoints():
            return  # it may be of another checkpoint; when that is shown, this is asked anew
        self._kept[state] = event.actions
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        if state == self._state:
            self._show_page()

    # --- the chart --------------------------------------------------------------------------

    def add_choice(self) -> None:
        """The view has made its chart: it can be changed for the other one from now on."""
        self._page.let_plot()
        if self._view.chart is not None:
            self._put_choice(self._view.chart)
        self._show_page()

    def _put_choice(self, chart: "RewardChart | QChart") -> None:
        choice = ChartChoice()
        choice.activated.connect(self._chosen)
        self._choices.append(choice)
        chart.header.insertWidget(0, choice)
        chart.setTabOrder(choice, chart.reset)

    @Slot(int)
    def _chosen(self, which: int) -> None:
        """Show one chart in place of the other; the keyboard stays on the choice."""
        if self._view.chart is None:
            return
        if self.chart is None:
            self._make_chart()
        if self.chart is not None:
            self._view.chart.setVisible(which == 0)
            self.chart.setVisible(which == 1)
        for choice in self._choices:
            choice.setCurrentIndex(which)
        self._choices[which].setFocus()
        self.show_chart()

    def _make_chart(self) -> None:
        from app.widgets.q_chart import QChart

        self.chart = QChart()
        self._put_choice(self.chart)
        self.chart.set_theme(self._view.scale.dark)
        self.chart.hovered.connect(self.chart_hovered)
        self.chart.clicked.connect(self.chart_clicked)
        self._view.put_chart(self.chart)

    def show_chart(self) -> None:
        """Draw what is known of the chosen response, if its chart is at the front."""
        if self.chart is None or self.chart.isHidden():
            return
        scoring = self._view.panels[self.side].scoring
        if scoring is None:
            self.chart.clear()
        else:
            gauge = response_gauge(scoring, self._view.beta())
            self.chart.show_gauge(self.side, gauge, scoring.labels)

    def highlight(self, side: str, index: int) -> None:
        """Mark a token in the chart; index -1 for none."""
        if self.chart is not None:
            self.chart.highlight(side, index)

    def set_dark(self, dark: bool) -> None:
        if self.chart is not None:
            self.chart.set_theme(dark)

    def _take_side(self, side: Side) -> None:
        if side != self.side:
            self.side = side
            self.show_chart()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The chart follows the editor that has the keyboard."""
        if event.type() == QEvent.Type.FocusIn:
            for side, panel in self._view.panels.items():
                if panel.editor is watched:
                    self._take_side(side)
        return super().eventFilter(watched, event)
