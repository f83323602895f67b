"""Adapters' configs that were made to take for ever or to run something, and honest ones."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.describe import describe
from core.errors import UserFacingError
from core.models.adapter_config import read_adapter_config, resolve_names
from tests.core.checkpoint_folders import write_adapter
from tests.tiny import tiny_model

PATIENCE = 60.0


@pytest.fixture(scope="module")
def base() -> Any:
    return tiny_model()


@pytest.fixture
def clock() -> Iterator[list[float]]:
    """The longest time that another thread had to wait for Python's lock."""
    longest, done = [0.0], threading.Event()

    def tick() -> None:
        last = time.monotonic()
        while not done.wait(0.005):
            longest[0] = max(longest[0], time.monotonic() - last)
            last = time.monotonic()

    thread = threading.Thread(target=tick)
    thread.start()
    yield longest
    done.set()
    thread.join()


def written(folder: Path, **said: Any) -> Path:
    folder.mkdir(exist_ok=True)
    kind = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "x"}
    (folder / "adapter_config.json").write_text(json.dumps(kind | said))
    return folder


def adapted(base: Any, config: Any) -> dict[str, tuple[int, float]]:
    """Which modules PEFT adapts by a config, with their ranks and scalings."""
    from peft import inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    wrapped = inject_adapter_in_model(config, tiny_model())
    found = {
        name: (module.r["default"], module.scaling["default"])
        for name, module in wrapped.named_modules()
        if isinstance(module, LoraLayer)
    }
    assert found
    return found


@pytest.mark.parametrize(
    "said",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "down_proj"]},
        {"target_modules": ["layers.1.self_attn.q_proj", "v_proj"]},
        {"target_modules": r".*\.(q|v)_proj"},
        {"target_modules": r"model\.layers\.\d+\.self_attn\.q_proj"},
        {"target_modules": r"(?:.*?(?:self_attn|mlp).*?(?:q_proj|up_proj).*?)|(?:\blm_head)"},
        {"target_modules": r"^(?!.*layers\.1\.).*\.(q_proj|o_proj)$"},
        {"target_modules": "model.layers.0.mlp.up_proj"},
        {"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"]},
        {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*\.1\..*"},
        {"target_modules": "all-linear", "exclude_modules": r".*mlp.*"},
        {"target_modules": ["q_proj"], "layers_to_transform": [0, 2]},
        {"target_modules": ["q_proj"], "layers_to_transform": 1},
        {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
        {"target_modules": ["q_proj", "model.layers.2.mlp.up_proj"], "layers_to_transform": [0, 1],
         "layers_pattern": ["h", "l[a-z]+s"]},
        {"target_modules": ["q_proj"], "layers_to_transform": list(range(200))},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"v_proj": 4},
         "alpha_pattern": {"layers.1.self_attn.q_proj": 3}},
        {"target_modules": ["q_proj", "v_proj", "up_proj"],
         "rank_pattern": {r"layers\.[01]\..*": 5, "v_proj": 4, "^model.*up_proj": 2},
         "alpha_pattern": {r".*\.(q|v)_proj": 3.5, ".*": 7}},
        {"target_modules": [f"model.layers.{i}.mlp.{x}_proj" for i in range(60)
                            for x in ("up", "down")]},
        {"target_modules": ["q_proj"],
         "rank_pattern": {f"model.layers.{i}.self_attn.q_proj": 2 + i % 3 for i in range(150)}},
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_as_peft_alone_would_have_it(tmp_path: Path, base: Any, said: dict[str, Any]) -> None:
    from peft import PeftConfig

    folder = written(tmp_path / "adapter", r=3, lora_alpha=6, **said)
    theirs = PeftConfig.from_pretrained(str(folder))
    ours = read_adapter_config(folder)
    assert ours.to_dict() == theirs.to_dict()
    resolve_names(ours, base, folder)
    assert adapted(base, ours) == adapted(base, theirs)


HANGS = r"(\w*\.*)*!"


@pytest.mark.parametrize(
    "said",
    [
        {"target_modules": HANGS},
        {"target_modules": ["q_proj"], "exclude_modules": HANGS},
        {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": HANGS},
        {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ["a", HANGS]},
        {"target_modules": ["q_proj"], "rank_pattern": {HANGS: 4}},
        {"target_modules": ["q_proj"], "alpha_pattern": {"q_proj": 2, HANGS: 4}},
        {"target_modules": ["q_proj"], "modules_to_save": [HANGS]},
        {"target_modules": r".*.*.*.*.*.*.*.*.*.*.*.*x"},
        {"target_modules": "(" * 3000 + "a" + ")*" * 3000},
        {"target_modules": "(a{1,65000}){1,65000}b"},
        {"target_modules": "("},
        {"target_modules": "a" * 100_000 + "*"},
        {"target_modules": ["q_proj"], "rank_pattern": {f"{i}.*q": 4 for i in range(100_000)}},
        {"peft_type": "IA3", "target_modules": ["q_proj"], "feedforward_modules": HANGS},
        {"peft_type": "FOURIERFT", "target_modules": ["q_proj"],
         "n_frequency_pattern": {HANGS: 4}},
        {"peft_type": "C3A", "target_modules": ["q_proj"], "block_size_pattern": {HANGS: 4}},
        {"peft_type": "OSF", "target_modules": ["q_proj"], "rank_pattern": {HANGS: 4}},
    ],
)  # fmt: skip
def test_expressions_that_take_for_ever(
    tmp_path: Path, base: Any, said: dict[str, Any], clock: list[float]
) -> None:
    folder = written(tmp_path / "adapter", **said)
    began = time.monotonic()
    try:
        resolve_names(read_adapter_config(folder), base, folder)
    except UserFacingError as error:
        assert str(folder) in str(error)
    assert time.monotonic() - began < PATIENCE
    assert clock[0] < PATIENCE / 10


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"megatron_config": {"x": 1}, "megatron_core": "unittest.__main__"}, "Megatron"),
        ({"peft_type": "XLORA", "adapters": {"0": "evil/adapter"}}, "made of other adapters"),
        ({"peft_type": "xlora"}, "made of other adapters"),
        ({"init_lora_weights": "pissa_niter_1000000000"}, "iterations"),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_iter": 10**6}}, "iterations"),
        ({"r": 10**9}, "no model has"),
        ({"r": 10**4}, "rank"),
        ({"rank_pattern": {"q_proj": 10**9}}, "rank"),
    ],
)
def test_what_is_refused(tmp_path: Path, said: dict[str, Any], why: str) -> None:
    folder = write_adapter(tmp_path / "adapter", "base", **said)
    with pytest.raises(UserFacingError, match=why):
        describe(folder)


def test_what_is_passed_over(tmp_path: Path) -> None:
    foreign = {
        "megatron_core": "unittest.__main__",
        "auto_mapping": {"base_model_class": "x", "parent_library": "antigravity"},
        "runtime_config": {"ephemeral_gpu_offload": True},
        "custom_code": "evil.py",
    }
    config = read_adapter_config(written(tmp_path, target_modules=["q_proj"], **foreign))
    assert config.auto_mapping is None
    assert config.megatron_core == "megatron.core"
    assert not hasattr(config, "custom_code")


def test_an_adapter_of_more_than_is_stored(tmp_path: Path) -> None:
    """VeRA's rank shows in no large tensor: what it would make is counted while it is made."""
    from core.models.config import no_larger_than

    with (
        pytest.raises(UserFacingError, match="larger model"),
        no_larger_than(100, 1, tmp_path),
        torch.device("meta"),
    ):
        torch.nn.Sequential(*(torch.nn.Linear(2**14, 2**14) for _ in range(4)))
