"""The main window: makes its parts, puts them in place, and says what follows from what.

It shows before any model library is imported: the engine starts after the first paint. Each part
owns one subject and its actions; none knows the window. Knows the parts' signals; knows nothing of
scores, trees, runs or models.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, QRect, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QCloseEvent, QGuiApplication, QPaintEvent
from PySide6.QtWidgets import QLabel, QMainWindow, QSizePolicy, QToolBar, QVBoxLayout, QWidget

from app import ask, theme
from app.actions.action import Declared, Menu, action, actions_of
from app.actions.menus import Menus
from app.banner import PairBanner
from app.credit.actions import CreditActions
from app.credit.examples import Example, read_examples
from app.credit.view import CreditView
from app.curves.actions import RunActions
from app.drops import FolderDrops
from app.editing import Editing
from app.engine_client import EngineClient, MakeEngine, real_engine
from app.help import HelpActions
from app.history import EditHistory
from app.launch.launching import Launching
from app.learned.actions import LearnedActions
from app.look import Look
from app.notices import NoticeBar, Notices, Topic
from app.pages import Pages
from app.pair_chip import PairChip
from app.pair_loader import PairLoader
from app.palette import CommandPalette
from app.present import Present
from app.replay.actions import CheckpointActions
from app.replay.strip import CheckpointStrip
from app.scoring.actions import ScoringActions
from app.search.actions import SearchActions
from app.sessions.sessions import Parts, Sessions
from app.sessions.shown import Shown
from app.settings import Settings
from app.status import Status
from app.table.actions import DataActions
from app.texts import Texts
from app.widgets.boxes import ComboBox
from app.widgets.drawer import Desk
from app.widgets.icons import IconButton
from core.engine.protocol import Failed, FilesChanged, PairInfo, PairSpec, Side
from core.history import Reached
from core.session_record import ENDING
from core.trace import mark

CLOSE_SECONDS = 4.0
IN_CHIP = "check_pair", "open_pair", "open_demo", "close_pair"
"""What can be done with the pair, in the menu of its chip."""
BANNER = 44
"""Pixels of the strip that says what state the pair is in."""
FIRST = 1440, 900
"""Pixels of the first window, where the screen has them."""


class MainWindow(QMainWindow):
    """Qscope's window."""

    def __init__(
        self,
        spec: PairSpec | None,
        settings: Settings,
        make_engine: MakeEngine = real_engine,
        data_folder: Path | None = None,
        notices: Notices | None = None,
        theme_name: theme.Theme | None = None,
        examples: tuple[Example, ...] | None = None,
        first_runs: Sequence[Path] = (),
        session: Path | None = None,
    ) -> None:
        """``data_folder``: where drafts of the texts are kept (app/drafts.py); None keeps none.

        ``first_runs``: training runs, and ``session``: a session file, to open once the window
        shows.
        """
        super().__init__()
        self.setWindowTitle("Qscope")
        self.setMinimumSize(720, 500)
        self.settings = settings
        self.anew = False
        """The window was closed to be opened again in a new process."""
        self._policy = ""
        """What the policy that is shown is called."""
        self._first_runs, self._first_session = tuple(first_runs), session
        self._begun = False
        self._ended = True
        self.ask = ask.dialogs(self)
        self.client = EngineClient(make_engine, self)
        self.view = CreditView(self.client)
        self.pages = Pages()
        self.banner = PairBanner()
        self.strip = CheckpointStrip()
        self.notice = NoticeBar()
        self.launching = Launching(settings)
        self.status = Status(self.statusBar())
        self.example_box = ComboBox()
        self.tool_bar = QToolBar("Views and examples")
        self.chip = PairChip()
        self.palette_button = IconButton("palette", "All actions", "Find any action (Ctrl+K)")
        self.present_button = IconButton("present", "Present", "Full screen, for a stage (F11)")
        self._make_parts(spec, data_folder, notices, theme_name, examples)
        pages = self.credit, self.searches, self.runs, self.learned, self.data
        for page in (it.page for it in pages):
            self.pages.add(page)
        self._lay_out()
        self.menus = Menus(self.menuBar(), self._declared())
        self.addActions(list(self.menus.actions.values()))  # their keys work without a menu bar
        self.chip.offer(*(self.menus.actions[name] for name in IN_CHIP))
        self.present.switch = self.menus.actions["set_presentation"]
        self._drops = FolderDrops(self, self._take_drop)
        self._connect()
        self._recall(notices)

    # --- building -----------------------------------------------------------------------------

    def _make_parts(
        self,
        spec: PairSpec | None,
        data_folder: Path | None,
        notices: Notices | None,
        theme_name: theme.Theme | None,
        examples: tuple[Example, ...] | None,
    ) -> None:
        settings, notice = self.settings, self.notice
        self.look = Look(self, self.view, settings, theme_name)
        choices = self.view.controls.choices, self.view.prompt.choices
        aside = self.menuBar(), self.tool_bar, self.statusBar(), *choices
        self.present = Present(self, self.look, aside)
        self.commands = CommandPalette(self, lambda: self.menus.commands)
        self.pair = PairLoader(self.client, settings, self.banner, notice, self.status, spec)
        self.texts = Texts(
            self.view,
            examples if examples is not None else read_examples(),
            self.example_box,
            notice,
            self.ask,
            lambda: self.pair.spec,
            data_folder,
        )
        self.credit = CreditActions(self.view, notice, self.ask, self.statusBar())
        self.history = EditHistory(self.client, self.view, self.texts, settings, self._say_briefly)
        self.searches = SearchActions(
            self.client, self.view, self.look, settings, notice, self.ask, self.pages
        )
        self.checkpoints = CheckpointActions(
            self.client, self.view, self.strip, settings, notice, self.ask
        )
        self.runs = RunActions(self.launching, self.look, settings, notice, self.ask, self.pages)
        self.learned = LearnedActions(
            self.client,
            self.texts,
            self.history,
            self.credit.page,
            self.look,
            notice,
            self.ask,
            self.pages,
            self.pair.load,
        )
        self.data = DataActions(
            self.texts, self.credit.page, self.look, settings, notice, self.ask, self.pages
        )
        self.scoring = ScoringActions(
            self.client, self.data.open, self.data.show, notice, self.ask, self
        )
        self.data.put_above(self.scoring.bar)
        self.data.score_wanted.connect(self.scoring.score_data_set)
        self.editing = Editing(self)
        self.sessions = self._make_sessions()
        self.help = HelpActions(self, notice, notices, self._key_rows)
        if notices is not None:
            notices.raised.connect(self._show_fault)

    def _make_sessions(self) -> Sessions:
        scrubbing = self.checkpoints.scrubbing
        shown = Shown(self.view, self.searches, scrubbing, self.pages)
        parts = Parts(
            self.view, self.texts, self.history, self.searches, self.learned, self.pair, shown
        )
        return Sessions(self, self.client, parts, self.banner, self.settings, self.notice, self.ask)

    def _key_rows(self) -> list[tuple[str, str]]:
        return self.menus.key_rows()

    def _declared(self) -> list[Declared]:
        """Return every action of the window."""
        owners = (
            self.sessions,
            self.pair,
            self.texts,
            self.editing,
            self.history,
            self.credit,
            self.searches,
            self.checkpoints,
            self.runs,
            self.learned,
            self.scoring,
            self.data,
            self.look,
            self.present,
            self.help,
            self.commands,
            self,
        )
        own = [declared for owner in owners for declared in actions_of(owner)]
        recent = self.sessions.recent_listing(), self.data.recent_listing()
        listings = *recent, self.look.theme_choice()
        return [*own, *self.pages.actions_to_show(), *listings]

    def _lay_out(self) -> None:
        bar = self.tool_bar
        self.addToolBar(bar)
        bar.setMovable(False)
        bar.setFloatable(False)
        bar.setIconSize(QSize(theme.ICON, theme.ICON))
        bar.setObjectName("examples")
        bar.addWidget(self.pages.tabs)
        bar.addWidget(self.chip)
        badge = self.sessions.badge  # never out of sight, however narrow the window is
        in_bar = bar.addWidget(badge)
        in_bar.setVisible(False)
        badge.wanted.connect(in_bar.setVisible)
        room = QWidget()
        room.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        bar.addWidget(room)
        label = QLabel("Example")
        bar.addWidget(label)
        self.example_box.setMinimumWidth(120)
        self.example_box.setMaximumWidth(320)
        self.example_box.setAccessibleName("Example")
        self.example_box.setToolTip("Put an example's prompt and responses in place")
        label.setBuddy(self.example_box)
        bar.addWidget(self.example_box)
        bar.addWidget(self.present_button)
        bar.addWidget(self.palette_button)
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(8, 6, 8, 2)
        column.setSpacing(6)
        column.addWidget(self.notice)
        column.addWidget(self.launching)
        # Over the foot of the views, so that nothing moves when a pair has come.
        column.addWidget(Desk(self.pages, self.banner, Qt.Edge.BottomEdge, BANNER), 1)
        if self.pair.spec is None:
            self.banner.show_nothing()
        else:
            self.banner.show_loading("Loading", None)
        column.addWidget(self.strip)
        self.setCentralWidget(middle)

    def _connect(self) -> None:
        """Say what follows from what; no two receivers of a signal depend on their order."""
        view, pair, texts = self.view, self.pair, self.texts
        pair.changed.connect(self._pair_changed)
        pair.named.connect(self._show_name)
        self.sessions.changed.connect(self._show_title)
        pair.noise_measured.connect(view.set_noise)
        pair.noise_measured.connect(self.searches.set_noise)
        for changed in (
            texts.session_changed,
            texts.steps_changed,
            self.editing.changed,
            self.history.changed,
            self.data.changed,
            self.scoring.changed,
        ):
            changed.connect(self._refresh_actions)
        view.problem.connect(Topic(self.notice, "score").show_error)
        view.updated.connect(self.status.show_update)
        view.beta_chosen.connect(pair.remember_beta)
        view.fitted.connect(pair.remember_limits)
        view.recoloured.connect(self._show_chip)
        view.escaped.connect(self.present.leave)
        self.palette_button.clicked.connect(self.commands.show_palette)
        self.present_button.clicked.connect(self.menus.actions["set_presentation"].toggle)
        self.look.dark_changed.connect(view.set_dark)
        self.look.dark_changed.connect(self.strip.set_dark)
        self.look.size_changed.connect(view.set_text_size)
        self.searches.send.connect(self._put_responses)
        self.checkpoints.pair_wanted.connect(pair.load)
        self.checkpoints.named.connect(self._show_policy)
        self.checkpoints.checkpoint_shown.connect(self.searches.set_checkpoint)
        self.runs.view_made.connect(self.checkpoints.join)
        view.inspection_failed.connect(self._say_inspection_failed)
        self.client.lost.connect(self._device_lost)
        self.client.files_changed.connect(self._files_changed)

    def _recall(self, notices: Notices | None) -> None:
        """Show looks as they were left, and the first texts."""
        room = self.screen().availableGeometry().size()
        self.resize(QSize(*FIRST).boundedTo(room))
        self._recall_place()
        self.credit.recall(self.settings)
        self.look.begin()
        if notices is not None and notices.crashed():
            self.notice.show_notice(
                "warning",
                "Qscope ended unexpectedly last time; what Python knew of it is in crash.old.log, "
                "beside the log file (Help, Log file).",
                topic="crash",
            )
        if notices is not None and notices.log_trouble:
            self.notice.add("warning", notices.log_trouble)
        self.view.controls.set_beta(self.pair.first_beta())
        self.view.recall_limits(self.pair.limits())
        self.texts.begin()
        self.setFocus()  # or Qt gives it to the tabs, whose ring is all that is seen first
        self.settings.tell(self._say_setting)

    def _recall_place(self) -> None:
        """Show the window where it was left, if a screen is there."""
        place = self.settings.rectangle("place")
        if place is None:
            return
        screen = QGuiApplication.screenAt(place.center()) or self.screen()
        room = screen.availableGeometry()
        size = place.size().boundedTo(room.size()).expandedTo(self.minimumSize())
        corner = QPoint(
            min(max(place.x(), room.left()), max(room.right() - size.width(), room.left())),
            min(max(place.y(), room.top()), max(room.bottom() - size.height(), room.top())),
        )
        self.setGeometry(QRect(corner, size))
        if self.settings.get("maximised", "0") == "1":
            self.setWindowState(Qt.WindowState.WindowMaximized)

    # --- life ---------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._begun:
            self._begun = True
            QTimer.singleShot(0, self._begin)

    @Slot()
    def _begin(self) -> None:
        """Load the pair: after the first paint the engine may import what it needs."""
        mark("window shown")
        self.pair.begin()
        self.texts.tidy()
        self.settings.look_whether_saved()
        if self.settings.store is not None:  # a picture shows what it was asked to
            self.launching.find_again()
        if self._first_runs:
            self.runs.open_runs(self._first_runs)
        self.sessions.begin(self._first_session)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Save the texts and end the engine, in bounded time whatever it is doing.

        A training run may go on without the window; the user is asked, and may think again. Texts
        that cannot be saved keep the window, once.
        """
        if not self.launching.may_close() or not self.texts.close():
            event.ignore()
            return
        if not self.isFullScreen():
            self.settings.put_rectangle("place", self.normalGeometry())
            self.settings.put("maximised", str(int(self.isMaximized())))
        self.credit.remember(self.settings)
        self.look.remember()
        self.searches.remember(self.settings)
        self.checkpoints.remember(self.settings)
        self.runs.close()
        self.data.close()
        self.sessions.close(CLOSE_SECONDS)
        self.settings.look_whether_saved()
        self.hide()
        self.end_engine()
        event.accept()

    def end_engine(self) -> bool:
        """Stop the engine; False if it did not end in time. May be called again."""
        self._ended = self.client.close(CLOSE_SECONDS) and self._ended
        return self._ended

    def start_anew(self) -> None:
        """Close the window to open it again in a new process, with the same pair and texts."""
        if not self.texts.save():
            return  # nothing may be lost: the notice says why
        self.anew = True
        self.anew = self.close()

    @action(Menu.FILE.at(4, 1), "&Quit", "Ctrl+Q", "Close Qscope")
    def quit(self) -> None:
        """Close the window."""
        self.close()

    @action(Menu.FILE.at(3, 2), "Save a p&icture…", "Ctrl+P", "The window as a PNG")
    def save_picture(self) -> None:
        """Ask for a file and save the window as a picture."""
        # Grabbed first: the dialog must not be in the picture.
        picture = self.grab()
        path = self.ask.new_file("Save a picture", "qscope.png", "PNG (*.png)")
        if path and not picture.save(path, "PNG"):
            self.notice.show_notice(
                "error", f"{path} cannot be written: choose another folder.", topic="file"
            )

    # --- what follows from what ---------------------------------------------------------------

    @Slot(object)
    def _pair_changed(self, info: PairInfo | None) -> None:
        """Give the pair to all who show something of it; the credit view knows its beta first."""
        self._refresh_actions()
        self.history.set_pair(info, self.pair.spec)  # what it has is of the pair before
        self.view.set_pair(info, self.pair.beta(), self.pair.limits() if info is not None else None)
        self.searches.set_pair(info, self.view.known_beta())
        self.checkpoints.set_pair(info)
        self.learned.set_pair(info)
        self.data.set_pair(info)
        self.scoring.set_pair(info)
        self.sessions.set_pair(info)
        spec = self.pair.spec
        demo = spec is None or spec.demo
        if info is not None and info.has_chat_template and demo and not self.sessions.has_texts():
            self.texts.offer_session()

    @Slot()
    def _refresh_actions(self) -> None:
        self.menus.refresh()

    @Slot()
    def _show_chip(self) -> None:
        beta, noise = self.view.known_beta(), self.view.noise
        self.chip.show_pair(self.pair.info, self._policy, beta, noise)

    @Slot(str)
    def _show_name(self, policy: str) -> None:
        self._policy = policy
        self._show_title()
        self._show_chip()

    @Slot()
    def _show_title(self) -> None:
        """Say in the title which session and which policy are open, and whether all is saved."""
        policy = f"{self._policy} — " if self._policy else ""
        self.setWindowTitle(f"{self.sessions.title()}{policy}Qscope")
        self.setWindowModified(self.sessions.path is not None and self.sessions.modified)

    @Slot(str)
    def _show_policy(self, policy: str) -> None:
        """Say everywhere which step's policy the numbers are of."""
        self._show_name(policy)
        if self.pair.info is not None:
            self.status.show_policy(policy, self.pair.info)

    @Slot(object)
    def _put_responses(self, responses: Mapping[Side, Reached]) -> None:
        """Put responses from the search view into the editors; two are to be compared there."""
        self.texts.put_responses(responses)
        self.statusBar().showMessage(f"Sent to {' and '.join(responses)}", 3000)
        if len(responses) > 1:
            self.pages.bring(self.credit.page)

    def _take_drop(self, paths: list[str]) -> None:
        """Open what was dropped: a session, scored data, runs where the training view is in front,
        or a pair."""
        sessions = [path for path in paths if path.endswith(ENDING)]
        if sessions:
            self.sessions.open(Path(sessions[0]))
        elif not (self.data.take_drop(paths) or self.runs.take_drop(paths)):
            self.pair.open_folders(paths[:2])

    # --- what is said -------------------------------------------------------------------------

    @Slot(str, str, str)
    def _show_fault(self, kind: str, sentence: str, details: str) -> None:
        if kind == "warning":
            self.notice.add("warning", sentence)
        else:
            self.notice.show_notice("error", sentence, details, topic="unexpected")

    def _say_briefly(self, sentence: str) -> None:
        self.statusBar().showMessage(sentence, 5000)

    def _say_setting(self, sentence: str) -> None:
        self.notice.add("warning", sentence)

    @Slot(str)
    def _say_inspection_failed(self, sentence: str) -> None:
        self.notice.show_notice("error", sentence, topic="inspect")

    @Slot(object)
    def _device_lost(self, event: Failed) -> None:
        """Offer a new process, the only one that can go on, whatever else the notice said."""
        self.texts.save()
        self.notice.show_notice(
            "error",
            event.message,
            topic="lost",
            action="Start anew",
            then=self.start_anew,
            lasting=True,
        )

    @Slot(object)
    def _files_changed(self, event: FilesChanged) -> None:
        """Offer to show what lies on disk now: the checkpoint of the run, or the whole pair."""
        again = (
            partial(self.checkpoints.scrubbing.show_anew, event.checkpoint)
            if event.checkpoint
            else self.pair.load_again
        )
        self.notice.show_notice(
            "warning", event.sentence, topic="files", action="Load anew", then=again
        )
