"""The lines of a diagnosis: from records alone, and what ``doctor`` prints of a tiny pair."""

import json
from dataclasses import replace

import pytest

import main
from core import diagnosis
from core.checkpoints.memory import Need
from core.checkpoints.resolve import resolve_pair
from core.errors import UserFacingError
from core.finding import Finding, worst
from core.noise import NoiseFloor
from tests.core.checkpoint_folders import write_adapter, write_model
from tests.tiny import save_run


def by_id(findings):
    return {it.id: it for it in findings}


@pytest.fixture
def plan(tmp_path):
    write_model(tmp_path / "base")
    return resolve_pair(write_adapter(tmp_path / "run" / "checkpoint-10", "../../base"))


def test_what_no_file_says_is_a_note(plan):
    found = by_id(diagnosis.of_plan(plan))
    assert found["loss.unknown"].level == found["beta.unknown"].level == "note"
    assert "LORA of rank 2" in found["policy"].sentence
    assert "LlamaForCausalLM of 2 layers of width 8" in found["policy"].sentence
    assert found["reference"].sentence.startswith("base, adapters off")
    assert found["vocabulary"].numbers == {"tokens": 16}
    assert worst(found.values()) == "note"


def test_what_files_say_is_told_with_its_source(plan, tmp_path):
    (tmp_path / "run" / "dpo.yaml").write_text(
        "beta: 0.3\nloss_type: ipo\nmax_length: 512\ntruncation_mode: keep_end\n"
    )
    plan = resolve_pair(plan.policy.adapter.path)
    found = by_id(diagnosis.of_plan(plan))
    assert found["beta"].sentence == "0.3 (beta in run/dpo.yaml)."
    assert found["beta"].numbers == {"beta": 0.3}
    assert found["loss"].sentence == "IPO, by loss_type in run/dpo.yaml."
    assert found["remark"].level == "note" and "means over tokens" in found["remark"].sentence
    assert found["training.cut"].level == "note"
    assert "from its beginning (max_length 512 in run/dpo.yaml)" in found["training.cut"].sentence
    given = by_id(diagnosis.of_plan(plan, 0.1))
    assert given["beta"].sentence == "0.1 (given)."
    assert given["doubt"].level == "warning" and "0.3" in given["doubt"].sentence


def test_a_policy_alone_has_no_line_of_a_reference(plan):
    found = by_id(diagnosis.of_plan(replace(plan, reference=None)))
    assert "reference" not in found and "policy is alone" in found["remark"].sentence


def test_memory_and_noise_are_the_records_own_figures():
    memory = diagnosis.of_memory(Need(1_500_000_000, 0, 0, "bfloat16"), 2_000_000_000, "cuda:0")
    assert memory.sentence == "Needs about 1.5 GB in bfloat16 on cuda:0, where 2 GB are free."
    assert memory.numbers == {"needed": 1_500_000_000, "free": 2_000_000_000}
    floor = NoiseFloor("bfloat16", 0.05, 0.03, 0.0, 90, "")
    noise = diagnosis.of_noise(floor, "bfloat16")
    assert noise.level == "note" and "±0.05 nat a token" in noise.sentence
    assert noise.numbers["total"] == pytest.approx(float(floor.total(100)))
    assert diagnosis.of_noise(replace(floor, token=1e-6, spread=1e-6), "float32").level == "ok"
    assert diagnosis.of_noise(None, "bfloat16").id == "noise.unknown"


def test_the_worst_line_counts():
    lines = [Finding("", level, level) for level in ("ok", "warning", "note")]
    assert worst(lines) == "warning" and worst([]) == "ok"
    assert diagnosis.of_failure(UserFacingError("No.")) == Finding("pair", "stop", "No.", "stop")


def test_doctor_loads_the_pair_and_says_how_it_runs(tmp_path, capsys):
    _, run = save_run(tmp_path, ranks=(2,))
    (run / "qscope-run.json").write_text(json.dumps({"beta": 0.2, "loss_type": "sigmoid"}))
    pair = "--run", str(run), "--device", "cpu"
    assert main.main(["doctor", *pair, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = {it["id"]: it for it in printed["findings"]}
    assert printed["verdict"] == "warning"  # its weights are random
    assert "hardly better than a guess" in found["plausibility.doubt"]["sentence"]
    assert "<|im_end|> follows the response and is scored" in found["tokens.end"]["sentence"]
    assert found["beta"]["numbers"] == {"beta": 0.2}
    assert "Tree cache" in found["way"]["sentence"]
    assert found["noise"]["numbers"]["token"] < 1e-4
    assert "hash" in found["files.policy"]["sentence"]
    assert main.main(["doctor", *pair, "--no-load"]) == 0
    said = capsys.readouterr().out
    assert "ok       β           0.2 (beta in run/qscope-run.json)." in said
    assert "Tree cache" not in said


def test_doctor_stops_with_the_sentence_of_the_loader(tmp_path, capsys):
    assert main.main(["doctor", "--policy", str(tmp_path / "none"), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["verdict"] == "stop"
    assert "There is no folder" in printed["findings"][0]["sentence"]
    base = write_model(tmp_path / "base")
    assert main.main(["doctor", "--policy", str(base)]) == 1  # its tokenizer.json is none
    stop = capsys.readouterr().out.splitlines()[-1]
    assert stop.startswith("stop     pair        The tokenizer in") and "cannot be read" in stop
