"""What a study costs beyond its replays, and what a second process brings.

python tests/benchmarks/bench_studies.py [--rounds 3] [--folds 12] [--strategy ema_cross]

A ratio of walls means something on two free cores alone; that of processor time says on a busy machine too what a pool
does twice. The load is printed beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from ztb.config import Config, with_settings
from ztb.ledger.run_directory import create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.studies.directory import StudyDirectory
from ztb.studies.executors import InProcess, ProcessPool
from ztb.studies.spec import StudySpec
from ztb.studies.study import Study
from ztb.studies.trial import TrialOrder, TrialResult, run_trial


def spec_of(arguments: argparse.Namespace) -> StudySpec:
    """Folds over the shipped history, without rules."""
    asked = {
        "folds": arguments.folds,
        "train": "60d",
        "test": "30d",
        "embargo": "1d",
        "seeds": 1,
        "rules": [],
    }
    return StudySpec.of({**asked, "config": {"strategy": {"name": arguments.strategy}}}, "benchmark")


def processor_s() -> float:
    """Of this process and those of its children that ended, seconds."""
    both = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(one.ru_utime + one.ru_stime for one in both)


def plain_replay(order: TrialOrder, folder: Path) -> None:
    """The order's replay, as `ztb replay` makes it."""
    request = ReplayRequest(
        config=with_settings(Config.model_validate(order.config), order.settings, "benchmark"),
        paths=tuple(Path(path) for path in order.data), seed=order.seed, start_ns=order.fold.train_from,
        end_ns=order.fold.test_to, pretrain_ns=order.fold.test_from - order.fold.train_from,
        embargo_ns=order.fold.embargo_ns,
    )  # fmt: skip
    run = Replay.over(request, open_data(request), create_run_directory(folder, "replay"))
    asyncio.run(run_to_end(run, is_look=False))


def overhead(spec: StudySpec, folder: Path) -> None:
    """A study in this process whose every trial is replayed plainly too, before or after it by turns."""
    plain: list[tuple[float, float]] = []

    def timed(order: TrialOrder) -> None:
        wall, cpu = time.perf_counter(), processor_s()
        plain_replay(order, folder / "plain" / order.key)
        plain.append((time.perf_counter() - wall, processor_s() - cpu))

    def both(order: TrialOrder) -> TrialResult:
        first = order.fold.number % 2 == 0
        if first:
            timed(order)
        result = run_trial(order)
        if not first:
            timed(order)
        return result

    study = Study(spec, StudyDirectory(folder / "study"), InProcess(both), keep="none")
    wall, cpu = time.perf_counter(), processor_s()
    study.run()
    walls, cpus = (sum(one) for one in zip(*plain, strict=True))
    spent, n = (time.perf_counter() - wall - walls, processor_s() - cpu - cpus), len(plain)
    print(
        f"a trial beyond its replay: {(spent[0] - walls) / n:.3f} s (goal 0.3), processor {(spent[1] - cpus) / n:.3f} s; "
        f"a replay {walls / n:.3f} s, processor {cpus / n:.3f} s; {n} trials, load {os.getloadavg()[0]:.1f}"
    )


def timed_study(spec: StudySpec, folder: Path, workers: int) -> tuple[float, float]:
    """Wall and processor time of a study in one process, or in a pool."""
    wall, cpu = time.perf_counter(), processor_s()
    executor = InProcess() if workers == 1 else ProcessPool(workers)
    Study(spec, StudyDirectory(folder), executor, keep="none").run()
    return time.perf_counter() - wall, processor_s() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=12)
    parser.add_argument("--strategy", default="ppo_online")
    arguments = parser.parse_args()
    spec = spec_of(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed_study(spec.model_copy(update={"folds": 1}), folder / "compiles", 1)
        overhead(spec, folder / "overhead")
        ratios: list[tuple[float, float]] = []
        for k in range(arguments.rounds):  # alternated: what else the machine does weighs on both
            alone = timed_study(spec, folder / f"alone-{k}", 1)
            pool = timed_study(spec, folder / f"pool-{k}", 2)
            ratios.append((alone[0] / pool[0], 2.0 * alone[1] / pool[1]))
            print(
                f"one process {alone[0]:.1f} s (processor {alone[1]:.1f}), two {pool[0]:.1f} s ({pool[1]:.1f}): "
                f"{ratios[-1][0]:.2f} times as fast, {ratios[-1][1]:.2f} by processor time, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        wall, cpu = (statistics.median(one) for one in zip(*ratios, strict=True))
        print(
            f"a pool of two: {wall:.2f} times as fast (goal 1.8 on two free cores), {cpu:.2f} by processor time"
        )


if __name__ == "__main__":
    main()
