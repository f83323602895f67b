"""The demo's two training runs, as they are shipped: Fig. 3, and what their checkpoints say."""

import json
from pathlib import Path

import numpy as np
import pytest

from core import quantities as q
from core.checkpoints.runs import run_checkpoints, run_plan
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.models.score import score
from core.progress import never
from core.runs.explain import explain
from core.runs.read import read_runs
from core.runs.records import EVALUATION, START
from core.text import Prompt

RUNS = Path(__file__).parents[2] / "resources/demo/training"
MEGABYTE = 10**6


def tell(what, fraction):
    pass


@pytest.fixture(scope="module")
def logs():
    return {name: read_runs(RUNS / name)[0] for name in ("with-sft", "without-sft")}


def ends(series):
    """Means of the first and the last fifth of a curve."""
    fifth = max(1, len(series.values) // 5)
    return float(series.values[:fifth].mean()), float(series.values[-fifth:].mean())


def test_resources_stay_small():
    files = [path for path in RUNS.parents[1].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 70 * MEGABYTE
    assert max(path.stat().st_size for path in files) <= 20 * MEGABYTE


def test_each_run_has_its_checkpoints_and_its_evaluation_at_every_step():
    for name in ("with-sft", "without-sft"):
        steps = [checkpoint.step for checkpoint in run_checkpoints(RUNS / name)]
        assert len(steps) >= 10
        table = json.loads((RUNS / name / EVALUATION).read_text("utf-8"))
        assert [row["step"] for row in table["steps"]] == [0, *steps]
        assert table["beta"] == 0.1


def test_both_were_measured_on_the_same_pairs():
    tables = [
        json.loads((RUNS / name / EVALUATION).read_text("utf-8"))
        for name in ("with-sft", "without-sft")
    ]
    assert tables[0]["pairs"] == tables[1]["pairs"] >= 100
    assert tables[0]["data"] == tables[1]["data"]


@pytest.mark.parametrize("source", ["", "heldout/"])
def test_fig_3_after_sft_chosen_falls_while_the_margin_grows(logs, source):
    series = logs["with-sft"].series
    chosen, rejected = (ends(series[f"{source}rewards/{side}"]) for side in ("chosen", "rejected"))
    margin = ends(series[f"{source}rewards/margins"])
    assert chosen[1] < chosen[0] and chosen[1] < 0
    assert rejected[1] < chosen[1]
    assert margin[1] > margin[0] > 0


@pytest.mark.parametrize("source", ["", "heldout/"])
def test_fig_3_without_sft_chosen_stays_above_zero(logs, source):
    series = logs["without-sft"].series
    assert ends(series[f"{source}rewards/chosen"])[1] > 0
    assert series[f"{source}rewards/chosen"].values.min() > -0.02
    margin = ends(series[f"{source}rewards/margins"])
    assert margin[1] > margin[0]


def test_the_runs_explain_themselves(logs):
    fallen, risen = (explain(logs[name]) for name in ("with-sft", "without-sft"))
    assert "Eq. 16" in fallen.text and "falls" in fallen.text
    assert "stays above 0" in risen.text


def test_eq_16_holds_on_the_held_out_pairs(logs):
    """KL(π_ref‖π) >= 0, so what the reference would write loses β KL of reward on average."""
    for log in logs.values():
        assert (log.series["heldout/kl/ref_policy"].values >= 0).all()


@pytest.mark.demo
def test_a_checkpoint_scores_as_a_plain_forward_of_it_does():
    """The numbers under a run's checkpoint, against PEFT's own switching of adapters."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    pair, info = load_pair(PairSpec(run=str(RUNS / "with-sft"), download="yes"), tell)
    assert info.checkpoints[0].path == START and info.beta == 0.1
    middle = info.checkpoints[len(info.checkpoints) // 2]
    pair.use(middle.path)
    prompt = Prompt.of("Summarise this post in one sentence.\n\nI was offered $53K at the mill.")
    tokens = pair.codec.encode(prompt, "They were offered $53K at the mill.")
    scoring = score(pair, prompt, tokens)
    rewards = q.reward(scoring.logp_policy, scoring.logp_reference, info.beta)

    plan = run_plan(RUNS / "with-sft", None, None, tell, never, download=True)
    model = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, middle.path, adapter_name="policy")
    model.load_adapter(str(plan.reference_adapter), adapter_name="reference")
    before = list(pair.codec.prompt_ids(prompt))
    answer = [int(token) for token in scoring.ids]
    found = {}
    for name in ("policy", "reference"):
        model.set_adapter(name)
        with torch.inference_mode():
            logits = model(torch.tensor([before + answer])).logits[0, len(before) - 1 : -1]
        found[name] = logits.double().log_softmax(-1)[range(len(answer)), answer].numpy()
    assert rewards == pytest.approx(info.beta * (found["policy"] - found["reference"]), abs=1e-3)
    assert np.abs(rewards).max() > 0.01

    pair.use(START)
    again = score(pair, prompt, tokens)
    assert (again.logp_policy == again.logp_reference).all()  # exactly: no reward at the start
