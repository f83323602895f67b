"""The loss of a training, from what its files say and what the user says."""

import json

import pytest

from core.checkpoints.loss import training_loss
from core.checkpoints.provenance import read_provenance
from core.checkpoints.resolve import resolve_pair
from core.errors import UserFacingError
from core.losses import UNNAMED
from core.provenance import Provenance
from tests.core.checkpoint_folders import write_adapter, write_model


@pytest.mark.parametrize(
    ("known", "names"),
    [
        (Provenance(), ()),
        (Provenance(trainer="dpo"), ("sigmoid",)),
        (Provenance(trainer="dpo", losses=(("ipo", 1.0),)), ("ipo",)),
        (Provenance(trainer="cpo", losses=(("simpo", 1.0),)), ("simpo",)),
        (Provenance(trainer="cpo", losses=(("sigmoid", 1.0),)), ("cpo",)),
        (Provenance(trainer="tpo", losses=(("sigmoid", 1.0),)), ("tpo",)),
        (Provenance(trainer="dpo", losses=(("sigmoid", 1.0),), reference_free=True), ("cpo",)),
        (Provenance(trainer="kto"), ("kto",)),
        (Provenance(trainer="kto", losses=(("apo_zero_unpaired", 1.0),)), ("apo_zero_unpaired",)),
        (Provenance(trainer="grpo", losses=(("dapo", 1.0),)), ("grpo",)),
        (Provenance(trainer="orpo"), ("orpo",)),
        (Provenance(losses=(("of my own", 1.0),)), ()),
    ],
)
def test_files_name_the_loss(known, names):
    assert training_loss(known).losses == names


def test_parameters_are_kept_and_the_users_word_counts():
    known = Provenance(
        trainer="dpo", losses=(("sigmoid", 1.0), ("sft", 0.2)), ld_alpha=0.5,
        f_divergence="FDivergenceType.JS_DIVERGENCE", sync_ref_model=True, alpha=32.0,
    )  # fmt: skip
    found = training_loss(known)
    assert found.losses == ("sigmoid", "sft") and found.weights == (1.0, 0.2)
    assert (found.ld_alpha, found.f_divergence, found.synced) == (0.5, "js_divergence", True)
    assert found.shape_alpha == 0  # alpha is that of LoRA, in a DPO recipe
    assert training_loss(Provenance(trainer="cpo", alpha=0.3)).shape_alpha == 0.3
    assert training_loss(known, "kto").losses == ("kto",)
    assert training_loss(Provenance()) is UNNAMED
    with pytest.raises(UserFacingError, match="no loss that Qscope knows"):
        training_loss(known, "mine")


def test_a_run_of_simpo_has_no_reference(tmp_path):
    write_model(tmp_path / "base")
    policy = write_adapter(tmp_path / "run" / "checkpoint-2", "../../base")
    assert resolve_pair(policy).reference is not None
    (tmp_path / "run" / "recipe.yaml").write_text("rl: simpo\nbeta: 2.0\nsimpo_gamma: 1.2\n")
    plan = resolve_pair(policy)
    assert plan.reference is None
    assert plan.objective.losses == ("simpo",) and plan.objective.gamma == 1.2


def test_more_settings_of_losses_are_read(tmp_path):
    settings = {"beta": 0.1, "loss_type": "sigmoid", "f_alpha_divergence_coef": 0.7,
                "use_weighting": True, "discopop_tau": 0.1}  # fmt: skip
    (tmp_path / "recipe.json").write_text(json.dumps(settings))
    found = training_loss(read_provenance(tmp_path))
    assert (found.f_alpha, found.weighting, found.discopop_tau) == (0.7, True, 0.1)
