"""Kernels that call others by address: what is called is compiled once, not again with whoever calls it.

A kernel that is called by its name is compiled into its caller, with all that it calls. A loop around large kernels
that calls them by address costs next to nothing to compile. By address kernels call Python too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ztb.utils.kernel import COMPILED

_plain: list[Callable[..., Any]] = []
"""Without the compiler, an address is a place in this list."""


def address_of(kernel: Callable[..., Any], *arguments: object) -> int:
    """The place of the code of `kernel` for arguments of these very types, which is compiled if need be, not called.

    TypeError: it returns what `call` and `ask` do not know.
    """
    if not COMPILED:
        _plain.append(kernel)
        return len(_plain) - 1
    compiled: Any = kernel
    signature = tuple(map(numba.typeof, arguments))
    if signature not in compiled.overloads:
        compiled.compile(signature)
    overload = compiled.overloads[signature]
    returns = overload.signature.return_type
    if returns not in (types.int64, types.none):
        raise TypeError(f"it returns {returns}, and must return a whole number, or nothing")
    return int(overload.library.get_pointer_to_function(overload.fndesc.llvm_func_name))


_IN_C: dict[type, Any] = {int: ctypes.c_int64, float: ctypes.c_double}


class PythonCallee:
    """`function` as kernels call it: with numbers of `kinds`, answered by a whole number that is not negative.

    `address` is good for as long as this object is there. Kernels know nothing of exceptions: they get `RAISED`, and
    whoever called them has to `complain`.
    """

    RAISED = -1

    def __init__(self, function: Callable[..., int], kinds: tuple[type, ...]) -> None:
        self._function = function
        self._raised: BaseException | None = None
        if COMPILED:
            self._code = ctypes.CFUNCTYPE(ctypes.c_int64, *(_IN_C[kind] for kind in kinds))(self._call)
            self.address = ctypes.cast(self._code, ctypes.c_void_p).value or 0
        else:
            _plain.append(self._call)
            self.address = len(_plain) - 1

    def _call(self, *numbers: float) -> int:
        try:
            return self._function(*numbers)
        except BaseException as error:  # noqa: BLE001 (it is raised again where that is possible)
            self._raised = error
            return self.RAISED

    def complain(self) -> None:
        """Raise what it raised, if it did."""
        if self._raised is not None:
            raise self._raised


def _calling(returns: Any, arguments: Any) -> Any:
    """Numba's intrinsic: the types of a call of compiled code at the address given first, and the code of the call."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, packed = values
        kinds = tuple(signature.args[1])
        given = [builder.extract_value(packed, place) for place in range(len(kinds))]
        convention = context.call_conv
        pointer = convention.get_function_type(signature.return_type, kinds).as_pointer()
        function = builder.inttoptr(address, pointer)
        _, result = convention.call_function(builder, function, signature.return_type, kinds, given)
        return result

    return returns(types.int64, arguments), code


def _call_compiled(typing: Any, address: Any, arguments: Any) -> Any:
    return _calling(types.none, arguments)


def _ask_compiled(typing: Any, address: Any, arguments: Any) -> Any:
    return _calling(types.int64, arguments)


def _ask_python_compiled(typing: Any, address: Any, arguments: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = [context.get_value_type(kind) for kind in signature.args[1]]
        given = [builder.extract_value(values[1], place) for place in range(len(kinds))]
        pointer = ir.FunctionType(ir.IntType(64), kinds).as_pointer()
        return builder.call(builder.inttoptr(values[0], pointer), given)

    return types.int64(types.int64, arguments), code


def _call_plain(address: int, arguments: tuple[Any, ...]) -> Any:
    return _plain[address](*arguments)


call = cast("Callable[[int, tuple[Any, ...]], None]", intrinsic(_call_compiled) if COMPILED else _call_plain)
"""Within a kernel: call(address, arguments) of one that returns nothing."""

ask = cast("Callable[[int, tuple[Any, ...]], int]", intrinsic(_ask_compiled) if COMPILED else _call_plain)
"""Within a kernel: ask(address, arguments) of one that returns a whole number."""

ask_python = cast(
    "Callable[[int, tuple[Any, ...]], int]", intrinsic(_ask_python_compiled) if COMPILED else _call_plain
)
"""Within a kernel: ask_python(address, arguments) of a `PythonCallee`."""
