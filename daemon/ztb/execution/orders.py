"""Orders and what venues say about them: frozen facts, the same on paper and live.

Quantities are whole lots and prices whole ticks of the instrument; times are nanoseconds since 1970.
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Literal, TypeAlias

import msgspec


class OrderType(IntEnum):
    MARKET = 0
    LIMIT = 1
    STOP = 2  # waits at the venue until the last price has come to `price_ticks`, then takes what there is


class TimeInForce(IntEnum):
    GTC = 0  # good till cancelled
    IOC = 1  # immediate or cancel: what does not trade on arrival expires
    FOK = 2  # fill or kill: all on arrival, or nothing


Liquidity: TypeAlias = Literal["maker", "taker"]


PROTECTIVE_FROM = 1_000_000_000_000
"""Numbers from here on are of protective stops, which no decision asked for; a lane counts its orders from 1."""

PROTECTIVE_SIDE = -1
"""They sell: live positions are long. What they sold may be told before what was bought, so no account can say it."""


def is_protective(order_id: int) -> bool:
    """Whether an order is a protective stop."""
    return order_id >= PROTECTIVE_FROM


class OrderRequest(msgspec.Struct, frozen=True):
    """An order as it is sent. `side` is +1 to buy, -1 to sell; `price_ticks` is read by LIMIT and STOP orders alone.

    A market order never rests: what the book cannot fill expires, whatever its time in force.
    """

    order_id: int
    side: int
    lots: int
    order_type: OrderType
    price_ticks: int = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False


class OpenOrder(msgspec.Struct, frozen=True):
    """An order in flight or at the venue, as far as reports have told: `remaining_lots` may still fill."""

    request: OrderRequest
    remaining_lots: int

    @property
    def order_id(self) -> int:
        return self.request.order_id

    @property
    def side(self) -> int:
        return self.request.side

    @property
    def price_ticks(self) -> int:
        return self.request.price_ticks


class Accepted(msgspec.Struct, frozen=True):
    order_id: int
    ts_ns: int


class Rejected(msgspec.Struct, frozen=True):
    order_id: int
    ts_ns: int
    reason: str


class SubmitUnknown(msgspec.Struct, frozen=True):
    """The order was sent and no answer came: it may or may not be at the venue, which is asked, never sent again."""

    order_id: int
    ts_ns: int
    reason: str


class CancelRequested(msgspec.Struct, frozen=True):
    """A venue is being asked to end an order."""

    order_id: int
    ts_ns: int


class Filled(msgspec.Struct, frozen=True):
    """One execution. `fill_id` is unique at its venue: a second report with it is the same fill.

    `fee` is the venue's own figure in quote currency; None where the ledger computes it from the rate.
    `base_fee` is what it took in base currency, `other_fee` what in a third one, such as "0.001 BNB".
    """

    order_id: int
    ts_ns: int
    fill_id: int
    lots: int
    price_ticks: int
    liquidity: Liquidity
    cumulative_lots: int
    fee: Decimal | None = None
    base_fee: Decimal = Decimal(0)
    other_fee: str = ""


class Cancelled(msgspec.Struct, frozen=True):
    order_id: int
    ts_ns: int
    remaining_lots: int


class CancelRejected(msgspec.Struct, frozen=True):
    order_id: int
    ts_ns: int
    reason: str


class Expired(msgspec.Struct, frozen=True):
    """What an order that may not rest could not fill."""

    order_id: int
    ts_ns: int
    remaining_lots: int


class Funded(msgspec.Struct, frozen=True):
    """Funding paid to us (`amount` > 0) or by us, quote currency."""

    ts_ns: int
    amount: float


OrderEvent: TypeAlias = (
    Accepted
    | Rejected
    | SubmitUnknown
    | Filled
    | CancelRequested
    | Cancelled
    | CancelRejected
    | Expired
    | Funded
)
