"""The pairs that a run is measured on, and which of their words count as wrong."""

import json

import pytest

from core.errors import UserFacingError
from core.evaluation import held_out
from core.evaluation.held_out import pairs_to_measure, usual
from core.preferences import Preference


def test_the_demo_s_posts_are_the_usual_pairs_and_say_what_is_wrong():
    pytest.importorskip("faker")
    assert usual() == "the demo's held-out posts"
    pairs = pairs_to_measure(None, 30)
    assert pairs_to_measure(None, 20) == pairs[:20] and len(pairs) == 30
    for pair in pairs:
        chosen, rejected = pair.answers
        assert pair.source in ("swap", "random") and 1 <= len(pair.wrong) <= 3
        assert chosen != rejected and pair.turns.messages[-1].role == "user"
        after, rest = 0, chosen  # what is not wrong stands in the chosen answer too, in its order
        for start, end in (*sorted(pair.wrong), (len(rejected), len(rejected))):
            right = rejected[after:start]
            assert right in rest
            rest, after = rest[rest.index(right) + len(right) :], end


def test_another_source_can_stand_in_their_place(monkeypatch):
    own = [Preference(f"Post {n}.", "Yes.", "No.", ((0, 2),)) for n in range(5)]
    monkeypatch.setattr(held_out, "SOURCES", {"mine": lambda count: own[:count]})
    assert usual() == "mine" and pairs_to_measure(None, 3) == own[:3]
    monkeypatch.setattr(held_out, "SOURCES", {})
    assert usual() == ""
    with pytest.raises(UserFacingError, match="name a file of pairs"):
        pairs_to_measure(None, 3)


def test_of_a_file_the_words_that_the_chosen_answer_lacks_are_wrong(tmp_path):
    path = tmp_path / "pairs.jsonl"
    row = {"prompt": "A post.", "chosen": "They got $53K.", "rejected": "They got $250K."}
    path.write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n", "utf-8")
    pair, _ = pairs_to_measure(path, 5)
    assert pair == Preference("A post.", "They got $53K.", "They got $250K.", ((9, 15),))
    with pytest.raises(UserFacingError, match="holds 1 pairs: at least 2 are needed"):
        pairs_to_measure(path, 1)
