"""What is drawn of a tree, without a window: marks, walks, finding, comparing, words."""

import numpy as np
import pytest

from app.search.compare import Overlay, differences, same_start
from app.search.picture import ONLY_HERE, ONLY_THERE, Picture
from app.widgets.colour_scale import ColourScale
from core.present.node_facts import fate, node_facts, popup_html
from core.present.numerals import signed
from core.present.spelling import spell
from core.search.grown import GrownTree, Reason, Status
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.given import Given
from tests.app.fake_engine import WORDS, word_id
from tests.app.fake_search import Grower, Words


def grow(picture, spec, prefix=(), given=False):
    for growth in Grower(Words(word_id, WORDS), prefix, spec).growths:
        picture.take(growth, given)
    picture.arrange()
    picture.recolour(0.1, ColourScale())
    return picture


@pytest.fixture
def picture():
    return grow(Picture(lambda text: 8.0 * len(text)), SearchSpec(Beam(3), max_tokens=7))


def test_rewards_are_beta_times_the_difference(picture):
    tree = picture.tree
    difference = tree.column("logp_policy") - tree.column("logp_reference")
    np.testing.assert_allclose(picture.rewards[1:], 0.1 * difference[1:])
    picture.recolour(0.2, ColourScale())
    np.testing.assert_allclose(picture.rewards[1:], 0.2 * difference[1:])
    assert np.isnan(picture.rewards[0]) and picture.classes[0] == ColourScale().zero


def test_the_best_path_and_the_pruned_are_known(picture):
    tree = picture.tree
    assert np.flatnonzero(picture.best).tolist() == tree.path(int(tree.best[0])).tolist()
    assert (picture.pruned == (tree.status == Status.PRUNED)).all() and picture.pruned.any()


def test_walking_goes_to_parents_children_and_siblings(picture):
    tree = picture.tree
    kids = picture.children(0)
    assert kids == sorted(kids, key=lambda k: -tree.column("logp_policy")[k])
    assert picture.beside(kids[0], 1) == kids[1] and picture.beside(kids[1], -1) == kids[0]
    assert picture.beside(kids[0], -1) == kids[0]
    at = 0
    while picture.best_child(at) != at:
        at = picture.best_child(at)
    assert at == picture.best_leaf() == int(tree.best[0])
    only = next(i for i in range(1, len(tree)) if len(picture.children(i)) == 1)
    below = picture.children(only)[0]
    assert picture.beside(below, 1) == picture.beside(only, 1)


def test_text_is_found_where_it_is_complete(picture):
    tree = picture.tree
    leaf = int(tree.best[0])
    way = tree.path(leaf).tolist()
    words = tree.text(leaf).split()
    found = picture.search(f"{words[1]} {words[2].upper()}")
    assert way[2] in found
    for entry in found:
        text = tree.text(entry).casefold()
        assert f"{words[1]} {words[2]}".casefold() in text
    assert picture.search("no such text") == [] and picture.search("") == []
    assert all("end" in tree.labels[i] for i in picture.search("<end>"))


def test_a_tree_that_has_grown_since_it_was_placed_can_be_walked():
    growths = Grower(Words(word_id, WORDS), (), SearchSpec(Beam(3), max_tokens=7)).growths
    picture = Picture(len)
    for growth in growths[:3]:
        picture.take(growth)
    picture.arrange()
    size = len(picture)
    for growth in growths[3:]:
        picture.take(growth)
    assert len(picture.tree) > size == len(picture)
    assert picture.best_leaf() < size and max(picture.children(0)) < size
    assert max(picture.search("e")) < size
    assert picture.beside(picture.children(0)[0], 1) < size


def test_a_hidden_entry_is_revealed(picture):
    leaf = picture.best_leaf()
    top = int(picture.tree.path(leaf)[0])
    picture.collapsed = {top}
    picture.arrange()
    assert not picture.placed.shown[leaf] and picture.placed.inside[top] > 0
    assert picture.reveal(leaf)
    picture.arrange()
    assert picture.placed.shown[leaf] and not picture.collapsed


def test_pruning_by_hand_takes_all_below(picture):
    tree = picture.tree
    top = int(tree.path(picture.best_leaf())[1])
    before = tree.status.copy()
    picture.set_pruned(top, True)
    below = [i for i in range(1, len(tree)) if top in tree.path(i)]
    assert set(np.flatnonzero(tree.reason == Reason.BY_HAND)) == set(below)
    assert "by hand" in fate(tree, top)
    ends = tree.best.tolist()
    shown = {h.index for h in picture.hypotheses(SearchSpec(Beam()))}
    assert shown == set(ends) - set(below) and shown < set(ends)
    picture.set_pruned(top, False)
    assert (tree.status == before).all()
    texts = [h.text for h in picture.hypotheses(SearchSpec(Beam()))]
    assert len(texts) == len(ends) and not any("<end>" in text for text in texts)


def test_a_given_response_is_marked_and_folds():
    ids = tuple(word_id(word) for word in (" They", " were", " offered", " a", " job"))
    picture = Picture(lambda text: 8.0 * len(text))
    grow(picture, SearchSpec(Given(ids, closed=True), max_tokens=6), given=True)
    assert picture.given.tolist() == [False] + 6 * [True]
    assert picture.placed.run[1] == 6
    assert picture.box_label(1) == " They were offered a job<end>"
    grow(picture, SearchSpec(Beam(2), max_tokens=4))
    assert picture.given.sum() == 6


def test_two_trees_are_told_apart():
    left, right = (
        grow(Picture(len), SearchSpec(Beam(2), Objective.dial(weight), 5)) for weight in (0.0, 3.0)
    )
    assert same_start(left.tree, right.tree)
    only = differences(left.tree.node, left.tree, right.tree)
    for entry, node in enumerate(left.tree.node.tolist()):
        other = right.tree.entry(node)
        here = left.tree.status[entry] != Status.PRUNED
        there = other is not None and right.tree.status[other] != Status.PRUNED
        wanted = ONLY_HERE if here and not there else ONLY_THERE if there and not here else 0
        assert only[entry] == wanted
    assert {ONLY_HERE} <= set(only.tolist())
    assert not same_start(left.tree, GrownTree())


def test_an_overlay_has_all_nodes_of_both_and_grows():
    specs = SearchSpec(Beam(2), Objective.dial(0.0), 5), SearchSpec(Beam(3), Objective.dial(2.0), 5)
    sides = [(Picture(len), Grower(Words(word_id, WORDS), (), spec).growths) for spec in specs]
    overlay = Overlay(Picture(len))
    logs = [[], []]
    for step in range(6):
        for (picture, growths), log in zip(sides, logs, strict=True):
            picture.take(growths[step])
            log.append(growths[step])
        while not overlay.update(sides[0][0].tree, sides[1][0].tree, *logs):
            pass
    overlay.picture.arrange()
    trees = [picture.tree for picture, _ in sides]
    both = overlay.picture.tree
    assert set(both.node.tolist()) == set(trees[0].node.tolist()) | set(trees[1].node.tolist())
    for entry, node in enumerate(both.node.tolist()):
        places = [(tree, tree.entry(node)) for tree in trees]
        kept = [e is not None and tree.status[e] != Status.PRUNED for tree, e in places]
        assert (both.status[entry] != Status.PRUNED) == any(kept)
        assert overlay.picture.only[entry] == {(1, 0): 1, (0, 1): 2}.get(tuple(map(int, kept)), 0)
    assert both.node[both.best].tolist() == trees[0].node[trees[0].best].tolist()


def test_facts_say_the_gauge_and_add_up(picture):
    tree, entry = picture.tree, picture.best_leaf()
    facts = {fact.name: fact.value for fact in node_facts(tree, entry, 0.1)}
    way = tree.path(entry)
    total = 0.1 * (tree.column("logp_policy")[way] - tree.column("logp_reference")[way]).sum()
    assert facts["Σ r"] == signed(float(total))
    q, v = (float(part.replace("−", "-")) for part in facts["Q, V (raw-logit gauge)"].split(",  "))
    advantage = float(facts["advantage Q − V"].replace("−", "-"))
    assert q - v == pytest.approx(advantage, abs=2e-3)
    assert advantage == pytest.approx(0.1 * tree.column("logp_policy")[entry], abs=1e-3)
    assert "length limit" in facts["what became of it"]
    assert "&lt;" in popup_html(tree, 0, 0.1, "<start>")
    assert {fact.name for fact in node_facts(tree, 0, 0.1)} >= {"what became of it", "visits"}


def test_without_a_reference_only_the_policy_is_spoken_of(picture, monkeypatch):
    column = picture.tree.column

    def alone(name):
        return column(name) * (np.nan if name in ("logp_reference", "sum_reference") else 1)

    monkeypatch.setattr(picture.tree, "column", alone)
    names = {fact.name for fact in node_facts(picture.tree, picture.best_leaf(), 0.1)}
    assert {"log π", "Σ log π"} <= names
    assert not {"reward r", "log π_ref", "Σ log π_ref", "Σ r", "advantage Q − V"} & names


def test_characters_split_over_tokens_share_a_span():
    pieces = [b"na", "ï".encode()[:1], "ï".encode()[1:], "ve 🎉".encode(), b""]
    tokens = spell(pieces, ())
    assert tokens.text == "naïve 🎉"
    assert list(zip(tokens.starts, tokens.ends, strict=True)) == [
        (0, 2), (2, 3), (2, 3), (3, 7), (7, 7),
    ]  # fmt: skip
    broken = spell([b"a", b"\xf0\x9f", b"b"], ())
    assert broken.text == "a\ufffdb" and broken.starts == (0, 1, 2) and broken.ends == (1, 2, 3)
