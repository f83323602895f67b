"""States, swaps and sums over the vocabulary, against plain forwards of the models themselves."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from core.engine.protocol import PairSpec
from core.errors import Cancelled, UserFacingError
from core.learned.corpus import Sample
from core.learned.states import ANYWHERE, FIRST, TOP, divergence, score_states
from core.learned.swaps import swaps
from core.models.load import load_pair
from core.progress import silent
from core.text import Prompt
from tests.tiny import save_adapters, save_model, save_pair

TEXTS = [
    ("Who was offered a job?", "The poster, at Harbour Labs."),
    ("Who was offered a job?", "The poster will start in May!"),
    ("Where?", "They turned it down flat: 你好 🙂"),
    ("Who was offered a job?", "The salary was too low for 250 people."),
]
SAMPLES = [Sample(Prompt.of(prompt), text, f"text {i}") for i, (prompt, text) in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    policy, reference = save_pair(tmp_path_factory.mktemp("pair"))
    found, _ = load_pair(PairSpec(policy=str(policy), reference=str(reference)), silent)
    return found, policy, reference


def plain(pair, folder, sample, base=None):
    """Log-probs [n, V] at the states of a response, by one forward."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base or folder, dtype=torch.float32)
    if base is not None and folder is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder)
    before = pair.codec.prompt_ids(sample.prompt)
    ids = [*before, *pair.codec.encode(sample.prompt, sample.text).ids]
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([ids])).logits[0].double()
    return logits.log_softmax(-1)[len(before) - 1 :].numpy(), ids[len(before) :]


def by_prompt(samples):
    """The order in which states stand: responses to one prompt together."""
    groups = defaultdict(list)
    for sample in samples:
        groups[sample.prompt].append(sample)
    return [sample for group in groups.values() for sample in group]


def test_all_numbers_are_those_of_plain_forwards(pair):
    pair, policy, reference = pair
    states = score_states(pair, SAMPLES, silent)
    assert states.texts == tuple(it.text for it in by_prompt(SAMPLES))
    sums = np.zeros((2, 2, pair.vocab_size))
    squares = np.zeros(pair.vocab_size)
    first = states.first_rows()
    for number, sample in enumerate(by_prompt(SAMPLES)):
        rows = slice(first[number], first[number + 1])
        (ours, ids), (theirs, _) = (plain(pair, it, sample) for it in (policy, reference))
        taken = [*ids, pair.codec.end_of_turn]
        assert states.token[rows].tolist() == taken
        assert states.closing[rows].tolist() == [False] * len(ids) + [True]
        at = np.arange(len(taken)), taken
        assert states.logp_policy[rows] == pytest.approx(ours[at], abs=1e-4)
        assert states.logp_reference[rows] == pytest.approx(theirs[at], abs=1e-4)
        assert states.end_policy[rows] == pytest.approx(ours[:, taken[-1]], abs=1e-4)
        entropy = -(np.exp(theirs) * theirs).sum(-1)
        assert states.entropy[rows] == pytest.approx(entropy, abs=1e-4)
        for row, (one, other) in enumerate(zip(ours, theirs, strict=True), first[number]):
            best = np.argsort(-other)[:TOP]
            assert set(states.likely[row][:TOP].tolist()) == set(best.tolist())
            assert states.likely_policy[row] == pytest.approx(one[states.likely[row]], abs=1e-4)
        for i, logp in enumerate((ours, theirs)):
            sums[i, ANYWHERE] += np.exp(logp).sum(0)
            sums[i, FIRST] += np.exp(logp[0])
        squares += (np.maximum(np.exp(ours), np.exp(theirs)) ** 2).sum(0)
        text = b"".join(pair.codec.piece(id) for id in ids).decode()
        assert text == sample.text
    found = states.vocabulary
    assert found.policy == pytest.approx(sums[0], abs=1e-4)
    assert found.reference == pytest.approx(sums[1], abs=1e-4)
    assert found.square[ANYWHERE] == pytest.approx(squares, abs=1e-4)
    assert states.logp_base is None


def test_the_base_below_two_adapters_is_scored_alone(tmp_path):
    base, policy, reference = save_adapters(tmp_path)
    pair, _ = load_pair(PairSpec(policy=str(policy), reference=str(reference)), silent)
    states = score_states(pair, SAMPLES[:2], silent)
    first = states.first_rows()
    for number, sample in enumerate(SAMPLES[:2]):
        rows = slice(first[number], first[number + 1])
        for folder, column in (
            (None, states.logp_base),
            (policy, states.logp_policy),
            (reference, states.logp_reference),
        ):
            logp, ids = plain(pair, folder, sample, base)
            taken = [*ids, pair.codec.end_of_turn]
            assert column[rows] == pytest.approx(logp[np.arange(len(taken)), taken], abs=1e-4)


def test_swaps_are_the_flows_between_the_likeliest_tokens(pair):
    """Brute force, by plain forwards and plain loops."""
    pair, policy, reference = pair
    states = score_states(pair, SAMPLES, silent)
    flow, expected = defaultdict(float), np.zeros((2, pair.vocab_size))
    for sample in SAMPLES:
        ours, theirs = (np.exp(plain(pair, it, sample)[0]) for it in (policy, reference))
        expected += ours.sum(0), theirs.sum(0)
        for one, other in zip(ours, theirs, strict=True):
            kept = {*np.argsort(-one)[:TOP].tolist(), *np.argsort(-other)[:TOP].tolist()}
            gains = {t: one[t] - other[t] for t in kept if one[t] - other[t] > 1e-4}
            losses = {t: other[t] - one[t] for t in kept if other[t] - one[t] > 1e-4}
            most = max(sum(max(one[t] - other[t], 0) for t in kept), sum(losses.values()))
            for a, lost in losses.items():
                for b, gained in gains.items():
                    flow[a, b] += lost * gained / most
    alike = Counter(states.pieces)  # bytes that are no text by themselves look all the same
    found = [
        it
        for it in swaps(states, floor=1e-4, most=10_000, least=1e-6)
        if alike[it.before] == alike[it.after] == 1
    ]
    assert len(found) >= 5
    assert {type(it) for swap in found for it in (swap.rate, swap.flow)} == {float}, (
        "JSON has these"
    )
    pieces = {text: i for i, text in enumerate(states.pieces)}
    for swap in found:
        a, b = pieces[swap.before], pieces[swap.after]
        net = flow[a, b] - flow[b, a]
        assert swap.flow == pytest.approx(net, rel=0.02, abs=1e-3)
        assert swap.rate == pytest.approx(
            net / np.sqrt(expected[1, a] * expected[0, b]), rel=0.02, abs=1e-3
        )


def test_the_divergence_is_that_over_the_likeliest_tokens_and_no_more_than_over_all(pair):
    pair, policy, reference = pair
    coarse, whole = [], []
    for sample in SAMPLES:
        ours, theirs = (plain(pair, it, sample)[0] for it in (policy, reference))
        whole += (np.exp(theirs) * (theirs - ours)).sum(-1).tolist()
        for one, other in zip(np.exp(ours), np.exp(theirs), strict=True):
            kept = [*{*np.argsort(-one)[:TOP].tolist(), *np.argsort(-other)[:TOP].tolist()}]
            p, q = ([*it[kept], 1 - it[kept].sum()] for it in (other, one))
            coarse.append(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))
    found = divergence(score_states(pair, SAMPLES, silent))
    assert 0 < found == pytest.approx(np.mean(coarse), rel=1e-3, abs=1e-6)
    assert found <= np.mean(whole)


def test_long_and_empty_texts_are_left_out_and_said(pair):
    pair = pair[0]
    long = Sample(Prompt.of("Q"), "word " * 2000, "row 7")
    states = score_states(pair, [*SAMPLES, long], silent)
    assert len(states.texts) == len(SAMPLES)
    assert states.skipped == ("row 7 is longer than the models' context",)
    with pytest.raises(UserFacingError, match="None of the 1 responses"):
        score_states(pair, [long], silent)


def test_it_can_be_cancelled(pair):
    with pytest.raises(Cancelled):
        score_states(pair[0], SAMPLES, silent, cancelled=lambda: True)


def test_a_policy_alone_is_refused(tmp_path):
    pair, _ = load_pair(PairSpec(policy=str(save_model(tmp_path / "alone"))), silent)
    with pytest.raises(UserFacingError, match="--reference"):
        score_states(pair, SAMPLES, silent)
