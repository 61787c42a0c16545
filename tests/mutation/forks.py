"""Forks of a warm process: each runs some tests and says how they ended, or is ended when they take too long."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
from collections.abc import Callable
from typing import Any

_MOST_BYTES = 6 << 30  # of a fork's own data: a loop that never ends may also never stop taking memory
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.1
_MORE = b"~"
_writing = -1


def next_within(limit_s: float) -> None:
    """In a fork: what comes next may take so many seconds, whatever was spent before it."""
    os.write(_writing, _MORE + str(limit_s).encode() + b"\n")


def in_fork(work: Callable[[], Any], limit_s: float) -> tuple[Any, float]:
    """What `work` returns in a fork, as JSON has it, and the seconds that it spent: on a processor, or waiting.

    None where it died or was ended for spending more. What a busy machine keeps it from does not count.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be(work, writing)
    os.close(writing)
    answer, spent_s = _heard(reading, child, limit_s)
    os.close(reading)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return (json.loads(answer) if answer else None), spent_s


def _be(work: Callable[[], Any], writing: int) -> None:
    """The fork's life, with whatever it starts in its own process group."""
    global _writing
    _writing = writing
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    try:
        os.write(writing, json.dumps(work()).encode() + b"\n")
    finally:
        os._exit(0)


def _heard(reading: int, child: int, limit_s: float) -> tuple[bytes, float]:
    """The line that is the answer, or nothing once the time is spent, and the time."""
    rest, waited_s, busy_s, begun_s = b"", 0.0, 0.0, 0.0
    while True:
        ready, _, _ = select.select([reading], [], [], _LOOK_S)
        more = os.read(reading, 1 << 20) if ready else b""
        *lines, rest = (rest + more).split(b"\n")
        now_s, waits = _clock_of(child)
        waited_s += _LOOK_S * (waits and not ready and now_s == busy_s)
        busy_s = now_s
        for line in lines:
            if not line.startswith(_MORE):
                return line, busy_s + waited_s
            begun_s, limit_s = busy_s + waited_s, float(line.removeprefix(_MORE))
        if (ready and not more) or busy_s + waited_s - begun_s > limit_s:
            return b"", busy_s + waited_s


def _clock_of(child: int) -> tuple[float, bool]:
    """Seconds of a process on a processor, and whether it waits for something else than one."""
    with open(f"/proc/{child}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS_PER_S, words[0] == "S"
