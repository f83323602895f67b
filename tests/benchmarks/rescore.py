"""An edit in a 512-token text: Qscope against two uncached forwards, on the demo pair.

The naive way is a notebook's: the base with both adapters in PEFT, one forward with the policy's
adapter and one with the reference's over the whole text, and a full log_softmax of each, float32.
Qscope's time is from the edited text to the finished Scoring. Every edit brings a word that was
never scored at that place, and all ways take turns, so that a busy machine slows all of them. An
edit of the last token is also compared with reading all weights once, which no forward can avoid.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.pairs import weights
from tests.benchmarks.timing import Timing, Values

TOKENS = 512
REPETITIONS = 7
SYSTEM = "You are a helpful assistant."
PROMPT = "Continue this list of words."
PLACES = {"last token": 1, "last 16": 16, "middle": TOKENS // 2}
"""Where the edit is: that many tokens from the end."""
NAIVE, READING = "naive", "reading the weights"
OVER_READING = "last token over reading the weights"
ASKED = {"last token": 30, "last 16": 14, "middle": 2}
MOST_READINGS = 2.5


def measure(repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Seconds of each way, and the naive way's over Qscope's."""
    import torch

    from core.demo.pair import demo_plan
    from core.engine.protocol import PairSpec
    from core.models.load import load_pair
    from core.models.score import score
    from core.text import Prompt, Tokens

    pair, info = load_pair(PairSpec(demo=True, device="cpu", dtype="float32"), ignore)
    naive = notebook(demo_plan(ignore))
    codec, prompt = pair.codec, Prompt.of(PROMPT, system=SYSTEM)
    prompt_ids = codec.prompt_ids(prompt)
    words = single_token_words(codec.label, codec.vocab_size)
    length = TOKENS - len(prompt_ids)
    text = words[:length]
    fresh = iter(words[length:])
    tokens = codec.encode(prompt, " ".join(text))
    assert len(tokens.ids) == length, "a word was split: the text has not 512 tokens"

    def qscope(old: Tokens, response: str) -> tuple[Tokens, Any]:
        edited = codec.edit(prompt, old, response)
        return edited, score(pair, prompt, edited, hold="A")

    qscope(tokens, " ".join(text))
    naive([*prompt_ids, *tokens.ids])  # both warm
    read = weights(pair)
    timing = Timing()
    worst, computed = 0.0, {}
    for _ in range(repetitions):
        timing.time(READING, lambda: [tensor.sum() for tensor in read])
        for name, from_end in PLACES.items():
            text[-from_end] = next(fresh)
            tokens, scoring = timing.time(name, partial(qscope, tokens, " ".join(text)))
            computed[name] = scoring.computed
        assert len(tokens.ids) == length
        expected = timing.time(NAIVE, partial(naive, [*prompt_ids, *tokens.ids]))
        for row, mine in enumerate((scoring.logp_policy, scoring.logp_reference)):
            theirs = expected[row, len(prompt_ids) - 1 :]
            worst = max(worst, float(abs(theirs - mine[:-1]).max()))
    bytes_read = sum(tensor.nbytes for tensor in read)
    return {
        "tokens": TOKENS,
        "threads": torch.get_num_threads(),
        "device": info.device,
        "weights, MB": bytes_read / 1e6,
        "weights read at, GB/s": bytes_read / timing.fastest()[READING] / 1e9,
        "computed tokens": computed,
        **timing.report(ratios),
        "asked": {**ASKED, OVER_READING: MOST_READINGS},
        "largest difference in nats": worst,
    }


def ratios(seconds: Values) -> Values:
    """How many times as fast as the naive way each edit is; how many readings the last takes."""
    return {
        **{name: seconds[NAIVE] / seconds[name] for name in PLACES},
        OVER_READING: seconds["last token"] / seconds[READING],
    }


def ignore(what: str, fraction: float | None) -> None:
    """Progress nobody asked for."""


def single_token_words(label: Callable[[int], str], size: int) -> list[str]:
    """Words that are one token after a space, in the order of the vocabulary."""
    space = "Ġ", "▁", "·", "␣", " "
    labels = (label(id) for id in range(size))
    words = (text[1:] for text in labels if text[:1] in space)
    return list(
        dict.fromkeys(
            w for w in words if len(w) > 3 and w.isascii() and w.isalpha() and w.islower()
        )
    )


def notebook(plan: Any) -> Callable[[list[int]], Any]:
    """The naive way: ids -> log-probs of the taken tokens, [2, len(ids) - 1], policy first."""
    import numpy as np
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(Path(plan.policy_adapter)), adapter_name="policy")
    model.load_adapter(str(Path(plan.reference_adapter)), adapter_name="reference")
    model.eval()

    @torch.inference_mode()
    def run(ids: list[int]) -> Any:
        batch = torch.tensor([ids])
        rows = []
        for adapter in ("policy", "reference"):
            model.set_adapter(adapter)
            logp = model(input_ids=batch, use_cache=False).logits.float().log_softmax(-1)
            rows.append(logp[0, :-1].gather(-1, batch[0, 1:, None])[:, 0].double().numpy())
        return np.stack(rows)

    return run
