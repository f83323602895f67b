"""The process of a training run: started, stopped, resumed, and found again.

It has a session of its own, so it outlives the window and the window's crash; what it prints is
RUN/output.txt. What is known of it lies in the run's folder and in a list of runs in the user's
data folder. Whether it lives is told by the lock in the run's folder, and by what the records say
of the process; a run's folder may come from anybody, so no word in it is taken unlooked at. Knows
nothing of what the process does (core.training.worker).
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from core.errors import UserFacingError
from core.files import NO_LINK, open_file, read_file
from core.runs.records import ABOUT
from core.training.alive import elsewhere, identity, is_alive
from core.training.job import (
    OUTPUT,
    PROGRESS,
    SMALL,
    STOP,
    TrainingJob,
    check_again,
    now,
    prepared,
    read_about,
    read_job,
    update_about,
    write_job,
    write_json,
)
from core.training.lock import is_held, take

ROOT = Path(__file__).resolve().parents[2]
REMEMBERED = 50
TAIL = 20_000
LONGEST = 500
"""Characters that are shown of what a run's files say."""
Phase = Literal["starting", "training", "stopping", "done", "stopped", "failed", "new"]
ENDS: dict[str, Phase] = {"done": "done", "stopped": "stopped", "failed": "failed"}
_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Processes that this one started; they are asked now and then, so that none stays a zombie."""


@dataclass(frozen=True, slots=True)
class RunState:
    """Progress of a run: in ``stage``, what is being trained, it is at ``step`` of ``of``."""

    run: Path
    phase: Phase
    stage: str = ""
    step: int = 0
    of: int = 0
    message: str = ""
    """Why it failed, in a sentence."""

    @property
    def running(self) -> bool:
        return self.phase in ("starting", "training", "stopping")

    @property
    def resumable(self) -> bool:
        return self.phase in ("stopped", "failed", "new")

    def sentence(self) -> str:
        """Return the state in words."""
        where = f"{self.stage}, step {self.step} of {self.of}" if self.of else self.stage
        return {
            "new": "Not started",
            "starting": f"Starting: {self.stage or 'loading the model and the pairs'}",
            "training": f"Training: {where}",
            "stopping": f"Stopping after this step and saving a checkpoint: {where}".rstrip(": "),
            "done": f"Done: {where}".rstrip(": "),
            "stopped": f"Stopped: {where}".rstrip(": "),
            "failed": f"Failed: {self.message}",
        }[self.phase]


def start(job: TrainingJob) -> Path:
    """Start a run; return the folder to follow it by.

    Raises:
        UserFacingError: the job cannot be run, or the process not started.
    """
    job = prepared(job)
    require_training()
    run = Path(job.out)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserFacingError(
            f"{run} cannot be made ({error.strerror or error}): choose another folder."
        ) from error
    with take(run) as lock:
        if (run / ABOUT).exists():  # somebody was quicker
            raise UserFacingError(f"{run} holds a run already: choose another folder.")
        write_job(job)
        _launch(run, lock)
    return run


def resume(run: Path) -> None:
    """Resume a run from its last whole checkpoint, checked as ``start`` checks a new one.

    Raises:
        UserFacingError: it runs, it is no run of ours, it is done, or it cannot be run.
    """
    run = run.absolute()
    job = read_job(run)
    with take(run) as lock:  # nobody else can resume it from here on
        state = _state_of(run, held=False)
        if state.running:
            raise UserFacingError(f"{run} is being trained already.")
        if state.phase == "done":
            raise UserFacingError(f"{run} is done: start a new run to train for longer.")
        check_again(job)
        require_training()
        _launch(run, lock)


def stop(run: Path) -> None:
    """Ask a run to save a checkpoint and end, which it does after the step it is at.

    Raises:
        UserFacingError: it does not run, or its folder cannot be written.
    """
    if not state_of(run).running:
        raise UserFacingError(f"{run} is not being trained.")
    try:
        os.close(os.open(run / STOP, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK))
    except FileExistsError:
        pass  # it was asked to already
    except OSError as error:
        raise UserFacingError(
            f"{run / STOP} cannot be made ({error.strerror}): end the process by hand."
        ) from error


def state_of(run: Path) -> RunState:
    """Return where a run is, by its files and by whether its process lives.

    Raises:
        UserFacingError: it is no run that Qscope started.
    """
    return _state_of(run, is_held(run))


def _state_of(run: Path, held: bool) -> RunState:
    """``held``: whether somebody has the run's lock."""
    state = read_about(run)["state"]
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]
    progress = _progress(run)
    ended = bool(state.get("ended"))
    if held or (not ended and is_alive(state, mark=str(run.absolute() / ABOUT))):
        if ended or os.path.lexists(run / STOP):
            return RunState(run, "stopping", *progress)
        return RunState(run, "training" if progress[2] else "starting", *progress)
    if ended:
        phase = ENDS.get(str(state.get("outcome")), "failed")
        return RunState(run, phase, *progress, _shown(state.get("message", "")))
    if not state.get("pid"):
        return RunState(run, "new")
    if host := elsewhere(state):
        why = (
            f"it was started on {_shown(host)} and has not said how it ended: make sure that it "
            f"does not run there before you resume it here."
        )
        return RunState(run, "failed", *progress, why)
    return RunState(run, "failed", *progress, last_words(run))


def _progress(run: Path) -> tuple[str, int, int]:
    """Return the stage, the step and the last step that a run has noted; "", 0, 0 if none."""
    try:
        table = json.loads(read_file(run / PROGRESS, SMALL))
        stage, step, of = _shown(table["stage"]), table["step"], table["of"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return "", 0, 0
    fine = all(type(count) is int and 0 <= count < 2**31 for count in (step, of))
    return (stage, step, of) if fine else ("", 0, 0)


def _shown(text: object) -> str:
    """Return what a file says as one line for the eye."""
    if not isinstance(text, str):
        return ""
    return "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST])


def last_words(run: Path) -> str:
    """Return what a process that ended without a sentence of its own may have died of."""
    try:
        with open_file(run / OUTPUT) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read(TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in reversed(lines):
        if re.match(r"[\w.]*(Error|Exception|Killed|Segmentation)\b", line.strip()):
            return f"the process died ({_shown(line.strip())}); all it said is in {run / OUTPUT}."
    return (
        "the process ended without a word: it was killed, perhaps for want of memory. Resume "
        "continues from the last checkpoint."
    )


def require_training() -> None:
    """Raise UserFacingError where the libraries that train are not installed."""
    from importlib.util import find_spec

    for package in ("trl", "datasets", "accelerate", "psutil"):
        if find_spec(package) is None:
            raise UserFacingError(
                f"Training needs the package {package}: run pip install -e '.[train]' in the "
                f"folder of main.py."
            )


def command(run: Path) -> list[str]:
    """Return what is run: on all GPUs, or one process on the CPU; or as the user's accelerate
    config says."""
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return [
        sys.executable, "-m", "accelerate.commands.launch", "--quiet",
        "--num_cpu_threads_per_process", os.environ.get("OMP_NUM_THREADS") or str(processors),
        "-m", "core.training.worker", "--job", str(run / ABOUT),
    ]  # fmt: skip


def _launch(run: Path, lock: BinaryIO) -> None:
    """Start the process of a run; the run's ``lock`` is handed to it (core.training.lock)."""
    remember(run)
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore::FutureWarning",
        "TOKENIZERS_PARALLELISM": "false",
    }
    alone: dict[str, Any] = (
        {"creationflags": 0x00000200 | 0x00000008}  # a new group, no console
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    given = subprocess.DEVNULL if sys.platform == "win32" else lock
    try:
        for left in (PROGRESS, STOP):
            (run / left).unlink(missing_ok=True)
        update_about(
            run, {"pid": None, "ended": None, "exit": None, "outcome": "", "message": "",
                  "started": now()},
        )  # fmt: skip
        with open_file(run / OUTPUT, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_LINK) as output:
            child = subprocess.Popen(
                command(run), cwd=ROOT, env=environment, stdin=given,
                stdout=output, stderr=subprocess.STDOUT, **alone,
            )  # fmt: skip
    except OSError as error:
        raise UserFacingError(
            f"The training process could not be started ({error.strerror or error}): free some "
            f"space, or choose another folder."
        ) from error
    _children[child.pid] = child
    with contextlib.suppress(OSError):  # the process notes itself once more
        update_about(run, identity(child.pid))


# --- the list of runs -----------------------------------------------------------------------


def data_folder() -> Path:
    """Return the folder of this user's runs and of the list of them."""
    from platformdirs import user_data_path

    return user_data_path("qscope", appauthor=False)


def runs_folder() -> Path:
    """Return the folder of runs that no other was chosen for."""
    return data_folder() / "runs"


def known_runs() -> list[Path]:
    """Return the runs that were started on this machine and are still there, the last first."""
    try:
        found = json.loads(read_file(data_folder() / "runs.json", SMALL))
        listed = [Path(run) for run in found if isinstance(run, str)][:REMEMBERED]
        return [run for run in listed if run.is_absolute() and (run / ABOUT).is_file()]
    except (OSError, ValueError, RecursionError, TypeError):
        return []


def remember(run: Path) -> None:
    """Put a run on the list; one that cannot be written stops nobody."""
    listed = list(dict.fromkeys(map(str, (run, *known_runs()))))[:REMEMBERED]
    with contextlib.suppress(OSError):
        data_folder().mkdir(parents=True, exist_ok=True)
        write_json(data_folder() / "runs.json", listed)


def running_runs() -> list[Path]:
    """Return the known runs whose process lives."""
    found = []
    for run in known_runs():
        with contextlib.suppress(UserFacingError):
            if state_of(run).running:
                found.append(run)
    return found
