"""The response that is probed: what it was when it was asked about, and whether that still stands.

Knows the panels' texts and numbers; asks for nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass

from app.credit.numbers import CreditNumbers
from app.credit.prompt_panel import PromptPanel
from core.engine.protocol import Side
from core.present.pair import pair_numbers
from core.scoring import Scoring
from core.substitution import Site
from core.text import Prompt

CHANGED = "The text, the prompt or the checkpoint has changed since: ask anew."
NOT_NOW = "Not now: the text is still being scored. Choose again."


@dataclass(frozen=True, eq=False)
class Subject:
    """A scored response to a prompt, under the checkpoint of a run that was shown, "" for none."""

    side: Side
    prompt: Prompt
    scoring: Scoring
    checkpoint: str


class Subjects:
    """What can be probed now."""

    def __init__(self, numbers: CreditNumbers, prompt: PromptPanel) -> None:
        self.numbers, self._prompt = numbers, prompt

    def of(self, side: Side) -> Subject | None:
        """Return a side's response; None while it is not scored as it stands."""
        scoring = self.numbers.scorings().get(side)
        if scoring is None:
            return None
        return Subject(side, self._prompt.prompt(), scoring, self.numbers.checkpoint())

    def other(self, side: Side) -> tuple[Side, Scoring] | None:
        """Return the other response, which margins compare with; None while it is not scored."""
        other: Side = "B" if side == "A" else "A"
        scoring = self.numbers.scorings().get(other)
        return (other, scoring) if scoring is not None else None

    def margin(self, subject: Subject) -> float | None:
        """Return the margin of A over B with the subject as it was; None where it is not known."""
        other = self.other(subject.side)
        if other is None:
            return None
        pair = subject.scoring, other[1]
        a, b = pair if subject.side == "A" else pair[::-1]
        return pair_numbers(a, b, self.numbers.known_beta(), self.numbers.credit).margin

    def stands(self, subject: Subject, texts: Collection[str] = ()) -> bool:
        """Return whether what was found of a subject holds: its text, or one of ``texts``, which
        were made of it, is on the screen."""
        text = self.numbers.panels[subject.side].text()
        same = text == subject.scoring.tokens.text or text in texts
        known = self._prompt.prompt(), self.numbers.checkpoint()
        return same and known == (subject.prompt, subject.checkpoint)


def context(scoring: Scoring, site: Site) -> str:
    """Return the text around a place, to recognise it by."""
    text = scoring.tokens.text
    return "…" + text[max(site.start - 20, 0) : site.stop + 24].strip() + "…"
