"""Remembers choices between sessions: looks, recent pairs, beta per pair.

A settings file may hold anything: it is read under a limit, what no Qscope has written is set
aside, and a value of the wrong kind is dropped, each with a sentence. Plain reading and writing;
the window decides when. Knows QSettings and PairSpec; knows no widgets but splitters.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from PySide6.QtCore import QRect, QSettings, QTimer
from PySide6.QtWidgets import QSplitter

from core.engine.protocol import PairSpec
from core.files import read_file
from core.safe_files import set_aside
from core.session_record import PairNamed

log = logging.getLogger(__name__)

RECENT = 8
LIMITS = 40
"""Most limits of colours that are remembered of a pair."""
DEMO_KEY = "demo"
LARGEST = 2_000_000
"""Most bytes of a settings file."""
LONGEST_PATH = 4096
WIDEST = 100_000
"""Most pixels that anything can be wide."""
T = TypeVar("T")


def pair_key(pair: PairSpec | PairNamed) -> str:
    """Return what a pair is remembered by: its paths, not how it is loaded."""
    if pair.demo:
        return DEMO_KEY
    if pair.run:
        return "\n".join(("run", pair.run, pair.reference, pair.base))
    return "\n".join((pair.policy, pair.reference, pair.base))


@dataclass
class Settings:
    """A typed view of QSettings; ``store`` None remembers nothing (screenshots).

    Values are strings; ``record`` reads JSON of a type.
    """

    store: QSettings | None = None
    _session: dict[str, str] = field(default_factory=dict)
    _said: list[str] = field(default_factory=list)
    """Sentences that nobody has been told yet."""
    _tell: Callable[[str], object] | None = None
    _told_unwritable: bool = False

    @classmethod
    def of_user(cls) -> "Settings":
        """Return the settings of this user; a file that none of these can be in is set aside."""
        path = _file_of_user()
        why = _why_not(path)
        if not why:
            store = QSettings(str(path), QSettings.Format.IniFormat)
            if store.status() != QSettings.Status.FormatError:
                return cls(store)
            why = "it is damaged"
        said = [f"The settings in {path} cannot be read ({why}): {set_aside(path)}."]
        return cls(QSettings(str(path), QSettings.Format.IniFormat), _said=said)

    def tell(self, tell: Callable[[str], object]) -> None:
        """Have ``tell`` called with sentences on what was set aside, and what cannot be saved."""
        self._tell = tell
        said, self._said = self._said, []
        for sentence in said:
            tell(sentence)

    # --- single values ------------------------------------------------------------------------

    def get(self, key: str, default: str, among: Sequence[str] = ()) -> str:
        """Return a remembered string; the default for one that is not ``among`` some."""
        if self.store is None:
            return self._session.get(key, default)
        if not self.store.contains(key):
            return default
        value = self.store.value(key)
        if not isinstance(value, str) or (among and value not in among):
            self._drop(key)
            return default
        return value

    def put(self, key: str, value: str) -> None:
        """Remember a string."""
        if self.store is None:
            self._session[key] = value
            return
        self.store.setValue(key, value)
        if self._tell is not None and not self._told_unwritable:
            QTimer.singleShot(0, self.look_whether_saved)  # QSettings writes before that

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a remembered number; the default for what is none from ``low`` to ``high``."""
        word = self.get(key, "")
        if not word:
            return default
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            self._drop(key)
            return default
        return value

    def record(self, key: str, kind: type[T], default: T) -> T:
        """Return what JSON of this type says that is remembered; the default for anything else."""
        word = self.get(key, "")
        if not word:
            return default
        try:
            return msgspec.convert(json.loads(word), kind)
        except (ValueError, msgspec.ValidationError, RecursionError):
            self._drop(key)
            return default

    def trouble(self) -> str:
        """Return a sentence on why nothing is saved; "" if all is."""
        if self.store is None:
            return ""
        self.store.sync()
        if self.store.status() == QSettings.Status.NoError and self.store.isWritable():
            return ""
        return (
            f"Your choices cannot be saved in {self.store.fileName()}: make room on its disk, or "
            "make the file and its folder writable."
        )

    def look_whether_saved(self) -> None:
        """Tell, once, that choices cannot be saved, if so."""
        sentence = "" if self._told_unwritable else self.trouble()
        if sentence and self._tell is not None:
            self._told_unwritable = True
            log.warning("%s", sentence)  # found out at closing, no notice would be seen
            self._tell(sentence)

    def _drop(self, key: str) -> None:
        """Forget a value that says nothing, and say so."""
        if self.store is not None:
            self.store.remove(key)
        else:
            self._session.pop(key, None)
        self._say(f"The setting “{key}” could not be read and is as at first.")

    def _say_part(self, key: str) -> None:
        self._say(f"A part of the setting “{key}” could not be read and is forgotten.")

    def _say(self, sentence: str) -> None:
        if self._tell is not None:
            self._tell(sentence)
        else:
            self._said.append(sentence)

    # --- rooms --------------------------------------------------------------------------------

    def rectangle(self, key: str) -> QRect | None:
        """Return a remembered rectangle on the desktop, None if there is none.

        It is kept as numbers: Qt's own words for it can put a window where nobody sees it.
        """
        sides = self.record(key, list[int], [])
        if not sides:
            return None
        if len(sides) != 4 or max(map(abs, sides)) > WIDEST or min(sides[2:]) < 1:
            self._drop(key)
            return None
        return QRect(*sides)

    def put_rectangle(self, key: str, place: QRect) -> None:
        """Remember a rectangle on the desktop."""
        self.put(key, json.dumps(place.getRect()))

    def remember_splitters(self, **splitters: QSplitter) -> None:
        """Remember how rooms are shared, each under its name with spaces for underscores."""
        for name, splitter in splitters.items():
            self.put(_room(name), json.dumps(splitter.sizes()))

    def recall_splitters(self, **splitters: QSplitter) -> None:
        """Share rooms as ``remember_splitters`` was told, where it was told anything."""
        for name, splitter in splitters.items():
            sizes = self.record(_room(name), list[int], [])
            if not sizes:
                continue
            fits = len(sizes) == splitter.count() and all(0 <= size < WIDEST for size in sizes)
            if fits and any(sizes):
                splitter.setSizes(sizes)
            else:
                self._drop(_room(name))

    # --- pairs ------------------------------------------------------------------------------

    def recent(self) -> tuple[PairSpec, ...]:
        """Return the pairs that were loaded, the last one first, without their opt-ins to risks."""
        found = self.record("recent", list[Any], [])
        good = [spec for spec in map(_spec_of, found) if spec is not None][:RECENT]
        if len(good) < len(found[:RECENT]):
            self.put("recent", json.dumps([asdict(spec) for spec in good]))
            self._say_part("recent")
        return tuple(map(_safe, good))

    def remember_pair(self, spec: PairSpec) -> None:
        """Put a pair before the other recent ones, without its opt-ins to risks; not the demo."""
        if spec.demo:
            return
        others = [old for old in self.recent() if pair_key(old) != pair_key(spec)]
        self.put("recent", json.dumps([asdict(s) for s in [_safe(spec), *others][:RECENT]]))

    def beta(self, spec: PairSpec) -> float | None:
        """Return the beta last chosen for this pair, if any."""
        return self._betas().get(pair_key(spec))

    def remember_beta(self, spec: PairSpec, beta: float | None) -> None:
        """Remember the beta chosen for this pair; None: none any more."""
        betas = self._betas()
        if beta is None:
            betas.pop(pair_key(spec), None)
        else:
            betas[pair_key(spec)] = beta
        self.put("betas", json.dumps(betas))

    def limits(self, spec: PairSpec) -> dict[str, float]:
        """Return the limits of this pair's colours, by what they are of."""
        found = self.record("limits", dict[str, dict[str, float]], {}).get(pair_key(spec), {})
        return {key: limit for key, limit in found.items() if 0 < limit < math.inf}

    def remember_limits(self, spec: PairSpec, limits: dict[str, float]) -> None:
        """Remember the limits of this pair's colours, and forget those of pairs long ago."""
        known = self.record("limits", dict[str, dict[str, float]], {})
        known.pop(pair_key(spec), None)
        if limits:
            kept = list(limits.items())[-LIMITS:]
            known = dict([*known.items(), (pair_key(spec), dict(kept))][-RECENT:])
        self.put("limits", json.dumps(known))

    def _betas(self) -> dict[str, float]:
        found = self.record("betas", dict[str, Any], {})
        good = {key: float(beta) for key, beta in found.items() if _is_beta(beta)}
        if len(good) + list(found.values()).count(None) < len(found):  # None: none was chosen
            self.put("betas", json.dumps(good))
            self._say_part("betas")
        return good


def _is_beta(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= 1000  # type: ignore[operator]


def _spec_of(entry: object) -> PairSpec | None:
    """Return a remembered pair, None for what none can be."""
    try:
        spec = msgspec.convert(entry, PairSpec)
    except (msgspec.ValidationError, RecursionError):
        return None
    words = [word for word in asdict(spec).values() if isinstance(word, str)]
    return spec if all(is_path(word) for word in words) else None


def is_path(word: str) -> bool:
    """Return whether a remembered string can be a path at all."""
    return len(word) <= LONGEST_PATH and "\0" not in word


def _safe(spec: PairSpec) -> PairSpec:
    return replace(spec, beta=None, allow_pickle=False, allow_remote_code=False, download="")


def _room(name: str) -> str:
    # Versions before kept Qt's own words under the bare name.
    return f"{name.replace('_', ' ')} sizes"


def _file_of_user() -> Path:
    """Return where QSettings keeps this user's settings; nothing of Qscope's is read for that."""
    known = QSettings(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, "Qscope asks where", "x"
    )
    return Path(known.fileName()).parents[1] / "Qscope" / "Qscope.ini"


def _why_not(path: Path) -> str:
    """Return why a settings file is not to be given to QSettings; "" if nothing speaks against it.

    QSettings would wait for a pipe, and reads objects from text, deep ones until the process dies:
    Qscope writes strings alone, and one array of bytes in versions before.
    """
    try:
        data = read_file(path, LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or str(error)
    plain = re.sub(rb"\\x([0-9a-fA-F]+)|\\([0-7]+)", _letter, data)
    plain = re.sub(rb'["\\\s]', b"", plain)
    return "it holds objects" if re.search(rb"@(Variant|DateTime)\(", plain) else ""


def _letter(escape: re.Match[bytes]) -> bytes:
    code = (int(escape[1], 16) if escape[1] else int(escape[2], 8)) & 0xFFFF
    return bytes([code]) if code < 128 else b"?"
