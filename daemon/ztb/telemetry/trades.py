"""Round trips of a run with the expert that entered each, what every fill earned, and the figures traders judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ztb.ledger.records import OrderRow
from ztb.ledger.round_trips import Movement, PositionChange, RoundTrip, RoundTrips
from ztb.telemetry.run_data import Floats, RunData

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ReportedTrade:
    """A round trip, closed or open. `net` profit is quote currency, of an open one at the last mid; `expert` is who
    wanted most of the position that its entry brought, or the strategy where it trades alone."""

    trip: RoundTrip
    expert: str
    net: float

    @property
    def closed(self) -> bool:
        return self.trip.exit_ns is not None

    @property
    def holding_ns(self) -> int | None:
        """From entry to exit."""
        return None if self.trip.exit_ns is None else self.trip.exit_ns - self.trip.entry_ns

    @property
    def invested(self) -> float:
        """Value at the entry, quote currency."""
        return float(self.trip.entry_price * self.trip.quantity)


def trades(run: RunData) -> list[ReportedTrade]:
    """Every round trip, those that are closed first, each in the order of its end."""
    movements = RoundTrips(run.movements)
    last = Decimal(repr(float(run.marks.mid[-1]))) if len(run.marks.mid) else _ZERO
    wanted = entered_by(run)
    return [
        ReportedTrade(trip, wanted.get(trip.entry_order or -1, "taken over"), float(trip.net_profit(last)))
        for trip in movements
    ]


def entered_by(run: RunData) -> dict[int, str]:
    """The expert behind each order, by its number: the one with the largest weight × target in the order's
    direction.
    """
    place = {number: k for k, number in enumerate(run.decisions.number.tolist())}
    alone = str(run.manifest.get("config", {}).get("strategy", {}).get("name", "the strategy"))
    if not run.experts:
        return {order.order_id: alone for order in run.orders}
    names = [one.name for one in run.experts]
    parts = np.nan_to_num(np.stack([one.weight * one.aim for one in run.experts]))
    return {order.order_id: _leader(order, names, parts, place) for order in run.orders}


def _leader(order: OrderRow, names: Sequence[str], parts: Floats, place: dict[int, int]) -> str:
    at = place.get(order.decision)
    if at is None:
        return "the daemon"
    wanted = order.side * parts[:, at]
    return names[int(np.argmax(wanted))] if wanted.max() > 0.0 else "none: closing"


def profits_of_fills(movements: Sequence[Movement]) -> list[float | None]:
    """The profit of each fill that came of an order by closing, net, quote currency; None where it closed nothing."""
    trips, found = RoundTrips(), list[float | None]()
    for movement in movements:
        count = len(trips.closed)
        before = trips.closed[-1].net_profit(_ZERO) if count else _ZERO
        quantity = trips.closed[-1].quantity if count else _ZERO
        trips.move(movement)
        if not isinstance(movement, PositionChange) or movement.order is None:
            continue
        since = trips.closed[max(count - 1, 0) :]
        closes = len(trips.closed) > count or (count > 0 and trips.closed[count - 1].quantity != quantity)
        earned = sum((trip.net_profit(_ZERO) for trip in since), _ZERO) - before
        found.append(float(earned) if closes else None)
    return found


@dataclass(frozen=True, slots=True)
class TradeStatistics:
    """Figures of the round trips that are closed; None where one does not exist. Money is net, quote currency."""

    closed: int
    open: int
    won: int
    gross_profit: float
    gross_loss: float
    best: float | None
    worst: float | None
    holding_ns: int | None
    in_market: float
    exposure: float

    @property
    def win_rate(self) -> float | None:
        """Share of round trips that earned anything."""
        return self.won / self.closed if self.closed else None

    @property
    def profit_factor(self) -> float | None:
        """The winners' profit over the losers' loss."""
        return self.gross_profit / self.gross_loss if self.gross_loss > 0.0 else None

    @property
    def expectancy(self) -> float | None:
        """Mean profit of a round trip."""
        return (self.gross_profit - self.gross_loss) / self.closed if self.closed else None


def trade_statistics(run: RunData, found: Sequence[ReportedTrade]) -> TradeStatistics:
    """`in_market` is the share of decisions with a position, `exposure` the mean of its value over equity, unsigned."""
    closed = [one for one in found if one.closed]
    nets = [one.net for one in closed]
    held = [one.holding_ns for one in closed if one.holding_ns is not None]
    exposure = np.abs(run.marks.exposure)
    return TradeStatistics(
        closed=len(closed),
        open=len(found) - len(closed),
        won=sum(net > 0.0 for net in nets),
        gross_profit=sum(net for net in nets if net > 0.0),
        gross_loss=-sum(net for net in nets if net < 0.0),
        best=max(nets, default=None),
        worst=min(nets, default=None),
        holding_ns=sum(held) // len(held) if held else None,
        in_market=float((run.marks.position != 0.0).mean()) if len(exposure) else 0.0,
        exposure=float(exposure.mean()) if len(exposure) else 0.0,
    )
