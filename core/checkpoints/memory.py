"""How much memory a pair needs, known before anything is loaded.

Counts from the headers of the weights; knows nothing of devices beyond what it is told.
"""

from dataclasses import dataclass

from core.checkpoints.describe import DTYPE_BYTES, Checkpoint
from core.checkpoints.resolve import PairPlan, Side
from core.errors import UserFacingError

KV_TOKENS = 4096
"""Tokens of context that the estimate makes room for (fewer if the models read fewer)."""
LOGITS_CHUNK = 2**22
"""Numbers in one piece of logits, as scoring cuts them."""
LOGITS_COPIES = 5
"""Arrays of that size, float32, that scoring holds at once."""


@dataclass(frozen=True, slots=True)
class Need:
    """Memory of a pair in bytes, and the number format that it was reckoned for."""

    weights: int
    kv: int
    logits: int
    dtype: str

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.logits


def estimate(plan: PairPlan, dtype: str) -> Need:
    """Return what a pair needs, weights and KV being in ``dtype`` (such as "float32")."""
    sides = plan.policy, plan.reference
    one_model = plan.shared or (
        plan.policy_model == plan.reference_model and plan.policy_adapter == plan.reference_adapter
    )
    weights = sum(_weights(side.model, dtype) for side in (sides[:1] if one_model else sides))
    if plan.shared:  # elsewhere an adapter is merged and takes no room of its own
        adapters = {side.adapter.path: side.adapter for side in sides if side.adapter}
        weights += sum(_weights(adapter, dtype) for adapter in adapters.values())
    if plan.search_base is not None:
        weights += _weights(plan.search_base, dtype)
    rows = sides if plan.shared or not one_model else sides[:1]
    vocab = max(side.model.vocab_size for side in sides)
    chunk = min(LOGITS_CHUNK, 2 * vocab * _tokens(plan.policy))
    return Need(
        weights=weights,
        kv=sum(_kv(side, dtype) for side in rows),
        logits=LOGITS_COPIES * chunk * DTYPE_BYTES["float32"],
        dtype=dtype,
    )


def check_fits(need: Need, free: int | None, device: str) -> None:
    """Say beforehand that a device is too small.

    Args:
        free: free bytes of the device; None where that cannot be known, and nothing is said.

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


def _tokens(side: Side) -> int:
    return min(side.model.context_length or KV_TOKENS, KV_TOKENS)


def _kv(side: Side, dtype: str) -> int:
    """Return the bytes of KV and of the last hidden states, which are cached with it."""
    numbers = side.model.kv_numbers_per_token() + side.model.hidden_size
    return numbers * _tokens(side) * DTYPE_BYTES[dtype]


def _weights(checkpoint: Checkpoint, dtype: str) -> int:
    if checkpoint.quantized:
        return checkpoint.bytes  # loaded as it is stored
    stored = DTYPE_BYTES.get(checkpoint.dtype, 2)
    numbers = checkpoint.parameters or checkpoint.bytes // stored
    return numbers * DTYPE_BYTES[dtype]
