"""Forms in which trainers and converters leave models that are no whole checkpoint.

Each is known by the names of files alone and has one sentence that says what to do. Knows nothing
of what a whole checkpoint is (core.checkpoints.describe), and opens no file.
"""

import re
from collections.abc import Callable
from pathlib import Path

DEEPSPEED = re.compile(r"global_step\d+|(?:bf16_)?zero_pp_rank_\d+.*|mp_rank_\d+_model_states\.pt")
FSDP = re.compile(r"pytorch_model_fsdp_\d+")
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
    if _first(names, r".*\.distcp"):
        return (
            f"{path} holds only the shards of a distributed checkpoint: gather them with 'python "
            f"-m torch.distributed.checkpoint.format_utils dcp_to_torch {path} OUTPUT.pt', load "
            f"that into the model it was trained from, and save it with save_pretrained."
        )
    if whole := _first(names, r"pytorch_model_fsdp\.bin"):
        return (
            f"{path} has FSDP's state of the whole model as {whole}: rename it to "
            f"pytorch_model.bin, {COPY}."
        )
    return ""


def _verl(path: Path, names: list[str]) -> str:
    if _first(names, r"model_world_size_\d+_rank_\d+\.pt"):
        return (
            f"{path} holds only verl's shards of a model: gather them with 'python -m "
            f"verl.model_merger merge --backend fsdp --local_dir {path} --target_dir OUTPUT'."
        )
    return ""


def _megatron(path: Path, names: list[str]) -> str:
    if _first(
        names, r"latest_checkpointed_iteration\.txt|iter_\d{7}|model_optim_rng\.pt|mp_rank_\d+"
    ):
        return (
            f"{path} is a checkpoint of Megatron-LM: convert it to transformers with Megatron's "
            f"tools/checkpoint/convert.py (--saver hf) or Megatron Bridge's export_ckpt."
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
    if name := _first(names, r"(hf_model|ft-model|meta_model|torchtune_model)[-_]\d+.*\.(pt|bin)"):
        return (
            f"{path} holds weights as torchtune saves them ({name}): save with torchtune's "
            f"FullModelHFCheckpointer and safe_serialization=True, {COPY}."
        )
    return ""


def _mlx(path: Path, names: list[str]) -> str:
    if name := _first(names, r"(\d+_)?adapters\.(safetensors|npz)|weights(\.\d+)?\.npz"):
        return (
            f"{path} holds weights for MLX ({name}): join them into a model of transformers with "
            f"'mlx_lm.fuse --dequantize' and choose the folder that it writes."
        )
    return ""


def _other_framework(path: Path, names: list[str]) -> str:
    if name := _first(names, r"tf_model\.h5|flax_model\.msgpack|.*\.(onnx|tflite|engine|pte)|"
                             r"openvino_model\.(xml|bin)"):  # fmt: skip
        return (
            f"{path} holds a model for another library than PyTorch ({name}): choose the folder "
            f"of its safetensors weights."
        )
    return ""


def _trainer_only(path: Path, names: list[str]) -> str:
    if name := _first(names, r"optimizer\.(pt|bin)|trainer_state\.json"):
        return (
            f"{path} holds what a trainer needs to go on ({name}) but no weights of the model: "
            f"choose another checkpoint of the run, or let the trainer save its model there."
        )
    return ""


def _first(names: list[str], form: str) -> str:
    return next((name for name in names if re.fullmatch(form, name)), "")


FORMS: tuple[Callable[[Path, list[str]], str], ...] = (
    _deepspeed,
    _fsdp,
    _verl,
    _megatron,
    _nemo,
    _consolidated,
    _mlx,
    _other_framework,
    _trainer_only,
)
"""The forms, those with shards before what may lie beside them."""
