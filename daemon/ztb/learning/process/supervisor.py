"""Keeps a learner process running, and tells what happened to it. Owns its memory, descriptors and process.

Also here: the operating system's side of the learner: a fresh interpreter, lowered in priority, and how it ended.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ztb.errors import InvariantError
from ztb.learning.gate.candidate import Candidate, Verdict
from ztb.learning.online import LearnerCounts, Restart
from ztb.learning.process import channel as channels
from ztb.learning.process import memory
from ztb.learning.process.channel import Doing, SharedChannel
from ztb.learning.process.feed import FeedSpans, FeedWriter
from ztb.learning.process.messages import (
    Completed,
    LearnerReport,
    read_report,
    read_verdict,
    write_transition,
)
from ztb.learning.process.packing import pack_serving, unpack
from ztb.learning.process.settings import Care, LearnerSettings
from ztb.secrets import without_secrets

_log = logging.getLogger(__name__)

# The child imports from where its parent does, as the spawn method of multiprocessing has it.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ztb.learning.process.worker import main; main(*map(int, sys.argv[2:]))"
)
_SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_SAID_BYTES = 4096


class Child:
    """A running learner on the memory behind `descriptor`, woken through `wake`. Spawned, never forked."""

    def __init__(self, descriptor: int, wake: int, nice: int) -> None:
        self._said = memory.create(0)
        arguments = [json.dumps(sys.path), str(descriptor), str(wake), str(os.getpid())]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            pass_fds=(descriptor, wake),
            env=without_secrets(os.environ) | _SINGLE_THREADED,
        )
        self.pid = self._process.pid
        _lower(self.pid, nice)

    def poll(self) -> int | None:
        """Its exit code (negative: the signal that killed it), or None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it at once, stopped or hung as it may be, and wait for that."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """The last line that it wrote to its standard output or error; for when it has died."""
        size = os.fstat(self._said).st_size
        tail = os.pread(self._said, _SAID_BYTES, max(0, size - _SAID_BYTES))
        lines = tail.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def release(self) -> None:
        """Give up what is held for a dead child."""
        os.close(self._said)


def _lower(pid: int, nice: int) -> None:
    """Less priority than the trading process, and one core: the last of ours. Where refused: as it is."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + nice)
        allowed = os.sched_getaffinity(0)
        if len(allowed) > 1:
            os.sched_setaffinity(pid, {max(allowed)})
    except OSError as error:
        _log.warning("the learner runs at ordinary priority: %s", error)


WINDOW_SKIPPED = "window_skipped"
"""Kind of the event that the next learner's window begins anew, after so many `rows` of ticks."""
_FAILURES_BEFORE_SKIPPING = 2


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the learner's life: `kind` for the journal, `detail` its numbers."""

    kind: str
    detail: dict[str, Any]


@dataclass(slots=True)
class Counts:
    """Counts of events so far. `failures`: deaths and hangs since the last update."""

    starts: int = 0
    deaths: int = 0
    hangs: int = 0
    failures: int = 0
    dropped: int = 0


class LearnerProcess:
    """One learner after the other on one memory. `clock` gives seconds, and only their differences matter.

    `push` never waits: transitions that find the ring full are dropped and counted; the learner takes what
    follows them as a new beginning. A learner that dies or hangs leaves everything to the next: its state as of
    its last update, the transitions since, reports not yet read. If two in a row get nowhere, the transitions
    that wait are dropped too, in case it is they that kill. What is dropped is told by its decisions, in spans, so
    that what was learnt can be learnt again. `feed` takes ticks and decisions for the window that the policy is
    rolled out over; None where nothing is.
    """

    def __init__(
        self, settings: LearnerSettings, state: bytes, care: Care, clock: Callable[[], float]
    ) -> None:
        """A learner to be started from `state`, packed (see `worker.first_state`)."""
        self.counts = Counts()
        self._care = care
        self._clock = clock
        self._memory = channels.create(settings)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._channel = SharedChannel(self._memory)
        self._channel.states.publish(state)
        self._record = self._channel.transitions.record()
        self.feed = FeedWriter(self._channel.feed) if self._channel.feed else None
        self._child: Child | None = None
        self._beats = 0
        self._alive_at = 0.0
        self._start_at = clock()
        self._unlearnt = FeedSpans()
        self._update = 0
        self._stopping = False
        self._closed = False
        self._left_out = LearnerCounts()

    @property
    def pid(self) -> int | None:
        """Of the running learner."""
        return self._child.pid if self._child else None

    @property
    def doing(self) -> str:
        """The learner's occupation, in a word; "" where none runs."""
        return "" if self._child is None or self._closed else self._channel.doing.name.lower()

    @property
    def waiting(self) -> int:
        """Transitions pushed that no update has learnt from yet."""
        return 0 if self._closed else self._channel.transitions.head - self._channel.transitions.tail

    @property
    def left_out(self) -> LearnerCounts:
        """Counts of what was left out of training, by all learners up to the last state of the last."""
        return self._left_out if self._closed else self._channel.left_out

    def push(self, completed: Completed) -> None:
        """Hand a transition over, or count it as dropped."""
        write_transition(completed, self._record)
        if self._channel.transitions.push(self._record):
            os.eventfd_write(self._wake, 1)
        else:
            self._drop(completed.decision)

    def _drop(self, decision: int) -> None:
        self.counts.dropped += 1
        self._unlearnt.add(decision)

    def reports(self) -> Iterator[LearnerReport]:
        """Updates done since the last call, each once."""
        ring = self._channel.reports
        while (record := ring.read()) is not None:
            ring.commit(ring.cursor)
            report = read_report(record)
            if report.update > self._update:
                self._update = report.update
                self.counts.failures = 0
                yield report

    def verdicts(self) -> Iterator[Verdict]:
        """The gate's verdicts since the last call."""
        ring = self._channel.verdicts
        while (record := ring.read()) is not None:
            ring.commit(ring.cursor)
            yield read_verdict(record)

    def serve(self, serving: Candidate, restart: Restart = Restart.NONE) -> None:
        """Tell the learner who serves from now on."""
        self._channel.serving.publish(pack_serving(serving, restart))
        os.eventfd_write(self._wake, 1)

    def candidate(self, number: int) -> dict[str, Any] | None:
        """The learner's state as candidate `number`; None if a newer one has taken its place."""
        found = self._channel.candidates.read()
        return unpack(found[1]) if found is not None and found[0] == number else None

    def state(self) -> dict[str, Any]:
        """The learner's state after its last update, or what it started from."""
        found = self._channel.states.read()
        if found is None:
            raise InvariantError("the learner was given no state to start from")
        return unpack(found[1])

    def watch(self) -> Iterator[Event]:
        """Look after the process: what happened since the last call."""
        if dropped := self._unlearnt.take():
            yield Event("transitions_dropped", {"decisions": dropped})
        if self.feed is not None and (unheard := self.feed.unheard.take()):
            yield Event("window_broken", {"decisions": unheard})
        if self._stopping:
            return
        if self._child is None:
            if self._clock() >= self._start_at:
                yield self._start()
        elif (code := self._child.poll()) is not None:
            yield from self._bury(self._child, "learner_died", code)
        elif self._hung():
            self._child.kill()
            yield from self._bury(self._child, "learner_hung", None)

    def ask_to_stop(self) -> bool:
        """Ask the learner to end, for good; whether it has."""
        self._stopping = True
        self._channel.stop()
        os.eventfd_write(self._wake, 1)
        return self._child is None or self._child.poll() is not None

    def close(self) -> None:
        """End the learner at once and give everything back. May be called again."""
        if self._closed:
            return
        self._closed = True
        if self._child is not None:
            self._child.kill()
            self._child.release()
        os.close(self._wake)
        os.close(self._memory)
        self.feed = None
        self._left_out = self._channel.left_out
        del self._channel

    def _start(self) -> Event:
        self._channel.ready, self._channel.doing = False, Doing.STARTING
        self._alive_at = self._clock()
        try:
            self._child = Child(self._memory, self._wake, self._care.nice)
        except OSError as error:
            return Event("learner_not_started", {"why": str(error), "restart_in_s": self._back_off()})
        self.counts.starts += 1
        return Event("learner_started", {"start": self.counts.starts, "update": self._update})

    def _hung(self) -> bool:
        now, beats = self._clock(), self._channel.beats
        if beats != self._beats:
            self._beats, self._alive_at = beats, now
        return now - self._alive_at > self._patience()

    def _patience(self) -> float:
        """For how long the learner may show no sign of life, in what it does now, seconds."""
        if self._channel.doing is Doing.COMPILING:
            return self._care.compile_timeout_s
        return self._care.hang_timeout_s if self._channel.ready else self._care.start_timeout_s

    def _bury(self, child: Child, kind: str, code: int | None) -> Iterator[Event]:
        """The learner is dead: say so, and say when there will be another."""
        said, doing, counts = child.last_words(), self.doing, self.counts
        child.release()
        self._child = None
        counts.hangs += code is None
        counts.deaths += code is not None
        backoff = self._back_off()
        told = {"exit": code, "said": said, "doing": doing, "restart_in_s": backoff, "waiting": self.waiting}
        yield Event(kind, told)
        if counts.failures >= _FAILURES_BEFORE_SKIPPING:
            for decision in self._channel.skip_waiting():
                self._drop(decision)
            if self.feed is not None:
                self.feed.skip()
                yield Event(WINDOW_SKIPPED, {"rows": self.feed.rows})

    def _back_off(self) -> float:
        """Count a failure; seconds until the next start."""
        care, failures = self._care, self.counts.failures
        backoff = min(care.backoff_first_s * 2.0 ** min(failures, 32), care.backoff_most_s)
        self.counts.failures += 1
        self._start_at = self._clock() + backoff
        return backoff
