"""Texts that are scored together, against each by itself in a plain forward."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.engine.protocol import PairSpec
from core.models import packed as packing
from core.models.lane import Lane, Way
from core.models.load import load_pair
from core.models.packed import can_pack, lay_out, log_probs, packed, size_of
from core.models.pair import POLICY
from core.progress import silent
from core.runs.records import START
from tests.tiny import save_adapters, save_model, save_pair, save_run

TEXTS = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple), min_size=1, max_size=8
)


@given(texts=TEXTS)
def test_texts_are_laid_out_as_one_tree(texts):
    pack = lay_out(texts)
    beginnings = {text[: n + 1] for text in texts for n in range(len(text))}
    assert len(pack.ids) == size_of(texts) == len(beginnings)
    for text, path in zip(texts, pack.paths, strict=True):
        assert tuple(pack.ids[path]) == text
        assert list(pack.depths[path]) == list(range(len(text)))
        assert list(path) == sorted(path)
        for depth, node in enumerate(path):
            assert list(np.flatnonzero(pack.visible[node])) == list(path[: depth + 1])


@given(
    groups=st.lists(
        st.lists(st.integers(0, 2), min_size=2, max_size=9).map(lambda it: ((tuple(it), 1),)),
        max_size=30,
    ),
    most=st.integers(9, 40),
)
def test_every_group_is_in_one_pack_and_no_pack_is_too_large(groups, most):
    packs = list(packed(groups, most))
    assert sorted(number for pack in packs for number in pack) == list(range(len(groups)))
    for pack in packs:
        assert size_of([ids for number in pack for ids, _ in groups[number]]) <= most


def groups_of(vocabulary, seed=0, count=7):
    """Pairs of texts that begin alike, some with a prompt in common, one with a long one."""
    draw = np.random.default_rng(seed)

    def ids(n):
        return tuple(map(int, draw.integers(3, vocabulary, n)))

    header, prompts = ids(3), [ids(4), ids(9), ids(40)]
    groups = []
    for number in range(count):
        context = header + prompts[number % 3]
        shared = ids(number % 4)
        sides = [context + shared + ids(n) for n in (2 + number, 5)]
        groups.append(tuple((side, len(context)) for side in sides[: 1 + (number != 3)]))
    return groups


def plainly(lane, ids, first):
    """Log-probs by the lane's own plain forward, [rows, n]."""
    with torch.inference_mode():
        logp = lane.plain_logits(torch.tensor(ids)).double().log_softmax(-1)
    taken = torch.tensor(ids[first:])[None, :, None].expand(len(logp), -1, 1)
    return logp[:, first - 1 : -1].gather(-1, taken)[..., 0].numpy()


def expected(pair, ids, first):
    return np.concatenate([plainly(lane, ids, first) for lane in pair.lanes])


def check(pair, groups, most=2e-5):
    found = dict(log_probs(pair, groups))
    assert sorted(found) == list(range(len(groups)))
    for number, group in enumerate(groups):
        for (ids, first), sides in zip(group, found[number], strict=True):
            assert sides.dtype == np.float32
            assert abs(sides - expected(pair, ids, first)).max() < most


@pytest.mark.parametrize(
    "kind", ["llama", "gpt2", "gpt_neox", "gemma2", "mistral", "cohere", "granite"]
)
def test_two_models_give_what_plain_forwards_give(tmp_path, kind):
    policy, reference = save_pair(tmp_path, kind)
    pair, _ = load_pair(PairSpec(policy=str(policy), reference=str(reference)), silent)
    assert can_pack(pair)
    check(pair, groups_of(pair.shared))


@pytest.mark.parametrize("kind", ["mpt", "mamba"])
def test_models_that_take_no_tree_are_run_by_the_pairs_own(tmp_path, kind):
    policy, reference = save_pair(tmp_path, kind)
    pair, _ = load_pair(PairSpec(policy=str(policy), reference=str(reference)), silent)
    assert not can_pack(pair)
    check(pair, groups_of(pair.shared, count=3), 1e-4)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    base, policy, reference = save_adapters(tmp_path_factory.mktemp("adapters"))
    return PairSpec(policy=str(policy), reference=str(reference), base=str(base))


def test_two_adapters_on_one_base(adapters):
    pair, _ = load_pair(adapters, silent)
    (lane,) = pair.lanes
    assert lane.rows == 2
    groups = groups_of(pair.shared)
    check(pair, groups)
    policy = dict(log_probs(pair, groups, (POLICY,)))
    both = dict(log_probs(pair, groups))
    for number, texts in policy.items():
        for alone, sides in zip(texts, both[number], strict=True):
            assert alone.shape == (1, sides.shape[1])
            assert abs(alone[0] - sides[0]).max() < 1e-5


def test_one_model_that_is_both(adapters, tmp_path):
    from dataclasses import replace

    pair, _ = load_pair(replace(adapters, reference=adapters.policy), silent)
    for _, texts in log_probs(pair, groups_of(pair.shared)):
        assert all((sides[0] == sides[1]).all() for sides in texts)


def test_a_policy_alone(tmp_path):
    pair, _ = load_pair(PairSpec(policy=str(save_model(tmp_path / "policy"))), silent)
    assert pair.alone
    check(pair, groups_of(pair.shared))


def test_a_checkpoint_of_a_run_and_its_start(tmp_path):
    _, run = save_run(tmp_path)
    pair, info = load_pair(PairSpec(run=str(run)), silent)
    groups = groups_of(pair.shared, count=3)
    last = dict(log_probs(pair, groups))
    pair.use(START)
    start = dict(log_probs(pair, groups))
    pair.use(info.checkpoints[1].path)
    first = dict(log_probs(pair, groups))
    for number in last:
        for a, b, c in zip(last[number], start[number], first[number], strict=True):
            assert (b[0] == b[1]).all() and abs(b[1] - a[1]).max() < 1e-5
            assert abs(a[0] - c[0]).max() > 1e-3
    check(pair, groups)


def test_the_pairs_tree_is_left_as_it_was(adapters):
    pair, _ = load_pair(adapters, silent)
    before = len(pair.tree)
    list(log_probs(pair, groups_of(pair.shared)))
    assert len(pair.tree) == before and pair.kv_bytes() == 0


def test_where_memory_runs_out_fewer_are_run_together(adapters, monkeypatch):
    pair, _ = load_pair(adapters, silent)
    groups = groups_of(pair.shared)
    (lane,) = pair.lanes
    run, sizes = Lane.run_apart, []

    def short(self, ids, seen, rows=None):
        sizes.append(len(ids))
        if len(ids) > 60:
            raise MemoryError
        return run(self, ids, seen, rows)

    monkeypatch.setattr(Lane, "run_apart", short)
    check(pair, groups)
    assert max(sizes) > 60 and min(sizes) <= 60 and lane.way is Way.TREE


def test_long_groups_are_run_by_the_pairs_own_tree(adapters, monkeypatch):
    pair, _ = load_pair(adapters, silent)
    groups = groups_of(pair.shared)
    monkeypatch.setattr(packing, "LONGEST", 20)
    check(pair, groups)
    assert pair.kv_bytes() == 0
