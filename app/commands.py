"""What the window's menus do: opening, reading, saving, copying, zooming, helping.

The half of MainWindow that acts on the user's word; it knows the view and the settings through
the window's attributes. Every dialog that would block goes through an attribute, so that tests
can answer it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl, Slot
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QApplication, QToolBar, QWidget

from app import actions
from app.banner import PairBanner
from app.files import read_text, write_text
from app.help import GLOSSARY, HelpDialog, shortcuts_html
from app.launch_commands import LaunchCommands
from app.notices import Notices
from core.engine.protocol import PairSpec, Side
from core.errors import UserFacingError
from core.present.table import table
from core.text import Prompt

if TYPE_CHECKING:
    from app.search.sweep_panel import SweepPanel

AskForPair = Callable[
    [PairSpec, tuple[PairSpec, ...], QWidget | None, list[str] | None], PairSpec | None
]
PRESENTED = 1.5
USUAL_POINTS = 13.0


class WindowCommands(LaunchCommands):
    """The base of MainWindow, which sets these attributes and those of its bases."""

    spec: PairSpec | None
    notices: Notices | None
    ask_for_pair: AskForPair
    banner: PairBanner
    tool_bar: QToolBar
    actions_by_name: dict[str, QAction]
    before_float32: PairSpec | None = None
    """What to go back to, while the pair is loaded again in float32."""
    sweep_panel: "SweepPanel | None" = None
    """Made when it is first wanted."""

    # --- pair -------------------------------------------------------------------------------

    @Slot()
    def open_pair(self) -> None:
        """Ask for a pair and load it."""
        self.open_folders(None)

    def open_folders(self, folders: list[str] | None) -> None:
        """The same, with folders that were dropped on the window."""
        known = self.spec if self.spec is not None and not self.spec.demo else PairSpec()
        chosen = self.ask_for_pair(known, self.settings.recent(), self, folders)
        if chosen is not None:
            self.pair_wanted.emit(chosen)

    @Slot()
    def open_demo(self) -> None:
        self.pair_wanted.emit(PairSpec(demo=True))

    @Slot()
    def compute_in_float32(self) -> None:
        """Load the pair again in float32; the texts stay."""
        if self.spec is not None:
            spec = self.spec
            self.pair_wanted.emit(replace(spec, dtype="float32"))
            self.before_float32 = spec

    @Slot()
    def cancel_load(self) -> None:
        self.bridge.cancel_load()

    @Slot()
    def close_pair(self) -> None:
        """Free the models; the texts stay."""
        self.bridge.unload()
        self.info = None
        self.view.set_pair(None)
        if self.search is not None:
            self.search.set_pair(None)
        self.status.show_pair(None)
        self.actions_by_name["compute_in_float32"].setEnabled(False)
        self.banner.show_nothing()
        self.setWindowTitle("Qscope")

    # --- texts ------------------------------------------------------------------------------

    @Slot()
    def read_prompt(self) -> None:
        text = self._read("Read the prompt")
        if text is not None:
            system = [m.content for m in self.view.prompt.prompt().messages if m.role == "system"]
            self.view.prompt.set_prompt(Prompt.of(text, system[0] if system else None))
            self.view.prompt.changed.emit()

    @Slot()
    def read_a(self) -> None:
        self._read_response("A")

    @Slot()
    def read_b(self) -> None:
        self._read_response("B")

    def _read_response(self, side: Side) -> None:
        text = self._read(f"Read response {side}")
        if text is not None:
            self.view.panels[side].swap_in(text, None)
            self.view.edited.emit()
            self.view.ask(side)

    def _read(self, title: str) -> str | None:
        path = self.choose_file(title, "Text (*.txt *.md);;All files (*)")
        if not path:
            return None
        try:
            return read_text(Path(path))
        except UserFacingError as error:
            self.notice.show_notice("error", str(error), topic="file")
            return None

    @Slot()
    def swap_sides(self) -> None:
        self.view.exchange()

    @Slot()
    def copy_a_to_b(self) -> None:
        self.view.copy_a_to_b()

    # --- taking things away -----------------------------------------------------------------

    def _table(self, delimiter: str) -> str:
        scorings = {str(side): scoring for side, scoring in self.view.scorings().items()}
        return table(scorings, self.view.beta(), delimiter)

    @Slot()
    def save_table(self) -> None:
        path = self.choose_new_file(
            "Save the table", "qscope.tsv", "Tab-separated (*.tsv);;Comma-separated (*.csv)"
        )
        if path:
            try:
                write_text(Path(path), self._table("," if path.endswith(".csv") else "\t"))
            except UserFacingError as error:
                self.notice.show_notice("error", str(error), topic="file")
                return
            self.statusBar().showMessage(f"Saved {path}", 5000)

    @Slot()
    def save_picture(self) -> None:
        # Grabbed first: the dialog must not be in the picture.
        picture = self.grab()
        path = self.choose_new_file("Save a picture", "qscope.png", "PNG (*.png)")
        if path and not picture.save(path, "PNG"):
            self.notice.show_notice(
                "error", f"{path} cannot be written: choose another folder.", topic="file"
            )

    @Slot()
    def copy_table(self) -> None:
        QGuiApplication.clipboard().setText(self._table("\t"))
        self.statusBar().showMessage("Copied the table", 3000)

    @Slot()
    def copy_numbers(self) -> None:
        QGuiApplication.clipboard().setText(self.view.summary.as_text())
        self.statusBar().showMessage("Copied the numbers", 3000)

    # --- looking ----------------------------------------------------------------------------

    @Slot()
    def pin_at_caret(self) -> None:
        self.view.focus_on.pin_at_caret()
        if self.view.focus_on.pinned is not None:
            self.view.inspector.by_policy.setFocus()

    @Slot()
    def unpin(self) -> None:
        side = self.view.focus_on.pinned
        self.view.focus_on.unpin()
        if side is not None:
            self.view.panels[side[0]].editor.setFocus()

    @Slot(bool)
    def set_side_by_side(self, on: bool) -> None:
        self.view.set_side_by_side(on)

    @Slot(bool)
    def set_boundaries(self, on: bool) -> None:
        for panel in self.view.panels.values():
            panel.editor.set_show_boundaries(on)

    @Slot(bool)
    def set_marks(self, on: bool) -> None:
        for panel in self.view.panels.values():
            panel.editor.set_show_marks(on)

    @Slot()
    def zoom_in(self) -> None:
        self._zoom_to(self.points + 1)

    @Slot()
    def zoom_out(self) -> None:
        self._zoom_to(self.points - 1)

    @Slot()
    def zoom_reset(self) -> None:
        self._zoom_to(USUAL_POINTS)

    def _zoom_to(self, points: float) -> None:
        self.points = min(max(points, 7.0), 40.0)
        self.view.set_text_size(self.points)
        if self.search is not None:
            self.search.set_text_size(self.points)

    @Slot(bool)
    def set_presentation(self, on: bool) -> None:
        """Full screen and large letters, and back."""
        self._zoom_to(self.points * PRESENTED if on else self.points / PRESENTED)
        self.tool_bar.setVisible(not on)
        if on:
            self.showFullScreen()
        else:
            self.showNormal()

    # --- searching --------------------------------------------------------------------------

    @Slot()
    def sweep_widths(self) -> None:
        """Open the panel that sweeps beam widths."""
        if self.sweep_panel is None:
            from app.search.sweep_panel import Ask, SweepPanel

            ask = Ask(self.choose_file, self.choose_folder, self.choose_new_file)
            self.sweep_panel = SweepPanel(self.bridge, ask, self)
        self.sweep_panel.show()
        self.sweep_panel.raise_()
        self.sweep_panel.activateWindow()

    # --- help -------------------------------------------------------------------------------

    @Slot()
    def show_glossary(self) -> None:
        self._show_help("What am I looking at?", GLOSSARY)

    @Slot()
    def show_keys(self) -> None:
        self._show_help("Keys", shortcuts_html(actions.key_rows(self.actions_by_name)))

    def _show_help(self, title: str, html: str) -> None:
        dialog = HelpDialog(title, html, self)
        dialog.finished.connect(dialog.deleteLater)
        dialog.show()

    @Slot()
    def show_log(self) -> None:
        path = self.notices.log_file() if self.notices is not None else None
        if path is None:
            self.notice.show_notice("info", "No log is kept in this session.", topic="log")
            return
        self.notice.show_notice("info", f"The log is {path}.", topic="log")
        if QApplication.platformName() != "offscreen":
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))
