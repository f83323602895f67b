"""What is asked of a training run, checked, and the file in the run's folder that says it.

RUN/qscope-run.json (core.runs.records.ABOUT) holds the job's fields, what the run came from
(``base``, ``reference``) and its ``state``. Imports no model library: the window
fills these records in.
"""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.checkpoints.describe import describe
from core.engine.protocol import DEFAULT_BETA
from core.errors import UserFacingError
from core.runs.records import ABOUT

CHECKPOINTS = 12
"""About so many are saved, where the job does not say how often."""
MOST_STEPS = 10_000_000
LOG = "log.jsonl"
"""The log records of a run as they come, in its folder (those of SFT in its folder sft)."""
OUTPUT = "output.txt"
"""What the process of a run prints, in its folder."""
PROGRESS = "progress.json"
"""Where the run is: {"stage", "step", "of"}."""
STOP = "stop"
"""A file that asks the run to save a checkpoint and end."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Every choice of a run. Paths are absolute once ``prepared`` has been through them."""

    data: str
    """Preference pairs, as core.preferences reads them."""
    out: str
    """The run's folder."""
    base: str = ""
    """A model's folder; "" is the demo base."""
    sft: bool = True
    """Fine-tune on prompt and chosen first; the result is then the reference."""
    sft_steps: int = 60
    sft_rate: float = 2e-4
    beta: float = DEFAULT_BETA
    rank: int = 16
    """Of the LoRA adapter; 0 trains all parameters."""
    alpha: int = 32
    steps: int = 120
    batch_size: int = 4
    """Pairs that one device takes at once."""
    accumulation: int = 2
    """Batches that make a step."""
    learning_rate: float = 5e-5
    save_steps: int = 0
    """0: about CHECKPOINTS times."""
    max_length: int = 1024
    """Tokens of prompt and response; what is longer is cut off."""
    seed: int = 0
    chat: bool = True
    """Plain text is put into the base's chat template, if it has one, as the window shows it."""

    def saves_every(self) -> int:
        return self.save_steps or max(1, self.steps // CHECKPOINTS)

    def logs_every(self) -> int:
        """At most 5, and so that each checkpoint has a line of the log."""
        return max(n for n in range(1, 6) if self.saves_every() % n == 0)

    def saves(self) -> int:
        """How many checkpoints there will be; the last step is always one."""
        return -(-self.steps // self.saves_every())


def problems(job: TrainingJob) -> dict[str, str]:
    """A sentence for each field that cannot be used, by the field's name.

    Looks at files' names and headers only; what the data hold is not read.
    """
    found: dict[str, str] = {}
    for name, low, high in (
        ("sft_steps", 1, MOST_STEPS),
        ("steps", 1, MOST_STEPS),
        ("rank", 0, 4096),
        ("alpha", 1, 65536),
        ("batch_size", 1, 65536),
        ("accumulation", 1, 65536),
        ("save_steps", 0, MOST_STEPS),
        ("max_length", 8, 10_000_000),
        ("seed", 0, 2**32 - 1),
    ):
        value = getattr(job, name)
        if not low <= value <= high:
            found[name] = f"{_words(name)} must be a whole number from {low} to {high}."
    for name in ("beta", "learning_rate", "sft_rate"):
        value = getattr(job, name)
        if not (math.isfinite(value) and value > 0):
            found[name] = f"{_words(name)} must be a number above 0."
    for name, check in (("base", _check_base), ("data", _check_data), ("out", _check_out)):
        try:
            check(getattr(job, name))
        except UserFacingError as error:
            found[name] = str(error)
    return found


def check(job: TrainingJob) -> None:
    """Raise UserFacingError for the first field that cannot be used."""
    for sentence in problems(job).values():
        raise UserFacingError(sentence)


def _words(name: str) -> str:
    return {
        "sft_steps": "The steps of SFT",
        "sft_rate": "The learning rate of SFT",
        "save_steps": "The steps between checkpoints",
    }.get(name, f"The {name.replace('_', ' ')}")


def _check_base(base: str) -> None:
    if not base:
        return
    if describe(Path(base)).kind == "adapter":
        raise UserFacingError(
            f"{base} is an adapter: choose the folder of a whole model, to be trained on."
        )
    if not describe(Path(base)).has_tokenizer:
        raise UserFacingError(f"{base} has no tokenizer: copy its files into that folder.")


def _check_data(data: str) -> None:
    if not data:
        raise UserFacingError("Choose a file of preference pairs.")
    if not Path(data).expanduser().exists():
        raise UserFacingError(f"{data} is not there: choose a file of preference pairs.")


def _check_out(out: str) -> None:
    if not out:
        raise UserFacingError("Choose a folder for the run.")
    path = Path(out).expanduser()
    try:
        if (path / ABOUT).exists():
            raise UserFacingError(
                f"{path} holds a run already: resume that one, or choose another folder."
            )
        if path.is_dir() and any(path.iterdir()):
            raise UserFacingError(f"{path} is not empty: choose a new folder for the run.")
        if path.exists() and not path.is_dir():
            raise UserFacingError(f"{path} is a file: choose a new folder for the run.")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be used ({error.strerror or error}): choose another folder."
        ) from error
    if not os.access(parent, os.W_OK):
        raise UserFacingError(f"{parent} may not be written to: choose another folder.")


def prepared(job: TrainingJob) -> TrainingJob:
    """The same job with absolute paths, so that it means the same in any process."""

    def absolute(text: str) -> str:
        return str(Path(text).expanduser().absolute()) if text else ""

    return replace(job, data=absolute(job.data), out=absolute(job.out), base=absolute(job.base))


# --- the file -------------------------------------------------------------------------------


def read_about(run: Path) -> dict[str, Any]:
    """What the file of a run says.

    Raises:
        UserFacingError: there is none, or it cannot be read.
    """
    path = run / ABOUT
    try:
        about = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UserFacingError(
            f"{run} is not a run that Qscope started ({ABOUT} cannot be read there)."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserFacingError(f"{path} is damaged: it is not JSON.") from error
    if not isinstance(about, dict):
        raise UserFacingError(f"{path} is damaged: it is not a table.")
    return about


def read_job(run: Path) -> TrainingJob:
    """The job of a run, wherever its folder has moved.

    Raises:
        UserFacingError: as ``read_about``, or the file holds no job.
    """
    about = read_about(run)
    table = {"out": str(run.absolute()), **_job_fields(about)}
    if about.get("demo_base"):
        table["base"] = ""
    try:
        job = TrainingJob(**table)
        for field in fields(TrainingJob):
            value, kind = getattr(job, field.name), field.type
            right = isinstance(value, int | float) if kind is float else type(value) is kind
            if not right or (kind is float and isinstance(value, bool)):
                raise TypeError(field.name)
    except TypeError as error:
        raise UserFacingError(f"{run / ABOUT} does not say how to train: start a new run.") from (
            error
        )
    return job


def _job_fields(about: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(TrainingJob)} - {"out"}
    return {name: value for name, value in about.items() if name in names}


def write_job(job: TrainingJob) -> None:
    """Make the run's folder and its file, not started yet."""
    run = Path(job.out)
    table = {"qscope": "run", **asdict(job), "demo_base": not job.base, "state": {}}
    del table["out"]
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / ABOUT, table)
    except OSError as error:
        raise UserFacingError(
            f"{run} cannot be written ({error.strerror or error}): choose another folder."
        ) from error


def update_about(run: Path, state: Mapping[str, Any] | None = None, **about: Any) -> None:
    """Change what the file says; ``state`` is merged into the state that is there."""
    table = read_about(run)
    table |= about
    table["state"] = {**table.get("state", {}), **(state or {})}
    write_json(run / ABOUT, table)


def now() -> str:
    """The time for a run's state."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Write a small file, whole or not at all; on a full disk over the old one, in place."""
    data = (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        with path.open("r+b") as file:  # its blocks are there already
            file.write(data)
            file.truncate()
