"""One candidate's test: its figures are what was traded, and each limit ends it where it says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.gate_support import GOOD, RULES, SHAPE, TERMS, entrant
from ztb.learning.gate.evidence import EProcess
from ztb.learning.gate.shadow import Shadow, ShadowTrading
from ztb.learning.gate.trial import Trial
from ztb.learning.settings import GateRules
from ztb.trading.policy.categorical import Divergence, greatest_entropy

PATHS, STEPS, ALPHA = 4, 64, 0.05
SURE = Divergence(0.0, 2.0)
SPAN = TERMS.bridge.ladder[-1] - TERMS.bridge.ladder[0]


def trial(rules: GateRules = RULES) -> Trial:
    return Trial(
        entrant=entrant(7, GOOD, 3),
        shadow=Shadow(TERMS, GOOD, np.arange(PATHS)),
        alpha=ALPHA,
        terms=TERMS,
        rules=rules,
        began_ns=123,
    )


def traded(rewards: NDArray[np.float64], **other: Any) -> ShadowTrading:
    """What accounts of these rewards did; they kept their equity and traded nothing where `other` says nothing."""
    steps = len(rewards)
    given = {
        "equity": np.ones((steps + 1, PATHS)),
        "turnover": np.zeros((steps, PATHS)),
        "tainted": np.zeros(steps, np.bool_),
    }
    return ShadowTrading(rewards=rewards, observations=np.zeros((steps, 2), np.float32), **(given | other))


def random_pieces(seed: int, pieces: int) -> list[ShadowTrading]:
    rng = np.random.default_rng(seed)
    made, equity = [], np.ones(PATHS)
    for _ in range(pieces):
        steps = rng.normal(0.0, 0.01, (STEPS, PATHS))
        course = np.concatenate([equity[None], equity * np.exp(np.cumsum(steps, axis=0))])
        equity = course[-1]
        tainted = np.zeros(STEPS, np.bool_)
        tainted[5:9] = True
        turnover = rng.uniform(0.0, 0.2, (STEPS, PATHS))
        made.append(traded(steps, equity=course, turnover=turnover, tainted=tainted))
    return made


def greatest_fall(pieces: list[ShadowTrading]) -> float:
    equity = np.concatenate([piece.equity for piece in pieces])
    return float(np.mean([max(1.0 - equity[t, i] / equity[: t + 1, i].max() for t in range(len(equity)))
                          for i in range(PATHS)]))  # fmt: skip


def test_the_figures_are_what_both_have_done_on_all_the_pieces():
    rules = replace(RULES, block_decisions=2, max_excess_drawdown_fraction=1.0)
    own, theirs = random_pieces(0, 3), random_pieces(1, 3)
    made, kls, entropies = trial(rules), (0.1, 0.5, 0.3), (1.0, 2.0, 1.5)
    for a, b, kl, entropy in zip(own, theirs, kls, entropies, strict=True):
        assert made.follow(a, b, Divergence(kl, entropy)) == ""
    counted = np.tile(~own[0].tainted, 3)
    rewards, others, traded_own, traded_theirs = (
        np.concatenate([getattr(piece, name) for piece in pieces])[counted]
        for name in ("rewards", "turnover")
        for pieces in (own, theirs)
    )
    differences = (rewards - others).mean(axis=1)
    evidence, best = EProcess(), 0.0
    for block in differences.reshape(-1, 2).mean(axis=1).tolist():
        evidence.add(block)
        best = max(best, evidence.log_better)
    low, high = evidence.bounds(ALPHA)
    figures = made.verdict("undecided").figures
    course = figures.pop("course")
    seen = 3 * STEPS
    assert figures == pytest.approx(
        {
            "tested_decisions": counted.sum(),
            "tested_from_ns": 123,
            "trained_to_ns": made.entrant.trained_to_ns,
            "alpha": ALPHA,
            "log_evidence": best,
            "difference": differences.mean(),
            "difference_low": low,
            "difference_high": high,
            "reward": rewards.mean(),
            "reward_sd": rewards.std(),
            "growth": np.log(own[-1].equity[-1]).mean() / seen,
            "incumbent_reward": others.mean(),
            "kl": 0.3,
            "entropy_fraction": 1.5 / greatest_entropy(SHAPE.heads),
            "turnover": traded_own.sum() / PATHS / seen,
            "incumbent_turnover": traded_theirs.sum() / PATHS / seen,
            "drawdown": greatest_fall(own),
            "incumbent_drawdown": greatest_fall(theirs),
        }
    )
    assert low is not None and high is not None and best > 0.0
    whole = np.cumsum(differences)[1::2]  # 90 blocks: every third, and the last
    assert course == pytest.approx(whole[2::3], rel=1e-3)


def test_before_the_first_piece_there_are_no_means_and_a_verdict_says_whose_it_is():
    verdict = trial().verdict("superseded")
    assert (verdict.number, verdict.passed, verdict.reason) == (7, False, "superseded")
    none = ("difference", "difference_low", "difference_high", "reward", "incumbent_reward")
    zero = ("tested_decisions", "log_evidence", "reward_sd", "growth", "kl", "turnover", "incumbent_turnover",
            "drawdown", "incumbent_drawdown", "entropy_fraction")  # fmt: skip
    assert [verdict.figures[name] for name in none] == [None] * len(none)
    assert [verdict.figures[name] for name in zero] == [0.0] * len(zero)
    assert verdict.figures["course"] == []
    assert trial().verdict("passed").passed


def test_up_to_thirty_two_blocks_the_course_is_whole():
    rules = replace(RULES, block_decisions=2)
    rewards = np.full((STEPS, PATHS), 0.5)
    made = trial(rules)
    made.follow(traded(0.0 * rewards), traded(rewards), SURE)
    assert made.figures()["course"] == [-1.0 * (k + 1) for k in range(32)]


def test_a_ruined_account_ends_no_test_by_its_growth_and_the_growth_is_of_those_before():
    equity = np.ones((STEPS + 1, PATHS))
    equity[-1, 0] = 0.0
    made, nothing = trial(replace(RULES, max_excess_drawdown_fraction=1.0)), np.zeros((STEPS, PATHS))
    assert made.follow(traded(nothing, equity=equity), traded(nothing), SURE) == ""
    assert made.follow(traded(nothing, equity=equity[::-1]), traded(nothing), SURE) == ""
    assert made.figures()["growth"] == 0.0 and made.figures()["drawdown"] == 0.25


def test_an_account_that_only_rises_has_never_fallen():
    nothing, made = np.zeros((STEPS, PATHS)), trial()
    rising = np.repeat(np.arange(1.0, STEPS + 2.0)[:, None], PATHS, axis=1)
    made.follow(traded(nothing, equity=rising), traded(nothing, equity=rising), SURE)
    assert made.figures()["drawdown"] == made.figures()["incumbent_drawdown"] == 0.0


@pytest.mark.parametrize(("value", "reason"), [(0.5, ""), (0.5001, "turnover")])
def test_turnover_may_be_the_limit_and_no_more(value: float, reason: str):
    rules, nothing = replace(RULES, max_turnover_fraction=0.5), np.zeros((STEPS, PATHS))
    busy = traded(nothing, turnover=np.full((STEPS, PATHS), value * SPAN))
    assert trial(rules).follow(busy, traded(nothing), SURE) == reason


def test_turnover_is_judged_from_the_first_full_block_on():
    """The way into the first position is turnover of no policy."""
    rules = replace(RULES, max_turnover_fraction=0.5)
    for steps, reason in ((RULES.block_decisions - 1, ""), (RULES.block_decisions, "turnover")):
        nothing = np.zeros((steps, PATHS))
        busy = traded(nothing, turnover=np.full((steps, PATHS), SPAN))
        assert trial(rules).follow(busy, traded(nothing), SURE) == reason


@pytest.mark.parametrize(("fall", "reason"), [(0.5, ""), (0.51, "drawdown")])
def test_a_drawdown_may_exceed_the_incumbents_by_the_limit_and_no_more(fall: float, reason: str):
    rules, nothing = replace(RULES, max_excess_drawdown_fraction=0.25), np.zeros((STEPS, PATHS))
    own, theirs = np.ones((STEPS + 1, PATHS)), np.ones((STEPS + 1, PATHS))
    own[-2], theirs[-2] = 1.0 - fall, 0.75
    told = trial(rules).follow(traded(nothing, equity=own), traded(nothing, equity=theirs), SURE)
    assert told == reason


@pytest.mark.parametrize(("last", "reason"), [(0.5, ""), (0.51, "kl")])
def test_the_mean_divergence_may_be_the_limit_and_no_more(last: float, reason: str):
    rules, nothing = replace(RULES, max_kl=0.25), np.zeros((STEPS, PATHS))
    made = trial(rules)
    assert made.follow(traded(nothing), traded(nothing), Divergence(0.0, 2.0)) == ""
    assert made.follow(traded(nothing), traded(nothing), Divergence(last, 2.0)) == reason


@pytest.mark.parametrize(("last", "reason"), [(1.0, ""), (0.99, "entropy")])
def test_the_mean_entropy_may_be_the_limit_and_no_less(last: float, reason: str):
    rules = replace(RULES, min_entropy_fraction=0.5 / greatest_entropy(SHAPE.heads))
    nothing, made = np.zeros((STEPS, PATHS)), trial(rules)
    assert made.follow(traded(nothing), traded(nothing), Divergence(0.0, 0.5)) == ""
    assert made.follow(traded(nothing), traded(nothing), Divergence(0.0, last - 0.5)) == reason


def test_a_divergence_that_does_not_exist_ends_the_test():
    nothing = np.zeros((STEPS, PATHS))
    assert trial().follow(traded(nothing), traded(nothing), Divergence(math.nan, 2.0)) == "non_finite"


@pytest.mark.parametrize(("side", "error", "reason"), [(1.0, ALPHA, "passed"), (-1.0, 0.05, "worse")])
def test_the_test_ends_with_the_block_whose_evidence_is_enough(side: float, error: float, reason: str):
    rng, evidence, made = np.random.default_rng(2), EProcess(), trial()
    size = RULES.block_decisions
    for _ in range(200):
        rewards = side * rng.normal(0.5, 1.0, (size, PATHS))
        evidence.add(float(rewards.mean()))
        told = made.follow(traded(rewards), traded(0.0 * rewards), SURE)
        enough = evidence.log_better if side > 0.0 else evidence.log_worse
        assert told == (reason if enough >= math.log(1.0 / error) else "")
        if told:
            break
    assert told and math.log(1.0 / error) < enough < math.log(1.0 / error) + 2.0


def test_evidence_that_was_enough_in_the_midst_of_a_piece_is_enough():
    rng, size = np.random.default_rng(4), RULES.block_decisions
    for side, reason in ((1.0, "passed"), (-1.0, "worse")):
        rewards = side * rng.normal(0.5, 1.0, (30 * size, PATHS))
        back = np.concatenate([rewards, -np.abs(rewards) * side])
        assert trial().follow(traded(back), traded(0.0 * back), SURE) == reason


def test_a_window_without_enough_evidence_ends_undecided_with_its_last_decision():
    rules, nothing = replace(RULES, window_decisions=2 * STEPS), np.zeros((STEPS, PATHS))
    made = trial(rules)
    assert made.follow(traded(nothing[1:]), traded(nothing[1:]), SURE) == ""
    assert made.follow(traded(nothing), traded(nothing), SURE) == ""
    assert made.follow(traded(nothing[:1]), traded(nothing[:1]), SURE) == "undecided"


def test_where_the_incumbents_own_reward_does_not_exist_nothing_is_compared_and_a_candidates_ends_its_test():
    rng = np.random.default_rng(0)
    own, theirs = rng.normal(1e-3, 1e-3, (64, 4)), rng.normal(0.0, 1e-3, (64, 4))
    theirs[[3, 40], [0, 2]] = np.nan
    made = trial()
    for _ in range(3):
        assert made.follow(traded(own), traded(theirs), SURE) == ""
    figures = made.figures()
    assert made.decisions == 3 * 62 and all(
        figures[name] is not None for name in ("difference", "incumbent_reward")
    )
    assert made.evidence.log_better > 0.0
    assert trial().follow(traded(theirs), traded(own), SURE) == "non_finite"


def test_after_one_decision_the_means_are_what_it_was():
    one = np.full((1, PATHS), 0.25)
    made = trial(replace(RULES, max_turnover_fraction=10.0))
    equity = np.array([[1.0] * PATHS, [math.e] * PATHS])
    assert (
        made.follow(traded(one, turnover=one, equity=equity), traded(0.5 * one, turnover=2 * one), SURE) == ""
    )
    figures = made.figures()
    told = (
        "difference",
        "reward",
        "reward_sd",
        "growth",
        "incumbent_reward",
        "turnover",
        "incumbent_turnover",
    )
    assert [figures[name] for name in told] == [0.125, 0.25, 0.0, 1.0, 0.125, 0.25, 0.5]
    assert figures["entropy_fraction"] == pytest.approx(2.0 / greatest_entropy(SHAPE.heads))


def test_evidence_that_is_just_enough_is_enough():
    none = np.zeros((0, PATHS))
    for name, needed, reason in (("_better", ALPHA, "passed"), ("_worse", 0.05, "worse")):
        made = trial()
        setattr(made, name, math.log(1.0 / needed))
        assert made._weigh(none) == reason
