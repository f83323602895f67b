"""Quantised weights: whether config.json and the tensors agree on it, and what reads them.

Compares names and formats only. Knows nothing of loading.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.checkpoints.headers import TensorHeader
from core.errors import UserFacingError

PACKAGES = {
    "bitsandbytes": ("bitsandbytes",),
    "gptq": ("gptqmodel", "optimum"),
    "awq": ("gptqmodel",),
    "hqq": ("hqq",),
    "compressed-tensors": ("compressed-tensors",),
    "torchao": ("torchao",),
    "quanto": ("optimum-quanto",),
    "aqlm": ("aqlm",),
    "auto-round": ("auto-round",),
    "quark": ("amd-quark",),
    "fp8": (),
    "mxfp4": (),
}
"""What reads the weights of each method beside transformers; others say it when they are loaded."""
PACKED = {
    re.compile(rf"\.(?:{names})$"): method
    for names, method in {
        r"weight\.absmax|weight\.quant_state\.\w+|SCB": "bitsandbytes",
        "qweight|qzeros": "GPTQ or AWQ",
        "W_q": "HQQ",
        "weight_packed": "compressed-tensors",
        r"_?weight_qdata": "torchao",
        "weight_scale_inv": "fp8",
        r"\w+_blocks": "mxfp4",
    }.items()
}
"""Names that only quantised weights have."""
FLOATS = {"F64", "F32", "F16", "BF16"}
MAY_BE_FLOATS = {"bitnet", "fp_quant", "sinq"}
"""Methods that may quantise while they load."""


def check_quantised(
    path: Path, config: Mapping[str, Any], tensors: Mapping[str, TensorHeader]
) -> None:
    """Check that config.json and the tensors agree, and that what reads the weights is installed.

    Args:
        config: the content of config.json.
        tensors: empty where they are not known.

    Raises:
        UserFacingError: they do not, or a package is not installed.
    """
    if config.get("quantization") and any(name.endswith(".scales") for name in tensors):
        raise UserFacingError(
            f"{path} is quantised by MLX: make a model of transformers of it with 'mlx_lm.fuse "
            f"--dequantize', or choose the folder of its full-precision weights."
        )
    said = config.get("quantization_config")
    packed = _packed(tensors)
    if not said:
        if packed:
            raise UserFacingError(
                f"The weights in {path} are quantised ({packed}), but its config.json does not say "
                f"how (no quantization_config): copy config.json from where they were saved."
            )
        return
    method = str(said.get("quant_method") or "")
    if not method and (said.get("load_in_4bit") or said.get("load_in_8bit")):
        method = "bitsandbytes"
    may_be_floats = method in MAY_BE_FLOATS or said.get("format") == "dense"
    if tensors and not packed and not may_be_floats:
        raise UserFacingError(
            f"{path / 'config.json'} says that the weights are quantised ({method}), but they are "
            f"full-precision ones ({_format(tensors)}): delete quantization_config from it if "
            f"they were merged or trained so, or choose another checkpoint."
        )
    missing = [name for name in PACKAGES.get(method, ()) if not _is_installed(name)]
    if missing:
        raise UserFacingError(
            f"The weights in {path} are quantised ({method}), which needs {' and '.join(missing)}: "
            f"pip install {' '.join(missing)}, or choose its full-precision weights."
        )


def _packed(tensors: Mapping[str, TensorHeader]) -> str:
    """Return by what, or in which format, tensors are quantised; "" if they are not."""
    for name, tensor in tensors.items():
        for form, method in PACKED.items():
            if form.search(name):
                return method
        if name.endswith("weight") and tensor.dtype not in FLOATS and len(tensor.shape) > 1:
            return tensor.dtype
    return ""


def _format(tensors: Mapping[str, TensorHeader]) -> str:
    return max(tensors.values(), key=lambda it: it.bytes).dtype


def _is_installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
