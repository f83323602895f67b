"""Forms in which trainers and converters leave models that are no whole checkpoint.

Each is known by the names of files alone and has one sentence that says what to do. Knows nothing
of what a whole checkpoint is (core.checkpoints.describe), and opens no file.
"""

import re
from collections.abc import Callable
from pathlib import Path

DEEPSPEED = re.compile(r"global_step\d+|(?:bf16_)?zero_pp_rank_\d+.*|mp_rank_\d+_model_states\.pt")
FSDP = re.compile(r"pytorch_model_fsdp_\d+")
Form = Callable[[Path, list[str]], str]
"""Says of a path and the names of files in it what they are and what to do; "" if not this."""
COPY = "and copy config.json and the tokenizer's files there from the model it was trained from"


def other_form(path: Path, names: list[str]) -> str:
    """Return what a folder holds in place of a checkpoint, in a sentence; "" for nothing known.

    Args:
        names: of the files and folders in ``path``.
    """
    return next((said for form in FORMS if (said := form(path, names))), "")


def _deepspeed(path: Path, names: list[str]) -> str:
    if not any(DEEPSPEED.fullmatch(name) for name in (path.name, *names)):
        return ""
    inside = re.fullmatch(r"global_step\d+", path.name)
    root, tag = (path.parent, f" -t {path.name}") if inside else (path, "")
    script = "" if (root / "zero_to_fp32.py").is_file() else ", with that script from DeepSpeed,"
    return (
        f"{path} holds only DeepSpeed's shards of a model: gather them with 'python "
        f"zero_to_fp32.py . OUTPUT --safe_serialization{tag}' in {root}{script} {COPY}."
    )


def _fsdp(path: Path, names: list[str]) -> str:
    shards = path.name if FSDP.fullmatch(path.name) else _first(names, FSDP.pattern)
    if shards:
        root = path if shards in names else path.parent
        return (
            f"{path} holds only FSDP's shards of a model: gather them with 'accelerate "
            f"merge-weights {root / shards} OUTPUT' {COPY}."
        )
    return ""


def _nemo(path: Path, names: list[str]) -> str:
    if _first(names, r".*\.nemo|model_weights") or {"weights", "context"} <= set(names):
        return (
            f"{path} is a checkpoint of NeMo: export it to transformers with NeMo's "
            f"export_ckpt(..., target='hf') or its convert_*_nemo_to_hf.py script."
        )
    return ""


def _consolidated(path: Path, names: list[str]) -> str:
    if name := _first(names, r"consolidated(\.\d+)?\.(pth|safetensors)"):
        return (
            f"{path} holds weights in the names of the model's makers ({name}), as torchtune and "
            f"Llama's or Mistral's own code save them: convert them with transformers' "
            f"convert_{'mistral' if name.endswith('safetensors') else 'llama'}_weights_to_hf.py, "
            f"or download the version for transformers."
        )
    return ""


def _first(names: list[str], form: str) -> str:
    return next((name for name in names if re.fullmatch(form, name)), "")


def _by_name(form: str, sentence: str) -> Form:
    """Return a form that one name alone tells; the sentence may have its path and that name."""

    def said(path: Path, names: list[str]) -> str:
        name = _first(names, form)
        return sentence.format(path=path, name=name, copy=COPY) if name else ""

    return said


FORMS: tuple[Form, ...] = (
    _deepspeed,
    _fsdp,
    _by_name(
        r".*\.distcp",
        "{path} holds only the shards of a distributed checkpoint: gather them with 'python -m "
        "torch.distributed.checkpoint.format_utils dcp_to_torch {path} OUTPUT.pt', load that into "
        "the model it was trained from, and save it with save_pretrained.",
    ),
    _by_name(
        r"pytorch_model_fsdp\.bin",
        "{path} has FSDP's state of the whole model as {name}: rename it to pytorch_model.bin, "
        "{copy}.",
    ),
    _by_name(
        r"model_world_size_\d+_rank_\d+\.pt",
        "{path} holds only verl's shards of a model: gather them with 'python -m "
        "verl.model_merger merge --backend fsdp --local_dir {path} --target_dir OUTPUT'.",
    ),
    _by_name(
        r"latest_checkpointed_iteration\.txt|iter_\d{7}|model_optim_rng\.pt|mp_rank_\d+",
        "{path} is a checkpoint of Megatron-LM: convert it to transformers with Megatron's "
        "tools/checkpoint/convert.py (--saver hf) or Megatron Bridge's export_ckpt.",
    ),
    _nemo,
    _consolidated,
    _by_name(
        r"(hf_model|ft-model|meta_model|torchtune_model)[-_]\d+.*\.(pt|bin)",
        "{path} holds weights as torchtune saves them ({name}): save with torchtune's "
        "FullModelHFCheckpointer and safe_serialization=True, {copy}.",
    ),
    _by_name(
        r"(\d+_)?adapters\.(safetensors|npz)|weights(\.\d+)?\.npz",
        "{path} holds weights for MLX ({name}): join them into a model of transformers with "
        "'mlx_lm.fuse --dequantize' and choose the folder that it writes.",
    ),
    _by_name(
        r"tf_model\.h5|flax_model\.msgpack|.*\.(onnx|tflite|engine|pte)|openvino_model\.(xml|bin)",
        "{path} holds a model for another library than PyTorch ({name}): choose the folder of its "
        "safetensors weights.",
    ),
    _by_name(
        r"optimizer\.(pt|bin)|trainer_state\.json",
        "{path} holds what a trainer needs to go on ({name}) but no weights of the model: choose "
        "another checkpoint of the run, or let the trainer save its model there.",
    ),
)
"""The forms, those with shards before what may lie beside them."""
