"""Our account at a venue, a component of a live run: orders, what comes of them, the comparison with our books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from ztb.config import MarketSection
from ztb.errors import InvariantError, VenueError
from ztb.execution.orders import OrderRequest, is_protective
from ztb.execution.protection import reached
from ztb.ledger.capital import Adoption
from ztb.ledger.records import FillRow, GenerationRow, Record
from ztb.market.live.rest import Backoff, Rest
from ztb.ports import Clock
from ztb.runtime.daemon.account import AccountKeeper
from ztb.runtime.daemon.controls import SessionControls
from ztb.runtime.guards import NOT_ARMED, NOT_RECONCILED
from ztb.runtime.modes.arming import disarm
from ztb.runtime.modes.paper import TradingRequest
from ztb.runtime.recovery.adoption import adopt
from ztb.runtime.recovery.past import Past
from ztb.runtime.session import Session
from ztb.runtime.venue.broker import VenueBroker
from ztb.runtime.venue.client import PrivateClient, private_client
from ztb.runtime.venue.dead_man import dead_man_of
from ztb.runtime.venue.gateway import GatewayCallbacks, OrderGateway
from ztb.runtime.venue.protection import Protection, ProtectionCallbacks, has_stops
from ztb.runtime.venue.reconciliation import Reconciler
from ztb.runtime.venue.throttle import keep_warm
from ztb.runtime.venue.user_stream import UserStream
from ztb.telemetry.conditions import Severity
from ztb.telemetry.snapshot import ProtectiveStopFact

_LAST_LOOK_S = 3.0


@dataclass(slots=True)
class VenueSide:
    """The account's side of a live run: who asks the venue, and how, and the broker that takes its orders.

    `patience_s`: an order without an answer is asked for at least so long.
    """

    client: PrivateClient
    rest: Rest
    broker: VenueBroker
    backoff: Callable[[], Backoff]
    patience_s: float


def _user_stream(
    venue: VenueSide,
    market: MarketSection,
    environment: Mapping[str, str],
    clock: Clock,
    heard: Callable[[], None],
    missed_some: Callable[[], None],
) -> UserStream:
    def make() -> PrivateClient:
        client = private_client(market, environment)
        client.set_markets_from_exchange(venue.client)
        return client

    return UserStream(
        make=make,
        symbol=venue.broker.instrument.symbol,
        table=venue.broker.table,
        clock=clock,
        backoff=venue.backoff(),
        heard=heard,
        again=missed_some,
    )


class VenueAccount(AccountKeeper):
    """Our account at the venue: orders, what comes of them, and the comparison with our books, all beside the engine.

    New risk is held back until our books and the venue's agree; a mismatch halts. `ztb disarm`, and a generation that
    is promoted by hand, end the permission to trade at once.
    """

    name = "venue-account"

    def __init__(
        self,
        session: Session,
        request: TradingRequest,
        venue: VenueSide,
        clock: Clock,
        environment: Mapping[str, str],
        since_ns: int,
        rights_known: bool,
        past: Past | None,
    ) -> None:
        """`since_ns`: the venue's trades from then on are looked at. `rights_known`: it told what the key may do."""
        config, lane, wanted = request.config, session.engine.live, asyncio.Event()
        self._session = session
        self._venue = venue
        self._permission = lane.gate.memory.permission
        self._controls: SessionControls | None = None
        self._rights_known = rights_known
        self._halted_for = ""
        self._cancel = config.execution.orders_at_start == "cancel"
        self._stream = _user_stream(
            venue=venue,
            market=config.market,
            environment=environment,
            clock=clock,
            heard=lane.collect,
            missed_some=wanted.set,
        )
        self._protection = self._protective_stop()
        if past is not None:
            self._protection.resume(past.stops)
        self._gateway = self._order_gateway()
        self._reconciler = self._reconciliation(config.execution.reconcile_every_s, since_ns, wanted)
        self._dead_man = dead_man_of(
            config=config,
            gateway=self._gateway,
            protection=self._protection,
            folder=request.directory.path,
            stops=past.stops if past else 0,
        )
        self._permission.holds[NOT_RECONCILED] = ""

    def _reconciliation(self, every_s: float, since_ns: int, wanted: asyncio.Event) -> Reconciler:
        session = self._session
        return Reconciler(
            gateway=self._gateway,
            account=session.books.account,
            journal=session.journal,
            every_s=every_s,
            since_ms=since_ns // 1_000_000 - 60_000,
            heard=session.engine.live.collect,
            halt=self._halt,
            missed=self._stream.missed,
            wanted=wanted,
        )

    def _protective_stop(self) -> Protection:
        broker, lane = self._venue.broker, self._session.engine.live
        return Protection(
            table=broker.table,
            lane=lane,
            account=self._session.books.account,
            callbacks=ProtectionCallbacks(
                intend=self._intend,
                believed=lambda: self.believed,
                fraction=lambda: lane.gate.limits.stop_fraction,
                counted=lambda: self._dead_man.tell(),
            ),
            supported=has_stops(self._venue.client, broker.instrument.symbol),
        )

    def _order_gateway(self) -> OrderGateway:
        session, venue = self._session, self._venue
        return OrderGateway(
            broker=venue.broker,
            client=venue.client,
            rest=venue.rest,
            patience_s=venue.patience_s,
            callbacks=GatewayCallbacks(
                durable=session.journal.durable,
                stopped=self._stopped,
                heard=session.engine.live.collect,
                warn=session.context.broadcast.warn,
            ),
            protection=self._protection,
        )

    def _intend(self, order: OrderRequest) -> None:
        """A protective stop is about to be sent: write it down first."""
        engine = self._session.engine
        engine.books.intent(order, max(0, engine.progress.decisions - 1), engine.progress.last_ts_ns)

    def _stopped(self, order: OrderRequest) -> str:
        """A protective stop is no new risk: it goes out during a halt too."""
        if self._permission.halted and not is_protective(order.order_id):
            return "halted"
        if NOT_ARMED in self._permission.holds and order.side > 0:
            return NOT_ARMED  # decided before that, and waited for its turn
        return "" if self.believed else NOT_RECONCILED

    def _halt(self, reason: str) -> None:
        if self._controls is None:
            raise InvariantError(f"reconciled before there was a daemon: {reason}")
        if self._permission.halted and reason == self._halted_for:
            return  # it lasts, and has been latched and journaled
        self._halted_for = reason
        self._controls.latch("halted", "reconciliation", reason)

    def start(self, controls: SessionControls) -> None:
        """See `Component`."""
        self._controls = controls

    def jobs(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """See `Component`."""
        return {
            "orders": self._gateway.run,
            "connections": partial(keep_warm, self._venue.client),
            "user-stream": self._stream.run,
            "reconciliation": self._reconciler.run,
            "dead-man": self._dead_man.run,
        }

    def tick(self) -> None:
        """See `Component`: orders of before are cancelled, if so configured, once the books agree."""
        if not self._rights_known:
            self._rights_known = True  # said once, when whoever watches is there to hear it
            text = (
                f"{self._venue.client.id} cannot tell what the key may do: make sure that it cannot withdraw"
            )
            self._session.context.broadcast.warn("key_rights_unknown", text)
        self._venue.broker.protect()
        if not self._reconciler.done.is_set():
            self._permission.holds[NOT_RECONCILED] = ""
            return
        if self._cancel:
            self._cancel = False
            self._session.cancel_all()
        self._permission.holds.pop(NOT_RECONCILED, None)

    def on_record(self, record: Record) -> None:
        """See `Component`."""
        if isinstance(record, FillRow) and is_protective(record.order_id):
            text = reached(record.quantity, record.price)
            self._session.context.broadcast.warn("protective_stop_reached", text)
        if not isinstance(record, GenerationRow) or record.event != "promoted":
            return
        if json.loads(record.detail).get("reason") == "manual":
            self.disarm(f"generation {record.generation} was promoted by hand")

    async def ended(self) -> None:
        """See `Component`: a last look at what the venue has to say, and the dead man's switch is put down."""
        try:
            async with asyncio.timeout(_LAST_LOOK_S):
                await self._reconciler.catch_up()
        except (TimeoutError, VenueError):
            text = "the venue did not answer at the end: the next start will ask it"
            self._session.context.broadcast.warn("last_look", text)
        await self._dead_man.release()

    async def close(self) -> None:
        """See `Component`."""
        await self._venue.rest.close()

    @property
    def believed(self) -> bool:
        """See `AccountKeeper`: from the first comparison with the venue on."""
        return self._reconciler.rounds > 0

    @property
    def protective_stop(self) -> ProtectiveStopFact | None:
        """See `AccountKeeper`."""
        return self._protection.fact

    @property
    def unprotected(self) -> tuple[str, Severity]:
        """See `AccountKeeper`."""
        return self._protection.lacking

    async def adopt(self, origin: str) -> str:
        """See `AccountKeeper`."""
        found = await self._reconciler.settled()
        # From here on without an await: nothing may happen between the venue's figures and ours.
        engine = self._session.engine
        account, mid = engine.books.account, engine.live.broker.view["mid"].item()
        cash, position = found.cash - account.exact_cash, found.position - account.exact_position
        adoption = Adoption(engine.progress.last_ts_ns, cash, position, mid)
        evidence = self._reconciler.evidence(found)
        self._session.journal.append(adoption.note(engine.progress.rows, {"asked by": origin, **evidence}))
        adopt(adoption, engine)
        self._session.journal.commit()
        self._reconciler.wanted.set()
        return f"adopted {adoption.cash:+f} in cash and {adoption.position:+f} in position"

    def disarm(self, cause: str = "by a command") -> str:
        """See `AccountKeeper`."""
        disarm(self._session.directory.path)
        self._permission.holds[NOT_ARMED] = cause
        return "disarmed: no new risk; `ztb arm` and a restart arm it again"
