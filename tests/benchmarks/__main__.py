"""``python -m tests.benchmarks NAME [--json]``: run one benchmark, or say which there are."""

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import machine


def benchmarks() -> dict[str, str]:
    """Name and first line of each benchmark in this folder."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        text = path.read_text(encoding="utf-8")
        if "def measure(" in text:
            found[path.stem.replace("_", "-")] = text.partition('"""')[2].partition("\n")[0]
    return found


def options(measure: Callable[..., Any]) -> argparse.ArgumentParser:
    """The options of one benchmark: the parameters of its ``measure``, numbers and switches."""
    parser = argparse.ArgumentParser(add_help=False)
    for name, parameter in inspect.signature(measure).parameters.items():
        flag = f"--{name.replace('_', '-')}"
        if parameter.default is False:
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=type(parameter.default), default=parameter.default)
    return parser


def print_table(values: dict[str, Any], indent: str = "") -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            print_table(value, indent + "  ")
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            print(f"{indent}{name:<36} {shown}")


def main() -> int:
    there = benchmarks()
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        usage="%(prog)s NAME [--json] [options of the benchmark]",
        epilog="\n".join(f"{name:<10}{what}" for name, what in there.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=there)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments, rest = parser.parse_known_args()
    module = importlib.import_module(f"tests.benchmarks.{arguments.name.replace('-', '_')}")
    chosen = options(module.measure)
    chosen.prog = f"{parser.prog} {arguments.name}"
    measured = module.measure(**vars(chosen.parse_args(rest)))
    measured = {"benchmark": arguments.name, "machine": machine(), **measured}
    if arguments.json:
        print(json.dumps(measured))
    else:
        print_table(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
