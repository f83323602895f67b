"""The process of a training run: started, stopped, resumed, and found again.

It has a session of its own, so it outlives the window and the window's crash; what it prints is
RUN/output.txt. What is known of it lies in the run's folder and in a list of runs in the user's
data folder. Knows nothing of what the process does (core.training.worker).
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import UserFacingError
from core.runs.records import ABOUT
from core.training.job import (
    OUTPUT,
    PROGRESS,
    STOP,
    TrainingJob,
    now,
    prepared,
    read_about,
    read_job,
    update_about,
    write_job,
)

ROOT = Path(__file__).resolve().parents[2]
REMEMBERED = 50
BORN_WITHIN = 1.5
"""Seconds by which a process's time of birth may be off and it is still the same one."""
TAIL = 20_000
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
    write_job(job)
    _launch(Path(job.out))
    return Path(job.out)


def resume(run: Path) -> None:
    """Resume a run from its last whole checkpoint.

    Raises:
        UserFacingError: it runs, it is no run of ours, or it is done.
    """
    run = run.absolute()
    read_job(run)
    state = state_of(run)
    if state.running:
        raise UserFacingError(f"{run} is being trained already.")
    if state.phase == "done":
        raise UserFacingError(f"{run} is done: start a new run to train for longer.")
    require_training()
    (run / STOP).unlink(missing_ok=True)
    _launch(run)


def stop(run: Path) -> None:
    """Ask a run to save a checkpoint and end, which it does after the step it is at.

    Raises:
        UserFacingError: it does not run, or its folder cannot be written.
    """
    if not state_of(run).running:
        raise UserFacingError(f"{run} is not being trained.")
    try:
        (run / STOP).touch()
    except OSError as error:
        raise UserFacingError(
            f"{run / STOP} cannot be made ({error.strerror}): end the process by hand."
        ) from error


def state_of(run: Path) -> RunState:
    """Return where a run is, by its files and by whether its process lives.

    Raises:
        UserFacingError: it is no run that Qscope started.
    """
    state = read_about(run).get("state")
    state = state if isinstance(state, dict) else {}
    try:
        table = json.loads((run / PROGRESS).read_text("utf-8"))
        progress = str(table["stage"]), int(table["step"]), int(table["of"])
    except (OSError, ValueError, KeyError, TypeError):
        progress = "", 0, 0
    if state.get("ended"):
        phase = ENDS.get(str(state.get("outcome")), "failed")
        return RunState(run, phase, *progress, str(state.get("message", "")))
    if not state.get("pid"):
        return RunState(run, "new")
    if not is_alive(int(state["pid"]), state.get("born")):
        return RunState(run, "failed", *progress, last_words(run))
    if (run / STOP).exists():
        return RunState(run, "stopping", *progress)
    return RunState(run, "training" if progress[2] else "starting", *progress)


def is_alive(pid: int, born: float | None) -> bool:
    """Return whether the process that was born then still runs; its number may be another's now."""
    import psutil

    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return born is None or abs(process.create_time() - born) < BORN_WITHIN
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def last_words(run: Path) -> str:
    """Return what a process that ended without a sentence of its own may have died of."""
    try:
        with (run / OUTPUT).open("rb") as file:
            file.seek(max(0, (run / OUTPUT).stat().st_size - TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in reversed(lines):
        if re.match(r"[\w.]*(Error|Exception|Killed|Segmentation)\b", line.strip()):
            return f"the process died ({line.strip()}); all it said is in {run / OUTPUT}."
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


def _launch(run: Path) -> None:
    remember(run)
    (run / PROGRESS).unlink(missing_ok=True)
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
    try:
        with (run / OUTPUT).open("ab") as output:
            child = subprocess.Popen(
                command(run), cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, **alone,
            )  # fmt: skip
        _children[child.pid] = child
        update_about(
            run,
            {
                "pid": child.pid, "born": _born(child.pid), "ended": None, "exit": None,
                "outcome": "", "message": "", "started": now(),
            },
        )  # fmt: skip
    except OSError as error:
        raise UserFacingError(
            f"The training process could not be started ({error.strerror or error}): free some "
            f"space, or choose another folder."
        ) from error


def _born(pid: int) -> float | None:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


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
        found = json.loads((data_folder() / "runs.json").read_text("utf-8"))
        return [Path(run) for run in found if (Path(run) / ABOUT).is_file()]
    except (OSError, ValueError, TypeError):
        return []


def remember(run: Path) -> None:
    """Put a run on the list; one that cannot be written stops nobody."""
    listed = list(dict.fromkeys(map(str, (run, *known_runs()))))[:REMEMBERED]
    with contextlib.suppress(OSError):
        data_folder().mkdir(parents=True, exist_ok=True)
        (data_folder() / "runs.json").write_text(json.dumps(listed), "utf-8")


def running_runs() -> list[Path]:
    """Return the known runs whose process lives."""
    found = []
    for run in known_runs():
        with contextlib.suppress(UserFacingError):
            if state_of(run).running:
                found.append(run)
    return found
