"""What can be done with the credit view from the menus: exchange, copy, save, pin.

Also remembers how the view was left. Knows the view, files and the clipboard; knows nothing of
loading.
"""

from pathlib import Path

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QStatusBar

from app.actions.action import Menu, action, toggle
from app.ask import AskPath
from app.credit.view import CreditView
from app.files import write_text
from app.notices import NoticeBar
from app.pages import Page
from app.settings import Settings
from core.errors import UserFacingError
from core.present.table import table


class CreditActions:
    """Acts on one credit view."""

    def __init__(
        self, view: CreditView, notice: NoticeBar, ask: AskPath, status_bar: QStatusBar
    ) -> None:
        self._view, self._notice, self._ask, self._status_bar = view, notice, ask, status_bar
        self.page = Page(
            "show_credit",
            "&Credit",
            "Ctrl+1",
            "Prompt, two responses and their credit",
            make=lambda: view,
            focus=view.panels["A"].editor.setFocus,
        )

    # --- the responses ------------------------------------------------------------------------

    @action(Menu.EDIT.at(1, 1), "&Swap A and B", "Ctrl+Shift+X", "Exchange the responses")
    def swap_sides(self) -> None:
        """Exchange the responses, tokens and all."""
        self._view.exchange()

    @action(Menu.EDIT.at(1, 2), "&Copy A to B", "Ctrl+Shift+B", "Make B the same as A")
    def copy_a_to_b(self) -> None:
        """Make B the same as A, tokens and all."""
        self._view.copy_a_to_b()

    # --- taking numbers away ------------------------------------------------------------------

    def _table(self, delimiter: str) -> str:
        scorings = {str(side): scoring for side, scoring in self._view.scorings().items()}
        objective = self._view.numbers.credit.objective
        return table(scorings, self._view.beta(), delimiter, objective)

    @action(
        Menu.FILE.at(3, 1), "Save the &table…", "Ctrl+T", "All tokens and numbers as TSV or CSV"
    )
    def save_table(self) -> None:
        """Ask for a file and write all tokens and their numbers into it."""
        path = self._ask.new_file(
            "Save the table", "qscope.tsv", "Tab-separated (*.tsv);;Comma-separated (*.csv)"
        )
        if not path:
            return
        try:
            write_text(Path(path), self._table("," if path.endswith(".csv") else "\t"))
        except UserFacingError as error:
            self._notice.show_notice("error", str(error), topic="file")
            return
        self._status_bar.showMessage(f"Saved {path}", 5000)

    @action(Menu.EDIT.at(2, 1), "Copy the &table", "Ctrl+Shift+T", "All tokens as TSV")
    def copy_table(self) -> None:
        """Put all tokens and their numbers on the clipboard, tab-separated."""
        QGuiApplication.clipboard().setText(self._table("\t"))
        self._status_bar.showMessage("Copied the table", 3000)

    @action(Menu.EDIT.at(2, 2), "Copy the &numbers", "Ctrl+Shift+N", "Sums, margin and loss")
    def copy_numbers(self) -> None:
        """Put sums, margin and loss on the clipboard."""
        QGuiApplication.clipboard().setText(self._view.summary.as_text())
        self._status_bar.showMessage("Copied the numbers", 3000)

    # --- the token that is looked at ----------------------------------------------------------

    @action(Menu.EDIT.at(3, 1), "&Pin the token at the caret", "Alt+Return", "Hold it to look at")
    def pin_at_caret(self) -> None:
        """Pin the token at the caret and go to the inspector."""
        self._view.focus_on.pin_at_caret()
        if self._view.focus_on.pinned is not None:
            self._view.inspector.by_policy.setFocus()

    @action(
        Menu.EDIT.at(3, 3),
        "&Instead of this…",
        "Ctrl+Shift+I",
        "Score what else could stand at the selection or at the token",
    )
    def score_instead(self) -> None:
        """Open the inspector and score what else could stand there."""
        self._view.show_inspector(True)
        self._view.probing.score_instead()

    @action(
        Menu.EDIT.at(3, 4),
        "Find the &best edits…",
        "Ctrl+Shift+E",
        "Look for the token that flips the margin or raises the sum most",
    )
    def find_edits(self) -> None:
        """Open the inspector's page of the best edits."""
        self._view.show_inspector(True)
        self._view.probing.find_edits()

    @action(
        Menu.EDIT.at(3, 5),
        "What it &depends on…",
        "Ctrl+Shift+P",
        "Leave out each part of the prompt and see which words change",
    )
    def show_dependence(self) -> None:
        """Open the inspector's page of what credit depends on."""
        self._view.show_inspector(True)
        self._view.probing.show_dependence()

    @action(Menu.EDIT.at(3, 2), "&Unpin", "Esc", "Let the inspector follow the mouse")
    def unpin(self) -> None:
        """Stop what probes a response, if anything does; else let the inspector follow the mouse,
        and go back to the editor."""
        if self._view.stop_probing():
            return
        pinned = self._view.focus_on.pinned
        self._view.focus_on.unpin()
        if pinned is None:
            self._view.escaped.emit()
        else:
            self._view.panels[pinned[0]].editor.setFocus()

    @toggle(
        Menu.VIEW.at(2, 4),
        "&Inspector",
        "Ctrl+I",
        "Keep it open",
        lambda own: False,
    )
    def keep_inspector(self, on: bool) -> None:
        """Keep the inspector open, or open it only for a pinned token."""
        self._view.keep_inspector(on)

    # --- what is remembered -------------------------------------------------------------------

    def recall(self, settings: Settings) -> None:
        """Show the view as it was left."""
        view = self._view
        settings.recall_splitters(rows=view.rows, columns=view.columns)
        view.controls.choose(settings.get("colour by", "reward"), settings.get("units", "word"))
        view.scale.swap = settings.get("swap", "0") == "1"

    def remember(self, settings: Settings) -> None:
        """Remember how the view is left."""
        view = self._view
        settings.remember_splitters(rows=view.rows)
        if all(view.columns.sizes()):  # in a small window there is one column
            settings.remember_splitters(columns=view.columns)
        settings.put("colour by", view.controls.measure().key)
        settings.put("units", view.controls.unit())
        settings.put("swap", str(int(view.scale.swap)))
