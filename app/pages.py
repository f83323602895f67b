"""The window's pages: a tab for each view, which is made when it is first wanted.

A view is declared as a Page by the object that owns it; the window adds the pages in the order of
the tabs. Knows nothing of what a view shows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QStackedWidget, QTabBar, QWidget

from app.actions.action import Action, Declared, Menu
from app.gentle_import import import_then


@dataclass(frozen=True, eq=False)
class Page:
    """A view, as its tab, its entry in the View menu and its key show it.

    ``name``: of the action that shows it; ``make``: called once, when the view is first wanted;
    ``focus``: gives the keys to a widget of it; ``library``: imported first, the window alive.
    """

    name: str
    title: str
    keys: str
    tip: str
    make: Callable[[], QWidget]
    focus: Callable[[], None]
    library: str = ""

    @property
    def word(self) -> str:
        """The title without its mnemonic."""
        return self.title.replace("&", "")


class Pages(QStackedWidget):
    """The pages, one in front of the others, and the bar of tabs that chooses it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pages: list[Page] = []
        self._made: dict[Page, QWidget] = {}
        self.tabs = QTabBar()
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.tabs.setUsesScrollButtons(False)  # the examples give way instead
        self.tabs.setAccessibleName("View")
        self.tabs.currentChanged.connect(self._tab_chosen)

    def add(self, page: Page) -> None:
        """Add a tab; the view of the first one is made at once, without taking the keys."""
        self._pages.append(page)
        if len(self._pages) == 1:
            self._make(page)
        blocked = self.tabs.blockSignals(True)  # the first tab would be chosen, and take the keys
        place = self.tabs.addTab(page.word)
        self.tabs.blockSignals(blocked)
        self.tabs.setTabToolTip(place, f"The {page.word.lower()} view ({page.keys})")

    def actions_to_show(self) -> list[Declared]:
        """Return an action for each page, for the View menu."""
        return [
            Action(
                page.name,
                Menu.VIEW.at(1, order),
                page.title,
                page.keys,
                page.tip,
                partial(self.bring, page),
            )
            for order, page in enumerate(self._pages)
        ]

    def bring(self, page: Page) -> None:
        """Bring a page to the front."""
        self.tabs.setCurrentIndex(self._pages.index(page))

    def prepare(self, page: Page) -> None:
        """Make a page's view if it is not there yet; it stays behind."""
        if page not in self._made:
            self._make(page)

    def front(self) -> str:
        """Return the name of the action that shows the page in front."""
        return self._pages[self.tabs.currentIndex()].name

    def bring_named(self, name: str) -> None:
        """Bring the page to the front that an action of this name shows, if there is one."""
        for page in self._pages:
            if page.name == name:
                self.bring(page)

    def is_wanted(self, page: Page) -> bool:
        """Return whether a page is in front, or will be once its view is made."""
        return self._pages[self.tabs.currentIndex()] is page

    @Slot(int)
    def _tab_chosen(self, index: int) -> None:
        page = self._pages[index]
        if page in self._made:
            self._show(page)
        elif page.library:
            import_then(page.library, self, partial(self._make_and_show, page))
        else:
            self._make_and_show(page)

    def _make_and_show(self, page: Page) -> None:
        if page not in self._made:
            self._make(page)
        if self.is_wanted(page):  # while a library was imported, another tab may have been chosen
            self._show(page)

    def _make(self, page: Page) -> None:
        self._made[page] = page.make()
        self.addWidget(self._made[page])

    def _show(self, page: Page) -> None:
        self.setCurrentWidget(self._made[page])
        page.focus()
