"""Help: what one is looking at, all keys, and where the log is."""

from collections.abc import Callable
from html import escape

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from app.actions.action import Menu, action
from app.notices import NoticeBar, Notices

GLOSSARY = """
<h3>What am I looking at?</h3>
<p>Two language models read the same response: the <b>policy</b> π, which DPO trained, and its
<b>reference</b> π<sub>ref</sub>, which it started from. Wherever they disagree about a token, the
training has left a mark, and the mark is coloured.</p>
<p><b>Implicit reward</b> r = β (log π − log π<sub>ref</sub>) of each token. Blue (+): DPO made the
token more likely; red (−): less likely; no colour: it did not care. If both models are the same,
every reward is exactly 0.</p>
<p><b>β</b> is the strength of the KL penalty in the training. It rescales all rewards and changes
no order.</p>
<p><b>Σr</b>, the sum over a response with its closing token, is its score. Two responses to one
prompt compare by the sum, never by the mean: the margin Σr A − Σr B, through σ, is the probability
that A is preferred.</p>
<p><b>Prefix value gain</b> is the running sum of rewards: how much better the policy thinks it
stands than at the start. <b>KL</b> says how far the two models differ at a state, whatever the
token. <b>Reward less its expectation</b> subtracts β·KL, what the policy expects there.</p>
<p><b>Noise.</b> In a short number format such as bfloat16, rounding alone moves rewards. It is
measured after loading and stands in the status line; what is smaller has no fill and is grey. In
float32 it is too small to be seen.</p>
<p><b>Δ (B − A)</b> colours the tokens that both responses share by how their reward changed: so
one sees what an edit did <i>elsewhere</i>. Δ Σr is the edited words plus the downstream tokens.</p>
<p><b>The tree</b> in the search view holds the responses to the prompt that searches have grown,
each a path from left to right; a box is a token, coloured by its reward, and the line into it is
as thick as it is likely. <b>λ</b> is what a search wants: 0 the reference's likeliest text, 1 the
policy's, which is reward less KL cost (Eqs. 12, 13), above 1 more reward than the training asked
for.</p>
<p><b>The training view</b> draws what a DPO run logged over its steps. That chosen rewards fall
below 0 is usual after SFT: what the reference itself would write must lose reward on average as
the policy moves away, E[r] = −β KL(π<sub>ref</sub>&#8239;||&#8239;π) ≤ 0 (Eq. 16). Marks are values
on held-out pairs; how well they find wrong words says where to stop.</p>
<p><b>A note on gauge.</b> Two checkpoints fix β log π = Q* − V*, never Q* and V* on their own: a
whole class of potential-shaped rewards shares one policy (Theorem 1). What is coloured is one
member of that class, hence "implicit reward", not "the reward". Σr and margins do not depend on
the choice. The <b>Q-function</b> page and chart show Q = β z and V = β log Σ exp z of the policy's
raw logits z: one choice among those, the raw-logit gauge.</p>
<p><b>A token</b> is shown as it is scored: ↵ newline, · space, ⟨F0 9F⟩ part of a character. A flag
⚑ says that a token was put in place by hand and is not how the tokenizer would split the text.
Pale colours are of the text before your last key press.</p>
<p>Rafailov, Hejna, Park, Finn: <i>From r to Q*</i>, arXiv 2404.12358, Eqs. 5–11.</p>
"""


class HelpDialog(QDialog):
    """A page to read; not modal, so that one can look at the window beside it."""

    def __init__(self, title: str, html: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.resize(620, 560)
        self.page = QTextBrowser()
        self.page.setHtml(html)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(self.page)
        column.addWidget(buttons)


class HelpActions:
    """The help of one window."""

    def __init__(
        self,
        parent: QWidget,
        notice: NoticeBar,
        notices: Notices | None,
        key_rows: Callable[[], list[tuple[str, str]]],
    ) -> None:
        """``key_rows`` returns (keys, what they do) of all actions."""
        self._parent, self._notice, self._notices = parent, notice, notices
        self._key_rows = key_rows

    def _show(self, title: str, html: str) -> None:
        dialog = HelpDialog(title, html, self._parent)
        dialog.finished.connect(dialog.deleteLater)
        dialog.show()

    @action(Menu.HELP.at(1, 1), "&What am I looking at?", "F1", "A short glossary")
    def show_glossary(self) -> None:
        """Say what one is looking at."""
        self._show("What am I looking at?", GLOSSARY)

    @action(Menu.HELP.at(1, 2), "&Keys", "Ctrl+/", "All keys on one page")
    def show_keys(self) -> None:
        """Show all keys."""
        self._show("Keys", shortcuts_html(self._key_rows()))

    @action(Menu.HELP.at(1, 3), "&Log file…", tip="Where the details of faults are written")
    def show_log(self) -> None:
        """Say where the log is, and open its folder."""
        path = self._notices.log_file() if self._notices is not None else None
        if path is None:
            self._notice.show_notice("info", "No log is kept in this session.", topic="log")
            return
        self._notice.show_notice("info", f"The log is {path}.", topic="log")
        if QApplication.platformName() != "offscreen":
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))


def shortcuts_html(rows: list[tuple[str, str]]) -> str:
    """Return the keys as a table, from the actions themselves."""
    editor = [
        ("Alt+Left, Alt+Right (in A or B)", "Walk from token to token, and pin"),
        ("Alt+Return", "Pin the token at the caret and go to the inspector"),
        ("Esc", "Unpin, else leave the presentation"),
        ("Enter (in a list of the inspector)", "Put that token, or that text, in place"),
        ("Esc (while variants are scored)", "Cancel, and keep what has come"),
        ("Alt+T, Alt+Q, Alt+N, Alt+B, Alt+D", "The inspector's pages"),
        ("Left, Right (in the vocabulary plot)", "Walk through all tokens, by π_ref"),
        ("Ctrl+Z, Ctrl+Shift+Z", "Undo, redo; the tokens come back too"),
        ("←, →, ↑, ↓ (in the tree)", "Walk to the parent, the best child, the siblings"),
        ("Home, End (in the tree)", "Go to the start, to the end of the best hypothesis"),
        ("Enter, Space, U (in the tree)", "Actions; hide what is below; unfold or fold a run"),
        ("+, −, 0, F (in the tree)", "Nearer, farther, the whole tree, follow the best"),
        ("←, →, Home, End (on the axis of checkpoints)", "Show another checkpoint; Space plays"),
        ("←, →, Home, End (in a training chart)", "Walk the crosshair over the logged steps"),
        ("Enter, +, −, 0 (in a training chart)", "Show that step; nearer, farther, all steps"),
        ("F3, Shift+F3", "The next and the previous text found in the tree"),
    ]
    body = "".join(
        f"<tr><td><b>{escape(keys)}</b>&nbsp;&nbsp;</td><td>{escape(what)}</td></tr>"
        for keys, what in editor + rows
    )
    return f"<h3>Keys</h3><table cellpadding='3'>{body}</table>"
