"""The one kernel of all shipped features: rows in, values out, live and over a history alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.features.emit import emit
from ztb.features.state import State
from ztb.features.update import update
from ztb.market.ticks import Ticks
from ztb.utils.kernel import kernel

FloatArray = NDArray[np.float64]


@kernel
def advance(state: State, ticks: Ticks, i0: int, i1: int, values: FloatArray) -> None:
    """Take rows [i0, i1) into the state; `values`: (size,), what the features are after the last of them."""
    record = state[0]
    for i in range(i0, min(i1, len(ticks))):
        update(record, ticks[i])
    emit(record, values)


@kernel
def advance_at(state: State, ticks: Ticks, rows: NDArray[np.int64], values: FloatArray) -> None:
    """Take all rows into the state; `values`: (len(rows), size or more), the features after each."""
    record = state[0]
    done = 0
    for k in range(len(rows)):
        for i in range(done, rows[k] + 1):
            update(record, ticks[i])
        emit(record, values[k])
        done = max(done, rows[k] + 1)
    for i in range(done, len(ticks)):
        update(record, ticks[i])
