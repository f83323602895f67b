"""Where a response lies: in every template that TRL ships, and as TRL's own trainers find it."""

import copy
import re
from functools import cache
from pathlib import Path
from types import MethodType, SimpleNamespace

import pytest
import trl
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from trl import DPOTrainer, KTOTrainer
from trl.data_utils import maybe_apply_chat_template
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from core.codec import Codec
from core.text import Message, Prompt
from tests.tiny import CORPUS

TEMPLATES = {
    path.stem: path.read_text("utf-8")
    for path in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
}
SIGNS = re.compile(r"<\|?[\w/][\w/:.▁| ]*?\|?>|<｜[^｜\s]+｜>|\[/?[A-Z_]+\]")
BOS, EOS = "<|begin|>", "<|eos|>"
PROMPT = Prompt.of("Summarise this post.\n\nThey offered me $53K a year.")
PAIRS = {
    "two sentences": ("They got a job for $53K.", "The poster was offered nothing at all."),
    "one begins like the other": ("They got a job.", "They got a job. In May."),
    "white space": ("  They said yes.\n\n", " No!\n"),
    "nothing": ("", "Yes."),
}


@cache
def tokenizer_for(source):
    """A byte-level tokenizer to which all signs of a template are special tokens."""
    signs = sorted({sign for sign in SIGNS.findall(source or "") if len(sign) < 40})
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS * 3,
        trainers.BpeTrainer(
            vocab_size=480,
            special_tokens=[BOS, EOS],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    backend.add_special_tokens(signs)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BOS, eos_token=EOS, pad_token=EOS
    )
    fast.chat_template = source
    return fast


def prepared(tokenizer, examples):
    """Yield what TRL's DPOTrainer and its collator make of each side of examples of one kind, the
    chosen first: (ids, completion mask)."""
    settings = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
    data = DPOTrainer._prepare_dataset(
        SimpleNamespace(_tokenizer=tokenizer), Dataset.from_list(examples), tokenizer, settings, "t"
    )
    for row in data:
        batch = DataCollatorForPreference(pad_token_id=0)([row])
        for ids, seen, mask in zip(
            batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True
        ):
            length = int(seen.sum())
            yield ids[:length].tolist(), mask[:length].tolist()


def of_codec(codec, pair, prompt=PROMPT):
    """The same by the codec: of chosen beside rejected, and of rejected beside chosen."""
    for text, beside in (pair, pair[::-1]):
        tokens = codec.encode(prompt, text, beside)
        scored = (*tokens.ids, *tokens.closing)
        yield [*tokens.context, *scored], [0] * len(tokens.context) + [1] * len(scored)


def turns(messages, parts=False):
    return [
        {
            "role": it.role,
            "content": [{"type": "text", "text": it.content}] if parts else it.content,
        }
        for it in messages
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_response_lies_where_trl_s_collator_masks(name):
    tokenizer = tokenizer_for(TEMPLATES[name])
    codec = Codec(tokenizer, "rest")
    parts = all(codec._template._parts)
    examples = [
        {
            "prompt": turns(PROMPT.messages, parts),
            "chosen": turns([Message("assistant", pair[0])], parts),
            "rejected": turns([Message("assistant", pair[1])], parts),
        }
        for pair in PAIRS.values()
    ]
    found = [side for pair in PAIRS.values() for side in of_codec(codec, pair)]
    assert found == list(prepared(tokenizer, examples))
    for text in PAIRS["two sentences"]:
        tokens = codec.encode(PROMPT, text)
        assert codec.decode(PROMPT, tokens.ids, text) == tokens


@pytest.mark.parametrize("name", ["deepseek_r1_distill", "gptoss", "qwen3", "phi3", "llama3_2"])
def test_kto_takes_each_response_by_itself(name):
    tokenizer = tokenizer_for(TEMPLATES[name])
    texts = [text for pair in PAIRS.values() for text in pair]
    examples = [
        {
            "prompt": turns(PROMPT.messages),
            "completion": turns([Message("assistant", text)]),
            "label": True,
        }
        for text in texts
    ]
    settings = SimpleNamespace(dataset_num_proc=None, max_length=None)
    owner = SimpleNamespace(_tokenizer=tokenizer, calculate_KL=False)
    data = KTOTrainer._prepare_dataset(owner, Dataset.from_list(examples), tokenizer, settings, "t")
    codec = Codec(tokenizer, "rest")
    for text, row in zip(texts, data, strict=True):
        tokens = codec.encode(PROMPT, text)
        assert [*tokens.context] == row["prompt_ids"]
        assert [*tokens.ids, *tokens.closing] == row["completion_ids"]


def with_added(before="", after=""):
    """A tokenizer without a template that puts special tokens of its own around a text."""
    tokenizer = copy.deepcopy(tokenizer_for(None))
    names = [name for name in (before, after) if name]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{before} $A {after}".strip(),
        special_tokens=[(name, tokenizer.convert_tokens_to_ids(name)) for name in names],
    )
    return tokenizer


ADDED = {"nothing": ("", ""), "BOS": (BOS, ""), "BOS and EOS": (BOS, EOS), "EOS": ("", EOS)}
ENDINGS = {"a word": "", "a space": " ", "a line": "\n\n", "half a word": " They we"}


@pytest.mark.parametrize("added", ADDED)
@pytest.mark.parametrize("ending", ENDINGS)
def test_plain_text_is_that_of_trl(added, ending):
    """Also where tokens merge across the border, and where the tokenizer ends a prompt with EOS."""
    tokenizer = with_added(*ADDED[added])
    codec = Codec(tokenizer, "rest")
    prompt = Prompt.of("They offered me $53K a year." + ENDINGS[ending])
    pairs = [*PAIRS.values(), ("re here.", " were there." + EOS), (" I said so.", "\n\nNo.")]
    examples = [
        {"prompt": codec.prompt_text(prompt), "chosen": chosen, "rejected": rejected}
        for chosen, rejected in pairs
    ]
    found = [side for pair in pairs for side in of_codec(codec, pair, prompt)]
    assert found == list(prepared(tokenizer, examples))


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("trainer", [CPOTrainer, ORPOTrainer])
@pytest.mark.parametrize("name", [*TEMPLATES, "plain"])
def test_cpo_and_orpo_read_the_answers_apart(trainer, name):
    tokenizer = tokenizer_for(TEMPLATES.get(name))
    codec = Codec(tokenizer, "apart")
    if any(codec._template._parts):
        pytest.skip("these trainers take no content as parts")
    owner = SimpleNamespace(processing_class=tokenizer, is_encoder_decoder=False, max_length=10**6)
    owner.build_tokenized_answer = MethodType(trainer.build_tokenized_answer, owner)
    for pair in PAIRS.values():
        example = {
            "prompt": turns(PROMPT.messages),
            "chosen": turns([Message("assistant", pair[0])]),
            "rejected": turns([Message("assistant", pair[1])]),
        }
        if name == "plain":
            example = {"prompt": PROMPT.messages[0].content, "chosen": pair[0], "rejected": pair[1]}
        row = trainer.tokenize_row(owner, maybe_apply_chat_template(example, tokenizer))
        found = list(of_codec(codec, pair))
        for side, (ids, mask) in zip(("chosen", "rejected"), found, strict=True):
            assert row[f"{side}_input_ids"] == ids
            assert [int(label != -100) for label in row[f"{side}_labels"]] == mask
