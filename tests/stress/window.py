"""A monkey at the real window, with input methods: python -m tests.stress.window ROOM SEED.

The window stands on the real engine with tiny random pairs, in a process of its own, so that a
crash is a line of the report. Each step is one event as a user, an input method or the desktop
makes them, from everything that is visible then. A fault is what Qt warns of, what Python raises
anywhere, what is logged as an error, a step that takes the window's thread longer than `HANG`
seconds, and what is wrong afterwards: after each `ROUND` steps the editors' texts must be those
that were scored, and the scores those of another engine. ROOM/steps.txt has all steps.
"""

import faulthandler
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests.stress.report import Report

ROUND = 1000
"""Steps after which the numbers are compared."""
HANG = 5.0
"""Seconds, on a machine with nothing else to do."""
PATIENCE = 300.0
"""Seconds without a word after which the process is ended."""
COMMAND = sys.executable, "-m", "tests.stress.window"
IGNORED = "This plugin does not support", "OpenType support missing"
LEFT_OUT = "quit", "open_demo"
"""Actions that end the window, or load what is not tiny."""
TEXTS = (
    "They offered $53K a year, far too low.\nSo I said no.",
    "abc שלום def العربية end",
    "cafe\u0301 👨‍👩‍👧 a🎉b 🇯🇵🇰🇷 e\u0301\u0323\n\n漢字かな",
    "",
)
PIECES = (
    "x",
    " ",
    "word ",
    "\n",
    "é",
    "e\u0301",
    "🎉",
    "👩🏽‍💻",
    "ש",
    "العربية",
    "漢",
    "1",
    "$53K",
)
COMPOSED = {
    "Japanese": (("k", ""), ("か", ""), ("かn", ""), ("かん", ""), ("感じ", ""), ("", "感じ")),
    "Chinese": (("n", ""), ("ni", ""), ("ni'h", ""), ("ni'hao", ""), ("", "你好")),
    "Korean": (("ㅎ", ""), ("하", ""), ("한", ""), ("ㄱ", "한"), ("그", ""), ("", "글")),
    "dead key": (("´", ""), ("", "é")),
    "emoji panel": (("", "👨‍👩‍👧"),),
    "cancelled": (("w", ""), ("wo", ""), ("", "")),
}

DEEDS = {
    "compose": 22,
    "key": 22,
    "type": 8,
    "click": 14,
    "drag": 4,
    "wheel": 3,
    "hover": 4,
    "menu": 3,
    "act": 9,
    "paste": 3,
    "drop": 2,
    "focus": 3,
    "resize": 1,
    "value": 2,
    "caret": 3,
    "example": 0.6,
    "grow": 1.5,
    "load": 0.25,
    "session": 0.6,
    "past": 1.5,
    "rest": 3,
}
"""What the monkey does, and how often."""


def stress(room: Path, seed: int, more: Callable[[int], bool]) -> Report:
    """Let a monkey at a window in a process of its own, and return what came of it."""
    report = Report()
    own = {f"XDG_{kind}_HOME": str(room / kind.lower()) for kind in ("DATA", "STATE", "CONFIG")}
    with (
        (room / "errors.txt").open("w") as errors,
        subprocess.Popen(
            [*COMMAND, str(room), str(seed)],
            env=os.environ | own | {"QT_QPA_PLATFORM": "offscreen", "HF_HUB_OFFLINE": "1"},
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child,
    ):
        assert child.stdin is not None and child.stdout is not None
        while line := _within(PATIENCE, child.kill, child.stdout.readline):
            said = json.loads(line)
            report.done = said.get("done", report.done)
            report.faults += said.get("faults", [])
            report.figures |= said.get("figures", {})
            if "done" in said:
                child.stdin.write("more\n" if more(report.done) else "enough\n")
                child.stdin.flush()
    if child.returncode:
        steps = _read(room / "steps.txt").splitlines()[-12:]
        report.faults.append(
            f"seed {seed}: the window's process ended by {_how(child.returncode)} after {steps}: "
            f"{_read(room / 'errors.txt')[-3000:]}"
        )
    return report


def _within(seconds: float, give_up: Callable[[], None], work: Callable[[], str]) -> str:
    """Return what ``work`` returns; after too many seconds, ``give_up`` makes it end."""
    timer = threading.Timer(seconds, give_up)
    timer.start()
    try:
        return work()
    finally:
        timer.cancel()


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


class Faults:
    """Gathers faults with the step at which they came, and says them to the parent."""

    def __init__(self, seed: int) -> None:
        self.seed, self.number, self.step = seed, 0, ""
        self.recent: deque[str] = deque(maxlen=8)
        self.new: list[str] = []
        self._seen: set[str] = set()

    def add(self, what: str, details: str = "") -> None:
        """Note a fault; one that was said before is not said again."""
        if what not in self._seen:
            self._seen.add(what)
            self.new.append(
                f"seed {self.seed}, step {self.number}, after {list(self.recent)}: "
                f"{what}\n{details}".strip()
            )

    def install(self) -> None:
        """Listen to Qt, Python and the log."""
        from PySide6.QtCore import QtMsgType, qInstallMessageHandler

        def heard(kind: QtMsgType, context: object, message: str) -> None:
            if kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg) and not message.startswith(
                IGNORED
            ):
                self.add(f"Qt: {message}", "".join(traceback.format_stack(limit=12)))

        def raised(kind: type[BaseException], error: BaseException, trace: object) -> None:
            told = "".join(traceback.format_exception(error))
            self.add(f"{kind.__name__}: {error}", told)

        sys.excepthook = raised
        sys.unraisablehook = lambda it: raised(type(it.exc_value), it.exc_value, None)  # type: ignore[arg-type]
        threading.excepthook = lambda it: raised(it.exc_type, it.exc_value, None)  # type: ignore[arg-type]
        qInstallMessageHandler(heard)
        faults = self

        class Log(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                faults.add(f"log: {record.getMessage()[:2000]}")

        logging.getLogger().addHandler(Log(logging.ERROR))


class Monkey:
    """Does random things to a window."""

    def __init__(self, window, specs, room, seed, faults):
        self.window, self.specs, self.room, self.faults = window, specs, room, faults
        self.rng = random.Random(seed)
        self.script = []
        self.slowest = 0.0
        self.acting = False
        """Whether an event is being handled: what Qt does then, it does in a loop of its own."""
        self.taken: dict[str, int] = {}
        self.log = (room / "steps.txt").open("w", encoding="utf-8", buffering=1)
        self.trace = (room / "hang.txt").open("w+", encoding="utf-8")

    # --- one step -----------------------------------------------------------------------------

    def step(self, number):
        """Take one step, and note a fault if it takes too long."""
        kinds, weights = zip(*DEEDS.items(), strict=True)
        (kind,) = self.rng.choices(kinds, weights)
        self.taken[kind] = self.taken.get(kind, 0) + 1
        self.faults.number = number
        began = time.monotonic()
        limit = HANG * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        faulthandler.dump_traceback_later(limit, file=self.trace)
        self.acting = True
        getattr(self, f"do_{kind}")()
        self.acting = False
        self.spin()
        faulthandler.cancel_dump_traceback_later()
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        if took > limit:
            self.trace.seek(0)
            self.faults.add(f"{kind} held the window for {took:.1f} s", self.trace.read())

    def say(self, *what):
        """Write down what is done next."""
        said = " ".join(map(str, what))
        self.faults.recent.append(said)
        self.log.write(f"{self.faults.number} {said}\n")

    def spin(self, seconds=0.0):
        """Let Qt work."""
        from PySide6.QtWidgets import QApplication

        acting, self.acting = self.acting, False
        until = time.monotonic() + seconds
        while True:
            QApplication.processEvents()
            if time.monotonic() >= until:
                break
            time.sleep(0.002)
        self.acting = acting

    # --- where --------------------------------------------------------------------------------

    def seen(self):
        """Return what is visible and can be pointed at."""
        from PySide6.QtWidgets import QApplication, QWidget

        demo = self.window.banner.demo_button
        tops = [it for it in QApplication.topLevelWidgets() if it.isVisible()]
        return [
            widget
            for top in tops
            for widget in (top, *top.findChildren(QWidget))
            if widget.isVisible() and widget.isEnabled() and widget is not demo
        ]

    def somewhere(self):
        """Return a visible widget, an editor as often as anything else."""
        panels = self.window.view.panels
        if self.rng.random() < 0.4 and self.window.view.isVisible():
            return self.rng.choice([panel.editor.viewport() for panel in panels.values()])
        return self.rng.choice(self.seen())

    def writable(self):
        """Return where an input method would write."""
        from PySide6.QtCore import Qt
        from PySide6.QtWidgets import QApplication

        focus = QApplication.focusWidget()
        if focus is not None and focus.testAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled):
            return focus
        return self.rng.choice([panel.editor for panel in self.window.view.panels.values()])

    def point(self, widget):
        from PySide6.QtCore import QPoint

        return QPoint(
            self.rng.randrange(max(widget.width(), 1)), self.rng.randrange(max(widget.height(), 1))
        )

    # --- what ---------------------------------------------------------------------------------

    def do_compose(self):
        from PySide6.QtCore import Qt
        from PySide6.QtGui import QInputMethodEvent, QTextCharFormat
        from PySide6.QtWidgets import QApplication

        if not self.script or self.rng.random() < 0.1:
            name = self.rng.choice(list(COMPOSED))
            self.script = list(COMPOSED[name])
        preedit, commit = self.script.pop(0)
        edit, kind = self.writable(), QInputMethodEvent.AttributeType
        look = QTextCharFormat()
        look.setFontUnderline(True)
        cut = self.rng.randint(0, len(preedit))
        attributes = [
            QInputMethodEvent.Attribute(kind.TextFormat, 0, len(preedit), look),
            QInputMethodEvent.Attribute(kind.Cursor, cut, self.rng.randint(0, 1), None),
        ]
        event = QInputMethodEvent(preedit, attributes if self.rng.random() < 0.7 else [])
        back = 0
        if commit and self.rng.random() < 0.3:
            at = edit.inputMethodQuery(Qt.InputMethodQuery.ImCursorPosition)
            anchor = edit.inputMethodQuery(Qt.InputMethodQuery.ImAnchorPosition)
            free = at == anchor and isinstance(at, int)
            back = min(at, self.rng.randint(1, 4)) if free else 0
        event.setCommitString(commit, -back, back)
        self.say("compose", type(edit).__name__, ascii(preedit), ascii(commit), back)
        QApplication.sendEvent(edit, event)

    def do_key(self):
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        key, control, shift, alt = (
            Qt.Key,
            Qt.KeyboardModifier.ControlModifier,
            Qt.KeyboardModifier.ShiftModifier,
            Qt.KeyboardModifier.AltModifier,
        )
        none = Qt.KeyboardModifier.NoModifier
        moves = "Left Right Up Down Home End PageUp PageDown".split()
        keys = [(name, m) for name in moves for m in (none, none, shift, control, control | shift)]
        keys += [(name, none) for name in "Backspace Delete Return Tab Space Escape".split()] * 4
        keys += [(name, control) for name in "A C X V Z Z Z Y K H Backspace Delete".split()]
        keys += [("Z", control | shift)] * 2 + [("Left", alt), ("Right", alt), ("Return", alt)]
        keys += [(name, none) for name in "F3 F5 F11 Plus Minus 0 F U".split()]
        name, modifiers = self.rng.choice(keys)
        widget = self.focus()
        self.say("key", type(widget).__name__, name, modifiers.value)
        QTest.keyClick(widget, getattr(key, f"Key_{name}"), modifiers)

    def focus(self):
        """Return where keys go."""
        from PySide6.QtWidgets import QApplication

        popup = QApplication.activePopupWidget()
        return popup or QApplication.focusWidget() or self.window

    def do_type(self):
        from PySide6.QtCore import QEvent, Qt
        from PySide6.QtGui import QKeyEvent
        from PySide6.QtWidgets import QApplication

        widget, text = self.focus(), self.rng.choice(PIECES)
        self.say("type", type(widget).__name__, ascii(text))
        code = Qt.Key.Key_Return if text == "\n" else Qt.Key.Key_unknown
        for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            event = QKeyEvent(kind, code, Qt.KeyboardModifier.NoModifier, text)
            QApplication.sendEvent(widget, event)

    def do_click(self):
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        widget = self.somewhere()
        point = self.point(widget)
        twice = self.rng.random() < 0.15
        self.say("click", type(widget).__name__, point.toTuple(), twice)
        act = QTest.mouseDClick if twice else QTest.mouseClick
        act(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)

    def do_drag(self):
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest
        from shiboken6 import isValid

        widget = self.somewhere()
        points = [self.point(widget) for _ in range(3)]
        self.say("drag", type(widget).__name__, *(it.toTuple() for it in points))
        none = Qt.KeyboardModifier.NoModifier
        QTest.mousePress(widget, Qt.MouseButton.LeftButton, none, points[0])
        for point in points[1:]:
            if isValid(widget):
                QTest.mouseMove(widget, point)
        if isValid(widget):
            QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, none, points[-1])

    def do_wheel(self):
        from PySide6.QtCore import QPoint, QPointF, Qt
        from PySide6.QtGui import QWheelEvent
        from PySide6.QtWidgets import QApplication

        widget = self.somewhere()
        point = QPointF(self.point(widget))
        turn = QPoint(0, self.rng.choice((-480, -120, 120, 480)))
        self.say("wheel", type(widget).__name__, point.toTuple(), turn.y())
        event = QWheelEvent(
            point,
            QPointF(widget.mapToGlobal(point)),
            QPoint(),
            turn,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(widget, event)

    def do_hover(self):
        from PySide6.QtTest import QTest

        widget = self.somewhere()
        point = self.point(widget)
        self.say("hover", type(widget).__name__, point.toTuple())
        QTest.mouseMove(widget, point)

    def do_menu(self):
        from PySide6.QtCore import QPoint
        from PySide6.QtGui import QContextMenuEvent
        from PySide6.QtWidgets import QApplication, QMenu

        popup = QApplication.activePopupWidget()
        if isinstance(popup, QMenu):
            names = {action: name for name, action in self.window.menus.actions.items()}
            choices = [
                it
                for it in popup.actions()
                if it.isEnabled() and not it.menu() and names.get(it) not in LEFT_OUT
            ]
            popup.close()
            if choices:
                action = self.rng.choice(choices)
                self.say("choose", action.text())
                action.trigger()
            return
        widget = self.somewhere()
        point = self.point(widget)
        self.say("menu", type(widget).__name__, point.toTuple())
        reason = QContextMenuEvent.Reason.Mouse
        where = widget.mapToGlobal(QPoint(point))
        QApplication.sendEvent(widget, QContextMenuEvent(reason, point, where))

    def do_act(self):
        actions = {
            name: action
            for name, action in self.window.menus.actions.items()
            if action.isEnabled() and name not in LEFT_OUT
        }
        name = self.rng.choice(list(actions))
        self.say("act", name)
        actions[name].trigger()

    def do_paste(self):
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest
        from PySide6.QtWidgets import QApplication

        text = self.rng.choice((*PIECES, *TEXTS, "word " * self.rng.randint(1, 400)))
        self.say("paste", len(text))
        QApplication.clipboard().setText(text)
        QTest.keyClick(self.focus(), Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)

    def do_drop(self):
        from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
        from PySide6.QtGui import QDragEnterEvent, QDropEvent
        from PySide6.QtWidgets import QApplication

        widget, data = self.somewhere(), QMimeData()
        if self.rng.random() < 0.7:
            data.setText(self.rng.choice(PIECES + TEXTS))
        else:
            data.setUrls([QUrl.fromLocalFile(self.a_file())])
        point = self.point(widget)
        self.say("drop", type(widget).__name__, point.toTuple(), data.hasUrls())
        how = (
            Qt.DropAction.CopyAction,
            data,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        entered = QDragEnterEvent(point, *how)
        QApplication.sendEvent(widget, entered)
        if entered.isAccepted():
            QApplication.sendEvent(widget, QDropEvent(QPointF(point), *how))

    def do_focus(self):
        widget = self.rng.choice(self.seen())
        self.say("focus", type(widget).__name__)
        if self.rng.random() < 0.2:
            widget.clearFocus()
        else:
            widget.setFocus()

    def do_caret(self):
        """Put the focus into a text and the caret anywhere, by Qt's own steps."""
        from PySide6.QtGui import QTextCursor

        view = self.window.view
        edits = [*(panel.editor for panel in view.panels.values()), view.prompt.first_turn()]
        edit = self.rng.choice(edits)
        self.say("caret", type(edit).__name__)
        edit.setFocus()
        move = QTextCursor.MoveOperation
        edit.moveCursor(self.rng.choice((move.Start, move.End)))
        for _ in range(self.rng.randint(0, 12)):
            edit.moveCursor(self.rng.choice((move.Left, move.Right, move.Up, move.NextWord)))

    def do_resize(self):
        size = self.rng.randint(400, 1800), self.rng.randint(300, 1100)
        self.say("resize", *size)
        self.window.resize(*size)

    def do_value(self):
        """Give a number, a choice or a switch another value, as its keys would."""
        from PySide6.QtWidgets import QAbstractSpinBox, QComboBox, QTabBar

        kinds = QAbstractSpinBox, QComboBox, QTabBar
        found = [it for it in self.seen() if isinstance(it, kinds)]
        if not found:
            return
        widget = self.rng.choice(found)
        self.say("value", type(widget).__name__, widget.accessibleName())
        if isinstance(widget, QAbstractSpinBox):
            widget.stepBy(self.rng.choice((-3, -1, 1, 3)))
        elif isinstance(widget, QTabBar):
            widget.setCurrentIndex(self.rng.randrange(max(widget.count(), 1)))
        elif widget.count():
            index = self.rng.randrange(widget.count())
            widget.setCurrentIndex(index)
            widget.activated.emit(index)

    def do_example(self):
        index = self.rng.randrange(self.window.example_box.count())
        self.say("example", index)
        self.window.example_box.setCurrentIndex(index)
        self.window.example_box.activated.emit(index)

    def do_grow(self):
        names = ("grow_tree", "stop_search", "resume_search", "search_from_here")
        name = self.rng.choice(names)
        self.say("grow", name)
        self.window.menus.actions[name].trigger()

    def do_load(self):
        spec = self.rng.choice(self.specs)
        self.say("load", spec.run or spec.policy)
        self.window.pair.load(spec)

    def do_session(self):
        """Save a session, or open one: whole, cut off, or no session at all."""
        saved = sorted((self.room / "files").glob("*.qscope"))
        if self.rng.random() < 0.5:
            path = self.room / "files" / f"saved {self.rng.randrange(4)}.qscope"
            self.say("save", path.name)
            self.window.ask.new_file = lambda title, name, filters: str(path)
            self.window.menus.actions["save_as"].trigger()
            self.window.ask.new_file = self.new_file
            return
        path = self.rng.choice(saved)
        whole = path.read_bytes()
        if self.rng.random() < 0.2:
            path = path.with_name("cut.qscope")
            path.write_bytes(whole[: self.rng.randrange(len(whole) + 1)])
        self.say("open", path.name, len(whole))
        self.window.sessions.open(path)

    def do_past(self):
        """Go to a state of the history, or compare it with the one that is shown."""
        history = self.window.history
        points = list(history.history)
        if points:
            number = self.rng.choice(points).number
            act = self.rng.choice((history.go_to, history.go_to, history.compare))
            self.say("past", act.__name__, number)
            act(number)

    def do_rest(self):
        seconds = self.rng.choice((0.02, 0.1, 0.4))
        self.say("rest", seconds)
        self.spin(seconds)

    def new_file(self, title, name, filters):
        """Return where a file is to be saved, or that it is not."""
        return self.rng.choice(("", str(self.room / "files" / name)))

    def a_file(self):
        """Return a file or folder of the room, good or bad."""
        return str(self.rng.choice(sorted((self.room / "files").iterdir())))

    # --- afterwards ---------------------------------------------------------------------------

    def check(self, other):
        """Compare texts and numbers with those of ``other``, a function from what is shown."""
        from PySide6.QtWidgets import QApplication

        self.faults.recent.append("check")
        for top in QApplication.topLevelWidgets():
            if top is not self.window and top.isVisible():
                top.close()
        view = self.window.view
        self.window.pair.load(self.specs[0])
        if view.prompt.is_blank() or any(len(it.text()) > 1000 for it in view.panels.values()):
            self.do_example()
        deadline = time.monotonic() + 120
        while len(view.scorings()) < 2 or self.window.client.busy():
            self.spin(0.05)
            if time.monotonic() > deadline:
                said = self.window.notice.message.text(), view.panels["A"].about.text()
                self.faults.add(f"the texts are not scored: {said}")
                return
        for side, scoring in view.scorings().items():
            panel = view.panels[side]
            if panel.text() != scoring.tokens.text:
                self.faults.add(
                    f"{side} shows {panel.text()!r}, scored was {scoring.tokens.text!r}"
                )
            said = other(side, view.prompt.prompt(), scoring)
            if said:
                self.faults.add(f"{side}: {said}")


def second_engine(spec):
    """Return what compares a scoring with that of an engine of its own, and what ends it."""
    import queue

    import numpy as np

    from app.garbage import collect
    from core.engine.loop import Engine
    from core.engine.protocol import Load, Progress, Score, Scored

    events, number = queue.Queue(), iter(range(1, 10**9))
    engine = Engine(events.put, collect)
    engine.start()

    def ask(request):
        engine.submit(request)
        while (event := events.get(timeout=300)).id != request.id or isinstance(event, Progress):
            pass
        return event

    ask(Load(next(number), spec))

    def compare(side, prompt, scoring):
        tokens = scoring.tokens
        event = ask(Score(next(number), side, prompt, tokens.text, tokens.ids, fresh=True))
        if not isinstance(event, Scored):
            return f"another engine says {event}"
        mine = event.scoring
        if tuple(mine.tokens.ids) != tuple(tokens.ids) or mine.tokens.text != tokens.text:
            return f"other tokens: {mine.tokens} and {tokens}"
        for name in ("logp_policy", "logp_reference", "kl"):
            if not np.allclose(getattr(mine, name), getattr(scoring, name), atol=1e-3):
                return f"{name} is {getattr(scoring, name)}, freshly {getattr(mine, name)}"
        return ""

    return compare, engine.close


def files(folder):
    """Write what may be opened or dropped: texts and others, good and bad, an empty folder."""
    from tests.made_scored import about, write_scored

    folder.mkdir()
    (folder / "text.txt").write_text("A text from a file. 🎉\n", encoding="utf-8")
    (folder / "bad.txt").write_bytes(b"\xff\xfe\x00bad\x80")
    (folder / "empty.txt").touch()
    (folder / "log.jsonl").write_text('{"step": 1, "loss": 0.7}\n{"step": 2, "loss": 0.6}\n')
    (folder / "folder").mkdir()
    (folder / "no.qscope").write_bytes(b"PK\x05\x06 no session")
    write_scored(folder / "scored.parquet", 200)
    write_scored(folder / "other.parquet", 3, said=about(3, None, reference=""))
    whole = (folder / "scored.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])


def attend(monkey):
    """Return a timer that ends what waits for the user within a step: dialogs, menus, drags."""
    from PySide6.QtCore import QEvent, Qt, QTimer
    from PySide6.QtGui import QKeyEvent
    from PySide6.QtWidgets import QApplication

    def look():
        blocking = QApplication.activePopupWidget() or QApplication.activeModalWidget()
        if blocking is not None and (monkey.acting or blocking.isModal()):
            monkey.say("close", type(blocking).__name__)
            blocking.close()
        elif monkey.acting:
            none = Qt.KeyboardModifier.NoModifier
            escape = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Escape, none)
            QApplication.sendEvent(monkey.window, escape)

    timer = QTimer()
    timer.setInterval(50)
    timer.timeout.connect(look)
    timer.start()
    return timer


def child(room: Path, seed: int) -> None:
    """Be the process of the window: take steps while the parent says "more"."""
    faulthandler.enable()
    faults = Faults(seed)

    def tell(**said: object) -> bool:
        new, faults.new = faults.new, []
        print(json.dumps({**said, "faults": new}), flush=True)
        return "done" not in said or sys.stdin.readline() == "more\n"

    from app.credit.examples import Example
    from app.engine_client import real_engine
    from app.main_window import MainWindow
    from app.settings import Settings
    from app.start import make_application
    from core.engine.protocol import PairSpec
    from core.registrations import register
    from core.text import Prompt
    from tests.tiny import save_pair, save_run

    register()
    files(room / "files")
    policy, reference = save_pair(room / "pair")
    _, run = save_run(room / "trained")
    specs = [
        PairSpec(policy=str(policy), reference=str(reference), beta=0.1),
        PairSpec(run=str(run)),
        PairSpec(policy=str(policy)),
        PairSpec(policy=str(room / "nowhere"), reference=str(reference)),
    ]
    tell()
    application = make_application()
    faults.install()
    prompt = Prompt.of("Summarise this post in one sentence. They offered $53K.")
    examples = tuple(
        Example(f"Example {n}", prompt, a, b) for n, (a, b) in enumerate(pairwise(TEXTS))
    )
    window = MainWindow(
        specs[0],
        Settings.of_user(),
        real_engine,
        data_folder=room / "texts",
        theme_name="light",
        examples=examples,
    )
    monkey = Monkey(window, specs, room, seed, faults)
    rng = monkey.rng
    window.ask.file = lambda title, filters: rng.choice(("", monkey.a_file()))
    window.ask.folder = lambda title: rng.choice(("", str(run), monkey.a_file()))
    window.ask.new_file = monkey.new_file
    window.history.ask_name = lambda name, parent: rng.choice((None, "", "named", "漢字 🎉" * 40))
    window.pair.ask_for_pair = lambda *asked: rng.choice((None, *specs))
    timer = attend(monkey)
    window.show()
    compare, close = second_engine(specs[0])
    done = 0
    monkey.spin(1.0)
    going = tell(done=0)
    try:
        while going:
            monkey.step(done)
            done += 1
            if done % ROUND == 0:
                monkey.check(compare)
            if done % 50 == 0:
                going = tell(done=done)
        monkey.check(compare)
    except Exception:  # the monkey's own: the hook above would keep it to itself
        traceback.print_exc()
        raise
    timer.stop()
    window.close()
    monkey.spin()
    if not window.end_engine():
        faults.add("the engine does not end")
    close()
    figures = {"slowest step (s)": round(monkey.slowest, 2)}
    tell(figures=figures | {f"{kind} events": n for kind, n in sorted(monkey.taken.items())})
    application.processEvents()
    sys.stdout.flush()
    os._exit(0)  # torch's threads need not be waited for


if __name__ == "__main__":
    child(Path(sys.argv[1]), int(sys.argv[2]))
