"""Executors of a study's trials: this process, or a pool of processes; a cluster (`cluster.py`). What comes of a trial
does not depend on it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Protocol

from ztb.studies.trial import TrialOrder, TrialResult, failed, run_trial
from ztb.utils.kernel import anything_compiled

Run = Callable[[TrialOrder], TrialResult]
_ATTEMPTS = 2
"""How often a trial is begun alone whose process died, before that is what came of it."""

_ONE_THREAD: dict[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)


class Executor(Protocol):
    """Runs trials. A trial whose process or machine dies is begun again, the others are none the worse for it."""

    workers: int

    def submit(self, order: TrialOrder) -> None:
        """Take an order. Nothing has to happen before `results` is asked."""
        ...

    def results(self) -> Iterator[TrialResult]:
        """Results of everything that was submitted, as they come. ResourceError: a machine ran short of something."""
        ...

    def close(self) -> None:
        """Leave what still runs, and give everything back."""
        ...


@contextmanager
def _single_threaded() -> Generator[None]:
    """One thread for arithmetic, here and in processes started meanwhile: sums depend on how many share them."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    # Whoever loads torch later counts by the environment.
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class InProcess:
    """One trial after the other, here."""

    workers = 1

    def __init__(self, run: Run = run_trial) -> None:
        self._run = run
        self._orders = deque[TrialOrder]()

    def submit(self, order: TrialOrder) -> None:
        """See `Executor`."""
        self._orders.append(order)

    def results(self) -> Iterator[TrialResult]:
        """See `Executor`."""
        while self._orders:
            with _single_threaded():
                result = self._run(self._orders.popleft())
            yield result

    def close(self) -> None:
        """See `Executor`."""
        self._orders.clear()


class ProcessPool:
    """`workers` processes, a trial at a time in each.

    Where nothing is compiled yet the first trial runs alone: what it compiles is then shared by its cache.
    """

    def __init__(self, workers: int, run: Run = run_trial) -> None:
        self.workers = workers
        self._run = run
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[TrialResult], TrialOrder] = {}
        self._waiting = deque[TrialOrder]()
        self._suspects = deque[TrialOrder]()
        self._deaths: dict[str, int] = {}
        self._warm = anything_compiled()
        self._stack = ExitStack()
        self._stack.enter_context(_single_threaded())

    def submit(self, order: TrialOrder) -> None:
        """See `Executor`."""
        self._waiting.append(order)

    def results(self) -> Iterator[TrialResult]:
        """See `Executor`."""
        while self._waiting or self._suspects or self._running:
            self._fill()
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda one: self._running[one].key):
                if (result := self._collect(future)) is not None:
                    self._warm = True
                    yield result

    def _fill(self) -> None:
        """As many at work as there are workers; a suspect alone, so that its end says whose fault it is."""
        if self._suspects:
            if not self._running:
                self._begin(self._suspects.popleft())
            return
        while self._waiting and len(self._running) < (self.workers if self._warm else 1):
            self._begin(self._waiting.popleft())

    def _begin(self, order: TrialOrder) -> None:
        if self._pool is None:
            # Not forked: a copy of threads' locks and of torch's state is no sound beginning.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, context, initializer=_be_a_worker)
        self._running[self._pool.submit(self._run, order)] = order

    def _collect(self, future: Future[TrialResult]) -> TrialResult | None:
        """Its result; None where its process died, and it waits to be begun again.

        One dead process breaks the whole pool: those that ran beside it are suspects too, until they have run alone.
        """
        alone = len(self._running) == 1
        order = self._running.pop(future)
        try:
            return future.result()
        except BrokenProcessPool:
            self._leave_pool()
            self._deaths[order.key] = self._deaths.get(order.key, 0) + alone
            if self._deaths[order.key] >= _ATTEMPTS:
                return failed(order, f"its process died {_ATTEMPTS} times: killed for want of memory?")
            self._suspects.append(order)
            return None

    def _leave_pool(self) -> None:
        if self._pool is not None:
            workers = list((getattr(self._pool, "_processes", None) or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join()
            self._pool = None

    def close(self) -> None:
        """See `Executor`."""
        self._waiting.clear()
        self._leave_pool()
        self._stack.close()


def _be_a_worker() -> None:
    """Leave Ctrl-C to the driver, and end with it however it ends: what it was not told is begun again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = multiprocessing.parent_process()
    if driver is not None:
        threading.Thread(target=_end_with, args=(driver.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)
