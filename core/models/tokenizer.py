"""Loading a tokenizer from a checkpoint's folder or a GGUF file. Knows nothing of models."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import UserFacingError
from core.failures import in_words

SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
"""Vocabularies that only sentencepiece's own format has."""
COPY = "copy its files again from the model that it is of"
READERS = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
"""What reads them: the modules, with the packages that bring them."""


def load_tokenizer(path: Path, allow_remote_code: bool = False) -> Any:
    """Return transformers' tokenizer of a checkpoint; a GGUF file's with its chat template.

    Raises:
        UserFacingError: a package that its format needs is not installed, or its files are damaged.
    """
    from transformers import AutoTokenizer

    if path.is_file():
        with in_words("The tokenizer in", path, COPY):
            return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    only = [name for name in SENTENCEPIECE if (path / name).is_file()]
    if only and not (path / "tokenizer.json").is_file():
        missing = [package for module, package in READERS.items() if not _is_there(module)]
        if missing:
            raise UserFacingError(
                f"The tokenizer in {path} is a {only[0]} of sentencepiece, which needs "
                f"{' and '.join(missing)}: pip install {' '.join(missing)}."
            )
    with in_words("The tokenizer in", path, COPY):
        return AutoTokenizer.from_pretrained(path, trust_remote_code=allow_remote_code)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False
