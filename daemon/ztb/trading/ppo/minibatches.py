"""Which transitions go together into a gradient step: a random partition of a rollout's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import kernel


@kernel
def _partition(indices: np.ndarray, parts: int, draws: np.ndarray, grouped: np.ndarray) -> None:
    """`indices` (S,) into `grouped` (S,), part after part, each in order; `draws` (S,) are uniform in [0, 1).

    Labels of parts are shuffled (Durstenfeld 1964, algorithm 235), and the indices counted out by them.
    """
    count = indices.shape[0]
    labels, places = np.arange(count) % parts, np.zeros(parts, np.int64)
    for k in range(count - 1, 0, -1):
        other = int(draws[k] * (k + 1))
        labels[k], labels[other] = labels[other], labels[k]
    for part in range(1, parts):
        places[part] = places[part - 1] + count // parts + (1 if part <= count % parts else 0)
    for k in range(count):
        part = labels[k]
        grouped[places[part]] = indices[k]
        places[part] += 1


def minibatches(
    indices: NDArray[np.int64], size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """A random partition of `indices` into as few equal parts as have at most `size`, give or take one.

    Each part is in order, which memory is read fastest in.
    """
    parts = -(-indices.size // size)
    grouped = np.empty_like(indices)
    _partition(indices, parts, generator.random(indices.size), grouped)
    return np.array_split(grouped, parts)
