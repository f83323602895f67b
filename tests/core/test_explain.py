"""What is said of a run, on curves whose course is known."""

from pathlib import Path

import numpy as np
import pytest

from core.runs.explain import best_step, course, explain
from core.runs.records import HELD_OUT, KL, Checkpoint, RunLog, Series

STEPS = np.arange(5, 505, 5)


def curve(start, end, noise=0.0, seed=0, steps=STEPS):
    """A curve that goes over most of its way early, as rewards do."""
    way = 1 - np.exp(-4 * np.arange(len(steps)) / len(steps))
    values = start + (end - start) * way / way[-1]
    return Series(steps, values + noise * np.random.default_rng(seed).normal(size=len(steps)))


def run(*, chosen, rejected, beta=0.1, noise=0.05, **more):
    """A run with the given ends of its rewards, margins and the rest as they follow."""
    pair = [curve(*ends, noise, seed) for seed, ends in enumerate((chosen, rejected))]
    series = {
        "rewards/chosen": pair[0],
        "rewards/rejected": pair[1],
        "rewards/margins": Series(STEPS, pair[0].values - pair[1].values),
        "rewards/accuracies": curve(0.5, 0.95, 0.02, 2),
    }
    return RunLog(Path("/runs/a"), "a", "TRL", series | more, beta=beta)


def said(log, beta=None):
    """The cases, and all words."""
    found = explain(log, beta)
    return ([] if found is None else [f.case for f in found.findings]), getattr(found, "text", "")


def test_chosen_that_falls_while_the_margin_grows_is_laid_beside_minus_beta_kl():
    log = run(chosen=(0, -1.6), rejected=(0, -5.6), **{KL: curve(0, 15)})
    cases, text = said(log)
    assert cases == ["falls"] and "Eq. 16" in text
    # The curves end at these values; the last tenth's median lies a little before.
    assert "Chosen falls to −1.5" in text or "Chosen falls to −1.6" in text
    assert (
        "−β KL(π_ref\u202f||\u202fπ) is −1.4" in text
        or "−β KL(π_ref\u202f||\u202fπ) is −1.5" in text
    )
    assert not explain(log).warning and explain(log).findings[0].cites.startswith("Eq. 16")


def test_the_shown_minus_beta_kl_is_the_median_of_the_last_tenth_times_beta():
    kl = curve(0, 15, 0.5, 7)
    log = run(chosen=(0, -1.6), rejected=(0, -5.6), beta=0.25, **{KL: kl})
    by_hand = -0.25 * sorted(kl.values[-10:])[4:6][0], -0.25 * sorted(kl.values[-10:])[5]
    middle = f"{sum(by_hand) / 2:+.2f}".replace("-", "−")
    # 0.25 times 15 is far more than chosen lost, so nothing but Eq. 16 is said.
    assert f"−β KL(π_ref\u202f||\u202fπ) is {middle} at step 500" in said(log)[1]


def test_without_kl_it_says_how_to_measure_it():
    log = run(chosen=(0, -1.6), rejected=(0, -5.6))
    assert "python main.py train evaluate RUN measures it" in said(log)[1]
    saved = RunLog(Path("/my runs/a"), "a", "TRL", log.series, (Checkpoint(10, "/x"),), 0.1)
    assert "python main.py train evaluate '/my runs/a' measures it" in said(saved)[1]


def test_without_beta_it_asks_for_it_and_a_given_one_counts():
    log = run(chosen=(0, -1.6), rejected=(0, -5.6), beta=None, **{KL: curve(0, 15)})
    assert "β is not known" in said(log)[1]
    assert "−β KL(π_ref\u202f||\u202fπ) is −1.4" in said(log, beta=0.1)[1]


def test_chosen_that_stays_above_0():
    cases, text = said(run(chosen=(0, 0.8), rejected=(0, -3.0)))
    assert cases == ["above"] and "without SFT" in text and "Eq. 16" in text
    # Above 0 at the end, but after a dip: it did not stay there.
    dip = run(chosen=(0, 0.8), rejected=(0, -3.0))
    values = dip.series["rewards/chosen"].values.copy()
    values[20:40] -= 2
    dip.series["rewards/chosen"] = Series(STEPS, values)
    assert said(dip)[0] == []


def test_chosen_far_below_minus_beta_kl_is_likelihood_displacement():
    log = run(chosen=(0, -12.0), rejected=(0, -20.0), **{KL: curve(0, 15)})
    cases, text = said(log)
    assert cases == ["displaced"] and "2410.08847" in text and explain(log).warning
    assert said(run(chosen=(0, -2.0), rejected=(0, -20.0), **{KL: curve(0, 15)}))[0] == ["falls"]
    # KL that was measured on other pairs than the rewards is not laid beside them.
    other = run(chosen=(0, -12.0), rejected=(0, -20.0), **{HELD_OUT + KL: curve(0, 15)})
    assert said(other)[0] == ["falls"]


def test_a_margin_that_shrinks():
    rise, fall = curve(0, 4.0, 0.1), curve(4.0, 2.5, 0.1, 3)
    half = len(STEPS) // 2
    margins = Series(STEPS, np.concatenate([rise.values[::2], fall.values[::2]])[: 2 * half])
    log = run(chosen=(0, -1.6), rejected=(0, -5.6), **{"rewards/margins": margins})
    cases, text = said(log)
    assert cases == ["shrinks"] and "+2.5" in text and explain(log).warning


def test_accuracy_that_stalls():
    flat = {"rewards/accuracies": curve(0.5, 0.51, 0.03)}
    cases, text = said(run(chosen=(0, -0.01), rejected=(0, -0.02), **flat))
    assert cases == ["stalls"] and "0.5 is chance" in text
    log = run(chosen=(0, 0), rejected=(0, 0))
    del log.series["rewards/accuracies"]
    assert said(log)[0] == ["stalls"] and "margin has not grown" in said(log)[1]


def test_localisation_that_peaks_before_the_end_says_where_to_stop():
    steps = np.arange(0, 130, 10)
    values = np.array([0.5, 0.7, 0.82, 0.85, 0.86, 0.85, 0.84, 0.83, 0.82, 0.81, 0.8, 0.8, 0.79])
    name = HELD_OUT + "words/auroc/-reward"
    log = RunLog(Path("a"), "a", "TRL", {name: Series(steps, values)})
    cases, text = said(log)
    assert cases == ["peaked"] and "best at step 40 (0.860)" in text and explain(log).stop_at == 40
    both = run(chosen=(0, -1.6), rejected=(0, -5.6), **{name: Series(steps, values)})
    assert said(both)[0] == ["falls", "peaked"]
    rising = RunLog(Path("a"), "a", "TRL", {name: Series(steps, np.sort(values))})
    assert explain(rising) is None


def test_held_out_rewards_speak_where_training_logged_none():
    log = run(chosen=(0, -1.6), rejected=(0, -5.6))
    held = {HELD_OUT + key: value for key, value in log.series.items()}
    assert said(RunLog(Path("a"), "a", "TRL", held, beta=0.1))[0] == ["falls"]


@pytest.mark.parametrize("count", range(6))
def test_of_few_points_nothing_is_said(count):
    log = run(chosen=(0, -1.6), rejected=(0, -5.6), noise=0)
    short = {n: Series(s.steps[:: 100 // 6][:count], s.values[:: 100 // 6][:count])
             for n, s in log.series.items()}  # fmt: skip
    assert explain(RunLog(Path("a"), "a", "TRL", short, beta=0.1)) is None


def test_noise_is_not_explained():
    """Of 60 runs that go nowhere, but for an accuracy far from chance, none is explained."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        chosen, rejected = rng.normal(0, 0.5, (2, 100)) + np.array([[0.0], [-1.0]])
        series = {
            "rewards/chosen": Series(STEPS, chosen),
            "rewards/rejected": Series(STEPS, rejected),
            "rewards/accuracies": Series(STEPS, np.full(100, 0.8)),
            HELD_OUT + "words/auroc/-reward": Series(STEPS[:12], 0.8 + rng.normal(0, 0.004, 12)),
        }
        assert explain(RunLog(Path("a"), "a", "TRL", series, beta=0.1)) is None, seed


def test_gaps_and_single_spikes_do_not_count():
    spiked = run(chosen=(0, -1.6), rejected=(0, -5.6))
    values = spiked.series["rewards/chosen"].values
    values[-1], values[3], values[50] = 40.0, np.nan, -90.0
    assert said(spiked)[0] == ["falls"]
    assert course(Series(STEPS, np.full(100, np.nan))) is None
    assert best_step(Series(STEPS[:3], np.array([np.nan, 2.0, 2.0]))) == 10
    assert best_step(Series(STEPS[:1], np.array([np.nan]))) is None


def test_what_noisy_batches_leave_open_held_out_pairs_may_say():
    steps = STEPS[::10]
    noisy = {
        "rewards/chosen": curve(0, -0.1, 0.3, 1, steps),
        "rewards/rejected": curve(0, -0.3, 0.3, 2, steps),
        "rewards/accuracies": curve(0.5, 0.8, 0, 0, steps),
    }
    assert said(RunLog(Path("a"), "a", "TRL", noisy, beta=0.1))[0] == []
    held_out = {
        HELD_OUT + "rewards/chosen": curve(0, -0.1, 0, 0, steps),
        HELD_OUT + "rewards/rejected": curve(0, -0.3, 0, 0, steps),
        HELD_OUT + KL: curve(0, 1.5, 0, 0, steps),
    }
    cases, text = said(RunLog(Path("a"), "a", "TRL", noisy | held_out, beta=0.1))
    assert cases == ["falls"] and "on the held-out pairs" in text and "−β KL" in text
