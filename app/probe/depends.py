"""Measures what a response's credit depends on: each part of the prompt is left out once.

What is pointed at in the matrix is shown in the texts: the response coloured by how it changes
without a part, the prompt by how a word changes without each. Knows the engine's client, what can
be probed, the prompt's panel and the page; knows nothing of the window.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal, Slot

from app.credit.prompt_panel import PromptPanel
from app.engine_client import EngineClient
from app.inspect.variants import VariantsRun
from app.probe.depends_page import DependsPage
from app.probe.subject import CHANGED, Subject, Subjects
from app.replay.heat_map import EMPTY, HeatData
from app.widgets.colour_scale import ColourScale
from core.dependence import By, Group, Part, groups, matrix, parts, without
from core.engine.protocol import Variant
from core.present.numerals import signed

PURPOSE = "dependence"
UNSCORED = "Not now: the response is not scored as it stands. Press Measure again."
MEANING = (
    "How each word of {side} changes without a part of the prompt: above 0, it has more without it."
)
SINGLE = "The prompt has only one such part: divide it otherwise."
SHORT, SHORTEST = 40, 14
"""Characters of a part that are quoted in a sentence, and beside its row."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A response, the parts of its prompt and its words."""

    subject: Subject
    parts: tuple[Part, ...]
    words: tuple[Group, ...]


class Depends(QObject):
    """One matrix at a time."""

    left = Signal()
    """Nothing is pointed at any more: the texts are to be shown as they were."""

    def __init__(
        self,
        client: EngineClient,
        subjects: Subjects,
        prompt: PromptPanel,
        page: DependsPage,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._subjects, self._prompt, self._page = subjects, prompt, page
        self._asked: Asked | None = None
        self._said = ""
        self._overlaid = False
        self.changes: NDArray[np.float64] = np.zeros((0, 0))
        """How each word changes without each part, [parts, words], NaN where not known."""
        self.run = VariantsRun(client, PURPOSE, self)
        self.run.stepped.connect(self.show)
        self.run.ended.connect(self._ended)
        page.wanted.connect(self.measure)
        page.map.hovered.connect(self.point)
        page.cancelled.connect(self.stop)
        page.shown.connect(self._page_shown)
        client.pair_let_go.connect(self.forget)

    @Slot()
    def measure(self) -> None:
        """Leave out each part of the prompt, as they are chosen."""
        self.stop()
        subject = self._subjects.of(self._page.side.currentData())
        by: By = self._page.by.currentData()
        found = parts(subject.prompt, by) if subject is not None else ()
        self._asked = None
        if subject is None or len(found) < 2:
            self._said = UNSCORED if subject is None else SINGLE
            self.show()
            return
        tokens = subject.scoring.tokens
        self._asked, self._said = Asked(subject, found, groups(subject.scoring)), ""
        self.run.begin(
            tuple(Variant(without(subject.prompt, it), tokens.text, tokens.ids) for it in found)
        )
        self.show()

    @Slot()
    def stop(self) -> bool:
        """Stop, and keep what has come; return whether anything was under way."""
        return self.run.stop()

    @Slot()
    def forget(self) -> None:
        """Drop what was measured: another pair is loaded."""
        self._asked, self._said = None, ""
        self.show()

    @Slot(str)
    def _ended(self, why: str) -> None:
        done, count = len(self.run.scorings), self.run.count
        self._said = (
            f"Cancelled: {done} of {count} parts were left out." if why == "stopped" else why
        )
        self.show()

    @Slot(bool)
    def _page_shown(self, on: bool) -> None:
        if on:
            self.show()
        else:
            self.point(-1, -1)

    # --- what is shown ------------------------------------------------------------------------

    @Slot()
    def show(self) -> None:
        """Show what is known, from scorings that are there already."""
        page, asked = self._page, self._asked
        if not self._stands():
            self.run.stop()
        if not page.isVisible():
            return
        if self.run.running:
            page.run(len(self.run.scorings), self.run.count, "Parts left out")
        else:
            page.rest()
        if asked is None:
            page.say(self._said, filled=False)
            page.map.show_data(EMPTY, self.scale())
            return
        numbers = self._subjects.numbers
        beta, credit = numbers.beta(), numbers.credit
        whole = credit.of(asked.subject.scoring, beta)
        less = [None if it is None else credit.of(it, beta) for it in self.run.scorings]
        less += [None] * (len(asked.parts) - len(less))
        self.changes = matrix(whole, less, [it.rows for it in asked.words])
        labels = tuple(it.text for it in asked.words)
        names = tuple(_quoted(it.text, SHORTEST) for it in asked.parts)
        page.map.show_data(HeatData(names, labels, self.changes), self.scale())
        said = f"{MEANING.format(side=asked.subject.side)} {self._said}".rstrip()
        page.say(said if self._stands() else CHANGED, filled=True)

    def scale(self) -> ColourScale:
        """Return the scale of the changes: up to the largest of them."""
        known = np.abs(self.changes[~np.isnan(self.changes)])
        limit = float(known.max(initial=0.0))
        return replace(self._subjects.numbers.reward_scale(), limit=limit if limit > 0 else 1.0)

    def _stands(self) -> bool:
        return self._asked is not None and self._subjects.stands(self._asked.subject)

    @Slot(int, int)
    def point(self, row: int, column: int) -> None:
        """Show in the texts what a part and a word mean; -1 for none."""
        asked = self._asked
        pointed = row >= 0 or column >= 0
        if asked is None or not pointed or not self._stands():
            self._leave()
            return
        self._overlaid = True
        scale, unknown = self.scale(), np.full(len(asked.subject.scoring), np.nan)
        numbers, panel = self._subjects.numbers, self._subjects.numbers.panels[asked.subject.side]
        panel.editor.set_notes(())  # they are of rewards, not of changes
        if row >= 0:
            for word, value in zip(asked.words, self.changes[row], strict=True):
                unknown[word.rows.start : word.rows.stop] = value
            panel.paint(unknown, scale)
        else:
            panel.paint(numbers.values[asked.subject.side], numbers.colour_scale())
        coloured = [
            (part, scale.css(float(value)) if not np.isnan(value) else "")
            for part, value in zip(
                asked.parts,
                self.changes[:, column] if column >= 0 else np.full(len(asked.parts), np.nan),
                strict=True,
            )
        ]
        self._prompt.show_parts(coloured, asked.parts[row] if row >= 0 else None)
        self._page.pointed.setText(self._words(asked, row, column))

    def _words(self, asked: Asked, row: int, column: int) -> str:
        """Return what is pointed at, in a sentence."""
        if row < 0:
            return f"The prompt, by how “{asked.words[column].text}” changes without each part."
        quoted = _quoted(asked.parts[row].text, SHORT)
        if column < 0:
            total = float(np.nansum(self.changes[row]))
            return f"Without “{quoted}” the sum changes by {signed(total)}."
        value = self.changes[row, column]
        number = "is not known" if np.isnan(value) else f"changes by {signed(float(value))}"
        return f"Without “{quoted}” the credit of “{asked.words[column].text}” {number}."

    def _leave(self) -> None:
        """Have the texts shown as they were."""
        self._page.pointed.setText("")
        if self._overlaid:
            self._overlaid = False
            self.left.emit()


def _quoted(text: str, most: int) -> str:
    """Return a text in one line, its end left out where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
