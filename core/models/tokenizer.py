"""Loading a tokenizer from a checkpoint's folder or a GGUF file. Knows nothing of models."""

import contextlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.checkpoints.limited import check_files
from core.checkpoints.tokenizing import COPY, FILES, check_tokenizer
from core.errors import UserFacingError
from core.failures import in_words
from core.models.config import load_config, offline

SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
"""Vocabularies that only sentencepiece's own format has."""
READERS = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
"""What reads them: the modules, with the packages that bring them."""


def load_tokenizer(path: Path, allow_remote_code: bool = False) -> Any:
    """Return transformers' tokenizer of a checkpoint; a GGUF file's with its chat template.

    Raises:
        UserFacingError: a package that its format needs is not installed, or its files are damaged.
    """
    from transformers import AutoTokenizer

    if path.is_file():
        check_files(path.parent, FILES)
        with in_words("The tokenizer in", path, COPY), offline():
            return AutoTokenizer.from_pretrained(
                str(path.parent),
                gguf_file=path.name,
                trust_remote_code=False,
                local_files_only=True,
            )
    only = [name for name in SENTENCEPIECE if (path / name).is_file()]
    if only and not (path / "tokenizer.json").is_file():
        missing = [package for module, package in READERS.items() if not _is_there(module)]
        if missing:
            raise UserFacingError(
                f"The tokenizer in {path} is a {only[0]} of sentencepiece, which needs "
                f"{' and '.join(missing)}: pip install {' '.join(missing)}."
            )
    check_tokenizer(path)
    with in_words("The tokenizer in", path, COPY), offline():
        return AutoTokenizer.from_pretrained(
            path,
            config=_config(path, allow_remote_code),
            trust_remote_code=allow_remote_code,
            local_files_only=True,
        )


def _config(folder: Path, allow_remote_code: bool) -> Any:
    """Return the configuration of the model beside a tokenizer, which says its class; one without
    entries where there is none, or of a kind that transformers does not know."""
    from transformers import PreTrainedConfig

    if (folder / "config.json").is_file():
        with contextlib.suppress(ValueError, OSError):
            return load_config(folder, allow_remote_code)
    return PreTrainedConfig()


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False
