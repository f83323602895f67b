"""The main window: its views, what state the pair is in, menus, and what is remembered.

It shows before any model library is imported: the engine starts after the first paint. Knows the
bridge's signals; knows nothing of scores (app.credit) or models.
"""

from pathlib import Path
from typing import cast

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QAction, QCloseEvent, QPaintEvent
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QLabel,
    QStackedWidget,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from app import actions, theme
from app.banner import PairBanner
from app.commands import USUAL_POINTS
from app.credit.examples import Example, read_examples
from app.credit.view import CreditView
from app.drops import FolderDrops
from app.engine_client import Bridge, MakeEngine, real_engine
from app.launch.launching import Launching
from app.notices import NoticeBar, Notices
from app.open_dialog import ask_for_pair
from app.replay.strip import CheckpointStrip
from app.settings import Settings, read_draft
from app.status import Status
from app.text_commands import TextCommands
from core.engine.protocol import (
    DEFAULT_BETA,
    Failed,
    FilesChanged,
    Loaded,
    NoiseMeasured,
    PairSpec,
    Progress,
    Stopped,
)
from core.noise import NOISELESS
from core.trace import mark

AUTOSAVE_MS = 1500
CLOSE_SECONDS = 4.0


class MainWindow(TextCommands):
    """Qscope's window."""

    def __init__(
        self,
        spec: PairSpec | None,
        settings: Settings,
        make_engine: MakeEngine = real_engine,
        draft_path: Path | None = None,
        notices: Notices | None = None,
        theme_name: theme.Theme | None = None,
        examples: tuple[Example, ...] | None = None,
    ) -> None:
        super().__init__()
        self.setWindowTitle("Qscope")
        self.setMinimumSize(720, 500)
        self.settings = settings
        self.spec = spec
        self.info = None
        self.examples = examples if examples is not None else read_examples()
        self.ask_for_pair = ask_for_pair
        self.notices = notices
        self._draft_path = draft_path
        self._last_draft = read_draft(draft_path) if draft_path is not None else None
        self._begun = self._touched = False
        self._ended = True
        self.points = settings.number("text points", USUAL_POINTS)
        self.bridge = Bridge(make_engine, self)
        self.view = CreditView(self.bridge)
        self.search = None
        self.pages = QStackedWidget()
        self.tabs = QTabBar()
        self.banner = PairBanner()
        self.strip = CheckpointStrip()
        self.notice = NoticeBar()
        self._rewritten = ""
        """The run's checkpoint whose files the notice says have changed, if it alone has."""
        self.launching = Launching(settings)
        self.example_box = QComboBox()
        self._lay_out()
        self.status = Status(self.statusBar())
        self.actions_by_name = actions.build(self)
        self._autosave = QTimer(self)
        self._autosave.setSingleShot(True)
        self._autosave.setInterval(AUTOSAVE_MS)
        self._drops = FolderDrops(self)
        self._connect()
        self._theme: theme.Theme = theme_name or cast(theme.Theme, settings.get("theme", "auto"))
        self._recall()

    # --- building ---------------------------------------------------------------------------

    def _lay_out(self) -> None:
        bar = self.addToolBar("Examples")
        bar.setMovable(False)
        bar.setFloatable(False)
        bar.setObjectName("examples")
        for title, tip in (("Credit", "Ctrl+1"), ("Search", "Ctrl+2"), ("Training", "Ctrl+3")):
            place = self.tabs.addTab(title)
            self.tabs.setTabToolTip(place, f"The {title.lower()} view ({tip})")
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.tabs.setUsesScrollButtons(False)  # the examples give way instead
        self.tabs.setAccessibleName("View")
        bar.addWidget(self.tabs)
        label = QLabel("   Example ")
        bar.addWidget(label)
        self.example_box.setMinimumWidth(180)
        self.example_box.setAccessibleName("Example")
        self.example_box.setToolTip("Put an example's prompt and responses in place")
        for example in self.examples:
            self.example_box.addItem(example.title)
        label.setBuddy(self.example_box)
        bar.addWidget(self.example_box)
        self.tool_bar = bar
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(8, 6, 8, 2)
        column.setSpacing(6)
        column.addWidget(self.notice)
        column.addWidget(self.banner)
        column.addWidget(self.launching)
        self.pages.addWidget(self.view)
        column.addWidget(self.pages, 1)
        column.addWidget(self.strip)
        self.setCentralWidget(middle)

    def _connect(self) -> None:
        for name in ("open_pair", "swap_sides", "copy_a_to_b"):
            self.tool_bar.addAction(self.actions_by_name[name])
        self.tabs.currentChanged.connect(self._tab_chosen)
        self.bridge.progress.connect(self._progress)
        self.bridge.loaded.connect(self._loaded)
        self.bridge.noise_measured.connect(self._noise_measured)
        self.status.float32_wanted.connect(self.compute_in_float32)
        self.bridge.failed.connect(self._failed)
        self.bridge.stopped.connect(self._stopped)
        self.bridge.lost.connect(self._device_lost)
        self.bridge.memory.connect(self.status.show_memory)
        self.bridge.files_changed.connect(self._files_changed)
        self.banner.open_demo.connect(self.open_demo)
        self.banner.open_pair.connect(self.open_pair)
        self.banner.cancel.connect(self.cancel_load)
        self.view.problem.connect(self._score_problem)
        self.view.inspection_failed.connect(self._inspection_failed)
        self.view.updated.connect(self.status.show_update)
        self.view.edited.connect(self._edited)
        self.pair_wanted.connect(self.load)
        self.view.beta_chosen.connect(self._beta_chosen)
        self._make_scrubbing()
        self.notice.acted.connect(self._notice_acted)
        self.connect_launching()
        self.example_box.activated.connect(self.show_example)
        self._autosave.timeout.connect(self.save_draft)
        if self.notices is not None:
            self.notices.raised.connect(self._raised)
        QApplication.styleHints().colorSchemeChanged.connect(self._desktop_changed)

    def _recall(self) -> None:
        """Looks as they were left, and the first example's texts."""
        get = self.settings.get
        self.resize(1440, 900)
        self.restoreGeometry(self.settings.bytes("geometry"))
        for name, splitter in (("rows", self.view.rows), ("columns", self.view.columns)):
            state = self.settings.bytes(name)
            if not state.isEmpty():
                splitter.restoreState(state)
        self.view.controls.choose(get("colour by", "reward"), get("units", "token"))
        self.view.scale.swap = get("swap", "0") == "1"
        self.scrubbing.recall(self.settings)
        for name, default in (
            ("set_side_by_side", "1"),
            ("set_boundaries", "1"),
            ("set_marks", "0"),
        ):
            self.actions_by_name[name].setChecked(get(name, default) == "1")
        self.actions_by_name["restore_session"].setEnabled(self._last_draft is not None)
        self.actions_by_name["compute_in_float32"].setEnabled(False)
        self.actions_by_name[f"theme {self._theme}"].setChecked(True)
        self._dress()
        self._zoom_to(self.points)
        if self.notices is not None and self.notices.crashed():
            self.notice.show_notice(
                "warning",
                "Qscope ended unexpectedly last time; what Python knew of it is in crash.old.log, "
                "beside the log file (Help, Log file).",
                topic="crash",
            )
        self.view.show_example(self.examples[0])
        if self.spec is not None:
            self.view.controls.set_beta(
                self.spec.beta or self.settings.beta(self.spec) or DEFAULT_BETA
            )
            if not self.spec.demo:
                self._restore_if_same(self.spec)

    def _dress(self) -> None:
        application = QApplication.instance()
        dark = theme.is_dark(self._theme)
        if isinstance(application, QApplication):
            theme.apply(application, dark)
        self.view.set_dark(dark)
        self.strip.set_dark(dark)
        if self.search is not None:
            self.search.set_dark(dark)
        if self.training is not None:
            self.training.set_dark(dark)
        self._zoom_to(self.points)  # a new style sheet takes the widgets' own fonts away

    # --- life -------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._begun:
            self._begun = True
            QTimer.singleShot(0, self._begin)

    @Slot()
    def _begin(self) -> None:
        """After the first paint: now the engine may import what it needs."""
        mark("window shown")
        if self.spec is not None:
            self.load(self.spec)
        if self.settings.store is not None:  # a picture shows what it was asked to
            self.launching.find_again()
        if self.first_runs:
            self.open_runs(self.first_runs)

    @Slot(object)
    def load(self, spec: PairSpec) -> None:
        """Load a pair in place of the one that is there; the texts stay."""
        self.spec = spec
        self.info = None
        self.before_float32 = None
        self.actions_by_name["compute_in_float32"].setEnabled(False)
        self.view.set_pair(None)
        if self.search is not None:
            self.search.set_pair(None)
        self.status.show_pair(None)
        for topic in ("load", "files"):
            self.notice.dismiss(topic)
        self.banner.show_loading("Loading the demo pair" if spec.demo else "Loading", None)
        self.setWindowTitle("Qscope")
        self.bridge.load(spec)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Save the texts and end the engine, in bounded time whatever it is doing.

        A training run may go on without the window; the user is asked, and may think again.
        """
        if not self.launching.may_close():
            event.ignore()
            return
        if self._touched:
            self.save_draft()
        self._autosave.stop()
        put = self.settings.put
        if not self.isFullScreen():
            self.settings.put_bytes("geometry", self.saveGeometry())
        self.settings.put_bytes("rows", self.view.rows.saveState())
        self.settings.put_bytes("columns", self.view.columns.saveState())
        put("colour by", self.view.controls.measure().key)
        put("units", self.view.controls.unit())
        put("swap", str(int(self.view.scale.swap)))
        put("text points", str(self.points))
        if self.search is not None:
            self.search.remember(self.settings)
        self.close_training()
        for name in ("set_side_by_side", "set_boundaries", "set_marks"):
            put(name, str(int(self.actions_by_name[name].isChecked())))
        self.hide()
        self.end_engine()
        event.accept()

    def end_engine(self) -> bool:
        """Stop the engine; False if it did not end in time. May be called again."""
        self._ended = self.bridge.close(CLOSE_SECONDS) and self._ended
        return self._ended

    # --- the pair ---------------------------------------------------------------------------

    @Slot(object)
    def _progress(self, event: Progress) -> None:
        self.banner.show_loading(event.what, event.fraction)

    @Slot(object)
    def _loaded(self, event: Loaded) -> None:
        self.info = event.info
        self.before_float32 = None
        self.banner.hide()
        self.notice.dismiss("load")
        self.status.show_pair(event.info)
        self.actions_by_name["compute_in_float32"].setEnabled(event.info.dtype != "float32")
        self.setWindowTitle(f"{event.info.policy} — Qscope")
        spec = self.spec or PairSpec(demo=True)
        self.settings.remember_pair(spec)
        if not event.info.has_chat_template:
            self.notice.show_notice(
                "info",
                "This tokenizer has no chat template: the prompt is read as plain text, its turns "
                "divided by blank lines.",
                topic="template",
            )
        elif spec.demo and self._differs(self._last_draft):
            self.notice.show_notice(
                "info",
                "The texts of your last session are kept.",
                topic="draft",
                action="Restore them",
            )
        if spec.beta:  # asked for in so many words: it outweighs what is remembered
            self.settings.remember_beta(spec, spec.beta)
        self.view.set_pair(event.info, self.settings.beta(spec) or event.info.beta)
        if self.search is not None:
            self.search.set_pair(event.info)
            self.search.set_beta(self.view.beta())

    @Slot(object)
    def _noise_measured(self, event: NoiseMeasured) -> None:
        floor = event.floor or NOISELESS
        self.status.show_noise(event.floor, self.info)
        self.view.set_noise(floor)
        if self.search is not None:
            self.search.set_noise(floor)

    @Slot(object)
    def _failed(self, event: Failed) -> None:
        if event.kind == "Load":
            self.banner.show_nothing(failed=True)
            back = "" if self.before_float32 is None else "Load it as before"
            self.notice.show_notice("error", event.message, topic="load", action=back)

    @Slot(str)
    def _inspection_failed(self, sentence: str) -> None:
        self.notice.show_notice("error", sentence, topic="inspect")

    @Slot(object)
    def _stopped(self, event: Stopped) -> None:
        if event.kind == "Load":
            self.banner.show_nothing()

    @Slot(str)
    def _score_problem(self, sentence: str) -> None:
        if sentence:
            self.notice.show_notice("error", sentence, topic="score")
        else:
            self.notice.dismiss("score")

    @Slot(str, str, str)
    def _raised(self, kind: str, sentence: str, details: str) -> None:
        self.notice.show_notice("error", sentence, details, topic="unexpected")

    @Slot(object)
    def _files_changed(self, event: FilesChanged) -> None:
        self._rewritten = event.checkpoint
        self.notice.show_notice("warning", event.sentence, topic="files", action="Load anew")

    def _load_anew(self) -> None:
        """Show what lies on disk now: the checkpoint of the run, or the whole pair."""
        if self._rewritten:
            self.scrubbing.show_anew(self._rewritten)
        elif self.spec is not None:
            self.load(self.spec)

    @Slot(str)
    def _notice_acted(self, topic: str) -> None:
        if topic == "draft":
            self.restore_session()
        elif topic == "load" and self.before_float32 is not None:
            self.load(self.before_float32)
        elif topic == "lost":
            self.start_anew()
        elif topic == "files":
            self._load_anew()

    @Slot(float)
    def _beta_chosen(self, beta: float) -> None:
        if self.spec is not None:
            self.settings.remember_beta(self.spec, beta)

    # --- looks ------------------------------------------------------------------------------

    @Slot()
    def _desktop_changed(self) -> None:
        if self._theme == "auto":
            self._dress()

    @Slot(QAction)
    def theme_chosen(self, action: QAction) -> None:
        """Light, dark, or as the desktop."""
        self._theme = cast(theme.Theme, action.data())
        self.settings.put("theme", self._theme)
        self._dress()
