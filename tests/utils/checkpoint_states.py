"""States to save, and a comparison that sees types, layouts and every bit."""

from __future__ import annotations

import os
import random
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

import ztb

SOURCE = Path(ztb.__file__).parents[1]


def child_environment() -> dict[str, str]:
    """The environment in which a child process finds ztb."""
    return {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


def proof_sample(total: int) -> list[int]:
    """The seeds below `total` that ZTB_PROOF_SHARE and ZTB_PROOF_SEED choose."""
    share = float(os.environ.get("ZTB_PROOF_SHARE", "1.0"))
    seed = int(os.environ.get("ZTB_PROOF_SEED", "0"))
    count = max(1, round(total * share))
    return sorted(random.Random(seed).sample(range(total), count))


def small_state(step: int = 0) -> dict[str, Any]:
    """Some kilobytes of every kind that needs no torch; a function of `step`."""
    generator = np.random.default_rng(step)
    return {
        "step": step,
        "weights": generator.normal(size=(40, 16)).astype(np.float32),
        "counts": generator.integers(0, 9, 300),
        "order": np.asfortranarray(generator.normal(size=(5, 3))),
        "python": random.Random(step).getstate(),
        "numpy": generator.bit_generator.state,
        "plain": [None, True, -0.0, float("inf"), 1 << 100, "tick", b"\x00\xff" * 40, (1, (2,))],
        7: {"nested": {"empty": np.zeros((0, 3)), "scalar": np.float32(step)}},
    }


def same(loaded: Any, original: Any) -> bool:
    """Whether two states are the same: types, order of keys, dtypes, shapes, memory order, and all bits."""
    if type(loaded) is not type(original):
        return False
    if isinstance(loaded, dict):
        alike = list(loaded) == list(original) and same_extra(loaded, original)
        return alike and all(same(loaded[key], original[key]) for key in loaded)
    if isinstance(loaded, (list, tuple)):
        return len(loaded) == len(original) and all(map(same, loaded, original))
    if isinstance(loaded, float):
        return struct.pack("d", loaded) == struct.pack("d", original)
    if isinstance(loaded, (np.ndarray, np.generic)):
        return same_array(np.asarray(loaded), np.asarray(original))
    if type(loaded).__module__.startswith("torch"):
        return same_tensor(loaded, original)
    return bool(loaded == original)


def same_extra(loaded: dict[Any, Any], original: dict[Any, Any]) -> bool:
    """OrderedDicts may carry torch's `_metadata`."""
    return not isinstance(loaded, OrderedDict) or same(vars(loaded), vars(original))


def same_array(loaded: np.ndarray, original: np.ndarray) -> bool:
    fortran = original.flags.f_contiguous and not original.flags.c_contiguous
    return (
        loaded.dtype == original.dtype
        and loaded.shape == original.shape
        and (loaded.flags.f_contiguous if fortran else loaded.flags.c_contiguous)
        and opaque(loaded).tobytes() == opaque(original).tobytes()
        and loaded.flags.writeable
    )


def opaque(array: np.ndarray) -> np.ndarray:
    """Seen as items without fields: numpy copies field by field and loses what lies between them."""
    return array.view(f"V{array.itemsize}") if array.itemsize else array


def same_tensor(left: Any, right: Any) -> bool:
    import torch

    if (left.dtype, left.shape, left.layout, left.requires_grad) != (
        right.dtype,
        right.shape,
        right.layout,
        right.requires_grad,
    ):
        return False
    if left.layout is not torch.strided:
        return same_tensor(left.detach().to_dense(), right.detach().to_dense())

    def raw(tensor: Any) -> bytes:
        plain = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        return plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""

    return raw(left) == raw(right)
