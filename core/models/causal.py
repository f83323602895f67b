"""A check that Qscope can show a model: it reads tokens alone, and only those before.

It is made once for every form of model, by one small forward of two texts that begin alike. A
model's name does not tell: some read both ways unless their config says otherwise, some need
images, sound or another model's states. Knows nothing of caches, lanes or adapters.
"""

from typing import Any

import torch

from core.errors import UserFacingError
from core.failures import passes, reason
from core.models.miniature import form
from core.models.remembered import recall, remember

SUBJECT = "causal"

SHARED, DIFFERING = 6, 4
"""Tokens that the two texts share, and tokens after them that differ."""


@torch.inference_mode()
def check_causal(model: Any, name: str) -> None:
    """Run two texts with a common prefix and compare the logits of the prefix.

    Args:
        model: a Hugging Face model, freshly loaded.
        name: of the checkpoint, for the sentence.

    Raises:
        UserFacingError: it does not run on token ids alone, gives no distribution for each token,
            or its logits at a token depend on later ones.
    """
    kind = model.config.model_type
    key = form(model)
    if recall(SUBJECT, key):
        return
    ids = torch.arange(3, 3 + SHARED + DIFFERING, device=model.device).repeat(2, 1)
    ids[1, SHARED:] += DIFFERING
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    except Exception as error:  # whatever a model raises that was given too little
        if passes(error):
            raise
        raise UserFacingError(
            f"{name} holds a model of the kind {kind!r}, which does not run on the tokens of a "
            f"text alone ({reason(error)}): choose a language model that continues text."
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape[:-1] != ids.shape:
        raise UserFacingError(
            f"{name} holds a model of the kind {kind!r}, which does not give each token of a text "
            f"one distribution of the next: choose a language model that continues text."
        )
    shared = logits[:, :SHARED].float()
    margin = 1e-3 if logits.dtype == torch.float32 else 0.1
    if float((shared[0] - shared[1]).abs().max()) > margin * float(shared.std()):
        raise UserFacingError(
            f"{name} holds a model of the kind {kind!r}, whose numbers of a token depend on those "
            f"after it: choose a language model that reads from left to right."
        )
    if bool(shared.isfinite().all()):  # broken weights say nothing of others of this form
        remember(SUBJECT, key, True)
