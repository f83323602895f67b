"""Says in words what the curves mean, under the reward chart: a line for each visible run.

Knows sentences and hues; core.runs.explain finds the sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from app.curves.styles import hue
from app.widgets.layouts import as_tip, fill
from core.runs.explain import Explanation, Finding


@dataclass(frozen=True, slots=True)
class RunNote:
    """The explanation of one run's curves, and the run's name and hue."""

    run: str
    hue: int
    explanation: Explanation


class Note(QFrame):
    """A frame with sentences that can be selected and read aloud; hidden where there are none.

    A brief one has the numbers of each run alone; what they mean is in its tool tip.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self._said: tuple[RunNote, ...] = ()
        self._dark = self._brief = False
        self.text = QLabel()
        self.text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._measured = QLabel()
        """Is never shown: what is, is not to be changed to know how high it would be."""
        for label in (self.text, self._measured):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.RichText)
        self._inside = fill(QVBoxLayout(self), self.text, margins=(10, 6, 10, 6))
        self.hide()

    def show_notes(self, said: Sequence[RunNote]) -> None:
        self._said = tuple(said)
        self._show()

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._dark = dark
        self._show()

    def set_brief(self, brief: bool) -> None:
        """Say what the curves mean too, or in the tool tip, where there is little room."""
        if brief != self._brief:
            self._brief = brief
            self._show()

    def height_for(self, width: int, brief: bool) -> int:
        """Return how many pixels high it is, so wide, brief or not; 0 where nothing is said."""
        if not self._said:
            return 0
        self._measured.setFont(self.text.font())
        self._measured.setText(self._words(brief))
        edges = self.contentsMargins() + self._inside.contentsMargins()
        inside = self._measured.heightForWidth(width - edges.left() - edges.right())
        return inside + edges.top() + edges.bottom()

    def _meanings(self) -> list[str]:
        """Return what findings mean; what is said of several runs, once."""
        return list(dict.fromkeys(f.why for said in self._said for f in _findings(said) if f.why))

    def _words(self, brief: bool) -> str:
        lines = []
        for said in self._said:
            sign = "⚠ " if said.explanation.warning else ""
            colour = hue(said.hue, self._dark).name()
            words = " ".join(finding.text for finding in _findings(said))
            lines.append(
                f'<span style="color:{colour}">■</span>&nbsp;<b>{escape(said.run)}</b> &nbsp;'
                f"{sign}{escape(words)}"
            )
        return "<br>".join([*lines, *(() if brief else map(escape, self._meanings()))])

    def _show(self) -> None:
        self.text.setText(self._words(self._brief))
        cites = [f.cites for said in self._said for f in _findings(said) if f.cites]
        tips = [*(self._meanings() if self._brief else ()), *dict.fromkeys(cites)]
        self.text.setToolTip(as_tip("\n".join(tips)))
        self.setAccessibleName(" ".join(f"{s.run}: {s.explanation.text}" for s in self._said))
        self.setVisible(bool(self._said))


def _findings(said: RunNote) -> tuple[Finding, ...]:
    return said.explanation.findings
