"""Collecting rollouts: the three autoreset modes of Gymnasium 1.x, what is masked, what is bootstrapped."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ztb.errors import ConfigError
from ztb.trading.policy.evaluator import Actor, MlpEvaluator
from ztb.trading.policy.weights import NetworkShape, flatten, initial_weights
from ztb.trading.ppo.collector import RolloutCollector
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.gae import advantages_of
from ztb.trading.ppo.normalizer import Normalizer
from ztb.trading.ppo.rollout import empty_rollout
from ztb.trading.ppo.spaces import actions_of
from ztb.trading.ppo.vector import GymEnvironments, Stepper, as_vector

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


class Counter(gym.Env[np.ndarray, int]):
    """Observes how many steps it has taken; ends after `length` of them; pays what it observes."""

    observation_space = gym.spaces.Box(-100.0, 100.0, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length: int = 3, truncates: bool = False) -> None:
        self.length, self.truncates, self.count = length, truncates, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        ended = self.count == self.length
        seen = np.full(1, self.count, np.float32)
        return seen, float(self.count), ended and not self.truncates, ended and self.truncates, {}


def collector_of(envs: SyncVectorEnv, steps: int) -> tuple[RolloutCollector[GymEnvironments], Actor]:
    shape = NetworkShape(1, (2,), (4,))
    actor = Actor(shape, MlpEvaluator(shape, flatten(shape, initial_weights(shape, 1))))
    normalizer = Normalizer(1, envs.num_envs, PPOConfig(gamma=0.9, normalize_rewards=False))
    environments = GymEnvironments(Stepper(envs, 0), actions_of(envs.single_action_space), normalizer)
    rollout = empty_rollout(shape, steps, envs.num_envs)
    collector = RolloutCollector(environments, actor, rollout, np.random.default_rng(0))
    return collector, actor


def value(actor: Actor, observation: float) -> float:
    return float(actor.values(np.array([[observation]], np.float32))[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("truncates", [False, True])
def test_every_autoreset_mode_gives_the_same_transitions(mode: AutoresetMode, truncates: bool) -> None:
    envs = SyncVectorEnv([lambda: Counter(3, truncates), lambda: Counter(5, truncates)], autoreset_mode=mode)
    collector, actor = collector_of(envs, 30)
    rollout = collector.collect()
    for env, length in enumerate((3, 5)):
        live = rollout.mask[:, env]
        assert live.all() == (mode != AutoresetMode.NEXT_STEP)
        seen = rollout.observations[live, env, 0]
        np.testing.assert_array_equal(seen, np.arange(seen.size) % length)
        np.testing.assert_array_equal(rollout.rewards[live, env], seen + 1)
        np.testing.assert_array_equal(
            (rollout.truncated if truncates else rollout.terminated)[live, env], seen + 1 == length
        )
        ended = rollout.truncated[:, env]
        np.testing.assert_allclose(rollout.next_values[ended, env], value(actor, length), rtol=1e-6)
    assert list(collector.environments.episodes.lengths)[:3] == [3, 5, 3]
    assert collector.environments.episodes.returns[0] == 6.0


@pytest.mark.parametrize("mode", MODES)
def test_advantages_at_a_truncation_bootstrap_from_the_last_observation(mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([lambda: Counter(3, truncates=True)], autoreset_mode=mode)
    collector, actor = collector_of(envs, 9)
    rollout = collector.collect()
    advantages = advantages_of(rollout, 0.9, 0.8)[:, 0]
    deltas = [t + 1 + 0.9 * value(actor, t + 1) - value(actor, t) for t in range(3)]
    expected = [deltas[0] + 0.72 * deltas[1] + 0.72**2 * deltas[2], deltas[1] + 0.72 * deltas[2], deltas[2]]
    np.testing.assert_allclose(advantages[:3], expected, rtol=1e-5)


def test_a_rollout_goes_on_where_the_last_one_stopped() -> None:
    collector, _ = collector_of(SyncVectorEnv([lambda: Counter(7)]), 4)
    first = collector.collect().observations[:, 0, 0].tolist()
    assert first + collector.collect().observations[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_short_rollout_bootstraps_at_its_own_end() -> None:
    collector, actor = collector_of(SyncVectorEnv([lambda: Counter(50)] * 2), 30)
    rollout = collector.collect(most=11)
    assert rollout.rewards.shape == (6, 2)
    np.testing.assert_allclose(rollout.next_values[-1], value(actor, 6), rtol=1e-6)


def test_the_reset_step_of_a_rollouts_first_row_is_masked() -> None:
    collector, _ = collector_of(SyncVectorEnv([lambda: Counter(4)]), 4)
    assert collector.collect().mask.all()
    assert collector.collect().mask[:, 0].tolist() == [False, True, True, True]


def test_rewards_and_observations_are_normalised_and_reset_steps_teach_nothing() -> None:
    generator = np.random.default_rng(0)
    normalizer = Normalizer(2, 4, PPOConfig(gamma=0.0, normalize_observations=True))
    live = np.array([True, True, True, False])
    for _ in range(2000):
        seen = (generator.standard_normal((4, 2)) * [2, 5] + [1, -3]).astype(np.float32)
        seen[3] = 1e6
        normalizer.see(seen, live)
        rewards = generator.standard_normal(4) * 7
        scaled = normalizer.rewards(np.where(live, rewards, 1e9), np.zeros(4, bool), live)
    state = normalizer.state()
    _, mean, variance = state["observations"]
    np.testing.assert_allclose(mean, [1, -3], atol=0.3)
    np.testing.assert_allclose(np.sqrt(variance), [2, 5], rtol=0.05)
    np.testing.assert_allclose(scaled[:3], rewards[:3] / 7, rtol=0.05)
    assert np.abs(normalizer.observations(np.full((1, 2), 1e9, np.float32))).max() == 10.0


def test_moments_are_those_of_all_rows_and_a_state_of_version_1_is_read() -> None:
    rows = np.random.default_rng(1).standard_normal((50, 4, 2)).astype(np.float32)
    config = PPOConfig(normalize_observations=True, normalize_rewards=False)
    normalizer, older = Normalizer(2, 4, config), Normalizer(2, 4, config)
    for seen in rows:
        normalizer.see(seen, np.ones(4, bool))
    count, mean, variance = normalizer.state()["observations"]
    whole = rows.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose([count, mean, variance], [[200, 200], whole.mean(0), whole.var(0)], rtol=1e-9)
    named = {"count": 200.0, "mean": mean, "variance": variance}
    older.load_state({"observations": named, "rewards": None, "returns": np.zeros(4)})
    assert older.observations(rows[0]).tobytes() == normalizer.observations(rows[0]).tobytes()


def test_environments_of_every_kind_become_a_vector() -> None:
    assert as_vector("CartPole-v1", 3).num_envs == 3
    assert as_vector(Counter(), 3).num_envs == 1
    assert as_vector(Counter, 3).num_envs == 3
    envs = SyncVectorEnv([Counter, Counter])
    assert as_vector(envs, 3) is envs
    assert as_vector(lambda: envs, 3) is envs


@pytest.mark.parametrize(
    ("space", "action", "expected"),
    [
        (gym.spaces.Discrete(3, start=-1), [[2]], [1]),
        (gym.spaces.MultiDiscrete([[2, 3]]), [[1, 2]], [[[1, 2]]]),
        (gym.spaces.MultiDiscrete([2, 3], start=[5, -1]), [[1, 2]], [[6, 1]]),
        (gym.spaces.Box(-2.0, 4.0, (1,)), [[0.5]], [[2.5]]),
        (gym.spaces.Box(-2.0, 4.0, (1,)), [[3.0]], [[4.0]]),
        (gym.spaces.Box(-np.inf, np.inf, (2,)), [[3.0, -7.0]], [[3.0, -7.0]]),
    ],
)
def test_actions_are_what_step_takes(space: gym.Space[Any], action: list[Any], expected: list[Any]) -> None:
    found = actions_of(space).to_env(np.array(action))
    np.testing.assert_allclose(found, expected)
    assert space.contains(found[0])


def test_squashed_actions_stay_inside() -> None:
    space = gym.spaces.Box(-2.0, 4.0, (1,))
    found = actions_of(space, squash=True).to_env(np.array([[0.5]], np.float32))
    np.testing.assert_allclose(found, [[1 + 3 * np.tanh(0.5)]], rtol=1e-6)
    with pytest.raises(ConfigError, match="squash"):
        actions_of(gym.spaces.Box(-np.inf, np.inf, (1,)), squash=True)


def test_a_space_that_cannot_be_learnt_on_is_named() -> None:
    with pytest.raises(ConfigError, match="Text"):
        actions_of(gym.spaces.Text(3))


def test_what_is_normalised_is_cut_off_where_the_options_say() -> None:
    options = PPOConfig(normalize_observations=True, clip_observations=1.5, clip_rewards=0.5)
    normalizer, live = Normalizer(1, 2, options), np.ones(2, bool)
    rows = np.array([[-1.0], [1.0]], np.float32)
    normalizer.see(rows, live)
    assert normalizer.observations(np.array([[9.0], [-9.0]], np.float32)).ravel().tolist() == [1.5, -1.5]
    assert np.abs(normalizer.rewards(np.array([3.0, -3.0]), ~live, live)).tolist() == [0.5, 0.5]
