"""Sweeps of beam widths over prompts (the paper's Fig. 2): searches, judges and statistics.

Imports nothing, so that judges and prompts can be announced before the window shows.
"""

from collections.abc import Callable

EXTENSIONS: dict[str, Callable[[], None]] = {}
"""By who brings more judges and sources of prompts what registers them with core.sweeps.judges and
core.sweeps.questions, as often as it is called."""


def extend() -> None:
    """Let all ``EXTENSIONS`` register what they bring."""
    for register in EXTENSIONS.values():
        register()
