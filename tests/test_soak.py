"""What the soak calls a leak."""

from __future__ import annotations

import pytest

from benchmarks.soak import LIMIT, SAMPLE_NS, Market, Memory, growth
from benchmarks.soak_venue import faults_of


def test_growth_is_of_the_second_half_alone():
    steady = Memory(samples=[100.0 + k for k in range(72)] + [200.0] * 72)
    assert growth(steady.samples) == 0.0
    leaking = Memory(samples=[200.0] * 72 + [200.0 + 0.1 * k for k in range(72)])
    assert (
        growth(leaking.samples) == pytest.approx(0.1 * 66 / 200.25, rel=1e-3)
        and growth(leaking.samples) > LIMIT
    )


def test_memory_is_looked_at_every_five_minutes_of_market_time():
    memory = Memory()
    for step in range(100):
        memory.at(step * SAMPLE_NS // 10)
    assert len(memory.samples) == len(memory.learner) == 9
    assert all(sample > 1.0 for sample in memory.samples)


async def test_the_market_is_the_same_each_time_and_lasts_as_long_as_asked():
    ends: list[int] = []
    runs = [[block async for block in Market(0.1, 50.0, ends.append).blocks()] for _ in range(2)]
    assert len(runs[0]) == len(runs[1]) > 10
    assert all((one["ts_ns"] == two["ts_ns"]).all() for one, two in zip(*runs, strict=True))
    assert all((block["ask"] > block["bid"]).sum() > 400 for block in runs[0])
    assert ends[-1] >= 0.1 * 3600 * 1_000_000_000


def test_a_daemon_that_only_waits_or_leaks_or_fails_has_not_soaked():
    sound = {"fills": 3, "updates": 2, "checkpoints": 1, "status": "stopped", "growth": 0.001}
    assert faults_of(sound) == []
    idle = {"fills": 0, "updates": 0, "checkpoints": 0}
    assert faults_of(sound | idle) == ["no fills", "no updates", "no checkpoints"]
    assert faults_of(sound | {"status": "failed: memory", "growth": 0.021}) == [
        "ended as failed: memory", "memory grew by 2.1%"
    ]  # fmt: skip
