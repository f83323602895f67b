"""Making transformers' configuration of a model, and models no larger than their weights.

A config.json may come from anybody. It is read under limits (core.checkpoints.config), and what was
checked is what transformers is given: it reads the file no second time. Nothing is fetched from a
network. Knows nothing of weights.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.checkpoints.config import OWN, read_config
from core.errors import UserFacingError

SPARE = 2**28
"""Numbers that a model may have beside those that are stored: buffers, and weights that are tied.
Of these it may have twice as many."""
PARTS, PER_TENSOR = 2**12, 64
"""Modules and tensors that a model may have, and so many more for each stored tensor."""


def load_config(folder: Path, allow_remote_code: bool = False) -> Any:
    """Return transformers' configuration of the model in a folder.

    Raises:
        UserFacingError: config.json cannot be read, or says what no model has.
        Exception: whatever transformers raises at what it says.
    """
    from transformers import AutoConfig

    said = read_config(folder)
    with offline():
        if allow_remote_code and said.get("auto_map"):
            config = AutoConfig.from_pretrained(
                folder, trust_remote_code=True, local_files_only=True
            )
            _drop_foreign_attention(config)
            return config
        with tempfile.TemporaryDirectory(prefix="qscope-config-") as room:
            (Path(room) / "config.json").write_text(json.dumps(said), encoding="utf-8")
            config = AutoConfig.from_pretrained(
                room, trust_remote_code=False, local_files_only=True
            )
    config._name_or_path = str(folder)
    return config


def _drop_foreign_attention(config: Any) -> None:
    """Remove attention functions that a config names and that may be code from a hub."""
    if config._attn_implementation not in OWN:
        config._attn_implementation = None
    for name in config.sub_configs:
        if (inner := getattr(config, name, None)) is not None:
            _drop_foreign_attention(inner)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Keep huggingface_hub, and all that asks it, from the network."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def no_larger_than(numbers: int, tensors: int, path: Path) -> Iterator[None]:
    """Stop models that are built inside from growing far beyond what is stored of them.

    They are counted while they are built, before memory is taken: what a config says is built
    though the weights hold nothing of it.

    Args:
        numbers, tensors: that are stored; at least so many, where that is not known.
        path: of the checkpoint, for the sentence.

    Raises:
        UserFacingError: a model has more.
    """
    from torch.nn.modules.module import (
        register_module_buffer_registration_hook,
        register_module_module_registration_hook,
        register_module_parameter_registration_hook,
    )

    counted, seen = 0, set[tuple[int, str]]()

    def count(module: Any, name: str, tensor: Any) -> None:
        nonlocal counted
        if tensor is not None and (id(module), name) not in seen:  # loading puts others there
            counted += tensor.numel()
            seen.add((id(module), name))
        if counted > 2 * numbers + SPARE:
            raise UserFacingError(
                f"The configuration in {path} is of a larger model than the weights there "
                f"({numbers:,} numbers): copy it from where they were saved."
            )

    def count_part(module: Any, name: str, part: Any) -> None:
        seen.add((id(module), name))
        if len(seen) > PARTS + PER_TENSOR * tensors:
            raise UserFacingError(
                f"The configuration in {path} is of a model with more layers than the weights "
                f"there ({tensors:,} tensors): copy it from where they were saved."
            )

    with contextlib.ExitStack() as stack:
        for hook in (
            register_module_parameter_registration_hook(count),
            register_module_buffer_registration_hook(count),
            register_module_module_registration_hook(count_part),
        ):
            stack.callback(hook.remove)
        yield
