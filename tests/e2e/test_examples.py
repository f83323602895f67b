"""Every example that opens in the window does what its title says, on the real demo pair."""

import pytest

from app.credit.examples import read_examples
from core.demo.pair import DEMO_FOLDER
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.models.score import score_all
from core.quantities import preference, reward

pytestmark = pytest.mark.demo
CONVINCES = 0.65
"""σ of the margin from which an example shows what it is to show; below 0.6 none is clear."""


def test_examples_convince_or_say_that_they_fail():
    pair, info = load_pair(PairSpec(demo=True), lambda what, fraction: None)
    for example in read_examples(DEMO_FOLDER / "examples.json"):
        both = [
            (example.prompt, pair.codec.encode(example.prompt, it)) for it in (example.a, example.b)
        ]
        a, b = (
            float(reward(it.logp_policy, it.logp_reference, info.beta).sum())
            for it in score_all(pair, both)
        )
        fails = example.title.startswith(("Where it fails", "Where it nearly fails"))
        assert (preference(a, b) < CONVINCES) == fails, (example.title, a, b)
