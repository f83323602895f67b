"""What is true of a text: a plain forward of transformers' own model, in float32, nothing cached.

Knows folders of checkpoints, which must not change; nothing of Qscope's engine.
"""

import json
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

MODELS, TEXTS = 8, 200
"""How many models, and log-probs of texts, are held at most."""


@dataclass(frozen=True, eq=False)
class Said:
    """What a model says at each state of a text: raw logits and log-probs, float64 [n, V]."""

    logits: np.ndarray
    logp: np.ndarray


class Truth:
    """Plain forwards of the models in folders."""

    def __init__(self) -> None:
        self._models: OrderedDict[Path, Any] = OrderedDict()
        self._said: OrderedDict[tuple[Path, tuple[int, ...], int], Said] = OrderedDict()

    def say(self, folder: Path, ids: tuple[int, ...], length: int = 0) -> Said:
        """What the model in a folder says of a text; row i is said after token i.

        ``length``: of the text that this is the beginning of, where rotary factors go by that.
        """
        key = folder, ids, length
        if key not in self._said:
            padded = [*ids, *[0] * (length - len(ids))]
            with torch.no_grad():
                out = self._model(folder)(input_ids=torch.tensor([padded]), use_cache=False)
            logits = out.logits[0, : len(ids)].double()
            self._said[key] = Said(logits.numpy(), logits.log_softmax(-1).numpy())
        self._said.move_to_end(key)
        while len(self._said) > TEXTS:
            self._said.popitem(last=False)
        return self._said[key]

    def _model(self, folder: Path) -> Any:
        if folder not in self._models:
            self._models[folder] = _read(folder)
        self._models.move_to_end(folder)
        while len(self._models) > MODELS:
            self._models.popitem(last=False)
        return self._models[folder]


def _read(folder: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = folder / "adapter_config.json"
        whole = folder
        if adapter.exists():
            whole = Path(json.loads(adapter.read_text("utf-8"))["base_model_name_or_path"])
        model = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32)
        if adapter.exists():
            model = PeftModel.from_pretrained(model, folder)
        return model.eval()


def divergences(policy: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """KL(π‖π_ref) and KL(π_ref‖π) at each state, over the tokens that both have, [n]."""
    shared = min(policy.shape[-1], reference.shape[-1])
    p, q = (_normalised(it[:, :shared]) for it in (policy, reference))
    return (np.exp(p) * (p - q)).sum(-1), (np.exp(q) * (q - p)).sum(-1)


def entropy(logp: np.ndarray) -> np.ndarray:
    """Of each state's distribution, [n]."""
    return -(np.exp(logp) * logp).sum(-1)


def _normalised(logp: np.ndarray) -> np.ndarray:
    return logp - np.logaddexp.reduce(logp, axis=-1, keepdims=True)
