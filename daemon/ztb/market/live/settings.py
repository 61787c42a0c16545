"""How live market data is read: which streams, how patiently, in what pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Channel = Literal["trades", "quotes", "depth", "bars"]


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """`streams` are read by websocket where the venue has one, else polled every `poll_s`.

    A stream silent for `stale_s` (bars: a bar longer) is checked by REST. Rows wait at most `flush_ms` before they
    are handed on, in blocks of at most `block_rows`; at most `capacity_rows` wait. `cache_trades` is how many
    trades ccxt keeps while nobody reads. `warm_up_s` of history is fetched at the start. Reconnecting waits
    `backoff_s`, doubled each time up to `backoff_most_s`, with jitter.
    """

    streams: tuple[Channel, ...] = ("trades", "quotes")
    timeframe: str = "1m"
    depth_levels: int = 20
    poll_s: float = 2.0
    stale_s: float = 10.0
    flush_ms: float = 5.0
    block_rows: int = 4096
    capacity_rows: int = 65_536
    cache_trades: int = 100_000
    warm_up_s: float = 0.0
    backoff_s: float = 0.25
    backoff_most_s: float = 30.0
