"""The update: hand-written gradients against autograd and differences, Adam, stopping, exact resume."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ztb.errors import ConfigError, InvariantError
from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.torch_network import ModuleNetwork
from ztb.trading.policy.weights import NetworkShape, parameter_shapes, weights_sha256
from ztb.trading.ppo.adam import Adam
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.mlp import MlpNetwork
from ztb.trading.ppo.rollout import Rollout, empty_rollout
from ztb.trading.ppo.update import PPOUpdater, explained_variance

SHARED = NetworkShape(6, (5, 3), (16, 8))
SEPARATE = NetworkShape(6, (4,), (16, 8), shared_trunk=False)
CONTINUOUS = NetworkShape(6, (), (16, 8), continuous=2)
CONTINUOUS_SEPARATE = NetworkShape(6, (), (8,), shared_trunk=False, continuous=1)
SHAPES = [SHARED, SEPARATE, CONTINUOUS, CONTINUOUS_SEPARATE]


def moved(shape: NetworkShape, seed: int, scale: float = 0.5) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        name: (scale * generator.standard_normal(size)).astype(np.float32)
        for name, size in parameter_shapes(shape).items()
    }


def actions_of(shape: NetworkShape, generator: np.random.Generator, count: int) -> np.ndarray:
    if shape.continuous:
        return generator.standard_normal((count, shape.continuous)).astype(np.float32)
    return np.stack([generator.integers(0, size, count) for size in shape.heads], axis=1)


def rollout_of(shape: NetworkShape, seed: int, steps: int = 16, envs: int = 4) -> Rollout:
    generator = np.random.default_rng(seed)
    actions = actions_of(shape, generator, steps * envs)
    rollout = empty_rollout(shape, steps, envs)
    rollout.actions[:] = actions.reshape(rollout.actions.shape)
    for array in (rollout.observations, rollout.rewards, rollout.values, rollout.next_values):
        array[:] = generator.standard_normal(array.shape)
    rollout.logprobs[:] = -np.log(5.0) + 0.2 * generator.standard_normal((steps, envs))
    rollout.terminated[:] = generator.random((steps, envs)) < 0.1
    rollout.truncated[:] = ~rollout.terminated & (generator.random((steps, envs)) < 0.1)
    return rollout


class _Module(nn.Module):
    """SHARED's network as a user would write it."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for layer in range(3):
            weight = torch.from_numpy(weights[f"trunk.{layer}.weight"].T.copy())
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            linear.weight.data, linear.bias.data = (
                weight,
                torch.from_numpy(weights[f"trunk.{layer}.bias"].copy()),
            )
            self.layers.append(linear)

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.tanh(self.layers[0](observations))
        outputs = self.layers[2](torch.tanh(self.layers[1](x)))
        return outputs[:, :-1], outputs[:, -1]


def test_a_users_module_learns_as_the_shipped_network_does() -> None:
    weights, rollout = moved(SHARED, 3, 0.3), rollout_of(SHARED, 4)
    config = PPOConfig(minibatch_size=16, epochs=2)
    ours = PPOUpdater(SHARED, config, weights, 1)
    theirs = PPOUpdater(SHARED, config, weights, 1, module=_Module(weights))
    assert ours.update(rollout).policy_loss == pytest.approx(theirs.update(rollout).policy_loss, abs=1e-5)
    np.testing.assert_allclose(
        theirs.weights()["layers.1.weight"].T, ours.weights()["trunk.1.weight"], rtol=1e-3, atol=1e-5
    )
    resumed = PPOUpdater(SHARED, config, weights, 9, module=_Module(weights))
    resumed.load_state(theirs.state())
    theirs.update(rollout)
    resumed.update(rollout)
    assert weights_sha256(resumed.weights()) == weights_sha256(theirs.weights())


def test_a_module_that_cannot_be_saved_whole_is_refused() -> None:
    with pytest.raises(ConfigError, match="buffers"):
        ModuleNetwork(nn.BatchNorm1d(3), "cpu")


def test_serving_gives_what_torch_gives_within_1e_5() -> None:
    for shape in (SHARED, SEPARATE):
        weights = moved(shape, 8)
        policy, network = ServingPolicy(shape, weights), MlpNetwork(shape, weights, "cpu")
        generator = np.random.default_rng(1)
        seen = generator.standard_normal((500, 6)).astype(np.float32)
        outputs = network.forward(torch.from_numpy(seen)).double()
        heads = [torch.softmax(part, 0).numpy() for part in outputs[:-1].split(shape.heads)]
        for row in range(500):
            uniforms = generator.random(len(shape.heads))
            choice = policy.decide(seen[row], uniforms)
            assert choice.value == pytest.approx(float(outputs[-1, row]), abs=1e-5)
            served = policy.probabilities(seen[row])
            for head, probabilities in enumerate(served):
                np.testing.assert_allclose(probabilities, heads[head][:, row], atol=1e-5)
                edges = np.cumsum(heads[head][:, row])
                if np.abs(edges - uniforms[head]).min() > 1e-5:
                    assert choice.actions[head] == int(np.searchsorted(edges, uniforms[head], side="right"))


def test_adam_is_torchs() -> None:
    generator = np.random.default_rng(0)
    start = torch.from_numpy(generator.standard_normal(50).astype(np.float32))
    theirs = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=1e-2, eps=1e-5)
    ours = start.clone()
    adam = Adam(ours, 1e-5)
    for _ in range(20):
        gradient = torch.from_numpy(generator.standard_normal(50).astype(np.float32))
        theirs.grad = gradient.clone()
        optimizer.step()
        assert adam.step(gradient, 1e-2) == pytest.approx(float(gradient.norm()), rel=1e-6)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-7)


def test_clipping_keeps_direction_and_bounds_the_norm() -> None:
    clipped, given = torch.zeros(2), torch.zeros(2)
    ours, theirs = Adam(clipped, 1e-5), Adam(given, 1e-5)
    for gradient, within in (([3.0, 4.0], [0.3, 0.4]), ([0.03, 0.04], [0.03, 0.04])):
        assert ours.step(torch.tensor(gradient), 1e-2, 0.5) == pytest.approx(np.hypot(*gradient))
        theirs.step(torch.tensor(within), 1e-2)
        torch.testing.assert_close(clipped, given, rtol=1e-6, atol=1e-7)


def test_the_compiled_step_is_the_one_of_other_devices() -> None:
    generator = np.random.default_rng(1)
    one, two = torch.zeros(40), torch.zeros(40)
    compiled, plain = Adam(one, 1e-5), Adam(two, 1e-5)
    for k in range(1, 10):
        gradient = torch.from_numpy(generator.standard_normal(40).astype(np.float32))
        compiled.step(gradient, 1e-2)
        root = np.sqrt(1 - 0.999**k)
        plain._advance(gradient, 1e-2 * root / (1 - 0.9**k), 1e-5 * root)
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_before_the_first_step_ratios_are_one() -> None:
    shape, weights = SHARED, moved(SHARED, 1)
    rollout = rollout_of(shape, 1)
    policy = ServingPolicy(shape, weights)
    for t, n in np.ndindex(rollout.rewards.shape):
        choice = policy.decide(rollout.observations[t, n], np.random.default_rng(t * 9 + n).random(2))
        rollout.actions[t, n], rollout.logprobs[t, n] = choice.actions, choice.logprob
    stats = PPOUpdater(shape, PPOConfig(epochs=1, minibatch_size=64), weights, 1).update(rollout)
    assert stats.minibatches == 1
    assert abs(stats.approx_kl) < 1e-6
    assert stats.clip_fraction == 0.0
    assert stats.policy_loss == pytest.approx(0.0, abs=1e-6)


def test_masked_transitions_do_not_touch_the_weights() -> None:
    config = PPOConfig(minibatch_size=16, epochs=2)
    digests = set()
    for poison in (0.0, 1e6):
        rollout = rollout_of(SHARED, 3)
        rollout.mask[5:7, 1] = False
        rollout.observations[5:7, 1] = poison
        rollout.rewards[5:7, 1] = poison
        rollout.logprobs[5:7, 1] = poison
        rollout.values[6, 1] = poison
        updater = PPOUpdater(SHARED, config, moved(SHARED, 1), 1)
        updater.update(rollout)
        digests.add(weights_sha256(updater.weights()))
    assert len(digests) == 1


def test_a_rollout_of_nothing_but_masked_transitions_is_refused() -> None:
    rollout = rollout_of(SHARED, 3)
    rollout.mask[:] = False
    with pytest.raises(InvariantError, match="masked"):
        PPOUpdater(SHARED, PPOConfig(), moved(SHARED, 1), 1).update(rollout)


def test_the_divergence_limit_stops_the_update_before_the_step() -> None:
    rollout = rollout_of(SHARED, 3)
    config = PPOConfig(minibatch_size=16, learning_rate=0.05, epochs=50)
    free = PPOUpdater(SHARED, config, moved(SHARED, 1), 1).update(rollout)
    stopped = PPOUpdater(SHARED, replace(config, target_kl=0.05), moved(SHARED, 1), 1).update(rollout)
    assert (free.epochs, free.minibatches, free.stopped_by_kl) == (50, 200, False)
    assert stopped.stopped_by_kl
    assert stopped.minibatches < 200
    assert stopped.approx_kl > 1.5 * 0.05


def test_the_limit_is_one_and_a_half_times_the_target() -> None:
    config = PPOConfig(minibatch_size=64, epochs=1)
    found = PPOUpdater(SHARED, config, moved(SHARED, 1), 1).update(rollout_of(SHARED, 3)).approx_kl
    for share, stopped in ((1 / 1.49, False), (1 / 1.51, True)):
        limited = PPOUpdater(SHARED, replace(config, target_kl=share * found), moved(SHARED, 1), 1)
        assert limited.update(rollout_of(SHARED, 3)).stopped_by_kl is stopped


def test_a_limit_exceeded_at_once_changes_nothing() -> None:
    updater = PPOUpdater(SHARED, PPOConfig(target_kl=1e-9), moved(SHARED, 1), 1)
    stats = updater.update(rollout_of(SHARED, 3))
    assert stats.stopped_by_kl
    assert stats.minibatches == 0
    assert weights_sha256(updater.weights()) == weights_sha256(moved(SHARED, 1))


def test_the_learning_rate_anneals_with_what_remains() -> None:
    updater = PPOUpdater(SHARED, PPOConfig(learning_rate=0.01), moved(SHARED, 1), 1)
    assert updater.update(rollout_of(SHARED, 1), remaining=0.25).learning_rate == 0.0025
    constant = PPOConfig(learning_rate=0.01, anneal_learning_rate=False)
    updater = PPOUpdater(SHARED, constant, moved(SHARED, 1), 1)
    assert updater.update(rollout_of(SHARED, 1), remaining=0.25).learning_rate == 0.01


def test_churn_is_the_share_of_most_probable_actions_that_an_update_changes() -> None:
    def greedy() -> np.ndarray:
        outputs = updater.network.evaluate(torch.from_numpy(rollout.observations.reshape(-1, 6))).numpy()
        return np.stack([outputs[:5].argmax(axis=0), outputs[5:8].argmax(axis=0)])

    rollout = rollout_of(SHARED, 5)
    updater = PPOUpdater(SHARED, PPOConfig(learning_rate=0.05, target_kl=None), moved(SHARED, 1), 1)
    before = greedy()
    churn = updater.update(rollout).churn
    assert 0.1 < churn == (greedy() != before).any(axis=0).mean() < 1.0
    still = PPOUpdater(SHARED, PPOConfig(learning_rate=1e-9), moved(SHARED, 1), 1)
    assert still.update(rollout).churn == 0.0
    assert np.isnan(
        PPOUpdater(CONTINUOUS, PPOConfig(), moved(CONTINUOUS, 1), 1).update(rollout_of(CONTINUOUS, 1)).churn
    )


@pytest.mark.parametrize("shape", [SHARED, SEPARATE])
def test_dormant_are_units_that_hardly_ever_say_anything(shape: NetworkShape) -> None:
    weights, (tower, _) = moved(shape, 1), shape.towers()[0]
    for part in ("weight", "bias"):
        weights[f"{tower}.0.{part}"][..., :3] *= 1e-3
        weights[f"{tower}.1.{part}"][..., 1] *= 1e-3
    updater = PPOUpdater(shape, PPOConfig(learning_rate=1e-9), weights, 1)
    units = (16 + 8) * len(shape.towers())
    assert updater.update(rollout_of(shape, 5)).dormant == pytest.approx(4 / units)
    silent = PPOUpdater(shape, PPOConfig(learning_rate=1e-9), {k: 0.0 * w for k, w in weights.items()}, 1)
    assert silent.update(rollout_of(shape, 5)).dormant == 1.0


def test_which_units_of_a_users_module_are_dormant_is_not_known() -> None:
    weights = moved(SHARED, 3)
    module = PPOUpdater(SHARED, PPOConfig(), weights, 1, module=_Module(weights))
    stats = module.update(rollout_of(SHARED, 4))
    assert np.isnan(stats.dormant) and stats.churn >= 0.0


def test_explained_variance_of_perfect_useless_and_constant() -> None:
    returns = np.array([1, 2, 3, 4], np.float32)
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(np.zeros(4, np.float32), returns) == 0.0
    assert np.isnan(explained_variance(returns, np.ones(4, np.float32)))


@pytest.mark.parametrize("shape", [SHARED, CONTINUOUS])
def test_resumed_updates_are_the_same_bits(shape: NetworkShape) -> None:
    config = PPOConfig(minibatch_size=16, epochs=2)
    straight = PPOUpdater(shape, config, moved(shape, 1), 1)
    for seed in range(4):
        straight.update(rollout_of(shape, seed))
    first = PPOUpdater(shape, config, moved(shape, 1), 1)
    first.update(rollout_of(shape, 0))
    first.update(rollout_of(shape, 1))
    state = first.state()
    first.update(rollout_of(shape, 9))
    digests = set()
    for left_out in (None, "weights", "adam", "generator"):
        resumed = PPOUpdater(shape, config, moved(shape, 2), 2)
        resumed.load_state({**state, **({left_out: resumed.state()[left_out]} if left_out else {})})
        resumed.update(rollout_of(shape, 2))
        resumed.update(rollout_of(shape, 3))
        digests.add(weights_sha256(resumed.weights()))
        if left_out is None:
            assert digests == {weights_sha256(straight.weights())}
    assert len(digests) == 4


_PRINT_DIGEST = """
import numpy as np
from ztb.trading.policy.weights import NetworkShape, initial_weights, weights_sha256
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.rollout import empty_rollout
from ztb.trading.ppo.mlp import MlpNetwork, _through_tanh, through_tanh
from ztb.trading.ppo.update import PPOUpdater
shape = NetworkShape(33, (5, 3))
rollout = empty_rollout(shape, 32, 8)
generator = np.random.default_rng(0)
for array in (rollout.observations, rollout.rewards, rollout.values):
    array[:] = generator.standard_normal(array.shape)
rollout.logprobs[:] = -2.7
updater = PPOUpdater(shape, PPOConfig(minibatch_size=50), initial_weights(shape, 1), 1)
updater.update(rollout)
print(weights_sha256(updater.weights()))
"""


def test_another_process_learns_the_same_bits() -> None:
    runs = {
        subprocess.run(
            [sys.executable, "-c", _PRINT_DIGEST],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    }
    assert len(runs) == 1
