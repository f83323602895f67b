"""Describing what is in a checkpoint's folder: a model or an adapter, whole or not, and how large.

Reads only JSON files and the headers of the weights, so the answer is there at once. Imports no
model library. Knows nothing of pairs (core.checkpoints.resolve) or of loading.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.checkpoints.config import check_numbers, read_config
from core.checkpoints.forms import other_form
from core.checkpoints.gguf import gguf_file, read_gguf
from core.checkpoints.headers import LONGEST_NAME, MOST_TENSORS, TensorHeader, read_header
from core.checkpoints.identity import holds_weights
from core.checkpoints.limited import INDEX, path_of, read_json
from core.checkpoints.quantised import check_quantised
from core.errors import UserFacingError

DTYPES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
DTYPE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "vocab.txt",
)
NOT_CAUSAL = re.compile(r"For(\w*Classification|QuestionAnswering|MaskedLM|\w*Pre"
                        r"Training|RewardModel|MultipleChoice)$|RewardModel$")  # fmt: skip
VALUE_HEAD = re.compile(r"(?:v_head|value_head|score|classifier|reward_head|regression_head)\.")
"""The beginning of the names of weights that give a text a number."""
ENCODER = re.compile(
    r"(Bert|Roberta|XLMRoberta|Camembert|Deberta|DebertaV2|Electra|Albert|DistilBert|ModernBert|"
    r"MPNet|NomicBert|Ernie|RoFormer|Funnel|Longformer|EuroBert|NeoBERT)Model"
)
"""Architectures that read both ways and give no distribution of tokens."""
VIRTUAL_TOKENS = {
    "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "ADAPTION_PROMPT",
    "CPT", "CARTRIDGE", "SHADOW",
}  # fmt: skip
OF_OTHERS = {"XLORA", "POLY"}
"""Kinds of adapter that are made of others."""
MOST_ITERATIONS = 64
BY_STATISTICS = {"corda": "CorDA", "lora_ga": "LoRA-GA"}
"""Initial values of a LoRA that PEFT makes, and takes from the base, by statistics of data."""
LEAVING_THE_BASE = {"gaussian", "eva", "orthogonal", "mica"}
"""Those for which it leaves the base as it is."""
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
EMBEDDING = re.compile(
    r"\.(embed_tokens|wte|embed_in|word_embeddings|lm_head|embed_out)"
    r"(?:\.token_adapter)?(?:\.base_layer|\.modules_to_save\.\w+)?\.weight$"
)
"""The name of a whole embedding among an adapter's weights."""
CONTEXT_LENGTH = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "context_length",
    "max_target_positions",
)
"""Names that configs have for the length of the longest text, the usual ones first."""


@dataclass(frozen=True)
class StoredModel:
    """A model or an adapter on disk. Zero or "" stands for what its files do not say."""

    path: Path
    """Its folder; the file, for GGUF."""
    name: str
    """A name for people, by ``checkpoint_name``."""
    kind: Literal["model", "adapter"]
    files: tuple[Path, ...]
    """The files that hold the weights."""
    parameters: int
    bytes: int
    dtype: str
    """The number format of most of the weights, as torch names it."""
    has_tokenizer: bool
    needs_remote_code: bool
    pickle_only: bool
    model_type: str = ""
    architecture: str = ""
    vocab_size: int = 0
    context_length: int = 0
    layers: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    hidden_size: int = 0
    quantized: bool = False
    base: str = ""
    """The base that an adapter was trained on: a path or a repository, as its config has it."""
    base_revision: str = ""
    peft_type: str = ""
    rank: int = 0
    use_dora: bool = False
    rewrites: str = ""
    """The entry of its config by which an adapter changes the base's own weights: with the adapter
    off, they are not the base's."""
    tensors: Mapping[str, TensorHeader] = field(default_factory=dict, repr=False, compare=False)
    """By name, from the headers; empty for pickle weights."""

    def kv_numbers_per_token(self) -> int:
        """Return how many numbers the KV cache holds for one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim


def describe(
    path: Path, *, allow_pickle: bool = False, allow_remote_code: bool = False
) -> StoredModel:
    """Return a description of the checkpoint in a folder.

    Raises:
        UserFacingError: there is none, it is damaged or incomplete, or it needs an opt-in that was
            not given; the sentence says what to do.
    """
    path = Path(path).expanduser()
    _check_folder(path)
    adapter = (path / "adapter_config.json").is_file()
    stem = "adapter_model" if adapter else "model"
    files, pickles = weight_files(path, stem)
    if not files and not pickles and not adapter and (gguf := gguf_file(path)):
        return _gguf(gguf)
    if not adapter and not (path / "config.json").is_file():
        raise UserFacingError(_why_no_config(path))
    if not files and not pickles:
        raise UserFacingError(
            other_form(path, _names(path))
            or f"{path} has {'an adapter_config' if adapter else 'a config'}.json but no weights "
            f"({stem}.safetensors): copy or save the weights there too."
        )
    if not files and not allow_pickle:
        raise UserFacingError(
            f"The weights in {path} are pickle files ({pickles[0].name}), which can run any code "
            f"when they are loaded: save them as safetensors, or pass --allow-pickle if you "
            f"trust whoever made them."
        )
    found = _weights(path, files or pickles, pickle_only=not files)
    if adapter:
        return _adapter(path, found)
    return _model(path, found, allow_remote_code)


def check_not_empty(path: Path, counts: Mapping[str, int]) -> None:
    """Check that no tensor is without numbers, as where a sharded model was saved in pieces.

    Args:
        counts: how many numbers each tensor has.

    Raises:
        UserFacingError: one has none.
    """
    empty = [name for name, count in counts.items() if not count]
    if empty:
        raise UserFacingError(
            f"{len(empty)} of the {len(counts)} tensors in {path} are empty (first: {empty[0]}), "
            f"as DeepSpeed ZeRO-3 saves those that it has not gathered: gather them with "
            f"'python zero_to_fp32.py . OUTPUT' in the checkpoint's folder, or save again with "
            f"stage3_gather_16bit_weights_on_model_save."
        )


def checkpoint_name(path: Path) -> str:
    """Return a name for people: the folder's, or in the Hugging Face cache the repository's."""
    path = path.resolve()
    for part in path.parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    if re.fullmatch(r"checkpoint-\d+|final|best|adapter|model|policy_adapter", path.name):
        return f"{path.parent.name}/{path.name}".removeprefix("/")
    return path.name or str(path)


def _check_folder(path: Path) -> None:
    try:
        if path.is_file() and gguf_file(path) is None:
            raise UserFacingError(
                f"{path} is a file: choose the folder that holds config.json and the weights."
            )
        if not path.exists():
            raise UserFacingError(f"There is no folder {path}: check the path of the checkpoint.")
        if path.is_dir() and not _names(path):
            raise UserFacingError(
                f"{path} is empty: choose the folder that holds config.json and the weights."
            )
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be opened ({error.strerror or error}): check the path and its "
            f"permissions."
        ) from error


def _gguf(path: Path) -> StoredModel:
    file = read_gguf(path)
    heads, hidden = file.setting("attention.head_count"), file.setting("embedding_length")
    return StoredModel(
        path=path,
        name=path.stem,
        kind="model",
        files=(path,),
        parameters=file.parameters,
        bytes=file.bytes,
        dtype=file.dtype,
        has_tokenizer=file.tokens > 0,
        needs_remote_code=False,
        pickle_only=False,
        model_type=file.architecture,
        vocab_size=next(iter(file.tensors.get("token_embd.weight", ())), file.tokens),
        context_length=file.setting("context_length"),
        layers=file.setting("block_count"),
        kv_heads=file.setting("attention.head_count_kv") or heads,
        head_dim=file.setting("attention.key_length") or (hidden // heads if heads else 0),
        hidden_size=hidden,
    )


def _why_no_config(path: Path) -> str:
    """Return a sentence on a folder that has neither config.json nor adapter_config.json."""
    names = _names(path)
    runs = [name for name in names if re.fullmatch(r"checkpoint-\d+", name)]
    if runs:
        newest = max(runs, key=lambda name: int(name.split("-")[1]))
        return (
            f"{path} is a training run with {len(runs)} checkpoint{'s' * (len(runs) > 1)} "
            f"inside: choose one of them, the newest is {path / newest}."
        )
    if any(name.startswith("adapter_model.") for name in names):
        return (
            f"{path} has an adapter's weights but no adapter_config.json: copy that file from "
            f"where the adapter was saved."
        )
    if said := other_form(path, names):
        return said
    for name in names:
        child = path / name
        if (child / "config.json").is_file() or (child / "adapter_config.json").is_file():
            return f"{path} is no checkpoint itself: choose a folder inside it, such as {child}."
    return (
        f"{path} has no config.json and no adapter_config.json: choose the folder that a model "
        f"or adapter was saved to."
    )


def _names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def weight_files(path: Path, stem: str) -> tuple[list[Path], list[Path]]:
    """Return a checkpoint's safetensors files and its pickle files, shards included."""
    pickle_stem = stem if stem.startswith("adapter") else "pytorch_model"
    found = []
    for name in (f"{stem}.safetensors", f"{pickle_stem}.bin"):
        if (path / name).is_file():
            found.append([path / name])
        elif (path / f"{name}.index.json").is_file():
            found.append(_shards(path, path / f"{name}.index.json"))
        else:
            found.append([])
    return found[0], found[1]


def _shards(path: Path, index: Path) -> list[Path]:
    weight_map = read_json(index, INDEX, 4 * MOST_TENSORS).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserFacingError(
            f"{index} names no shards (no weight_map): copy or download the checkpoint again."
        )
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name:
            raise UserFacingError(
                f"{index} names a shard outside its folder ({name}): download the checkpoint again."
            )
        if not holds_weights(name):  # what is loaded is only what an identity is taken of
            raise UserFacingError(
                f"{index} names a shard that is no file of weights ({name}): download the "
                f"checkpoint again."
            )
    missing = [name for name in names if not (path / name).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserFacingError(
            f"{path} lacks {missing[0]}{more} of its {len(names)} shards: copy or download what "
            f"is missing."
        )
    return [path / name for name in names]


def _weights(path: Path, files: list[Path], pickle_only: bool) -> dict[str, Any]:
    """Return the fields of a StoredModel that its weights tell."""
    tensors: dict[str, TensorHeader] = {}
    if not pickle_only:
        for file in files:
            tensors.update(read_header(file))
            if len(tensors) > MOST_TENSORS:
                raise UserFacingError(
                    f"The weights in {path} are more than {MOST_TENSORS:,} tensors: save the "
                    f"checkpoint again."
                )
        if not tensors:
            raise UserFacingError(f"{files[0]} holds no tensors: save the checkpoint again.")
        weights = {name: it.count for name, it in tensors.items() if name.endswith("weight")}
        check_not_empty(path, weights)
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.bytes
    dtype = sizes.most_common(1)[0][0] if sizes else ""
    return {
        "files": tuple(files),
        "parameters": sum(tensor.count for tensor in tensors.values()),
        "bytes": sizes.total() or sum(file.stat().st_size for file in files),
        "dtype": DTYPES.get(dtype, dtype.lower()),
        "has_tokenizer": any((path / name).is_file() for name in TOKENIZER_FILES),
        "pickle_only": pickle_only,
        "tensors": tensors,
    }


def read_adapter_entries(path: Path) -> dict[str, Any]:
    """Return what an adapter's adapter_config.json says.

    Raises:
        UserFacingError: it cannot be read, names no kind, has numbers that no adapter has, or would
            have PEFT run or load what is not in the folder.
    """
    file = path / "adapter_config.json"
    config = read_json(file)
    check_numbers(file, config)
    config["peft_type"] = kind = str(config.get("peft_type") or "").upper()
    if not kind:
        raise UserFacingError(
            f"{file} does not say what kind of adapter it is (no peft_type): copy or save the "
            f"adapter again."
        )
    if config.get("megatron_config"):
        raise UserFacingError(
            f"{path} is an adapter for Megatron-LM's layers (megatron_config), which PEFT would "
            f"import: save it for a model of transformers."
        )
    path_of(str(config.get("base_model_name_or_path") or ""))
    if kind in OF_OTHERS:
        raise UserFacingError(
            f"{path} is a {kind} adapter, which is made of other adapters that its config names: "
            f"Qscope scores those that change weights themselves, such as LoRA."
        )
    begun = re.fullmatch(r"pissa_niter_(\d+)", str(config.get("init_lora_weights"))[:80])
    loftq = config.get("loftq_config")
    rounds = [int(begun[1])] if begun else []
    rounds += [_integer(loftq, "loftq_iter")] if isinstance(loftq, dict) else []
    if max(rounds, default=0) > MOST_ITERATIONS:
        raise UserFacingError(
            f"{file} asks for {max(rounds)} iterations to begin with: save the adapter as a plain "
            f"LoRA."
        )
    return config


def _check_rank(path: Path, config: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Check that a LoRA's config is of no larger factors than its weights are."""
    pattern = config.get("rank_pattern")
    said = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    ranks = [it for it in said if isinstance(it, int | float)]
    sides = [side for tensor in found["tensors"].values() for side in tensor.shape]
    if sides and max(ranks, default=0) > max(sides):
        raise UserFacingError(
            f"{path / 'adapter_config.json'} says a rank of {max(ranks)}, but the weights there "
            f"have none: copy it from where the adapter was saved."
        )


def _adapter(path: Path, found: dict[str, Any]) -> StoredModel:
    config = read_adapter_entries(path)
    peft_type = config["peft_type"]
    if peft_type == "LORA":
        _check_rank(path, config, found)
    if peft_type in VIRTUAL_TOKENS:
        raise UserFacingError(
            f"{path} is a {peft_type} adapter, which puts tokens of its own into the prompt: "
            f"Qscope scores adapters that change weights, such as LoRA, so choose one of those."
        )
    if config.get("task_type") not in ("CAUSAL_LM", None):
        raise UserFacingError(
            f"{path} is an adapter for the task {config['task_type']}, not one of a causal "
            f"language model: choose the checkpoint of a policy or a reference."
        )
    begun = config.get("init_lora_weights")
    if begun in BY_STATISTICS:
        raise UserFacingError(
            f"{path} is a {BY_STATISTICS[begun]} adapter over a base that PEFT cannot make again "
            f"from the files: save it with save_pretrained(..., "
            f"path_initial_model_for_weight_conversion=INITIAL), which gives a plain LoRA over the "
            f"original base."
        )
    if config.get("alora_invocation_tokens"):
        raise UserFacingError(
            f"{path} is an activated LoRA, which is on only behind certain tokens: Qscope scores "
            f"adapters that are on for a whole text, so choose one of those."
        )
    if config.get("layer_replication"):
        raise UserFacingError(
            f"{path} is an adapter over a base that runs some layers several times "
            f"(layer_replication): merge it with PEFT's merge_and_unload and open that model."
        )
    rewrites = ""
    if isinstance(begun, str) and begun not in LEAVING_THE_BASE:
        rewrites = f"init_lora_weights={begun!r:.80}"
    elif config.get("bias") not in ("none", None):
        rewrites = f"bias={config['bias']!r}"
    return StoredModel(
        path=path,
        name=checkpoint_name(path),
        kind="adapter",
        needs_remote_code=False,
        rewrites=rewrites,
        vocab_size=_rows(found["tensors"]),
        base=str(config.get("base_model_name_or_path") or ""),
        base_revision=str(config.get("revision") or ""),
        peft_type=peft_type,
        rank=_integer(config, "r"),
        use_dora=bool(config.get("use_dora")),
        **found,
    )


def _rows(tensors: Mapping[str, TensorHeader]) -> int:
    """Return the rows of the embedding that an adapter brings; 0 if it brings none."""
    for name, tensor in tensors.items():
        if EMBEDDING.search(name) and len(tensor.shape) == 2:
            return tensor.shape[0]
    return 0


def _model(path: Path, found: dict[str, Any], allow_remote_code: bool) -> StoredModel:
    config = read_config(path)
    text = config.get("text_config")
    text = {**config, **text} if isinstance(text, dict) else config
    model_type = str(config.get("model_type") or "")
    architecture = str(next(iter(config.get("architectures") or []), ""))[:LONGEST_NAME]
    needs_remote_code = bool(config.get("auto_map")) and not _is_native(model_type)
    if needs_remote_code and not allow_remote_code:
        raise UserFacingError(
            f"{path} brings model code of its own (auto_map in config.json), which is not run "
            f"unasked: read that code and pass --trust-remote-code if you trust it."
        )
    if what := _not_causal(config, architecture, found["tensors"]):
        raise UserFacingError(
            f"{path} holds {what}, which is not a causal language model: choose the checkpoint of "
            f"a policy or a reference."
        )
    check_quantised(path, config, found["tensors"])
    heads = _integer(text, "num_attention_heads", "n_head", "n_heads", "num_heads")
    hidden = _integer(text, "hidden_size", "n_embd", "d_model")
    checkpoint = StoredModel(
        path=path,
        name=checkpoint_name(path),
        kind="model",
        needs_remote_code=needs_remote_code,
        model_type=model_type,
        architecture=architecture,
        vocab_size=_integer(text, "vocab_size"),
        context_length=_integer(text, *CONTEXT_LENGTH),
        layers=_integer(text, "num_hidden_layers", "n_layer", "num_layers", "n_layers"),
        kv_heads=_integer(text, "num_key_value_heads", "num_kv_heads") or heads,
        head_dim=_integer(text, "head_dim") or (hidden // heads if heads else 0),
        hidden_size=hidden,
        quantized=bool(config.get("quantization_config")),
        **found,
    )
    _check_layers(checkpoint)
    return checkpoint


def _not_causal(
    config: Mapping[str, Any], architecture: str, tensors: Mapping[str, TensorHeader]
) -> str:
    """Return what a model is in place of a causal language model; "" where nothing says so."""
    if config.get("is_encoder_decoder"):
        return f"an encoder and a decoder ({architecture or config.get('model_type')})"
    if NOT_CAUSAL.search(architecture):
        return f"a {architecture}"
    if head := next((name for name in tensors if VALUE_HEAD.match(name)), ""):
        return f"a model with a head that gives values ({head}), as PPO and reward training save it"
    if ENCODER.fullmatch(architecture):
        return f"an encoder ({architecture})"
    return ""


def _check_layers(model: StoredModel) -> None:
    """Check that no layer is missing before the last one that the weights hold.

    Layers after that one are not missed here: what config.json counts as a layer may be half of
    one, or several, and loading finds what is missing there.
    """
    held = {int(match[1]) for name in model.tensors if (match := LAYER.search(name))}
    first = next(number for number in range(len(held) + 1) if number not in held)
    if held and first < max(held):
        raise UserFacingError(
            f"The weights in {model.path} have a layer {max(held)} but lack layer {first}: copy "
            f"or download the checkpoint again."
        )


def _integer(config: Mapping[str, Any], *names: str) -> int:
    """Return the first of ``names`` that is a whole number above 0 in a config; 0 if none is."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _is_native(model_type: str) -> bool:
    """Return whether transformers has this architecture, so that a folder's code is not needed."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return model_type in CONFIG_MAPPING_NAMES
