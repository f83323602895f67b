"""Another checkpoint of a run put into the policy of a loaded pair, everything else kept.

Plain LoRA adapters are copied into the policy's row of the pair's layers; other adapters go
through PEFT; a whole model is loaded in place of the one before, one in memory at a time. What does
not belong to the run is refused before anything is touched, and so is what has been written anew
under the path of the checkpoint that is meant. Knows nothing of trees or KV.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from core.checkpoints.describe import StoredModel, describe, read_json
from core.checkpoints.fit import check_adapter_fits
from core.checkpoints.identity import Identity, identify, read_whole
from core.checkpoints.resolve import PairPlan, last_part
from core.errors import UserFacingError
from core.failures import is_out_of_memory, reason
from core.models.lora import ROWS, PairLinear, is_plain_lora, saved_factors
from core.models.weights import own_copy, read_adapter

Report = Callable[[str, float | None], None]
Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]

KEPT_BYTES = 2**28
"""Of adapters that were read: how much is kept in memory."""

OF_NO_MATTER = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache"}
"""What the configurations of one run's checkpoints may differ in."""


def silent(what: str, fraction: float | None) -> None:
    """The default of ``report``."""


class Swap(Protocol):
    """How a pair's policy becomes another checkpoint of its run."""

    report: Report
    """Told what is being done, where that takes long."""
    placed: Identity | None
    """What is in place, as it was read."""

    def check(self, checkpoint: str) -> Identity:
        """Make sure that a checkpoint can be put in place; reads it ahead where that is cheap.

        Returns:
            Which one it is now; of one that is gone from the disk, the one that is held.

        Raises:
            UserFacingError: it is missing, damaged or does not belong to the run.
        """
        ...

    def place(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        """Put the weights of a checkpoint that was checked in place.

        Raises:
            UserFacingError, Cancelled: what is in place then is undefined until it is done again.
                Another checkpoint that lies there now is never put in place for it.
        """
        ...


class RowSwap:
    """Plain LoRA: the factors of the policy's row of every adapted layer of ``model``."""

    def __init__(self, model: nn.Module, plan: PairPlan) -> None:
        self.report: Report = silent
        self._plan = plan
        self._layers = {
            name: layer for name, layer in model.named_modules() if isinstance(layer, PairLinear)
        }
        self.placed: Identity | None = None
        self._read: dict[Identity, Factors] = {}
        """The least recently used first."""
        # What is in place now must be found again even if the trainer deletes it.
        with contextlib.suppress(UserFacingError):
            self.check(str(plan.policy_adapter))

    def check(self, checkpoint: str) -> Identity:
        found = _now(checkpoint, self.placed, *self._read)
        if found != self.placed:
            self._factors(found)
        return found

    @torch.inference_mode()
    def place(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        if checkpoint == self.placed:
            return
        factors = self._factors(checkpoint)
        self.placed = None
        for name, layer in self._layers.items():
            layer.put(0, *factors[name])
        self.placed = checkpoint

    @torch.inference_mode()
    def _factors(self, checkpoint: Identity) -> Factors:
        factors = self._read.pop(checkpoint, None)
        if factors is None:
            factors = self._from_disk(checkpoint)
        self._read[checkpoint] = factors
        while len(self._read) > max(1, KEPT_BYTES // _bytes(factors)):
            del self._read[next(iter(self._read))]
        return factors

    def _from_disk(self, checkpoint: Identity) -> Factors:
        from peft import PeftConfig

        folder = Path(checkpoint.folder)
        _adapter_of_the_run(folder, self._plan)
        with _as_it_was(checkpoint), _told_in_a_sentence(folder):
            config = PeftConfig.from_pretrained(str(folder))
            if not is_plain_lora(config):
                raise ValueError("it is not a plain LoRA, as the run's last one is")
            tensors = read_adapter(folder, self._plan.allow_pickle)
            return saved_factors(config, tensors, self._layers)


class PeftSwap:
    """Adapters of any kind over a base, one loaded at a time, entered through PEFT."""

    def __init__(self, wrapped: Any, plan: PairPlan) -> None:
        self.report: Report = silent
        self.placed: Identity | None = None
        self._wrapped = wrapped
        self._plan = plan
        self._name = ROWS[0]
        self._count = 0

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What the policy's lane enters for a forward."""
        self._wrapped.set_adapter(self._name)
        yield

    def check(self, checkpoint: str) -> Identity:
        found = _now(checkpoint, self.placed)
        if found != self.placed:
            _adapter_of_the_run(Path(checkpoint), self._plan)
        return found

    @torch.inference_mode()
    def place(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        if checkpoint == self.placed:
            return
        folder = Path(checkpoint.folder)
        _adapter_of_the_run(folder, self._plan)
        wrapped, old = self._wrapped, self._name
        self._count += 1
        new = f"{ROWS[0]}{self._count}"
        try:
            with (
                _as_it_was(checkpoint),
                _told_in_a_sentence(folder),
                warnings.catch_warnings(),
                own_copy(folder) as copy,
            ):
                warnings.simplefilter("ignore")
                wrapped.load_adapter(copy, adapter_name=new)
                wrapped.to(wrapped.device).eval()
        except BaseException:
            if new in wrapped.peft_config:
                wrapped.delete_adapter(new)
            raise
        self.placed = None
        wrapped.set_adapter(new)
        wrapped.delete_adapter(old)
        self._name, self.placed = new, checkpoint


class WholeSwap:
    """Whole models, loaded in place of the one before.

    Args:
        load: a folder and ``cancelled`` -> the model, on its device; reports, and raises as
            loading does.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: PairPlan,
        load: Callable[[Path, Report, Callable[[], bool]], nn.Module],
    ) -> None:
        self.report: Report = silent
        self.placed: Identity | None = None
        self._model = model
        self._plan = plan
        self._load = load
        self._config = read_json(plan.policy_model / "config.json")

    def check(self, checkpoint: str) -> Identity:
        now = _now(checkpoint, self.placed)
        if now == self.placed:
            return now
        folder, first = Path(checkpoint), self._plan.policy.model
        found = _described(folder, self._plan)
        if found.kind != "model":
            raise _stranger(folder, "it is an adapter, and the run's last one is a whole model")
        if differing := _differing(read_json(folder / "config.json"), self._config):
            raise _stranger(folder, f"its config.json has another {differing[0]}")
        ours, theirs = (
            {name: tensor.shape for name, tensor in it.tensors.items()} for it in (found, first)
        )
        if ours and theirs and ours != theirs:
            other = sorted(name for name, _ in ours.items() ^ theirs.items())[0]
            raise _stranger(folder, f"its layers are others, {other} among them")
        return now

    @torch.inference_mode()
    def place(self, checkpoint: Identity, cancelled: Callable[[], bool]) -> None:
        if checkpoint == self.placed:
            return
        with _as_it_was(checkpoint):
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
        self.placed = checkpoint


def _now(checkpoint: str, *held: Identity | None) -> Identity:
    """Which checkpoint lies in a folder; where there is none any more, the one that is held."""
    found = identify(Path(checkpoint))
    for known in reversed(held):
        if found is None and known is not None and known.folder == checkpoint:
            found = known
    if found is None:
        raise _gone(checkpoint)
    return found


@contextlib.contextmanager
def _as_it_was(checkpoint: Identity) -> Iterator[None]:
    """While a checkpoint is read that was checked before: it is that one, to the end."""
    with read_whole([Path(checkpoint.folder)]) as (found,):
        if found != checkpoint:
            raise UserFacingError(
                f"The checkpoint {checkpoint.folder} has been written anew since it was shown: "
                f"choose it again, or open the run again."
            )
        yield


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What two configurations both say, and say differently."""
    both = (ours.keys() & theirs.keys()) - OF_NO_MATTER
    return sorted(name for name in both if ours[name] != theirs[name])


def _described(folder: Path, plan: PairPlan) -> StoredModel:
    if not folder.is_dir():
        raise _gone(folder)
    return describe(
        folder, allow_pickle=plan.allow_pickle, allow_remote_code=plan.allow_remote_code
    )


def _gone(folder: Path | str) -> UserFacingError:
    return UserFacingError(
        f"The checkpoint {folder} is no longer there: choose another one, or open the run again."
    )


def _adapter_of_the_run(folder: Path, plan: PairPlan) -> None:
    """Refuse what is not an adapter of the same layers of the same base."""
    found, first = _described(folder, plan), plan.policy.adapter
    assert first is not None
    if found.kind != "adapter":
        raise _stranger(folder, "it is a whole model, and the run's last one is an adapter")
    if last_part(found.base) != last_part(first.base):
        raise _stranger(folder, f"it is an adapter on {found.base}, not on {first.base}")
    if found.peft_type != first.peft_type:
        raise _stranger(folder, f"it is of the kind {found.peft_type}, not {first.peft_type}")
    if other := sorted(found.tensors.keys() ^ first.tensors.keys()):
        raise _stranger(folder, f"it adapts other layers, {other[0]} among them")
    check_adapter_fits(found, plan.policy.model)


def _stranger(folder: Path, why: str) -> UserFacingError:
    return UserFacingError(
        f"The checkpoint {folder} does not belong to the run that is open ({why}): open it with "
        f"--policy as a pair of its own."
    )


@contextlib.contextmanager
def _told_in_a_sentence(folder: Path) -> Iterator[None]:
    """What the libraries throw at files that they cannot read or that do not fit."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise UserFacingError(
            f"The checkpoint {folder} cannot be shown ({reason(error)}): choose another one, or "
            f"save it again."
        ) from error


def _bytes(factors: Factors) -> int:
    return sum(math.prod(t.shape) * t.element_size() for pair in factors.values() for t in pair)
