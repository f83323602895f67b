"""Windows that are killed (SIGKILL) while one types into them: at most two seconds are lost.

Each kill is of a process that shows the window (offscreen, with the tests' scripted engine), types
steadily into the responses and the prompt, chooses an example now and then, and writes into a
ledger what stood in them after each key. After the kill, the newest draft holds texts that stood in
the window at most two seconds before; every draft is whole; and the next window opens with them.

Run one by hand: ``python -m tests.stress.kills_typing ROOM SEED`` types until it is killed. Its
drafts lie in ROOM/drafts (app/drafts.py), its ledger is ROOM/ledger, a JSON object a line.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.stress.report import Report

LOST_SECONDS = 2.0
LEDGER = "ledger"
PATIENCE = 60.0


def stress(room: Path, seed: int, more: Callable[[int], bool]) -> Report:
    """Kill one window after another; a step is a kill."""
    report, rng, lost = Report(), random.Random(seed), []
    while more(report.done):
        number = report.done
        place = room / f"typing-{number}"
        place.mkdir(parents=True)
        found = kill_one(place, seed + number, rng.uniform(0.5, 6.0))
        report.done += 1
        if isinstance(found, str):
            report.faults.append(f"typing, kill {number} of seed {seed}: {found}")
        else:
            lost.append(found)
    if lost:
        report.figures["most seconds of typing lost"] = round(max(lost), 2)
        report.figures["median seconds of typing lost"] = round(sorted(lost)[len(lost) // 2], 2)
    return report


def kill_one(place: Path, seed: int, after: float) -> float | str:
    """Let a window be typed into and kill it; the seconds of typing lost, or what is wrong."""
    command = [sys.executable, "-m", "tests.stress.kills_typing", str(place), str(seed)]
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    window = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert window.stdout is not None
    window.stdout.readline()  # it types from now on
    time.sleep(after)  # by the seed, not by what the window does
    window.send_signal(signal.SIGKILL)
    window.wait(PATIENCE)
    window.stdout.close()
    return seconds_lost(place)


def seconds_lost(place: Path) -> float | str:
    """Compare the drafts with the ledger; return the seconds of typing that no draft holds."""
    from app.drafts import Drafts
    from core.session_record import decode

    said = []
    for line in (place / LEDGER).read_text(encoding="utf-8").splitlines():
        try:
            said.append(json.loads(line))
        except ValueError:
            break  # the kill cut it
    if not said:
        return 0.0
    for path in (place / "drafts").glob("*.json"):
        record, remark = decode(path.read_bytes())
        if record is None or remark:
            return f"{path.name} is damaged: {remark}"
    newest = Drafts(place).newest()
    last = said[-1]["seconds"]
    if newest is None:
        lost = last - said[0]["seconds"]
        return lost if lost <= LOST_SECONDS else f"nothing is kept of {lost:.1f} s of typing"
    record = newest.record
    texts = [record.prompt[-1].content, record.a.text, record.b.text]
    held = [it["seconds"] for it in said if it["texts"] == texts]
    if not held:
        # The key that was typed while the kill came may be in no ledger.
        before = [text[:-1] for text in texts]
        held = [last for it in said[-1:] if any(b in it["texts"] for b in before)]
    if not held:
        return f"the draft holds what was never typed: {texts}"
    lost = last - max(held)
    return lost if lost <= LOST_SECONDS else f"{lost:.1f} s of typing are lost"


def type_on(place: Path, seed: int) -> None:
    """Show a window with the pair /p and type into it for ever."""
    from PySide6.QtCore import QEvent, QSettings, Qt, QTimer
    from PySide6.QtGui import QKeyEvent

    from app.main_window import MainWindow
    from app.settings import Settings
    from app.start import make_application
    from core.engine.protocol import PairSpec
    from tests.app.fake_engine import FakeEngine

    QSettings.setPath(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(place / "settings")
    )
    application = make_application()
    spec = PairSpec(policy="/p", reference="/r")
    window = MainWindow(spec, Settings.of_user(), FakeEngine, data_folder=place, theme_name="light")
    window.show()
    rng, began = random.Random(seed), time.monotonic()
    ledger = (place / LEDGER).open("a", encoding="utf-8")
    view = window.view

    def key() -> None:
        editors = [view.panels["A"].editor, view.panels["B"].editor, view.prompt.first_turn()]
        if rng.random() < 0.02:
            window.texts.show_example(rng.randrange(window.example_box.count()))
        letter = rng.choice("abcdefghij ") if rng.random() < 0.95 else rng.choice("é🙂你\u0301")
        press = QKeyEvent(QEvent.Type.KeyPress, 0, Qt.KeyboardModifier.NoModifier, letter)
        application.sendEvent(rng.choice(editors), press)
        texts = [
            view.prompt.prompt().messages[-1].content,
            *(view.panels[side].text() for side in ("A", "B")),
        ]
        ledger.write(json.dumps({"seconds": time.monotonic() - began, "texts": texts}) + "\n")
        ledger.flush()
        timer.start(rng.randrange(20, 200))

    timer = QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(key)
    timer.start(100)
    print("typing", flush=True)
    application.exec()


if __name__ == "__main__":
    type_on(Path(sys.argv[1]), int(sys.argv[2]))
