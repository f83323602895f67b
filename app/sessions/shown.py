"""How the window shows a session, as words: gathered when it is saved, shown again when it opens.

A session file may say anything: what a window cannot show is passed over. Knows the views; knows
nothing of files, of the engine or of numbers.
"""

import json
import math
from collections.abc import Mapping

import msgspec
from PySide6.QtCore import QObject, Slot

from app.credit.view import CreditView
from app.pages import Pages
from app.replay.scrubbing import Scrubbing
from app.search.actions import SearchActions
from app.settings import LIMITS

LONGEST = 20_000
"""Characters of a word that is read."""


class Shown(QObject):
    """What one window shows, and how."""

    def __init__(
        self, view: CreditView, searches: SearchActions, scrubbing: Scrubbing, pages: Pages
    ) -> None:
        super().__init__(view)
        self._view, self._searches, self._pages = view, searches, pages
        self._scrubbing = scrubbing
        self._pin = ""
        """The token to pin once it is there: "B 7"."""
        view.recoloured.connect(self._pin_as_before)
        view.edited.connect(self._pin_no_more)

    def gather(self) -> dict[str, str]:
        """Return how all is shown now."""
        view = self._view
        measure = view.controls.measure()
        found = {
            "colour by": measure.key,
            "units": view.controls.unit(),
            "swap": str(int(view.scale.swap)),
            "limits": json.dumps(dict(list(view.scale.fitted.items())[-LIMITS:])),
            "locked": repr(view.scale.scale(measure).limit) if view.scale.locked else "",
            "inspector tab": str(view.inspector.tabs.currentIndex()),
            "checkpoint": view.numbers.checkpoint(),
            "page": self._pages.front(),
        }
        if view.focus_on.pinned is not None:
            found["pinned"] = "{} {}".format(*view.focus_on.pinned)
        if self._searches.view is not None:
            found["search form"] = self._searches.view.form.remembered()
            found["search trees"] = self._searches.view.trees.arrangement()
        panel = self._searches.sweep_panel
        found["sweep panel"] = str(int(panel is not None and panel.isVisible()))
        return found

    def show(self, said: Mapping[str, str]) -> None:
        """Show all as it is said, as far as that can be."""
        view = self._view
        said = {key: word for key, word in said.items() if len(word) <= LONGEST}
        view.controls.choose(said.get("colour by", ""), said.get("units", ""))
        view.controls.legend.swap.setChecked(said.get("swap") == "1")
        view.recall_limits(_limits(said.get("limits", "")))
        locked = _number(said.get("locked", ""))
        view.scale.locked = False
        if locked > 0:
            view.scale.lock(view.controls.measure(), locked)
        tab = _number(said.get("inspector tab", ""))
        if 0 <= tab < view.inspector.tabs.count():
            view.inspector.tabs.setCurrentIndex(int(tab))
        self.show_checkpoint(said.get("checkpoint", ""))
        self._pin = said.get("pinned", "")
        self.show_search(said)
        self._pages.bring_named(said.get("page", ""))

    def show_search(self, said: Mapping[str, str]) -> None:
        """Show the search view and the sweep's panel, if they are there, as it is said."""
        search = self._searches.view
        if search is not None:
            search.form.recall(said.get("search form", ""))
            place = search.trees.mode.findData(said.get("search trees", ""))
            if place >= 0:
                search.trees.mode.setCurrentIndex(place)
        panel = self._searches.sweep_panel
        if panel is not None and said.get("sweep panel") == "1":
            panel.show()

    def checkpoint(self) -> str:
        """Return the path of the checkpoint that is shown, or asked for; "" for no run."""
        scrubbing = self._scrubbing
        return scrubbing.checkpoints[scrubbing.wanted].path if scrubbing.checkpoints else ""

    def show_checkpoint(self, path: str) -> None:
        """Show a checkpoint of the run, by its path, if it is one."""
        paths = [it.path for it in self._scrubbing.checkpoints]
        if path in paths:
            self._scrubbing.show_checkpoint(paths.index(path))

    @Slot()
    def _pin_no_more(self) -> None:
        self._pin = ""

    @Slot()
    def _pin_as_before(self) -> None:
        """Pin the token that was pinned, once both responses are there."""
        if not self._pin or len(self._view.scorings()) < 2:
            return
        side, _, place = self._pin.partition(" ")
        self._pin = ""
        index = _number(place)
        if side in ("A", "B") and index >= 0:
            self._view.focus_on.pin("B" if side == "B" else "A", int(index))


def _number(word: str) -> float:
    """Return a number that is said; -1 for none."""
    try:
        value = float(word)
    except ValueError:
        return -1.0
    return value if math.isfinite(value) and value < 1e12 else -1.0


def _limits(word: str) -> dict[str, float]:
    try:
        found = msgspec.convert(json.loads(word), dict[str, float])
    except (ValueError, msgspec.ValidationError, RecursionError):
        return {}
    return {key: it for key, it in [*found.items()][:LIMITS] if 0 < it < math.inf}
