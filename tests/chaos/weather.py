"""A market that is quiet for hours and busy at times; while it is quiet, looks that find nothing are further apart."""

from __future__ import annotations

from typing import Any

from ztb.runtime.daemon import daemon
from ztb.runtime.venue import dead_man, reconciliation, throttle, user_stream
from ztb.testing.exchange import in_memory
from ztb.testing.exchange.flow import SyntheticFlow
from ztb.testing.exchange.listing import BTCUSDT, SCALE
from ztb.testing.virtual_time import VirtualTimeLoop

_QUIET = {"mean_ns": 60_000_000_000, "most_ns": 120_000_000_000, "step": 3e-4}
_BUSY = {"mean_ns": 700_000_000, "most_ns": 2_000_000_000, "step": 3e-5}
_LEVELS = 5
_LOOKS: tuple[tuple[Any, str, float], ...] = (
    (daemon, "_TURN_S", 20.0),
    (user_stream, "_LOOK_S", 20.0),
    (reconciliation, "_OWED_S", 20.0),
    (dead_man, "_LOOK_S", 20.0),
    (throttle, "_BEAT_S", 120.0),
    (in_memory, "_LONGEST_S", 20.0),
)
"""What looks again and again, and how long it waits in quiet hours, in which nothing happens that it could find."""


class Weather:
    """The rest of the world is `flow`. `leave` puts everything back."""

    def __init__(self, loop: VirtualTimeLoop, seed: int) -> None:
        self.busy = True
        self.flow = SyntheticFlow(
            seed, loop.now_ns() - 20_000_000_000, BTCUSDT.start_price / SCALE, levels=_LEVELS
        )
        self._loop = loop
        self._as_ever = [(where, name, getattr(where, name)) for where, name, _ in _LOOKS]

    def calm_down(self) -> None:
        """A trade each minute."""
        self._become(busy=False)

    def wake(self) -> None:
        """Two trades a second."""
        self._become(busy=True)
        self.flow.next_ns = self._loop.now_ns()

    def leave(self) -> None:
        for where, name, seconds in self._as_ever:
            setattr(where, name, seconds)

    def _become(self, busy: bool) -> None:
        self.busy = busy
        for name, value in (_BUSY if busy else _QUIET).items():
            setattr(self.flow, name, value)
        for where, name, seconds in self._as_ever if busy else _LOOKS:
            setattr(where, name, seconds)
