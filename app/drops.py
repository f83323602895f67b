"""Folders dropped on the window, wherever they land, open as a pair; or as training runs, if the
training view is in front.

Text that is dropped is left to the editors.
"""

from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QAbstractScrollArea

from app.commands import WindowCommands


class FolderDrops(QObject):
    """An event filter over the window and its editors."""

    def __init__(self, window: WindowCommands) -> None:
        super().__init__(window)
        self._window = window
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
        if event.type() == QEvent.Type.Drop and not self._window.take_drop(paths):
            self._window.open_folders(paths[:2])
        return True
