"""The benchmarks run where nothing is timed: what they say of a machine, a pair, a GPU's work."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.autograd import DeviceType

from tests.benchmarks import card, gpu, gpu_stage, machine, plain
from tests.benchmarks.__main__ import main, options
from tests.benchmarks.made import WORDS, save_pair, tokenizer
from tests.benchmarks.timing import Timing

CPUINFO = """processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
flags\t\t: fpu sse2 avx avx2 avx512f

processor\t: 1
model name\t: another
"""


@pytest.mark.parametrize(
    "text, name, features",
    [
        (CPUINFO, "AMD EPYC (family 25, model 17)", "avx avx2 avx512f"),
        ("processor : 0\nFeatures : fp asimd sve\n", None, "asimd sve"),
        ("", None, ""),
    ],
)
def test_processor_is_named_from_cpuinfo_or_the_platform(text, name, features):
    found, there = machine.processor(text)
    assert there == features
    assert found == name if name else found


def test_machine_names_threads_and_a_speed_of_memory(monkeypatch):
    monkeypatch.setattr(machine, "READ", 2**22)
    found = machine.machine()
    assert found["threads"] == torch.get_num_threads()
    assert found["memory, GB/s"] > 0
    assert found["torch"] == torch.__version__
    json.dumps(found)


def test_options_of_a_benchmark_are_its_parameters():
    def measure(small: bool = False, tokens: int = 8, only: str = ""):
        return small, tokens, only

    chosen = vars(options(measure).parse_args(["--small", "--tokens", "9"]))
    assert measure(**chosen) == (True, 9, "")


def test_timing_reports_medians_and_the_fastest():
    timing = Timing()
    for seconds in (3.0, 1.0, 2.0):
        timing.add("a way", seconds, 2 * seconds)
    report = timing.report(lambda seconds: seconds["a way"])
    assert report["ratio"] == 2.0
    assert report["fastest"]["ratio"] == 1.0
    assert report["process's own"]["ratio"] == 4.0


@pytest.mark.parametrize(
    "spans, length",
    [([], 0), ([(0, 2), (1, 3)], 3), ([(5, 6), (0, 2)], 3), ([(0, 9), (1, 2), (8, 10)], 10)],
)
def test_time_that_streams_share_is_counted_once(spans, length):
    assert card.covered(spans) == length


def test_operators_of_a_piece_of_work_are_counted_without_those_inside_them():
    left, right = torch.ones(4, 4), torch.ones(4, 4)
    # ``linear`` calls other operators itself.
    seen = card.observe(lambda: torch.nn.functional.linear(left, right) + 1)
    assert seen["operators"] == 2
    assert seen["launches"] == seen["waits"] == seen["busy, ms"] == 0


def test_a_profile_counts_what_marked_runs_ask_of_a_gpu():
    def event(name, start, end, on_gpu=False, parent=None, named=False):
        return SimpleNamespace(
            name=name,
            time_range=SimpleNamespace(start=start, end=end),
            device_type=DeviceType.CUDA if on_gpu else DeviceType.CPU,
            cpu_parent=parent,
            is_user_annotation=named,
        )

    linear = event("aten::linear", 11, 30)
    said = card.tally(
        [
            event("aten::zeros", 0, 5),  # before the run
            event(card.MARK, 10, 100),
            linear,
            event("aten::addmm", 12, 29, parent=linear),
            event("cudaLaunchKernel", 13, 14, parent=linear),
            event("cuLaunchKernelEx", 15, 16, parent=linear),
            event("cudaGraphLaunch", 40, 41),
            event("cudaMemcpyAsync", 50, 51),
            event("cudaStreamSynchronize", 60, 90),
            event("cudaDeviceSynchronize", 200, 300),  # the profiler's own
            event(card.MARK, 12, 95, on_gpu=True),
            event("a compiled graph", 12, 95, on_gpu=True, named=True),
            event("gemm", 1000, 3000, on_gpu=True),
            event("Memcpy DtoH", 2000, 4000, on_gpu=True),
        ]
    )
    assert said == {
        "busy, ms": 3.0,
        "launches": 2,
        "graph launches": 1,
        "waits": 1,
        "copies": 1,
        "operators": 1,
    }


def test_words_are_one_token_each_after_a_space():
    words = tokenizer()
    text = " ".join(["", *WORDS[::500]])
    assert len(words(text, add_special_tokens=False)["input_ids"]) == len(WORDS[::500])


def test_plain_scores_are_those_of_the_models_whole_logits(tmp_path):
    save_pair(tmp_path, gpu_stage.config("Llama-3.1-8B", small=True), "cpu", torch.float32)
    paths = tmp_path / "reference", tmp_path / "adapter"
    rows = plain.adapted(*paths, None, torch.float32, "cpu")
    ids = list(range(300, 320))
    found = plain.logp(rows, ids, first=5, piece=4)
    policy = plain.merged(*paths, torch.float32, "cpu")[0]
    reference = plain.whole(paths[0], torch.float32, "cpu")[0]
    for row, model in zip(found, (policy, reference), strict=True):
        with torch.inference_mode():
            whole = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = whole[4:-1].gather(-1, torch.tensor(ids[5:])[:, None])[:, 0]
        assert np.abs(row - expected.numpy()).max() < 1e-5
    assert np.abs(found[0] - found[1]).max() > 1e-4  # the adapter does something


def test_a_gpu_stage_measures_all_its_parts_on_a_tiny_pair(tmp_path):
    found = {}

    def say(at, value):
        gpu.gather(found, ["Qwen3-0.6B", "whole", *at], value)

    stage = gpu_stage.Stage("Qwen3-0.6B", tmp_path, small=True, say=say)
    gpu.run_here(stage, gpu.MADE)
    gpu.run_here(stage, "whole")
    said = found["Qwen3-0.6B"]["whole"]
    assert "failed" not in json.dumps(found)
    assert set(said) >= {"load", "notebook", "fresh", "edit", "beam", "observed", "memory"}
    assert {place: edit["computed"] for place, edit in said["edit"]["96"].items()} == {
        "last": 1,
        "last 16": 16,
        "middle": 48,
    }
    assert said["beam"]["both"]["score differs by"] < 0.5
    assert "Qwen3-0.6B whole: fresh, 96" in gpu.goals(found, gpu_stage.Sizes.of(True))


def test_goals_are_judged_where_there_are_figures():
    found = {"Llama-3.1-8B": {"lora": {"edit": {"512": {"last": {"ratio": 3.5}}}}}}
    found["Llama-3.1-8B"]["exactness"] = {"lora": {"bfloat16": {"ratio": 1.2}}}
    assert gpu.goals(found, gpu_stage.Sizes.of(False)) == {
        "Llama-3.1-8B lora: edit, last of 512": [3.5, ">= 3", True],
        "Llama-3.1-8B lora: bfloat16": [1.2, "<= 1.05", False],
    }


def test_a_stage_that_fails_says_why(tmp_path):
    found = {}
    gpu.run_stage("Qwen3-0.6B", "whole", tmp_path / "nothing", True, 60.0, found)
    said = found["Qwen3-0.6B"]["whole"]["failed"]
    assert said[0] == "ended with status 1"
    assert str(tmp_path / "nothing") in said[-1]


def test_without_a_gpu_it_is_said_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "READ", 2**22)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "gpu", "--json"])
    assert main() == 0
    assert json.loads(capsys.readouterr().out)["note"] == gpu.NO_GPU
