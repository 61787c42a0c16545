"""This process beside others: threads that give way to the event loop, and how much memory it has taken."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

BACKGROUND_NICE = 10
"""What lies behind the loop in priority, so that the loop, which mostly sleeps, gets the processor when it wakes.

With less than that Linux lets a thread that is in its way finish its turn first, which is 3 ms.
"""


def background_thread(
    target: Callable[..., None], name: str, *arguments: Any, waited_for: bool = False
) -> threading.Thread:
    """A daemon thread, not yet started, that calls `target(*arguments)` at a lower priority than its maker's.

    At the same one where the system has no priorities of threads, or refuses; and for one that is `waited_for`, since
    whoever waits would wait for all that comes before it on a busy machine.
    """

    def run() -> None:
        if sys.platform == "linux" and not waited_for:  # elsewhere the call is one for the whole process
            with contextlib.suppress(OSError):
                os.nice(BACKGROUND_NICE)
        target(*arguments)

    return threading.Thread(target=run, name=name, daemon=True)


_STATUS = Path("/proc/self/status")


def peak_rss_bytes() -> int:
    """The most memory that was ever resident.

    From /proc where there is one: what `getrusage` says there includes the process that started this one.
    """
    if _STATUS.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
