"""Fewer points to draw, without losing an extreme."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def extremes(lines: list[Floats], buckets: int) -> NDArray[np.int64]:
    """Rows to draw, rising: of each of `buckets` equal runs of rows, the lowest and the highest of every line.

    `lines` have shape (n,) each; the first and the last row are always there, nan is never an extreme. All n
    rows where that would not save any.
    """
    n = len(lines[0])
    if n <= 2 * buckets:
        return np.arange(n)
    edges = np.linspace(0, n, buckets + 1).astype(np.int64)
    kept: set[int] = {0, n - 1}
    for line in lines:
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            part = line[start:end]
            if not np.isnan(part).all():
                kept.add(start + int(np.nanargmin(part)))
                kept.add(start + int(np.nanargmax(part)))
    return np.array(sorted(kept), np.int64)
