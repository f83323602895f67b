"""The credit view: prompt, two responses, chart and inspector, and the talk with the engine.

Asks for scores when texts rest, shows what comes back, and rescales by itself when beta, colours
or units change. Knows the bridge; knows nothing of files, menus or models.
"""

import time
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.bridge import Bridge
from app.credit import numbers
from app.credit.examples import Example
from app.credit.focus import Focus
from app.credit.layout import SIDES, CreditLayout
from app.credit.q_function import QFunction
from app.credit.scale import ScaleChoice
from app.widgets.colour_scale import ColourScale
from core.protocol import Failed, PairInfo, Scored, Side, Stopped
from core.scoring import Scoring
from core.text import Alignment, align
from core.trace import mark

if TYPE_CHECKING:
    from app.widgets.reward_chart import RewardChart

QUICK_TO_ALIGN = 250_000
ALIGN_MS = 500
CHART_MS = 40
"""How long the chart waits for more to draw, so that colours and keys come first."""
BLANK_PROMPT = "Write a prompt for the models to answer."


class CreditView(CreditLayout):
    """Where the credit goes, for one prompt and two responses."""

    problem = Signal(str)
    """A response could not be scored: one sentence; "" once that is over."""
    updated = Signal(str)
    """What the last update took, for the status bar."""
    edited = Signal()
    """A text of the user's has changed."""
    beta_chosen = Signal(float)
    first_colours = Signal()

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._pair: PairInfo | None = None
        self._asked: dict[int, Side] = {}
        self._failed: set[Side] = set()
        self._alignment: Alignment | None = None
        self._values: dict[Side, numbers.Floats] = {}
        self._coloured = False
        self._drawn: dict[Side, tuple[Scoring | None, float]] = {}
        self.chart: RewardChart | None = None
        self.scale = ScaleChoice()
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
        self.controls.mode_changed.connect(self._recolour)
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
        self._asked.clear()
        self._failed.clear()
        self._alignment = None
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

    def show_example(self, example: Example) -> None:
        """Put an example's texts in place; undo starts anew."""
        self.focus_on.clear()
        self.prompt.set_prompt(example.prompt)
        self.panels["A"].set_text(example.a)
        self.panels["B"].set_text(example.b)
        self._alignment = None
        self._failed.clear()
        self.problem.emit("")
        self._clear_chart()
        self.summary.show_numbers(None, None)
        self.ask_all()

    def beta(self) -> float:
        return float(self.controls.beta.value())

    # --- asking -----------------------------------------------------------------------------

    def ask_all(self) -> None:
        """Ask for both sides' scores."""
        for side in SIDES:
            self.ask(side)

    def ask(self, side: Side) -> None:
        """Ask for a side's scores, if a pair is loaded."""
        panel = self.panels[side]
        if self._pair is None:
            return
        if self.prompt.is_blank():
            panel.show_problem(BLANK_PROMPT)
            return
        wanted = panel.wanted()
        prompt = self.prompt.prompt()
        id = self._bridge.score(side, prompt, wanted.text, wanted.ids, fresh=wanted.fresh)
        self._asked[id] = side

    def replace(self, side: Side, index: int, id: int) -> bool:
        """Put one token in place and keep the others; False where that cannot be now."""
        panel = self.panels[side]
        scoring = panel.scoring
        if not panel.is_current() or scoring is None or index >= len(scoring.tokens):
            self.updated.emit("Not now: the text is still being scored. Choose again.")
            return False
        if int(scoring.ids[index]) == id:
            return False
        request = self._bridge.score(side, self.prompt.prompt(), replace=(index, id))
        self._asked[request] = side
        panel.expect_replacement(request)
        return True

    def exchange(self) -> None:
        """Swap the two responses, tokens and all."""
        a, b = (self._snapshot(side) for side in SIDES)
        self.focus_on.clear()
        self.panels["A"].swap_in(*b)
        self.panels["B"].swap_in(*a)
        self.edited.emit()
        self.ask_all()

    def copy_a_to_b(self) -> None:
        """Make B the same as A, tokens and all."""
        self.panels["B"].swap_in(*self._snapshot("A"))
        self.edited.emit()
        self.ask("B")

    def _snapshot(self, side: Side) -> tuple[str, tuple[int, ...] | None]:
        panel = self.panels[side]
        scoring = panel.scoring
        known = panel.is_current() and scoring is not None
        return panel.text(), scoring.tokens.ids if known and scoring is not None else None

    @Slot(str)
    def _typed(self, side: str) -> None:
        self.summary.setEnabled(False)
        self.edited.emit()

    @Slot(str)
    def _text_rested(self, side: str) -> None:
        self.ask("B" if side == "B" else "A")

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
        if not self._coloured:
            self._coloured = True
            QTimer.singleShot(0, self._say_coloured)

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
        mode, unit, beta = self.controls.mode(), self.controls.unit(), self.beta()
        known = {s: p.scoring for s, p in self.panels.items() if p.scoring is not None}
        raw: dict[Side, numbers.Floats] = {}
        if mode.key == "delta":
            if len(known) == 2 and self._alignment is not None:
                raw["A"], raw["B"] = numbers.deltas(known["A"], known["B"], self._alignment, beta)
            else:
                raw = {side: np.full(len(scoring), np.nan) for side, scoring in known.items()}
        else:
            raw = {s: numbers.values(mode.key, scoring, beta) for s, scoring in known.items()}
        self._values = {
            side: numbers.roll_up(
                raw[side], numbers.groups(scoring.tokens, unit), mode.key == "gain"
            )
            for side, scoring in known.items()
        }
        self.scale.fit(mode, [*self._values.values()])
        self._show_legend()
        scale = self.scale.scale(mode)
        for side, panel in self.panels.items():
            panel.set_scale(scale)
            scoring = known.get(side)
            if scoring is None:
                panel.show_sum(None)
                continue
            panel.paint(self._values[side], scale)
            panel.show_sum(numbers.rewards(scoring, beta))
        self._show_summary()
        self.focus_on.refresh()
        if self.chart is not None and not self._draw.isActive():
            self._draw.start()

    @Slot()
    def _show_chart(self) -> None:
        if self.chart is None:
            return
        self.q_function.show_chart()
        for side, panel in self.panels.items():
            drawn = panel.scoring, self.beta()
            if self._drawn.get(side) == drawn:
                continue
            self._drawn[side] = drawn
            if panel.scoring is not None:
                r = numbers.rewards(panel.scoring, self.beta())
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
        parts = numbers.split(a, b, pairs, self.beta()) if pairs is not None else None
        self.summary.show_numbers(numbers.pair_numbers(a, b, self.beta()), parts)

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

    def group_sum(self, side: Side, index: int) -> tuple[str, float]:
        """The unit that a token is coloured by, and its sum of rewards; "" for single tokens."""
        unit, scoring = self.controls.unit(), self.panels[side].scoring
        if unit == "token" or scoring is None:
            return "", 0.0
        group = numbers.groups(scoring.tokens, unit)
        sums = numbers.roll_up(numbers.rewards(scoring, self.beta()), group)
        return unit, float(sums[index])

    def reward_scale(self) -> ColourScale:
        """The scale for rewards, whatever the editors are coloured by."""
        return self.scale.scale(numbers.BY_KEY["reward"])

    def _show_legend(self) -> None:
        mode = self.controls.mode()
        self.controls.legend.set_scale(self.scale.scale(mode), negative=mode.negative)
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
        self.scale.lock(self.controls.mode(), limit)
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
