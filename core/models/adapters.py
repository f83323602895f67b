"""Putting a saved adapter over a model as PEFT does, or refusing it: nothing gets lost on the way.

PEFT passes over tensors whose names it does not know, and leaves untrained what a file lacks. Here
every tensor of the file goes into the model, and every tensor of the adapter comes from the file.
What an adapter changes in the base itself is noticed: with the adapter off that is not the base any
more. Knows nothing of pairs.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.checkpoints.describe import check_not_empty
from core.checkpoints.fit import plain_name, renamed
from core.errors import UserFacingError
from core.failures import is_out_of_memory, reason
from core.models.adapter_config import read_adapter_config, resolve_names
from core.models.config import no_larger_than, offline
from core.models.lora import is_plain_lora
from core.models.weights import read_adapter


@torch.inference_mode()
def put_adapter(
    model: Any, folder: Path, name: str, allow_pickle: bool = False
) -> tuple[Any, bool]:
    """Put a saved adapter over a model, or beside the other adapters of a PEFT model.

    A model whose vocabulary was resized for the adapter is resized too, if the adapter brings all
    rows.

    Returns:
        PEFT's model, and whether the base's own weights have changed: with the adapter off it is
        not the base any more.

    Raises:
        UserFacingError: the adapter does not fit, or its file lacks something or holds more. The
            model is of no use then; a PEFT model is as it was.
        ValueError, RuntimeError: as PEFT raises them for what it cannot do. ValueError also for an
            adapter that would change the base under the others.
    """
    from peft import PeftModel, PeftModelForCausalLM

    config = read_adapter_config(folder)
    config.inference_mode = True
    tensors = read_adapter(folder, allow_pickle)
    check_not_empty(folder, {key: tensor.numel() for key, tensor in tensors.items()})
    if broken := [key for key, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise UserFacingError(
            f"The adapter {folder} holds NaN or infinite numbers (in {broken[0]}): choose a "
            f"checkpoint from before its training diverged."
        )
    beside = isinstance(model, PeftModel)
    base = model.get_base_model() if beside else model
    resolve_names(config, base, folder)
    resized = {} if beside else _resize(base, tensors, folder)
    weights = [it for it in base.parameters() if type(it.data) is torch.Tensor]
    before = [_mark(it[: resized[it]] if it in resized else it) for it in weights]
    stored = sum(tensor.numel() for tensor in tensors.values())
    with torch.random.fork_rng(), offline(), no_larger_than(stored, len(tensors), folder):
        torch.manual_seed(0)  # some kinds begin at random, and some keep a part of that
        if beside:
            model.add_adapter(name, config)
        wrapped: Any = model if beside else PeftModelForCausalLM(model, config, name)
    try:
        _fill(wrapped, tensors, name, folder, beside)
        wrapped.to(base.device).eval().requires_grad_(False)
        layers = (base.get_input_embeddings(), base.get_output_embeddings()) if resized else ()
        if any(layer.weight.isnan().any() for layer in layers):
            raise _without_rows(folder)
        if not is_plain_lora(config):
            _check_forward(wrapped, name, folder)
    except BaseException:
        if beside:
            wrapped.delete_adapter(name)
        raise
    after = [_mark(it[: resized[it]] if it in resized else it) for it in weights]
    lost = any(bool(it[rows:].isnan().any()) for it, rows in resized.items())
    return wrapped, after != before or lost


def _fill(
    wrapped: Any, tensors: dict[str, torch.Tensor], name: str, folder: Path, beside: bool
) -> None:
    """Write an adapter's tensors into a model, and check that nothing is left over or missing."""
    from peft.utils import set_peft_model_state_dict

    expected, there = _own(wrapped, name), wrapped.state_dict()
    tensors = renamed(tensors, expected.keys() | there.keys())
    known = [key for key in tensors if key in expected or key in there]
    for key in tensors.keys() - known:  # PEFT saves some of a resized embedding twice
        if any(torch.equal(tensors[key], tensors[it]) for it in known):
            del tensors[key]
    for key in (tensors.keys() & there.keys()) - expected.keys() if beside else ():
        if not torch.equal(tensors[key].to(there[key]), there[key]):
            raise ValueError(f"it has weights of its own for the base's {key}")
    for tensor in expected.values():
        tensor.fill_(torch.nan)  # what the file lacks stays so
    try:
        loaded = set_peft_model_state_dict(wrapped, tensors, adapter_name=name)
    except KeyError as error:
        raise _lacking(folder, [str(error.args[0])]) from error
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        sizes = [line.strip() for line in str(error).splitlines() if "size mismatch" in line]
        raise UserFacingError(
            f"The adapter {folder} does not fit its base "
            f"({sizes[0].rstrip('.') if sizes else reason(error)}): pass the base that it was "
            f"trained on, with the same vocabulary, with --base DIR."
        ) from error
    if loaded.unexpected_keys:
        first = loaded.unexpected_keys[0].replace(f".{name}.", ".")
        raise UserFacingError(
            f"{len(loaded.unexpected_keys)} of the {len(tensors)} weights of the adapter {folder} "
            f"have no place in its base (first: {first}): pass the base that it was trained on "
            f"with --base DIR, or save the adapter again with PEFT's save_pretrained."
        )
    if lacking := [key for key, it in _own(wrapped, name).items() if it.isnan().any()]:
        raise _lacking(folder, lacking)


def _own(wrapped: Any, name: str) -> dict[str, torch.Tensor]:
    """Return the weights that PEFT would save for an adapter, by the names that it gives them."""
    from peft.utils import get_peft_model_state_dict

    found = get_peft_model_state_dict(wrapped, adapter_name=name, save_embedding_layers=False)
    return {key: tensor for key, tensor in found.items() if tensor.is_floating_point()}


def _lacking(folder: Path, names: list[str]) -> UserFacingError:
    return UserFacingError(
        f"The adapter {folder} lacks {len(names)} of its weights over this base (first: "
        f"{names[0]}), so it is not what was trained: pass the base that it was trained on with "
        f"--base DIR, or save it again with PEFT's save_pretrained."
    )


def _resize(
    model: Any, tensors: Mapping[str, torch.Tensor], folder: Path
) -> dict[torch.nn.Parameter, int]:
    """Give a model as many rows of its vocabulary as an adapter brings; new ones are NaN.

    Returns:
        The embeddings that have other rows now, with the number of those that they had before and
        still have.

    Raises:
        UserFacingError: the adapter brings rows of only one of the two embeddings.
    """
    names = {module: name.rpartition(".")[2] for name, module in model.named_modules()}

    def layers() -> list[Any]:
        both = model.get_input_embeddings(), model.get_output_embeddings()
        return [layer for layer in both if layer is not None]

    rows = {layer.weight: 0 for layer in layers()}
    for layer in layers():
        form = re.compile(rf"\.{names[layer]}(\.token_adapter)?(\.base_layer)?\.weight$")
        for key, tensor in tensors.items():
            if form.search(plain_name(key)) and tensor.dim() == 2:
                rows[layer.weight] = len(tensor)
    old, new = len(layers()[0].weight), max(rows.values())
    if new in (0, old):
        return {}
    if set(rows.values()) != {new}:
        raise _without_rows(folder)
    model.resize_token_embeddings(new, mean_resizing=False)
    for layer in layers():
        layer.weight.data[old:] = torch.nan
    return {layer.weight: min(old, new) for layer in layers()}


def _without_rows(folder: Path) -> UserFacingError:
    return UserFacingError(
        f"The adapter {folder} was trained with a resized vocabulary and does not bring all rows "
        f"of both embeddings: save it again with save_pretrained(..., save_embedding_layers=True)."
    )


def _mark(weight: torch.Tensor) -> tuple[int, int]:
    """Return numbers that change with any of a tensor's."""
    numbers = weight.detach().contiguous().view(-1).view(torch.uint8)
    if numbers.storage_offset() % 8:
        numbers = numbers.clone()
    whole = len(numbers) // 8 * 8
    return int(numbers[:whole].view(torch.int64).sum()), int(numbers[whole:].sum())


def _check_forward(wrapped: Any, name: str, folder: Path) -> None:
    """Check that an adapter works inside the model only, as forwards are run here, and from left to
    right.

    Raises:
        UserFacingError: PEFT's own forward gives other numbers than that of the model inside, or
            those of a token depend on what comes after it.
    """
    wrapped.set_adapter(name, inference_mode=True)
    ids = torch.arange(3, 15, device=wrapped.device)[None]
    try:
        theirs, ours, begun = (
            model(input_ids=some, use_cache=False).logits.float()
            for model, some in (
                (wrapped, ids),
                (wrapped.get_base_model(), ids),
                (wrapped.get_base_model(), ids[:, :-4]),
            )
        )
        margin = 1e-3 if wrapped.dtype == torch.float32 else 0.1
        apart = (ours[:, :-4] - begun).abs().max() / ours.std()
        alike = torch.equal(theirs, ours) and bool(apart <= margin)
    except (AttributeError, TypeError, ValueError, IndexError):
        alike = False
    if not alike:
        raise UserFacingError(
            f"{folder} is an adapter of the kind {wrapped.peft_config[name].peft_type.value} that "
            f"does more than change weights: Qscope scores those that only do so, such as LoRA."
        )
