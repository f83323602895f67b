"""Scored data sets, as the window offers them: the data view as a page, its files, its pairs.

Makes the view when it is first wanted, opens files in it, puts pairs into the credit view and asks
where rows are to be written. Knows the view's signals; knows nothing of tables or of scores.
"""

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.actions.action import Entry, Listing, Menu, action
from app.ask import AskPath
from app.look import Look
from app.notices import NoticeBar, Topic
from app.pages import Page, Pages
from app.settings import Settings, is_path
from app.texts import Texts
from app.widgets.layouts import fill
from core.engine.protocol import PairInfo
from core.errors import UserFacingError

if TYPE_CHECKING:
    from app.table.explorer import ReadRow
    from app.table.view import DataView
    from core.dataset.table import Rows

FILTER = "Scored data (*.parquet)"
EXPORTS = "Pairs as JSON Lines (*.jsonl);;Scored data (*.parquet)"
ENDING = ".parquet"
KEY = "recent scored data"
RECENT = 8
CLOSE_SECONDS = 2.0
OTHER_PAIR = (
    "The pair that is loaded is not the one that scored this data set, so its numbers are others: "
    "load {policy} to see the same."
)


class DataActions(QObject):
    """The scored data set of one window."""

    score_wanted = Signal()
    """A data set is to be scored."""
    changed = Signal()
    """There are other rows, or none any more."""

    def __init__(
        self,
        texts: Texts,
        credit: Page,
        look: Look,
        settings: Settings,
        notice: NoticeBar,
        ask: AskPath,
        pages: Pages,
    ) -> None:
        """``credit``: the page in which pairs are shown."""
        super().__init__(pages)
        self._texts, self._credit, self._look = texts, credit, look
        self._settings, self._ask, self._pages = settings, ask, pages
        self._problems, self._remarks = Topic(notice, "data"), Topic(notice, "data pair")
        self._wanted: Path | None = None
        """To be opened as soon as the view is there."""
        self._opening: Path | None = None
        self._info: PairInfo | None = None
        self._told: tuple[Path, PairInfo | None] | None = None
        """Of which file and pair it was said that they do not belong together."""
        self.view: DataView | None = None
        """Made when it is first wanted."""
        self._above: QWidget | None = None
        self.page = Page(
            "show_data",
            "&Data",
            "Ctrl+5",
            "A scored data set: sort, filter, charts and figures",
            make=self._make,
            focus=self._focus,
            library="pyqtgraph",
        )

    # --- the view -----------------------------------------------------------------------------

    def _make(self) -> QWidget:
        from app.table.explorer import Explorer
        from app.table.view import DataView

        explorer = Explorer(self)
        self.view = view = DataView(explorer)
        view.problem.connect(self._problems.show_error)
        view.open_wanted.connect(self.open_scored)
        view.score_wanted.connect(self.score_wanted)
        view.pair_wanted.connect(self._show_pair)
        view.export_wanted.connect(self._export)
        view.changed.connect(self.changed)
        explorer.opened.connect(self._remember_opened)
        explorer.exported.connect(self._say_exported)
        self._look.dark_changed.connect(view.set_dark)
        view.set_dark(self._look.dark)
        view.recall(self._settings)
        if self._wanted is not None:
            self._read(self._wanted)
        if self._above is None:
            return view
        page = QWidget()
        fill(QVBoxLayout(page), self._above, (view, 1), margins=(0, 0, 0, 0), spacing=0)
        return page

    def put_above(self, widget: QWidget) -> None:
        """Let the page have something above the view, which is not made yet."""
        self._above = widget

    def show(self) -> None:
        """Bring the page."""
        self._pages.bring(self.page)

    def _focus(self) -> None:
        if self.view is not None:
            self.view.focus_rows()

    # --- files --------------------------------------------------------------------------------

    @action(
        Menu.FILE.at(1, 3),
        "Open sc&ored data…",
        tip="What score --data has written, as a table of pairs",
    )
    @Slot()
    def open_scored(self) -> None:
        """Ask for a scored file and open it."""
        if path := self._ask.file("Open scored data", FILTER):
            self.open(Path(path))

    def open(self, path: Path) -> None:
        """Open a scored file in the data view, and show it."""
        self._wanted = path
        if self.view is not None:
            self._read(path)
        self._pages.bring(self.page)

    def _read(self, path: Path) -> None:
        self._opening = path
        if self.view is not None:
            self.view.explorer.open(path)

    def take_drop(self, paths: list[str]) -> bool:
        """Open what was dropped as a scored file and return True, if it may be one."""
        if len(paths) != 1 or not paths[0].endswith(ENDING) or not os.path.isfile(paths[0]):
            return False
        self.open(Path(paths[0]))
        return True

    def recent_listing(self) -> Listing:
        """Return the submenu of the scored files that were open last."""
        return Listing(
            "recent_scored",
            Menu.FILE.at(1, 3),
            "Recentl&y scored data",
            "",
            "The scored data sets that were open last",
            self._recent_entries,
            "None yet",
        )

    def _recent(self) -> list[str]:
        found = self._settings.record(KEY, list[str], [])
        return [it for it in found if it and is_path(it)][:RECENT]

    def _recent_entries(self) -> list[Entry]:
        return [
            Entry(Path(it).name.replace("&", "&&"), it, partial(self.open, Path(it)))
            for it in self._recent()
        ]

    @Slot()
    def _remember_opened(self) -> None:
        if self._opening is not None:
            path = str(self._opening.absolute())
            others = [it for it in self._recent() if it != path]
            self._settings.put(KEY, json.dumps([path, *others][:RECENT]))

    # --- pairs --------------------------------------------------------------------------------

    def set_pair(self, info: PairInfo | None) -> None:
        """Take another pair of models, or none."""
        self._info = info
        self._remarks.show_remark("")

    @Slot(object)
    def _show_pair(self, found: "ReadRow") -> None:
        """Put a row into the credit view, A = chosen, B = rejected."""
        from core.dataset.as_shown import as_texts

        view = self.view
        if view is None or view.explorer.table is None:
            return
        try:
            prompt, a, b = as_texts(found.pair)
        except UserFacingError as error:
            self._problems.show_error(str(error))
            return
        self._problems.show_error("")
        self._texts.put_pair(prompt, a, b)
        self._pages.bring(self._credit)
        about, info = view.explorer.table.about, self._info
        other = info is not None and dict(info.weights) != dict(about.weights)
        if other and self._told != (view.explorer.table.path, info):
            self._told = view.explorer.table.path, info
            self._remarks.show_remark(OTHER_PAIR.format(policy=about.policy))

    def _has_rows(self) -> bool:
        return self.view is not None and self.view.answer is not None

    @action(
        Menu.EDIT.at(6, 1),
        "Next most &wrong pair",
        "F8",
        "Of the scored data: the pair with the next larger margin",
        enabled=_has_rows,
    )
    def next_wrong(self) -> None:
        """Go to the next most wrong pair, in the credit view if that is in front."""
        self._go(1)

    @action(
        Menu.EDIT.at(6, 2),
        "Previous most wron&g pair",
        "Shift+F8",
        "Of the scored data: the pair with the next smaller margin",
        enabled=_has_rows,
    )
    def previous_wrong(self) -> None:
        """Go to the most wrong pair before this one."""
        self._go(-1)

    def _go(self, by: int) -> None:
        if self.view is not None:
            self.view.go_wrong(by, shown=self._pages.is_wanted(self._credit))

    # --- export -------------------------------------------------------------------------------

    @action(
        Menu.FILE.at(3, 3),
        "E&xport scored rows…",
        tip="The selected rows, or all that are shown: pairs as JSON Lines, or a scored Parquet",
        enabled=_has_rows,
    )
    def export_rows(self) -> None:
        """Ask for a file and write rows into it."""
        if self.view is not None:
            self.view.export()

    @Slot(object)
    def _export(self, rows: "Rows") -> None:
        view = self.view
        if view is None or not len(rows):
            return
        proposed = f"{Path(view.explorer.table.path).stem if view.explorer.table else 'rows'}.jsonl"
        if path := self._ask.new_file("Export rows", proposed, EXPORTS):
            view.explorer.export(rows, Path(path), view.beta.beta())

    @Slot(object, int)
    def _say_exported(self, path: Path, rows: int) -> None:
        self._problems.show_remark(f"{rows:,} row{'s' if rows != 1 else ''} written to {path}.")

    def close(self) -> None:
        """Remember the looks and end the thread."""
        if self.view is not None:
            self.view.remember(self._settings)
            self.view.explorer.close(CLOSE_SECONDS)
