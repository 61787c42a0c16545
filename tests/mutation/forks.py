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
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    try:
        os.write(writing, json.dumps(work()).encode() + b"\n")
    finally:
        os._exit(0)


def _heard(reading: int, child: int, limit_s: float) -> tuple[bytes, float]:
    """Everything up to the end of the line, or nothing once the time is spent, and the time."""
    heard, waited_s, busy_s = b"", 0.0, 0.0
    while not heard.endswith(b"\n"):
        ready, _, _ = select.select([reading], [], [], _LOOK_S)
        more = os.read(reading, 1 << 20) if ready else b""
        heard += more
        now_s, waits = _clock_of(child)
        waited_s += _LOOK_S * (waits and not ready and now_s == busy_s)
        busy_s = now_s
        if (ready and not more) or busy_s + waited_s > limit_s:
            return b"", busy_s + waited_s
    return heard, busy_s + waited_s


def _clock_of(child: int) -> tuple[float, bool]:
    """Seconds of a process on a processor, and whether it waits for something else than one."""
    with open(f"/proc/{child}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS_PER_S, words[0] == "S"
