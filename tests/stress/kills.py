"""Processes that are killed (SIGKILL) at any moment, while saving, scoring and training.

What they leave behind is old or new, never half, and what is done next comes out as if nothing had
happened: a saver's files hold one whole version each; what was printed of a scoring is what would
have been, and its caches serve the next; a training that was killed, and killed again, ends with
the weights of one that was not, and no second trainer starts beside a living one.

The libraries are imported once, here; each process that is killed is a fork, and begins at once.
Typing is killed by tests.stress.kills_typing, which needs a window.
"""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.stress.report import Report
from tests.training_runs import tiny_job

PATIENCE = 120.0
"""Seconds after which a process that is let live is taken to hang."""
TRAININGS = 4
"""A training is killed so many times at most, and then let end."""
ROUNDS = 2
"""Kills while scoring, and half as many as while saving, for one while training, which takes
longest."""
WHOLE = 0.3
"""How often all is scored again after a kill."""


class WrongError(Exception):
    """What a kill has left behind is not what it should be."""


class Child:
    """A fork of this process that does something and ends; its words go to a file."""

    def __init__(self, what: Callable[[], object], out: Path) -> None:
        self.out, self.began = out, time.monotonic()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            errors = os.open(f"{out}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(errors, 2)
            sys.stdout, sys.stderr = (os.fdopen(it, "w", encoding="utf-8") for it in (1, 2))
            code = int(what() or 0)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            with suppress(Exception):
                traceback.print_exc()
                sys.stderr.flush()
        finally:
            os._exit(code)

    def alive(self) -> bool:
        return os.waitpid(self.pid, os.WNOHANG) == (0, 0)

    def kill(self) -> None:
        """End it now; it may have ended by itself."""
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def end(self, patience: float = PATIENCE) -> float:
        """Let it end; return the seconds that it took.

        Raises:
            WrongError: it failed, or it hangs.
        """
        while time.monotonic() - self.began < patience:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                if status:
                    code = os.waitstatus_to_exitcode(status)
                    said = Path(f"{self.out}.err").read_text("utf-8", "replace")[-600:]
                    raise WrongError(f"the process after it ended with {code}: {said}")
                return time.monotonic() - self.began
            time.sleep(0.01)
        self.kill()
        raise WrongError(f"the process after it hangs: it took more than {patience:.0f} s")


class Kills:
    """The rooms in which processes are killed; ``live`` is called after each process."""

    def __init__(self, room: Path, seed: int, live: Callable[[], object]) -> None:
        self.room, self.rng, self.live = room, random.Random(seed), live
        os.environ["QSCOPE_CACHE"] = str(room / "cache")
        for name in ("CONFIG", "STATE", "DATA"):
            os.environ[f"XDG_{name}_HOME"] = str(room / name.lower())
        self.counted = {"saving": 0, "scoring": 0, "training": 0, "trainings compared": 0}
        self.saves = 0
        self.runs = 0
        self.run: Path | None = None
        self.kills_left = 0

    # --- saving -------------------------------------------------------------------------------

    def saving(self) -> None:
        """Kill while one kind of file is saved over and over, or all in turn."""
        folder = self.room / "saves"
        if not folder.exists():
            folder.mkdir()
            Child(lambda: save_all(folder, 0), self.room / "saver").end()
        first, started = self.saves, self.room / "started"
        started.unlink(missing_ok=True)
        save = self.rng.choice((save_all, *SAVES))

        def over_and_over() -> None:
            number = first
            while True:
                number += 1
                save(folder, number)
                started.touch()

        child = Child(over_and_over, self.room / "saver")
        while not started.exists() and child.alive():
            time.sleep(0.002)
        time.sleep(self.rng.uniform(0, 0.1))
        child.kill()
        try:
            seen = check_saves(folder)
            if seen <= first and save not in (save_cache, save_runs):
                raise WrongError(f"version {first + 1} was saved, and {seen} is there")
            self.saves = max(seen, first) + 10_000
            Child(lambda: save_all(folder, self.saves), self.room / "saver").end()
            if check_saves(folder, exactly=True) != self.saves:
                raise WrongError("what was saved after it is not there")
        except WrongError:
            shutil.rmtree(folder)
            raise
        finally:
            self.counted["saving"] += 1

    # --- scoring ------------------------------------------------------------------------------

    def scoring(self) -> None:
        if not (self.room / "pair").exists():
            self._begin_scoring()
        kept = Child(self._score, self.room / "killed")
        time.sleep(self.rng.uniform(0, self.scores_in))
        kept.kill()
        self.live()
        said = kept.out.read_text("utf-8")
        if said and not said.endswith("\n"):
            raise WrongError(f"a line was printed in part: {said[-80:]!r}")
        same_scores(said, self.scored)
        for cache in (self.room / "cache").glob("*.json"):
            whole_json(cache)
        self.counted["scoring"] += 1
        if self.rng.random() < WHOLE:
            again = Child(self._score, self.room / "again")
            again.end()
            same_scores(again.out.read_text("utf-8"), self.scored, whole=True)

    def _begin_scoring(self) -> None:
        from tests.tiny import save_pair

        save_pair(self.room / "pair")
        items = [
            {"prompt": "Summarise.", "response": f"They offered ${n}K, {'far ' * n}too low."}
            for n in range(30)
        ]
        lines = "".join(json.dumps(it) + "\n" for it in items)
        (self.room / "items.jsonl").write_text(lines, "utf-8")
        first = Child(self._score, self.room / "first")
        first.end()
        self.live()
        self.scored = first.out.read_text("utf-8")
        shutil.rmtree(self.room / "cache", ignore_errors=True)
        self.scores_in = Child(self._score, self.room / "first").end()

    def _score(self) -> int:
        from main import main

        pair = self.room / "pair"
        command = [
            "score",
            "--policy",
            f"{pair / 'policy'}",
            "--reference",
            f"{pair / 'reference'}",
        ]
        return main([*command, "--jsonl", str(self.room / "items.jsonl")])

    # --- training -----------------------------------------------------------------------------

    def training(self) -> None:
        """Kill a training; after some kills let it end and compare it."""
        from core.training.job import write_job

        if not (self.room / "plain").exists():
            write_job(self._job("plain"))
            self.trains_in = Child(lambda: train(self.room / "plain"), self.room / "trainer").end()
            self.live()
            self.trained = weights(self.room / "plain")
        if self.run is None:
            self.runs += 1
            self.run = self.room / f"run{self.runs}"
            write_job(self._job(self.run.name))
            self.kills_left = self.rng.randint(1, TRAININGS)
        run = self.run
        child = Child(lambda: train(run), self.room / "trainer")
        end = time.monotonic() + self.rng.uniform(0, 1.05 * self.trains_in)
        tried = False
        while time.monotonic() < end and child.alive():
            if not tried and known_to_run(run):
                tried = True
                refuse_second(run, self.room / "second")
            time.sleep(0.02)
        child.kill()
        self.live()
        if known_to_run(run):
            raise WrongError("a trainer that was killed is said to run")
        for file in (run / "qscope-run.json", *run.rglob("trainer_state.json")):
            if file.name == "qscope-run.json":
                whole_json(file)
        self.counted["training"] += 1
        self.kills_left -= 1
        if self.kills_left > 0:
            return
        self.run = None
        Child(lambda: train(run), self.room / "trainer").end()
        compare(run, self.trained)
        shutil.rmtree(run)
        self.counted["trainings compared"] += 1

    def _job(self, name: str):
        return tiny_job(self.room, name, sft_steps=4, steps=8, save_steps=1)


def same_scores(said: str, true: str, whole: bool = False) -> None:
    """Compare lines of ``score --jsonl``, which rounding may tell apart.

    Raises:
        WrongError: they are of something else, or, if all must be there, too few.
    """
    lines, expected = ([json.loads(it) for it in text.splitlines()] for text in (said, true))
    if len(lines) > len(expected) or (whole and len(lines) < len(expected)):
        raise WrongError(f"{len(lines)} lines were printed, of {len(expected)}")
    for line, other in zip(lines, expected, strict=False):
        ids, theirs = ([row["id"] for row in it["tokens"]] for it in (line, other))
        if ids != theirs or abs(line["total_reward"] - other["total_reward"]) > 1e-4:
            raise WrongError(f"printed was {line!r:.200} and not {other!r:.200}")


def train(run: Path) -> int:
    from core.training import worker

    return worker.main(["--job", str(run / "qscope-run.json")])


def known_to_run(run: Path) -> bool:
    from core.training.process import state_of

    return state_of(run).running


def refuse_second(run: Path, out: Path) -> None:
    """A second trainer must not start beside one that lives, however it is asked for.

    Raises:
        WrongError: it does.
    """
    from core.errors import UserFacingError
    from core.training.process import resume

    with suppress(UserFacingError):
        resume(run)
        raise WrongError("a second trainer was started beside the first")
    second = Child(lambda: train(run), out)
    with suppress(WrongError):
        second.end()
    said = Path(f"{out}.err").read_text("utf-8", "replace")
    if known_to_run(run) and "is being trained already" not in said:
        raise WrongError(f"a second worker was not refused: {said[-300:]!r}")


def weights(run: Path) -> dict[str, str]:
    """The hashes of the weights of a run's last checkpoint and of its reference."""
    last = max(run.glob("checkpoint-*"), key=lambda it: int(it.name.rpartition("-")[2]))
    files = [*last.glob("*.safetensors"), *(run / "sft").glob("*.safetensors")]
    found = {f"{it.relative_to(run)}": hashlib.sha256(it.read_bytes()).hexdigest() for it in files}
    if len(found) != 2:
        raise WrongError(f"its weights are {sorted(found)}")
    return found


def compare(run: Path, trained: dict[str, str]) -> None:
    """A training that was killed, against one that was not."""
    from core.training.process import state_of

    if state_of(run).phase != "done":
        raise WrongError(f"it is {state_of(run).sentence()}")
    if (found := weights(run)) != trained:
        other = [name for name, hash in trained.items() if found.get(name) != hash]
        raise WrongError(f"other weights than those of a training that was not killed: {other}")
    for log in (run / "log.jsonl", run / "sft" / "log.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_text("utf-8").splitlines()]
        if steps != sorted(steps):
            raise WrongError(f"{log.name} has the steps {steps}")
    if half := [*run.rglob("*.new")]:
        raise WrongError(f"left over: {half}")


# --- what is saved ------------------------------------------------------------------------------


def text_of(number: int) -> str:
    """A text that shows where it is cut or mixed with another."""
    return f"{number}\n" * (1 + number % 7 * 20_000)


def beta_of(number: int) -> float:
    """A beta as users have it: settings drop others."""
    return 0.01 * (1 + number % 97)


def save_settings(folder: Path, number: int) -> None:
    from PySide6.QtCore import QSettings

    from app.settings import Settings
    from core.engine.protocol import PairSpec

    settings = Settings(QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat))
    settings.put("number", f"{number}")
    settings.remember_beta(PairSpec(policy="/p", reference="/r"), beta_of(number))
    settings.remember_pair(PairSpec(policy=f"/p{number}", reference="/r" * 2000))
    settings.store.sync()


def save_table(folder: Path, number: int) -> None:
    from app.files import write_text

    write_text(folder / "table.csv", text_of(number))


def save_about(folder: Path, number: int) -> None:
    from core.training.job import write_json

    write_json(folder / "about.json", {"number": number, "text": text_of(number)})


def save_figures(folder: Path, number: int) -> None:
    from core.commands.console import Reporter
    from core.commands.evaluate import save

    table = {"number": number, "text": text_of(number)}
    save(folder / "figures.json", table, Reporter(io.StringIO()))


def save_cache(folder: Path, number: int) -> None:
    from core.models.remembered import remember

    remember("stress", number % 300, {"number": number})


def save_runs(folder: Path, number: int) -> None:
    from core.training.job import write_json
    from core.training.process import remember

    run = folder / f"run{number % 40}"
    run.mkdir(exist_ok=True)
    write_json(run / "qscope-run.json", {"number": number})
    remember(run)


SAVES = (save_settings, save_table, save_about, save_figures, save_cache, save_runs)
"""All that Qscope saves, but for texts: each puts version ``number`` into a folder."""


def save_all(folder: Path, number: int) -> None:
    for save in SAVES:
        save(folder, number)


def check_saves(folder: Path, exactly: bool = False) -> int:
    """The newest version that is there; ``exactly``: all files hold it.

    Raises:
        WrongError: a file holds none.
    """
    from PySide6.QtCore import QSettings

    from app.settings import Settings
    from core.engine.protocol import PairSpec
    from core.folders import cache_folder
    from core.training.process import known_runs

    store = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    if store.status() != QSettings.Status.NoError:
        raise WrongError(f"settings.ini is damaged: {store.status()}")
    settings = Settings(store)
    numbers = [int(settings.get("number", "-1"))]
    if settings.beta(PairSpec(policy="/p", reference="/r")) != beta_of(numbers[0]):
        raise WrongError("settings.ini mixes two versions")
    if not settings.recent():
        raise WrongError("the recent pairs are lost")
    table = (folder / "table.csv").read_text("utf-8")
    numbers.append(int(table.split("\n", 1)[0] or -1))
    if table != text_of(numbers[-1]):
        raise WrongError(f"table.csv is not whole: {len(table)} characters of {numbers[-1]}")
    for name in ("about.json", "figures.json"):
        found = whole_json(folder / name)
        numbers.append(found["number"])
        if found["text"] != text_of(numbers[-1]):
            raise WrongError(f"{name} mixes two versions")
    if not known_runs():
        raise WrongError("the list of runs is lost")
    for cache in cache_folder().glob("*.json"):
        whole_json(cache)
    if exactly and len(set(numbers)) != 1:
        raise WrongError(f"the versions are {numbers}")
    return max(numbers)


def whole_json(path: Path):
    """What a file says.

    Raises:
        WrongError: it is not there or not whole.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WrongError(f"{path.name} is not whole ({error})") from error


def stress(room: Path, seed: int, more: Callable[[int], bool]) -> Report:
    """Kill in turn; a step is a kill."""
    import datasets  # noqa: F401 -- the forks have all libraries then
    import torch
    import transformers  # noqa: F401
    import trl.trainer.dpo_trainer
    import trl.trainer.sft_trainer  # noqa: F401

    from core.registrations import register

    register()
    torch.set_num_threads(1)
    report = Report()
    kills = Kills(room, seed, lambda: more(report.done))
    turns = [kills.saving, kills.scoring, kills.saving] * ROUNDS + [kills.training]
    while more(report.done):
        turn = turns[report.done % len(turns)]
        try:
            turn()
        except Exception as error:
            what = "" if isinstance(error, WrongError) else f"{type(error).__name__}: "
            report.faults.append(
                f"step {report.done + 1}: killed while {turn.__name__}: {what}{error}"
            )
            if turn == kills.training:
                kills.run = None
        report.done += 1
    report.figures = {f"{name}": float(count) for name, count in kills.counted.items()}
    return report
