"""PPO's loss on a minibatch and its gradient with respect to the network's outputs, written out.

loss = mean(-min(A r, A clip(r, 1 - c, 1 + c))) - entropy_coef * mean(H) + value_coef * mean((V - R)²),
Schulman et al. 2017, equations 7 and 9; r is the ratio of new to old probability, A the advantage, R the
value's target, H the entropy. Every function is plain tensor arithmetic and runs on any device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ztb.trading.ppo.config import PPOConfig


class Distribution(Protocol):
    """What actions are drawn from, given the network's policy outputs (A, B)."""

    def evaluate(self, outputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """(log-prob, entropy), each (B,), of `actions` (H, B)."""
        ...

    def gradient(self, by_logprob: Tensor, by_entropy: float, out: Tensor) -> None:
        """Write the loss's gradient by the last outputs into `out` (A, B).

        `by_logprob` (B,) and `by_entropy` are its gradients by each log-prob and by each entropy.
        """
        ...


class Categorical:
    """Independent discrete heads: log-probs and entropies add up."""

    def __init__(self, heads: tuple[int, ...], device: str) -> None:
        stops = [sum(heads[: head + 1]) for head in range(len(heads))]
        self._rows = [slice(stop - size, stop) for size, stop in zip(heads, stops, strict=True)]
        self._labels = [torch.arange(size, device=device)[:, None] for size in heads]
        self._last: list[tuple[Tensor, Tensor, Tensor]] = []

    def evaluate(self, outputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """See Distribution; `actions` are int64."""
        self._last = []
        logprob = entropy = torch.zeros((), device=outputs.device)
        for rows, labels, action in zip(self._rows, self._labels, actions, strict=True):
            logs = torch.log_softmax(outputs[rows], 0)
            chosen = (labels == action).to(logs.dtype)
            own_entropy = -(logs.exp() * logs).sum(0)
            logprob = logprob + (logs * chosen).sum(0)
            entropy = entropy + own_entropy
            self._last.append((logs, chosen, own_entropy))
        return logprob, entropy

    def gradient(self, by_logprob: Tensor, by_entropy: float, out: Tensor) -> None:
        """d logprob / d z = chosen - p and d H / d z = -p (log p + H) for the logits z."""
        for rows, (logs, chosen, entropy) in zip(self._rows, self._last, strict=True):
            by_probability = by_logprob + by_entropy * (logs + entropy)
            torch.sub(chosen * by_logprob, logs.exp() * by_probability, out=out[rows])


class Gaussian:
    """Independent Gaussian actions; the outputs are means, the deviations are parameters of their own."""

    def __init__(self, log_std: Tensor, log_std_gradient: Tensor) -> None:
        self._log_std = log_std
        self._log_std_gradient = log_std_gradient
        self._deviations = torch.zeros(())

    def evaluate(self, outputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """See Distribution; `actions` are float32."""
        self._deviations = (actions - outputs) * torch.exp(-self._log_std)[:, None]
        scale = self._log_std.sum() + 0.5 * math.log(2 * math.pi) * outputs.shape[0]
        logprob = -0.5 * (self._deviations * self._deviations).sum(0) - scale
        return logprob, (scale + 0.5 * outputs.shape[0]).expand_as(logprob)

    def gradient(self, by_logprob: Tensor, by_entropy: float, out: Tensor) -> None:
        """With deviations d: d logprob / d mean = d / σ, / d log σ = d² - 1; d H / d log σ = 1."""
        weighted = self._deviations * by_logprob
        torch.mul(weighted, torch.exp(-self._log_std)[:, None], out=out)
        by_each = weighted * self._deviations - by_logprob + by_entropy
        torch.sum(by_each, 1, out=self._log_std_gradient)


@dataclass(frozen=True, slots=True)
class Minibatch:
    """B transitions; everything but the observations has a column for each."""

    observations: Tensor
    """(B, D)"""
    actions: Tensor
    """(H, B)"""
    logprobs: Tensor
    advantages: Tensor
    returns: Tensor
    """(B,) what the value should have been: advantage + value."""
    values: Tensor


# Rows of the figures a minibatch gives.
POLICY_LOSS, VALUE_LOSS, ENTROPY, APPROX_KL, CLIP_FRACTION = range(5)


def normalized(advantages: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 (detail 7); one alone stays as it is."""
    if advantages.shape[0] < 2:
        return advantages
    variance, mean = torch.var_mean(advantages)
    return (advantages - mean) / (variance.sqrt() + 1e-8)


def value_loss(values: Tensor, batch: Minibatch, clip_value: float | None) -> tuple[Tensor, Tensor]:
    """(squared error, half its gradient by the value), each (B,); where clipped, the larger counts."""
    error = values - batch.returns
    if clip_value is None:
        return error * error, error
    moved = values - batch.values
    clipped = batch.values + moved.clamp(-clip_value, clip_value) - batch.returns
    inside = moved.abs() <= clip_value
    larger = clipped * clipped > error * error
    return torch.maximum(error * error, clipped * clipped), torch.where(larger, clipped * inside, error)


def ppo_loss(
    config: PPOConfig, distribution: Distribution, outputs: Tensor, batch: Minibatch, gradient: Tensor
) -> Tensor:
    """Figures (5,) of a minibatch, means over it; the loss's gradient by the outputs goes into `gradient`.

    `outputs` and `gradient` are (A + 1, B). The approximate KL divergence is mean((r - 1) - log r), Schulman
    2020, "Approximating KL Divergence".
    """
    count = outputs.shape[1]
    advantages = normalized(batch.advantages) if config.normalize_advantage else batch.advantages
    logprobs, entropy = distribution.evaluate(outputs[:-1], batch.actions)
    log_ratio = logprobs - batch.logprobs
    ratio = log_ratio.exp()
    free = advantages * ratio
    bounded = advantages * ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
    by_logprob = free * (free <= bounded) * (-1 / count)
    distribution.gradient(by_logprob, -config.entropy_coef / count, gradient[:-1])
    squared, error = value_loss(outputs[-1], batch, config.clip_value)
    torch.mul(error, 2 * config.value_coef / count, out=gradient[-1])
    drift = ratio - 1
    clipped = (drift.abs() > config.clip_range).to(ratio.dtype)
    figures = (-torch.minimum(free, bounded), squared, entropy, drift - log_ratio, clipped)
    return torch.stack(figures).mean(1)


def total_loss(config: PPOConfig, figures: Tensor) -> Tensor:
    """The loss itself, from a minibatch's figures."""
    return (
        figures[POLICY_LOSS]
        - config.entropy_coef * figures[ENTROPY]
        + config.value_coef * figures[VALUE_LOSS]
    )
