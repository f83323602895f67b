"""A training job: every choice of a run, its checks, and the file in the run's folder with it.

RUN/qscope-run.json (core.runs.records.ABOUT) holds the job's fields, what the run came from
(``base``, ``reference``) and its ``state``. The dialog and ``train start`` are made from the job's
settings. Imports no model library: the window fills these records in.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.checkpoints.describe import describe
from core.errors import UserFacingError
from core.failures import in_words
from core.files import NO_LINK, entries, is_possible, open_file, read_file
from core.runs.records import ABOUT
from core.setting import problems_of, setting
from core.training.lock import LOCK

CHECKPOINTS = 12
"""About so many are saved, where the job does not say how often."""
MOST_STEPS = 10_000_000
LOG = "log.jsonl"
"""The log records of a run as they come, in its folder (those of SFT in its folder sft)."""
OUTPUT = "output.txt"
"""What the process of a run prints, in its folder."""
PROGRESS = "progress.json"
"""Where the run is: {"stage", "step", "of"}."""
SMALL = 1 << 20
"""Bytes of a run's file about itself at most: it holds a page of settings."""
STOP = "stop"
"""A file that asks the run to save a checkpoint and end."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Choices of a run. Paths are absolute once ``prepared`` has been through them."""

    data: str
    """Preference pairs, as core.preferences reads them."""
    out: str
    """The run's folder."""
    base: str = ""
    """A model's folder; "" is the base that is trained unasked (core.checkpoints.named)."""
    sft: bool = True
    """Fine-tune on prompt and chosen first; the result is then the reference."""
    sft_steps: int = setting(60, "Steps of SFT", "Steps of SFT", 1, MOST_STEPS)
    sft_rate: float = setting(
        2e-4, "Learning rate of SFT", "Peak learning rate of SFT", 0, above=True
    )
    beta: float = setting(
        0.1, "Beta", "β of DPO: the strength of the KL penalty that holds π near π_ref",
        0, above=True,
    )  # fmt: skip
    rank: int = setting(16, "Rank", "Of the LoRA adapter; 0 trains all parameters", 0, 4096)
    alpha: int = setting(
        32, "Alpha", "Of the LoRA adapter: what it adds is weighed by alpha / rank", 1, 65536
    )
    steps: int = setting(120, "Steps of DPO", "Steps of DPO", 1, MOST_STEPS)
    batch_size: int = setting(4, "Batch size", "Pairs that one device takes at once", 1, 65536)
    accumulation: int = setting(2, "Accumulation", "Batches that make a step", 1, 65536)
    learning_rate: float = setting(
        5e-5, "Learning rate of DPO", "Peak learning rate of DPO", 0, above=True
    )
    save_steps: int = setting(
        0, "Steps between checkpoints", f"Steps between checkpoints; 0: about {CHECKPOINTS} in all",
        0, MOST_STEPS, unit="steps",
    )  # fmt: skip
    max_length: int = setting(
        1024, "Longest text", "Tokens of prompt and response; what is longer is cut off",
        8, 10_000_000, unit="tokens",
    )  # fmt: skip
    seed: int = setting(
        0, "Seed", "Of the order of the pairs and of the fresh adapter", 0, 2**32 - 1
    )
    chat: bool = True
    """Plain text is put into the base's chat template, if it has one, as the window shows it."""

    def saves_every(self) -> int:
        """Return the steps between two checkpoints."""
        return self.save_steps or max(1, self.steps // CHECKPOINTS)

    def logs_every(self) -> int:
        """Return the steps between two log records: at most 5, and one at each checkpoint."""
        return max(n for n in range(1, 6) if self.saves_every() % n == 0)

    def saves(self) -> int:
        """Return how many checkpoints there will be; the last step is always one."""
        return -(-self.steps // self.saves_every())


def problems(job: TrainingJob) -> dict[str, str]:
    """Return a sentence for each field that cannot be used, by the field's name.

    Looks at files' names and headers only; what the data hold is not read.
    """
    found = problems_of(job)
    for name, check, path in (
        ("base", _check_base, job.base),
        ("data", _check_data, job.data),
        ("out", _check_out, job.out),
    ):
        try:
            check(path)
        except UserFacingError as error:
            found[name] = str(error)
    return found


def _check_base(base: str) -> None:
    if not base:
        return
    with in_words("The base", base, "choose the folder of a whole model"):
        model = describe(_path(base))
    if model.kind == "adapter":
        raise UserFacingError(
            f"{base} is an adapter: choose the folder of a whole model, to be trained on."
        )
    if model.path.is_file() or model.quantized:
        raise UserFacingError(
            f"The weights in {base} are quantised or GGUF: choose the folder of the full-precision "
            f"model, to be trained on."
        )
    if not model.has_tokenizer:
        raise UserFacingError(f"{base} has no tokenizer: copy its files into that folder.")


def _check_data(data: str) -> None:
    if not data:
        raise UserFacingError("Choose a file of preference pairs.")
    if not _path(data).exists():
        raise UserFacingError(f"{data} is not there: choose a file of preference pairs.")


def _check_out(out: str) -> None:
    if not out:
        raise UserFacingError("Choose a folder for the run.")
    path = _path(out)
    try:
        if (path / ABOUT).exists():
            raise UserFacingError(
                f"{path} holds a run already: resume that one, or choose another folder."
            )
        if path.is_dir() and any(entry.name != LOCK for entry in entries(path)):
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


def _path(text: str) -> Path:
    """Return a path that was typed or read.

    Raises:
        UserFacingError: it can be none.
    """
    try:
        if is_possible(text):
            return Path(text).expanduser()
    except RuntimeError:  # the home of a user that there is not
        pass
    raise UserFacingError(f"{text[:300]!r} is no possible path: choose another.")


def check_again(job: TrainingJob) -> None:
    """Check the job of a run that may have come from somebody else, as that of a new one is.

    Raises:
        UserFacingError: its model, its pairs or its settings cannot be used, or its folder has
            links through which training would write somewhere else.
    """
    run = Path(job.out)
    for name in ("base", "data"):
        path = getattr(job, name)
        if path and not _path(path).is_absolute():
            raise UserFacingError(
                f"{run / ABOUT} names {path[:300]!r} as {name}, which is no whole path of this "
                f"machine: start a new run."
            )
    found = problems(job)
    found.pop("out", None)  # its folder is not empty
    for sentence in found.values():
        raise UserFacingError(sentence)
    for folder in (run, run / "sft"):
        for entry in entries(folder):
            if entry.is_symlink():
                raise UserFacingError(
                    f"{entry.path} is a link, through which training would write somewhere else: "
                    f"put there what it leads to, then resume the run."
                )
            if entry.name in (ABOUT, LOG, OUTPUT, PROGRESS, STOP) and not entry.is_file():
                raise UserFacingError(
                    f"{entry.path} is no file: move it away, then resume the run."
                )


def prepared(job: TrainingJob) -> TrainingJob:
    """Return the same job with absolute paths, so that it means the same in any process.

    Raises:
        UserFacingError: a field cannot be used.
    """
    for sentence in problems(job).values():
        raise UserFacingError(sentence)

    def absolute(text: str) -> str:
        return str(_path(text).absolute()) if text else ""

    return replace(job, data=absolute(job.data), out=absolute(job.out), base=absolute(job.base))


# --- the file -------------------------------------------------------------------------------


def read_about(run: Path) -> dict[str, Any]:
    """Return what the file of a run says; ``state`` in it is a table.

    Raises:
        UserFacingError: there is none, or it cannot be read.
    """
    path = run / ABOUT
    try:
        about = json.loads(read_file(path, SMALL).decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise UserFacingError(
            f"{run} is not a run that Qscope started: it has no {ABOUT}."
        ) from error
    except OSError as error:
        raise UserFacingError(
            f"{run} is not a run that Qscope started ({ABOUT} cannot be read there: "
            f"{error.strerror or error})."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserFacingError(f"{path} is damaged, it is not JSON: start a new run.") from error
    if not isinstance(about, dict):
        raise UserFacingError(f"{path} is damaged, it is not a table: start a new run.")
    state = about.get("state")
    return {**about, "state": state if isinstance(state, dict) else {}}


def read_job(run: Path) -> TrainingJob:
    """Return the job of a run, wherever its folder has moved.

    Raises:
        UserFacingError: as ``read_about``, or the file holds no job.
    """
    import msgspec

    about = read_about(run)
    table = {**about, "out": str(run.absolute())}
    if about.get("demo_base"):
        table["base"] = ""
    try:
        return msgspec.convert(table, TrainingJob)
    except (msgspec.ValidationError, OverflowError, UnicodeEncodeError) as error:
        raise UserFacingError(
            f"{run / ABOUT} does not say how to train: start a new run."
        ) from error


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
    table["state"] |= state or {}
    write_json(run / ABOUT, table)


def now() -> str:
    """Return the time for a run's state."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_json(path: Path, table: Any) -> None:
    """Write a small file, whole or not at all; on a full disk over the old one, in place.

    A link in its place, or beside it, is never followed.
    """
    data = (json.dumps(table, indent=1) + "\n").encode()
    beside = path.with_name(path.name + ".new")
    try:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        with beside.open("xb") as file:
            file.write(data)
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        with open_file(path, os.O_RDWR | NO_LINK) as file:  # its blocks are there already
            file.write(data)
            file.truncate()
