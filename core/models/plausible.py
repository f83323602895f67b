"""Measuring how a loaded pair reads ordinary sentences, before anything is shown of it.

One plain forward of each model over some forty tokens, once for all: what was found is cached for
the weights that it was found with. Knows nothing of what the numbers mean.
"""

from dataclasses import astuple
from typing import Any

import numpy as np
import torch

from core.models.pair import Pair
from core.models.remembered import recall, remember
from core.plausibility import Plausibility
from core.text import Prompt

PROMPT = "Write a few sentences."
SAMPLE = (
    "Rain is expected in the north tonight. The bakery opens at seven, and the library at ten. "
    "She put the letters on the table and made some tea."
)
"""Neutral and easy: no training on preferences should change much of it."""
SUBJECT = "plausibility"


@torch.inference_mode()
def measure_plausibility(pair: Pair, weights: Any) -> Plausibility | None:
    """Return how the pair reads the sample; None where a model gives no finite numbers there.

    ``weights`` stands for the models and how they are run: anything that JSON can say.

    Raises:
        UserFacingError: a model lacks a token that is in it, such as one that the template writes.
    """
    codec, turns = pair.codec, Prompt.of(PROMPT)
    before = codec.prompt_ids(turns)
    ids = torch.tensor([*before, *codec.encode(turns, SAMPLE).ids][: pair.context_length])
    pair.check_tokens(ids.numpy())
    key = [weights, ids.tolist()]
    if (known := recall(SUBJECT, key)) is not None:
        return Plausibility(*known)
    found = _measure(pair, ids, max(1, min(len(before), len(ids) // 2)))
    if found is not None:
        remember(SUBJECT, key, astuple(found))
    return found


def _measure(pair: Pair, ids: torch.Tensor, first: int) -> Plausibility | None:
    """Return how the pair reads the tokens from ``first`` on of ``ids``, int64 [n]."""
    rows = []
    for lane in pair.lanes:
        logits = lane.plain_logits(ids)[:, first - 1 : -1]
        taken = ids[first:].to(logits.device).expand(len(logits), -1)
        logp = logits.gather(-1, taken[..., None])[..., 0] - logits.logsumexp(-1)
        rows += list(logp.double().cpu().numpy())
    policy, reference = rows[0], rows[-1]  # a single row stands for both models
    if not len(policy) or not np.isfinite([policy, reference]).all():
        return None
    apart = np.abs(policy - reference)
    return Plausibility(
        tokens=len(policy),
        log_ratio=float(apart.mean()),
        zeros=float((apart == 0).mean()),
        policy=float(policy.mean()),
        reference=float(reference.mean()),
        vocabulary=pair.vocab_size,
    )
