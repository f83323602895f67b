"""Makes foreign text harmless where another program would obey it: a terminal, a spreadsheet.

Texts of models, names of files and lines of logs may hold anything. Knows no files, no widgets.
"""

import re

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys (C0, C1, the delete sign), and what turns the order of signs around."""
_SKIPPED = "\\s\"'`“”‘’\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
_FORMULA = re.compile(f"'*(?:[\t\n]|[{_SKIPPED}]*[=+@＝＋－＠﹦﹢﹣﹫-])")
"""How a cell begins that a spreadsheet takes for a formula, with what it may skip before one."""


def shown(text: str) -> str:
    """Return a text with control signs written out, as JSON writes them; tabs and lines stay."""
    return _OBEYED.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


def cell(text: str) -> str:
    """Return a text as a cell of a table that no spreadsheet computes: an apostrophe before it."""
    text = shown(text)
    return f"'{text}" if _FORMULA.match(text) else text


def of_cell(written: str) -> str:
    """Return the text that ``cell`` has written; control signs stay written out."""
    text = written.removeprefix("'")
    return text if _FORMULA.match(text) else written
