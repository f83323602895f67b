"""What Qt needs of the machine: the sentences, and that the README says the same."""

import re
import sys
from pathlib import Path

import pytest

from app import system
from core.errors import UserFacingError

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's system libraries")


@pytest.mark.parametrize(
    ("command", "packages"), [("apt-get", system.DEBIAN), ("dnf", system.FEDORA)]
)
def test_the_readme_lists_the_same_packages(command: str, packages: str) -> None:
    found = re.search(rf"`sudo {command} install ([^`]*)`", README)
    assert found is not None
    assert found[1].split() == packages.split()


@linux
def test_a_library_that_is_missing_is_named() -> None:
    sentence = system.missing_library("libxcb-icccm.so.4: cannot open shared object file: No such")
    assert "library libxcb-icccm.so.4:" in sentence
    assert f"'sudo apt-get install {system.DEBIAN}'" in sentence
    assert f"'sudo dnf install {system.FEDORA}'" in sentence


@linux
def test_no_display_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserFacingError, match="no display"):
        system.require_qt()


@linux
@pytest.mark.parametrize("broken", [{"libqxcb.so"}, {"libqwayland.so"}])
def test_one_platform_plugin_that_loads_is_enough(
    broken: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setattr(
        system, "load_failure", lambda plugin: "libx.so.1: no" if plugin in broken else ""
    )
    system.require_display()


@linux
def test_a_platform_plugin_that_does_not_load_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(system, "load_failure", lambda plugin: "libxcb-cursor.so.0: no such file")
    with pytest.raises(UserFacingError, match=r"libxcb-cursor\.so\.0"):
        system.require_display()
