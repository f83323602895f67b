"""Scores what else could stand in a place of a response, all in one batch, and puts one in place.

What was found holds for the response as it was asked about, and for it with one of the rows in
place, so that several can be tried one after the other. Knows the engine's client, what can be
probed and the page; knows nothing of the window.
"""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Slot

from app.credit.focus import Focus
from app.engine_client import EngineClient
from app.inspect.variants import VariantsRun
from app.probe.effects_table import TAKE, Row
from app.probe.instead_page import InsteadPage
from app.probe.subject import CHANGED, Subject, Subjects, context
from app.widgets.spans import utf16_offsets
from core.engine.protocol import Failed, Inspect, Inspected, Side, StateRef, Variant
from core.present.effects import effect, flips
from core.scoring import Scoring
from core.substitution import (
    LEFT_OUT,
    Idea,
    Site,
    of_models,
    of_other,
    of_typed,
    put,
    site_of_rows,
    site_of_text,
    site_of_word,
    whole_tokens,
)

PURPOSE = "instead"
NOTHING = "Pin a token of A or B first, or select something there."
UNSCORED = "Not now: the text is still being scored. Press Score again."
TEMPLATE = "Only what the response itself says can be replaced: pin a token of its text."
PutIn = Callable[[Side, Scoring, int], None]
"""Puts a scored text, its very tokens, in the place of a side's, as one step of undo; the last is
the token that was put there, to be pinned."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A place in a response, and what is scored there."""

    subject: Subject
    site: Site
    ideas: tuple[Idea, ...] = ()

    @property
    def text(self) -> str:
        """Return what stands in the place."""
        return self.subject.scoring.tokens.text[self.site.start : self.site.stop]


class Instead(QObject):
    """What else could stand in one place at a time."""

    def __init__(
        self,
        client: EngineClient,
        subjects: Subjects,
        focus: Focus,
        page: InsteadPage,
        put_in: PutIn,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._client, self._subjects, self._focus = client, subjects, focus
        self._page, self._put_in = page, put_in
        self._asked: Asked | None = None
        self._said = ""
        self.run = VariantsRun(client, PURPOSE, self)
        self.run.stepped.connect(self.show)
        self.run.ended.connect(self._ended)
        page.wanted.connect(self.score)
        page.table.taken.connect(self.take)
        page.cancelled.connect(self.stop)
        page.shown.connect(self.show)
        client.pair_let_go.connect(self.forget)

    # --- asking -------------------------------------------------------------------------------

    @Slot()
    def score(self) -> None:
        """Score what could stand in the chosen place."""
        self.stop()
        place = self._place()
        if isinstance(place, str):
            self._said = place
            self.show()
            return
        subject, site = place
        self._focus.pin(subject.side, site.first)  # the inspector stays open for what is pinned
        self._asked, self._said = Asked(subject, site), ""
        self._page.table.forget_choice()
        self.run.scorings, self.run.problems = [], []
        if not whole_tokens(subject.scoring.tokens, site):
            self._begin(())  # no token could stand for a part of others
            return
        state = StateRef.before(subject.scoring, site.first, subject.prompt)
        most = int(self._page.count.currentData())
        ticket = self._client.ask(Inspect, state, most=most, purpose=PURPOSE)
        ticket.answered.connect(self._inspected)
        ticket.failed.connect(self._inspect_failed)
        self.show()

    def _place(self) -> tuple[Subject, Site] | str:
        """Return the response and the place that are meant; else a sentence on what to do."""
        wanted = self._page.place.currentData()
        selected = self.selection()
        if wanted == "selection":
            if selected is None:
                return NOTHING
            side, start, stop = selected
            subject = self._subjects.of(side)
            if subject is None:
                return UNSCORED
            site = site_of_text(subject.scoring.tokens, start, stop)
            return (subject, site) if site is not None else TEMPLATE
        spot = self._focus.spot() or self._focus.shown
        if spot is None:
            return NOTHING
        side, index = spot
        subject = self._subjects.of(side)
        if subject is None:
            return UNSCORED
        tokens = subject.scoring.tokens
        word = wanted == "word"
        site = site_of_word(tokens, index) if word else site_of_rows(tokens, index, index + 1)
        return (subject, site) if site is not None else TEMPLATE

    def selection(self) -> tuple[Side, int, int] | None:
        """Return the side with a selection, that with the focus first, and where it is, in code
        points."""
        panels = self._subjects.numbers.panels
        for side in sorted(panels, key=lambda it: not panels[it].editor.hasFocus()):
            cursor = panels[side].editor.textCursor()
            if cursor.hasSelection():
                offsets = utf16_offsets(panels[side].text())
                start, stop = offsets.searchsorted(
                    [cursor.selectionStart(), cursor.selectionEnd()]
                ).tolist()
                return side, start, stop
        return None

    def _inspected(self, event: Inspected) -> None:
        asked = self._asked
        if asked is not None:
            ids = asked.subject.scoring.tokens.ids[asked.site.first : asked.site.last]
            self._begin(of_models(event.inspection, ids))

    def _inspect_failed(self, event: Failed) -> None:
        self._ended(event.message)

    def _begin(self, of_both: tuple[Idea, ...]) -> None:
        """Have the ideas scored: the user's, the other response's, those of both models."""
        asked = self._asked
        if asked is None:
            return
        subject, site = asked.subject, asked.site
        tokens = subject.scoring.tokens
        ideas = [*of_typed(self._page.own.text())]
        other, pairs = self._subjects.other(subject.side), self._subjects.numbers.alignment
        if other is not None and pairs is not None:
            ideas += of_other(tokens, site, other[1].tokens, pairs, subject.side)
        if whole_tokens(tokens, site):
            ideas.append(LEFT_OUT)
        ideas += of_both
        if not ideas:
            self._ended("There is nothing to put there: write texts of your own above.")
            return
        self._asked = Asked(subject, site, tuple(ideas))
        changed = (put(tokens, site, idea) for idea in ideas)
        self.run.begin(tuple(Variant(subject.prompt, it.text, it.ids) for it in changed))
        self.show()

    @property
    def running(self) -> bool:
        """Return whether something is asked for that has not come."""
        return self.run.running or self._inspecting

    @property
    def _inspecting(self) -> bool:
        return self._asked is not None and not self._asked.ideas and not self._said

    @Slot()
    def stop(self) -> bool:
        """Stop, and keep what has come; return whether anything was under way."""
        if self._inspecting:
            self._asked = None
            self._ended("Cancelled.")
            return True
        return self.run.stop()

    @Slot()
    def forget(self) -> None:
        """Drop what was found: another pair is loaded."""
        self._asked, self._said = None, ""
        self.show()

    # --- what comes ---------------------------------------------------------------------------

    @Slot(str)
    def _ended(self, why: str) -> None:
        done, count = len(self.run.scorings), self.run.count
        self._said = f"Cancelled: {done} of {count} were scored." if why == "stopped" else why
        self.show()

    @Slot()
    def show(self) -> None:
        """Show what is known, from scorings that are there already."""
        stale = not self.stands()
        if stale and self.running:
            self.stop()
            if self._asked is None:
                self._said = CHANGED
        page, asked = self._page, self._asked
        if not page.isVisible():
            return
        if self._inspecting:
            page.run(0, 0, "Asking both models what could stand there")
        elif self.run.running:
            page.run(len(self.run.scorings), self.run.count, "Scored")
        else:
            page.rest()
        if asked is None:
            page.say(self._said, filled=False)
            return
        said = f"In place of “{asked.text}” in {asked.subject.side}. "
        page.say(said + (CHANGED if stale else self._said), filled=True)
        scale = self._subjects.numbers.reward_scale()
        page.table.show_rows(self.rows(), scale, stale)

    def rows(self) -> list[Row]:
        """Return what is known, the response as it was first."""
        asked = self._asked
        if asked is None:
            return []
        subject, site = asked.subject, asked.site
        numbers, other = self._subjects.numbers, self._subjects.other(subject.side)
        beta, credit = numbers.known_beta(), numbers.credit
        panel = numbers.panels[subject.side]
        shown = panel.scoring.tokens.ids if panel.scoring is not None else ()
        old = subject.scoring
        as_is = Idea(asked.text, old.tokens.ids[site.first : site.last])
        before = effect(old, old, site, as_is, beta, credit, other)
        found = [Row(0, asked.text, before, "as it was", current=shown == old.tokens.ids)]
        known = zip(asked.ideas, self.run.scorings, self.run.problems, strict=False)
        for number, (idea, new, problem) in enumerate(known, 1):
            if new is None:
                found.append(Row(number, idea.text, None, problem))
                continue
            does = effect(old, new, site, idea, beta, credit, other)
            current = shown == new.tokens.ids and shown != old.tokens.ids
            turns = flips(before.margin, does.margin)
            tip = f"{idea.source}: {context(new, site)}\n{TAKE}"
            found.append(Row(number, idea.text, does, tip, current, turns))
        return found

    def stands(self) -> bool:
        """Return whether what is shown is of the text on the screen, or of one of its rows."""
        if self._asked is None:
            return False
        texts = {it.tokens.text for it in self.run.scorings if it is not None}
        return self._subjects.stands(self._asked.subject, texts)

    @Slot(int)
    def take(self, number: int) -> None:
        """Put a row in place, its very tokens; 0: the response as it was."""
        if self._asked is None:
            return
        if not self.stands():
            self.show()
            return
        new = self._asked.subject.scoring if number == 0 else self.run.scorings[number - 1]
        if new is not None:
            self._put_in(self._asked.subject.side, new, self._asked.site.first)
