"""A word to whoever waits for the compiler, the first time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

_SAID = "compiling, this first time: about a minute, on a busy machine more"


def say_if_it_compiles(say: Callable[[str], None]) -> None:
    """Call `say` where nothing is compiled yet: new on this machine, or updated."""
    if not any(Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.nbc")):
        say(_SAID)
