"""Checkpoints against torch.distributed.checkpoint, torch.save and safetensors, alternated in one run.

`python tests/benchmarks/bench_checkpoint.py [--rounds N] [--folder DIR]`; it needs the extra `dev`.
The state is a network trained for some steps with its Adam moments. Every method saves durably (fsync).
Compare the ratios, not the milliseconds: medians over rounds in each of which every method ran once.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from ztb.utils import CheckpointManager

State = dict[str, Any]
MILLI = 1e3
TURN_S = 0.001


def trained_state(width: int, depth: int, steps: int) -> State:
    """Weights and Adam moments of a network that learned a smooth function for some steps, by name."""
    torch.manual_seed(0)
    layers = [torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.Tanh()) for _ in range(depth)]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    for _ in range(steps):
        inputs = torch.randn(64, width)
        loss = (model(inputs) - torch.sin(inputs)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        state |= {f"adam.{index}.{name}": tensor.clone() for name, tensor in moments.items()}
    return state


def nbytes(state: State) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())


@dataclass
class Figures:
    """Of one method: milliseconds of each round, and the bytes on disk."""

    blocked: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    restore: list[float] = field(default_factory=list)
    size: int = 0


Save = Callable[[State], Awaitable[float]]  # gives the milliseconds for which the call blocked the loop
Restore = Callable[[State], object]


@dataclass(frozen=True)
class Method:
    name: str
    save: Save
    restore: Restore
    size: Callable[[], int]


def ours(name: str, base: Path, compression: Any) -> Method:
    manager = CheckpointManager(base, max_generations=2, compression=compression)
    generations: list[Any] = []

    async def save(state: State) -> float:
        coroutine = manager.save_async(state, "exp")
        begin = time.perf_counter()
        task = Started(coroutine)
        blocked = time.perf_counter() - begin
        generations.append(await task)
        return blocked * MILLI

    return Method(name, save, lambda _: manager.load("exp"), lambda: generations[-1].bytes)


class Started:
    """A coroutine run up to its first await at once, so that the time it blocks can be taken."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine
        self._first = coroutine.send(None)

    def __await__(self) -> Any:
        wanted = self._first
        while True:
            result = yield wanted
            try:
                wanted = self._coroutine.send(result)
            except StopIteration as stop:
                return stop.value


def distributed(base: Path) -> Method:
    async def save(state: State) -> float:
        writer = FileSystemWriter(base, sync_files=True, overwrite=True)
        begin = time.perf_counter()
        future: Any = async_save(state, storage_writer=writer, no_dist=True)
        blocked = time.perf_counter() - begin
        await asyncio.wrap_future(future)
        return blocked * MILLI

    def restore(state: State) -> State:
        target = {name: torch.empty_like(tensor) for name, tensor in state.items()}
        load(target, storage_reader=FileSystemReader(base), no_dist=True)
        return target

    return Method("DCP", save, restore, lambda: sum(path.stat().st_size for path in base.glob("*.distcp")))


def blocking(name: str, path: Path, write: Callable[[State], object], read: Callable[[], object]) -> Method:
    async def save(state: State) -> float:
        begin = time.perf_counter()
        write(state)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return (time.perf_counter() - begin) * MILLI

    return Method(name, save, lambda _: read(), lambda: path.stat().st_size)


def methods(base: Path) -> list[Method]:
    pickled, tensors = base / "state.pt", base / "state.safetensors"
    return [
        ours("ztb", base / "ztb", "none"),
        ours("ztb exponent", base / "ztb-exponent", "exponent"),
        distributed(base / "dcp"),
        blocking(
            "torch.save", pickled, lambda state: torch.save(state, pickled), lambda: torch.load(pickled)
        ),
        blocking(
            "safetensors",
            tensors,
            lambda state: safetensors.torch.save_file(state, tensors),
            lambda: safetensors.torch.load_file(tensors),
        ),
    ]


async def largest_lag(stop: asyncio.Event) -> float:
    """By how much the loop was late for a timer, at most, until `stop`; milliseconds."""
    latest, before = 0.0, time.perf_counter()
    while not stop.is_set():
        await asyncio.sleep(TURN_S)
        now = time.perf_counter()
        latest, before = max(latest, now - before - TURN_S), now
    return latest * MILLI


async def measure(method: Method, state: State, figures: Figures) -> None:
    stop = asyncio.Event()
    lag = asyncio.create_task(largest_lag(stop))
    await asyncio.sleep(0.002)
    begin = time.perf_counter()
    figures.blocked.append(await method.save(state))
    figures.total.append((time.perf_counter() - begin) * MILLI)
    stop.set()
    figures.lag.append(await lag)
    begin = time.perf_counter()
    restored = method.restore(state)
    figures.restore.append((time.perf_counter() - begin) * MILLI)
    del restored
    figures.size = method.size()


def memcpy(state: State) -> Method:
    """Copies the state's bytes from where they lie into memory that is mapped, and nothing else."""
    target = np.zeros(nbytes(state), np.uint8)
    sources = [tensor.reshape(-1).view(torch.uint8).numpy() for tensor in state.values()]

    async def save(_: State) -> float:
        begin, offset = time.perf_counter(), 0
        for source in sources:
            target[offset : offset + source.nbytes] = source
            offset += source.nbytes
        return (time.perf_counter() - begin) * MILLI

    return Method("memcpy", save, lambda _: None, lambda: target.nbytes)


def run(state: State, rounds: int, folder: Path, only: list[str]) -> dict[str, Figures]:
    base = Path(tempfile.mkdtemp(dir=folder))
    contenders = [memcpy(state), *(method for method in methods(base) if not only or method.name in only)]
    figures = {method.name: Figures() for method in contenders}
    for round_ in range(rounds + 1):
        counted = (
            figures if round_ else {method.name: Figures() for method in contenders}
        )  # the first warms up
        for method in contenders:
            gc.collect()
            asyncio.run(measure(method, state, counted[method.name]))
    shutil.rmtree(base)
    return figures


def report(state: State, figures: dict[str, Figures], quantile: float) -> None:
    def at(name: str, key: str) -> float:
        return float(np.quantile(getattr(figures[name], key), quantile))

    print(f"\n{nbytes(state) / 1e6:.1f} MB in {len(state)} tensors")
    print(f"{'':14}{'blocked':>10}{'lag':>10}{'save':>10}{'restore':>10}{'bytes':>14}")
    for name, of in figures.items():
        row = "".join(f"{at(name, key):10.2f}" for key in ("blocked", "lag", "total", "restore"))
        print(f"{name:14}{row}{of.size:14,}")
    if {"ztb", "ztb exponent", "DCP", "torch.save"} <= figures.keys():
        compare(state, figures, at)


def compare(state: State, figures: dict[str, Figures], at: Callable[[str, str], float]) -> None:
    """Print the ratios against their goals."""
    large = nbytes(state) > 1e8
    goals = [
        ("blocked / memcpy", at("ztb", "blocked") / at("memcpy", "blocked"), 2.0),
        ("blocked / DCP", at("ztb", "blocked") / at("DCP", "blocked"), 0.5),
        ("size exponent / torch.save", figures["ztb exponent"].size / figures["torch.save"].size, 0.84),
    ]
    for name in ("ztb", "ztb exponent"):
        wanted = [("total", 1.0)] if large else [("lag", 0.3), ("total", 0.5), ("restore", 0.5)]
        goals += [(f"{key} {name} / DCP", at(name, key) / at("DCP", key), goal) for key, goal in wanted]
    for label, ratio, goal in goals:
        print(f"{label:28}{ratio:6.2f}  goal {goal:.2f}  {'met' if ratio <= goal else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--only", nargs="*", default=[], help="methods by name: nothing else uses the heap")
    parser.add_argument("--quantile", type=float, default=0.5, help="of the rounds; 0.1 on a busy machine")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for width, depth, steps in ((240, 3, 300), (2400, 3, 30)):
        state = trained_state(width, depth, steps)
        rounds = options.rounds if width < 1000 else max(3, options.rounds // 2)
        report(state, run(state, rounds, options.folder, options.only), options.quantile)


if __name__ == "__main__":
    main()
