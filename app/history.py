"""The history of the texts: follows what is scored, goes back to it, compares and names.

Each state that both models have scored is a point (core/history.py); the strip at the foot of the
credit view shows them. Numbers are made of the log-probs whenever beta or the pair's loss changes;
those of points that another pair or checkpoint left without are scored behind. Knows the credit
view, its texts and the strip; knows nothing of files.
"""

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtWidgets import QInputDialog, QWidget

from app.actions.action import Menu, action, toggle
from app.credit.view import CreditView
from app.engine_client import EngineClient
from app.inspect.variants import VariantsRun
from app.settings import Settings, pair_key
from app.texts import Texts
from app.widgets.history_strip import HistoryStrip, Row
from app.widgets.timers import single_shot
from core.engine.protocol import PairInfo, PairSpec, Score, Scrub, Variant
from core.history import History, Point, Reached, State
from core.present.numerals import signed
from core.scoring import Scoring
from core.text import Prompt

BEHIND_MS = 1500
"""How long all rests before points without numbers are scored."""
FEW = 2
"""Points from which on the strip is shown."""
AskName = Callable[[str, QWidget], str | None]
PROMPT_ALONE = "These two states differ in the prompt alone: A and B share one prompt."


class EditHistory(QObject):
    """The history of one window's texts."""

    changed = Signal()
    """There is another point, or another one is on the screen."""
    renamed = Signal()
    """A point has another name."""

    def __init__(
        self,
        client: EngineClient,
        view: CreditView,
        texts: Texts,
        settings: Settings,
        say: Callable[[str], object],
    ) -> None:
        """``say`` shows a sentence for a moment."""
        super().__init__(view)
        self.history = History()
        self.strip: HistoryStrip = view.history
        self.ask_name: AskName = ask_name
        """Replaceable, so that tests can answer."""
        self._client, self._view, self._texts, self._say = client, view, texts, say
        self._settings = settings
        self._on = settings.get("history", "1", ("0", "1")) == "1"
        self._typed = False
        self._words = ""
        self._of = ""
        """The pair that the ids are of."""
        self._rows: dict[int, tuple[Point, object, Row]] = {}
        """Each point's row, with what it was made of."""
        self._failed: set[tuple[int, str]] = set()
        """Points that cannot be scored under a checkpoint: they are not asked for again."""
        self._run = VariantsRun(client, "history", self)
        self._keys: list[tuple[Prompt, Reached]] = []
        """What it scores, in its order."""
        self._of_run: list[Point] = []
        """The points that it is for and that have no numbers of it yet."""
        self._run.stepped.connect(self._take_behind)
        self._run.ended.connect(self._end_behind)
        self._behind: QTimer = single_shot(self, self._score_behind, BEHIND_MS)
        view.recoloured.connect(self._follow)
        for panel in view.panels.values():
            panel.typed.connect(self._note_typing)
        view.prompt.typed.connect(self._note_typing)
        view.exchanged.connect(self._forget_typing)
        texts.put_in_place.connect(self._expect_example)
        self.strip.wanted.connect(self.go_to)
        self.strip.compare_wanted.connect(self.compare)
        self.strip.name_wanted.connect(self.name)

    def restore(self, points: list[Point], now: int, spec: PairSpec) -> None:
        """Take the states of a session in place of all; ``spec``: the pair that their tokens are
        of. Their numbers are asked for behind."""
        self._run.stop()
        self.history.restore(points, now)
        self._of = pair_key(spec)
        self._failed.clear()
        self._show()
        self.changed.emit()

    def found_again(self, spec: PairSpec) -> None:
        """Take note that the pair has another name now, and is the same."""
        self._of = pair_key(spec)

    # --- what is scored -----------------------------------------------------------------------

    def set_pair(self, info: PairInfo | None, spec: PairSpec | None) -> None:
        """Take another pair, or none: states stay, what was said of them goes."""
        key = pair_key(spec) if info is not None and spec is not None else self._of
        self.history.forget_numbers(tokens_too=key != self._of)
        self._of = key
        self._failed.clear()
        self._show()

    @Slot()
    def _follow(self) -> None:
        """Take what is on the screen if both responses are scored as they stand."""
        known = self._view.scorings()
        if len(known) == 2 and self._is_news(known["A"], known["B"]):
            self.history.take(
                self._view.prompt.prompt(),
                known["A"],
                known["B"],
                self._view.numbers.checkpoint(),
                typed=self._typed,
                at=time.monotonic(),
                words=self._words,
            )
            self._typed, self._words = False, ""
            self.changed.emit()
        self._show()

    def _is_news(self, a: Scoring, b: Scoring) -> bool:
        now = self.history.current()
        return (
            now is None
            or now.scorings is None
            or now.scorings[0] is not a
            or (now.scorings[1] is not b)
        )

    @Slot()
    def _note_typing(self) -> None:
        self._typed, self._words = True, ""

    @Slot()
    def _forget_typing(self) -> None:
        self._typed = False

    @Slot(str)
    def _expect_example(self, title: str) -> None:
        self._typed, self._words = False, f"example: {title}" if title else ""

    # --- what is shown ------------------------------------------------------------------------

    def _show(self) -> None:
        view = self._view
        made_of = (
            view.known_beta(), view.numbers.credit, view.noise, view.numbers.checkpoint(),
        )  # fmt: skip
        rows, kept = [], {}
        for point in self.history:
            known = self._rows.get(point.number)
            if known is None or known[0] is not point or known[1] != made_of:
                known = point, made_of, self._row(point)
            kept[point.number] = known
            rows.append(known[2])
        self._rows = kept
        self.strip.show_rows(rows, self.history.now)
        self.strip.setVisible(self._on and len(rows) >= FEW)
        if any(row.value != row.value for row in rows):
            self._behind.start()

    def _row(self, point: Point) -> Row:
        numbers, credit = self._view.numbers, self._view.numbers.credit
        found = point.numbers(self._view.known_beta(), credit)
        if found is None or point.checkpoint != numbers.checkpoint():
            figures, value = "not scored yet", float("nan")
        else:
            value = found.sum_a - found.sum_b if found.margin is None else found.margin
            hidden = abs(value) < point.noise(self._view.beta(), self._view.noise, credit)[2]
            symbol = credit.of_pairs
            figures = (
                f"{symbol} A {signed(found.sum_a, 2)}, {symbol} B {signed(found.sum_b, 2)}, "
                f"{'A − B' if found.margin is None else 'margin'} {signed(value, 2)}"
                + (" (noise)" if hidden else "")
            )
        return Row(point.number, point.changed, figures, value, point.side, point.name)

    # --- what the user does -------------------------------------------------------------------

    @Slot(int)
    def go_to(self, number: int) -> None:
        """Put the texts of a point in place, as one step of undo; its tokens come back too."""
        point = self.history.get(number)
        if point is not None and number != self.history.now:
            self._put(point.state)

    def _put(self, state: State, words: str = "") -> None:
        self._typed, self._words = False, words
        self._texts.put_state(state)

    @Slot(int)
    def compare(self, number: int) -> None:
        """Put a point's edited response into A and the one on the screen into B."""
        then, now = self.history.get(number), self.history.current()
        if then is None or now is None or then is now:
            return
        differ = [s for s, it in (("A", then.state.a != now.state.a),
                                  ("B", then.state.b != now.state.b)) if it]  # fmt: skip
        if not differ:
            self._say(PROMPT_ALONE)
            return
        side = now.side if now.side in differ else differ[-1]
        one, other = _response(then, side), _response(now, side)
        place = {point.number: i + 1 for i, point in enumerate(self.history)}
        words = f"states {place[number]} and {place[now.number]} as A and B"
        self._put(State(now.state.prompt, one, other), words)

    @Slot(int)
    def name(self, number: int) -> None:
        """Ask for a name of a point."""
        point = self.history.get(number)
        if point is None:
            return
        name = self.ask_name(point.name, self._view.window())
        if name is not None:
            self.history.rename(number, name)
            self._show()
            self.renamed.emit()

    def _can_go_back(self) -> bool:
        return self.history.neighbour(-1) is not None

    def _can_go_forward(self) -> bool:
        return self.history.neighbour(1) is not None

    @action(
        Menu.EDIT.at(5, 1),
        "&Earlier state",
        "Alt+PgUp",
        "Go back in the history: the state before, with its very tokens",
        enabled=_can_go_back,
    )
    def go_back(self) -> None:
        """Go to the state before the one on the screen."""
        self._go_by(-1)

    @action(
        Menu.EDIT.at(5, 2),
        "&Later state",
        "Alt+PgDown",
        "Go forward in the history",
        enabled=_can_go_forward,
    )
    def go_forward(self) -> None:
        """Go to the state after the one on the screen."""
        self._go_by(1)

    def _go_by(self, by: int) -> None:
        if (point := self.history.neighbour(by)) is not None:
            self.go_to(point.number)

    def _has_state(self) -> bool:
        return self.history.current() is not None

    @action(
        Menu.EDIT.at(5, 3),
        "&Name this state…",
        tip="A word that stands over its dot in the history",
        enabled=_has_state,
    )
    def name_this(self) -> None:
        """Ask for a name of the state on the screen."""
        self.name(self.history.now)

    def _was_on(self) -> bool:
        return self._on

    @toggle(
        Menu.VIEW.at(2, 5),
        "&History",
        "Ctrl+H",
        "A dot for each state that was scored, below the responses",
        _was_on,
    )
    def show_history(self, on: bool) -> None:
        """Show the strip, once there are states to go back to, or hide it."""
        self._on = on
        self._settings.put("history", str(int(on)))
        self._show()

    # --- numbers that are missing -------------------------------------------------------------

    @Slot()
    def _score_behind(self) -> None:
        """Have points scored that another pair or checkpoint left without numbers."""
        view = self._view
        if not view.scorer.has_pair or not self.strip.isVisible():
            return
        if self._client.busy(Score, Scrub):
            self._behind.start()
            return
        checkpoint = view.numbers.checkpoint()
        if self._run.running and self._run.checkpoint in ("", checkpoint):
            return  # what is under way, or about to begin, is of what is shown
        self._of_run = [
            it
            for it in self.history.unknown(checkpoint)
            if (it.number, checkpoint) not in self._failed and it.number != self.history.now
        ]
        self._keys = [*dict.fromkeys(key for it in self._of_run for key in _keys(it))]
        if self._keys:
            self._run.begin(tuple(Variant(prompt, it.text, it.ids) for prompt, it in self._keys))

    @Slot()
    def _take_behind(self) -> None:
        """Take scorings that have come, if they are of the checkpoint that is shown; a point gets
        its numbers once both are there."""
        checkpoint = self._run.checkpoint
        if checkpoint == self._view.numbers.checkpoint():
            found = dict(zip(self._keys, self._run.scorings, strict=False))
            for point in [*self._of_run]:
                a, b = _keys(point)
                if not (a in found and b in found):
                    continue
                self._of_run.remove(point)
                one, other = found[a], found[b]
                if one is None or other is None:
                    self._failed.add((point.number, checkpoint))
                elif point.number != self.history.now:
                    self.history.put_scorings(point.number, one, other, checkpoint)
        self._show()

    @Slot(str)
    def _end_behind(self, why: str) -> None:
        """Look for what is still missing; ``why``: as VariantsRun tells it."""
        if why not in ("", "stopped"):
            checkpoint = self._run.checkpoint or self._view.numbers.checkpoint()
            self._failed |= {(it.number, checkpoint) for it in self._of_run}
        self._of_run = []
        self._show()


def _keys(point: Point) -> tuple[tuple[Prompt, Reached], tuple[Prompt, Reached]]:
    state = point.state
    return (state.prompt, state.a), (state.prompt, state.b)


def _response(point: Point, side: str) -> Reached:
    return point.state.a if side == "A" else point.state.b


def ask_name(name: str, parent: QWidget) -> str | None:
    """Ask for a name; None where the user thinks better of it."""
    said, chosen = QInputDialog.getText(parent, "Name this state", "Name:", text=name)
    return said if chosen else None
