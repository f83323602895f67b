"""Edits plain text with input methods: what is being composed stays where the caret is.

Qt shows the letters that are being composed (the preedit) at the caret with each event of the input
method, in the layout of the caret's paragraph, but leaves them there when the text or the caret
changes otherwise: at a place that may not exist any more. Knows Qt's text documents; knows nothing
of tokens.
"""

import re
from collections.abc import Iterator, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QFocusEvent,
    QGuiApplication,
    QInputMethodEvent,
    QTextBlock,
    QTextCursor,
    QTextLayout,
)
from PySide6.QtWidgets import QPlainTextEdit, QWidget

_COMES_BACK = Qt.FocusReason.PopupFocusReason, Qt.FocusReason.MenuBarFocusReason
_HALF = re.compile("[\ud800-\udfff]")
_LOST = "\N{REPLACEMENT CHARACTER}"
_SEPARATOR = "\u2029"


class PlainEdit(QPlainTextEdit):
    """A plain-text editor in which the text may change while an input method composes.

    The caret is never between the halves of a surrogate pair, whoever puts it there.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._composing = self._in_event = False
        self.textChanged.connect(self._settle)
        self.cursorPositionChanged.connect(self._settle)

    def is_composing(self) -> bool:
        """Return whether there are letters that an input method has not committed yet."""
        return self._composing

    def end_composition(self) -> None:
        """Have the input method commit what is being composed; what it does not is dropped.

        To be called before the text under it is exchanged.
        """
        if self._composing and self.hasFocus():
            QGuiApplication.inputMethod().commit()
        if self._composing:
            self._drop()

    def setPlainText(self, text: str) -> None:
        """Show another text; what is being composed is dropped, as Qt does."""
        super().setPlainText(text)
        self._composing = False

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        self._widen(event)
        was, before = self._composing, self.textCursor().blockNumber()
        self._in_event = True
        try:
            super().inputMethodEvent(event)
        finally:
            self._in_event = False
        left = was and self.textCursor().blockNumber() != before
        self._composing = left or bool(event.preeditString())
        self._settle()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        if event.reason() not in _COMES_BACK:
            self.end_composition()
        super().focusOutEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        self.end_composition()  # Qt would count its letters in the place of a drop
        super().dragEnterEvent(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        self.end_composition()  # it may have begun since the drag came in
        super().dragMoveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        self.end_composition()
        super().dropEvent(event)

    # --- what is being composed ---------------------------------------------------------------

    def _settle(self) -> None:
        """Keep the caret out of surrogate pairs, and what is being composed with the caret."""
        if self._in_event:
            return
        self._keep_pairs_whole()
        if self._composing and not self._follow_caret():
            self._drop()

    def _follow_caret(self) -> bool:
        """Move what is being composed to the caret, and return whether there is anything there.

        Letters that another paragraph shows are taken away: as in Qt, the next event of the input
        method shows them where the caret is then.
        """
        cursor = self.textCursor()
        here, at, found = cursor.block(), cursor.positionInBlock(), False
        for block in self._composed():
            if block != here:
                self._show(block, -1, "", [])
                continue
            found, layout = True, block.layout()
            by = at - layout.preeditAreaPosition()
            if by:
                looks = layout.formats()
                for look in looks:
                    look.start += by
                self._show(block, at, layout.preeditAreaText(), looks)
        return found

    def _drop(self) -> None:
        """Take away what is being composed."""
        self._composing = False
        for block in self._composed():
            self._show(block, -1, "", [])
        # Qt's caret stands within what was composed, until it is told.
        caret = QInputMethodEvent.Attribute(QInputMethodEvent.AttributeType.Cursor, 0, 1, None)
        super().inputMethodEvent(QInputMethodEvent("", [caret]))

    def _composed(self) -> Iterator[QTextBlock]:
        """Yield the paragraphs that show letters being composed."""
        block = self.document().begin()
        while block.isValid():
            if block.layout().preeditAreaText():
                yield block
            block = block.next()

    def _show(
        self, block: QTextBlock, at: int, text: str, looks: Sequence[QTextLayout.FormatRange]
    ) -> None:
        layout = block.layout()
        layout.setPreeditArea(at, text)
        layout.setFormats(looks)
        self.document().markContentsDirty(block.position(), block.length())

    # --- surrogate pairs ----------------------------------------------------------------------

    def whole_text(self) -> str:
        """Return the text with newlines between paragraphs; half a surrogate pair is U+FFFD.

        So each UTF-16 unit is at its position in the document: Python is not given halves.
        """
        document = self.document()
        text, count = document.toRawText(), document.characterCount() - 1
        if len(text) != count and len(text.encode("utf-16-le")) != 2 * count:
            units = "".join(document.characterAt(at) for at in range(count))
            pairs = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            text = _HALF.sub(_LOST, pairs)
        return text.replace(_SEPARATOR, "\n")

    def _cuts(self, position: int) -> bool:
        """Return whether a position is between the halves of a surrogate pair."""
        document = self.document()
        return (
            position > 0
            and "\udc00" <= document.characterAt(position) <= "\udfff"
            and "\ud800" <= document.characterAt(position - 1) <= "\udbff"
        )

    def _keep_pairs_whole(self) -> None:
        cursor = self.textCursor()
        anchor, position = cursor.anchor(), cursor.position()
        if self._cuts(anchor) or self._cuts(position):
            cursor.setPosition(anchor - self._cuts(anchor))
            cursor.setPosition(position - self._cuts(position), QTextCursor.MoveMode.KeepAnchor)
            self.setTextCursor(cursor)

    def _widen(self, event: QInputMethodEvent) -> None:
        """Let an event replace whole surrogate pairs, where it counts in another way."""
        start, length = event.replacementStart(), event.replacementLength()
        cursor = self.textCursor()
        if not length or cursor.hasSelection():
            return
        first = cursor.position() + start
        early, late = self._cuts(first), self._cuts(first + length)
        if early or late:
            event.setCommitString(event.commitString(), start - early, length + early + late)
