"""On a GPU, where there is one: the numbers of plain float32 forwards, and memory that runs out.

A GPU has ways of its own (forwards recorded as CUDA graphs, other kernels) that no other test runs.
"""

import contextlib

import numpy as np
import pytest
import torch
from transformers import LlamaConfig

from core.engine.answering import NO_ROOM, Answering
from core.engine.protocol import Failed, Load, PairSpec, Score, Scored
from core.models.load import load_pair
from core.models.score import score
from core.models.steps import RECORDINGS
from tests.benchmarks import made
from tests.benchmarks.plain import adapted, whole
from tests.benchmarks.texts import PROMPT, Texts, joined
from tests.tiny import save_adapters, save_pair

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DEVICE = "cuda"
SHORT, LONG = 200, 20_000
ROOM = 400 * 2**20
"""Bytes in which a text of SHORT tokens has room, and one of LONG has not."""


def float32(**folders):
    """How a pair is asked for whose numbers plain forwards must give."""
    names = {role: str(folder) for role, folder in folders.items()}
    return PairSpec(**names, device=DEVICE, dtype="float32")


def of_two_models(folder, kind):
    """A pair of whole models, and the models as rows of plain forwards."""
    folders = save_pair(folder, kind)
    spec = float32(**dict(zip(("policy", "reference"), folders, strict=True)))
    pair, _ = load_pair(spec, lambda what, fraction: None)
    return pair, [whole(it, torch.float32, DEVICE) for it in folders]


def of_two_adapters(folder, kind="llama"):
    """A pair of adapters that run in one lane, and PEFT's own model as rows of plain forwards."""
    base, policy, reference = save_adapters(folder, kind)
    spec = float32(policy=policy, reference=reference, base=base)
    pair, _ = load_pair(spec, lambda what, fraction: None)
    assert len(pair.lanes) == 1
    return pair, adapted(base, policy, reference, torch.float32, DEVICE)


PAIRS = {
    "llama": lambda folder: of_two_models(folder, "llama"),
    "mistral": lambda folder: of_two_models(folder, "mistral"),
    "adapters": of_two_adapters,
}


@torch.inference_mode()
def assert_plain(pair, rows, scoring):
    """Log-probs are those of an uncached forward of each model, to 2e-5 nats."""
    prompt, ids = pair.codec.prompt_ids(PROMPT), scoring.ids.tolist()
    batch = torch.tensor([[*prompt, *ids]], device=DEVICE)
    for (model, entered), found in zip(
        rows, (scoring.logp_policy, scoring.logp_reference), strict=True
    ):
        with entered():
            logits = model(batch, use_cache=False).logits[0, len(prompt) - 1 : -1]
        expected = logits.double().log_softmax(-1).gather(-1, batch[0, len(prompt) :, None])
        np.testing.assert_allclose(found, expected[:, 0].cpu().numpy(), atol=2e-5)


def recorded(pair):
    """How many forwards of the first lane are recorded as CUDA graphs."""
    steps = pair.lanes[0]._steps
    return sum(step.graph is not None for step in steps._steps.values()) if steps else 0


@pytest.mark.parametrize("kind", PAIRS)
def test_edits_after_edits_are_scored_as_by_plain_forwards(kind, tmp_path):
    """Of every number of tokens that is recorded, and of more; and back to a text that is known."""
    pair, rows = PAIRS[kind](tmp_path)
    rng, words = np.random.default_rng(0), "They refused the job: too low a salary in May".split()
    text = list(rng.choice(words, 60))
    tokens = pair.codec.encode(PROMPT, " ".join(text))
    first = score(pair, PROMPT, tokens, hold="A")
    assert_plain(pair, rows, first)
    for back in (1, 1, 2, 6, 12, 40, 1, 59, 3):
        text[-back] = str(rng.integers(1000))
        tokens = pair.codec.edit(PROMPT, tokens, " ".join(text))
        assert_plain(pair, rows, score(pair, PROMPT, tokens, hold="A"))
    assert recorded(pair)
    again = score(pair, PROMPT, first.tokens, hold="A")
    assert again.computed == 0
    assert again.logp_policy.tolist() == first.logp_policy.tolist()


class Desk:
    """An engine's answers on a pair of which a long text takes more than ROOM."""

    def __init__(self, folder):
        config = LlamaConfig(
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=8192,
            max_position_embeddings=2 * LONG,
        )
        made.save_pair(folder, config, DEVICE, torch.float32)
        folders = {name: folder / name for name in ("policy", "reference")}
        self.answering = Answering(lambda event: None, lambda: False)
        self.answering.answer(Load(1, float32(**folders)))
        self.pair = self.answering.session.pair
        self.rows = [whole(it, torch.float32, DEVICE) for it in folders.values()]
        self.texts = Texts(self.pair.codec, made.WORDS)

    def ask(self, words):
        return self.answering.answer(Score(2, "A", PROMPT, text=joined(words)))

    def edit(self, number):
        """Score a text and edits of its end, which must work."""
        words = self.texts.words(SHORT, number)
        for last in self.texts.known[:3]:
            event = self.ask([*words[:-1], last])
            assert isinstance(event, Scored), event
            assert_plain(self.pair, self.rows, event.scoring)


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    desk.edit(0)
    yield desk
    desk.answering.end()


@contextlib.contextmanager
def short_of_memory(room):
    """Let torch have so many bytes beyond what it holds, and no more."""
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + room) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def is_refused(event):
    return isinstance(event, Failed) and event.message == NO_ROOM


def test_texts_too_long_for_memory_are_refused_and_the_next_ones_work(desk):
    """Again and again: no recording of what was evicted is replayed, and none piles up."""
    held = []
    with short_of_memory(ROOM):
        for number in range(1, 6):
            refused = desk.ask(desk.texts.words(LONG, number))
            assert is_refused(refused), refused
            desk.edit(number)
            held.append(torch.cuda.memory_allocated())
    assert 0 < recorded(desk.pair) <= RECORDINGS
    assert held[-1] - held[0] < ROOM // 10, held


def test_memory_that_runs_out_while_forwards_are_recorded(desk):
    """Wherever that is: the text is scored or refused, and the next one is scored rightly."""
    outcomes = []
    for number, room in enumerate((0, 2, 4, 8, 16, 32, 64, 96, 128), 1):
        desk.pair.evict_kv()
        with short_of_memory(room * 2**20):
            for last in desk.texts.known[:2]:
                event = desk.ask([*desk.texts.words(SHORT, number)[:-1], last])
                outcomes.append(is_refused(event))
                assert outcomes[-1] or isinstance(event, Scored), event
        desk.edit(number)
    assert any(outcomes)
