"""A format that is registered from outside is read and followed like those that Qscope brings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserFacingError
from core.runs.read import read_run
from core.runs.reader import FORMATS, Curves, Format, Found, formats
from core.runs.readers.lines import ROWS
from core.runs.records import RunLog, Series
from core.runs.table import Table
from core.runs.watch import Watcher
from tests.core.test_logs import points, record, write_state


class Toy:
    """Reads toy.bin: bytes, the loss at step 1, 2, …"""

    def __init__(self) -> None:
        self._seen, self._found = b"", Found()

    def look(self, place: Path) -> Found:
        path = place / "toy.bin" if place.is_dir() else place
        data = path.read_bytes() if path.name == "toy.bin" and path.is_file() else self._seen
        if data != self._seen:
            self._seen, steps = data, np.arange(1, len(data) + 1)
            loss = Series(steps, np.frombuffer(data, np.uint8).astype(np.float64))
            self._found = Found((Curves("toy log", {"loss": loss}),))
        return self._found


class TildeRows:
    """Rows of "name~value name~value"."""

    kind = "tildes"

    def __init__(self) -> None:
        self.tables = {"": Table()}

    def take(self, data: bytes) -> bytes:
        whole = data[: data.rfind(b"\n") + 1]
        rows = [dict(cell.split("~") for cell in row.split()) for row in whole.decode().split("\n")]
        self.tables[""].add_rows([row for row in rows if row])
        return whole


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "toy", Format(Toy))


def follow(place: Path, *writes: bytes, into: Path) -> list[RunLog]:
    """Return what a watcher of ``place`` says after each piece is added to ``into``."""
    told: list[RunLog] = []
    watcher = Watcher(told.append, lambda path, said: None)
    watcher.watch(place)
    for data in writes:
        with into.open("ab") as file:
            file.write(data)
        watcher.poll()
    return told


def test_the_formats_that_lead_come_first() -> None:
    assert [type(it.make()).__name__ for it in formats()] == ["States", "Events", "Lines"]
    assert set(ROWS) == {"CSV", "JSON Lines", "printed"}


@pytest.mark.usefixtures("toy")
def test_a_reader_of_ones_own_is_read_and_followed(tmp_path: Path) -> None:
    path = tmp_path / "toy.bin"
    path.write_bytes(b"\x05\x04")
    for place in (path, tmp_path):
        log = read_run(place)
        assert log.kind == "toy log" and points(log, "loss") == [(1, 5.0), (2, 4.0)]
    told = follow(tmp_path, b"", b"\x03", b"", b"\x02", into=path)
    assert [log.last_step for log in told] == [2, 3, 4]


@pytest.mark.usefixtures("toy")
def test_it_goes_on_where_what_leads_ends(tmp_path: Path) -> None:
    write_state(tmp_path, [record(1, loss=5.0)])
    (tmp_path / "toy.bin").write_bytes(b"\x05\x04")
    log = read_run(tmp_path)
    assert log.kind == "TRL trainer state" and points(log, "loss") == [(1, 5.0), (2, 4.0)]


def test_a_format_of_rows_is_followed_without_a_reader_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train.log"
    path.write_text("step~1 loss~0.5\nstep~2 lo")
    with pytest.raises(UserFacingError, match="There is no training log"):
        read_run(path)

    def begin(line: bytes, whole: bool, file: str) -> TildeRows | None:
        return TildeRows() if line.startswith(b"step~") else None

    monkeypatch.setitem(ROWS, "tildes", begin)
    told = follow(path, b"", b"ss~0.25\n", b"step~3 loss~nan\n", into=path)
    assert [log.kind for log in told] == ["tildes"] * 3
    assert [points(log, "loss")[-1] for log in told[:2]] == [(1, 0.5), (2, 0.25)]
    assert np.isnan(told[2].series["loss"].values[-1])


def test_formats_are_tried_in_one_order_whichever_was_imported_first(tmp_path):
    """A line of JSON is none that a trainer printed, though both can read it."""
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 2, "lo{"step": 2, "loss": 0.2}\n{"step": 3, "loss": 0.3}\n')
    script = (
        "import sys, core.runs.readers.printed; from pathlib import Path;"
        "from core.runs.read import read_run;"
        "print(read_run(Path(sys.argv[1])).series['loss'].steps.tolist())"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(log)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[3]"
