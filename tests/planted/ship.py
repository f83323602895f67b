"""python -m tests.planted.ship NAME ...: put trained pairs among the examples that ship.

Of a run of ``python -m tests.planted`` both adapters are written to resources/planted/NAME, in bf16
and without paths of this machine, and what ``learned`` finds of these.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from core.learned.examples import ABOUT, EXAMPLES, REPORT, spec_of
from core.registrations import register
from core.training.process import state_of
from tests.planted.data import PLANTED, Planted
from tests.planted.look import look
from tests.planted.train import job

LARGEST = 5_000_000
"""Bytes of an example at most, both adapters together."""


def ship(planted: Planted, run: Path, folder: Path) -> None:
    """Write an example to a folder: both adapters of a finished run, and what is found of them.

    Raises:
        RuntimeError: it is not finished, or its adapters are larger than may ship.
    """
    from peft import PeftConfig
    from safetensors.torch import load_file

    from core.demo.training import WEIGHTS, write_adapter
    from core.training.stages import last_whole

    policy = last_whole(run)
    if state_of(run).phase != "done" or policy is None:
        raise RuntimeError(f"{run} is no finished run: train it with python -m tests.planted")
    beta = job(planted, run.parent).beta
    spec = spec_of(folder, beta)
    for source, into in (run / "sft", spec.reference), (Path(policy), spec.policy):
        config: Any = PeftConfig.from_pretrained(str(source))
        write_adapter(config, load_file(source / WEIGHTS), Path(into))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > LARGEST:
        raise RuntimeError(f"{folder} has {size:,} bytes, and {LARGEST:,} may ship")
    about = json.dumps({"says": planted.says, "beta": beta}, ensure_ascii=False)
    (folder / ABOUT).write_text(about + "\n", encoding="utf-8")
    look(spec, folder / REPORT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.planted.ship", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("planted"), help="where the runs are")
    arguments = parser.parse_args()
    register()
    every = {it.name: it for it in PLANTED}
    if unknown := set(arguments.names) - set(every):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for name in arguments.names:
        ship(every[name], arguments.out / name, EXAMPLES / name)
