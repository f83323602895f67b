"""Looks for the single edit that flips the margin or raises a response's sum most.

It goes from token to token, those with the largest rewards first: both models are asked what could
stand there, and what promises most by itself is scored with all that comes after it, until the
budget is spent. The best are listed as they are found. Knows the engine's client, what can be
probed and the page; knows nothing of the window.
"""

from dataclasses import dataclass, field

from PySide6.QtCore import QObject, Slot

from app.engine_client import EngineClient
from app.inspect.variants import VariantsRun
from app.probe.edits_page import EditsPage
from app.probe.effects_table import TAKE, Row
from app.probe.instead import PutIn
from app.probe.subject import CHANGED, Subject, Subjects, context
from core.engine.protocol import Failed, Inspect, Inspected, Side, StateRef, Variant
from core.present.effects import effect, flips
from core.scoring import Scoring
from core.substitution import Idea, by_size, promising, put, site_of_rows

PURPOSE = "best edits"
LISTED = 50
"""Edits that are listed, the best ones."""
BROKEN = "\N{REPLACEMENT CHARACTER}"
"""Stands for a part of a character: an edit that leaves one is not listed."""
UNSCORED = "Not now: the response is not scored as it stands. Press Find again."
ALONE = "A margin needs both responses: write the other one, or look for what raises Σr."


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit that was scored: its number, the token that is replaced, by what, and the response
    with it."""

    number: int
    index: int
    idea: Idea
    scoring: Scoring


@dataclass
class Hunt:
    """What is looked for in a response, where, and what was found."""

    subject: Subject
    sign: float
    """1 where the sum is to rise, −1 where it is to fall."""
    flip: bool
    budget: int
    places: list[int]
    """The tokens that were not tried yet, in their order."""
    index: int = -1
    """The token that is tried."""
    ideas: tuple[Idea, ...] = ()
    tried: int = 0
    found: list[Edit] = field(default_factory=list)
    """The best of those that do as is wanted, the best first."""


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
        self.run.stepped.connect(self._show_progress)
        self.run.ended.connect(self._chunk_ended)
        page.wanted.connect(self.find)
        page.table.taken.connect(self.take)
        page.cancelled.connect(self.stop)
        page.shown.connect(self.show)
        client.pair_let_go.connect(self.forget)

    # --- the hunt -----------------------------------------------------------------------------

    @Slot()
    def find(self) -> None:
        """Begin to look for what is chosen."""
        self.stop()
        page, numbers = self._page, self._subjects.numbers
        side: Side = page.side.currentData()
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
        self._hunt = Hunt(subject, sign, flip, page.budget.value(), places)
        self.running, self._said = True, ""
        page.table.forget_choice()
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

        def gain(edit: Edit) -> float:
            return hunt.sign * (float(credit.of(edit.scoring, beta).sum()) - was)

        scored = enumerate(zip(hunt.ideas, self.run.scorings, strict=False), hunt.tried)
        new = [Edit(at, hunt.index, idea, it) for at, (idea, it) in scored if it is not None]
        broken = hunt.subject.scoring.tokens.text.count(BROKEN)
        new = [it for it in new if it.scoring.tokens.text.count(BROKEN) <= broken]
        hunt.tried += len(self.run.scorings)
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
        stale = not self.stands()
        if stale and self.running:
            self.stop()
        page, hunt = self._page, self._hunt
        if not page.isVisible():
            return
        if self.running:
            self._show_progress()
        else:
            page.rest()
        if hunt is None:
            page.say(self._said, filled=False)
            return
        rows = self.rows()
        page.say(self._words(hunt, rows, stale), bool(rows))
        page.table.show_rows(rows, self._subjects.numbers.reward_scale(), stale)

    @Slot()
    def _show_progress(self) -> None:
        hunt = self._hunt
        if hunt is not None and self.running:
            done = hunt.tried + (len(self.run.scorings) if self.run.running else 0)
            self._page.run(done, hunt.budget, "Edits scored")

    def _words(self, hunt: Hunt, rows: list[Row], stale: bool) -> str:
        """Return what was found, and of what text it is, in a few sentences."""
        words = [_found(hunt, rows)] if rows else []
        if not rows and hunt.tried and not self.running:
            words = ["No edit does that."]
        in_place = [row.text for row in rows if row.current]
        if stale:
            words.append(CHANGED)
        elif in_place:
            side = hunt.subject.side
            words.append(
                f"“{in_place[0]}” is in place. All rows are edits of {side} as it was before; Find "
                f"looks for one in {side} as it is now."
            )
        else:
            words.append(self._said)
        return " ".join(words).strip()

    def rows(self) -> list[Row]:
        """Return the best edits."""
        hunt = self._hunt
        if hunt is None:
            return []
        subject, numbers = hunt.subject, self._subjects.numbers
        other = self._subjects.other(subject.side)
        panel = numbers.panels[subject.side].scoring
        shown = panel.tokens.ids if panel is not None else ()
        before, made = self._subjects.margin(subject), []
        for it in hunt.found:
            site = site_of_rows(subject.scoring.tokens, it.index, it.index + 1)
            assert site is not None
            beta, credit = numbers.known_beta(), numbers.credit
            does = effect(subject.scoring, it.scoring, site, it.idea, beta, credit, other)
            text = f"{subject.scoring.labels[it.index]} → {it.idea.text}"
            tip = f"Token {it.index + 1}: {context(it.scoring, site)}\n{TAKE}"
            current = shown == it.scoring.tokens.ids
            made.append(Row(it.number, text, does, tip, current, flips(before, does.margin)))
        return made

    def stands(self) -> bool:
        """Return whether what is shown is of the text on the screen, or of one of its rows."""
        if self._hunt is None:
            return False
        texts = {it.scoring.tokens.text for it in self._hunt.found}
        return self._subjects.stands(self._hunt.subject, texts)

    @Slot(int)
    def take(self, number: int) -> None:
        """Put an edit in place."""
        if self._hunt is None or not self.stands():
            self.show()
            return
        edit = next(it for it in self._hunt.found if it.number == number)
        self._put_in(self._hunt.subject.side, edit.scoring, edit.index)


def _found(hunt: Hunt, rows: list[Row]) -> str:
    """Return what was found, in a sentence."""
    what = "raises" if hunt.sign > 0 else "lowers"
    said = f"“{rows[0].text}” {what} Σr of {hunt.subject.side} most."
    if not hunt.flip:
        return said
    turning = sum(row.flips for row in rows)
    if not turning:
        return f"{said} No edit flips the margin."
    return f"{said} {turning} of these flip{'s' if turning == 1 else ''} the margin (⇄)."
