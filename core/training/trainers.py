"""TRL's SFT and DPO trainers, as Qscope runs them: on pairs of text, or on rows of token trees.

Loops, optimisers, checkpoints and logs are TRL's. On text its data and losses are TRL's too, and
DPO measures KL(π_ref‖π) besides. On rows (core.training.rows) data and losses are replaced,
because a row holds many responses to one prompt. Importing this module imports torch and TRL.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from peft import PeftModel
from torch.utils.data import SequentialSampler
from trl import DPOTrainer, SFTTrainer
from trl.trainer.utils import use_adapter

from core.errors import UserFacingError
from core.models.lane import plain_logits
from core.models.pair import state_numbers
from core.runs.records import KL
from core.training.rows import collate, response_sums, token_logps, vocabulary_logits
from core.tree import STATE_COLUMNS

COLUMNS = ["input_ids", "parent", "prompt", "paths", "pairs"]


class Checked:
    """Ends a run whose loss is no number, and writes no model card: qscope-run.json says how a run
    was made."""

    state: Any

    def create_model_card(self, *_: Any, **__: Any) -> None:
        pass

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)  # type: ignore[misc]
        if not torch.isfinite(loss).all():
            raise UserFacingError(
                f"The loss is no number after step {self.state.global_step}: lower the learning "
                f"rate and start a new run."
            )
        return loss


# --- on text --------------------------------------------------------------------------------


class TextSFTTrainer(Checked, SFTTrainer):
    """Fine-tune on {"prompt", "completion"}."""


class TextDPOTrainer(Checked, DPOTrainer):
    """DPO on {"prompt", "chosen", "rejected"}, with KL(π_ref‖π) at each record of the log.

    TRL's loss reads log-probs of the labels only, so the full vocabulary takes two more forwards
    of the chosen halves, once a record; pair by pair, so that the logits of one are held at once.
    Weights that are spread over processes (FSDP, DeepSpeed) are left alone: no KL there.
    """

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        spread = self.is_fsdp_enabled or self.is_deepspeed_enabled
        due = (self.state.global_step + 1) % self.args.logging_steps == 0
        if due and not spread and self.model.training:
            mean = self.accelerator.gather(self._chosen_kl(inputs)).mean()
            self._metrics["train"][KL].append(mean.item())
        return super().compute_loss(model, inputs, *args, **kwargs)

    @torch.no_grad()
    def _chosen_kl(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Return KL(π_ref‖π) of each chosen response, summed over its tokens, [B] nats."""
        policy = self.accelerator.unwrap_model(self.model)
        sums = []
        for row in range(len(inputs["input_ids"]) // 2):
            there = inputs["attention_mask"][row].bool()
            ids, answer = inputs["input_ids"][row, there], inputs["completion_mask"][row, there]
            states = answer[1:].nonzero().flatten()
            after = plain_logits(policy, ids[None])[0, states].float()
            if isinstance(policy, PeftModel):
                with use_adapter(policy, adapter_name=_frozen(policy)):
                    before = plain_logits(policy, ids[None])[0, states].float()
            else:
                before = plain_logits(self.ref_model, ids[None])[0, states].float()
            sums.append(_kl(before, after).sum())
        return torch.stack(sums)


def _kl(reference: torch.Tensor, policy: torch.Tensor) -> torch.Tensor:
    """Return KL(π_ref‖π) at each state, [m] nats, of float32 logits [m, V] (Eq. 16)."""
    _, numbers = state_numbers(torch.stack([policy, reference]))
    return numbers[STATE_COLUMNS.index("kl_reverse")]


def _frozen(model: PeftModel) -> str | None:
    """Return the name of the reference's adapter: the copy of the one that training began with,
    which TRL calls "ref"; None, the base with adapters off, where it began with none."""
    return "ref" if "ref" in model.peft_config else None


# --- on rows of token trees -----------------------------------------------------------------


class RowData:
    """Takes rows as they are and in their order: they are prepared already."""

    train_dataset: Any

    def _get_train_sampler(self, *_: Any) -> Any:
        return SequentialSampler(self.train_dataset)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = COLUMNS


class RowSFTTrainer(RowData, Checked, SFTTrainer):
    """Fine-tune on the responses of each row; each response token counts once."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any
    ) -> Any:
        unwrapped = self.accelerator.unwrap_model(model)
        logps = token_logps(*vocabulary_logits(unwrapped, inputs), inputs)
        loss = -logps.mean()
        return (loss, {"logps": logps}) if return_outputs else loss


class RowDPOTrainer(RowData, Checked, DPOTrainer):
    """DPO (Eqs. 8, 9) on the pairs of each row."""

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        unwrapped = self.accelerator.unwrap_model(model)
        with torch.no_grad(), use_adapter(unwrapped, adapter_name=_frozen(unwrapped)):
            before, inverse = vocabulary_logits(unwrapped, inputs)
            reference = response_sums(token_logps(before, inverse, inputs), inputs)
        logits, inverse = vocabulary_logits(unwrapped, inputs)
        policy = response_sums(token_logps(logits, inverse, inputs), inputs)
        rewards = self.beta * (policy - reference)
        chosen, rejected = rewards[inputs["pairs"]].unbind(1)
        loss = -F.logsigmoid(chosen - rejected).mean()
        with torch.no_grad():
            kl = response_sums(_kl(before, logits)[inverse], inputs)
            figures = {
                "rewards/chosen": chosen.mean(),
                "rewards/rejected": rejected.mean(),
                "rewards/margins": (chosen - rejected).mean(),
                "rewards/accuracies": (chosen > rejected).float().mean(),
                "logps/chosen": policy[inputs["pairs"][:, 0]].mean(),
                "logps/rejected": policy[inputs["pairs"][:, 1]].mean(),
                # Summed over the chosen response, as its reward is, so that -beta KL (Eq. 16)
                # can be laid beside rewards/chosen.
                KL: kl[inputs["pairs"][:, 0]].mean(),
            }
        mode = "train" if self.model.training else "eval"
        for name, value in figures.items():
            self._metrics[mode][name].append(value.item())
        return (loss, {"rewards": rewards}) if return_outputs else loss


KINDS: dict[tuple[str, bool], Any] = {
    ("sft", False): TextSFTTrainer,
    ("dpo", False): TextDPOTrainer,
    ("sft", True): RowSFTTrainer,
    ("dpo", True): RowDPOTrainer,
}
"""The trainer of a method, on text or (True) on rows."""


def collator(tokenizer: Any) -> Callable[[Any], dict[str, torch.Tensor]]:
    """Return the collator of rows, padded as a tokenizer pads."""
    return partial(collate, pad=tokenizer.pad_token_id)
