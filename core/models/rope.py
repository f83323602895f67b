"""Rotary factors that depend on the length of a text, held to what one plain forward would take.

Some models choose their rotary factors by the length of the forward under way (longrope, dynamic
NTK scaling). Run in chunks, or after a cached prefix, they would take others than for the whole
text. A *regime* is one choice of factors: the model is asked once, as if a text of that length were
run, and its factors are then fixed. Numbers and KV of two regimes belong to two different
functions, so they are never mixed.

Knows nothing of families: a rotary module is one that transformers gives a ``rope_type``.
"""

from typing import Any

import torch
from torch import nn

Regime = int
"""0, 1, …: the regimes met so far, in that order; always 0 where factors never change."""


def _depends_on_length(kind: str) -> bool:
    return kind == "longrope" or "dynamic" in kind


class Regimes:
    """The rotary modules of one model whose factors depend on length, and the factors they take."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = [it for it in map(_Rotary.of, model.modules()) if it is not None]
        self._of_length: dict[int, Regime] = {}
        self._known: dict[bytes, Regime] = {}
        self._answers: list[list[dict[str, Any]]] = []
        if self._modules:
            self.set(self.of(1))

    @property
    def differ(self) -> bool:
        """True where some module's factors depend on length."""
        return bool(self._modules)

    @torch.inference_mode()
    def of(self, length: int) -> Regime:
        """Return the regime of a text of ``length`` tokens."""
        if not self._modules:
            return 0
        if length not in self._of_length:
            answers = [module.ask(length) for module in self._modules]
            key = b"".join(_bytes(value) for answer in answers for value in answer.values())
            if key not in self._known:
                self._known[key] = len(self._answers)
                self._answers.append(answers)
            self._of_length[length] = self._known[key]
        return self._of_length[length]

    def set(self, regime: Regime) -> None:
        """Fix the model's rotary factors to those of a regime."""
        if self._modules:
            for module, answer in zip(self._modules, self._answers[regime], strict=True):
                module.hold(answer)


class _Rotary:
    """A rotary module whose factors can be asked for and fixed."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._kinds = module.rope_type
        self._layers = list(self._kinds) if isinstance(self._kinds, dict) else [None]
        self._fresh = self._state()

    @classmethod
    def of(cls, module: Any) -> "_Rotary | None":
        """Return the rotary module that ``module`` is, None unless its factors depend on length."""
        kinds = getattr(module, "rope_type", None)
        names = kinds.values() if isinstance(kinds, dict) else [kinds]
        if any(isinstance(name, str) and _depends_on_length(name) for name in names):
            return cls(module)
        return None

    def ask(self, length: int) -> dict[str, Any]:
        """Return the factors that the module, freshly loaded, takes for a text of that length."""
        held = self._state()
        self._restore(self._fresh)
        self._module.rope_type = self._kinds
        try:
            some = next(self._module.buffers())
            states = some.new_zeros(1, 1, 1)
            positions = torch.tensor([[length - 1]], device=some.device)
            for layer in self._layers:
                named = {} if layer is None else {"layer_type": layer}
                self._module(states, positions, **named)
            return self._state()
        finally:
            self.hold(held)

    def hold(self, answer: dict[str, Any]) -> None:
        """Fix the module's factors, whatever is run."""
        self._restore(answer)
        kinds = self._kinds
        self._module.rope_type = (
            dict.fromkeys(kinds, "default") if isinstance(kinds, dict) else "default"
        )

    def _state(self) -> dict[str, Any]:
        """Return all that an update may write: buffers, and plain numbers beside them."""
        buffers = {name: it.clone() for name, it in self._module.named_buffers(recurse=False)}
        plain = {
            name: value
            for name, value in vars(self._module).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return {**plain, **buffers}

    def _restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                there = getattr(self._module, name)
                if there.shape == value.shape:
                    there.copy_(value)
                else:
                    self._module.register_buffer(name, value.clone(), persistent=False)
            else:
                setattr(self._module, name, value)


def _bytes(value: Any) -> bytes:
    if isinstance(value, torch.Tensor):
        return value.float().cpu().numpy().tobytes()
    return repr(value).encode()
