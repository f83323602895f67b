"""Scores, logged rewards and losses of pairs against TRL's own code, run on given log-probs."""

from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from core.errors import UserFacingError
from core.losses import LOSSES, UNKNOWN, Response, TrainingLoss, named

BETA = 0.3
LENGTHS = (5, 3)
"""Tokens of chosen and rejected."""


def responses(seed: int = 0) -> tuple[Response, Response]:
    draw = np.random.default_rng(seed)

    def logps(count: int) -> np.ndarray:
        return -draw.exponential(1.0, count)

    chosen, rejected = (Response(logps(n), logps(n)) for n in LENGTHS)
    return chosen, rejected


def same(it):
    return it


def of_dpo_trainer(trl, chosen: Response, rejected: Response, **settings):
    """Return the loss and the logged rewards of one pair by DPOTrainer, its models being given."""
    import torch

    width = max(LENGTHS)
    mask = torch.zeros(2, width + 1, dtype=torch.long)
    for row, count in enumerate(LENGTHS):
        mask[row, 1 : 1 + count] = 1

    def padded(side: int):
        rows = torch.zeros(2, width, dtype=torch.float32)
        for row, it in enumerate((chosen, rejected)):
            rows[row, : len(it.policy)] = torch.from_numpy(it[side])
        return rows

    def model(side: int):
        ones = torch.ones(2, width)
        return lambda **_: SimpleNamespace(
            log_probs=padded(side), entropy=ones, mean_logits=ones, is_top1=ones.bool(),
            log_sum_sq_probs=ones,
        )  # fmt: skip

    policy = model(0)
    trainer = SimpleNamespace(
        model=torch.nn.Identity().eval(), ref_model=model(1), beta=BETA,
        precompute_ref_logps=False, aux_loss_enabled=False, use_weighting=False,
        accelerator=SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=0.05),
        _metrics={"eval": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
        loss_types=["sigmoid"], loss_weights=[1.0], ld_alpha=None, label_smoothing=0.0,
        f_divergence_type="reverse_kl", f_alpha_divergence_coef=0.5,
    )  # fmt: skip
    trainer.__dict__.update(settings)
    inputs = {"input_ids": mask, "attention_mask": mask, "completion_mask": mask}
    import trl.trainer.dpo_trainer as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "disable_gradient_checkpointing", lambda *_: nullcontext())
        loss = trl.dpo[1]._compute_loss(trainer, policy, inputs, False)
    metrics = trainer._metrics["eval"]
    return float(loss), metrics["rewards/chosen"][0], metrics["rewards/rejected"][0]


OF_DPO = (
    "sigmoid hinge ipo exo_pair nca_pair robust bco_pair sppo_hard apo_zero apo_down discopop "
    "sigmoid_norm"
).split()


@pytest.mark.parametrize("name", OF_DPO)
def test_a_pair_costs_what_it_costs_in_trl(trl, name):
    smoothing = 0.1 if name in ("exo_pair", "robust") else 0.0
    same_as_trl(trl, TrainingLoss((name,), label_smoothing=smoothing), loss_types=[name])


@pytest.mark.parametrize("kind", ["forward_kl", "js_divergence", "alpha_divergence"])
@pytest.mark.parametrize("name", ["sigmoid", "ipo", "hinge"])
def test_f_divergences(trl, kind, name):
    objective = TrainingLoss((name,), f_divergence=kind)
    same_as_trl(trl, objective, loss_types=[name], f_divergence_type=kind)
    chosen, _ = responses()
    assert objective.rewards(chosen, BETA) is None  # not additive
    assert kind in objective.note


@pytest.mark.parametrize("name", ["sigmoid", "ipo"])
def test_ld_alpha_weights_the_tail(trl, name):
    objective = TrainingLoss((name,), ld_alpha=0.25)
    same_as_trl(trl, objective, loss_types=[name], ld_alpha=0.25)
    chosen, _ = responses()
    assert objective.score(chosen, BETA) is None  # the tail depends on the other response


@pytest.mark.parametrize(
    ("names", "weights"), [("rpo", ()), ("mpo", (0.8, 0.2, 1.0)), ("sigmoid,hinge", (0.5, 2.0))]
)
def test_weighted_lists(trl, names, weights):
    losses = named(names)
    objective = TrainingLoss(losses, weights)
    same_as_trl(
        trl, objective, loss_types=list(losses), loss_weights=list(weights or [1.0] * len(losses))
    )
    chosen, _ = responses()
    assert objective.score(chosen, BETA) == pytest.approx(TrainingLoss().score(chosen, BETA))


def same_as_trl(trl, objective: TrainingLoss, **settings) -> None:
    settings["label_smoothing"] = objective.label_smoothing
    for seed in range(3):
        chosen, rejected = responses(seed)
        loss, *logged = of_dpo_trainer(trl, chosen, rejected, **settings)
        assert objective.loss(chosen, rejected, BETA) == pytest.approx(loss, rel=1e-4)
        for it, other, rewards in zip((chosen, rejected), LENGTHS[::-1], logged, strict=True):
            assert objective.logged(it, BETA, other) == pytest.approx(rewards, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "kind", "mean", "alpha"),
    [
        ("cpo", "sigmoid", False, 0.0), ("cpo_hinge", "hinge", False, 0.0),
        ("cpo_ipo", "ipo", True, 0.0), ("simpo", "simpo", True, 0.0), ("simpo", "simpo", True, 0.4),
    ],
)  # fmt: skip
def test_losses_without_a_reference(trl, name, kind, mean, alpha):
    import torch

    chosen, rejected = (Response(it.policy, None) for it in responses())
    logps = [
        torch.tensor([it.policy.mean() if mean else it.policy.sum()]) for it in (chosen, rejected)
    ]
    trainer = SimpleNamespace(
        alpha=alpha, beta=BETA, loss_type=kind, simpo_gamma=0.7, label_smoothing=0.1,
        accelerator=SimpleNamespace(device="cpu"),
    )  # fmt: skip
    losses, *logged = trl.cpo[1].cpo_loss(trainer, *logps)
    objective = TrainingLoss((name,), gamma=0.7, label_smoothing=0.1, shape_alpha=alpha)
    assert objective.loss(chosen, rejected, BETA) == pytest.approx(float(losses), rel=1e-5)
    for it, rewards in zip((chosen, rejected), logged, strict=True):
        assert objective.logged(it, BETA) == pytest.approx(float(rewards), rel=1e-5)
        if objective.main.scaled:
            assert objective.score(it, BETA) == pytest.approx(float(rewards), rel=1e-5)
    assert not objective.main.reference and not objective.eq_16


def test_orpo(trl):
    import torch

    chosen, rejected = (Response(it.policy, None) for it in responses())
    logps = [torch.tensor([it.policy.mean()]) for it in (chosen, rejected)]
    trainer = SimpleNamespace(beta=BETA, accelerator=SimpleNamespace(device="cpu"))
    losses, first, second, _, log_odds = trl.orpo[1].odds_ratio_loss(trainer, *logps)
    objective = TrainingLoss(("orpo",))
    assert objective.loss(chosen, rejected, BETA) == pytest.approx(-float(losses), rel=1e-5)
    assert objective.margin(chosen, rejected, BETA) == pytest.approx(float(log_odds), rel=1e-5)
    assert objective.logged(chosen, BETA) == pytest.approx(float(first), rel=1e-5)
    assert objective.logged(rejected, BETA) == pytest.approx(float(second), rel=1e-5)
    assert objective.rewards(chosen, BETA) is None


def test_by_hand():
    """Two tokens, log-ratios 1 and −0.5; log π −1 and −3."""
    it = Response(np.array([-1.0, -3.0]), np.array([-2.0, -2.5]))
    assert TrainingLoss(("sigmoid",)).rewards(it, 0.2) == pytest.approx([0.2, -0.1])
    assert TrainingLoss(("ipo",)).score(it, 0.2) == pytest.approx(0.25)
    assert TrainingLoss(("ipo",)).logged(it, 0.2) == pytest.approx(0.1)
    assert TrainingLoss(("sigmoid_norm",)).score(it, 0.2) == pytest.approx(0.05)
    assert TrainingLoss(("simpo",)).rewards(it, 2.0) == pytest.approx([-1.0, -3.0])
    assert TrainingLoss(("cpo",)).score(it, 0.2) == pytest.approx(-0.8)
    assert TrainingLoss(("orpo",)).score(it, None) == pytest.approx(-2 - np.log(1 - np.exp(-2)))


@pytest.mark.parametrize("name", LOSSES)
def test_shares_of_tokens_sum_to_the_score(name):
    chosen, rejected = responses()
    objective = TrainingLoss((name,))
    score, shares = objective.score(chosen, BETA), objective.rewards(chosen, BETA)
    if score is not None and shares is not None:
        assert shares.sum() == pytest.approx(score)
    assert objective.main.source and objective.title
    assert bool(objective.eq_16) <= objective.main.reference
    alone = [Response(it.policy, None) for it in (chosen, rejected)]
    if objective.main.reference:  # nothing is made up
        assert objective.score(alone[0], BETA) is None
        assert objective.rewards(alone[0], BETA) is None
        assert objective.logged(alone[0], BETA) is None
        assert objective.loss(*alone, BETA) is None


def test_what_is_not_of_one_pair_is_absent():
    chosen, rejected = responses()
    for name in ("aot", "aot_unpaired"):
        assert TrainingLoss((name,)).margin(chosen, rejected, BETA) is None
    for name in ("aot", "aot_unpaired", "kto", "grpo", "ppo", "rloo"):
        assert TrainingLoss((name,)).loss(chosen, rejected, BETA) is None
    assert TrainingLoss(("grpo",)).score(chosen, BETA) is None
    assert TrainingLoss(("grpo",)).rewards(chosen, BETA) == pytest.approx(
        chosen.policy - chosen.reference
    )
    assert TrainingLoss(("sigmoid",), weighting=True).loss(chosen, rejected, BETA) is None
    assert TrainingLoss(("exo_pair",)).loss(chosen, rejected, BETA) is None  # needs smoothing
    mixed = TrainingLoss(("sigmoid", "ipo"))
    assert mixed.score(chosen, BETA) is None and mixed.loss(chosen, rejected, BETA) is not None


def test_an_unknown_loss_is_said_and_beta_may_be_unknown():
    chosen, rejected = responses()
    objective = TrainingLoss()
    assert objective.name == "" and objective.main is UNKNOWN and not objective.eq_16
    assert objective.score(chosen, None) == pytest.approx((chosen.policy - chosen.reference).sum())
    assert objective.loss(chosen, rejected, None) is None


def test_names():
    assert named("DPO") == ("sigmoid",)
    assert named("sigmoid", "CPOTrainer") == ("cpo",)
    assert named("ipo", "TPOConfig") == ("cpo_ipo",)
    assert named("mpo") == ("sigmoid", "bco_pair", "sft")
    with pytest.raises(UserFacingError, match="simpo"):
        named("simppo")


def test_titles_say_what_was_changed():
    assert TrainingLoss(("simpo",), gamma=1.6).title == "SimPO (γ = 1.6)"
    assert TrainingLoss(("sigmoid", "sft"), synced=True).title == "DPO + SFT (synced reference)"
