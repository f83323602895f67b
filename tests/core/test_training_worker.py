"""Tiny runs in this process: with and without SFT, adapters and all parameters, each way to end."""

import errno
import json
import os
import shutil
import signal

import pytest

from core.checkpoints import named
from core.checkpoints.named import NamedBase
from core.training import worker
from core.training.failures import sentence_of
from core.training.job import read_about
from core.training.stages import is_whole, last_whole
from core.training.worker import main
from tests.training_runs import PAIRS, written

for extra in ("trl", "datasets", "peft", "accelerate"):
    pytest.importorskip(extra)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """A run lowers its priority and listens to SIGTERM; tests go on in the same process."""
    monkeypatch.setattr(os, "nice", lambda by: None)
    monkeypatch.setattr(worker, "_terminated", False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def train(run):
    return main(["--job", str(run / "qscope-run.json")])


def state(run):
    return read_about(run)["state"]


def records(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]


def load(folder, base=None):
    """A checkpoint by Hugging Face's own means."""
    from transformers import AutoModelForCausalLM

    if base is None:
        return AutoModelForCausalLM.from_pretrained(folder).eval()
    from peft import PeftModel

    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()


def kl_over_chosen(policy, reference, tokenizer):
    """KL(π_ref‖π) summed over each chosen response, averaged over the pairs; plain forwards."""
    import torch

    total = 0.0
    for pair in PAIRS:
        turns = [{"role": "user", "content": pair["prompt"]}]
        before = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        turns.append({"role": "assistant", "content": pair["chosen"]})
        whole = tokenizer.apply_chat_template(turns, tokenize=False)
        start = len(tokenizer(before)["input_ids"])
        ids = torch.tensor([tokenizer(whole)["input_ids"]])
        with torch.no_grad():
            p, q = (
                torch.log_softmax(model(ids).logits[0, start - 1 : -1].double(), -1)
                for model in (policy, reference)
            )
        total += float((q.exp() * (q - p)).sum())
    return total / len(PAIRS)


@pytest.mark.parametrize(("sft", "rank"), [(True, 2), (False, 2), (True, 0), (False, 0)])
def test_a_run_leaves_checkpoints_a_log_and_its_reference(tmp_path, monkeypatch, sft, rank):
    import torch

    from tests.tiny import byte_level_tokenizer

    # What is logged is compared with float32, so it must be trained in it on any machine.
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)

    # Batches of all pairs, so that each record is of the same pairs.
    run = written(tmp_path, sft=sft, rank=rank, batch_size=8)
    assert train(run) == 0
    about = read_about(run)
    assert (about["state"]["outcome"], about["state"]["exit"], about["state"]["message"]) == (
        "done", 0, "",
    )  # fmt: skip
    assert about["reference"] == ("sft" if sft else "" if rank else about["base"])
    assert sorted(path.name for path in run.glob("checkpoint-*")) == [
        "checkpoint-1", "checkpoint-2", "checkpoint-3",
    ]  # fmt: skip
    assert (run / "sft").exists() == sft and not list(run.glob("sft/checkpoint-*"))
    logged = records(run)
    assert [record["step"] for record in logged] == [1, 2, 3, 3]
    saved = json.loads((run / "trainer_state.json").read_text("utf-8"))["log_history"]
    assert saved == logged

    base = about["base"] if rank else None
    reference = load(run / "sft", base) if sft else load(about["base"])
    # A record is measured before its step is taken: that of step 3 under the second checkpoint.
    policy = load(run / "checkpoint-2", base)
    kl = kl_over_chosen(policy, reference, byte_level_tokenizer())
    assert logged[0]["kl/ref_policy"] == pytest.approx(0.0, abs=1e-6)
    assert kl > 1e-3
    assert logged[2]["kl/ref_policy"] == pytest.approx(kl, rel=2e-3)
    assert logged[2]["rewards/margins"] == pytest.approx(
        logged[2]["rewards/chosen"] - logged[2]["rewards/rejected"], abs=1e-5
    )


def test_a_stopped_run_goes_on_from_its_last_whole_checkpoint(tmp_path, monkeypatch):
    run = written(tmp_path, steps=4)
    reached = []
    real = worker.stop_is_wanted
    monkeypatch.setattr(worker, "stop_is_wanted", lambda at: reached.append(1) or len(reached) == 4)
    assert train(run) == 0  # two steps of SFT ask once (the last need not), then DPO asks
    assert state(run)["outcome"] == "stopped"
    assert last_whole(run) == str(run / "checkpoint-3")
    # As if the machine had died while it wrote the third.
    (run / "checkpoint-3" / "trainer_state.json").unlink()
    monkeypatch.setattr(worker, "stop_is_wanted", real)
    sft = (run / "sft" / "adapter_model.safetensors").read_bytes()
    assert train(run) == 0
    assert state(run)["outcome"] == "done"
    assert (run / "sft" / "adapter_model.safetensors").read_bytes() == sft
    assert [record["step"] for record in records(run)] == [1, 2, 3, 4, 4]

    straight = written(tmp_path, "straight", steps=4)
    assert train(straight) == 0
    for again, once in zip(records(run)[:4], records(straight)[:4], strict=True):
        for name in ("loss", "rewards/margins", "kl/ref_policy"):
            assert again[name] == pytest.approx(once[name], abs=1e-5)


def test_sigterm_and_the_file_both_stop_a_run(tmp_path):
    run = written(tmp_path, sft=False, steps=5)
    (run / "stop").touch()
    assert train(run) == 0
    assert (state(run)["outcome"], last_whole(run)) == ("stopped", str(run / "checkpoint-1"))
    assert not (run / "stop").exists()
    worker._hear(signal.SIGTERM, None)
    assert train(run) == 0
    assert (state(run)["outcome"], last_whole(run)) == ("stopped", str(run / "checkpoint-2"))


def test_a_full_disk_is_a_sentence_and_whole_checkpoints_stay(tmp_path, monkeypatch, capsys):
    import transformers

    run = written(tmp_path, sft=False)
    real = transformers.Trainer._save_optimizer_and_scheduler

    def full(self, folder):
        if folder.endswith("checkpoint-2"):
            raise OSError(errno.ENOSPC, "No space left on device", folder)
        real(self, folder)

    monkeypatch.setattr(transformers.Trainer, "_save_optimizer_and_scheduler", full)
    assert train(run) == 1
    sentence = f"The disk of {run} is full: free some space, then resume"
    assert state(run)["message"].startswith(sentence) and state(run)["exit"] == 1
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in run.glob("checkpoint-*")] == ["checkpoint-1"]
    monkeypatch.undo()
    monkeypatch.setattr(os, "nice", lambda by: None)
    assert train(run) == 0
    assert (state(run)["outcome"], state(run)["message"]) == ("done", "")


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    run = written(tmp_path, sft=False, learning_rate=1e30)
    assert train(run) == 1
    assert "The loss is no number after step" in state(run)["message"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_length": 8}, "fills all 8 tokens"),
        ({"data": "/nowhere.jsonl"}, "is not there"),
        ({"base": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_cannot_be_trained_on_is_a_sentence(tmp_path, change, sentence):
    run = written(tmp_path, sft=False, **change)
    assert train(run) == 1
    assert sentence in state(run)["message"]


def test_a_chat_template_that_does_not_end_is_a_sentence(tmp_path):
    from tests.tiny import save_model

    forever = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    save_model(tmp_path / "own", template=forever)
    run = written(tmp_path, sft=False, base=str(tmp_path / "own"))
    assert train(run) == 1
    assert "chat_template.jinja did not finish within" in state(run)["message"]


def test_plain_text_is_given_as_it_is_where_that_is_asked(tmp_path):
    from core.training.job import read_job
    from tests.tiny import byte_level_tokenizer

    run = written(tmp_path, chat=False)
    assert worker.examples(read_job(run), byte_level_tokenizer())[0] == PAIRS[0]


CALLING = """\
{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% for m in messages %}<|im_start|>\
{{ m.role }}
{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{{ m.content or "" }}\
{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if brief %}Brief: {% endif %}{% endif %}"""


def test_calls_reasoning_and_tools_are_trained_on_as_the_template_renders_them(tmp_path):
    from core.training import stages
    from core.training.job import read_job
    from tests.tiny import save_model

    def row(arguments, **more):
        call = {"type": "function", "function": {"name": "rain", "arguments": arguments}}
        return {
            "prompt": [{"role": "user", "content": "Rain?"}],
            "chosen": [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "no"},
                {"role": "assistant", "content": "No.", "reasoning_content": "It says no."},
            ],
            "rejected": [{"role": "assistant", "content": "Yes."}],
            **more,
        }

    rows = [
        row({"city": "Rome"}, tools=[{"name": "rain", "parameters": {"city": {"type": "string"}}}]),
        row({"day": 3}, chat_template_kwargs={"brief": True}),
        row({}, tools=[{"name": "rain", "parameters": {"day": None}}]),
    ]
    data = tmp_path / "calls.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_model(tmp_path / "own", template=CALLING)
    run = written(tmp_path, data=str(data), base=str(tmp_path / "own"), max_length=512)
    assert train(run) == 0 and (run / "sft").is_dir()
    model, tokenizer = stages.load(tmp_path / "own", train="adapter")
    job = read_job(run)
    trainer, _ = stages.train(
        job, "dpo", tmp_path / "again", model, tokenizer, worker.examples(job, tokenizer),
        report=lambda step, of: None,
    )  # fmt: skip
    for row, got in zip(rows, trainer.train_dataset, strict=True):
        for side in ("chosen", "rejected"):
            whole = tokenizer.apply_chat_template(
                row["prompt"] + row[side], tools=row.get("tools"),
                **row.get("chat_template_kwargs", {}),
            )["input_ids"]  # fmt: skip
            assert got["prompt_ids"] + got[f"{side}_ids"] == whole


def test_a_run_without_a_base_of_its_own_fetches_the_usual_one(tmp_path, monkeypatch):
    run = written(tmp_path, sft=False, steps=1, base="")
    told = []

    def fetch(report, stop):
        report("Fetching", 0.07)
        told.append(json.loads((run / "progress.json").read_text("utf-8")))
        return tmp_path / "base"

    with monkeypatch.context() as patch:
        patch.setattr(named, "BASES", {})
        assert train(run) == 1
    assert "choose a model's folder" in state(run)["message"]
    monkeypatch.setattr(worker, "usual_base", lambda: NamedBase("own", lambda: None, fetch))
    assert train(run) == 0
    assert told == [{"stage": "Fetching (7%)", "step": 0, "of": 0}]
    assert read_about(run)["base"] == str(tmp_path / "base")


def test_sentences_for_what_goes_wrong(tmp_path, monkeypatch):
    class SafetensorError(Exception):
        pass

    full = (
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
    )
    for error in full:
        assert "is full: free some space" in sentence_of(error, tmp_path)
    behind = RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 704 vs 598")
    assert "Training failed" in sentence_of(behind, tmp_path)  # there is space on this disk
    behind.__context__ = full[0]
    assert "is full" in sentence_of(behind, tmp_path)
    stream = RuntimeError("basic_ios::clear: iostream error")
    assert "Training failed" in sentence_of(stream, tmp_path)
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(tmp_path)._replace(free=0)
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        assert "is full" in sentence_of(stream, tmp_path)
    memory = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    assert "not enough memory" in sentence_of(memory, tmp_path)
    assert "trl is missing" in sentence_of(ModuleNotFoundError("x", name="trl"), tmp_path)
    assert "(ValueError: odd): the details" in sentence_of(ValueError("odd\nmore"), tmp_path)


def test_half_written_checkpoints_are_told(tmp_path):
    run = written(tmp_path, sft=False, steps=1)
    assert train(run) == 0
    checkpoint = run / "checkpoint-1"
    assert is_whole(checkpoint)
    for name in ("adapter_model.safetensors", "optimizer.pt", "trainer_state.json"):
        data = (checkpoint / name).read_bytes()
        (checkpoint / name).write_bytes(data[: len(data) // 2])
        assert not is_whole(checkpoint), name
        (checkpoint / name).write_bytes(data)
    assert is_whole(checkpoint)
