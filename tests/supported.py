"""``python -m tests.supported [--write]``: what is supported, as the registries in the code say.

Prints resources/supported.md, or writes it; tests/test_supported.py says whether it is up to date.
"""

import argparse
import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from core import preferences
from core.checkpoints import provenance
from core.checkpoints.describe import BY_STATISTICS, VIRTUAL_TOKENS
from core.checkpoints.quantised import PACKAGES
from core.losses import LOSSES, TrainingLoss
from core.runs import readers
from core.tables import KINDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "resources" / "supported.md"
FAMILIES = ROOT / "resources" / "architectures.md"
INTRODUCTION = (
    "Made by `python -m tests.supported --write` from what the code itself goes by. What is not "
    "listed is refused in one sentence."
)


def page() -> str:
    """Return the whole page."""
    parts = [f"# What is supported\n\n{INTRODUCTION}"]
    for title, lines in SECTIONS.items():
        parts.append(f"## {title}\n\n" + "\n".join(lines()))
    return "\n\n".join(parts) + "\n"


def _models() -> Iterator[str]:
    rows = re.findall(r"^\| ([\w.-]+) \| (\w[\w ]*) \|", FAMILIES.read_text("utf-8"), re.MULTILINE)
    verdicts: dict[str, list[str]] = {}
    for name, verdict in rows[1:]:
        verdicts.setdefault(verdict, []).append(name)
    for verdict, names in verdicts.items():
        yield f"- {verdict} ({len(names)} families): {', '.join(names)}"
    yield "\nHow each was judged: [architectures.md](architectures.md)."


def _weights() -> Iterator[str]:
    yield "- safetensors; pickles (`.bin`) where they are allowed; GGUF files, dequantised\n"
    yield from _table(
        ("quantised by", "read with"),
        ((method, ", ".join(packages) or "transformers") for method, packages in PACKAGES.items()),
    )
    yield f"\nAdapters: those of PEFT, but for {', '.join(sorted(VIRTUAL_TOKENS))}; not a"
    yield f"LoRA begun by statistics of data ({', '.join(BY_STATISTICS.values())})."


def _losses() -> Iterator[str]:
    yield from _table(
        ("name", "loss", "a response's score", "per token", "loss of a pair", "source"),
        (
            (
                f"`{name}`",
                loss.title,
                loss.score.replace("|", "\\|") or "–",
                "its share" if loss.kind != "none" and TrainingLoss((name,)).additive else "–",
                "–" if loss.pair is None else "shown",
                loss.source,
            )
            for name, loss in LOSSES.items()
        ),
    )


def _trainings() -> Iterator[str]:
    methods = ", ".join(sorted(set(provenance._METHODS.values())))
    about = _doc(provenance).partition("(")[2].partition(")")[0]
    yield f"Ways of training that are told apart: {methods}. Recipes are {about}.\n"
    yield from _table(
        ("what is read of a training", "called"),
        (
            (name.replace("_", " "), ", ".join(f"`{it}`" for it in setting.names))
            for name, setting in provenance._SETTINGS.items()
        ),
    )


def _data() -> Iterator[str]:
    layouts = _doc(preferences).partition("(")[2].partition(")")[0]
    yield f"{KINDS}, in the layouts of {layouts}.\n"
    columns = {
        "prompt": preferences.PROMPT,
        "chosen": preferences.CHOSEN,
        "rejected": preferences.REJECTED,
        "response (of data to score)": preferences.RESPONSE,
        "turns": preferences.TURNS,
        "system": preferences.SYSTEM,
    }
    yield from _table(
        ("side", "columns, the first that has something"),
        ((side, ", ".join(f"`{it}`" for it in names)) for side, names in columns.items()),
    )


def _logs() -> Iterator[str]:
    for found in pkgutil.iter_modules(readers.__path__):
        text = _doc(importlib.import_module(f"{readers.__name__}.{found.name}"))
        yield f"- {text.partition(chr(10) + chr(10))[0]}"


SECTIONS = {
    "Models": _models,
    "Weights": _weights,
    "Losses": _losses,
    "Trainings": _trainings,
    "Preference data": _data,
    "Logs": _logs,
}


def _doc(module: object) -> str:
    text = ast.get_docstring(ast.parse(Path(module.__file__).read_text("utf-8"))) or ""
    return text.replace("\n", " ").replace("  ", "\n\n")


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.supported", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    if parser.parse_args().write:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
