"""What to load for a pair, as records: the folders of two models, their adapters and tokenizer.

Knows checkpoints as they are described; decides nothing (core.checkpoints.resolve does).
"""

from dataclasses import dataclass
from pathlib import Path

from core.checkpoints.describe import StoredModel
from core.checkpoints.loss import training_loss
from core.losses import TrainingLoss
from core.provenance import UNKNOWN, Provenance


@dataclass(frozen=True)
class ModelPlan:
    """One model to load: the weights of a whole model, with or without an adapter over them."""

    name: str
    """For people: "dpo (adapter on SmolLM2-135M-Instruct)"."""
    model: StoredModel
    adapter: StoredModel | None

    @property
    def vocab_size(self) -> int:
        """The rows of its embedding, those that an adapter brings of its own coming first; 0 where
        the files do not say."""
        own = self.adapter.vocab_size if self.adapter is not None else 0
        return own or self.model.vocab_size

    @property
    def tokenizer(self) -> Path | None:
        """The folder to load the tokenizer from; an adapter's own comes first."""
        for checkpoint in (self.adapter, self.model):
            if checkpoint is not None and checkpoint.has_tokenizer:
                return checkpoint.path
        return None


@dataclass(frozen=True)
class PairPlan:
    """The models to load for a pair; paths are absolute, and equal if they are the same folder."""

    policy: ModelPlan
    reference: ModelPlan | None
    """None for a policy alone."""
    tokenizer: Path
    allow_pickle: bool
    allow_remote_code: bool
    search_base: StoredModel | None = None
    """A third model, which only searches use."""
    provenance: Provenance = UNKNOWN
    """What is known of the policy's training."""
    loss: str = ""
    """The loss of that training, where the user says it."""

    @property
    def objective(self) -> TrainingLoss:
        """Return the loss of the policy's training."""
        return training_loss(self.provenance, self.loss)

    @property
    def sides(self) -> tuple[ModelPlan, ...]:
        """The policy, and its reference if there is one."""
        return (self.policy,) if self.reference is None else (self.policy, self.reference)

    @property
    def shared(self) -> bool:
        """True where one set of base weights serves both, the adapters being switched over it."""
        adapters = [it.adapter for it in self.sides if it.adapter is not None]
        return (
            self.policy.adapter is not None
            and self.policy_model == self.reference_model
            and len({(it.peft_type, it.vocab_size) for it in adapters}) == 1
            and not any(it.rewrites for it in adapters)
        )

    @property
    def base(self) -> Path | None:
        """The folder of the shared base weights."""
        return self.policy_model if self.shared else None

    @property
    def policy_model(self) -> Path:
        """The whole model under the policy: its base if the policy is an adapter."""
        return self.policy.model.path

    @property
    def reference_model(self) -> Path | None:
        """The whole model under the reference; None for a policy alone."""
        return self.reference.model.path if self.reference else None

    @property
    def policy_adapter(self) -> Path | None:
        """The policy's adapter; None if it has none."""
        return self.policy.adapter.path if self.policy.adapter else None

    @property
    def reference_adapter(self) -> Path | None:
        """The reference's adapter; None over a shared base means that adapters are off."""
        adapter = self.reference.adapter if self.reference else None
        return adapter.path if adapter else None

    @property
    def vocab_size(self) -> int:
        """The width of a distribution as the config files state it; 0 where neither does."""
        return max(side.vocab_size for side in self.sides)

    @property
    def policy_name(self) -> str:
        """The policy's name for people."""
        return self.policy.name

    @property
    def reference_name(self) -> str:
        """The reference's name for people; "" for a policy alone."""
        return self.reference.name if self.reference else ""
