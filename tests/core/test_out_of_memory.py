"""Memory that runs out anywhere: what was being done is done again, as if nothing had happened.

Every operator of torch that a step runs fails in turn, the step is each time tried again, and
all that was found is compared with what a fresh pair finds.
"""

import contextlib
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import core
from core.engine.protocol import PairInfo
from core.models.score import score
from core.search.grown import GrownTree, Reason
from core.search.run import Run
from core.search.spec import Objective, SearchSpec
from core.search.strategies import records
from core.search.strategies.beam import Beam
from core.search.strategies.beam_sample import BeamSample
from core.search.strategies.best_first import BestFirst
from core.search.strategies.chunks import ChunkBeam
from core.search.strategies.diverse import DiverseBeam
from core.search.strategies.given import Given
from core.search.strategies.mcts import TreeSearch
from core.search.strategies.sampling import Sampling
from core.search.strategies.stochastic import StochasticBeam
from core.sweeps.judges import RewardJudge
from core.sweeps.questions import Question
from core.sweeps.record import SweepSpec
from core.sweeps.run import Answers, Sweep
from tests.searches import PROMPT, search_pair

STRATEGIES = [
    Beam(3),
    DiverseBeam(4, 2),
    BeamSample(3, temperature=30.0, seed=4),
    StochasticBeam(3, temperature=30.0, seed=4),
    BestFirst(6, children=4, batch=2),
    Sampling(4, temperature=30.0, seed=4),
    TreeSearch(4, children=3),
    TreeSearch(2, children=3, value="rollout", rollout=3, temperature=30.0, seed=2),
    ChunkBeam(2, 2, chunk=2, temperature=30.0, seed=4),
    Given((20, 21, 22), closed=True),
]
"""Hot, so that other random numbers would draw other tokens."""
NAMES = [f"{type(s).__name__}{i}" for i, s in enumerate(STRATEGIES)]
CORE = str(Path(core.__file__).parent)
INFO = PairInfo("", "", "cpu", "float32", 0, False, 480, 256, True, "", 0.0, 0.1)
COLUMNS = ("logp_policy", "logp_reference", "logit", "logsumexp", "kl", "sum_policy")


class Short(TorchDispatchMode):
    """The first operator that has not failed yet finds no memory; all after it do.

    An operator is known by the lines of the project that it was called from, the first time and
    the second: so a step that finds part of its work done, and runs fewer, still fails everywhere.
    """

    def __init__(self, failed):
        super().__init__()
        self.failed, self.seen, self.raised = failed, Counter(), False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not self.raised:
            site, frame = [function], sys._getframe(1)
            while frame.f_code is not failing_everywhere.__code__:
                if frame.f_code.co_filename.startswith(CORE):
                    site += frame.f_code.co_filename, frame.f_lineno  # code takes long to hash
                frame = frame.f_back
            self.seen[tuple(site)] += 1
            operator = (*site, self.seen[tuple(site)])
            if operator[-1] <= 2 and operator not in self.failed:
                self.failed.add(operator)
                self.raised = True
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
        return function(*args, **(kwargs or {}))


def failing_everywhere(step):
    """Let every operator of a step fail in turn; what the step returns when it is let through at
    last, and how often it failed."""
    failed = set()
    while True:
        with contextlib.suppress(torch.OutOfMemoryError), Short(failed):
            return step(), len(failed)


def plainly(step):
    return step(), 0


def searched(pair, spec, take):
    run, tree, numbers, failures = Run(pair, PROMPT, (), spec), GrownTree(), [], 0
    while True:
        growth, failed = take(run.step)
        failures += failed
        if growth is None:
            return tree, numbers, failures
        numbers.append(growth.step.number)
        tree.add(growth)


def assert_same(tree, other):
    for name in ("token", "parent", "status", "reason", "visits", "best", "step"):
        assert getattr(tree, name).tolist() == getattr(other, name).tolist(), name
    for name in COLUMNS:
        np.testing.assert_allclose(tree.column(name), other.column(name), atol=2e-4, err_msg=name)


def test_every_strategy_is_among_them():
    assert {type(strategy) for strategy in STRATEGIES} == set(records())


@pytest.mark.parametrize("strategy", STRATEGIES, ids=NAMES)
def test_a_search_goes_on_as_if_nothing_had_failed(strategy):
    spec = SearchSpec(strategy, objective=Objective.dial(1.5), max_tokens=2)
    expected, numbers, _ = searched(search_pair()[0], spec, plainly)
    tree, told, failures = searched(search_pair()[0], spec, failing_everywhere)
    assert failures > 20 * len(told)
    assert told == numbers == list(range(1, len(numbers) + 1))
    assert_same(tree, expected)


def test_a_search_that_is_steered_keeps_the_users_word():
    """A prune between two steps is told of by the next one, though that failed before."""
    spec = SearchSpec(Beam(3), max_tokens=3)
    trees = []
    for take in (plainly, failing_everywhere):
        run, tree = Run(search_pair()[0], PROMPT, (), spec), GrownTree()
        tree.add(take(run.step)[0])
        run.steer(int(tree.node[tree.best[0]]), "prune")
        while (growth := take(run.step)[0]) is not None:
            tree.add(growth)
        trees.append(tree)
    assert Reason.BY_HAND in trees[0].reason
    assert_same(*trees)


def test_a_growth_that_could_not_be_told_of_is_told_of_later(monkeypatch):
    """After the step itself, its numbers are still to be read."""
    spec = SearchSpec(Beam(2), max_tokens=2)
    pair, _ = search_pair()
    run, tree = Run(pair, PROMPT, (), spec), GrownTree()
    expected, _, _ = searched(search_pair()[0], spec, plainly)
    label, failed = pair.codec.label, []

    def short(id):
        if len(failed) < 3:
            failed.append(id)
            raise MemoryError
        return label(id)

    monkeypatch.setattr(pair.codec, "label", short)
    while True:
        try:
            growth = run.step()
        except MemoryError:
            continue
        if growth is None:
            break
        tree.add(growth)
    assert len(failed) == 3
    assert_same(tree, expected)


def swept(take):
    pair, _ = search_pair()
    spec = SweepSpec(judge=None, widths=(1, 2), against="reference-greedy", max_tokens=2)
    questions = [Question(PROMPT.messages[-1].content)]
    sweep = Sweep(pair, INFO, spec, questions, RewardJudge(), Answers(pair, INFO))
    failures = 0
    while not sweep.ended:
        failures += take(sweep.step)[1]
    return sweep.rows, failures


def test_a_sweep_goes_on_as_if_nothing_had_failed():
    expected, _ = swept(plainly)
    rows, failures = swept(failing_everywhere)
    assert failures > 100 and len(rows) == len(expected) == 2
    for row, other in zip(rows, expected, strict=True):
        assert (row.question, row.width) == (other.question, other.width)
        assert row.verdict.winner == other.verdict.winner
        assert row.answer.text == other.answer.text
        assert row.answer.log_ratio == pytest.approx(other.answer.log_ratio, abs=2e-4)


def test_edits_are_scored_as_if_nothing_had_failed():
    pair, fresh = search_pair()[0], search_pair()[0]
    texts = ["They offered $53K a year.", "They refused $53K a year.", "They refused it."]
    for text in texts:
        tokens = pair.codec.encode(PROMPT, text)
        scoring, failures = failing_everywhere(lambda t=tokens: score(pair, PROMPT, t, hold="A"))
        expected = score(fresh, PROMPT, tokens, hold="A")
        assert failures > 50
        for name in ("logp_policy", "logp_reference", "kl", "entropy_policy", "logsumexp"):
            np.testing.assert_allclose(getattr(scoring, name), getattr(expected, name), atol=2e-4)
