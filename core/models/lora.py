"""Policy and reference adapters on one base, in one forward: a batch of two rows.

Row 0 is the policy, row 1 the reference. A linear layer applies its base weights to both rows at
once and adds each row's own low-rank update with two batched products, so the base weights are
in memory once and, at one token, read once for both models. PEFT's own mixed-adapter forward
gives the same numbers but gathers and scatters rows at every layer.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import nn

ROWS = ("policy", "reference")

FEW_TOKENS = 64
"""Up to here a CPU product is bound by reading the weights."""


class ActiveRows:
    """Which rows of the batch of two a forward runs; all layers of a model share one."""

    def __init__(self) -> None:
        self.rows = slice(0, len(ROWS))


class PairLinear(nn.Module):
    """A linear layer with one low-rank update for each of two rows.

    ``down`` [2, r, in] and ``up`` [2, r, out] hold the LoRA factors, the latter transposed and
    with the scaling alpha/r; a row without an adapter, or of smaller rank, is padded with zeros.
    """

    def __init__(
        self, base: nn.Module, down: torch.Tensor, up: torch.Tensor, active: ActiveRows
    ) -> None:
        super().__init__()
        self.base = base
        self.active = active
        self.register_buffer("down", down)
        self.register_buffer("up", up)
        self.down: torch.Tensor
        self.up: torch.Tensor

    @property
    def weight(self) -> torch.Tensor:
        """The base's."""
        return cast(torch.Tensor, self.base.weight)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[active rows, T, in] -> [active rows, T, out]."""
        rows = self.active.rows
        if isinstance(self.base, nn.Linear) and is_few(states):
            return self._few(states, self.base, rows)
        out: torch.Tensor = self.base(states)
        # A product this narrow is four times as fast with the few rows first (measured, CPU).
        low = torch.bmm(self.down[rows], states.transpose(1, 2))
        return out.baddbmm_(low.transpose(1, 2), self.up[rows])

    def put(self, row: int, down: torch.Tensor, up: torch.Tensor) -> None:
        """Put other factors, [r, in] and [r, out], into a row; there is room for any rank."""
        rank = len(down)
        if rank > self.down.shape[1]:
            more = rank - self.down.shape[1]
            self.down = nn.functional.pad(self.down, (0, 0, 0, more))
            self.up = nn.functional.pad(self.up, (0, 0, 0, more))
        for factors, new in ((self.down, down), (self.up, up)):
            factors[row, :rank] = new
            factors[row, rank:] = 0

    def _few(self, states: torch.Tensor, base: nn.Linear, rows: slice) -> torch.Tensor:
        """The same for few tokens on a CPU: all products as they lie in memory, see ``project``."""
        length = states.shape[1]
        flat = states.reshape(-1, states.shape[-1]).t()
        out: torch.Tensor = base.weight @ flat
        for place, row in enumerate(range(rows.start, rows.stop)):
            own = slice(place * length, (place + 1) * length)
            out[:, own].addmm_(self.up[row].t(), self.down[row] @ flat[:, own])
        out = out.t().view(*states.shape[:-1], -1)
        return out if base.bias is None else out + base.bias


def project(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """A linear layer, [rows, T, in] x [out, in] -> [rows, T, out], perhaps not contiguous.

    With few tokens on a CPU the product is taken as W x^T: MKL then reads the weights at the
    speed of memory, where x W^T takes 1.6 times as long (measured, float32, 2 to 16 tokens).
    """
    if not is_few(states):
        return nn.functional.linear(states, weight, bias)
    flat = states.reshape(-1, states.shape[-1])
    out = (weight @ flat.t()).t().view(*states.shape[:-1], weight.shape[0])
    return out if bias is None else out + bias


def is_few(states: torch.Tensor) -> bool:
    """Whether a product with the weights is bound by reading them."""
    return states.device.type == "cpu" and states.shape[0] * states.shape[1] <= FEW_TOKENS


def is_plain_lora(config: Any) -> bool:
    """Whether an adapter of this PEFT config is a low-rank update and nothing else."""
    return (
        getattr(config, "peft_type", "") == "LORA"
        and not getattr(config, "use_dora", False)
        and getattr(config, "bias", "none") == "none"
        and not any(
            getattr(config, name, None)
            for name in (
                "modules_to_save",
                "layer_replication",
                "trainable_token_indices",
                "alora_invocation_tokens",
                "target_parameters",
                "lora_bias",
            )
        )
    )


def pair_linears(wrapped: nn.Module) -> ActiveRows:
    """Replace PEFT's LoRA layers inside ``wrapped`` by PairLinear; returns what they all obey.

    ``wrapped`` is a PeftModel's base model that carries adapters named as in ROWS (or only
    "policy"). Raises ValueError if an adapted layer is not a linear one.
    """
    active = ActiveRows()
    for parent, name, layer in list(_lora_layers(wrapped)):
        base = layer.get_base_layer()
        if type(base).__name__ not in ("Linear", "Conv1D"):
            raise ValueError(f"{name} is a {type(base).__name__}, not a linear layer")
        setattr(parent, name, PairLinear(base, *_factors(layer, base.weight), active))
    return active


def saved_factors(
    config: Any, tensors: Mapping[str, torch.Tensor], layers: Mapping[str, PairLinear]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The factors of a saved plain adapter for the layers of those names, as ``put`` wants them.

    Raises:
        ValueError: the adapter has other layers, or other sizes; the message says which.
    """
    from peft.utils.other import get_pattern_key

    # PEFT adds the base's own weights of an adapted embedding or head.
    tensors = {name: tensor for name, tensor in tensors.items() if ".base_layer." not in name}
    names = {
        f"base_model.model.{name}.lora_{side}.weight": name for name in layers for side in "AB"
    }
    if other := sorted(names.keys() ^ tensors.keys()):
        raise ValueError(f"it adapts other layers, {_layer(other[0])} among them")
    found = {}
    for name, layer in layers.items():
        a, b = (tensors[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
        if (a.shape[1], *b.shape) != (layer.down.shape[2], layer.up.shape[2], a.shape[0]):
            raise ValueError(f"its layer {name} has another size")
        rank = a.shape[0]
        alphas = config.alpha_pattern or {}
        alpha = alphas.get(get_pattern_key(alphas.keys(), name), config.lora_alpha)
        scaling = alpha / (math.sqrt(rank) if config.use_rslora else rank)
        found[name] = a.to(layer.down), b.to(layer.up).t().contiguous() * scaling
    return found


def _layer(tensor: str) -> str:
    """The layer that a tensor of an adapter belongs to."""
    return tensor.removeprefix("base_model.model.").partition(".lora_")[0]


def _lora_layers(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    from peft.tuners.lora import LoraLayer

    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, LoraLayer):
                yield parent, name, child


def _factors(layer: Any, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The stacked, transposed, padded and scaled factors of one layer."""
    rank = max(layer.r[row] for row in ROWS if row in layer.lora_A)
    some = next(iter(layer.lora_A))
    wide, narrow = layer.lora_A[some].in_features, layer.lora_B[some].out_features
    down = weight.new_zeros(len(ROWS), rank, wide)
    up = weight.new_zeros(len(ROWS), rank, narrow)
    for i, row in enumerate(ROWS):
        if row in layer.lora_A:
            r = layer.r[row]
            down[i, :r] = layer.lora_A[row].weight.detach()
            up[i, :r] = layer.lora_B[row].weight.detach().T * layer.scaling[row]
    return down, up
