"""What the demo brings to a sweep: its held-out posts as prompts, and a judge of their facts.

Knows nothing of searches.
"""

import random
from itertools import islice

from core.demo.claims import check_claims
from core.demo.kinds import kinds_for
from core.demo.posts import Post, write_post, write_summary
from core.errors import UserFacingError
from core.sweeps import judges, questions
from core.sweeps.judges import by_margin
from core.sweeps.questions import Question
from core.sweeps.record import Answer, Verdict

SEED = "sweep 1"
"""Training, and demo evaluate, draw posts with other seeds."""
PENALTY = 2.0
"""How many right facts a wrong value outweighs."""


def register() -> None:
    """Offer the posts as a source of prompts, and the judge."""
    questions.register("demo", "the demo's held-out posts", demo_questions)
    judges.register(
        "facts",
        "The demo's fact checker",
        lambda spec, device: FactJudge(),
        meaning="Right facts less twice the wrong values of a demo post",
        source="demo",
    )


def demo_questions(count: int) -> list[Question]:
    """Return held-out generated posts, each with a faithful summary; always the same.

    Raises:
        UserFacingError: Faker, which draws names and places, is not installed.
    """

    def drawn() -> list[Question]:
        rng = random.Random(SEED)
        kinds = kinds_for(held_out=True)
        found: list[Question] = []
        while len(found) < count:
            for kind in islice(rng.sample(kinds, len(kinds)), count - len(found)):
                post = write_post(kind, rng)
                summary = write_summary(post, rng.choice(kind.summaries), rng)
                found.append(Question(post.prompt, chosen=summary.text, about=post))
        return found

    try:
        return drawn()
    except ModuleNotFoundError as error:
        raise UserFacingError(
            "The demo's posts need the Python package Faker: run 'pip install -e .[train]', or "
            "give a file of prompts."
        ) from error


class FactJudge:
    """Counts facts of a generated post: right ones less ``PENALTY`` times wrong values.

    What it can and cannot see is core.demo.claims' business. A longer response can state more
    facts, and a fact counts once however often it is said.
    """

    name = f"facts (right facts - {PENALTY:g} × wrong values)"

    def judge(self, question: Question, answer: Answer, against: Answer) -> Verdict:
        post = question.about
        if not isinstance(post, Post):
            raise UserFacingError(
                "The fact judge knows only the demo's own posts: choose another judge for a file "
                "of prompts (reward, model DIR or verdicts FILE)."
            )
        own, own_words = self._score(post, answer.text)
        other, other_words = self._score(post, against.text)
        return by_margin(own - other, f"{own_words}; to beat: {other_words}")

    def _score(self, post: Post, text: str) -> tuple[float, str]:
        found = check_claims(post, text)
        wrong = sorted({text[c.start : c.end] for c in found.claims if c.state == "contradicted"})
        words = f"{len(found.supported)} right, {len(found.contradicted)} wrong"
        said = f" ({', '.join(wrong)})" if wrong else ""
        return len(found.supported) - PENALTY * len(found.contradicted), words + said
