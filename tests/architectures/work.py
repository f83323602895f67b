"""One family judged in a process of its own, forked from one that has imported the libraries.

Importing this module is what that process does first. Knows nothing of tables.
"""

import logging
import os
import resource
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import peft  # noqa: F401
import torch
import transformers  # noqa: F401

import core.models.load
import core.models.score
import core.search.run  # noqa: F401
from tests.architectures.judge import judge

SECONDS = 150
"""Of the processor for a family: one that hangs ends alone, however busy the machine is."""
MEMORY = 12 << 30
"""Bytes of address space for a family: a model that is not tiny fails alone."""


def work(name: str, answer: Connection) -> None:
    """Judge one family, quietly, and send its verdict."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    with tempfile.TemporaryDirectory(prefix="qscope-zoo-") as folder:
        answer.send(judge(name, Path(folder)).as_dict())
