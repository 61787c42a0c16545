"""Counter-based random numbers: a draw is a function of (seed, stream, counter) and of nothing else.

SplitMix64's finaliser (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators") over the
three words. Nothing depends on the order in which draws are asked for, which makes runs replayable and pairs
of policies comparable on common random numbers.
"""

from __future__ import annotations

import numpy as np

from ztb.utils.kernel import kernel

STREAM_ACTION = 1
STREAM_TIMING = 2
STREAM_LATENCY = 3
STREAM_FAULT = 5
STREAM_EPISODE = 6

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


@kernel
def _mix(word: np.uint64) -> np.uint64:
    word = (word ^ (word >> _S30)) * _MIX1
    word = (word ^ (word >> _S27)) * _MIX2
    return word ^ (word >> _S31)


@kernel
def uniform(seed: int, stream: int, counter: int) -> float:
    """A float64 in [0, 1) with 53 random bits."""
    word = _mix(np.uint64(seed) + _GAMMA)
    word = _mix(word + np.uint64(stream) * _GAMMA)
    word = _mix(word + np.uint64(counter) * _GAMMA)
    return float(word >> _S11) * _UNIT
