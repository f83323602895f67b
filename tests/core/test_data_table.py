"""A scored file as a table: its numbers against plain readings of its rows, what it refuses."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import derived
from core.dataset.as_shown import as_texts
from core.dataset.scored import KEY, batches, preference, summarise, table_of
from core.dataset.table import credit_of, open_scored, readable
from core.errors import Cancelled, UserFacingError
from core.losses import LOSSES, TrainingLoss
from core.noise import NoiseFloor
from core.preferences import Preference
from core.present.pair import pair_noise, pair_numbers
from core.scoring import Scoring
from core.text import Message, Prompt
from tests.core.test_scored import scored
from tests.made_scored import about, write_scored, write_table

ROOT = Path(__file__).parents[2]
FLOOR = NoiseFloor("bfloat16", 0.1, 0.05, 0.01, 9, "so")


def rows_of(path):
    return [row for table in batches(path) for row in table.to_pylist()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "scored.parquet"
    return write_scored(path, 700, at_once=256)


@pytest.fixture(scope="module")
def table(made):
    return open_scored(made)


# --- numbers ------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_rows(made, table):
    rows = rows_of(made)
    beta = 0.3
    for name in ("length_chosen", "length_rejected", "parts", "row"):
        assert table.values(name, beta).tolist() == [row[name] for row in rows]
    for side in ("chosen", "rejected"):
        wanted = [beta * row[f"log_ratio_{side}"] for row in rows]
        assert table.values(f"reward_{side}", beta) == pytest.approx(wanted)
    wanted = [beta * (row["log_ratio_chosen"] - row["log_ratio_rejected"]) for row in rows]
    assert table.values("margin", beta) == pytest.approx(wanted)
    wanted = [1 / (1 + np.exp(-m)) for m in wanted]
    assert table.values("preference", beta) == pytest.approx(wanted)
    wanted = [row["length_chosen"] - row["length_rejected"] for row in rows]
    assert table.values("length_difference", beta).tolist() == wanted
    wanted = [likeness(row["ids_chosen"], row["ids_rejected"]) for row in rows]
    assert table.values("alike", beta) == pytest.approx(wanted)
    assert table.values("source.rating", beta).tolist() == [row["source.rating"] for row in rows]
    words = table.words["source.category"]
    assert [words.kinds[c] for c in words.codes] == [row["source.category"] for row in rows]
    assert set(table.words["source.checked"].kinds) == {"true", "false"}
    assert table.searched == ("source.comment",)


def likeness(one, other):
    common = Counter(one) & Counter(other)
    return 2 * common.total() / (len(one) + len(other))


TOKENS = st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=5)


@given(one=TOKENS, other=TOKENS)
def test_likeness_is_that_of_two_bags(one, other):
    pairs = [(a or [], b or []) for a, b in zip_longest(one, other)]
    sides = [
        (np.array([i for side in sides for i in side], np.int32),
         np.cumsum([0, *map(len, sides)]))
        for sides in zip(*pairs, strict=True)
    ]  # fmt: skip
    found = derived.alike(*sides[0], *sides[1])
    for value, (a, b) in zip(found, pairs, strict=True):
        if a or b:
            assert value == pytest.approx(likeness(a, b))
        else:
            assert np.isnan(value)


@given(values=st.lists(st.floats(-800, 800), min_size=1))
def test_preferences_are_sigma_of_margins_without_overflow(values):
    found = derived.preference(np.array(values))
    for value, p in zip(values, found, strict=True):
        wanted = 1 / (1 + np.exp(-value)) if value > 0 else np.exp(value) / (1 + np.exp(value))
        assert p == pytest.approx(wanted, rel=1e-12, abs=1e-300)
    assert derived.right(np.array([2.0, 0.0, -1.0, np.nan])).tolist()[:3] == [1.0, 0.5, 0.0]


OBJECTIVES = [
    TrainingLoss(),
    *(TrainingLoss((name,)) for name in LOSSES),
    TrainingLoss(("sigmoid", "sft")),
    TrainingLoss(("sigmoid",), ld_alpha=0.3),
    TrainingLoss(("sigmoid",), f_divergence="forward_kl"),
    TrainingLoss(("simpo",), shape_alpha=0.25),
    TrainingLoss(("sigmoid", "simpo")),
]


def scoring(row, side):
    n = row[f"length_{side}"]
    reference = row[f"reference_{side}"]
    zeros = np.zeros(n)
    return Scoring(
        tokens=None, ids=np.array(row[f"ids_{side}"]), labels=("",) * n,
        logp_policy=np.array(row[f"policy_{side}"], np.float64),
        logp_reference=None if reference is None else np.array(reference, np.float64),
        rank_policy=zeros, rank_reference=None if reference is None else zeros, kl=None,
        kl_reverse=None, entropy_policy=zeros, entropy_reference=None, logit=zeros,
        logsumexp=zeros, start=0, nodes=zeros, computed=0, reused=0, seconds=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda it: it.title)
@pytest.mark.parametrize("beta", [None, 0.2])
def test_margins_are_those_of_the_credit_view(tmp_path, objective, alone, beta):
    tables = [table_of([scored(n, ids=((1, 2, 3), (1, 4)), reference=not alone,
                               ratios=None if alone else (3 * 0.1, 2 * 0.1))
                        for n in range(2)])]  # fmt: skip
    said = about(2, beta, objective, "" if alone else "r", noise=FLOOR)
    path = write_table(tmp_path / "s.parquet", tables, said)
    table = open_scored(path)
    credit, note = credit_of(said)
    row = rows_of(path)[0]
    one, other = scoring(row, "chosen"), scoring(row, "rejected")
    wanted = pair_numbers(one, other, beta, credit)
    assert table.values("reward_chosen", beta)[0] == pytest.approx(wanted.sum_a, rel=1e-5)
    assert table.values("margin", beta)[0] == pytest.approx(wanted.margin, rel=1e-5, abs=1e-7)
    noise = pair_noise(one, other, 1.0 if beta is None else beta, FLOOR, credit)
    assert table.noise(beta)[0] == pytest.approx(noise[2])
    found = table.values("preference", beta)[0]
    if wanted.preference is None:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(wanted.preference)
    if objective.main.compares and not objective.mixed and not (alone and objective.main.reference):
        assert not note
        assert summarise(path, objective, beta).mean_margin == pytest.approx(
            table.values("margin", beta).mean(), rel=1e-5, abs=1e-7
        )


def test_a_loss_that_scores_no_pair_gets_the_implicit_reward_and_a_note(tmp_path):
    said = about(1, objective=TrainingLoss(("grpo",)))
    table = open_scored(write_table(tmp_path / "s.parquet", [table_of([scored(0)])], said))
    assert "GRPO" in table.note and table.values("margin", 0.5)[0] == pytest.approx(0.5 * 0.75)


# --- order --------------------------------------------------------------------------------------


VALUES = st.lists(st.sampled_from([np.nan, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=30)


@given(values=VALUES, descending=st.booleans(), data=st.data())
def test_order_is_pythons_with_the_unknown_last(table, values, descending, data):
    n = len(values)
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1)))), np.int64)
    numbers = table.numbers["source.rating"].copy()
    table.numbers["source.made"] = np.concatenate([values, numbers[n:]])
    found = table.order(rows, "source.made", None, descending).tolist()
    sign = -1 if descending else 1
    wanted = sorted(
        rows.tolist(), key=lambda r: (np.isnan(values[r]), sign * np.nan_to_num(values[r]))
    )
    assert found == wanted
    del table.numbers["source.made"]


@pytest.mark.parametrize("descending", [False, True])
def test_words_are_sorted_by_the_alphabet(made, table, descending):
    rows = rows_of(made)
    found = table.order(np.arange(table.count), "source.category", None, descending)
    wanted = sorted(rows, key=lambda row: row["source.category"], reverse=descending)
    assert [rows[i]["source.category"] for i in found] == [it["source.category"] for it in wanted]


# --- texts --------------------------------------------------------------------------------------


def test_rows_are_read_in_any_order(made, table):
    rows = rows_of(made)
    places = [699, 0, 300, 255, 256, 300]
    found = table.read(places, ["id", "chosen", "policy_chosen"])
    assert [it["id"] for it in found] == [rows[i]["id"] for i in places]
    assert [it["policy_chosen"] for it in found] == [rows[i]["policy_chosen"] for i in places]
    pair, cells = table.pair(300)
    assert pair == preference(rows[300]) and cells["id"] == "pair 300"


def test_texts_begin_where_the_sides_part(made, table):
    rows = rows_of(made)
    for place in range(0, 700, 50):
        one, other = rows[place]["chosen"], rows[place]["rejected"]
        same = len([None for a, b in zip(one, other, strict=False) if a == b])
        shown = table.beginning("chosen", place)
        if shown.startswith("… "):
            start = len(one) - len(one[one.index(shown[2:30]) :])
            assert one[:start] == other[:start] and start <= same
        else:
            assert one.startswith(shown)
        assert rows[place]["prompt"].startswith(table.beginning("prompt", place)[:60])


def test_a_file_that_became_another_is_not_mixed_up(tmp_path):
    path = write_scored(tmp_path / "s.parquet", 20)
    table = open_scored(path)
    write_table(path, [table_of([scored(n) for n in range(5, 25)])], about(20))
    with pytest.raises(UserFacingError, match="is another file now"):
        table.pair(3)
    path.unlink()
    with pytest.raises(UserFacingError, match="cannot be read"):
        table.read([3], ["id"])


def test_conversations_are_shown_as_what_they_say(tmp_path):
    prompt = (Message("system", "Be brief."), Message("user", "Why?\nSay."))
    pair = Preference(prompt, (Message("assistant", "Because."),), (Message("assistant", "No."),))
    path = write_table(tmp_path / "s.parquet", [table_of([scored(0, pair)])], about(1))
    table = open_scored(path)
    assert table.beginning("prompt", 0) == "Be brief.↵Why?↵Say."
    assert table.beginning("chosen", 0) == "Because."
    assert table.pair(0)[0] == replace(pair, wrong=((0, 3),))
    assert readable("no JSON", True) == "no JSON" and readable(None, True) == ""
    assert as_texts(pair) == (Prompt(prompt), "Because.", "No.")


def test_single_responses_have_no_margin(tmp_path):
    rows = [scored(n, ids=((1, 2, 3),), ratios=(0.5,)) for n in range(3)]
    table = open_scored(write_table(tmp_path / "s.parquet", [table_of(rows)], about(3)))
    assert table.is_single and np.isnan(table.values("margin", 0.1)).all()
    assert table.values("reward_chosen", 0.1) == pytest.approx([0.05] * 3)
    assert {it.name for it in table.columns} == {"row", "reward_chosen", "length_chosen"}


def test_an_empty_file_is_an_empty_table(tmp_path):
    table = open_scored(write_table(tmp_path / "s.parquet", [table_of([])], about(0)))
    assert table.count == 0 and len(table.values("margin", 0.1)) == 0


# --- what is refused ------------------------------------------------------------------------------


def test_other_files_are_refused_in_one_sentence(tmp_path, made):
    whole = made.read_bytes()
    bad = {
        "text.parquet": (b"a,b\n1,2\n", "cannot be read"),
        "cut.parquet": (whole[: len(whole) // 2], "cannot be read"),
        "empty.parquet": (b"", "cannot be read"),
    }
    for name, (data, words) in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserFacingError, match=words):
            open_scored(tmp_path / name)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserFacingError, match="is no file of scored rows"):
        open_scored(tmp_path / "other.parquet")
    said = about(1)
    newer = msgspec.structs.replace(said, job=msgspec.structs.replace(said.job, version=99))
    write_table(tmp_path / "new.parquet", [table_of([scored(0)])], newer)
    with pytest.raises(UserFacingError, match="newer Qscope"):
        open_scored(tmp_path / "new.parquet")
    kept = table_of([scored(0)]).drop_columns(["ids_chosen"])
    with pq.ParquetWriter(tmp_path / "lacks.parquet", kept.schema) as writer:
        writer.write_table(kept)
        writer.add_key_value_metadata({KEY: msgspec.json.encode(said)})
    with pytest.raises(UserFacingError, match="no column ids_chosen"):
        open_scored(tmp_path / "lacks.parquet")


def test_damaged_pages_are_refused(tmp_path, made):
    data = bytearray(made.read_bytes())
    data[3000:9000] = bytes(6000)
    (tmp_path / "s.parquet").write_bytes(data)
    with pytest.raises(UserFacingError, match="cannot be read"):
        open_scored(tmp_path / "s.parquet")


def test_a_row_that_is_no_pair_is_said(tmp_path):
    rows = table_of([scored(0)]).to_pylist()
    rows[0]["turns"] = True  # its texts are no JSON
    damaged = pa.Table.from_pylist(rows, table_of([scored(0)]).schema)
    table = open_scored(write_table(tmp_path / "s.parquet", [damaged], about(1)))
    assert table.beginning("chosen", 0) == "c"
    with pytest.raises(UserFacingError, match="score the data again"):
        table.pair(0)


def test_opening_tells_how_far_it_is_and_stops(made):
    told = []
    open_scored(made, lambda what, fraction: told.append(fraction))
    assert told == sorted(told) and told[-1] == 1.0
    with pytest.raises(Cancelled):
        open_scored(made, cancelled=lambda: True)


@pytest.mark.parametrize(
    "chosen, rejected, words",
    [
        ((Message("assistant", "a"), Message("user", "b"), Message("assistant", "c")),
         (Message("assistant", "d"),), "part before their last turn"),
        ((Message("assistant", "", '{"tool_calls": []}'),), (Message("assistant", "d"),),
         "more than text"),
        ((Message("user", "a"),), (Message("assistant", "d"),), "more than text"),
    ],
)  # fmt: skip
def test_pairs_that_the_credit_view_cannot_show_say_why(chosen, rejected, words):
    with pytest.raises(UserFacingError, match=words):
        as_texts(Preference((Message("user", "?"),), chosen, rejected))


def test_turns_that_both_sides_begin_with_go_to_the_prompt():
    said = Message("assistant", "Hm."), Message("user", "So?")
    pair = Preference(
        (Message("user", "?"),),
        (*said, Message("assistant", "Yes")),
        (*said, Message("assistant", "No")),
    )
    assert as_texts(pair) == (Prompt((Message("user", "?"), *said)), "Yes", "No")


QUIETLY = """
import sys
from pathlib import Path
from core.dataset.filters import matching, parse
from core.dataset.table import open_scored
table = open_scored(Path(sys.argv[1]))
table.pair(3)
matching(table, parse('sorry id="pair 3"', table), 0.1)
assert "pandas" not in sys.modules
"""


def test_pandas_is_not_imported(made):
    subprocess.run([sys.executable, "-c", QUIETLY, made], check=True, cwd=ROOT)


def test_what_all_prompts_begin_with_is_left_out_of_their_beginnings(tmp_path):
    prompts = [f"Summarise this post in one sentence.\n\nPost {n} is short." for n in range(3)]
    rows = [scored(n, Preference(it, "a", "b")) for n, it in enumerate([*prompts, "Summarise."])]
    tables = [table_of(rows[:3]), table_of(rows[3:])]
    table = open_scored(write_table(tmp_path / "s.parquet", tables, about(4)))
    shown = [table.beginning("prompt", n) for n in range(4)]
    whole = [it.replace("\n", "↵") for it in prompts]
    assert shown == [*whole, "Summarise."]  # they are read at once: not all begin so
    table = open_scored(write_table(tmp_path / "s.parquet", tables[:1], about(3)))
    assert [table.beginning("prompt", n) for n in range(3)] == [
        f"… {n} is short." for n in range(3)
    ]
