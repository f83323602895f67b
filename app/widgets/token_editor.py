"""Edits a text and colours each of its tokens meanwhile.

The editor is a QPlainTextEdit, so selection, undo, input methods, clipboard and accessibility are
Qt's own; the token backgrounds are painted behind the text, before Qt paints it. Colours are not in
the document: formats would take part in undo, and extra selections or a highlighter are laid out
anew with each key press (measured on 2,000 tokens in one paragraph, against 5 ms of the plain
editor: 773 ms and 16 ms). Instead each line's backgrounds are a small picture that is cached while
its letters and tokens stay (see line_painting.py); a key press paints the lines that it changed and
copies the rest. Measured so (python -m tests.benchmarks typing), typing costs 1.5 to 1.7 times the
plain editor, and 2,000 new colours show in 8 ms.

Positions are code points outside and UTF-16 units inside. Knows nothing of rewards or models: it
gets colour classes and gives token indices. The closing token has the index after the last.
"""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QEvent, QPoint, Qt, QTextBoundaryFinder, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QResizeEvent, QTextCursor
from PySide6.QtWidgets import QApplication, QWidget

from app.widgets.spans import (
    Freshness,
    LiveSpans,
    TokenSpans,
    changed_range,
    right_to_left,
    utf16,
    utf16_offsets,
)
from app.widgets.token_view import TokenView
from app.widgets.undo_keys import leaves_to_the_window


class TokenEditor(TokenView):
    """A plain-text editor with coloured tokens.

    Token indices are those of the last ``set_tokens``; the closing token's is one more than the
    last. After an edit, colours stay with their tokens: touched ones lose theirs, later ones fade,
    until new spans come.
    """

    hovered = Signal(int)
    """The token under the mouse changed; -1 for none."""
    token_clicked = Signal(int)
    caret_token = Signal(int)
    """The token that the caret stands before or in changed; -1 for none."""
    walked = Signal(int)
    """The keyboard (Alt+Left, Alt+Right) went to a token, which is now pinned."""
    edited = Signal()
    """The user changed the text. Not emitted for set_text and set_text_keeping_undo."""

    _hover_sent = -1  # Qt tells of a font and a size before __init__ is through

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caret_sent = -1
        self._press: QPoint | None = None
        self._quiet = self._changed = False
        self.setTabChangesFocus(True)
        self.viewport().setMouseTracking(True)
        self.document().contentsChange.connect(self._follow_change)
        self.textChanged.connect(self._say_edited)
        self.cursorPositionChanged.connect(self._say_caret)

    # --- text -----------------------------------------------------------------------------

    def text(self) -> str:
        """Return the text as it stands: paragraphs are divided by newlines."""
        return self._text

    def set_text(self, text: str) -> None:
        """Show another text; tokens and undo history are dropped, ``edited`` is not emitted."""
        self._quiet = True
        try:
            self.set_tokens(None)
            super().setPlainText(text)
        finally:
            self._quiet = False

    def setPlainText(self, text: str) -> None:
        """Show another text, as ``set_text`` does."""
        self.set_text(text)

    def set_text_keeping_undo(self, text: str, select: tuple[int, int] | None = None) -> None:
        """Replace only what differs, in one undo step; ``edited`` is not emitted.

        ``select`` is a range of code points of the new text to select afterwards.
        """
        self.end_composition()
        first, removed, added = changed_range(self._units16, utf16(text))
        cursor = self.textCursor()
        self._quiet = True
        try:
            if removed or added:
                new = utf16(text)[first : first + added].tobytes().decode("utf-16-le")
                cursor.beginEditBlock()
                cursor.setPosition(first)
                cursor.setPosition(first + removed, QTextCursor.MoveMode.KeepAnchor)
                cursor.insertText(new)
                cursor.endEditBlock()
                # Qt merges typing into the step before only while the document is "modified".
                self.document().setModified(False)
            if select is not None:
                offsets = utf16_offsets(self._text)
                cursor.setPosition(int(offsets[min(select[0], len(offsets) - 1)]))
                end = int(offsets[min(select[1], len(offsets) - 1)])
                cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
                self.setTextCursor(cursor)
        finally:
            self._quiet = False

    def _follow_change(self, position: int, removed: int, added: int) -> None:
        old = self._units16
        self._text = self.whole_text()
        self._units16 = new = utf16(self._text)
        change = changed_range(old, new, (position, removed, added))
        if not (change[1] or change[2]):
            return
        self._changed = True
        self.viewport().update(self._chip_place)
        self._rtl = right_to_left(new)
        self._any_rtl = bool(self._rtl.any())
        self._bytes16 = new.tobytes()
        if self._spans is not None:
            self._spans.edit(*change)
            self._closing_stale = True
            self._pack()

    def _say_edited(self) -> None:
        if self._changed:
            self._changed = False
            if not self._quiet:
                self.edited.emit()

    # --- tokens ---------------------------------------------------------------------------

    def set_tokens(self, spans: TokenSpans | None) -> None:
        """Show the tokens of a scoring; of an older text too, as far as they still hold.

        Where ``spans.text`` is not the editor's text any more, the difference is followed as an
        edit. None takes all colours away (nothing is known, which looks unlike a value of 0).
        """
        if spans is None:
            self._spans, self._closing = None, None
        else:
            self._spans = LiveSpans(spans, _character_test(spans.text))
            self._closing_stale = spans.stale
            if spans.text != self._text:
                self._spans.edit(*changed_range(utf16(spans.text), self._units16))
                self._closing_stale = True
            limit = self._spans.tokens
            self._pin = None if self._pin is not None and self._pin > limit else self._pin
            self._hover = None if self._hover is not None and self._hover > limit else self._hover
        self._pack()
        self.viewport().update()
        self._say_caret()

    def is_stale(self, index: int) -> bool:
        """Return whether what was scored for a token may not hold for the text on the screen."""
        if self._spans is None or index >= self._spans.tokens:
            return self._closing_stale
        row = self._spans.row(index)
        return row < 0 or bool(self._spans.freshness[row] != Freshness.FRESH)

    def caret_index(self) -> int:
        """Return the token that the caret stands before or in; -1 for none."""
        return self._caret_sent

    def walk(self, step: int) -> None:
        """Go to the next (+1) or previous (-1) token: caret and pin move there."""
        if self._spans is None:
            return
        rows = len(self._spans)
        stops = rows + (self._closing is not None)
        row = self._walk_row() + step
        while 0 <= row < rows and self._spans.freshness[row] == Freshness.TOUCHED:
            row += step
        if not 0 <= row < stops:
            return
        index = self._spans.token(row) if row < rows else self._spans.tokens
        cursor = self.textCursor()
        cursor.setPosition(int(self._spans.starts[row]) if row < rows else len(self._units16))
        self.setTextCursor(cursor)
        self.pin(index)
        self.walked.emit(index)

    def _walk_row(self) -> int:
        """Return the row to walk from: the pinned token's if the caret is still beside it."""
        assert self._spans is not None
        caret = self.textCursor().position()
        at = int(np.searchsorted(self._spans.starts, caret, side="right")) - 1
        if caret == len(self._units16) and (at < 0 or self._spans.ends[at] <= caret):
            at += 1
        if self._pin is not None:
            closing = self._pin >= self._spans.tokens
            row = len(self._spans) if closing else self._spans.row(self._pin)
            if row >= 0 and abs(row - at) <= 1:
                return row
        return at

    # --- caret and mouse --------------------------------------------------------------------

    def _say_caret(self) -> None:
        index = -1
        if self._spans is not None:
            caret = self.textCursor().position()
            row = self._spans.at(caret)
            touched = row >= 0 and self._spans.freshness[row] == Freshness.TOUCHED
            index = -1 if touched else self._spans.token(row)
            if caret == len(self._units16) and row < 0 and self._closing is not None:
                index = self._spans.tokens
        if index != self._caret_sent:
            self._caret_sent = index
            self.caret_token.emit(index)

    def _say_hover(self, index: int) -> None:
        if index != self._hover_sent:
            self._hover_sent = index
            self.highlight(index if index >= 0 else None)
            self.hovered.emit(index)

    def event(self, event: QEvent) -> bool:
        if leaves_to_the_window(event):
            return True
        asked = event.type() == QEvent.Type.ShortcutOverride
        if asked and isinstance(event, QKeyEvent) and _walks(event):
            event.accept()  # or a shortcut of the window's would have the key
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if _walks(event):
            self.walk(1 if event.key() == Qt.Key.Key_Right else -1)
            event.accept()
            return
        super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        left = event.button() == Qt.MouseButton.LeftButton
        self._press = event.position().toPoint() if left and plain else None
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        point = event.position().toPoint()
        if self._press is not None:
            moved = (point - self._press).manhattanLength()
            if moved >= QApplication.startDragDistance():
                self._press = None  # a selection, not a click
        if event.buttons() == Qt.MouseButton.NoButton:
            self._say_hover(self.token_at(point))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        press, self._press = self._press, None
        if press is not None and event.button() == Qt.MouseButton.LeftButton:
            index = self.token_at(press)
            if index >= 0:
                self.token_clicked.emit(index)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._press = None  # it selects a word
        super().mouseDoubleClickEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._say_hover(-1)

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        super().scrollContentsBy(dx, dy)
        self._say_hover(-1)  # the mouse rests, but another token is under it, or none

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._say_hover(-1)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._say_hover(-1)


def _walks(event: QKeyEvent) -> bool:
    """Return whether a key goes from token to token: Alt+Left, Alt+Right."""
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    keys = Qt.Key.Key_Left, Qt.Key.Key_Right
    return modifiers == Qt.KeyboardModifier.AltModifier and event.key() in keys


def _character_test(text: str) -> Callable[[int], bool] | None:
    """Return a test of whether a UTF-16 position lies inside one visible character; None if none
    does.

    Tokens that divide such a character (an accent, a joined emoji) are shown as one.
    """
    units = utf16(text)
    # Below U+0300 nothing combines; ideographs never do.
    combining = (units >= 0x0300) & ~((units >= 0x3400) & (units < 0xA000))
    if not combining.any():
        return None
    finder = QTextBoundaryFinder(QTextBoundaryFinder.BoundaryType.Grapheme, text)

    def inside(position: int) -> bool:
        if not 0 < position < len(units) or not combining[position]:
            return False
        finder.setPosition(position)
        return not finder.isAtBoundary()

    return inside
