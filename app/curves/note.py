"""Says in words what the curves mean, under the reward chart: a line for each visible run.

Knows sentences and hues; core.runs.explain finds the sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from app.curves.styles import hue
from app.widgets.layouts import fill
from core.runs.explain import Explanation


@dataclass(frozen=True, slots=True)
class RunNote:
    """The explanation of one run's curves, and the run's name and hue."""

    run: str
    hue: int
    explanation: Explanation


class Note(QFrame):
    """A frame with sentences that can be selected and read aloud; hidden where there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self._said: tuple[RunNote, ...] = ()
        self._dark = False
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        fill(QVBoxLayout(self), self.text, margins=(10, 6, 10, 6))
        self.hide()

    def show_notes(self, said: Sequence[RunNote]) -> None:
        self._said = tuple(said)
        self._show()

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._dark = dark
        self._show()

    def _show(self) -> None:
        lines, meanings = [], dict[str, None]()
        for said in self._said:
            findings = said.explanation.findings
            sign = "⚠ " if said.explanation.warning else ""
            colour = hue(said.hue, self._dark).name()
            words = " ".join(finding.text for finding in findings)
            lines.append(
                f'<span style="color:{colour}">■</span>&nbsp;<b>{escape(said.run)}</b> &nbsp;'
                f"{sign}{escape(words)}"
            )
            # What is said of several runs is explained once.
            meanings |= dict.fromkeys(escape(f.why) for f in findings if f.why)
        self.text.setText("<br>".join([*lines, *meanings]))
        cites = [f.cites for said in self._said for f in said.explanation.findings if f.cites]
        self.text.setToolTip("\n".join(dict.fromkeys(cites)))
        self.setAccessibleName(" ".join(f"{s.run}: {s.explanation.text}" for s in self._said))
        self.setVisible(bool(self._said))
