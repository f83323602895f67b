"""The credit view: prompt, two responses, chart and inspector, and how they hang together.

Has texts scored when they rest, shows what comes back, and rescales by itself when beta, colours
or units change. Knows its parts and the engine's client; knows nothing of files, menus or models.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPoint, Qt, QTimer, QVariantAnimation, Signal, Slot
from PySide6.QtWidgets import QWidget

from app import theme
from app.credit.evidence import Asked, Evidence, in_short
from app.credit.examples import Example
from app.credit.focus import Focus, Spot
from app.credit.layout import SIDES, CreditLayout
from app.credit.numbers import CreditNumbers
from app.credit.q_function import QFunction
from app.credit.scale import ScaleChoice, compared_words
from app.credit.scorer import Scorer
from app.engine_client import EngineClient
from app.inspect.answers import InspectionLookup, StateAnswers, SurveyLookup
from app.widgets.token_view import Note
from core.engine.protocol import PairInfo, ReadTexts, Scored, Scrub, Side, TextsRead
from core.history import Reached
from core.noise import NOISELESS, NoiseFloor
from core.present.by_checkpoint import Frame, ScoringsByCheckpoint, Values
from core.present.columns import NO_BARS, Bars, bars
from core.present.credit import IMPLICIT, Credit
from core.present.measures import REWARD
from core.present.numerals import signed
from core.present.pair import pair_noise, pair_numbers, split
from core.present.verdict import Edit, Verdict, Word, verdict, worst_words
from core.scoring import Scoring
from core.text import Prompt, shared_prefix
from core.trace import mark

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from app.probe.probing import Probing
    from app.widgets.reward_chart import RewardChart
    from app.widgets.token_editor import TokenEditor

ALIGN_MS = 500
FADE_MS = 150
"""How long the first colours of texts take to come; the desktop may forbid it."""
MOST_NOTED = 4000
"""Tokens of both responses up to which the worst words are looked for with each key."""
MOSTLY = 0.75
"""The share of the chart's columns that stand under words of B at least, if they shall."""
TRIES = 8
"""How often it is scrolled towards a token: Qt takes a paragraph that was not shown for a line."""
CHART_MS = 40
"""How long the chart waits for more to draw, so that colours and keys come first."""


class CreditView(CreditLayout):
    """Where the credit goes, for one prompt and two responses."""

    problem = Signal(str)
    """A response could not be scored: one sentence; "" once that is over."""
    inspection_failed = Signal(str)
    """What else could stand in a token's place cannot be said: one sentence."""
    beta_chosen = Signal(object)
    """The beta that the user chose; None for none."""
    fitted = Signal(object)
    """The limits that colours have with this pair, by what they are of: one has been found."""
    first_colours = Signal()
    updated = Signal(str)
    """What the last update took, for the status bar."""
    edited = Signal()
    """A text of the user's has changed."""
    exchanged = Signal(str, str)
    """The responses were swapped or copied: what A and B were before."""
    scored = Signal(str)
    """The scores of a side have come and are shown."""
    recoloured = Signal()
    """Numbers, beta, colours or what they are of have changed."""
    escaped = Signal()
    """Esc was pressed where there was nothing to let go."""
    texts_replaced = Signal()
    """Other texts are in place, of which nothing is known yet."""

    def __init__(self, client: EngineClient, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._failed: set[Side] = set()
        self._unrecorded = ""
        """Why a text has no colours that no session has recorded; "" where a pair is loaded."""
        self._scored_last: Side | None = None
        self._begun = False
        """Colours have been shown since the window opened."""
        self._coloured = False
        """The texts that are in place have been coloured."""
        self._fade = QVariantAnimation(self)
        self._fade.setStartValue(0.0)
        self._fade.setEndValue(1.0)
        self._fade.valueChanged.connect(self._show_fade)
        self._fade.finished.connect(self._show_fade)
        self._drawn: dict[Side, tuple[object, ...]] = {}
        self.chart: RewardChart | None = None
        self.put_into: TokenEditor | None = None
        """The editor into which a text was put last by a click elsewhere: undo is meant for it."""
        self.numbers = CreditNumbers(self.prompt, self.panels, self.controls)
        self.scorer = Scorer(client, self.prompt, self.panels, self)
        self.answers = StateAnswers()
        """What is known of states, for every view."""
        looked_for = InspectionLookup(client, self.answers, self, self._may_inspect)
        surveyed = SurveyLookup(client, self.answers, self, self._may_survey)
        self.q_function = QFunction(self.numbers, self.q_page, surveyed, self.answers, self)
        self.focus_on = Focus(self.numbers, self.inspector, looked_for, self)
        for lookup in (looked_for, surveyed):
            lookup.failed.connect(self.inspection_failed)
            lookup.unrecorded.connect(self.updated)
        self.evidence = Evidence(client, self)
        self._probing: Probing | None = None
        self._align = QTimer(self)
        self._align.setSingleShot(True)
        self._align.setInterval(ALIGN_MS)
        self._align.timeout.connect(self._align_now)
        self._tell = QTimer(self)  # after other events: colours are painted before it is told
        self._tell.setSingleShot(True)
        self._tell.timeout.connect(self._tell_now)
        self._to_tell: list[Side] = []
        self._draw = QTimer(self)
        self._draw.setSingleShot(True)
        self._draw.setInterval(CHART_MS)
        self._draw.timeout.connect(self._show_chart)
        self._connect()
        self._show_legend()

    def _connect(self) -> None:
        for panel in self.panels.values():
            panel.typed.connect(self._typed)
            panel.folding.unfolded.connect(self._unfold)
        self.prompt.typed.connect(self.edited)
        self.prompt.changed.connect(self._prompt_rested)
        self.prompt.reading_wanted.connect(self._ask_reading)
        self.controls.measure_changed.connect(self._recolour)
        self.controls.units_changed.connect(self._recolour)
        self.controls.beta_changed.connect(self._beta_changed)
        legend = self.controls.legend
        legend.locked_changed.connect(self._lock_changed)
        legend.limit_changed.connect(self._limit_changed)
        legend.swap_changed.connect(self._swap_changed)
        legend.fit_wanted.connect(self._fit_anew)
        scorer, focus, q_function = self.scorer, self.focus_on, self.q_function
        scorer.scored.connect(self._scored)
        scorer.failed.connect(self._score_failed)
        scorer.unrecorded.connect(self._show_unrecorded)
        scorer.refused.connect(self.updated)
        scorer.edited.connect(self.edited)
        focus.marked.connect(self._mark_chart)
        focus.marked.connect(q_function.highlight)
        focus.looked_at.connect(q_function.look_at)
        focus.looked_away.connect(q_function.look_away)
        focus.looked_at.connect(self._looked_at)
        focus.looked_away.connect(self._looked_away)
        focus.replacement_wanted.connect(self.replace)
        self.verdict.edit_wanted.connect(self._make_edit)
        self.evidence.changed.connect(self._show_evidence)
        self.q_page.chosen.connect(focus.replace)
        q_function.chart_hovered.connect(focus.chart_hovered)
        q_function.chart_clicked.connect(focus.chart_clicked)
        q_function.chart_made.connect(self.put_chart)

    # --- probing ------------------------------------------------------------------------------

    @property
    def probing(self) -> "Probing":
        """Return what probes a response; its pages are made with the inspector's first showing."""
        return self._probing or self._make_probing()

    def _make_probing(self) -> "Probing":
        from app.probe.probing import Probing

        tabs = self.inspector.tabs
        self._probing = made = Probing(
            self._client, self.numbers, self.prompt, self.focus_on, tabs, self.put_scored, self
        )
        self.inspector.set_alone(self.numbers.credit.alone)
        self.recoloured.connect(made.refresh)
        self.edited.connect(made.refresh)
        made.depends.left.connect(self._recolour)
        return made

    def stop_probing(self) -> bool:
        """Stop what probes a response; return whether anything did."""
        return self._probing is not None and self._probing.stop()

    def show_inspector(self, on: bool) -> None:
        """Open or close the inspector, which has its pages from then on."""
        super().show_inspector(on)
        if self._probing is None and not self.inspector.isHidden():
            self._make_probing()

    # --- the numbers, for those who show them elsewhere ---------------------------------------

    @property
    def by_checkpoint(self) -> ScoringsByCheckpoint:
        """Return the scorings under each checkpoint of the run."""
        return self.numbers.by_checkpoint

    @property
    def scale(self) -> ScaleChoice:
        """Return the colour scales of all measures."""
        return self.numbers.scale

    @property
    def noise(self) -> NoiseFloor:
        """Return the noise floor of the pair."""
        return self.numbers.noise

    def beta(self) -> float:
        """Return what log-ratios are multiplied by: beta, as the controls say; 1 for none."""
        return self.numbers.beta()

    def known_beta(self) -> float | None:
        """Return beta, as the controls say; None where it is not known."""
        return self.numbers.known_beta()

    def scorings(self) -> dict[Side, Scoring]:
        """Return the scorings that are of the texts on the screen."""
        return self.numbers.scorings()

    def values_by_checkpoint(self) -> Mapping[int, Values]:
        """Return what each known checkpoint's tokens are coloured by, as the controls say."""
        return self.numbers.values_by_checkpoint()

    def between_checkpoints(self) -> bool:
        """Return whether another checkpoint is asked for and not shown yet."""
        return self._client.busy(Scrub)

    def _may_inspect(self) -> bool:
        return not self.inspector.isHidden() and self._is_settled(self.focus_on.shown)

    def _may_survey(self) -> bool:
        return self._is_settled(self.q_function.spot)

    def _is_settled(self, spot: Spot | None) -> bool:
        """Return whether a token is worth asking about; if not, what is under way brings a look."""
        current = spot is not None and self.panels[spot[0]].is_current()
        return current and not self.between_checkpoints()

    # --- what is loaded ---------------------------------------------------------------------

    def set_pair(
        self,
        info: PairInfo | None,
        beta: float | None = None,
        limits: dict[str, float] | None = None,
    ) -> None:
        """Take another pair, or none: the texts stay, what was known of them goes.

        ``limits``: those that colours had with this pair before.
        """
        self.scorer.has_pair = info is not None
        self.numbers.noise = NOISELESS
        self.numbers.alignment = None
        self._failed.clear()
        self._unrecorded = ""
        self._coloured = False
        self.scale.fitted = {} if limits is None else limits
        self.by_checkpoint.begin(info.checkpoints if info is not None else ())
        self.answers.forget()
        self.focus_on.clear()
        self._scored_last = None
        self.prompt.reading.show_reading(None)
        for panel in self.panels.values():
            panel.forget_tokens()
            panel.show_problem("")
        self._clear_chart()
        credit = Credit(info.objective, info.alone) if info is not None else IMPLICIT
        self.numbers.credit = credit
        self.summary.set_credit(credit)
        self.controls.set_training(credit.objective, credit.alone)
        self.inspector.set_alone(credit.alone)
        self.q_function.offer_charts()
        if info is not None:
            self.controls.set_beta(beta if beta is not None else info.beta, _source(info, beta))
            self.scorer.ask_all()
        self.recoloured.emit()

    def recall_limits(self, limits: dict[str, float]) -> None:
        """Take the limits that colours had with a pair, before it is loaded."""
        self.scale.fitted = limits
        self._recolour()

    def set_noise(self, noise: NoiseFloor) -> None:
        """Take the pair's noise floor: what lies below it has no colour, and is grey."""
        self.numbers.noise = noise
        self._recolour()

    def show_example(self, example: Example) -> None:
        """Put an example's texts in place; undo starts anew."""
        self.prompt.set_prompt(example.prompt)
        self.panels["A"].set_text(example.a)
        self.panels["B"].set_text(example.b)
        self._others_in_place()

    def put_texts(self, prompt: Prompt, a: str, b: str) -> None:
        """Put other texts in place, as one step of undo in each editor."""
        self.prompt.put_prompt(prompt)
        self.panels["A"].put_in(a)
        self.panels["B"].put_in(b)
        self._others_in_place()

    def fold_shared(self) -> None:
        """Show of what both responses begin with only the end, until the user wants to see it."""
        a, b = (panel.text() for panel in self.panels.values())
        shared = shared_prefix(a, b) if a != b else 0
        for panel in self.panels.values():
            panel.folding.fold(a[:shared])
        self._say_shared()

    @Slot()
    def _unfold(self) -> None:
        for panel in self.panels.values():
            panel.folding.unfold()

    def _say_shared(self) -> None:
        """Say how many tokens both responses begin with, once that is known."""
        ids = [it.tokens.ids for it in self.scorings().values()]
        shared = shared_prefix(*ids) if len(ids) == len(SIDES) else None
        for panel in self.panels.values():
            panel.show_shared(shared)

    def undo_to(self, prompt: Prompt, a: str, b: str, redo: bool = False) -> None:
        """Put texts in place that were there before (or, ``redo``, after), by the editors' undo."""
        self.prompt.undo_to(prompt, redo)
        self.panels["A"].undo_to(a, redo)
        self.panels["B"].undo_to(b, redo)
        self._others_in_place()

    def _others_in_place(self) -> None:
        """Forget what was known of the texts before, and ask about these."""
        self.focus_on.clear()
        self.numbers.alignment = None
        self._failed.clear()
        self._coloured = False
        self.by_checkpoint.forget_texts()
        self.problem.emit("")
        self._clear_chart()
        self.summary.show_numbers(None, None)
        self.verdict.show_verdict(Verdict(), fresh=True)
        self.texts_replaced.emit()
        self.scorer.ask_all()

    def ask(self, side: Side) -> None:
        """Ask for a side's scores, if a pair is loaded."""
        self.scorer.ask(side)

    def replace(self, side: Side, index: int, id: int) -> bool:
        """Put one token in place and keep the others; return False where that cannot be now."""
        return self.scorer.replace(side, index, id)

    def put_scored(self, side: Side, scoring: Scoring) -> None:
        """Put a scored response in the place of a side's, its very tokens, as one step of undo."""
        self.panels[side].swap_in(scoring.tokens.text, scoring.tokens.ids)
        self.put_into = self.panels[side].editor
        self.edited.emit()
        self.ask(side)

    def put_known(self, prompt: Prompt, responses: Mapping[Side, Reached]) -> None:
        """Put texts in place that were scored before, their very tokens, as one step of undo in
        each editor."""
        others = {side: it for side, it in responses.items() if it != self._reached(side)}
        other_prompt = prompt != self.prompt.prompt()
        if other_prompt:
            self.prompt.put_prompt(prompt)
        for side, it in others.items():
            self.panels[side].swap_in(it.text, it.ids)
            self.put_into = self.panels[side].editor
        if other_prompt:
            self._prompt_rested()
            return
        self.edited.emit()
        for side in others:
            self.ask(side)

    def _reached(self, side: Side) -> Reached:
        """Return a side's text, and its tokens if they are known."""
        scoring = self.scorings().get(side)
        text = self.panels[side].text()
        return Reached(text, scoring.tokens.ids if scoring is not None else None)

    def exchange(self) -> None:
        """Swap the two responses, tokens and all."""
        self.focus_on.clear()
        self._exchanging(self.scorer.exchange)

    def copy_a_to_b(self) -> None:
        """Make B the same as A, tokens and all."""
        self._exchanging(self.scorer.copy_a_to_b)

    def _exchanging(self, act: Callable[[], None]) -> None:
        before = [self.panels[side].text() for side in SIDES]
        act()
        self.exchanged.emit(*before)

    @Slot(str)
    def _typed(self, side: str) -> None:
        self.summary.setEnabled(False)
        self.verdict.set_fresh(False)
        self.edited.emit()

    @Slot()
    def _prompt_rested(self) -> None:
        for panel in self.panels.values():
            panel.fade()
        self._recolour()
        self.edited.emit()
        self.scorer.ask_all()

    # --- answers ----------------------------------------------------------------------------

    @Slot(object)
    def _scored(self, event: Scored) -> None:
        panel = self.panels[event.side]
        old = panel.scoring
        if not panel.take(event.id, event.scoring):
            return
        self.by_checkpoint.take(
            event.side, event.prompt_text, event.scoring, self.between_checkpoints()
        )
        if old is not None and panel.scoring is not None:
            self.focus_on.follow(event.side, old.tokens, panel.scoring.tokens)
        self._scored_last = event.side
        self._ask_reading()
        self._failed.discard(event.side)
        if not self._failed:
            self.problem.emit("")
        if self.numbers.align():
            self._align.start()
        self._colour()
        self._to_tell.append(event.side)
        self._tell.start()
        scoring = event.scoring
        total = scoring.computed + scoring.reused
        self.updated.emit(
            f"{event.side}: {1000 * scoring.seconds:.0f} ms, {scoring.computed} of {total} "
            f"tokens computed, at {time.strftime('%H:%M:%S')}"
        )

    @Slot()
    def _ask_reading(self) -> None:
        """Ask how the models read the prompt and the response scored last, if that is shown."""
        side = self._scored_last if self.prompt.raw.isChecked() else None
        if side is not None and self.scorer.has_pair:
            asked = self._client.ask(ReadTexts, side)
            asked.answered.connect(self._show_reading)

    def _show_reading(self, event: TextsRead) -> None:
        self.prompt.reading.show_reading(event.read)

    def show_checkpoint(self, index: int, frame: Frame) -> None:
        """Show what another checkpoint says, which is the policy now; texts and pins stay."""
        self.by_checkpoint.shown = index
        self.by_checkpoint.put(index, frame)
        for side, panel in self.panels.items():
            taken = side in frame and panel.take_again(frame[side])
            if not taken and panel.is_current():
                panel.fade()
                self.scorer.ask(side)
        self._recolour()

    def add_checkpoint(self, index: int, frame: Frame) -> None:
        """Take what a checkpoint that is not shown says: colours fit it too."""
        self.by_checkpoint.put(index, frame)
        before = self.numbers.colour_scale()
        self._fit_scale()
        if self.numbers.colour_scale() != before:
            self._recolour()
        self.recoloured.emit()

    def forget_checkpoint(self, index: int) -> None:
        """Drop what is known of a checkpoint whose files have been written anew."""
        self.by_checkpoint.forget_checkpoint(index)
        self.answers.forget_checkpoint(self.by_checkpoint.checkpoints[index].path)

    @Slot()
    def _say_coloured(self) -> None:
        for panel in self.panels.values():
            panel.editor.viewport().repaint()
        mark("first colours")
        self.first_colours.emit()
        QTimer.singleShot(0, self._import_chart)

    @Slot(str, str)
    def _score_failed(self, side: Side, message: str) -> None:
        panel = self.panels[side]
        panel.fade()
        panel.show_problem("not scored: see the notice above")
        self._failed.add(side)
        self._recolour()
        self.problem.emit(message)

    @Slot(str, str)
    def _show_unrecorded(self, side: Side, sentence: str) -> None:
        """Leave a text without colours that only the pair could score, and say so."""
        self.panels[side].show_unknown(sentence)
        self._failed.add(side)
        self.numbers.alignment = None
        self._unrecorded = sentence
        self._recolour()

    # --- colours and numbers ----------------------------------------------------------------

    @Slot()
    def _recolour(self) -> None:
        """Show all numbers anew, from what is known already."""
        self._colour()
        self._tell_now()

    def _colour(self) -> None:
        """Colour the tokens anew and note what the words cost."""
        numbers, beta = self.numbers, self.beta()
        numbers.colour()
        self._fit_scale()
        self._show_legend()
        known, scale = numbers.scored(), numbers.colour_scale()
        together = self._are_known()
        if together and not self._coloured:
            self._fade_in()
        shown = replace(scale, strength=self._strength())
        for side, panel in self.panels.items():
            panel.set_scale(shown)
            scoring = known.get(side)
            if scoring is None or not together:
                panel.show_sum(None)
                continue
            panel.paint(numbers.values[side], scale)
            panel.show_sum(numbers.credit, beta, numbers.noise)
        self._show_notes(known if together else {})

    def is_to_tell(self) -> bool:
        """Return whether something is still to be said about the colours that are shown."""
        return self._tell.isActive() or self.evidence.is_to_ask()

    @Slot()
    def _tell_now(self) -> None:
        """Say what the colours come to: the verdict, the chart, and who else follows them."""
        self._tell.stop()
        self._show_summary()
        self._say_shared()
        self.focus_on.refresh()
        if self.chart is not None and not self._draw.isActive():
            self._draw.start()
        self.recoloured.emit()
        sides, self._to_tell = self._to_tell, []
        for side in sides:
            self.scored.emit(side)

    def _show_notes(self, known: Mapping[Side, Scoring]) -> None:
        """Write above the words that cost most what they cost, where rewards are shown."""
        found: tuple[Word, ...] = ()
        numbers = self.numbers
        if self.controls.measure() is REWARD and sum(map(len, known.values())) <= MOST_NOTED:
            found = worst_words(known, self.beta(), numbers.credit, numbers.noise)
        notes = [
            (word.side, Note(word.rows, signed(word.total, 1), ring=word is found[0]))
            for word in found
        ]
        for side, panel in self.panels.items():
            panel.editor.set_notes(tuple(note for of, note in notes if of == side))

    def _are_known(self) -> bool:
        """Return whether both responses have numbers, or cannot have any: they appear together."""
        return all(
            panel.scoring is not None or side in self._failed for side, panel in self.panels.items()
        )

    def _strength(self) -> float:
        """Return the share of their colour that tokens have."""
        running = self._fade.state() == QVariantAnimation.State.Running
        return float(self._fade.currentValue()) if running else 1.0

    def _fade_in(self) -> None:
        """Let the first colours of texts come softly; at once where nothing is to move."""
        self._coloured = True
        wanted = theme.motion(FADE_MS)
        if wanted > 0 and self.isVisible():
            self._fade.setDuration(wanted)
            self._fade.start()
        if not self._begun:
            self._begun = True
            QTimer.singleShot(0, self._say_coloured)

    @Slot()
    def _show_fade(self) -> None:
        shown = replace(self.numbers.colour_scale(), strength=self._strength())
        for panel in self.panels.values():
            panel.set_scale(shown)

    def _fit_scale(self) -> None:
        """Fit the colours to what is shown first and to the run's other checkpoints."""
        before = dict(self.scale.fitted)
        count = self.numbers.fit_scale(self._are_known())
        self.controls.legend.set_note(compared_words(count))
        if self.scale.fitted != before:
            self.fitted.emit(dict(self.scale.fitted))

    @Slot()
    def _show_chart(self) -> None:
        if self.chart is None:
            return
        others = (one for side in SIDES for one in self.by_checkpoint.of(side).values())
        credit, unit = self.numbers.credit, self.controls.unit()
        self.chart.set_room([bars(credit.of(one, self.beta()), one, unit).values for one in others])
        self.chart.set_what("token" if unit == "token" else "word")
        self.chart.set_unit(credit.unit(self.known_beta()))
        self.chart.set_symbol(credit.symbol)
        self.q_function.show_chart()
        shown = self.numbers.bars()
        beta, alignment = self.beta(), self.numbers.alignment
        drawn = {side: (it.scoring, beta, unit, alignment) for side, it in self.panels.items()}
        changed = [side for side in SIDES if self._drawn.get(side) != drawn[side]]
        self._drawn |= drawn
        for side in changed:
            it = shown.get(side, NO_BARS)
            self.chart.set_series(side, it.values, it.labels, it.places, it.rows, draw=False)
        self.chart.put_under(self._places_of_b(shown.get("B")), draw=bool(changed))
        self.focus_on.mark_again()

    def _places_of_b(self, shown: Bars | None) -> "NDArray[np.float64] | None":
        """Return where B's words stand over the chart, as it takes them; None where they are not
        in one line over it, from left to right, or A has many more."""
        editor = self.panels["B"].editor
        lines = editor.document().documentLayout().documentSize().height()
        beside = self.editors.orientation() == Qt.Orientation.Horizontal
        if self.chart is None or shown is None or lines > 1 or beside:
            return None
        plot = self.chart.plot.viewport()
        away = editor.viewport().mapTo(self, QPoint()).x() - plot.mapTo(self, QPoint()).x()
        spans = np.full((self.chart.columns(), 2), np.nan)
        for token, bar in enumerate(shown.rows.tolist()):
            for rect in editor.token_rects(token):
                span, ends = spans[shown.places[bar]], (rect.left(), rect.right() + 1)
                span[:] = np.fmin(span[0], ends[0] + away), np.fmax(span[1], ends[1] + away)
        there = spans[~np.isnan(spans[:, 0])]
        mostly = len(there) > MOSTLY * len(spans)
        return spans if mostly and (np.diff(there[:, 0]) > 0).all() else None

    def _clear_chart(self) -> None:
        self._drawn.clear()
        if self.chart is not None:
            self.chart.clear()
        self.q_function.show_chart()

    def _show_summary(self) -> None:
        fresh = self.scorings()
        self.summary.setEnabled(len(fresh) == 2)
        numbers = self.numbers
        known = {side: it.scoring for side, it in self.panels.items() if it.scoring is not None}
        said = verdict(known, numbers.alignment, self.known_beta(), numbers.credit, numbers.noise)
        if len(known) < 2 and self._failed and self._unrecorded:
            said = Verdict(self._unrecorded)
        unrecorded = said.headline == self._unrecorded != ""
        self.verdict.show_verdict(said, fresh=unrecorded or len(fresh) == 2)
        self._look_for_evidence(said, fresh)
        if len(known) < 2:
            self.summary.show_numbers(None, None)
            return
        a, b = known["A"], known["B"]
        pairs, beta, noise = self.numbers.alignment, self.beta(), self.noise
        credit = self.numbers.credit
        parts = split(a, b, pairs, beta, credit) if pairs is not None else None
        floors = pair_noise(a, b, beta, noise, credit)
        found = pair_numbers(a, b, self.known_beta(), credit)
        self.summary.show_numbers(found, parts, floors, noise)

    def _look_for_evidence(self, said: Verdict, fresh: Mapping[Side, Scoring]) -> None:
        """Look for what the verdict's word depends on; while a text is edited, for nothing."""
        word = said.word if len(fresh) == 2 else None
        asked = None
        if word is not None:
            asked = Asked(self.prompt.prompt(), fresh[word.side], word)
        self.evidence.look(asked)
        self._show_evidence()

    @Slot()
    def _show_evidence(self) -> None:
        numbers = self.numbers
        found = self.evidence.found(self.beta(), numbers.credit, numbers.noise)
        self.prompt.show_evidence(found)
        self.verdict.show_evidence(in_short(found))

    @Slot()
    def _align_now(self) -> None:
        self.numbers.align_long()
        self._recolour()

    def _show_legend(self) -> None:
        measure = self.controls.measure()
        self.controls.legend.set_scale(self.numbers.colour_scale(), negative=measure.at_most_zero)
        self.controls.legend.set_known(self.scale.is_fitted(measure))
        self.controls.legend.set_locked(self.scale.locked)

    @Slot(object)
    def _beta_changed(self, beta: float | None) -> None:
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

    @Slot()
    def _fit_anew(self) -> None:
        self.scale.forget(self.controls.measure())
        self._recolour()

    @Slot(bool)
    def _swap_changed(self, on: bool) -> None:
        self.scale.swap = on
        self._recolour()

    # --- looks ------------------------------------------------------------------------------

    @Slot()
    def _import_chart(self) -> None:
        """Import the chart's library; not before the first colours, as it takes a while."""
        from app.gentle_import import import_then

        import_then("pyqtgraph", self, self._chart_imported)

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
        self.chart.resized.connect(self._draw.start)
        layout = self.panels["B"].editor.document().documentLayout()
        layout.documentSizeChanged.connect(self._draw.start)
        self.chart.set_theme(self.scale.dark)
        self._show_chart()
        self.q_function.add_choice(self.chart)

    @Slot(str, int, bool)
    def _looked_at(self, side: str, index: int, pinned: bool) -> None:
        self.show_inspector(pinned)
        if pinned:
            QTimer.singleShot(0, self._reveal_pinned)  # the inspector has its place then

    @Slot()
    def _reveal_pinned(self) -> None:
        """Scroll to the pinned token where it is out of sight, or under the inspector."""
        if self.focus_on.pinned is None:
            return
        side, index = self.focus_on.pinned
        editor = self.panels[side].editor
        seen = editor.viewport().rect()
        if self.inspector.isVisible():
            below = self.inspector.mapTo(self, QPoint()) - editor.viewport().mapTo(self, QPoint())
            seen.setBottom(min(seen.bottom(), below.y()))
        bar, line = editor.verticalScrollBar(), editor.fontMetrics().lineSpacing()
        above = seen.height() // (2 * line)  # lines that stay above it
        for _ in range(TRIES):
            rects = editor.token_rects(index)
            if not rects or seen.contains(rects[0]):
                return
            if rects[0].top() < 0 and bar.value() == bar.minimum():
                self.panels[side].folding.unfold()
            bar.setValue(bar.value() + rects[0].top() // line - above)

    @Slot()
    def _looked_away(self) -> None:
        self.show_inspector(False)

    @Slot(object)
    def _make_edit(self, edit: Edit) -> None:
        """Put the verdict's edit in place, as one step of undo."""
        panel = self.panels[edit.side]
        text = panel.text()
        if text[edit.start : edit.stop] != edit.old:
            return  # typed on meanwhile
        panel.swap_in(text[: edit.start] + edit.new + text[edit.stop :], None)
        self.put_into = panel.editor
        self._typed(edit.side)
        self.ask(edit.side)

    @Slot(str, int)
    def _mark_chart(self, side: str, index: int) -> None:
        if self.chart is not None:
            self.chart.highlight(side, index)

    def set_dark(self, dark: bool) -> None:
        """Show light or dark colours."""
        self.scale.dark = dark
        for panel in self.panels.values():
            panel.set_dark(dark)
        if self.chart is not None:
            self.chart.set_theme(dark)
        self.q_function.set_dark(dark)
        self._ask_reading()
        self._recolour()


def _source(info: PairInfo, beta: float | None) -> str:
    """Return where a pair's beta is from, for people; "" if it is the user's."""
    said = info.provenance.sources.get("beta", "")
    return f"From {said}." if said and beta in (None, info.provenance.beta) else ""
