"""Keeps the interpreter itself from holding the event loop up."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Generator

_SWITCH_S = 0.0005


@contextlib.contextmanager
def gc_tuning() -> Generator[None]:
    """For the time of a run whose parts are made: what exists now is never searched for garbage, and threads let go
    of the interpreter in half a millisecond.

    A search through all that a daemon has imported takes 50 to 100 ms; a thread may keep the interpreter for 5 ms.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_S))
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)
