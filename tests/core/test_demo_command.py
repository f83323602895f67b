"""demo evaluate, driven by its command line, on a tiny base."""

import json
import shutil

import numpy as np
import pytest

import main
from core.demo.posts import held_out_pairs
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.models.score import score
from tests.tiny import save_adapters

pytest.importorskip("faker")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def adapters(tmp_path, monkeypatch):
    """The folder of a pair as train demo leaves it, over a tiny base that need not be fetched."""
    base, policy, reference = save_adapters(tmp_path)
    for folder, name in ((policy, "dpo"), (reference, "sft")):
        shutil.move(folder, tmp_path / name)
    monkeypatch.setattr("core.demo.pair.demo_base", lambda progress: base)
    return tmp_path


def test_the_figures_are_sums_over_what_score_says(adapters, capsys):
    asked = ["demo", "evaluate", "--pairs", "3", "--adapters", str(adapters)]
    assert main.main([*asked, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    spec = PairSpec(
        policy=str(adapters / "dpo"), reference=str(adapters / "sft"), base=str(adapters / "base")
    )
    models, _ = load_pair(spec, lambda what, share: None)
    sums = []
    for pair in held_out_pairs(3):
        for text in pair.answers:
            scoring = score(models, pair.turns, models.codec.encode(pair.turns, text))
            sums.append(float((scoring.logp_policy - scoring.logp_reference).sum()))
    chosen, rejected = np.reshape(sums, (3, 2)).T
    assert table["sum_log_ratio_chosen"] == pytest.approx(chosen.mean(), abs=1e-4)
    assert table["sum_log_ratio_rejected"] == pytest.approx(rejected.mean(), abs=1e-4)
    assert table["pairs"] == 3 and table["pair_accuracy"] == (chosen > rejected).mean()
    assert 0 <= table["words"]["-reward"]["auroc"] <= 1
    assert main.main(asked) == 0
    assert "all pairs: 3 pairs" in capsys.readouterr().out
    assert main.main([*asked[:2], "--adapters", str(adapters / "base")]) == 1
    assert "train a pair first" in capsys.readouterr().err
