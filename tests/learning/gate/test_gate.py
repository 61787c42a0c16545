"""The gate: the better pass, the equal seldom, the poisoned never, and nobody on a tick that it may have seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from learning.gate.test_gate_evidence import binomial_at_most
from learning.gate_support import (
    GOOD,
    LADDER,
    RULES,
    SCHEMA,
    SHAPE,
    TERMS,
    entrant,
    follower,
    holder,
    judge,
    market,
    new_gate,
    pieces,
)  # fmt: skip
from utils.checkpoint_states import proof_sample
from ztb.learning.gate.candidate import Candidate, Verdict
from ztb.learning.gate.gate import MONTH_NS, ErrorBudget, Gate
from ztb.learning.settings import GateRules
from ztb.trading.policy.weights import NetworkShape, Weights, initial_weights
from ztb.trading.recording import Recording

EDGE = 0.3


def scaled(weights: Weights, factor: float, of: str = "") -> Weights:
    return {name: array * np.float32(factor if of in name else 1.0) for name, array in weights.items()}


def nudged(weights: Weights, seed: int, sigma: float) -> Weights:
    rng = np.random.default_rng(seed)
    return {
        name: (array + sigma * rng.standard_normal(array.shape)).astype(np.float32)
        for name, array in weights.items()
    }


def test_a_better_policy_passes_with_its_figures():
    verdict = judge(new_gate(follower(0.3)), follower(2.0), market(2200, 0, EDGE))
    assert verdict is not None and verdict.passed and verdict.reason == "passed"
    figures = verdict.figures
    assert figures["log_evidence"] >= np.log(1.0 / figures["alpha"])
    assert figures["reward"] - figures["incumbent_reward"] == pytest.approx(figures["difference"])
    assert 0.0 <= figures["difference_low"] < figures["difference"] < figures["difference_high"]
    assert 1 < len(figures["course"]) <= 32
    assert figures["course"][-1] == pytest.approx(
        figures["difference"] * figures["tested_decisions"], rel=1e-3
    )
    assert figures["tested_from_ns"] >= figures["trained_to_ns"]


def test_better_policies_pass_in_at_least_eight_of_ten_windows():
    """A difference of about a tenth of its own standard deviation a decision, in half the default window."""
    verdicts = [judge(new_gate(follower(0.3)), follower(2.0), market(2200, seed, EDGE)) for seed in range(20)]
    assert sum(verdict is not None and verdict.passed for verdict in verdicts) >= 16


def wrongly_passed(seeds: Sequence[int]) -> int:
    """How many of two policies that are worth the same pass: nothing to know, nothing to pay."""
    rules = replace(RULES, window_decisions=1024, max_excess_drawdown_fraction=1.0)
    passed = 0
    for seed in seeds:
        incumbent, candidate = (scaled(initial_weights(SHAPE, 1000 + 2 * seed + k), 4.0) for k in (0, 1))
        verdict = judge(new_gate(incumbent, rules), candidate, market(1100, seed, free=True, sigma=0.001))
        passed += verdict is not None and verdict.passed
    return passed


def test_equal_policies_seldom_pass():
    assert wrongly_passed(range(20)) <= 3


@pytest.mark.proof
def test_equal_policies_pass_in_at_most_five_of_a_hundred_windows():
    seeds = proof_sample(1000)
    passed = wrongly_passed(seeds)
    # With a probability of 5 %, so few or fewer are seen in all but one of a hundred proofs.
    assert binomial_at_most(passed - 1, len(seeds), 0.05) < 0.99


def test_the_incumbent_itself_is_never_promoted():
    verdict = judge(new_gate(GOOD), GOOD, market(2200, 1, EDGE))
    assert verdict is not None and verdict.reason == "undecided"
    assert verdict.figures["difference"] == 0.0 and verdict.figures["log_evidence"] == 0.0


def test_an_incumbent_that_loses_heavily_is_replaced_within_a_few_hundred_decisions():
    """The signal means the opposite from now on."""
    for seed in range(5):
        verdict = judge(new_gate(follower(2.0)), follower(-2.0), market(1000, seed, -EDGE))
        assert verdict is not None and verdict.passed and verdict.figures["tested_decisions"] <= 512


def drawn(seed: int, low: float, high: float) -> float:
    return float(np.random.default_rng(seed).uniform(low, high))


def nan_weights(seed: int) -> Candidate:
    rng = np.random.default_rng(seed)
    weights = nudged(GOOD, seed, 0.01)
    array = weights[sorted(weights)[seed % len(weights)]]
    array.reshape(-1)[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
    return entrant(1, weights, 0)


def sign_flipped(seed: int) -> Candidate:
    return entrant(1, follower(-drawn(seed, 1.0, 4.0)), 0)


def maximal_turnover(seed: int) -> Candidate:
    """Always to the other end: long where it is short, short where it is long."""
    weights = follower(0.0, size=drawn(seed, 8.0, 9.0))
    weights["trunk.0.weight"][1, 0] = -drawn(seed, 15.0, 30.0)
    weights["trunk.0.bias"][0] = 0.5
    return entrant(1, weights, 0)


def collapsed(seed: int) -> Candidate:
    weights = holder((-1.0, 1.0)[seed % 2], drawn(seed, 300.0, 3_000.0))
    weights["trunk.1.bias"][-3 - 1 + seed % 3] = 0.0
    return entrant(1, weights, 0)


def wrong_normaliser(seed: int) -> Candidate:
    """Trained on a signal that was turned around and stretched."""
    return entrant(1, follower(-0.3 * drawn(seed, 1.0, 4.0)), 0)


def other_schema(seed: int) -> Candidate:
    if seed % 2:
        return entrant(1, follower(drawn(seed, 2.0, 4.0)), 0, schema=SCHEMA + "-of-old")
    return entrant(1, initial_weights(NetworkShape(SHAPE.observation_size + 1, SHAPE.heads, (8,)), seed), 0)


def random_weights(seed: int) -> Candidate:
    return entrant(1, scaled(initial_weights(SHAPE, seed), drawn(seed, 1.0, 5.0)), 0)


def stale(seed: int) -> Candidate:
    return entrant(1, follower(drawn(seed, 2.0, 4.0)), -1 - seed % 50)


def huge_kl(seed: int) -> Candidate:
    return entrant(1, scaled(nudged(GOOD, seed, 0.1), 60.0), 0)


def overfit(seed: int) -> Candidate:
    """Fits noise of one day: the signal it follows is none of this market's."""
    weights = nudged(GOOD, seed, 0.05)
    weights["trunk.0.weight"][0, 0] = (-1) ** seed * drawn(seed, 0.02, 0.08)
    return entrant(1, weights, 0)


POISONS = (
    nan_weights, sign_flipped, maximal_turnover, collapsed, wrong_normaliser, other_schema, random_weights, stale,
    huge_kl, overfit,
)  # fmt: skip


def verdict_on(
    poisoned: Candidate, recording: Recording, seed: int, rules: GateRules = RULES
) -> Verdict | None:
    gate = new_gate(GOOD, rules, seed)
    verdicts = gate.submit(poisoned)
    for piece, last in pieces(recording):
        if verdicts:
            return verdicts[0]
        verdicts = gate.observe(piece, last)
    return verdicts[0] if verdicts else None


@pytest.mark.parametrize("poison", POISONS)
def test_no_two_poisons_of_a_kind_are_alike(poison: Callable[[int], Candidate]):
    made = {b"".join(array.tobytes() for array in poison(seed).weights.values()) for seed in range(100)}
    assert len(made) == 100


@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_candidate_does_not_trade(poison: Callable[[int], Candidate]):
    for seed in range(3):
        verdict = verdict_on(poison(seed), market(1000, seed, EDGE), seed)
        assert verdict is None or not verdict.passed, verdict


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(100))
def test_none_of_a_thousand_poisoned_candidates_trades(seed: int):
    recording = market(2200, 10_000 + seed, EDGE)
    for poison in POISONS:
        verdict = verdict_on(poison(seed), recording, seed)
        assert verdict is None or not verdict.passed, (poison.__name__, verdict)


@pytest.mark.parametrize(
    ("poison", "reason"),
    [(nan_weights, "non_finite"), (collapsed, "entropy"), (other_schema, "network"), (stale, "stale"),
     (huge_kl, "kl"), (maximal_turnover, "turnover"), (sign_flipped, "worse")],
)  # fmt: skip
def test_each_limit_refuses_by_its_own_name(poison: Callable[[int], Candidate], reason: str):
    """The other limits being wide open."""
    rules = replace(RULES, max_kl=RULES.max_kl if reason == "kl" else 1e9, max_excess_drawdown_fraction=1.0)
    verdict = verdict_on(poison(0), market(1000, 4, EDGE), 0, rules)
    assert verdict is not None and verdict.reason == reason, verdict


def test_a_fall_deeper_than_the_incumbents_ends_the_test():
    rules = replace(RULES, max_excess_drawdown_fraction=0.1)
    verdict = judge(new_gate(holder(0.0, 4.0), rules), holder(1.0, 4.0), market(1000, 5))
    assert verdict is not None and verdict.reason == "drawdown"
    assert verdict.figures["drawdown"] > 0.1 + verdict.figures["incumbent_drawdown"]


def test_nobody_is_judged_on_a_tick_that_it_may_have_seen():
    """A policy that knows one stretch by heart, and is wrong ever after, is not promoted for that stretch."""
    edge = np.full(1200, -EDGE)
    edge[:400] = 3.0
    recording = market(1200, 6, edge)
    gate = new_gate(holder(0.0))
    parts = pieces(recording)
    trained_to = 390
    assert gate.submit(entrant(1, follower(2.0), trained_to)) == []
    for piece, last in parts:
        first = last - piece.decisions + 1
        verdicts = gate.observe(piece, last)
        if verdicts:
            break
        assert (gate.in_test == (1,)) == (first >= trained_to)
    assert len(verdicts) == 1 and not verdicts[0].passed
    assert verdicts[0].figures["tested_from_ns"] >= verdicts[0].figures["trained_to_ns"]
    # The same, told that it was trained to the beginning only, would pass at once: the test has teeth.
    cheated = judge(new_gate(holder(0.0)), follower(2.0), recording)
    assert cheated is not None and cheated.passed


def test_the_newest_waits_and_the_older_gives_way():
    gate = new_gate(GOOD)
    assert gate.submit(entrant(1, GOOD, 5)) == []
    (verdict,) = gate.submit(entrant(2, GOOD, 9))
    assert (verdict.number, verdict.reason) == (1, "superseded")
    assert gate.waiting == (2,)


def test_slots_fill_and_the_least_favoured_gives_way_to_the_newer():
    gate = new_gate(GOOD, replace(RULES, slots=2))
    recording = market(1400, 7, EDGE)
    verdicts: list[Verdict] = []
    for k, (piece, last) in enumerate(pieces(recording)):
        if k < 3:
            verdicts += gate.submit(entrant(k + 1, nudged(GOOD, k, 0.02), last - 64))
        verdicts += gate.observe(piece, last)
        if gate.in_test == (1, 3) or gate.in_test == (2, 3):
            break
    superseded = [verdict for verdict in verdicts if verdict.reason == "superseded"]
    assert len(superseded) == 1 and superseded[0].number in (1, 2)
    assert superseded[0].figures["tested_decisions"] >= RULES.window_decisions // 8


def test_who_serves_is_the_new_incumbent_and_the_newer_begin_anew_against_it():
    gate = new_gate(follower(0.3))
    recording = market(2200, 8, EDGE)
    parts = pieces(recording)
    gate.submit(entrant(1, follower(1.0), 0))
    gate.observe(*parts[0])
    gate.submit(entrant(2, follower(2.0), 64))
    gate.observe(*parts[1])
    assert gate.in_test == (1, 2)
    assert gate.serve(entrant(1, follower(1.0), 0)) == []
    assert gate.incumbent == 1 and gate.waiting == (2,) and gate.in_test == ()
    gate.observe(*parts[2])
    assert gate.in_test == (2,)
    (gone,) = gate.serve(entrant(3, follower(1.0), 500))
    assert (gone.number, gone.reason) == (2, "superseded")


def test_what_was_given_up_is_dismissed():
    gate = new_gate(GOOD)
    gate.submit(entrant(1, GOOD, 0))
    gate.observe(*pieces(market(100, 0))[0])
    gate.submit(entrant(2, GOOD, 64))
    gate.dismiss()
    assert gate.in_test == gate.waiting == ()


def test_a_hole_in_the_ticks_begins_all_accounts_anew_and_the_test_goes_on():
    gate = new_gate(follower(0.3))
    parts = pieces(market(2200, 9, EDGE))
    gate.submit(entrant(1, follower(2.0), 0))
    verdicts = [v for k, part in enumerate(parts) if k != 3 for v in gate.observe(*part)]
    assert verdicts and verdicts[0].passed


def test_the_same_calls_give_the_same_verdict():
    recording = market(2200, 0, EDGE)
    one, two = (judge(new_gate(follower(0.3), seed=3), follower(2.0), recording) for _ in range(2))
    assert one == two
    assert one != judge(new_gate(follower(0.3), seed=4), follower(2.0), recording)


def test_tainted_steps_are_no_evidence():
    recording = market(400, 0, EDGE)
    tainted = recording.shared.tainted.copy()
    tainted[65:129] = True
    recording = replace(recording, shared=recording.shared._replace(tainted=tainted))
    gate = new_gate(GOOD)
    gate.submit(entrant(1, nudged(GOOD, 0, 0.01), 0))
    for piece, last in pieces(recording)[:3]:
        gate.observe(piece, last)
    (verdict,) = gate.serve(entrant(2, GOOD, 500))
    assert verdict.number == 1
    gate = new_gate(GOOD, replace(RULES, window_decisions=128))
    gate.submit(entrant(1, nudged(GOOD, 0, 0.01), 0))
    ends = [last for piece, last in pieces(recording) for _ in gate.observe(piece, last)]
    assert ends == [192], "64 of the first 192 decisions count for nothing"


def test_the_ladder_spans_what_turnover_is_measured_by():
    assert LADDER[-1] - LADDER[0] == 2.0 and TERMS.bridge.ladder == LADDER


def test_each_test_gets_half_of_what_is_left_so_that_none_is_without_a_chance():
    budget = ErrorBudget(per_month=0.5, most_each=0.05)
    assert [budget.spend(0) for _ in range(4)] == [0.05, 0.025, 0.0125, 0.00625]
    assert budget.spend(MONTH_NS) == 0.05, "a month brings it back, up to what one test may have"


def test_all_tests_of_a_month_together_have_no_more_than_the_month_brings_and_what_was_there():
    budget = ErrorBudget(per_month=0.5, most_each=0.05)
    spent = [budget.spend(k * MONTH_NS // 1000) for k in range(1001)]
    assert min(spent) > 0.0 and max(spent) <= 0.05
    assert 0.4 < sum(spent) <= 0.5 + 2 * 0.05 + 1e-12


def test_generation_0_has_seen_no_decision_and_no_tick():
    assert Candidate(0, GOOD) == Candidate(0, GOOD, -1, 0, "", 0.0, None, 0)


def test_weights_of_another_precision_are_not_of_this_network():
    wide = {name: array.astype(np.float64) for name, array in GOOD.items()}
    (verdict,) = new_gate(GOOD).submit(entrant(1, wide, 0))  # type: ignore[arg-type]
    assert (verdict.passed, verdict.reason) == (False, "non_finite")
    assert verdict.figures == {"trained_to_ns": entrant(1, wide, 0).trained_to_ns}  # type: ignore[arg-type]


def test_who_was_trained_to_where_the_incumbent_was_is_stale_and_one_decision_later_is_not():
    gate = Gate(TERMS, RULES, SCHEMA, 0, entrant(0, GOOD, 5))
    assert [verdict.reason for verdict in gate.submit(entrant(1, GOOD, 5))] == ["stale"]
    assert gate.submit(entrant(2, GOOD, 6)) == []


def test_a_piece_of_one_decision_leads_on_and_is_no_test():
    gate, recording = new_gate(GOOD), market(100, 0)
    gate.submit(entrant(1, GOOD, 0))
    assert gate.observe(recording.window(0, 1), 0) == []
    assert gate.in_test == () and gate.waiting == (1,)
    assert gate.observe(recording.window(0, 2), 1) == []
    assert gate.in_test == (1,)


def test_a_month_of_the_budget_is_thirty_days():
    budget = ErrorBudget(per_month=0.1, most_each=0.05)
    assert budget.spend(5) == 0.05
    assert budget.spend(5 + 6 * 86_400_000_000_000) == pytest.approx(0.5 * (0.05 + 0.02))
    assert budget.spend(5) == pytest.approx(0.25 * (0.05 + 0.02)), "no time goes back"
