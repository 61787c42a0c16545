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


def proof_sample(total: int) -> tuple[list[int], int]:
    """The seeds below `total` that ZTB_PROOF_SHARE and ZTB_PROOF_SEED choose, and the seed they were chosen by."""
    share = float(os.environ.get("ZTB_PROOF_SHARE", "1.0"))
    seed = int(os.environ.get("ZTB_PROOF_SEED", "0"))
    count = max(1, round(total * share))
    return sorted(random.Random(seed).sample(range(total), count)), seed


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


def same(left: Any, right: Any) -> bool:
    """Whether two states are the same: types, order of keys, dtypes, shapes, memory order, and all bits."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left) and same_extra(left, right)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    if isinstance(left, (np.ndarray, np.generic)):
        return same_array(np.asarray(left), np.asarray(right))
    if type(left).__module__.startswith("torch"):
        return same_tensor(left, right)
    return bool(left == right)


def same_extra(left: dict[Any, Any], right: dict[Any, Any]) -> bool:
    """OrderedDicts may carry torch's `_metadata`."""
    return not isinstance(left, OrderedDict) or same(vars(left), vars(right))


def same_array(left: np.ndarray, right: np.ndarray) -> bool:
    order = "F" if left.flags.f_contiguous and not left.flags.c_contiguous else "C"
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and (right.flags.f_contiguous if order == "F" else right.flags.c_contiguous)
        and left.tobytes() == right.tobytes()
        and right.flags.writeable
    )


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
