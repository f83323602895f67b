"""Settings files and drafts with random changes, read as the window reads them at its start."""

import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.stress.mutations_files import TEXTS, change_json, change_json_file

RECORD: dict[str, Any] = {
    "version": 1,
    "saved": "2026-11-01T10:00:00Z",
    "pair": {"demo": False, "policy": "/a/policy", "reference": "/a/reference", "plain": False},
    "beta": 0.1,
    "example": "Harbour Labs",
    "prompt": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Summarise this post 🙂.", "more": '{"name": "x"}'},
    ],
    "prompt_settings": '{"enable_thinking": false}',
    "a": {"text": "They offered $53K."},
    "b": {"text": "They refused."},
}
KNOWN = {
    "version": (0, 2, -1, 10**9, "1", True, None),
    "beta": (0, -1, 1e308, "x", None, float("nan")),
    "role": ("", "tool", "x" * 100, None),
    "saved": ("", "now", 0, None),
}
WORDS = {"theme": "dark", "view": "credit", "measure": "reward", "size": "1400x900"}


def make(folder: Path, rng: random.Random) -> Path:
    """Write a settings file or a draft into a folder, changed at a place or two; return it."""
    if rng.random() < 0.5:
        path = folder / "draft.json"
        path.write_text(json.dumps(RECORD), "utf-8")
        change_json_file(path, rng, KNOWN)
        if rng.random() < 0.1:
            data = bytearray(path.read_bytes())
            for _ in range(3):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path.write_bytes(bytes(data))
        return path
    from core.engine.protocol import PairSpec

    path = folder / "Qscope.ini"
    recent: list[Any] = [asdict(PairSpec(policy=f"/a/{name}")) for name in "xyz"]
    betas: dict[str, Any] = {"/a/x\n\n": 0.1, "demo": 0.3}
    for value in rng.sample((recent, betas), rng.randrange(1, 3)):
        change_json(value, rng, KNOWN)
    lines = ["[General]", *(f"{key}={_quoted(word)}" for key, word in WORDS.items())]
    lines += [f"recent={_quoted(json.dumps(recent))}", f"betas={_quoted(json.dumps(betas))}"]
    if rng.random() < 0.5:
        at = rng.randrange(1, len(lines))
        key = lines[at].partition("=")[0]
        odd = ("@ByteArray(x)", "@Variant(\\0\\0)", _quoted(rng.choice(TEXTS)), "@Invalid()",
               "1, 2, 3", "@Rect(0 0 -5 1000000000)")  # fmt: skip
        lines[at] = rng.choice((key, "[", *(f"{key}={it}" for it in odd)))
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return path


def _quoted(text: str) -> str:
    return json.dumps(text)


def parsed(path: Path) -> bool:
    """Return whether a draft is JSON still; QSettings takes any file."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def open_it(path: Path) -> str:
    """Read the file as the window does; what cannot be used is left out without an error."""
    if path.suffix == ".json":
        from core.session_record import decode

        decode(path.read_bytes())
        return "read"
    from PySide6.QtCore import QSettings

    from app.settings import Settings
    from core.engine.protocol import PairSpec

    settings = Settings(QSettings(str(path), QSettings.Format.IniFormat))
    for spec in settings.recent():
        settings.beta(spec)
        settings.remember_pair(spec)
    settings.beta(PairSpec(demo=True))
    settings.remember_beta(PairSpec(policy="/a/x"), 0.2)
    assert settings.beta(PairSpec(policy="/a/x")) == 0.2, "a beta is not remembered"
    for word in WORDS:
        assert isinstance(settings.get(word, ""), str)
    return "read"
