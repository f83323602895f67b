"""A data set scored by the command and in process: equal to single texts, and nothing lost."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from core.commands.score_data import ranks_of, shard_path
from core.dataset import parts as parts_module
from core.dataset import score as scoring
from core.dataset.parts import merge
from core.dataset.rows import open_source
from core.dataset.score import Share, score_data
from core.dataset.scored import batches, preference, read_about, summarise
from core.engine.protocol import PairSpec
from core.errors import Cancelled, UserFacingError
from core.losses import UNNAMED
from core.models.load import load_pair
from core.models.score import score
from core.preferences import load_preferences
from core.progress import silent
from tests.core.test_trl_parity import BETA, ROWS, base, trained  # noqa: F401
from tests.tiny import save_adapters, save_model, save_pair, save_run

ROOT = Path(__file__).parents[2]


def made(count, long=()):
    """Rows of pairs of many lengths, some of them with a prompt in common."""
    words = "They took the job offered at Harbour Labs in May for a year and 250 people".split()
    rows = []
    for n in range(count):
        rows.append(
            {
                "id": f"row {n}",
                "prompt": f"Summarise post {n // 2}. " + " ".join(words[: n % 9]),
                "chosen": " ".join(words[n % 5 : n % 5 + 1 + n % 7]) + ".",
                "rejected": " ".join(words[n % 4 : n % 4 + 2 + n % 6]) + "! 🙂",
                "topic": "jobs" if n % 3 else "homes",
            }
        )
    for n in long:
        rows[n]["chosen"] = "x y " * 4000
    return rows


def write(path, rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def rows_of(path):
    return [row for table in batches(path) for row in table.to_pylist()]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    return save_adapters(tmp_path_factory.mktemp("adapters"))


def options(adapters, *more):
    base_folder, policy, reference = adapters
    named = {"policy": policy, "reference": reference, "base": base_folder}
    pair = [text for name, path in named.items() for text in (f"--{name}", str(path))]
    return ["score", *pair, "--device", "cpu", *map(str, more)]


@pytest.fixture(scope="module")
def loaded(adapters):
    base_folder, policy, reference = map(str, adapters)
    spec = PairSpec(policy=policy, reference=reference, base=base_folder, beta=0.2, device="cpu")
    return load_pair(spec, silent)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(scoring, "WINDOW", 8)


# --- equal ------------------------------------------------------------------------------------


def test_equal_to_one_by_one_and_in_order(loaded, small, tmp_path):
    pair, info = loaded
    path = write(tmp_path / "d.jsonl", made(30))
    about = score_data(pair, info, open_source(path), tmp_path / "out.parquet")
    found = rows_of(tmp_path / "out.parquet")
    assert about == read_about(tmp_path / "out.parquet")
    assert (about.counts.rows, about.counts.skipped, len(found)) == (30, 0, 30)
    assert [row["row"] for row in found] == list(range(30))
    pairs = load_preferences(path)
    pair.forget()
    for row, wanted in zip(found, pairs, strict=True):
        assert preference(row) == wanted
        sides = {"chosen": wanted.chosen, "rejected": wanted.rejected}
        for name, text in sides.items():
            other = sides["rejected" if name == "chosen" else "chosen"]
            alone = score(pair, wanted.turns, pair.codec.encode(wanted.turns, text, other))
            assert row[f"ids_{name}"] == alone.ids.tolist()
            assert row[f"length_{name}"] == len(alone)
            for model, logp in (("policy", alone.logp_policy), ("reference", alone.logp_reference)):
                assert abs(np.array(row[f"{model}_{name}"]) - logp).max() < 1e-4
            total = float((alone.logp_policy - alone.logp_reference).sum())
            assert row[f"log_ratio_{name}"] == pytest.approx(total, abs=1e-4)
        ids = row["ids_chosen"], row["ids_rejected"]
        assert ids[0][: row["parts"]] == ids[1][: row["parts"]]
        assert ids[0][row["parts"] :][:1] != ids[1][row["parts"] :][:1]
        assert row["id"] == f"row {row['row']}"
    assert {row["source.topic"] for row in found} == {"jobs", "homes"}


def test_equal_to_plain_forwards_of_hugging_face(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    policy, reference = save_pair(tmp_path / "pair")
    pair, info = load_pair(PairSpec(policy=str(policy), reference=str(reference)), silent)
    path = write(tmp_path / "d.jsonl", made(5))
    score_data(pair, info, open_source(path), tmp_path / "out.parquet")
    tokenizer = AutoTokenizer.from_pretrained(policy)
    models = {
        name: AutoModelForCausalLM.from_pretrained(folder).eval()
        for name, folder in (("policy", policy), ("reference", reference))
    }
    for row in rows_of(tmp_path / "out.parquet"):
        chat = [{"role": "user", "content": row["prompt"]}]
        before = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        first = len(tokenizer(before, add_special_tokens=False)["input_ids"])
        for side in ("chosen", "rejected"):
            text = before + row[side] + "<|im_end|>"
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert row[f"ids_{side}"] == ids[first:]
            for name, model in models.items():
                with torch.no_grad():
                    logp = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
                expected = [float(logp[i - 1, ids[i]]) for i in range(first, len(ids))]
                assert row[f"{name}_{side}"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_what_trl_logs_of_an_evaluation_is_reproduced(trl, base, tmp_path):  # noqa: F811
    """TRL's trainer runs and evaluates; the same file scored gives its eval_rewards/*."""
    logged = trained(trl, "sigmoid", base, tmp_path / "run")
    rows = [dict(zip(("prompt", "chosen", "rejected"), row, strict=True)) for row in ROWS]
    path = write(tmp_path / "d.jsonl", rows)
    policy = str(tmp_path / "run" / "checkpoint-2")
    spec = PairSpec(policy=policy, reference=str(base), beta=BETA, device="cpu", dtype="float32")
    pair, info = load_pair(spec, silent)
    about = score_data(pair, info, open_source(path), tmp_path / "out.parquet")
    found = rows_of(tmp_path / "out.parquet")
    rewards = {
        s: BETA * np.mean([row[f"log_ratio_{s}"] for row in found]) for s in ("chosen", "rejected")
    }
    for side, reward in rewards.items():
        assert abs(reward) > 1e-3
        assert logged[f"eval_rewards/{side}"] == pytest.approx(reward, abs=1e-4)
    figures = summarise(tmp_path / "out.parquet", about.objective, about.beta)
    assert logged["eval_rewards/margins"] == pytest.approx(figures.mean_margin, abs=1e-4)
    assert logged["eval_rewards/accuracies"] == pytest.approx(figures.right / figures.pairs)


def test_single_responses_conversations_and_a_policy_alone(tmp_path):
    pair, info = load_pair(PairSpec(policy=str(save_model(tmp_path / "policy"))), silent)
    talk = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "In May."},
    ]  # fmt: skip
    path = write(tmp_path / "d.jsonl", [{"messages": talk, "label": True, "n": 3}] * 2)
    about = score_data(pair, info, open_source(path), tmp_path / "out.parquet")
    row, _ = rows_of(tmp_path / "out.parquet")
    assert row["turns"] and json.loads(row["prompt"]) == talk[:2]
    nothing = [name for name in row if name.endswith("_rejected") or name.startswith("reference_")]
    assert all(row[name] is None for name in (*nothing, "rejected", "log_ratio_chosen", "parts"))
    assert (row["source.label"], row["source.n"]) == (True, 3)
    pair.forget()
    wanted = preference(row)
    alone = score(pair, wanted.turns, pair.codec.encode(wanted.turns, "In May."))
    assert abs(np.array(row["policy_chosen"]) - alone.logp_policy).max() < 1e-4
    assert about.job.reference == "" and about.reference == ""


def test_checkpoints_of_a_run_are_jobs_of_their_own(tmp_path, small):
    _, run = save_run(tmp_path)
    pair, info = load_pair(PairSpec(run=str(run)), silent)
    source = open_source(write(tmp_path / "d.jsonl", made(4)))
    last = score_data(pair, info, source, tmp_path / "last.parquet")
    pair.use(info.checkpoints[1].path)
    first = score_data(pair, info, source, tmp_path / "first.parquet")
    assert first.job.policy != last.job.policy
    with pytest.raises(UserFacingError, match="the policy differs"):
        score_data(pair, info, source, tmp_path / "last.parquet")


# --- the command ------------------------------------------------------------------------------


def test_the_command_says_what_it_read_and_the_figures(adapters, tmp_path, capsys):
    rows = [*made(6, long=[4]), made(1)[0], "{broken"]
    path = write(tmp_path / "d.jsonl", rows)
    argv = options(adapters, "--data", path, "--out", tmp_path / "out.parquet", "--beta", "0.5")
    assert main.main(argv) == 0
    out, err = capsys.readouterr()
    assert "JSON Lines, 8 rows of pairs; prompt: prompt, chosen: chosen, rejected: rejected" in err
    assert "6 rows scored, 2 skipped" in out
    assert "longer than the models' context of 1,024 tokens" in out and "is not JSON" in out
    assert "skipped: line 5; line 8" in out
    assert "1 rows have the id of a row before" in out
    assert "β·nat" in out and "median length" in out
    assert not (tmp_path / "out.parquet.parts").exists()
    capsys.readouterr()
    assert main.main([*argv, "--json"]) == 0  # it is there, and nothing is done
    out, _ = capsys.readouterr()
    table = json.loads(out)
    found = rows_of(tmp_path / "out.parquet")
    margins = [row["log_ratio_chosen"] - row["log_ratio_rejected"] for row in found]
    assert table["mean_margin"] == pytest.approx(0.5 * np.mean(margins))
    assert table["pair_accuracy"] == pytest.approx(np.mean([margin > 0 for margin in margins]))
    lengths = [row[f"length_{side}"] for row in found for side in ("chosen", "rejected")]
    assert table["median_length"] == np.median(lengths)
    assert (table["rows"], table["skipped"], table["duplicate_ids"]) == (6, 2, 1)
    assert [it[0] for it in table["listed"]] == [4, 7]


def test_columns_limit_and_csv(adapters, tmp_path, capsys):
    lines = ["q,a,b", *(f"Where {n}?,In May.,At Harbour." for n in range(5))]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    named = ["--columns", "prompt=q,chosen=a,rejected=b", "--limit", 3]
    argv = options(adapters, "--data", tmp_path / "d.csv", "--out", tmp_path / "o.parquet", *named)
    assert main.main(argv) == 0
    assert [row["prompt"] for row in rows_of(tmp_path / "o.parquet")] == [
        f"Where {n}?" for n in range(3)
    ]
    assert "prompt: q, chosen: a, rejected: b" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        ["--data", "d"], ["--out", "o"], ["--merge", "a"], ["--limit", "3"],
        ["--data", "d", "--out", "o", "--jsonl", "f"],
        ["--data", "d", "--out", "o", "--merge", "a"],
        ["--data", "d", "--out", "o", "--shard", "0/2"],
        ["--data", "d", "--out", "o", "--shard", "3/2"],
        ["--data", "d", "--out", "o", "--limit", "none"],
        ["--data", "d", "--out", "o", "--columns", "prompt"],
        ["--data", "d", "--out", "o", "--checkpoint", "1"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_with_2(adapters, more, capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(options(adapters, *more))
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("", "is empty"),
        ("Dear diary", "is not JSON"),
        ('{"a": "b"}\n{"a": "c"}\n', "None of the first 2 rows"),
    ],
)
def test_files_that_cannot_be_scored(adapters, tmp_path, text, said, capsys):
    """Found before any model is loaded: the folders named do not even exist."""
    path = tmp_path / "d.jsonl"
    if text is not None:
        path.write_text(text)
    argv = ["score", "--policy", "nowhere", "--data", str(path), "--out", str(tmp_path / "o")]
    assert main.main(argv) == 1
    out, err = capsys.readouterr()
    assert out == "" and said in err and "Traceback" not in err


def test_nan_in_all_rows_is_said_and_in_one_is_a_skipped_row(adapters, tmp_path, loaded, small):
    pair, info = loaded
    source = open_source(write(tmp_path / "d.jsonl", made(12)))

    def spoilt(numbers):
        def log_probs(*arguments):
            for number, found in scoring_log_probs(*arguments):
                if number in numbers:
                    found = [np.full_like(sides, np.nan) for sides in found]
                yield number, found

        return log_probs

    scoring_log_probs = scoring.log_probs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "log_probs", spoilt({2}))
        about = score_data(pair, info, source, tmp_path / "o.parquet")
        assert [it.row for it in about.counts.listed] == [2, 10]
        assert "NaN or infinite log-probs under the policy" in about.counts.listed[0].why
        patch.setattr(scoring, "log_probs", spoilt(set(range(8))))
        with pytest.raises(UserFacingError, match=r"Every row .* from line 1 on gives NaN"):
            score_data(pair, info, source, tmp_path / "p.parquet")


# --- stopped, and going on --------------------------------------------------------------------


def same(one, other):
    first, second = rows_of(one), rows_of(other)
    assert [row["row"] for row in first] == [row["row"] for row in second]
    for mine, theirs in zip(first, second, strict=True):
        for name, value in mine.items():
            if isinstance(value, float) or (isinstance(value, list) and "ids" not in name):
                assert value == pytest.approx(theirs[name], abs=1e-4)
            else:
                assert value == theirs[name]


def test_what_was_stopped_goes_on_and_nothing_is_scored_twice(loaded, small, tmp_path, monkeypatch):
    pair, info = loaded
    source = open_source(write(tmp_path / "d.jsonl", [*made(40), "{broken"]))
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    score_data(pair, info, source, whole)
    done = []

    def told(progress, stop=1000):
        done.append(progress.done)
        if progress.done >= stop:
            raise KeyboardInterrupt

    for stop in (3, 9, 30):
        with pytest.raises(KeyboardInterrupt):
            score_data(pair, info, source, out, told=partial(told, stop=stop))
        assert not out.exists()
    kept = len(list((tmp_path / "out.parquet.parts").glob("part-*.parquet")))
    assert kept == 3
    done.clear()
    about = score_data(pair, info, source, out, told=told)
    assert done[0] == 8 * kept and done[-1] == 41
    assert about.counts == read_about(whole).counts
    assert (about.counts.rows, about.counts.skipped) == (40, 1)
    same(out, whole)


def test_cancelling_ends_soon_and_goes_on(loaded, small, tmp_path):
    pair, info = loaded
    source = open_source(write(tmp_path / "d.jsonl", made(30)))
    asked = iter(range(10**9))
    with pytest.raises(Cancelled):
        score_data(pair, info, source, tmp_path / "o.parquet", cancelled=lambda: next(asked) > 20)
    score_data(pair, info, source, tmp_path / "o.parquet")
    assert len(rows_of(tmp_path / "o.parquet")) == 30


def test_another_run_in_the_way_is_said(loaded, small, tmp_path, monkeypatch):
    pair, info = loaded
    one = open_source(write(tmp_path / "one.jsonl", made(20)))
    two = open_source(write(tmp_path / "two.jsonl", made(21)))
    out = tmp_path / "out.parquet"

    def stopped(progress):
        if progress.done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_data(pair, info, one, out, told=stopped)
    with pytest.raises(
        UserFacingError, match=r"holds the beginning of another run \(the data diff"
    ):
        score_data(pair, info, two, out)
    with pytest.raises(UserFacingError, match=r"beginning of another run \(--limit differs"):
        score_data(pair, info, one, out, limit=5)
    with pytest.raises(KeyboardInterrupt):
        score_data(pair, info, two, out, anew=True, told=stopped)
    score_data(pair, info, two, out)
    assert len(rows_of(out)) == 21
    with pytest.raises(UserFacingError, match=r"is there already, of another run \(the data diff"):
        score_data(pair, info, one, out)
    with pytest.raises(KeyboardInterrupt):  # what is there may go, and stays until then
        score_data(pair, info, one, out, anew=True, told=stopped)
    assert len(rows_of(out)) == 21
    score_data(pair, info, one, out)
    assert len(rows_of(out)) == 20
    (tmp_path / "text.parquet").write_text("mine")
    with pytest.raises(UserFacingError, match="is there already and is no file of scored rows"):
        score_data(pair, info, one, tmp_path / "text.parquet")
    assert (tmp_path / "text.parquet").read_text() == "mine"


def test_a_damaged_part_is_scored_again(loaded, small, tmp_path):
    pair, info = loaded
    source = open_source(write(tmp_path / "d.jsonl", made(20)))
    out = tmp_path / "out.parquet"

    def stopped(progress):
        if progress.done > 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_data(pair, info, source, out, told=stopped)
    part = tmp_path / "out.parquet.parts" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    score_data(pair, info, source, out)
    assert len(rows_of(out)) == 20


def test_a_source_that_is_written_to_meanwhile_is_said(loaded, small, tmp_path):
    pair, info = loaded
    path = write(tmp_path / "d.jsonl", made(20))

    def written(progress):
        write(path, made(21))

    with pytest.raises(UserFacingError, match="was written to while it was scored"):
        score_data(pair, info, open_source(path), tmp_path / "out.parquet", told=written)


def test_two_at_once_is_said(loaded, small, tmp_path):
    pair, info = loaded
    source = open_source(write(tmp_path / "d.jsonl", made(20)))
    said = []

    def again(progress):
        if not said:
            with pytest.raises(UserFacingError, match="by another process") as caught:
                score_data(pair, info, source, tmp_path / "out.parquet")
            said.append(caught.value)

    score_data(pair, info, source, tmp_path / "out.parquet", told=again)
    assert said


COMMAND = """
import sys
from core.dataset import score
score.WINDOW = 8
import main
sys.exit(main.main(sys.argv[1:]))
"""


def started(argv):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's background work has it
        signal.signal(signal.SIGINT, signal.default_int_handler)  # or the process ignores it too
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *argv],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def parts_in(folder):
    return {path.name for path in folder.glob("part-*.parquet")}


def test_ctrl_c_says_how_to_go_on(adapters, tmp_path):
    path = write(tmp_path / "d.jsonl", made(4000))  # not to end before it is stopped
    out = tmp_path / "out.parquet"
    process = started(options(adapters, "--data", path, "--out", out))
    while not parts_in(tmp_path / "out.parquet.parts") and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, err = process.communicate()
    assert process.returncode == 130
    assert "Stopped; what was scored is kept in" in err and "the same command goes on" in err
    assert "Traceback" not in err and not said


@contextmanager
def disk_of(most):
    """Within, the system refuses to write files larger than that, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("most", "kept"), [(5000, 0), (20_000, 13)])
def test_a_disk_that_is_full_is_said_and_nothing_is_lost(loaded, small, tmp_path, most, kept):
    """Files of 5,000 bytes have room for no part, of 20,000 for each, but not for the output."""
    pair, info = loaded
    source = open_source(write(tmp_path / "d.jsonl", made(100)))
    out = tmp_path / "out.parquet"
    said = "out.parquet cannot be written .*: make room .* the same command goes on from"
    with disk_of(most), pytest.raises(UserFacingError, match=said):
        score_data(pair, info, source, out)
    assert not out.exists() and len(parts_in(tmp_path / "out.parquet.parts")) == kept
    score_data(pair, info, source, out)
    assert len(rows_of(out)) == 100
    assert sorted(it.name for it in tmp_path.iterdir()) == ["d.jsonl", "out.parquet"]


# --- several processes ------------------------------------------------------------------------


def test_processes_of_a_launch_write_one_output(adapters, tmp_path, monkeypatch, capsys):
    """torchrun is what accelerate launch starts for several processes of a machine."""
    monkeypatch.setattr(scoring, "WINDOW", 8)
    path = write(tmp_path / "d.jsonl", [*made(60), "{broken"])
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    (tmp_path / "command.py").write_text(COMMAND)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port",
         "0", tmp_path / "command.py", *options(adapters, "--data", path, "--out", out)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "60 rows scored, 1 skipped" in done.stdout
    assert main.main(options(adapters, "--data", path, "--out", whole)) == 0
    assert done.stdout == capsys.readouterr().out.replace(str(whole), str(out))  # of one of them
    same(out, whole)
    assert not (tmp_path / "out.parquet.parts").exists()


def test_shards_are_put_together(loaded, adapters, small, tmp_path, capsys):
    pair, info = loaded
    source = open_source(write(tmp_path / "d.jsonl", [*made(41), "{broken"]))
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    score_data(pair, info, source, whole)
    shards = [shard_path(out, n, 3) for n in (1, 2, 3)]
    assert shards[1].name == "out-00002-of-00003.parquet"
    for n, path in enumerate(shards, 1):
        score_data(pair, info, source, path, share=Share(n, 3))
    assert sum(len(rows_of(path)) for path in shards) == 41
    argv = ["score", "--merge", *map(str, shards[::-1]), "--out", str(out)]
    assert main.main(argv) == 0
    assert "41 rows scored, 1 skipped" in capsys.readouterr().out
    same(out, whole)
    assert read_about(out).counts == read_about(whole).counts
    assert read_about(out).job == read_about(whole).job
    assert main.main(argv) == 1
    assert "is there already" in capsys.readouterr().err
    for wrong, said in (
        (shards[:2], "Of 3 shards 3 are missing"),
        ([*shards, shards[0]], "are the same shard"),
        ([*shards[:2], whole], "is of another run"),
        ([tmp_path / "d.jsonl"], "cannot be read as a file of scored rows"),
    ):
        with pytest.raises(UserFacingError, match=said):
            merge(wrong, tmp_path / "new.parquet")
    assert not (tmp_path / "new.parquet").exists()


def test_a_process_that_never_comes_is_said(loaded, small, tmp_path, monkeypatch):
    pair, info = loaded
    source = open_source(write(tmp_path / "d.jsonl", made(20)))
    monkeypatch.setattr(parts_module, "SILENT", 0.5)
    with pytest.raises(UserFacingError, match=r"1 parts of .* are missing, and no other process"):
        score_data(pair, info, source, tmp_path / "o.parquet", share=Share(rank=0, ranks=2))
    with pytest.raises(UserFacingError, match="first process has not begun"):
        score_data(pair, info, source, tmp_path / "p.parquet", share=Share(rank=1, ranks=2))
    score_data(pair, info, source, tmp_path / "o.parquet")
    assert len(rows_of(tmp_path / "o.parquet")) == 20


def test_an_environment_that_names_no_process_is_said():
    assert ranks_of({}) == (0, 1)
    assert ranks_of({"RANK": "3", "WORLD_SIZE": "4"}) == (3, 4)
    for wrong in (
        {"RANK": "1"},
        {"RANK": "x", "WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
    ):
        with pytest.raises(UserFacingError, match="accelerate launch"):
            ranks_of(wrong)


# --- the reference's sums that a source brings along ------------------------------------------


def test_precomputed_sums_are_used_where_they_agree(loaded, small, tmp_path):
    pair, info = loaded
    rows = made(20)
    whole = tmp_path / "whole.parquet"
    score_data(pair, info, open_source(write(tmp_path / "d.jsonl", rows)), whole)
    for row, scored in zip(rows, rows_of(whole), strict=True):
        for side in ("chosen", "rejected"):
            row[f"ref_{side}_logps"] = float(np.sum(scored[f"reference_{side}"]))
    del rows[7]["ref_chosen_logps"]
    about = score_data(
        pair, info, open_source(write(tmp_path / "sums.jsonl", rows)), tmp_path / "sums.parquet"
    )
    assert "are used: 14 of 14 that were checked" in about.precomputed
    for row, scored in zip(rows_of(tmp_path / "sums.parquet"), rows_of(whole), strict=True):
        assert (row["reference_chosen"] is None) == (row["row"] != 7)
        for side in ("chosen", "rejected"):
            assert row[f"policy_{side}"] == pytest.approx(scored[f"policy_{side}"], abs=1e-4)
            assert row[f"log_ratio_{side}"] == pytest.approx(scored[f"log_ratio_{side}"], abs=1e-3)
    one, other = (summarise(path, UNNAMED, 0.2) for path in (whole, tmp_path / "sums.parquet"))
    assert one.mean_margin == pytest.approx(other.mean_margin, abs=1e-4)
    for row in rows:
        if "ref_chosen_logps" in row:
            row["ref_chosen_logps"] -= 5.0
    about = score_data(
        pair, info, open_source(write(tmp_path / "off.jsonl", rows)), tmp_path / "off.parquet"
    )
    assert "are not used: only 7 of 14 that were checked" in about.precomputed
    for row, scored in zip(rows_of(tmp_path / "off.parquet"), rows_of(whole), strict=True):
        assert row["log_ratio_chosen"] == pytest.approx(scored["log_ratio_chosen"], abs=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_trls_own_precomputed_sums_agree(trl, base, tmp_path):  # noqa: F811
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trained(trl, "sigmoid", base, tmp_path / "run")
    config, trainer = trl.dpo
    rows = [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for prompt, chosen, rejected in ROWS
    ]
    arguments = config(
        output_dir=str(tmp_path / "t"), precompute_ref_log_probs=True, report_to=[], use_cpu=True,
        bf16=False, disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    made_by = trainer(
        model=AutoModelForCausalLM.from_pretrained(base), args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
    )  # fmt: skip
    sums = made_by.train_dataset
    for number, row in enumerate(rows):
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            row[name] = float(sums[name][number])
    policy = str(tmp_path / "run" / "checkpoint-2")
    pair, info = load_pair(PairSpec(policy=policy, reference=str(base), device="cpu"), silent)
    path = write(tmp_path / "d.jsonl", rows)
    about = score_data(pair, info, open_source(path), tmp_path / "out.parquet")
    assert "are used: 8 of 8 that were checked" in about.precomputed
