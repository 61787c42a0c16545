"""Orders, the facts that the matching engine states about them, and refusals as the venue words them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Refusal(Exception):
    """The request is refused."""

    def __init__(self, code: int, message: str, status: int = 400, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s


def filter_failure(name: str) -> Refusal:
    """An order outside of a filter of its symbol."""
    return Refusal(-1013, f"Filter failure: {name}")


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """The side it trades with."""
        return Side.SELL if self is Side.BUY else Side.BUY


class ExchangeOrderType(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"

    @property
    def at_market(self) -> bool:
        """Whether it takes whatever price there is, at once or when it is triggered."""
        return self in (ExchangeOrderType.MARKET, ExchangeOrderType.STOP_LOSS)


class ExchangeTimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class ExchangeOrderStatus(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"


class Execution(StrEnum):
    """What an execution report reports."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    TRADE_PREVENTION = "TRADE_PREVENTION"


OPEN = frozenset({ExchangeOrderStatus.NEW, ExchangeOrderStatus.PARTIALLY_FILLED})


@dataclass(frozen=True, slots=True)
class ExchangeOrderRequest:
    """An order as asked for. Amounts in units (1e-8); a market order names `quantity` or `quote_quantity`.

    `stop_price`: the last price at or below which a STOP_LOSS becomes a market order.
    """

    account: str
    symbol: str
    client_id: str
    side: Side
    type: ExchangeOrderType
    time_in_force: ExchangeTimeInForce = ExchangeTimeInForce.GTC
    price: int = 0
    quantity: int = 0
    quote_quantity: int = 0
    stop_price: int = 0


@dataclass(slots=True)
class ExchangeOrder:
    """An accepted order. `locked` is what it holds back of quote (buy) or base (sell), in units. `waiting`: a stop
    that has not been triggered."""

    id: int
    request: ExchangeOrderRequest
    quantity: int
    created_ms: int
    updated_ms: int
    status: ExchangeOrderStatus = ExchangeOrderStatus.NEW
    filled: int = 0
    spent: int = 0
    locked: int = 0
    waiting: bool = False

    @property
    def remaining(self) -> int:
        """Base units not filled yet."""
        return self.quantity - self.filled


@dataclass(frozen=True, slots=True)
class Fill:
    """One side of one trade. `commission` in units of `commission_asset`."""

    trade_id: int
    order_id: int
    symbol: str
    account: str
    side: Side
    price: int
    quantity: int
    quote: int
    commission: int
    commission_asset: str
    is_maker: bool
    time_ms: int


@dataclass(frozen=True, slots=True)
class Print:
    """A public trade. `buyer_is_maker`: the seller took."""

    symbol: str
    id: int
    price: int
    quantity: int
    time_ms: int
    buyer_order: int
    seller_order: int
    buyer_is_maker: bool


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """An order as it was right after something happened to it."""

    order: ExchangeOrder
    execution: Execution
    time_ms: int
    fill: Fill | None = None
    cancel_id: str = ""


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """Assets of an account that changed, with free and locked units after the change."""

    account: str
    balances: tuple[tuple[str, int, int], ...]
    time_ms: int


Fact = Print | ExecutionReport | BalanceChange
