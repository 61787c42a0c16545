"""The allocator, recomputed from what it says of itself: weights, cushion, blocks, and many decisions at once."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning.allocation.test_allocator import DEVIATION
from ztb.features.forecast import Foreseen
from ztb.learning.allocation import Allocator, GrowthEvidence
from ztb.learning.allocation.allocator import CERTAINTY, DOUBT
from ztb.learning.settings import AllocationConfig


def random_course(decisions: int, names: tuple[str, ...], seed: int) -> tuple[dict, dict, np.ndarray, list]:
    """Equities and positions of each name, the account's equities, and what was forecast, of so many decisions.

    Now and then nothing was forecast.
    """
    rng = np.random.default_rng(seed)
    changes, forecasts = rng.normal(0.0, DEVIATION, decisions), rng.normal(0.0, 0.2 * DEVIATION, decisions)
    foreseen = [
        Foreseen(100.0, forecast, DEVIATION, change + forecast, 1e-4) if k % 9 else None
        for k, (forecast, change) in enumerate(zip(forecasts, changes, strict=True))
    ]
    equities, positions = {}, {}
    for edge, name in enumerate(names):
        held = np.sign(forecasts) * rng.uniform(0.5, 1.0, decisions)
        growth = edge * 0.2 * DEVIATION + held * (changes + forecasts) - 1e-4
        equities[name] = 10.0 * np.exp(np.cumsum(growth))
        positions[name] = held * equities[name] / 100.0
    account = 10.0 * np.exp(np.cumsum(rng.normal(-1e-4, 0.2 * DEVIATION, decisions)))
    return equities, positions, account, foreseen


def test_many_decisions_at_once_are_the_same_as_one_after_the_other():
    names, config = ("one", "two"), AllocationConfig(block_decisions=8)
    one_by_one, at_once = Allocator(config, 0.2), Allocator(config, 0.2)
    for allocator in (one_by_one, at_once):
        for name in names:
            allocator.add(name)
    equities, positions, account, foreseen = random_course(900, names, 11)
    rows = np.array([np.zeros(4) if each is None else each[:4] for each in foreseen])
    done, pieces = 0, np.random.default_rng(12)
    while done < len(account):
        most = at_once.left + 1
        n = min(int(pieces.integers(1, most + 1)), len(account) - done)
        assert at_once.left == -at_once.state()["decisions"] % 8
        closed = at_once.follow_all(
            {name: own[done : done + n] for name, own in equities.items()},
            {name: own[done : done + n] for name, own in positions.items()},
            account[done : done + n],
            rows[done : done + n],
            1e-4,
        )
        for k in range(done, done + n):
            closes = one_by_one.follow(
                {name: float(own[k]) for name, own in equities.items()},
                float(account[k]),
                foreseen[k],
                {name: float(own[k]) for name, own in positions.items()},
            )
            assert closes == (k % 8 == 0) == (closed and k == done + n - 1)
        done += n
        assert at_once.state() == one_by_one.state()
        for name in names:
            one, other = at_once.experts[name], one_by_one.experts[name]
            assert (one.weight, one.equity, one.opened) == (other.weight, other.equity, other.opened)
            assert one.evidence.state() == pytest.approx(other.evidence.state())
    assert 0.0 < at_once.cushion < 1.0 and at_once.experts["two"].evidence.blocks > 100


def test_weights_and_cushion_are_what_the_formulas_say():
    """Recomputed from the evidence, block by block, with a limit of a fifth."""
    names, config, limit = ("one", "two", "three"), AllocationConfig(block_decisions=4), 0.95 * 0.2
    allocator = Allocator(config, 0.2)
    for name, share in zip(names, (1.0, 2.0, 3.0), strict=True):
        allocator.add(name, share)
    equities, _, account, _ = random_course(2_400, names, 13)
    account = account - np.linspace(0.0, 0.8, len(account))
    highest = reference = peak = 0.0
    cushions = []
    for k in range(len(account)):
        now = float(account[k])
        closes = allocator.follow({name: float(own[k]) for name, own in equities.items()}, now)
        peak, reference = max(peak, now), max(reference, now) if reference else 0.0
        if not closes:
            continue
        e = [math.exp(expert.evidence.log_e) for expert in allocator.experts.values()]
        log_e = math.log((e[0] + 2.0 * e[1] + 3.0 * e[2]) / 6.0)
        assert allocator.log_e == pytest.approx(log_e)
        if not reference or log_e > max(highest, math.log(DOUBT)):
            reference = now
        highest = max(highest, log_e)
        trust = np.clip((highest - math.log(DOUBT)) / (math.log(CERTAINTY) - math.log(DOUBT)), 0.0, 1.0)
        most = config.drawdown_fraction + trust * (limit - config.drawdown_fraction)
        lost, below = (1.0 - now / reference) / most, (1.0 - now / peak) / limit
        cushion = float(np.clip(1.0 - max(lost, below), 0.0, 1.0))
        spoken = [config.prior * share / 6.0 * each for share, each in zip((1.0, 2.0, 3.0), e, strict=True)]
        whole = 1.0 - config.prior + sum(spoken)
        assert allocator.cushion == pytest.approx(cushion)
        for expert, each in zip(allocator.experts.values(), spoken, strict=True):
            most_of_it = 2.0 * expert.evidence.kelly * limit / 2.0
            assert expert.weight == pytest.approx(min(cushion, most_of_it) * each / whole)
        cushions.append(cushion)
        assert allocator.invested == pytest.approx(sum(x.weight for x in allocator.experts.values()))
        assert allocator.heaviest.weight == max(x.weight for x in allocator.experts.values())
    assert min(cushions) < 0.3 and max(cushions) == 1.0 and highest > math.log(DOUBT)


def test_an_experts_block_is_its_growth_from_where_the_last_one_ended():
    allocator = Allocator(AllocationConfig(block_decisions=2))
    told: list[float] = []

    class Told(GrowthEvidence):
        def add(self, growth: float) -> None:
            told.append(growth)

    expert = allocator.add("expert", evidence=Told(1.0))
    assert (expert.weight > 0.0, expert.opened, expert.equity, expert.unproven) == (True, 0.0, 0.0, False)
    for equity in (1.0, 1.5, 2.0, 3.0, 0.0, 4.0, 8.0):
        allocator.follow({"expert": equity}, 1.0)
    assert told == pytest.approx([math.log(2.0), math.log(4.0)]), "a ruined account grows by nothing"


def test_what_nothing_earned_changes_no_evidence_and_no_fall():
    """Capital comes: with it, all is as it would have been had it been there from the start."""
    allocator = Allocator(AllocationConfig(block_decisions=1), 0.2)
    expert = allocator.add("expert")
    allocator.add("not begun")
    for equity, account in ((1.0, 1.0), (1.1, 1.2), (1.1, 1.0)):
        allocator.follow({"expert": equity}, account)
    before = allocator.state()
    allocator.adopted(0.5)
    after = allocator.state()
    assert after["reference"] == before["reference"] + 0.5 and after["peak"] == before["peak"] + 0.5
    assert (expert.opened, expert.equity) == (1.6, 1.6)
    assert (allocator.experts["not begun"].opened, allocator.experts["not begun"].equity) == (0.0, 0.0)


def test_before_the_first_decision_experts_alone_are_followed():
    allocator = Allocator(AllocationConfig(block_decisions=1))
    expert = allocator.add("expert")
    allocator.rehearse({"expert": 1.0}, last=True)
    allocator.rehearse({"expert": 1.5}, last=False)
    assert (expert.opened, expert.equity, expert.evidence.blocks) == (1.0, 1.5, 0)
    allocator.rehearse({"expert": 2.0}, last=True)
    assert (expert.opened, expert.evidence.blocks) == (2.0, 1)
    assert allocator.state() == Allocator(AllocationConfig()).state()


def test_evidence_that_no_float_would_hold_is_all_the_same():
    allocator = Allocator(AllocationConfig())
    sure = GrowthEvidence(1.0, blocks=10_000, s=8_000.0, v=10_000.0, square=1e-6)
    assert sure.log_e > 1_000.0
    expert = allocator.add("expert", evidence=sure)
    assert expert.weight == pytest.approx(1.0) and allocator.log_e == pytest.approx(500.0)


def test_what_is_awaited_says_who_is_nearest_and_what_was_lost():
    allocator = Allocator(AllocationConfig())
    allocator.add("far")
    allocator.add("near", evidence=GrowthEvidence(1.0, blocks=100, s=20.0, v=100.0, square=1.0))
    assert "near on paper" in allocator.awaited and "20 where" in allocator.awaited
    allocator.cushion = 0.0
    assert "as much was lost" in allocator.awaited


def test_an_expert_that_is_removed_leaves_its_share_to_the_others():
    allocator = Allocator(AllocationConfig(prior=0.1))
    kept, _ = allocator.add("kept"), allocator.add("gone")
    assert kept.weight == pytest.approx(0.05)
    allocator.remove("gone")
    assert kept.weight == pytest.approx(0.1) and set(allocator.experts) == {"kept"}
    allocator.remove("kept")
    assert allocator.log_e == 0.0 and allocator.invested == 0.0


def test_a_state_of_before_there_was_a_peak_is_taken_with_none():
    allocator = Allocator(AllocationConfig())
    allocator.load_state({"decisions": 5, "highest": 1.0, "reference": 2.0, "cushion": 0.5})
    assert allocator.state() == {
        "decisions": 5,
        "highest": 1.0,
        "reference": 2.0,
        "peak": 0.0,
        "cushion": 0.5,
    }


def test_a_fall_from_the_peak_takes_its_part_of_what_may_ever_be_lost():
    """A twentieth of nineteen hundredths, where the evidence would allow a half."""
    allocator = Allocator(AllocationConfig(block_decisions=1, drawdown_fraction=0.5), 0.2)
    allocator.add("expert")
    for account in (2.0, 1.9):
        allocator.follow({"expert": 1.0}, account)
    assert allocator.cushion == pytest.approx(1.0 - 0.05 / 0.19)


def test_no_more_is_held_than_lies_half_of_the_limit_below_its_peak_on_average():
    """Of an account of which half of full size grows fastest, and whose evidence is beyond doubt."""
    allocator = Allocator(AllocationConfig(), 0.2)
    sure = GrowthEvidence(1.0, blocks=1_000, s=400.0, v=1_000.0, square=0.64)
    assert sure.kelly == pytest.approx(0.5)
    assert allocator.add("expert", evidence=sure).weight == pytest.approx(0.5 * 0.19)
