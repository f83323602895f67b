"""Runs made by hand, and a watcher that is told what to find."""

import threading
from pathlib import Path

import numpy as np

from core.runs.records import HELD_OUT, KL, RunLog, Series


def series(steps, values):
    return Series(np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=np.float64))


def made_log(path="/runs/a", name="a", last=200, every=10, beta=0.1, fall=-1.5, **more):
    """A run of the usual kind: chosen falls (or rises), the margin grows, KL is known."""
    steps = np.arange(every, last + 1, every)
    way = 1 - np.exp(-3 * steps / 200)
    noise = 0.03 * np.random.default_rng(len(steps)).normal(size=(2, len(steps)))
    chosen, rejected = fall * way + noise[0], (fall - 4) * way + noise[1]
    found = {
        "rewards/chosen": series(steps, chosen),
        "rewards/rejected": series(steps, rejected),
        "rewards/margins": series(steps, chosen - rejected),
        "rewards/accuracies": series(steps, 0.5 + 0.45 * way),
        "loss": series(steps, 0.69 * (1 - 0.7 * way)),
        "logps/chosen": series(steps, -40 + 10 * chosen),
        "logps/rejected": series(steps, -60 + 10 * rejected),
        KL: series(steps, 15 * way),
    }
    more_series = more.pop("series", {})
    return RunLog(Path(path), name, "TRL trainer state", found | more_series, beta=beta, **more)


def held_out(last=120):
    """Localisation that is best at step 40."""
    steps = np.arange(0, last + 1, 10)
    best = 0.5 + 0.36 * np.minimum(1, steps / 40) - 0.001 * np.maximum(0, steps - 40)
    return {
        HELD_OUT + "words/auroc/-reward": series(steps, best),
        HELD_OUT + "words/auroc/-log_ref": series(steps, np.full(len(steps), 0.8)),
        HELD_OUT + "words/hit/-reward": series(steps, best - 0.2),
    }


class FakeWatcher:
    """What lies at a path is in ``there``: runs, or the sentence of a failure."""

    last = None

    def __init__(self, emit, emit_failed):
        self.emit, self.emit_failed = emit, emit_failed
        self.there = type(self).there if hasattr(type(self), "there") else {}
        self.watched, self.forgotten, self.closed = [], [], False
        type(self).last = self

    def start(self):
        """Each telling has a thread of its own."""

    def watch(self, path):
        self.watched.append(path)
        self.tell(path)

    def forget(self, path):
        self.forgotten.append(path)

    def close(self, timeout=2.0):
        self.closed = True
        return True

    def tell(self, path):
        """Call back on a thread of its own, as the real one does."""
        found = self.there.get(path, f"{path} is not there: choose another.")
        thread = threading.Thread(target=self._call, args=(path, found))
        thread.start()
        thread.join()

    def _call(self, path, found):
        if isinstance(found, str):
            self.emit_failed(path, found)
            return
        for run in found:
            self.emit(run)
