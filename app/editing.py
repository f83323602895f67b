"""Cut, copy, paste and select all, for the editor that has the keys.

They stand in the Edit menu for those who look there; the keys are the editors' own. Says when what
can be done may have changed, undo and redo too. Knows Qt's editors; knows nothing of texts.
"""

from PySide6.QtCore import QMetaObject, QObject, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLineEdit, QMenuBar, QPlainTextEdit, QWidget

from app.actions.action import Menu, action

Editor = QPlainTextEdit | QLineEdit


def focused_editor() -> Editor | None:
    """Return the editor that has the keys, if one has."""
    focused = QApplication.focusWidget()
    return focused if isinstance(focused, Editor) else None


def can_undo(editor: Editor) -> bool:
    """Return whether an editor has something to undo."""
    if isinstance(editor, QLineEdit):
        return editor.isUndoAvailable()
    return not editor.isReadOnly() and editor.document().isUndoAvailable()


def can_redo(editor: Editor) -> bool:
    """Return whether an editor has something to do again."""
    if isinstance(editor, QLineEdit):
        return editor.isRedoAvailable()
    return not editor.isReadOnly() and editor.document().isRedoAvailable()


def _has_selection(editor: Editor) -> bool:
    if isinstance(editor, QLineEdit):
        return editor.hasSelectedText()
    return editor.textCursor().hasSelection()


class Editing(QObject):
    """The clipboard's entries of one window's Edit menu."""

    changed = Signal()
    """Other things may be possible now."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._heard: list[QMetaObject.Connection] = []
        self._has_text = False
        """The clipboard has text: asked now and then, as its owner may take a while to say."""
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.focusChanged.connect(self._follow)
        QGuiApplication.clipboard().dataChanged.connect(self._look_at_clipboard)

    @Slot(QWidget, QWidget)
    def _follow(self, old: QWidget | None, new: QWidget | None) -> None:
        """Listen to the editor that has the keys now."""
        if isinstance(new, QMenuBar):
            return  # it gives the keys back before anything is done
        for one in self._heard:
            QObject.disconnect(one)
        self._heard = []
        if isinstance(new, QPlainTextEdit):
            signals = new.copyAvailable, new.undoAvailable, new.redoAvailable
            self._heard = [signal.connect(self._tell) for signal in signals]
        elif isinstance(new, QLineEdit):
            self._heard = [new.selectionChanged.connect(self._tell)]
            self._heard.append(new.textChanged.connect(self._tell))
        self._look_at_clipboard()

    @Slot()
    def _look_at_clipboard(self) -> None:
        data = QGuiApplication.clipboard().mimeData()
        self._has_text = data is not None and data.hasText()
        self.changed.emit()

    @Slot()
    def _tell(self) -> None:
        self.changed.emit()

    def _can_copy(self) -> bool:
        editor = focused_editor()
        return editor is not None and _has_selection(editor)

    def _can_cut(self) -> bool:
        editor = focused_editor()
        return editor is not None and not editor.isReadOnly() and _has_selection(editor)

    def _can_paste(self) -> bool:
        editor = focused_editor()
        return editor is not None and not editor.isReadOnly() and self._has_text

    def _has_editor(self) -> bool:
        return focused_editor() is not None

    @action(Menu.EDIT.at(0, 3), "C&ut", "Ctrl+X", "Take the selection out", enabled=_can_cut)
    def cut(self) -> None:
        """Cut the selection of the editor that has the keys."""
        if (editor := focused_editor()) is not None:
            editor.cut()

    @action(Menu.EDIT.at(0, 4), "C&opy", "Ctrl+C", "Copy the selection", enabled=_can_copy)
    def copy(self) -> None:
        """Copy the selection of the editor that has the keys."""
        if (editor := focused_editor()) is not None:
            editor.copy()

    @action(Menu.EDIT.at(0, 5), "P&aste", "Ctrl+V", "Put in what was copied", enabled=_can_paste)
    def paste(self) -> None:
        """Paste into the editor that has the keys."""
        if (editor := focused_editor()) is not None:
            editor.paste()

    @action(
        Menu.EDIT.at(0, 6),
        "Select a&ll",
        "Ctrl+A",
        "All of the text that has the caret",
        enabled=_has_editor,
    )
    def select_all(self) -> None:
        """Select all in the editor that has the keys."""
        if (editor := focused_editor()) is not None:
            editor.selectAll()
