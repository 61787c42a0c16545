"""The part of a `ccxt.pro` client with a key that we use, what its errors mean for an order, and what its key may
do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias, cast

from ztb.config import MarketSection
from ztb.errors import ConfigError
from ztb.market.live.client import ClientSettings, Row, VenueClient, client_factory
from ztb.market.live.exchanges import ccxt_errors
from ztb.market.live.rest import Rest
from ztb.market.venues import key_rights, venue_name
from ztb.secrets import read_secret, require_secret

_WINDOW = "recvWindow"  # ccxt's option, milliseconds
_LONGEST_WINDOW_MS = 5_000
_WINDOW_MARGIN_S = 2.0  # venues take what is a second ahead of their clock

Outcome: TypeAlias = Literal["refused", "unknown"]


class Socket(Protocol):
    """The part of ccxt's `Client`, one websocket, that we look at. `rejections`: errors that nobody has been told
    of yet.
    """

    isConnected: bool  # noqa: N815 (ccxt's name)
    rejections: dict[str, Exception]


class PrivateClient(VenueClient, Protocol):
    """Times are milliseconds since 1970. `clients` are the open websockets by URL."""

    clients: dict[str, Socket]
    tokenBucket: dict[str, Any]  # noqa: N815 (ccxt's name)
    options: dict[str, Any]
    apiKey: str  # noqa: N815 (ccxt's name)

    def set_markets(self, markets: list[dict[str, Any]], /) -> Any: ...

    def market(self, symbol: str, /) -> dict[str, Any]: ...

    def feature_value(self, symbol: str, method: str, parameter: str, /) -> Any: ...

    async def create_order(
        self, symbol: str, kind: str, side: str, amount: float, price: float | None, params: dict[str, Any], /
    ) -> Row: ...

    async def edit_order(
        self,
        order_id: str,
        symbol: str,
        kind: str,
        side: str,
        amount: float,
        price: float | None,
        params: dict[str, Any],
        /,
    ) -> Row: ...

    async def cancel_order(self, order_id: str | None, symbol: str, params: dict[str, Any], /) -> Row: ...

    async def fetch_order(self, order_id: str | None, symbol: str, params: dict[str, Any], /) -> Row: ...

    async def fetch_open_orders(self, symbol: str) -> list[Row]: ...

    async def fetch_my_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None
    ) -> list[Row]: ...

    async def fetch_balance(self) -> Row: ...

    async def watch_my_trades(self, symbol: str) -> list[Row]: ...

    async def watch_orders(self, symbol: str) -> list[Row]: ...

    async def cancel_all_orders_after(self, milliseconds: int, /) -> Any: ...


_REFUSED: tuple[type[Exception], ...] = (
    ccxt_errors.InsufficientFunds, ccxt_errors.InvalidOrder, ccxt_errors.BadRequest, ccxt_errors.BadSymbol,
    ccxt_errors.AuthenticationError, ccxt_errors.NotSupported, ccxt_errors.ArgumentsRequired,
    ccxt_errors.RateLimitExceeded, ccxt_errors.DDoSProtection, ccxt_errors.InvalidNonce,
)  # fmt: skip
"""The venue said no, or ccxt did before anything was sent. What is not here may have been accepted."""


def outcome_of(error: Exception) -> Outcome:
    """The fate of an order whose sending raised `error`."""
    return "refused" if isinstance(error, _REFUSED) else "unknown"


def is_unknown_order(error: Exception) -> bool:
    """True if the venue says that it does not know an order."""
    return isinstance(error, ccxt_errors.OrderNotFound)


def keys(environment: Mapping[str, str]) -> dict[str, str]:
    """The venue's key as options for ccxt, from the environment, 0600 files or systemd credentials. ConfigError."""
    found = {
        "apiKey": require_secret("exchange_api_key", "--mode live", environment),
        "secret": require_secret("exchange_secret", "--mode live", environment),
    }
    password = read_secret("exchange_password", environment)
    return found if password is None else found | {"password": password}


def private_client(market: MarketSection, environment: Mapping[str, str]) -> PrivateClient:
    """A client of the configured venue that may trade.

    The time in which a venue takes what was sent is shortened where ccxt's is long and the configuration has none:
    for so long nobody knows what became of an order without an answer.
    """
    options = {**market.client, **keys(environment)}
    settings = ClientSettings(
        venue_name(market.venue or ""), options, market.allowed_hosts, sandbox=market.sandbox
    )
    client = cast(PrivateClient, client_factory(settings)())
    window_ms = client.options.get(_WINDOW)
    if window_ms is not None and _WINDOW not in market.client.get("options", {}):
        client.options[_WINDOW] = min(window_ms, _LONGEST_WINDOW_MS)
    return client


def patience_of(client: PrivateClient, least_s: float) -> float:
    """Seconds after which the venue cannot take an unanswered order any more: its window for requests is over."""
    window_s = float(client.options.get(_WINDOW, 0)) / 1000.0
    return max(least_s, window_s + _WINDOW_MARGIN_S)


async def refuse_withdrawal_rights(client: PrivateClient, rest: Rest) -> bool:
    """ConfigError if the key may withdraw; whether the venue could tell. VenueError if it does not answer.

    Sandboxes, and keys that may not ask, have an error in the place of an answer.
    """
    rights = key_rights(client.id)
    if rights is None:
        return False
    answer = await rest.call(lambda _client: _told(getattr(client, rights.call)))
    if answer is None:
        return False
    if rights.may_withdraw(answer):
        raise ConfigError(
            f"the key of {client.id} may withdraw: make one that may trade only, nothing here needs more"
        )
    return True


async def _told(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, None where the venue has no such question."""
    try:
        return await ask()
    except ccxt_errors.ExchangeError as error:
        wrong_key = isinstance(error, ccxt_errors.AuthenticationError)
        if wrong_key and not isinstance(error, ccxt_errors.PermissionDenied):
            raise
        return None
