"""Rejected summaries whose errors the reference itself writes.

A faithful summary is cut off before a fact, and the SFT model continues it several times, at a
temperature. Where it writes a value that certainly is wrong, the summary with that value becomes
the rejected one. Such errors are likely under the reference by construction.
"""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from core.demo.fact_checker import judge
from core.demo.kinds import kinds_for
from core.demo.posts import Pair, Post, differing, write_post, write_summary
from core.demo.recipe import Recipe
from core.demo.wording import reword
from core.progress import Report
from core.search.grown import GrownTree
from core.search.spec import SearchSpec
from core.search.strategies.sampling import Sampling
from core.text import Prompt

if TYPE_CHECKING:
    from core.models.pair import Pair as Models

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


def sample_pairs(recipe: Recipe, models: "Models", report: Report) -> list[dict[str, Any]]:
    """Return pairs as tables, those of one post together, from ``recipe.sampled_posts`` posts.

    ``models``: the reference, as both models of a pair.
    """
    rng = random.Random(recipe.seed + 2)
    todo = list(gaps(rng, recipe.sampled_posts, recipe.sampled_summaries))
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for number, gap in enumerate(todo):
        for text in _sample(recipe, models, gap, recipe.seed + number):
            pair = gap.pair(text)
            if pair is not None:
                pairs[pair.prompt, pair.rejected] = asdict(pair)
        report("Sampling from the reference", (number + 1) / len(todo))
    return sorted(pairs.values(), key=lambda pair: str(pair["prompt"]))


def _sample(recipe: Recipe, models: "Models", gap: Gap, seed: int) -> list[str]:
    """Return what the reference writes into a gap, as a search for responses samples it."""
    from core.search.run import Run

    prompt = Prompt.of(gap.post.prompt)
    strategy = Sampling(recipe.samples, recipe.temperature, seed=seed)
    spec = SearchSpec(strategy, max_tokens=NEW_TOKENS, policy_only=True)
    written = models.codec.encode(prompt, gap.before.rstrip()).ids
    models.forget()
    run, grown = Run(models, prompt, written, spec), GrownTree()
    while (growth := run.step()) is not None:
        grown.add(growth)
    return [grown.text(int(entry)) for entry in grown.best]
