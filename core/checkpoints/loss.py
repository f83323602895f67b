"""The loss of a training by what is known of it: the user's word first, then what files say."""

from typing import Any

from core.errors import UserFacingError
from core.losses import F_DIVERGENCES, UNNAMED, TrainingLoss, named
from core.provenance import Provenance

_OF_METHOD = {
    "dpo": "sigmoid", "online_dpo": "sigmoid", "kto": "kto", "bco": "bco_pair", "orpo": "orpo",
    "cpo": "cpo", "tpo": "tpo", "grpo": "grpo", "rloo": "rloo", "ppo": "ppo", "sft": "sft",
}  # fmt: skip
"""The loss that a way of training has where no other is named."""
_ONE_LOSS = ("orpo", "grpo", "rloo", "ppo", "sft")
"""Ways of training whose own names of losses are variants of one."""


def training_loss(known: Provenance, given: str = "") -> TrainingLoss:
    """Return the loss of a training; UNNAMED where nobody says it, or says one that is not known.

    ``given``: the user's, as ``core.losses.named`` reads it.

    Raises:
        UserFacingError: the user's is none that is known.
    """
    losses, weights = (named(given), ()) if given else _losses(known)
    if not losses:
        return UNNAMED
    found: dict[str, Any] = {
        "gamma": known.gamma,
        "label_smoothing": known.label_smoothing,
        "ld_alpha": known.ld_alpha,
        "f_divergence": known.f_divergence.lower().rpartition(".")[2] or None,
        "f_alpha": known.f_alpha,
        "discopop_tau": known.discopop_tau,
        "shape_alpha": known.alpha if known.trainer == "cpo" else None,
        "weighting": known.weighting,
        "synced": known.sync_ref_model,
    }
    if found["f_divergence"] not in F_DIVERGENCES:
        del found["f_divergence"]
    said = {name: value for name, value in found.items() if value is not None}
    return TrainingLoss(losses, weights, **said)


def _losses(known: Provenance) -> tuple[tuple[str, ...], tuple[float, ...]]:
    own = _OF_METHOD.get(known.trainer, "")
    if known.trainer in _ONE_LOSS or not known.losses:
        return ((own,) if own else ()), ()
    trainer = "cpo" if known.reference_free else known.trainer
    losses: list[str] = []
    weights: list[float] = []
    for name, weight in known.losses:
        try:
            these = named(name, trainer)
        except UserFacingError:
            return (), ()
        losses += these
        weights += [weight] * len(these)
    return tuple(losses), () if set(weights) == {1.0} else tuple(weights)
