"""python -m tests.planted.ship NAME ...: put trained pairs among the examples that ship.

Of a run of ``python -m tests.planted`` both adapters are written to resources/planted/NAME, in bf16
and without paths of this machine: dpo is the policy, sft its reference.
"""

import argparse
from pathlib import Path
from typing import Any

from core.training.process import state_of

SHIPPED = Path(__file__).parents[2] / "resources" / "planted"
LARGEST = 5_000_000
"""Bytes of an example at most, both adapters together."""


def ship(run: Path, folder: Path) -> None:
    """Write both adapters of a finished run to ``folder``/sft and ``folder``/dpo.

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
    for source, name in (run / "sft", "sft"), (Path(policy), "dpo"):
        config: Any = PeftConfig.from_pretrained(str(source))
        write_adapter(config, load_file(source / WEIGHTS), folder / name)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > LARGEST:
        raise RuntimeError(f"{folder} has {size:,} bytes, and {LARGEST:,} may ship")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.planted.ship", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("planted"), help="where the runs are")
    arguments = parser.parse_args()
    for each in arguments.names:
        ship(arguments.out / each, SHIPPED / each)
