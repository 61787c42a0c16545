"""Kernels: ours make no arrays, others' may."""

from __future__ import annotations

import os
import subprocess
import sys
from types import FunctionType

import numpy as np
import pytest
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from ztb.utils import kernel as kernels
from ztb.utils.kernel import COMPILED, allocating_kernel, kernel


@pytest.fixture(autouse=True)
def _compiled_anew(monkeypatch):
    """No cache on disk: it would not tell one function's kernels of both kinds apart."""
    monkeypatch.setattr(kernels, "_OPTIONS", kernels._OPTIONS | {"cache": False})


def _doubled(values: NDArray[np.float64]) -> float:
    made = np.zeros(len(values))
    for i in range(len(values)):
        made[i] = 2.0 * values[i]
    return float(made[0])


def _of(module: str) -> FunctionType:
    """`_doubled`, as if it stood in `module`."""
    return FunctionType(_doubled.__code__, {"np": np, "__name__": module, "__builtins__": __builtins__})


@pytest.mark.skipif(not COMPILED, reason="it is the compiler that refuses")
def test_a_kernel_of_ours_makes_no_array_unless_it_says_so():
    values = np.ones(2)
    with pytest.raises(NumbaError, match="zeros"):
        kernel(_of("ztb.trading.floor"))(values)
    assert allocating_kernel(_of("ztb.trading.floor"))(values) == 2.0


@pytest.mark.parametrize("module", ["ztb.strategies.flat", __name__])
def test_a_kernel_of_a_users_may_make_arrays(module):
    assert kernel(_of(module))(np.ones(2)) == 2.0


@pytest.mark.parametrize("room", [0, 1_000])
def test_no_room_for_compiled_code_is_said_with_the_folder_and_a_remedy(room, tmp_path):
    (tmp_path / "own.py").write_text(
        "from ztb.utils.kernel import kernel\n\n@kernel\ndef twice(x):\n    return 2 * x\n"
    )
    script = (
        "import resource\nimport own\nfrom ztb.errors import ResourceError\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "try:\n    own.twice(1)\nexcept ResourceError as error:\n    raise SystemExit(str(error))\n"
    )
    found = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        "NUMBA_CACHE_DIR": str(tmp_path / "kept"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | found, capture_output=True, text=True, check=False
    )
    assert f"{tmp_path / 'kept'}: compiled code cannot be kept there" in done.stderr
    assert "NUMBA_CACHE_DIR" in done.stderr and "Traceback" not in done.stderr
