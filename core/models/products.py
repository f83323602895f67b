"""The product of token states with a weight, by the kernel that is fastest on this processor.

With few tokens a product on a CPU is bound by reading the weight, and the libraries differ in how
fast they read: which one wins depends on the processor, the number of tokens and the shape of the
weight, by a factor of up to four (measured on two processors, with opposite winners). So nothing is
assumed: ``learn`` times every kernel on a model's own weights when it is loaded. All kernels give
the same numbers but for the order of summation.

Knows nothing of models beyond their linear layers.
"""

import platform
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from itertools import cycle
from pathlib import Path

import torch
from torch import nn

from core.models.remembered import recall, remember

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""States [n, in], a weight [out, in] and a bias -> [n, out], contiguous."""
WeightKind = tuple[torch.Size, torch.dtype, bool]
"""The kind of a weight, by which its kernel is chosen: shape, number format, contiguous or not."""

TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Numbers of tokens that are timed; others are run as the next larger one, or as the last."""
REPETITIONS = 3
WORK = 2 * 10**7
"""Multiplications in one timed product, so that learning takes a fraction of a second: of a larger
weight only as many rows are timed."""
BOUND = 8
"""With fewer tokens reading takes the time: as many rows are timed as with this number."""
CLOCK = (
    time.thread_time if time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter
)
"""A clock that stops while other programs have the processor, if its resolution is fine enough."""
CLEARLY = 0.9
"""A kernel other than PyTorch's own is chosen if it takes less than this part of its time."""


def _states_first(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    return nn.functional.linear(states, weight, bias)


def _weight_first(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    return _in_order(weight @ states.t(), bias)


def _weight_first_onednn(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(weight, states, None, "none", [], "")
    return _in_order(product, bias)


def _in_order(product: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return [out, n] as [n, out], contiguous, with the bias added.

    The copy pays: in the other order attention takes its slow path, and small products with many
    outputs take five times as long (measured).
    """
    product = product.t().contiguous()
    return product if bias is None else product.add_(bias)


KERNELS: dict[str, Kernel] = {"states first": _states_first, "weight first": _weight_first}
"""The first is PyTorch's own."""
if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    KERNELS["weight first, oneDNN"] = _weight_first_onednn

_chosen: dict[WeightKind, tuple[Kernel, ...]] = {}
"""The fastest kernel for each of TOKENS, by the kind of weight, whatever the model."""


class Linear(nn.Linear):
    """A linear layer that multiplies by ``project``; shares the parameters of ``layer``."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.train(layer.training)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the layer's output, [..., in] -> [..., out]."""
        return project(input, self.weight, self.bias)


def replace_linears(model: nn.Module) -> None:
    """Replace every plain linear layer of a model on a CPU by Linear; names stay."""
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Linear and is_plain(layer.weight):
                setattr(parent, name, Linear(layer))


def is_plain(weight: torch.Tensor) -> bool:
    """Return whether a weight is an array of numbers on a CPU: not one that is packed in others."""
    return weight.device.type == "cpu" and type(weight.data) is torch.Tensor


def project(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the output of a linear layer, [..., in] and [out, in] -> [..., out]."""
    flat = states.reshape(-1, states.shape[-1])
    return multiply(flat, weight, bias).view(*states.shape[:-1], len(weight))


def multiply(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the output of a linear layer, [n, in] and [out, in] -> [n, out]."""
    chosen = _chosen.get((weight.shape, weight.dtype, weight.is_contiguous()))
    if chosen is None or states.device.type != "cpu":
        return _states_first(states, weight, bias)
    return chosen[min(bisect_left(TOKENS, len(states)), len(TOKENS) - 1)](states, weight, bias)


def learn(weights: Iterable[torch.Tensor]) -> None:
    """Time every kernel on those kinds of ``weights`` that were not timed before.

    The weights of a kind, and the parts of a large one, take turns, so that what is timed is read
    from memory and not from the processor's cache, as in a forward.
    """
    kinds: dict[WeightKind, list[torch.Tensor]] = defaultdict(list)
    for weight in weights:
        if weight.device.type == "cpu":
            kinds[weight.shape, weight.dtype, weight.is_contiguous()].append(weight)
    for kind, alike in kinds.items():
        if kind not in _chosen:
            _chosen[kind] = _learnt(kind, alike)


def _learnt(kind: WeightKind, weights: list[torch.Tensor]) -> tuple[Kernel, ...]:
    """Return the fastest kernel for each of TOKENS.

    The result of an earlier run on this processor is used where there is one, so that numbers do
    not differ by rounding from load to load.
    """
    shape, dtype, contiguous = kind
    key = [_processor(), torch.get_num_threads(), list(shape), str(dtype), contiguous]
    names = recall("products", key)
    if names is None or not set(names) <= KERNELS.keys():
        found = [_fastest(tokens, weights) for tokens in TOKENS]
        names = [name for kernel in found for name in KERNELS if KERNELS[name] is kernel]
        remember("products", key, names)
    return tuple(KERNELS[name] for name in names)


@cache
def _processor() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return [platform.machine(), platform.processor()]
    wanted = ("model name", "cpu family", "model", "flags", "Features")
    return [line for line in lines if line.partition(":")[0].strip() in wanted]


@torch.inference_mode()
def _fastest(tokens: int, weights: list[torch.Tensor]) -> Kernel:
    """Return the kernel whose best time for so many tokens is the lowest."""
    whole, wide = weights[0].shape
    rows = min(whole, max(128, WORK // (max(tokens, BOUND) * wide)))
    parts = cycle(
        weight[first : first + rows]
        for first in range(0, whole - rows + 1, rows)
        for weight in weights
    )
    states = weights[0].new_ones(tokens, wide)
    best = dict.fromkeys(KERNELS.values(), float("inf"))
    for kernel in KERNELS.values():
        try:
            kernel(states, next(parts), None)  # the first time a library prepares itself
        except RuntimeError:  # oneDNN lacks some number formats on some processors
            if kernel is _states_first:
                raise
            del best[kernel]
    for _ in range(REPETITIONS):
        for kernel in best:
            part = next(parts)
            began = CLOCK()
            kernel(states, part, None)
            best[kernel] = min(best[kernel], CLOCK() - began)
    fastest = min(best, key=lambda kernel: best[kernel])
    return fastest if best[fastest] < CLEARLY * best[_states_first] else _states_first
