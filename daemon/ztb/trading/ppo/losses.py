"""PPO's loss on a minibatch and its gradient with respect to the network's outputs, written out. No torch.

loss = mean(-min(A r, A clip(r, 1 - c, 1 + c))) - entropy_coef * mean(H) + value_coef * mean((V - R)²),
Schulman et al. 2017, equations 7 and 9; r is the ratio of new to old probability, A the advantage, R the
value's target, H the entropy. One pass over the minibatch, in float64, on rows of outputs (B, A + 1): the policy's,
then the value.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ztb.trading.ppo.config import PPOConfig
from ztb.trading.weights import NetworkShape
from ztb.utils.kernel import kernel

# Columns of `known` (S, 4): what the rollout knows of each transition. RETURN: what its value should have been.
LOGPROB, ADVANTAGE, RETURN, VALUE = range(4)
# The figures of a minibatch, means over it.
POLICY_LOSS, VALUE_LOSS, ENTROPY, APPROX_KL, CLIP_FRACTION = range(5)
# Options as the kernels take them.
_CLIP, _CLIP_VALUE, _ENTROPY_COEF, _VALUE_COEF, _NORMALIZE = range(5)

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def loss_options(config: PPOConfig) -> NDArray[np.float64]:
    """The loss's options for the kernels, (5,)."""
    clip_value = math.inf if config.clip_value is None else config.clip_value
    coefficients = (config.entropy_coef, config.value_coef)
    return np.array([config.clip_range, clip_value, *coefficients, config.normalize_advantage])


def total_loss(policy_loss: float, value_loss: float, entropy: float, config: PPOConfig) -> float:
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
def _value_error(value: float, target: float, old: float, limit: float) -> tuple[float, float]:
    """(squared error, its half gradient by the value); past `limit` from `old` (detail 9) the larger counts."""
    error = value - target
    clipped = old + min(max(value - old, -limit), limit) - target
    if clipped * clipped > error * error:
        return clipped * clipped, clipped if abs(value - old) <= limit else 0.0
    return error * error, error


@kernel
def _transition(
    value: float,
    known: np.ndarray,
    advantage: float,
    logprob: float,
    entropy: float,
    options: np.ndarray,
    figures: np.ndarray,
) -> tuple[float, float]:
    """Add one transition's figures; the gradients of its share of the loss by its log-prob and by its value.

    `known` is its row (4,). The approximate KL divergence is (r - 1) - log r, Schulman 2020, "Approximating KL
    Divergence".
    """
    clip = options[_CLIP]
    log_ratio = logprob - known[LOGPROB]
    ratio = math.exp(log_ratio)
    free = advantage * ratio
    bounded = advantage * min(max(ratio, 1.0 - clip), 1.0 + clip)
    old, target = np.float64(known[VALUE]), np.float64(known[RETURN])
    squared, error = _value_error(value, target, old, options[_CLIP_VALUE])
    figures[POLICY_LOSS] -= min(free, bounded)
    figures[VALUE_LOSS] += squared
    figures[ENTROPY] += entropy
    figures[APPROX_KL] += ratio - 1.0 - log_ratio
    figures[CLIP_FRACTION] += 1.0 if abs(ratio - 1.0) > clip else 0.0
    return -free if free <= bounded else 0.0, 2.0 * options[_VALUE_COEF] * error


@kernel
def _head(
    outputs: np.ndarray, b: int, start: int, stop: int, probabilities: np.ndarray
) -> tuple[float, float]:
    """(log of the normaliser, entropy) of the logits [b, start:stop], and their probabilities in their place."""
    top = np.float64(outputs[b, start])
    for a in range(start + 1, stop):
        top = max(top, np.float64(outputs[b, a]))
    total, weighted = 0.0, 0.0
    for a in range(start, stop):
        logit = np.float64(outputs[b, a]) - top
        mass = math.exp(logit)
        total += mass
        weighted += mass * logit
        probabilities[b, a] = mass
    inverse, spread = 1.0 / total, math.log(total)
    for a in range(start, stop):
        probabilities[b, a] *= inverse
    return top + spread, spread - weighted * inverse


@kernel
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
    """Figures (5,) and gradient (B, A + 1) for discrete heads.

    The minibatch is the transitions `indices` (B,) of `actions` (S, H) and `known` (S, 4). Log-probs and
    entropies of the heads add up; with probabilities p, d logprob / d z = chosen - p, d H / d z = -p (log p + H).
    """
    count, last, share = outputs.shape[0], outputs.shape[1] - 1, 1.0 / outputs.shape[0]
    mean, scale = advantage_scale(known, indices, options[_NORMALIZE])
    norms, entropies = np.empty(heads.shape[0]), np.empty(heads.shape[0])
    by_entropy = -options[_ENTROPY_COEF] * share
    figures[:] = 0.0
    for b in range(count):
        s = indices[b]
        logprob, entropy, start = 0.0, 0.0, 0
        for head in range(heads.shape[0]):
            stop = start + heads[head]
            norms[head], entropies[head] = _head(outputs, b, start, stop, gradient)
            logprob += outputs[b, start + actions[s, head]] - norms[head]
            entropy += entropies[head]
            start = stop
        advantage, value = (known[s, ADVANTAGE] - mean) * scale, np.float64(outputs[b, last])
        by_logprob, by_value = _transition(value, known[s], advantage, logprob, entropy, options, figures)
        by_logprob *= share
        start = 0
        for head in range(heads.shape[0]):
            for a in range(start, start + heads[head]):
                own = by_logprob + by_entropy * (outputs[b, a] - norms[head] + entropies[head])
                gradient[b, a] *= -own
            gradient[b, start + actions[s, head]] += by_logprob
            start += heads[head]
        gradient[b, last] = by_value * share
    figures *= share


@kernel
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
    count, last, share = outputs.shape[0], outputs.shape[1] - 1, 1.0 / outputs.shape[0]
    mean, scale = advantage_scale(known, indices, options[_NORMALIZE])
    deviations = np.empty(last)
    precisions = np.exp(-log_std.astype(np.float64))
    entropy = np.float64(log_std.sum()) + (0.5 + _HALF_LOG_2PI) * last
    figures[:] = 0.0
    log_std_gradient[:] = -options[_ENTROPY_COEF]
    for b in range(count):
        s = indices[b]
        logprob = 0.0
        for a in range(last):
            deviations[a] = (actions[s, a] - outputs[b, a]) * precisions[a]
            logprob -= 0.5 * deviations[a] * deviations[a] + log_std[a] + _HALF_LOG_2PI
        advantage, value = (known[s, ADVANTAGE] - mean) * scale, np.float64(outputs[b, last])
        by_logprob, by_value = _transition(value, known[s], advantage, logprob, entropy, options, figures)
        by_logprob *= share
        for a in range(last):
            gradient[b, a] = by_logprob * deviations[a] * precisions[a]
            log_std_gradient[a] += by_logprob * (deviations[a] * deviations[a] - 1.0)
        gradient[b, last] = by_value * share
    figures *= share


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
        """(gradient (B, A + 1), figures (5,), gradient by `log_std` (A,)); see `categorical_loss`."""
        ...


def loss_of(shape: NetworkShape, config: PPOConfig) -> Loss:
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
            gaussian_loss(outputs, indices, actions, known, log_std, options, gradient, figures, by_log_std)
        else:
            categorical_loss(outputs, indices, actions, known, heads, options, gradient, figures)
        return gradient, figures, by_log_std

    return loss
