"""Live mode: real orders through the venue's own account, armed, reconciled, and watched over."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import msgspec
import numpy as np

from ztb.config import MarketSection, config_hash
from ztb.errors import ConfigError, InvariantError, VenueError
from ztb.execution.orders import OrderRequest, is_protective
from ztb.execution.risk import RiskLimits
from ztb.ledger.bookkeeper import client_prefix
from ztb.ledger.capital import Adoption, Opening
from ztb.ledger.records import COLLECTED, FillRow, GenerationRow, Record
from ztb.market.live.instrument import refuse_contracts
from ztb.market.live.rest import Backoff, Rest
from ztb.ports import Clock
from ztb.runtime.broadcast import Broadcast
from ztb.runtime.daemon.component import AccountKeeper
from ztb.runtime.daemon.controls import SessionControls
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.guards import NOT_ARMED, NOT_RECONCILED
from ztb.runtime.modes.arming import (
    Arming,
    account_of,
    disarm,
    fault_of,
    read_arming,
    require_armed,
    write_arming,
)
from ztb.runtime.modes.paper import (
    MarketWatch,
    TradingRequest,
    market_context,
    open_market,
)
from ztb.runtime.recovery.adoption import adopt
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.recovery.put_back import enter_put_back
from ztb.runtime.session import Session
from ztb.runtime.sources.live import LiveMarket
from ztb.runtime.venue.broker import BrokerCallbacks, VenueBroker
from ztb.runtime.venue.client import PrivateClient, patience_of, private_client, refuse_withdrawal_rights
from ztb.runtime.venue.dead_man import dead_man_of
from ztb.runtime.venue.protection import Protection, ProtectionCallbacks, has_stops
from ztb.runtime.venue.reconciliation import Reconciler, fetch_balances
from ztb.runtime.venue.throttle import OrdersFirst
from ztb.runtime.venue.user_stream import UserStream
from ztb.runtime.venue.watchdog import at_rest
from ztb.secrets import require_secret
from ztb.telemetry.conditions import Severity
from ztb.telemetry.snapshot import ProtectiveStopFact
from ztb.utils.installation import code_version

_BACKOFF_S, _BACKOFF_MOST_S = 0.25, 30.0
_LAST_LOOK_S = 3.0
_WATCHDOG_S = 15.0


@dataclass(slots=True)
class _Venue:
    """The account's side of a live run."""

    client: PrivateClient
    rest: Rest
    broker: VenueBroker
    backoff: Callable[[], Backoff]


async def live_daemon(
    request: TradingRequest,
    options: DaemonOptions,
    clock: Clock,
    environment: Mapping[str, str] = os.environ,
) -> Daemon:
    """Live data, live orders. ConfigError where it is not armed or the key may too much; VenueError."""
    if request.config.allocation.by == "none":
        raise ConfigError(
            "allocation.by: none lets a policy trade the whole account, proved or not: never with real money; remove it"
        )
    broadcast = Broadcast()
    await at_rest(request.directory.path, _WATCHDOG_S)
    enter_put_back(request.directory)
    past = read_past(request.directory.journal)
    arming = _armed(request, past, clock, environment)
    market = await open_market(request, clock, broadcast.warn)
    try:
        return await _connected(
            request=request,
            options=options,
            clock=clock,
            environment=environment,
            broadcast=broadcast,
            market=market,
            past=past,
            arming=arming,
        )
    except BaseException:
        await market.source.rest.close()
        raise


def _armed(
    request: TradingRequest, past: Past | None, clock: Clock, environment: Mapping[str, str]
) -> Arming:
    """The permission, marked as used by this start. ConfigError if there is none that holds."""
    account = account_of(require_secret("exchange_api_key", "--mode live", environment))
    folder, now_ns = request.directory.path, clock.now_ns()
    arming = read_arming(folder)
    lineage = {row.weights_sha256 for row in past.generations} if past else set[str]()
    fault = fault_of(arming, account, config_hash(request.config), code_version(), lineage, now_ns)
    require_armed(fault, folder)
    given = cast(Arming, arming)
    started = msgspec.structs.replace(given, started_ns=given.started_ns or now_ns)
    write_arming(folder, started)
    return started


async def _connected(
    request: TradingRequest,
    options: DaemonOptions,
    clock: Clock,
    environment: Mapping[str, str],
    broadcast: Broadcast,
    market: LiveMarket,
    past: Past | None,
    arming: Arming,
) -> Daemon:
    context = market_context("live", request, market, clock.now_ns(), past, broadcast)
    venue = _venue(request, clock, environment, market, client_prefix(context.run_id))
    try:
        rights_known = await refuse_withdrawal_rights(venue.client, venue.rest)
        opening = past.opening if past and past.opening else await _opening(venue, market)
    except BaseException:
        await venue.client.close()
        raise
    bound = partial(limited, limit_quote=arming.limit_quote, equity=opening.equity)
    session = Session.open(replace(context, opening=opening, broker=venue.broker, bound=bound))
    session.limit(request.config.risk)
    if past is not None:
        fills = {booked.fill.fill_id for booked in past.booked}
        venue.broker.resume([*past.open_orders, *past.open_stops], past.client_ids, fills)
    since_ns = past.unsettled_ns if past and past.opening else clock.now_ns()
    account = VenueAccount(
        session=session,
        request=request,
        venue=venue,
        clock=clock,
        environment=environment,
        since_ns=since_ns,
        rights_known=rights_known,
        past=past,
    )
    watch = MarketWatch(session, market, clock)
    return Daemon(session, market.source, clock, options, components=[watch], account=account)


def limited(limits: RiskLimits, limit_quote: float, equity: float) -> RiskLimits:
    """`limits`, with no order and no position beyond `limit_quote`."""
    exposure = limit_quote / equity if equity > 0.0 else limits.max_exposure
    return replace(
        limits,
        max_order_notional_quote=min(limits.max_order_notional_quote, limit_quote),
        max_exposure=min(limits.max_exposure, exposure),
    )


def _venue(
    request: TradingRequest, clock: Clock, environment: Mapping[str, str], market: LiveMarket, prefix: str
) -> _Venue:
    config = request.config
    refuse_contracts(market.source.instrument)
    uniform = np.random.default_rng(request.seed).random

    def backoff() -> Backoff:
        return Backoff(_BACKOFF_S, _BACKOFF_MOST_S, lambda: float(uniform()))

    client = private_client(config.market, environment)
    client.set_markets_from_exchange(market.source.rest.client)
    client.throttler = OrdersFirst(client.tokenBucket)
    rest = Rest(client, backoff)
    patience_s = patience_of(client, config.execution.unknown_order_s)
    broker = VenueBroker(client, rest, market.source.instrument, prefix, clock, patience_s)
    return _Venue(client, rest, broker, backoff)


async def _opening(venue: _Venue, market: LiveMarket) -> Opening:
    """What the account holds at the first start, at the market's mid."""
    balances = await fetch_balances(venue.broker)
    symbol = market.source.instrument.symbol
    book = await venue.rest.call(lambda client: client.fetch_order_book(symbol, 5))
    mid = (float(book["bids"][0][0]) + float(book["asks"][0][0])) / 2.0
    return Opening(balances.cash, balances.position, mid)


def _user_stream(
    venue: _Venue,
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
        make, venue.broker.instrument.symbol, venue.broker.table, clock, venue.backoff(), heard, missed_some
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
        venue: _Venue,
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
        self._cancel = config.execution.orders_at_start == "cancel"
        self._stream = _user_stream(
            venue=venue,
            market=config.market,
            environment=environment,
            clock=clock,
            heard=lane.collect,
            missed_some=wanted.set,
        )
        self._reconciler = Reconciler(
            broker=venue.broker,
            account=session.books.account,
            journal=session.journal,
            every_s=config.execution.reconcile_every_s,
            since_ms=since_ns // 1_000_000 - 60_000,
            heard=lane.collect,
            halt=self._halt,
            missed=self._stream.missed,
            wanted=wanted,
        )
        self._protection = Protection(
            sender=venue.broker,
            lane=lane,
            account=session.books.account,
            callbacks=ProtectionCallbacks(
                self._intend, lambda: self.believed, lambda: lane.gate.limits.stop_fraction
            ),
            supported=has_stops(venue.client, venue.broker.instrument.symbol),
        )
        if past is not None:
            self._protection.resume(past.stops)
        self._dead_man = dead_man_of(
            config, venue.broker, self._protection, request.directory.path, past.stops if past else 0
        )
        self._permission.holds[NOT_RECONCILED] = ""
        venue.broker.connect(
            BrokerCallbacks(
                durable=session.journal.durable,
                stopped=self._stopped,
                heard=lane.collect,
                collecting=lambda: session.record_external_event(COLLECTED),
                warn=session.context.broadcast.warn,
            ),
            self._protection,
        )

    def _intend(self, order: OrderRequest) -> None:
        """A protective stop is about to be sent: write it down first."""
        engine = self._session.engine
        engine.books.protect(order, max(0, engine.progress.decisions - 1), engine.progress.last_ts_ns)

    def _stopped(self, order: OrderRequest) -> str:
        """A protective stop is no new risk: it goes out during a halt too."""
        if self._permission.halted and not is_protective(order.order_id):
            return "halted"
        return "" if self.believed else NOT_RECONCILED

    def _halt(self, reason: str) -> None:
        if self._controls is None:
            raise InvariantError(f"reconciled before there was a daemon: {reason}")
        self._controls.latch("halted", "reconciliation", reason)

    def start(self, controls: SessionControls) -> None:
        """See `Component`."""
        self._controls = controls

    def jobs(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """See `Component`."""
        return {
            "broker": self._venue.broker.run,
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
            text = f"the protective stop was reached: {record.quantity} sold at {record.price}"
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
