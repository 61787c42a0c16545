"""The daemon on a live market: the market opened, the past put back, and the jobs beside the engine's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from ztb.config import Config
from ztb.ledger.capital import Opening
from ztb.ledger.records import RECORDING_LOST, NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.market.recorder import Report, next_number
from ztb.ports import Clock
from ztb.runtime.broadcast import Broadcast
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.context import RunContext, configured_instrument, initial_policy, run_id_of
from ztb.runtime.daemon.component import Component
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.guards import MarketGuard
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.session import Session
from ztb.runtime.sources.live import LiveMarket, open_live_market
from ztb.telemetry.snapshot import StreamFact


@dataclass(frozen=True, slots=True)
class TradingRequest:
    """A request to trade, and where the run is kept. A folder that holds a run is gone on with."""

    config: Config
    directory: RunDirectory
    seed: int
    from_generation: str | None = None


async def paper_daemon(request: TradingRequest, options: DaemonOptions, clock: Clock) -> Daemon:
    """Live market data, a paper exchange. ConfigError, VenueError."""
    broadcast = Broadcast()
    market = await open_market(request, clock, broadcast.warn)
    past = read_past(request.directory.journal)
    context = market_context(
        mode="paper", request=request, market=market, now_ns=clock.now_ns(), past=past, broadcast=broadcast
    )
    opening = context.opening or Opening(Decimal(repr(request.config.execution.start_cash_quote)))
    session = Session.open(replace(context, opening=opening))
    return Daemon(session, market.source, clock, options, components=[MarketWatch(session, market, clock)])


def market_context(
    mode: str,
    request: TradingRequest,
    market: LiveMarket,
    now_ns: int,
    past: Past | None,
    broadcast: Broadcast,
) -> RunContext:
    """The context of a session on `market` that starts now. Its run id is that of the run it goes on with, or nobody
    else's, since no two begin in the same folder at the same moment.
    Its account begins with what it began with then, if there is a past.
    """
    config, directory, source = request.config, request.directory, market.source
    instrument = configured_instrument(source.instrument, config.market)
    assembly = assemble(config, instrument, source.bar_ns, request.seed, live=True)
    if past is not None and directory.manifest.exists():
        run_id = str(directory.read_json(directory.manifest)["run_id"])
    else:
        run_id = run_id_of(config, request.seed, str(now_ns), str(directory.path.resolve()))
    return RunContext(
        mode=mode,
        assembly=assembly,
        directory=directory,
        run_id=run_id,
        facts=facts_of(request, now_ns),
        initial_policy=initial_policy(assembly, request.from_generation, directory=directory, past=past),
        trade_from_ns=now_ns,
        paced=False,
        past=past,
        opening=past.opening if past else None,
        broadcast=broadcast,
        guard=broadcast.before_order,
    )


def facts_of(request: TradingRequest, now_ns: int) -> dict[str, Any]:
    """Facts that this start does not share with the next: from when on it trades, and the first file of its ticks."""
    return {"trade_from_ns": now_ns, "first_file": next_number(ticks_of(request.directory))}


def ticks_of(directory: RunDirectory) -> Path:
    """The folder in which a run's ticks are recorded."""
    return directory.path / "ticks"


class MarketWatch(Component):
    """The market that a session reads: its streams and their recording run beside the engine; while it is not to be
    seen new risk is held back, and what was lost to the recording is journaled, so that nobody repeats over it.
    """

    name = "market"

    def __init__(self, session: Session, market: LiveMarket, clock: Clock) -> None:
        self._session = session
        self._market = market
        self._clock = clock
        permission, execution = session.engine.live.gate.memory.permission, session.assembly.config.execution
        self._guard = MarketGuard(market, permission, execution.max_clock_skew_ms)
        self._lost = 0

    def jobs(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """See `Component`."""
        return self._market.jobs()

    def tick(self) -> None:
        """See `Component`."""
        self._guard()
        recorder = self._market.recorder
        if recorder is not None and recorder.lost > self._lost:
            self._lost = recorder.lost
            last_ns = self._session.engine.progress.last_ts_ns
            self._session.journal.append(NoteRow(last_ns, RECORDING_LOST, str(recorder.rows)))

    def stop(self) -> None:
        """See `Component`."""
        self._market.source.close()

    def streams(self) -> tuple[StreamFact, ...]:
        """See `Component`."""
        return self._market.streams(self._clock.now_ns())

    @property
    def recording(self) -> bool:
        """See `Component`."""
        return self._market.recording


async def open_market(request: TradingRequest, clock: Clock, warn: Report) -> LiveMarket:
    """Connect to the market, recording into the run's folder."""
    uniform = np.random.default_rng(request.seed).random
    return await open_live_market(
        config=request.config,
        ticks=ticks_of(request.directory),
        now_ns=clock.now_ns,
        uniform=lambda: float(uniform()),
        report=warn,
    )
