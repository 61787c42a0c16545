"""Live mode: real orders through the venue's own account, armed, reconciled, and watched over."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from ztb.config import MarketSection, config_hash
from ztb.errors import ConfigError, VenueError
from ztb.execution.risk import RiskLimits
from ztb.ledger.bookkeeper import client_prefix
from ztb.ledger.capital import Adoption, Opening
from ztb.ledger.records import COLLECTED, GenerationRow, Record
from ztb.market.live.instrument import refuse_contracts
from ztb.market.live.rest import Backoff, Rest
from ztb.ports import Clock
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.modes.arming import (
    NOT_ARMED,
    Arming,
    account_of,
    disarm,
    fault_of,
    read_arming,
    require_armed,
    write_arming,
)
from ztb.runtime.modes.paper import (
    TradingRequest,
    Warnings,
    assembly_of,
    attend,
    facts_of,
    open_market,
    origin_of,
    run_id_of,
)
from ztb.runtime.recovery.adoption import adopt
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.session import RunContext, Session
from ztb.runtime.sources.live import LiveMarket, traded_symbol
from ztb.runtime.venue.broker import BrokerCallbacks, VenueBroker
from ztb.runtime.venue.client import PrivateClient, patience_of, private_client, refuse_withdrawal_rights
from ztb.runtime.venue.dead_man import VenueSwitch, Watchdog
from ztb.runtime.venue.reconciliation import Reconciler, fetch_balances
from ztb.runtime.venue.throttle import OrdersFirst, keep_warm
from ztb.runtime.venue.user_stream import UserStream
from ztb.secrets import require_secret
from ztb.utils.installation import code_version

NOT_RECONCILED = "not reconciled"
_BACKOFF_S, _BACKOFF_MOST_S = 0.25, 30.0
_LAST_LOOK_S = 3.0


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
    warnings = Warnings()
    past = read_past(request.directory.journal)
    arming = _armed(request, past, clock, environment)
    market = await open_market(request, clock, warnings)
    try:
        return await _connected(request, options, clock, environment, warnings, market, past, arming)
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
    started = Arming(
        given.account, given.limit_quote, given.config_hash, given.code_version, given.weights_sha256,
        given.expires_ns, given.started_ns or now_ns,
    )  # fmt: skip
    write_arming(folder, started)
    return started


async def _connected(
    request: TradingRequest, options: DaemonOptions, clock: Clock, environment: Mapping[str, str],
    warnings: Warnings, market: LiveMarket, past: Past | None, arming: Arming,
) -> Daemon:  # fmt: skip
    assembly, run_id = assembly_of(request, market), run_id_of(request, past, clock)
    venue = _venue(request, clock, environment, market, client_prefix(run_id))
    try:
        await refuse_withdrawal_rights(venue.client, venue.rest)
        opening = past.opening if past and past.opening else await _opening(venue, market)
    except BaseException:
        await venue.client.close()
        raise
    now_ns = clock.now_ns()
    frame = RunContext(
        "live", assembly, request.directory, run_id, facts_of(request, now_ns), now_ns, False, past, opening,
        venue.broker,
    )  # fmt: skip
    session = Session(frame, origin_of(request, frame))
    session.bound = partial(limited, limit_quote=arming.limit_quote, equity=opening.equity)
    session.limit(assembly.config.risk)
    if past is not None:
        fills = {booked.fill.fill_id for booked in past.booked}
        venue.broker.resume(past.open_orders, past.client_ids, fills)
    daemon = Daemon(session, market.source, clock, options)
    attend(daemon, market, clock, warnings)
    warnings.daemon = daemon
    since_ns = past.unsettled_ns if past and past.opening else clock.now_ns()
    _trade(daemon, request, venue, warnings, clock, environment, since_ns)
    return daemon


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


def _trade(
    daemon: Daemon, request: TradingRequest, venue: _Venue, warnings: Warnings, clock: Clock,
    environment: Mapping[str, str], since_ns: int,
) -> None:  # fmt: skip
    """Connect the broker with the daemon, and give the daemon its jobs."""
    session, config, broker = daemon.session, request.config, venue.broker
    lane, memory = session.engine.live, session.engine.live.gate.memory
    reconciler = Reconciler(
        broker, session.books.account, session.journal, config.execution.reconcile_every_s,
        since_ns // 1_000_000 - 60_000, lane.collect,
        lambda reason: daemon.controls.latch("halted", "reconciliation", reason),
    )  # fmt: skip

    def stopped() -> str:
        return "halted" if memory.halted else NOT_RECONCILED if reconciler.rounds == 0 else ""

    broker.doors = BrokerCallbacks(
        session.journal.durable,
        stopped,
        lane.collect,
        lambda: session.record_external_event(COLLECTED),
        warnings,
    )
    daemon.controls.believed = lambda: reconciler.rounds > 0
    daemon.controls.adopt = _Adopting(daemon, reconciler)
    stream = _user_stream(venue, config.market, environment, clock, lane.collect, reconciler)
    dead_man = _dead_man(request, venue)
    daemon.jobs |= {
        "broker": broker.run, "user-stream": stream.run, "reconciliation": reconciler.run,
        "dead-man": dead_man.run, "warm-connections": partial(keep_warm, venue.client),
    }  # fmt: skip
    memory.holds.add(NOT_RECONCILED)
    daemon.looks.append(_Reconciled(daemon, reconciler, config.execution.orders_at_start == "cancel"))
    _guard_arming(daemon)

    async def leave() -> None:
        try:
            async with asyncio.timeout(_LAST_LOOK_S):
                await reconciler.catch_up()
        except (TimeoutError, VenueError):
            daemon.alert(
                "warning", "last_look", "the venue did not answer at the end: the next start will ask it"
            )
        await dead_man.release()

    daemon.ending = leave
    daemon.parting.append(venue.rest.close)


def _user_stream(
    venue: _Venue, market: MarketSection, environment: Mapping[str, str], clock: Clock,
    heard: Callable[[], None], reconciler: Reconciler,
) -> UserStream:  # fmt: skip
    def make() -> PrivateClient:
        client = private_client(market, environment)
        client.set_markets_from_exchange(venue.client)
        return client

    table = venue.broker.table
    stream = UserStream(
        make, venue.broker.instrument.symbol, table, clock, venue.backoff(), heard, reconciler.wanted.set
    )
    reconciler.missed = stream.missed
    return stream


def _dead_man(request: TradingRequest, venue: _Venue) -> VenueSwitch | Watchdog:
    if venue.client.has.get("cancelAllOrdersAfter"):
        return VenueSwitch(venue.broker, request.config.execution.dead_man_s)
    return Watchdog(request.config.market, traded_symbol(request.config.market), venue.broker.table.prefix)


class _Reconciled:
    """Holds new risk back until our books and the venue's agree; then orders of before are cancelled if configured."""

    def __init__(self, daemon: Daemon, reconciler: Reconciler, cancel: bool) -> None:
        self._daemon = daemon
        self._reconciler = reconciler
        self._cancel = cancel

    def __call__(self) -> None:
        lane = self._daemon.session.engine.live
        if not self._reconciler.done.is_set():
            lane.gate.memory.holds.add(NOT_RECONCILED)
            return
        if self._cancel:
            self._cancel = False
            self._daemon.session.cancel_all()
        lane.gate.memory.holds.discard(NOT_RECONCILED)


class _Adopting:
    """Takes the venue's figures over into the books; called with who asked."""

    def __init__(self, daemon: Daemon, reconciler: Reconciler) -> None:
        self._session = daemon.session
        self._reconciler = reconciler

    async def __call__(self, origin: str) -> str:
        found = await self._reconciler.settled()
        # From here on without an await: nothing may happen between the venue's figures and ours.
        engine = self._session.engine
        account, mid = engine.books.account, engine.live.broker.view["mid"].item()
        adoption = Adoption(
            engine.progress.last_ts_ns, found.cash - account.exact_cash,
            found.position - account.exact_position, mid,
        )  # fmt: skip
        evidence = self._reconciler.evidence(found)
        self._session.journal.append(adoption.note(engine.progress.rows, {"asked by": origin, **evidence}))
        adopt(adoption, engine)
        self._session.journal.commit()
        self._reconciler.wanted.set()
        return f"adopted {adoption.cash:+f} in cash and {adoption.position:+f} in position"


def _guard_arming(daemon: Daemon) -> None:
    """`ztb disarm`, and a generation promoted by hand, end the permission at once."""
    folder, memory = daemon.session.directory.path, daemon.session.engine.live.gate.memory

    def take_away() -> str:
        disarm(folder)
        memory.holds.add(NOT_ARMED)
        return "disarmed: no new risk; `ztb arm` and a restart arm it again"

    def heard(record: Record) -> None:
        if not isinstance(record, GenerationRow) or record.event != "promoted":
            return
        if json.loads(record.detail).get("reason") == "manual":
            take_away()
            daemon.alert("warning", "disarmed", f"generation {record.generation} was promoted by hand")

    daemon.disarm = take_away
    daemon.hears.append(heard)
