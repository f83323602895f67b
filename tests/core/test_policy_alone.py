"""A policy without a reference: its own numbers are exact, all others are absent, never made up."""

import json

import numpy as np
import pytest
import torch

import main
from core.engine.protocol import Loaded, PairSpec, Scored
from core.engine.wire import decode, encode
from core.errors import UserFacingError
from core.models.load import load_pair
from core.models.noise import Measurement
from core.models.score import inspect, score, survey
from core.present.credit import Credit
from core.present.measures import MEASURES, of_training, shown, why_not
from core.present.pair import pair_numbers
from core.present.table import table
from core.present.token_facts import popup_html, token_facts
from core.search.grown import GrownTree
from core.search.run import Run
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.mcts import TreeSearch
from core.text import Prompt
from tests.tiny import save_adapters, save_model, save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")
TEXT = "They turned it down flat: the salary was too low!"
ABSENT = "logp_reference rank_reference kl kl_reverse entropy_reference".split()


def quiet(what, fraction):
    """Take progress."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    save_pair(folder)
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    return load_pair(PairSpec(policy=str(folder / "policy"), device="cpu"), quiet)


def scored(pair, text=TEXT):
    return score(pair, PROMPT, pair.codec.encode(PROMPT, text))


def plain(folder, ids, count):
    """Log-probs of the last ``count`` of some ids, by a plain forward."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        rows = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return rows[len(ids) - count - 1 : -1]


def test_its_numbers_are_those_of_a_plain_forward(alone, folder):
    pair, info = alone
    assert info.alone and info.reference == "" and not info.objective.losses
    found = scored(pair)
    ids = [*pair.codec.prompt_ids(PROMPT), *found.ids.tolist()]
    rows = plain(folder / "policy", ids, len(found))
    expected = rows.gather(-1, torch.tensor(found.ids)[:, None])[:, 0]
    assert found.logp_policy == pytest.approx(expected.numpy(), abs=1e-4)
    assert found.entropy_policy == pytest.approx(-(rows.exp() * rows).sum(-1).numpy(), abs=1e-4)
    assert (found.rank_policy == (rows > expected[:, None]).sum(-1).numpy() + 1).all()
    for name in ABSENT:
        assert getattr(found, name) is None


def test_states_have_the_policys_actions_alone(alone):
    pair, _ = alone
    found = scored(pair)
    seen = inspect(pair, found.state(2), "the")
    assert seen.by_policy and seen.found and seen.by_reference == ()
    assert {it.logp_reference for it in (*seen.by_policy, *seen.found)} == {None}
    assert {it.rank_reference for it in seen.by_policy} == {None}
    actions = survey(pair, found.state(2))
    assert actions.logp_reference is None and not actions.promoted and not actions.demoted
    assert np.exp(actions.logp_policy.astype(float)).sum() == pytest.approx(1, abs=1e-4)
    floor = Measurement(pair).finish()
    assert floor is not None and not floor.matters


def test_a_search_for_its_likelihood_finds_what_the_pair_finds(alone, folder):
    both, _ = load_pair(
        PairSpec(policy=str(folder / "policy"), reference=str(folder / "reference"), device="cpu"),
        quiet,
    )
    spec = SearchSpec(Beam(3), max_tokens=6)
    found = []
    for pair in (alone[0], both):
        run, tree = Run(pair, PROMPT, (), spec), GrownTree()
        while (growth := run.step()) is not None:
            tree.add(growth)
        found.append([(h.ids, round(h.score, 4)) for h in tree.hypotheses(spec)])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "spec",
    [SearchSpec(Beam(), Objective.dial(2.0)), SearchSpec(Beam(), Objective.reward()),
     SearchSpec(TreeSearch())],
)  # fmt: skip
def test_a_search_that_needs_a_reference_says_so(alone, spec):
    with pytest.raises(UserFacingError, match="needs a reference"):
        Run(alone[0], PROMPT, (), spec)


def test_records_travel(alone):
    pair, info = alone
    event = decode(encode(Scored(1, "A", scored(pair), "")))
    assert event.scoring.kl is None and event.scoring.logps.reference is None
    assert decode(encode(Loaded(1, info))).info == info


def test_what_is_shown_of_it(alone):
    pair, _ = alone
    a, b = scored(pair), scored(pair, "They took the job.")
    credit = Credit(alone=True)
    numbers = pair_numbers(a, b, 0.1, credit)
    assert credit.symbol == credit.of_pairs == "Σ log π"
    assert numbers.sum_a == pytest.approx(a.logp_policy.sum())
    assert numbers.margin == pytest.approx(a.logp_policy.sum() - b.logp_policy.sum())
    assert numbers.preference is None and numbers.loss is None
    offered = [key for key, it in MEASURES.items() if not why_not(it, credit.objective, True)]
    assert offered == ["logp_policy"]
    assert np.isnan(shown(MEASURES["reward"], "token", 0.1, {"A": a}, None)["A"]).all()
    names = [fact.name for fact in token_facts(a, 0, 0.1)]
    assert names == ["token", "bytes, id", "log π"]
    assert "π_ref" not in popup_html(a, 0, 0.1, ("", 0.0, 1))
    header = table({"A": a}, 0.1, ",").partition("\n")[0].split(",")
    assert not {*ABSENT, "reward", "running_sum"} & {*header} and "logp_policy" in header


def test_a_loss_without_a_reference_gives_tokens_shares(tmp_path):
    base, adapter, _ = save_adapters(tmp_path)
    spec = PairSpec(policy=str(adapter), loss="simpo", beta=2.0, device="cpu")
    pair, info = load_pair(spec, quiet)
    assert info.alone and info.objective.name == "simpo"
    a, b = scored(pair), scored(pair, "They took the job.")
    measure = of_training("share", info.objective)
    assert not why_not(measure, info.objective, info.alone)
    shares = shown(measure, "token", 2.0, {"A": a}, None)["A"]
    assert shares == pytest.approx(2.0 * a.logp_policy / len(a))
    credit = Credit(info.objective, info.alone)
    numbers = pair_numbers(a, b, 2.0, credit)
    assert numbers.sum_a == pytest.approx(2.0 * a.logp_policy.mean())
    gap = numbers.sum_a - numbers.sum_b
    assert numbers.loss == pytest.approx(np.log1p(np.exp(-(gap - 0.5))))
    assert credit.of_pairs == credit.symbol == "score" and not credit.parts_cancel
    compared, _ = load_pair(
        PairSpec(policy=str(adapter), reference=str(base), loss="simpo", device="cpu"), quiet
    )
    assert not compared.alone  # a reference that is named is there all the same


def test_a_run_of_whole_models_without_a_reference(tmp_path):
    for seed in (1, 2):
        save_model(tmp_path / "run" / f"checkpoint-{10 * seed}", seed=seed)
    pair, info = load_pair(PairSpec(run=str(tmp_path / "run"), device="cpu"), quiet)
    assert info.alone and [it.step for it in info.checkpoints] == [10, 20]
    last = scored(pair).logp_policy
    pair.use(info.checkpoints[0].path)
    first = scored(pair)
    ids = [*pair.codec.prompt_ids(PROMPT), *first.ids.tolist()]
    rows = plain(tmp_path / "run" / "checkpoint-10", ids, len(first))
    expected = rows.gather(-1, torch.tensor(first.ids)[:, None])[:, 0].numpy()
    assert first.logp_policy == pytest.approx(expected, abs=1e-4)
    assert abs(last - first.logp_policy).max() > 0.01


def test_commands_print_null_for_what_is_not_there(folder, tmp_path, capsys):
    (tmp_path / "p").write_text("Summarise this post.\n", "utf-8")
    (tmp_path / "r").write_text(TEXT + "\n", "utf-8")
    pair = ["--policy", str(folder / "policy"), "--device", "cpu", "--prompt-file"]
    asked = [*pair, str(tmp_path / "p"), "--response-file", str(tmp_path / "r")]
    found = {}
    for loss in ("", "orpo", "simpo"):
        assert main.main(["score", *asked, "--beta", "0.5", "--loss", loss, "--json"]) == 0
        found[loss] = json.loads(capsys.readouterr().out)
    first = found[""]
    assert first["reference"] is first["total_reward"] is first["score"] is first["loss"] is None
    assert {token["reward"] for token in first["tokens"]} == {None}
    logp = np.array([token["logp_policy"] for token in first["tokens"]])
    mean = logp.mean()
    assert found["orpo"]["score"] == pytest.approx(mean - np.log(1 - np.exp(mean)))
    assert {token["score"] for token in found["orpo"]["tokens"]} == {None}
    assert found["simpo"]["score"] == pytest.approx(0.5 * mean)
    assert sum(token["score"] for token in found["simpo"]["tokens"]) == pytest.approx(0.5 * mean)
    assert main.main(["score", *asked]) == 0
    out = capsys.readouterr().out
    assert "nan" not in out and "Σ log π" in out and "none: what needs one is left out" in out
    assert main.main(["search", *pair, str(tmp_path / "p"), "--max-new-tokens", "3"]) == 0
    assert "nan" not in capsys.readouterr().out
    assert main.main(["score", *asked, "--loss", "simmpo"]) == 1
    assert "simpo" in capsys.readouterr().err
