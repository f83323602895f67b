"""What is no whole checkpoint is recognised by its files, and the sentence says what to do."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.checkpoints.describe import describe
from core.checkpoints.runs import run_plan
from core.errors import UserFacingError
from core.progress import never, silent
from tests.core.checkpoint_folders import tensors, write_model


def lay(folder: Path, *names: str) -> Path:
    """A folder with these files; a name that ends in / is a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).mkdir() if name.endswith("/") else (folder / name).write_text("{}")
    return folder


def sentence(folder: Path) -> str:
    with pytest.raises(UserFacingError) as caught:
        describe(folder)
    said = str(caught.value)
    assert said.endswith(".") and str(folder) in said
    return said


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["global_step7/", "latest", "zero_to_fp32.py"], "zero_to_fp32.py . OUTPUT"),
        (["bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"], "DeepSpeed"),
        (["mp_rank_00_model_states.pt"], "DeepSpeed"),
        (["pytorch_model_fsdp_0/", "optimizer_0/"], "merge-weights {}/pytorch_model_fsdp_0 OUTPUT"),
        (["__0_0.distcp", ".metadata"], "dcp_to_torch"),
        (["pytorch_model_fsdp.bin"], "rename it to pytorch_model.bin"),
        (["model_world_size_2_rank_0.pt", "huggingface/"], "verl.model_merger merge"),
        (["iter_0000100/", "latest_checkpointed_iteration.txt"], "Megatron"),
        (["mp_rank_00/"], "Megatron"),
        (["big.nemo"], "NeMo"),
        (["weights/", "context/"], "NeMo"),
        (["consolidated.00.pth", "params.json"], "convert_llama_weights_to_hf.py"),
        (["consolidated.safetensors", "params.json"], "convert_mistral_weights_to_hf.py"),
        (["hf_model_0001_0.pt"], "torchtune"),
        (["weights.npz"], "MLX"),
        (["tf_model.h5"], "another library"),
        (["model.onnx"], "another library"),
        (["optimizer.pt", "trainer_state.json"], "no weights of the model"),
    ],
)
@pytest.mark.parametrize("with_config", [False, True])
def test_each_form_has_its_sentence(
    tmp_path: Path, names: list[str], words: str, with_config: bool
) -> None:
    folder = lay(tmp_path / "it", *names, *(["config.json"] if with_config else []))
    assert words.format(folder) in sentence(folder)


def test_inside_a_folder_of_shards_the_command_is_for_the_one_around_it(tmp_path: Path) -> None:
    step = lay(tmp_path / "global_step12", "zero_pp_rank_0_mp_rank_00_model_states.pt")
    assert f"-t global_step12' in {tmp_path}" in sentence(step)
    shards = lay(tmp_path / "pytorch_model_fsdp_0", "__0_0.distcp")
    assert f"merge-weights {shards} OUTPUT" in sentence(shards)


def test_an_adapter_for_mlx_is_told_from_one_of_peft(tmp_path: Path) -> None:
    assert "MLX" in sentence(lay(tmp_path / "a", "adapter_config.json", "adapters.safetensors"))


def test_shards_beside_whole_weights_do_not_matter(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "whole")
    lay(folder, "global_step7/", "latest", "optimizer.pt", "consolidated.safetensors")
    assert describe(folder).kind == "model"


def test_a_run_whose_checkpoints_are_shards_says_so(tmp_path: Path) -> None:
    lay(tmp_path / "run" / "checkpoint-10", "global_step10/", "config.json")
    with pytest.raises(UserFacingError, match=r"zero_to_fp32\.py"):
        run_plan(tmp_path / "run", None, None, silent, never)


@pytest.mark.parametrize(
    ("architecture", "more", "words"),
    [
        ("LlamaForSequenceClassification", {}, "a LlamaForSequenceClassification"),
        ("Qwen2ForTokenClassification", {}, "a Qwen2ForTokenClassification"),
        ("Qwen2ForRewardModel", {}, "a Qwen2ForRewardModel"),
        ("LlavaForSequenceClassification", {}, "LlavaForSequenceClassification"),
        ("T5ForConditionalGeneration", {"is_encoder_decoder": True}, "an encoder and a decoder"),
        ("BartForConditionalGeneration", {"is_encoder_decoder": True}, "an encoder and a decoder"),
        ("BertForMaskedLM", {}, "a BertForMaskedLM"),
        ("BertForPreTraining", {}, "a BertForPreTraining"),
        ("BertModel", {}, "an encoder (BertModel)"),
        ("XLMRobertaModel", {}, "an encoder (XLMRobertaModel)"),
    ],
)
def test_heads_and_encoders_are_refused(
    tmp_path: Path, architecture: str, more: dict[str, bool], words: str
) -> None:
    said = sentence(write_model(tmp_path / "it", architectures=[architecture], **more))
    assert words in said and "not a causal language model" in said


@pytest.mark.parametrize("head", ["v_head.summary.weight", "score.weight"])
def test_a_value_head_beside_a_language_model_is_refused(tmp_path: Path, head: str) -> None:
    folder = write_model(tmp_path / "it")
    weights = {**tensors(), head: np.zeros((1, 8), np.float16)}
    save_file(weights, folder / "model.safetensors")
    assert f"a head that gives values ({head})" in sentence(folder)


@pytest.mark.parametrize("architecture", ["BertLMHeadModel", "Ernie4_5ForCausalLM"])
def test_what_only_sounds_like_an_encoder_is_described(tmp_path: Path, architecture: str) -> None:
    folder = write_model(tmp_path / "it", architectures=[architecture])
    assert describe(folder).architecture == architecture
