"""Estimate of the disk space that a run will take.

Reads the headers of the base's weights. How long a run takes is not said: that depends on the
machine, and the first steps show it.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from core.checkpoints.describe import Checkpoint, describe
from core.training.job import TrainingJob

FLOAT = 4
MOMENTS = 2 * FLOAT
"""Bytes of a parameter in AdamW's state, which each checkpoint holds so that it can be resumed."""
NOT_ADAPTED = ("embed", "wte", "wpe", "lm_head", "embed_out")


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes on disk: ``each`` of a checkpoint, ``once`` of the SFT result, ``free`` on the disk."""

    each: int
    checkpoints: int
    once: int
    free: int

    @property
    def total(self) -> int:
        return self.each * self.checkpoints + self.once

    @property
    def fits(self) -> bool:
        return self.total < self.free


def cost_of(job: TrainingJob, base: Path) -> Cost:
    """Return what a job takes, trained on the model in ``base``.

    Raises:
        UserFacingError: the base cannot be read.
    """
    model = describe(base)
    trained = adapted(model, job.rank) if job.rank else model.parameters
    files = sum(path.stat().st_size for path in base.glob("token*")) + 20_000
    # TRL keeps the adapter that DPO began with beside each checkpoint.
    copies = 2 if job.rank and job.sft else 1
    return Cost(
        each=trained * (copies * FLOAT + MOMENTS) + files,
        checkpoints=job.saves(),
        once=trained * FLOAT + files if job.sft else 0,
        free=free_bytes(Path(job.out)),
    )


def adapted(model: Checkpoint, rank: int) -> int:
    """Return the parameters of a LoRA adapter on all linear layers but the head."""
    return sum(
        rank * sum(tensor.shape)
        for name, tensor in model.tensors.items()
        if len(tensor.shape) == 2 and not any(part in name for part in NOT_ADAPTED)
    )


def free_bytes(path: Path) -> int:
    """Return what the disk of a folder, which need not be there yet, has left."""
    there = next(
        folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists()
    )
    return shutil.disk_usage(there).free
