"""A process beside that compiles what a replay calls later, where nothing is compiled yet and there is a core for it.

It is this module as a program. It does on made-up data what the replay will do, says of each kernel when it begins and
when it has ended, and leaves the code in the cache on disk. Whoever comes to a kernel meanwhile waits for it.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np

from ztb.config import Config
from ztb.market.view import new_view
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.compiling import MADE_UP, MINUTE_NS, PRICE, compile_ahead, made_up_ticks
from ztb.trading.recording import MARKET_BYTES, Recording, Shared
from ztb.utils.kernel import COMPILED, anything_compiled, take_turns

_BEGUN, _ENDED = "+", "-"
_LANES, _STEPS, _COLUMNS = 2, 4, 8
"""Sizes of what is made up: they do not matter to a compiler."""


def compile_beside(config: Config) -> Beside | None:
    """Begin to compile what a replay that learns calls; None where there is compiled code, or one core only."""
    if not COMPILED or anything_compiled() or len(os.sched_getaffinity(0)) == 1:
        return None
    beside = Beside([sys.executable, "-m", __name__], config.model_dump_json())
    take_turns(beside.turn)
    return beside


class Beside:
    """A program that compiles, once it is `told` for what, and says `+NAME` and `-NAME` around each kernel.

    It is over when it has nothing more to compile, when this process ends, and when nobody hears it any more.
    """

    def __init__(self, program: list[str], told: str) -> None:
        self._process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self._process.kill)
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError), self._process.stdin as ears:
            ears.write(told.encode())
        self._heard = self._process.stdout.fileno()
        self._rest = ""
        self._compiling: set[str] = set()
        self._gone = False

    @contextmanager
    def turn(self, kernel: str) -> Generator[None]:
        """Wait while `kernel` is compiled beside: then it is loaded. What was not begun there is compiled here."""
        self._hear(0.0)
        while kernel in self._compiling and not self._gone:
            self._hear(None)
        yield

    @property
    def over(self) -> bool:
        """True if nothing more is compiled by it."""
        self._hear(0.0)
        return self._gone

    def _hear(self, timeout_s: float | None) -> None:
        """Take in what it says, once it says something."""
        while not self._gone and select.select([self._heard], [], [], timeout_s)[0]:
            said = os.read(self._heard, 65_536).decode(errors="replace")
            self._gone = not said
            *lines, self._rest = (self._rest + said).split("\n")
            for line in lines:  # a strategy of the user's own may print what it likes
                if line[:1] == _BEGUN:
                    self._compiling.add(line[1:])
                elif line[:1] == _ENDED:
                    self._compiling.discard(line[1:])
            timeout_s = 0.0


@contextmanager
def _told(kernel: str) -> Generator[None]:
    _say(_BEGUN + kernel)
    yield
    _say(_ENDED + kernel)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def compile_learning(config: Config) -> None:
    """Train once, and trade a candidate once, as a replay of `config` does. Nothing comes of it."""
    # Imported here alone: torch is nothing that whoever waits needs.
    from ztb.learning.gate.shadow import Shadow
    from ztb.learning.training import Training
    from ztb.runtime.build.pretraining import training_settings
    from ztb.trading.policy.network import first_weights

    full = training_settings(assemble(config, MADE_UP, MINUTE_NS, 0))
    ppo = replace(full.ppo, num_envs=_LANES, num_steps=_STEPS, epochs=1)
    settings = replace(full, ppo=ppo, updates=1, validation_lanes=_LANES)
    recording = _made_up_recording()
    Training(recording, recording, settings, 0).update()
    terms = settings.shadow_terms(recording.feature_size)
    shape = terms.shape
    weights = first_weights(shape, 0, settings.network, ppo.orthogonal_init)
    drawn = np.zeros((recording.decisions - 1, _LANES, len(shape.heads)))
    Shadow(terms, weights, np.zeros(_LANES, np.int64)).trade(recording, drawn)


def _made_up_recording() -> Recording:
    """A price that stands still, and features that are noise, made ready without a kernel."""
    n = 32 * _STEPS
    ticks = made_up_ticks(n, MINUTE_NS)
    shared = Shared(
        ticks=ticks,
        rows=np.arange(n),
        times_ns=np.ascontiguousarray(ticks["ts_ns"]),
        features=np.random.default_rng(0).normal(size=(n, _COLUMNS)).astype(np.float32),
        markets=np.tile(new_view(MADE_UP).view(np.uint8)[:MARKET_BYTES], (n, 1)),
        on_bars=np.zeros(n, np.int64),
        mids=np.full(n, PRICE),
        tainted=np.zeros(n, np.bool_),
    )
    return Recording(MADE_UP, MINUTE_NS, shared)


def main() -> None:
    """Compile for the configuration on the standard input."""
    config = Config.model_validate_json(sys.stdin.read())
    take_turns(_told)
    compile_learning(config)
    compile_ahead(config)


if __name__ == "__main__":
    main()
