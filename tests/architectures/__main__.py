"""``python -m tests.architectures [NAME ...] [--json FILE] [--write]``: judge Qscope on them all.

Each family is built and judged in a process of its own, forked from one that has the libraries,
so that a crash or a hang ends that family only. Knows nothing of what is judged.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LIMIT = 900
"""Seconds for a family that waits for nothing; the work has a limit of processor time too."""
TABLE = Path(__file__).parents[2] / "resources" / "architectures.md"
MARKS = {"exact": "✓", "refused": "–", "no truth": "∅", "fault": "!", "WRONG": "✗"}


def main() -> int:
    from tests.architectures import zoo

    parser = argparse.ArgumentParser(prog="python -m tests.architectures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="families; all if none is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all verdicts there")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    parser.add_argument("--jobs", type=int, default=2, help="families at a time")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(zoo.names()):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    verdicts = []
    for verdict in run(arguments.names or zoo.names(), arguments.jobs):
        verdicts.append(verdict)
        print(line(verdict), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(verdicts, indent=1), encoding="utf-8")
    print(summary(verdicts), f"in {time.monotonic() - began:.0f} s")
    if arguments.write:
        TABLE.write_text(table(verdicts), encoding="utf-8")
    return int(any(verdict["verdict"] in ("WRONG", "fault") for verdict in verdicts))


def run(names: Sequence[str], jobs: int) -> Iterator[dict]:
    """The verdicts of families, in their order."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONWARNINGS": "ignore",
    }
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.architectures.work"])
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda name: _alone(context, name), names)


def _alone(context: multiprocessing.context.ForkServerContext, name: str) -> dict:
    """The verdict of one family, in a process of its own."""
    from tests.architectures.work import work

    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(name, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(LIMIT):
            return _failed(name, f"nothing came of it in {LIMIT} s")
        return ours.recv()
    except EOFError:
        process.join()
        return _failed(name, f"its process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()
        ours.close()


def _failed(name: str, why: str) -> dict:
    from tests.architectures.judge import Verdict

    return Verdict(name, "fault", remark=why).as_dict()


def line(verdict: dict) -> str:
    """A verdict as one line."""
    word = verdict["verdict"]
    return (
        f"{MARKS[word]} {verdict['name']:<26} {word:<9}{verdict['error']:8.1e}  "
        f"{verdict['way']:<36} {verdict['remark'][:160]}"
    )


def summary(verdicts: Sequence[dict]) -> str:
    """How many came out how."""
    found = Counter(verdict["verdict"] for verdict in verdicts)
    return f"{len(verdicts)}: " + ", ".join(f"{found[word]} {word}" for word in MARKS)


def table(verdicts: Sequence[dict]) -> str:
    """The verdicts as a page in Markdown."""
    import torch
    import transformers

    rows = [
        f"| {v['name']} | {v['verdict']} | {v['way']} | {v['error']:.1e} | {_cell(v)} |"
        for v in verdicts
    ]
    return "\n".join(
        [
            "# Architectures",
            "",
            f"{summary(verdicts)}.",
            "",
            "Made by `python -m tests.architectures --write` with "
            f"transformers {transformers.__version__} and torch {torch.__version__} on "
            f"{platform.machine()}: each causal family of transformers is built tiny, with random "
            "float32 weights and windows of a few tokens. Texts many windows long are scored, "
            "edited and searched from, with whole models and with two LoRA adapters on one base, "
            "and every log-prob is compared with one plain forward of the freshly loaded model. "
            "*Exact*: within 5e-5 nat a token, or within four times what the model's own float32 "
            "forward differs from its float64 one, where that is more. Names with a + are further "
            "models of a family. *Largest error*: in nats a token.",
            "",
            "| family | verdict | way | largest error | remark |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _cell(verdict: dict) -> str:
    parts = [f"{k}: {v}" for k, v in verdict["parts"].items() if v.startswith(("no truth", "ref"))]
    parts = [part for part in parts if not verdict["remark"] or verdict["remark"] not in part]
    return "; ".join(filter(None, [verdict["remark"], *parts])).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
