"""Rejected summaries whose errors the reference itself writes.

A faithful summary is cut off before a fact, and the SFT model continues it several times, at a
temperature. Where it writes a value that certainly is wrong, the summary with that value becomes
the rejected one. Such errors are likely under the reference by construction.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from core.demo.fact_checker import judge
from core.demo.kinds import kinds_for
from core.demo.posts import Pair, Post, differing, write_post, write_summary
from core.demo.recipe import Recipe
from core.demo.wording import reword
from core.text import Prompt
from core.training.rows import prompt_ids

BATCH = 16
"""Gaps sampled from together."""
NEW_TOKENS = 12
ANCHOR = 8
"""Characters by which the text after a gap is recognised."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A faithful summary with one fact left open."""

    post: Post
    slot: str
    before: str
    right: str
    after: str
    anchor: str

    def pair(self, continuation: str) -> Pair | None:
        """Return the pair whose rejected summary holds the value written; None if that value is not
        certainly wrong."""
        value, found, _ = continuation.partition(self.anchor)
        value = value.strip()
        if not (found and value) or judge(self.post, self.slot, value) is not False:
            return None
        return Pair(
            self.post.prompt,
            self.before + self.right + self.after,
            self.before + value + self.after,
            (differing(self.right, value, len(self.before)),),
            (self.post.facts[self.slot].type,),
            "reference",
            self.post.kind.name,
        )


def gaps(rng: random.Random, posts: int, each: int) -> Iterator[Gap]:
    """Yield one gap in each of ``each`` summaries of ``posts`` generated posts."""
    kinds = kinds_for(held_out=False)
    for _ in range(posts):
        post = write_post(rng.choice(kinds), rng)
        for template in rng.sample(post.kind.summaries, min(each, len(post.kind.summaries))):
            summary = write_summary(post, reword(template, rng), rng)
            # Whole clauses can be said in too many ways to be judged.
            valued = [n for n, slot in enumerate(summary.slots) if _is_value(post, slot)]
            if not valued:
                continue
            number = rng.choice(valued)
            start, stop = summary.spans[number]
            following = [*summary.spans[number + 1 :], (len(summary.text), 0)][0][0]
            anchor = summary.text[stop : min(following, stop + ANCHOR)]
            if anchor:
                text = summary.text
                yield Gap(
                    post, summary.slots[number], text[:start], text[start:stop], text[stop:], anchor
                )


def _is_value(post: Post, slot: str) -> bool:
    fact = post.facts[slot]
    return fact.type != "choice" or all(" " not in form for form in fact.in_summary)


def sample_pairs(
    recipe: Recipe, model: Any, tokenizer: Any, report: Callable[[str, float | None], None]
) -> list[dict[str, Any]]:
    """Return pairs as tables, those of one post together, from ``recipe.sampled_posts`` posts."""
    import torch

    torch.manual_seed(recipe.seed)
    rng = random.Random(recipe.seed + 2)
    todo = list(gaps(rng, recipe.sampled_posts, recipe.sampled_summaries))
    todo.sort(key=lambda gap: len(gap.post.text))
    pairs: dict[tuple[str | Prompt, str], dict[str, Any]] = {}
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        for gap, texts in zip(batch, _sample(recipe, model, tokenizer, batch), strict=True):
            for text in texts:
                pair = gap.pair(text)
                if pair is not None:
                    pairs[pair.prompt, pair.rejected] = asdict(pair)
        report("Sampling from the reference", min(1.0, (start + BATCH) / len(todo)))
    return sorted(pairs.values(), key=lambda pair: str(pair["prompt"]))


def _sample(recipe: Recipe, model: Any, tokenizer: Any, batch: list[Gap]) -> list[list[str]]:
    """Return what the model writes into each gap; a text is computed once, its cache copied."""
    import torch

    from core.models.kv import cache_argument

    cached = cache_argument(model.get_base_model())
    rows = [
        prompt_ids(tokenizer, gap.post.prompt)
        + tokenizer(gap.before.rstrip(), add_special_tokens=False)["input_ids"]
        for gap in batch
    ]
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
    return [texts[n * recipe.samples : (n + 1) * recipe.samples] for n in range(len(batch))]


def _text(tokenizer: Any, ids: list[int], end: int) -> str:
    """Return the text up to the closing token, if there is one."""
    return str(tokenizer.decode(ids[: ids.index(end)] if end in ids else ids))
