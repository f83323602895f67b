"""The inspector's pages that probe a response, and what is behind them, as one part of the view.

Knows the credit view's parts; knows nothing of the window or of menus.
"""

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QTabWidget

from app.credit.focus import Focus
from app.credit.numbers import CreditNumbers
from app.credit.prompt_panel import PromptPanel
from app.engine_client import EngineClient
from app.probe.instead import Instead, PutIn
from app.probe.instead_page import InsteadPage
from app.probe.subject import Subjects


class Probing(QObject):
    """What can be asked of a response beyond its own numbers."""

    def __init__(
        self,
        client: EngineClient,
        numbers: CreditNumbers,
        prompt: PromptPanel,
        focus: Focus,
        tabs: QTabWidget,
        put_in: PutIn,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._tabs = tabs
        subjects = Subjects(numbers, prompt)
        self.instead_page = InsteadPage()
        self.instead = Instead(client, subjects, focus, self.instead_page, put_in, self)
        tabs.addTab(self.instead_page, "I&nstead")

    @Slot()
    def refresh(self) -> None:
        """Show all anew: numbers, beta, colours or texts have changed."""
        self.instead.show()

    def stop(self) -> bool:
        """Stop what runs; return whether anything did."""
        return self.instead.stop()

    def score_instead(self) -> None:
        """Show what else could stand at the selection, or else at the token that is meant."""
        place = self.instead_page.place
        if self.instead.selection() is not None:
            place.setCurrentIndex(place.findData("selection"))
        elif place.currentData() == "selection":
            place.setCurrentIndex(place.findData("token"))
        self._tabs.setCurrentWidget(self.instead_page)
        self.instead.score()
