"""Is it helping: differences add up, the interval covers at all times at once, and says so when it is clear."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.gate.test_gate_evidence import clustered, gauss, heavy, skewed
from ztb.learning.benchmarks import BenchmarkTracker, Comparison, PairedDifference


def paired(differences: NDArray[np.float64], every: int = 32) -> list[Comparison]:
    """Comparisons after each block of accounts whose log equities drift apart by `differences`."""
    pairing, found = PairedDifference(), []
    ours = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(differences)]))
    pairing.add(ours[:1], np.full(1, 50.0))
    for block in np.split(ours[1:], range(every, len(differences), every)):
        pairing.add(block, np.full(len(block), 50.0))
        if len(block) == every:
            found.append(pairing.comparison("frozen"))
    return found


def test_the_difference_is_the_ratio_of_the_equities_less_one():
    (found,) = paired(np.full(320, 1e-4), 320)
    assert found.difference == pytest.approx(math.exp(320e-4) - 1.0)
    assert found.decisions == 321 and found.low is None and found.answer == "too_early"


@pytest.mark.parametrize("kind", [gauss, heavy, clustered, skewed])
def test_the_interval_covers_what_is_due_to_the_policies_at_all_times_at_once(
    kind: Callable[[np.random.Generator], NDArray[np.float64]],
):
    rng = np.random.default_rng(0)
    drift, n, missed = 1e-4, 200, 0
    for _ in range(n):
        found = paired(drift + 1e-3 * kind(rng))
        missed += any(
            not c.low <= math.expm1(32 * k * drift) <= c.high
            for k, c in enumerate(found, 1)
            if c.low is not None and c.high is not None
        )
    assert missed <= 0.08 * n


def test_a_clear_difference_is_called_by_its_name():
    noise = np.random.default_rng(1).standard_normal(4096)
    for drift, answer in ((0.1, "helps"), (-0.1, "hurts"), (0.0, "unclear")):
        assert paired(1e-3 * (drift + noise - noise.mean()))[-1].answer == answer


def test_correlation_within_a_block_widens_the_interval():
    noise = np.random.default_rng(2).standard_normal(4096)
    smooth = np.convolve(noise, np.ones(8) / math.sqrt(8.0), mode="same")
    widths = [c[-1].high - c[-1].low for c in (paired(1e-3 * noise), paired(1e-3 * smooth)) if c[-1].high]
    assert widths[1] > 2.0 * widths[0]


def test_accounts_that_never_differ_and_accounts_used_up_have_no_interval():
    same = paired(np.zeros(2048))[-1]
    assert same.difference == 0.0 and same.low is None and same.answer == "too_early"
    pairing = PairedDifference()
    pairing.add(np.array([1.0, 2.0, 0.0, 5.0]), np.ones(4))
    assert pairing.comparison("hold").difference is None


def test_flat_is_compared_with_as_money_that_stays_where_it_is():
    helping = BenchmarkTracker()
    for equity in (100.0, 110.0):
        helping.follow(equity, {"hold": equity, "frozen": equity / 1.1})
    found = {c.baseline: c.difference for c in helping.comparisons()}
    assert list(found) == ["frozen", "hold", "flat"]
    assert found["flat"] == pytest.approx(0.1) and found["hold"] == pytest.approx(0.0)
    assert helping.answer == "too_early" and BenchmarkTracker().answer == "too_early"
    assert BenchmarkTracker().learning.missing == "513 more decisions"


def test_what_the_size_of_the_account_did_is_not_credited_to_learning():
    """Generation 0 at full size loses steadily, the account hardly: but so it would have with nothing learnt."""
    helping, rng = BenchmarkTracker(), np.random.default_rng(5)
    lost = np.exp(np.cumsum(rng.normal(-1e-3, 1e-4, 2048)))
    for theirs in lost.tolist():
        helping.follow(1.0, {"frozen": theirs, "unlearnt": 1.0})
    assert helping.against("frozen").answer == "helps"
    assert helping.answer == "too_early" and helping.learning.baseline == "unlearnt"
    assert [one.baseline for one in helping.comparisons()] == ["unlearnt", "frozen", "flat"]


def test_decisions_told_one_by_one_compare_as_those_told_together():
    rng = np.random.default_rng(6)
    ours, hold = np.exp(np.cumsum(0.01 * rng.standard_normal((2, 1500)), axis=1))
    one, all_ = BenchmarkTracker(), BenchmarkTracker()
    for k in range(1500):
        one.follow(ours[k], {"hold": hold[k]})
        if k == 700:
            assert one.against("hold").decisions == 701  # asked in between, what waits is told first
    all_.follow_all(ours, {"hold": hold})
    assert one.comparisons() == all_.comparisons() and one.against("hold").low is not None
