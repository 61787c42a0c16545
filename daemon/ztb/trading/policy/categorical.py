"""The distribution of discrete actions: one categorical distribution a head, of independent heads.

With logits z of a head, p = softmax(z) and log p = z - max(z) - log(sum(exp(z - max(z)))). Actions are drawn by
inverting the cumulative distribution at given uniform numbers, so that pairs of policies can be compared on common
random numbers. Log-probs, entropies and divergences of the heads add up. All in float64, whatever the logits are.

Three forms, since each has its bits to keep: one observation at a time, as decisions are journaled (`sample`);
a minibatch, action by action, as the loss needs it, with an `exp` that vectorises (`softmax`); and arrays of
observations (`log_softmax`). No torch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import allocating_kernel, kernel


@kernel
def sample(
    logits: np.ndarray, heads: np.ndarray, uniforms: np.ndarray, deterministic: int, actions: np.ndarray
) -> float:
    """One action a head into `actions` (H,) and their joint log-prob, in float64, from `logits` (A,).

    Each head's cumulative distribution is inverted at `uniforms` (H,) in [0, 1); `deterministic` 1 takes the
    most probable (the first of equals).
    """
    logprob, start = 0.0, 0
    for head in range(heads.shape[0]):
        size = heads[head]
        best = 0
        for a in range(1, size):
            if logits[start + a] > logits[start + best]:
                best = a
        top = np.float64(logits[start + best])
        total = 0.0
        for a in range(size):
            total += math.exp(np.float64(logits[start + a]) - top)
        chosen = best
        if deterministic == 0:
            chosen = _invert(logits=logits, start=start, size=size, top=top, level=uniforms[head] * total)
        actions[head] = chosen
        logprob += np.float64(logits[start + chosen]) - top - math.log(total)
        start += size
    return logprob


@kernel
def _invert(logits: np.ndarray, start: int, size: int, top: float, level: float) -> int:
    """The first action whose cumulative unnormalised probability exceeds `level`."""
    cumulative = 0.0
    for a in range(size - 1):
        cumulative += math.exp(np.float64(logits[start + a]) - top)
        if level < cumulative:
            return a
    return size - 1


@kernel
def sample_batch(
    outputs: np.ndarray,
    heads: np.ndarray,
    uniforms: np.ndarray,
    deterministic: int,
    actions: np.ndarray,
    logprobs: np.ndarray,
) -> None:
    """`sample` for each row of `outputs` (N, A + 1): into `actions` (N, H) and `logprobs` (N,)."""
    for n in range(outputs.shape[0]):
        logprobs[n] = sample(
            logits=outputs[n],
            heads=heads,
            uniforms=uniforms[n],
            deterministic=deterministic,
            actions=actions[n],
        )


_LIMIT = 700.0
# log 2 in two parts, of which the first has zeros enough that its product with a small integer is exact.
_LOG_2_HIGH, _LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_PER_LOG_2 = 1.0 / math.log(2.0)
_TAYLOR = tuple(1.0 / math.factorial(k) for k in range(13))
# A number so large that adding it rounds to an integer, which the lowest bits of the sum then hold.
_ROUND = 1.5 * 2.0**52
_BIAS, _MANTISSA_BITS = 1023, 52


@kernel
def exp(x: float) -> float:
    """e^x, within 1e-15 of itself, for `x` cut off at ±700; nan stays nan.

    2^n e^r with the integer n nearest to x / log 2, e^r by its Taylor series, and n written into the exponent.
    """
    if x > _LIMIT:
        x = _LIMIT
    if x < -_LIMIT:
        x = -_LIMIT
    rounded = np.float64(x * _PER_LOG_2 + _ROUND)
    n = rounded - _ROUND
    r = (x - n * _LOG_2_HIGH) - n * _LOG_2_LOW
    high = ((_TAYLOR[12] * r + _TAYLOR[11]) * r + _TAYLOR[10]) * r + _TAYLOR[9]
    middle = (((high * r + _TAYLOR[8]) * r + _TAYLOR[7]) * r + _TAYLOR[6]) * r + _TAYLOR[5]
    series = ((((middle * r + _TAYLOR[4]) * r + _TAYLOR[3]) * r + _TAYLOR[2]) * r + 1.0) * r + 1.0
    power = np.int64((rounded.view(np.int64) + _BIAS) << _MANTISSA_BITS)
    return series * power.view(np.float64)


@allocating_kernel
def softmax(logits: np.ndarray, probabilities: np.ndarray, norms: np.ndarray, entropies: np.ndarray) -> None:
    """Of one head's `logits` (A, B): `probabilities` (A, B), the logs of their normalisers and their entropies (B,)."""
    actions, count = logits.shape
    totals = np.zeros(count)
    entropies[:] = 0.0
    norms[:] = logits[0]
    for a in range(1, actions):
        for b in range(count):
            norms[b] = max(norms[b], logits[a, b])
    for a in range(actions):
        for b in range(count):
            logit = logits[a, b] - norms[b]
            mass = exp(logit)
            totals[b] += mass
            entropies[b] -= mass * logit
            probabilities[a, b] = mass
    for b in range(count):
        spread = math.log(totals[b])
        totals[b] = 1.0 / totals[b]
        norms[b] += spread
        entropies[b] = spread + entropies[b] * totals[b]
    for a in range(actions):
        for b in range(count):
            probabilities[a, b] *= totals[b]


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-probs (N, A) of one head's `logits` (N, A)."""
    shifted: NDArray[np.float64] = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return shifted


def split_heads(logits: NDArray[np.float32], heads: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """The logits (N, size) of each head, of all heads' (N, A); views."""
    return np.split(logits, np.cumsum(heads)[:-1], axis=1)


def probabilities(logits: NDArray[np.float32], heads: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """The probability of each action of each head, from one observation's `logits` (A,)."""
    return [np.exp(log_softmax(head)[0]) for head in split_heads(logits[None], heads)]


class Divergence(NamedTuple):
    """Means over observations, in nats, of all heads: KL(old ‖ new), and the entropy of the new policy."""

    kl: float
    entropy: float


def divergence(old: NDArray[np.float32], new: NDArray[np.float32], heads: tuple[int, ...]) -> Divergence:
    """Of two policies from their logits (N, A) for the same observations; not finite where they are not."""
    kl = entropy = 0.0
    for before, after in zip(split_heads(old, heads), split_heads(new, heads), strict=True):
        log_old, log_new = log_softmax(before), log_softmax(after)
        kl += float(np.mean(np.sum(np.exp(log_old) * (log_old - log_new), axis=1)))
        entropy -= float(np.mean(np.sum(np.exp(log_new) * log_new, axis=1)))
    return Divergence(kl, entropy)


def greatest_entropy(heads: tuple[int, ...]) -> float:
    """Of actions drawn uniformly, nats."""
    return float(np.sum(np.log(heads)))
