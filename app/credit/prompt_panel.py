"""Shows the prompt: an optional system turn, user and assistant turns, or as models read it.

Knows Prompt and Message; knows nothing of templates (what the models read is given to it).
"""

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QSize, Qt, Signal, Slot
from PySide6.QtGui import (
    QColor,
    QFont,
    QHelpEvent,
    QResizeEvent,
    QTextCharFormat,
    QTextCursor,
)
from PySide6.QtWidgets import (
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QTextEdit,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.credit.evidence import Found
from app.credit.reading import Reading
from app.widgets.layouts import as_tip, fill, label
from app.widgets.plain_edit import PlainEdit
from app.widgets.spans import utf16
from app.widgets.timers import single_shot
from app.widgets.undo_keys import leaves_to_the_window
from core.dependence import Part
from core.text import Message, Prompt

DEBOUNCE_MS = 150
LEAST_LINES, MOST_LINES, WHOLE_LINES = 2, 12, 60
"""Lines that a turn shows at least; at most, of a longer text, where the panel has no room; and up
to which it is shown whole where there is."""
INSTRUCTION = 120
"""Letters that a line has at most which says what is to be done with the text below it."""


class TurnEdit(PlainEdit):
    """An editor for one turn, as high as its text, up to a limit.

    What a user asks in a line of its own, above a text that it is about, is grey: the text is what
    is read.
    """

    _whole = 0  # Qt asks before __init__ is through

    def __init__(self, role: str, placeholder: str) -> None:
        super().__init__()
        self.role = role
        self.setPlaceholderText(placeholder)
        self.setTabChangesFocus(True)
        self.setAccessibleName(f"{role} turn")
        self.document().setDocumentMargin(6)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.document().contentsChanged.connect(self._fit)
        self._fit()
        self._marks: list[tuple[QTextCursor, str]] = []
        self._looks: list[QTextEdit.ExtraSelection] = []
        self._coloured = False
        self._grey = 0
        self.document().contentsChanged.connect(self._follow_instruction)

    @Slot()
    def _fit(self) -> None:
        """Ask for the height that the text takes."""
        layout, line = self.document().documentLayout(), self.fontMetrics().lineSpacing()
        high, block = 0.0, self.document().firstBlock()
        while block.isValid() and high < WHOLE_LINES * line:
            high += layout.blockBoundingRect(block).height()  # lays it out, where that is to do
            block = block.next()
        around = 2 * (round(self.document().documentMargin()) + self.frameWidth()) + 2
        self._whole = max(round(high), LEAST_LINES * line) + around
        self.setMinimumHeight(min(self._whole, MOST_LINES * line + around))
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._whole)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._fit()

    def instruction(self) -> int:
        """Return how many UTF-16 units the line has that says what is to be done with the text
        after the empty line below it; 0 for none."""
        first = self.document().firstBlock()
        length, gap = first.length() - 1, first.next()
        about = gap.next()
        if self.role != "user" or not 0 < length <= INSTRUCTION or not about.isValid():
            return 0
        return 0 if gap.length() > 1 else length

    @Slot()
    def _follow_instruction(self) -> None:
        if self.instruction() != self._grey:
            self._show_looks()

    def _show_looks(self) -> None:
        """Show what is marked, and the instruction in grey below it."""
        self._grey = self.instruction()
        look = QTextEdit.ExtraSelection()
        cursor, style = QTextCursor(self.document()), QTextCharFormat()
        cursor.setPosition(self._grey, QTextCursor.MoveMode.KeepAnchor)
        style.setForeground(QColor(theme.colours(theme.is_dark_palette(self.palette())).muted))
        look.cursor, look.format = cursor, style
        grey = self._grey and not self._coloured  # on colours all text has its own
        self.setExtraSelections([look, *self._looks] if grey else self._looks)

    def show_marks(self, found: Sequence[Found], colour: QColor) -> None:
        """Underline these sentences; pointing at one says its sentence."""
        self._marks, looks = [], []
        text = self.whole_text()
        for it in found:
            look = QTextEdit.ExtraSelection()
            cursor = QTextCursor(self.document())
            start, stop = (len(utf16(text[:at])) for at in (it.part.start, it.part.stop))
            cursor.setPosition(start)
            cursor.setPosition(stop, QTextCursor.MoveMode.KeepAnchor)
            style = QTextCharFormat()
            style.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
            style.setUnderlineColor(colour)
            faint = QColor(colour)
            faint.setAlpha(40)
            style.setBackground(faint)
            look.cursor, look.format = cursor, style
            looks.append(look)
            self._marks.append((cursor, it.said))
        self._looks, self._coloured = looks, False
        self._show_looks()

    def show_colours(self, spans: Sequence[tuple[int, int, str, bool]]) -> None:
        """Colour stretches of the text, in code points, in place of marks: start, stop, #rrggbb or
        "" for none, and whether it is underlined."""
        self._marks, looks = [], []
        text = self.whole_text()
        for first, last, colour, underlined in spans:
            look = QTextEdit.ExtraSelection()
            cursor = QTextCursor(self.document())
            start, stop = (len(utf16(text[:at])) for at in (first, last))
            cursor.setPosition(start)
            cursor.setPosition(stop, QTextCursor.MoveMode.KeepAnchor)
            style = QTextCharFormat()
            style.setFontUnderline(underlined)
            if colour:
                style.setBackground(QColor(colour))
            look.cursor, look.format = cursor, style
            looks.append(look)
        self._looks, self._coloured = looks, bool(looks)
        self._show_looks()

    def event(self, event: QEvent) -> bool:
        """Say of a marked sentence under the mouse how it bears on the word."""
        if leaves_to_the_window(event):
            return True
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            at = self.cursorForPosition(self.viewport().mapFromParent(event.pos())).position()
            for cursor, said in self._marks:
                if cursor.selectionStart() <= at <= cursor.selectionEnd():
                    QToolTip.showText(event.globalPos(), as_tip(said), self)
                    return True
        return super().event(event)

    def put(self, text: str) -> None:
        """Show another text, as one step of undo."""
        if text != self.whole_text():
            self.end_composition()
            cursor = QTextCursor(self.document())
            cursor.select(QTextCursor.SelectionType.Document)
            cursor.insertText(text)
            # Qt merges typing into the step before only while the document is "modified".
            self.document().setModified(False)
            self.moveCursor(QTextCursor.MoveOperation.Start)


class PromptPanel(QFrame):
    """A card with the turns before the response."""

    typed = Signal()
    """The prompt was edited just now."""
    changed = Signal()
    """The prompt was edited and has rested for a moment."""
    dropped = Signal(object)
    """Turns were taken away by hand: the Prompt before that."""
    reading_wanted = Signal()
    """It is to be shown how the models read the texts."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self._turns: list[TurnEdit] = []
        self._rows: list[QWidget] = []
        self._reading: QFont | None = None
        self._quiet = False
        self.title = label("Prompt", "heading")
        self.use_system = QCheckBox("System turn")
        self.use_system.setToolTip("Put a system turn before the user's")
        self.add_turn = QToolButton()
        self.add_turn.setText("+ Turn")
        self.add_turn.setToolTip("Add an assistant turn and another user turn")
        self.drop_turn = QToolButton()
        self.drop_turn.setText("− Turn")
        self.drop_turn.setToolTip("Take the last assistant and user turn away")
        self.raw = QCheckBox("As the models read it")
        self.raw.setToolTip(
            as_tip(
                "Show every token of the prompt and of the response that was scored last, and what "
                "writes it (read-only)"
            )
        )
        self.system = TurnEdit("system", "What the assistant is told before the conversation")
        self.reading = Reading()
        self._lay_out()
        self._rest = single_shot(self, self.changed, DEBOUNCE_MS)
        self.use_system.toggled.connect(self._system_toggled)
        self.raw.toggled.connect(self._raw_toggled)
        self.add_turn.clicked.connect(self._add_pair)
        self.drop_turn.clicked.connect(self._drop_pair)
        self.system.textChanged.connect(self._edited)
        self.set_prompt(Prompt.of(""))

    def _lay_out(self) -> None:
        self.choices = QWidget()
        parts = self.use_system, self.add_turn, self.drop_turn, self.raw
        fill(QHBoxLayout(self.choices), *parts, margins=(0, 0, 0, 0))
        top = fill(QHBoxLayout(), self.title, 1, self.choices, margins=(10, 6, 10, 0))
        inside = QWidget()
        self._column = fill(QVBoxLayout(inside), margins=(10, 2, 10, 6), spacing=4)
        self._system_row = self._row(self.system)
        self._column.addWidget(self._system_row)
        area = QScrollArea()
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.viewport().setAutoFillBackground(False)
        inside.setAutoFillBackground(False)
        self.pages = QStackedWidget()
        self.pages.addWidget(area)
        self.pages.addWidget(self.reading)
        fill(QVBoxLayout(self), top, (self.pages, 1), margins=(2, 0, 2, 2), spacing=2)

    @staticmethod
    def _row(turn: TurnEdit) -> QWidget:
        row = QWidget()
        role = label(turn.role, "role")
        role.setBuddy(turn)
        fill(QVBoxLayout(row), role, (turn, 1), margins=(0, 0, 0, 0), spacing=0)
        return row

    # --- the prompt -------------------------------------------------------------------------

    def prompt(self) -> Prompt:
        """Return the turns as they stand; an empty system turn counts as none."""
        messages = [Message(turn.role, turn.whole_text()) for turn in self._turns]
        if self._has_system():
            messages.insert(0, Message("system", self.system.whole_text()))
        return Prompt(tuple(messages))

    def is_blank(self) -> bool:
        """Return whether there is nothing to answer."""
        return not any(message.content.strip() for message in self.prompt().messages)

    def set_prompt(self, prompt: Prompt) -> None:
        """Show another prompt, and let undo start anew; ``changed`` is not emitted."""
        self.put_prompt(prompt)
        for turn in (self.system, *self._turns):
            turn.document().clearUndoRedoStacks()

    def put_prompt(self, prompt: Prompt) -> None:
        """Show another prompt, as one step of undo in each turn that stays; without a signal.

        A hidden system turn keeps its text.
        """
        system = [m.content for m in prompt.messages if m.role == "system"]
        turns = [m for m in prompt.messages if m.role != "system"] or [Message("user", "")]
        self._quiet = True
        try:
            if system:
                self.system.put(system[0])
            self.use_system.setChecked(bool(system))
            self._system_row.setVisible(bool(system))
            roles = [message.role for message in turns]
            while [turn.role for turn in self._turns] != roles[: len(self._turns)]:
                self._remove_last()
            for turn, message in zip(self._turns, turns, strict=False):
                turn.put(message.content)
            for message in turns[len(self._turns) :]:
                self._append(message.role, message.content)
        finally:
            self._quiet = False

    def undo_to(self, prompt: Prompt, redo: bool = False) -> None:
        """Show an earlier prompt: by undo (or redo) where that brings it, else as a new step."""
        system = [m for m in prompt.messages if m.role == "system"]
        turns = [m for m in prompt.messages if m.role != "system"]
        editors = [self.system, *self._turns] if system else self._turns
        self._quiet = True
        try:
            for turn, message in zip(editors, [*system, *turns], strict=False):
                if turn.whole_text() != message.content:
                    turn.redo() if redo else turn.undo()
        finally:
            self._quiet = False
        self.put_prompt(prompt)

    def can_redo(self) -> bool:
        """Return whether something has been undone in a turn."""
        return any(turn.document().isRedoAvailable() for turn in (self.system, *self._turns))

    def show_evidence(self, found: Sequence[Found]) -> None:
        """Underline the sentences that bear on a word; pointing at one says how."""
        colour = QColor(theme.colours(theme.is_dark_palette(self.palette())).evidence)
        messages = [self.system, *self._turns] if self._has_system() else self._turns
        for turn, editor in enumerate(messages):
            editor.show_marks([it for it in found if it.part.turn == turn], colour)

    def show_parts(self, coloured: Sequence[tuple[Part, str]], chosen: Part | None) -> None:
        """Colour parts of the prompt, #rrggbb or "" for none, and underline one, in place of the
        sentences that bear on a word."""
        messages = [self.system, *self._turns] if self._has_system() else self._turns
        for turn, editor in enumerate(messages):
            editor.show_colours(
                [
                    (part.start, part.stop, colour, part is chosen)
                    for part, colour in coloured
                    if part.turn == turn and (colour or part is chosen)
                ]
            )

    def _has_system(self) -> bool:
        return self.use_system.isChecked() and bool(self.system.whole_text())

    def set_fonts(self, reading: QFont, fixed: QFont) -> None:
        """Set the fonts of turns and of the texts as the models read them."""
        self.reading.set_font(fixed)
        for turn in (self.system, *self._turns):
            turn.setFont(reading)
        self._reading = reading

    def first_turn(self) -> TurnEdit:
        """Return the editor of the first turn after the system's."""
        return self._turns[0]

    def _append(self, role: str, text: str) -> None:
        turn = TurnEdit(
            role,
            "What the user asks" if role == "user" else "What the assistant answered before",
        )
        if self._reading is not None:
            turn.setFont(self._reading)
        turn.setPlainText(text)
        turn.textChanged.connect(self._edited)
        row = self._row(turn)
        self._column.addWidget(row)
        self._turns.append(turn)
        self._rows.append(row)
        self._share_room()
        self.drop_turn.setEnabled(len(self._turns) > 2)

    def _remove_last(self) -> None:
        row = self._rows.pop()
        self._turns.pop()
        self._column.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.drop_turn.setEnabled(len(self._turns) > 2)
        self._share_room()

    def _share_room(self) -> None:
        """Give the last turn what the texts leave of the panel's height."""
        wide = QSizePolicy.Policy.Expanding
        for turn in (self.system, *self._turns[:-1]):
            turn.setSizePolicy(wide, QSizePolicy.Policy.Preferred)
        for turn in self._turns[-1:]:
            turn.setSizePolicy(wide, QSizePolicy.Policy.Expanding)

    @Slot()
    def _add_pair(self) -> None:
        self._append("assistant", "")
        self._append("user", "")
        self._turns[-2].setFocus()
        self._edited()

    @Slot()
    def _drop_pair(self) -> None:
        if len(self._turns) > 2:
            before = self.prompt()
            self._remove_last()
            self._remove_last()
            self._edited()
            self.dropped.emit(before)

    @Slot(bool)
    def _system_toggled(self, on: bool) -> None:
        self._system_row.setVisible(on)
        if not self._quiet:
            if on:
                self.system.setFocus()
            self._edited()

    @Slot(bool)
    def _raw_toggled(self, on: bool) -> None:
        self.pages.setCurrentIndex(int(on))
        if on:
            self.reading_wanted.emit()

    @Slot()
    def _edited(self) -> None:
        if not self._quiet:
            self._rest.start()
            self.typed.emit()
