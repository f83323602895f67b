"""Tells the user what went wrong, and logs the details.

``Notices`` owns sys.excepthook, threading.excepthook and the log file; ``NoticeBar`` shows one
sentence at a time above the view, never a dialog in the way. Knows nothing of models.
"""

import faulthandler
import logging
import logging.handlers
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from app.widgets.icons import IconButton
from app.words import in_window
from core.errors import Cancelled, UserFacingError
from core.inert import shown
from core.safe_files import set_aside

log = logging.getLogger(__name__)
Kind = Literal["error", "warning", "info"]
LOG, CRASH = "qscope.log", "crash.log"
KEPT = "kept"
"""The topic of sentences that are added to one another."""
MOST_KEPT = 6
SIGNS = {"error": "⛔", "warning": "⚠", "info": "ℹ"}


def log_folder() -> Path:
    """Return the folder of this user's logs."""
    import platformdirs

    return Path(platformdirs.user_log_dir("qscope", appauthor=False))


class Notices(QObject):
    """The handler of uncaught errors on any thread: it logs them and tells the window."""

    raised = Signal(str, str, str)
    """kind, sentence, details"""

    def __init__(self, folder: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._handler: logging.Handler | None = None
        self._faults: IO[str] | None = None
        self._hooks = sys.excepthook, threading.excepthook
        self._installed = self._crashed = False
        self.log_trouble = ""
        """A sentence on why nothing is logged; "" if all is."""

    def install(self) -> None:
        """Take the hooks and open the log; where no file can be written, do without one."""
        self._hooks = sys.excepthook, threading.excepthook
        sys.excepthook = self._unexpected
        threading.excepthook = self._unexpected_in_thread
        self._installed = True
        if self._folder is None:
            return
        try:
            self._open_files(self._folder)
        except OSError as error:
            self._say_log_fails(error)

    def _open_files(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (LOG, CRASH):
            # Opening a pipe would wait for whoever reads it.
            if os.path.lexists(folder / name) and not (folder / name).is_file():
                set_aside(folder / name)
        handler = LogFile(folder / LOG, self._say_log_fails)
        handler.setFormatter(Shown("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(handler)
        self._handler = handler
        old = folder / CRASH
        self._crashed = old.exists() and old.stat().st_size > 0
        if self._crashed:
            old.replace(folder / "crash.old.log")
        # Stays open: faulthandler writes to it when nothing else can be done any more.
        self._faults = old.open("a", encoding="utf-8")
        faulthandler.enable(self._faults)

    def _say_log_fails(self, error: BaseException) -> None:
        """Say once that nothing is logged; on any thread."""
        if not self.log_trouble:
            self.log_trouble = (
                f"The log in {self._folder} cannot be written ({_why(error)}): make room on its "
                "disk, or make the folder writable."
            )
            self.raised.emit("warning", self.log_trouble, "")

    def uninstall(self) -> None:
        """Give everything back. May be called again."""
        if not self._installed:
            return
        self._installed = False
        sys.excepthook, threading.excepthook = self._hooks
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
            self._handler = None
        if self._faults is not None:
            faulthandler.disable()
            self._faults.close()
            self._faults = None

    def crashed(self) -> bool:
        """Return whether the last session ended in a crash; its traceback is in crash.old.log."""
        return self._crashed

    def log_file(self) -> Path | None:
        """Return the log file, None where nothing is logged."""
        return self._folder / LOG if self._folder is not None else None

    def _unexpected(
        self,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        if issubclass(kind, Cancelled):
            return
        if issubclass(kind, KeyboardInterrupt):
            self._hooks[0](kind, error, trace)
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        if isinstance(error, UserFacingError):
            self.raised.emit("error", str(error), "")
            return
        log.error("unexpected: %s", details)
        sentence = (
            f"Qscope made a mistake ({kind.__name__}); your text is untouched. "
            f"The details are in the log."
        )
        self.raised.emit("error", sentence, details)

    def _unexpected_in_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self._unexpected(args.exc_type, args.exc_value, args.exc_traceback)


class Shown(logging.Formatter):
    """Writes control signs out: what models and files say is read on terminals."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


class LogFile(logging.handlers.RotatingFileHandler):
    """A log file that tells of its first failure, where Python's prints a traceback for each."""

    def __init__(self, path: Path, failed: Callable[[BaseException], None]) -> None:
        super().__init__(path, maxBytes=1_000_000, backupCount=2, encoding="utf-8")
        self._failed = failed

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if error is not None:
            self._failed(error)

    def close(self) -> None:
        """Close the file; what a full disk does not take is lost."""
        try:
            super().close()
        except OSError as error:
            self._failed(error)


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


class Weight(IntEnum):
    """What a notice gives way to: the heaviest is in front, of those that are alike the newest."""

    ADDED = 0
    """Stands below those that were added before; others hide it for a while."""
    PASSING = 1
    """The next one takes its place."""
    LASTING = 2
    """Of something lost or not saved: it stays until it is closed or taken back."""


@dataclass(frozen=True)
class Notice:
    """What the strip says: a sentence and its details, and a button that does something."""

    kind: Kind
    sentence: str
    details: str
    topic: str
    action: str
    then: Callable[[], object] | None
    weight: Weight

    def replaces(self, other: "Notice") -> bool:
        """Return whether another one goes once this is shown."""
        if self.topic and self.topic == other.topic:
            return self.weight >= other.weight
        return self.weight == other.weight == Weight.PASSING


class NoticeBar(QFrame):
    """A strip with one sentence and its details; it stays until it is closed or taken back.

    What is lighter waits behind what is lasting, and is shown once that is gone.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("notice")
        self._notices: list[Notice] = []
        """The one in front is the last."""
        self._kept: list[str] = []
        """Sentences that were added and not closed."""
        self.sign = QLabel()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.action = QPushButton()
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("Copy the message and its details")
        self.more = QLabel()
        self.more.setObjectName("muted")
        self.close_button = IconButton("close", "Close this notice")
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 6, 6, 6)
        row.addWidget(self.sign)
        row.addWidget(self.message, 1)
        for widget in (self.action, self.copy, self.more, self.close_button):
            row.addWidget(widget)
        self.copy.clicked.connect(self._copy)
        self.close_button.clicked.connect(self.dismiss_any)
        self.action.clicked.connect(self._act)
        self.hide()

    def show_notice(
        self,
        kind: Kind,
        sentence: str,
        details: str = "",
        topic: str = "",
        action: str = "",
        then: Callable[[], object] | None = None,
        lasting: bool = False,
    ) -> None:
        """Show a sentence; ``topic`` names what it is about, so that it can be taken back.

        ``action`` is the text of a button that takes the notice away and calls ``then``.
        ``lasting``: it is of something lost or not saved; no other takes its place.
        """
        weight = Weight.LASTING if lasting else Weight.PASSING
        self._put(Notice(kind, in_window(sentence), details, topic, action, then, weight))

    def add(self, kind: Kind, sentence: str) -> None:
        """Show a sentence below those that were added and not closed; another notice hides it
        only for a while."""
        if sentence not in self._kept:
            self._kept.append(sentence)
        every = in_window("\n".join(self._kept[:MOST_KEPT]))
        self._put(Notice(kind, every, "", KEPT, "", None, Weight.ADDED))

    def topic(self) -> str:
        """Return what the shown notice is about; "" where none shows."""
        return self._notices[-1].topic if self._notices else ""

    def dismiss(self, topic: str) -> None:
        """Take back what is about this."""
        if topic:
            self._notices = [it for it in self._notices if it.topic != topic]
            self._show_front()

    @Slot()
    def dismiss_any(self) -> None:
        """Take back whatever notice is shown."""
        if self._notices and self._notices.pop().topic == KEPT:
            self._kept.clear()
        self._show_front()

    def _put(self, notice: Notice) -> None:
        stay = [it for it in self._notices if not notice.replaces(it)]
        self._notices = sorted([*stay, notice], key=lambda it: it.weight)
        self._show_front()

    def _show_front(self) -> None:
        if not self._notices:
            self.hide()
            return
        *behind, front = self._notices
        self.setProperty("kind", front.kind)
        self.style().unpolish(self)
        self.style().polish(self)
        self.sign.setText(SIGNS[front.kind])
        self.message.setText(front.sentence)
        self.message.setToolTip(front.details[-3000:])
        self.message.setAccessibleName(f"{front.kind}: {front.sentence}")
        self.action.setText(front.action)
        self.action.setVisible(bool(front.action))
        self.copy.setVisible(front.kind == "error")
        self.more.setText(f"{len(behind)} more")
        self.more.setToolTip("\n".join(it.sentence for it in reversed(behind)))
        self.more.setVisible(bool(behind))
        self.show()

    @Slot()
    def _copy(self) -> None:
        details = self._notices[-1].details if self._notices else ""
        text = self.message.text() + ("\n\n" + details if details else "")
        QGuiApplication.clipboard().setText(text)

    @Slot()
    def _act(self) -> None:
        then = self._notices[-1].then if self._notices else None
        self.dismiss_any()
        if then is not None:
            then()


class Topic(QObject):
    """One subject of the notice bar, as a receiver of signals that carry a sentence."""

    def __init__(self, bar: NoticeBar, name: str) -> None:
        super().__init__(bar)
        self._bar, self._name = bar, name

    @Slot(str)
    def show_error(self, sentence: str) -> None:
        """Show what went wrong; "" takes it back."""
        self._show("error", sentence)

    @Slot(str)
    def show_remark(self, sentence: str) -> None:
        """Show something to know that is no fault; "" takes it back."""
        self._show("info", sentence)

    def _show(self, kind: Kind, sentence: str) -> None:
        if sentence:
            self._bar.show_notice(kind, sentence, topic=self._name)
        else:
            self._bar.dismiss(self._name)
