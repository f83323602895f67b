"""Shows how the models read the texts: every token in the look of what writes it, after a key.

Knows a reading (core.as_read); knows nothing of templates or models.
"""

import numpy as np
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QHelpEvent,
    QPalette,
    QTextCharFormat,
    QTextCursor,
)
from PySide6.QtWidgets import QFrame, QLabel, QPlainTextEdit, QToolTip, QVBoxLayout, QWidget

from app import theme
from app.widgets.layouts import fill, label
from core.as_read import AsRead

KEY = (
    "<span style='color: {muted}'>template</span> &nbsp; prompt &nbsp; "
    "<span style='background-color: {chosen}'>&nbsp;response&nbsp;</span> &nbsp; <u>scored</u>"
)
"""The key, in the looks of the tokens."""


class TokensRead(QPlainTextEdit):
    """The tokens, read-only; pointing at one says what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("Texts as the models read them")
        self.setPlaceholderText("Appears once a pair is loaded and a response is scored.")
        self.document().setDocumentMargin(0)
        self._read: AsRead | None = None
        self._ends = np.zeros(0, dtype=np.int64)

    def show_tokens(self, read: AsRead | None) -> None:
        """Show these; None for none."""
        self.clear()
        self._read, ends = read, []
        if read is None:
            return
        looks: dict[tuple[str, bool], QTextCharFormat] = {}
        cursor, plain = QTextCursor(self.document()), QTextCharFormat()
        cursor.beginEditBlock()
        for i, (text, role) in enumerate(zip(read.labels, read.roles, strict=True)):
            kind = role, read.first <= i < read.stop
            if kind not in looks:
                looks[kind] = self._look(*kind)
            cursor.insertText(text, looks[kind])
            cursor.insertText("\n" if "↵" in text else "\N{THIN SPACE}", plain)
            ends.append(cursor.position())
        cursor.endEditBlock()
        self._ends = np.array(ends)

    def _look(self, role: str, scored: bool) -> QTextCharFormat:
        """Return the look of a token: the template faint, the response on a ground of its own,
        what is scored underlined."""
        look = QTextCharFormat()
        if role == "template":
            look.setForeground(self.palette().color(QPalette.ColorRole.PlaceholderText))
        if role == "response":
            dark = theme.is_dark_palette(self.palette())
            look.setBackground(QColor(theme.colours(dark).chosen))
        look.setFontUnderline(scored)
        return look

    def said_of(self, position: int) -> str:
        """Return what there is to say of the token at a position of the text; "" for none."""
        token = int(np.searchsorted(self._ends, position, side="right"))
        if self._read is None or token >= len(self._read.ids):
            return ""
        scored = "scored" if self._read.first <= token < self._read.stop else "not scored"
        return f"{self._read.roles[token]}, {scored} · id {self._read.ids[token]}"

    def viewportEvent(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent):
            said = self.said_of(self.cursorForPosition(event.pos()).position())
            QToolTip.showText(event.globalPos(), said, self)
            return True
        return super().viewportEvent(event)


class Reading(QWidget):
    """The tokens after their key, and what is to be said of the reading above them."""

    def __init__(self) -> None:
        super().__init__()
        self.remarks, self.key, self.tokens = label("", "remark"), QLabel(), TokensRead()
        self.remarks.setWordWrap(True)
        self.key.setTextFormat(Qt.TextFormat.RichText)
        around = theme.MARGIN + theme.TIGHT, theme.GAP, theme.TIGHT, theme.TIGHT
        parts = self.remarks, self.key, (self.tokens, 1)
        fill(QVBoxLayout(self), *parts, margins=around, spacing=theme.GAP)
        self.show_reading(None)

    def set_font(self, fixed: QFont) -> None:
        """Set the font of the tokens."""
        self.tokens.setFont(fixed)

    def show_reading(self, read: AsRead | None) -> None:
        """Show how the models read the texts; None: not known."""
        said = [it.sentence for it in read.findings if it.level != "ok"] if read is not None else []
        self.remarks.setText("\n".join(said))
        self.remarks.setVisible(bool(said))
        self.key.setVisible(read is not None)
        c = theme.colours(theme.is_dark_palette(self.palette()))
        self.key.setText(KEY.format(muted=c.muted, chosen=c.chosen))
        self.tokens.show_tokens(read)
