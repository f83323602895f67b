"""Trains a pair on planted pairs by the recipe of minutes: 8 steps of SFT, 40 of DPO.

Like ``python main.py train start`` on the demo's base, in a process of its own that is waited for.
"""

import json
import time
from pathlib import Path

from core.training import process
from core.training.job import TrainingJob
from tests.planted.data import Planted, pairs

SFT_STEPS, STEPS, BATCH = 8, 40, 8
RANK, ALPHA = 4, 8
"""Of the adapters, so that each is a file below 5 MB."""
POLL = 1.0
"""Seconds between two looks at a run."""


def job(planted: Planted, folder: Path, base: str = "") -> TrainingJob:
    """Return the training of a planted preference, its pairs written beside its run."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{planted.name}.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in pairs(planted)]
    data.write_text("".join(lines), encoding="utf-8")
    return TrainingJob(
        data=str(data),
        out=str(folder / planted.name),
        base=base,
        sft_steps=SFT_STEPS,
        steps=STEPS,
        save_steps=STEPS,
        batch_size=BATCH,
        accumulation=1,
        rank=RANK,
        alpha=ALPHA,
        learning_rate=planted.learning_rate,
    )


def train(planted: Planted, folder: Path) -> Path:
    """Return the folder of the finished run of a planted preference, trained if it is not there.

    Raises:
        RuntimeError: the training failed.
    """
    run = folder / planted.name
    if not run.exists():
        process.start(job(planted, folder))
    while (state := process.state_of(run)).running:
        print(f"\r{planted.name}: {state.sentence()}".ljust(70), end="", flush=True)
        time.sleep(POLL)
    print()
    if state.phase != "done":
        raise RuntimeError(f"{run}: {state.sentence()}")
    return run
