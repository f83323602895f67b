"""A Hugging Face reward model: a sequence classifier whose one logit scores a response.

Knows nothing of pairs or sweeps.
"""

import warnings
from pathlib import Path
from typing import Any

import torch

from core.checkpoints.identity import read_whole
from core.codec import Codec
from core.errors import UserFacingError
from core.failures import in_words
from core.models.device import choose_device, choose_dtype
from core.models.tokenizer import load_tokenizer
from core.models.weights import read_model
from core.text import Prompt

WHOLE = "check that it is a whole sequence-classification checkpoint with safetensors weights"


class RewardModel:
    """A reward model that scores all that its template renders of a prompt and a response, as its
    training did; scores are cached."""

    def __init__(self, model: Any, codec: Codec) -> None:
        self._model = model
        self._codec = codec
        self._known: dict[tuple[Prompt, str], float] = {}

    def score(self, prompt: Prompt, response: str) -> float:
        """Return the model's one logit for a response to a prompt.

        Raises:
            UserFacingError: the text is longer than the model's context, or the score is NaN or
                infinite.
        """
        key = prompt, response
        if key not in self._known:
            self._known[key] = self._computed(prompt, response)
        return self._known[key]

    @torch.inference_mode()
    def _computed(self, prompt: Prompt, response: str) -> float:
        tokens = self._codec.encode(prompt, response)
        ids = [*tokens.context, *tokens.ids, *tokens.closing]
        longest = getattr(self._model.config, "max_position_embeddings", None)
        if longest is not None and len(ids) > longest:
            raise UserFacingError(
                f"Prompt and response are {len(ids)} tokens, but the reward model's context is "
                f"{longest}: shorten the prompt or the responses."
            )
        batch = torch.tensor([ids], device=self._model.device)
        logits = self._model(input_ids=batch, attention_mask=torch.ones_like(batch)).logits
        score = float(logits[0, 0])
        if not torch.isfinite(logits).all():
            raise UserFacingError(
                "The reward model returned a score that is no number: the checkpoint is damaged."
            )
        return score


def load_reward_model(
    path: Path, device: str = "auto", allow_pickle: bool = False, allow_remote_code: bool = False
) -> RewardModel:
    """Load a sequence-classification checkpoint from a folder.

    Raises:
        UserFacingError: there is none, it gives more than one number, or it has no weights for it.
    """
    if not (path / "config.json").is_file():
        raise UserFacingError(
            f"There is no reward model in {path}: name the folder of a Hugging Face "
            f"sequence-classification checkpoint (config.json, model.safetensors)."
        )
    from transformers import AutoModelForSequenceClassification

    where = choose_device(device)
    with warnings.catch_warnings(), in_words("The reward model in", path, WHOLE, "be loaded"):
        warnings.simplefilter("ignore")
        tokenizer = load_tokenizer(path, allow_remote_code)
        with read_whole([path]):
            model, missing = read_model(
                AutoModelForSequenceClassification,
                path,
                where,
                choose_dtype("auto", where),
                allow_pickle,
                allow_remote_code,
            )
    if missing:
        raise UserFacingError(
            f"{path} lacks {len(missing)} weights (first: {missing[0]}), so its scores would be "
            f"noise: name a checkpoint that was trained as a reward model."
        )
    if model.config.num_labels != 1:
        raise UserFacingError(
            f"{path} gives {model.config.num_labels} numbers for a text, but a reward model gives "
            f"one: name another checkpoint."
        )
    return RewardModel(model, Codec(tokenizer, rule="rest"))
