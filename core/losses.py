"""What a training's loss makes of a response's log-probs: its score, its tokens' shares, its loss.

One record per loss, in LOSSES; the formulas are those of TRL 1.16 (dpo_trainer, kto_trainer,
grpo_trainer, experimental cpo, orpo and tpo). A record says what is scored; ``TrainingLoss`` joins
it with the parameters of one training and computes. Everything is in nats, times beta where the
loss has it; where beta is not known (None) it is left out, so that numbers are in nats of log-prob.

What it does not know: other responses of a batch (kto, aot and WPO need them), the prompt's own
log-probs (ORPO's likelihood term needs them) and any reward from outside (grpo, ppo). What needs
these is None.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import UserFacingError
from core.quantities import KL_REVERSE

Array = NDArray[np.float64]

EQ_16 = f"E_π_ref[r] = −β {KL_REVERSE} ≤ 0"
F_DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")
"""The regularisers of DPO, as TRL names them; the first is the usual one."""
OF_SUMS = f"{EQ_16}, of the sums that are logged; of the means that are trained it says nothing"


class Response(NamedTuple):
    """Log-probs of a response's tokens, the closing token among them, [n] each."""

    policy: Array
    reference: Array | None


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss. Of x = log π − log π_ref of each token, or log π where there is no reference."""

    name: str
    """As trainers write it."""
    title: str
    score: str
    """A response's score, in symbols; "" where the loss scores none."""
    source: str
    kind: Literal["sum", "mean", "log-odds", "none"] = "sum"
    """What is scored of all x of a response."""
    reference: bool = True
    scaled: bool = True
    """Whether the score is times beta."""
    pair: "Callable[[float, float, TrainingLoss, float], float] | None" = None
    """The loss of a pair from chosen's and rejected's scores without beta, and beta; None where it
    is not of one pair."""
    compares: bool = True
    """Whether it trains the difference of the two scores of a pair."""
    eq_16: str = EQ_16
    """What Eq. 16 says of the rewards that are logged; "" for nothing."""
    note: str = ""
    """What is unlike DPO, one sentence."""


@lru_cache
def _main(losses: tuple[str, ...]) -> Loss:
    found = [LOSSES[name] for name in losses]
    return next((loss for loss in found if loss.name != "sft"), found[0] if found else UNKNOWN)


@dataclass(frozen=True, slots=True)
class TrainingLoss:
    """What a policy was trained to minimise. Parameters that nobody named are TRL's defaults."""

    losses: tuple[str, ...] = ()
    """Names in LOSSES; none: not known."""
    weights: tuple[float, ...] = ()
    """Of the losses; none: 1 each."""
    gamma: float = 0.5
    """The target margin of simpo and tpo-l."""
    label_smoothing: float = 0.0
    ld_alpha: float | None = None
    """The weight of tokens beyond the shorter response's length (LD-DPO); None: not used."""
    f_divergence: str = "reverse_kl"
    f_alpha: float = 0.5
    shape_alpha: float = 0.0
    """AlphaPO's alpha; 0: not used."""
    discopop_tau: float = 0.05
    weighting: bool = False
    """Whether pairs are weighted by their likelihood (WPO)."""
    synced: bool = False
    """Whether the reference follows the policy (TR-DPO, sync_ref_model)."""

    @property
    def name(self) -> str:
        """Return the losses as trainers write them, joined by +; "" if they are not known."""
        return "+".join(self.losses)

    @property
    def main(self) -> Loss:
        """Return the loss that says how responses are scored; UNKNOWN if none is known."""
        return _main(self.losses)

    @property
    def reference_free(self) -> bool:
        """Whether it trains on preferences without a reference."""
        return self.main.compares and not self.main.reference

    @property
    def title(self) -> str:
        """Return the losses in words, with what was changed of them."""
        words = " + ".join(LOSSES[name].title for name in self.losses) or UNKNOWN.title
        changed = [
            (self.main.name in WITH_MARGIN, f"γ = {self.gamma:g}"),
            (self.label_smoothing, f"label smoothing {self.label_smoothing:g}"),
            (self.ld_alpha is not None, f"ld_alpha {self.ld_alpha}"),
            (self.f_divergence != "reverse_kl", self.f_divergence),
            (self.shape_alpha, f"AlphaPO's alpha {self.shape_alpha:g}"),
            (self.weighting, "WPO"),
            (self.synced, "synced reference"),
        ]
        said = ", ".join(text for there, text in changed if there)
        return f"{words} ({said})" if said else words

    @property
    def eq_16(self) -> str:
        """Return what Eq. 16 says of the rewards that such a training logs; "" for nothing."""
        words = self.main.eq_16
        if words and self.ld_alpha is not None:
            words = f"{words}, each token weighted as ld_alpha does"
        if words and self.synced:
            words = f"{words}, with the reference of that step"
        return words

    @property
    def note(self) -> str:
        """Return what is unlike DPO, in sentences; "" for nothing."""
        said = [self.main.note]
        if self.mixed:
            said.append("Its losses score a response in different ways, so it has no one score.")
        if self.f_divergence != "reverse_kl":
            said.append(
                f"The {self.f_divergence} regulariser takes the whole response's ratio: the score "
                f"is no sum over tokens."
            )
        if self.shape_alpha:
            said.append("AlphaPO bends the whole response's likelihood: no sum over tokens.")
        if self.ld_alpha is not None:
            said.append(
                f"Tokens beyond the shorter response's length count {self.ld_alpha:g} times, in "
                f"the logged rewards and log-probs too."
            )
        if self.weighting:
            said.append("WPO weights each pair by its likelihood: the loss shown is without it.")
        if self.synced:
            said.append("The reference followed the policy: the right one is that of the step.")
        return " ".join(filter(None, said))

    @property
    def mixed(self) -> bool:
        """Whether its losses score a response in different ways."""
        parts = [LOSSES[name] for name in self.losses if name != "sft"]
        return len({(part.kind, part.scaled, part.reference) for part in parts}) > 1

    def score(
        self, response: Response, beta: float | None, other: int | None = None
    ) -> float | None:
        """Return a response's score, as its loss compares it; None where there is none.

        ``other``: how many tokens the other response of its pair has, which ld_alpha needs.
        """
        bare = None if self.mixed else self._bare(self.main, response, other)
        return None if bare is None else self._scale(beta) * bare

    def rewards(
        self, response: Response, beta: float | None, other: int | None = None
    ) -> Array | None:
        """Return each token's share of the score, [n], whose sum it is; None where it has none.

        Where the loss has no score (grpo, ppo, several that differ), the log-ratios.
        """
        x, loss = self._weighted(self.main, response, other), self.main
        if x is None or not self.additive:
            return None
        share = self._scale(beta) * x
        return share / len(x) if loss.kind == "mean" else share

    @property
    def additive(self) -> bool:
        """Whether the score is a sum over tokens."""
        bent = self.shape_alpha or self.f_divergence != "reverse_kl" or self.mixed
        return not bent and self.main.kind != "log-odds"

    def logged(
        self, response: Response, beta: float | None, other: int | None = None
    ) -> float | None:
        """Return the reward that TRL logs of a response; None where it logs none.

        With a reference it is beta Σ (log π − log π_ref), also where the loss takes a mean; without
        one beta Σ log π, or beta times the mean where the trainer takes one.
        """
        x, loss = self._weighted(self.main, response, other), self.main
        if x is None or loss.kind == "none":
            return None
        bare = float(np.sum(x) if loss.reference or loss.kind == "sum" else np.mean(x))
        return (1.0 if beta is None else beta) * (bare if loss.reference else self._alphapo(bare))

    def margin(self, chosen: Response, rejected: Response, beta: float | None) -> float | None:
        """Return the difference of the two scores; None where the loss does not train it."""
        if not self.main.compares:
            return None
        first = self.score(chosen, beta, len(rejected.policy))
        second = self.score(rejected, beta, len(chosen.policy))
        return None if first is None or second is None else first - second

    def loss(self, chosen: Response, rejected: Response, beta: float | None) -> float | None:
        """Return the loss of a pair by itself; None where it is not of one pair, or not known.

        The likelihood terms that CPO, TPO, SimPO and ORPO add are left out.
        """
        if beta is None or self.weighting:
            return None
        parts = [LOSSES[name] for name in self.losses] or [UNKNOWN]
        total = 0.0
        for part, weight in zip(parts, self.weights or (1.0,) * len(parts), strict=True):
            first = self._bare(part, chosen, len(rejected.policy))
            second = self._bare(part, rejected, len(chosen.policy))
            if part.pair is None or first is None or second is None:
                return None
            with np.errstate(all="ignore"):
                total += weight * float(part.pair(first, second, self, beta))
        return total if np.isfinite(total) else None

    def _scale(self, beta: float | None) -> float:
        return beta if self.main.scaled and beta is not None else 1.0

    def _weighted(self, loss: Loss, response: Response, other: int | None) -> Array | None:
        """Return x of each token, [n], as ld_alpha weights it."""
        if not loss.reference:
            return response.policy
        if response.reference is None:
            return None
        x: Array = response.policy - response.reference
        if self.ld_alpha is None:
            return x
        return None if other is None else np.where(np.arange(len(x)) < other, x, self.ld_alpha * x)

    def _bare(self, loss: Loss, response: Response, other: int | None) -> float | None:
        """Return a loss's score of a response without beta."""
        x = self._weighted(loss, response, other)
        if x is None or loss.kind == "none":
            return None
        mean = loss.kind != "sum"
        if loss.reference:
            score = _f_prime(float(np.sum(x)), self.f_divergence, self.f_alpha)
            return score / len(x) if mean else score
        score = float(np.mean(x) if mean else np.sum(x))
        if loss.kind == "log-odds":
            return score - float(np.log(-np.expm1(score))) if score < 0 else None
        return self._alphapo(score)

    def _alphapo(self, logp: float) -> float:
        """Return AlphaPO's reward (1 − p^−α)/α of a log-likelihood; itself where α is 0."""
        if not self.shape_alpha:
            return logp
        return float(-np.expm1(-self.shape_alpha * logp)) / self.shape_alpha


def _f_prime(u: float, divergence: str, alpha: float) -> float:
    """Return f′ of a response's ratio exp(u): its score without beta under an f-divergence."""
    if divergence == "forward_kl":
        return -float(np.expm1(-u))
    if divergence == "js_divergence":
        return float(np.log(2) - np.logaddexp(0.0, -u))
    if divergence == "alpha_divergence" and abs(alpha - 1) >= 1e-6:
        return float(np.expm1(min((alpha - 1) * u, 80.0))) / (alpha - 1)  # TRL's own bound
    return u


UNNAMED = TrainingLoss()
"""Of a training whose loss is not known; its rewards are the implicit ones."""

# --- losses of a pair: chosen's and rejected's scores without beta, the objective, beta -------


def _nls(x: float) -> float:
    """Return −log σ(x)."""
    return float(np.logaddexp(0.0, -x))


def _sigma(x: float) -> float:
    return float(np.exp(-np.logaddexp(0.0, -x)))


def _smoothed(x: float, epsilon: float) -> float:
    return (1 - epsilon) * _nls(x) + epsilon * _nls(-x)


def _sigmoid(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return _nls(beta * (c - r))


def _hinge(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return max(0.0, 1 - beta * (c - r))


def _ipo(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return (c - r - 1 / (2 * beta)) ** 2


def _exo(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    d, e = beta * (c - r), o.label_smoothing
    return _sigma(d) * (-_nls(d) - float(np.log1p(-e))) + _sigma(-d) * (
        -_nls(-d) - float(np.log(np.float64(e)))
    )


def _nca(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return _nls(beta * c) + 0.5 * _nls(-beta * c) + 0.5 * _nls(-beta * r)


def _robust(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    d, e = beta * (c - r), o.label_smoothing
    return ((1 - e) * _nls(d) - e * _nls(-d)) / (1 - 2 * e)


def _bco(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return _nls(beta * c) + _nls(-beta * r)


def _sppo(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return (c - 0.5 / beta) ** 2 + (r + 0.5 / beta) ** 2


def _apo_zero(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return _sigma(-beta * c) + _sigma(beta * r)


def _apo_down(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return _sigma(beta * c) + _sigma(-beta * (c - r))


def _discopop(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    d = beta * (c - r)
    share = _sigma(d / o.discopop_tau)
    return _nls(d) * (1 - share) + float(np.exp(-d)) * share


def _likelihood(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return -c


def _cpo(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return _smoothed(beta * (c - r), o.label_smoothing)


def _simpo(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return _smoothed(beta * (c - r) - o.gamma, o.label_smoothing)


def _orpo(c: float, r: float, o: TrainingLoss, beta: float) -> float:
    return beta * _nls(c - r)


# --- the losses -------------------------------------------------------------------------------

RATIO = "β Σ log(π/π_ref)"
MEAN = "mean log(π/π_ref)"
BATCH = "Sorted over a batch, the responses it compares are not those of one pair."
LIKELIHOOD = "The likelihood term that the trainer may add is not in the loss shown."
OUTSIDE = (
    "The rewards are from outside; log(π/π_ref) is a shaped reward only at the optimum of the "
    "KL-regularised objective (Eq. 10)."
)
WITH_MARGIN = ("simpo", "tpo-l")

UNKNOWN = Loss(
    "", "the loss is not known", RATIO, "arXiv 2404.12358, Eq. 11", pair=_sigmoid, eq_16="",
    note="The training's loss is not known: what is shown is what DPO would make of it.",
)  # fmt: skip
"""In place of a loss that nobody names: the implicit reward, and DPO's loss of it."""

_ALL = (
    Loss("sigmoid", "DPO", RATIO, "arXiv 2305.18290, Eq. 7", pair=_sigmoid),
    Loss("hinge", "SLiC hinge", RATIO, "arXiv 2305.10425", pair=_hinge),
    Loss("cdpo", "conservative DPO", RATIO, "ericmitchell.ai/cdpo.pdf", pair=_cpo),
    Loss("robust", "robust DPO", RATIO, "arXiv 2403.00409", pair=_robust),
    Loss("exo_pair", "EXO", RATIO, "arXiv 2402.00856, Eq. 16", pair=_exo),
    Loss("nca_pair", "NCA", RATIO, "arXiv 2402.05369", pair=_nca),
    Loss("bco_pair", "BCO", RATIO, "arXiv 2404.04656", pair=_bco),
    Loss("sppo_hard", "SPPO", RATIO, "arXiv 2405.00675, Eq. 4.7", pair=_sppo),
    Loss("apo_zero", "APO-zero", RATIO, "arXiv 2408.06266, Eq. 7", pair=_apo_zero),
    Loss("apo_down", "APO-down", RATIO, "arXiv 2408.06266, Eq. 8", pair=_apo_down),
    Loss("discopop", "DiscoPOP", RATIO, "arXiv 2406.08414, Eq. 5", pair=_discopop),
    Loss("aot", "AOT", RATIO, "arXiv 2406.05882", compares=False, note=BATCH),
    Loss("aot_unpaired", "AOT, unpaired", RATIO, "arXiv 2406.05882", compares=False, note=BATCH),
    Loss(
        "ipo", "IPO", MEAN, "arXiv 2310.12036, Eq. 17", "mean", scaled=False, pair=_ipo,
        eq_16=OF_SUMS, note="It takes means over tokens, and wants a margin of 1/(2β).",
    ),
    Loss(
        "sigmoid_norm", "length-normalised DPO", f"β {MEAN}", "arXiv 2411.15124", "mean",
        pair=_sigmoid, eq_16=OF_SUMS, note="It takes means over tokens.",
    ),
    Loss(
        "kto", "KTO", RATIO, "arXiv 2402.01306, Eq. 7",
        note="It trains single responses against β times the KL of a batch, the same for all of "
        "them, and knows no pair.",
    ),
    Loss(
        "apo_zero_unpaired", "APO-zero, unpaired", RATIO, "arXiv 2408.06266, Eq. 7",
        note="It trains single responses, and knows no pair.",
    ),
    Loss(
        "simpo", "SimPO", "β mean log π", "arXiv 2405.14734, Eq. 6", "mean", reference=False,
        pair=_simpo, eq_16="", note=LIKELIHOOD,
    ),
    Loss(
        "tpo-l", "TPO-L", "β mean log π", "arXiv 2405.16681", "mean", reference=False,
        pair=_simpo, eq_16="", note=LIKELIHOOD,
    ),
    Loss(
        "tpo", "TPO", "β Σ log π", "arXiv 2405.16681", reference=False, pair=_cpo, eq_16="",
        note=LIKELIHOOD,
    ),
    Loss(
        "cpo", "CPO", "β Σ log π", "arXiv 2401.08417, Eq. 3", reference=False, pair=_cpo,
        eq_16="", note=LIKELIHOOD,
    ),
    Loss(
        "cpo_hinge", "CPO, hinge", "β Σ log π", "TRL's cpo_trainer", reference=False,
        pair=_hinge, eq_16="", note=LIKELIHOOD,
    ),
    Loss(
        "cpo_ipo", "CPO, IPO", "mean log π", "TRL's cpo_trainer", "mean", reference=False,
        scaled=False, pair=_ipo, eq_16="", note=LIKELIHOOD,
    ),
    Loss(
        "orpo", "ORPO", "log odds of the mean likelihood", "arXiv 2403.07691, Eqs. 4 and 7",
        "log-odds", reference=False, scaled=False, pair=_orpo, eq_16="",
        note="The odds of a mean likelihood are no sum over tokens. " + LIKELIHOOD,
    ),
    Loss(
        "sft", "SFT", "mean log π", "negative log-likelihood", "mean", reference=False,
        scaled=False, pair=_likelihood, compares=False, eq_16="",
    ),
    *(
        Loss(name, name.upper(), "", source, "none", scaled=False, compares=False, eq_16="",
             note=OUTSIDE)
        for name, source in (
            ("grpo", "arXiv 2402.03300"), ("ppo", "arXiv 1707.06347"), ("rloo", "arXiv 2402.14740")
        )
    ),
)  # fmt: skip
LOSSES: dict[str, Loss] = {loss.name: loss for loss in _ALL}
"""All losses by name."""

_ALSO = {
    "dpo": "sigmoid", "slic": "hinge", "exo": "exo_pair", "nca": "nca_pair",
    "bco": "bco_pair", "sppo": "sppo_hard", "aot_pair": "aot", "kto_pair": "kto",
    "alphapo": "simpo", "tpo_l": "tpo-l", "rpo": "sigmoid+sft", "mpo": "sigmoid+bco_pair+sft",
    "bnpo": "grpo", "dr_grpo": "grpo", "dapo": "grpo", "cispo": "grpo",
}  # fmt: skip
_OF_TRAINER = {
    "cpo": {"sigmoid": "cpo", "hinge": "cpo_hinge", "ipo": "cpo_ipo"},
    "tpo": {"sigmoid": "tpo", "hinge": "cpo_hinge", "ipo": "cpo_ipo"},
}
"""Names that mean another loss in a trainer without a reference."""


_MARKS = (
    ("log_odds_ratio", "orpo"), ("log_odds_chosen", "orpo"), ("odds_ratio_loss", "orpo"),
    ("policy/approxkl_avg", "ppo"), ("frac_reward_zero_std", "grpo"), ("reward_std", "grpo"),
)  # fmt: skip
"""Curves that only one way of training logs, by TRL and LLaMA-Factory."""


def trained_by(curves: Iterable[str]) -> str:
    """Return the way of training that logs curves of these names; "" where they do not tell.

    Names as TRL has them; whether while training or evaluating does not matter.
    """
    names = {re.sub(r"^(train/|eval/|eval_)+", "", name) for name in curves}
    if {"kl", "rewards/chosen"} <= names and "rewards/accuracies" not in names:
        return "kto"  # the only one that logs no accuracy of pairs
    return next((way for mark, way in _MARKS if mark in names), "")


def named(names: str, trainer: str = "") -> tuple[str, ...]:
    """Return the losses of LOSSES that words such as "sigmoid", "rpo" or "sigmoid,sft" mean.

    ``trainer``: the trainer's or its config's name ("CPOTrainer"), if it is known.

    Raises:
        UserFacingError: one is unknown.
    """
    own = next((of for key, of in _OF_TRAINER.items() if trainer.lower().startswith(key)), {})
    found: list[str] = []
    for word in re.split(r"[\s,+]+", names.strip().lower()):
        for name in own.get(word, _ALSO.get(word, word)).split("+"):
            if name not in LOSSES:
                raise UserFacingError(
                    f"{word!r} is no loss that Qscope knows: use one of {', '.join(LOSSES)}, or "
                    f"several joined by commas."
                )
            found.append(name)
    return tuple(found)
