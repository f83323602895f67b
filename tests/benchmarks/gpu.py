"""Pairs in the shapes of Qwen3-0.6B and Llama-3.1-8B on a GPU, against plain forwards and generate.

Random weights in bfloat16: two whole models, and a LoRA adapter on all linear layers of one. The
rival is a notebook: an uncached forward of both models and the log_softmax of the response (of a
policy that is an adapter, with the adapter merged: its fastest way), and ``generate`` with 8 beams.
Exactness is measured beside it: float32 against plain float32 forwards, and the errors that
bfloat16 makes in Qscope and in plain forwards, both against float32.

Every stage is a process of its own with a time limit, since a GPU's fault ends the process that it
befalls; what a stage has measured until then is kept. What is measured is told at once on stderr.
``--small`` (or QSCOPE_GPU_SMALL=1) rehearses all of it with tiny models, on a CPU too; ``--only``
chooses stages by a part of their names.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.gpu_exactness import exactness
from tests.benchmarks.gpu_speed import speed
from tests.benchmarks.gpu_stage import KINDS, SHAPES, Sizes, Stage
from tests.benchmarks.made import save_pair

MADE, EXACTNESS = "models made", "exactness"
STAGES = *KINDS, EXACTNESS
"""Of a shape, once its models are made."""
SAID = '{"at": '
"""How a line begins by which a stage tells a figure."""
STAGE_SECONDS, ALL_SECONDS = 110.0, 400.0
"""Limits: of one stage, and of all of them together."""
LEAST = 15.0
"""Seconds that must be left for a stage to be begun."""
NO_GPU = (
    "There is no GPU that torch can use on this machine, so nothing was measured: --small "
    "rehearses the benchmark with tiny models."
)
REHEARSAL = "A rehearsal with tiny models: these figures say nothing of a GPU."


def measure(small: bool = False, only: str = "") -> dict[str, Any]:
    """All figures by shape and stage, and the goals with what was reached of them."""
    small = small or os.environ.get("QSCOPE_GPU_SMALL") == "1"
    if not small and not torch.cuda.is_available():
        return {"note": NO_GPU}
    found: dict[str, Any] = {}
    deadline = time.monotonic() + ALL_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        for shape in SHAPES:
            chosen = [name for name in STAGES if only.lower() in f"{shape} {name}".lower()]
            for stage in [MADE, *chosen] if chosen else []:
                seconds = min(STAGE_SECONDS, deadline - time.monotonic())
                run_stage(shape, stage, Path(folder) / shape, small, seconds, found)
    note = {"note": REHEARSAL} if small else {}
    return {**note, **found, "goals": goals(found, Sizes.of(small))}


def run_stage(
    shape: str, stage: str, folder: Path, small: bool, limit: float, found: dict[str, Any]
) -> None:
    """Run one stage in a process of its own and gather what it says into ``found``."""
    began = time.monotonic()
    if limit < LEAST:
        gather(found, [shape, stage, "skipped"], "no time is left")
        return
    command = [sys.executable, "-m", "tests.benchmarks.gpu", shape, stage, str(folder)]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    quiet |= {"TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [*command, *(["--small"] if small else [])],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **quiet},
        )
        clock = threading.Timer(limit, child.kill)
        clock.start()
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                if line.startswith(SAID):  # else a library's own words
                    said = json.loads(line)
                    gather(found, [shape, stage, *said["at"]], said["value"])
        status = child.wait()
        clock.cancel()
        taken = time.monotonic() - began
        if status:
            errors.seek(0)
            why = f"killed after {taken:.0f} s" if taken >= limit else f"ended with status {status}"
            gather(found, [shape, stage, "failed"], [why, *errors.read().splitlines()[-4:]])
    gather(found, [shape, stage, "stage, s"], taken)


def gather(found: dict[str, Any], at: list[str], value: Any) -> None:
    """Put a value at its place in the result, and tell of it."""
    value = rounded(value)
    print(": ".join([", ".join(at), json.dumps(value)]), file=sys.stderr, flush=True)
    place = found
    for name in at[:-1]:
        place = place.setdefault(name, {})
    place[at[-1]] = value


def rounded(value: Any) -> Any:
    """The same with four significant digits."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


AT_LEAST, AT_MOST = ">=", "<="


def goals(found: dict[str, Any], sizes: Sizes) -> dict[str, list[Any]]:
    """Each goal whose figures are there: what was measured, what is asked, whether it is reached.

    Figures are ratios to the notebook's, or to generate's, in the same stage, and how many times as
    long an edit takes as the GPU is busy; the memory is in GB, the largest difference in nats.
    """
    short, long = map(str, sizes.edited)
    reached: dict[str, list[Any]] = {}
    for shape in SHAPES:
        quick = 4 if "0.6B" in shape else 3
        for kind in KINDS:
            asked: list[tuple[str, list[str], str, float]] = [
                *((f"edit, {place} of {n}", ["edit", n, place, "ratio"], AT_LEAST, least)
                  for n, least in ((short, quick), (long, 12)) for place in ("last", "last 16")),
                (f"edit, middle of {long}", ["edit", long, "middle", "ratio"], AT_LEAST, 1.7),
                *((f"fresh, {n}", ["fresh", str(n), "ratio"], AT_MOST, 1.15) for n in sizes.fresh),
                ("beam, policy", ["beam", "policy", "ratio"], AT_LEAST, 4),
                ("beam, both", ["beam", "both", "ratio"], AT_LEAST, 2.5),
                ("wall over busy", ["observed", f"last of {short}", "wall over busy"], AT_MOST, 2),
                ("memory", ["memory", "beyond weights and KV, GB"], AT_MOST, 1.5),
                ("checks at load", ["load", "share of checks"], AT_MOST, 0.05),
            ]  # fmt: skip
            for name, at, way, bound in asked:
                judge(reached, f"{shape} {kind}: {name}", found, [shape, kind, *at], way, bound)
            for name, at, bound in (
                ("float32", ["float32", "largest difference"], 2e-5),
                ("bfloat16", ["bfloat16", "ratio"], 1.05),
            ):
                place = [shape, "exactness", kind, *at]
                judge(reached, f"{shape} {kind}: {name}", found, place, AT_MOST, bound)
    return reached


def judge(
    reached: dict[str, list[Any]],
    name: str,
    found: dict[str, Any],
    at: list[str],
    way: str,
    bound: float,
) -> None:
    """Compare one figure with its goal; nothing if there is no such figure."""
    value: Any = found
    for step in at:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, int | float):
        good = value >= bound if way == AT_LEAST else value <= bound
        reached[name] = [value, f"{way} {bound}", good]


def run_here(stage: Stage, name: str) -> None:
    """Do one stage in this process."""
    if name == MADE:
        began = time.perf_counter()
        save_pair(stage.folder, stage.config, stage.device, torch.bfloat16)
        stage.say(["seconds"], time.perf_counter() - began)
    elif name == EXACTNESS:
        for kind in KINDS:
            exactness(stage, kind)
    else:
        speed(stage, name)


def say(at: list[str], value: Any) -> None:
    """Tell the process that started this one."""
    print(json.dumps({"at": at, "value": value}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("stage", choices=(MADE, *STAGES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    run_here(Stage(chosen.shape, chosen.folder, chosen.small, say), chosen.stage)
