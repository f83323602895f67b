"""Measuring how a loaded pair reads ordinary sentences, before anything is shown of it.

One plain forward of each model over some forty tokens. Knows nothing of what the numbers mean.
"""

import numpy as np
import torch

from core.models.pair import Pair
from core.plausibility import Plausibility
from core.text import Prompt

PROMPT = "Write a few sentences."
SAMPLE = (
    "Rain is expected in the north tonight. The bakery opens at seven, and the library at ten. "
    "She put the letters on the table and made some tea."
)
"""Neutral and easy: no training on preferences should change much of it."""


@torch.inference_mode()
def measure_plausibility(pair: Pair) -> Plausibility | None:
    """Return how the pair reads the sample; None where a model gives no finite numbers there.

    Raises:
        UserFacingError: a model lacks a token that is in it, such as one that the template writes.
    """
    codec, turns = pair.codec, Prompt.of(PROMPT)
    before = codec.prompt_ids(turns)
    ids = torch.tensor([*before, *codec.encode(turns, SAMPLE).ids][: pair.context_length])
    pair.check_tokens(ids.numpy())
    first = max(1, min(len(before), len(ids) // 2))
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
