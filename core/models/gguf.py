"""Loading a GGUF file as the plain model that its numbers make.

transformers unpacks quantised blocks to floating point, so every way of running the model that is
exact elsewhere is exact here. Knows nothing of pairs.
"""

from pathlib import Path
from typing import Any

import torch

from core.checkpoints.gguf import FACTORS, check_read_whole, read_gguf
from core.checkpoints.limited import check_files
from core.errors import UserFacingError
from core.failures import reason


def read_gguf_model(auto: Any, path: Path, dtype: torch.dtype) -> tuple[Any, list[str]]:
    """Return the model in a GGUF file, on the CPU, and the names of the weights that it lacks.

    Args:
        auto: transformers' class for the task.

    Raises:
        UserFacingError: transformers does not read its architecture, or not all that it says.
        Exception: whatever transformers raises at such files.
    """
    from transformers import AutoConfig, GgufConfig, modeling_gguf_pytorch_utils
    from transformers.utils import logging

    if (path.parent / "adapter_config.json").exists():
        raise UserFacingError(
            f"{path.parent} has an adapter beside {path.name}, which transformers would put over "
            f"it: move the file to a folder of its own."
        )
    check_files(path.parent, ("generation_config.json",))
    modeling_gguf_pytorch_utils.tqdm = logging.tqdm  # as elsewhere: reported, and can be cancelled
    place, name = str(path.parent), path.name
    try:
        config = AutoConfig.from_pretrained(place, gguf_file=name, local_files_only=True)
    except ValueError as error:
        raise UserFacingError(
            f"{path} cannot be read by transformers ({reason(error)}): choose the folder of its "
            f"safetensors."
        ) from error
    check_read_whole(path, config)
    model, found = auto.from_pretrained(
        place,
        gguf_file=name,
        config=config,
        dtype=dtype,
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
        local_files_only=True,
    )
    model.is_quantized = False  # its weights are plain numbers now
    vars(model.config).pop("quantization_config", None)
    _divide_frequencies(model, path)
    return model, sorted(found["missing_keys"])


def _divide_frequencies(model: Any, path: Path) -> None:
    """Divide the rotary frequencies by a file's own factors, which transformers passes over."""
    if FACTORS not in read_gguf(path).tensors:
        return
    from gguf import GGUFReader

    factors = next(torch.tensor(it.data) for it in GGUFReader(path).tensors if it.name == FACTORS)
    found = [
        it for it in model.modules() if isinstance(getattr(it, "inv_freq", None), torch.Tensor)
    ]
    if not found or any(it.inv_freq.shape != factors.shape for it in found):
        raise UserFacingError(
            f"{path} has rotary factors ({FACTORS}) that do not fit its model: choose the folder "
            f"of its safetensors."
        )
    for module in found:
        module.inv_freq /= factors
        if hasattr(module, "original_inv_freq"):
            module.original_inv_freq = module.inv_freq.clone()
