"""What a pair has learned, as the window offers it: the view as a page, and its entry in a menu.

Makes the view when it is first wanted and tells it what the rest of the window shows. Knows the
views; knows nothing of files, or of how a pair is loaded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QWidget

from app.actions.action import Menu, action
from app.ask import AskPath
from app.engine_client import EngineClient
from app.history import EditHistory
from app.look import Look
from app.notices import NoticeBar, Topic
from app.pages import Page, Pages
from app.texts import Texts
from core.engine.protocol import PairInfo, PairSpec, Variant
from core.history import State
from core.recording import Recording

if TYPE_CHECKING:
    from app.learned.view import LearnedView


class LearnedActions(QObject):
    """What the pair of one window has learned."""

    def __init__(
        self,
        client: EngineClient,
        texts: Texts,
        history: EditHistory,
        credit: Page,
        look: Look,
        notice: NoticeBar,
        ask: AskPath,
        pages: Pages,
        load: Callable[[PairSpec], None],
    ) -> None:
        """``credit``: the page in which responses are shown; ``load``: opens a pair."""
        super().__init__(pages)
        self._client, self._texts, self._history = client, texts, history
        self._credit, self._look = credit, look
        self._ask, self._pages, self._load = ask, pages, load
        self._topic = Topic(notice, "learned")
        self._pair: PairInfo | None = None
        self.view: LearnedView | None = None
        """Made when it is first wanted."""
        self.page = Page(
            "show_learned",
            "Lea&rned",
            "Ctrl+4",
            "What the pair has learned, over many responses",
            make=self._make,
            focus=self._focus,
        )

    def _make(self) -> QWidget:
        from app.learned.view import LearnedView

        self.view = view = LearnedView(self._client, self._ask, self._responses)
        view.problem.connect(self._topic.show_error)
        view.put.connect(self._put)
        view.pair_wanted.connect(self._load)
        self._look.dark_changed.connect(view.set_dark)
        view.set_dark(self._look.dark)
        view.set_pair(self._pair)
        self.show_again(self._client.recording)
        return view

    def _focus(self) -> None:
        if self.view is not None:
            (self.view.findings if self.view.found is not None else self.view.start).setFocus()

    @Slot(object)
    def _put(self, state: State) -> None:
        self._texts.put_pair(state.prompt, state.a.text, state.b.text)
        self._pages.bring(self._credit)

    def _responses(self) -> tuple[Variant, ...]:
        """Return the responses that were scored in this window, each once."""
        found: dict[Variant, None] = {}
        for point in self._history.history:
            state = point.state
            for it in (state.a, state.b):
                if it.text.strip():
                    found[Variant(state.prompt, it.text)] = None
        return tuple(found)

    @Slot(object)
    def set_pair(self, info: PairInfo | None) -> None:
        """Take another pair, or none."""
        self._pair = info
        if self.view is not None:
            self.view.set_pair(info)

    def show_again(self, recording: Recording) -> None:
        """Show what was recorded, if that is anything and the view is there."""
        if self.view is not None and recording.learned is not None and self._pair is not None:
            self.view.show_again(recording.learned)

    def open(self, path: Path) -> None:
        """Show a report that was saved as JSON."""
        self._pages.bring(self.page)
        if self.view is not None:
            self.view.show_saved(path)

    @action(
        Menu.TRAINING.at(4, 2),
        "Open a saved repor&t…",
        tip="What learned --json, or Export in the view, has written, whatever pair is loaded",
    )
    @Slot()
    def open_report(self) -> None:
        """Ask for a saved report and show it."""
        self._pages.bring(self.page)
        if self.view is not None:
            self.view.open_saved()

    @action(
        Menu.TRAINING.at(4, 1),
        "&What did it learn?",
        tip="Look through many responses for what the training made likelier or less likely",
    )
    def look(self) -> None:
        """Show the view and have it look."""
        self._pages.bring(self.page)
        if self.view is not None and self.view.start.isEnabled():
            self.view.look()
