"""Loading a tokenizer that is only a sentencepiece vocabulary, or saying what that needs."""

import json
from pathlib import Path

import pytest

from core.errors import UserFacingError
from core.models import tokenizer
from tests.core.plain_forward import RESPONSE, plain, scored
from tests.tiny import CORPUS, tiny_model


def test_a_sentencepiece_vocabulary_alone_gives_its_own_tokens(tmp_path: Path) -> None:
    pieces = pytest.importorskip("sentencepiece")
    folder, corpus = tmp_path / "it", tmp_path / "corpus.txt"
    model = tiny_model("llama", 400)
    model.save_pretrained(folder)
    corpus.write_text("\n".join(CORPUS * 20))
    pieces.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "tokenizer"), vocab_size=400, minloglevel=2,
        model_type="bpe", byte_fallback=True, character_coverage=0.99, pad_id=-1,
    )  # fmt: skip
    said = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**said, "unk_token": "<unk>"}))
    pair, _, found = scored(folder, folder)
    assert found.logp_policy == pytest.approx(plain(pair, model), abs=1e-4)
    own = pieces.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    joined = own.encode(f"x {RESPONSE}")[-4:]
    assert list(found.ids[-5:-1]) == joined


def test_what_it_needs_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"")
    monkeypatch.setattr(tokenizer, "_is_there", lambda module: module != "sentencepiece")
    with pytest.raises(UserFacingError, match="needs sentencepiece: pip install sentencepiece"):
        tokenizer.load_tokenizer(tmp_path)
