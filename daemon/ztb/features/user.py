"""A user's own features: kernels on their own state, the ticks and the market view, run by a second kernel.

Also here: calling a user's kernel through its address.

So the loop around users' kernels is compiled once, whatever they are, and kept on disk. They themselves are
compiled in every process, a fifth of a second each: numba's cache would not notice an edit in another file
that they call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import NumbaError
from numba.extending import intrinsic
from numpy.typing import NDArray

from ztb.errors import ConfigError
from ztb.market.instrument import Instrument
from ztb.market.ticks import DEPTH, LAST, TICK, Ticks, empty_ticks
from ztb.market.view import VIEW, apply_tick, new_view
from ztb.utils.kernel import COMPILED, entry, kernel

Update = Callable[[NDArray[np.float64], Ticks, int, NDArray[np.void]], float]
"""(state, ticks, i, view) -> value: see ztb.features.user."""


def _records(dtype: np.dtype[np.void]) -> Any:
    return types.Array(numba.from_dtype(dtype), 1, "C")


_SIGNATURE = types.float64(types.Array(types.float64, 1, "C"), _records(TICK), types.int64, _records(VIEW))
_plain: list[Update] = []
"""Without the compiler, an address is a place in this list."""


def _call_plain(
    address: int, state: NDArray[np.float64], ticks: Ticks, i: int, view: NDArray[np.void]
) -> float:
    return _plain[address](state, ticks, i, view)


def _call_compiled(typing: Any, address: Any, state: Any, ticks: Any, i: Any, view: Any) -> Any:
    """Numba's intrinsic: the types of a call, and its code."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        of = context.get_value_type
        function = ir.FunctionType(of(types.float64), [of(kind) for kind in signature.args[1:]])
        return builder.call(builder.inttoptr(values[0], function.as_pointer()), values[1:])

    return types.float64(types.int64, *_SIGNATURE.args), code


call: Callable[..., float] = intrinsic(_call_compiled) if COMPILED else _call_plain
"""Within a kernel: call(address, state, ticks, i, view)."""


def compiled(name: str, update: Update) -> Any:
    """The function behind a C calling convention; ConfigError if it is no kernel. Keep it alive."""
    function = getattr(update, "py_func", update)
    if not COMPILED:
        return function
    try:
        return numba.cfunc(_SIGNATURE, error_model="numpy", nogil=True)(function)
    except NumbaError as error:
        reason = str(error).strip().splitlines()[0]
        place = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
        raise ConfigError(
            f"features: {name!r} in {place} does not compile: {reason}. "
            "Write it with numbers, arrays and other kernels alone"
        ) from error


def address(code: Any) -> int:
    """The place in which `call` finds what `compiled` gave."""
    if COMPILED:
        return int(code.address)
    _plain.append(code)
    return len(_plain) - 1


FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
View = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class UserFeature:
    """One column of a user's own.

    `update(state, ticks, i, view)` is called for every row in order (a DEPTH message only at its LAST row)
    and returns the value after row `i`: `state` is (state_size,) float64, its own and 0 at first; `ticks`
    the block, of which only row `i` may be read, since blocks are cut anywhere; `view` (1,) of dtype VIEW,
    the market after row `i`. It is written as a kernel (`ztb.utils.kernel`), raises nothing, and gives 0
    until `warm_up` buckets are complete. A value that is not finite counts as 0.
    """

    name: str
    formula: str
    unit: str
    warm_up: int
    state_size: int
    update: Update


@kernel
def _advance(
    addresses: IntArray,
    ends: IntArray,
    states: FloatArray,
    view: View,
    ticks: Ticks,
    i0: int,
    i1: int,
    values: FloatArray,
) -> None:
    """Take rows [i0, i1) into the states; feature k owns states[ends[k]:ends[k + 1]]."""
    for i in range(i0, i1):
        apply_tick(view[0], ticks[i])
        if ticks[i]["kind"] != DEPTH or ticks[i]["flags"] & LAST:
            for k in range(len(addresses)):
                value = call(addresses[k], states[ends[k] : ends[k + 1]], ticks, i, view)
                values[k] = value if math.isfinite(value) else 0.0


@kernel
def _advance_at(
    addresses: IntArray,
    ends: IntArray,
    states: FloatArray,
    view: View,
    ticks: Ticks,
    rows: IntArray,
    values: FloatArray,
    history: FloatArray,
) -> None:
    """Take all rows into the states; the last columns of `history` are the values after each of `rows`."""
    first = history.shape[1] - len(values)
    done = 0
    for row in range(len(rows)):
        _advance(
            addresses=addresses,
            ends=ends,
            states=states,
            view=view,
            ticks=ticks,
            i0=done,
            i1=rows[row] + 1,
            values=values,
        )
        done = max(done, rows[row] + 1)
        for k in range(len(values)):
            history[row, first + k] = values[k]
    _advance(
        addresses=addresses,
        ends=ends,
        states=states,
        view=view,
        ticks=ticks,
        i0=done,
        i1=len(ticks),
        values=values,
    )


class UserKernel:
    """The second kernel: a user's features over one market view of their own."""

    def __init__(self, features: Sequence[UserFeature], instrument: Instrument) -> None:
        self._code = [compiled(feature.name, feature.update) for feature in features]
        addresses = np.array([address(code) for code in self._code], np.int64)
        ends = np.cumsum([0, *(feature.state_size for feature in features)])
        self._states = np.zeros(ends[-1])
        self._values = np.zeros(len(features))
        self._view = new_view(instrument)
        self._owned = (addresses, ends, self._states, self._view)
        self._entry = entry(_advance, *self._owned, empty_ticks(0), 0, 0, self._values)

    def advance(self, ticks: Ticks, i0: int, i1: int, values: FloatArray) -> None:
        """Take rows [i0, i1); `values`: (features,) after the last of them."""
        self._entry(*self._owned, ticks, i0, i1, self._values)
        values[:] = self._values

    def advance_at(self, ticks: Ticks, rows: IntArray, history: FloatArray) -> None:
        """Take all rows; the last columns of `history` (len(rows), size) are the values after each of `rows`."""
        _advance_at(*self._owned, ticks, rows, self._values, history)

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of everything that the next values depend on."""
        owned = {"user_states": self._states, "user_values": self._values, "user_view": self._view}
        return {name: array.copy() for name, array in owned.items()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `state()` gave, bit for bit."""
        self._states[:] = state["user_states"]
        self._values[:] = state["user_values"]
        self._view[:] = state["user_view"]
