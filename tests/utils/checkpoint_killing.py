"""Kills savers: `python checkpoint_killing.py BASE SEED...` prints what was wrong after each, as JSON.

Each seed forks a process that saves, cleans, pins and (when it starts) sweeps in the same folder, and is
killed with SIGKILL: at an even seed by itself before a drawn file operation, at an odd one from outside after
a drawn time.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from ztb.utils import CheckpointManager, files
from ztb.utils.checkpoint import NoGeneration

OPERATIONS = (
    "create",
    "preallocate",
    "write_at",
    "truncate",
    "sync",
    "close",
    "rename",
    "remove",
    "sync_folder",
    "touch",
)
NUMBER_BYTES = 8


def state(number: int) -> dict[str, Any]:
    weights = np.full(40_000, number, np.float32)
    return {"number": number, "weights": weights, "rng": random.Random(number).getstate()}


def save_until_killed(base: Path, acknowledged: int, seed: int) -> None:
    """Save for ever; each number goes into `acknowledged` when its save has returned."""
    if seed % 2 == 0:
        die_before_operation(random.Random(seed).randrange(120))
    manager = CheckpointManager(base, max_generations=2, keep_every=7)
    number = max((g.number for g in manager.list("exp")), default=-1)
    while True:
        number += 1
        assert manager.save(state(number), "exp").number == number
        os.write(acknowledged, number.to_bytes(NUMBER_BYTES, "little"))
        if number % 5 == 0:
            manager.pin("exp", number)
        for old in manager.list("exp"):
            if old.pinned and old.number < number - 8:
                manager.unpin("exp", old.number)
        manager.cleanup_old_generations("exp")


def die_before_operation(countdown: int) -> None:
    """Make the file operations count down, the last one kill this process."""
    left = [countdown]

    def counting(real: Any) -> Any:
        def operation(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        return operation

    for name in OPERATIONS:
        setattr(files, name, counting(getattr(files, name)))


def run_and_kill(base: Path, seed: int) -> int:
    """The last number a killed saver acknowledged, -1 if it got to none."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            save_until_killed(base, writing, seed)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writing)
    if seed % 2:
        select.select([], [], [], random.Random(seed).random() * 0.06)
        os.kill(child, signal.SIGKILL)
    numbers = b""
    while piece := os.read(reading, 1 << 16):
        numbers += piece
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"the saver of seed {seed} ended by itself with {status}")
    return int.from_bytes(numbers[-NUMBER_BYTES:], "little") if numbers else -1


def faults(base: Path, acknowledged: int) -> list[str]:
    """What a new process finds wrong."""
    manager = CheckpointManager(base, max_generations=2)
    wrong = [f"{g.path.name}: {g.fault}" for g in manager.verify("exp") if g.fault]
    try:
        restored = manager.restore("exp")
    except NoGeneration:
        return [*wrong, "nothing can be loaded"] if acknowledged >= 0 else wrong
    if restored.generation.number < acknowledged:
        wrong.append(f"{acknowledged} was acknowledged, {restored.generation.number} is the newest")
    number = restored.generation.number
    if restored.state["number"] != number or not (restored.state["weights"] == number).all():
        wrong.append(f"{number} holds another state")
    return wrong


def main() -> None:
    base = Path(sys.argv[1])
    report: dict[int, list[str]] = {}
    acknowledged = swept = 0
    for round_, seed in enumerate(map(int, sys.argv[2:])):
        folder = base / f"{round_ // 50}"  # a new folder now and then: beginnings are moments too
        if round_ % 50 == 0:
            acknowledged = -1
        acknowledged = max(acknowledged, run_and_kill(folder, seed))
        swept += len(list(folder.glob("exp/*.tmp")))
        if wrong := faults(folder, acknowledged):
            report[seed] = wrong
    print(json.dumps({"wrong": report, "left temporary files": swept}))


if __name__ == "__main__":
    main()
