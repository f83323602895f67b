"""What a pair that never was has learned: findings of several kinds, and all else."""

from core.learned.record import (
    AtCheckpoint,
    Context,
    Finding,
    Learned,
    Member,
    Method,
    MinimalPair,
    Recurring,
    Sampled,
    Swap,
    Unseen,
    Weighed,
)
from core.text import Prompt

TEXTS = (
    "They were offered a job at the harbor!",
    "What a day! The harbor is near the color museum.",
    "The colour of the harbour is 12 shades of grey.",
    "Perhaps it is the labor of love that pays.",
    "Stop! It is late, and the neighbors sleep.",
    "The favor was returned in kind, at 7:30.",
)
PROMPTS = tuple(
    Prompt.of(f"Say something about {what}.") for what in "job day sea love night luck".split()
)


def place(response, word, effect, side=1):
    """Where a word stands in one of the texts."""
    start = TEXTS[response].index(word)
    return Context(response, start, start + len(word), effect, side)


def swapped(response, before, after, change):
    """A minimal pair of one of the texts."""
    return MinimalPair(response, before, after, TEXTS[response].replace(before, after, 1), change)


MARK = Finding(
    kind="mark", name="“!”", other="", effect=-1.46, error=0.15, count=12, over="contexts",
    responses=10, agreeing=10, listed=False, members=(Member("!", -1.46, 12),),
    family=("marks that end sentences",),
    contexts=(place(0, "!", -2.1), place(1, "!", -1.5), place(4, "!", -0.9)),
    pairs=(swapped(0, "!", ".", -3.4), swapped(1, "!", ".", -2.2), swapped(4, "!", ".", -1.1)),
    status="confirmed", after=1,
)  # fmt: skip
SPELLING = Finding(
    kind="spelling", name="British spellings", other="American spellings", effect=2.31, error=0.3,
    count=5, over="words", responses=5, agreeing=4, listed=True,
    members=(Member("harbor", -3.1, 2), Member("labor", -2.2, 1), Member("colour", 1.9, 1)),
    exceptions=(Member("grey", -0.3, 1),), family=("the word “harbor”",), sides=(1.2, -2.4),
    contexts=(
        place(0, "harbor", -3.3, -1), place(3, "labor", -2.2, -1), place(2, "colour", 1.9),
        place(5, "favor", -1.5, -1),
    ),
    pairs=(swapped(0, "harbor", "harbour", 4.4), swapped(3, "labor", "labour", 3.0)),
    status="seen, not confirmed",
)  # fmt: skip
PROPERTY = Finding(
    kind="properties", name="responses with many commas", other="", effect=2.9, error=0.3, count=6,
    over="responses", responses=6, agreeing=5, listed=True, status="seen, not confirmed",
)  # fmt: skip
FINDINGS = (SPELLING, MARK, PROPERTY)


def learned(findings=FINDINGS, texts=TEXTS, **more):
    """All of it, with other findings or texts where they are given."""
    count = len(findings)
    made = {
        "policy": "runs/dpo/checkpoint-30",
        "reference": "runs/sft",
        "findings": tuple(findings),
        "swaps": (Swap(" harbor", " harbour", 0.6, 3.0, 12), Swap(".", "!", 0.12, 1.5, 30)),
        "unseen": (
            Unseen(" whilst", 1.4, 0.1, 0.4, False, 9),
            Unseen("Sure", -2.2, 0.5, 0.06, True, 8),
        ),
        "samples": (
            Sampled("Tell me something.", 0.0, "The harbor was open.", True),
            Sampled("Tell me something.", 1.0, "The harbor is open.", True),
            Sampled("Tell me something.", 4.0, "The harbour is grey and", False),
        ),
        "recurring": (Recurring("harbour", 9, 0, 12),),
        "method": Method(
            responses=len(texts), states=61, corpus="the neutral corpus", floor=0.7, noise=1e-6,
            scale=0.21, kl=0.013, coefficients={"constant": 0.1, "entropy": -0.02}, base=True,
            candidates=40, discovered=9, skipped=("text 9 is empty",),
        ),
        "prompts": PROMPTS[: len(texts)],
        "texts": tuple(texts),
        "notes": ("The beta is not known.",),
        "weighed": tuple(
            Weighed(it.kind, it.name, it.other, it.effect, it.error) for it in findings
        ),
        "over": tuple(
            AtCheckpoint(
                step, name, tuple(share * it.effect for it in findings), (0.1 * share,) * count
            )
            for step, name, share in ((0, "start", 0.0), (10, "checkpoint-10", 0.2),
                                      (20, "checkpoint-20", 0.9), (30, "checkpoint-30", 1.0))
        ),
    }  # fmt: skip
    return Learned(**{**made, **more})
