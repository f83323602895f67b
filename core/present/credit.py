"""What a response's sum is made of, token by token, and what it is called: as its loss has it.

Of DPO and its like the implicit rewards; of a loss with means or without a reference each token's
share of the score; where a loss gives tokens no share the implicit rewards again, and where there
is no reference either, log π. Knows scorings, beta and losses; knows nothing of widgets.
"""

from dataclasses import dataclass

from core.losses import UNNAMED, TrainingLoss
from core.scoring import Floats, Scoring


@dataclass(frozen=True, slots=True)
class Credit:
    """How the sums of responses are made of their tokens, for one training and one pair."""

    objective: TrainingLoss = UNNAMED
    alone: bool = False
    """Whether there is no reference."""

    @property
    def _kind(self) -> str:
        main = self.objective.main
        if self.alone and main.reference:
            return "likelihood"
        if not self.objective.additive or self.objective.ld_alpha is not None:
            return "likelihood" if self.alone else "reward"
        if main.kind == "none":
            return "ratio"
        return "reward" if main.reference and main.kind == "sum" else "score"

    @property
    def symbol(self) -> str:
        """Return what the sum of a response is called."""
        names = {"likelihood": "Σ log π", "reward": "Σr", "ratio": "Σ log π/π_ref"}
        return names.get(self._kind, "score")

    @property
    def title(self) -> str:
        """Return what the chart of its tokens is called."""
        names = {"likelihood": "log π", "reward": "Implicit reward", "ratio": "log π/π_ref"}
        return names.get(self._kind, "Share of the score")

    @property
    def prefers(self) -> bool:
        """Whether σ of the margin of two responses is a probability, once beta is known."""
        main = self.objective.main
        return main.reference and main.scaled and main.compares and not self.alone

    @property
    def blames(self) -> bool:
        """Whether a token's sign says what was taught, not only how likely the token is."""
        return self._kind in ("reward", "ratio") or (
            self._kind == "score" and self.objective.main.reference
        )

    @property
    def has_loss(self) -> bool:
        """Whether the loss of two responses can be known of this pair."""
        return not (self.alone and self.objective.main.reference)

    @property
    def of_pairs(self) -> str:
        """Return what a response's number is called where two are compared."""
        main, objective = self.objective.main, self.objective
        scored = main.kind != "none" and not objective.mixed and not (self.alone and main.reference)
        plain = self._kind == "reward" and objective.additive and objective.ld_alpha is None
        return "score" if scored and not plain else self.symbol

    @property
    def meaning(self) -> str:
        """Return what that sum is, without a full stop."""
        why = "" if self.objective.main.reference else f"; {self.objective.title} has no reference"
        meanings = {
            "likelihood": f"the log-likelihood under the policy alone, in nats{why}",
            "reward": "the sum of its implicit rewards",
            "ratio": "the sum of its log-ratios, in nats",
        }
        main = self.objective.main
        return meanings.get(self._kind, f"{main.score}, as {self.objective.title} scores it")

    @property
    def of_pairs_meaning(self) -> str:
        """Return what that number is, without a full stop."""
        if self.of_pairs != "score":
            return self.meaning
        return f"{self.objective.main.score}, as {self.objective.title} scores it"

    @property
    def parts_cancel(self) -> bool:
        """Whether equal tokens before an edit add the same to both sums."""
        return self._kind != "score" or self.objective.main.kind == "sum"

    def of(self, scoring: Scoring, beta: float) -> Floats:
        """Return what each token adds to its response's sum, [n]."""
        if self._kind == "likelihood":
            return scoring.logp_policy
        known = UNNAMED if self._kind == "reward" else self.objective
        found = known.rewards(scoring.logps, beta)
        assert found is not None, "there is a reference, or the loss needs none"
        return found

    def scale(self, beta: float, count: int = 1) -> float:
        """Return by what a token's log-prob or log-ratio is multiplied, of ``count`` tokens."""
        if self._kind == "reward":
            return beta
        if self._kind != "score":
            return 1.0
        main = self.objective.main
        return (beta if main.scaled else 1.0) / (count if main.kind == "mean" else 1)

    def unit(self, beta: float | None) -> str:
        """Return the unit of sums and of what tokens add to them."""
        scaled = self._kind == "reward" or (self._kind == "score" and self.objective.main.scaled)
        return "β·nats" if scaled and beta is not None else "nats"


IMPLICIT = Credit()
"""Of a pair whose training's loss is not known: the implicit rewards."""
