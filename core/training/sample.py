"""Rejected summaries that the reference itself writes.

The SFT model summarises generated posts at a temperature; where the fact checker finds one to
three facts certainly wrong, the sample becomes a rejected summary and its corrected version the
chosen one. Such errors are likely under the reference by construction.
"""

import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from core.data.facts import check
from core.data.kinds import kinds_for
from core.data.posts import Post, write_post
from core.training.recipe import Recipe
from core.training.rows import prompt_ids

BATCH = 8
"""Posts sampled from together."""
NEW_TOKENS = 40


def sample_pairs(
    recipe: Recipe, model: Any, tokenizer: Any, report: Callable[[str, float | None], None]
) -> list[dict[str, Any]]:
    """Pairs as tables, from ``recipe.samples`` summaries of ``recipe.sampled_posts`` posts."""
    import torch

    rng = random.Random(recipe.seed + 2)
    torch.manual_seed(recipe.seed)
    kinds = kinds_for(held_out=False)
    posts = sorted(
        (write_post(rng.choice(kinds), rng) for _ in range(recipe.sampled_posts)),
        key=lambda post: len(post.text),
    )
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for start in range(0, len(posts), BATCH):
        batch = posts[start : start + BATCH]
        for post, texts in zip(batch, _sample(recipe, model, tokenizer, batch), strict=True):
            for text in texts:
                pair = check(post, text)
                if pair is not None:
                    pairs[pair.prompt, pair.rejected] = asdict(pair)
        report("Sampling from the reference", min(1.0, (start + BATCH) / len(posts)))
    return list(pairs.values())


def _sample(recipe: Recipe, model: Any, tokenizer: Any, posts: list[Post]) -> list[list[str]]:
    """Summaries of each post; each prompt is computed once, then its cache is copied."""
    import torch

    from core.models.kv import cache_argument

    cached = cache_argument(model.get_base_model())
    rows = [prompt_ids(tokenizer, post.prompt) for post in posts]
    length = max(len(row) for row in rows)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    ids = torch.tensor([[pad] * (length - len(row)) + row for row in rows], device=model.device)
    mask = torch.tensor(
        [[0] * (length - len(row)) + [1] * len(row) for row in rows], device=model.device
    )
    place = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        out = model(
            input_ids=ids, attention_mask=mask, position_ids=place, use_cache=True, logits_to_keep=1
        )
        cache = getattr(out, cached)
        cache.batch_repeat_interleave(recipe.samples)
        logits = out.logits[:, -1].repeat_interleave(recipe.samples, 0)
        mask = mask.repeat_interleave(recipe.samples, 0)
        place = place[:, -1:].repeat_interleave(recipe.samples, 0)
        drawn: list[Any] = []
        for _ in range(NEW_TOKENS):
            token = torch.multinomial((logits.float() / recipe.temperature).softmax(-1), 1)
            drawn.append(token)
            if all(end in row for row in torch.cat(drawn, 1).tolist()):
                break
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            place = place + 1
            logits = model(
                input_ids=token,
                attention_mask=mask,
                position_ids=place,
                use_cache=True,
                **{cached: cache},
            ).logits[:, -1]
    texts = [_text(tokenizer, row, end) for row in torch.cat(drawn, 1).tolist()]
    return [texts[n * recipe.samples : (n + 1) * recipe.samples] for n in range(len(posts))]


def _text(tokenizer: Any, ids: list[int], end: int) -> str:
    """The text up to the closing token; nothing if there is none."""
    return str(tokenizer.decode(ids[: ids.index(end)])).strip() if end in ids else ""
