"""Chat templates with random changes: most still parse, some run forever or build gigabytes.

A template that a trainer ships is taken apart by jinja's own lexer, and some of its tokens are put
elsewhere, replaced by others of their kind or left out; or a snippet that is expensive to render is
put between two of its blocks. What is opened renders as transformers does, and gives a codec whose
tokens say the text that was scored.
"""

import copy
import random
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

NOTES = "what was changed"
NAME = "chat_template.jinja"
TEXT = "They offered $53K a year,\n naïve 🙂 and refused. "
BLOCKS = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{{ messages }}{% endfor %}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{{ 'a' * 10**10 }}",
    "{{ 'word ' * 10**6 }}",
    "{{ 'x'.center(10**12) }}",
    "{{ 'x'.zfill(10**9) }}",
    "{{ range(99999)|join('x' * 99999) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%.1000000000f' % 1 }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ lipsum(n=10**9) }}",
    "{{ lipsum(n=1) }}",
    "{% set c = cycler('a', 'b') %}{% for i in range(999) %}{{ c.next() }}{% endfor %}",
    "{% set a = 9**9 %}{{ 9**a }}",
    "{% if 9**387420489 %}{% endif %}",
    "{{ 9**9**9 }}",
    "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "{% set n = namespace(s=[1]) %}{% for i in range(9999) %}{% set n.s = [n.s] %}{% endfor %}"
    "{{ n.s|tojson }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(99) }}",
    "{% for i in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    "{% include 'x' %}",
    "{% extends messages[0].content %}",
    "{% import 'x' as y %}",
    "{{ raise_exception('no ' * 999) }}",
    "{{ raise_exception(messages) }}",
    "{{ strftime_now('%d %b %Y') }}",
    "{{ strftime_now('%Y' * 99999) }}",
    "{{ strftime_now(messages) }}",
    "{{ ('<' * 999999)|striptags }}",
    "{{ ('a ' * 99999)|wordwrap(1) }}",
    "{{ ('http://a.b ' * 9999)|urlize }}",
    "{{ [1]|slice(10**9)|list }}",
    "{{ ([[1]] * 9999)|sum(start=[]) }}",
    "{{ dict.fromkeys(range(99999)) }}",
    "{{ messages|tojson(indent=10**7) }}",
    "{{ messages.append(1) }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ self }}{{ namespace }}{{ caller }}",
    "{% generation %}{{ messages[-1].content }}{% endgeneration %}",
    "{% break %}",
    "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "{% if 1 %}" * 99_999,
    "{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}",
    "{{ " + "[" * 150 + "]" * 150 + " }}",
    "{{ " + "1+" * 9999 + "1 }}",
    "{{a}}" * 99_999,
    "x" * 99_999,
    "x" * 2_000_000,
    "\ud800",
    "\0{{ '\\0' }}",
    "{% raw %}{{ x }}{% endraw %}{# {{ #}",
)
"""What is put between two blocks."""
FILTERS = (
    "trim upper lower title length list first last join reverse sort unique string int float abs "
    "round tojson safe escape e map select reject selectattr groupby batch slice sum indent "
    "wordwrap striptags urlize urlencode xmlattr pprint random replace default items center format "
    "truncate wordcount dictsort filesizeformat nonsense"
).split()
ALONE = re.compile(r"random|lipsum|namespace \}|strftime|n\.s|9999|\*\*|000000")
"""In templates that transformers is not asked for: what they write differs each time, or rendering
them in this process, without limits, might not end."""


@cache
def _sources() -> tuple[tuple[str, str], ...]:
    """The templates that are changed, by name."""
    import trl

    from tests.tiny import TEMPLATE

    folder = Path(trl.__file__).parent / "chat_templates"
    found = [(path.stem, path.read_text("utf-8")) for path in sorted(folder.glob("*.jinja"))]
    return (("ChatML", TEMPLATE), *found)


@cache
def _environment() -> Any:
    from jinja2 import ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols]
    )


def prepare() -> None:
    """Read what all are made of, once."""
    from tests.tiny import byte_level_tokenizer

    _sources()
    byte_level_tokenizer()


def make(folder: Path, rng: random.Random) -> Path:
    """Write a template into a folder; return the folder."""
    name, source = rng.choice(_sources())
    done = [name]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice((_a_block, _a_block, _a_token, _a_token, _a_filter, _a_number, _a_move))
        source, what = change(source, rng)
        done.append(what)
    (folder / NAME).write_text(source, "utf-8", "surrogatepass")
    (folder / NOTES).write_text("\n".join(done), "utf-8", "backslashreplace")
    return folder


def _pieces(source: str) -> list[tuple[str, str]]:
    """A template's tokens, kind and text; joined the texts are the template."""
    from jinja2 import TemplateSyntaxError

    try:
        return [(kind, text) for _, kind, text in _environment().lex(source)]
    except TemplateSyntaxError:  # changed before
        return [("data", source)]


def _a_block(source: str, rng: random.Random) -> tuple[str, str]:
    """Put a snippet before or behind a block, in which it may stand in a loop."""
    pieces = _pieces(source)
    ends = ("block_end", "variable_end", "comment_end", "raw_end")
    places = [i + 1 for i, (kind, _) in enumerate(pieces) if kind in ends] or [0, len(pieces)]
    at, block = rng.choice(places), rng.choice(BLOCKS)
    texts = [text for _, text in pieces]
    what = f"{block[:60]!r} at {at}"
    return "".join((*texts[:at], block, *texts[at:])), what


def _a_token(source: str, rng: random.Random) -> tuple[str, str]:
    """Replace a token by another of its kind, leave it out, or write it twice."""
    pieces = _pieces(source)
    kinds = rng.choice((("name", "operator"), ("name",), ("string", "integer"), ("string",)))
    places = [i for i, (kind, _) in enumerate(pieces) if kind in kinds]
    if not places:
        return source + rng.choice(BLOCKS), "nothing in it: a block at the end"
    at = rng.choice(places)
    kind, text = pieces[at]
    others = [pieces[i][1] for i in places if pieces[i][0] == kind and pieces[i][1] != text]
    way = rng.choice(("another",) * 6 + ("none", "twice"))
    new = {"none": "", "twice": f"{text} {text}"}.get(way) if way != "another" else None
    if new is None:
        new = rng.choice(others or ["x"])
    texts = [it for _, it in pieces]
    return "".join((*texts[:at], new, *texts[at + 1 :])), f"{text!r} at {at} is {new!r}"


def _a_filter(source: str, rng: random.Random) -> tuple[str, str]:
    """Put what is written or asked through another filter."""
    pieces = _pieces(source)
    places = [i for i, (kind, _) in enumerate(pieces) if kind == "variable_end"]
    if not places:
        return _a_token(source, rng)
    at, name = rng.choice(places), rng.choice(FILTERS)
    more = rng.choice(("", "", "()", "(1)", "(10**7)", "('x')", "(' ', 3)"))
    texts = [text for _, text in pieces]
    return "".join((*texts[:at], f"|{name}{more}", *texts[at:])), f"|{name}{more} at {at}"


def _a_number(source: str, rng: random.Random) -> tuple[str, str]:
    """Make a number or a text of the template large, or nothing."""
    pieces = _pieces(source)
    places = [i for i, (kind, _) in enumerate(pieces) if kind in ("integer", "string")]
    if not places:
        return _a_token(source, rng)
    at = rng.choice(places)
    kind, text = pieces[at]
    numbers = "0", "-1", "10**9", "10**400", "1.5", "1e999", "none"
    words = "''", f"({text} * 10**4)", f"({text} * 10**9)", f"({text} ~ messages)", f"({text}|list)"
    new = rng.choice(numbers if kind == "integer" else words)
    texts = [it for _, it in pieces]
    return "".join((*texts[:at], new, *texts[at + 1 :])), f"{text[:40]!r} at {at} is {new[:60]}"


def _a_move(source: str, rng: random.Random) -> tuple[str, str]:
    """Put one whole block or a stretch of text elsewhere."""
    parts = re.split(r"(\{%.*?%\}|\{\{.*?\}\})", source, flags=re.DOTALL)
    one, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    moved = parts.pop(one)
    parts.insert(other, moved)
    return "".join(parts), f"{moved[:40]!r} from {one} to {other}"


def parsed(folder: Path) -> bool:
    """Return whether jinja takes what was written for a template."""
    from core.rendering import Fault, render

    source = (folder / NAME).read_text("utf-8", "surrogatepass")
    try:
        render("{% if nothing %}{% endif %}" + source, {"messages": [{}]}, datetime.now())
    except Fault as fault:
        return fault.kind != "syntax"
    return True


def describe(folder: Path) -> str:
    """Return what was done, in a line."""
    return "; ".join((folder / NOTES).read_text("utf-8").splitlines())


def open_it(folder: Path) -> str:
    """Read a conversation by the template; return "opened".

    Raises:
        UserFacingError: it is refused, in one sentence.
        AssertionError: what is read is not what transformers renders, or not what was written.
    """
    from core.as_read import as_read
    from core.codec import Codec
    from core.template import Template
    from core.text import Message, Prompt
    from tests.tiny import byte_level_tokenizer

    source = (folder / NAME).read_text("utf-8", "surrogatepass")
    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.name_or_path, tokenizer.bos_token = str(folder), "<|im_start|>"
    tokenizer.chat_template = source
    codec = Codec(tokenizer, "rest")
    made = Template(tokenizer)
    for prompt in (Prompt.of("Hi"), Prompt.of("Hi, you.\n", "Be brief.")):
        tokens = codec.encode(prompt, TEXT, "No.")
        assert tokens.text == TEXT, "another text is scored"
        assert len(tokens.pieces) == len(tokens.ids) == len(tokens.starts), "tokens and spans"
        read = as_read(codec, prompt, tokens)
        assert read.ids[read.first : read.stop] == (*tokens.ids, *tokens.closing), "what is scored"
        turns = (*prompt.messages, Message("assistant", TEXT))
        written = made.said(prompt, turns[-1:])
        if not ALONE.search(source) and " at 0x" not in written:
            assert written in _by_transformers(tokenizer, turns), "transformers renders otherwise"
    return "opened"


def _by_transformers(tokenizer: Any, turns: Any) -> list[str]:
    """What transformers itself renders of turns, their content as text or as lists of parts."""
    found = []
    for parts in ((), ("user", "system"), ("assistant", "user", "system")):
        rows = [it.row() for it in turns]
        for row in rows:
            if row["role"] in parts:
                row["content"] = [{"type": "text", "text": row["content"]}]
        try:
            text = tokenizer.apply_chat_template(rows, tokenize=False)
            found.append(text.encode("utf-8", "replace").decode("utf-8"))
        except Exception as error:  # it takes the content another way
            found.append(repr(error))
    return found
