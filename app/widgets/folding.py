"""Keeps the beginning of an editor's text out of sight until somebody wants to see it.

Nothing is taken out of the text: the scroll bar just does not go so far up. So tokens, undo and the
caret know nothing of it. Whoever types into what is out of sight, or goes there with the caret, has
it back. Knows Qt's editors; knows nothing of why a text is folded.
"""

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtGui import QTextBlock

from app.widgets.plain_edit import PlainEdit
from app.widgets.spans import utf16
from app.widgets.timers import single_shot

CONTEXT = 1
"""Lines that stay in sight before the place that a text is folded up to."""
LEAST = 2
"""Lines that are folded at least: for fewer it is not worth a reader's while."""


class Folding(QObject):
    """What an editor does not show of its text's beginning."""

    changed = Signal(bool)
    """Lines have gone out of sight, or are all back."""
    unfolded = Signal()
    """The user wants to see everything, or has edited what was out of sight."""

    def __init__(self, editor: PlainEdit) -> None:
        super().__init__(editor)
        self._editor, self._bar = editor, editor.verticalScrollBar()
        self._beginning = ""
        """As long as the text begins with it, it is folded; "" for nothing."""
        self._place = 0
        """How long it is as Qt counts."""
        self._lowest = self._bar.maximum()
        """How far down the bar goes by itself."""
        self._first = 0
        """The first line that is to be seen, as the scroll bar counts."""
        self._holding = False
        self._soon = single_shot(self, self._hold, 0)
        self._bar.rangeChanged.connect(self._range_changed)
        editor.document().documentLayout().documentSizeChanged.connect(self._soon.start)
        editor.textChanged.connect(self._follow_text)
        editor.cursorPositionChanged.connect(self._follow_caret)
        editor.selectionChanged.connect(self._follow_caret)

    def fold(self, beginning: str) -> None:
        """Put what the text begins with out of sight but for its last line; "" for nothing.

        While that would be less than ``LEAST`` lines, all stays in sight.
        """
        self._beginning, self._place = beginning, len(utf16(beginning))
        self._hold()

    @Slot()
    def unfold(self) -> None:
        """Show everything from its beginning, and say so."""
        if self._beginning:
            self.fold("")
            self._bar.setValue(0)
            self.unfolded.emit()

    @Slot(int, int)
    def _range_changed(self, first: int, last: int) -> None:
        if not self._holding:
            self._lowest = last
            self._hold()

    @Slot()
    def _hold(self) -> None:
        """Let the bar go up to the last line of the beginning only."""
        before, self._first = self._first, self._first_line()
        seen = max(self._bar.value() - before, 0) if before else 0  # lines scrolled down from there
        self._holding = True
        self._bar.setRange(self._first, max(self._lowest, self._first))
        if self._first:
            self._bar.setValue(self._first + seen)
        self._holding = False
        if bool(before) != self.folded:
            self.changed.emit(self.folded)

    @property
    def folded(self) -> bool:
        """Return whether lines are out of sight."""
        return self._first > 0

    def _first_line(self) -> int:
        """Return the first line that is to be seen, as the scroll bar counts."""
        document = self._editor.document()
        block, above = document.findBlock(self._place), document.firstBlock()
        if not self._beginning or not block.isValid():
            return 0
        while above < block:
            document.documentLayout().blockBoundingRect(above)  # lays it out, or it is one line
            above = above.next()
        line = self._line(block, self._place) - CONTEXT
        return line if line >= LEAST else 0

    def _line(self, block: QTextBlock, position: int) -> int:
        """Return the line of a position in a block, as the scroll bar counts."""
        self._editor.document().documentLayout().blockBoundingRect(block)  # lays it out
        inside = block.layout().lineForTextPosition(position - block.position())
        return block.firstLineNumber() + max(inside.lineNumber(), 0)

    @Slot()
    def _follow_text(self) -> None:
        if self._beginning and not self._editor.whole_text().startswith(self._beginning):
            self.unfold()

    @Slot()
    def _follow_caret(self) -> None:
        """Show everything to a caret, or a selection, that goes where nothing is seen."""
        if self.folded:
            start = self._editor.textCursor().selectionStart()
            block = self._editor.document().findBlock(start)
            if self._line(block, start) < self._first:
                self.unfold()
                self._editor.ensureCursorVisible()
