"""The notebook's way to score a response: an uncached forward of each model, then log_softmax.

Hugging Face models as they come; nothing of Qscope. The logits are made in pieces, as whoever has
run out of memory once does.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Row = tuple[Any, Callable[[], AbstractContextManager[Any]]]
"""A causal LM, and the context in which it is the model that is meant."""


@torch.inference_mode()
def logp(rows: Iterable[Row], ids: list[int], first: int, piece: int) -> NDArray[np.float64]:
    """Log-probs in nats of the tokens from ``first`` on under each row, [rows, len(ids) - first].

    ``piece``: states whose logits are made at once.
    """
    found = []
    for model, entered in rows:
        batch = torch.tensor([ids], device=model.device)
        taken = batch[0, first:, None]
        with entered():
            out = model.base_model(input_ids=batch, use_cache=False)
            states = out.last_hidden_state[0, first - 1 : -1]
            head = model.get_output_embeddings()
            pieces = [
                head(states[i : i + piece]).float().log_softmax(-1).gather(-1, taken[i : i + piece])
                for i in range(0, len(states), piece)
            ]
        found.append(torch.cat(pieces)[:, 0])
    return torch.stack(found).double().cpu().numpy()


def whole(folder: Path, dtype: torch.dtype, device: str) -> Row:
    """A whole model."""
    return load(folder, dtype, device), nullcontext


def merged(base: Path, adapter: Path, dtype: torch.dtype, device: str) -> Row:
    """A model with its adapter added to the weights, in ``dtype``."""
    from peft import PeftModel

    wrapped = PeftModel.from_pretrained(load(base, dtype, device), str(adapter))
    return wrapped.merge_and_unload().eval(), nullcontext


def adapted(
    base: Path, policy: Path, reference: Path | None, dtype: torch.dtype, device: str
) -> list[Row]:
    """Policy and reference as adapters beside one base; a reference of None is the base itself."""
    from peft import PeftModel

    wrapped = PeftModel.from_pretrained(
        load(base, dtype, device), str(policy), adapter_name="policy"
    )
    if reference is not None:
        wrapped.load_adapter(str(reference), adapter_name="reference")
    wrapped.eval()
    model = wrapped.get_base_model()

    def switched(name: str) -> AbstractContextManager[None]:
        wrapped.set_adapter(name)
        return nullcontext()

    second = wrapped.disable_adapter if reference is None else lambda: switched("reference")
    return [(model, lambda: switched("policy")), (model, second)]


def load(folder: Path, dtype: torch.dtype, device: str) -> Any:
    """A causal LM, ready to be run."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
