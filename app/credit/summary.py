"""Shows the numbers under the editors: both sums, margin, preference, loss, and the Δ sentence.

Knows the pair's numbers; knows nothing of tokens or engines.
"""

from dataclasses import asdict

from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QWidget

from app.theme import set_faint
from app.widgets.clipped import Clipped
from app.widgets.layouts import as_tip
from core.noise import NOISELESS, NoiseFloor
from core.present.credit import IMPLICIT, Credit
from core.present.numerals import as_number, noise_words, signed
from core.present.pair import PairNumbers, Split, split_shown
from core.present.table import delimited

FIGURES = ("sum_a", "sum_b", "margin", "preference", "loss")


def figures_of(credit: Credit) -> dict[str, tuple[str, str]]:
    """Return the name and the meaning of each figure that the training's loss can have."""
    symbol, objective = credit.of_pairs, credit.objective
    cancels = "; V*(s₀) cancels between two responses to one prompt" if symbol == "Σr" else ""
    name = "DPO" if objective.name in ("", "sigmoid") else objective.main.title
    loss = f"The loss of {objective.title}" if objective.losses else "−log σ(margin)"
    note = f". {objective.note}" if objective.note else ""
    figures = {
        "sum_a": (f"{symbol} A", f"Response score of A: {credit.of_pairs_meaning}"),
        "sum_b": (f"{symbol} B", "Response score of B"),
        "margin": ("margin A − B", f"{symbol} A − {symbol} B{cancels}"),
        "preference": (
            "σ(margin)",
            "Probability that A is preferred to B, by the policy's own reward",
        ),
        "loss": (
            f"{name} loss",
            f"{loss}, with A as the chosen and B as the rejected response{note}",
        ),
    }
    missing = {"preference": not credit.prefers, "loss": not credit.has_loss}
    return {key: figure for key, figure in figures.items() if not missing.get(key)}


DELTA = (
    "How the two response scores differ: the rewards of the tokens that were edited, and what the "
    "edit did to the rewards of the equal tokens after it"
)


class PairSummary(QFrame):
    """A strip with the pair in numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strip")
        self.figures: dict[str, QLabel] = {}
        self._names: dict[str, QLabel] = {}
        self._grid = grid = QGridLayout(self)
        grid.setContentsMargins(12, 3, 12, 3)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(1)
        for column, key in enumerate(FIGURES):
            title, figure = QLabel(), QLabel("–")
            title.setObjectName("muted")
            figure.setObjectName("figure")
            grid.addWidget(title, 0, 2 * column)
            grid.addWidget(figure, 0, 2 * column + 1)
            self.figures[key], self._names[key] = figure, title
        self.delta = Clipped()
        self.delta.setToolTip(as_tip(DELTA))
        grid.addWidget(self.delta, 1, 0, 1, 2 * len(FIGURES))
        self.set_credit(IMPLICIT)

    def set_credit(self, credit: Credit) -> None:
        """Name the figures as the training of another pair has them, and show none."""
        self._credit, self._meanings = credit, figures_of(credit)
        for column, (key, title) in enumerate(self._names.items()):
            name, meaning = self._meanings.get(key, ("", ""))
            title.setText(name)
            title.setToolTip(as_tip(meaning))
            self.figures[key].setAccessibleName(name)
            self.figures[key].setVisible(bool(name))
            self._grid.setColumnStretch(2 * column + 1, int(bool(name)))
        self.show_numbers(None, None)

    def show_numbers(
        self,
        pair: PairNumbers | None,
        split: Split | None,
        floors: tuple[float, ...] = (0.0, 0.0, 0.0),
        noise: NoiseFloor = NOISELESS,
    ) -> None:
        """Show the pair's numbers; None where a side is not scored for the text on the screen.

        ``floors``: the noise of both sums and of the margin; numbers below it are grey.
        """
        found = {} if pair is None else asdict(pair)
        for key, label in self.figures.items():
            value, plain = found.get(key), key in ("preference", "loss")
            label.setText("–" if value is None else f"{value:.3f}" if plain else signed(value))
        sums = [found.get(key) for key in FIGURES[:3]]
        hidden = [
            noise_words(noise, floor) if value is not None and abs(value) < floor else ""
            for value, floor in zip(sums, floors, strict=True)
        ]
        why = dict(zip(FIGURES, hidden, strict=False))
        why |= {"preference": why["margin"], "loss": why["margin"]}
        for key, (name, meaning) in self._meanings.items():
            of = name if key.startswith("sum") else "the margin"
            _say_noise(self.figures[key], meaning, f"{of} is {why[key]}" if why[key] else "")
        self.delta.show_words(delta_sentence(split, self._credit))
        apart = why["margin"] and split is not None
        _say_noise(
            self.delta,
            f"{self.delta.words}\n{DELTA}",
            f"the margin is {why['margin']}" if apart else "",
        )

    def as_text(self) -> str:
        """Return the strip as plain text, for the clipboard."""
        rows = [
            (self._names[it].text(), as_number(self.figures[it].text())) for it in self._meanings
        ]
        return delimited([*rows, (self.delta.words,)], "\t")


def _say_noise(label: QLabel, meaning: str, why: str) -> None:
    """Show a label in grey, with the reason in its tooltip, where there is one."""
    set_faint(label, bool(why))
    label.setToolTip(as_tip(f"{meaning}; {why}" if why else meaning))


def delta_sentence(split: Split | None, credit: Credit = IMPLICIT) -> str:
    """Return the Δ sentence; its shown parts add up to its shown total."""
    difference = f"Δ {credit.symbol} (B − A)"
    if not credit.parts_cancel:
        return f"{difference}: divided by lengths, so that no token adds the same to both"
    if split is None:
        return f"{difference}: once both responses are scored"
    if not (split.tokens_a or split.tokens_b):
        return f"{difference} = 0: A and B are the same tokens"
    total, edited, downstream = split_shown(split)
    return (
        f"{difference} = {total}  =  edited words {edited} "
        f"({split.tokens_a} → {split.tokens_b} tokens)  +  downstream tokens {downstream}"
    )
