"""Each statistic against its closed form, and against another implementation where there is one."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest

from ztb.studies.statistics import (
    block_length,
    bootstrap_interval,
    deflated_sharpe,
    expected_maximum,
    moments,
    overfitting,
    probabilistic_sharpe,
    resampled,
    sharpe_ratio,
    superior_ability,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_sharpe_ratio_and_moments_by_hand():
    returns = np.array([0.01, -0.01, 0.02, 0.0])
    assert sharpe_ratio(returns) == pytest.approx(
        0.005 / math.sqrt((0.005**2 + 0.015**2 + 0.015**2 + 0.005**2) / 3)
    )
    assert sharpe_ratio(np.full(9, 0.01)) == 0.0 and sharpe_ratio(np.zeros(1)) == 0.0
    assert moments(np.array([-1.0, 1.0])) == (0.0, 1.0)
    skewness, kurtosis = moments(generator().exponential(size=1_000_000))
    assert skewness == pytest.approx(2.0, abs=0.05) and kurtosis == pytest.approx(9.0, abs=0.5)


def test_the_published_example_of_the_deflated_sharpe_ratio():
    """Bailey and López de Prado 2014, their numerical example: SR 2.5 a year over 1,250 days, skewness −3, kurtosis 10,
    100 trials with a variance of 0.5 a year: SR₀ = 0.1132 a day, the deflated ratio is 0.9004; 0.9505 for 46 trials."""
    variance = 0.5 / 250
    assert expected_maximum(100, variance) == pytest.approx(0.1132, abs=5e-5)
    ratio, skewness, kurtosis, days = 2.5 / math.sqrt(250), -3.0, 10.0, 1250
    spread = math.sqrt(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2)

    def deflated(looks: int) -> float:
        return NormalDist().cdf((ratio - expected_maximum(looks, variance)) * math.sqrt(days - 1) / spread)

    assert deflated(100) == pytest.approx(0.9004, abs=5e-5) and deflated(46) == pytest.approx(
        0.9505, abs=5e-5
    )


def test_the_probabilistic_ratio_is_that_formula_on_a_series_with_those_moments():
    returns = generator(3).normal(0.001, 0.01, 500)
    ratio, (skewness, kurtosis) = sharpe_ratio(returns), moments(returns)
    spread = math.sqrt(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2)
    wanted = NormalDist().cdf((ratio - 0.02) * math.sqrt(499) / spread)
    assert probabilistic_sharpe(returns, 0.02) == pytest.approx(wanted)
    assert probabilistic_sharpe(returns, ratio) == pytest.approx(0.5)


def test_the_best_of_many_worthless_ones_is_as_good_as_expected():
    best = generator().normal(0.0, 0.3, (20_000, 50)).max(axis=1).mean()
    assert expected_maximum(50, 0.09) == pytest.approx(best, rel=0.02)
    assert expected_maximum(1, 0.09) == 0.0


def test_more_looks_deflate_more_and_a_few_alike_ratios_are_no_excuse():
    returns = generator(1).normal(0.002, 0.01, 400)
    values = [deflated_sharpe(returns, looks, np.array([0.2])) for looks in (1, 10, 1000)]
    assert values[0] == pytest.approx(probabilistic_sharpe(returns, 0.0)) and values == sorted(
        values, reverse=True
    )
    assert deflated_sharpe(returns, 10, np.array([0.2, 0.2])) == values[1]
    assert deflated_sharpe(returns, 10, np.array([-0.4, 0.5])) < values[1]


def by_definition(returns: np.ndarray, blocks: int) -> tuple[float, float]:
    """Section 2.2 of Bailey et al. 2017, step by step, on the joined matrices."""
    parts = np.array_split(returns, blocks)
    logits, losses = [], []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[i] for i in chosen])
        outside = np.concatenate([parts[i] for i in range(blocks) if i not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0)))
        ratios = outside.mean(axis=0) / outside.std(axis=0)
        rank = 1 + int((ratios < ratios[best]).sum())
        omega = rank / (returns.shape[1] + 1)
        logits.append(math.log(omega / (1 - omega)))
        losses.append(outside[:, best].mean() < 0)
    return float(np.mean(np.array(logits) <= 0)), float(np.mean(losses))


@pytest.mark.parametrize("seed", range(4))
def test_overfitting_is_the_definition_computed_from_sums(seed):
    returns = generator(seed).normal(0.0, 0.01, (120, 7))
    found = overfitting(returns, blocks=8)
    assert found is not None and found.splits == math.comb(8, 4)
    assert (found.probability, found.loss) == pytest.approx(by_definition(returns, 8))


def test_overfitting_of_skill_and_of_none():
    noise = generator(2).normal(0.0, 0.01, (480, 20))
    skilled = noise.copy()
    skilled[:, 4] += 0.005
    sure, lucky = overfitting(skilled), overfitting(noise)
    assert sure is not None and lucky is not None
    assert sure.probability == 0.0 and sure.loss == 0.0 and lucky.probability > 0.2
    assert overfitting(noise[:, :1]) is None and overfitting(noise[:3]) is None


def test_ties_share_their_rank():
    """All alike: in the middle of all, never better: λ = 0."""
    found = overfitting(np.repeat(generator().normal(size=(48, 1)), 5, axis=1))
    assert found is not None and found.probability == 1.0


def test_the_block_length_of_noise_is_short_and_grows_with_memory():
    noise = generator(4).normal(size=4000)
    remembered = noise.copy()
    for i in range(1, len(noise)):
        remembered[i] += 0.9 * remembered[i - 1]
    assert block_length(noise) < 4.0 < 30.0 < block_length(remembered)
    assert block_length(np.zeros(100)) == 1.0


def test_a_stationary_bootstrap_has_blocks_of_the_length_and_touches_every_row_alike():
    rows = resampled(50, 4000, 5.0, generator())
    goes_on = (np.diff(rows, axis=1) % 50 == 1).mean()
    assert goes_on == pytest.approx(1 - 1 / 5 + 1 / 5 / 50, abs=0.005)
    assert np.bincount(rows.ravel(), minlength=50).std() / 4000 < 0.05


def test_an_interval_of_the_mean_is_the_normal_one_where_there_is_no_memory():
    series = generator(5).normal(0.5, 1.0, 2000)
    found = bootstrap_interval(series, "mean", generator(6), draws=8000)
    half = 1.96 * series.std() / math.sqrt(2000)
    assert found == pytest.approx((series.mean() - half, series.mean() + half), abs=0.1 * half)
    assert bootstrap_interval(series[:19], "mean", generator()) is None


def test_an_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(200):
        series = generator(seed).normal(0.1, 1.0, 250)
        low, high = bootstrap_interval(series, "sharpe", generator(seed + 1), draws=400) or (1.0, 0.0)
        held += low <= 0.1 <= high
    assert 180 <= held <= 198


def test_superior_ability_holds_its_level_and_finds_an_edge():
    wrong = sum(
        superior_ability(
            generator(seed).normal(0.0, 0.01, (250, 10)), np.zeros(250), generator(seed), draws=300
        )
        <= 0.05
        for seed in range(200)
    )
    assert wrong <= 20
    edge = generator(1).normal(0.0, 0.01, (250, 10))
    edge[:, 3] += 0.003
    assert superior_ability(edge, np.zeros(250), generator()) < 0.01
    assert superior_ability(np.zeros((250, 2)), np.zeros(250), generator()) == 1.0


def test_superior_ability_of_one_series_is_its_one_sided_test_of_the_mean():
    """T^SPA of one series against nothing: Φ(−√T d̄/ω) where d̄ > 0 and there is no memory."""
    series = generator(8).normal(0.0006, 0.01, 1000)
    z = math.sqrt(1000) * series.mean() / series.std()
    found = superior_ability(series[:, None], np.zeros(1000), generator(9), draws=20_000)
    assert 0.0 < z and found == pytest.approx(1.0 - NormalDist().cdf(z), abs=0.02)


def test_arch_finds_the_same():
    """`arch` is an oracle of tests alone: not everybody has it."""
    bootstrap = pytest.importorskip("arch.bootstrap")
    noise = generator(10).normal(size=(600, 5)) * 0.01
    remembered = noise.copy()
    for i in range(1, 600):
        remembered[i] += 0.5 * remembered[i - 1]
    for series, tolerance in ((noise[:, 0], 0.01), (noise[:, 3], 0.01), (remembered[:, 1], 0.35)):
        theirs = float(bootstrap.optimal_block_length(series)["stationary"].iloc[0])
        assert block_length(series) == pytest.approx(max(theirs, 1.0), rel=tolerance)
    returns = noise + np.array([0.0012, 0.0, -0.0005, 0.0003, -0.004])
    test = bootstrap.SPA(np.zeros(600), -returns, block_size=2, reps=5000, seed=1, studentize=True)
    test.compute()
    ours = superior_ability(returns, np.zeros(600), generator(11), draws=5000)
    assert ours == pytest.approx(float(test.pvalues["consistent"]), abs=0.02)
