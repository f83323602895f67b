"""Layers of a model that share an input, and whether the rows of a batch stay in order on the way.

A model's code is not read but run, twice on a few random tokens. Knows nothing of adapters.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from core.failures import passes

LENGTH = 7
"""Tokens of a row: an odd number, so that a tensor that both rows share (positions, say) cannot be
cut in half and taken for two rows."""
APART = 0.3
"""The most that a row may differ from itself at the other place of the batch, as a part of the
difference between rows: it is rounding where rows stay in order, about 1 where tokens are mixed."""


def layers_by_input(model: Any, layers: Sequence[nn.Module], rows: int) -> list[list[Any]]:
    """Return the layers of a causal model in groups that are given the same tensors.

    Args:
        rows: of the batches that will be run, one or two.

    Raises:
        ValueError: the model cannot be run; or there are two rows, and some layer is never called
            or its input is neither [rows, ..., in] nor the tokens of one row after those of the
            other, [rows * tokens, in].
    """
    generator = torch.Generator().manual_seed(0)
    known = len(model.get_input_embeddings().weight)
    ids = torch.randint(3, known, (2, LENGTH), generator=generator)
    try:
        there, back = (_inputs(model, layers, batch) for batch in (ids, ids.flip(0)))
    except Exception as error:  # whatever a model raises
        if passes(error):
            raise
        raise ValueError(f"the model cannot be run on a batch of texts ({error})") from error
    if rows > 1 and not all(_in_rows(there[layer], back[layer]) for layer in layers):
        raise ValueError("an adapted layer is given tokens whose rows cannot be told")
    alike: dict[Any, list[Any]] = defaultdict(list)
    for layer in layers:
        called = [*there[layer], *back[layer]]
        alike[tuple(map(id, called)) or layer].append(layer)
    return list(alike.values())


@torch.inference_mode()
def _inputs(
    model: Any, layers: Sequence[nn.Module], ids: torch.Tensor
) -> dict[nn.Module, list[torch.Tensor]]:
    """Return the tensors that each layer is given in one forward, in order.

    They are copies; a tensor that is given several times, unchanged in between, has one copy.
    """
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    given: dict[nn.Module, list[torch.Tensor]] = {layer: [] for layer in layers}

    def note(layer: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        (states,) = arguments
        _, copy = seen.get(id(states), (states, None))
        if copy is None or not torch.equal(states, copy):
            copy = states.clone()
            seen[id(states)] = states, copy
        given[layer].append(copy)

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        model(input_ids=ids.to(model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return given


def _in_rows(there: list[torch.Tensor], back: list[torch.Tensor]) -> bool:
    """Return whether a layer's inputs are made of the rows of its batch, one after the other:
    whether they are swapped where the batch's rows were swapped."""
    if not there or [it.shape for it in there] != [it.shape for it in back]:
        return False
    for one, other in zip(there, back, strict=True):
        if one.numel() // one.shape[-1] % 2:
            return False
        first = one.float().reshape(2, -1)
        second = other.float().reshape(2, -1).flip(0)
        apart = (first[0] - first[1]).norm()
        if not bool((first - second).norm() <= APART * apart):
            return False
    return True
