"""Checks that a checkpoint's tokenizer reads texts in bounded time, before a library makes it.

A tokenizer splits and rewrites texts by rules of its own, among them regular expressions, and holds
Python's lock meanwhile. Those of all usual kinds take a time that their form tells; where it does
not, the tokenizer is tried on texts in a process with a deadline. Knows nothing of models.
"""

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from core.checkpoints.aside import Unanswered, ask_aside
from core.checkpoints.limited import (
    LARGE,
    VOCABULARY,
    beyond,
    check_files,
    read_bytes,
    read_json,
)
from core.errors import UserFacingError

FILES = (
    *LARGE, "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tiktoken.model",
    "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json", "config.json",
    "processor_config.json", "preprocessor_config.json",
)  # fmt: skip
"""What transformers reads of a tokenizer."""
MOST_ADDED = 2**17
"""Tokens that are added to a vocabulary, at most; each takes microseconds."""
RULES = 2**14
"""Values in a tokenizer's rules, at most."""
GROWTH = 64
"""How many times longer rules may make a text."""
DEGREE, WAYS = 3, 4096
"""Repetitions of any length after each other in an expression, and ways of its other parts, up to
which it takes bounded time on each text."""
SECONDS = 10
COPY = "copy its files again from the model that it is of"
"""What to do about a tokenizer that cannot be used."""


class _File(msgspec.Struct):
    """The parts of tokenizer.json that are no vocabulary, which is passed over."""

    added_tokens: list[msgspec.Raw] | None = None
    normalizer: Any = None
    pre_tokenizer: Any = None
    post_processor: Any = None
    decoder: Any = None


def check_tokenizer(folder: Path) -> None:
    """Check the files of a tokenizer in a folder; those that are missing are passed over.

    Raises:
        UserFacingError: a file exceeds a limit, names others, or its rules take too long.
    """
    templates = [f"additional_chat_templates/{it.name}" for it in folder.glob("add*/*.jinja")]
    check_files(folder, (*FILES, *templates))
    for name in ("tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            said = read_json(folder / name, LARGE[name], 16 * MOST_ADDED)
            added = said.get("added_tokens_decoder") or {} if name.startswith("tok") else said
            if len(added) > MOST_ADDED:
                raise _too_many(folder / name)
            if set(said.get("fast_tokenizer_files") or ()) - {"tokenizer.json"}:
                raise UserFacingError(
                    f"{folder / name} names other files of a tokenizer (fast_tokenizer_files): "
                    f"delete that entry, or {COPY}."
                )
    path = folder / "tokenizer.json"
    if path.is_file():
        _check_rules(path)


def _check_rules(path: Path) -> None:
    try:
        file = msgspec.json.decode(read_bytes(path, VOCABULARY), type=_File)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UserFacingError(f"{path} is not a tokenizer's valid JSON: {COPY}.") from error
    if len(file.added_tokens or ()) > MOST_ADDED:
        raise _too_many(path)
    rules = [file.normalizer, file.pre_tokenizer, file.post_processor, file.decoder]
    if why := beyond(rules, RULES):
        raise UserFacingError(f"The rules in {path} cannot be used (it {why}): {COPY}.")
    expressions = list(_expressions(rules))
    if all(map(_is_bounded, expressions)) and _growth(file.normalizer) <= GROWTH:
        return
    letters = sorted({letter for it in expressions for letter in it if letter.isalnum()})[:LETTERS]
    try:
        ask_aside(_TRIAL, [str(path), letters], SECONDS)
    except Unanswered as error:
        raise UserFacingError(
            f"The rules in {path} take too long on a text, or fail: {COPY}, or choose another "
            f"checkpoint."
        ) from error


def _too_many(path: Path) -> UserFacingError:
    return UserFacingError(
        f"{path} adds more than {MOST_ADDED:,} tokens to the vocabulary: {COPY}, or choose another "
        f"checkpoint."
    )


def _expressions(rules: Any) -> Iterator[str]:
    """Yield the regular expressions in a tokenizer's rules."""
    if isinstance(rules, list):
        for rule in rules:
            yield from _expressions(rule)
    elif isinstance(rules, dict):
        if isinstance(expression := rules.get("Regex"), str):
            yield expression
        yield from _expressions(list(rules.values()))


def _growth(rule: Any) -> float:
    """Return how many times longer a normalizer's replacements may make a text."""
    if not isinstance(rule, dict):
        return 1
    pattern, content = rule.get("pattern"), rule.get("content") or rule.get("prepend") or ""
    replaced = pattern.get("String") if isinstance(pattern, dict) else ""
    inner = rule.get("normalizers")
    own = max(1, len(str(content)) / max(1, len(str(replaced or ""))))
    return own * prod(map(_growth, inner if isinstance(inner, list) else ()))


_TRIAL = r"""
import itertools, string
from tokenizers import Tokenizer
def answer(question):
    path, letters = question
    read = Tokenizer.from_file(path)
    pieces = dict.fromkeys([*"aA1 .'_é你ا🙂", "\n", *letters])
    # What an expression looks for is there, but not where it looks.
    ends = "", "\0" + string.printable
    texts = ["The quick brown fox doesn't jump over 12,345.67 lazy dogs; she said: \"No!\"\n" * 50]
    texts += [piece * 2000 + end for piece in pieces for end in ends]
    texts += [(a + b) * 100 + end for a, b in itertools.combinations(pieces, 2) for end in ends]
    return max(len(read.encode(text).ids) for text in texts)
"""
LETTERS = 40
"""Of the expressions' own letters, so many are tried."""


# --- expressions ----------------------------------------------------------------------------------

_CLASS = re.compile(r"\[\^?\]?(?:\\.|\[(?:\\.|[^\[\]\\])*\]|[^\[\]\\])*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[pPxuo]\{[^{}]*\}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^1-9kgpPQGRKX])")
_OPENING = re.compile(r"\((?:\?(?::|=|!|<=|<!|>|[imsx]+:|<[A-Za-z]\w*>))?")
_REPEAT = re.compile(r"(\*|\+|\?|\{(\d*)(,?)(\d*)\})[?+]?")
LONGEST = 10_000
"""Characters of an expression whose form is looked at."""
LONG = 16
"""A repetition of more choices than these counts as one of any length."""


def _is_bounded(expression: str) -> bool:
    """Return whether an expression's form tells that it takes bounded time on each text.

    True if no repetition contains a choice, up to DEGREE repetitions follow each other, and their
    other parts have up to WAYS ways to match: what GPT-2's, Llama's and their likes are.
    """
    if len(expression) > LONGEST:
        return False
    try:
        (degree, ways), end = _of_choices(expression, 0)
    except ValueError:
        return False
    return end == len(expression) and degree <= DEGREE and ways <= WAYS


def _of_choices(text: str, at: int, depth: int = 0) -> tuple[tuple[int, int], int]:
    """Return the degree and the ways of alternatives that begin somewhere, and where they end.

    Raises:
        ValueError: they hold what is not known, or repetitions of choices.
    """
    if depth > DEGREE * LONG:
        raise ValueError
    most, ways, degree, own = 0, 0, 0, 1
    while at < len(text) and text[at] != ")":
        if text[at] == "|":
            most, ways, degree, own, at = max(most, degree), ways + own, 0, 1, at + 1
            continue
        inner = 0, 1
        if text[at] == "(":
            if not (opening := _OPENING.match(text, at)) or text.startswith("(?", at) == (
                opening[0] == "("
            ):
                raise ValueError
            inner, at = _of_choices(text, opening.end(), depth + 1)
            if at >= len(text):
                raise ValueError
            at += 1
        elif text[at] in "[\\":
            found = (_CLASS if text[at] == "[" else _ESCAPE).match(text, at)
            if not found:
                raise ValueError
            at = found.end()
        elif text[at] in "*+?{":
            raise ValueError
        else:
            at += 1
        times = 1
        if repeat := _REPEAT.match(text, at):
            at = repeat.end()
            fewest = int(repeat[2] or 0)
            endless = repeat[1] in "*+" or bool(repeat[3] and not repeat[4])
            times = int(repeat[4] or 0) - fewest + 1 if repeat[3] or repeat[1] == "?" else 1
            times = 2 if repeat[1] == "?" else times
            if inner != (0, 1) and repeat[1] != "?":
                raise ValueError
            if endless or times > LONG:
                inner, times = (1, 1), 1
        degree, own = degree + inner[0], own * inner[1] * times
    return (max(most, degree), ways + own), at
