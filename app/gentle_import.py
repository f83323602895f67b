"""Importing a large library of widgets in slices, between which the window lives on.

The one trick of starting on the window's side (core.engine.startup has the engine's). pyqtgraph
takes a quarter of a second to import, after a tenth for Qt's classes, which it needs: no key press
would be seen meanwhile. It has to happen on the GUI thread: PySide makes each of its classes when
it is first asked for, and two threads that ask for one at the same time crash (seen with 6.11.3, in
a thread of its own, in one of six stressed runs). Knows Python's import and Qt's event loop; knows
nothing of what is imported.
"""

import importlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from PySide6 import QtCore, QtGui, QtWidgets
from shiboken6 import isValid

SLICE = 0.006
"""Seconds after which the window may take its turn."""
_under_way: dict[str, list[tuple[QtCore.QObject, Callable[[], None]]]] = {}
"""Who waits for a library that is being imported."""


class Pauses(MetaPathFinder):
    """Finds no module; lets waiting events through before one of ``package`` is looked for."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._thread = threading.get_ident()
        self._turn = time.perf_counter()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        ours = fullname.partition(".")[0] == self._package
        if ours and threading.get_ident() == self._thread:
            self.pause()
        return None

    def pause(self) -> None:
        if time.perf_counter() - self._turn > SLICE:
            QtCore.QCoreApplication.processEvents()
            self._turn = time.perf_counter()


def import_gently(package: str) -> None:
    """Import a library that needs all of Qt's classes. Slots run meanwhile, as in a dialog."""
    pauses = Pauses(package)
    for module in (QtCore, QtGui, QtWidgets):
        for name in dir(module):
            getattr(module, name)  # makes the class
            pauses.pause()
    sys.meta_path.insert(0, pauses)
    try:
        importlib.import_module(package)
    finally:
        sys.meta_path.remove(pauses)


def import_then(package: str, owner: QtCore.QObject, then: Callable[[], None]) -> None:
    """Import a library gently, then call ``then``, unless ``owner`` has been deleted meanwhile.

    While a library is imported, slots run, and one of them may want the same library: it is
    called once all of it is there, and never finds half of it.
    """
    if package in _under_way:
        _under_way[package].append((owner, then))
        return
    _under_way[package] = [(owner, then)]
    try:
        import_gently(package)
    finally:
        waiting = _under_way.pop(package)
    for one, call in waiting:
        if isValid(one):
            call()
