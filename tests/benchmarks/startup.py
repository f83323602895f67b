"""From ``python main.py`` to the window, and to the demo's first colours.

The rival is a bare script in the same run: imports, tokenizer, base and both adapters, one
forward of the policy over a text about as long as the first that the window shows; no window.
Both take turns. The window is an offscreen one where there is no display.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
REPETITIONS = 3
PATIENCE = 180.0
SHOWN, COLOURED = "window shown", "first colours"

RIVAL = """
import sys
base, policy, reference = sys.argv[1:]
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(base)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
model = PeftModel.from_pretrained(model, policy, adapter_name="policy")
model.load_adapter(reference, adapter_name="reference")
model.eval()
text = "Summarise this post in one sentence. " + "They offered me $53K as an analyst. " * 12
with torch.inference_mode():
    model(**tokenizer(text, return_tensors="pt")).logits.log_softmax(-1)
"""


def measure() -> dict[str, Any]:
    """Median seconds to the window, to its first colours, and of the rival; and the ratio."""
    from core.demo.pair import demo_plan

    plan = demo_plan(lambda what, fraction: None)  # fetched beforehand, for both
    paths = [str(plan.base), str(plan.policy_adapter), str(plan.reference_adapter)]
    seconds: dict[str, list[float]] = {SHOWN: [], COLOURED: [], "rival": []}
    for turn in range(REPETITIONS + 1):
        moments = window()
        began = time.time()
        subprocess.run([sys.executable, "-c", RIVAL, *paths], check=True, capture_output=True)
        rival = time.time() - began
        if turn:  # the first round fills the file cache
            seconds["rival"].append(rival)
            for name in (SHOWN, COLOURED):
                seconds[name].append(moments[name])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "seconds": medians,
        "ratio of first colours": medians[COLOURED] / medians["rival"],
        "asked": {"seconds to the window": 0.5, "ratio of first colours": 1.3},
    }


def window() -> dict[str, float]:
    """Open the demo's window in a process of its own; seconds from its start to each moment."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace")
        environment = os.environ | {"QSCOPE_TRACE": str(trace)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody's Python compiles at each start
        for kind in ("CONFIG", "DATA", "STATE"):  # leave what the user's window remembers alone
            environment[f"XDG_{kind}_HOME"] = folder
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            environment.setdefault("QT_QPA_PLATFORM", "offscreen")
        began = time.time()
        process = subprocess.Popen(
            [sys.executable, "main.py"], cwd=ROOT, env=environment, stderr=subprocess.PIPE
        )
        try:
            moments: dict[str, float] = {}
            while COLOURED not in moments:
                if process.poll() is not None or time.time() - began > PATIENCE:
                    process.kill()
                    raise RuntimeError(f"no colours: {process.communicate()[1].decode()}")
                time.sleep(0.02)
                if trace.exists():
                    lines = map(json.loads, trace.read_text().splitlines())
                    moments = {line["what"]: line["time"] - began for line in lines}
            return moments
        finally:
            process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()
