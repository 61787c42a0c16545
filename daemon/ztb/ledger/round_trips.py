"""Round trips: what was bought and later sold (or sold and bought back), matched first in, first out.

Each exit closes the oldest quantity that is still open, as tax law and pyfolio's `extract_round_trips` count it, so
that a position which is only ever made larger and smaller has trades too. Fees and funding go with the quantity that
they were paid on; what a division leaves over stays with the rest, so that nothing is lost: the net profit of all
trades, closed and open, is the change of equity, to the 28 digits of Decimal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class PositionChange:
    """A change of the position: `quantity` base currency, signed, at `price`; `fee` quote currency.

    `order` and `generation` are None for what came without an order: an opening position, or one taken over.
    """

    ts_ns: int
    quantity: Decimal
    price: Decimal
    fee: Decimal = _NOTHING
    order: int | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    """Funding paid to us (`amount` above 0) or by us, quote currency."""

    ts_ns: int
    amount: Decimal


Movement: TypeAlias = PositionChange | Paid


@dataclass(slots=True)
class RoundTrip:
    """`quantity` base currency, above 0, that was entered by one order and left by another one; still open: by none.

    `side` is +1 for bought first, -1 for sold first. Prices are means over its fills; money is quote currency.
    """

    side: int
    quantity: Decimal
    entry_ns: int
    entry_price: Decimal
    entry_order: int | None
    generation: int | None
    fees: Decimal
    funding: Decimal = _NOTHING
    exit_ns: int | None = None
    exit_price: Decimal | None = None
    exit_order: int | None = None

    def net_profit(self, price: Decimal) -> Decimal:
        """At an exit at `price`, fees and funding counted; of one that is closed, its exit price is meant."""
        paid = price if self.exit_price is None else self.exit_price
        return self.side * (paid - self.entry_price) * self.quantity - self.fees + self.funding

    def split(self, quantity: Decimal) -> RoundTrip:
        """Take `quantity` off, with its share of what was paid; the rest stays."""
        fees = _share(self.fees, quantity, self.quantity)
        funding = _share(self.funding, quantity, self.quantity)
        self.quantity -= quantity
        self.fees -= fees
        self.funding -= funding
        return RoundTrip(
            side=self.side,
            quantity=quantity,
            entry_ns=self.entry_ns,
            entry_price=self.entry_price,
            entry_order=self.entry_order,
            generation=self.generation,
            fees=fees,
            funding=funding,
        )


def _share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return amount if part == whole else amount * part / whole


class RoundTrips:
    """Every trade of one account, from its movements in order: `closed`, and `open` from the oldest on."""

    def __init__(self, movements: Iterable[Movement] = ()) -> None:
        self.closed: list[RoundTrip] = []
        self.open: deque[RoundTrip] = deque()
        for movement in movements:
            self.move(movement)

    def move(self, movement: Movement) -> None:
        """Let one thing happen."""
        if isinstance(movement, Paid):
            self._pay(movement.amount)
        elif movement.quantity:
            self._trade(movement)
        elif movement.fee:
            self._pay(-movement.fee)

    def _trade(self, traded: PositionChange) -> None:
        side, left, fee = (1 if traded.quantity > 0 else -1), abs(traded.quantity), traded.fee
        while left and self.open and self.open[0].side != side:
            oldest = self.open[0]
            quantity = min(left, oldest.quantity)
            trip = oldest.split(quantity) if quantity < oldest.quantity else self.open.popleft()
            paid = _share(fee, quantity, left)
            left, fee = left - quantity, fee - paid
            trip.fees += paid
            trip.exit_ns, trip.exit_price, trip.exit_order = traded.ts_ns, traded.price, traded.order
            _join_or_append(self.closed, trip)
        if left:
            order, generation = traded.order, traded.generation
            _join_or_append(
                self.open,
                RoundTrip(
                    side=side,
                    quantity=left,
                    entry_ns=traded.ts_ns,
                    entry_price=traded.price,
                    entry_order=order,
                    generation=generation,
                    fees=fee,
                ),
            )

    def _pay(self, amount: Decimal) -> None:
        """Share funding among what is open, or book it to what was closed last."""
        whole = sum((trip.quantity for trip in self.open), _NOTHING)
        for trip in self.open:
            part = _share(amount, trip.quantity, whole)
            trip.funding += part
            amount, whole = amount - part, whole - trip.quantity
        if amount and self.closed:
            self.closed[-1].funding += amount

    def __iter__(self) -> Iterator[RoundTrip]:
        yield from self.closed
        yield from self.open


def _join_or_append(trips: list[RoundTrip] | deque[RoundTrip], new: RoundTrip) -> None:
    """Fills of the same two orders are one trade."""
    last = trips[-1] if trips else None
    if last is None or not _same_orders(last, new):
        trips.append(new)
        return
    whole = last.quantity + new.quantity
    last.entry_price += (new.entry_price - last.entry_price) * new.quantity / whole
    if last.exit_price is not None and new.exit_price is not None:
        last.exit_price += (new.exit_price - last.exit_price) * new.quantity / whole
    last.quantity = whole
    last.fees += new.fees
    last.funding += new.funding
    last.exit_ns = new.exit_ns


def _same_orders(one: RoundTrip, other: RoundTrip) -> bool:
    return (
        one.entry_order is not None
        and one.side == other.side
        and (one.entry_order, one.exit_order, one.exit_ns is None)
        == (other.entry_order, other.exit_order, other.exit_ns is None)
    )
