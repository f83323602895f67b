"""Checks that two checkpoints belong together: an adapter and its base, two vocabularies.

The names of an adapter's weights may have been changed by compiling, sharding or wrapping twice.
Compares headers and tokenizer files only. Knows nothing of loading.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from core.checkpoints.describe import EMBEDDING, TOKENIZER_FILES, StoredModel
from core.checkpoints.limited import VOCABULARY, read_bytes, read_json
from core.errors import UserFacingError
from core.failures import in_words

T = TypeVar("T")
Shape = tuple[int, ...]
Named = tuple[str, int, Path | None]
"""A name for people, the rows of the embedding, and the folder of the tokenizer if there is one."""
LORA = re.compile(r"^(.*)\.lora_(?:embedding_)?([AB])(?:\.[^.]+)?(?:\.weight)?$")
WRAPPERS = re.compile(r"\b(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, FSDP and activation checkpointing put into the names of weights."""
ADAPTER_NAME = re.compile(
    r"(\.lora_(?:embedding_)?[AB])\.(?!weight$|bias$)[^.]+"
    r"|(\.lora_magnitude_vector)\.[^.]+(?:\.weight)?$"
    r"|\.modules_to_save\.[^.]+(?=\.)"
)
"""An adapter's own name inside those of its weights, which PEFT leaves out when it saves them."""
ALIKE = 3
"""Parts of a name, at least, that make a weight known: "lm_head.lora_A.weight"."""
MOST_VALUES = 2**23
"""Values in tokenizer.json at most."""
EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings")


def check_adapter_fits(adapter: StoredModel, base: StoredModel) -> None:
    """Check an adapter's low-rank factors against the shapes of the base's weights.

    Passes where the headers cannot tell: pickle or quantised weights, other kinds of adapter,
    experts that loading fuses into one tensor, and other tensors that it makes of several or of
    parts.

    Raises:
        UserFacingError: a layer is missing in the base or has another size there.
    """
    if not adapter.tensors or not base.tensors or base.quantized:
        return
    shapes: dict[str, set[Shape]] = defaultdict(set)
    for name, tensor in base.tensors.items():
        if name.endswith(".weight"):
            shapes[_canonical(name.removesuffix(".weight"))].add(tensor.shape)
    for name, tensor in adapter.tensors.items():
        if match := EMBEDDING.search(name):  # resized for the adapter
            shapes[match[1]].add(tensor.shape)
    adapted, made = _adapted_modules(adapter), set[str]()
    if not all(_canonical(module) in shapes for module in adapted):
        loaded, made = _as_loaded(base)
        for name, shape in loaded.items():
            shapes[_canonical(name)].add(shape)
    for module, (inputs, outputs) in adapted.items():
        there = shapes.get(_canonical(module), set())
        if not there and module.endswith("lm_head"):
            there = set().union(*(shapes.get(name, set()) for name in EMBEDDINGS))
        if not there and ("expert" in module or module.rsplit(".", 1)[-1] in made):
            continue
        if not there and _shares_a_layer(module, base, shapes):
            continue
        if not there:
            raise _misfit(adapter, base, f"it adapts {module}, which the base does not have")
        if not any(sorted(shape) == sorted((inputs, outputs)) for shape in there):
            size = " x ".join(map(str, sorted(next(iter(there)))))
            raise _misfit(
                adapter,
                base,
                f"{module} is {' x '.join(map(str, sorted((inputs, outputs))))} there and {size} "
                f"in the base",
            )


def _shares_a_layer(module: str, base: StoredModel, shapes: Iterable[str]) -> bool:
    """Return whether a module may be saved under another layer, whose weights it shares."""
    name = _canonical(module)
    number = re.search(r"\.(\d+)\.", name)
    if number is None or not base.layers or int(number[1]) >= base.layers:
        return False
    alike = re.sub(r"\.\d+\.", ".#.", name)
    return any(re.sub(r"\.\d+\.", ".#.", it) == alike for it in shapes)


def renamed(tensors: Mapping[str, T], known: Collection[str]) -> dict[str, T]:
    """Return an adapter's tensors by the names that the model has for them.

    Args:
        known: the names of all tensors that the model has, as PEFT saves them.

    Returns:
        The tensors under known names, where one change gives such to all: what wrappers and an
        adapter's own name have added is left out, then one beginning takes the place of another.
        Else the names as they are; PEFT may know how to convert them.
    """
    known = set(known)
    names = [key if key in known else plain_name(key) for key in tensors]
    odd = next((key for key in names if key not in known), None)
    if odd is not None:
        found = {
            tuple(new + key.removeprefix(old) for key in names)
            for old, new in _beginnings(odd, known)
            if all(key.startswith(old) for key in names)
        }
        fitting = [them for them in found if known.issuperset(them)]
        names = list(fitting[0]) if len(fitting) == 1 else list(tensors)
    if len(set(names)) < len(names):
        return dict(tensors)
    return dict(zip(names, tensors.values(), strict=True))


def plain_name(key: str) -> str:
    """Return a weight's name without what wrappers and an adapter's own name have added."""
    return ADAPTER_NAME.sub(lambda match: match[1] or match[2] or "", WRAPPERS.sub("", key))


def _beginnings(key: str, known: Collection[str]) -> set[tuple[str, str]]:
    """Return how a name begins up to where it ends like a known one, and how that one begins.

    They end alike from a layer's number on at least, or else from the name of a module.
    """
    mine = key.split(".")
    found = set()
    for other in known:
        theirs = other.split(".")
        alike = 0
        while alike < min(len(mine), len(theirs)) and mine[-1 - alike] == theirs[-1 - alike]:
            alike += 1
        old, new = (
            "".join(f"{it}." for it in them[: len(them) - alike]) for them in (mine, theirs)
        )
        if alike >= ALIKE and not re.search(r"\d", old + new):
            found.add((old, new))
    return found


def check_same_vocabulary(policy: Named, reference: Named) -> None:
    """Check that every token that both models have is the same, as rewards compare them by token.

    One may have more rows, for padding or for tokens of its own, if both tokenizers tell what the
    shared rows are. A token that only one of them *added* is accepted there, too.

    Raises:
        UserFacingError: the vocabularies differ in what they share, or it cannot be told.
    """
    if difference := _vocabularies_differ(policy, reference):
        raise UserFacingError(
            f"The policy {policy[0]} and the reference {reference[0]} have {difference}: "
            f"choose the reference that the policy was trained from."
        )


def check_search_base(policy: Named, base: Named) -> None:
    """Check that a third model, which a search adds to the pair, has the same vocabulary.

    Raises:
        UserFacingError: as for ``check_same_vocabulary``.
    """
    if difference := _vocabularies_differ(policy, base):
        raise UserFacingError(
            f"The policy {policy[0]} and the search base {base[0]} have {difference}: choose a "
            f"base of the same family, with the same tokenizer."
        )


def _vocabularies_differ(ours: Named, theirs: Named) -> str:
    """Return in words how two vocabularies differ; "" if in nothing that matters."""
    sizes = ours[1], theirs[1]
    shared = min(sizes) if all(sizes) and sizes[0] != sizes[1] else None
    if ours[2] and theirs[2]:
        return _tokenizers_differ(ours[2], theirs[2], shared) if ours[2] != theirs[2] else ""
    if shared is not None:
        return (
            f"vocabularies of {sizes[0]} and {sizes[1]} tokens, and only one has a tokenizer to "
            f"compare"
        )
    return ""


def _misfit(adapter: StoredModel, base: StoredModel, why: str) -> UserFacingError:
    trained_on = f" ({adapter.base})" if adapter.base else ""
    return UserFacingError(
        f"The adapter {adapter.path} does not fit the base {base.path} ({why}): pass the base "
        f"that it was trained on{trained_on} with --base DIR."
    )


def _canonical(module: str) -> str:
    """Return a module's name without the prefixes that differ between ways of saving it."""
    match = re.search(r"[^.]+\.\d+\..+$", module)
    return match[0] if match else module.rsplit(".", 1)[-1]


def _as_loaded(base: StoredModel) -> tuple[dict[str, Shape], set[str]]:
    """Return the base's shapes by the names of its weights in memory, and names without a shape.

    An adapter is trained on the model in memory, and some architectures have other names there than
    in their files. The second result has the last part of the names of weights that loading makes
    of several, or of parts of one.
    """
    try:
        from transformers.conversion_mapping import get_checkpoint_conversion_mapping
        from transformers.core_model_loading import WeightRenaming, rename_source_key
    except ImportError:  # a version of transformers that renames elsewhere
        return {}, set()
    entries = get_checkpoint_conversion_mapping(base.model_type) or []
    renamings = [entry for entry in entries if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in entries if not isinstance(entry, WeightRenaming)]
    made = {
        target.removesuffix(".weight").rsplit(".", 1)[-1]
        for converter in converters
        for target in converter.target_patterns
    }
    found = {}
    for name, tensor in base.tensors.items():
        renamed, converted = rename_source_key(name, renamings, converters)
        if converted is None and renamed.endswith(".weight"):
            found[renamed.removesuffix(".weight")] = tensor.shape
    return found, made


def _adapted_modules(adapter: StoredModel) -> dict[str, tuple[int, int]]:
    """Return the numbers of inputs and outputs of each weight that an adapter updates."""
    inputs: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for name, tensor in adapter.tensors.items():
        match = LORA.match(plain_name(name).removeprefix("base_model.model."))
        if not match or len(tensor.shape) != 2:
            continue
        if match[2] == "A":
            inputs[match[1]] = tensor.shape[1]
        else:
            outputs[match[1]] = tensor.shape[0]
    return {module: (inputs[module], outputs[module]) for module in inputs if module in outputs}


def _tokenizers_differ(policy: Path, reference: Path, shared: int | None) -> str:
    """Return in words how two tokenizers differ; "" if in nothing that matters.

    ``shared``: the tokens from this number on are not compared; None: all are.
    """
    for name in TOKENIZER_FILES:
        ours, theirs = policy / name, reference / name
        if not (ours.is_file() and theirs.is_file()):
            continue
        with in_words("The tokenizer in", policy, "copy its files again from the model it is of"):
            if read_bytes(ours, VOCABULARY) == read_bytes(theirs, VOCABULARY):
                return ""
            if name != "tokenizer.json":
                return f"different tokenizers ({name} differs)"
            mine, yours = (read_json(it, VOCABULARY, MOST_VALUES) for it in (ours, theirs))
            return _contents_differ(mine, yours, shared)
    return ""


def _contents_differ(ours: dict[str, Any], theirs: dict[str, Any], shared: int | None) -> str:
    (mine, my_extra), (yours, your_extra) = _vocabulary(ours), _vocabulary(theirs)
    differing = [
        id
        for id in sorted(mine.keys() | yours.keys())
        if (shared is None or id < shared)
        and mine.get(id) != yours.get(id)
        and not (id not in yours and id in my_extra)
        and not (id not in mine and id in your_extra)
    ]
    if differing:
        first = differing[0]
        pair = " against ".join(repr(v[first]) if first in v else "none" for v in (mine, yours))
        count = f"{len(differing)} tokens differ" if len(differing) > 1 else "one token differs"
        return f"different tokenizers ({count}, first {first}: {pair})"
    if _merges(ours) != _merges(theirs):
        return "different tokenizers (their merges differ)"
    return ""


def _vocabulary(tokenizer: dict[str, Any]) -> tuple[dict[int, str], set[int]]:
    """Return tokens by id, and the ids of those that were added to the model's own."""
    vocab = (tokenizer.get("model") or {}).get("vocab") or {}
    if isinstance(vocab, dict):
        tokens = {id: token for token, id in vocab.items()}
    else:
        tokens = {id: entry[0] for id, entry in enumerate(vocab)}
    added = {entry["id"]: entry["content"] for entry in tokenizer.get("added_tokens") or []}
    return {**tokens, **added}, set(added)


def _merges(tokenizer: dict[str, Any]) -> list[str]:
    merges = (tokenizer.get("model") or {}).get("merges") or []
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
