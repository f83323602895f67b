"""Checks what Qt needs of the machine before the first window, and says in one sentence what lacks.

On Linux Qt's wheels leave some libraries to the system, and without them Qt ends the process with
an abort that no Python code can catch. Knows the loader and display variables; imports no Qt by
itself.
"""

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

from core.errors import UserFacingError

DEBIAN = (
    "libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libwayland-cursor0"
)
FEDORA = (
    "libglvnd-egl libglvnd-glx glib2 dbus-libs fontconfig libxkbcommon-x11 xcb-util-cursor "
    "xcb-util-wm xcb-util-keysyms libwayland-cursor"
)


def require_qt() -> None:
    """Check that Qt can start.

    Raises:
        UserFacingError: a library is missing, or there is no display.
    """
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        raise UserFacingError(missing_library(str(error))) from error
    if sys.platform.startswith("linux") and not os.environ.get("QT_QPA_PLATFORM"):
        require_display()


def missing_library(reason: str) -> str:
    """Return the sentence for a lacking library; ``reason`` is the loader's message."""
    library = reason.partition(":")[0].strip()
    if not sys.platform.startswith("linux"):
        return f"Qt cannot be loaded ({reason}); run 'pip install --force-reinstall -e .'."
    return (
        f"Qt lacks the system library {library}: install on Debian or Ubuntu with "
        f"'sudo apt-get install {DEBIAN}', on Fedora with 'sudo dnf install {FEDORA}'."
    )


def require_display() -> None:
    """Check on Linux that a display is named and that Qt's plugin for it loads.

    Raises:
        UserFacingError: there is none, or no plugin loads.
    """
    names = {"WAYLAND_DISPLAY": "libqwayland.so", "DISPLAY": "libqxcb.so"}
    plugins = [plugin for variable, plugin in names.items() if os.environ.get(variable)]
    if not plugins:
        raise UserFacingError(
            "There is no display to open a window on: start Qscope from a desktop session, or use "
            "'python main.py --screenshot FILE.png' or 'python main.py score --help'."
        )
    reasons = [reason for plugin in plugins if (reason := load_failure(plugin))]
    if len(reasons) == len(plugins):
        raise UserFacingError(missing_library(reasons[-1]))


def load_failure(plugin: str) -> str:
    """Return why one of Qt's platform plugins cannot be loaded; "" if it can, or is not there."""
    package = importlib.util.find_spec("PySide6")
    roots = package.submodule_search_locations if package else None
    for root in roots or ():
        path = Path(root, "Qt", "plugins", "platforms", plugin)
        if path.exists():
            try:
                ctypes.CDLL(str(path))
            except OSError as error:
                return str(error)
    return ""
