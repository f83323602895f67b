"""Mutated logs, preference files, jobs and recipes, by people who know the formats.

Each ``make(folder, rng)`` writes one input and returns its path; the same seed writes the same.
What opens it (``open_it``) ends, or raises UserFacingError: anything else is a fault. Most are
small changes of a good file, so that what lies behind the first parser is reached too.
"""

import bz2
import contextlib
import copy
import gzip
import json
import lzma
import math
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

Make = Callable[[Path, random.Random], Path]
Open = Callable[[Path], None]
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e400, -1e400, math.nan, 1e-320, 2**31, 2**53 + 1, 2**63, 2**64,
    -(2**63) - 1, 10**30, 10**400, "", " ", "nan", "null", "1,234", "3/80", "1e5", "0x10", "١٢",
    "\0", "\ud800", "\udfff\ud800", "\u202eabc", "\x1b[31m", "a" * 3000, "é" * 500, "/" * 600,
    "eval/" * 90, "train_" * 80, "[[{'role': 'user', 'content': '", "{\"role\": \"user\"}", [], {},
    [[]], [None], [{}], {"": ""}, {"a": {"a": {"a": 1}}}, ["a", 1, None], {"value": "x"},
    {"role": 5, "content": []}, {"from": "human", "value": None}, "..", "/", "~nobody", "~", "a/b",
    "/dev/zero", "/dev/null", "https://example.org/x", "-", "--help", "\r\n", "=1+1", "\ufeff",
)  # fmt: skip
"""What stands in place of a value."""
NAMES = (
    "step", "global_step", "loss", "eval_loss", "rewards/chosen", "rewards/rejected",
    "logps/chosen", "rewards/margins", "rewards/accuracies", "learning_rate", "epoch", "tag",
    "value", "key", "data", "metrics", "prompt", "chosen", "rejected", "messages",
    "conversations", "system", "history",
    "tools", "role", "content", "from", "images", "label", "row", "row_idx", "columns", "beta",
    "base", "state", "pid", "steps", "log_history", "", "\ud800", "\0", "x" * 700,
)  # fmt: skip


def log_rows(rng: random.Random) -> list[dict[str, Any]]:
    """Return the rows of a good log."""
    return [
        {
            "step": 5 * (at + 1), "loss": 0.69 / (at + 1), "rewards/chosen": -0.1 * at,
            "rewards/rejected": -0.3 * at, "rewards/margins": 0.2 * at,
            "rewards/accuracies": min(1.0, 0.5 + 0.1 * at), "learning_rate": 5e-5,
            "logps/chosen": -20.0 - at, "logps/rejected": -21.0 - 3 * at, "epoch": at / 7,
        }
        for at in range(rng.randrange(1, 12))
    ]  # fmt: skip


def pair_rows(rng: random.Random) -> list[dict[str, Any]]:
    """Return the rows of a good preference file, as text or as turns."""
    rows = []
    turns = rng.random() < 0.5
    for at in range(rng.randrange(1, 6)):
        sides: dict[str, Any] = {"prompt": f"Where {at}?", "chosen": "Here.", "rejected": "No."}
        if turns:
            sides = {
                name: [{"role": "user" if name == "prompt" else "assistant", "content": text}]
                for name, text in sides.items()
            }
        rows.append(sides | rng.choice([{}, {"system": "Be brief."}, {"tools": []}, {"score": 3}]))
    return rows


# --- changes --------------------------------------------------------------------------------


def changed(value: Any, rng: random.Random, times: int = 1) -> Any:
    """Return a value that JSON can say with a few of its places changed."""
    value = json.loads(json.dumps(value))
    for _ in range(times):
        value = _changed(value, rng)
    return value


def _changed(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        how = rng.random()
        if how < 0.1:
            del value[name]
        elif how < 0.25:
            value[rng.choice(NAMES)] = value[name] if rng.random() < 0.5 else _odd(rng)
        elif how < 0.35:
            value = {rng.choice(NAMES) if key == name else key: it for key, it in value.items()}
        else:
            value[name] = _changed(value[name], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        how = rng.random()
        if how < 0.1:
            del value[at]
        elif how < 0.2:
            value.insert(at, _odd(rng))
        elif how < 0.3:
            value *= rng.randrange(2, 5)
        else:
            value[at] = _changed(value[at], rng)
        return value
    if how_deep := rng.choice([0] * 30 + [3, 60, 230]):  # four times 230 can still be written
        for _ in range(how_deep):
            value = [value] if rng.random() < 0.5 else {rng.choice(NAMES): value}
        return value
    return _odd(rng)


def _odd(rng: random.Random) -> Any:
    """A value of its own: what is put in place may be changed again."""
    return copy.deepcopy(rng.choice(ODD))


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with some of them changed, as a disk, an editor or a hand does it."""
    how = rng.randrange(12)
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.randrange(1, 40))
    if how == 0:
        return data[:at]
    if how == 1:
        return data[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9))) + data[at:]
    if how == 2:
        return data[:at] + data[end:]
    if how == 3:
        return data[:at] + data[at:end] * rng.randrange(2, 2000) + data[end:]
    if how == 4:
        return rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\n\n", b"#\n", b"\xff"]) + data
    if how == 5:
        return data + rng.choice([b"\0" * 5000, b"\n" * 5000, b"[" * 5000, b'{"a":' * 5000, data])
    if how == 6:
        return data.decode("utf-8", "replace").encode(
            rng.choice(["utf-16", "utf-32", "latin-1", "utf-16-le"]), "replace"
        )
    if how == 7:
        return data.replace(b"\n", rng.choice([b"\r", b"\r\n", b"", b"\n\n", b" ", b"\x0b"]))
    if how == 8:
        return data.replace(b'"', rng.choice([b"'", b"", b'""', b'\\"']), rng.randrange(1, 20))
    if how == 9:
        return data.replace(b":", b": 1" + b"0" * rng.choice([20, 400, 5000]) + b', "x":', 2)
    if how == 10:
        return data.replace(
            b"0.", rng.choice([b"0,", b"NaN", b"-Infinity", b"1e999", b"0..", b"+"])
        )
    swapped = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        if swapped:
            swapped[rng.randrange(len(swapped))] = rng.randrange(256)
    return bytes(swapped)


def _dumped(value: Any, **options: Any) -> bytes:
    return json.dumps(value, **options).encode("utf-8", "surrogatepass")


def _written(path: Path, data: bytes, rng: random.Random, often: float = 0.35) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(spoilt(data, rng) if rng.random() < often else data)
    return path


def _cells(rows: list[Any], separator: str) -> bytes:
    rows = [row for row in rows if isinstance(row, dict)] or [{}]
    names = list(rows[0])
    lines = [separator.join(names)]
    lines += [separator.join(str(row.get(name, "")) for name in names) for row in rows]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


# --- logs -----------------------------------------------------------------------------------


def json_lines(folder: Path, rng: random.Random) -> Path:
    """Write a log in JSON Lines, alone or in a run's folder."""
    rows = changed(log_rows(rng), rng, rng.randrange(4))
    rows = rows if isinstance(rows, list) else [rows]
    data = b"".join(_dumped(row) + b"\n" for row in rows)
    path = _written(folder / rng.choice(["log.jsonl", "a.ndjson", "train.log"]), data, rng)
    return rng.choice([path, folder])


def csv_log(folder: Path, rng: random.Random) -> Path:
    """Write a log in CSV or a Markdown table."""
    separator = rng.choice([",", ";", "\t", "|", ", "])
    rows = changed(log_rows(rng), rng, rng.randrange(3))
    data = _cells(rows if isinstance(rows, list) else [rows], separator)
    path = _written(folder / rng.choice(["log.csv", "run-a-tag-loss.csv", "x.txt"]), data, rng, 0.6)
    return rng.choice([path, folder])


def printed_log(folder: Path, rng: random.Random) -> Path:
    """Write what a trainer prints, with progress bars."""
    lines = []
    rows = changed(log_rows(rng), rng, rng.randrange(3))
    for row in rows if isinstance(rows, list) else [rows]:
        bar = f"\r {rng.randrange(101)}%|###  | {rng.randrange(9)}/{rng.choice([80, 10**20])} [00:1"
        said = repr(row) if rng.random() < 0.7 else f"step {rng.randrange(99)} loss: {row!r:.40}"
        lines.append(rng.choice(["", bar, "INFO ", "\x1b[31m"]) + said)
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    path = _written(folder / rng.choice(["output.txt", "train.log", "nohup.out"]), data, rng, 0.6)
    return rng.choice([path, folder])


def trainer_state(folder: Path, rng: random.Random) -> Path:
    """Write trainer states, the run's and those of checkpoints."""
    for place in (folder, folder / "checkpoint-5", folder / "checkpoint-10")[: rng.randrange(1, 4)]:
        state = {"global_step": 10, "log_history": log_rows(rng), "max_steps": 10}
        state = changed(state, rng, rng.randrange(3))
        indent = rng.choice([2, None, 2])
        _written(place / "trainer_state.json", _dumped(state, indent=indent), rng)
    return folder


def _masked(data: bytes) -> bytes:
    import google_crc32c

    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def events(folder: Path, rng: random.Random) -> Path:
    """Write an event file whose frames have right checksums, whatever else is wrong in them."""
    frames = []
    for row in log_rows(rng):
        scalars = b"".join(
            _field(1, _field(1, name.encode()) + b"\x15" + struct.pack("<f", value))
            for name, value in row.items()
        )
        step = _varint(rng.choice([row["step"]] * 9 + [2**63, 2**70, 0]))
        event = b"\x09" + struct.pack("<d", 1e9) + b"\x10" + step + _field(5, scalars)
        if rng.random() < 0.3:
            event = spoilt(event, rng)
        if rng.random() < 0.05:
            event = _field(5, event) * rng.randrange(1, 300)
        length = struct.pack("<Q", rng.choice([len(event)] * 30 + [2**60, 2**63, 2**40, 0]))
        frames.append(length + _masked(length) + event + _masked(event))
    path = folder / rng.choice(["", "runs/Nov_26", "logs", "eval"]) / "events.out.tfevents.17.host"
    _written(path, b"".join(frames), rng, 0.3)
    return rng.choice([path, folder])


def run_folder(folder: Path, rng: random.Random) -> Path:
    """Write a run's folder with the files that say how it was trained."""
    job = {"qscope": "run", "beta": 0.1, "base": "/models/base", "reference": "sft", "chat": True}
    _written(
        folder / "log.jsonl", b"".join(_dumped(row) + b"\n" for row in log_rows(rng)), rng, 0.1
    )
    _written(folder / "qscope-run.json", _dumped(changed(job, rng, rng.randrange(3))), rng)
    steps = {"steps": [{"step": row["step"], "rewards/chosen": 0.1} for row in log_rows(rng)]}
    _written(folder / "evaluation.json", _dumped(changed(steps, rng, rng.randrange(3))), rng)
    if rng.random() < 0.5:
        aliases = "".join(
            f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, rng.randrange(9))
        )
        recipe = f"rl: dpo\nbeta: 0.1\na0: &a0 [x]\n{aliases}base_model: m\nloss_type: sigmoid\n"
        _written(folder / "recipe.yaml", recipe.encode(), rng, 0.8)
    if rng.random() < 0.3:
        _written(
            folder / "README.md", b"---\nbase_model: a/b\n---\nThis model was trained with DPO", rng
        )
    return folder


def open_log(path: Path) -> None:
    """Read runs and say what they show, as the window and the command do."""
    from core.runs.explain import explain
    from core.runs.read import read_runs

    for run in read_runs(path):
        explain(run)
        _ = run.last_step, run.name
        "".join([*run.problems, *run.remarks, *run.series]).encode("utf-8", "surrogatepass")


# --- preferences ----------------------------------------------------------------------------


def preferences(folder: Path, rng: random.Random) -> Path:
    """Write preference pairs as text, packed or not."""
    rows = changed(pair_rows(rng), rng, rng.randrange(4))
    listed = rows if isinstance(rows, list) else [rows]
    how = rng.randrange(6)
    if how == 0:
        name, data = "pairs.csv", _cells(listed, rng.choice([",", "\t", ";"]))
    elif how == 1:
        name, data = "pairs.json", _dumped(rows, indent=rng.choice([None, 1]))
    elif how == 2:
        table = {
            key: [row.get(key) for row in listed if isinstance(row, dict)]
            for key in ("prompt", "chosen", "rejected")
        }
        name, data = "pairs.json", _dumped(changed({"train": table, "x": 1}, rng))
    elif how == 3:
        name, data = "pairs.json", b"\n".join(_dumped(row, indent=1) for row in listed)
    else:
        name, data = "pairs.jsonl", b"".join(_dumped(row) + b"\n" for row in listed)
    if rng.random() < 0.4:
        data = spoilt(data, rng)
    if pack := rng.choice([None, None, gzip.compress, bz2.compress, lzma.compress]):
        return _written(folder / f"{name}.gz", pack(data), rng, 0.4)
    return _written(folder / name, data, rng, 0)


def tables(folder: Path, rng: random.Random) -> Path:
    """Write preference pairs as Parquet, as Arrow or as a folder that datasets saved."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pair_rows(rng)
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in rows[0]}
    if rng.random() < 0.5:
        columns[rng.choice(NAMES[:-4])] = [
            rng.choice([None, 1, b"\xff", "x", [1], math.nan]) for _ in range(1)
        ] * len(rows)
    if rng.random() < 0.3:
        columns["when"] = pa.array([2**62] * len(rows), pa.timestamp("us"))
    table = pa.table(columns)
    path = folder / rng.choice(["pairs.parquet", "data/train-0.parquet", "data.arrow"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as sink:
            make = rng.choice([pa.ipc.new_file, pa.ipc.new_stream])
            with make(sink, table.schema) as writer:
                writer.write_table(table)
        state = {"_data_files": [{"filename": rng.choice(["data.arrow"] * 5 + ["../x", ".", 5])}]}
        _written(folder / "state.json", _dumped(changed(state, rng, rng.randrange(2))), rng, 0.2)
    if rng.random() < 0.2:
        splits = {"splits": rng.choice([["."], [".."], ["train"], [], "train", [1], ["a", "b"]])}
        _written(folder / "dataset_dict.json", _dumped(splits), rng, 0.2)
    _written(path, path.read_bytes(), rng, 0.5)
    return rng.choice([path, folder])


def open_preferences(path: Path) -> None:
    """Look at a file of pairs as the window and the command do, and take the pairs as trainers."""
    from core.errors import UserFacingError
    from core.preferences import as_text, inspect_preferences, read_preferences

    found = read_preferences(path)
    for pair in found.pairs:
        json.dumps(pair.row(), ensure_ascii=False).encode()
        as_text(pair.prompt)
        _ = pair.turns, pair.replies, pair.conversational
        with contextlib.suppress(UserFacingError):
            _ = pair.answers
    " ".join([*found.problems, *found.columns]).encode()
    inspect_preferences(path)


# --- jobs and recipes -----------------------------------------------------------------------


def jobs(folder: Path, rng: random.Random) -> Path:
    """Write a run's folder as a training leaves it."""
    from dataclasses import asdict

    from core.training.job import TrainingJob

    job: dict[str, Any] = asdict(TrainingJob(data="/data/pairs.jsonl", out="/x", base="/models/b"))
    state = {"pid": rng.choice([1, 2**22, 0]), "born": 1.0, "boot": "x", "ticks": 5, "host": "h",
             "started": "2026", "ended": rng.choice([None, "2026"]), "exit": 0, "message": "",
             "outcome": rng.choice(["done", "stopped", "failed", "?"])}  # fmt: skip
    table = {"qscope": "run", **job, "demo_base": rng.random() < 0.3, "state": state}
    _written(folder / "qscope-run.json", _dumped(changed(table, rng, rng.randrange(4))), rng, 0.25)
    progress = {"stage": "DPO", "step": 5, "of": 9}
    _written(folder / "progress.json", _dumped(changed(progress, rng, rng.randrange(3))), rng)
    _written(folder / "output.txt", b"Traceback\nValueError: \x1b[31mno\n", rng, 0.5)
    return folder


def open_job(path: Path) -> None:
    """Look at a run as the window does, read its job, and check that as resuming does."""
    from core.errors import UserFacingError
    from core.training.job import check_again, problems, read_job
    from core.training.process import last_words, state_of, stop

    sentence = state_of(path).sentence()
    assert len(sentence) < 5000 and sentence.isprintable(), sentence[:100]
    last_words(path)
    with contextlib.suppress(UserFacingError):
        stop(path)
    job = read_job(path)
    problems(job)
    job.saves_every()
    check_again(job)


def recipes(folder: Path, rng: random.Random) -> Path:
    """Write a recipe in TOML."""
    from dataclasses import fields

    from core.demo.recipe import Recipe

    lines = ["[pair]", *(f"{field.name} = {rng.choice([1, 2.5, 7])}" for field in fields(Recipe))]
    odd = ["nan", "inf", "1" + "0" * 400, "'x'", "[1]", "{a=1}", "true", "1979-05-27", "[" * 2000]
    at = rng.randrange(1, len(lines))
    lines[at] = lines[at].partition("=")[0] + "= " + rng.choice(odd)
    return _written(folder / "recipe.toml", "\n".join(lines).encode(), rng, 0.4)


def open_recipe(path: Path) -> None:
    """Read a recipe."""
    from core.demo.recipe import load_recipe

    load_recipe(path)


MUTATIONS: dict[str, tuple[Make, Open]] = {
    "log in JSON Lines": (json_lines, open_log),
    "log in CSV": (csv_log, open_log),
    "printed log": (printed_log, open_log),
    "trainer state": (trainer_state, open_log),
    "TensorBoard events": (events, open_log),
    "run's folder": (run_folder, open_log),
    "preferences as text": (preferences, open_preferences),
    "preferences in Arrow": (tables, open_preferences),
    "training job": (jobs, open_job),
    "recipe": (recipes, open_recipe),
}
"""By what is mutated: who writes one, and who opens it."""
