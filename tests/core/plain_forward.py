"""A response scored by Qscope, and by one plain forward of transformers' own model."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.models.score import score
from core.progress import silent
from core.text import Prompt

PROMPT, RESPONSE = Prompt.of("Who was offered a job?"), "The poster, at Harbour Labs."


def scored(policy: Path | str, reference: Path | str = "", **spec: Any) -> tuple[Any, Any, Any]:
    """The pair, its facts and its scoring, in float32."""
    wanted = PairSpec(policy=str(policy), reference=str(reference), dtype="float32", **spec)
    pair, info = load_pair(wanted, silent)
    return pair, info, score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))


def plain(pair: Any, model: Any) -> np.ndarray:
    """Log-probs of the response and its closing token."""
    before = pair.codec.prompt_ids(PROMPT)
    ids = [*before, *pair.codec.encode(PROMPT, RESPONSE).ids, pair.codec.end_of_turn]
    with torch.no_grad():
        logp = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return np.array([logp[i - 1, ids[i]] for i in range(len(before), len(ids))])
