"""Accounts at the gate live through the market as one long recording, and differ by what policies do alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.gate_support import LADDER, PIECE, SHAPE, TERMS, follower, holder, market, pieces
from ztb.errors import InvariantError
from ztb.learning.gate.shadow import Shadow, ShadowTrading, _empty, begin_trajectory
from ztb.trading.policy.categorical import divergence, greatest_entropy
from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.weights import initial_weights
from ztb.trading.recording import Recording

KEYS = np.arange(3)


def traded(shadow: Shadow, parts: list[tuple[Recording, int]], seed: int = 5) -> list[ShadowTrading]:
    generator = np.random.default_rng(seed)
    return [shadow.trade(part, generator.random((part.decisions - 1, len(KEYS), 2))) for part, _ in parts]


@pytest.mark.parametrize("size", [7, 50, 300])
def test_pieces_give_the_same_as_the_whole_bit_for_bit(size):
    recording = market(301, 0, 0.3)
    weights = initial_weights(SHAPE, 0)
    (whole,) = traded(Shadow(TERMS, weights, KEYS), pieces(recording, 300))
    parts = traded(Shadow(TERMS, weights, KEYS), pieces(recording, size))
    steps = sum(len(part.rewards) for part in parts)
    assert steps >= 294
    for name in ("rewards", "turnover", "observations", "tainted"):
        assert np.array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name)[:steps])
    assert np.array_equal(parts[-1].equity[-1], whole.equity[steps])
    assert np.ptp(whole.equity[-1]) > 0.0


def test_equal_policies_do_equal_things_and_a_fork_goes_on_from_the_same_account():
    recording = market(257, 1, 0.3)
    one = Shadow(TERMS, follower(1.0), KEYS)
    traded(one, pieces(recording)[:2])
    other = one.fork(follower(1.0))
    ours, theirs = (traded(shadow, pieces(recording)[2:]) for shadow in (one, other))
    assert all(np.array_equal(a.rewards, b.rewards) for a, b in zip(ours, theirs, strict=True))
    assert np.array_equal(ours[0].equity[0], theirs[0].equity[0])


def test_a_holder_earns_what_the_price_does_less_what_it_pays():
    recording = market(200, 2)
    (done,) = traded(Shadow(TERMS, holder(1.0, 60.0), KEYS), [(recording, 199)])
    mids = recording.shared.mids
    entry = done.turnover[0].mean() + done.turnover[1].mean()
    assert entry == pytest.approx(1.0, abs=0.01)
    grown = float(done.rewards[2:].mean(axis=1).sum())
    assert grown == pytest.approx(float(np.log(mids[-1] / mids[2])), abs=2e-3)
    assert done.rewards[:2].mean(axis=1).sum() < float(np.log(mids[2] / mids[0])) + 1e-4


def test_after_an_interruption_accounts_begin_without_a_position():
    recording = market(400, 3)
    shadow = Shadow(TERMS, holder(1.0), KEYS)
    first, second = pieces(recording)[0][0], pieces(recording)[3][0]
    traded(shadow, [(first, 0)])
    shadow.interrupt()
    (after,) = traded(shadow, [(second, 0)])
    assert np.all(after.equity[0] == TERMS.start_cash) and after.turnover[:2].sum(axis=0).min() > 0.5


def test_greedy_terms_are_traded_greedily():
    """On venues with the same random numbers, accounts differ by what is sampled alone."""
    recording = market(100, 4, 0.3)
    shadows = [Shadow(replace(TERMS, sample=s), initial_weights(SHAPE, 0), 0 * KEYS) for s in (True, False)]
    sampled, greedy = (traded(shadow, [(recording, 99)])[0] for shadow in shadows)
    assert np.ptp(sampled.turnover, axis=1).max() > 0.0
    assert np.ptp(greedy.turnover, axis=1).max() == 0.0 < greedy.turnover.max()


def test_divergence_and_entropy_are_those_of_the_serving_policys_probabilities():
    rng = np.random.default_rng(6)
    observations = rng.standard_normal((40, SHAPE.observation_size)).astype(np.float32)
    old, new = initial_weights(SHAPE, 1), follower(1.0)
    logits = [Shadow(TERMS, weights, KEYS).logits(observations) for weights in (old, new)]
    found = divergence(logits[0], logits[1], SHAPE.heads)
    pairs = [
        [ServingPolicy(SHAPE, weights).probabilities(seen) for weights in (old, new)] for seen in observations
    ]
    kl = np.mean([sum(np.sum(p * np.log(p / q)) for p, q in zip(a, b, strict=True)) for a, b in pairs])
    entropy = np.mean([-sum(np.sum(q * np.log(q)) for q in b) for _, b in pairs])
    assert found == pytest.approx((kl, entropy), rel=1e-5)
    assert greatest_entropy(SHAPE.heads) == pytest.approx(np.log(len(LADDER)) + np.log(3))


def test_pieces_lead_on_from_each_other():
    parts = pieces(market(200, 7))
    for (before, _), (after, last) in zip(parts, parts[1:], strict=False):
        assert before.shared.times_ns[-1] == after.shared.times_ns[0]
        assert after.decisions == PIECE + 1 and last % PIECE == 0


def test_step_by_step_is_the_same_as_in_one_kernel():
    """As for a strategy's own network, which no kernel knows."""
    recording = market(130, 8, 0.3)
    at_once, step_by_step = (Shadow(TERMS, initial_weights(SHAPE, 2), KEYS) for _ in range(2))
    evaluator = step_by_step._actor.evaluator
    step_by_step._actor.evaluator = lambda observations: evaluator(observations)
    (one,), (other,) = (traded(shadow, [(recording, 129)]) for shadow in (at_once, step_by_step))
    for name in ("rewards", "equity", "turnover", "observations", "tainted"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_a_strategys_own_reward_is_what_counts():
    recording = market(50, 9)
    terms = replace(TERMS, own_reward=lambda before, after: after - before)
    (done,) = traded(Shadow(terms, holder(1.0), KEYS), [(recording, 49)])
    assert np.array_equal(done.rewards, np.diff(done.equity, axis=0))


def test_an_account_without_equity_trades_nothing_and_reports_that_are_lost_are_an_error(monkeypatch):
    recording, shadow = market(5, 9), Shadow(TERMS, holder(1.0), KEYS)
    lost = [0]

    def live(_simulation, _uniforms, lived):
        lived.equity[:], lived.notional[:] = 0.0, np.arange(5.0)[:, None]
        lived.equity[:, 1] = 2.0
        return lost[0]

    monkeypatch.setattr(shadow, "_live", live)
    (done,) = traded(shadow, [(recording, 4)])
    assert np.array_equal(done.turnover, np.tile([0.0, 0.5, 0.0], (4, 1)))
    lost[0] = 1
    with pytest.raises(InvariantError, match="lost"):
        traded(shadow, [(recording, 4)])


def test_steps_tell_what_was_lost_and_what_was_traded_before_them():
    recording, shadow = market(40, 10), Shadow(TERMS, holder(1.0), KEYS)
    uniforms = np.full((20, len(KEYS), 2), 0.5)
    shadow.trade(recording.window(0, 21), uniforms)
    simulation = shadow._continue(recording.window(20, 40))
    lived = _empty(19, len(KEYS), simulation.observation_size)
    begin_trajectory(simulation.lanes, lived)
    assert np.array_equal(lived.notional[0], simulation.lanes.account["traded_notional"])
    assert lived.notional[0].min() > 0.0
    assert shadow._live(simulation, uniforms[1:], lived) == 0
