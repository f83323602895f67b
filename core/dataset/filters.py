"""The language in which rows of a scored file are filtered: words to find, and comparisons.

``margin < -2 length_difference > 10 category = code sorry`` keeps the rows of which all of that is
true. A word alone is looked for in prompt, chosen and rejected, whatever its case, and
``rejected:sorry`` in one column. ``-`` before a part means "not"; quotes hold words together,
and two of them within others are one.
Numbers are in memory, and texts as far as a table holds them; in others words are looked for on
disk. Knows tables; knows nothing of windows.
"""

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.dataset.scored import SOURCE, batches
from core.dataset.table import TEXTS, ScoredTable, as_numpy, folded
from core.errors import Cancelled, UserFacingError
from core.progress import Report, Stop, never, silent

if TYPE_CHECKING:
    import pyarrow as pa

Flags = NDArray[np.bool_]
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "=": operator.eq,
    "<": operator.lt, ">": operator.gt,
}  # fmt: skip
IN_TEXTS = (*TEXTS, "id", "note")
"""What can be looked into besides the source's columns."""
PART = re.compile(
    r'(?P<minus>-)?(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<bare>(?:[^\s"<>=!:]|!(?!=))+))'
    r"(?:\s*(?P<sign><=|>=|!=|==|[<>=:])"
    r'\s*(?:"(?P<text>(?:[^"]|"")*)"|(?P<value>[^\s"]+))?)?(?=\s|$)'
)
LOOKING = "Looking for “{}”"
REMEMBERED = 8
"""Words whose rows are remembered."""
HELP = (
    "margin < -2     rows of which a number is smaller (also <=, >, >=, =, !=)\n"
    "category = code     rows whose column of the source says so\n"
    'sorry "I am"     rows with these words in prompt, chosen or rejected\n'
    "rejected:sorry     with the word in one of them\n"
    "-sorry     without it; all parts must be true"
)


class Term(Protocol):
    """One part of a filter."""

    def flags(
        self, table: ScoredTable, beta: float | None, cancelled: Stop, report: Report
    ) -> Flags:
        """Return of which rows it is true, [count]."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A number of a row compared with another; of a row whose number is not known it is false."""

    name: str
    sign: str
    value: float

    def flags(
        self, table: ScoredTable, beta: float | None, cancelled: Stop, report: Report
    ) -> Flags:
        if self.name == "preference" and not table.prefers(beta):
            raise UserFacingError(
                "σ(m) is not known here (β is not, or the loss makes it no probability): compare "
                "the margin instead."
            )
        numbers = table.values(self.name, beta)
        found: Flags = COMPARE[self.sign](numbers, self.value) & ~np.isnan(numbers)
        return found


@dataclass(frozen=True, slots=True)
class OneOf:
    """Which words a column of few words must have, whatever their case; "" for a row with none."""

    name: str
    wanted: Callable[[str], bool]

    def flags(
        self, table: ScoredTable, beta: float | None, cancelled: Stop, report: Report
    ) -> Flags:
        words = table.words[self.name]
        of_kinds = np.array([*map(self.wanted, words.kinds), self.wanted("")], dtype=bool)
        found: Flags = of_kinds[words.codes]  # −1 is the last
        return found


@dataclass(frozen=True, slots=True)
class Find:
    """Text to find in one of some columns, whatever its case, or that one must be."""

    columns: tuple[str, ...]
    text: str
    whole: bool = False

    def flags(
        self, table: ScoredTable, beta: float | None, cancelled: Stop, report: Report
    ) -> Flags:
        if table.folded.keys() >= {*self.columns}:
            return self._in(table.folded, cancelled)
        found, done = [np.zeros(0, dtype=bool)], 0
        for batch in batches(table.path, [*self.columns, "turns"]):
            found.append(self._in({it: folded(batch, it) for it in self.columns}, cancelled))
            done += len(batch)
            report(LOOKING.format(self.text), min(1.0, done / table.count))
        flags = np.concatenate(found)
        if len(flags) != table.count:
            raise UserFacingError(f"{table.path} is another file now: open it again.")
        return flags

    def _in(self, texts: Mapping[str, "pa.Array"], cancelled: Stop) -> Flags:
        """Return of which rows it is true, given what ``folded`` makes of their texts."""
        import pyarrow.compute as pc

        pattern = re.escape(self.text.casefold())  # takes half as long as match_substring
        pattern = rf"\A{pattern}\z" if self.whole else pattern
        hits = []
        for name in self.columns:
            if cancelled():
                raise Cancelled
            own = pc.match_substring_regex(texts[name], pattern)
            hits.append(as_numpy(own) & ~as_numpy(own.is_null()))
        found: Flags = np.logical_or.reduce(hits)
        return found


@dataclass(frozen=True, slots=True)
class Not:
    """What must not be true."""

    term: Term

    def flags(
        self, table: ScoredTable, beta: float | None, cancelled: Stop, report: Report
    ) -> Flags:
        return ~self.term.flags(table, beta, cancelled, report)


def matching(
    table: ScoredTable,
    terms: Sequence[Term],
    beta: float | None,
    cancelled: Stop = never,
    report: Report = silent,
) -> Flags:
    """Return of which rows all terms are true, [count]. Words are looked for last.

    Raises:
        UserFacingError: the file cannot be read any more.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    flags = np.ones(table.count, dtype=bool)
    for term in sorted(terms, key=_reads):
        if not flags.any():
            break
        flags &= _flags(term, table, beta, cancelled, report)
    return flags


def _flags(
    term: Term, table: ScoredTable, beta: float | None, cancelled: Stop, report: Report
) -> Flags:
    """Return of which rows a term is true; the words that were looked for lately are remembered."""
    if isinstance(term, Not):
        return ~_flags(term.term, table, beta, cancelled, report)
    if not isinstance(term, Find):
        return term.flags(table, beta, cancelled, report)
    if (known := table.found.get(term)) is not None:
        return known
    found = term.flags(table, beta, cancelled, report)
    while len(table.found) >= REMEMBERED:
        table.found.pop(next(iter(table.found)))
    table.found[term] = found
    return found


def compared(terms: Sequence[Term]) -> Iterator[str]:
    """Yield the names of the numbers that terms compare."""
    for term in terms:
        inside = term.term if isinstance(term, Not) else term
        if isinstance(inside, Comparison):
            yield inside.name


def _reads(term: Term) -> bool:
    return isinstance(term.term if isinstance(term, Not) else term, Find)


# --- reading a filter ---------------------------------------------------------------------------


def parse(text: str, table: ScoredTable) -> tuple[Term, ...]:
    """Return the parts of a filter.

    Raises:
        UserFacingError: it cannot be understood; one sentence says what to write instead.
    """
    terms: list[Term] = []
    at = 0
    text = text.strip()
    while at < len(text):
        part = PART.match(text, at)
        if part is None:
            raise UserFacingError(_not_understood(text[at:]))
        term = _term(part, table)
        terms.append(Not(term) if part["minus"] else term)
        at = part.end() + len(text[part.end() :]) - len(text[part.end() :].lstrip())
    return tuple(terms)


def _not_understood(rest: str) -> str:
    if rest.count('"') % 2:
        return "A quotation mark has no second one: close it, or leave it out."
    word = rest.split(maxsplit=1)[0]
    return (
        f"“{word}” is not understood: write comparisons as margin < -2, and put words with signs "
        f'in quotes ("a=b").'
    )


def _term(part: re.Match[str], table: ScoredTable) -> Term:
    name = part["bare"] if part["quoted"] is None else part["quoted"].replace('""', '"')
    sign = "=" if part["sign"] == "==" else part["sign"]
    if sign is None:
        if not name:
            raise UserFacingError("There is nothing between the quotation marks: write a word.")
        return Find(TEXTS[:2] if table.is_single else TEXTS, name)
    value = part["value"] if part["text"] is None else part["text"].replace('""', '"')
    if value is None:
        raise UserFacingError(
            f"After {name} {sign} something is missing: write what to compare with."
        )
    column = _column(name, table)
    if column in table.words:
        return OneOf(column, _wanted(name, sign, value))
    if column in IN_TEXTS or column in table.searched:
        if sign not in (":", "=", "!="):
            raise UserFacingError(
                f"{name} holds text: look into it with {name}:word, or compare it with =."
            )
        found = Find((column,), value, whole=sign != ":")
        return Not(found) if sign == "!=" else found
    if sign == ":":
        raise UserFacingError(f"{name} is a number: compare it, as in {name} > 1.")
    try:
        number = float(value.replace("\u2212", "-").replace(",", ""))
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise UserFacingError(f"{name} is a number: write {name} {sign} 1, not “{value}”.")
    return Comparison(column, sign, number)


def _wanted(name: str, sign: str, value: str) -> Callable[[str], bool]:
    asked = value.casefold()
    if sign == ":":
        return lambda word: asked in word.casefold()
    if sign == "=":
        return lambda word: word.casefold() == asked
    if sign == "!=":
        return lambda word: word.casefold() != asked
    raise UserFacingError(f"{name} holds words: compare it with = or !=, or look into it with :.")


def names(table: ScoredTable) -> dict[str, str]:
    """Return how columns are called in filters, each with its name in the table."""
    own = {it.name: it.name for it in table.columns if not it.name.startswith(SOURCE)}
    own |= {name: name for name in IN_TEXTS}
    found = dict(own)
    for it in table.columns:
        if it.name.startswith(SOURCE):
            short = it.name.removeprefix(SOURCE)
            found[it.name if short in own else short] = it.name
    return found


def written(name: str) -> str:
    """Return a column's name or a value as a filter writes it: in quotes where it needs them, and
    of those within it two."""
    needed = not name or re.search(r'[\s"<>=!:]|^-', name)
    return '"' + name.replace('"', '""') + '"' if needed else name


def _column(name: str, table: ScoredTable) -> str:
    known = names(table)
    if name in known:
        return known[name]
    folded = {it.casefold(): it for it in known}
    if name.casefold() in folded:
        return known[folded[name.casefold()]]
    close = difflib.get_close_matches(name.casefold(), folded, 1)
    there = f"do you mean {written(folded[close[0]])}?" if close else (
        f"there are {', '.join(map(written, list(known)[:8]))}, …"
    )  # fmt: skip
    raise UserFacingError(f"There is no column “{name}”: {there} Words with signs stand in quotes.")
