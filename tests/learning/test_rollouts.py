"""Rollouts over recorded history are what the serving policy would have done and seen."""

from __future__ import annotations

import numpy as np
import pytest

from trading.markets import HOUR_NS, SPOT, bars
from ztb.execution.paper_config import PaperConfig
from ztb.features import FeatureSet, Normaliser
from ztb.learning.rollouts import SimulatedEnvironments, simulated_rollouts
from ztb.market.ticks import GAP, Ticks
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.episodes import Episodes
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.weights import NetworkShape, Weights, initial_weights
from ztb.trading.ppo.collector import RolloutCollector
from ztb.trading.ppo.rollout import Rollout
from ztb.trading.recording import Recording, record
from ztb.trading.settings import BridgeConfig
from ztb.trading.simulation import Simulation

LADDER = (0.0, 0.5, 1.0)
FEATURES = ("return_1", "return_4", "volatility_8")
SHAPE = NetworkShape(len(FEATURES) + ACCOUNT_SIZE, (len(LADDER), 3), (8,))
EPISODES = Episodes(10, random_start=True, random_account=True)
LANES, STEPS = 5, 24


def recording_of(ticks: Ticks) -> Recording:
    features = FeatureSet(SPOT, HOUR_NS, FEATURES)
    return record(ticks, SPOT, HOUR_NS, DecisionClock(Every.BAR, 0), features, Normaliser(features.size))


def simulation_of(recording: Recording) -> Simulation:
    return Simulation(recording, BridgeConfig(LADDER), PaperConfig(), 1000.0, EPISODES, LANES)


def weights(seed: int = 0) -> Weights:
    """Larger than they start, so that actions and values differ with what is seen."""
    return {name: array * np.float32(4.0) for name, array in initial_weights(SHAPE, seed).items()}


def collector(seed: int = 0, ticks: Ticks | None = None) -> RolloutCollector[SimulatedEnvironments]:
    recording = recording_of(bars(200) if ticks is None else ticks)
    return simulated_rollouts(
        SHAPE, weights(), SimulatedEnvironments(simulation_of(recording), 100.0), STEPS, seed
    )


def bits(rollout: Rollout) -> list[bytes]:
    names = ("observations", "actions", "logprobs", "values", "rewards", "truncated", "mask")
    return [getattr(rollout, name).tobytes() for name in names]


def test_actions_log_probs_and_values_are_the_serving_policys():
    rollout = collector().collect(weights())
    serving = ServingPolicy(SHAPE, weights())
    for index in np.ndindex(STEPS, LANES):
        probabilities = serving.probabilities(rollout.observations[index])
        chosen = [float(head[a]) for head, a in zip(probabilities, rollout.actions[index], strict=True)]
        assert rollout.logprobs[index] == pytest.approx(sum(np.log(chosen)), abs=1e-5)
        assert rollout.values[index] == np.float32(
            serving.decide(rollout.observations[index], np.zeros(2)).value
        )
    assert len(np.unique(rollout.actions.reshape(-1, 2), axis=0)) == 9


def test_the_same_actions_by_hand_give_the_same_rollout_and_the_true_last_observations():
    made = collector()
    twin = simulation_of(made.environments.simulation.recording)
    twin.load_state(made.environments.simulation.state())
    rollout = made.collect(weights())
    serving = ServingPolicy(SHAPE, weights())
    for t in range(STEPS):
        assert np.array_equal(twin.outcome.observations, rollout.observations[t])
        outcome = twin.step(rollout.actions[t])
        assert np.array_equal(np.float32(outcome.rewards * np.float32(100.0)), rollout.rewards[t])
        assert np.array_equal(outcome.truncated, rollout.truncated[t])
        for lane in range(LANES) if t == STEPS - 1 else np.flatnonzero(outcome.truncated):
            value = serving.decide(outcome.observations[lane], np.zeros(2)).value
            assert rollout.next_values[t, lane] == np.float32(value)
        twin.restart(outcome.truncated)
    assert rollout.truncated.sum(axis=0).tolist() == [2] * LANES
    assert not rollout.terminated.any() and rollout.mask.all()


def test_a_seed_fixes_the_rollouts_and_episodes_go_on_between_them():
    one, two, other = collector(3), collector(3), collector(4)
    first = bits(one.collect(weights()))
    assert first == bits(two.collect(weights())) != bits(other.collect(weights()))
    second = bits(one.collect(weights()))
    assert second == bits(two.collect(weights())) != first
    # Episodes of 10 steps in rollouts of 24: the second rollout's first ends fall after 6 steps.
    assert np.flatnonzero(one.rollout.truncated[:, 0])[0] == 5


def test_a_saved_state_goes_on_bit_for_bit():
    one, two = collector(3), collector(4)
    one.collect(weights())
    two.generator.bit_generator.state = one.generator.bit_generator.state
    two.environments.simulation.load_state(one.environments.simulation.state())
    assert bits(one.collect(weights(1))) == bits(two.collect(weights(1)))


def test_what_spans_a_gap_is_not_trained_on():
    ticks = bars(60)
    ticks["flags"][40:] = GAP
    made = collector(0, ticks)
    gap_ns = ticks["ts_ns"][40]
    rollout = made.collect(weights())
    twin = simulation_of(made.environments.simulation.recording)
    twin.reset(np.random.Generator(np.random.PCG64(0)).integers(0, 2**62, LANES))
    for t in range(STEPS):
        outcome = twin.step(rollout.actions[t])
        reached = twin.recording.shared.times_ns[twin.lanes.lane["decision"]]
        assert np.array_equal(rollout.mask[t], reached < gap_ns)
        twin.restart(outcome.truncated)
    assert rollout.mask.any() and not rollout.mask.all()


def test_a_window_of_decisions_is_never_left():
    recording = recording_of(bars(200)).window(50, 90)
    simulation = simulation_of(recording)
    made = simulated_rollouts(SHAPE, weights(), SimulatedEnvironments(simulation), STEPS, 0)
    times = recording.shared.times_ns
    for _ in range(10):
        made.collect(weights())
        reached = times[simulation.lanes.lane["decision"]]
        assert np.all((times[0] <= reached) & (reached <= times[-1]))
