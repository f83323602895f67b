"""How exact Qscope is on a GPU: its numbers and plain forwards' against plain float32 forwards."""

from typing import Any

import numpy as np
import torch

from core.models.load import load_pair
from tests.benchmarks import card, plain
from tests.benchmarks.desk import Desk
from tests.benchmarks.gpu_stage import PIECE, SHAPES, Stage

HAVE_FLOAT32 = SHAPES[:1]
"""Shapes that are small enough for Qscope to be loaded in float32 too."""


def exactness(stage: Stage, kind: str) -> None:
    """Qscope's numbers and plain forwards' against plain float32 forwards of the same weights.

    A policy that is an adapter is run by PEFT beside its base, as it was trained.
    """
    stage.say([kind, "tokens"], stage.sizes.exact)
    truth, plain16 = (forwards(stage, kind, dtype) for dtype in (torch.float32, torch.bfloat16))
    stage.part([kind, "bfloat16"], lambda: errors(mine(stage, kind, "bfloat16"), plain16, truth))
    if stage.shape in HAVE_FLOAT32:
        stage.part([kind, "float32"], lambda: difference(mine(stage, kind, "float32"), truth))


def mine(stage: Stage, kind: str, dtype: str) -> Any:
    """Qscope's log-probs of a fresh text, [2, n]; the pair is let go of again."""
    pair, _ = load_pair(stage.spec(kind, dtype), lambda what, fraction: None)
    scoring = Desk(pair, stage.texts).fresh(stage.sizes.exact, 0)
    found = np.stack([scoring.logp_policy, scoring.logp_reference])[:, :-1]
    del pair, scoring
    card.held()
    return found


def forwards(stage: Stage, kind: str, dtype: torch.dtype) -> Any:
    """The same by plain forwards, a model at a time."""
    ids, first = stage.texts.ids(stage.sizes.exact, 0), len(stage.texts.start)
    reference = stage.folder / "reference"
    if kind == "lora":
        rows = plain.adapted(reference, stage.folder / "adapter", None, dtype, stage.device)
        found = plain.logp(rows, ids, first, PIECE)
        del rows
        card.held()
        return found
    each = []
    for folder in (stage.folder / "policy", reference):
        each.append(plain.logp([plain.whole(folder, dtype, stage.device)], ids, first, PIECE))
        card.held()
    return np.concatenate(each)


def errors(mine: Any, plain: Any, truth: Any) -> dict[str, float]:
    """Standard deviations in nats of the errors of log-probs, and of their log-ratios."""
    ours, theirs = (values - truth for values in (mine, plain))
    return {
        "sd of Qscope's error": float(ours.std()),
        "sd of a plain forward's error": float(theirs.std()),
        "ratio": float(ours.std() / theirs.std()),
        "sd of Qscope's error, log-ratio": float((ours[0] - ours[1]).std()),
        "sd of a plain forward's error, log-ratio": float((theirs[0] - theirs[1]).std()),
        "sd of the log-ratio": float((truth[0] - truth[1]).std()),
    }


def difference(mine: Any, truth: Any) -> dict[str, float]:
    """The largest difference of two sets of log-probs in nats."""
    return {"largest difference": float(np.abs(mine - truth).max())}
