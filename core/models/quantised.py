"""Loading quantised weights as transformers does, which alone knows how they are packed.

Knows nothing of pairs.
"""

import logging
from pathlib import Path
from typing import Any

import torch

from core.checkpoints.describe import weight_files
from core.checkpoints.headers import read_header
from core.checkpoints.limited import check_files
from core.errors import UserFacingError
from core.failures import reason
from core.models.config import no_larger_than, offline

NUMBERS_PER_BYTE = 8
"""That weights may be packed to, at most."""
PACKS_AGAIN = "support_avx512bf16_for_cpu"
"""A layer of bitsandbytes with this set rounds its scales to bfloat16 in its first forward on a
CPU, and loses their order when its state_dict is asked for, as PEFT does (version 0.50)."""
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it says in every product what it casts


def read_quantised(
    auto: Any,
    folder: Path,
    config: Any,
    device: torch.device,
    dtype: torch.dtype,
    allow_pickle: bool,
    allow_remote_code: bool,
) -> tuple[Any, list[str]]:
    """Return a quantised model on a device, and the names of the weights that it lacks.

    Its files are read, not mapped: what is written to them later does not change the model.

    Raises:
        UserFacingError: transformers cannot load this method, here or at all.
        Exception: whatever transformers raises at such files.
    """
    check_files(folder, ("generation_config.json",))
    files, pickles = weight_files(folder, "model")
    stored = sum(file.stat().st_size for file in files or pickles)
    tensors = sum(len(read_header(file)) for file in files)
    try:
        with offline(), no_larger_than(NUMBERS_PER_BYTE * stored, tensors, folder):
            model, found = auto.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                device_map=None if device.type == "cpu" else {"": device},
                disable_mmap=True,
                use_safetensors=bool(files) or not allow_pickle,
                trust_remote_code=allow_remote_code,
                output_loading_info=True,
                local_files_only=True,
            )
    except (ImportError, NotImplementedError) as error:
        method = dict(config.quantization_config).get("quant_method")
        raise UserFacingError(
            f"The weights in {folder} are quantised ({method}), which transformers does not load "
            f"here ({reason(error)}): choose its full-precision weights."
        ) from error
    for module in model.modules():
        if hasattr(module, PACKS_AGAIN):
            setattr(module, PACKS_AGAIN, False)
    model.eval()
    with torch.inference_mode():  # some libraries unpack the weights in the first forward
        model(input_ids=torch.arange(3, 11, device=model.device)[None], use_cache=False)
    return model, sorted(found["missing_keys"])
