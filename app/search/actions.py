"""Searching, as the window offers it: the search view as a page, its menu, the sweep's panel.

Makes the search view when it is first wanted and tells it what the rest of the window shows. Knows
both views; knows nothing of files, or of how a pair is loaded.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.actions.action import Menu, action
from app.ask import AskPath
from app.credit.view import CreditView
from app.engine_client import EngineClient
from app.look import Look
from app.notices import NoticeBar, Topic
from app.pages import Page, Pages
from app.search.start import Start
from app.settings import Settings
from core.engine.protocol import PairInfo, Resume, Search
from core.noise import NoiseFloor
from core.recording import Recording

if TYPE_CHECKING:
    from app.search.sweep_panel import SweepPanel
    from app.search.view import SearchView


class SearchActions(QObject):
    """The searches of one window."""

    send = Signal(object)
    """A ``Reached`` for "A", "B" or both: what is to go into that editor."""

    def __init__(
        self,
        client: EngineClient,
        credit: CreditView,
        look: Look,
        settings: Settings,
        notice: NoticeBar,
        ask: AskPath,
        pages: Pages,
    ) -> None:
        super().__init__(pages)
        self._client, self._credit, self._look = client, credit, look
        self._settings, self._ask, self._pages = settings, ask, pages
        self._topic = Topic(notice, "search")
        self._pair: PairInfo | None = None
        self.view: SearchView | None = None
        """Made when it is first wanted."""
        self.sweep_panel: SweepPanel | None = None
        """Made when it is first wanted."""
        self.page = Page(
            "show_search",
            "S&earch",
            "Ctrl+2",
            "The tree of responses that searches grow",
            make=self._make,
            focus=self._focus,
        )

    # --- the view -----------------------------------------------------------------------------

    def _make(self) -> QWidget:
        from app.search.view import SearchView

        self.view = view = SearchView(
            self._client, self._credit.answers, self._credit.prompt.prompt
        )
        controls, look = self._credit.controls, self._look
        view.send.connect(self.send)
        view.problem.connect(self._topic.show_error)
        controls.beta_changed.connect(view.set_beta)
        controls.legend.swap_changed.connect(view.set_swap)
        view.legend.swap_changed.connect(controls.legend.swap.setChecked)
        look.dark_changed.connect(view.set_dark)
        look.size_changed.connect(view.set_text_size)
        view.set_swap(self._credit.scale.swap)
        view.set_dark(look.dark)
        view.set_beta(self._credit.known_beta())
        view.set_text_size(look.points)
        view.recall(self._settings)
        view.set_pair(self._pair)
        view.set_noise(self._credit.noise)
        by_checkpoint = self._credit.by_checkpoint
        if by_checkpoint.checkpoints:
            view.set_checkpoint(by_checkpoint.checkpoints[by_checkpoint.shown].path)
        return view

    def _focus(self) -> None:
        if self.view is not None:
            self.view.trees.shown_canvas().setFocus()

    def _shown(self) -> "SearchView":
        """Bring the search view to the front and return it."""
        self._pages.bring(self.page)
        assert self.view is not None  # its page needs no library, so it is made at once
        return self.view

    def remember(self, settings: Settings) -> None:
        """Remember how the view is left, if it was made."""
        if self.view is not None:
            self.view.remember(settings)

    # --- what the rest of the window shows ----------------------------------------------------

    def set_pair(self, info: PairInfo | None, beta: float | None) -> None:
        """Take another pair, or none; ``beta`` is what the credit view shows."""
        self._pair = info
        if self.view is not None:
            self.view.set_pair(info)
            self.view.set_beta(beta)

    @Slot(object)
    def set_noise(self, noise: NoiseFloor) -> None:
        """Take the noise floor of the pair that is loaded."""
        if self.view is not None:
            self.view.set_noise(noise)

    @Slot(str)
    def set_checkpoint(self, path: str) -> None:
        """Take another checkpoint of the run as the policy."""
        if self.view is not None:
            self.view.set_checkpoint(path)

    def show_again(self, recording: Recording) -> None:
        """Show the trees and the sweep that were recorded, if there are any; what is in front stays
        there."""
        if recording.trees:
            self._pages.prepare(self.page)
        if self.view is not None:
            self.view.show_again(recording)
        if recording.sweep is not None and recording.sweep.info is not None:
            self._made_panel().show_again(recording.sweep)

    # --- what the user asks for ---------------------------------------------------------------

    @action(Menu.SEARCH.at(1, 1), "&Grow a tree", "Ctrl+G", "As the form of the search view says")
    def grow_tree(self) -> None:
        """Grow a tree as the form says, in front."""
        self._shown().grow()

    @action(Menu.SEARCH.at(1, 2), "&Stop", "Ctrl+.", "Stop what grows; it can be resumed")
    def stop_search(self) -> None:
        """Stop the searches that run; each can be resumed."""
        self._client.cancel(Search, Resume)

    @action(Menu.SEARCH.at(1, 3), "&Resume", "Ctrl+Shift+G", "Go on with what was stopped")
    def resume_search(self) -> None:
        """Resume the stopped search of the active pane."""
        if self.view is not None:
            self.view.resume()

    @action(Menu.EDIT.at(4, 1), "&Find in the tree", "Ctrl+F", "Text on the way to a node")
    def find_in_tree(self) -> None:
        """Go to the box that finds text in a tree."""
        self._shown().start_finding()

    @action(
        Menu.SEARCH.at(2, 1),
        "Search from &here",
        "Ctrl+Return",
        "Grow a tree from the token at the caret, the edited response as a path in it",
    )
    def search_from_here(self) -> None:
        """Grow a tree from a token of A or B: the pinned one, else the one at the caret."""
        spot = self._credit.focus_on.spot()
        if spot is None:
            self._topic.show_remark(
                "Put the caret on a token of A or B, or click one, and search from there."
            )
            return
        side, index = spot
        panel = self._credit.panels[side]
        if panel.scoring is None or not panel.is_current():
            self._topic.show_remark(f"{side} is still being scored: try again in a moment.")
            return
        tokens = panel.scoring.tokens
        index = min(index, len(tokens))
        self._shown().search_from(
            Start(
                self._credit.prompt.prompt(),
                tokens.ids[:index],
                tokens.pieces[:index],
                tokens.ids[index:],
                f"token {index + 1} of {side}",
                tokens.context,
            )
        )

    @action(
        Menu.SEARCH.at(3, 1),
        "Sweep &beam widths…",
        "Ctrl+Shift+S",
        "Win rate and length over beam width (Fig. 2 of the paper)",
    )
    def sweep_widths(self) -> None:
        """Open the panel that sweeps beam widths."""
        panel = self._made_panel()
        panel.show()
        panel.raise_()
        panel.activateWindow()

    def _made_panel(self) -> "SweepPanel":
        """Return the sweep's panel, made when it is first wanted."""
        if self.sweep_panel is None:
            from app.search.sweep_panel import SweepPanel

            self.sweep_panel = SweepPanel(self._client, self._ask, self._pages.window())
        return self.sweep_panel
