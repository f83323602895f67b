"""Shows one response: its editor, its title with the sums, and which tokens its text stands for.

Remembers the token ids by which a text was reached, so that undo brings back the very tokens and
not only the letters. Knows scorings and colours; asks for nothing itself: it signals ``changed``
and the view asks.
"""

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QEvent, QObject, Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.credit.scoring_progress import ScoringProgress
from app.theme import SIDE_COLOURS, set_faint
from app.widgets.clipped import Clipped
from app.widgets.colour_scale import ColourScale
from app.widgets.folding import Folding
from app.widgets.layouts import as_tip, fill, label
from app.widgets.spans import TokenSpans
from app.widgets.timers import single_shot
from app.widgets.token_editor import TokenEditor
from core.engine.protocol import Side
from core.noise import NOISELESS, NoiseFloor
from core.present.credit import Credit
from core.present.numerals import noise_words, signed
from core.present.units import Floats
from core.scoring import Scoring

DEBOUNCE_MS = 60
REMEMBERED = 300
"""Most texts whose tokens are remembered, so that undo returns to exactly them."""
REMEMBERED_TOKENS = 100_000
"""Most tokens of all of them together."""


@dataclass(frozen=True)
class Wanted:
    """A request to score: a text, and the ids by which that text was reached before, if any."""

    text: str
    ids: tuple[int, ...] | None = None
    fresh: bool = False
    """Whether it is another text, not an edit of the one that was scored last."""


class ResponsePanel(QFrame):
    """A card with editor A or B and its heading."""

    changed = Signal(str)
    """The text was edited and has rested for a moment; carries the side."""
    typed = Signal(str)
    """The text was edited just now."""

    def __init__(self, side: Side, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.side: Side = side
        self.scoring: Scoring | None = None
        self._reached: dict[str, tuple[int, ...]] = {}
        self._replacing: tuple[int, str] | None = None
        self._drawn: tuple[Scoring, bool, bytes] | None = None
        self._stale = self._fresh = False
        self._problem = ""
        self.editor = TokenEditor()
        self.editor.setPlaceholderText(
            f"Response {side}: write or paste one here. Its tokens are coloured as you type."
        )
        self.editor.setAccessibleName(f"Response {side}")
        self.editor.setFrameShape(QFrame.Shape.NoFrame)
        self.folding = Folding(self.editor)
        self.more = QToolButton()
        self.more.setObjectName("link")
        self.more.setAutoRaise(True)
        self.more.setToolTip("Show them: a click here, the caret there, or typing does so")
        self.more.hide()
        self.name = QLabel(side)
        self.sum = label("", "figure")
        self.about = Clipped()
        self.about.setObjectName("muted")
        self.about.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.progress = ScoringProgress()
        said = (self.about, 1), self.progress, self.sum
        row = fill(QHBoxLayout(), self.name, self.more, *said, margins=(10, 6, 10, 0), spacing=8)
        fill(QVBoxLayout(self), row, (self.editor, 1), margins=(2, 0, 2, 2), spacing=2)
        self._rest = single_shot(self, self._say_changed, DEBOUNCE_MS)
        self.editor.edited.connect(self._edited)
        self.editor.installEventFilter(self)
        self.folding.changed.connect(self.more.setVisible)
        self.more.clicked.connect(self.folding.unfold)
        self.set_dark(False)
        self.show_sum(None)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Outline the card while its editor has the focus."""
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            here = event.type() == QEvent.Type.FocusIn
            theme.restyle(self, "active", "true" if here else "false")
        return super().eventFilter(watched, event)

    # --- text and tokens --------------------------------------------------------------------

    def text(self) -> str:
        """Return the text as it stands."""
        return self.editor.text()

    def set_text(self, text: str) -> None:
        """Show another response: nothing is known of it yet, and undo starts anew."""
        self._rest.stop()
        self._replacing = None
        self._reached.clear()
        self.scoring = self._drawn = None
        self._fresh = True
        self.editor.pin(None)
        self.editor.set_text(text)
        self.show_sum(None)

    def swap_in(self, text: str, ids: tuple[int, ...] | None) -> None:
        """Show the other side's text and, if known, its tokens; one undo step."""
        self._rest.stop()
        self._remember()
        self._fresh = True
        self.editor.set_text_keeping_undo(text)
        if ids is not None:
            self._remember_tokens(text, ids)

    def put_in(self, text: str) -> None:
        """Show another response, of which nothing is known yet; one undo step."""
        self.swap_in(text, None)
        self._reached.pop(text, None)
        self._replacing = None
        self.scoring = self._drawn = None
        self.editor.pin(None)
        self.editor.set_tokens(None)
        self.show_sum(None)

    def undo_to(self, text: str, redo: bool = False) -> None:
        """Show an earlier response: by undo (or redo) where that brings it, else as a new step."""
        if self.text() != text:
            self.editor.redo() if redo else self.editor.undo()
        if self.text() != text:
            self.swap_in(text, None)

    def wanted(self) -> Wanted:
        """Return what to score: the text, or its remembered tokens."""
        self._rest.stop()
        ids = self._reached.get(self.text())
        if ids is not None:
            return Wanted(self.text(), ids)
        return Wanted(text=self.text(), fresh=self._fresh)

    def is_current(self) -> bool:
        """Return whether the scoring is of exactly the text on the screen."""
        return (
            self.scoring is not None
            and not self._stale
            and not self._rest.isActive()
            and self.scoring.tokens.text == self.text()
        )

    def expect_replacement(self, id: int) -> None:
        """Note that request ``id`` asked for a replacement, whose text is to go into the editor."""
        self._remember()
        self._replacing = id, self.text()

    def take(self, id: int, scoring: Scoring) -> bool:
        """Take a scoring; the text of a replacement, or of decoded ids, goes into the editor.

        Returns False for a replacement in a text that was typed on meanwhile: nothing of it is
        shown, and the newer text is asked for anyway.
        """
        tokens = scoring.tokens
        replaced = self._replacing is not None and self._replacing[0] == id
        asked = self._replacing[1] if self._replacing is not None and replaced else self.text()
        self._replacing = None
        if replaced and self.text() != asked:
            return False
        if any(tokens.forced) or replaced:
            self._remember_tokens(tokens.text, tokens.ids)
        if tokens.text != self.text() and (replaced or self._reached.get(self.text())):
            self.editor.set_text_keeping_undo(tokens.text)
        self.scoring = scoring
        self._stale = self._fresh = False
        self._problem = ""
        return True

    def take_again(self, scoring: Scoring) -> bool:
        """Take what another policy says of these tokens; return False if others are shown."""
        if not self.is_current() or self.scoring is None:
            return False
        if self.scoring.tokens.ids != scoring.tokens.ids:
            return False
        self.scoring = scoring
        return True

    def show_unknown(self, sentence: str) -> None:
        """Show a text of which nothing is known, and say why; its tokens before are remembered."""
        self._replacing = None
        self.scoring = self._drawn = None
        self.editor.set_tokens(None)
        self._problem = sentence
        self.show_sum(None)

    def forget_tokens(self) -> None:
        """Forget all that is known of tokens, for another pair; the text stays."""
        self._reached.clear()
        self._replacing = None
        self.scoring = self._drawn = None
        self.editor.pin(None)
        self.editor.set_tokens(None)
        self.show_sum(None)

    def _remember(self) -> None:
        """Remember the tokens of what is shown, so that undo can return to exactly them."""
        if self.scoring is not None and self.scoring.tokens.text == self.text():
            self._remember_tokens(self.text(), self.scoring.tokens.ids)

    def _remember_tokens(self, text: str, ids: tuple[int, ...]) -> None:
        """Remember the ids of a text, and forget the oldest where that is too much."""
        self._reached.pop(text, None)
        self._reached[text] = ids
        tokens = sum(map(len, self._reached.values()))
        while len(self._reached) > REMEMBERED or (
            tokens > REMEMBERED_TOKENS and len(self._reached) > 1
        ):
            tokens -= len(self._reached.pop(next(iter(self._reached))))

    # --- what is shown ----------------------------------------------------------------------

    def paint(self, values: Floats, scale: ColourScale) -> None:
        """Colour the scored tokens by these values, [n], the closing ones' last."""
        if self.scoring is None:
            return
        tokens = self.scoring.tokens
        classes = scale.classes(values)
        drawn = self.scoring, self._stale, classes.tobytes()
        if drawn == self._drawn:
            return  # it was the other side that was scored
        self._drawn = drawn
        self.editor.set_tokens(
            TokenSpans(
                tokens.text,
                np.asarray(tokens.starts, dtype=np.int64),
                np.asarray(tokens.ends, dtype=np.int64),
                classes[: len(tokens)],
                self._stale,
            )
        )
        if len(classes) > len(tokens):
            end = len(tokens)
            self.editor.set_closing(self.scoring.labels[end], int(classes[end]))
        else:
            self.editor.set_closing("", None)

    def set_scale(self, scale: ColourScale) -> None:
        """Set the scale's surface and colours, also before anything is scored."""
        self.editor.set_scale(scale)
        # Under a style sheet Qt does not hand a new palette on to the viewport.
        self.editor.viewport().setPalette(self.editor.palette())

    def show_sum(
        self, credit: Credit | None, beta: float = 1.0, noise: NoiseFloor = NOISELESS
    ) -> None:
        """Write the heading: the sum, how many tokens, and what there is to say of them."""
        if self.scoring is None or credit is None:
            self.sum.setText("")
            self.about.show_words(self._problem or "not scored")
            self.about.setToolTip("")
            return
        count, fresh, parts_of = len(self.scoring), self.is_current(), credit.of(self.scoring, beta)
        total = signed(float(parts_of.sum()))
        self.sum.setText(f"{credit.symbol} {f'= {total}' if fresh else f'≈ {total} …'}")
        self.sum.setEnabled(fresh)
        floor = float(noise.of_rewards(credit.scale(beta, count), count))
        hidden = abs(float(parts_of.sum())) < floor
        set_faint(self.sum, hidden)
        what = f"Response score: {credit.meaning}, closing token too"
        self.sum.setToolTip(as_tip(what + (f"; {noise_words(noise, floor)}" if hidden else "")))
        forced = sum(self.scoring.tokens.forced)
        parts = [f"{count} tokens", f"mean {signed(float(parts_of.mean()))}/token"]
        if forced:
            parts.insert(0, f"⚑ {forced} not the tokenizer's own")
        if len(self.scoring.tokens) == 0:
            parts = ["empty: only the closing token is scored"]
        self.about.show_words(self._problem or " · ".join(parts))
        self.about.setToolTip(
            as_tip(
                self.scoring.note
                or "The closing (end-of-turn) token is counted. Responses compare by the sum; the "
                "mean is only beside it, since averaging hides length."
            )
        )

    def show_shared(self, tokens: int | None) -> None:
        """Say how many tokens both responses begin with, where they are folded; None: not known."""
        count = "what" if tokens is None else f"{tokens:,} token{'s' * (tokens != 1)} that"
        self.more.setText(f"… {count} both share")

    def show_problem(self, sentence: str) -> None:
        """Say in the heading why this text has no scores; "" when that is over."""
        self._problem = sentence
        if sentence:
            self.about.show_words(sentence)

    def fade(self) -> None:
        """Show what was scored as stale: the prompt has changed."""
        self._stale = True

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        colour = SIDE_COLOURS[dark][self.side]
        self.name.setText(f'<b style="color:{colour}; font-size:120%">{self.side}</b>')
        self.name.setTextFormat(Qt.TextFormat.RichText)

    @Slot()
    def _edited(self) -> None:
        self._rest.start()
        self.sum.setEnabled(False)
        self.typed.emit(self.side)

    @Slot()
    def _say_changed(self) -> None:
        self.changed.emit(self.side)
