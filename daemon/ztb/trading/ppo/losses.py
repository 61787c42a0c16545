"""PPO's loss on a minibatch and its gradient with respect to the network's outputs, written out. No torch.

loss = mean(-min(A r, A clip(r, 1 - c, 1 + c))) - entropy_coef * mean(H) + value_coef * mean((V - R)²),
the clipped surrogate objective of Schulman et al. 2017, equations 7 and 9; r is the ratio of new to old probability,
A the advantage, R the value's target, H the entropy. In float64, on outputs (A + 1, B): a row for each of the
policy's, then one of values.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ztb.trading.policy.categorical import exp, softmax
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.ppo.config import PPOOptions
from ztb.utils.kernel import allocating_kernel, kernel

# Columns of `known` (S, 4), a rollout's figures of each transition. RETURN: the value's target.
LOGPROB, ADVANTAGE, RETURN, VALUE = range(4)
# The figures of a minibatch, means over it.
POLICY_LOSS, VALUE_LOSS, ENTROPY, APPROX_KL, CLIP_FRACTION = range(5)
# Options as the kernels take them.
_CLIP, _CLIP_VALUE, _ENTROPY_COEF, _VALUE_COEF, _NORMALIZE = range(5)

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def loss_options(config: PPOOptions) -> NDArray[np.float64]:
    """The loss's options for the kernels, (5,)."""
    clip_value = math.inf if config.clip_value is None else config.clip_value
    coefficients = (config.entropy_coef, config.value_coef)
    return np.array([config.clip_range, clip_value, *coefficients, config.normalize_advantage])


def total_loss(policy_loss: float, value_loss: float, entropy: float, config: PPOOptions) -> float:
    """The loss itself, from its parts."""
    return policy_loss - config.entropy_coef * entropy + config.value_coef * value_loss


@kernel
def advantage_scale(known: np.ndarray, indices: np.ndarray, normalize: float) -> tuple[float, float]:
    """(mean, 1 / standard deviation) of a minibatch's advantages (detail 7); (0, 1): leave them as they are."""
    count = indices.shape[0]
    if normalize == 0.0 or count < 2:
        return 0.0, 1.0
    total, squares = 0.0, 0.0
    for b in range(count):
        total += known[indices[b], ADVANTAGE]
    mean = total / count
    for b in range(count):
        deviation = known[indices[b], ADVANTAGE] - mean
        squares += deviation * deviation
    return mean, 1.0 / (math.sqrt(squares / (count - 1)) + 1e-8)


@kernel
def _value_loss(value: float, target: float, old: float, limit: float) -> tuple[float, float]:
    """(squared error, its half gradient by the value); past `limit` from `old` (detail 9) the larger counts."""
    error = value - target
    clipped = old + min(max(value - old, -limit), limit) - target
    if clipped * clipped > error * error:
        return clipped * clipped, clipped if abs(value - old) <= limit else 0.0
    return error * error, error


@kernel
def _policy_and_value_loss(
    value: float,
    known: np.ndarray,
    advantage: float,
    log_ratio: float,
    ratio: float,
    options: np.ndarray,
    figures: np.ndarray,
) -> tuple[float, float]:
    """Add one transition's figures; the gradients of its loss by its log-prob and by its value.

    `known` is its row (4,). The approximate KL divergence is (r - 1) - log r, Schulman 2020, "Approximating KL
    Divergence".
    """
    clip = options[_CLIP]
    surrogate = advantage * ratio
    clipped = advantage * min(max(ratio, 1.0 - clip), 1.0 + clip)
    old, target = np.float64(known[VALUE]), np.float64(known[RETURN])
    squared, error = _value_loss(value, target, old, options[_CLIP_VALUE])
    figures[POLICY_LOSS] -= min(surrogate, clipped)
    figures[VALUE_LOSS] += squared
    figures[APPROX_KL] += ratio - 1.0 - log_ratio
    figures[CLIP_FRACTION] += 1.0 if abs(ratio - 1.0) > clip else 0.0
    return -surrogate if surrogate <= clipped else 0.0, 2.0 * options[_VALUE_COEF] * error


@allocating_kernel
def _clipped_surrogate(
    values: np.ndarray,
    indices: np.ndarray,
    known: np.ndarray,
    logprobs: np.ndarray,
    entropies: np.ndarray,
    options: np.ndarray,
    by_values: np.ndarray,
    figures: np.ndarray,
) -> None:
    """Figures (5,) and gradients (B,) by the values, and by the log-probs in their place."""
    count, share = values.shape[0], 1.0 / values.shape[0]
    mean, scale = advantage_scale(known, indices, options[_NORMALIZE])
    ratios = np.empty(count)
    for b in range(count):
        logprobs[b] -= known[indices[b], LOGPROB]
    for b in range(count):
        ratios[b] = exp(logprobs[b])
    figures[:] = 0.0
    figures[ENTROPY] = entropies.sum()
    for b in range(count):
        transition, value = known[indices[b]], np.float64(values[b])
        advantage = (transition[ADVANTAGE] - mean) * scale
        by_logprob, by_value = _policy_and_value_loss(
            value=value,
            known=transition,
            advantage=advantage,
            log_ratio=logprobs[b],
            ratio=ratios[b],
            options=options,
            figures=figures,
        )
        logprobs[b] = by_logprob * share
        by_values[b] = by_value * share
    figures *= share


@allocating_kernel
def categorical_loss(
    outputs: np.ndarray,
    indices: np.ndarray,
    actions: np.ndarray,
    known: np.ndarray,
    heads: np.ndarray,
    options: np.ndarray,
    gradient: np.ndarray,
    figures: np.ndarray,
) -> None:
    """Figures (5,) and gradient (A + 1, B) for discrete heads.

    The minibatch is the transitions `indices` (B,) of `actions` (S, H) and `known` (S, 4). Log-probs and
    entropies of the heads add up; with probabilities p, d logprob / d z = chosen - p, d H / d z = -p (log p + H).
    """
    last, count = outputs.shape[0] - 1, outputs.shape[1]
    norms, entropies = np.empty((heads.shape[0], count)), np.empty((heads.shape[0], count))
    logprobs, entropy, start = np.zeros(count), np.zeros(count), 0
    for head in range(heads.shape[0]):
        stop = start + heads[head]
        softmax(outputs[start:stop], gradient[start:stop], norms[head], entropies[head])
        for b in range(count):
            logprobs[b] += outputs[start + actions[indices[b], head], b] - norms[head, b]
            entropy[b] += entropies[head, b]
        start = stop
    _clipped_surrogate(
        values=outputs[last],
        indices=indices,
        known=known,
        logprobs=logprobs,
        entropies=entropy,
        options=options,
        by_values=gradient[last],
        figures=figures,
    )
    by_entropy, start = -options[_ENTROPY_COEF] / count, 0
    for head in range(heads.shape[0]):
        for a in range(start, start + heads[head]):
            for b in range(count):
                logp = outputs[a, b] - norms[head, b]
                gradient[a, b] *= -(logprobs[b] + by_entropy * (logp + entropies[head, b]))
        for b in range(count):
            gradient[start + actions[indices[b], head], b] += logprobs[b]
        start += heads[head]


@allocating_kernel
def gaussian_loss(
    outputs: np.ndarray,
    indices: np.ndarray,
    actions: np.ndarray,
    known: np.ndarray,
    log_std: np.ndarray,
    options: np.ndarray,
    gradient: np.ndarray,
    figures: np.ndarray,
    log_std_gradient: np.ndarray,
) -> None:
    """The same for Gaussian `actions` (S, A) with means `outputs` and `log_std` (A,), and its gradient (A,).

    With the deviation d = (action - mean) / σ: d logprob / d mean = d / σ, d logprob / d log σ = d² - 1, and
    d H / d log σ = 1.
    """
    last, count = outputs.shape[0] - 1, outputs.shape[1]
    deviations, logprobs = np.empty((last, count)), np.zeros(count)
    precisions = np.exp(-log_std.astype(np.float64))
    for a in range(last):
        for b in range(count):
            deviations[a, b] = (actions[indices[b], a] - outputs[a, b]) * precisions[a]
            logprobs[b] -= 0.5 * deviations[a, b] * deviations[a, b] + log_std[a] + _HALF_LOG_2PI
    entropies = np.full(count, np.float64(log_std.sum()) + (0.5 + _HALF_LOG_2PI) * last)
    _clipped_surrogate(
        values=outputs[last],
        indices=indices,
        known=known,
        logprobs=logprobs,
        entropies=entropies,
        options=options,
        by_values=gradient[last],
        figures=figures,
    )
    log_std_gradient[:] = -options[_ENTROPY_COEF]
    for a in range(last):
        for b in range(count):
            gradient[a, b] = logprobs[b] * deviations[a, b] * precisions[a]
            log_std_gradient[a] += logprobs[b] * (deviations[a, b] * deviations[a, b] - 1.0)


class Loss(Protocol):
    """The loss of one kind of actions on the transitions of one rollout."""

    def __call__(
        self,
        outputs: NDArray[np.float32],
        indices: NDArray[np.int64],
        actions: NDArray[np.int64] | NDArray[np.float32],
        known: NDArray[np.float32],
        log_std: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """(gradient (A + 1, B), figures (5,), gradient by `log_std` (A,)); see `categorical_loss`."""
        ...


def loss_of(shape: NetworkShape, config: PPOOptions) -> Loss:
    """The loss for a network of `shape`."""
    heads, options = np.array(shape.heads, np.int64), loss_options(config)

    def loss(
        outputs: NDArray[np.float32],
        indices: NDArray[np.int64],
        actions: NDArray[np.int64] | NDArray[np.float32],
        known: NDArray[np.float32],
        log_std: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        gradient, figures, by_log_std = np.empty_like(outputs), np.empty(5), np.empty(log_std.shape[0])
        if shape.continuous:
            gaussian_loss(
                outputs=outputs,
                indices=indices,
                actions=actions,
                known=known,
                log_std=log_std,
                options=options,
                gradient=gradient,
                figures=figures,
                log_std_gradient=by_log_std,
            )
        else:
            categorical_loss(outputs, indices, actions, known, heads, options, gradient, figures)
        return gradient, figures, by_log_std

    return loss
