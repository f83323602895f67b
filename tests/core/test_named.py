"""Pairs and bases that are registered under a name."""

from dataclasses import replace

import pytest

from core.checkpoints import named
from core.checkpoints.resolve import resolve_pair
from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.provenance import Provenance
from tests.tiny import save_pair


def quiet(what, fraction):
    """Progress that nobody watches."""


def test_the_demo_registers_its_base_and_its_pair():
    assert list(named.BASES) == ["SmolLM2-135M-Instruct"] and list(named.PAIRS) == ["demo"]


def test_a_pair_of_another_origin_is_opened_in_the_place_of_the_demo(tmp_path, monkeypatch):
    from core.models.load import load_pair

    policy, reference = save_pair(tmp_path)
    known = Provenance(beta=0.375, sources={"beta": "its recipe"})
    plan = replace(resolve_pair(policy, reference), provenance=known)
    monkeypatch.setitem(named.PAIRS, "demo", lambda report, stop: plan)
    pair, info = load_pair(PairSpec(demo=True, device="cpu"), quiet)
    assert info.beta == 0.375 and info.policy == policy.name and pair.vocab_size > 0
    assert load_pair(PairSpec(demo=True, beta=0.5, device="cpu"), quiet)[1].beta == 0.5


def test_a_name_that_nobody_registered_is_said(monkeypatch):
    monkeypatch.delitem(named.PAIRS, "demo")
    with pytest.raises(UserFacingError, match="No pair is registered under the name 'demo'"):
        named.named_plan("demo", quiet, lambda: False)


def test_the_first_base_is_the_one_that_is_trained_unasked(monkeypatch):
    assert named.usual_base().name == "SmolLM2-135M-Instruct"
    own = named.NamedBase("own", lambda: None, lambda report, stop: None)
    monkeypatch.setattr(named, "BASES", {"own": own})
    assert named.usual_base() is own
    monkeypatch.setattr(named, "BASES", {})
    with pytest.raises(UserFacingError, match="There is no base to train"):
        named.usual_base()
