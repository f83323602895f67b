"""A cache on disk of what was found out about a kind of model or a processor.

It lies in the user's cache folder. An entry holds for its key, for this very code and for these
versions of the libraries. What cannot be read or written is found out again. Knows nothing of what
is cached.
"""

import hashlib
import json
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

from core.folders import cache_folder

log = logging.getLogger(__name__)

MOST = 500
"""Entries that a file holds; of more, the oldest are dropped."""


def recall(subject: str, key: Any) -> Any:
    """Return what was found out about ``key`` (anything that JSON can say); None if nothing was."""
    return _read(subject).get(_name(key))


def remember(subject: str, key: Any, found: Any) -> None:
    """Store what was found out about ``key``: anything that JSON can say but None."""
    noted = {**_read(subject), _name(key): found}
    path = _file(subject)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(dict(list(noted.items())[-MOST:])), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        log.info("%s is not cached: %s", subject, error)


def _file(subject: str) -> Path:
    return cache_folder() / f"{subject}.json"


def _read(subject: str) -> dict[str, Any]:
    try:
        found = json.loads(_file(subject).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _name(key: Any) -> str:
    said = [key, torch.__version__, transformers.__version__, _code()]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:24]


@cache
def _code() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
