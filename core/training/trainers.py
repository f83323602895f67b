"""TRL's SFT and DPO trainers on rows of token trees.

The trainers' loops, optimisers, checkpoints and logs are TRL's; data preparation and loss are
replaced, because a row holds many responses to one prompt (see ``rows``). Importing this module
imports torch and TRL.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback
from trl import DPOTrainer, SFTTrainer
from trl.trainer.utils import use_adapter

from core.training.rows import (
    collate,
    response_sums,
    token_kl,
    token_logps,
    vocabulary_logits,
)

COLUMNS = ["input_ids", "parent", "prompt", "paths", "pairs"]


class Told(TrainerCallback):
    """Passes the trainer's progress on."""

    def __init__(self, what: str, report: Callable[[str, float | None], None]) -> None:
        self._what = what
        self._report = report

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._report(self._what, state.global_step / max(1, state.max_steps))


class RowData:
    """What both trainers override: rows are prepared already and keep their order."""

    train_dataset: Any

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: the demo's card is written by hand, from measured figures."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return SequentialSampler(self.train_dataset)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = COLUMNS


class RowSFTTrainer(RowData, SFTTrainer):
    """Supervised fine-tuning on the responses of each row; each response token counts once."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        unwrapped = self.accelerator.unwrap_model(model)
        logps = token_logps(*vocabulary_logits(unwrapped, inputs), inputs)
        loss = -logps.mean()
        return (loss, {"logps": logps}) if return_outputs else loss


class RowDPOTrainer(RowData, DPOTrainer):
    """DPO (Eqs. 8, 9) on the pairs of each row.

    The reference is the frozen copy of the adapter that training began with, which TRL calls
    "ref", or the base with adapters off where training began with none.
    """

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        unwrapped = self.accelerator.unwrap_model(model)
        frozen = "ref" if "ref" in unwrapped.peft_config else None
        with torch.no_grad(), use_adapter(unwrapped, adapter_name=frozen):
            before, inverse = vocabulary_logits(unwrapped, inputs)
            reference = response_sums(token_logps(before, inverse, inputs), inputs)
        logits, inverse = vocabulary_logits(unwrapped, inputs)
        policy = response_sums(token_logps(logits, inverse, inputs), inputs)
        rewards = self.beta * (policy - reference)
        chosen, rejected = rewards[inputs["pairs"]].unbind(1)
        loss = -F.logsigmoid(chosen - rejected).mean()
        with torch.no_grad():
            kl = response_sums(token_kl(before, logits, inverse), inputs)
            figures = {
                "rewards/chosen": chosen.mean(),
                "rewards/rejected": rejected.mean(),
                "rewards/margins": (chosen - rejected).mean(),
                "rewards/accuracies": (chosen > rejected).float().mean(),
                "logps/chosen": policy[inputs["pairs"][:, 0]].mean(),
                "logps/rejected": policy[inputs["pairs"][:, 1]].mean(),
                # Summed over the chosen response, as its reward is, so that -beta KL (Eq. 16)
                # can be laid beside rewards/chosen.
                "kl/ref_policy": kl[inputs["pairs"][:, 0]].mean(),
            }
        mode = "train" if self.model.training else "eval"
        for name, value in figures.items():
            self._metrics[mode][name].append(value.item())
        return (loss, {"rewards": rewards}) if return_outputs else loss


def collator(pad: int) -> Callable[[Any], dict[str, torch.Tensor]]:
    """The collator of rows for a tokenizer's padding id."""
    return partial(collate, pad=pad)
