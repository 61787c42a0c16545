"""The guide's snippet, as written, and what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from utils.checkpoint_states import child_environment, same


# fmt: off
async def test_the_guide_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model_state = {"weights": np.arange(6.0).reshape(2, 3), "step": 7}

    from ztb.utils import CheckpointManager

    manager = CheckpointManager(base_path="checkpoints", max_generations=5)
    await manager.save_async(model_state, "exp_001")        # returns the Generation it wrote, durable on return
    state = manager.load("exp_001")                          # newest generation that verifies; generation=N for one; load_async is its twin
    manager.cleanup_old_generations("exp_001")               # what retention would remove, removed
    manager.list("exp_001")                                  # Generations: number, path, bytes, created, metrics, lineage, pinned

    assert same(state, model_state)
    (generation,) = manager.list("exp_001")
    assert generation.path.stat().st_size == generation.bytes
    assert not generation.pinned
# fmt: on


async def test_only_the_newest_generations_stay(tmp_path: Path) -> None:
    from ztb.utils import CheckpointManager

    manager = CheckpointManager(tmp_path, max_generations=3)
    for step in range(7):
        await manager.save_async({"step": step}, "exp")
    assert [g.number for g in manager.list("exp")] == [4, 5, 6]
    assert await manager.load_async("exp", generation=5) == {"step": 5}


def test_importing_saving_and_loading_import_neither_torch_nor_numba(tmp_path: Path) -> None:
    program = f"""
import sys
from ztb.utils import CheckpointManager
import numpy as np
manager = CheckpointManager({str(tmp_path)!r})
manager.save({{"a": np.ones(3)}}, "exp")
manager.load("exp")
print([name for name in ("torch", "numba") if name in sys.modules])
"""
    assert _output(program) == "[]"


def test_tensors_load_as_arrays_without_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from ztb.utils import CheckpointManager

    CheckpointManager(tmp_path).save({"a": torch.arange(3, dtype=torch.bfloat16)}, "exp")
    program = f"""
import sys
from ztb.utils import CheckpointManager
print(CheckpointManager({str(tmp_path)!r}).load("exp", as_numpy=True)["a"].tolist(), "torch" in sys.modules)
"""
    assert _output(program) == "[0.0, 1.0, 2.0] False"


def _output(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=child_environment()
    ).stdout.strip()


def test_loading_outside_a_loop_and_inside_gives_the_same(tmp_path: Path) -> None:
    import asyncio

    from ztb.utils import CheckpointManager

    manager = CheckpointManager(tmp_path)
    asyncio.run(manager.save_async({"step": 3}, "exp"))

    async def inside() -> list[object]:
        return [manager.load("exp"), await manager.load_async("exp", generation=0)]

    assert [manager.load("exp"), *asyncio.run(inside())] == [{"step": 3}] * 3
