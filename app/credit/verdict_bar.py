"""Shows what is said of a pair: two sentences above the responses, and an edit to try.

Knows verdicts; knows nothing of scorings or engines.
"""

import re

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout

from app import theme
from app.widgets.clipped import Clipped
from app.widgets.layouts import as_tip, fill
from app.widgets.spans import right_to_left, utf16
from core.present.verdict import Edit, Verdict

QUOTED = re.compile("“([^”]*)”")
ASIDE = re.compile(r"; [^;()]*\)")
"""What stands last in brackets: it gives way first."""
WAITS = "Which response is preferred, and why, is said here."


def isolated(sentence: str) -> str:
    """Return a sentence whose quoted words do not turn the direction of what stands around them.

    One without letters that are written from right to left is returned as it is.
    """
    if not right_to_left(utf16(sentence)).any():
        return sentence
    return QUOTED.sub("“\u2068\\1\u2069”", sentence)


class VerdictBar(QFrame):
    """The verdict: a headline, a line of detail, and an invitation."""

    edit_wanted = Signal(object)
    """Make this edit, an ``Edit``."""

    def __init__(self) -> None:
        super().__init__()
        self.headline = Clipped()
        self.headline.setObjectName("verdict")
        self.detail = Clipped()
        self.detail.setObjectName("detail")
        self.try_it = QToolButton()
        self.try_it.setObjectName("link")
        self.try_it.setAutoRaise(True)
        self.try_it.setToolTip("Make this edit and see what it does; undo brings the text back")
        stays = self.try_it.sizePolicy()
        stays.setRetainSizeWhenHidden(True)  # or all below would jump when it comes
        self.try_it.setSizePolicy(stays)
        row = fill(QHBoxLayout(), (self.detail, 1), self.try_it, spacing=8)
        fill(QVBoxLayout(self), self.headline, row, margins=(4, 0, 4, 2), spacing=2)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._edit: Edit | None = None
        self._detail, self._narrow = "", False
        self.try_it.clicked.connect(self._try)
        self.show_verdict(Verdict(), fresh=True)

    def show_verdict(self, found: Verdict, fresh: bool) -> None:
        """Show a verdict; one that is not ``fresh`` is grey: the text was edited meanwhile."""
        self._edit, self._detail = found.edit, found.detail
        self.headline.show_words(isolated(found.headline) or WAITS)
        self.headline.setToolTip(as_tip(found.headline))
        self._show_detail(found.detail)
        invitation = f"{found.edit.invitation} ›" if found.edit else "›"  # which keeps the height
        self.try_it.setText(isolated(invitation))
        self.try_it.setVisible(found.edit is not None)
        self.set_fresh(fresh)

    def set_narrow(self, narrow: bool) -> None:
        """Write smaller, where there is less room, or at the usual size."""
        if narrow != self._narrow:
            self._narrow = narrow
            for widget in (self.headline, self.detail, self.try_it):
                theme.restyle(widget, "narrow", "true" if narrow else "false")
            for line in (self.headline, self.detail):
                line.fit()

    def show_evidence(self, sentence: str) -> None:
        """Say more of the word that is named: what in the prompt it depends on; "" for nothing."""
        self._show_detail(" ".join(filter(None, (self._detail, sentence))))
        self.detail.setToolTip(as_tip(self.detail.words))

    def _show_detail(self, sentences: str) -> None:
        said = isolated(sentences)
        self.detail.show_words(said, ASIDE.sub(")", said))

    def set_fresh(self, fresh: bool) -> None:
        """Show whether the verdict is of the texts on the screen."""
        for widget in (self.headline, self.detail, self.try_it):
            widget.setEnabled(fresh)

    @Slot()
    def _try(self) -> None:
        if self._edit is not None:
            self.edit_wanted.emit(self._edit)
