"""The record of a session: the pair, its beta and the texts, as drafts and session files hold it.

Its bytes are JSON in UTF-8. A draft is a file of just these bytes; a session file (.qscope) is a
zip that holds them as session.json, with the numbers. Reading never fails: what cannot be read is
left out and said, a field at a time, so that a damaged beta costs no text. Fields that this version
does not know are ignored; a newer version's record is read as far as it is understood.

A lone half of a surrogate pair, which UTF-8 cannot hold, stands as its JSON escape (two halves in a
row become their character). Knows prompts and pairs; knows nothing of files or windows.
"""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.text import Message, Prompt

ENDING = ".qscope"
"""Of a session file's name; it stands here, as core.session_file is not imported before a file is
read or written."""
VERSION = 1
LARGEST = 32_000_000
"""Most bytes of a record."""
MOST_TURNS = 400
LONGEST_ROLE = 40
_RECORDED = '\n "recorded":'
"""What stands before the numbers; within a string no line begins anew."""
TokenId = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class PairNamed(msgspec.Struct, frozen=True, kw_only=True):
    """How the pair is named: paths, or names as on huggingface.co; all "" for no pair.

    Nothing that allows a risk is remembered, nor which device computes.
    """

    demo: bool = False
    """The pair that Qscope brings; then the others are ""."""
    policy: str = ""
    reference: str = ""
    base: str = ""
    run: str = ""
    """A training run's folder, whose last checkpoint is the policy."""
    search_base: str = ""
    """A third model, for searches."""
    loss: str = ""
    """The loss of the training, where the user has named it."""
    trainer: str = ""
    plain: bool = False
    """Whether texts are read without the chat template."""

    @classmethod
    def of(cls, spec: PairSpec | None) -> "PairNamed":
        """Return how a pair is named."""
        if spec is None:
            return cls()
        return cls(**{name: getattr(spec, name) for name in cls.__struct_fields__})


class Turn(msgspec.Struct, frozen=True):
    """A turn of the prompt."""

    role: str
    """"system", "user", "assistant" or "tool"."""
    content: str
    more: str = ""
    """What else a chat template is told of the turn: a JSON object, or ""."""


class Response(msgspec.Struct, frozen=True):
    """A response."""

    text: str = ""


class PromptSaid(msgspec.Struct, frozen=True):
    """A prompt: its turns, and what a chat template is told besides (a JSON object, or "")."""

    turns: tuple[Turn, ...]
    settings: str = ""

    @classmethod
    def of(cls, prompt: Prompt) -> "PromptSaid":
        """Return how a prompt is written down."""
        turns = (Turn(it.role, it.content, it.more) for it in prompt.messages)
        return cls(tuple(turns), prompt.settings)

    def prompt(self) -> Prompt:
        """Return the prompt."""
        messages = (Message(it.role, it.content, it.more) for it in self.turns)
        return Prompt(tuple(messages), self.settings)


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A state of the texts that was scored (core.history): both responses to a prompt, by its place
    among the record's, and their tokens if they are known."""

    number: int
    prompt: int
    a: str
    b: str
    ids_a: tuple[TokenId, ...] | None = None
    ids_b: tuple[TokenId, ...] | None = None
    changed: str = ""
    side: str = ""
    name: str = ""


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it stood when it was saved."""

    version: int = VERSION
    """Of this layout; larger in a record of a newer Qscope."""
    saved: datetime | None = None
    """When, in UTC (ISO 8601)."""
    pair: PairNamed = PairNamed()
    beta: float | None = None
    """What rewards were scaled by, above 0; null where it was not known."""
    example: str = ""
    """The title of the example that the texts began as; "" for none."""
    prompt: tuple[Turn, ...] = ()
    prompt_settings: str = ""
    """What a chat template is told besides the turns: a JSON object, or ""."""
    a: Response = Response()
    b: Response = Response()
    ids: dict[Literal["A", "B"], tuple[TokenId, ...]] = {}
    """The tokens of a response, by its side, where its text alone would not bring them back."""
    view: dict[str, str] = {}
    """How the window showed it: what the window names, and reads again if it understands it."""

    prompts: tuple[PromptSaid, ...] = ()
    """Those of the history, each once."""
    history: tuple[Past, ...] = ()
    """The states that were scored, in the order in which they were made."""
    history_now: int = 0
    """The number of the state on the screen; 0 for none."""

    def characters(self) -> int:
        """Return how long its texts are together."""
        turns = sum(len(turn.content) for turn in self.prompt)
        return turns + len(self.a.text) + len(self.b.text)

    def turns(self) -> Prompt:
        """Return the prompt."""
        return PromptSaid(self.prompt, self.prompt_settings).prompt()


class Found(NamedTuple):
    """What could be read; ``remark`` is a clause on what could not ("its beta is damaged")."""

    record: SessionRecord | None
    remark: str = ""


def record_of(
    spec: PairSpec | None, beta: float | None, example: str, prompt: Prompt, a: str, b: str
) -> SessionRecord:
    """Return the record of texts as they stand now."""
    said = PromptSaid.of(prompt)
    return SessionRecord(
        saved=datetime.now(UTC),
        pair=PairNamed.of(spec),
        beta=beta,
        example=example,
        prompt=said.turns,
        prompt_settings=said.settings,
        a=Response(a),
        b=Response(b),
    )


def encode(record: SessionRecord, recorded: object = None) -> bytes:
    """Return a record as bytes.

    ``recorded``: what JSON has of its numbers, which a draft has none of; it stands last.

    Raises:
        UserFacingError: it is so large that it would not be read again.
        ValueError: it holds a number that JSON has not.
    """
    text = json.dumps(msgspec.to_builtins(record), ensure_ascii=False, allow_nan=False, indent=1)
    if recorded is not None:
        numbers = json.dumps(recorded, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text = f"{text[:-2]},{_RECORDED}{numbers}\n}}"
    data = text.encode("utf-8", "backslashreplace") + b"\n"
    if len(data) > LARGEST:
        raise UserFacingError(
            f"the texts are larger than {LARGEST // 1_000_000} MB: shorten them, or save them in "
            "files of your own"
        )
    return data


def decode(data: bytes) -> Found:
    """Return the record that these bytes hold, as far as they do."""
    return decode_all(data)[0]


def decode_all(data: bytes) -> tuple[Found, object]:
    """Return the record that these bytes hold, and what JSON has of its numbers, unchecked.

    That is None if there is none (core.session_numbers reads it). Where it is damaged, all that
    stands before it is read.
    """
    if len(data) > LARGEST:
        return Found(None, f"it is larger than {LARGEST // 1_000_000} MB"), None
    remarks = []
    plain = _parsed(data)
    if plain is None:
        head, there, _ = data.rpartition(_RECORDED.encode())
        plain = _parsed(head.rstrip(b" ,") + b"}") if there else None
        remarks.append("what it says of its numbers is damaged")
    if plain is None:
        return Found(None, "it is no JSON, or damaged"), None
    if not isinstance(plain, dict) or not _is_version(plain.get("version")):
        return Found(None, "it is no record of a session"), None
    fields: dict[str, Any] = {}
    damaged = []
    for field in msgspec.structs.fields(SessionRecord):
        if field.name not in plain:
            continue
        try:
            fields[field.name] = _checked(msgspec.convert(plain[field.name], field.type))
        except (msgspec.ValidationError, ValueError, RecursionError, OverflowError):
            damaged.append(field.name)
    if damaged:
        remarks.append(f"its {', '.join(damaged)} cannot be read")
    if plain["version"] > VERSION:
        remarks.append("a newer version of Qscope wrote it, of which not all is understood")
    return Found(SessionRecord(**fields), " and ".join(remarks)), plain.get("recorded")


def _parsed(data: bytes) -> Any:
    """Return what JSON holds; None if it is none."""
    try:
        # Not msgspec: it refuses what encodes a lone half of a surrogate pair.
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 1_000_000


def _checked(value: Any) -> Any:
    """Return a field's value; raises ValueError where no window could have written it."""
    if isinstance(value, float) and not (math.isfinite(value) and 0 < value <= 1000):
        raise ValueError("no beta")
    if isinstance(value, tuple) and len(value) > MOST_TURNS:
        raise ValueError("too many turns")
    if isinstance(value, tuple) and any(len(turn.role) > LONGEST_ROLE for turn in _turns(value)):
        raise ValueError("no role")
    return value


def _turns(value: tuple[Any, ...]) -> Iterator[Turn]:
    """Yield the turns among a field's parts, and those of its prompts."""
    for it in value:
        if isinstance(it, Turn):
            yield it
        elif isinstance(it, PromptSaid):
            yield from it.turns
