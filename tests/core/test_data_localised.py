"""Known errors in a scored file: the figures are those of a run that is measured on the pairs."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from core.dataset.localised import localise
from core.dataset.look import Question, look
from core.dataset.rows import open_source
from core.dataset.said import lines
from core.dataset.score import score_data
from core.dataset.scored import batches, table_of
from core.dataset.table import open_scored
from core.engine.protocol import PairSpec
from core.errors import Cancelled
from core.evaluation.localisation import figures, score_pairs
from core.models.load import load_pair
from core.preferences import Preference
from core.progress import silent
from core.runs.records import Checkpoint
from core.text import Message
from tests.core.test_scored import scored
from tests.made_scored import about, write_table
from tests.tiny import save_run

TALK = (Message("system", "Be brief."), Message("user", "Another."))
PAIRS = [
    Preference("A post.", "They got $53K.", "They got $250K now.", ((9, 14),)),
    Preference("A post.", "A new car 🙂.", "A red 🙂 car.", ((2, 7), (8, 11))),
    Preference("Another", "It is so.", "It was so, they say.", ((3, 6),)),
    Preference(TALK, (Message("assistant", "Yes."),), (Message("assistant", "Nothing at all."),),
               ((0, 7),)),
    Preference("A post.", "They go.", "They stay."),
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), ranks=(2, 4))[1]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_errors_are_found_as_when_the_run_is_measured(run, tmp_path):
    source, out = tmp_path / "d.jsonl", tmp_path / "s.parquet"
    rows = [{**it.row(), "wrong": [list(at) for at in it.wrong] or None} for it in PAIRS]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    pair, info = load_pair(PairSpec(run=str(run)), silent)
    score_data(pair, info, open_source(source), out)
    table = open_scored(out)
    assert table.values("errors", None)[:4].tolist() == [1, 2, 1, 1]
    assert np.isnan(table.values("errors", None)[4])
    found = localise(table, np.arange(5))
    step = Checkpoint(20, str(run / "checkpoint-20"))
    (measured,) = score_pairs(pair, [step], PAIRS[:4], silent).values()
    wanted = figures(measured)["tokens"]
    assert found.pairs == 4
    assert found.auroc.value == pytest.approx(wanted["-reward"]["auroc"])
    assert found.auroc_reference.value == pytest.approx(wanted["-log_ref"]["auroc"])
    assert 0 < found.auroc.low < found.auroc.value < found.auroc.high < 1
    assert found.hit.value == wanted["-reward"]["top1_hit"]
    said = {it.name: it.value for it in lines(table, look(table, Question()), found)}
    of = found.auroc
    assert said["Errors, AUROC"] == f"{of.value:.3f} ({of.low:.3f} to {of.high:.3f})"
    assert said["  of −log π_ref"].startswith(f"{found.auroc_reference.value:.3f} (")
    assert said["Errors, hit"].endswith("n 4)")


def made(number, wrong, places, rewards):
    """A row whose rejected side is "a b c" of three tokens and a closing one."""
    pair = Preference("p", "x", "a b c")
    row = scored(number, pair, ids=((1, 0), (1, 2, 3, 0)))
    policy = row.policy[0], np.float32(rewards)
    reference = row.reference[0], np.zeros(4, np.float32)
    return replace(
        row, row=replace(row.row, wrong=wrong), policy=policy, reference=reference, places=places
    )


SPANS = ((0, 1), (1, 3), (3, 5), (-1, -1))


def test_figures_by_hand(tmp_path):
    rows = [
        made(0, ((2, 3),), SPANS, [0.1, -0.9, -0.2, 0.3]),  # the second is blamed and wrong
        made(1, ((4, 5),), SPANS, [0.1, -0.9, -0.3, 0.3]),  # the second is blamed, the third wrong
        made(2, (), SPANS, [0.0, 0.0, 0.0, 0.0]),
        made(3, ((0, 1),), None, [0.0, 0.0, 0.0, 0.0]),
    ]
    table = open_scored(write_table(tmp_path / "s.parquet", [table_of(rows)], about(4)))
    errors = table.values("errors", None)
    assert errors[:2].tolist() == [1, 1] and np.isnan(errors[2:]).all() and table.has_errors
    found = localise(table, np.arange(4))
    assert (found.pairs, found.hit.value) == (2, 0.5)
    # −r of wrong tokens: 0.9, 0.3; of right ones: −0.1, 0.2, −0.3, −0.1, 0.9, −0.3.
    assert found.auroc.value == pytest.approx((5.5 + 5) / 12)
    assert found.auroc_reference.value == 0.5
    assert localise(table, np.array([1])).hit.value == 0.0
    assert localise(table, np.array([2, 3])) is None
    with pytest.raises(Cancelled):
        localise(table, np.arange(4), cancelled=lambda: True)


def test_files_that_do_not_know_where_tokens_are(tmp_path):
    rows = table_of([made(0, ((2, 3),), SPANS, [0, 0, 0, 0])]).drop_columns(["places"])
    path = tmp_path / "s.parquet"
    import msgspec
    import pyarrow.parquet as pq

    from core.dataset.scored import KEY

    with pq.ParquetWriter(path, rows.schema) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({KEY: msgspec.json.encode(about(1))})
    table = open_scored(path)
    assert not table.has_errors and localise(table, np.array([0])) is None
    assert "errors" not in {it.name for it in table.columns}
    said = [it.name for it in lines(table, look(table, Question()))]
    assert not any(name.startswith("Errors") for name in said)


def test_where_all_tokens_are_wrong_no_order_is_known(tmp_path):
    whole = ((0, 2), (2, 4), (4, 5), (-1, -1))
    row = made(0, ((0, 5),), whole, [0.1, 0.2, 0.3, -5.0])
    row = replace(row, ids=((1, 0), (1, 2, 3)), policy=(row.policy[0], row.policy[1][:3]),
                  reference=(row.reference[0], row.reference[1][:3]), places=whole[:3])  # fmt: skip
    path = write_table(tmp_path / "s.parquet", [table_of([row])], about(1))
    table = open_scored(path)
    found = localise(table, np.array([0]))
    assert math.isnan(found.auroc.value) and found.hit.value == 1.0
    assert sum(len(it) for it in batches(path)) == 1
