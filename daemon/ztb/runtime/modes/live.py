"""Live mode: real orders through the venue's own account, armed, reconciled, and watched over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import cast

import msgspec
import numpy as np

from ztb.config import config_hash
from ztb.errors import ConfigError
from ztb.execution.risk import RiskLimits
from ztb.ledger.bookkeeper import client_prefix
from ztb.ledger.capital import Opening
from ztb.market.live.instrument import refuse_contracts
from ztb.market.live.rest import Backoff, Rest
from ztb.ports import Clock
from ztb.runtime.broadcast import Broadcast
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.modes.arming import (
    Arming,
    account_of,
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
from ztb.runtime.modes.venue_account import VenueAccount, VenueSide
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.recovery.put_back import enter_put_back
from ztb.runtime.session import Session
from ztb.runtime.sources.live import LiveMarket
from ztb.runtime.venue.broker import VenueBroker
from ztb.runtime.venue.client import patience_of, private_client, refuse_withdrawal_rights
from ztb.runtime.venue.handover import at_rest
from ztb.runtime.venue.reconciliation import fetch_balances
from ztb.runtime.venue.throttle import OrdersFirst
from ztb.secrets import require_secret
from ztb.utils.installation import code_version

_BACKOFF_S, _BACKOFF_MOST_S = 0.25, 30.0
_WATCHDOG_S = 15.0


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
    fault = fault_of(
        arming=arming,
        account=account,
        config_hash=config_hash(request.config),
        code_version=code_version(),
        lineage=lineage,
        now_ns=now_ns,
    )
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
    context = market_context(
        mode="live", request=request, market=market, now_ns=clock.now_ns(), past=past, broadcast=broadcast
    )
    venue = _venue(
        request=request,
        clock=clock,
        environment=environment,
        market=market,
        prefix=client_prefix(context.run_id),
        broadcast=broadcast,
    )
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
    request: TradingRequest,
    clock: Clock,
    environment: Mapping[str, str],
    market: LiveMarket,
    prefix: str,
    broadcast: Broadcast,
) -> VenueSide:
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
    broker = VenueBroker(market.source.instrument, prefix, clock, broadcast.collecting)
    return VenueSide(client=client, rest=rest, broker=broker, backoff=backoff, patience_s=patience_s)


async def _opening(venue: VenueSide, market: LiveMarket) -> Opening:
    """The account's holdings at the first start, at the market's mid."""
    balances = await fetch_balances(venue.client, venue.rest, market.source.instrument)
    symbol = market.source.instrument.symbol
    book = await venue.rest.call(lambda client: client.fetch_order_book(symbol, 5))
    mid = (float(book["bids"][0][0]) + float(book["asks"][0][0])) / 2.0
    return Opening(balances.cash, balances.position, mid)
