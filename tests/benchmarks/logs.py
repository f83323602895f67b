"""Opening a log of 100,000 steps in each format, against json.load of the same trainer state.

The log has 12 curves, its event file 5. "Opening" is from the path to the RunLog; the rival only
turns the trainer state's text into Python's lists and dicts, from which no curve can be drawn yet.
All take turns. Seconds are wall time; the process's own time stands beside it, since other work on
the machine slows both alike. "Waiting" is how long another thread, which stands for the window's,
is kept from running while a log is opened. "Following" is one look at the same JSON Lines log after
a row was added to it.
"""

import json
import random
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = 100_000
REPETITIONS = 5
CURVES = (
    "loss", "grad_norm", "learning_rate", "kl", "rewards/chosen", "rewards/rejected",
    "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected", "logits/chosen",
    "logits/rejected",
)  # fmt: skip
TAGS = CURVES[:1] + CURVES[4:8]
STATE, JSONL, CSV = "trainer_state.json", "log.jsonl", "log.csv"
EVENTS = "events.out.tfevents.1.host"
RIVAL = "json.load"


def measure() -> dict[str, Any]:
    """Median seconds of each format and of the rival, and the rival's over ours."""
    from core.runs.read import Run, read_run

    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder))
        ways: dict[str, Callable[[], Any]] = {
            RIVAL: lambda: json.loads(paths[STATE].read_text("utf-8")),
            **{name: lambda path=path: read_run(path) for name, path in paths.items()},
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        own: dict[str, list[float]] = {name: [] for name in ways}
        waits: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(REPETITIONS + 1):
            for name, way in ways.items():
                with Ticks() as ticks:
                    began, began_own = time.perf_counter(), time.process_time()
                    found = way()
                    taken, taken_own = time.perf_counter() - began, time.process_time() - began_own
                if name != RIVAL:
                    assert len(found.series["loss"].steps) == STEPS
                del found
                if turn:  # the first round fills the file cache
                    seconds[name].append(taken)
                    own[name].append(taken_own)
                    waits[name].append(1000 * max(ticks.gaps))
        live = Run(paths[JSONL])
        live.refresh()
        following = [follow(live, paths[JSONL], STEPS + turn) for turn in range(1, 21)]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "steps": STEPS,
        "curves": len(CURVES),
        "tags of events": len(TAGS),
        "seconds": medians,
        "seconds of the process": {name: statistics.median(own[name]) for name in ways},
        "ratio": {name: medians[RIVAL] / medians[name] for name in paths},
        "longest waiting, milliseconds": {n: statistics.median(waits[n]) for n in ways},
        "milliseconds of following": 1000 * statistics.median(following),
        "asked": {"seconds": 1},
    }


class Ticks:
    """A thread that wakes every two milliseconds, and the gaps between its wakings."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick)

    def _tick(self) -> None:
        last = time.perf_counter()
        while not self._stop.wait(0.002):
            now = time.perf_counter()
            self.gaps.append(now - last)
            last = now

    def __enter__(self) -> "Ticks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def follow(live: Any, path: Path, step: int) -> float:
    """Add a row and look; the seconds that looking takes."""
    with path.open("a") as file:
        file.write(json.dumps({"step": step, "loss": 0.5}) + "\n")
    began = time.perf_counter()
    assert live.refresh()
    (log,) = live.logs()
    taken = time.perf_counter() - began
    assert log.last_step == step
    return taken


def write(folder: Path) -> dict[str, Path]:
    """One log in each format."""
    rng = random.Random(0)
    rows = [
        {name: rng.gauss(0, 1) for name in CURVES} | {"epoch": step / STEPS, "step": step}
        for step in range(1, STEPS + 1)
    ]
    paths = {name: folder / name for name in (STATE, JSONL, CSV, EVENTS)}
    state = {"global_step": STEPS, "log_history": rows}
    paths[STATE].write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")  # as transformers
    paths[JSONL].write_text("".join(json.dumps(row) + "\n" for row in rows))
    cells = (",".join(map(repr, row.values())) for row in rows)
    paths[CSV].write_text("\n".join([",".join(rows[0]), *cells]) + "\n")
    with paths[EVENTS].open("wb") as file:
        for row in rows:
            for tag in TAGS:
                file.write(frame(f"train/{tag}", int(row["step"]), row[tag]))
    return paths


def frame(tag: str, step: int, value: float) -> bytes:
    """An Event with one scalar, as TensorBoard's writer frames it."""
    name = tag.encode()
    scalar = b"\x0a" + bytes([len(name)]) + name + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(scalar)]) + scalar
    event = b"\x09" + struct.pack("<d", 1e9 + step) + b"\x10" + varint(step)
    event += b"\x2a" + bytes([len(summary)]) + summary
    size = struct.pack("<Q", len(event))
    return size + struct.pack("<I", crc(size)) + event + struct.pack("<I", crc(event))


def varint(number: int) -> bytes:
    low = b""
    while number > 127:
        low += bytes([number & 127 | 128])
        number >>= 7
    return low + bytes([number])


def _table() -> list[int]:
    table = []
    for register in range(256):
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
        table.append(register)
    return table


_CRC = _table()


def crc(data: bytes) -> int:
    """Masked CRC-32C."""
    register = 0xFFFFFFFF
    for byte in data:
        register = _CRC[(register ^ byte) & 255] ^ register >> 8
    register ^= 0xFFFFFFFF
    return ((register >> 15 | register << 17) + 0xA282EAD8) & 0xFFFFFFFF
