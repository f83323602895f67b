"""The Q-function in the credit view: its page of the inspector, and its chart under the editors.

Looks up the vocabulary at the state that is looked at, while the page is at the front. Scales
everything by beta without asking. Knows the panels, their numbers and the page; knows nothing of
how the token that is looked at was found.
"""

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QEvent, QObject, Signal, Slot
from PySide6.QtGui import QStandardItemModel

from app.credit.numbers import CreditNumbers
from app.credit.q_page import QPage
from app.inspect.answers import Question, StateAnswers, SurveyLookup
from app.widgets.boxes import ComboBox
from app.widgets.layouts import as_tip
from core.engine.protocol import Side
from core.gauge import response_gauge
from core.present.credit import IMPLICIT, Credit
from core.present.measures import REWARD

if TYPE_CHECKING:
    from app.widgets.q_chart import QChart
    from app.widgets.reward_chart import RewardChart

Q_CHART = "Q-function"


class ChartChoice(ComboBox):
    """What the chart under the editors shows; stands in the header of each chart."""

    def __init__(self) -> None:
        super().__init__()
        self.addItems((IMPLICIT.title, Q_CHART))
        self.setAccessibleName("What the chart shows")

    def offer(self, credit: Credit) -> None:
        """Name the first chart by what it shows; the other one needs a reference."""
        self.setItemText(0, credit.title)
        cast(QStandardItemModel, self.model()).item(1).setEnabled(not credit.alone)
        self.setToolTip(
            as_tip(
                f"{credit.title}: of A and B, with running sums. {Q_CHART}: Q, V, advantage and "
                f"raw reward of the response whose editor or token was chosen last."
            )
        )


class QFunction(QObject):
    """Page and chart of one credit view."""

    chart_hovered = Signal(str, int)
    chart_clicked = Signal(str, int)
    chart_made = Signal(object)
    """A chart, hidden, that belongs beside the other one."""

    def __init__(
        self,
        numbers: CreditNumbers,
        page: QPage,
        lookup: SurveyLookup,
        answers: StateAnswers,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._numbers, self._page, self._lookup, self._answers = numbers, page, lookup, answers
        self.chart: QChart | None = None
        self._reward_chart: RewardChart | None = None
        self.side: Side = "A"
        """The response that the chart shows."""
        self.spot: tuple[Side, int] | None = None
        """The token that the page shows, when it is at the front."""
        self._choices: list[ChartChoice] = []
        page.shown.connect(self.show_page)
        lookup.found.connect(self.show_page)
        for panel in numbers.panels.values():
            panel.editor.installEventFilter(self)

    # --- the page ---------------------------------------------------------------------------

    @Slot(str, int, bool)
    def look_at(self, side: str, index: int, pinned: bool) -> None:
        """Show a token of a side, which the inspector shows too."""
        named: Side = "B" if side == "B" else "A"
        self.spot = named, index
        if pinned:
            self._take_side(named)
        self.show_page()

    @Slot()
    def look_away(self) -> None:
        """Show no token."""
        self.spot = None
        self._lookup.look(None)

    @Slot()
    def show_page(self) -> None:
        """Fill the page, if it is at the front."""
        if self.spot is None or not self._page.isVisible():
            self._lookup.look(None)
            return
        side, index = self.spot
        numbers = self._numbers
        scoring, state = numbers.panels[side].scoring, numbers.state(side, index)
        if scoring is None or state is None:
            self._lookup.look(None)
            return
        scale = numbers.reward_scale()
        gauge = response_gauge(scoring, numbers.beta())
        if gauge is None:
            self._lookup.look(None)
            return
        self._page.show_gauge(gauge, index, scale.floor)
        known = self._lookup.look(Question(state, numbers.checkpoint()))
        labels = self._answers.labels
        beta, current = numbers.known_beta(), int(scoring.ids[index])
        self._page.show_actions(known, labels, beta, scale, current)

    # --- the chart --------------------------------------------------------------------------

    def add_choice(self, reward_chart: "RewardChart") -> None:
        """Let the chart of rewards, which was just made, be changed for that of Q."""
        self._page.let_plot()
        self._reward_chart = reward_chart
        self._put_choice(reward_chart)
        self.show_page()

    def _put_choice(self, chart: "RewardChart | QChart") -> None:
        choice = ChartChoice()
        choice.offer(self._numbers.credit)
        choice.activated.connect(self._chosen)
        self._choices.append(choice)
        chart.header.insertWidget(0, choice)
        chart.setTabOrder(choice, chart.reset)

    def offer_charts(self) -> None:
        """Offer what can be drawn of another pair."""
        for choice in self._choices:
            choice.offer(self._numbers.credit)
        if self._numbers.credit.alone and self.chart is not None and not self.chart.isHidden():
            self._show(0)

    @Slot(int)
    def _chosen(self, which: int) -> None:
        """Show one chart in place of the other; the keyboard stays on the choice."""
        if self._reward_chart is not None:
            self._show(which)
            self._choices[which].setFocus()

    def _show(self, which: int) -> None:
        assert self._reward_chart is not None
        if self.chart is None:
            self._make_chart()
        if self.chart is not None:
            self._reward_chart.setVisible(which == 0)
            self.chart.setVisible(which == 1)
        for choice in self._choices:
            choice.setCurrentIndex(which)
        self.show_chart()

    def _make_chart(self) -> None:
        from app.widgets.q_chart import QChart

        self.chart = QChart()
        self._put_choice(self.chart)
        self.chart.set_theme(self._numbers.scale.dark)
        self.chart.hovered.connect(self.chart_hovered)
        self.chart.clicked.connect(self.chart_clicked)
        self.chart_made.emit(self.chart)

    def show_chart(self) -> None:
        """Draw what is known of the chosen response, if its chart is at the front."""
        if self.chart is None or self.chart.isHidden():
            return
        scoring = self._numbers.panels[self.side].scoring
        gauge = None if scoring is None else response_gauge(scoring, self._numbers.beta())
        if scoring is None or gauge is None:
            self.chart.clear()
        else:
            self.chart.set_unit(REWARD.unit_at(self._numbers.known_beta()))
            self.chart.show_gauge(self.side, gauge, scoring.labels)

    @Slot(str, int)
    def highlight(self, side: str, index: int) -> None:
        """Mark a token in the chart; index -1 for none."""
        if self.chart is not None:
            self.chart.highlight(side, index)

    def set_dark(self, dark: bool) -> None:
        """Show the chart light or dark."""
        if self.chart is not None:
            self.chart.set_theme(dark)

    def _take_side(self, side: Side) -> None:
        if side != self.side:
            self.side = side
            self.show_chart()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the chart follow the editor that has the keyboard."""
        if event.type() == QEvent.Type.FocusIn:
            for side, panel in self._numbers.panels.items():
                if panel.editor is watched:
                    self._take_side(side)
        return super().eventFilter(watched, event)
