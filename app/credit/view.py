"""The credit view: prompt, two responses, chart and inspector, and the talk with the engine.

Asks for scores when texts rest, shows what comes back, and rescales by itself when beta, colours
or units change. Knows the bridge; knows nothing of files, menus or models.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.credit.asking import CreditAsking
from app.credit.examples import Example
from app.credit.focus import Focus
from app.credit.layout import SIDES
from app.credit.q_function import QFunction
from app.credit.scale import ScaleChoice, compared_words
from app.engine_client import Bridge
from app.widgets.colour_scale import ColourScale
from core.engine.protocol import Failed, PairInfo, Scored, Side, Stopped
from core.noise import NOISELESS, NoiseFloor
from core.present.by_checkpoint import Frame, ScoringsByCheckpoint, Values
from core.present.measures import REWARD, rewards, shown
from core.present.pair import pair_noise, pair_numbers, split
from core.present.units import Floats, groups, roll_up
from core.scoring import Scoring
from core.text import Alignment, align
from core.trace import mark

if TYPE_CHECKING:
    from app.widgets.reward_chart import RewardChart

QUICK_TO_ALIGN, ALIGN_MS = 250_000, 500
CHART_MS = 40
"""How long the chart waits for more to draw, so that colours and keys come first."""


class CreditView(CreditAsking):
    """Where the credit goes, for one prompt and two responses."""

    problem = Signal(str)
    """A response could not be scored: one sentence; "" once that is over."""
    beta_chosen = Signal(float)
    first_colours = Signal()
    scored = Signal(str)
    """The scores of a side have come and are shown."""
    recoloured = Signal()
    """Numbers, beta, colours or what they are of have changed."""
    texts_replaced = Signal()
    """Other texts are in place, of which nothing is known yet."""

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._pair: PairInfo | None = None
        self._asked: dict[int, Side] = {}
        self._failed: set[Side] = set()
        self._alignment: Alignment | None = None
        self._values: dict[Side, Floats] = {}
        self._coloured = False
        self._drawn: dict[Side, tuple[Scoring | None, float]] = {}
        self.film = ScoringsByCheckpoint()
        self.chart: RewardChart | None = None
        self.scale = ScaleChoice()
        self.noise = NOISELESS
        self.q_function = QFunction(self, bridge, self.q_page)
        self.focus_on = Focus(self, bridge, self.inspector)
        self._align = QTimer(self)
        self._align.setSingleShot(True)
        self._align.timeout.connect(self._align_now)
        self._draw = QTimer(self)
        self._draw.setSingleShot(True)
        self._draw.setInterval(CHART_MS)
        self._draw.timeout.connect(self._show_chart)
        self._connect()
        self._show_legend()

    def _connect(self) -> None:
        for panel in self.panels.values():
            panel.changed.connect(self._text_rested)
            panel.typed.connect(self._typed)
        self.prompt.changed.connect(self._prompt_rested)
        self.controls.measure_changed.connect(self._recolour)
        self.controls.units_changed.connect(self._recolour)
        self.controls.beta_changed.connect(self._beta_changed)
        legend = self.controls.legend
        legend.locked_changed.connect(self._lock_changed)
        legend.limit_changed.connect(self._limit_changed)
        legend.swap_changed.connect(self._swap_changed)
        self._bridge.scored.connect(self._scored)
        self._bridge.failed.connect(self._score_failed)
        self._bridge.stopped.connect(self._score_stopped)

    # --- what is loaded ---------------------------------------------------------------------

    def set_pair(self, info: PairInfo | None, beta: float | None = None) -> None:
        """Another pair, or none: the texts stay, what was known of them goes."""
        self._pair = info
        self.noise = NOISELESS
        self._asked.clear()
        self._failed.clear()
        self._alignment = None
        self.film.begin(info.checkpoints if info is not None else ())
        self.focus_on.forget()
        self.prompt.set_rendered("")
        for panel in self.panels.values():
            panel.forget_tokens()
            panel.show_problem("")
        self._clear_chart()
        self.summary.show_numbers(None, None)
        if info is not None:
            self.controls.set_beta(beta if beta is not None else info.beta)
            self.ask_all()
        self.recoloured.emit()

    def set_noise(self, noise: NoiseFloor) -> None:
        """The pair's noise floor: what lies below it has no colour from now on, and is grey."""
        self.noise = noise
        self._recolour()

    def show_example(self, example: Example) -> None:
        """Put an example's texts in place; undo starts anew."""
        self.focus_on.clear()
        self.prompt.set_prompt(example.prompt)
        self.panels["A"].set_text(example.a)
        self.panels["B"].set_text(example.b)
        self._alignment = None
        self._failed.clear()
        self.film.forget_texts()
        self.problem.emit("")
        self._clear_chart()
        self.summary.show_numbers(None, None)
        self.texts_replaced.emit()
        self.ask_all()

    def beta(self) -> float:
        return float(self.controls.beta.value())

    @Slot(str)
    def _typed(self, side: str) -> None:
        self.summary.setEnabled(False)
        self.edited.emit()

    @Slot()
    def _prompt_rested(self) -> None:
        for panel in self.panels.values():
            panel.fade()
        self._recolour()
        self.edited.emit()
        self.ask_all()

    # --- answers ----------------------------------------------------------------------------

    @Slot(object)
    def _scored(self, event: Scored) -> None:
        self._asked.pop(event.id, None)
        panel = self.panels[event.side]
        old = panel.scoring
        panel.take(event.id, event.scoring)
        self.film.take(event.side, event.prompt_text, event.scoring, self.between_checkpoints())
        if old is not None and panel.scoring is not None:
            self.focus_on.follow(event.side, old.tokens, panel.scoring.tokens)
        self.prompt.set_rendered(event.prompt_text)
        self._failed.discard(event.side)
        if not self._failed:
            self.problem.emit("")
        self._realign()
        self._recolour()
        scoring = event.scoring
        total = scoring.computed + scoring.reused
        self.updated.emit(
            f"{event.side}: {1000 * scoring.seconds:.0f} ms, {scoring.computed} of {total} "
            f"tokens computed, at {time.strftime('%H:%M:%S')}"
        )
        self.scored.emit(event.side)
        if not self._coloured:
            self._coloured = True
            QTimer.singleShot(0, self._say_coloured)

    def show_checkpoint(self, index: int, frame: Frame) -> None:
        """Another checkpoint is the policy, and this is what it says; texts and pins stay."""
        self.film.shown = index
        self.film.put(index, frame)
        for side, panel in self.panels.items():
            taken = side in frame and panel.take_again(frame[side])
            if not taken and panel.is_current():
                panel.fade()
                self.ask(side)
        self._recolour()

    def add_checkpoint(self, index: int, frame: Frame) -> None:
        """What a checkpoint that is not shown says: colours fit it too."""
        self.film.put(index, frame)
        before = self.scale.scale(self.controls.measure())
        self._fit_scale()
        if self.scale.scale(self.controls.measure()) != before:
            self._recolour()
        self.recoloured.emit()

    def forget_checkpoint(self, index: int) -> None:
        """Another checkpoint lies there now: what is known of the one before is not shown again."""
        self.film.forget_checkpoint(index)
        self.focus_on.forget_checkpoint(index)

    def between_checkpoints(self) -> bool:
        """Whether another checkpoint is asked for and not shown yet."""
        return self._bridge.busy("scrub")

    @Slot()
    def _say_coloured(self) -> None:
        for panel in self.panels.values():
            panel.editor.viewport().repaint()
        mark("first colours")
        self.first_colours.emit()
        QTimer.singleShot(0, self._import_chart)

    @Slot(object)
    def _score_failed(self, event: Failed) -> None:
        side = self._asked.pop(event.id, None)
        if side is None:
            return
        panel = self.panels[side]
        panel.fade()
        panel.show_problem("not scored: see the notice above")
        self._failed.add(side)
        self._recolour()
        self.problem.emit(event.message)

    @Slot(object)
    def _score_stopped(self, event: Stopped) -> None:
        self._asked.pop(event.id, None)

    # --- colours and numbers ----------------------------------------------------------------

    def scorings(self) -> dict[Side, Scoring]:
        """The scorings that are of the texts on the screen."""
        found: dict[Side, Scoring] = {}
        for side, panel in self.panels.items():
            if panel.scoring is not None and panel.is_current():
                found[side] = panel.scoring
        return found

    @Slot()
    def _recolour(self) -> None:
        """Show all numbers anew, from what is known already."""
        measure, unit, beta = self.controls.measure(), self.controls.unit(), self.beta()
        known = {s: p.scoring for s, p in self.panels.items() if p.scoring is not None}
        self._values = shown(measure, unit, beta, known, self._alignment, self.noise)
        self.scale.floor = float(self.noise.of_rewards(beta))
        self._fit_scale()
        self._show_legend()
        scale = self.scale.scale(measure)
        for side, panel in self.panels.items():
            panel.set_scale(scale)
            scoring = known.get(side)
            if scoring is None:
                panel.show_sum(None)
                continue
            panel.paint(self._values[side], scale)
            panel.show_sum(rewards(scoring, beta), beta, self.noise)
        self._show_summary()
        self.focus_on.refresh()
        if self.chart is not None and not self._draw.isActive():
            self._draw.start()
        self.recoloured.emit()

    def film_values(self) -> Mapping[int, Values]:
        """What each known checkpoint's tokens are coloured by, as the controls say."""
        measure, unit = self.controls.measure(), self.controls.unit()
        return self.film.values(measure, unit, self.beta(), self._alignment, self.noise)

    def _fit_scale(self) -> None:
        """Fit the colours to what is shown and to the run's other checkpoints."""
        states = [[*values.values()] for values in self.film_values().values()]
        self.scale.fit(self.controls.measure(), [*self._values.values()], *states)
        self.controls.legend.set_note(compared_words(len(states)))

    @Slot()
    def _show_chart(self) -> None:
        if self.chart is None:
            return
        others = (one for side in SIDES for one in self.film.of(side).values())
        self.chart.set_room([rewards(one, self.beta()) for one in others])
        self.q_function.show_chart()
        for side, panel in self.panels.items():
            drawn = panel.scoring, self.beta()
            if self._drawn.get(side) == drawn:
                continue
            self._drawn[side] = drawn
            if panel.scoring is not None:
                r = rewards(panel.scoring, self.beta())
                self.chart.set_series(side, r, panel.scoring.labels)
            else:
                self.chart.set_series(side, [])
        self.focus_on.mark_chart()

    def _clear_chart(self) -> None:
        self._drawn.clear()
        if self.chart is not None:
            self.chart.clear()
        self.q_function.show_chart()

    def _show_summary(self) -> None:
        fresh = self.scorings()
        known = [panel.scoring for panel in self.panels.values()]
        self.summary.setEnabled(len(fresh) == 2)
        a, b = known
        if a is None or b is None:
            self.summary.show_numbers(None, None)
            return
        pairs = self._alignment
        parts = split(a, b, pairs, self.beta()) if pairs is not None else None
        beta, noise = self.beta(), self.noise
        floors = pair_noise(a, b, beta, noise)
        self.summary.show_numbers(pair_numbers(a, b, beta), parts, floors, noise)

    def _realign(self) -> None:
        """Align A and B anew; long, unlike texts take a while: then only once typing rests."""
        self._alignment = None
        a, b = (panel.scoring for panel in self.panels.values())
        if a is None or b is None:
            return
        if len(a) * len(b) < QUICK_TO_ALIGN:
            self._alignment = align(a.tokens, b.tokens)
        else:
            self._align.start(ALIGN_MS)

    @Slot()
    def _align_now(self) -> None:
        a, b = (panel.scoring for panel in self.panels.values())
        if a is not None and b is not None:
            self._alignment = align(a.tokens, b.tokens)
            self._recolour()

    def partner(self, side: Side, index: int) -> int:
        """The equal token of the other response, or -1."""
        if self._alignment is None:
            return -1
        a, b = (panel.scoring for panel in self.panels.values())
        own, other = (a, b) if side == "A" else (b, a)
        if own is not None and other is not None and index == len(own) - 1:
            return len(other) - 1
        here = 0 if side == "A" else 1
        return next((p[1 - here] for p in self._alignment.pairs if p[here] == index), -1)

    def group_sum(self, side: Side, index: int) -> tuple[str, float, int]:
        """The unit that a token is coloured by, its sum of rewards and over how many tokens; ""
        for single tokens."""
        unit, scoring = self.controls.unit(), self.panels[side].scoring
        if unit == "token" or scoring is None:
            return "", 0.0, 1
        group = groups(scoring.tokens, unit)
        sums = roll_up(rewards(scoring, self.beta()), group)
        return unit, float(sums[index]), int((group == group[index]).sum())

    def reward_scale(self) -> ColourScale:
        """The scale for rewards, whatever the editors are coloured by."""
        return self.scale.scale(REWARD)

    def _show_legend(self) -> None:
        measure = self.controls.measure()
        self.controls.legend.set_scale(self.scale.scale(measure), negative=measure.at_most_zero)
        self.controls.legend.set_locked(self.scale.locked)

    @Slot(float)
    def _beta_changed(self, beta: float) -> None:
        self._recolour()
        self.beta_chosen.emit(beta)

    @Slot(bool)
    def _lock_changed(self, on: bool) -> None:
        self.scale.locked = on
        self._recolour()

    @Slot(float)
    def _limit_changed(self, limit: float) -> None:
        self.scale.lock(self.controls.measure(), limit)
        self._recolour()

    @Slot(bool)
    def _swap_changed(self, on: bool) -> None:
        self.scale.swap = on
        self._recolour()

    # --- looks ------------------------------------------------------------------------------

    @Slot()
    def _import_chart(self) -> None:
        """Import the chart's library; put off until the first colours, as it takes a while."""
        from app.gentle_import import import_then

        import_then("pyqtgraph", self._chart_imported)

    def _chart_imported(self) -> None:
        QTimer.singleShot(0, self.make_chart)

    @Slot()
    def make_chart(self) -> None:
        """Show the chart."""
        if self.chart is not None:
            return
        from app.widgets.reward_chart import RewardChart

        self.chart = RewardChart()
        self.put_chart(self.chart)
        self.chart.hovered.connect(self.focus_on.chart_hovered)
        self.chart.clicked.connect(self.focus_on.chart_clicked)
        self.chart.set_theme(self.scale.dark)
        self._show_chart()
        self.q_function.add_choice()

    def set_dark(self, dark: bool) -> None:
        """Light or dark."""
        self.scale.dark = dark
        for panel in self.panels.values():
            panel.set_dark(dark)
        if self.chart is not None:
            self.chart.set_theme(dark)
        self.q_function.set_dark(dark)
        self._recolour()
