"""Loading a pair: from checkpoints on disk to models that run on a device.

Takes the plan of core.checkpoints, reads the weights (those of a shared base once), joins two
adapters into one batched forward (core.models.lora), and has the self-check choose the fastest way
of running that is exact for each model. Reports its progress through a callable; knows nothing of
windows.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.checkpoints.asked import as_run, asked_plan, remarks
from core.checkpoints.config import read_config
from core.checkpoints.describe import CONTEXT_LENGTH
from core.checkpoints.identity import read_whole
from core.checkpoints.memory import Need, check_fits, estimate
from core.checkpoints.plan import PairPlan
from core.checkpoints.runs import run_checkpoints, with_start
from core.checkpoints.tokenizing import COPY
from core.checkpoints.watch import POLICY, Watch, parts_of
from core.codec import RULES, Codec
from core.engine.protocol import PairInfo, PairSpec
from core.errors import Cancelled, UserFacingError
from core.failures import in_words
from core.models.adapters import put_adapter
from core.models.causal import check_causal
from core.models.check import choose_way, record_steps
from core.models.config import load_config, offline
from core.models.device import (
    choose_device,
    choose_dtype,
    dtype_name,
    free_bytes,
    leave_the_window_a_core,
    prepare,
)
from core.models.lane import Lane
from core.models.lora import ROWS, ActiveRows, is_plain_lora, pair_linears, weights_read
from core.models.pair import Pair, logits_held
from core.models.plausible import measure_plausibility
from core.models.products import learn, replace_linears
from core.models.swap import PeftSwap, RowSwap, Swap, WholeSwap
from core.models.tokenizer import load_tokenizer
from core.models.weights import read_model
from core.plausibility import doubts
from core.progress import Report, never
from core.provenance import chosen_beta
from core.rendering import start as start_rendering
from core.runs.records import Checkpoint

WHOLE = "check that its files are complete and were saved by transformers"
CONFIG = "copy it again from where the model was saved"
FITTING = "check that its files are complete, and that it was trained on this base"
LONGEST = 2**31
"""Tokens of a text at most, whatever a config says."""
ROOM = 2
"""A pair is loaded beside what is there if so many times its estimated need is free."""


@dataclass(frozen=True)
class Place:
    """Where and in which number format a pair runs; ``free`` bytes, None where not known."""

    device: torch.device
    dtype: torch.dtype
    need: Need
    free: int | None


def place_for(spec: PairSpec, plan: PairPlan) -> Place:
    """Return where the pair of a plan is to be loaded, and whether there is room.

    Raises:
        UserFacingError: there is no such device or number format.
    """
    device = choose_device(spec.device)
    dtype = choose_dtype(spec.dtype, device)
    need = estimate(plan, dtype_name(dtype), logits_held(device.type, plan.vocab_size))
    return Place(device, dtype, need, free_bytes(device))


def load_pair(
    spec: PairSpec,
    progress: Report,
    cancelled: Callable[[], bool] = never,
    make_room: Callable[[], None] | None = None,
) -> tuple[Pair, PairInfo]:
    """Load the pair that ``spec`` names; return it and the facts that views show of it.

    Args:
        progress: told what is being done and how far it is, 0..1 or None; may raise Cancelled.
        make_room: called where little memory is free, before any is taken.

    Raises:
        UserFacingError: it cannot be loaded; the sentence says what to do.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    began = time.perf_counter()
    spec, opened = as_run(spec)
    plan = asked_plan(spec, progress, cancelled)
    start_rendering()  # ready by the time that the tokenizer is loaded
    beta, notes = chosen_beta(spec.beta, plan.provenance)
    place = place_for(spec, plan)
    device, dtype, need = place.device, place.dtype, place.need
    progress(f"Needs about {need.total / 1e9:.1f} GB on {device}", None)
    if make_room and place.free is not None and ROOM * need.total > place.free:
        make_room()
    check_fits(need, free_bytes(device), str(device))
    leave_the_window_a_core()
    prepare(device)
    parts = parts_of(plan)
    with (
        in_words("The pair of", plan.policy_adapter or plan.policy_model, WHOLE, "be loaded"),
        offline(),
        read_whole(parts.values()) as identities,
        _weights_reported(progress, cancelled),
        torch.inference_mode(),
    ):
        loader = _Loader(plan, device, dtype, of_run=bool(spec.run))
        codec = _codec(loader.tokenizer(cancelled), spec, plan, cancelled)
        lanes, shared, swap = loader.lanes()
        base = None
        if plan.search_base is not None:
            base = Lane(loader.model(plan.search_base.path))
    loaded = dict(zip(parts, identities, strict=True))
    if swap is not None:
        swap.placed = loaded[POLICY]
    progress("Checking the attention", None)
    everything = [*lanes, base] if base is not None else lanes
    with (
        in_words("The pair of", plan.policy_adapter or plan.policy_model, WHOLE, "be run"),
        offline(),
    ):
        learn(weight for lane in everything for weight in weights_read(lane.model))
        for lane in everything:
            choose_way(lane)
            record_steps(lane)
    free = free_bytes(device)
    pair = Pair(
        lanes,
        codec,
        min(_context_length(lane) for lane in everything),
        alone=plan.reference is None,
        kv_budget=free // 4 if free else 2**31,
        base=base,
        attention=" + ".join(dict.fromkeys(lane.way.value for lane in everything)),
        swap=swap,
        shown=loaded[POLICY].folder if spec.run else "",
        version=loaded[POLICY] if spec.run else "",
        watch=Watch({role: it for role, it in loaded.items() if role != POLICY or not spec.run}),
    )
    pair.check_tokens(np.array([codec.end_of_turn]))
    weights = [[(role, it.digest) for role, it in loaded.items()], str(device), dtype_name(dtype)]
    plausibility = None if pair.alone else measure_plausibility(pair, weights)
    doubted = doubts(plausibility) if plausibility is not None else ()
    info = PairInfo(
        policy=plan.policy_name,
        reference=plan.reference_name,
        device=str(device),
        dtype=dtype_name(dtype),
        memory_bytes=_bytes(everything),
        base_shared=shared,
        vocab_size=pair.vocab_size,
        context_length=pair.context_length,
        has_chat_template=codec.has_chat_template,
        cache=pair.attention,
        seconds=time.perf_counter() - began,
        beta=beta,
        search_base=plan.search_base.name if plan.search_base else "",
        checkpoints=_checkpoints(spec, pair),
        provenance=plan.provenance,
        objective=plan.objective,
        plausibility=plausibility,
        doubts=(*doubted, *plan.notes, *notes),
        remarks=(*opened, *remarks(plan)),
        weights={role: it.digest for role, it in loaded.items()},
    )
    return pair, info


def _codec(tokenizer: Any, spec: PairSpec, plan: PairPlan, cancelled: Callable[[], bool]) -> Codec:
    """Return how a pair's tokenizer reads texts: by the pair's options, or as it was trained."""
    known = plan.provenance
    rule = RULES.get(spec.trainer or known.trainer, "turn")
    with in_words("The tokenizer in", plan.tokenizer, COPY, "be used"):
        return Codec(tokenizer, rule, spec.plain or bool(known.plain), cancelled=cancelled)


def _checkpoints(spec: PairSpec, pair: Pair) -> tuple[Checkpoint, ...]:
    """Return a run's checkpoints up to the one loaded (it may have saved more since), else none.

    Without a reference nothing is known of the start.
    """
    if not spec.run:
        return ()
    found = run_checkpoints(Path(spec.run))
    ends = [i for i, checkpoint in enumerate(found, 1) if checkpoint.path == pair.shown]
    known = found[: ends[0]] if ends else found
    return known if pair.alone else with_start(known)


@dataclass(frozen=True)
class _Loader:
    """Loads the models of a plan; ``of_run``: the policy will become other checkpoints of a run."""

    plan: PairPlan
    device: torch.device
    dtype: torch.dtype
    of_run: bool

    def tokenizer(self, cancelled: Callable[[], bool]) -> Any:
        """Return the pair's tokenizer, once each config.json is known to be read: the tokenizer is
        loaded by it, too, and would be blamed for it."""
        plan = self.plan
        for path in filter(None, dict.fromkeys((plan.policy_model, plan.reference_model))):
            if path.is_dir():
                _auto_class(path, plan)
                with in_words("The config.json in", path, CONFIG):
                    load_config(path, plan.allow_remote_code)
        return load_tokenizer(self.plan.tokenizer, self.plan.allow_remote_code, cancelled)

    def lanes(self) -> tuple[list[Lane], bool, Swap | None]:
        """Return the pair's lanes, whether both models share one set of base weights, and what
        puts another checkpoint into the policy (None for a pair that is not of a run)."""
        return self._over_one_base() if self.plan.shared else self._of_two_models()

    def model(self, path: Path) -> Any:
        """Return a whole causal language model, ready to run.

        Raises:
            UserFacingError: it is of another kind, or lacks weights.
        """
        model = self._as_saved(path)
        replace_linears(model)
        return model

    def _as_saved(self, path: Path) -> Any:
        """Return what ``model`` does, with the layers that its class has."""
        plan = self.plan
        with in_words("The model in", path, WHOLE, "be loaded"):
            model, missing = read_model(
                _auto_class(path, plan),
                path,
                self.device,
                self.dtype,
                plan.allow_pickle,
                plan.allow_remote_code,
            )
            if missing:
                raise UserFacingError(
                    f"{path} lacks {len(missing)} weights (first: {missing[0]}): what would be "
                    f"shown is noise; save the whole model again."
                )
            check_causal(model, str(path))
        return model

    def _over_one_base(self) -> tuple[list[Lane], bool, Swap | None]:
        """Return what ``lanes`` does for adapters of one base, joined or switched through PEFT."""
        plan, wrapped = self.plan, self._with_adapters()
        if wrapped is None:
            return self._of_two_models()
        inner = wrapped.base_model.model
        if plan.policy_adapter == plan.reference_adapter and not self.of_run:
            return [Lane(inner)], True, None
        active = _joined(wrapped)
        if active is not None:
            return [Lane(inner, active)], True, RowSwap(inner, plan) if self.of_run else None
        swap = PeftSwap(wrapped, plan)
        lanes = [Lane(inner, entered=it) for it in (swap.entered, _switch(wrapped, ROWS[1]))]
        return lanes, True, swap if self.of_run else None

    def _of_two_models(self) -> tuple[list[Lane], bool, Swap | None]:
        """Return what ``lanes`` does for two models, for one that is both or for one alone."""
        plan = self.plan
        same = (plan.policy_model, plan.policy_adapter) == (
            plan.reference_model,
            plan.reference_adapter,
        )
        if same and not self.of_run:
            return [self._single(plan.policy_model, plan.policy_adapter)], True, None
        others = []
        if plan.reference_model is not None:
            others.append(self._single(plan.reference_model, plan.reference_adapter))
        if not self.of_run:
            return [self._single(plan.policy_model, plan.policy_adapter), *others], False, None
        if plan.policy_adapter is not None:
            wrapped, rewritten = self._adapted(plan.policy_model, plan.policy_adapter)
            if not rewritten:
                through = PeftSwap(wrapped, plan)
                policy = Lane(wrapped.get_base_model(), entered=through.entered)
                return [policy, *others], False, through

        def load(folder: Path, progress: Report, cancelled: Callable[[], bool]) -> nn.Module:
            with _weights_reported(progress, cancelled):
                return whole(folder)  # type: ignore[no-any-return]

        def whole(folder: Path) -> Any:
            if plan.policy_adapter is None:
                return self.model(folder)
            return self._adapted(plan.policy_model, folder)[0].get_base_model()

        model = whole(plan.policy_adapter or plan.policy_model)
        return [Lane(model), *others], False, WholeSwap(model, plan, load)

    def _single(self, model: Path, adapter: Path | None) -> Lane:
        """Return a lane of one model; an adapter runs beside its weights, as in training.

        It is not merged into them: in a low number format that rounds away most of what it says.
        """
        if adapter is None:
            return Lane(self.model(model))
        wrapped, _ = self._adapted(model, adapter)
        return Lane(wrapped.get_base_model(), _joined(wrapped, ROWS[:1]))

    def _adapted(self, model: Path, adapter: Path) -> tuple[Any, bool]:
        """Return a base with an adapter over it as the policy's row, as ``put_adapter`` does.

        PEFT keeps the factors in float32 where the base is in a lower format.
        """
        base = self._as_saved(model)
        with in_words("The adapter in", adapter, FITTING, "be loaded"):
            wrapped, rewritten = put_adapter(base, adapter, ROWS[0], self.plan.allow_pickle)
            if wrapped.peft_type == "LORA":  # others may ask for layers of torch's own class
                replace_linears(base)
        return wrapped, rewritten

    def _with_adapters(self) -> Any:
        """Return the base that both share with the policy's adapter, and the reference's if any.

        None where they cannot share it, as an adapter changes the base's own weights or PEFT cannot
        have both. The policy of a run will be another checkpoint, so it gets an adapter of its own
        even where the reference's is the same.
        """
        plan = self.plan
        assert plan.policy_adapter is not None
        wrapped, rewritten = self._adapted(plan.policy_model, plan.policy_adapter)
        apart = self.of_run or plan.reference_adapter != plan.policy_adapter
        if plan.reference_adapter is not None and apart and not rewritten:
            with in_words("The adapter in", plan.reference_adapter, FITTING, "be loaded"):
                try:
                    put_adapter(wrapped, plan.reference_adapter, ROWS[1], plan.allow_pickle)
                except (ValueError, KeyError):
                    return None
        return None if rewritten else wrapped


def _joined(wrapped: Any, rows: Sequence[str] = ROWS) -> ActiveRows | None:
    """Join a PEFT model's adapters in place (core.models.lora); return None if that cannot be."""
    if all(map(is_plain_lora, wrapped.peft_config.values())):
        with contextlib.suppress(ValueError):
            return pair_linears(wrapped.base_model.model, rows)
    return None


def _auto_class(path: Path, plan: PairPlan) -> Any:
    """Return transformers' class that loads a checkpoint; one that also sees reads text alone.

    Raises:
        UserFacingError: the installed transformers does not know the kind, or has only models of it
            that do not continue text.
    """
    import transformers as hf

    if path.is_file():
        return hf.AutoModelForCausalLM  # a GGUF file, whose kind reading it finds out
    config = read_config(path)
    if config.get("auto_map") and plan.allow_remote_code:
        return hf.AutoModelForCausalLM
    kind = str(config.get("model_type") or "")
    if kind not in hf.CONFIG_MAPPING:
        raise UserFacingError(
            f"{path} holds a model of the kind {kind!r}, which transformers {hf.__version__} does "
            f"not know: upgrade transformers, or check model_type in its config.json."
        )
    form = hf.CONFIG_MAPPING[kind]
    causal, seeing = (
        mapping.get(form, None)
        for mapping in (hf.MODEL_FOR_CAUSAL_LM_MAPPING, hf.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING)
    )
    if seeing and (not causal or seeing.__name__ in (config.get("architectures") or ())):
        return hf.AutoModelForImageTextToText
    if not causal:
        raise UserFacingError(
            f"{path} holds a model of the kind {kind!r}, of which transformers {hf.__version__} "
            f"has no causal language model: choose the checkpoint of a policy or a reference."
        )
    return hf.AutoModelForCausalLM


def _switch(wrapped: Any, row: str) -> Callable[[], Any]:
    """Return what a lane enters: the adapter of that name on, or none if there is none."""
    if row not in wrapped.peft_config:
        return wrapped.disable_adapter  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def entered() -> Iterator[None]:
        wrapped.set_adapter(row, inference_mode=True)
        yield

    return entered


@contextlib.contextmanager
def _weights_reported(progress: Report, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Report the loading inside and let it be cancelled."""
    progress("Loading the model library", None)
    from transformers.utils import logging as hf_logging

    def hook(factory: Any, args: Any, kwargs: Any) -> Any:
        items = list(args[0]) if args else list(kwargs.get("iterable") or ())
        return _Reported(items, progress, cancelled)

    previous = hf_logging.set_tqdm_hook(hook)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            progress("Loading the weights", None)
            yield
    finally:
        hf_logging.set_tqdm_hook(previous)


class _Reported:
    """A stand-in for the libraries' progress bar over ``items``."""

    def __init__(self, items: list[Any], progress: Report, cancelled: Callable[[], bool]) -> None:
        self.items, self.progress, self.cancelled = items, progress, cancelled

    def __iter__(self) -> Iterator[Any]:
        step = max(1, len(self.items) // 50)
        for i, item in enumerate(self.items):
            if i % step == 0:
                if self.cancelled():
                    raise Cancelled
                self.progress("Loading the weights", i / len(self.items))
            yield item

    def __enter__(self) -> "_Reported":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def _context_length(lane: Lane) -> int:
    """Return the longest text that a model takes, in tokens; 2^20 where its config names none.

    With "dynamic" NTK scaling the config gives the length from which on rotary positions are
    stretched; the longest text is ``factor`` times that.
    """
    names = (getattr(lane.config, name, None) for name in CONTEXT_LENGTH)
    length = next((it for it in names if isinstance(it, int) and it > 0), 2**20)
    length = min(length, LONGEST)
    rope = getattr(lane.config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "dynamic":
        length = int(min(length * rope.get("factor", 1.0), LONGEST))
    return length


def _bytes(lanes: list[Lane]) -> int:
    """Return the memory of all weights in bytes, those that lanes share counted once."""
    tensors = [t for lane in lanes for t in (*lane.model.parameters(), *lane.model.buffers())]
    return sum({t.data_ptr(): t.nbytes for t in tensors}.values())
