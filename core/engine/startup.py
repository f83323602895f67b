"""What starting needs so that the window stays alive: how torch is imported, when garbage waits.

The window and the engine share one Python, whose lock an import or a full garbage collection holds
while it runs; the window stands still meanwhile. Each trick says what was measured without it.
Knows Python and torch's files; knows nothing of pairs.
"""

import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def open_torch_library() -> None:
    """Open torch's largest library before its import does so, which would hold Python's lock.

    The window stood still for 0.2 s of it. A foreign call releases the lock; ``ctypes.CDLL`` does
    not. Where this fails, or on Windows, the import does all by itself.
    """
    package = importlib.util.find_spec("torch")
    if "torch" in sys.modules or package is None or package.origin is None:
        return
    suffix = {"linux": "so", "darwin": "dylib"}.get(sys.platform)
    if suffix is None:
        return
    path = Path(package.origin).parent / "lib" / f"libtorch_cpu.{suffix}"
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    dlopen(os.fsencode(path), os.RTLD_NOW)


@contextmanager
def no_full_collections() -> Iterator[None]:
    """Keep Python from full garbage collections while libraries and models are loaded.

    They leave some 400,000 objects that stay, and Python would look at all of them over and over
    (measured: seven times, up to 0.2 s each). Young garbage is collected as ever. At the end all
    that is there is frozen: later collections leave it out.
    """
    usual = gc.get_threshold()
    gc.set_threshold(10_000, 1_000, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.freeze()


def collect_frozen(collect: Callable[[], object]) -> None:
    """Free what was frozen and is used no more: weights hang in cycles, which no collection of
    the others would find. ``collect``: has all garbage collected."""
    if gc.get_freeze_count():
        gc.unfreeze()
        collect()
        gc.freeze()


def thaw() -> None:
    """Let collections look at everything again."""
    gc.unfreeze()
