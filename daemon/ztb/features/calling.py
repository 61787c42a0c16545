"""Calling a user's kernel through its address.

So the loop around users' kernels is compiled once, whatever they are, and kept on disk. They themselves are
compiled in every process, a fifth of a second each: numba's cache would not notice an edit in another file
that they call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import NumbaError
from numba.extending import intrinsic
from numpy.typing import NDArray

from ztb.errors import ConfigError
from ztb.market.ticks import TICK, Ticks
from ztb.market.view import VIEW
from ztb.utils.kernel import COMPILED

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
    """Where `call` finds what `compiled` gave."""
    if COMPILED:
        return int(code.address)
    _plain.append(code)
    return len(_plain) - 1
