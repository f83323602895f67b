"""How loggers spell the names of curves and of steps, and what TRL calls them.

Knows nothing of files.
"""

import re
from functools import cache

from core.runs.records import EVAL, KL

STEPS = (
    # transformers' own counter comes before the logger's (W&B counts calls), and the examples that
    # the reference DPO code counts before its updates: its checkpoints are named by examples.
    "train/global_step", "global_step", "step", "steps", "current_steps", "current_step", "_step",
    "counters/examples", "examples", "counters/updates", "updates", "iteration", "iter",
)  # fmt: skip
"""Columns that may hold the step, in lower case; the first one that is there does."""
USUAL = frozenset(
    "loss learning_rate grad_norm kl rewards/chosen rewards/rejected rewards/margins "
    "rewards/accuracies logps/chosen logps/rejected logits/chosen logits/rejected".split()
) | {KL}
"""TRL's names of what a DPO run logs."""
_ALSO = {
    "lr": "learning_rate",
    "learning-rate": "learning_rate",
    "gradient_norm": "grad_norm",
    "grad-norm": "grad_norm",
    "rewards/accuracy": "rewards/accuracies",
    "rewards/margin": "rewards/margins",
    "reward_margin": "rewards/margins",
    "reward_accuracy": "rewards/accuracies",
    "chosen_reward": "rewards/chosen",
    "chosen_rewards": "rewards/chosen",
    "reject_reward": "rewards/rejected",
    "rejected_reward": "rewards/rejected",
    "rejected_rewards": "rewards/rejected",
    "objective/kl": "kl",
}
_GROUP = re.compile(r"(?:rewards?|log_?p(?:rob)?s)[/_.](chosen|rejected|margins?|accurac(?:y|ies))")
# The reference DPO code: rewards_train/chosen, logps_eval/rejected, loss/train.
_SPLIT = re.compile(r"(\w+)_(train|eval)/(.+)")
_LOSS = re.compile(r"loss/(train|eval)")


@cache
def canonical(name: str) -> str:
    """Return TRL's name of a curve; an unknown name stays, but for its train/ and eval/."""
    name = name.strip()
    if match := _SPLIT.fullmatch(name):
        name = f"{match[2]}/{match[1]}/{match[3]}"
    elif match := _LOSS.fullmatch(name):
        name = f"{match[1]}/loss"
    while name.startswith("train/"):
        name = name.removeprefix("train/")
    for prefix in (EVAL, "eval_"):
        if name.startswith(prefix) and name != prefix:
            return EVAL + canonical(name.removeprefix(prefix))
    if match := _GROUP.fullmatch(name):
        group = "rewards" if name.startswith("reward") else "logps"
        name = f"{group}/{match[1]}"
    return _ALSO.get(name, name)


def is_usual(name: str) -> bool:
    """Return whether a canonical name is one that a DPO run logs, while training or evaluating."""
    return name.removeprefix(EVAL) in USUAL


def step_column(names: tuple[str, ...]) -> int | None:
    """Return which of the columns holds the step; None if none does."""
    lower = [name.strip().lower() for name in names]
    return next((lower.index(step) for step in STEPS if step in lower), None)
