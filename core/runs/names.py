"""How loggers spell the names of curves and of steps, and what TRL calls them.

The names are those of TRL, LLaMA-Factory, axolotl, ms-swift, OpenRLHF, verl, NeMo-Aligner, NeMo-RL,
torchtune, ColossalChat and the reference DPO code. What a bare "accuracy" counts is said by what
is logged beside it, so some names are settled only where all are known. Knows nothing of files.
"""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from core.runs.records import EVAL, KL

STEPS = (
    # transformers' own counter comes before the logger's (W&B counts calls), and the examples that
    # the reference DPO code counts before its updates: its checkpoints are named by examples.
    "train/global_step", "global_step/max_steps", "global_step", "step", "steps", "current_steps",
    "current_step", "trainer/global_step", "training/global_step", "_step", "counters/examples",
    "examples", "counters/updates", "updates", "iteration", "iter",
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
    "actor/lr": "learning_rate",
    "training_loss": "loss",
    "gradient_norm": "grad_norm",
    "grad-norm": "grad_norm",
    "actor/grad_norm": "grad_norm",
    "validation_loss": EVAL + "loss",
    "objective/kl": "kl",
}
_WHAT = {
    "reject": "rejected", "margin": "margins", "gap": "margins", "acc": "accuracies",
    "accuracy": "accuracies",
}  # fmt: skip
_KIND = r"(?P<kind>rewards?|log_?p(?:rob)?s|logits)"
_GROUP = re.compile(
    rf"(?:actor/|policy_)?{_KIND}[/_.]"
    r"(?P<what>chosen|rejected|margins?|gap|acc(?:urac(?:y|ies))?)(?:_mean)?"
)
_TURNED = re.compile(rf"(?:actor/|policy_)?(?P<what>chosen|reject(?:ed)?)_{_KIND}(?:_mean)?")
# The reference DPO code: rewards_train/chosen, logps_eval/rejected, loss/train.
_SPLIT = re.compile(r"(\w+)_(train|eval)/(.+)")
_LOSS = re.compile(r"(?i:loss)/(train|eval|val|validation)")
_TRAINED = re.compile(r"(?:train(?:ing)?/)+")
_EVALUATED = re.compile(r"(?P<word>eval|val|validation)(?P<mark>[/_-])(?P<rest>.+)")
_SET = re.compile(r"(?P<set>.+?)[/_](?P<rest>(?:rewards|logps|logits|log_probs)/.+|runtime)")
"""A curve of an evaluation set that has a name, which may be anything: helpful_rewards/chosen.
transformers logs the runtime of each."""
ACCURACY = ("accuracy", "accuracies", "acc", "acc_mean")
"""The share of pairs, where pairs are trained on; of tokens or whatever else, where not."""
KNOWN = USUAL.union(ACCURACY)
LLAMA_FACTORY = {"total_steps", "percentage"}
"""Beside these "accuracy" is what TRL calls rewards/accuracies."""


LONGEST = 500
"""Letters of a name; a longer one is of no curve that is known."""


@lru_cache(maxsize=1 << 16)
def canonical(name: str) -> str:
    """Return TRL's name of a curve; an unknown name stays, but for its train/ and eval/.

    A curve of an evaluation set with a name of its own is called eval/NAME/CURVE.
    """
    name = name.strip()
    if len(name) > LONGEST:
        return name
    if match := _SPLIT.fullmatch(name):
        name = f"{match[2]}/{match[1]}/{match[3]}"
    elif match := _LOSS.fullmatch(name):
        name = f"{match[1]}/loss"
    while (match := _TRAINED.match(name)) and match.end() < len(name):
        name = name[match.end() :]
    if (match := _EVALUATED.fullmatch(name)) and (found := _evaluated(**match.groupdict())):
        return found
    if name.startswith("train_") and (bare := canonical(name[6:])) in KNOWN - {"loss"}:
        return bare
    return _plain(name)


def _evaluated(word: str, mark: str, rest: str) -> str:
    """Return the name of a curve that was measured on an evaluation set; "" if it is none."""
    known = canonical(rest)
    if known.startswith(EVAL):  # OpenRLHF: eval/eval_loss
        return known
    if known not in KNOWN:
        if match := _SET.fullmatch(rest):
            known = f"{match['set']}/{canonical(match['rest'])}"
        elif mark == "-" and "/" in rest:  # NeMo-RL: validation-NAME/loss
            of, _, rest = rest.partition("/")
            known = f"{of}/{canonical(rest)}"
        elif mark == "-" or (word != "eval" and mark == "_"):
            return ""
    return EVAL + known


def _plain(name: str) -> str:
    """Return TRL's name of a curve of a training, by its bare name in any case."""
    lower = name.lower().replace(" / ", "/").replace(" ", "_")
    if match := _GROUP.fullmatch(lower) or _TURNED.fullmatch(lower):
        kind, what = match["kind"], match["what"]
        if kind != "logits":
            kind = "rewards" if kind.startswith("reward") else "logps"
        return f"{kind}/{_WHAT.get(what, what)}"
    return _ALSO.get(lower, lower if lower in USUAL else name)


def settled(names: Collection[str]) -> dict[str, str]:
    """Return the names of which those logged beside them say what they are, each with TRL's name.

    ``names``: canonical ones.
    """
    found: dict[str, str] = {}
    sets = sorted((f"{EVAL}{of}/" for of in evaluation_sets(names)), key=len)
    for name in names:
        for place in sets:
            if name.startswith(place[:-1] + "_"):
                found[name] = place + canonical(name[len(place) :])
    pairs = any(name.endswith(("rewards/chosen", "rewards/margins")) for name in names)
    of_pairs = dict.fromkeys(ACCURACY, "rewards/accuracies") if pairs else {}
    if pairs:
        of_pairs |= dict.fromkeys(("margin", "margins"), "rewards/margins")
        of_pairs |= dict.fromkeys(("dpo_loss", "actor/dpo_loss", "train_loss"), "loss")
    elif set(names) >= LLAMA_FACTORY:
        of_pairs = {"accuracy": "rewards/accuracies"}
    for place in ("", EVAL, *sets):
        for name, known in of_pairs.items():
            if place + name in names and place + known not in {*names, *found.values()}:
                found[place + name] = place + known
    return found


def evaluation_set(name: str) -> str:
    """Return the name of the evaluation set that a curve is of, by its canonical name; "" if it is
    of none, or of one without a name."""
    of = ""
    if name.startswith(EVAL) and not is_usual(name):
        match = _SET.fullmatch(name.removeprefix(EVAL))
        rest = name.removeprefix(EVAL).rpartition("/")
        of = match["set"] if match else rest[0] if rest[2] in USUAL else ""
    return of


def evaluation_sets(names: Iterable[str]) -> list[str]:
    """Return the evaluation sets with a name that curves are of, in the order of the curves."""
    return list(dict.fromkeys(of for name in names if (of := evaluation_set(name))))


def is_usual(name: str) -> bool:
    """Return whether a canonical name is one that a DPO run logs, while training or evaluating."""
    return name.removeprefix(EVAL) in USUAL


def step_column(names: tuple[str, ...]) -> int | None:
    """Return which of the columns holds the step; None if none does."""
    lower = [name.strip().lower() for name in names]
    return next((lower.index(step) for step in STEPS if step in lower), None)
