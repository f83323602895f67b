"""The numbers that the credit view's panels show, shared by all its parts.

What is scored, what equals what, and how it is coloured, as the controls say. Knows the panels and
the controls as widgets that hold texts and choices; asks for nothing and draws nothing.
"""

from collections.abc import Mapping

from app.credit.controls import Controls
from app.credit.prompt_panel import PromptPanel
from app.credit.response_panel import ResponsePanel
from app.credit.scale import ScaleChoice
from app.widgets.colour_scale import ColourScale
from core.engine.protocol import Side, StateRef
from core.noise import NOISELESS
from core.present.by_checkpoint import ScoringsByCheckpoint, Values
from core.present.columns import Bars, bars, side_by_side
from core.present.credit import IMPLICIT
from core.present.measures import REWARD, shown
from core.present.token_facts import Fact, colour_fact
from core.present.units import Floats, groups, roll_up
from core.present.why import why
from core.scoring import Inspection, Scoring
from core.text import Alignment, align

QUICK_TO_ALIGN = 250_000
"""Tokens of A times those of B up to which they are aligned at once."""


class CreditNumbers:
    """What is known of the two responses on the screen."""

    def __init__(
        self, prompt: PromptPanel, panels: dict[Side, ResponsePanel], controls: Controls
    ) -> None:
        self._prompt, self.panels, self._controls = prompt, panels, controls
        self.by_checkpoint = ScoringsByCheckpoint()
        self.scale = ScaleChoice()
        self.noise = NOISELESS
        self.alignment: Alignment | None = None
        """Of A and B; None while it is not known."""
        self.values: dict[Side, Floats] = {}
        """What the tokens of each side are coloured by."""
        self.credit = IMPLICIT
        """What sums are made of, by the pair's training."""

    def beta(self) -> float:
        """Return what log-ratios are multiplied by: beta, as the controls say; 1 for none."""
        return self.known_beta() or 1.0

    def known_beta(self) -> float | None:
        """Return beta, as the controls say; None where it is not known."""
        return self._controls.beta.beta()

    def checkpoint(self) -> str:
        """Return the path of the run's checkpoint that is shown; "" for a pair of no run."""
        run = self.by_checkpoint
        return run.checkpoints[run.shown].path if run.checkpoints else ""

    def scored(self) -> dict[Side, Scoring]:
        """Return the scorings that the panels show, those of texts before an edit too."""
        return {s: p.scoring for s, p in self.panels.items() if p.scoring is not None}

    def scorings(self) -> dict[Side, Scoring]:
        """Return the scorings that are of the texts on the screen."""
        return {s: it for s, it in self.scored().items() if self.panels[s].is_current()}

    def state(self, side: Side, index: int) -> StateRef | None:
        """Return the state before a token; None where there is no such token."""
        scoring = self.panels[side].scoring
        if scoring is None or not 0 <= index < len(scoring):
            return None
        return StateRef.before(scoring, index, self._prompt.prompt())

    def by_step(self, side: Side) -> tuple[tuple[int, Scoring], ...]:
        """Return a side's scorings by the run's steps, ascending, up to the one that is shown."""
        run = self.by_checkpoint
        known = sorted(index for index in run.of(side) if index <= run.shown)
        return tuple((run.checkpoints[index].step, run.of(side)[index]) for index in known)

    # --- one token --------------------------------------------------------------------------

    def partner(self, side: Side, index: int) -> int:
        """Return the equal token of the other response, or -1."""
        if self.alignment is None:
            return -1
        a, b = (panel.scoring for panel in self.panels.values())
        own, other = (a, b) if side == "A" else (b, a)
        if own is not None and other is not None and index >= len(own.tokens):
            there = len(other.tokens) + index - len(own.tokens)
            return there if there < len(other) else -1
        here = 0 if side == "A" else 1
        return next((p[1 - here] for p in self.alignment.pairs if p[here] == index), -1)

    def group_sum(self, side: Side, index: int) -> tuple[str, float, int]:
        """Return the unit that a token is coloured by, its sum and over how many tokens; "" for
        single tokens."""
        unit, scoring = self._controls.unit(), self.panels[side].scoring
        if unit == "token" or scoring is None:
            return "", 0.0, 1
        group = groups(scoring.tokens, unit, len(scoring))
        sums = roll_up(self.credit.of(scoring, self.beta()), group)
        return unit, float(sums[index]), int((group == group[index]).sum())

    def why(self, side: Side, index: int, inspection: Inspection | None) -> tuple[str, ...]:
        """Return sentences on why a token has its colour; ``inspection``: of the state before it,
        if that is known."""
        scoring = self.panels[side].scoring
        if scoring is None or not 0 <= index < len(scoring):
            return ()
        beta, steps = self.known_beta(), self.by_step(side)
        return why(scoring, index, beta, self.credit, self.noise, inspection, steps)

    def colour_fact(self, side: Side, index: int) -> Fact | None:
        """Return the number behind a token's colour; None where that is its reward, or unknown."""
        measure, unit = self._controls.measure(), self._controls.unit()
        values = self.values.get(side)
        if values is None or index >= len(values) or (measure is REWARD and unit == "token"):
            return None
        return colour_fact(measure, unit, float(values[index]), self.known_beta())

    def bars(self) -> dict[Side, Bars]:
        """Return the chart's bars, of A and B in the same columns where they are the same."""
        unit, beta = self._controls.unit(), self.beta()
        known = self.scored()
        found = {side: bars(self.credit.of(it, beta), it, unit) for side, it in known.items()}
        if len(found) == 2 and self.alignment is not None:
            lengths = len(known["A"].tokens), len(known["B"].tokens)
            a, b = side_by_side(found["A"], found["B"], self.alignment, lengths)
            return {"A": a, "B": b}
        return found

    # --- all of them ------------------------------------------------------------------------

    def align(self) -> bool:
        """Align A and B anew; return whether that is still to be done, as it takes a while.

        Then ``align_long`` does it, once typing rests.
        """
        self.alignment = None
        known = self.scored()
        if len(known) < 2:
            return False
        a, b = known["A"], known["B"]
        if len(a) * len(b) >= QUICK_TO_ALIGN:
            return True
        self.alignment = align(a.tokens, b.tokens)
        return False

    def align_long(self) -> None:
        """Align A and B, however long they are."""
        known = self.scored()
        if len(known) == 2:
            a, b = known["A"], known["B"]
            self.alignment = align(a.tokens, b.tokens)

    def colour(self) -> None:
        """Compute what the tokens are coloured by, as the controls say."""
        measure, unit, beta = self._controls.measure(), self._controls.unit(), self.beta()
        self.values = shown(measure, unit, beta, self.scored(), self.alignment, self.noise)
        self.scale.floor = float(self.noise.of_rewards(beta))

    def values_by_checkpoint(self) -> Mapping[int, Values]:
        """Return what each known checkpoint's tokens are coloured by, as the controls say."""
        measure, unit = self._controls.measure(), self._controls.unit()
        return self.by_checkpoint.values(measure, unit, self.beta(), self.alignment, self.noise)

    def fit_scale(self, together: bool) -> int:
        """Fit the colours to the first responses and to the run's checkpoints; return how many.

        Until both responses are known ``together`` nothing is fitted.
        """
        states = [[*values.values()] for values in self.values_by_checkpoint().values()]
        values = [*self.values.values()] if together else []
        over = f"{self._controls.unit()} {self.beta():.6g}"
        self.scale.fit_once(self._controls.measure(), over, values, *states)
        return len(states)

    def colour_scale(self) -> ColourScale:
        """Return the scale that the editors are coloured on."""
        return self.scale.scale(self._controls.measure())

    def reward_scale(self) -> ColourScale:
        """Return the scale for rewards, whatever the editors are coloured by."""
        return self.scale.scale(REWARD)
