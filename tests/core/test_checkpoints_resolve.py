"""Which checkpoints make a pair, how they are loaded, and how much memory that takes."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from core.checkpoints.memory import KV_TOKENS, Need, check_fits, estimate
from core.checkpoints.plan import PairPlan
from core.checkpoints.resolve import resolve_pair
from core.demo import base as fetch
from core.demo.pair import demo_plan
from core.errors import UserFacingError
from core.folders import cache_folder
from tests.core.checkpoint_folders import HIDDEN, TOKENIZER, write_adapter, write_model


def pair_sentence(*paths: Path | None, **options: bool) -> str:
    with pytest.raises(UserFacingError) as caught:
        resolve_pair(*paths, **options)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def folders(plan: PairPlan) -> list[str | None]:
    paths = plan.base, plan.policy_model, plan.policy_adapter
    return [p and p.name for p in (*paths, plan.reference_model, plan.reference_adapter)]


def test_two_models(tmp_path: Path) -> None:
    plan = resolve_pair(write_model(tmp_path / "dpo"), write_model(tmp_path / "sft"))
    assert folders(plan) == [None, "dpo", None, "sft", None] and not plan.shared
    assert (plan.policy_name, plan.reference_name) == ("dpo", "sft")
    assert plan.tokenizer == (tmp_path / "dpo").resolve()


def test_two_adapters_share_their_base(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    paths = [write_adapter(tmp_path / name, str(base)) for name in ("dpo", "sft")]
    plan = resolve_pair(*paths)
    assert folders(plan) == ["base", "base", "dpo", "base", "sft"] and plan.shared
    assert plan.policy_name == "dpo (adapter on base)"
    assert plan.reference_name == "sft (adapter on base)"
    assert plan.tokenizer == base.resolve()


def test_without_reference_the_adapter_is_off_and_no_sibling_is_guessed(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    write_adapter(tmp_path / "sft", str(base))
    for reference in (None, base):
        policy = tmp_path / f"dpo-{reference is None}"
        plan = resolve_pair(write_adapter(policy, str(base)), reference)
        assert plan.shared and plan.reference_adapter is None
        assert plan.reference_name == "base, adapters off"


def test_a_merged_policy_with_an_adapter_as_reference(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    policy, sft = write_model(tmp_path / "merged"), write_adapter(tmp_path / "sft", str(base))
    plan = resolve_pair(policy, sft)
    assert folders(plan) == [None, "merged", None, "base", "sft"] and not plan.shared
    assert plan.reference_name == "sft (adapter on base)"


def test_adapters_on_two_bases_and_an_adapter_against_another_model(tmp_path: Path) -> None:
    one, two = write_model(tmp_path / "one"), write_model(tmp_path / "two")
    dpo, sft = write_adapter(tmp_path / "dpo", str(one)), write_adapter(tmp_path / "sft", str(two))
    assert folders(resolve_pair(dpo, sft)) == [None, "one", "dpo", "two", "sft"]
    plan = resolve_pair(dpo, two)
    assert not plan.shared and plan.reference_name == "two"


def test_folders_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    plan = resolve_pair(
        write_model(tmp_path / "a" / "model-x"), write_model(tmp_path / "b/model-x")
    )
    assert (plan.policy_name, plan.reference_name) == ("a/model-x", "b/model-x")


def test_a_policy_may_be_alone(tmp_path: Path) -> None:
    whole = resolve_pair(write_model(tmp_path / "base"))
    adapter = write_adapter(tmp_path / "dpo", "base")
    trained_alone = resolve_pair(adapter, loss="simpo")
    for plan in (whole, trained_alone):
        assert plan.reference is None and plan.reference_model is None and not plan.shared
        assert plan.reference_name == "" and plan.sides == (plan.policy,)
    assert trained_alone.policy_adapter == adapter
    named = resolve_pair(adapter, tmp_path / "base", loss="simpo")
    assert named.reference_name == "base, adapters off"


def test_a_base_is_found_where_the_adapter_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "run" / "base")
    for i, said in enumerate(("../base", "base", str(tmp_path / "run" / "base"))):
        policy = write_adapter(tmp_path / "run" / f"dpo{i}", said)
        assert folders(resolve_pair(policy))[0] == "base"
    snapshot = tmp_path / "hub" / "models--org--big" / "snapshots" / "abc"
    write_model(snapshot)
    refs = tmp_path / "hub" / "models--org--big" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    plan = resolve_pair(write_adapter(tmp_path / "x", "org/big"))
    assert plan.base == snapshot.resolve() and plan.reference_name == "org/big, adapters off"
    demo = write_model(cache_folder() / fetch.DEMO_BASE)
    plan = resolve_pair(write_adapter(tmp_path / "y", "HuggingFaceTB/SmolLM2-135M-Instruct"))
    assert plan.base == demo.resolve()


def test_a_reference_of_the_right_name_serves_as_base(tmp_path: Path) -> None:
    base = write_model(tmp_path / "big")
    plan = resolve_pair(write_adapter(tmp_path / "dpo", "/gone/big"), base)
    assert plan.base == base.resolve()


def test_an_absent_base_asks_for_it(tmp_path: Path) -> None:
    dpo = write_adapter(tmp_path / "dpo", "org/big")
    assert "org/big, is not on this machine" in pair_sentence(dpo, None)
    other = write_model(tmp_path / "other")
    assert "with --base DIR" in pair_sentence(dpo, other)
    assert "does not say which base" in pair_sentence(write_adapter(tmp_path / "no", ""), other)
    plan = resolve_pair(dpo, write_adapter(tmp_path / "sft", "org/big"), other)
    assert folders(plan) == ["other", "other", "dpo", "other", "sft"]


def test_a_base_that_is_an_adapter(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    sft = write_adapter(tmp_path / "sft", str(base))
    dpo = write_adapter(tmp_path / "dpo", str(sft))
    assert "itself an adapter: merge that one" in pair_sentence(dpo, None)
    assert "itself an adapter: pass the whole model" in pair_sentence(dpo, None, sft)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wide": 12}, "q_proj is 12 x 16 there and 8 x 16 in the base"),
        ({"layer": 2}, r"layers\.2\.self_attn\.q_proj, which the base does not have"),
        ({"module": "c_attn"}, "c_attn, which the base does not have"),
    ],
)
def test_an_adapter_that_does_not_fit(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    base = write_model(tmp_path / "base")
    policy = write_adapter(tmp_path / "dpo", "org/right", **change)
    with pytest.raises(UserFacingError, match=said) as caught:
        resolve_pair(policy, None, base)
    assert "org/right" in str(caught.value) and "--base" in str(caught.value)


def renamed(folder: Path, old: str, new: str) -> Path:
    """A checkpoint whose tensors have another name."""
    (path,) = folder.glob("*.safetensors")
    save_file({name.replace(old, new): tensor for name, tensor in load_file(path).items()}, path)
    return folder


@pytest.mark.parametrize(
    ("kind", "on_disk", "in_memory"),
    [
        ("mixtral", "block_sparse_moe.gate", "mlp.gate"),  # renamed by loading
        ("sarvam_moe", "attention.query_key_value", "self_attn.q_proj"),  # split by loading
    ],
)
def test_names_in_memory_that_are_not_those_on_disk(
    tmp_path: Path, kind: str, on_disk: str, in_memory: str
) -> None:
    pytest.importorskip(f"transformers.models.{kind}")  # the lowest version does not know all

    def model(name: str, there: str) -> Path:
        return renamed(write_model(tmp_path / name, model_type=kind), "self_attn.q_proj", there)

    def adapter(name: str, layer: int) -> Path:
        written = write_adapter(tmp_path / name, "org/right", layer=layer)
        return renamed(written, "self_attn.q_proj", in_memory)

    assert resolve_pair(adapter("dpo", 0), None, model("base", on_disk)).shared
    if kind == "mixtral":
        with pytest.raises(UserFacingError, match=r"layers\.2\.mlp\.gate, which the base does"):
            resolve_pair(adapter("deeper", 2), None, tmp_path / "base")
        with pytest.raises(UserFacingError, match=r"layers\.0\.mlp\.gate, which the base does"):
            resolve_pair(adapter("other", 0), None, model("llama", "mlp.up_proj"))


def changed(**changes: Any) -> dict[str, Any]:
    """The tokenizer with a part of its model, or its added tokens, replaced."""
    added = changes.pop("added_tokens", TOKENIZER["added_tokens"])
    return {"added_tokens": added, "model": {**TOKENIZER["model"], **changes}}  # type: ignore[dict-item]


SWAPPED = {**TOKENIZER["model"]["vocab"], "a": 1, "b": 0}  # type: ignore[index]


@pytest.mark.parametrize(
    ("tokenizer", "said"),
    [
        (changed(vocab=SWAPPED), r"2 tokens differ, first 0: 'a' against 'b'"),
        (changed(vocab={**SWAPPED, "a": 0, "b": 1, "o": 20}), r"2 tokens differ, first 14"),
        (changed(added_tokens=[{"id": 15, "content": "<stop>"}]), r"one token differs, first 15"),
        (changed(merges=["c d", "a b"]), "merges differ"),
    ],
)
def test_different_tokenizers(tmp_path: Path, tokenizer: dict[str, Any], said: str) -> None:
    policy, reference = write_model(tmp_path / "a"), write_model(tmp_path / "b", tokenizer)
    with pytest.raises(UserFacingError, match=said):
        resolve_pair(policy, reference)


def test_tokenizers_that_say_the_same_in_other_words(tmp_path: Path) -> None:
    pad = {"id": 16, "content": "<pad>"}
    alike = changed(merges=[["a", "b"], ["c", "d"]], added_tokens=[*TOKENIZER["added_tokens"], pad])
    policy, reference = write_model(tmp_path / "a"), write_model(tmp_path / "b", alike)
    assert resolve_pair(policy, reference).tokenizer == policy.resolve()


def test_vocabularies_of_different_size(tmp_path: Path) -> None:
    """Allowed where both tokenizers say the same of the tokens that both models have."""
    policy = write_model(tmp_path / "a")
    more = {"id": 16, "content": "<pad>"}
    vocab = {**SWAPPED, "a": 0, "b": 1, "q": 17}
    longer = changed(added_tokens=[*TOKENIZER["added_tokens"], more], vocab=vocab)
    for name, tokenizer in ("padded", TOKENIZER), ("longer", longer):
        plan = resolve_pair(policy, write_model(tmp_path / name, tokenizer, vocab_size=20))
        assert plan.vocab_size == 20
    bare = write_model(tmp_path / "bare", None, vocab_size=20)
    assert "vocabularies of 16 and 20 tokens" in pair_sentence(policy, bare)
    other = write_model(tmp_path / "other", changed(vocab=SWAPPED), vocab_size=20)
    assert "2 tokens differ, first 0" in pair_sentence(policy, other)


def test_the_tokenizer_comes_from_where_there_is_one(tmp_path: Path) -> None:
    bare, whole = write_model(tmp_path / "bare", None), write_model(tmp_path / "whole")
    assert resolve_pair(bare, whole).tokenizer == whole.resolve()
    assert "has no tokenizer" in pair_sentence(bare, write_model(tmp_path / "bare2", None))
    dpo = write_adapter(tmp_path / "dpo", str(bare))
    (dpo / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    assert resolve_pair(dpo).tokenizer == dpo.resolve()


def test_pickles_are_refused_in_every_place(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    dpo = write_adapter(tmp_path / "dpo", str(base))
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    assert "can run any code" in pair_sentence(dpo, None)
    assert resolve_pair(dpo, allow_pickle=True).allow_pickle


def test_the_demo_without_its_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.demo.pair.DEMO_FOLDER", tmp_path)
    with pytest.raises(UserFacingError, match=r"adapter .*dpo is missing"):
        demo_plan(lambda what, fraction: None)


# Memory


def test_shared_weights_are_counted_once(tmp_path: Path) -> None:
    base, other = write_model(tmp_path / "base"), write_model(tmp_path / "other")
    dpo, sft = (write_adapter(tmp_path / name, str(base)) for name in ("dpo", "sft"))
    numbers, factors = 384, 2 * 8 + 16 * 2
    assert estimate(resolve_pair(dpo, sft), "float32").weights == 4 * (numbers + 2 * factors)
    # PEFT keeps the factors in float32 over a base of any format.
    assert estimate(resolve_pair(dpo), "bfloat16").weights == 2 * numbers + 4 * factors
    # An adapter over a base of its own is not merged into it.
    assert estimate(resolve_pair(dpo, other), "float32").weights == 4 * (2 * numbers + factors)
    assert estimate(resolve_pair(other, base), "float32").weights == 2 * 4 * numbers
    assert estimate(resolve_pair(base, base), "float32").weights == 4 * numbers
    need = estimate(resolve_pair(dpo, sft), "float32", logits=1000)
    assert need.logits == 4 * 1000
    assert min(KV_TOKENS, 64) == 64  # the context is shorter than what the estimate assumes
    assert need.kv == 2 * 64 * 4 * (16 + HIDDEN)
    assert need.total == need.weights + need.kv + need.logits


def test_a_device_that_is_too_small_is_said_beforehand() -> None:
    need = Need(weights=13 * 10**9, kv=10**9, logits=0, dtype="float32")
    check_fits(need, None, "mps")
    check_fits(need, 14 * 10**9, "cuda")
    with pytest.raises(UserFacingError) as caught:
        check_fits(need, 8 * 10**9, "cuda")
    assert "needs about 14.0 GB in float32, but cuda has only 8.0 GB" in str(caught.value)
    assert "--dtype bfloat16" in str(caught.value) and "--device cpu" in str(caught.value)
    with pytest.raises(UserFacingError) as caught:
        check_fits(need, 10**9, "cpu")
    assert "bfloat16" not in str(caught.value) and "--device" not in str(caught.value)
