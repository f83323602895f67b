"""A run's folder: which checkpoints are listed, and which reference is taken."""

import json
from pathlib import Path

import pytest

from core.checkpoints import named
from core.checkpoints.plan import PairPlan
from core.checkpoints.runs import run_checkpoints, run_plan, with_start
from core.errors import UserFacingError
from core.runs.records import ABOUT, START, Checkpoint
from tests.core.checkpoint_folders import write_adapter, write_model


@pytest.fixture(autouse=True)
def _no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Adapters of steps 5, 10 and 20 over tmp_path/base."""
    base = write_model(tmp_path / "base")
    for step in (5, 10, 20):
        write_adapter(tmp_path / "run" / f"checkpoint-{step}", str(base))
    return tmp_path / "run"


def plan(
    run: Path,
    reference: Path | None = None,
    base: Path | None = None,
    cancelled: bool = False,
    download: bool = False,
) -> PairPlan:
    return run_plan(
        run, reference, base, lambda what, fraction: None, lambda: cancelled, download=download
    )


def sentence(run: Path) -> str:
    with pytest.raises(UserFacingError) as caught:
        plan(run)
    return str(caught.value)


def test_checkpoints_come_by_step_and_what_is_not_whole_is_left_out(run: Path) -> None:
    half = write_adapter(run / "checkpoint-30", "base") / "adapter_model.safetensors"
    half.write_bytes(half.read_bytes()[:-1])
    (run / "checkpoint-40").mkdir()
    unnamed = write_adapter(run / "checkpoint-50", "base")
    (unnamed / "adapter_config.json").unlink()
    write_adapter(run / "checkpoint-best", "base")
    (run / "checkpoint-7").write_text("a file")
    write_adapter(run / "step-15", "base")
    found = run_checkpoints(run)
    assert [it.step for it in found] == [5, 10, 15, 20]
    assert [Path(it.path) for it in found] == [
        run / name for name in ("checkpoint-5", "checkpoint-10", "step-15", "checkpoint-20")
    ]
    size = (run / "step-15" / "adapter_model.safetensors").stat().st_size
    assert {(it.whole, it.bytes) for it in found} == {(False, size)}


def test_whole_models_and_folders_without_any(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (1, 2):
        write_model(run / f"checkpoint-{step}")
    found = run_checkpoints(run)
    assert [(it.step, it.whole) for it in found] == [(1, True), (2, True)]
    assert with_start(found)[0] == Checkpoint(0, START, True)
    assert run_checkpoints(tmp_path / "nowhere") == run_checkpoints(tmp_path) == ()
    assert plan(run).reference is None
    assert plan(run, tmp_path / "run" / "checkpoint-1").policy_name == "run/checkpoint-2"


def test_the_reference_is_looked_for_in_order(run: Path, tmp_path: Path) -> None:
    base = str(tmp_path / "base")

    def chosen(**named: Path) -> Path | None:
        found = plan(run, **named)
        assert found.policy_adapter == run / "checkpoint-20"
        return found.reference_adapter

    assert chosen() is None
    (run / ABOUT).write_text(json.dumps({"reference": "../sft", "beta": 0.25}))
    sft = write_adapter(tmp_path / "sft", base)
    assert chosen() == sft
    (run / ABOUT).write_text(json.dumps({"reference": None}))
    assert chosen() is None
    (run / ABOUT).write_text(json.dumps({"reference": "../sft"}))
    assert chosen() == sft
    ref = write_adapter(run / "ref", base)
    assert chosen() == ref
    write_adapter(run / "checkpoint-10" / "ref", base)
    assert chosen() == ref
    own = write_adapter(run / "checkpoint-20" / "ref", base)
    assert chosen() == own
    assert chosen(reference=sft) == sft


def test_the_beta_is_the_one_that_the_run_says(run: Path) -> None:
    assert plan(run).provenance.beta is None
    for said, beta in ((0.25, 0.25), (0, None), ("much", None), (None, None)):
        (run / ABOUT).write_text(json.dumps({"beta": said}))
        assert plan(run).provenance.beta == beta
    (run / ABOUT).write_text('{"beta": 0.2')
    assert "is damaged: mend or delete it" in sentence(run)


def test_folders_that_are_no_run_are_told_apart(run: Path, tmp_path: Path) -> None:
    assert f"choose the folder around it, {run}" in sentence(run / "checkpoint-10")
    assert f"choose the run inside it, {run}" in sentence(tmp_path)
    assert "There is no folder" in sentence(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "has no whole checkpoint" in sentence(tmp_path / "empty")


def test_a_run_of_a_named_base_fetches_it_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_model(tmp_path / "cache" / "SmolLM2-135M-Instruct")
    asked = []

    def fetched(report: object, cancelled: object) -> Path:
        asked.append(cancelled)
        return base

    brought = named.NamedBase("SmolLM2-135M-Instruct", lambda: None, fetched)
    monkeypatch.setitem(named.BASES, "SmolLM2-135M-Instruct", brought)
    run = tmp_path / "run"
    write_adapter(run / "checkpoint-1", "SmolLM2-135M-Instruct")
    assert "can be downloaded" in sentence(run) and not asked
    assert plan(run, download=True).base == base and len(asked) == 1
    other = write_model(tmp_path / "other")
    assert plan(run, base=other).base == other and len(asked) == 1
    there = named.NamedBase("SmolLM2-135M-Instruct", lambda: base, fetched)
    monkeypatch.setitem(named.BASES, "SmolLM2-135M-Instruct", there)
    assert plan(run).base == base and len(asked) == 1
    write_adapter(run / "checkpoint-2", str(other))
    assert plan(run).base == other and len(asked) == 1
    write_adapter(run / "checkpoint-3", "SmolLM2-135M-Instruct")
    beside = write_model(run / "SmolLM2-135M-Instruct")
    assert plan(run).base == beside and len(asked) == 1
