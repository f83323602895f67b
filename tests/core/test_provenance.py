"""What is known of a training, from the files that trainers leave: each value, and its source."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.checkpoints.provenance import measured_beta, read_provenance
from core.checkpoints.training_args import NAME, read_training_args
from core.errors import UserFacingError
from core.provenance import Provenance, chosen_beta
from core.runs.records import ABOUT, STATE
from tests.core.checkpoint_folders import write_adapter, write_model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_adapter(tmp_path / "runs" / "one" / "checkpoint-10", "base")
    return tmp_path / "runs" / "one"


def write_yaml(path: Path, **table: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(table))


def said(folder: Path) -> tuple[float | None, str]:
    found = read_provenance(folder)
    return found.beta, found.sources.get("beta", "")


def test_nothing_is_known_where_nothing_is_said(run: Path) -> None:
    write_model(run / "checkpoint-20")  # a model's own config says nothing of its training
    (run / "vocab.json").write_text('{"beta": 7, "rl": 8}')
    for folder in (run, run / "checkpoint-10", run / "checkpoint-20", run / "nowhere"):
        assert read_provenance(folder) == Provenance()


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing`:FutureWarning")  # TRL's own
def test_the_settings_that_a_trainer_pickled(run: Path) -> None:
    import torch
    from trl import DPOConfig

    settings = DPOConfig(
        output_dir=str(run), beta=0.3, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.2],
        ld_alpha=0.5, max_length=77, sync_ref_model=True, use_cpu=True, report_to=[],
    )  # fmt: skip
    torch.save(settings, run / "checkpoint-10" / NAME)
    found = read_provenance(run / "checkpoint-10")
    assert found.beta == 0.3 and found.sources["beta"] == f"beta in checkpoint-10/{NAME}"
    assert found.losses == (("sigmoid", 1.0), ("sft", 0.2)) and found.trainer == "dpo"
    assert (found.ld_alpha, found.max_length, found.sync_ref_model) == (0.5, 77, True)
    assert said(run) == (0.3, f"beta in checkpoint-10/{NAME}"), "of its last checkpoint"
    torch.save(settings, run / NAME, _use_new_zipfile_serialization=False)
    kind, table = read_training_args(run / NAME)
    assert kind == "DPOConfig" and table["beta"] == 0.3 and table["output_dir"] == str(run)


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.place),)  # type: ignore[attr-defined]


def test_a_pickle_runs_nothing_and_a_damaged_one_is_a_sentence(run: Path, tmp_path: Path) -> None:
    bomb = Bomb()
    bomb.place = str(tmp_path / "went-off")  # type: ignore[attr-defined]
    nested = b"\x80\x02(" + b"(" * 50_000 + b"l" * 50_000 + b"."
    for data in (
        pickle.dumps(bomb), b"", b"no pickle", b"\x80\x02r\xff\xff\xff\xff.", nested,
        b"\x80\x05\x96" + b"\xff" * 7 + b"\x0f.", pickle.dumps({"beta": 0.3}),
    ):  # fmt: skip
        with zipfile.ZipFile(run / NAME, "w") as archive:
            archive.writestr("archive/data.pkl", data)
        found = read_provenance(run)
        assert found.beta is None and not (tmp_path / "went-off").exists()
        assert found.notes == () or f"{run / NAME} cannot be read" in found.notes[0]
        (run / NAME).write_bytes(data)
        assert read_provenance(run).beta is None


RECIPES = {
    "trl": (
        {"model_name_or_path": "org/sft", "beta": 0.3, "loss_type": "ipo", "max_length": 512},
        Provenance(beta=0.3, losses=(("ipo", 1.0),), base="org/sft", max_length=512),
    ),
    "text": ({"beta": "1e-1"}, Provenance(beta=0.1)),
    "llamafactory": (
        {"stage": "dpo", "pref_beta": 0.2, "pref_loss": "sigmoid", "pref_ftx": 0.5,
         "ref_model": "org/sft", "cutoff_len": 99},
        Provenance(beta=0.2, losses=(("sigmoid", 1.0), ("sft", 0.5)), trainer="dpo",
                   reference="org/sft", max_length=99),
    ),
    "an adapter under the reference": (
        {"stage": "dpo", "pref_beta": 0.2, "ref_model": "org/base", "ref_model_adapters": "sft"},
        Provenance(beta=0.2, trainer="dpo", reference="sft"),
    ),
    "ms-swift": (
        {"rlhf_type": "dpo", "beta": 0.2, "ref_adapters": ["sft"], "model": "org/base"},
        Provenance(beta=0.2, trainer="dpo", reference="sft", base="org/base"),
    ),
    "axolotl": (
        {"base_model": "org/sft", "rl": "ipo", "rl_beta": 0.4},
        Provenance(beta=0.4, losses=(("ipo", 1.0),), trainer="dpo", base="org/sft"),
    ),
    "axolotl of old": ({"rl": "dpo", "dpo_beta": 0.4}, Provenance(beta=0.4, trainer="dpo")),
    "axolotl, nested": (
        {"rl": "grpo", "trl": {"beta": 0.04}}, Provenance(beta=0.04, trainer="grpo"),
    ),
    "simpo": (
        {"rlhf_type": "simpo", "beta": 2.0, "gamma_beta_ratio": 0.5, "loss_type": "sigmoid"},
        Provenance(beta=2.0, losses=(("simpo", 1.0),), trainer="cpo", gamma=1.0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_many_trainers(run: Path, name: str) -> None:
    table, expected = RECIPES[name]
    write_yaml(run / "recipe.yaml", **table)
    found = read_provenance(run / "checkpoint-10")
    for field in ("beta", "losses", "trainer", "reference", "base", "gamma", "max_length"):
        assert getattr(found, field) == getattr(expected, field), field
    assert "one/recipe.yaml" in found.sources["beta"] and found.notes == ()
    (run / "recipe.yaml").unlink()
    (run / "args.json").write_text(json.dumps(table))
    assert said(run) == (expected.beta, found.sources["beta"].replace("recipe.yaml", "args.json"))


def test_the_settings_that_wandb_keeps(run: Path) -> None:
    kept = {
        "beta": {"value": 0.3, "desc": None},
        "output_dir": {"value": "runs/one"},
        "architectures": {"value": ["LlamaForCausalLM"]},
        "_wandb": {"value": {}},
    }
    place = run / "wandb" / "run-1" / "files"
    write_yaml(place / "config.yaml", **kept)
    assert said(run / "checkpoint-10") == (0.3, "beta in files/config.yaml")
    moved = run.parent.parent / "wandb"
    (run / "wandb").rename(moved)
    assert said(run / "checkpoint-10")[0] == 0.3
    write_adapter(run.parent / "two" / "checkpoint-10", "base")
    assert said(run.parent / "two")[0] is None


def test_a_log_that_has_rewards_and_log_ratios_says_beta(run: Path) -> None:
    def row(ratio: float, beta: float) -> dict[str, float]:
        return {
            "step": 1, "rewards/chosen": round(beta * ratio, 4), "logps/chosen": ratio - 20,
            "ref_logps/chosen": -20.0,
        }  # fmt: skip

    rows = [row(ratio, 0.3) for ratio in (-1.5, 0.0, 2.0, 3.0)]
    assert measured_beta(rows) == 0.3
    assert measured_beta(rows[:2]) is None, "one row alone proves nothing"
    assert measured_beta([*rows, row(1.0, 0.1), row(2.0, 0.1)]) is None, "two trainings"
    assert measured_beta([{**it, "ref_logps/chosen": "NaN"} for it in rows]) is None
    (run / STATE).write_text(json.dumps({"log_history": rows}))
    write_yaml(run / "recipe.yaml", beta=0.1)
    found = read_provenance(run)
    assert found.beta == 0.3
    assert found.notes == (
        f"β is 0.3 by rewards over log-ratios in one/{STATE}, but 0.1 by beta in one/recipe.yaml: "
        "0.3 is taken.",
    )


def test_a_card_says_what_it_was_trained_with_and_from(run: Path) -> None:
    card = "---\nbase_model: org/sft\ntags:\n- trl\n---\nThis model was trained with ORPO, a method"
    (run / "README.md").write_text(card)
    found = read_provenance(run)
    assert (found.base, found.trainer) == ("org/sft", "orpo")
    assert found.sources["base"] == "base_model in one/README.md"


def test_files_that_disagree_decide_nothing_and_are_named(run: Path) -> None:
    write_yaml(run / "a.yaml", beta=0.1)
    write_yaml(run / "b.yaml", beta=0.3)
    found = read_provenance(run)
    assert found.beta is None
    assert found.notes == (
        "β is 0.1 by beta in one/a.yaml, but 0.3 by beta in one/b.yaml: neither is taken.",
    )
    (run / ABOUT).write_text(json.dumps({"beta": 0.3, "chat": False}))
    found = read_provenance(run)
    assert (found.beta, found.plain, found.trainer) == (0.3, True, "dpo")
    assert "0.3 is taken" in found.notes[0]
    (run / ABOUT).write_text('{"beta": 0.')
    with pytest.raises(UserFacingError, match="is damaged: mend or delete it"):
        read_provenance(run)


@pytest.mark.parametrize(
    "table",
    [{"stage": "sft", "pref_beta": 0.2, "pref_loss": "ipo"}, {"rlhf_type": "gkd", "beta": 0.5}],
)
def test_the_beta_of_another_stage_is_none(run: Path, table: dict[str, Any]) -> None:
    write_yaml(run / "recipe.yaml", **table)
    found = read_provenance(run)
    assert (found.beta, found.losses) == (None, ()) and found.trainer in ("sft", "gkd")


@pytest.mark.parametrize(
    "beta", [0, -0.1, float("nan"), float("inf"), "much", True, [], [1, 2], {}]
)
def test_what_is_no_beta_is_a_sentence(run: Path, beta: Any) -> None:
    write_yaml(run / "recipe.yaml", beta=beta)
    found = read_provenance(run)
    assert found.beta is None
    assert "beta in one/recipe.yaml is" in found.notes[0] and "not taken" in found.notes[0]


def test_a_recipe_above_counts_for_the_run_that_it_names(run: Path) -> None:
    other = write_adapter(run.parent / "two" / "checkpoint-5", "base").parent
    write_yaml(run.parent / "dpo.yaml", beta=0.1)
    assert said(run) == said(other) == (None, ""), "it may be of either"
    write_yaml(run.parent / "dpo.yaml", beta=0.1, output_dir="runs/one")
    write_yaml(run.parent.parent / "two.yaml", beta=0.3, output_dir="./runs/two")
    assert said(run / "checkpoint-10") == (0.1, "beta in runs/dpo.yaml")
    assert said(other)[0] == said(other / "checkpoint-5")[0] == 0.3
    (run.parent / "dpo.yaml").unlink()
    write_yaml(run / "mine.yaml", beta=0.2, output_dir="out/one")
    write_yaml(run / "copied.yaml", beta=0.4, output_dir="out/two")
    assert said(run)[0] == 0.2, "of several there, those that name the run"


def test_a_lone_run_has_the_recipe_above_it(run: Path) -> None:
    write_yaml(run.parent / "dpo.yaml", beta=0.1)
    assert said(run / "checkpoint-10") == (0.1, "beta in runs/dpo.yaml")


def test_adapters_inside_checkpoints_belong_to_the_run(run: Path) -> None:
    write_yaml(run / "dpo.yaml", beta=0.3)
    assert said(write_adapter(run / "checkpoint-10" / "adapter", "base"))[0] == 0.3
    assert said(write_adapter(run / "final", "base"))[0] == 0.3


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda it: st.lists(it, max_size=3) | st.dictionaries(st.text(), it, max_size=3),
)


def test_the_users_beta_outweighs_what_is_known_and_a_contradiction_is_said() -> None:
    known = Provenance(beta=0.3, sources={"beta": "beta in a.yaml"}, notes=("So it is.",))
    assert chosen_beta(None, Provenance()) == (None, ())
    assert chosen_beta(None, known) == (0.3, ("So it is.",))
    assert chosen_beta(0.3, known) == (0.3, ("So it is.",))
    assert chosen_beta(0.2, Provenance()) == (0.2, ())
    beta, notes = chosen_beta(0.1, known)
    assert beta == 0.1 and notes[1] == (
        "β of 0.1 was given and is used, but it is 0.3 by beta in a.yaml."
    )


@given(VALUES)
def test_no_settings_bring_it_down(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    run = tmp_path_factory.mktemp("run")
    names = ("beta", "loss_type", "loss_weights", "rl", "ref_model", "max_length", "output_dir",
             "ld_alpha", "gamma_beta_ratio", "trl", "rpo_alpha")  # fmt: skip
    (run / "args.json").write_text(json.dumps({"pref_beta": 0.1, **dict.fromkeys(names, value)}))
    beta = read_provenance(run).beta
    assert beta is None or beta > 0
