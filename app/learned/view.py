"""The view of what a pair has learned: what to look through, the findings, and all that goes along.

Asks the engine and shows what returns; a report that a session file has kept is shown as it was.
Knows the engine's client and reports; knows nothing of the window.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QMenu,
    QProgressBar,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.ask import AskPath
from app.engine_client import EngineClient, JobTicket
from app.files import write_text
from app.learned.compared_page import ComparedPage
from app.learned.finding_panel import FindingPanel
from app.learned.findings_list import FindingsList
from app.learned.more_pages import (
    TextPage,
    amplified_html,
    method_html,
    show_swaps,
    show_unseen,
    swaps_page,
    unseen_page,
)
from app.widgets.boxes import ComboBox
from app.widgets.clipped import Clipped
from app.widgets.layouts import fill, label
from core.engine.protocol import Failed, Learn, LearnStep, Learnt, PairInfo, Stopped, Variant
from core.errors import UserFacingError
from core.learned import report
from core.learned.compare import Comparison
from core.learned.examples import Example, examples
from core.learned.record import SAMPLED, Learned
from core.recording import RecordedLearning

Make = Callable[[Learned, Comparison | None], str]
"""Makes a text of a report and of what it is compared with."""
DATA = "Pairs or responses (*.jsonl *.json *.csv *.parquet);;All files (*)"
REPORTS = "Reports (*.json);;All files (*)"
NEUTRAL, REFERENCE, HERE, CHOOSE = "neutral", "reference", "here", "choose"
NO_PAIR = (
    "Open a pair first: what a training taught is what sets a policy apart from its reference."
)
ALONE = (
    "This policy was opened alone. What a training taught is what sets it apart from its "
    "reference: open the pair again and name that too."
)
READY = (
    "Score many short responses under both models and say, the strongest first, what the training "
    "made likelier or less likely than it makes any token: words, spellings, marks, openings, "
    "layout. Each finding is tested on minimal pairs of its own making.\n\n"
    "The neutral corpus is 636 responses to varied prompts. What the reference says to these shows "
    "how its own words were moved; a file of your own tells more of what you trained on. It takes "
    "some minutes on a CPU, and all else goes first meanwhile."
)
NOTHING = (
    "No finding passes the floor. That does not show that nothing was learned: only effects of a "
    "factor of two a time are looked for. See the other pages, or look through a file of your own."
)
TAUGHT = "Or open a pair that ships with Qscope and was taught something on purpose:"
UNDER_WAY = "The findings come once all responses are scored."


class LearnedView(QWidget):
    """What the pair has learned."""

    problem = Signal(str)
    """Something went wrong; "": no more."""
    put = Signal(object)
    """A ``State`` that is to stand in the credit view."""
    pair_wanted = Signal(object)
    """The ``PairSpec`` of a pair that is to be opened."""

    def __init__(
        self,
        client: EngineClient,
        ask: AskPath,
        responses: Callable[[], tuple[Variant, ...]],
        parent: QWidget | None = None,
    ) -> None:
        """``responses``: returns those that were scored in this window."""
        super().__init__(parent)
        self._client, self._ask, self._responses = client, ask, responses
        self._info: PairInfo | None = None
        self._dark = False
        self._ticket: JobTicket[LearnStep, Learnt] | None = None
        self.found: Learned | None = None
        """What is shown."""
        self._before: Learned | None = None
        """What was shown of the pair before."""
        self._asked: Learn | None = None
        """What that answers."""
        self._chosen = 0
        """The line of the box that was chosen last and is a source."""
        self.source = ComboBox()
        self.samples = QCheckBox("Amplified samples")
        self.start = QPushButton("What did it learn?")
        self.over = QPushButton("When did it appear?")
        self.compare, self.export = QToolButton(), QToolButton()
        self.bar, self.cancel = QProgressBar(), QPushButton("Cancel")
        self.progress = QWidget()
        self.about = Clipped()
        self.about.setObjectName("muted")
        self.findings = FindingsList()
        self.panel = FindingPanel(client)
        self.no_findings = label(NOTHING, "muted")
        self.swaps, self.unseen = swaps_page(), unseen_page()
        self.amplified = TextPage("What it says when amplified")
        self.method = TextPage("How it was measured")
        self.compared = ComparedPage()
        self.tabs = QTabWidget()
        self.hint = label("", "muted")
        self.of_examples = label(TAUGHT, "muted")
        self.examples = [QPushButton(it.says[:1].upper() + it.says[1:]) for it in examples()]
        self.stack = QStackedWidget()
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self._dress()
        self._lay_out()
        self._connect()
        self._show_state()

    # --- building -------------------------------------------------------------------------------

    def _dress(self) -> None:
        self.source.setAccessibleName("Over")
        self.source.setMinimumWidth(170)
        self.source.setToolTip("Which responses are looked through")
        self.source.addItem("Neutral corpus", NEUTRAL)
        self.source.addItem("What the reference says", REFERENCE)
        self.source.addItem("Responses scored here", HERE)
        self.source.addItem("A file of yours…", CHOOSE)
        tips = (
            "636 short responses to varied prompts, of which no four words recur",
            f"{SAMPLED} responses sampled from the reference, to the prompts of the neutral corpus",
            "All responses that were scored in this window, of which at least 30 are needed",
            "Pairs, or rows of prompt and response, as JSON Lines, JSON, CSV or Parquet",
        )
        for row, tip in enumerate(tips):
            self.source.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        self.samples.setChecked(True)
        self.samples.setToolTip(
            "Sample a few responses with what was learned amplified, λ = 2 and 4"
        )
        self.start.setDefault(True)
        self.start.setToolTip("Look through the responses; all else goes first meanwhile")
        self.over.setToolTip("Weigh each finding at every checkpoint of the run")
        menu = _with_menu(
            self.export, "Export", "The report as a page to send around, as JSON, or as text"
        )
        menu.addAction("Save as a &page (HTML)…", self.save_page)
        menu.addAction("Save as &JSON…", self.save_json)
        menu.addSeparator()
        menu.addAction("&Copy as text", self.copy_text)
        menu = _with_menu(
            self.compare, "Compare", "What this pair has learned, and another one has not"
        )
        self._with_before = menu.addAction("With the pair &before", self.compare_before)
        menu.addAction("With a saved &report (JSON)…", self.compare_saved)
        self.bar.setAccessibleName("Progress")
        self.bar.setRange(0, 1000)
        self.cancel.setToolTip("Stop; looking again goes on where it was")
        for words in (self.hint, self.no_findings):
            words.setWordWrap(True)
            words.setAlignment(Qt.AlignmentFlag.AlignTop)
            words.setMargin(theme.MARGIN)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setMaximumWidth(640)
        self.of_examples.setVisible(bool(self.examples))
        self.of_examples.setAlignment(Qt.AlignmentFlag.AlignCenter)

    def _lay_out(self) -> None:
        over = label("Over", "muted")
        over.setBuddy(self.source)
        top = fill(
            QHBoxLayout(), over, self.source, self.samples, self.start, (self.about, 8), 1,
            self.over, self.compare, self.export, margins=(0, 0, 0, 0), spacing=theme.GAP,
        )  # fmt: skip
        fill(QHBoxLayout(self.progress), (self.bar, 1), self.cancel, margins=(0, 0, 0, 0))
        listed = QFrame()
        listed.setObjectName("card")
        fill(QVBoxLayout(listed), (self.findings, 1), (self.no_findings, 1), margins=(1, 1, 1, 1))
        self.split.addWidget(listed)
        self.split.addWidget(self.panel)
        self.split.setChildrenCollapsible(False)
        self.split.setStretchFactor(0, 1)
        self.split.setStretchFactor(1, 1)
        pages = (
            (self.split, "Findings"), (self.swaps, "Swaps"), (self.unseen, "Never written"),
            (self.amplified, "Amplified"), (self.method, "How it was measured"),
        )  # fmt: skip
        for page, title in pages:
            self.tabs.addTab(page, title)
        empty = QWidget()
        across = fill(QHBoxLayout(), 1, (self.hint, 4), 1)
        taught = fill(QHBoxLayout(), 1, *self.examples, 1, spacing=theme.GAP)
        fill(QVBoxLayout(empty), 1, across, self.of_examples, taught, 2)
        self.stack.addWidget(empty)
        self.stack.addWidget(self.tabs)
        fill(
            QVBoxLayout(self), top, self.progress, (self.stack, 1), margins=(0, 4, 0, 0),
            spacing=theme.GAP,
        )  # fmt: skip

    def _connect(self) -> None:
        for button, it in zip(self.examples, examples(), strict=True):
            button.setToolTip(f"Open the pair “{it.name}”, and what was found of it")
            button.clicked.connect(partial(self._open_example, it))
        self.source.activated.connect(self._source_chosen)
        self.start.clicked.connect(self.look)
        self.over.clicked.connect(self.look_over)
        self.cancel.clicked.connect(self.stop)
        self.findings.chosen.connect(self._show_finding)
        self.findings.taken.connect(self.panel.open_place)
        self.panel.put.connect(self.put)
        self._client.pair_let_go.connect(self._pair_let_go)

    # --- the pair -------------------------------------------------------------------------------

    def set_pair(self, info: PairInfo | None) -> None:
        """Take another pair, or none: what was found is of the one before. A saved report stays."""
        self._info = info
        if self.found is not None and self._asked is None:
            self._show_report(self.found, None)
            return
        self._before = self.found or self._before
        self._show_report(None, None)

    def show_again(self, recorded: RecordedLearning) -> None:
        """Show what was recorded of the pair."""
        self._choose(recorded.asked)
        self._show_report(recorded.found, recorded.asked)

    def _choose(self, asked: Learn) -> None:
        """Have the boxes say what was asked for."""
        self.samples.setChecked(asked.amplify)
        if asked.data:
            self._offer_file(asked.data)
        else:
            chosen = HERE if asked.responses else REFERENCE if asked.sampled else NEUTRAL
            self.source.setCurrentIndex(self.source.findData(chosen))
        self._chosen = self.source.currentIndex()

    @Slot(int)
    def _source_chosen(self, row: int) -> None:
        if self.source.itemData(row) == CHOOSE:
            self.source.setCurrentIndex(self._chosen)
            if path := self._ask.file("Responses to look through", DATA):
                self._offer_file(path)
        self._chosen = self.source.currentIndex()

    def _offer_file(self, path: str) -> None:
        """Offer a file in the box, and choose it."""
        row = self.source.findData(path)
        if row < 0:
            row = self.source.count() - 1
            self.source.insertItem(row, Path(path).name, path)
            self.source.setItemData(row, path, Qt.ItemDataRole.ToolTipRole)
        self.source.setCurrentIndex(row)

    # --- asking ---------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Return whether something is looked for."""
        return self._ticket is not None

    @Slot()
    def look(self) -> None:
        """Have the chosen responses looked through."""
        chosen = self.source.currentData()
        data = "" if chosen in (NEUTRAL, REFERENCE, HERE) else chosen
        responses = self._responses() if chosen == HERE else ()
        if chosen == HERE and not responses:
            self.problem.emit("Nothing was scored in this window yet: choose the neutral corpus.")
            return
        sampled = SAMPLED if chosen == REFERENCE else 0
        amplify = self.samples.isChecked()
        self._ask_for(Learn(0, data, responses, amplify=amplify, sampled=sampled))

    @Slot()
    def look_over(self) -> None:
        """Have the findings that are shown weighed at each checkpoint of the run."""
        if self._asked is not None:
            self._ask_for(replace(self._asked, over_checkpoints=True))

    def _ask_for(self, it: Learn) -> None:
        self.problem.emit("")
        ticket = self._client.ask(
            Learn, it.data, it.responses, it.most, it.amplify, it.over_checkpoints, it.sampled
        )
        ticket.stepped.connect(self._stepped)
        ticket.answered.connect(self._answered)
        ticket.stopped.connect(self._stopped)
        ticket.failed.connect(self._failed)
        self._ticket = ticket
        self._show_progress("Reading the responses", 0.0)
        self._show_state()

    @Slot()
    def stop(self) -> None:
        """Stop; what was found stays."""
        if self.running:
            self._client.cancel(Learn)

    def _stepped(self, event: LearnStep) -> None:
        self._show_progress(event.what, event.fraction)

    def _answered(self, event: Learnt) -> None:
        assert self._ticket is not None
        asked = self._ticket.request
        self._ticket = None
        assert isinstance(asked, Learn)
        self._show_report(event.found, asked)

    def _stopped(self, event: Stopped) -> None:
        self._ticket = None
        self._show_state()

    def _failed(self, event: Failed) -> None:
        self._ticket = None
        self._show_state()
        self.problem.emit(event.message)

    @Slot()
    def _pair_let_go(self) -> None:
        self._ticket = None
        self._show_state()

    # --- what is shown --------------------------------------------------------------------------

    def _show_progress(self, what: str, fraction: float) -> None:
        self.bar.setValue(round(1000 * fraction))
        self.bar.setFormat(f"{what}, {100 * fraction:.0f} %")

    def _show_report(self, found: Learned | None, asked: Learn | None) -> None:
        """Show a report; None for none. The finding that is chosen stays chosen where it is there
        again."""
        if (place := self.tabs.indexOf(self.compared)) >= 0:
            self.tabs.removeTab(place)
        before = self.findings.current()
        same = self.found is not None and found is not None and (
            [it.key for it in self.found.findings] == [it.key for it in found.findings]
        )  # fmt: skip
        self.found, self._asked = found, asked
        self.findings.show_report(found)
        if same and before > 0:
            self.findings.choose(before)
        if found is not None:
            self._show_pages(found)
        self._show_state()

    def _show_pages(self, found: Learned) -> None:
        show_swaps(self.swaps, found, self._dark)
        show_unseen(self.unseen, found, self._dark)
        self.amplified.setHtml(amplified_html(found, self._dark))
        self.method.setHtml(method_html(found))
        for page, title, count in (
            (self.split, "Findings", len(found.findings)),
            (self.swaps, "Swaps", len(found.swaps)),
            (self.unseen, "Never written", len(found.unseen)),
        ):
            self.tabs.setTabText(self.tabs.indexOf(page), f"{title} ({count})")
        measured = report.measured(found)
        self.about.show_words(f"{found.policy}: {measured}", measured)
        self.about.setToolTip(f"{found.policy} over {found.reference}: {report.measured(found)}")

    @Slot(int)
    def _show_finding(self, number: int) -> None:
        self.panel.show_finding(self.found, number, self._is_of_pair())

    def _is_of_pair(self) -> bool:
        """Return whether the pair that is loaded is the one that the report is of."""
        info, found = self._info, self.found
        if info is None or found is None:
            return False
        of_pair = (info.policy, info.reference) == (found.policy, found.reference)
        return self._asked is not None or of_pair

    def _show_state(self) -> None:
        """Show what can be done now, and what there is to see."""
        info, found = self._info, self.found
        can = info is not None and not info.alone
        self.start.setEnabled(can and not self.running)
        self.progress.setVisible(self.running)
        for button in (self.export, self.compare):
            button.setEnabled(found is not None)
        before = self._before
        self._with_before.setEnabled(before is not None)
        self._with_before.setText(
            "With the pair &before" if before is None else f"With {_named(before)}, shown &before"
        )
        run = info is not None and len(info.checkpoints) > 1
        self.over.setVisible(run or bool(found is not None and found.over))
        self.over.setEnabled(
            can and run and not self.running and found is not None and bool(found.findings)
            and not found.over and self._asked is not None
        )  # fmt: skip
        self.about.setVisible(found is not None)
        if found is None:
            self.hint.setText(
                UNDER_WAY if self.running else NO_PAIR if info is None else READY if can else ALONE
            )
        else:
            self.findings.setVisible(bool(found.findings))
            self.no_findings.setVisible(not found.findings)
        self.stack.setCurrentIndex(int(found is not None))

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._dark = dark
        self.findings.set_dark(dark)
        self.panel.set_dark(dark)
        self.compared.set_dark(dark)
        if self.found is not None:
            self._show_pages(self.found)

    # --- saved reports --------------------------------------------------------------------------

    @Slot()
    def open_saved(self) -> None:
        """Ask for a report that was saved as JSON, and show it."""
        if path := self._ask.file("Open a saved report", REPORTS):
            self.show_saved(Path(path))

    def show_saved(self, path: Path) -> None:
        """Show a report that was saved as JSON, of whatever pair it is."""
        if (found := self._read(path)) is not None:
            self.problem.emit("")
            self._before = self.found or self._before
            self._show_report(found, None)

    def _read(self, path: Path) -> Learned | None:
        """Return a saved report; None, and the reason is said, where it cannot be read."""
        from core.learned.saved import read

        try:
            return read(path)
        except UserFacingError as error:
            self.problem.emit(str(error))
            return None

    def _open_example(self, it: Example, checked: bool = False) -> None:
        self.pair_wanted.emit(it.spec)
        self.show_saved(it.report)

    # --- another pair beside it -----------------------------------------------------------------

    @Slot()
    def compare_before(self) -> None:
        """Compare with what was shown of the pair before."""
        if self._before is not None:
            self._compare(self._before)

    @Slot()
    def compare_saved(self) -> None:
        """Ask for a report that was saved as JSON, and compare with it."""
        path = self._ask.file("Compare with a saved report", REPORTS)
        if path and (other := self._read(Path(path))) is not None:
            self._compare(other)

    def _compare(self, other: Learned) -> None:
        if self.found is None:
            return
        from core.learned.compare import compared

        self.problem.emit("")
        self.compared.show_comparison(compared(self.found, other), self.found.method.floor)
        if self.tabs.indexOf(self.compared) < 0:
            self.tabs.insertTab(1, self.compared, "Compared")
        self.tabs.setCurrentWidget(self.compared)

    # --- taking it away -------------------------------------------------------------------------

    @Slot()
    def save_page(self) -> None:
        """Ask for a file and write the report into it, as a page that can be sent around."""
        self._save("Save the report", "learned.html", "Pages (*.html)", report.as_page)

    @Slot()
    def save_json(self) -> None:
        """Ask for a file and write everything into it, as JSON."""
        self._save("Save what was found", "learned.json", "JSON (*.json)", _json)

    def _save(self, title: str, name: str, kinds: str, make: Make) -> None:
        if self.found is None:
            return
        path = self._ask.new_file(title, name, kinds)
        if not path:
            return
        try:
            write_text(Path(path), make(self.found, self._against()))
        except UserFacingError as error:
            self.problem.emit(str(error))

    @Slot()
    def copy_text(self) -> None:
        """Put the report on the clipboard, as text."""
        if self.found is not None:
            QApplication.clipboard().setText(report.as_text(self.found, self._against()))

    def _against(self) -> Comparison | None:
        """Return what the report is compared with now."""
        there = self.tabs.indexOf(self.compared) >= 0
        return self.compared.comparison if there else None


def _with_menu(button: QToolButton, text: str, tip: str) -> QMenu:
    """Make a button open a menu, and return that."""
    button.setText(text)
    button.setToolTip(tip)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    menu = QMenu(button)
    button.setMenu(menu)
    return menu


def _named(found: Learned) -> str:
    """Return what a report's policy is called in a menu."""
    return found.policy.replace("&", "&&")


def _json(found: Learned, against: Comparison | None) -> str:
    return report.as_json(found, against).decode("utf-8")
