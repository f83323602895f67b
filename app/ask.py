"""How the window asks for a path: three questions, each replaceable, so that tests can answer."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtWidgets import QFileDialog, QWidget


@dataclass
class AskPath:
    """Asks for a path; each question returns "" where the user chose none.

    ``file``: (title, filters), a file to read; ``folder``: (title); ``new_file``: (title, proposed
    name, filters), where to save.
    """

    file: Callable[[str, str], str]
    folder: Callable[[str], str]
    new_file: Callable[[str, str, str], str]


def dialogs(parent: QWidget) -> AskPath:
    """Return the questions as dialogs over ``parent``."""
    return AskPath(
        file=lambda title, filters: QFileDialog.getOpenFileName(parent, title, "", filters)[0],
        folder=lambda title: QFileDialog.getExistingDirectory(parent, title),
        new_file=lambda title, name, filters: QFileDialog.getSaveFileName(
            parent, title, name, filters
        )[0],
    )
