"""Measuring the noise floor of a loaded pair on a small sample of text.

The pair scores the sample in its own format, some of it fresh and some as after an edit; then the
same weights score it in float32, a layer at a time, so that no second copy of the models is needed.
The difference is the noise. A pair that runs in float32 is compared with its models' own plain
forwards. Knows no family of models; knows nothing of beta, requests or windows.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from core.models.device import dtype_name, free_bytes
from core.models.line import Nodes
from core.models.pair import Pair
from core.noise import NoiseFloor, floor_of
from core.progress import never
from core.quantities import Array
from core.text import Prompt

SAMPLE: tuple[tuple[str, str], ...] = (
    (
        "Übersetze ins Deutsche: The ferry was late, so we walked along the harbour.",
        "Die Fähre hatte Verspätung, deshalb gingen wir am Hafen entlang. Unterwegs kauften wir "
        "Fischbrötchen und zählten die Möwen auf den Pollern.",
    ),
    (
        "Summarise this post in one sentence: I was offered a job at a bakery in Leeds, 38 hours "
        "a week for £26,400, but my sister wants me to mind her twins until March.",
        "They have been offered full-time work at a bakery in Leeds for £26,400 a year, yet are "
        "torn because their sister hopes that they will look after her twins until the spring. "
        "On balance the writer seems to lean towards the job, if only the shifts began later.",
    ),
    (
        "How do I find the largest file in a folder with Python?",
        "Walk the folder and keep the largest size:\n\n```python\nfrom pathlib import Path\n\n"
        'files = [p for p in Path(".").rglob("*") if p.is_file()]\n'
        "print(max(files, key=lambda p: p.stat().st_size))\n```\n\nAn empty folder raises "
        "`ValueError`, so pass `default=None` where that may happen.",
    ),
    (
        "Is it safe to eat the skin of a kiwi?",
        "Yes! It's perfectly edible, and rich in fibre & vitamin E. 1) Rinse it well; 2) rub off "
        "the fuzz with a towel; 3) slice, don't peel. People allergic to latex, though, should "
        "ask a doctor first: about 1 in 20 of them react to kiwis, bananas or avocados, too.",
    ),
)
"""Prompts and responses of unlike kinds, the shortest first; a user may see any of them."""
NARROW = (torch.bfloat16, torch.float16)
"""Formats whose numbers float32 holds exactly."""
NAME = "noise"
"""The line that holds the KV of a sample text."""
ROOM = 2
"""Memory that must be free, as a multiple of the largest layer's float32 weights."""
EDIT = 24
"""Tokens of a part where a text is scored as edits do."""


class Measurement:
    """A measurement of one pair's noise floor, which can be cancelled and resumed.

    The sample's texts become nodes of the pair's tree. The KV of a text is released once it is
    measured.
    """

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._format = pair.lanes[0].dtype
        self._wide = all(_can_be_widened(lane.model) for lane in pair.lanes)
        self._shown: list[Array] = []
        """The log-ratios of each text as the pair shows them."""
        self._true: list[Array] = []
        """Their log-ratios by plain forwards, in float32 where that is possible."""

    def finish(self, cancelled: Callable[[], bool] = never) -> NoiseFloor | None:
        """Measure the remaining texts and return the floor; None where it cannot be measured.

        Raises:
            UserFacingError: as Pair.observe.
            Cancelled: between two layers; call again to resume.
        """
        try:
            self._measure(cancelled)
        except (RuntimeError, TypeError, ValueError, MemoryError):
            if not self._wide:
                raise
            # Too little memory, or weights that are used outside their own layers.
            self._wide = False
            self._true.clear()
            self._measure(cancelled)
        errors = [one - other for one, other in zip(self._shown, self._true, strict=True)]
        if not np.isfinite(np.concatenate(errors)).all():
            return None
        floor = floor_of(errors, dtype_name(self._format), self._words(sum(map(len, errors))))
        differ = bool(np.concatenate(self._shown).any())
        if differ and not self._wide and self._format in NARROW and not floor.matters:
            return None  # two ways so alike make the same errors, and show none of them
        return floor

    def _measure(self, cancelled: Callable[[], bool]) -> None:
        pair = self._pair
        # Quantised weights may round what passes through them, whatever the format.
        texts = SAMPLE[:1] if self._format == torch.float32 and self._wide else SAMPLE
        for number in range(len(self._true), len(texts)):
            path, first = self._path(*texts[number])
            try:
                if number == len(self._shown):
                    self._shown.append(self._observed(path, first, number % 2 == 1, cancelled))
                # Puts the policy's weights in place.
                pair.reach_path(path, cancelled=cancelled, line=NAME)
                self._true.append(self._plain(path, first, cancelled))
            finally:
                pair.release(NAME)

    def _path(self, prompt: str, response: str) -> tuple[Nodes, int]:
        """Return the nodes of a prompt and its response, and where the response begins."""
        codec, turns = self._pair.codec, Prompt.of(prompt)
        tokens = codec.encode(turns, response)
        ids = [*tokens.context, *tokens.ids, *tokens.closing][: self._pair.context_length]
        first = min(len(tokens.context), len(ids) // 2)
        return self._pair.tree.extend(self._pair.root(len(ids)), ids), first

    def _observed(
        self, path: Nodes, first: int, edited: bool, cancelled: Callable[[], bool]
    ) -> Array:
        """Return the log-ratios, or a lone policy's log-probs, that the pair shows.

        ``edited``: scored in parts, as edits do.
        """
        cuts = range(first, len(path), EDIT) if edited else [first]
        for start, stop in pairwise([*cuts, len(path)]):
            self._pair.observe(path, range(start, stop), cancelled, NAME)
        column, nodes = self._pair.tree.column, path[first:]
        if self._pair.alone:
            return column("logp_policy")[nodes]
        return column("logp_policy")[nodes] - column("logp_reference")[nodes]

    @torch.inference_mode()
    def _plain(self, path: Nodes, first: int, cancelled: Callable[[], bool]) -> Array:
        """Return the same of the same tokens by one plain forward of each model."""
        ids = torch.from_numpy(self._pair.tree.token[path])
        rows: list[Array] = []
        for lane in self._pair.lanes:
            lane.cancelled = cancelled
            with widened(lane.model) if self._wide else nullcontext():
                logits = lane.plain_logits(ids)[:, first - 1 : -1]
            taken = ids[first:].to(logits.device).expand(len(logits), -1)
            logp = logits.gather(-1, taken[..., None])[..., 0] - logits.logsumexp(-1)
            rows += list(logp.double().cpu().numpy())
        if self._pair.alone:
            return rows[0]
        return rows[0] - rows[-1]  # a single row stands for both models

    def _words(self, tokens: int) -> str:
        sample = f"{tokens} tokens of sample text"
        if self._format == torch.float32:
            return f"against the models' own plain forwards on {sample}"
        if self._wide:
            return f"against float32 on {sample}"
        return (
            f"by two {dtype_name(self._format)} forwards of {sample}, as float32 could not be run "
            f"here: errors that both make are not seen, so the true noise is larger"
        )


@contextlib.contextmanager
def widened(model: nn.Module) -> Iterator[None]:
    """Make a model compute in float32 inside, a layer's weights being float32 while it runs.

    A layer is a member of a module list, or else a module with none inside. Afterwards each weight
    is the very tensor that it was.
    """
    replaced: dict[nn.Module, list[tuple[Any, str, torch.Tensor]]] = {}

    def widen(module: nn.Module, deep: bool) -> None:
        if module in replaced:
            return  # a layer that stands in several places
        replaced[module] = [
            (tensors, name, tensor)
            for owner in (module.modules() if deep else [module])
            for tensors in (owner._parameters, owner._buffers)
            for name, tensor in tensors.items()
            if tensor is not None and tensor.dtype in NARROW
        ]
        for tensors, name, tensor in replaced[module]:
            tensors[name] = tensor.float()

    def narrow(module: nn.Module) -> None:
        for tensors, name, tensor in replaced.pop(module, ()):
            tensors[name] = tensor

    hooks = []
    for module, deep in _layers(model):
        hooks += [
            module.register_forward_pre_hook(lambda own, _, deep=deep: widen(own, deep)),
            module.register_forward_hook(lambda own, *_: narrow(own), always_call=True),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module in list(replaced):
            narrow(module)


def _layers(module: nn.Module) -> Iterator[tuple[nn.Module, bool]]:
    """Yield the modules that are widened when they run, and whether all inside them are too."""
    holds = any(isinstance(inner, nn.ModuleList) for inner in module.modules())
    if isinstance(module, nn.ModuleList):
        yield from ((member, True) for member in module)
        return
    yield module, not holds
    if holds:
        for child in module.children():
            yield from _layers(child)


def _can_be_widened(model: nn.Module) -> bool:
    """Return whether float32 copies compute the same function, and a layer's copies fit."""
    if any(own.dtype not in (torch.float32, *NARROW) for own in model.parameters()):
        return False  # quantised: the numbers mean nothing without their scales
    if getattr(model, "is_quantized", False):
        return False
    largest = max(
        sum(own.numel() for own in layer.parameters(deep)) for layer, deep in _layers(model)
    )
    device = next(model.parameters()).device
    free = free_bytes(device)
    return free is None or ROOM * 4 * largest <= free
