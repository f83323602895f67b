"""Opens the window, or draws it into a picture, for main.py.

Knows the application object, settings and paths; knows nothing of what the window shows.
"""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import (
    QMessageLogContext,
    QObject,
    QTimer,
    QtMsgType,
    Slot,
    qInstallMessageHandler,
)
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QApplication

from app.credit.view import CreditView
from app.garbage import Collector
from app.main_window import MainWindow
from app.notices import Notices, log_folder
from app.pair_loader import pair_to_begin_with
from app.restart import restart
from app.settings import Settings
from app.theme import Theme, load_fonts
from core.engine.protocol import Failed, PairSpec
from core.errors import UserFacingError

PATIENCE_MS = 15 * 60 * 1000
POLL_MS = 60
SETTLE = 3
"""Polls in a row that must find everything drawn."""


def make_application() -> QApplication:
    """Return the one QApplication, named; it is made at the first call."""
    found = QApplication.instance()
    if isinstance(found, QApplication):
        return found
    # Bold text has the heaviest letters that are brought: thickened ones run into each other.
    os.environ.setdefault("QT_NO_SYNTHESIZED_BOLD", "1")
    # Fusion on every platform, so that a picture looks the same everywhere. Named here, because
    # to ask for a style in Python makes its class with hundreds of constants (8 ms).
    application = QApplication([*sys.argv[:1], "-style", "fusion"])
    application.setApplicationName("Qscope")
    application.setOrganizationName("Qscope")
    application.setApplicationDisplayName("Qscope")
    load_fonts(application)
    Collector(application)
    return application


def open_window(
    spec: PairSpec | None,
    *,
    theme: Theme | None = None,
    size: tuple[int, int] | None = None,
    runs: Sequence[Path] = (),
    scored: Path | None = None,
    learned: Path | None = None,
    restore: bool = False,
    session: Path | None = None,
    named: bool = True,
) -> int:
    """Show the window until it is closed, and return the exit status.

    ``runs`` are opened in the training view, ``scored`` in the data view, ``learned`` (a report) in
    the learned view; ``session`` is a session file to open; with one there is no other pair
    (``spec`` None). ``named``: the user has named the
    pair, so that none of another time is opened in its place. ``restore``: begin with the texts of
    the last session, whatever pair they were of.
    """
    import platformdirs

    application = make_application()
    notices = Notices(log_folder())
    notices.install()
    try:
        folder = Path(platformdirs.user_data_dir("qscope", appauthor=False))
        settings = Settings.of_user()
        if spec is not None and not named:
            spec = pair_to_begin_with(settings, spec)
        window = MainWindow(
            spec,
            settings,
            data_folder=folder,
            notices=notices,
            theme_name=theme,
            first_runs=runs,
            session=session,
        )
        if size is not None:
            window.resize(*size)
        if restore:
            window.texts.restore_session()
        window.show()
        if scored is not None:
            QTimer.singleShot(0, partial(window.data.open, scored))
        if learned is not None:
            QTimer.singleShot(0, partial(window.learned.open, learned))
        gc.freeze()  # modules and the window stay: no collection has to look at them
        # Qt's loop would not hear Ctrl+C in the terminal; the texts are saved as one types.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        status = application.exec()
        ended = window.end_engine()
        if window.anew and not restart(window.pair.spec):
            print("Qscope could not be started anew: start it again.", file=sys.stderr)
    finally:
        notices.uninstall()
    if window.anew or not ended:
        # The engine is deep in a library's import or file reading, or its device is lost: Python
        # would wait for it, or crash in it, on the way out. Everything is saved.
        if sys.stdout is not None:
            sys.stdout.flush()
        os._exit(status)
    return status


def screenshot(
    spec: PairSpec,
    path: str | Path,
    *,
    theme: Theme | None = None,
    size: tuple[int, int] | None = None,
    view: str = "credit",
    runs: Sequence[Path] = (),
    scored: Path | None = None,
    learned: Path | None = None,
) -> int:
    """Draw a view into a PNG; remembers nothing.

    ``view``: "credit", as it is seen first, "token", with the most blamed token pinned, "search",
    with a tree grown from the first example's prompt, "training", with ``runs``, else the demo's,
    "learned", with the report ``learned``, else with what the pair is found to have learned over
    the neutral corpus, or "data", with ``scored``, if any.

    Raises:
        UserFacingError: the pair cannot be loaded, or the file cannot be written.
    """
    qInstallMessageHandler(_pass_on)
    application = make_application()
    window = MainWindow(spec, Settings(), theme_name=theme or "light")
    window.resize(*(size or (1440, 900)))
    photographer = PHOTOGRAPHERS[view](window)
    photographer.runs, photographer.scored, photographer.learned = runs, scored, learned
    window.show()
    application.exec()
    window.close()
    if not window.end_engine():
        photographer.problem = photographer.problem or "The engine did not stop: try again."
    if photographer.problem:
        raise UserFacingError(photographer.problem)
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserFacingError(f"{target.parent} cannot be made: {error.strerror}.") from error
    if not photographer.picture.save(str(target), "PNG"):
        raise UserFacingError(f"{target} cannot be written: choose another file.")
    return 0


def _pass_on(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
    """Print Qt's words, but for those about what a window that nobody sees cannot do."""
    if not message.startswith("This plugin does not support"):
        print(message, file=sys.stderr)


class Photographer(QObject):
    """Waits until everything is on the screen, and takes the picture."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.window = window
        self.problem = ""
        self.picture = QPixmap()
        self.runs: Sequence[Path] = ()
        """To be shown in the training view."""
        self.scored: Path | None = None
        """To be shown in the data view."""
        self.learned: Path | None = None
        """A report to be shown in the learned view."""
        self._settled = 0
        self._noise_known = False
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self._look)
        self._poll.start()
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self._give_up)
        self._patience.start(PATIENCE_MS)
        window.client.failed.connect(self._failed)
        window.client.noise_measured.connect(self._noise_measured)

    @Slot(object)
    def _noise_measured(self, event: object) -> None:
        self._noise_known = True

    @Slot()
    def _look(self) -> None:
        view, info = self.window.view, self.window.pair.info
        unready = view.chart is None or len(view.scorings()) < 2 or view.is_to_tell()
        if unready or self.window.client.busy():
            self._settled = 0
            return
        # In float32 its noise changes nothing that is shown.
        told = self._noise_known or (info is not None and info.dtype == "float32")
        self._settled = self._settled + 1 if self._is_ready() and told else 0
        if self._settled >= SETTLE:
            self.picture = self.window.grab()
            self._end()

    def _is_ready(self) -> bool:
        """Return whether what is scored is also shown as it should be; do what is missing."""
        return True

    @Slot(object)
    def _failed(self, event: Failed) -> None:
        self._refused(event.message)

    @Slot(str)
    def _refused(self, sentence: str) -> None:
        """Give up for a reason; "" is none."""
        if sentence:
            self.problem = sentence
            self._end()

    @Slot()
    def _give_up(self) -> None:
        self.problem = "The picture was not ready within 15 minutes: try again, or a smaller pair."
        self._end()

    def _end(self) -> None:
        self._poll.stop()
        self._patience.stop()
        QApplication.quit()


class TokenPhotographer(Photographer):
    """Waits until the most blamed token is pinned and known."""

    def _is_ready(self) -> bool:
        view = self.window.view
        if view.focus_on.pinned is None:
            pin_most_blamed(view)
            return False
        return view.inspector.inspection() is not None


class SearchPhotographer(Photographer):
    """Waits until a tree has grown in the search view."""

    def _is_ready(self) -> bool:
        searches = self.window.searches
        if searches.view is None:
            searches.grow_tree()
            return False
        return searches.view.trees.panes["left"].state == "done"


class TrainingPhotographer(Photographer):
    """Waits until all runs are read and drawn, and the heat map, if it is not of whole models."""

    _begun = False

    def _is_ready(self) -> bool:
        runs = self.window.runs
        training = runs.view
        if not self._begun or training is None:
            runs.open_runs(() if self._begun else self.runs)
            self._begun = True
            if runs.view is not None:
                runs.view.problem.connect(self._refused)
            return False
        if not self.runs and not training.session.runs and training.has_demo_runs():
            self.runs = training.demo_runs
            training.open_demo_runs()
        by_checkpoint = self.window.view.by_checkpoint
        if by_checkpoint.unknown() and not by_checkpoint.checkpoints[-1].whole:
            return False  # it fills by itself
        return not training.is_reading() and self.window.pages.currentWidget() is training


class LearnedPhotographer(Photographer):
    """Waits until findings are shown, the places of the first one coloured."""

    _begun = False

    def _is_ready(self) -> bool:
        learned = self.window.learned
        if learned.view is None:
            self.window.pages.bring(learned.page)
            return False
        view = learned.view
        if not self._begun:
            self._begun = True
            view.problem.connect(self._refused)
            view.bar.valueChanged.connect(self._go_on)
            if self.learned is not None:
                learned.open(self.learned)
            else:
                view.look()
            return False
        return view.found is not None and not view.running and view.panel.is_coloured()

    @Slot()
    def _go_on(self) -> None:
        """Wait as long again: the responses are being looked through."""
        self._patience.start()


class DataPhotographer(Photographer):
    """Waits until a scored file is shown, or the view that none is open in."""

    _begun = False

    def _is_ready(self) -> bool:
        data = self.window.data
        if data.view is None:
            self.window.pages.bring(data.page)
            return False
        if not self._begun:
            self._begun = True
            data.view.problem.connect(self._refused)
            if self.scored is not None:
                data.open(self.scored)
        there = self.scored is None or data.view.answer is not None
        return there and data.view.explorer.rests()


PHOTOGRAPHERS: dict[str, type[Photographer]] = {
    "credit": Photographer,
    "token": TokenPhotographer,
    "search": SearchPhotographer,
    "training": TrainingPhotographer,
    "learned": LearnedPhotographer,
    "data": DataPhotographer,
}


def pin_most_blamed(view: CreditView) -> None:
    """Pin the token of B that the policy was taught most to avoid."""
    scoring = view.scorings()["B"]
    differences = view.numbers.credit.of(scoring, 1.0)
    view.focus_on.pin("B", int(differences[: max(len(scoring) - 1, 1)].argmin()))
