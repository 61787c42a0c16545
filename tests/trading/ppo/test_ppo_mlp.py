"""The backward pass written by hand, of the network and of the loss, is autograd's and that of finite differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from trading.ppo.test_ppo_update import SHAPES, actions_of, moved
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.losses import ENTROPY, POLICY_LOSS, VALUE_LOSS, loss_of, total_loss
from ztb.trading.ppo.mlp import MlpNetwork, _through_tanh, through_tanh

CONFIGS = [
    PPOConfig(entropy_coef=0.01),
    PPOConfig(clip_value=0.1, entropy_coef=0.1, value_coef=2.0, clip_range=0.05),
    PPOConfig(normalize_advantage=False),
]


@dataclass
class Minibatch:
    """B transitions out of twice as many."""

    observations: np.ndarray
    actions: np.ndarray
    known: np.ndarray
    indices: np.ndarray


def minibatch_of(shape: NetworkShape, seed: int, count: int = 150) -> Minibatch:
    generator = np.random.default_rng(seed)
    known = generator.standard_normal((2 * count, 4)).astype(np.float32)
    known[:, 0] = -1.5 + 0.3 * known[:, 0]
    return Minibatch(
        generator.standard_normal((2 * count, shape.observation_size)).astype(np.float32),
        actions_of(shape, generator, 2 * count),
        known,
        generator.permutation(2 * count)[:count],
    )


def loss_and_gradient(
    shape: NetworkShape, config: PPOConfig, weights: dict[str, np.ndarray], batch: Minibatch
) -> tuple[float, torch.Tensor]:
    """By the code under test."""
    network = MlpNetwork(shape, weights, "cpu")
    outputs = network.forward(torch.from_numpy(batch.observations[batch.indices]))
    gradient, figures, by_log_std = loss_of(shape, config)(
        outputs.numpy(), batch.indices, batch.actions, batch.known, network.log_std().numpy()
    )
    network.backward(torch.from_numpy(gradient), torch.from_numpy(by_log_std))
    return total_loss(*figures[[POLICY_LOSS, VALUE_LOSS, ENTROPY]], config), network.gradients


def loss_by_autograd(
    shape: NetworkShape, config: PPOConfig, weights: dict[str, torch.Tensor], batch: Minibatch
) -> torch.Tensor:
    """The loss, written a second time on torch.distributions, for autograd to differentiate."""
    observations = torch.from_numpy(batch.observations[batch.indices])
    actions = torch.from_numpy(batch.actions[batch.indices])
    old_logprobs, advantages, returns, old_values = torch.from_numpy(batch.known[batch.indices].T)
    parts = []
    for tower, sizes in shape.towers():
        x = observations.to(weights[f"{tower}.0.weight"].dtype)
        for layer in range(len(sizes) - 1):
            x = x @ weights[f"{tower}.{layer}.weight"] + weights[f"{tower}.{layer}.bias"]
            x = torch.tanh(x) if layer < len(sizes) - 2 else x
        parts.append(x)
    outputs = torch.cat(parts, dim=1)
    if shape.continuous:
        normal = torch.distributions.Normal(outputs[:, :-1], weights["log_std"].exp())
        logprob, entropy = normal.log_prob(actions).sum(1), normal.entropy().sum(1)
    else:
        heads = [
            torch.distributions.Categorical(logits=logits)
            for logits in outputs[:, :-1].split(shape.heads, dim=1)
        ]
        logprob = sum(head.log_prob(action) for head, action in zip(heads, actions.t(), strict=True))
        entropy = sum(head.entropy() for head in heads)
    if config.normalize_advantage:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = (logprob - old_logprobs).exp()
    clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
    policy = -torch.min(advantages * ratio, advantages * clipped).mean()
    squared = (outputs[:, -1] - returns) ** 2
    if config.clip_value is not None:
        near = old_values + (outputs[:, -1] - old_values).clamp(-config.clip_value, config.clip_value)
        squared = torch.max(squared, (near - returns) ** 2)
    return policy - config.entropy_coef * entropy.mean() + config.value_coef * squared.mean()


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_are_those_of_autograd(shape: NetworkShape, config: PPOConfig) -> None:
    weights, batch = moved(shape, 1), minibatch_of(shape, 2)
    found, gradients = loss_and_gradient(shape, config, weights, batch)
    tensors = {name: torch.from_numpy(array).requires_grad_() for name, array in weights.items()}
    loss = loss_by_autograd(shape, config, tensors, batch)
    loss.backward()
    expected = torch.cat([tensor.grad.reshape(-1) for tensor in tensors.values() if tensor.grad is not None])
    assert found == pytest.approx(float(loss.detach()), rel=1e-5)
    torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_finite_differences(shape: NetworkShape) -> None:
    config, weights, batch = CONFIGS[1], moved(shape, 5), minibatch_of(shape, 6)
    _, gradients = loss_and_gradient(shape, config, weights, batch)
    direction = np.random.default_rng(0).standard_normal(gradients.shape[0])
    step = 1e-5 * direction / np.linalg.norm(direction)
    losses = []
    for sign in (1, -1):
        start, exact = 0, {}
        for name, array in weights.items():
            part = step[start : start + array.size].reshape(array.shape)
            exact[name] = torch.from_numpy(array.astype(np.float64) + sign * part)
            start += array.size
        losses.append(float(loss_by_autograd(shape, config, exact, batch)))
    slope = (losses[0] - losses[1]) / 2e-5
    found = float(gradients.double() @ torch.from_numpy(step)) / 1e-5
    assert found == pytest.approx(slope, rel=2e-3, abs=1e-4)


def test_the_compiled_way_through_tanh_is_the_one_of_other_devices() -> None:
    activation = torch.rand((150, 9), generator=torch.Generator().manual_seed(0)) * 2 - 1
    compiled, plain = activation.flip(0).clone(), activation.flip(0).clone()
    sums = [torch.zeros(9), torch.zeros(9)]
    through_tanh(compiled.numpy(), activation.numpy(), sums[0].numpy())
    _through_tanh(plain, activation, sums[1])
    torch.testing.assert_close(compiled, plain, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(*sums, rtol=1e-5, atol=1e-5)
