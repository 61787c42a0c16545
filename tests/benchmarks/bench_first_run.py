"""The first minute: `ztb replay` with nothing compiled yet, and again; and where the time goes.

python tests/benchmarks/bench_first_run.py              # first against second, and when the first thing is seen
python tests/benchmarks/bench_first_run.py --where      # seconds of the compiler, by the kernel that Python calls and by pass
python tests/benchmarks/bench_first_run.py --where data info FILE    # of any other verb
"""

from __future__ import annotations

import argparse
import os
import pty
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GOAL_RATIO, GOAL_SEEN_S = 2.5, 5.0


def timed(arguments: list[str], environment: dict[str, str], out: Path) -> tuple[float, float, float]:
    """Seconds by the wall, of processor (all processes), and until something is seen on the terminal."""
    ours, theirs = pty.openpty()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "ztb", *arguments, "--out", str(out)], env=environment, stdout=theirs, stderr=theirs
    )  # fmt: skip
    os.close(theirs)
    seen = 0.0
    while process.poll() is None:
        if select.select([ours], [], [], 0.05)[0]:
            try:
                said = os.read(ours, 65_536)
            except OSError:  # nobody holds the other end any more
                break
            seen = seen or (time.perf_counter() - began if said else 0.0)
    process.wait()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    os.close(ours)
    if process.returncode:
        sys.exit(f"ztb {' '.join(arguments)} ended with {process.returncode}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seen


def compare(rounds: int) -> None:
    """First and second run, `rounds` times, each first one with a cache of its own."""
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            environment = os.environ | {
                "PYTHONPATH": str(ROOT / "daemon"),
                "NUMBA_CACHE_DIR": str(base / "kernels"),
            }
            first = timed(["replay"], environment, base / "first")
            second = timed(["replay"], environment, base / "second")
            print(
                f"load {os.getloadavg()[0]:.1f}: first {first[0]:.1f} s ({first[1]:.1f} s of processor, seen after "
                f"{first[2]:.1f} s, goal {GOAL_SEEN_S:.0f}), second {second[0]:.1f} s ({second[1]:.1f} s of processor): "
                f"{first[0] / second[0]:.2f} by the wall (goal {GOAL_RATIO}), {first[1] / second[1]:.2f} by the processor"
            )


class Clock:
    """Processor seconds within events of the compiler, less those within events inside them."""

    def __init__(self, event: Any, kind: str, name: Callable[[Any], str]) -> None:
        self.own: dict[str, float] = defaultdict(float)
        self.times: Counter[str] = Counter()
        self._open: list[list[float]] = []
        self._name = name
        heard = type("Heard", (event.Listener,), {"on_start": self._start, "on_end": self._end})
        event.register(kind, heard())

    def _start(self, _event: Any) -> None:
        self._open.append([time.process_time(), 0.0])

    def _end(self, event: Any) -> None:
        began, inside = self._open.pop()
        took = time.process_time() - began
        self.own[self._name(event)] += took - inside
        self.times[self._name(event)] += 1
        if self._open:
            self._open[-1][1] += took


def where(arguments: list[str]) -> None:
    """Run a command with an empty cache in this process alone, and print what its compiling cost."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = f"{folder}/kernels"
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core: nothing is compiled beside
        sys.path.insert(0, str(ROOT / "daemon"))
        from contextlib import contextmanager

        from numba.core import event

        from ztb.cli import run
        from ztb.utils.kernel import take_turns

        called: dict[str, tuple[float, int]] = {}
        functions = Clock(
            event, "numba:compile", lambda e: str(e.data["dispatcher"].py_func.__module__).split(".<")[0]
        )
        passes = Clock(event, "numba:run_pass", lambda e: str(e.data["name"]).split(" [")[0])

        @contextmanager
        def turn(kernel: str) -> Any:
            began, before = time.process_time(), functions.times.total()
            yield
            called[kernel] = time.process_time() - began, functions.times.total() - before

        take_turns(turn)
        default = ["replay", "--out", f"{folder}/run", "--to", "2018-01-15"]
        run(arguments or default)
        spent = sum(seconds for seconds, _ in called.values())
        print(
            f"\n{spent:.1f} of {time.process_time():.1f} s of processor: {functions.times.total()} functions"
        )
        for title, rows in (
            ("by the kernel that Python calls, with the functions compiled for it", called),
            ("by the pass of the compiler; lowering includes making machine code", passes.own),
            ("by module, its own functions alone", functions.own),
        ):
            print(f"\n{title}")
            table = {name: row if isinstance(row, tuple) else (row, 0) for name, row in rows.items()}
            for name, (seconds, count) in sorted(table.items(), key=lambda row: -row[1][0])[:15]:
                print(f"{seconds:7.2f} {count or '':>5} {name}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--where", nargs=argparse.REMAINDER, help="of this command; default: a short replay")
    given = parser.parse_args()
    if given.where is None:
        compare(given.rounds)
    else:
        where(given.where)


if __name__ == "__main__":
    main()
