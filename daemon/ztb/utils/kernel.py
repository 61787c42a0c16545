"""The one place that compiles kernels.

A kernel is a plain function on numpy arrays and records. It runs compiled (numba) and, with
`NUMBA_DISABLE_JIT=1`, as the plain Python it is written in; both give the same bits, save for
transcendental functions of another libm.

Compiled code is cached under a digest of every kernel source, because numba's own cache does not notice an
edited callee in another file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

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

COMPILED: bool = not getattr(numba.config, "DISABLE_JIT")

if not COMPILED:
    # As compiled code does: x / 0 gives inf or nan and integers wrap, without a warning for each.
    np.seterr(divide="ignore", invalid="ignore", over="ignore")


def kernel(function: _F) -> _F:
    """Compile `function` on first call, cached on disk, releasing the GIL; x / 0 gives inf or nan as numpy."""
    compiled: Any = numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    return cast(_F, compiled)
