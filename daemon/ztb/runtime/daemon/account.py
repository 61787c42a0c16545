"""Whoever keeps the account that a daemon trades: here on the paper exchange, whose word is ours."""

from __future__ import annotations

from decimal import Decimal

from ztb.errors import UsageError
from ztb.execution.orders import is_protective
from ztb.execution.protection import NO_FRACTION, no_stops_at, reached, too_little, trigger_price
from ztb.ledger.records import FillRow, Record
from ztb.runtime.daemon.component import Component
from ztb.runtime.session import Session
from ztb.telemetry.conditions import Severity
from ztb.telemetry.snapshot import ProtectiveStopFact


class AccountKeeper(Component):
    """Whoever keeps the account that the daemon trades; this one has nothing to say against our books."""

    @property
    def believed(self) -> bool:
        """True if our books have been found to be right; until then nothing is flattened by them."""
        return True

    @property
    def protective_stop(self) -> ProtectiveStopFact | None:
        """The stop that stands at the venue."""
        return None

    @property
    def unprotected(self) -> tuple[str, Severity]:
        """The reason why no stop at the venue protects the position, and how bad that is; "" where one does, or
        none is due.
        """
        return "", "info"

    async def adopt(self, origin: str) -> str:
        """Take the venue's figures over for `origin`; what has changed. UsageError: there is nothing to adopt."""
        raise UsageError("there is nothing to adopt: no real money is traded")

    def disarm(self) -> str:
        """End what `ztb arm` began; what was done."""
        return "there is nothing to disarm: no real money is traded"


class PaperAccount(AccountKeeper):
    """The account on the paper exchange; its stop is told of as one at a venue."""

    name = "paper-account"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lane = session.engine.live
        self._instrument = session.assembly.instrument

    def _stop(self, name: str) -> float:
        """A figure of the stop, as the exchange has it under that name."""
        lane = self._lane
        value: float = lane.floor.lanes.exchange[name].item(lane.place)
        return value

    def on_record(self, record: Record) -> None:
        """See `Component`."""
        if isinstance(record, FillRow) and is_protective(record.order_id):
            text = reached(record.quantity, record.price)
            self._session.context.broadcast.warn("protective_stop_reached", text)

    @property
    def protective_stop(self) -> ProtectiveStopFact | None:
        """See `AccountKeeper`."""
        ticks, instrument = int(self._stop("stop_ticks")), self._instrument
        if not ticks:
            return None
        quantity = int(self._stop("stop_lots")) * instrument.lot_size
        return ProtectiveStopFact(float(quantity), float(ticks * instrument.tick_size))

    @property
    def unprotected(self) -> tuple[str, Severity]:
        """See `AccountKeeper`."""
        if not self._stop("keeps_stops"):
            return no_stops_at(self._instrument.venue), "info"
        if self._lane.gate.limits.stop_fraction <= 0.0:
            return NO_FRACTION, "info"
        held = self._smallness
        return (too_little(held) if held and not self._stop("stop_ticks") else "", "info")

    @property
    def _smallness(self) -> str:
        """The reason why the venue would not take the position as a stop; "" if it would, or there is none."""
        account, instrument = self._lane.broker.account, self._instrument
        cash, position = account["cash"].item(), account["position"].item()
        lots, mid = int(position / float(instrument.lot_size) + 1e-9), self._lane.broker.view["mid"].item()
        if lots <= 0 or mid <= 0.0:
            return ""
        price = trigger_price(self._stop("stop_floor"), cash, position, mid)
        return instrument.smallness(lots, int(Decimal(repr(price)) / instrument.tick_size))
