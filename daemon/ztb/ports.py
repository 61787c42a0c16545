"""The doors of the core: what stands outside it, as protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ztb.execution.orders import OrderEvent, OrderRequest
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks


class Source(Protocol):
    """A source of ticks: recorded history or a venue."""

    instrument: Instrument

    def blocks(self) -> AsyncIterator[Ticks]: ...


class Broker(Protocol):
    """A receiver of orders: the paper exchange or a venue. `view` (1,) VIEW and `account` (1,) ACCOUNT are its
    state.
    """

    view: NDArray[np.void]
    account: NDArray[np.void]

    def submit(self, order: OrderRequest, now_ns: int) -> None: ...

    def cancel(self, order_id: int, now_ns: int) -> None: ...

    def advance(self, ticks: Ticks, i0: int, i1: int) -> int: ...

    def events(self) -> list[OrderEvent]: ...


class Clock(Protocol):
    """Wall time, injected: nanoseconds since 1970."""

    def now_ns(self) -> int: ...
