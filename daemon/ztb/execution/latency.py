"""Delays and faults: draws keyed by order, so that runs with other orders share them. Kernels on records.

A latency is uniform in [mean - jitter, mean + jitter]. What a strategy decides on a tick of time T leaves it
at T plus the feed's latency, since that is when it saw the tick.
"""

from __future__ import annotations

import numpy as np

from ztb.execution.paper_state import NONE, SUBMIT_LOST, VENUE_BUSY
from ztb.utils.kernel import kernel
from ztb.utils.rng import STREAM_FAULT, STREAM_LATENCY, uniform

DRAWS = 4096
"""Draws an order has of each stream; a report beyond them repeats an earlier report's."""
_FEED, _SUBMIT, _CANCEL_FEED, _CANCEL = 0, 1, 2, 3
_LOST, _BUSY, _ACK_LOST = 0, 1, 2
_FIRST_REPORT = 8


@kernel
def _draw(exchange: np.void, stream: int, order_id: int, draw: int) -> float:
    return uniform(exchange["seed"], stream, order_id * DRAWS + draw % DRAWS)


@kernel
def _delay(exchange: np.void, mean_and_jitter: np.ndarray, order_id: int, draw: int) -> int:
    u = _draw(exchange, STREAM_LATENCY, order_id, draw)
    return int(mean_and_jitter[0] + mean_and_jitter[1] * (2.0 * u - 1.0))


@kernel
def submit_delay(exchange: np.void, order_id: int) -> int:
    """From the tick that was decided on to the order's arrival, nanoseconds."""
    feed = _delay(exchange, exchange["feed_ns"], order_id, _FEED)
    return feed + _delay(exchange, exchange["submit_ns"], order_id, _SUBMIT)


@kernel
def cancel_delay(exchange: np.void, order_id: int) -> int:
    """From the tick that was decided on to the cancel's arrival, nanoseconds."""
    feed = _delay(exchange, exchange["feed_ns"], order_id, _CANCEL_FEED)
    return feed + _delay(exchange, exchange["cancel_ns"], order_id, _CANCEL)


@kernel
def ack_delay(exchange: np.void, order_id: int, report: int) -> int:
    """From the venue's `report`-th word on an order to us, nanoseconds."""
    return _delay(exchange, exchange["ack_ns"], order_id, _FIRST_REPORT + report)


@kernel
def submit_fault(exchange: np.void, order_id: int) -> int:
    """The reason an injected fault ends this order with, or NONE."""
    if _draw(exchange, STREAM_FAULT, order_id, _LOST) < exchange["submit_lost"]:
        return SUBMIT_LOST
    if _draw(exchange, STREAM_FAULT, order_id, _BUSY) < exchange["submit_rejected"]:
        return VENUE_BUSY
    return NONE


@kernel
def ack_is_lost(exchange: np.void, order_id: int) -> bool:
    return bool(_draw(exchange, STREAM_FAULT, order_id, _ACK_LOST) < exchange["ack_lost"])


@kernel
def is_duplicated(exchange: np.void, order_id: int, report: int) -> bool:
    return bool(_draw(exchange, STREAM_FAULT, order_id, _FIRST_REPORT + report) < exchange["duplicated"])
