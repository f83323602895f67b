"""Shows the numbers under the editors: both sums, margin, preference, loss, and the Δ sentence.

Knows the pair's numbers; knows nothing of tokens or engines.
"""

from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QWidget

from app.theme import set_faint
from core.noise import NOISELESS, NoiseFloor
from core.present.numerals import noise_words, signed
from core.present.pair import PairNumbers, Split, split_shown

FIGURES = (
    ("sum_a", "Σr A", "Response score of A: the sum of its implicit rewards"),
    ("sum_b", "Σr B", "Response score of B"),
    ("margin", "margin A − B", "Σr A − Σr B; V*(s₀) cancels between two responses to one prompt"),
    ("preference", "σ(margin)", "Probability that A is preferred to B, by the policy's own reward"),
    ("loss", "DPO loss", "−log σ(margin), with A as the chosen and B as the rejected response"),
)
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
        grid = QGridLayout(self)
        grid.setContentsMargins(12, 5, 12, 5)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(3)
        for column, (key, name, meaning) in enumerate(FIGURES):
            title, figure = QLabel(name), QLabel("–")
            title.setObjectName("muted")
            figure.setObjectName("figure")
            for label in (title, figure):
                label.setToolTip(meaning)
            figure.setAccessibleName(name)
            grid.addWidget(title, 0, 2 * column)
            grid.addWidget(figure, 0, 2 * column + 1)
            grid.setColumnStretch(2 * column + 1, 1)
            self.figures[key] = figure
        self.delta = QLabel()
        self.delta.setWordWrap(True)
        self.delta.setToolTip(DELTA)
        grid.addWidget(self.delta, 1, 0, 1, 2 * len(FIGURES))
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
        shown = (
            {}
            if pair is None
            else {
                "sum_a": signed(pair.sum_a),
                "sum_b": signed(pair.sum_b),
                "margin": signed(pair.margin),
            }
        )
        if pair is not None and pair.preference is not None and pair.loss is not None:
            shown |= {"preference": f"{pair.preference:.3f}", "loss": f"{pair.loss:.3f}"}
        for key, label in self.figures.items():
            label.setText(shown.get(key, "–"))
        sums = (pair.sum_a, pair.sum_b, pair.margin) if pair is not None else (0.0, 0.0, 0.0)
        hidden = [
            noise_words(noise, floor) if abs(value) < floor else ""
            for value, floor in zip(sums, floors, strict=True)
        ]
        why = dict(zip(("sum_a", "sum_b", "margin"), hidden, strict=True))
        why |= {"preference": why["margin"], "loss": why["margin"]}
        for key, name, meaning in FIGURES:
            of = name if key.startswith("sum") else "the margin"
            _say_noise(self.figures[key], meaning, f"{of} is {why[key]}" if why[key] else "")
        self.delta.setText(delta_sentence(split))
        apart = why["margin"] and split is not None
        _say_noise(self.delta, DELTA, f"the margin is {why['margin']}" if apart else "")

    def as_text(self) -> str:
        """Return the strip as plain text, for the clipboard."""
        names = {key: name for key, name, _ in FIGURES}
        lines = [f"{names[key]}\t{label.text()}" for key, label in self.figures.items()]
        return "\n".join([*lines, self.delta.text()])


def _say_noise(label: QLabel, meaning: str, why: str) -> None:
    """Show a label in grey, with the reason in its tooltip, where there is one."""
    set_faint(label, bool(why))
    label.setToolTip(f"{meaning}; {why}" if why else meaning)


def delta_sentence(split: Split | None) -> str:
    """Return the Δ sentence; its shown parts add up to its shown total."""
    if split is None:
        return "Δ Σr (B − A): once both responses are scored"
    if not (split.tokens_a or split.tokens_b):
        return "Δ Σr (B − A) = 0: A and B are the same tokens"
    total, edited, downstream = split_shown(split)
    return (
        f"Δ Σr (B − A) = {total}  =  edited span {edited} "
        f"({split.tokens_a} → {split.tokens_b} tokens)  +  downstream tokens {downstream}"
    )
