"""Representative architectures, in full: python -m tests.architectures has all of them."""

import pytest
import torch

from tests.architectures.judge import judge

FAMILIES = [
    "llama",
    "gpt2",
    "gemma2",
    "gemma3_text",
    "gpt_oss",
    "qwen2+windows",
    "gpt_neo",
    "bloom",
    "mpt",
    "falcon+alibi",
    "llama4_text",
    "phi3+longrope",
    "llama+dynamic",
    "mixtral",
    "mamba",
    "lfm2",
]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.log_errors_expected
@pytest.mark.parametrize("name", FAMILIES)
def test_is_exact(name, tmp_path):
    """Scored past its windows, edited, searched, whole and with adapters: as run plainly."""
    verdict = judge(name, tmp_path)
    assert (verdict.verdict, verdict.remark) == ("exact", "")
