"""The one mark in the header that numbers are recorded: when, and in which format.

A click offers what can be done about it. Knows words; knows nothing of sessions or pairs.
"""

from datetime import datetime

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from app.widgets.layouts import as_tip
from app.widgets.tool_button import make_reachable
from core.engine.protocol import PairInfo

ABOUT = (
    "A session file answers, no model is loaded: what was recorded is shown as it was, and other "
    "texts have no colours. Click to load the pair."
)


LOOK = """
QToolButton { background: palette(highlight); color: palette(highlighted-text); font-weight: 600;
    border: 2px solid transparent; border-radius: 6px; padding: 2px 16px 2px 8px; margin: 0 6px; }
QToolButton:hover, QToolButton:focus { border-color: palette(text); }
QToolButton::menu-indicator { subcontrol-position: right center; right: 4px; }
"""


class RecordedBadge(QToolButton):
    """A button that says so."""

    load_wanted = Signal()
    """The pair is to be loaded."""
    cancel_wanted = Signal()
    """The pair that is being loaded is not wanted after all."""
    wanted = Signal(bool)
    """Whether it has anything to say, and is to be seen."""
    find_wanted = Signal()
    """The user knows where the pair is now."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        menu = QMenu(self)
        menu.addAction("&Load the pair").triggered.connect(self.load_wanted)
        menu.addAction("&Find the policy…").triggered.connect(self.find_wanted)
        self._cancel = menu.addAction("&Cancel loading")
        self._cancel.triggered.connect(self.cancel_wanted)
        self._cancel.setEnabled(False)
        self.setMenu(menu)
        self._words = ""
        self.setStyleSheet(LOOK)
        make_reachable(self)

    def show_info(self, info: PairInfo | None) -> None:
        """Say when and in which format the numbers of a recorded pair were computed."""
        recorded = info is not None and bool(info.recorded)
        self._words = recorded_words(info) if info is not None and recorded else ""
        self.show_loading("", None)

    def show_loading(self, what: str, fraction: float | None) -> None:
        """Show that the pair is being loaded behind; "" once that is over."""
        self._cancel.setEnabled(bool(what))
        share = "…" if fraction is None else f"{100 * fraction:.0f} %"
        self.setToolTip(as_tip(f"{ABOUT}\n\n{what} {share}" if what else ABOUT))
        self._say(f" · loading {share}" if what else "")

    def show_trouble(self, sentence: str) -> None:
        """Say why the pair is not loaded behind."""
        self.setToolTip(as_tip(f"{ABOUT}\n\n{sentence}" if sentence else ABOUT))

    def _say(self, more: str) -> None:
        self.setText(self._words + more if self._words else "")
        self.setAccessibleName(self.text())
        self.wanted.emit(bool(self._words))


def recorded_words(info: PairInfo) -> str:
    """Return when and in which format a pair's numbers were recorded."""
    try:
        day = datetime.fromisoformat(info.recorded).astimezone()
        when = f"{day.day} {day:%b} {day.year}"
    except (ValueError, OverflowError, OSError):
        when = "some day"
    return f"Recorded {when} · {info.dtype}"
