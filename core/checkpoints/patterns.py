"""Matching regular expressions of an adapter's config against the names of a model's modules.

An expression of somebody else's can take longer than anybody lives, and nothing can stop Python's
matching, which holds its lock. Plain ones are matched here; others, in a process with a deadline,
by the same module that PEFT matches them with. Knows nothing of adapters.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from core.checkpoints.aside import Unanswered, ask_aside
from core.errors import UserFacingError

Form = Literal["whole", "end", "layer"]
"""How PEFT matches an expression: target_modules with the whole name, keys of rank_pattern with its
last parts, layers_pattern with what stands before a layer's number."""
FORMS = {"whole": "{}", "end": r"(.*\.)?({})$", "layer": r"(?:^|.*?\.){}\.(?P<idx>\d+)\."}
PLAIN = re.compile(r"\^?(?:[\w.-]|\\[.-])*\$?")
"""Expressions that no text takes long to match: letters one after the other."""
LONGEST = 10_000
"""Characters of all expressions that are not plain, at most."""
_CODE = r"""
import re
def answer(question):
    whole, patterns, names = question
    answers = []
    for pattern in patterns:
        match = re.compile(pattern).fullmatch if whole else re.compile(pattern).match
        found = {name: match(name) for name in names}
        answers.append({name: it.groupdict().get("idx") for name, it in found.items() if it})
    return answers
"""


def matches(
    form: Form, patterns: Sequence[str], names: Sequence[str], where: object
) -> list[dict[str, str | None]]:
    """Return for each expression the names that it matches, with the number of the layer, if any.

    Args:
        where: the file that they stand in, for the sentence.

    Raises:
        UserFacingError: one is no expression, or they take too long.
    """
    return [dict(it) for it in _matches(form, tuple(patterns), tuple(names), str(where))]


@lru_cache(maxsize=16)
def _matches(
    form: Form, patterns: tuple[str, ...], names: tuple[str, ...], where: str
) -> list[dict[str, str | None]]:
    odd = [pattern for pattern in patterns if not PLAIN.fullmatch(pattern)]
    found = {}
    try:
        if sum(map(len, odd)) > LONGEST:
            raise Unanswered(f"they have more than {LONGEST:,} characters")
        if odd:
            said = [FORMS[form].replace("{}", pattern) for pattern in odd]
            answers = ask_aside(_CODE, [form == "whole", said, names])
            found = dict(zip(odd, answers, strict=True))
    except Unanswered as error:
        raise UserFacingError(
            f"{where} has an expression that cannot be matched ({odd[0][:60]!r}: {error}): name "
            f"the modules there one by one, or choose another adapter."
        ) from error
    plain = {}
    for pattern in set(patterns) - found.keys():
        expression = re.compile(FORMS[form].replace("{}", pattern))
        match = expression.fullmatch if form == "whole" else expression.match
        plain[pattern] = {name: it.groupdict().get("idx") for name in names if (it := match(name))}
    return [found[pattern] if pattern in found else plain[pattern] for pattern in patterns]
