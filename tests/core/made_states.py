"""States of texts without models: tokens are words and marks, log-ratios are drawn and planted."""

import re

import numpy as np

from core.learned import corpus
from core.learned.states import States, Vocabulary
from core.text import Prompt

TOKEN = re.compile(r"\s?\w+|\s?[^\w\s]|\s")


def made(texts=None, effect=lambda piece, text, start: 0.0, spread=0.3, seed=0, base=None):
    """States of ``texts`` (the neutral corpus if None) whose log-ratios are noise and an effect.

    ``effect(piece, text, start)``: what is planted at a token, in nats. ``base``: how much of the
    log-ratio follows SFT's direction, if the base is known.
    """
    samples = corpus.neutral() if texts is None else []
    prompts = [it.prompt for it in samples] or [
        Prompt.of(f"Question {i}") for i in range(len(texts))
    ]
    texts = texts or [it.text for it in samples]
    rng = np.random.default_rng(seed)
    rows, planted, ids = [], [], {"": 0}
    for number, text in enumerate(texts):
        for place, match in enumerate(TOKEN.finditer(text)):
            token = ids.setdefault(match[0], len(ids))
            rows.append((number, place, token, *match.span(), False))
            planted.append(effect(match[0], text, match.start()))
        rows.append((number, place + 1, 0, len(text), len(text), True))
        planted.append(0.0)
    response, place, token, start, stop, closing = (np.array(it) for it in zip(*rows, strict=True))
    n, size = len(rows), len(ids)
    reference = -rng.gamma(2.0, 1.5, n)
    ratio = rng.normal(0, spread, n) + np.array(planted) + 0.05 * reference
    logp_base = None
    if base is not None:
        pushed = rng.normal(0, 1, n)
        logp_base, ratio = reference - pushed, ratio + base * pushed
    flat = np.full((2, size), n / size)
    return States(
        prompts=tuple(prompts),
        texts=tuple(texts),
        response=response,
        place=place,
        token=token,
        start=start,
        stop=stop,
        closing=closing.astype(bool),
        logp_policy=reference + ratio,
        logp_reference=reference,
        logp_base=logp_base,
        entropy=rng.gamma(2.0, 1.0, n),
        end_policy=np.full(n, -8.0),
        end_reference=np.full(n, -8.0),
        likely=np.zeros((n, 2), np.int32),
        likely_policy=np.full((n, 2), -9.0, np.float32),
        likely_reference=np.full((n, 2), -9.0, np.float32),
        vocabulary=Vocabulary(flat, flat, None, flat, flat**2 / n),
        pieces=tuple(ids),
        vector_of=np.unique(token),
        vectors=np.zeros((len(np.unique(token)), 0), np.float32),
    )
