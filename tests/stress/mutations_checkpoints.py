"""Checkpoints, adapters, runs and tokenizers with random changes, opened as a user opens them.

Each is a whole pair of tiny models of which one file is changed. It is described as the dialog
describes it, examined as doctor does, loaded and asked for a score; where that works the numbers
must be those of plain forwards of transformers over the same files.
"""

import contextlib
import json
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.stress.mutations_files import change_json_file, change_weights

FAMILIES = ("llama", "gpt2", "qwen2", "gemma2", "gpt_neox")
TEXT = "They offered $53K a year, naïve 🙂 and refused."
ASKED = "Summarise this post in one sentence."
MARGIN = 2e-3
"""Nats by which a score may differ from the plain forward's, both in float32."""
LENGTHS = (0, 1, 2, 3, 8, 16, 31, 32, 63, 64, 96, 480, 481, 1024, 10**9, -1)
CONFIG = {
    "model_type": ("llama", "gpt2", "bert", "t5", "mamba", "mistral", "nonsense", "", "clip"),
    "architectures": (["LlamaForCausalLM"], ["BertModel"], [], None, ["X"], "LlamaForCausalLM"),
    "hidden_act": ("gelu", "relu", "silu", "nonsense", "gelu_new", ""),
    "activation_function": ("gelu", "relu", "nonsense"),
    "rope_parameters": (
        {"rope_type": "default", "rope_theta": 500.0},
        {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0},
        {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
        {"rope_type": "yarn", "factor": 2.0, "rope_theta": 10000.0},
        {"rope_type": "longrope", "rope_theta": 10000.0},
        {"rope_type": "nonsense"},
        {"rope_theta": 0.0},
        None,
    ),
    "rope_scaling": ({"type": "linear", "factor": 2.0}, {"type": "x"}, None, 3),
    "layer_types": (["full_attention"] * 3, ["sliding_attention"] * 3, ["x"] * 3, []),
    "sliding_window": (1, 2, 5, 0, -1, None, 10**9),
    "tie_word_embeddings": (True, False, None),
    "torch_dtype": ("float16", "bfloat16", "float32", "int8", "nonsense", None),
    "dtype": ("float16", "bfloat16", "float64", "int8", "nonsense", None),
    "attn_implementation": ("eager", "sdpa", "flash_attention_2", "nonsense"),
    "_attn_implementation": ("eager", "x/y", "flex_attention"),
    "quantization_config": ({"quant_method": "gptq", "bits": 4}, {"quant_method": "x"}, {}, None),
    "auto_map": ({"AutoModelForCausalLM": "code.Model"}, {}, None, "x"),
    "vocab_size": LENGTHS,
    "hidden_size": LENGTHS,
    "intermediate_size": LENGTHS,
    "num_hidden_layers": LENGTHS,
    "num_attention_heads": LENGTHS,
    "num_key_value_heads": LENGTHS,
    "head_dim": LENGTHS,
    "max_position_embeddings": LENGTHS,
    "n_positions": LENGTHS,
    "n_layer": LENGTHS,
    "n_head": LENGTHS,
    "rms_norm_eps": (0.0, -1.0, 1e30, "x", 1e-5),
    "layer_norm_epsilon": (0.0, -1.0, 1e30),
    "attention_bias": (True, False),
    "attn_logit_softcapping": (None, 1.0, 0.0, 50.0),
    "final_logit_softcapping": (None, 1.0, 0.0),
    "pad_token_id": (0, -1, 479, 480, 10**9, "x"),
    "bos_token_id": (0, 480, [0], "x"),
    "use_cache": (False, "x"),
    "output_attentions": (True, "x"),
    "chunk_size_feed_forward": (1, 10**9),
    "is_decoder": (False,),
    "is_encoder_decoder": (True,),
    "text_config": ({}, {"model_type": "llama"}, 3),
    "partial_rotary_factor": (0.5, 0.0, 2.0),
    "initializer_range": (0.0, "x"),
}
TOKENIZER = {
    "type": (
        "BPE", "WordPiece", "Unigram", "WordLevel", "ByteLevel", "Metaspace", "Split", "Sequence",
        "Whitespace", "Digits", "NFC", "Lowercase", "Strip", "Replace", "ByteFallback", "Fuse",
        "BertNormalizer", "TemplateProcessing", "Precompiled", "nonsense", None,
    ),
    "id": (0, 1, 479, 480, 10**9, 2**32, -1),
    "content": ("", "a", " ", "<|im_end|>", "They", "\n"),
    "special": (True, False), "lstrip": (True,), "rstrip": (True,), "single_word": (True,),
    "normalized": (True, False),
    "unk_token": ("<unk>", "", None, "a"),
    "fuse_unk": (True,), "byte_fallback": (True, False), "ignore_merges": (True, False),
    "continuing_subword_prefix": ("##", "", "a"), "end_of_word_suffix": ("</w>", "a"),
    "dropout": (0.0, 0.5, 1.0, -1, 2.0, None),
    "add_prefix_space": (True, False), "trim_offsets": (False,), "use_regex": (True, False),
    "truncation": ({"direction": "Right", "max_length": 4, "strategy": "LongestFirst",
                    "stride": 0}, {"max_length": 0}, None),
    "padding": ({"strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": 8,
                 "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}, None),
    "normalizer": ({"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True,
                   "strip_right": True}, {"type": "Replace", "pattern": {"Regex": "(a+)+$"},
                   "content": "b"}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "pre_tokenizer": ({"type": "Whitespace"}, {"type": "Digits", "individual_digits": True},
                      {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated",
                       "invert": False}, {"type": "Split", "pattern": {"Regex": "("},
                       "behavior": "Removed", "invert": True}, None),
    "post_processor": ({"type": "TemplateProcessing", "single": [{"SpecialToken": {
        "id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [10**6],
                                             "tokens": ["<|endoftext|>"]}}}, None),
    "decoder": ({"type": "Fuse"}, {"type": "ByteFallback"}, {"type": "CTC"}, None),
    "merges": ([], ["a b"], [["a", "b"]], ["zz qq"], ["a"], [["a"]]),
    "vocab": ({}, {"a": 0}, [["a", 0.0]], {"a": 10**9}, {"a": 0, "b": 0}),
}  # fmt: skip
TOKENIZER_CONFIG = {
    "tokenizer_class": ("LlamaTokenizer", "GPT2Tokenizer", "BertTokenizer", "T5Tokenizer", "Nope",
                        "Qwen2Tokenizer", "PreTrainedTokenizerFast", "TokenizersBackend", None, 3),
    "model_max_length": (0, 1, 8, -1, 10**30, "x", None),
    "eos_token": ("", "zzz", None, {"content": "<|im_end|>"}, 3, ["x"], "a"),
    "bos_token": ("zzz", None, "<|im_start|>"), "pad_token": ("zzz", None, 3),
    "unk_token": ("zzz", None),
    "add_bos_token": (True, False, "x"), "add_eos_token": (True, False),
    "add_prefix_space": (True, False),
    "chat_template": ("", "{{ messages }}", "{% for m in messages %}", 3, None, [], {},
                      [{"name": "default", "template": "{{ messages[0].content }}"}],
                      "{{ raise_exception('no') }}", "{{ 1 / 0 }}", "{{ messages[9].content }}"),
    "additional_special_tokens": ([], ["zzz"], "x", None), "extra_special_tokens": ({}, [], "x"),
    "added_tokens_decoder": ({}, {"x": {}}, {"0": "x"}, {"500": {"content": "zzz"}}),
    "split_special_tokens": (True,), "clean_up_tokenization_spaces": (True,),
    "padding_side": ("left", "x"), "truncation_side": ("x",), "auto_map": ({"AutoTokenizer": "x"},),
    "model_input_names": ([], ["x"], 3),
}  # fmt: skip
ADAPTER = {
    "r": (0, 1, 2, 4, 8, 64, -1, 10**9, "4", None, 4.0),
    "lora_alpha": (0, 8, -8, 1e30, "x", None, 0.5),
    "lora_dropout": (0.0, 0.5, 1.0, 2.0, -1, "x"),
    "target_modules": (["q_proj"], ["q_proj", "down_proj", "k_proj"], "all-linear", ".*q_proj", [],
                       ["nonsense"], "(", "(a+)+$", None, 3, ["lm_head"], ["embed_tokens"],
                       [".*"], ["q_proj", "q_proj"], {"q_proj": 1}),
    "exclude_modules": (["q_proj"], ".*", "(", None),
    "modules_to_save": (["lm_head"], ["embed_tokens"], ["nonsense"], [], "x", ["q_proj"]),
    "layers_to_transform": ([0], 0, [9], [], [-1], "x"), "layers_pattern": ("layers", "x", ["h"]),
    "rank_pattern": ({"q_proj": 2}, {"x": 4}, {"(": 4}, {"(a+)+$": 4}, {"q_proj": 0}, [], None),
    "alpha_pattern": ({"q_proj": 2}, {"layers.0.self_attn.q_proj": 1}, {"(": 3}, [], None),
    "bias": ("all", "lora_only", "none", "x", None), "use_dora": (True, None, "x"),
    "use_rslora": (True, False), "fan_in_fan_out": (True,), "lora_bias": (True,),
    "peft_type": ("LORA", "IA3", "VERA", "LOHA", "LOKR", "OFT", "PREFIX_TUNING", "P_TUNING",
                  "ADALORA", "X", None, "lora", "BOFT", "HRA", "LN_TUNING", "FOURIERFT", "SHIRA"),
    "task_type": ("SEQ_CLS", "SEQ_2_SEQ_LM", None, "X", "FEATURE_EXTRACTION"),
    "init_lora_weights": (True, False, "pissa", "olora", "corda", "loftq", "eva", "x", "gaussian"),
    "layer_replication": ([[0, 2], [1, 3]], [[0, 9]], "x", []),
    "trainable_token_indices": ([0, 1], {"embed_tokens": [1]}, [9999], "x"),
    "target_parameters": (["q_proj.weight"], ["x"], [], "x"), "inference_mode": (False, None),
    "megatron_config": ({}, {"x": 1}), "megatron_core": ("megatron.core", "x", None),
    "loftq_config": ({}, {"x": 1}, None), "eva_config": ({}, None), "corda_config": ({}, None),
    "qalora_group_size": (0, 1, 16), "use_qalora": (True,), "use_bdlora": (True, {}),
    "alora_invocation_tokens": ([1, 2], [], "x"), "arrow_config": ({}, None),
    "revision": ("x", None), "auto_mapping": ({}, None, "x"), "runtime_config": ({}, None),
    "ensure_weight_tying": (True,), "lora_ga_config": ({}, None), "peft_version": ("0.1", 3, None),
}  # fmt: skip
GENERATION = {"temperature": (0, -1, "x"), "eos_token_id": (0, [1, 2], "x", 10**9, -1)}
FILES: dict[str, dict[str, tuple[Any, ...]]] = {
    "config.json": CONFIG,
    "tokenizer.json": TOKENIZER,
    "tokenizer_config.json": TOKENIZER_CONFIG,
    "adapter_config.json": ADAPTER,
    "generation_config.json": GENERATION,
    "model.safetensors.index.json": {
        "weight_map": ({}, [], None, {"x": "y"}, {"model.norm.weight": "../x"}),
        "total_size": (0, "x", 2**70),
    },
}
KINDS = ("checkpoint", "checkpoint", "weights", "tokenizer", "tokenizer", "adapter", "adapter",
         "adapter weights", "shards", "run")  # fmt: skip
NOTES = "what was changed"
"""A file beside a pair; its first line is the kind, the others say what was done."""
_made = tempfile.TemporaryDirectory(prefix="stress-pairs-")


@cache
def _pairs(family: str) -> Path:
    """A folder with a pair of whole models, one in shards, two adapters and a run."""
    from tests.tiny import save_adapters, save_pair, save_run

    room = Path(_made.name) / family
    save_pair(room / "pair", family)
    if family in ("llama", "gpt2", "qwen2"):
        save_adapters(room / "adapters", family)
        save_run(room / "run", family, ranks=(1, 2))
    from transformers import AutoModelForCausalLM

    shutil.copytree(room / "pair" / "policy", room / "shards")
    (room / "shards" / "model.safetensors").unlink()
    model = AutoModelForCausalLM.from_pretrained(room / "pair" / "policy")
    model.save_pretrained(room / "shards", max_shard_size="60KB")
    return room


def prepare() -> None:
    """Make what all are copied from, once: before the processes that open them begin."""
    for family in FAMILIES:
        _pairs(family)


def make(folder: Path, rng: random.Random) -> Path:
    """Write a pair into a folder, one or two of its files changed; return the folder."""
    kind = rng.choice(KINDS)
    family = rng.choice(FAMILIES if kind in (*KINDS[:5], "shards") else FAMILIES[:3])
    made = _pairs(family)
    if kind.startswith("adapter"):
        base = _linked(made / "adapters" / "base", folder / "base")
        policy = _copied(made / "adapters" / "policy_adapter", folder / "policy", base)
        spec = {"policy": "policy", "reference": rng.choice(("", "base", "reference"))}
        if spec["reference"] == "reference":
            _copied(made / "adapters" / "reference_adapter", folder / "reference", base)
        spec["base"] = "base"
    elif kind == "run":
        base = _linked(made / "run" / "base", folder / "base")
        for one in (made / "run" / "run").iterdir():
            _copied(one, folder / "run" / one.name, base)
        policy = rng.choice(sorted(it for it in (folder / "run").iterdir()))
        spec = {"run": "run", "base": "base"}
    else:
        shards = kind == "shards"
        policy = _copied(made / "shards" if shards else made / "pair" / "policy", folder / "policy")
        _linked(made / "pair" / "reference", folder / "reference")
        spec = {"policy": "policy", "reference": rng.choice(("reference", "reference", ""))}
    done = [_change(policy, kind, rng)]
    if rng.random() < 0.15:
        done.append(_change(policy, kind, rng))
    lines = [f"{kind} of {family}", *done, json.dumps(spec)]
    (folder / NOTES).write_text("\n".join(lines), "utf-8")
    return folder


def _linked(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def _copied(source: Path, target: Path, base: Path | None = None) -> Path:
    shutil.copytree(source, target)
    if base is not None:
        file = target / "adapter_config.json"
        config = json.loads(file.read_text("utf-8"))
        file.write_text(json.dumps(config | {"base_model_name_or_path": str(base)}), "utf-8")
    return target


def _change(folder: Path, kind: str, rng: random.Random) -> str:
    """Change one file of a checkpoint, of the part that ``kind`` names."""
    weights = sorted(folder.glob("*.safetensors"))
    match kind:
        case "checkpoint":
            names = ["config.json"] * 4 + ["generation_config.json"]
        case "tokenizer":
            names = ["tokenizer.json", "tokenizer.json", "tokenizer_config.json"]
        case "shards":
            names = ["model.safetensors.index.json", "weights"]
        case "adapter":
            names = ["adapter_config.json"]
        case "run":
            names = ["adapter_config.json", "weights"]
        case _:
            names = ["weights"]
    name = rng.choice(names)
    if name != "weights" and not (folder / name).is_file():
        name = "config.json" if (folder / "config.json").is_file() else "weights"
    if rng.random() < 0.02:
        (weights[0] if name == "weights" else folder / name).unlink(missing_ok=True)
        return f"without {name}"
    try:
        if name == "weights":
            return change_weights(rng.choice(weights), rng) if weights else "no weights"
        return change_json_file(folder / name, rng, FILES.get(name))
    except (ValueError, LookupError, TypeError, OSError, RecursionError):  # it was changed before
        return f"{name}: no more"


def parsed(folder: Path) -> bool:
    """Return whether what was changed is still what its format's own parser takes."""
    from safetensors import SafetensorError, safe_open

    spec = json.loads((folder / NOTES).read_text("utf-8").splitlines()[-1])
    for path in folder.rglob("*"):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text("utf-8"))
            elif path.suffix == ".safetensors" and spec:
                with safe_open(path, "pt"):
                    pass
        except (ValueError, RecursionError, OSError, SafetensorError):
            return False
    return True


def describe(folder: Path) -> str:
    """Return what was done to a pair, in a line."""
    return "; ".join((folder / NOTES).read_text("utf-8").splitlines()[:-1])


def open_it(folder: Path) -> str:
    """Open a pair by the public ways; return "opened", or what else is to be counted.

    Raises:
        UserFacingError: it is refused, in one sentence.
        AssertionError: it opens, and shows wrong numbers.
    """
    from core.checkpoints.describe import describe as described
    from core.engine.answering import Answering
    from core.engine.protocol import Examine, Failed, Load, PairSpec, Score
    from core.errors import UserFacingError
    from core.text import Prompt

    plan = json.loads((folder / NOTES).read_text("utf-8").splitlines()[-1])
    spec = PairSpec(
        **{key: str(folder / name) if name else "" for key, name in plan.items()},
        device="cpu",
        dtype="float32",
    )
    engine = Answering(lambda event: None, lambda: False)
    for name in ("policy", "run"):
        if plan.get(name) and not spec.run:
            with contextlib.suppress(UserFacingError):
                described(folder / plan[name])
    examined = engine.answer(Examine(1, spec))
    _no_surprise(examined)
    answer = engine.answer(Load(2, spec))
    _no_surprise(answer)
    if isinstance(answer, Failed):
        raise UserFacingError(answer.message)
    prompt = Prompt.of(ASKED)
    scored = engine.answer(Score(3, "A", prompt, text=TEXT))
    _no_surprise(scored)
    if isinstance(scored, Failed):
        raise UserFacingError(scored.message)
    return compared(engine.session.pair, scored.scoring, prompt, folder, plan)


def _no_surprise(event: Any) -> None:
    from core.engine.protocol import Failed

    if isinstance(event, Failed) and event.message.startswith("Something unexpected"):
        raise RuntimeError(event.message)


def compared(pair: Any, scoring: Any, prompt: Any, folder: Path, plan: dict[str, str]) -> str:
    """Compare a score with plain forwards; return "opened" and how that could be judged.

    Raises:
        AssertionError: the numbers differ.
    """
    import numpy as np
    import torch

    context = scoring.tokens.context or pair.codec.prompt_ids(prompt)
    ids = [*map(int, context), *map(int, scoring.ids)]
    count = len(scoring.ids)
    policy = folder / plan["policy"] if plan.get("policy") else Path(pair.shown)
    sides = [(policy, scoring.logp_policy)]
    if plan.get("reference"):
        sides.append((folder / plan["reference"], scoring.logp_reference))
    for path, found in sides:
        try:
            model = _plain(path, folder / "base")
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([ids])).logits[0].double()
        except Exception:
            return "opened, where transformers itself cannot"
        logp = logits.log_softmax(-1)[-count - 1 : -1]
        taken = logp.gather(-1, torch.tensor(scoring.ids)[:, None].long())[:, 0].numpy()
        apart = np.abs(taken - np.asarray(found, dtype=np.float64)).max()
        assert apart <= MARGIN, f"{path.name} is off by {apart:.1e} nats from a plain forward"
    return "opened"


def _plain(path: Path, base: Path) -> Any:
    """The model of a folder as transformers and PEFT load it themselves."""
    import torch
    from transformers import AutoModelForCausalLM

    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    if not (path / "adapter_config.json").is_file():
        return AutoModelForCausalLM.from_pretrained(path, **options).eval()
    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(base, **options)
    return PeftModel.from_pretrained(model, path).eval()
