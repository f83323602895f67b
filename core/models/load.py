"""From checkpoints on disk to a running pair: base weights in memory once where they can be.

Takes the plan of core.checkpoints, puts weights on the device, joins two adapters into one
batched forward (core.models.lora), and checks on a few tokens which way of running tree
attention is right for this architecture. Knows nothing of windows; says how far it is through a
callable.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.checkpoints.describe import CONTEXT_LENGTH, read_json
from core.checkpoints.identity import read_whole
from core.checkpoints.memory import check_fits, estimate
from core.checkpoints.named import DEMO, Report, named_plan
from core.checkpoints.resolve import PairPlan, resolve_pair, with_search_base
from core.checkpoints.runs import run_beta, run_checkpoints, run_plan, with_start
from core.checkpoints.watch import POLICY, Watch, parts_of
from core.codec import Codec
from core.engine.protocol import DEFAULT_BETA, PairInfo, PairSpec
from core.errors import Cancelled, UserFacingError
from core.models.causal import check_causal
from core.models.check import choose_way, record_steps
from core.models.device import (
    choose_device,
    choose_dtype,
    free_bytes,
    leave_the_window_a_core,
    prepare,
)
from core.models.lane import Lane
from core.models.lora import ROWS, is_plain_lora, pair_linears, weights_read
from core.models.pair import Pair, never
from core.models.products import learn, replace_linears
from core.models.swap import PeftSwap, RowSwap, Swap, WholeSwap
from core.models.weights import own_copy, read_model
from core.runs.records import Checkpoint


def load_pair(
    spec: PairSpec, progress: Report, cancelled: Callable[[], bool] = never
) -> tuple[Pair, PairInfo]:
    """Load what ``spec`` names.

    Args:
        progress: told what is being done and how far it is, 0..1 or None; may raise Cancelled.

    Raises:
        UserFacingError: it cannot be loaded; the sentence says what to do.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    began = time.perf_counter()
    of_run = run_beta(Path(spec.run)) if spec.run and not spec.beta else None
    plan = _plan(spec, progress, cancelled)
    device = choose_device(spec.device)
    dtype = choose_dtype(spec.dtype, device)
    need = estimate(plan, str(dtype).removeprefix("torch."))
    progress(f"Needs about {need.total / 1e9:.1f} GB on {device}", None)
    check_fits(need, free_bytes(device), str(device))
    leave_the_window_a_core()
    prepare(device)
    parts = parts_of(plan)
    with (
        read_whole(parts.values()) as identities,
        _weights_reported(progress, cancelled),
        torch.inference_mode(),
    ):
        tokenizer = _tokenizer(plan)
        lanes, shared, swap = _lanes(plan, device, dtype, of_run=bool(spec.run))
        base = None
        if plan.search_base is not None:
            base = Lane(_model(plan.search_base.path, plan, device, dtype))
    loaded = dict(zip(parts, identities, strict=True))
    if swap is not None:
        swap.placed = loaded[POLICY]
    progress("Checking the attention", None)
    codec = Codec(tokenizer)
    everything = [*lanes, base] if base is not None else lanes
    learn(weight for lane in everything for weight in weights_read(lane.model))
    for lane in everything:
        choose_way(lane)
        record_steps(lane)
    free = free_bytes(device)
    pair = Pair(
        lanes,
        codec,
        min(_context_length(lane) for lane in everything),
        kv_budget=free // 4 if free else 2**31,
        base=base,
        attention=" + ".join(dict.fromkeys(lane.way.value for lane in everything)),
        swap=swap,
        shown=loaded[POLICY].folder if spec.run else "",
        version=loaded[POLICY] if spec.run else "",
        watch=Watch({role: it for role, it in loaded.items() if role != POLICY or not spec.run}),
    )
    info = PairInfo(
        policy=plan.policy_name,
        reference=plan.reference_name,
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        memory_bytes=_bytes(everything),
        base_shared=shared,
        vocab_size=pair.vocab_size,
        context_length=pair.context_length,
        has_chat_template=codec.has_chat_template,
        cache=pair.attention,
        seconds=time.perf_counter() - began,
        beta=spec.beta or of_run or plan.beta or DEFAULT_BETA,
        search_base=plan.search_base.name if plan.search_base else "",
        checkpoints=_checkpoints(spec, pair.shown),
    )
    return pair, info


def _checkpoints(spec: PairSpec, last: str) -> tuple[Checkpoint, ...]:
    """Those of a run up to the one that was loaded; the run may have written more since."""
    if not spec.run:
        return ()
    found = run_checkpoints(Path(spec.run))
    ends = [i for i, checkpoint in enumerate(found, 1) if checkpoint.path == last]
    return with_start(found[: ends[0]] if ends else found)


def _plan(spec: PairSpec, progress: Report, cancelled: Callable[[], bool]) -> PairPlan:
    plan = _pair_plan(spec, progress, cancelled)
    return with_search_base(plan, Path(spec.search_base)) if spec.search_base else plan


def _pair_plan(spec: PairSpec, progress: Report, cancelled: Callable[[], bool]) -> PairPlan:
    reference, base = (
        Path(text).expanduser() if text else None for text in (spec.reference, spec.base)
    )
    if spec.run:
        return run_plan(
            Path(spec.run),
            reference,
            base,
            progress,
            cancelled,
            allow_pickle=spec.allow_pickle,
            allow_remote_code=spec.allow_remote_code,
        )
    if spec.demo:
        return named_plan(DEMO, progress, cancelled)
    if not spec.policy:
        raise UserFacingError("No policy was named: pass --policy DIR, or --demo for the demo.")
    return resolve_pair(
        Path(spec.policy).expanduser(),
        reference,
        base,
        allow_pickle=spec.allow_pickle,
        allow_remote_code=spec.allow_remote_code,
    )


def _tokenizer(plan: PairPlan) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(plan.tokenizer, trust_remote_code=plan.allow_remote_code)


def _model(path: Path, plan: PairPlan, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    _check_kind(path, plan)
    model, missing = read_model(
        AutoModelForCausalLM, path, device, dtype, plan.allow_pickle, plan.allow_remote_code
    )
    if missing:
        raise UserFacingError(
            f"{path} lacks {len(missing)} weights (first: {missing[0]}): what would be shown is "
            f"noise; save the whole model again."
        )
    check_causal(model, str(path))
    replace_linears(model)
    return model


def _check_kind(path: Path, plan: PairPlan) -> None:
    """Ask whether the installed transformers has a causal language model of a checkpoint's kind.

    Raises:
        UserFacingError: it does not know the kind, or has only other models of it.
    """
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, __version__

    config = read_json(path / "config.json")
    if config.get("auto_map") and plan.allow_remote_code:
        return
    kind = str(config.get("model_type") or "")
    if kind not in CONFIG_MAPPING:
        raise UserFacingError(
            f"{path} holds a model of the kind {kind!r}, which transformers {__version__} does not "
            f"know: upgrade transformers, or check model_type in its config.json."
        )
    if CONFIG_MAPPING[kind] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UserFacingError(
            f"{path} holds a model of the kind {kind!r}, of which transformers {__version__} has "
            f"no causal language model: choose the checkpoint of a policy or a reference."
        )


def _lanes(
    plan: PairPlan, device: torch.device, dtype: torch.dtype, of_run: bool
) -> tuple[list[Lane], bool, Swap | None]:
    """The lanes of a plan, whether both share one set of base weights, and how the policy of a run
    becomes another checkpoint."""
    if not plan.shared:
        return _two_models(plan, device, dtype, of_run)
    wrapped = _adapted(plan, device, dtype, of_run)
    inner = wrapped.base_model.model
    if plan.policy_adapter == plan.reference_adapter and not of_run:
        return [Lane(inner)], True, None
    if all(map(is_plain_lora, wrapped.peft_config.values())):
        with contextlib.suppress(ValueError):
            lane = Lane(inner, pair_linears(inner))
            return [lane], True, RowSwap(inner, plan) if of_run else None
    swap = PeftSwap(wrapped, plan)
    lanes = [Lane(inner, entered=way) for way in (swap.entered, _switch(wrapped, ROWS[1]))]
    return lanes, True, swap if of_run else None


def _two_models(
    plan: PairPlan, device: torch.device, dtype: torch.dtype, of_run: bool
) -> tuple[list[Lane], bool, Swap | None]:
    """The same for models that share nothing, unless they are the same."""
    same = plan.policy_model == plan.reference_model and plan.reference_adapter is None
    if same and not of_run:
        return [Lane(_model(plan.policy_model, plan, device, dtype))], True, None
    reference = _alone(plan.reference_model, plan.reference_adapter, plan, device, dtype)
    if not of_run:
        policy = _alone(plan.policy_model, plan.policy_adapter, plan, device, dtype)
        return [policy, reference], False, None
    if plan.policy_adapter is not None:
        wrapped = _adapted(plan, device, dtype, of_run)
        through = PeftSwap(wrapped, plan)
        return [Lane(wrapped.base_model.model, entered=through.entered), reference], False, through

    def load(folder: Path, progress: Report, cancelled: Callable[[], bool]) -> nn.Module:
        with _weights_reported(progress, cancelled):
            return _model(folder, plan, device, dtype)  # type: ignore[no-any-return]

    model = _model(plan.policy_model, plan, device, dtype)
    return [Lane(model), reference], False, WholeSwap(model, plan, load)


def _alone(
    model: Path,
    adapter: Path | None,
    plan: PairPlan,
    device: torch.device,
    dtype: torch.dtype,
) -> Lane:
    """A lane of one model; an adapter, if there is one, runs beside its weights as in training.

    It is not merged into them: in a low number format that rounds away most of what it says.
    """
    loaded = _model(model, plan, device, dtype)
    if adapter is None:
        return Lane(loaded)
    from peft import PeftModel

    with own_copy(adapter) as copy:
        wrapped: Any = PeftModel.from_pretrained(loaded, copy, adapter_name=ROWS[0])
    inner = wrapped.to(device).eval().base_model.model
    if all(map(is_plain_lora, wrapped.peft_config.values())):
        with contextlib.suppress(ValueError):
            return Lane(inner, pair_linears(inner, ROWS[:1]))
    return Lane(inner)


def _adapted(plan: PairPlan, device: torch.device, dtype: torch.dtype, of_run: bool) -> Any:
    """The policy's base with its adapter and, where both share it, the reference's if it has one.

    That of a run is a copy even where it is the policy's, which will be another. PEFT keeps the
    factors in float32 where the base is in a lower format.
    """
    from peft import PeftModel

    assert plan.policy_adapter is not None
    base = _model(plan.policy_model, plan, device, dtype)
    with own_copy(plan.policy_adapter) as copy:
        wrapped: Any = PeftModel.from_pretrained(base, copy, adapter_name=ROWS[0])
    apart = of_run or plan.reference_adapter != plan.policy_adapter
    if plan.shared and plan.reference_adapter is not None and apart:
        with own_copy(plan.reference_adapter) as copy:
            wrapped.load_adapter(copy, adapter_name=ROWS[1])
    return wrapped.to(device).eval()


def _switch(wrapped: Any, row: str) -> Callable[[], Any]:
    """How a lane of its own enters one adapter of a shared base, or none."""
    if row not in wrapped.peft_config:
        return wrapped.disable_adapter  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def entered() -> Iterator[None]:
        wrapped.set_adapter(row)
        yield

    return entered


@contextlib.contextmanager
def _weights_reported(progress: Report, cancelled: Callable[[], bool]) -> Iterator[None]:
    """While weights are loaded: their progress is reported, they can be cancelled, and what the
    libraries throw at files that they cannot read becomes a sentence."""
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
    except (UserFacingError, Cancelled):
        raise
    except ImportError as error:
        raise UserFacingError(
            f"This model needs a library that is not installed ({_first_line(error)}): install it "
            f"and load again."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise UserFacingError(
            f"The checkpoint could not be loaded ({_first_line(error)}): check that its files are "
            f"complete and were saved by transformers or PEFT."
        ) from error
    finally:
        hf_logging.set_tqdm_hook(previous)


class _Reported:
    """Stands in for a progress bar over ``items``."""

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


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".:") if lines else type(error).__name__


def _context_length(lane: Lane) -> int:
    """The longest text of a model; 2^20 where its config names no end.

    Rotary positions that are stretched as the text grows begin to be at the length that the
    config gives (transformers' "dynamic" NTK scaling), and end that many times further on.
    """
    names = (getattr(lane.config, name, None) for name in CONTEXT_LENGTH)
    length = next((it for it in names if isinstance(it, int) and it > 0), 2**20)
    rope = getattr(lane.config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "dynamic":
        length = int(length * rope.get("factor", 1.0))
    return length


def _bytes(lanes: list[Lane]) -> int:
    """Memory of all weights, those that lanes share counted once."""
    tensors = [t for lane in lanes for t in (*lane.model.parameters(), *lane.model.buffers())]
    return sum({t.data_ptr(): t.nbytes for t in tensors}.values())
