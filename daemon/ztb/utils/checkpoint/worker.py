"""The thread that saves: it makes the calls it is given, one after the other.

Not a `ThreadPoolExecutor`: handing it a call costs the loop half of what that costs.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

from ztb.errors import UsageError
from ztb.utils.background import background_thread

_log = logging.getLogger(__name__)

Call = Callable[[], None]
_Calls = SimpleQueue[Call | None]


class WriterThread:
    """One thread, from the first call; closed, forgotten, or at the process's end, it makes its calls and ends."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls = _Calls()
        self._end: weakref.finalize[[_Calls, threading.Thread], WriterThread] | None = None

    def submit(self, call: Call) -> None:
        """Have `call` made in the thread; what it raises is logged.

        UsageError once closed; RuntimeError where no thread can be begun.
        """
        if self._end is None:
            thread = background_thread(_serve, self._name, self._calls)
            thread.start()
            self._end = weakref.finalize(self, _finish, self._calls, thread)
        elif not self._end.alive:
            raise UsageError(f"the thread {self._name} has ended: nothing is saved any more")
        self._calls.put(call)

    def close(self) -> None:
        """Wait until every call is made, and end the thread."""
        if self._end is not None:
            self._end()


def _serve(calls: _Calls) -> None:
    while (call := calls.get()) is not None:
        try:
            call()
        except BaseException:  # noqa: BLE001 (a supervisor: the next call is another caller's)
            _log.exception("a save in the background failed")
        del call  # what it knows must not live until the next one comes


def _finish(calls: _Calls, thread: threading.Thread) -> None:
    calls.put(None)
    if thread is not threading.current_thread():
        thread.join()
