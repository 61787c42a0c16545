"""The one piece of memory that the trading process and its learner share, and what lies where in it.

    settings | signs of life | transitions, ticks and decisions, who serves ──▶ | ◀── reports, candidates, verdicts |
    the learner's own last state

It outlives the learner: what a killed one left is whole, and the next one goes on from there. A transition's
place is given back only when the state that has learnt from it is in `states`, which says how many it has
learnt from; so none is lost with a learner and none is learnt from twice.
"""

from __future__ import annotations

import os
import struct
from dataclasses import astuple, fields
from enum import IntEnum

import msgspec

from ztb.learning.online import LearnerCounts
from ztb.learning.process import memory
from ztb.learning.process.feed import SharedFeed
from ztb.learning.process.messages import REPORT, VERDICT, transition_dtype
from ztb.learning.process.ring import DoubleBuffer, Ring
from ztb.learning.process.settings import LearnerSettings

REPORTS = 1024
VERDICTS = 64
_LENGTH = struct.Struct("<Q")


class Doing(IntEnum):
    """The occupation of a learner. While COMPILING it may show no sign of life for longer."""

    STARTING = 0
    RESTING = 1
    LEARNING = 2
    COMPILING = 3


class SharedChannel:
    """The memory behind `descriptor`, which begins with the settings; see `create` and the module."""

    def __init__(self, descriptor: int) -> None:
        whole = memory.attach(descriptor)
        (length,) = _LENGTH.unpack(whole[: _LENGTH.size].tobytes())
        start = _LENGTH.size + length
        self.settings = msgspec.msgpack.decode(whole[_LENGTH.size : start].tobytes(), type=LearnerSettings)
        carver = memory.Carver(whole, start)
        self._beats, self._ready, self._stop = carver.word(), carver.word(), carver.word()
        self._skip, self._doing = carver.word(), carver.word()
        self._left_out = carver.words(len(fields(LearnerCounts)))
        settings = self.settings
        self.transitions = Ring(carver, transition_dtype(settings.shape), settings.transitions())
        self.reports = Ring(carver, REPORT, REPORTS)
        self.verdicts = Ring(carver, VERDICT, VERDICTS)
        self.serving = DoubleBuffer(carver, settings.state_bytes())
        self.candidates = DoubleBuffer(carver, settings.state_bytes())
        self.states = DoubleBuffer(carver, settings.state_bytes())
        feed = settings.feed()
        self.feed = SharedFeed(carver, feed) if feed else None

    @property
    def beats(self) -> int:
        """Signs of life so far."""
        return int(self._beats[0])

    def beat(self) -> None:
        """The learner shows that it lives."""
        self._beats[0] += 1

    @property
    def ready(self) -> bool:
        """True if the present learner has started up."""
        return bool(self._ready[0])

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._ready[0] = ready

    @property
    def doing(self) -> Doing:
        """The occupation that the present learner reports."""
        return Doing(int(self._doing[0]))

    @doing.setter
    def doing(self, doing: Doing) -> None:
        self._doing[0] = doing

    @property
    def stopping(self) -> bool:
        """True if the learner is asked to end."""
        return bool(self._stop[0])

    def stop(self) -> None:
        """Ask the learner to end after what it is doing."""
        self._stop[0] = 1

    @property
    def left_out(self) -> LearnerCounts:
        """Counts of what the learner left out of training up to its last state."""
        return LearnerCounts(*self._left_out.tolist())

    @left_out.setter
    def left_out(self, counts: LearnerCounts) -> None:
        self._left_out[:] = astuple(counts)

    @property
    def skipped_to(self) -> int:
        """The first transition that a starting learner may learn from, whatever its state says."""
        return int(self._skip[0])

    def skip_waiting(self) -> list[int]:
        """No learner is running: drop the transitions that wait. Returns the decisions that completed them."""
        ring = self.transitions
        waiting: list[int] = []
        ring.cursor = ring.tail
        while (record := ring.read()) is not None:
            waiting.append(int(record["decision"][0]))
        self._skip[0] = ring.head
        ring.commit(ring.head)
        return waiting


def create(settings: LearnerSettings) -> int:
    """Descriptor of a new memory for a learner of `settings`."""
    encoded = msgspec.msgpack.encode(settings)
    prefix = _LENGTH.pack(len(encoded)) + encoded
    descriptor = memory.create(_nbytes(settings, len(prefix)))
    os.pwrite(descriptor, prefix, 0)
    return descriptor


def _nbytes(settings: LearnerSettings, prefix: int) -> int:
    """Bytes of all parts, each rounded up to lines."""
    feed = settings.feed()
    rings = settings.transitions() * transition_dtype(settings.shape).itemsize + REPORTS * REPORT.itemsize
    rings += VERDICTS * VERDICT.itemsize
    lines = 64 * memory.LINE
    return prefix + rings + 6 * settings.state_bytes() + (feed.nbytes if feed else 0) + lines
