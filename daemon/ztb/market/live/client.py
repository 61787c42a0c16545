"""ccxt's clients as we use them, and where they are made.

Also here: which hosts a client may reach: every URL it holds is looked at before it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import structlog

from ztb.errors import ConfigError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Addresses for people, never connected to.
_FOR_READERS = ("www", "doc", "fees", "logo", "referral", "api_management", "test")


def refuse_other_hosts(urls: Any, hostname: str | None, allowed: Collection[str]) -> None:
    """ConfigError if any URL in `urls` (ccxt's nested table) names a host that is not in `allowed`.

    `hostname` is what `{hostname}` stands for. Addresses for readers (documentation, logos) are not looked at.
    """
    for place, url in _connected(urls, ""):
        host = urlsplit(url.replace("{hostname}", hostname or "")).hostname
        if host not in allowed:
            raise ConfigError(
                f"urls{place}: {url!r} leads to {host}, only {', '.join(sorted(allowed))} may be reached: "
                "name another URL in venue.client, or the host in venue.allowed_hosts"
            )


def _connected(urls: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(urls, dict):
        for key, value in urls.items():
            if place or key not in _FOR_READERS:
                yield from _connected(value, f"{place}.{key}")
    elif isinstance(urls, list | tuple):
        for i, value in enumerate(urls):
            yield from _connected(value, f"{place}[{i}]")
    elif isinstance(urls, str):
        yield place, urls


_CLOSING_S = 1.0

Row: TypeAlias = dict[str, Any]
"""One of ccxt's unified structures: a trade, a ticker, a book, a market."""
Bar: TypeAlias = list[float]
"""Opening time in milliseconds, open, high, low, close, volume."""


class VenueClient(Protocol):
    """The part of a `ccxt.pro` client that we use; times are milliseconds since 1970."""

    id: str
    has: dict[str, Any]
    markets: dict[str, Row]
    timeframes: dict[str, Any]
    precisionMode: int  # noqa: N815 (ccxt's name)
    trades: dict[str, Any]
    bidsasks: dict[str, Row]
    orderbooks: dict[str, Row]
    throttler: Any

    async def load_markets(self, reload: bool = False) -> dict[str, Row]: ...

    def set_markets_from_exchange(self, sourceExchange: Any) -> Any: ...  # noqa: N803

    async def watch_trades(self, symbol: str) -> list[Row]: ...

    async def watch_bids_asks(self, symbols: list[str]) -> Any: ...

    async def watch_ticker(self, symbol: str) -> Row: ...

    async def watch_order_book(self, symbol: str, limit: int | None = None) -> Row: ...

    async def watch_ohlcv(self, symbol: str, timeframe: str) -> list[Bar]: ...

    async def fetch_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None
    ) -> list[Row]: ...

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None = None, limit: int | None = None
    ) -> list[Bar]: ...

    async def fetch_order_book(self, symbol: str, limit: int | None = None) -> Row: ...

    async def fetch_time(self) -> int: ...

    async def close(self) -> None: ...


ClientFactory: TypeAlias = Callable[[], VenueClient]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """A venue by ccxt's id, with options for its constructor. `allowed_hosts` None: the venue's own. `sandbox`: its
    test system."""

    venue: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    allowed_hosts: Collection[str] | None = None
    cache_trades: int = 100_000
    sandbox: bool = False


def client_factory(settings: ClientSettings) -> ClientFactory:
    """Makes clients of one venue. ConfigError if ccxt does not know it or its sandbox, or if a URL leads elsewhere."""
    from ztb.market.live.exchanges import ccxt_pro

    if settings.venue not in ccxt_pro.exchanges:
        raise ConfigError(
            f"market.venue {settings.venue!r}: ccxt has no streams for it; known: {', '.join(ccxt_pro.exchanges)}"
        )
    made: Callable[[dict[str, Any]], VenueClient] = getattr(ccxt_pro, settings.venue)

    def make() -> VenueClient:
        client = made(_options(settings))
        inner: Any = client
        inner.timeout_on_exit = 0
        if settings.sandbox:
            _enter_sandbox(inner)
        if settings.allowed_hosts is not None:
            refuse_other_hosts(inner.urls, inner.hostname, settings.allowed_hosts)
        return client

    return make


def _enter_sandbox(client: Any) -> None:
    if not client.urls.get("test"):
        raise ConfigError(
            f"market.sandbox: ccxt knows no sandbox of {client.id}: try it on paper, or on `ztb exchange`"
        )
    client.set_sandbox_mode(True)


async def close_client(client: VenueClient) -> None:
    """Close a client for good, within two seconds, even if we are cancelled meanwhile; the cancellation goes on after.

    Where the venue does not answer the farewell, a second call finds that it was said.
    """
    cancelled: asyncio.CancelledError | None = None
    for _ in range(3):
        try:
            async with asyncio.timeout(_CLOSING_S):
                await client.close()
            break
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception as error:  # noqa: BLE001 (whatever ccxt left behind, we are done with it)
            structlog.get_logger().debug("client_not_closed", venue=client.id, reason=repr(error))
    if cancelled is not None:
        raise cancelled


def _options(settings: ClientSettings) -> dict[str, Any]:
    """The caller's options; throttled, with every new trade told once and room for many."""
    given = dict(settings.options)
    inner = {"tradesLimit": settings.cache_trades, **given.pop("options", {})}
    return {"enableRateLimit": True, "newUpdates": True, **given, "options": inner}
