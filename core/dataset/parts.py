"""The folder beside an output that holds what has been scored so far, part by part.

Each part is the rows of one window of the source, written whole or not at all, with what was
skipped there. So after a kill at any moment the parts that are there are good, those that are
missing are scored, and several processes fill one folder. When all are there they are put together
in the source's order, and the folder goes. Files of other shards are put together in the same way.
"""

import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from core.dataset.scored import (
    KEY,
    About,
    Counts,
    Job,
    batches,
    differences,
    fitted,
    joint_schema,
    read_about,
    write,
)
from core.errors import Cancelled, UserFacingError
from core.failures import reason
from core.progress import Stop
from core.safe_files import write_synced

if TYPE_CHECKING:
    import pyarrow as pa

ENDING = ".parts"
JOB = "job.json"
ANEW = "anew"
"""Its name is that of a file which says that the output that is there may be replaced."""
PART = "part-{:06}.parquet"
SIGN = 5.0
"""Seconds between two signs of a process that works."""
SILENT = 600.0
"""Seconds without a sign of another process after which it is taken to have ended."""
PAUSE = 0.2
"""Seconds between two looks for what another process does."""


def parts_of(out: Path) -> Path:
    """Return the folder of an output's parts."""
    return out.with_name(out.name + ENDING)


class Parts:
    """The parts of one output. ``rank``: which of the processes that fill the folder this is."""

    def __init__(self, out: Path, job: Job, rank: int = 0) -> None:
        self.out, self.job, self.rank = out, job, rank
        self._signed = -SIGN
        self.folder = parts_of(out)

    @contextmanager
    def begun(self, anew: bool, cancelled: Stop) -> Iterator[bool]:
        """Make the folder this job's for as long as it is filled; yields whether the output is
        there already, whole.

        Args:
            anew: what is there of another job goes.

        Raises:
            UserFacingError: an output or the beginning of another job is in the way, another
                process works on it, or the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        if self._is_finished(anew) or (self.rank and self._wait_for_job(cancelled)):
            if not self.rank:
                self.remove()
            yield True
            return
        lock = FileLock(self.folder / f"rank-{self.rank}.lock")
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise UserFacingError(
                    f"{self.out} is being written by another process: wait for it, or end it."
                ) from error
        try:
            if not self.rank:
                self._claim(anew)
            yield False
        finally:
            lock.release()

    def done(self) -> dict[int, Counts]:
        """Return the parts that are there, by their window; a damaged one is not."""
        found = {}
        for path in self.folder.glob("part-*.parquet"):
            try:
                counts = _counts(path)
            except (OSError, ValueError, RuntimeError, msgspec.MsgspecError):
                continue
            found[int(path.stem.partition("-")[2])] = counts
        return found

    def put(self, window: int, table: "pa.Table", counts: Counts) -> None:
        """Write the part of a window.

        Raises:
            UserFacingError: it cannot be written; what was written before stays.
        """
        import pyarrow.parquet as pq

        data = io.BytesIO()
        own = table.replace_schema_metadata({KEY: msgspec.json.encode(counts)})
        pq.write_table(own, data, compression="zstd")
        with self._writing():
            write_synced(self.path(window), data.getvalue())

    def path(self, window: int) -> Path:
        """Return where the part of a window lies."""
        return self.folder / PART.format(window)

    def alive(self) -> None:
        """Give a sign of this process to the others, now and then."""
        now = time.monotonic()
        if now - self._signed > SIGN:
            self._signed = now
            with suppress(OSError):
                (self.folder / f"rank-{self.rank}.alive").touch()

    def wait(self, windows: Sequence[int], cancelled: Stop) -> Iterator[int]:
        """Wait until the parts of all windows are there; yields how many are missing, now and then.

        Raises:
            UserFacingError: no other process gives a sign of itself any more.
            Cancelled: soon after ``cancelled()`` turns true.
        """
        signs: set[tuple[str, int]] = set()
        since = time.monotonic()
        while missing := [it for it in windows if not self.path(it).exists()]:
            if cancelled():
                raise Cancelled
            now = {(it.name, it.stat().st_mtime_ns) for it in self.folder.glob("rank-*.alive")}
            now.add(("missing", len(missing)))
            if now != signs:
                signs, since = now, time.monotonic()
            elif time.monotonic() - since > SILENT:
                raise UserFacingError(
                    f"{len(missing)} parts of {self.out} are missing, and no other process has "
                    f"worked on them for {SILENT / 60:.0f} minutes: run the same command again."
                )
            yield len(missing)
            time.sleep(PAUSE)

    def put_together(self, about: About, windows: Sequence[int]) -> About:
        """Write the output from the parts of all windows, and remove them; return what it says of
        itself.

        Raises:
            UserFacingError: it cannot be written; the parts stay.
        """
        import pyarrow.parquet as pq

        paths = [self.path(window) for window in windows]
        counts = Counts()
        for path in paths:
            counts = counts.plus(_counts(path))
        wanted = joint_schema(pq.read_schema(path) for path in paths)
        tables = (table for path in paths for table in batches(path))
        with self._writing():
            about = write(self.out, tables, wanted, msgspec.structs.replace(about, counts=counts))
        return about

    def remove(self) -> None:
        """Remove the folder with what is known to be ours."""
        for path in (*self.folder.glob("part-*.parquet*"), *self.folder.glob("rank-*")):
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            for name in (ANEW, JOB):
                (self.folder / name).unlink(missing_ok=True)
            self.folder.rmdir()

    def _is_finished(self, anew: bool) -> bool:
        """Return whether the output is there, of this job. Raises UserFacingError if of another."""
        agreed = (self.folder / ANEW).exists() and self._known_job() == self.job
        if anew or agreed or not os.path.lexists(self.out):
            return False
        try:
            differs = differences(read_about(self.out).job, self.job)
        except UserFacingError as error:
            raise UserFacingError(
                f"{self.out} is there already and is no file of scored rows: name another with "
                f"--out, or have it replaced with --anew."
            ) from error
        if differs:
            raise UserFacingError(
                f"{self.out} is there already, of another run ({differs} differs): name another "
                f"file with --out, or have it replaced with --anew."
            )
        return True

    def _claim(self, anew: bool) -> None:
        """Write down whose the folder is."""
        known = self._known_job()
        if known is not None and (differs := differences(known, self.job)):
            if not anew:
                raise UserFacingError(
                    f"{self.folder} holds the beginning of another run ({differs} differs): finish "
                    f"that one, name another file with --out, or begin anew with --anew."
                )
            known = None
        if known is None or anew:
            if known is None and not anew and any(self.folder.glob("part-*.parquet")):
                raise UserFacingError(
                    f"{self.folder} holds parts of which nothing says what they are of: begin anew "
                    f"with --anew, or name another file with --out."
                )
            for path in self.folder.glob("part-*.parquet*"):
                path.unlink()
            with self._writing():
                write_synced(self.folder / JOB, msgspec.json.encode(self.job))
                if anew:
                    (self.folder / ANEW).touch()

    def _known_job(self) -> Job | None:
        try:
            return msgspec.json.decode((self.folder / JOB).read_bytes(), type=Job)
        except (OSError, msgspec.MsgspecError):
            return None

    def _wait_for_job(self, cancelled: Stop) -> bool:
        """Wait until the first process has made the folder this job's; return whether it has
        finished already."""
        since = time.monotonic()
        while self._known_job() != self.job:
            if self._is_finished(anew=False):
                return True
            if cancelled():
                raise Cancelled
            if time.monotonic() - since > SILENT:
                raise UserFacingError(
                    f"The first process has not begun with {self.out}: start all of them with the "
                    f"same command, where all can write to the same folder."
                )
            time.sleep(PAUSE)
        return False

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserFacingError(
                f"{self.out} cannot be written ({reason(error)}): make room or name another file "
                f"with --out; the same command goes on from what is there."
            ) from error


def merge(paths: Sequence[Path], out: Path, anew: bool = False) -> About:
    """Put the files of all shards of one run together; return what the new one says of itself.

    Raises:
        UserFacingError: one cannot be read or is of another run, a shard is missing or there
            twice, or the new file is there already or cannot be written.
    """
    import pyarrow.parquet as pq

    if os.path.lexists(out) and not anew:
        raise UserFacingError(f"{out} is there already: name another file, or use --anew.")
    abouts = [read_about(path) for path in paths]
    whole = msgspec.structs.replace(abouts[0].job, shard=(1, 1))
    count = abouts[0].job.shard[1]
    shards: dict[int, Path] = {}
    for path, about in zip(paths, abouts, strict=True):
        own, of = about.job.shard
        differs = differences(msgspec.structs.replace(about.job, shard=(1, 1)), whole)
        if differs or of != count:
            raise UserFacingError(
                f"{path} is of another run than {paths[0]} ({differs or '--shard'} differs): name "
                f"the shards of one run."
            )
        if own in shards:
            raise UserFacingError(f"{path} and {shards[own]} are the same shard: name each once.")
        shards[own] = path
    if missing := sorted({*range(1, count + 1)} - shards.keys()):
        raise UserFacingError(
            f"Of {count} shards {', '.join(map(str, missing))} are missing: name the files of all."
        )
    counts = Counts()
    for about in abouts:
        counts = counts.plus(about.counts)
    wanted = joint_schema(pq.read_schema(path).remove_metadata() for path in paths)
    about = msgspec.structs.replace(abouts[0], job=whole, counts=counts)
    try:
        return write(out, _by_row([_fitting(path, wanted) for path in paths]), wanted, about)
    except OSError as error:
        raise UserFacingError(
            f"{out} cannot be written ({reason(error)}): make room or name another file."
        ) from error


def _fitting(path: Path, wanted: "pa.Schema") -> Iterator["pa.Table"]:
    return (fitted(table, wanted) for table in batches(path) if len(table))


def _by_row(streams: Sequence[Iterator["pa.Table"]]) -> Iterator["pa.Table"]:
    """Yield the rows of several streams, each ascending, in the order of their numbers."""
    heads: list[tuple[int, pa.Table]] = []
    for number, stream in enumerate(streams):
        if (table := next(stream, None)) is not None:
            heads.append((number, table))
    while heads:
        heads.sort(key=lambda head: head[1].column("row")[0].as_py())
        number, table = heads.pop(0)
        own = table.column("row").to_numpy()
        stop = len(table)
        if heads:
            stop = int(np.searchsorted(own, heads[0][1].column("row")[0].as_py()))
        stop = max(1, stop)
        yield table.slice(0, stop)
        rest = table.slice(stop) if stop < len(table) else next(streams[number], None)
        if rest is not None:
            heads.append((number, rest))


def _counts(path: Path) -> Counts:
    """Return what became of the rows of a part."""
    import pyarrow.parquet as pq

    return msgspec.json.decode((pq.read_metadata(path).metadata or {}).get(KEY, b""), type=Counts)
