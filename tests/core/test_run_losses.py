"""Which loss a log is of, by its own curves and by the files beside it, and what is then said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import main
from core.losses import TrainingLoss
from core.runs.explain import explain
from core.runs.losses import beta_of, has_reference, loss_of
from core.runs.read import read_run
from core.runs.records import HELD_OUT, KL, RunLog, Series

STEPS = np.arange(10, 410, 10)


def curve(start, end, noise=0.0, seed=0):
    way = np.linspace(start, end, len(STEPS))
    return Series(STEPS, way + noise * np.random.default_rng(seed).normal(size=len(STEPS)))


def log(chosen, rejected, **more):
    """A log whose rewards go from and to these, its margin growing."""
    series = {"rewards/chosen": curve(*chosen, 0.01), "rewards/rejected": curve(*rejected, 0.01, 1)}
    return RunLog(Path("/runs/a"), "a", "TRL", series | more)


SIMPO_LIKE = log((-2.0, -3.0), (-2.1, -5.0))
DPO_LIKE = log((0.0, -1.5), (0.0, -5.0))


@pytest.mark.parametrize(
    ("names", "loss"),
    [
        (["log_odds_ratio", "nll_loss"], "orpo"), (["eval/log_odds_chosen"], "orpo"),
        (["odds_ratio_loss"], "orpo"), (["kl"], "kto"), (["kl", "rewards/accuracies"], ""),
        (["reward", "reward_std", "kl"], "grpo"), (["policy/approxkl_avg"], "ppo"),
        (["objective/rlhf_reward", "objective/kl", "rewards/accuracies"], ""),  # online DPO
        (["nll_loss"], ""), ([], ""),
    ],
)  # fmt: skip
def test_curves_that_only_one_training_logs(names, loss):
    curves = {name: curve(0, 1) for name in names}
    if loss not in ("grpo", "ppo"):
        curves |= DPO_LIKE.series
    assert loss_of(curves).name == loss


def test_rewards_against_a_reference_begin_at_0():
    assert has_reference(DPO_LIKE.series) is True
    assert has_reference(SIMPO_LIKE.series) is None  # it may begin late
    logps = {"logps/chosen": Series(STEPS, SIMPO_LIKE.series["rewards/chosen"].values / 2.0)}
    assert has_reference(SIMPO_LIKE.series | logps) is False
    against = {"logps/chosen": curve(-60, -75), "logps/rejected": curve(-50, -100)}
    assert has_reference(DPO_LIKE.series | against) is True
    assert has_reference(SIMPO_LIKE.series | {HELD_OUT + KL: curve(0, 9)}) is True
    below = log((-0.1, -2.0), (-0.1, -3.0)).series
    assert (
        has_reference({name: Series(STEPS, it.values - 0.05) for name, it in below.items()}) is None
    )
    assert has_reference({}) is None


def linear(slope, name, constant=0.0, noise=0.0, source=""):
    """Rewards over log-probs on a line, with noise of the log-probs that the rewards have not."""
    logps, off = curve(-60, -75, 3.0, 2), curve(0, 0, noise, 3)
    return {
        f"{source}logps/{name}": Series(STEPS, logps.values + off.values),
        f"{source}rewards/{name}": Series(STEPS, slope * (logps.values - constant)),
    }


def test_beta_that_rewards_and_log_probs_tell():
    both = linear(0.3, "chosen", -60) | linear(0.3, "rejected", -70)
    assert (
        beta_of(both) == beta_of({f"eval/helpful/{name}": it for name, it in both.items()}) == 0.3
    )
    assert beta_of(linear(2.5, "chosen")) == 2.5  # without a reference
    assert beta_of(linear(0.3, "chosen", -60, 2.0)) is None  # other pairs at each step
    assert beta_of(linear(0.3, "chosen", -60) | linear(0.1, "rejected", -70)) is None
    assert beta_of(DPO_LIKE.series) is beta_of({}) is None


def test_beta_of_a_log_that_no_file_explains(tmp_path, capsys):
    rows = [{"step": step, "rewards/chosen": 0.3 * -step, "ref_logps/chosen": -60.0 + step % 7,
             "logps/chosen": -60.0 + step % 7 - step} for step in (1, 2, 3)]  # fmt: skip
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main.main(["runs", str(path), "--json"]) == main.DONE
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["beta"] == 0.3
    assert found["problems"] == [
        "No file says β; by the log's own rewards and log-probs it is 0.3."
    ]


@pytest.mark.parametrize(
    ("run", "word"),
    [
        (SIMPO_LIKE, "not known"),
        (replace(SIMPO_LIKE, objective=TrainingLoss(("simpo",))), "SimPO"),
        (replace(SIMPO_LIKE, objective=TrainingLoss(("cpo",))), "CPO"),
        (replace(DPO_LIKE, objective=TrainingLoss(("orpo",))), "ORPO"),
        (log((-2.0, -3.0), (-2.1, -5.0), **{"logps/chosen": Series(
            STEPS, curve(-2.0, -3.0, 0.01).values / 0.1)}), "β times logged log-probs"),
    ],
)  # fmt: skip
def test_nothing_is_said_of_a_reference_that_is_not_there(run, word):
    found = explain(run, 0.1)
    assert [it.case for it in found.findings] == ["falls"]
    assert "Eq. 16" not in found.text and "KL" not in found.text and word in found.text
    assert not found.findings[0].cites


@pytest.mark.parametrize(
    ("objective", "word"),
    [
        (TrainingLoss(), "≤ 0 (Eq. 16)"),
        (TrainingLoss(("sigmoid",)), "≤ 0 (Eq. 16)"),
        (TrainingLoss(("ipo",)), "of the means that are trained it says nothing"),
        (TrainingLoss(("kto",)), "≤ 0 (Eq. 16)"),
        (TrainingLoss(("sigmoid",), synced=True), "with the reference of that step"),
        (TrainingLoss(("sigmoid",), ld_alpha=0.5), "weighted as ld_alpha does"),
    ],
)
def test_eq_16_is_said_with_what_a_loss_makes_of_it(objective, word):
    found = explain(replace(DPO_LIKE, objective=objective), 0.1)
    assert "Eq. 16" in found.text and word in found.text


def test_no_displacement_is_claimed_of_what_has_no_reference():
    run = log((0.0, -12.0), (0.0, -20.0), **{KL: curve(0, 15)})
    assert [it.case for it in explain(run, 0.1).findings] == ["displaced"]
    alone = replace(run, objective=TrainingLoss(("simpo",)))
    assert [it.case for it in explain(alone, 0.1).findings] == ["falls"]


def test_a_recipe_beside_the_log_names_loss_and_beta(tmp_path, capsys):
    rows = [
        {"step": step, "rewards/chosen": c, "rewards/rejected": r}
        for step, c, r in zip(
            STEPS.tolist(),
            DPO_LIKE.series["rewards/chosen"].values.tolist(),
            DPO_LIKE.series["rewards/rejected"].values.tolist(),
            strict=True,
        )
    ]
    run = tmp_path / "run"
    run.mkdir()
    (run / "trainer_state.json").write_text(json.dumps({"log_history": rows}))

    def said(*more):
        assert main.main(["runs", str(run), "--json", *more]) == main.DONE
        (found,) = json.loads(capsys.readouterr().out)["runs"]
        return found["loss"], found["beta"], "Eq. 16" in found["explanation"]

    assert said() == (None, None, True)
    assert said("--loss", "simpo") == ("simpo", None, False)
    (run / "recipe.yaml").write_text("loss_type: newest\nbeta: 0.3\noutput_dir: run\n")
    assert said() == (None, 0.3, True)
    (note,) = read_run(run).problems
    assert note == "The loss newest by loss_type in run/recipe.yaml is none that Qscope knows."
    (run / "recipe.yaml").write_text("loss_type: [ipo, sft]\nbeta: 0.3\noutput_dir: run\n")
    assert said() == ("ipo+sft", 0.3, True)
    (run / "recipe.yaml").write_text("rl: simpo\nbeta: 2.0\noutput_dir: run\n")
    assert said() == ("simpo", 2.0, False)
