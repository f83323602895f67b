"""Pairs scored per second, on the demo pair: Qscope against padded batches and TRL's precompute.

The usual way is a script's: prompt + chosen and prompt + rejected, right-padded in batches of 8,
one forward with the policy's adapter and one with the reference's, and a full log_softmax of each,
float32. TRL's is what ``DPOTrainer`` does with ``precompute_ref_log_probs``: of one model alone, so
Qscope's time for one model is compared with it, encoding included. Else Qscope's time is that of
``score_data`` on a file, from reading to the finished output. The ways take turns.

Memory is the peak of a process that scores 1,000 and 20,000 generated rows with a tiny pair.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.timing import Timing, Values

PAIRS, REPETITIONS, BATCH = 32, 2, 8
USUAL, TRL, OURS, ALONE = "padded batches", "TRL's precompute", "qscope", "qscope, one model"
ROWS = 1_000, 20_000
ASKED = {"over padded batches": 2.0, "memory of 20,000 rows over 1,000": 1.1}
PEAK = """
import resource, sys
import main
status = main.main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
sys.exit(status)
"""


def measure(
    pairs: int = PAIRS,
    repetitions: int = REPETITIONS,
    no_memory: bool = False,
    no_trl: bool = False,
) -> dict[str, Any]:
    """Seconds of each way, pairs a second, and the peak of memory by the number of rows."""
    import torch

    from core.demo.pair import demo_plan
    from core.demo.posts import held_out_pairs

    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        data = [pair.row() for pair in held_out_pairs(pairs)]
        path = room / "pairs.jsonl"
        path.write_text("\n".join(map(json.dumps, data)), "utf-8")
        qscope, one_model = ours(path, room)
        usual = padded(demo_plan(ignore), data)
        trl = None if no_trl else precompute(demo_plan(ignore), data, room)
        timing = Timing()
        for _ in range(repetitions):
            mine = timing.time(OURS, qscope)
            theirs = timing.time(USUAL, usual)
            timing.time(ALONE, one_model)
            if trl is not None:
                timing.time(TRL, trl)
        worst = max(abs(a - b) for a, b in zip(mine, theirs, strict=True))
        found = {
            "pairs": pairs,
            "threads": torch.get_num_threads(),
            **timing.report(ratios),
            "pairs a second": {name: pairs / took for name, took in timing.fastest().items()},
            "largest difference of a log-ratio, nats": worst,
        }
        if not no_memory:
            peaks = {f"{count:,} rows": peak(room, count) for count in ROWS}
            few, many = peaks.values()
            found |= {"peak memory, MB": peaks, "memory of 20,000 rows over 1,000": many / few}
        return found | {"asked": ASKED}


def ratios(seconds: Values) -> Values:
    """How many times as fast as the other ways Qscope is."""
    found = {"over padded batches": seconds[USUAL] / seconds[OURS]}
    if TRL in seconds:
        found["one model, over TRL's precompute"] = seconds[TRL] / seconds[ALONE]
    return found


def ignore(what: str, fraction: float | None) -> None:
    """Progress nobody asked for."""


def ours(path: Path, room: Path) -> tuple[Callable[[], list[float]], Callable[[], None]]:
    """Qscope's way to score a file, which gives the log-ratios of all sides; and of one model."""
    from core.dataset.rows import open_source
    from core.dataset.score import score_data
    from core.dataset.scored import batches
    from core.engine.protocol import PairSpec
    from core.models.load import load_pair
    from core.models.packed import log_probs
    from core.models.pair import POLICY

    pair, info = load_pair(PairSpec(demo=True, device="cpu", dtype="float32"), ignore)
    out = room / "scored.parquet"

    def run() -> list[float]:
        score_data(pair, info, open_source(path), out, anew=True)
        rows = [row for table in batches(out) for row in table.to_pylist()]
        return [row[f"log_ratio_{side}"] for row in rows for side in ("chosen", "rejected")]

    def alone() -> None:
        source = open_source(path)
        groups = []
        for item in source.items():
            row = source.read(item).pair  # type: ignore[union-attr]
            texts = [pair.codec.reply(row.turns, turns) for turns in row.replies]
            sides = [
                pair.codec.encode(row.turns, text, other)
                for text, other in zip(texts, texts[::-1], strict=True)
            ]
            groups.append(
                tuple(((*it.context, *it.ids, *it.closing), len(it.context)) for it in sides)
            )
        list(log_probs(pair, groups, (POLICY,)))

    return run, alone


def padded(plan: Any, data: list[dict[str, Any]]) -> Callable[[], list[float]]:
    """The usual way: the log-ratio of each side, chosen and rejected in turn."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(plan.tokenizer)
    base = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(plan.policy_adapter), adapter_name="policy")
    model.load_adapter(str(plan.reference_adapter), adapter_name="reference")
    model.eval()
    end = "<|im_end|>"

    @torch.inference_mode()
    def run() -> list[float]:
        texts = []
        for row in data:
            chat = [{"role": "user", "content": row["prompt"]}]
            asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
            before = tokenizer(asked, add_special_tokens=False)["input_ids"]
            for side in ("chosen", "rejected"):
                ids = tokenizer(asked + row[side] + end, add_special_tokens=False)["input_ids"]
                texts.append((ids, len(before)))
        found: list[float] = []
        for first in range(0, len(texts), BATCH):
            batch = texts[first : first + BATCH]
            length = max(len(ids) for ids, _ in batch)
            ids = torch.zeros(len(batch), length, dtype=torch.int64)
            mask, scored = torch.zeros_like(ids), torch.zeros(len(batch), length)
            for row, (own, begin) in enumerate(batch):
                ids[row, : len(own)] = torch.tensor(own)
                mask[row, : len(own)] = 1
                scored[row, begin : len(own)] = 1
            sums = []
            for adapter in ("policy", "reference"):
                model.set_adapter(adapter)
                logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
                logp = logits.float().log_softmax(-1)
                taken = logp[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
                sums.append((taken * scored[:, 1:]).sum(-1))
            found += (sums[0] - sums[1]).tolist()
        return found

    return run


def precompute(plan: Any, data: list[dict[str, Any]], room: Path) -> Callable[[], None]:
    """TRL's own way to compute a reference's log-probs beforehand, batches of 8."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(plan.tokenizer)
    base = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(plan.reference_adapter)).merge_and_unload()
    rows = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in data
    ]
    arguments = DPOConfig(
        output_dir=str(room / "trl"), report_to=[], use_cpu=True, bf16=False, disable_tqdm=True,
        gradient_checkpointing=False, max_length=None, per_device_train_batch_size=BATCH,
        precompute_ref_log_probs=True,
    )  # fmt: skip

    class Waiting(DPOTrainer):  # type: ignore[misc]
        def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
            return dataset  # that is timed

    made = Waiting(
        model=model, args=arguments, train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )  # fmt: skip
    batches = [
        made.data_collator(
            [made.train_dataset[i] for i in range(first, min(first + BATCH, len(rows)))]
        )
        for first in range(0, len(rows), BATCH)
    ]

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                made.compute_ref_log_probs(model, batch)

    return run


def peak(room: Path, count: int) -> float:
    """Megabytes that a process takes at most which scores so many rows with a tiny pair."""
    from tests.tiny import save_pair

    folder = room / "tiny"
    if not folder.exists():
        save_pair(folder)
    path = room / f"{count}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            row = {
                "id": n,
                "prompt": f"Post {n}: they took the job at Harbour Labs.",
                "chosen": f"They took it for {n % 97} euros.",
                "rejected": f"They left it, {n % 89} times over!",
            }
            file.write(json.dumps(row) + "\n")
    argv = ["score", "--policy", folder / "policy", "--reference", folder / "reference"]
    argv += ["--data", path, "--out", room / f"{count}.parquet", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, argv)], capture_output=True, text=True, check=True
    )
    return float(done.stderr.splitlines()[-1])
