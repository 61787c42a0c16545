"""The loss and its gradient against stable-baselines3's own code, on the same minibatch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from ztb.trading.policy.weights import NetworkShape, parameter_shapes
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.rollout import Rollout, empty_rollout
from ztb.trading.ppo.update import PPOUpdater

sb3 = pytest.importorskip("stable_baselines3", reason="the extra `dev` installs stable-baselines3")

DISCRETE = NetworkShape(6, (5,), (16, 8), shared_trunk=False)
HEADS = NetworkShape(6, (3, 4), (16, 8), shared_trunk=False)
CONTINUOUS = NetworkShape(6, (), (16, 8), shared_trunk=False, continuous=2)
SPACES = {
    DISCRETE: gym.spaces.Discrete(5),
    HEADS: gym.spaces.MultiDiscrete([3, 4]),
    CONTINUOUS: gym.spaces.Box(-1.0, 1.0, (2,)),
}
STEPS, ENVS = 16, 4
CONFIG = PPOConfig(
    num_envs=ENVS,
    num_steps=STEPS,
    minibatch_size=STEPS * ENVS,
    epochs=1,
    learning_rate=1e-3,
    entropy_coef=0.01,
    anneal_learning_rate=False,
)


class _Env(gym.Env[np.ndarray, Any]):
    def __init__(self, space: gym.Space[Any]) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (6,))
        self.action_space = space


def rollout_of(shape: NetworkShape) -> Rollout:
    generator = np.random.default_rng(1)
    rollout = empty_rollout(shape, STEPS, ENVS)
    for array in (rollout.observations, rollout.rewards, rollout.values, rollout.next_values):
        array[:] = generator.standard_normal(array.shape)
    if shape.continuous:
        rollout.actions[:] = generator.standard_normal(rollout.actions.shape)
    else:
        rollout.actions[:] = generator.integers(0, shape.heads, rollout.actions.shape)
    rollout.logprobs[:] = -2.0 + 0.3 * generator.standard_normal(rollout.logprobs.shape)
    rollout.terminated[:] = generator.random(rollout.terminated.shape) < 0.2
    return rollout


def copy_weights(weights: dict[str, np.ndarray], policy: Any) -> None:
    """Ours into a MlpPolicy of the same architecture; torch's linear layers are transposed."""
    for tower, layers, head in (
        ("policy", policy.mlp_extractor.policy_net, policy.action_net),
        ("value", policy.mlp_extractor.value_net, policy.value_net),
    ):
        for layer, linear in enumerate((layers[0], layers[2], head)):
            linear.weight.data = torch.from_numpy(weights[f"{tower}.{layer}.weight"].T.copy())
            linear.bias.data = torch.from_numpy(weights[f"{tower}.{layer}.bias"].copy())
    if "log_std" in weights:
        policy.log_std.data = torch.from_numpy(weights["log_std"].copy())


def fill(buffer: Any, rollout: Rollout) -> None:
    """The same transitions, in stable-baselines3's convention: a start flag instead of an end flag."""
    starts = np.ones(ENVS)
    for t in range(STEPS):
        buffer.add(
            rollout.observations[t],
            rollout.actions[t],
            rollout.rewards[t],
            starts,
            torch.from_numpy(rollout.values[t]),
            torch.from_numpy(rollout.logprobs[t]),
        )
        starts = rollout.terminated[t].astype(float)
    buffer.compute_returns_and_advantage(torch.from_numpy(rollout.next_values[-1]), rollout.terminated[-1])


@pytest.fixture(params=list(SPACES), ids=["discrete", "heads", "continuous"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[PPOUpdater, Any, Rollout]]:
    shape: NetworkShape = request.param
    generator = np.random.default_rng(7)
    weights = {
        name: (0.3 * generator.standard_normal(size)).astype(np.float32)
        for name, size in parameter_shapes(shape).items()
    }
    envs = sb3.common.vec_env.DummyVecEnv([lambda: _Env(SPACES[shape])] * ENVS)
    theirs = sb3.PPO(
        "MlpPolicy",
        envs,
        learning_rate=CONFIG.learning_rate,
        n_steps=STEPS,
        batch_size=STEPS * ENVS,
        n_epochs=1,
        ent_coef=CONFIG.entropy_coef,
        policy_kwargs={"net_arch": [16, 8]},
        device="cpu",
    )
    theirs.set_logger(sb3.common.logger.Logger(None, []))
    copy_weights(weights, theirs.policy)
    rollout = rollout_of(shape)
    fill(theirs.rollout_buffer, rollout)
    yield PPOUpdater(shape, CONFIG, weights, 0), theirs, rollout


def test_losses_and_the_step_taken_agree(both: tuple[PPOUpdater, Any, Rollout]) -> None:
    ours, theirs, rollout = both
    theirs.train()
    logged = theirs.logger.name_to_value
    stats = ours.update(rollout)
    policy, value, entropy = (
        logged[f"train/{name}"] for name in ("policy_gradient_loss", "value_loss", "entropy_loss")
    )
    assert stats.policy_loss == pytest.approx(policy, abs=1e-5)
    assert stats.value_loss == pytest.approx(value, rel=1e-5, abs=1e-5)
    assert stats.entropy == pytest.approx(-entropy, abs=1e-5)
    assert stats.approx_kl == pytest.approx(logged["train/approx_kl"], abs=1e-5)
    assert stats.clip_fraction == pytest.approx(logged["train/clip_fraction"], abs=1e-5)
    assert stats.explained_variance == pytest.approx(logged["train/explained_variance"], abs=1e-5)
    loss = stats.policy_loss - 0.01 * stats.entropy + 0.5 * stats.value_loss
    assert loss == pytest.approx(logged["train/loss"], rel=1e-5, abs=1e-5)
    stepped = read_weights(ours.shape, theirs.policy)
    for name, array in ours.weights().items():
        np.testing.assert_allclose(array, stepped[name], atol=1e-5, err_msg=name)


def read_weights(shape: NetworkShape, policy: Any) -> dict[str, np.ndarray]:
    """The inverse of `copy_weights`."""
    found = {}
    for tower, layers, head in (
        ("policy", policy.mlp_extractor.policy_net, policy.action_net),
        ("value", policy.mlp_extractor.value_net, policy.value_net),
    ):
        for layer, linear in enumerate((layers[0], layers[2], head)):
            found[f"{tower}.{layer}.weight"] = linear.weight.detach().numpy().T
            found[f"{tower}.{layer}.bias"] = linear.bias.detach().numpy()
    if shape.continuous:
        found["log_std"] = policy.log_std.detach().numpy()
    return found
