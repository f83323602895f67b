"""An estimate of the memory that a pair needs, made before anything is loaded.

Counts from the headers of the weights. Knows nothing of devices or of how scoring works beyond the
numbers that it is given.
"""

from dataclasses import dataclass

from core.checkpoints.describe import DTYPE_BYTES, StoredModel
from core.checkpoints.plan import ModelPlan, PairPlan
from core.errors import UserFacingError

KV_TOKENS = 4096
"""Tokens of context that the estimate makes room for (fewer if the models read fewer)."""


@dataclass(frozen=True, slots=True)
class Need:
    """The memory of a pair in bytes, and the number format that it was estimated for."""

    weights: int
    kv: int
    logits: int
    dtype: str

    @property
    def total(self) -> int:
        """The whole, in bytes."""
        return self.weights + self.kv + self.logits


def estimate(plan: PairPlan, dtype: str, logits: int = 0) -> Need:
    """Return the memory that a pair needs.

    Args:
        dtype: of the base weights and the KV: "float32", "bfloat16" or "float16".
        logits: float32 numbers of logits and their statistics that scoring holds at once.
    """
    sides = plan.sides
    one_model = plan.shared or (
        plan.policy_model == plan.reference_model and plan.policy_adapter == plan.reference_adapter
    )
    weights = sum(_weights(side.model, dtype) for side in (sides[:1] if one_model else sides))
    adapters = {side.adapter.path: side.adapter for side in sides if side.adapter}
    weights += sum(_weights(adapter, "float32") for adapter in adapters.values())  # as PEFT does
    if plan.search_base is not None:
        weights += _weights(plan.search_base, dtype)
    rows = sides if plan.shared or not one_model else sides[:1]
    return Need(
        weights=weights,
        kv=sum(_kv(side, dtype) for side in rows),
        logits=logits * DTYPE_BYTES["float32"],
        dtype=dtype,
    )


def check_fits(need: Need, free: int | None, device: str) -> None:
    """Refuse a pair that needs more memory than a device has free.

    Args:
        free: free bytes of the device; None where that cannot be known: then any pair passes.

    Raises:
        UserFacingError: the pair needs more.
    """
    if free is None or need.total <= free:
        return
    ways = []
    if DTYPE_BYTES[need.dtype] > 2 and need.total - need.weights // 2 <= free:
        ways.append("choose --dtype bfloat16")
    if device.startswith("cuda"):
        ways += ["choose --device cpu", "close what else uses the GPU"]
    else:
        ways.append("close other programs")
    ways.append("open a smaller pair")
    raise UserFacingError(
        f"The pair needs about {_gigabytes(need.total)} in {need.dtype}, but {device} has only "
        f"{_gigabytes(free)} free: {', or '.join(ways)}."
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _tokens(side: ModelPlan) -> int:
    return min(side.model.context_length or KV_TOKENS, KV_TOKENS)


def _kv(side: ModelPlan, dtype: str) -> int:
    """Return the bytes of the KV and of the last hidden states, which are cached with it."""
    numbers = side.model.kv_numbers_per_token() + side.model.hidden_size
    return numbers * _tokens(side) * DTYPE_BYTES[dtype]


def _weights(checkpoint: StoredModel, dtype: str) -> int:
    if checkpoint.quantized:
        return checkpoint.bytes  # loaded as it is stored
    stored = DTYPE_BYTES.get(checkpoint.dtype, 2)
    numbers = checkpoint.parameters or checkpoint.bytes // stored
    return numbers * DTYPE_BYTES[dtype]
