"""Putting another checkpoint of a run into the policy of a loaded pair.

Plain LoRA adapters are copied into the policy's row of the pair's layers; other adapters go through
PEFT; a whole model is loaded in place of the one before, one in memory at a time. A checkpoint that
does not belong to the run is refused before anything is changed, and so is one whose files have
been written anew since it was shown. Knows nothing of trees or KV.
"""

import contextlib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.checkpoints.describe import StoredModel, describe
from core.checkpoints.fit import check_adapter_fits
from core.checkpoints.identity import Identity, identify, read_whole
from core.checkpoints.limited import read_json
from core.checkpoints.plan import PairPlan
from core.checkpoints.reference import last_part
from core.errors import UserFacingError
from core.failures import in_words
from core.models.adapter_config import read_adapter_config, resolve_names
from core.models.adapters import put_adapter
from core.models.lora import ROWS, PairLinear, is_plain_lora, saved_factors
from core.models.weights import read_adapter
from core.progress import Report, silent

ANOTHER = "choose another one, or save it again"

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]

CACHE_BYTES = 2**28
"""Memory of the cache of adapters that were read."""

IGNORED_ENTRIES = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache"}
"""Entries in which the configurations of one run's checkpoints may differ."""


class Swap(ABC):
    """A way of putting another checkpoint of its run into a pair's policy."""

    def __init__(self, plan: PairPlan) -> None:
        self.report: Report = silent
        """Called with what is being done, where that takes long."""
        self.placed: Identity | None = None
        """The checkpoint whose weights are in the policy; None where they are undefined."""
        self._plan = plan

    def check(self, checkpoint: str) -> Identity:
        """Check that a checkpoint can be placed, reading it ahead where that is cheap.

        Returns:
            What is in that folder now; for one that is gone from the disk, what is still in memory.

        Raises:
            UserFacingError: it is missing, damaged or does not belong to the run.
        """
        found = identify(Path(checkpoint))
        if found is None:
            held = [it for it in self._in_memory() if it is not None and it.folder == checkpoint]
            if not held:
                raise _missing(checkpoint)
            found = held[-1]
        if found != self.placed:
            self._verify(found)
        return found

    @torch.inference_mode()
    def place(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        """Place the weights of a checkpoint that was checked.

        Raises:
            UserFacingError, Cancelled: the policy's weights are then undefined until a later call
                succeeds. What has been written to that folder since the check is never placed.
        """
        if checkpoint != self.placed:
            self._put(checkpoint, cancelled)
            self.placed = checkpoint

    def _in_memory(self) -> tuple[Identity | None, ...]:
        """Return the checkpoints that can be placed without the disk, the newest last."""
        return (self.placed,)

    @abstractmethod
    def _verify(self, checkpoint: Identity) -> None:
        """Raise UserFacingError for a checkpoint that cannot be placed."""

    @abstractmethod
    def _put(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        """Place a checkpoint; ``placed`` is None from where the weights are undefined."""


class RowSwap(Swap):
    """A swap of plain LoRA: the factors of the policy's row of every adapted layer of ``model``."""

    def __init__(self, model: nn.Module, plan: PairPlan) -> None:
        super().__init__(plan)
        self._model = model
        self._layers = {
            name: layer for name, layer in model.named_modules() if isinstance(layer, PairLinear)
        }
        self._read: dict[Identity, Factors] = {}
        """The least recently used first."""
        # The checkpoint loaded first must be found again even if the trainer deletes it.
        with contextlib.suppress(UserFacingError):
            self.check(str(plan.policy_adapter))

    def _in_memory(self) -> tuple[Identity | None, ...]:
        return self.placed, *self._read

    def _verify(self, checkpoint: Identity) -> None:
        self._factors(checkpoint)

    def _put(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        factors = self._factors(checkpoint)
        self.placed = None
        for name, layer in self._layers.items():
            layer.put(0, *factors[name])

    @torch.inference_mode()
    def _factors(self, checkpoint: Identity) -> Factors:
        """Return a checkpoint's factors, from memory if they are cached."""
        factors = self._read.pop(checkpoint, None)
        if factors is None:
            factors = self._from_disk(checkpoint)
        self._read[checkpoint] = factors
        while len(self._read) > max(1, CACHE_BYTES // _bytes(factors)):
            del self._read[next(iter(self._read))]
        return factors

    def _from_disk(self, checkpoint: Identity) -> Factors:
        """Read a checkpoint's factors, after a check that it belongs to the run."""
        folder = Path(checkpoint.folder)
        _adapter_of_the_run(folder, self._plan)
        with _unchanged(checkpoint), in_words("The checkpoint", folder, ANOTHER, "be shown"):
            config = read_adapter_config(folder)
            resolve_names(config, self._model, folder)
            if not is_plain_lora(config):
                raise ValueError("it is not a plain LoRA, as the run's last one is")
            tensors = read_adapter(folder, self._plan.allow_pickle)
            return saved_factors(config, tensors, self._layers)


class PeftSwap(Swap):
    """A swap of adapters of any kind, one loaded at a time, switched on through PEFT."""

    def __init__(self, wrapped: Any, plan: PairPlan) -> None:
        super().__init__(plan)
        self._wrapped = wrapped
        self._name = ROWS[0]
        self._count = 0

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Switch the policy's adapter on, for a forward that is run inside."""
        self._wrapped.set_adapter(self._name, inference_mode=True)
        yield

    def _verify(self, checkpoint: Identity) -> None:
        _adapter_of_the_run(Path(checkpoint.folder), self._plan)

    def _put(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        folder = Path(checkpoint.folder)
        _adapter_of_the_run(folder, self._plan)
        wrapped, old = self._wrapped, self._name
        self._count += 1
        new = f"{ROWS[0]}{self._count}"
        try:
            with (
                _unchanged(checkpoint),
                in_words("The checkpoint", folder, ANOTHER, "be shown"),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                put_adapter(wrapped, folder, new, self._plan.allow_pickle)
        except BaseException:
            if new in wrapped.peft_config:
                wrapped.delete_adapter(new)
            raise
        self.placed = None
        wrapped.set_adapter(new, inference_mode=True)
        wrapped.delete_adapter(old)
        self._name = new


class WholeSwap(Swap):
    """A swap of whole models, or of adapters with a base of their own, each loaded in place of the
    one before.

    Args:
        load: makes the model on its device from a folder, a Report and ``cancelled``; raises as
            loading does.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: PairPlan,
        load: Callable[[Path, Report, Callable[[], bool]], nn.Module],
    ) -> None:
        super().__init__(plan)
        self._model = model
        self._load = load
        self._config = read_json(plan.policy_model / "config.json")

    def _verify(self, checkpoint: Identity) -> None:
        folder, first = Path(checkpoint.folder), self._plan.policy.model
        if self._plan.policy.adapter is not None:
            _adapter_of_the_run(folder, self._plan)
            return
        found = _described(folder, self._plan)
        if found.kind != "model":
            raise _foreign(folder, "it is an adapter, and the run's last one is a whole model")
        if found.quantized:  # what a layer has made of its weights would stay
            raise _foreign(folder, "a quantised model cannot take another's place in memory")
        if differing := _differing(read_json(folder / "config.json"), self._config):
            raise _foreign(folder, f"its config.json has another {differing[0]}")
        ours, theirs = (
            {name: tensor.shape for name, tensor in it.tensors.items()} for it in (found, first)
        )
        if ours and theirs and ours != theirs:
            other = sorted(name for name, _ in ours.items() ^ theirs.items())[0]
            raise _foreign(folder, f"its layers are others, {other} among them")

    def _put(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        with _unchanged(checkpoint):
            self.placed = None
            for module in self._model.modules():  # room first: one model in memory at a time
                for name, weight in module.named_parameters(recurse=False):
                    empty = nn.Parameter(weight.to("meta"), requires_grad=False)
                    module.register_parameter(name, empty)
            new = self._load(Path(checkpoint.folder), self.report, cancelled)
        for name, module in self._model.named_modules():
            other = new.get_submodule(name)
            module._parameters, other._parameters = other._parameters, {}
            module._buffers, other._buffers = other._buffers, {}


@contextlib.contextmanager
def _unchanged(checkpoint: Identity) -> Iterator[None]:
    """Check, before and after what is run inside, that a checkpoint's files are unchanged.

    Raises:
        UserFacingError: they have been written anew.
    """
    with read_whole([Path(checkpoint.folder)]) as (found,):
        if found != checkpoint:
            raise UserFacingError(
                f"The checkpoint {checkpoint.folder} has been written anew since it was shown: "
                f"choose it again, or open the run again."
            )
        yield


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Return the entries that two configurations both have, with different values."""
    both = (ours.keys() & theirs.keys()) - IGNORED_ENTRIES
    return sorted(name for name in both if ours[name] != theirs[name])


def _described(folder: Path, plan: PairPlan) -> StoredModel:
    if not folder.is_dir():
        raise _missing(folder)
    return describe(
        folder, allow_pickle=plan.allow_pickle, allow_remote_code=plan.allow_remote_code
    )


def _missing(folder: Path | str) -> UserFacingError:
    return UserFacingError(
        f"The checkpoint {folder} is no longer there: choose another one, or open the run again."
    )


def _adapter_of_the_run(folder: Path, plan: PairPlan) -> None:
    """Check that a folder holds an adapter of the same layers of the same base."""
    found, first = _described(folder, plan), plan.policy.adapter
    assert first is not None
    if found.kind != "adapter":
        raise _foreign(folder, "it is a whole model, and the run's last one is an adapter")
    if last_part(found.base) != last_part(first.base):
        raise _foreign(folder, f"it is an adapter on {found.base}, not on {first.base}")
    if found.peft_type != first.peft_type:
        raise _foreign(folder, f"it is of the kind {found.peft_type}, not {first.peft_type}")
    if found.rewrites and not first.rewrites:
        raise _foreign(folder, f"it changes weights of its base, too ({found.rewrites})")
    if other := sorted(found.tensors.keys() ^ first.tensors.keys()):
        raise _foreign(folder, f"it adapts other layers, {other[0]} among them")
    check_adapter_fits(found, plan.policy.model)


def _foreign(folder: Path, why: str) -> UserFacingError:
    return UserFacingError(
        f"The checkpoint {folder} does not belong to the run that is open ({why}): open it as a "
        f"pair of its own with --policy DIR."
    )


def _bytes(factors: Factors) -> int:
    return sum(math.prod(t.shape) * t.element_size() for pair in factors.values() for t in pair)
