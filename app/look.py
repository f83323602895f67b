"""How the window looks: theme, size of texts, what the editors show of tokens, motion.

Tells views by signals, and what it was for those that are made later. Knows settings and the credit
view's editors; knows nothing of numbers.
"""

from collections.abc import Callable
from typing import cast

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QApplication, QMainWindow

from app import theme
from app.actions.action import Choice, Menu, action, toggle
from app.credit.view import CreditView
from app.settings import Settings

USUAL_POINTS, SMALLEST, LARGEST = 15.0, 7.0, 40.0
THEMES = (
    ("auto", "&As the desktop"),
    ("light", "&Light"),
    ("dark", "&Dark"),
    ("contrast", "&High contrast"),
)
_THEMES = tuple(name for name, _ in THEMES)
SIDE_BY_SIDE, BOUNDARIES, MARKS = "set_side_by_side", "set_boundaries", "set_marks"
STILL = "set_still"
"""The names of switches, in the settings too."""


def _was(name: str) -> Callable[["Look"], bool]:
    """Return what says whether a switch was left on."""
    return lambda look: look.was_on(name)


class Look(QObject):
    """The looks of one window."""

    dark_changed = Signal(bool)
    size_changed = Signal(float)
    """The size of the texts to read, in points."""

    def __init__(
        self,
        window: QMainWindow,
        view: CreditView,
        settings: Settings,
        chosen: theme.Theme | None = None,
    ) -> None:
        """``chosen``: the theme for this session, whatever is remembered."""
        super().__init__(window)
        self._view, self._settings = view, settings
        self._magnified = 1.0
        self._theme = chosen or cast(theme.Theme, settings.get("theme", "auto", _THEMES))
        self.points = settings.number("text points", USUAL_POINTS, SMALLEST, LARGEST)
        self._on = {
            name: settings.get(name, default, ("0", "1")) == "1"
            for name, default in (
                (SIDE_BY_SIDE, "0"),
                (BOUNDARIES, "1"),
                (MARKS, "0"),
                (STILL, "0"),
            )
        }
        hints = QApplication.styleHints()
        hints.colorSchemeChanged.connect(self._desktop_changed)
        hints.accessibility().contrastPreferenceChanged.connect(self._desktop_changed)

    @property
    def dark(self) -> bool:
        """Whether the window is dark."""
        return theme.is_dark(self._theme)

    def theme_choice(self) -> Choice:
        """Return the submenu of themes."""
        place = Menu.VIEW.at(3, 5)
        return Choice("theme", place, "T&heme", "", "", self.choose_theme, THEMES, self._theme)

    def was_on(self, name: str) -> bool:
        """Return whether a switch of the editors is on."""
        return self._on[name]

    def begin(self) -> None:
        """Dress the window as it was left."""
        self.set_side_by_side(self._on[SIDE_BY_SIDE])
        self.set_boundaries(self._on[BOUNDARIES])
        self.set_marks(self._on[MARKS])
        self.set_still(self._on[STILL])
        self._dress()

    def remember(self) -> None:
        """Remember the looks for the next session."""
        self._settings.put("text points", str(self.points))
        for name, on in self._on.items():
            self._settings.put(name, str(int(on)))

    # --- switches -----------------------------------------------------------------------------

    @toggle(
        Menu.VIEW.at(2, 1), "A &beside B", "Ctrl+L", "Or one below the other", _was(SIDE_BY_SIDE)
    )
    def set_side_by_side(self, on: bool) -> None:
        """Show A beside B where there is room, or always one below the other."""
        self._on[SIDE_BY_SIDE] = on
        self._view.set_side_by_side(on)

    @toggle(Menu.VIEW.at(2, 2), "&Token boundaries", "", "Ticks between tokens", _was(BOUNDARIES))
    def set_boundaries(self, on: bool) -> None:
        """Show or hide the ticks between tokens."""
        self._on[BOUNDARIES] = on
        for panel in self._view.panels.values():
            panel.editor.set_show_boundaries(on)

    @toggle(
        Menu.VIEW.at(2, 3), "&White space", "Ctrl+Shift+W", "Show spaces and newlines", _was(MARKS)
    )
    def set_marks(self, on: bool) -> None:
        """Show or hide marks for spaces and newlines."""
        self._on[MARKS] = on
        for panel in self._view.panels.values():
            panel.editor.set_show_marks(on)

    @toggle(Menu.VIEW.at(3, 6), "Less m&otion", "", "Colours come at once", _was(STILL))
    def set_still(self, on: bool) -> None:
        """Let nothing move for looks' sake; a desktop that asks for that has it anyway."""
        self._on[STILL] = on
        theme.keep_still(on)

    # --- theme and size -----------------------------------------------------------------------

    def choose_theme(self, name: str) -> None:
        """Dress the window in a theme, or as the desktop ("auto"), and remember it."""
        self._theme = cast(theme.Theme, name)
        self._settings.put("theme", self._theme)
        self._dress()

    @Slot()
    def _desktop_changed(self) -> None:
        if self._theme == "auto":
            self._dress()

    def _dress(self) -> None:
        application = QApplication.instance()
        dark = self.dark
        if isinstance(application, QApplication):
            theme.apply(application, dark, theme.is_high_contrast(self._theme))
        self.dark_changed.emit(dark)
        self._zoom_to(self.points)  # a new style sheet takes the widgets' own fonts away

    @action(Menu.VIEW.at(3, 1), "&Larger text", "Ctrl++; Ctrl+=", "Larger prompt and responses")
    def zoom_in(self) -> None:
        """Make the texts larger; "=" is where "+" is typed without Shift."""
        self._zoom_to(self.points + 1)

    @action(Menu.VIEW.at(3, 2), "S&maller text", "Ctrl+-", "Smaller prompt and responses")
    def zoom_out(self) -> None:
        """Make the texts smaller."""
        self._zoom_to(self.points - 1)

    @action(Menu.VIEW.at(3, 3), "&Usual size", "Ctrl+0", "The usual size of text")
    def zoom_reset(self) -> None:
        """Give the texts their usual size."""
        self._zoom_to(USUAL_POINTS)

    def magnify(self, factor: float) -> None:
        """Show all texts larger by a factor than their size, which stays and is remembered."""
        self._magnified = factor
        self._zoom_to(self.points)

    def _zoom_to(self, points: float) -> None:
        self.points = min(max(points, SMALLEST), LARGEST)
        self.size_changed.emit(self.points * self._magnified)
