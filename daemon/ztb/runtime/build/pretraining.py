"""Training on history as a run is configured; and generation 0 from the first span of the data, not traded.

Its walk-forward needs nothing of its training. Where there is a core for it, it runs meanwhile in a process beside,
which is this module as a program: the same bits, sooner.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np

from ztb.config import Config
from ztb.errors import DataError
from ztb.learning.allocation import GrowthEvidence
from ztb.learning.service.initial_policy import InitialPolicy
from ztb.learning.training_settings import PretrainSettings
from ztb.market.history import History
from ztb.market.instrument import Instrument
from ztb.market.ticks import TICK, Ticks, join_ticks
from ztb.runtime.build.assembly import Assembly, assemble
from ztb.utils.kernel import anything_compiled

if TYPE_CHECKING:
    from ztb.learning.pretrain import Pretrained

_ROWS = 65_536
_WORTH_A_PROCESS = 500_000
"""Transitions that are trained on, of all folds: less is sooner done here than a process has started."""

Progress = Callable[[float], None]


def ticks_before(history: History, end_ns: int | None) -> Ticks:
    """The ticks before `end_ns`, or all. DataError: there are none."""
    parts: list[Ticks] = []
    for block in history.blocks(_ROWS):
        n = len(block) if end_ns is None else int(np.searchsorted(block["ts_ns"], end_ns))
        parts.append(block[:n])
        if n < len(block):
            break
    if not sum(map(len, parts)):
        raise DataError("there is nothing to train on in the span that was asked for: give a longer one")
    return join_ticks(parts)


def training_settings(assembly: Assembly) -> PretrainSettings:
    """The training settings of a run with this configuration."""
    config = assembly.config
    return PretrainSettings(
        features=assembly.features,
        normaliser=assembly.normaliser,
        clock=assembly.clock,
        period_ns=assembly.period_ns,
        bridge=assembly.bridge,
        paper=config.paper,
        ppo=config.ppo,
        start_cash=config.execution.start_cash_quote,
        online=config.online,
        sample=config.strategy.sample,
        network=assembly.strategy.network,
        own_reward=assembly.strategy.reward,
    )


def pretrained_origin(
    assembly: Assembly,
    history: History,
    end_ns: int,
    seed: int,
    on_progress: Progress,
    compiled: Callable[[], bool],
) -> InitialPolicy:
    """Train on the ticks before `end_ns`. The normaliser is not taken over: the run goes through the span itself.

    `compiled`: whether nobody compiles any more what a process beside would compile again.
    """
    ticks, settings = ticks_before(history, end_ns), training_settings(assembly)
    folds = assembly.config.allocation.folds if assembly.allocates else 0
    has_room, begun = _has_room_for(folds, settings), list[WalkForwardBeside]()
    with ExitStack() as stack:

        def begin_beside() -> None:
            if has_room and not begun and compiled() and anything_compiled():
                begun.append(stack.enter_context(WalkForwardBeside(assembly, ticks, seed)))

        def trained(done: float) -> None:
            begin_beside()
            on_progress(done / (1 + folds))

        begin_beside()
        # Imported here alone: a run that does not pretrain, and whose learner has its own process, never needs torch.
        # And only now: it takes as long as the process beside does to begin.
        from ztb.learning.pretrain import pretrain

        done = pretrain(
            ticks=ticks,
            instrument=assembly.instrument,
            settings=settings,
            seed=seed,
            on_progress=trained,
        )

        def walked(done: float) -> None:
            on_progress((1 + folds * done) / (1 + folds))

        evidence = begun[0].evidence(walked) if begun else None
        if folds and evidence is None:
            evidence = _walked_forward(assembly, ticks, seed, walked)
    return InitialPolicy(
        how="pretrained",
        weights=done.weights,
        updater_state=done.updater_state,
        normaliser_state=None,
        facts=_facts(done),
        evidence=evidence,
    )


def _walked_forward(assembly: Assembly, ticks: Ticks, seed: int, on_progress: Progress) -> GrowthEvidence:
    from ztb.learning.walk_forward import walk_forward

    return walk_forward(
        ticks=ticks,
        instrument=assembly.instrument,
        settings=training_settings(assembly),
        plan=assembly.config.allocation,
        seed=seed,
        on_progress=on_progress,
    )


def _has_room_for(folds: int, settings: PretrainSettings) -> bool:
    """True if a process beside is worth it: much to train, and a core that is free."""
    trained = folds * settings.updates * settings.ppo.num_envs * settings.ppo.num_steps
    alone = multiprocessing.parent_process() is None  # a pool's workers have a core each
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return trained >= _WORTH_A_PROCESS and alone and cores > 1


class _Task(msgspec.Struct, frozen=True):
    """The order to a process beside: parts that its assembly and its walk-forward are made of."""

    config: str
    instrument: Instrument
    bar_ns: int | None
    run_seed: int
    seed: int
    ticks: bytes


class WalkForwardBeside:
    """The walk-forward of `ticks` in a process of its own, which ends with the context, or with this process."""

    def __init__(self, assembly: Assembly, ticks: Ticks, seed: int) -> None:
        task = _Task(
            config=assembly.config.model_dump_json(),
            instrument=assembly.instrument,
            bar_ns=assembly.bar_ns,
            run_seed=assembly.seed,
            seed=seed,
            ticks=ticks.tobytes(),
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        # It listens only once it has begun, and until then there is something else to do here.
        self._teller = threading.Thread(target=self._tell, args=(task,), daemon=True)
        self._teller.start()

    def _tell(self, task: _Task) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as ears:
            ears.write(msgspec.msgpack.encode(task))

    def evidence(self, on_progress: Progress) -> GrowthEvidence | None:
        """The evidence, once it is found; None where the process failed or died, for whatever reason."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = _said(line)
            if said is None or isinstance(said, GrowthEvidence):
                return said
            on_progress(said)
        return None

    def __enter__(self) -> Self:
        atexit.register(self._process.kill)
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self._process.kill)
        self._process.kill()
        self._process.wait()
        self._teller.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _facts(done: Pretrained) -> dict[str, object]:
    """Facts about the pretraining, for the manifest and the report."""
    return {
        "best_update": done.best_update,
        "updates": len(done.curve),
        "validation_mean_reward": asdict(done.validation),
    }


def _said(line: bytes) -> float | GrowthEvidence | None:
    """The line of a process beside: progress, or evidence; None where it broke off."""
    with suppress(msgspec.MsgspecError):
        said = msgspec.json.decode(line, type=float | dict[str, Any])
        return GrowthEvidence(**said) if isinstance(said, dict) else said
    return None


def main() -> None:
    """Walk forward over what the standard input says; progress, and at last the evidence, to the standard output."""
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Task)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0) as mouth:
        os.dup2(
            sys.stderr.fileno(), sys.stdout.fileno()
        )  # a strategy of the user's own may print what it likes

        def say(what: float | dict[str, Any]) -> None:
            mouth.write(msgspec.json.encode(what) + b"\n")

        config = Config.model_validate_json(task.config)
        assembly = assemble(config, task.instrument, task.bar_ns, task.run_seed)
        say(_walked_forward(assembly, _received(task.ticks), task.seed, say).state())


def _received(ticks: bytes) -> Ticks:
    """A copy: what cannot be written to is another type to the compiler, and all would be compiled again for it."""
    return np.frombuffer(ticks, TICK).copy()


if __name__ == "__main__":
    main()
