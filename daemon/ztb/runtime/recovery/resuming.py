"""Puts the past back in its place: books, account, orders, risk memory, figures, generations."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from ztb.errors import ConfigError, ZtbError
from ztb.execution.fills import book, hold
from ztb.execution.order_states import progress_of_open
from ztb.execution.orders import Cancelled, OpenOrder
from ztb.execution.paper import PaperExchange
from ztb.learning.generations import Descent, GenerationInfo, Lineage
from ztb.learning.service.initial_policy import CHECKPOINT_NAME, InitialPolicy, load_origin
from ztb.ledger.accounts import Account
from ztb.ledger.capital import Opening
from ztb.ledger.run_directory import RunDirectory
from ztb.ports import Broker
from ztb.runtime.engine import Engine
from ztb.runtime.recovery.adoption import enter
from ztb.runtime.recovery.past import Past, remember_progress, remember_risk
from ztb.trading.policy.network import MakeNetwork
from ztb.trading.policy.weights import NetworkShape
from ztb.utils import CheckpointManager


def open_account(account: Account, broker: Broker, opening: Opening) -> None:
    """Begin with what the venue's account held."""
    account.hold(opening.position)
    broker.account["cash"] = float(opening.cash)
    hold(broker.account, float(opening.position), opening.price, 0)


def rebook(account: Account, past: Past) -> None:
    """Book what happened to the exact account since it was opened."""
    for booked in past.booked:
        fill = booked.fill
        account.fill(booked.side, fill.lots, fill.price_ticks, liquidity=fill.liquidity, fee=fill.fee)
        account.base_fee(fill.base_fee, fill.price_ticks)
    for amount in past.funding:
        account.fund(amount)
    for adoption in past.adoptions:
        account.adopt(adoption.cash, adoption.position)


def resume(engine: Engine, past: Past) -> None:
    """Bring a fresh engine, its account opened, to where the past ended. Orders left open work on."""
    books, lane = engine.books, engine.live
    instrument, account = books.account.instrument, lane.broker.account
    rebook(books.account, past)
    for booked in past.booked:
        book(account, instrument, booked.side, booked.fill)
    for adoption in past.adoptions:
        enter(adoption, account, books.account.position)
    for amount in past.funding:
        account["cash"] += float(amount)
        account["funding"] += float(amount)
    books.orders, books.rejects, books.refusals = len(past.orders), past.rejects, past.refusals
    lane.rejects = past.rejects
    left = [*past.open_orders, *past.open_stops]
    books.progress = {order.order_id: progress_of_open(order) for order in left}
    fills = [booked.fill.fill_id for booked in past.booked]
    lane.resume(past.next_order_id, fills, past.open_orders)
    remember_progress(past, engine.progress)
    if books.own_costs is not None and engine.experts is not None and past.own_costs:
        books.own_costs.recall(past.own_costs)
        engine.experts.charge(books.own_costs.correction)
    remember_risk(past, lane.gate)
    if past.marks.last is not None:
        account["peak_equity"] = engine.progress.peak
        lane.remember_price(past.last_ts_ns, past.marks.last.mid)


def resume_paper(engine: Engine, past: Past, adopt: bool) -> None:
    """The paper venue's side of `resume`: orders left open work on where they stood, or are cancelled.

    What traded meanwhile comes as ticks, from the source's backfill, and meets the orders that work on.
    """
    broker, books, lane = engine.live.broker, engine.books, engine.live
    if not isinstance(broker, PaperExchange):
        return
    fills = [booked.fill.fill_id for booked in past.booked]
    broker.resume(books.account.lots, max(fills, default=0), past.stops)
    over = past.open_stops if adopt else [*past.open_orders, *past.open_stops]
    for order in over:
        books.event(Cancelled(order.order_id, past.last_ts_ns, order.remaining_lots), order.side)
    left = [
        msgspec.structs.replace(order.request, lots=order.remaining_lots)
        for order in past.open_orders
        if adopt
    ]
    lane.resume(past.next_order_id, fills, [OpenOrder(request, request.lots) for request in left])
    for request in left:
        books.expect(request)
        broker.submit(request, past.last_ts_ns)


def resume_lineage(lineage: Lineage, past: Past, origin: InitialPolicy) -> None:
    """Number on from the past's generations, and count on; `origin` says whether one of them serves again."""
    lineage.resumed = origin.served is not None
    lineage.made = past.next_generation
    lineage.promoted, lineage.rejected = past.count("promoted"), past.count("rejected")
    lineage.rolled_back = past.count("rolled_back")
    lineage.known = {row.generation: Descent(row.parent, row.weights_sha256) for row in past.generations}
    lineage.served = list(past.served)
    lineage.quarantined = {
        row.generation for row in past.generations if row.event in ("rolled_back", "quarantined")
    }


def resumed_origin(
    directory: RunDirectory, past: Past, shape: NetworkShape, schema_hash: str, make: MakeNetwork | None
) -> InitialPolicy | None:
    """The generation that served last, from disk, or the nearest one before it that is whole; None if none is.

    ConfigError: it was made for other features or another network. Chance shall not trade in its place.
    """
    listed = CheckpointManager(directory.checkpoints).list(CHECKPOINT_NAME)
    newest_last = sorted((item for item in listed if item.fault is None), key=lambda item: item.number)
    saved = {item.lineage.get("generation"): item.number for item in newest_last}

    def load(generation: int) -> InitialPolicy | None:
        if generation not in saved:
            return None
        try:
            return load_origin(f"{directory.checkpoints}:{saved[generation]}", shape, schema_hash, make)
        except ConfigError:
            raise
        except ZtbError:
            return None

    for generation in reversed(past.served):
        found = load(generation)
        if found is not None:
            first = load(0)
            info = _info(past, generation, found)
            zero = info if first is None else _info(past, 0, first)
            how = f"generation {generation} of this run"
            return replace(found, how=how, served=info, first=zero, checkpoint=saved[generation])
    return None


def _info(past: Past, generation: int, origin: InitialPolicy) -> GenerationInfo:
    row = next(row for row in past.generations if row.generation == generation)
    return GenerationInfo(generation, row.parent, origin.weights, row.weights_sha256)
