"""Restarts Qscope in a process of its own, with the same pair and the texts as they were saved.

What a device has done to a process stays with that process; a new one has a sound device. Knows the
command line's options; knows nothing of windows.
"""

import sys

from PySide6.QtCore import QProcess

from core.engine.protocol import PairSpec


def restart_options(spec: PairSpec | None) -> list[str]:
    """Return the options of main.py that open this pair and the texts of the last session."""
    options = ["--restore"]
    if spec is None:
        return options
    named = {
        "--policy": spec.policy,
        "--reference": spec.reference,
        "--base": spec.base,
        "--run": spec.run,
        "--search-base": spec.search_base,
        "--loss": spec.loss,
        "--trainer": spec.trainer,
        "--device": spec.device,
        "--dtype": spec.dtype,
    }
    for option, value in named.items():
        if value:
            options += [option, value]
    if spec.beta is not None:
        options += ["--beta", repr(spec.beta)]
    if spec.plain:
        options.append("--plain")
    if spec.allow_pickle:
        options.append("--allow-pickle")
    if spec.allow_remote_code:
        options.append("--trust-remote-code")
    return options


def restart(spec: PairSpec | None) -> bool:
    """Start this program again, as it was started but with this pair; return whether it did."""
    own = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    started, _ = QProcess.startDetached(sys.executable, [*own, *restart_options(spec)], "")
    return bool(started)
