"""Says sentences of the core in the window's words: fields of Open a pair in place of options.

The core says once what to do, for the command line too; here is what the window calls its options.
"""

import re

FIELDS = {
    "policy": "Policy",
    "run": "Training run",
    "reference": "Reference",
    "base": "Base",
    "search-base": "Search base",
    "beta": "β of the training",
    "loss": "Loss of the training",
    "device": "device",
    "dtype": "number format",
    "plain": "Plain text",
    "trainer": "Trainer",
    "download": "Open",
    "allow-pickle": "Load pickled weights",
    "trust-remote-code": "Run the code that comes with the checkpoint",
}
"""What Open a pair calls each option of a pair."""
_OPTION = f"--({'|'.join(FIELDS)})"
_RULES = (
    (re.compile(r", or keep the others with python main\.py data .* --write \S+(?=\.)"), ""),
    (re.compile(r"leave --data out for the neutral corpus"), "choose the neutral corpus"),
    (re.compile(r"sample more with --sampled N, or leave it out for"), "choose"),
    (re.compile(r"name a file with shorter ones with --data FILE"), "choose another source"),
    (re.compile(r"name a file with more, or (?=choose)"), "choose a file with more, or "),
    (re.compile(r"\(--against \S+\)"), "at “Compared with”"),
    (re.compile(r"use --anew\b"), "tick “Begin anew”"),
    (re.compile(r"(?:with )?--anew\b"), "with “Begin anew”"),
    (re.compile(r" with --out\b"), ""),
    (re.compile(r"with --columns \S+ or \S+(?=\.)"), "at “Columns”"),
    (re.compile(r"leave --data out for"), "choose"),
    (re.compile(r" with --data FILE\b"), ""),
    (re.compile(r"write them with --write-pairs first"), "choose another file, or another judge"),
    (re.compile(f"(?:with )?{_OPTION}(?: DIR)?, or in Open a pair"), "“{}” in Open a pair"),
    (re.compile(f"with {_OPTION} DIR"), "as “{}” in Open a pair"),
    (re.compile(f"pass {_OPTION}(?= if)"), "tick “{}” in Open a pair"),
    (re.compile(f"{_OPTION}(?= [a-z])"), "the {}"),
    (re.compile(f"{_OPTION}\\b"), "“{}” in Open a pair"),
)


def in_window(sentence: str) -> str:
    """Return a sentence with what the window has in place of the options that it names."""
    for rule, words in _RULES:
        sentence = rule.sub(lambda found: words.format(*_fields(found)), sentence)  # noqa: B023
    return sentence


def _fields(found: re.Match[str]) -> list[str]:
    return [FIELDS[name] for name in found.groups()]
