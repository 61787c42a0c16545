"""What the tests of the learner process share: transitions made up, patience, and a look at what is left behind."""

from __future__ import annotations

import gc
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow.csv

from ztb.learning.online import Dropped, OnlineLearner, Transition, Updated
from ztb.learning.process.messages import Completed
from ztb.learning.process.settings import LearnerSettings
from ztb.learning.regime import UNGUIDED, ScheduledOptions, guided
from ztb.learning.settings import OnlineConfig
from ztb.trading.policy.weights import NetworkShape, initial_weights
from ztb.trading.ppo.config import PPOOptions

SHAPE = NetworkShape(6, (3, 2), (8,))
EVERY = 16
PPO = PPOOptions(minibatch_size=16, epochs=2, anneal_learning_rate=False)
SETTINGS = LearnerSettings(
    shape=SHAPE,
    ppo=PPO,
    online=OnlineConfig(update_every_decisions=EVERY, passes=1),
    updates_per_generation=2,
    seed=5,
    profiles=(replace(PPO, learning_rate=3e-3, gamma=0.9),),
)
WEIGHTS = initial_weights(SHAPE, 1)


def completed(number: int) -> Completed:
    """The transition that decision `number` completed; the same for the same number."""
    rng = np.random.default_rng(number)
    transition = Transition(
        rng.normal(size=6).astype(np.float32), (int(rng.integers(3)), int(rng.integers(2))), -1.8,
        float(rng.normal()), float(rng.normal(0, 0.01)), 0, False, 1e4,
    )  # fmt: skip
    return Completed(transition, float(rng.normal()), 0, number, 1000 * number, guidance(number))


def learn(learner: OnlineLearner, one: Completed) -> Updated | Dropped | None:
    """What a learner process does with a transition, in this process."""
    learner.updater.reconfigure(guided((SETTINGS.ppo, *SETTINGS.profiles), one.guidance))
    return learner.add(one.transition, one.next_value, one.serving)


def guidance(number: int) -> ScheduledOptions:
    """What guides the learner at decision `number`: two updates as configured, two by a profile, smaller, and so on."""
    return ScheduledOptions(1, 1) if number // (2 * EVERY) % 2 else UNGUIDED


def until(done: Callable[[], bool], seconds: float = 90.0) -> None:
    """Ask `done` until it says so; fails after `seconds`."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if done():
            return
        pause.wait(0.005)
    raise AssertionError(f"not in {seconds} s")


def holdings() -> dict[str, object]:
    """What this process holds that a learner could leave behind."""
    me = psutil.Process()
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    return {
        "shared maps": sum("ztb-learner" in line for line in maps.splitlines()),
        "descriptors": sorted(descriptors()),
        "children": [child.pid for child in me.children(recursive=True)],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        # Semaphores of processes that others start meanwhile are no learner's.
        "/dev/shm": sorted(name for name in os.listdir("/dev/shm") if not name.startswith("sem.")),
    }


def descriptors() -> Iterator[str]:
    """What our open descriptors are, without the one that looks."""
    for entry in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            yield os.readlink(f"/proc/self/fd/{entry}")


class Clock:
    """Time as it is, and `ahead` seconds more."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def stop(pid: int) -> None:
    """Stop process `pid` in the middle of what it is doing; it has stopped on return."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Inside, processes, descriptors, threads and shared memory may come, but all of them must go again."""
    gc.collect()  # what earlier tests let go of is not ours
    pyarrow.csv.read_csv(io.BytesIO(b"a\n1\n"))  # at its first reading it takes a pipe, which it keeps
    before = holdings()
    yield
    after = holdings()
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert not changed, changed


def ended(pid: int) -> bool:
    """Whether no process `pid` runs any more (a zombie does not)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
