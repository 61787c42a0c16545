"""Hears from the compiler when it is at work: to whoever waits, a minute of compiling looks like hanging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from numba.core import event


class Hearer(Protocol):
    """A listener to the compiler: `began` and `ended` around the compiling of each function, which may be within
    another's, and `step` with each pass of the compiler. What comes from the cache is not compiled.
    """

    def began(self) -> None: ...

    def ended(self) -> None: ...

    def step(self) -> None: ...


class _Listener(event.Listener):
    def __init__(self, began: Callable[[], None], ended: Callable[[], None]) -> None:
        self._began = began
        self._ended = ended

    def on_start(self, event: Any) -> None:
        self._began()

    def on_end(self, event: Any) -> None:
        self._ended()


def tell_of_compiling(hearer: Hearer) -> None:
    """Tell `hearer` from now on."""
    register: Any = event.register
    register("numba:compile", _Listener(hearer.began, hearer.ended))
    register("numba:run_pass", _Listener(hearer.step, hearer.step))
