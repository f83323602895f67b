"""Policy and reference adapters on one base, in one forward: a batch of two rows.

Row 0 is the policy, row 1 the reference. A linear layer applies its base weights to both rows at
once and adds each row's own low-rank update, so the base weights are in memory once and, at one
token, read once for both models. PEFT's own mixed-adapter forward gives the same numbers but
gathers and scatters rows at every layer. A model with one adapter is a batch of one row.

Layers that are given the same input (queries, keys and values; gate and up) take one product
together: their weights, followed by their low-rank factors, lie in one piece of memory.

Factors stay in the number format that they were loaded in, which may be finer than the base's; they
are applied as PEFT applies them and never merged into the base.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from core.checkpoints.fit import renamed
from core.models.inputs import layers_by_input
from core.models.products import Linear, multiply
from core.models.remembered import recall, remember

ROWS = ("policy", "reference")

PLAIN = {
    "peft_type", "task_type", "base_model_name_or_path", "revision", "peft_version", "auto_mapping",
    "inference_mode", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora",
    "lora_dropout", "fan_in_fan_out", "target_modules", "exclude_modules", "layers_to_transform",
    "layers_pattern", "init_lora_weights", "loftq_config", "eva_config", "corda_config",
    "lora_ga_config", "megatron_config", "megatron_core", "runtime_config",
}  # fmt: skip
"""Entries of a LoRA's config that may have any value in an adapter that is a plain update: they say
which layers it changes and by how much, how it began, or how it was trained."""

FEW_TOKENS = 64
"""Up to so many tokens the low-rank updates of all rows are one product, with zeros where a token
is not of the row: few operators matter then, and with more tokens few multiplications."""


class ActiveRows:
    """The rows of the batch that a forward runs; all layers of a model share one."""

    def __init__(self, count: int = len(ROWS)) -> None:
        self.rows = slice(0, count)
        self.bare = False
        """Whether the updates are left out, so that a forward is the base's alone."""
        self._own: dict[Any, torch.Tensor] = {}

    def own(self, tokens: int, rank: int, layers: int, like: torch.Tensor) -> torch.Tensor:
        """Return a mask of the low-rank products that are of a token's own row, where all rows run.

        It is 1 or 0, [tokens, layers * rows * rank]; cached for good, since many layers of a
        forward ask for one, and a recorded forward (core.models.steps) reads it where it lies.
        """
        key = (tokens, rank, layers, like.dtype, like.device)
        if key not in self._own:
            count = self.rows.stop
            own = torch.eye(count, dtype=like.dtype, device=like.device)
            own = own.repeat_interleave(tokens // count, 0).repeat_interleave(rank, 1)
            self._own[key] = own.repeat(1, layers)
        return self._own[key]


class PairLinear(nn.Module):
    """A linear layer with one low-rank update for each row.

    ``down`` [rows, r, in] and ``up`` [rows, r, out] hold the LoRA factors, the latter transposed
    and multiplied by the scaling alpha/r; a row without an adapter, or of smaller rank, is padded
    with zeros. What else a model asks of a linear layer (its weight, bias, sizes) is the base's.
    """

    def __init__(self, base: nn.Module, down: torch.Tensor, up: torch.Tensor) -> None:
        super().__init__()
        self.base = base
        self.register_buffer("down", down)
        self.register_buffer("up", up)
        self.down: torch.Tensor
        self.up: torch.Tensor
        self.joined: Joined

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the output, [rows, ..., in] or [rows * tokens, in] -> [..., out]."""
        return self.joined.output(self, states)

    def put(self, row: int, down: torch.Tensor, up: torch.Tensor) -> None:
        """Write other factors, [r, in] and [r, out], into a row; there is room for any rank."""
        rank = len(down)
        if rank > self.down.shape[1]:
            self.joined.widen(rank)
        for factors, new in ((self.down, down), (self.up, up)):
            factors[row, :rank] = new
            factors[row, rank:] = 0


class Joined:
    """Layers that are given the same input, whose products are taken together.

    The first layer that is asked computes the outputs of all; the others are given their part if
    they are asked with the same tensor for the same rows. Anything else they are asked is computed
    anew.
    """

    def __init__(self, layers: Sequence[PairLinear], active: ActiveRows) -> None:
        self._layers = list(layers)
        self._bases: list[Any] = [layer.base for layer in layers]
        self._active = active
        self._states: torch.Tensor | None = None
        self._rows = active.rows
        self._parts: dict[PairLinear, torch.Tensor] = {}
        for layer in layers:
            layer.joined = self
        self.widen(max(layer.down.shape[1] for layer in layers))

    def weights(self) -> Iterator[torch.Tensor]:
        """Yield the weights that inputs are multiplied with, [any, in]."""
        if self._base is not None:
            yield self._base
        else:
            yield from (
                base.weight for layer in self._layers if isinstance(base := layer.base, Linear)
            )
        if not self._within:
            yield self._down

    def widen(self, rank: int) -> None:
        """Give every layer's factors this rank and lay all weights in one piece of memory.

        The layers' own tensors become views of it, so nothing is in memory twice. Where memory runs
        out, all stays as it was.
        """
        grown = [
            [
                nn.functional.pad(factors, (0, 0, 0, rank - factors.shape[1]))
                for factors in (layer.down, layer.up)
            ]
            for layer in self._layers
        ]
        linear = all(isinstance(base, nn.Linear) for base in self._bases)
        weights = [base.weight.data for base in self._bases if linear]
        downs = [down.flatten(0, 1) for down, _ in grown]
        sizes = [len(weight) for weight in weights]
        within = linear and weights[0].dtype == downs[0].dtype
        whole: torch.Tensor | None = None
        parts = weights
        if within:
            whole = torch.cat([*weights, *downs])
            sizes.append(sum(map(len, downs)))
            *parts, joined = whole.split(sizes)
        else:
            joined = torch.cat(downs)
            if len(weights) > 1:
                whole = torch.cat(weights)
                parts = list(whole.split(sizes))
        downs = [it.unflatten(0, (-1, rank)) for it in joined.chunk(len(self._layers))]
        ups = [up.flatten(0, 1) for _, up in grown]
        # Where memory runs out above, all is as it was.
        for base, part in zip(self._bases, parts, strict=False):
            base.weight.data = part
        for layer, down, (_, up) in zip(self._layers, downs, grown, strict=True):
            layer.down, layer.up = down, up
        self._rank, self._base, self._down, self._ups = rank, whole, joined, ups
        self._sizes, self._width = sizes, joined.shape[-1]
        self._within = within
        """True where the factors follow the bases' weights in the same memory."""

    def output(self, layer: PairLinear, states: torch.Tensor) -> torch.Tensor:
        """Return the output of ``layer`` for ``states``."""
        rows = self._active.rows
        if self._states is not states or self._rows != rows or layer not in self._parts:
            self._parts = dict(zip(self._layers, self._compute(states, rows), strict=True))
            self._states, self._rows = states, rows
        part = self._parts.pop(layer)
        if not self._parts:
            self._states = None
        return part

    def _compute(self, states: torch.Tensor, rows: slice) -> list[torch.Tensor]:
        """Return the outputs of all layers."""
        flat = states.reshape(-1, self._width)
        if self._base is not None:
            outs = list(multiply(flat, self._base, self._bias()).split(self._sizes, 1))
        else:
            outs = [base(flat) for base in self._bases]
        low = outs.pop() if self._within else None
        if self._active.bare:
            return [out.view(*states.shape[:-1], -1) for out in outs]
        if low is None:
            low = multiply(flat.to(self._down.dtype), self._down)
        count, tokens = rows.stop - rows.start, len(flat)
        if count > 1 and tokens <= FEW_TOKENS:
            low.mul_(self._active.own(tokens, self._rank, len(outs), low))
            for out, part, up in zip(outs, low.chunk(len(outs), 1), self._ups, strict=True):
                _add(out, part, up)
        else:
            length, low = tokens // count, low.unflatten(1, (len(outs), -1, self._rank))
            for place, row in enumerate(range(rows.start, rows.stop)):
                own = slice(place * length, (place + 1) * length)
                for i, (layer, out) in enumerate(zip(self._layers, outs, strict=True)):
                    _add(out[own], low[own, i, row], layer.up[row])
        shape = states.shape[:-1]
        return [out.view(*shape, -1) for out in outs]

    def _bias(self) -> torch.Tensor | None:
        """Return the biases, concatenated; read anew since some models replace them for a while."""
        biases = [base.bias for base in self._bases]
        if all(bias is None for bias in biases):
            return None
        assert self._base is not None
        parts = [
            self._base.new_zeros(size) if bias is None else bias
            for size, bias in zip(self._sizes, [*biases, None][: len(self._sizes)], strict=True)
        ]
        return torch.cat(parts)


def _add(out: torch.Tensor, low: torch.Tensor, up: torch.Tensor) -> None:
    """Add a low-rank update to ``out``, computed in its own format and rounded once, as in PEFT."""
    if out.dtype == up.dtype:
        out.addmm_(low, up)
    else:
        out.add_(low @ up)


def is_plain_lora(config: Any) -> bool:
    """Return whether an adapter of this PEFT config is a low-rank update and nothing else: whether
    its entries have PEFT's default values, but for PLAIN."""
    from peft import LoraConfig

    usual = LoraConfig().to_dict()
    return config.peft_type == "LORA" and not any(
        value and value != usual.get(name)
        for name, value in config.to_dict().items()
        if name not in PLAIN
    )


def pair_linears(wrapped: nn.Module, rows: Sequence[str] = ROWS) -> ActiveRows:
    """Replace PEFT's LoRA layers inside ``wrapped`` by PairLinear; return what says which rows run.

    Args:
        wrapped: a PeftModel's base model.
        rows: the names of its adapters in the order of the rows; a row without one has no update.

    Raises:
        ValueError: an adapted layer is not a linear one, or is not given the tokens of one row
            after those of the other (experts that tokens are sent to). Nothing was changed then.
    """
    adapted: dict[Any, tuple[nn.Module, str]] = {
        layer: (parent, name) for parent, name, layer in _lora_layers(wrapped)
    }
    for layer, (_, name) in adapted.items():
        base = layer.get_base_layer()
        packed = type(base.weight.data) is not torch.Tensor
        if type(base).__name__ not in ("Linear", "Conv1D") or packed:
            raise ValueError(f"{name} is a {type(base).__name__}, not a linear layer")
    active = ActiveRows(len(rows))
    for alike in _by_input(wrapped, list(adapted), len(rows)):
        layers: list[PairLinear] = []
        for layer in alike:
            parent, name = adapted[layer]
            layers.append(PairLinear(layer.get_base_layer(), *_factors(layer, rows)))
            setattr(parent, name, layers[-1])
        Joined(layers, active)
    return active


def _by_input(wrapped: nn.Module, layers: list[Any], rows: int) -> list[list[Any]]:
    """Return (and raise) what ``layers_by_input`` does, from the cache if it is there."""
    config: Any = wrapped.config
    names = {module: name for name, module in wrapped.named_modules()}
    key = [config.to_dict(), type(wrapped).__qualname__, rows, sorted(names[it] for it in layers)]
    known = recall("inputs", key)
    if known is None:
        groups = layers_by_input(wrapped, layers, rows)
        remember("inputs", key, [[names[layer] for layer in group] for group in groups])
        return groups
    named = {names[layer]: layer for layer in layers}
    return [[named[name] for name in group] for group in known]


def weights_read(model: nn.Module) -> Iterator[torch.Tensor]:
    """Yield the weights that a model's linear layers multiply with, [any, in]."""
    joined: dict[Joined, None] = {}
    below: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, PairLinear):
            joined[module.joined] = None
            below.add(module.base)
        elif isinstance(module, Linear) and module not in below:
            yield module.weight
    for together in joined:
        yield from together.weights()


def saved_factors(
    config: Any, tensors: Mapping[str, torch.Tensor], layers: Mapping[str, PairLinear]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return the factors of a saved plain adapter as ``put`` takes them, by the layers' names.

    Args:
        config: the adapter's PEFT config.
        tensors: by their names on disk.
        layers: by their names in the model.

    Raises:
        ValueError: the adapter has other layers, or other sizes; the message says which.
    """
    from peft.utils.other import get_pattern_key

    names = {f"base_model.model.{name}.lora_{side}.weight" for name in layers for side in "AB"}
    # PEFT adds the base's own weights of an adapted head.
    heads = {f"base_model.model.{name}.base_layer.weight": it.weight for name, it in layers.items()}
    tensors = renamed(tensors, names | heads.keys())
    for name in heads.keys() & tensors.keys():
        if not torch.equal(tensors.pop(name).to(heads[name]), heads[name]):
            raise ValueError(f"it has weights of its own for the base's {_layer(name)}")
    if other := sorted(names ^ tensors.keys()):
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
    return re.split(r"\.(?:lora_|base_layer\.)", tensor.removeprefix("base_model.model."))[0]


def _lora_layers(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Yield a model's LoRA layers, each with its parent and its name there."""
    from peft.tuners.lora import LoraLayer

    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, LoraLayer):
                yield parent, name, child


def _factors(layer: Any, rows: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``down`` and ``up`` of one layer as PairLinear takes them."""
    there = [row for row in rows if row in layer.lora_A]
    some = layer.lora_A[there[0]].weight.detach()
    rank = max(layer.r[row] for row in there)
    down = some.new_zeros(len(rows), rank, some.shape[1])
    up = some.new_zeros(len(rows), rank, len(layer.lora_B[there[0]].weight))
    for i, row in enumerate(rows):
        if row in there:
            r = layer.r[row]
            down[i, :r] = layer.lora_A[row].weight.detach()
            up[i, :r] = layer.lora_B[row].weight.detach().T * layer.scaling[row]
    return down, up
