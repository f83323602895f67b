"""Quantised weights: scored as transformers runs them, and told where files do not agree."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.checkpoints import quantised
from core.checkpoints.describe import describe
from core.errors import UserFacingError
from core.models.noise import Measurement
from tests.core.checkpoint_folders import write_model
from tests.core.plain_forward import plain, scored
from tests.tiny import byte_level_tokenizer, save_lora, save_model

quiet_libraries = pytest.mark.filterwarnings("ignore")
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [32, 32]}


def whole(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def quantise(folder: Path, method: str) -> Path:
    """Save the model of ``save_model(..., seed=5)`` with weights of eight or four bits."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TorchAoConfig

    package = "torchao" if method == "torchao" else "bitsandbytes"
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    full = save_model(folder / "full", seed=5)
    if method == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        config: Any = TorchAoConfig(Int8WeightOnlyConfig())
    elif method == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    model = AutoModelForCausalLM.from_pretrained(
        full, quantization_config=config, dtype=torch.float32
    )
    model.save_pretrained(folder / method)
    byte_level_tokenizer().save_pretrained(folder / method)
    return folder / method


def fp8(folder: Path, source: Path) -> Path:
    """Write a model's projections as eight-bit floats with a scale for each block, by hand."""
    save_model(source, seed=5)
    tensors = load_file(source / "model.safetensors")
    for name, weight in list(tensors.items()):
        if "_proj" in name:
            rows, columns = (size // 32 for size in weight.shape)
            blocks = weight.reshape(rows, 32, columns, 32)
            scale = blocks.abs().amax((1, 3)) / 448
            numbers = (blocks / scale[:, None, :, None]).reshape(weight.shape)
            tensors[name] = numbers.to(torch.float8_e4m3fn)
            tensors[f"{name}_scale_inv"] = scale
    config = json.loads((source / "config.json").read_text()) | {"quantization_config": FP8}
    byte_level_tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@quiet_libraries
@pytest.mark.parametrize("method", ["4bit", "8bit", "torchao"])
def test_quantised_models_are_run_as_transformers_runs_them(tmp_path: Path, method: str) -> None:
    folder = quantise(tmp_path, method)
    pair, _, found = scored(folder, tmp_path / "full")
    own = whole(folder)
    if method == "4bit":
        own = own.dequantize()  # as on a CPU bitsandbytes would round its scales once more
    assert found.logp_policy == pytest.approx(plain(pair, own), abs=1e-4)
    assert found.logp_reference == pytest.approx(plain(pair, whole(tmp_path / "full")), abs=1e-4)
    assert np.abs(found.logp_policy - found.logp_reference).max() > 1e-3
    floor = Measurement(pair).finish()
    assert floor is not None and 0 < floor.token < 0.05


@quiet_libraries
@pytest.mark.parametrize("method", ["4bit", "8bit", "torchao"])
def test_an_adapter_over_a_quantised_base_is_what_peft_makes_of_it(
    tmp_path: Path, method: str
) -> None:
    from peft import PeftModel

    base = quantise(tmp_path, method)
    adapter = save_lora(tmp_path / "adapter", base)
    pair, info, found = scored(adapter)
    own = whole(base).dequantize() if method == "4bit" else whole(base)
    assert found.logp_reference == pytest.approx(plain(pair, own), abs=1e-4)
    adapted = PeftModel.from_pretrained(own, adapter).eval()
    assert found.logp_policy == pytest.approx(plain(pair, adapted), abs=1e-4)
    assert info.base_shared


def test_eight_bit_floats_need_no_package(tmp_path: Path) -> None:
    folder = fp8(tmp_path / "fp8", tmp_path / "full")
    pair, _, found = scored(folder, tmp_path / "full")
    assert found.logp_policy == pytest.approx(plain(pair, whole(folder)), abs=1e-4)
    assert np.abs(found.logp_policy - found.logp_reference).max() > 1e-3


@quiet_libraries
def test_weights_that_are_unpacked_in_the_first_forward(tmp_path: Path) -> None:
    """The second time nothing is run before the layers are looked at, as verdicts are known."""
    helpers = pytest.importorskip("compressed_tensors.compressors.pack_quantized.helpers")
    full, folder = save_model(tmp_path / "full", seed=5), tmp_path / "it"
    tensors = load_file(full / "model.safetensors")
    for name in [it for it in tensors if "_proj" in it]:
        weight = tensors.pop(name)
        scale = weight.abs().amax(1, keepdim=True) / 127
        tensors[f"{name}_packed"] = helpers.pack_to_int32((weight / scale).round().char(), 8)
        tensors[f"{name}_scale"] = scale
        tensors[f"{name}_shape"] = torch.tensor(weight.shape)
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    said = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head"],
    }
    config = json.loads((full / "config.json").read_text()) | {"quantization_config": said}
    byte_level_tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for _ in range(2):
        pair, _, found = scored(folder, full)
        assert found.logp_policy == pytest.approx(plain(pair, whole(folder)), abs=1e-4)


# What the files say against what is in them


def sentence(folder: Path) -> str:
    with pytest.raises(UserFacingError) as caught:
        describe(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"load_in_8bit": True},
        {"quant_method": "gptq", "bits": 4},
        FP8,
    ],
)
def test_a_config_that_calls_floats_quantised_is_noticed(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    found = sentence(write_model(tmp_path / "a", quantization_config=said))
    assert "full-precision" in found and "delete quantization_config" in found


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("q_proj.weight.absmax", torch.zeros(4), "bitsandbytes"),
        ("q_proj.SCB", torch.zeros(4), "bitsandbytes"),
        ("q_proj.qweight", torch.zeros(4, 4, dtype=torch.int32), "GPTQ or AWQ"),
        ("q_proj.weight_packed", torch.zeros(4, 4, dtype=torch.int32), "compressed-tensors"),
        ("q_proj._weight_qdata", torch.zeros(4, 4, dtype=torch.int8), "torchao"),
        ("q_proj.W_q", torch.zeros(4, 4, dtype=torch.uint8), "HQQ"),
        ("experts.down_proj_blocks", torch.zeros(4, 4, dtype=torch.uint8), "mxfp4"),
        ("q_proj.weight", torch.zeros(4, 4, dtype=torch.float8_e4m3fn), "F8_E4M3"),
    ],
)
def test_packed_tensors_without_a_word_of_it_are_noticed(
    tmp_path: Path, name: str, tensor: torch.Tensor, words: str
) -> None:
    folder = write_model(tmp_path / "a")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, f"model.layers.0.self_attn.{name}": tensor}, folder / "model.safetensors")
    assert f"are quantised ({words})" in sentence(folder)


@pytest.mark.parametrize("method", quantised.PACKAGES)
def test_a_missing_package_is_named_with_its_command(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "_is_installed", lambda package: False)
    folder = write_model(tmp_path / "a", quantization_config={"quant_method": method})
    packed = {"model.layers.0.q_proj.qweight": torch.zeros(4, 4, dtype=torch.int32)}
    save_file(packed, folder / "model.safetensors")
    packages = quantised.PACKAGES[method]
    if packages:
        assert f"pip install {' '.join(packages)}" in sentence(folder)
    else:
        assert describe(folder).quantized


def test_weights_of_mlx_are_told_from_others(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a", quantization={"group_size": 64, "bits": 4})
    packed = {
        "model.layers.0.q_proj.weight": torch.zeros(4, 4, dtype=torch.uint32),
        "model.layers.0.q_proj.scales": torch.zeros(4, 4),
    }
    save_file(packed, folder / "model.safetensors")
    assert "mlx_lm.fuse" in sentence(folder)
