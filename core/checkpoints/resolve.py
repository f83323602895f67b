"""Deciding how a policy and its reference are loaded: two models, or one base and its adapters.

Decides from the files on disk, and checks that the two belong together, before any weight is read.
The reference is never guessed: it is the checkpoint that was named, or, if none was, what the
policy's files say (core.checkpoints.reference), or the base of its adapter with the adapter off;
else there is none, and the policy is loaded alone. A base may be only what PiSSA or CorDA leave of
a model: then it is that base with the adapter that PEFT has put beside it, which makes it whole.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from core.checkpoints.describe import StoredModel, describe
from core.checkpoints.fit import check_adapter_fits, check_same_vocabulary, check_search_base
from core.checkpoints.hub import NAME, in_hugging_face_cache
from core.checkpoints.limited import path_of
from core.checkpoints.loss import training_loss
from core.checkpoints.named import BASES
from core.checkpoints.plan import ModelPlan, PairPlan
from core.checkpoints.provenance import read_provenance
from core.checkpoints.reference import doubts, find_reference, last_part
from core.errors import UserFacingError


def resolve_pair(
    policy: Path,
    reference: Path | None = None,
    base: Path | None = None,
    allow_pickle: bool = False,
    allow_remote_code: bool = False,
    loss: str = "",
    place: Callable[[str], Path] | None = None,
) -> PairPlan:
    """Decide how a pair is loaded.

    Args:
        policy: a folder with a model or an adapter.
        reference: likewise; None to find it (core.checkpoints.reference), an adapter's in the end
            being its base, adapters off, and a whole model's none.
        base: the base of the adapters, where it is not found by what they say of it.
        loss: the training's, where the user says it; a training without a reference has none
            unless it is named.
        place: fetches what files name and is not on this machine; raises where it may not.

    Raises:
        UserFacingError: something is missing or damaged, the two do not belong together, or the
            loss is not known.
    """

    def at(path: Path) -> StoredModel:
        absolute = path.expanduser().resolve()
        return describe(absolute, allow_pickle=allow_pickle, allow_remote_code=allow_remote_code)

    top = at(policy)
    known = read_provenance(top.path)
    notes: tuple[str, ...] = ()
    alone = False
    if reference is None:
        alone = training_loss(known, loss).reference_free
        if not alone:
            reference, alone, notes = find_reference(top, known, place)
    under = at(reference) if reference is not None else None
    given = at(base) if base is not None else None
    if given is not None and given.kind == "adapter":
        raise UserFacingError(
            f"The base {given.path} is itself an adapter: pass the whole model with --base DIR."
        )
    policy_model = top
    if top.kind == "adapter":
        at_hand = under if under is not None and _is_base_of(top, under) else None
        policy_model = given or at(_find_base(top, at_hand, place))
        _check_base(top, policy_model)
    reference_model = under or policy_model
    if under is None and (rest := sorted(policy_model.path.glob("*_init/adapter_config.json"))):
        under = at(rest[0].parent)
        _check_base(under, policy_model)
    elif under is not None and under.kind == "adapter":
        alike = top.base == under.base if top.kind == "adapter" else _is_base_of(under, top)
        reference_model = given or at(_find_base(under, policy_model if alike else None, place))
        _check_base(under, reference_model)
    sides = _named(top, policy_model, under, reference_model)
    tokenizer = sides[0].tokenizer or sides[1].tokenizer
    if tokenizer is None:
        raise UserFacingError(
            f"{policy_model.path} has no tokenizer (tokenizer.json): copy the tokenizer's files "
            f"there from the model that it was trained from."
        )
    other = None if alone else sides[1]
    if other is not None:
        first, second = ((side.name, side.vocab_size, side.tokenizer) for side in sides)
        check_same_vocabulary(first, second)
    plan = PairPlan(
        sides[0], other, tokenizer, allow_pickle, allow_remote_code, None, known, loss=loss
    )
    return replace(plan, notes=(*notes, *_of_rewriting(plan), *doubts(plan)))


def _of_rewriting(plan: PairPlan) -> Iterator[str]:
    """Yield what to say of an adapter that changes weights of the base that is its reference."""
    adapter = plan.policy.adapter
    if adapter is None or not adapter.rewrites or plan.policy_model != plan.reference_model:
        return
    said = (
        f"The policy's adapter changes weights of its base, too ({adapter.rewrites}): the "
        f"reference is the base as it was before, while a trainer that only switched the "
        f"adapter off has logged rewards against the changed one."
    )
    if "niter" in adapter.rewrites:
        said += (
            " PEFT finds that change by a random decomposition, so the policy is close to what "
            "was trained but not the same: save it as a plain LoRA with save_pretrained(..., "
            "path_initial_model_for_weight_conversion=INITIAL) to have it exact."
        )
    yield said


def with_search_base(plan: PairPlan, folder: Path) -> PairPlan:
    """Return the plan with a third model beside the pair, for searches.

    Raises:
        UserFacingError: it is not a whole model, or does not share the pair's vocabulary.
    """
    base = describe(
        folder.expanduser().resolve(),
        allow_pickle=plan.allow_pickle,
        allow_remote_code=plan.allow_remote_code,
    )
    if base.kind == "adapter":
        raise UserFacingError(
            f"{base.path} is an adapter: pass a whole model with --search-base DIR."
        )
    policy = plan.policy
    check_search_base(
        (policy.name, policy.vocab_size, plan.tokenizer),
        (base.name, base.vocab_size, base.path if base.has_tokenizer else None),
    )
    return replace(plan, search_base=base)


def _named(
    policy: StoredModel,
    policy_model: StoredModel,
    reference: StoredModel | None,
    reference_model: StoredModel,
) -> tuple[ModelPlan, ModelPlan]:
    """Return the plans of the two models, with names that tell them apart."""
    first, second = policy.name, (reference or reference_model).name
    if reference is not None and first == second and policy.path != reference.path:
        first, second = (f"{it.path.parent.name}/{it.path.name}" for it in (policy, reference))
    adapters = [it if it and it.kind == "adapter" else None for it in (policy, reference)]
    if adapters[0]:
        first = f"{first} (adapter on {policy_model.name})"
    if adapters[1]:
        second = f"{second} (adapter on {reference_model.name})"
    elif adapters[0] and reference_model.path == policy_model.path:
        second = f"{reference_model.name}, adapters off"
    top = ModelPlan(first, policy_model, adapters[0])
    return top, ModelPlan(second, reference_model, adapters[1])


def _check_base(adapter: StoredModel, base: StoredModel) -> None:
    if base.kind == "adapter":
        raise UserFacingError(
            f"The base of {adapter.path} is {base.path}, itself an adapter: merge that one into "
            f"its model and pass the merged model with --base DIR."
        )
    check_adapter_fits(adapter, base)


def _is_base_of(adapter: StoredModel, model: StoredModel) -> bool:
    """Return whether a model has the name of the base that an adapter was trained on."""
    return model.kind == "model" and last_part(adapter.base) == model.path.name


def _find_base(
    adapter: StoredModel, at_hand: StoredModel | None, place: Callable[[str], Path] | None
) -> Path:
    """Return the folder of an adapter's base: by path, in the Hugging Face cache, or registered.

    Args:
        at_hand: the other side's model where it seems to be the same; the second choice.
    """
    if not adapter.base:
        raise UserFacingError(
            f"The adapter {adapter.path} does not say which base it was trained on: pass it with "
            f"--base DIR."
        )
    written = path_of(adapter.base)
    for candidate in (adapter.path / written, adapter.path.parent / written, written):
        if candidate.is_dir():
            return candidate
    if at_hand is not None:
        return at_hand.path
    cached = in_hugging_face_cache(adapter.base, adapter.base_revision)
    if cached is not None:
        return cached
    named = BASES.get(last_part(adapter.base))
    fetched = named.cached() if named is not None else None
    if fetched is not None:
        return fetched
    if place is not None and NAME.fullmatch(adapter.base):
        return place("@".join(filter(None, (adapter.base, adapter.base_revision))))
    raise UserFacingError(
        f"The base of the adapter {adapter.path}, {adapter.base}, is not on this machine: name "
        f"the folder that holds it with --base DIR."
    )
