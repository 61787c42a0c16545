"""Weights follow evidence of growth: nothing without it, all with it, less again when it stops; chance costs little."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ztb.features.forecast import Foreseen
from ztb.learning.allocation import Allocator, GrowthEvidence
from ztb.learning.allocation import allocator as allocation
from ztb.learning.allocation.allocator import CERTAINTY, DOUBT
from ztb.learning.settings import AllocationConfig

DEVIATION = 0.006  # of hourly bitcoin


def account(
    growth: np.ndarray,
    config: AllocationConfig | None = None,
    evidence: GrowthEvidence | None = None,
    limit: float = 1.0,
) -> tuple[np.ndarray, Allocator]:
    """(T + 1,) equities of an account that follows one expert of `growth` (T,) log growth a decision at full size."""
    allocator = Allocator(config or AllocationConfig(), limit)
    allocator.add("expert", evidence=evidence)
    equities, theirs = [1.0], 1.0
    allocator.follow({"expert": theirs}, 1.0)
    for each in growth:
        equities.append(equities[-1] * (1.0 + allocator.target({"expert": 1.0}) * math.expm1(each)))
        theirs *= math.exp(each)
        allocator.follow({"expert": theirs}, equities[-1])
    return np.array(equities), allocator


def drawdown(equities: np.ndarray) -> float:
    return float((1.0 - equities / np.maximum.accumulate(equities)).max())


def test_at_first_the_experts_share_the_prior():
    allocator = Allocator(AllocationConfig(prior=0.1))
    allocator.add("policy", share=3.0)
    allocator.add("trend", share=1.0)
    assert [each.weight for each in allocator.experts.values()] == pytest.approx([0.075, 0.025])
    assert allocator.target({"policy": 1.0, "trend": -0.5}) == pytest.approx(0.0625)


def test_weights_are_the_posterior_shares_of_a_mixture_with_staying_flat():
    allocator = Allocator(AllocationConfig(prior=0.2))
    first, second = (allocator.add(name) for name in ("first", "second"))
    for growth in (0.01, -0.005, 0.012, 0.008) * 8:
        first.evidence.add(growth)
        second.evidence.add(growth - 0.006)
    allocator.add("third", share=0.0)
    e = [math.exp(each.evidence.log_e) for each in (first, second)]
    whole = 0.8 + 0.1 * sum(e)
    assert [first.weight, second.weight] == pytest.approx([0.1 * e[0] / whole, 0.1 * e[1] / whole])
    assert first.weight > 0.9 > 0.01 > second.weight > 0.0


def test_what_keeps_growing_gets_everything_and_what_is_left_behind_fades():
    rng = np.random.default_rng(0)
    rising = rng.normal(0.15 * DEVIATION, DEVIATION, 6000)
    equities, allocator = account(rising)
    assert allocator.invested > 0.99 and math.log(equities[-1]) > 0.82 * rising.sum()
    equities, allocator = account(-rising)
    assert allocator.invested < 0.002 and equities[-1] > 0.97


def test_what_the_market_says_of_an_expert_moves_its_weight_long_before_its_profits_do():
    """The same equities, with what was forecast told at each decision, and without."""
    rng, told, silent = np.random.default_rng(5), Allocator(AllocationConfig()), Allocator(AllocationConfig())
    equity = 1.0
    for allocator in (told, silent):
        allocator.add("expert")
        allocator.follow({"expert": equity}, 1.0)
    for _ in range(4_000):
        forecast = 0.1 * DEVIATION * rng.normal()
        change, held = forecast + DEVIATION * rng.normal(), math.copysign(1.0, forecast)
        position, foreseen = held * equity / 100.0, Foreseen(100.0, forecast, DEVIATION, change, 1e-4)
        equity *= math.exp(held * change - 0.5 * abs(forecast))
        told.follow({"expert": equity}, 1.0, foreseen, {"expert": position})
        silent.follow({"expert": equity}, 1.0)
    assert told.experts["expert"].weight > 1.5 * silent.experts["expert"].weight > 0.0


def test_chance_costs_little():
    """No edge after costs, 200 markets of 10,000 decisions: the end and the deepest drawdown."""
    rng = np.random.default_rng(1)
    runs = [account(rng.normal(-0.5 * DEVIATION**2, DEVIATION, 10_000))[0] for _ in range(200)]
    ends = np.array([run[-1] for run in runs])
    falls = np.array([drawdown(run) for run in runs])
    assert ends.min() > 0.97 and np.median(ends) > 0.99
    assert np.mean(falls > 0.08) <= 0.01 and np.quantile(falls, 0.95) < 0.06


def test_the_cushion_ends_at_the_drawdown_that_the_evidence_allows():
    config = AllocationConfig()
    rng = np.random.default_rng(2)
    falling = rng.normal(-0.2 * DEVIATION, DEVIATION, 2000)
    strong = GrowthEvidence(config.forgetting, blocks=400, s=52.0, v=330.0, square=16 * DEVIATION**2)
    assert 1.0 < strong.log_e < math.log(DOUBT)
    equities, allocator = account(falling, config, strong.copy())
    free, _ = account(falling, replace(config, drawdown_fraction=1.0), strong.copy())
    assert drawdown(equities) < config.drawdown_fraction < drawdown(free) and allocator.cushion < 0.9
    proved = GrowthEvidence(config.forgetting, blocks=400, s=110.0, v=330.0, square=16 * DEVIATION**2)
    assert proved.log_e > math.log(CERTAINTY)
    falls, trusted = account(falling[:400], config, proved)
    assert drawdown(falls) > config.drawdown_fraction and trusted.cushion > 0.6


def test_below_doubt_a_new_height_of_the_evidence_gives_nothing_new_to_lose():
    """Luck that comes twice, as in a market that rises for years, must not be paid for twice."""
    config = AllocationConfig(block_decisions=1)

    def falling(strengths: np.ndarray) -> float:
        """The cushion of an account that loses 10 % while the evidence of its expert rises from one height to the next."""
        allocator, account = Allocator(config), 1.0
        expert = allocator.add("expert")
        for s in strengths:
            expert.evidence.become(GrowthEvidence(1.0, blocks=1000, s=s, v=300.0, square=1.0))
            allocator.follow({"expert": 1.0}, account)
            account *= 0.99
        return allocator.cushion

    doubted, trusted = np.linspace(40.0, 55.0, 11), np.linspace(75.0, 80.0, 11)
    heights = [GrowthEvidence(1.0, 1000, s, 300.0, 1.0).log_e for s in (doubted[0], doubted[-1], trusted[0])]
    assert 0.0 < heights[0] < heights[1] < math.log(DOUBT) < heights[2]
    assert falling(doubted) == 0.0
    assert falling(trusted) > 0.89


def test_after_a_turn_what_was_earned_before_is_forgotten():
    rng = np.random.default_rng(3)
    rise = rng.normal(0.1 * DEVIATION, DEVIATION, 8000)
    fall = rng.normal(-0.1 * DEVIATION, DEVIATION, 2000)
    forgets = account(np.concatenate([rise, fall]), AllocationConfig(forgetting=0.99))[1]
    keeps = account(np.concatenate([rise, fall]), AllocationConfig(forgetting=0.99999))[1]
    assert forgets.invested < 0.05 and keeps.invested > 0.3


def test_what_begins_with_nothing_behind_it_has_no_weight_before_it_has_earned_it():
    allocator = Allocator(AllocationConfig())
    chance = allocator.add("random", unproven=True)
    rng, equity, seen = np.random.default_rng(4), 1.0, []
    for growth in rng.normal(0.1 * DEVIATION, DEVIATION, 8000):
        equity *= math.exp(growth)
        allocator.follow({"random": equity}, 1.0)
        seen.append((chance.evidence.log_e, chance.weight))
    begun = next(i for i, (_, weight) in enumerate(seen) if weight > 0.0)
    assert all(log_e < math.log(20.0) for log_e, _ in seen[: begun - 16])
    assert seen[begun][0] >= math.log(20.0) and seen[-1][1] > 0.9


def test_a_block_in_which_nothing_was_held_says_nothing():
    evidence = GrowthEvidence(0.9)
    for growth in (0.01, -0.01, 0.02, -0.01, 0.01, 0.02):
        evidence.add(growth)
    before = evidence.copy()
    evidence.add(0.0)
    assert evidence == before


def test_it_goes_on_from_its_state_bit_for_bit():
    rng = np.random.default_rng(5)
    growths = rng.normal(0.0, DEVIATION, 700)
    whole, equity, own = Allocator(AllocationConfig()), 1.0, 1.0
    whole.add("expert")
    again: Allocator | None = None
    for i, growth in enumerate(growths):
        equity *= math.exp(growth)
        own *= 1.0 + whole.target({"expert": 1.0}) * math.expm1(growth)
        whole.follow({"expert": equity}, own)
        if again is not None:
            again.follow({"expert": equity}, own)
            assert again.experts["expert"].weight == whole.experts["expert"].weight
        elif i == 352:  # the first decision of a block
            again = Allocator(AllocationConfig())
            expert = again.add("expert", evidence=GrowthEvidence(**whole.experts["expert"].evidence.state()))
            expert.opened = whole.experts["expert"].opened
            again.load_state(whole.state())


def test_however_sure_the_evidence_the_account_is_cut_back_before_it_meets_its_limit():
    sure = GrowthEvidence(1.0, blocks=1_000, s=400.0, v=1_000.0, square=1e-4)
    falls = np.full(1_000, -0.001)
    unlimited, allocator = account(falls, evidence=sure.copy())
    assert drawdown(unlimited) > 0.3 and allocator.log_e > math.log(CERTAINTY)
    limited, allocator = account(falls, evidence=sure.copy(), limit=0.2)
    assert 0.1 < drawdown(limited) < 0.2 and allocator.cushion < 0.5


def test_a_peak_between_two_blocks_counts_and_the_limit_is_never_met_at_any_decision():
    """At the limit the account would be halted until a person resumes it, whatever it might still have earned."""
    sure = GrowthEvidence(1.0, blocks=1_000, s=400.0, v=1_000.0, square=1e-4)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        wild = rng.normal(-0.0005, 0.012, 3_000)
        equities, _ = account(wild, evidence=sure.copy(), limit=0.2)
        assert 0.1 < drawdown(equities) < 0.2


def test_of_a_slight_edge_so_much_is_held_that_it_seldom_falls_as_far_as_the_limit(monkeypatch):
    """What has fallen to its limit has no capital left to regain it with."""
    deviation, multiple = 0.006, 2.0
    block = 4.0 * deviation  # of the growth of a block of 16 decisions
    sure = GrowthEvidence(1.0, 40_000, s=multiple * block * 40_000.0, v=40_000.0, square=block * block)
    assert sure.kelly == pytest.approx(multiple) and sure.log_e > math.log(CERTAINTY)

    def lived() -> tuple[float, float]:
        """Medians of the mean depth below the peak, and of the log growth."""
        depths, growths = [], []
        for seed in range(40):
            growth = np.random.default_rng(seed).normal(multiple * deviation**2, deviation, 10_000)
            equities, _ = account(growth, evidence=sure.copy(), limit=0.2)
            depths.append(float(np.mean(1.0 - equities / np.maximum.accumulate(equities))))
            growths.append(math.log(equities[-1]))
        return float(np.median(depths)), float(np.median(growths))

    depth, growth = lived()
    monkeypatch.setattr(allocation, "_DEPTH", 0.0001)
    deeper, no_more = lived()
    assert depth < 0.75 * deeper and growth > no_more


@pytest.mark.parametrize("strength", [0.1, 0.2, 0.4, 1.0])
@pytest.mark.parametrize("earning", [100, 300, 1_000])
def test_what_earns_first_and_turns_then_costs_two_hundredths_at_most(strength: float, earning: int):
    """A poison that is let in: it is paid for out of what it has earned, whenever it turns."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rise = rng.normal(strength * DEVIATION, DEVIATION, earning)
        fall = rng.normal(-strength * DEVIATION, DEVIATION, 3_000)
        equities, _ = account(np.concatenate([rise, fall]), limit=0.2)
        assert equities[-1] > 0.98
