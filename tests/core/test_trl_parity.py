"""What TRL's own trainers log at a checkpoint that they save, against Qscope's numbers of it."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.engine.protocol import PairSpec
from core.losses import named
from core.models.load import load_pair
from core.models.score import score
from core.text import Prompt
from tests.tiny import byte_level_tokenizer, tiny_model

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROWS = [
    ("Summarise this post.", "They turned it down flat.", "They took the job: 250 people!"),
    ("And in one word?", "Refused.", "The poster was offered a management position, 12 March."),
    ("Where is it?", "At Harbour Labs, in May", "At Harbour"),
    ("How much is it a year?", "$53K", "It was too low; 1,200 euros a year"),
]
BETA = 0.3
CASES = {
    # Of the loss: the trainer, and its settings.
    "sigmoid": ("dpo", {}),
    "ipo": ("dpo", {"loss_type": ["ipo"]}),
    "hinge": ("dpo", {"loss_type": ["hinge"]}),
    "sigmoid,sft": ("dpo", {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}),
    "kto": ("kto", {}),
    "simpo": ("cpo", {"loss_type": "simpo", "cpo_alpha": 0.0}),
    "orpo": ("orpo", {}),
}
REFERENCE_FREE = ("simpo", "orpo")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Return the folder of a tiny model whose responses end with its end of text."""
    folder = tmp_path_factory.mktemp("trl") / "base"
    tokenizer = copy.deepcopy(byte_level_tokenizer(TEMPLATE))
    tokenizer.eos_token = "<|im_end|>"
    tiny_model("llama", len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def trained(trl: SimpleNamespace, loss: str, base: Path, out: Path) -> dict[str, float]:
    """Train two steps with TRL; return what it logged of the evaluation at its checkpoint."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name, settings = CASES[loss]
    config, trainer = getattr(trl, name)

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    rows = [
        {
            "prompt": turn("user", p),
            "chosen": turn("assistant", c),
            "rejected": turn("assistant", r),
        }
        for p, c, r in ROWS
    ]
    if name == "kto":
        rows = [
            {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
            for row in rows
            for side in ("chosen", "rejected")
        ]
    data = Dataset.from_list(rows)
    arguments = config(
        output_dir=str(out), beta=BETA, max_steps=2, learning_rate=0.01, save_steps=2,
        eval_strategy="steps", eval_steps=2, logging_steps=1, report_to=[], use_cpu=True,
        bf16=False, gradient_checkpointing=False, disable_tqdm=True, max_length=128,
        per_device_train_batch_size=len(rows), per_device_eval_batch_size=len(rows), **settings,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    trainer(
        model=model, args=arguments, train_dataset=data, eval_dataset=data,
        processing_class=tokenizer,
    ).train()  # fmt: skip
    state = json.loads((out / "checkpoint-2" / "trainer_state.json").read_text("utf-8"))
    return next(row for row in state["log_history"] if "eval_loss" in row)


@pytest.mark.parametrize("loss", CASES)
@pytest.mark.filterwarnings("ignore")
def test_logged_rewards_are_reproduced(trl, loss, base, tmp_path):
    logged = trained(trl, loss, base, tmp_path / "run")
    reference = "" if loss in REFERENCE_FREE else str(base)
    policy = str(tmp_path / "run" / "checkpoint-2")
    spec = PairSpec(policy=policy, reference=reference, beta=BETA, device="cpu", dtype="float32")
    pair, info = load_pair(spec, lambda what, fraction: None)
    assert info.alone == (loss in REFERENCE_FREE)
    objective = info.objective  # as training_args.bin says it
    assert objective.losses == named(loss)
    assert objective.weights == tuple(CASES[loss][1].get("loss_weights", ()))
    rewards: dict[str, list[float]] = {"chosen": [], "rejected": []}
    losses = []
    for prompt, *texts in ROWS:
        turns = Prompt.of(prompt)
        found = [score(pair, turns, pair.codec.encode(turns, text)).logps for text in texts]
        for side, it in zip(rewards, found, strict=True):
            reward = objective.logged(it, BETA)
            assert reward is not None
            rewards[side].append(reward)
        losses.append(objective.loss(*found, BETA))
    for side, values in rewards.items():
        assert abs(np.mean(values)) > 1e-3  # it has learnt something
        assert logged[f"eval_rewards/{side}"] == pytest.approx(np.mean(values), abs=1e-4)
    margin = np.mean(rewards["chosen"]) - np.mean(rewards["rejected"])
    assert logged["eval_rewards/margins"] == pytest.approx(margin, abs=1e-4)
    if loss in ("sigmoid", "ipo", "hinge", "simpo"):  # without a likelihood term
        assert logged["eval_loss"] == pytest.approx(np.mean(losses), abs=1e-4)
