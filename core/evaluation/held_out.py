"""The pairs that a run is measured on: of a file, or those that were registered for want of one.

Which words of a rejected answer are wrong is known of registered pairs; in a file's pairs it is
those that the chosen answer lacks. Knows nothing of models.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserFacingError

if TYPE_CHECKING:
    from core.preferences import Preference

ALIKE = 0.5
"""Below this likeness (difflib's ratio over words) a rejected answer is another text: which of its
words are wrong cannot be told from the chosen one."""
SOURCES: "dict[str, Callable[[int], list[Preference]]]" = {}
"""By what they are called, pairs that no training has seen and whose wrong words are known: what
gives the first n, always the same. Without a file, those that were registered first are taken."""


def usual() -> str:
    """Return what the pairs of no file are called that are measured on; "" if there are none."""
    return next(iter(SOURCES), "")


def pairs_to_measure(file: Path | None, count: int) -> "list[Preference]":
    """Return the first ``count`` pairs of a file, or of the usual source.

    Raises:
        UserFacingError: the file cannot be used or holds fewer than two pairs, or there is none.
    """
    if file is None:
        if not SOURCES:
            raise UserFacingError("There are no pairs to measure on: name a file of pairs.")
        return SOURCES[usual()](count)
    from core.preferences import load_preferences

    pairs = [
        replace(pair, wrong=differing_words(*pair.answers))
        for pair in load_preferences(file)[:count]
    ]
    if len(pairs) < 2:
        raise UserFacingError(f"{file} holds {len(pairs)} pairs: at least 2 are needed.")
    return pairs


def differing_words(chosen: str, rejected: str) -> tuple[tuple[int, int], ...]:
    """Return where the words of ``rejected`` are that ``chosen`` lacks, as code-point ranges.

    Nothing where the two are alike in less than half of their words.
    """
    ours, theirs = (list(re.finditer(r"\S+", text)) for text in (rejected, chosen))
    matcher = difflib.SequenceMatcher(
        None, [m.group() for m in theirs], [m.group() for m in ours], autojunk=False
    )
    if matcher.ratio() < ALIKE:
        return ()
    return tuple(
        (ours[start].start(), ours[end - 1].end())
        for kind, _, _, start, end in matcher.get_opcodes()
        if kind in ("replace", "insert")
    )
