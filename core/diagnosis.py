"""Puts into words what is known of a pair: of its files, how it runs, its tokens, its noise.

Pure functions of the records that loading goes by; what they say is what it does. Nothing is
measured or decided here, and nothing is loaded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from core.as_read import AsRead
from core.checkpoints.asked import remarks
from core.checkpoints.describe import StoredModel
from core.checkpoints.identity import Identity
from core.checkpoints.memory import Need
from core.checkpoints.plan import ModelPlan, PairPlan
from core.engine.protocol import PairInfo
from core.errors import UserFacingError
from core.finding import Finding, Level
from core.noise import NoiseFloor
from core.plausibility import Plausibility, doubts
from core.present.numerals import plain
from core.provenance import chosen_beta


def of_failure(error: UserFacingError) -> Finding:
    """Return what to say where the pair cannot be loaded."""
    return Finding("pair", "stop", str(error), "stop")


def of_plan(plan: PairPlan, given: float | None = None) -> Iterator[Finding]:
    """Yield what the files say of a pair before anything is loaded; ``given``: the user's beta."""
    beta, contradictions = chosen_beta(given, plan.provenance)
    yield _of_side("policy", plan.policy)
    if plan.reference is not None:
        yield _of_side("reference", plan.reference)
    if plan.search_base is not None:
        said = f"{plan.search_base.name}: {_of_model(plan.search_base)}."
        yield Finding("search base", "ok", said, "search-base", _figures(plan.search_base))
    yield from _of_training(plan, given, beta)
    for sentence in (*plan.notes, *contradictions):
        yield Finding("training", "warning", sentence, "doubt")
    for sentence in remarks(plan):
        yield Finding("training", "note", sentence, "remark")
    same = len({side.vocab_size for side in plan.sides}) == 1
    said = f"{plan.vocab_size:,} tokens" if plan.vocab_size else "Tokens as the models have them"
    if plan.reference is not None:
        said += ", the same in both" if same else ", not as many in both"
    yield Finding("vocabulary", "ok", f"{said}.", "vocabulary", {"tokens": plan.vocab_size})
    yield Finding("tokenizer", "ok", f"Read from {plan.tokenizer}.", "tokenizer")


def _of_side(role: str, side: ModelPlan) -> Finding:
    said = _of_model(side.model)
    if side.adapter is not None:
        own = side.adapter
        rank = f" of rank {own.rank}" if own.rank else ""
        kind = "DoRA" if own.use_dora else own.peft_type or "an adapter"
        said = f"{kind}{rank}, {_size(own)}, over {said}"
        if own.rewrites:
            said += "; it changes the base's own weights, so both models have weights of their own"
    level: Level = "ok"
    parts = [it for it in (side.model, side.adapter) if it is not None]
    if any(it.pickle_only for it in parts):
        level, said = "note", f"{said}; from pickle files, which can run any code"
    if any(it.needs_remote_code for it in parts):
        level, said = "note", f"{said}; with code of its own, which is run"
    return Finding(role, level, f"{side.name}: {said}.", role, _figures(side.model))


def _of_model(model: StoredModel) -> str:
    kind = model.architecture or model.model_type or "a model"
    shape = f" of {model.layers} layers of width {model.hidden_size}" if model.layers else ""
    how = "quantised" if model.quantized else model.dtype or "a format that its files do not tell"
    return f"{kind}{shape}, {_size(model)}, in {how}"


def _size(model: StoredModel) -> str:
    count = f"{model.parameters:,} parameters, " if model.parameters else ""
    return f"{count}{_size_of(model.bytes)}"


def _size_of(count: float) -> str:
    """Return a number of bytes with three digits."""
    for unit in ("", "k", "M", "G"):
        if count < 999.5:
            return f"{count:.3g} {unit}B"
        count /= 1000
    return f"{count:.3g} TB"


def _figures(model: StoredModel) -> dict[str, float]:
    return {"parameters": model.parameters, "bytes": model.bytes}


def _of_training(plan: PairPlan, given: float | None, beta: float | None) -> Iterator[Finding]:
    known, objective = plan.provenance, plan.objective
    if not objective.losses:
        said = "The training's loss is not known, so DPO's is taken: name it if it is another one."
        yield Finding("loss", "note", said, "loss.unknown")
    else:
        source = known.sources.get("losses") or known.sources.get("trainer", "")
        said = f"{objective.title}, by {'your word' if plan.loss else source or 'its files'}."
        yield Finding("loss", "ok", said, "loss")
    if beta is None:
        said = "β is not known, so rewards are log-ratios in nats: give the β of the training."
        yield Finding("β", "note", said, "beta.unknown")
    else:
        source = "given" if given is not None else known.sources.get("beta", "of this pair")
        yield Finding("β", "ok", f"{beta:g} ({source}).", "beta", {"beta": beta})
    if known.plain is not None:
        how = "plain text" if known.plain else "turns in a chat template"
        said = f"The training read its texts as {how} ({known.sources.get('plain', '')})."
        yield Finding("template", "ok", said, "training.template")
    lengths = {
        "max_length": known.max_length,
        "max_prompt_length": known.max_prompt_length,
        "max_completion_length": known.max_completion_length,
    }
    cuts = {name: length for name, length in lengths.items() if length is not None}
    if cuts:
        said = ", ".join(
            f"{name} {length:,} in {known.sources[name].partition(' in ')[2]}"
            for name, length in cuts.items()
        )
        end = " from its beginning" if known.truncation == "keep_end" else ""
        said = f"The training cut longer texts{end} ({said}); Qscope scores them whole."
        yield Finding("length", "note", said, "training.cut", cuts)


def of_files(identities: Mapping[str, Identity]) -> Iterator[Finding]:
    """Yield a line for each checkpoint by its role: its files and the hash they are known by."""
    for role, it in identities.items():
        size, count = sum(stamp[2] for stamp in it.files), len(it.files)
        files = "1 file" if count == 1 else f"{count} files"
        said = f"{role}: {it.folder}, {files}, {_size_of(size)}, hash {it.digest}."
        yield Finding("files", "ok", said, f"files.{role}", {"bytes": size})


def of_memory(need: Need, free: int | None, device: str) -> Finding:
    """Return what a pair needs on a device; whether that is there is said by the loader itself."""
    said = f"Needs about {_size_of(need.total)} in {need.dtype} on {device}"
    figures: dict[str, float] = {"needed": need.total}
    if free is not None:
        said, figures["free"] = f"{said}, where {_size_of(free)} are free", free
    return Finding("memory", "ok", f"{said}.", "memory", figures)


def of_info(info: PairInfo) -> Iterator[Finding]:
    """Yield what is known of a pair once it is loaded: how it is run."""
    shared = "one set of base weights for both" if info.base_shared else "weights of its own each"
    held = f"{_size_of(info.memory_bytes)} of weights in {info.dtype} on {info.device}"
    figures = {"bytes": info.memory_bytes, "seconds": info.seconds}
    said = f"{held}, {'one model' if info.alone else shared}."
    yield Finding("loaded", "ok", said, "loaded", figures)
    said = f"{info.cache}: equal to plain forwards, which was checked."
    yield Finding("run as", "ok", said[0].upper() + said[1:], "way")
    if info.checkpoints:
        last = info.checkpoints[-1].step
        said = f"{len(info.checkpoints)} checkpoints, with the start; the last is of step {last:,}."
        yield Finding("run", "ok", said, "checkpoints", {"last": last})
    said = f"Texts of up to {info.context_length:,} tokens."
    yield Finding("length", "ok", said, "context", {"tokens": info.context_length})


def of_plausibility(found: Plausibility | None) -> Iterator[Finding]:
    """Yield how the two models read ordinary sentences; None: not measured."""
    if found is None:
        said = "How the models read ordinary sentences could not be measured."
        yield Finding("plausible", "note", said, "plausibility.unknown")
        return
    figures = {
        "tokens": found.tokens, "log_ratio": found.log_ratio, "zeros": found.zeros,
        "policy": found.policy, "reference": found.reference,
    }  # fmt: skip
    doubted = doubts(found)
    for sentence in doubted:
        yield Finding("plausible", "warning", sentence, "plausibility.doubt", figures)
    if not doubted:
        policy, reference = plain(found.policy, 2), plain(found.reference, 2)
        said = (
            f"On {found.tokens} tokens of ordinary text the policy gives {policy} nat a token, the "
            f"reference {reference}; they are {found.log_ratio:.2f} apart."
        )
        yield Finding("plausible", "ok", said, "plausibility", figures)


def of_reading(read: AsRead) -> Iterator[Finding]:
    """Yield how texts are read: template, border, BOS and EOS, what is not scored."""
    for finding in read.findings:
        yield replace(finding, id=f"tokens.{finding.topic.replace(' ', '-')}")


def of_noise(floor: NoiseFloor | None, dtype: str) -> Finding:
    """Return what is known of the noise of a number format."""
    if floor is None:
        said = f"How far {dtype} alone moves a log-ratio could not be measured."
        return Finding("noise", "note", said, "noise.unknown")
    figures = {"token": floor.token, "total": float(floor.total(100))}
    said = (
        f"In {dtype} a log-ratio is certain to ±{floor.token:.2g} nat a token, ±"
        f"{figures['total']:.2g} over 100 tokens"
    )
    if not floor.matters:
        return Finding("noise", "ok", f"{said}.", "noise", figures)
    said += ": what is smaller says nothing; float32 has no such noise"
    return Finding("noise", "note", f"{said}.", "noise", figures)
