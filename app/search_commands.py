"""What the window does about searching: the search view beside the credit view, and its menu.

The part of MainWindow that makes the search view when it is first wanted, ties it to the credit
view, and brings one of them to the front. Knows both views; knows nothing of files or loading.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QMainWindow, QStackedWidget, QTabBar, QWidget

from app.credit.view import CreditView
from app.engine_client import Bridge
from app.notices import NoticeBar
from app.settings import Settings
from core.engine.protocol import PairInfo, Side

if TYPE_CHECKING:
    from app.search.view import SearchView

CREDIT, SEARCH, TRAINING = range(3)
"""The window's pages, in the order of its tabs."""


class SearchCommands(QMainWindow):
    """The base of WindowCommands; MainWindow sets these attributes."""

    info: PairInfo | None
    settings: Settings
    bridge: Bridge
    view: CreditView
    search: "SearchView | None"
    notice: NoticeBar
    tabs: QTabBar
    pages: QStackedWidget
    points: float

    def search_view(self) -> "SearchView":
        """The search view, made when it is first wanted."""
        if self.search is None:
            from app.search.view import SearchView

            self.search = view = SearchView(self.bridge, self.view.answers, self.view.prompt.prompt)
            self.pages.addWidget(view)
            view.send.connect(self.put_response)
            view.problem.connect(self._search_problem)
            self.view.controls.beta_changed.connect(view.set_beta)
            self.view.controls.legend.swap_changed.connect(view.set_swap)
            view.legend.swap_changed.connect(self.view.controls.legend.swap.setChecked)
            view.set_swap(self.view.scale.swap)
            view.set_dark(self.view.scale.dark)
            view.set_beta(self.view.beta())
            view.set_text_size(self.points)
            view.recall(self.settings)
            view.set_pair(self.info)
            view.set_noise(self.view.noise)
            film = self.view.film
            if film.checkpoints:
                view.set_checkpoint(film.checkpoints[film.shown].path)
        return self.search

    def show_page(self, page: int) -> None:
        """Bring a view to the front."""
        self.tabs.setCurrentIndex(page)

    @Slot(int)
    def _tab_chosen(self, index: int) -> None:
        search = index == SEARCH
        view: QWidget = self.search_view() if search else self.view
        self.pages.setCurrentWidget(view)
        if search:
            self.search_view().shown_canvas().setFocus()
        else:
            self.view.panels["A"].editor.setFocus()

    @Slot(str)
    def _search_problem(self, sentence: str) -> None:
        if sentence:
            self.notice.show_notice("error", sentence, topic="search")
        else:
            self.notice.dismiss("search")

    @Slot()
    def show_credit(self) -> None:
        self.show_page(CREDIT)

    @Slot()
    def show_search(self) -> None:
        self.show_page(SEARCH)

    @Slot()
    def grow_tree(self) -> None:
        self.show_search()
        self.search_view().grow()

    @Slot()
    def stop_search(self) -> None:
        self.bridge.stop_search()

    @Slot()
    def resume_search(self) -> None:
        self.search_view().resume()

    @Slot()
    def find_in_tree(self) -> None:
        self.show_search()
        self.search_view().find_box.setFocus()
        self.search_view().find_box.selectAll()

    @Slot()
    def search_from_here(self) -> None:
        """Grow a tree from a token of A or B: the pinned one, else the one at the caret."""
        spot = self.view.focus_on.spot()
        if spot is None:
            self.notice.show_notice(
                "info",
                "Put the caret on a token of A or B, or click one, and search from there.",
                topic="search",
            )
            return
        side, index = spot
        scoring = self.view.panels[side].scoring
        if scoring is None or not self.view.panels[side].is_current():
            self.notice.show_notice(
                "info", f"{side} is still being scored: try again in a moment.", topic="search"
            )
            return
        tokens = scoring.tokens
        index = min(index, len(tokens))
        from app.search.start import Start

        self.show_search()
        self.search_view().search_from(
            Start(
                self.view.prompt.prompt(),
                tokens.ids[:index],
                tokens.pieces[:index],
                tokens.ids[index:],
                f"token {index + 1} of {side}",
            )
        )

    @Slot(str, str, object)
    def put_response(self, side: Side, text: str, ids: tuple[int, ...] | None) -> None:
        """Put a response from elsewhere into an editor, as one step of its undo."""
        self.view.panels[side].swap_in(text, ids)
        self.view.edited.emit()
        self.view.ask(side)
        self.statusBar().showMessage(f"Sent to {side}", 3000)
