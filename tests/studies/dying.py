"""Trials that kill their process, or find no room; in a file of its own, which processes that are spawned can import by its name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ztb.errors import ResourceError
from ztb.studies.trial import TrialOrder, TrialResult, failed


def die_once(order: TrialOrder) -> TrialResult:
    """Kills its own process the first time that it is asked for the third seed; each time for the fifth."""
    mark = Path(order.folder)
    if order.seed == 5 or (order.seed == 3 and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return failed(order, f"lived in {os.getpid()}")


def out_of_room(order: TrialOrder) -> TrialResult:
    """Finds the disk full."""
    raise ResourceError(f"{order.key}: the disk is full")
