"""Minibatches: a random partition, each transition as likely in any part as in another."""

from __future__ import annotations

import numpy as np
import pytest

from ztb.trading.ppo.rollout import minibatches


@pytest.mark.parametrize(("count", "size"), [(1, 64), (64, 64), (65, 64), (1000, 300), (997, 10)])
def test_each_transition_is_in_one_part_and_parts_are_equal_and_in_order(count: int, size: int) -> None:
    indices = 3 * np.arange(count) + 1
    parts = minibatches(indices, size, np.random.default_rng(1))
    assert len(parts) == -(-count // size)
    assert np.ptp([part.size for part in parts]) <= 1
    assert all((np.diff(part) > 0).all() for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), indices)


def test_every_transition_is_equally_likely_in_every_part_and_beside_every_other() -> None:
    generator, trials = np.random.default_rng(2), 20_000
    places, together = np.zeros((7, 3)), np.zeros((7, 7))
    for _ in range(trials):
        for number, part in enumerate(minibatches(np.arange(7), 3, generator)):
            places[part, number] += 1
            together[np.ix_(part, part)] += 1
    # Parts of 3, 2 and 2 out of 7: two given ones are together in (3 + 1 + 1) of the 21 pairs.
    np.testing.assert_allclose(places / trials, np.tile([3 / 7, 2 / 7, 2 / 7], (7, 1)), atol=0.02)
    np.testing.assert_allclose(together[~np.eye(7, dtype=bool)] / trials, 5 / 21, atol=0.02)


def test_the_generator_alone_decides() -> None:
    first, second = (minibatches(np.arange(100), 30, np.random.default_rng(5)) for _ in range(2))
    assert all(map(np.array_equal, first, second))
