"""Remembers choices between sessions: looks, recent pairs, beta per pair, and the last texts.

Plain reading and writing; the window decides when. Knows QSettings and PairSpec; knows no widgets.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtWidgets import QSplitter

from core.engine.protocol import PairSpec
from core.text import Message, Prompt

RECENT = 8
DEMO_KEY = "demo"


def pair_key(spec: PairSpec) -> str:
    """Return what a pair is remembered by: its paths, not how it is loaded."""
    if spec.demo:
        return DEMO_KEY
    if spec.run:
        return "\n".join(("run", spec.run, spec.reference, spec.base))
    return "\n".join((spec.policy, spec.reference, spec.base))


@dataclass(frozen=True)
class Draft:
    """The texts of a session."""

    pair: str
    example: str
    prompt: Prompt
    a: str
    b: str


@dataclass
class Settings:
    """A typed view of QSettings; ``store`` None remembers nothing (screenshots)."""

    store: QSettings | None = None
    _session: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_user(cls) -> "Settings":
        """Return the settings of this user."""
        return cls(
            QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "Qscope", "Qscope")
        )

    def get(self, key: str, default: str) -> str:
        """Return a remembered string."""
        if self.store is None:
            return str(self._session.get(key, default))
        return str(self.store.value(key, default))

    def put(self, key: str, value: str) -> None:
        """Remember a string."""
        if self.store is None:
            self._session[key] = value
        else:
            self.store.setValue(key, value)

    def number(self, key: str, default: float) -> float:
        """Return a remembered number; the default for a string that is none."""
        try:
            return float(self.get(key, str(default)))
        except ValueError:
            return default

    def bytes(self, key: str) -> QByteArray:
        """Return a remembered window or splitter state; empty if there is none."""
        value = self.store.value(key) if self.store is not None else None
        return value if isinstance(value, QByteArray) else QByteArray()

    def put_bytes(self, key: str, value: QByteArray) -> None:
        """Remember a window or splitter state."""
        if self.store is not None:
            self.store.setValue(key, value)

    def remember_splitters(self, **splitters: QSplitter) -> None:
        """Remember how rooms are shared, each under its name with spaces for underscores."""
        for name, splitter in splitters.items():
            self.put_bytes(name.replace("_", " "), splitter.saveState())

    def recall_splitters(self, **splitters: QSplitter) -> None:
        """Share rooms as ``remember_splitters`` was told, where it was told anything."""
        for name, splitter in splitters.items():
            state = self.bytes(name.replace("_", " "))
            if not state.isEmpty():
                splitter.restoreState(state)

    # --- pairs ------------------------------------------------------------------------------

    def recent(self) -> tuple[PairSpec, ...]:
        """Return the pairs that were loaded, the last one first, without their opt-ins to risks."""
        try:
            found = json.loads(self.get("recent", "[]"))
            return tuple(PairSpec(**entry) for entry in found)
        except (ValueError, TypeError):
            return ()

    def remember_pair(self, spec: PairSpec) -> None:
        """Put a pair before the other recent ones, without its opt-ins to risks; not the demo."""
        if spec.demo:
            return
        safe = replace(spec, beta=None, allow_pickle=False, allow_remote_code=False)
        others = [old for old in self.recent() if pair_key(old) != pair_key(spec)]
        self.put("recent", json.dumps([asdict(s) for s in [safe, *others][:RECENT]]))

    def beta(self, spec: PairSpec) -> float | None:
        """Return the beta last chosen for this pair, if any."""
        try:
            value = json.loads(self.get("betas", "{}")).get(pair_key(spec))
        except (ValueError, AttributeError):
            return None
        return float(value) if isinstance(value, int | float) and value > 0 else None

    def remember_beta(self, spec: PairSpec, beta: float | None) -> None:
        """Remember the beta chosen for this pair; None: none any more."""
        try:
            betas = dict(json.loads(self.get("betas", "{}")))
        except (ValueError, TypeError):
            betas = {}
        betas[pair_key(spec)] = beta
        self.put("betas", json.dumps(betas))


def write_draft(path: Path, draft: Draft) -> None:
    """Save the texts; through a second file, so that a crash leaves the old or the new ones."""
    data = {
        "pair": draft.pair,
        "example": draft.example,
        "prompt": [[m.role, m.content] for m in draft.prompt.messages],
        "a": draft.a,
        "b": draft.b,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(data, ensure_ascii=True), encoding="utf-8")
    beside.replace(path)


def read_draft(path: Path) -> Draft | None:
    """Return the texts of the last session, if there are any that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        turns: Sequence[tuple[str, str]] = data["prompt"]
        prompt = Prompt(tuple(Message(str(role), str(content)) for role, content in turns))
        return Draft(data["pair"], data["example"], prompt, str(data["a"]), str(data["b"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
