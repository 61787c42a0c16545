"""The one place that compiles kernels.

A kernel is a plain function on numpy arrays and records. It runs compiled (numba) and, with
`NUMBA_DISABLE_JIT=1`, as the plain Python it is written in; both give the same bits, save for
transcendental functions of another libm.

Our own do not count who refers to an array, which is atomic arithmetic for each array of each call and took a third of
their time: they make none and give none back. Those that must are `allocating_kernel`s; others' kernels may.

Compiled code is cached under a digest of every kernel source, because numba's own cache does not notice an
edited callee in another file.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from ztb.errors import ResourceError

_F = TypeVar("_F", bound=Callable[..., object])
_PACKAGE = Path(__file__).resolve().parent.parent


def kernel_digest(package: Path = _PACKAGE) -> str:
    """Digest of the sources that define kernels, by path and content; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        source = path.read_bytes()
        if b"kernel" in source:
            digest.update(str(path.relative_to(package)).encode() + b"\0" + source + b"\0")
    return digest.hexdigest()[:16]


def _cache_home() -> Path:
    explicit = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    return Path(explicit.split(":")[0]) if explicit else Path.home() / ".cache"


if "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = str(_cache_home() / "ztb" / "kernels" / kernel_digest())

import numba  # noqa: E402 (numba reads its cache folder when it is imported)
import numpy as np  # noqa: E402

from ztb.utils.linking import link_once  # noqa: E402

_settings: Any = sys.modules["numba.core.config"]
# Whoever imported numba before us left it to cache next to the sources.
_settings.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]

COMPILED: bool = not _settings.DISABLE_JIT

if COMPILED:
    link_once()
else:
    # As compiled code does: x / 0 gives inf or nan and integers wrap, without a warning for each.
    np.seterr(divide="ignore", invalid="ignore", over="ignore")


def anything_compiled() -> bool:
    """True if there is compiled code on this machine already: not where it is new, or just updated."""
    return any(Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.nbc"))


_OPTIONS: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "nogil": True,
    "no_cfunc_wrapper": True,  # nobody calls kernels from C, and each wrapper takes time to compile
    "_nrt": True,
}
_UNCOUNTED: dict[str, Any] = {"_nrt": False}
_CALLED: dict[str, Any] = {"cache": False, "no_cpython_wrapper": True}
"""Of a kernel as other kernels call it: it lives in their code alone."""


_turns: list[Callable[[str], AbstractContextManager[None]]] = []


def take_turns(turn: Callable[[str], AbstractContextManager[None]]) -> None:
    """Have each kernel that Python calls compiled, or loaded, within `turn(its name)` from now on."""
    _turns.append(turn)


@contextmanager
def _turn(name: str) -> Generator[None]:
    """Take one of `take_turns`, and search for no garbage: there is little, among millions of objects."""
    with ExitStack() as stack:
        for turn in _turns:
            stack.enter_context(turn(name))
        if gc.isenabled():
            gc.disable()
            stack.callback(gc.enable)
        yield


def _in_turn(compiled: Any) -> Callable[..., Any]:
    """As `compiled` compiles, or loads, its code for given types."""
    compile_one: Callable[..., Any] = compiled.compile
    name = f"{compiled.py_func.__module__}.{compiled.py_func.__qualname__}"

    def compile_in_turn(types: Any) -> Any:
        with _turn(name):
            return compile_one(types)

    return compile_in_turn


def _save_or_say(cache: Any) -> Callable[[Any, Any], None]:
    """As `cache` saves compiled code. ResourceError: there is no room for it, or no right to write."""
    save: Callable[[Any, Any], None] = cache.save_overload

    def save_or_say(signature: Any, code: Any) -> None:
        try:
            save(signature, code)
        except OSError as error:
            raise ResourceError(
                f"{os.environ['NUMBA_CACHE_DIR']}: compiled code cannot be kept there ({error.strerror}); free space, "
                "or name another folder in NUMBA_CACHE_DIR"
            ) from error

    return save_or_say


def _take_constants_as_values(compiled: Any) -> None:
    """Compile one version for all constants: numba makes another for each that a kernel is called with."""
    resolve: Any = compiled.get_call_template
    unliteral: Any = numba.types.unliteral

    def resolve_values(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        values = tuple(map(unliteral, arguments))
        return resolve(values, {name: unliteral(value) for name, value in named.items()})

    compiled.get_call_template = resolve_values


def inlined_kernel(function: _F) -> _F:
    """As `kernel`, but put in place of its call: it may return records, which compiled code cannot pass back."""
    return cast(_F, numba.njit(inline="always")(function))


def uncached_kernel(function: _F) -> _F:
    """As `kernel`, but not kept on disk: what it calls may change without a trace."""
    return _kernel(function, _OPTIONS | {"cache": False})


def allocating_kernel(function: _F) -> _F:
    """As `kernel`, of ours: it may make arrays, and give them back."""
    return _kernel(function, _OPTIONS)


def kernel(function: _F) -> _F:
    """Compile `function` on first call, cached on disk, without the GIL; x / 0 gives inf or nan as numpy."""
    return _kernel(function, _OPTIONS | _UNCOUNTED if _is_ours(function.__module__) else _OPTIONS)


def _is_ours(module: str) -> bool:
    """True if it is of the package, and no strategy, which may be anybody's."""
    package, *rooms = module.split(".")
    return package == __name__.partition(".")[0] and rooms[:1] != ["strategies"]


def _kernel(function: _F, options: dict[str, Any]) -> _F:
    njit: Any = numba.njit
    compiled: Any = njit(**options)(function)
    if COMPILED:
        compiled.compile = _in_turn(compiled)
        compiled._cache.save_overload = _save_or_say(compiled._cache)
        called: Any = njit(**options | _CALLED)(function)
        _take_constants_as_values(called)
        compiled.get_call_template, compiled.get_overload = called.get_call_template, called.get_overload
    return cast(_F, compiled)


def entry(compiled: _F, *arguments: object) -> _F:
    """Call `compiled` once, and return its code for arguments of these very types, which nobody checks again.

    The dispatcher's look at the types costs more than a small kernel: use it where the caller itself made
    every argument. Without the compiler it is the function as it stands.
    """
    compiled(*arguments)
    if not COMPILED:
        return compiled
    overloads: Any = getattr(compiled, "overloads")  # noqa: B009 (a dispatcher, typed as what it compiles)
    return cast(_F, overloads[tuple(map(numba.typeof, arguments))].entry_point)
