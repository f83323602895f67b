"""Training runs: training evaluate measures their checkpoints."""

import argparse

from core.commands import evaluate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    part = actions.add_parser("evaluate", help="measure", description=evaluate.__doc__)
    evaluate.add_arguments(part)


def run(arguments: argparse.Namespace) -> int:
    return evaluate.run(arguments)
