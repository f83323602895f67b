"""Looks for the single edit that flips the margin or raises a response's sum most.

It goes from token to token, those with the largest rewards first: both models are asked what could
stand there, and what promises most by itself is scored with all that comes after it, until the
budget is spent. The best are listed as they are found. Knows the engine's client, what can be
probed and the page; knows nothing of the window.
"""

from dataclasses import dataclass, field

from PySide6.QtCore import QObject, Slot

from app.engine_client import EngineClient
from app.probe.edits_page import EditsPage
from app.probe.effects_table import Row
from app.probe.instead import PutIn
from app.probe.subject import CHANGED, Subject, Subjects
from app.probe.variants import VariantsRun
from core.engine.protocol import Failed, Inspect, Inspected, StateRef, Variant
from core.present.effects import effect, flips
from core.scoring import Scoring
from core.substitution import Idea, by_size, promising, put, site_of_rows

PURPOSE = "best edits"
LISTED = 50
"""Edits that are listed, the best ones."""
UNSCORED = "Not now: the response is not scored as it stands. Press Find again."
ALONE = "A margin needs both responses: write the other one, or look for what raises Σr."


@dataclass
class Hunt:
    """What is looked for in a response, where, and what was found."""

    subject: Subject
    sign: float
    """1 where the sum is to rise, −1 where it is to fall."""
    flip: bool
    budget: int
    before: float | None
    """The margin as it was."""
    places: list[int]
    """The tokens that were not tried yet, in their order."""
    index: int = -1
    """The token that is tried."""
    ideas: tuple[Idea, ...] = ()
    tried: int = 0
    found: list[tuple[int, Idea, Scoring]] = field(default_factory=list)
    """The token that is replaced, by what, and the response then: what does as is wanted."""


class Edits(QObject):
    """One hunt for edits at a time."""

    def __init__(
        self,
        client: EngineClient,
        subjects: Subjects,
        page: EditsPage,
        put_in: PutIn,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._client, self._subjects, self._page = client, subjects, page
        self._put_in = put_in
        self._hunt: Hunt | None = None
        self._said = ""
        self.running = False
        self.run = VariantsRun(client, PURPOSE, self)
        self.run.ended.connect(self._chunk_ended)
        page.wanted.connect(self.find)
        page.cancelled.connect(self.stop)
        page.taken.connect(self.take)
        page.shown.connect(self.show)
        client.pair_let_go.connect(self.forget)

    # --- the hunt -----------------------------------------------------------------------------

    @Slot()
    def find(self) -> None:
        """Begin to look for what is chosen."""
        self.stop()
        page, numbers = self._page, self._subjects.numbers
        side = page.chosen_side()
        subject = self._subjects.of(side)
        flip = page.goal.currentData() == "flip"
        before = self._subjects.margin(subject) if subject is not None else None
        if subject is None or (flip and before is None):
            self._hunt, self._said = None, UNSCORED if subject is None else ALONE
            self.show()
            return
        rises = not flip or ((before or 0.0) < 0) is (side == "A")
        rewards = numbers.credit.of(subject.scoring, numbers.beta())
        places = [*by_size(subject.scoring.tokens, rewards)]
        sign = 1.0 if rises else -1.0
        self._hunt = Hunt(subject, sign, flip, page.budget.value(), before, places)
        self.running, self._said = True, ""
        self._next_place()

    def _next_place(self) -> None:
        """Ask what could stand in place of the next token, until the budget is spent."""
        hunt = self._hunt
        if hunt is None or not self.running:
            return
        if not hunt.places or hunt.tried >= hunt.budget:
            whole = "every token was tried" if not hunt.places else "the budget is spent"
            self._end(f"Done: {hunt.tried} edits were scored, {whole}.")
            return
        hunt.index = hunt.places.pop(0)
        state = StateRef.before(hunt.subject.scoring, hunt.index, hunt.subject.prompt)
        ticket = self._client.ask(Inspect, state, purpose=PURPOSE)
        ticket.answered.connect(self._inspected)
        ticket.failed.connect(self._failed)
        self.show()

    def _inspected(self, event: Inspected) -> None:
        hunt = self._hunt
        if hunt is None or not self.running:
            return
        tokens = hunt.subject.scoring.tokens
        site = site_of_rows(tokens, hunt.index, hunt.index + 1)
        assert site is not None, "only tokens that can be replaced are tried"
        both = (*event.inspection.by_policy, *event.inspection.by_reference)
        choices = [*promising(both, tokens.ids[hunt.index], hunt.sign)]
        hunt.ideas = tuple(Idea(it.label, (it.id,)) for it in choices[: hunt.budget - hunt.tried])
        if not hunt.ideas:
            self._next_place()
            return
        changed = (put(tokens, site, it) for it in hunt.ideas)
        self.run.begin(tuple(Variant(hunt.subject.prompt, it.text, it.ids) for it in changed))

    @Slot(str)
    def _chunk_ended(self, why: str) -> None:
        hunt = self._hunt
        if hunt is None or not self.running:
            return
        self._keep(hunt)
        if why:
            self._end(f"Cancelled: {hunt.tried} edits were scored." if why == "stopped" else why)
        else:
            self._next_place()

    def _keep(self, hunt: Hunt) -> None:
        """Keep of what was scored what does as is wanted, the best of all."""
        numbers = self._subjects.numbers
        beta, credit = numbers.beta(), numbers.credit
        was = float(credit.of(hunt.subject.scoring, beta).sum())
        hunt.tried += len(self.run.scorings)

        def gain(found: tuple[int, Idea, Scoring]) -> float:
            return hunt.sign * (float(credit.of(found[2], beta).sum()) - was)

        scored = zip(hunt.ideas, self.run.scorings, strict=False)
        new = [(hunt.index, idea, it) for idea, it in scored if it is not None]
        hunt.found += [it for it in new if gain(it) > 0]
        hunt.found = sorted(hunt.found, key=gain, reverse=True)[:LISTED]

    def _failed(self, event: Failed) -> None:
        if self.running:
            self._end(event.message)

    @Slot()
    def stop(self) -> bool:
        """Stop, and keep what was found; return whether anything was under way."""
        if not self.running:
            return False
        if not self.run.stop() and self._hunt is not None:
            self._end(f"Cancelled: {self._hunt.tried} edits were scored.")
        return True

    @Slot()
    def forget(self) -> None:
        """Drop what was found: another pair is loaded."""
        self._hunt = None
        self._end("")

    def _end(self, words: str) -> None:
        self.running, self._said = False, words
        self.show()

    # --- what is shown ------------------------------------------------------------------------

    @Slot()
    def show(self) -> None:
        """Show what is known, from scorings that are there already."""
        page, hunt = self._page, self._hunt
        if not page.isVisible():
            return
        page.start.setEnabled(not self.running)
        if self.running and hunt is not None:
            page.progress.show_progress(hunt.tried, hunt.budget, "Edits scored")
        else:
            page.progress.hide()
        if hunt is None:
            page.show_about(self._said, filled=False)
            return
        rows, stale = self.rows(), not self.stands()
        words = [_found(hunt, rows)] if rows else []
        if not rows and not self.running:
            words = ["No edit does that."]
        page.show_about(" ".join([*words, CHANGED if stale else self._said]).strip(), bool(rows))
        page.table.show_rows(rows, self._subjects.numbers.reward_scale(), stale)

    def rows(self) -> list[Row]:
        """Return the best edits."""
        hunt = self._hunt
        if hunt is None:
            return []
        subject, numbers = hunt.subject, self._subjects.numbers
        other = self._subjects.other(subject.side)
        panel = numbers.panels[subject.side].scoring
        shown = panel.tokens.ids if panel is not None else ()
        made = []
        for number, (index, idea, new) in enumerate(hunt.found):
            site = site_of_rows(subject.scoring.tokens, index, index + 1)
            assert site is not None
            beta, credit = numbers.known_beta(), numbers.credit
            does = effect(subject.scoring, new, site, idea, beta, credit, other)
            text = f"{subject.scoring.labels[index]} → {idea.text}"
            tip = f"Token {index + 1}. A click or Enter puts it in place."
            current = shown == new.tokens.ids
            made.append(Row(number, text, does, tip, current, flips(hunt.before, does.margin)))
        return made

    def stands(self) -> bool:
        """Return whether what is shown is of the text on the screen, or of one of its rows."""
        if self._hunt is None:
            return False
        texts = {it.tokens.text for _, _, it in self._hunt.found}
        return self._subjects.stands(self._hunt.subject, texts)

    @Slot(int)
    def take(self, number: int) -> None:
        """Put an edit in place."""
        if self._hunt is None or not self.stands():
            self.show()
            return
        index, _, new = self._hunt.found[number]
        self._put_in(self._hunt.subject.side, new, index)


def _found(hunt: Hunt, rows: list[Row]) -> str:
    """Return what was found, in a sentence."""
    what = "raises" if hunt.sign > 0 else "lowers"
    best = rows[0]
    said = f"“{best.text}” {what} Σr of {hunt.subject.side} most."
    if not hunt.flip:
        return said
    turning = sum(row.flips for row in rows)
    if not turning:
        return f"{said} No edit flips the margin yet."
    return f"{said} {turning} of these flip{'s' if turning == 1 else ''} the margin (⇄)."
