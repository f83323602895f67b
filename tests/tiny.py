"""Tiny random models and tokenizers, built in process: the engine is tested without weights."""

import json
from functools import cache
from pathlib import Path

CORPUS = [
    "The poster was offered a job at Harbour Labs for $53K a year and will start in May.",
    "Summarise this post in one sentence. They turned it down flat: the salary was too low!",
    "A management position, 250 people, 12 March, 7:30 pm, 1,200 euros; naïve café, Zoë, 你好世界",
    "line one\nline two\n\n\tindented, with  two spaces and an emoji 🙂 and עברית too.",
]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCAB = 480


def _fast(tokenizer, template):
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[0],
        additional_special_tokens=SPECIAL[1:],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = template
    return fast


@cache
def byte_level_tokenizer(template=TEMPLATE):
    """A byte-level BPE tokenizer (as of GPT-2, Llama 3, SmolLM2) with a ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS * 3,
        trainers.BpeTrainer(
            vocab_size=VOCAB,
            special_tokens=SPECIAL,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return _fast(tokenizer, template)


@cache
def metaspace_tokenizer(template=TEMPLATE):
    """A sentencepiece-like BPE with byte fallback (as of Llama 2, Mistral, Gemma)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    tokenizer.train_from_iterator(
        [line.split("naïve")[0] for line in CORPUS] * 3,
        trainers.BpeTrainer(
            vocab_size=VOCAB,
            show_progress=False,
            special_tokens=[*SPECIAL, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
        ),
    )
    return _fast(_plain_bytes(tokenizer), template)


def _plain_bytes(tokenizer):
    """The same tokenizer with its byte tokens no longer special: the trainer knows no other way."""
    from tokenizers import Tokenizer

    saved = json.loads(tokenizer.to_str())
    saved["added_tokens"] = [t for t in saved["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(saved))


def tiny_model(kind="llama", vocab_size=VOCAB, seed=0):
    """A random float32 causal LM of a few layers; the same seed gives the same weights."""
    import torch
    import transformers as hf

    common = {
        "vocab_size": vocab_size,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 1024,
    }
    grouped = {**common, **sizes, "num_key_value_heads": 2}
    configs = {
        "llama": lambda: hf.LlamaConfig(**grouped, tie_word_embeddings=True),
        "qwen2": lambda: hf.Qwen2Config(**grouped),
        "gpt_neox": lambda: hf.GPTNeoXConfig(**common, **sizes),
        "gpt2": lambda: hf.GPT2Config(**common, n_embd=64, n_layer=3, n_head=4),
        "gemma2": lambda: hf.Gemma2Config(
            **{**grouped, "num_hidden_layers": 4}, head_dim=16, sliding_window=5
        ),
        "cohere": lambda: hf.CohereConfig(**grouped, logit_scale=0.3),
        "granite": lambda: hf.GraniteConfig(**grouped, logits_scaling=8.0),
        "falcon": lambda: hf.FalconConfig(
            **common, hidden_size=64, num_hidden_layers=3, num_attention_heads=4
        ),
        "bloom": lambda: hf.BloomConfig(**common, hidden_size=64, n_layer=3, n_head=4),
        "mpt": lambda: hf.MptConfig(**common, d_model=64, n_layers=3, n_heads=4, max_seq_len=256),
        "mamba": lambda: hf.MambaConfig(**common, hidden_size=64, num_hidden_layers=3),
        "mistral": lambda: hf.MistralConfig(**grouped, sliding_window=5),
        "mamba2": lambda: hf.Mamba2Config(
            **common,
            hidden_size=64,
            num_hidden_layers=3,
            num_heads=8,
            head_dim=16,
            n_groups=2,
            state_size=16,
            chunk_size=8,
        ),
        "qwen3_next": lambda: hf.Qwen3NextConfig(
            **grouped,
            head_dim=16,
            moe_intermediate_size=32,
            shared_expert_intermediate_size=32,
            num_experts=4,
            num_experts_per_tok=2,
            linear_num_value_heads=4,
            linear_num_key_heads=2,
            linear_key_head_dim=16,
            linear_value_head_dim=16,
            layer_types=["linear_attention", "linear_attention", "full_attention"],
        ),
        "lfm2": lambda: hf.Lfm2Config(
            **grouped,
            layer_types=["conv", "full_attention", "conv"],
            block_auto_adjust_ff_dim=False,
        ),
        "falcon_h1": lambda: hf.FalconH1Config(
            **grouped,
            mamba_d_ssm=128,
            mamba_n_heads=8,
            mamba_d_head=16,
            mamba_d_state=16,
            mamba_chunk_size=8,
        ),
        "granitemoehybrid": lambda: hf.GraniteMoeHybridConfig(
            **grouped,
            num_local_experts=4,
            num_experts_per_tok=2,
            shared_intermediate_size=32,
            mamba_n_heads=8,
            mamba_d_head=16,
            mamba_d_state=16,
            mamba_chunk_size=8,
            layer_types=["linear_attention", "full_attention", "linear_attention"],
        ),
        "zamba2": lambda: hf.Zamba2Config(
            **{**common, **sizes, "num_hidden_layers": 4},
            attention_hidden_size=128,
            attention_head_dim=32,
            num_key_value_heads=4,
            n_mamba_heads=8,
            mamba_d_state=16,
            mamba_headdim=16,
            chunk_size=8,
            layers_block_type=["linear_attention", "hybrid"] * 2,
        ),
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = hf.AutoModelForCausalLM.from_config(configs[kind]())
    return model.eval()


def save_pair(folder: Path, kind="llama"):
    """Write two full checkpoints with one tokenizer: ``folder/policy``, ``folder/reference``."""
    for seed, name in enumerate(("policy", "reference")):
        save_model(Path(folder) / name, kind, seed)
    return Path(folder) / "policy", Path(folder) / "reference"


def save_model(folder: Path, kind="llama", seed=0, template=TEMPLATE):
    """Write one full checkpoint folder with its tokenizer."""
    tokenizer = byte_level_tokenizer(template)
    tiny_model(kind, len(tokenizer), seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def save_adapters(folder: Path, kind="llama"):
    """Write ``base`` and two LoRA adapters on it: ``policy_adapter``, ``reference_adapter``."""
    import torch
    from peft import LoraConfig, get_peft_model

    base = save_model(Path(folder) / "base", kind, seed=5)
    targets = {"gpt2": ["c_attn"]}.get(kind, ["q_proj", "down_proj"])
    found = []
    for seed, name in enumerate(("policy_adapter", "reference_adapter")):
        model = tiny_model(kind, len(byte_level_tokenizer()), 5)
        config = LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=targets,
            task_type="CAUSAL_LM",
            base_model_name_or_path=str(base),
        )
        wrapped = get_peft_model(model, config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter_name, parameter in wrapped.named_parameters():
                if "lora_" in parameter_name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        wrapped.peft_config["default"].base_model_name_or_path = str(base)
        wrapped.save_pretrained(Path(folder) / name)
        found.append(Path(folder) / name)
    return base, *found


def save_run(folder: Path, kind="llama", ranks=(1, 2, 3), std=0.2, reference=True, **options):
    """Write ``folder/base`` and ``folder/run``: a checkpoint of random LoRA factors for each rank,
    at steps 10, 20, ..., and, if there shall be one, ``run/ref``. Returns both."""
    base, run = save_model(Path(folder) / "base", kind, seed=5), Path(folder) / "run"
    for i, rank in enumerate(ranks, 1):
        save_lora(run / f"checkpoint-{10 * i}", base, kind, rank, i, std, **options)
    if reference:
        save_lora(run / "ref", base, kind, 2, 99, std, **options)
    return base, run


def save_lora(folder: Path, base: Path, kind="llama", rank=2, seed=0, std=0.2, **options):
    """Write one adapter of random factors on the model of ``save_model(base, kind, 5)``."""
    import torch
    from peft import LoraConfig, get_peft_model

    targets = {"gpt2": ["c_attn", "c_proj"]}.get(kind, ["q_proj", "down_proj"])
    settings = {"target_modules": targets, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | options
    settings["fan_in_fan_out"] = kind == "gpt2"
    wrapped = get_peft_model(
        tiny_model(kind, len(byte_level_tokenizer()), 5), LoraConfig(r=rank, **settings)
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "lora_" in name:
                parameter.copy_(noise * std)
            elif parameter.requires_grad:  # a module that is saved whole
                parameter.add_(noise * 0.05)
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(folder)
    return folder
