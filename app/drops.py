"""Takes folders and files that are dropped on the window, wherever they land.

Text that is dropped is left to the editors. Knows paths; knows nothing of what they open.
"""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QAbstractScrollArea, QWidget


class FolderDrops(QObject):
    """An event filter over the window and its editors."""

    def __init__(self, window: QWidget, take: Callable[[list[str]], None]) -> None:
        """``take`` is given the paths that were dropped."""
        super().__init__(window)
        self._take = take
        window.setAcceptDrops(True)
        window.installEventFilter(self)
        for area in window.findChildren(QAbstractScrollArea):
            area.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if not isinstance(event, QDropEvent | QDragEnterEvent | QDragMoveEvent):
            return super().eventFilter(watched, event)
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if not paths:
            return super().eventFilter(watched, event)
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self._take(paths)
        return True
