"""Kinds of post: their facts and their templates, read from ``kinds/*.toml``.

Splits templates into those trained on and those held out. Knows nothing of values.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from core.errors import UserFacingError

SLOT = re.compile(r"\{(\w+)\}")
EVERY = 5
"""Every fifth template of a kind, for posts and for summaries, is held out."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of post. Every slot of a summary is a slot of every post."""

    name: str
    held_out: bool
    facts: Mapping[str, Mapping[str, Any]]
    posts: tuple[str, ...]
    summaries: tuple[str, ...]

    def split(self, held_out: bool) -> "Kind":
        """Return this kind with its held-out templates only, or without them."""
        if self.held_out and held_out:
            return self
        return Kind(
            self.name,
            self.held_out,
            self.facts,
            _part(self.posts, held_out),
            _part(self.summaries, held_out),
        )


def _part(templates: tuple[str, ...], held_out: bool) -> tuple[str, ...]:
    return tuple(
        text for index, text in enumerate(templates) if (index % EVERY == EVERY - 1) == held_out
    )


@lru_cache(maxsize=1)
def all_kinds() -> tuple[Kind, ...]:
    """Return every kind in the package, by file name.

    Raises:
        UserFacingError: a file is not a kind; the sentence names it and what is wrong.
    """
    folder = resources.files("core.demo") / "kinds"
    files = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda f: f.name
    )
    return tuple(parse_kind(item.read_text("utf-8"), item.name) for item in files)


def parse_kind(text: str, name: str) -> Kind:
    """Read and check one kind from the text of its file.

    Raises:
        UserFacingError: not TOML, a key is missing, or a template uses what is not there.
    """
    try:
        table = tomllib.loads(text)
        kind = Kind(
            table["name"],
            bool(table.get("held_out", False)),
            table["facts"],
            tuple(post.strip() for post in table["posts"]),
            tuple(table["summaries"]),
        )
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise UserFacingError(f"The kind of post in {name} cannot be read: {error}.") from error
    for template in kind.posts + kind.summaries:
        for slot in set(SLOT.findall(template)) - set(kind.facts):
            raise UserFacingError(f"{name} uses {{{slot}}}, which is not in its [facts].")
    wanted = {slot for summary in kind.summaries for slot in SLOT.findall(summary)}
    for post in kind.posts:
        for slot in wanted - set(SLOT.findall(post)):
            raise UserFacingError(f"A post in {name} does not say {{{slot}}}: {post[:40]!r}.")
    return kind


def kinds_for(held_out: bool) -> tuple[Kind, ...]:
    """Return the kinds to train on, with the templates to train on; or everything held out."""
    return tuple(kind.split(held_out) for kind in all_kinds() if held_out or not kind.held_out)
