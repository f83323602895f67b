"""The pages beside the findings: swaps, tokens that were never written, samples, the method.

Each shows a part of a report. Knows records; asks for nothing.
"""

from collections.abc import Iterable
from html import escape

from PySide6.QtWidgets import QApplication, QTextBrowser, QVBoxLayout, QWidget

from app import theme
from app.inspect.rows import Cell, Line, Rows
from app.widgets.colour_scale import ColourScale
from app.widgets.layouts import fill, label
from core.learned import report
from core.learned.record import Learned, Recurring, Sampled
from core.present.numerals import with_minuses

SWAPS = (
    "What the policy writes at the states where the reference would write something else, without "
    "any list of words. A rate of 1: wherever the one was expected, the other is now."
)
UNSEEN = (
    "Tokens that the policy promotes (+) or demotes (−) wherever they could stand, whether anybody "
    "wrote them or not: log(Σ π / Σ π_ref) over all states, less what is expected of such a token."
)
NONE_OF_THEM = "None passes the floor."


class TablePage(QWidget):
    """A sentence on what is listed, and the table."""

    def __init__(
        self, what: str, name: str, titles: tuple[str, ...], kind: str, copied: tuple[str, ...]
    ) -> None:
        super().__init__()
        self._what = what
        self.about = label(what, "muted")
        self.about.setWordWrap(True)
        self.table = Rows(name, titles, copied, f"Copy the {kind}", kind)
        margins = (theme.MARGIN, theme.GAP, theme.MARGIN, theme.GAP)
        fill(QVBoxLayout(self), self.about, (self.table, 1), margins=margins)
        self.table.taken.connect(self._copy)

    def show_lines(self, lines: list[Line], dark: bool) -> None:
        """Show other lines."""
        self.about.setText(self._what if lines else f"{self._what} {NONE_OF_THEM}")
        self.table.setVisible(bool(lines))
        self.table.show_lines(lines, ColourScale(dark=dark))

    def _copy(self, number: int) -> None:
        if (line := self.table.line(number)) is not None:
            QApplication.clipboard().setText(line.text)


def swaps_page() -> TablePage:
    """Return the page of swaps, empty."""
    return TablePage(
        SWAPS,
        "Swaps",
        ("In place of → the policy writes", "rate", "expected", "states"),
        "swap",
        ("reference", "policy", "rate", "flow", "states"),
    )


def show_swaps(page: TablePage, found: Learned, dark: bool) -> None:
    """Show a report's swaps."""
    page.show_lines(
        [
            Line(
                number,
                f"{it.before}\t{it.after}",
                (
                    Cell(f"{report.visible(it.before)} → {report.visible(it.after)}"),
                    Cell(f"{it.rate:.2f}"),
                    Cell(f"{it.flow:.2f}"),
                    Cell(str(it.states)),
                ),
                (it.before, it.after, it.rate, it.flow, it.states),
                "The net flow of probability from the one to the other, over √(E_ref · E_π); how "
                "often it is expected; over how many states it is spread",
            )
            for number, it in enumerate(found.swaps)
        ],
        dark,
    )


def unseen_page() -> TablePage:
    """Return the page of promoted and demoted tokens, empty."""
    return TablePage(
        UNSEEN,
        "Never written",
        ("Token", "nats", "reference", "policy", "where"),
        "token",
        ("token", "nats", "expected, reference", "expected, policy", "first token", "states"),
    )


def show_unseen(page: TablePage, found: Learned, dark: bool) -> None:
    """Show the tokens of a report that are promoted or demoted."""
    scale = ColourScale(max([1.0, *(abs(it.effect) for it in found.unseen)]), dark=dark)
    page.show_lines(
        [
            Line(
                number,
                it.token,
                (
                    Cell(report.visible(it.token)),
                    Cell(with_minuses(f"{it.effect:+.2f}"), scale.css(it.effect)),
                    Cell(f"{it.reference:.2f}"),
                    Cell(f"{it.policy:.2f}"),
                    Cell("first token" if it.first else "anywhere"),
                ),
                (it.token, it.effect, it.reference, it.policy, it.first, it.states),
                "How often it is expected over all states, under the reference and the policy",
            )
            for number, it in enumerate(found.unseen)
        ],
        dark,
    )


class TextPage(QTextBrowser):
    """A page of sentences, that is only read; nothing in it can be followed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setOpenLinks(False)
        self.setFrameShape(QTextBrowser.Shape.NoFrame)
        self.document().setDocumentMargin(theme.MARGIN)


def amplified_html(found: Learned, dark: bool) -> str:
    """Return what a report says of samples, as rich text: by opening, the least λ first."""
    colours = theme.colours(dark)
    if not found.samples:
        return "<p>Nothing was sampled: tick “Amplified samples” and look again.</p>"
    parts = [
        "<p>Sampled with log π_ref + λ (log π − log π_ref): λ = 0 is the reference, 1 the policy, "
        "and above 1 what was learned is amplified.</p>",
        f"<p><b>{escape(_recurs(found.recurring))}</b></p>",
    ]
    for opening, samples in _by_opening(found.samples):
        rows = "".join(
            f'<tr><td align="right" style="color:{colours.muted}">λ = {it.weight:g}&nbsp;</td>'
            f"<td>{_text(it)}</td></tr>"
            for it in sorted(samples, key=lambda it: it.weight)
        )
        parts.append(f"<h4>{escape(opening)}</h4><table cellpadding='3'>{rows}</table>")
    return "".join(parts)


def _text(sample: Sampled) -> str:
    return escape(sample.text).replace("\n", "<br>") + ("" if sample.whole else " …")


def _recurs(recurring: Iterable[Recurring]) -> str:
    said = [
        f"{it.name} (in {it.amplified} of {it.of}; under the reference in {it.reference})"
        for it in recurring
    ]
    return f"Recurs when amplified: {', '.join(said)}." if said else "Nothing recurs there."


def _by_opening(samples: Iterable[Sampled]) -> list[tuple[str, list[Sampled]]]:
    found: dict[str, list[Sampled]] = {}
    for it in samples:
        found.setdefault(it.prompt, []).append(it)
    return [*found.items()]


def method_html(found: Learned) -> str:
    """Return how a report was measured and what cannot be concluded, as rich text."""
    cannot = "".join(f"<li>{escape(it)}</li>" for it in report.CANNOT)
    how = "".join(f"<p>{escape(with_minuses(it))}</p>" for it in report.how_measured(found))
    return f"<h3>What cannot be concluded</h3><ul>{cannot}</ul><h3>How it was measured</h3>{how}"
