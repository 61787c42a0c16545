"""The operating system's side of the learner: a fresh interpreter, lowered in priority, and how it ended."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys

from ztb.learning.process import memory
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
            stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said, pass_fds=(descriptor, wake),
            env=without_secrets(os.environ) | _SINGLE_THREADED,
        )  # fmt: skip
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
