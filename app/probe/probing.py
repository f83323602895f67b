"""The inspector's pages that probe a response, and what is behind them, as one part of the view.

Knows the credit view's parts; knows nothing of the window or of menus.
"""

from collections.abc import Callable

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QPushButton, QTabWidget, QWidget

from app.credit.focus import Focus, Spot
from app.credit.numbers import CreditNumbers
from app.credit.prompt_panel import PromptPanel
from app.engine_client import EngineClient
from app.probe.depends import Depends
from app.probe.depends_page import DependsPage
from app.probe.edits import Edits
from app.probe.edits_page import EditsPage
from app.probe.instead import Instead
from app.probe.instead_page import InsteadPage
from app.probe.subject import Subjects
from app.widgets.boxes import ComboBox
from core.engine.protocol import Side
from core.scoring import Scoring
from core.substitution import by_size


class Probing(QObject):
    """What can be asked of a response beyond its own numbers."""

    def __init__(
        self,
        client: EngineClient,
        numbers: CreditNumbers,
        prompt: PromptPanel,
        focus: Focus,
        tabs: QTabWidget,
        put_in: Callable[[Side, Scoring], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._tabs, self._focus, self._numbers, self._put_in = tabs, focus, numbers, put_in
        self._to_pin: Spot | None = None
        """What was put in place and is to be pinned once it is scored."""
        subjects = Subjects(numbers, prompt)
        self.instead_page = InsteadPage()
        self.instead = Instead(client, subjects, focus, self.instead_page, self._put, self)
        self.edits_page = EditsPage()
        self.edits = Edits(client, subjects, self.edits_page, self._put, self)
        tabs.addTab(self.instead_page, "I&nstead")
        self.depends_page = DependsPage()
        self.depends = Depends(client, subjects, prompt, self.depends_page, self)
        tabs.addTab(self.edits_page, "&Best edits")
        tabs.addTab(self.depends_page, "&Depends on")

    @Slot()
    def refresh(self) -> None:
        """Show all anew: numbers, beta, colours or texts have changed."""
        self._pin_again()
        self.instead.show()
        self.edits.show()
        self.depends.show()

    def _put(self, side: Side, scoring: Scoring, index: int) -> None:
        self._to_pin = side, index
        self._put_in(side, scoring)

    def _pin_again(self) -> None:
        """Pin what was put in place, where what was pinned is gone with it."""
        if self._to_pin is None:
            return
        side, index = self._to_pin
        scoring = self._numbers.scorings().get(side)
        if scoring is not None:
            self._to_pin = None
            if self._focus.pinned is None:
                self._focus.pin(side, min(index, len(scoring) - 1))

    def stop(self) -> bool:
        """Stop what runs; return whether anything did."""
        stopped = [part.stop() for part in (self.instead, self.edits, self.depends)]
        return any(stopped)

    def find_edits(self) -> None:
        """Show the page of the best edits, of the response with the focus, and let Find begin."""
        self._show(self.edits_page, self.edits_page.side, self.edits_page.start)

    def show_dependence(self) -> None:
        """Show the page of what credit depends on, of the response with the focus."""
        self._show(self.depends_page, self.depends_page.side, self.depends_page.start)

    def _show(self, page: QWidget, side_box: ComboBox, start: QPushButton) -> None:
        """Show a page of a whole response.

        The inspector stays open for what is pinned: without it, the token with the largest reward.
        """
        spot = self._focus.spot()
        side: Side = spot[0] if spot is not None else "B"
        scoring = self._numbers.scorings().get(side)
        if self._focus.pinned is None and scoring is not None:
            rewards = self._numbers.credit.of(scoring, self._numbers.beta())
            self._focus.pin(side, next(iter(by_size(scoring.tokens, rewards)), 0))
        side_box.setCurrentIndex(side_box.findData(side))
        self._tabs.setCurrentWidget(page)
        start.setFocus()

    def score_instead(self) -> None:
        """Show what else could stand at the selection, or else at the token that is meant."""
        place = self.instead_page.place
        if self.instead.selection() is not None:
            place.setCurrentIndex(place.findData("selection"))
        elif place.currentData() == "selection":
            place.setCurrentIndex(place.findData("token"))
        self._tabs.setCurrentWidget(self.instead_page)
        self.instead.score()
