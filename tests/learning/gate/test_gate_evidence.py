"""The evidence of paired differences: seldom wrong however often one looks, and sure where there is an effect."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ztb.learning.gate.evidence import EProcess, log_mixture
from ztb.learning.gate.gate import MONTH_NS, ErrorBudget

BLOCKS, BLOCK = 256, 16  # the default window


def gauss(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.standard_normal(BLOCKS * BLOCK)


def heavy(rng: np.random.Generator) -> NDArray[np.float64]:
    """Student's t with 3 degrees of freedom."""
    return rng.standard_t(3, BLOCKS * BLOCK) / math.sqrt(3.0)


def clustered(rng: np.random.Generator) -> NDArray[np.float64]:
    """GARCH(1, 1): calm and wild stretches."""
    noise = rng.standard_normal(BLOCKS * BLOCK)
    variance = 1.0
    for t in range(len(noise)):
        noise[t] *= math.sqrt(variance)
        variance = 0.02 + 0.10 * noise[t] ** 2 + 0.88 * variance
    return noise


def skewed(rng: np.random.Generator) -> NDArray[np.float64]:
    return 1.0 - rng.exponential(size=BLOCKS * BLOCK)


KINDS = (gauss, heavy, clustered, skewed)


def ended(differences: NDArray[np.float64], alpha: float) -> tuple[int | None, int | None]:
    """Decisions until the evidence says better and until it says worse (1 in 20), looking after every block."""
    evidence, better, worse = EProcess(), None, None
    for number, block in enumerate(differences.reshape(-1, BLOCK).mean(axis=1).tolist(), 1):
        evidence.add(block)
        if better is None and evidence.log_better >= math.log(1.0 / alpha):
            better = number * BLOCK
        if worse is None and evidence.log_worse >= math.log(20.0):
            worse = number * BLOCK
    return better, worse


def binomial_at_most(k: int, n: int, p: float) -> float:
    """P(X <= k)."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_no_difference_is_taken_for_one_in_at_most_five_of_a_hundred_windows(
    kind: Callable[[np.random.Generator], NDArray[np.float64]],
):
    rng = np.random.default_rng(0)
    n = 300
    found = [ended(kind(rng), 0.05) for _ in range(n)]
    for wrong in (sum(side is not None for side in sides) for sides in zip(*found, strict=True)):
        # Were the probability more than 5 %, so few would be seen once in a hundred times.
        assert binomial_at_most(wrong, n, 0.05) < 0.01 or wrong <= 0.03 * n


@pytest.mark.parametrize(
    ("effect", "alpha", "within"), [(0.07, 0.05, 4096), (0.08, 0.005, 4096), (0.45, 0.005, 512)]
)
def test_a_real_difference_is_found_in_the_window(effect, alpha, within):
    rng = np.random.default_rng(1)
    n = 100
    found = [ended(kind(rng) + effect, alpha) for kind in KINDS for _ in range(n // len(KINDS))]
    in_time = sum(better is not None and better <= within and worse is None for better, worse in found)
    assert in_time >= 0.8 * n


def test_the_mixture_is_the_integral_over_every_bet():
    """e(S, V) = ∫ exp(λS − λ²V/2) dF(λ) with F half-normal of variance 1/ρ, ρ = 4."""
    bets = np.linspace(0.0, 10.0, 200_001)
    density = 2.0 * np.sqrt(4.0 / (2.0 * np.pi)) * np.exp(-0.5 * 4.0 * bets * bets)
    for s, v in ((0.0, 0.0), (3.0, 5.0), (-4.0, 9.0), (20.0, 40.0)):
        integral = np.trapezoid(np.exp(bets * s - 0.5 * bets * bets * v) * density, bets)
        assert log_mixture(s, v) == pytest.approx(math.log(integral), abs=1e-6)


def test_the_mean_is_between_bounds_that_close_in():
    rng = np.random.default_rng(2)
    evidence = EProcess()
    widths = []
    for block in (0.3 + rng.standard_normal(400)).tolist():
        evidence.add(block)
        low, high = evidence.bounds(0.05)
        if low is not None and high is not None:
            assert low < 0.3 < high
            widths.append(high - low)
    assert len(widths) > 380 and widths[-1] < 0.5 < 1.0 < widths[0]


def test_a_bound_leaves_zero_when_the_evidence_does():
    evidence = EProcess()
    for block in np.random.default_rng(3).normal(0.2, 1.0, 300).tolist():
        evidence.add(block)
        low, _ = evidence.bounds(0.05)
        assert (low is not None and low >= 0.0) == (evidence.log_better >= math.log(20.0))


def test_the_scale_changes_nothing_and_no_difference_at_all_is_no_evidence():
    blocks = np.random.default_rng(4).normal(0.1, 1.0, 100)
    one, other, none = EProcess(), EProcess(), EProcess()
    for block in blocks.tolist():
        one.add(block)
        other.add(1e-6 * block)
        none.add(0.0)
    assert one.log_better == pytest.approx(other.log_better)
    assert none.log_better == none.log_worse == 0.0 and none.bounds(0.05) == (None, None)


def test_the_errors_of_a_month_add_up_to_the_budget_however_many_tests_there_are():
    for tests in (1, 30, 1000):
        budget = ErrorBudget(0.5, 0.05)
        spent = [budget.spend(int(k * MONTH_NS / tests)) for k in range(tests)]
        assert all(0.0 < alpha <= 0.05 for alpha in spent)
        assert sum(spent) <= 0.5 + 2 * 0.05
    at_once = ErrorBudget(0.5, 0.05)
    assert sum(at_once.spend(7) for _ in range(1000)) <= 0.1


def test_a_month_of_regular_tests_spends_the_budget_evenly():
    budget = ErrorBudget(0.5, 0.05)
    spent = [budget.spend(int(k * MONTH_NS / 100)) for k in range(400)]
    assert spent[-1] == pytest.approx(0.005, rel=1e-3)


def test_the_evidence_is_the_mixture_of_what_differs_over_the_scale_of_the_blocks_before():
    """Recomputed as the module says it: the first four blocks give the scale alone, which forgets after 32."""
    blocks = np.random.default_rng(5).normal(0.1, 2.0, 90).tolist()
    evidence, square, s, v = EProcess(), 0.0, 0.0, 0.0
    for number, block in enumerate(blocks):
        evidence.add(block)
        if number >= 4:
            s, v = s + block / math.sqrt(square), v + block * block / square
        square += (block * block - square) / min(number + 1, 32)
        assert evidence.log_better == pytest.approx(log_mixture(s, v))
        assert evidence.log_worse == pytest.approx(log_mixture(-s, v))
    assert evidence.blocks == 90


@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_at_a_bound_the_evidence_of_what_is_left_is_just_enough(alpha: float):
    blocks = np.random.default_rng(6).normal(0.5, 1.0, 60).tolist()
    low, high = evidence_of(blocks).bounds(alpha)
    assert low is not None and high is not None
    scales = [math.sqrt(evidence_of(blocks[:number])._square) for number in range(4, 60)]
    for bound, side in ((low, 1.0), (high, -1.0)):
        scaled = [side * (block - bound) / scale for block, scale in zip(blocks[4:], scales, strict=True)]
        e = log_mixture(sum(scaled), sum(each * each for each in scaled))
        assert e == pytest.approx(math.log(1.0 / alpha), abs=1e-9)


def evidence_of(blocks: list[float]) -> EProcess:
    evidence = EProcess()
    for block in blocks:
        evidence.add(block)
    return evidence


def test_evidence_far_on_the_wrong_side_is_the_logarithm_of_what_a_float_cannot_hold():
    for z in (-29.0, -31.0, -37.0):
        s, v = z * math.sqrt(14.0), 10.0
        exact = 0.5 * math.log(16.0 / 14.0) + 0.5 * z * z + math.log(0.5 * math.erfc(-z / math.sqrt(2.0)))
        assert log_mixture(s, v) == pytest.approx(exact, abs=2e-3)
    assert log_mixture(-1000.0 * math.sqrt(14.0), 10.0) == pytest.approx(
        0.5 * math.log(16.0 / 14.0) - math.log(1000.0 * math.sqrt(2.0 * math.pi)), abs=1e-5
    )
    assert log_mixture(1.0, -1e-12) == log_mixture(1.0, 0.0), "rounding leaves no sum of squares below zero"


def test_bounds_are_as_large_as_what_they_are_of():
    blocks = np.random.default_rng(7).normal(0.5, 1.0, 60)
    one, large = (evidence_of((scale * blocks).tolist()).bounds(0.05) for scale in (1.0, 1e4))
    assert large == pytest.approx([1e4 * bound for bound in one if bound is not None])
