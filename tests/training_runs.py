"""A tiny base, eight pairs and a job of a few steps, for the tests of training runs."""

import json

from core.training.job import TrainingJob, write_job
from tests.tiny import save_model

PAIRS = [
    {"prompt": f"Summarise post {n}.", "chosen": f"It is {n}.", "rejected": f"It was {n + 1}!"}
    for n in range(8)
]


def write_pairs(folder):
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS), "utf-8")
    return path


def tiny_job(folder, name="run", **changes):
    """A job in ``folder`` whose base and data are there; its run is ``folder/name``."""
    base = folder / "base"
    if not base.exists():
        save_model(base)
    usual = {
        "data": str(write_pairs(folder)), "out": str(folder / name), "base": str(base),
        "sft_steps": 2, "steps": 3, "rank": 2, "alpha": 4, "batch_size": 4, "accumulation": 1,
        "learning_rate": 0.01, "sft_rate": 0.01, "max_length": 128,
    }  # fmt: skip
    return TrainingJob(**{**usual, **changes})


def written(folder, name="run", **changes):
    """The folder of a run that is asked for and not started."""
    job = tiny_job(folder, name, **changes)
    write_job(job)
    return folder / name
