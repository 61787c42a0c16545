"""The daemon on a live market: the market opened, the past put back, and the jobs beside the engine's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from ztb.config import Config
from ztb.ledger.capital import Opening
from ztb.ledger.journal import Journal
from ztb.ledger.records import RECORDING_LOST, NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.market.recorder import Recorder, next_number
from ztb.ports import Clock
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.context import RunContext, configured_instrument, initial_policy, run_id_of
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.engine import RunProgress
from ztb.runtime.guards import MarketGuard
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.session import Session
from ztb.runtime.sources.live import LiveMarket, open_live_market


@dataclass(frozen=True, slots=True)
class TradingRequest:
    """What to trade with, and where it is kept. A folder that holds a run is gone on with."""

    config: Config
    directory: RunDirectory
    seed: int
    from_generation: str | None = None


class Warnings:
    """Hands on what goes wrong to the daemon, once there is one."""

    def __init__(self) -> None:
        self.daemon: Daemon | None = None

    def __call__(self, key: str, text: str) -> None:
        if self.daemon is not None:
            self.daemon.alert("warning", key, text)


async def paper_daemon(request: TradingRequest, options: DaemonOptions, clock: Clock) -> Daemon:
    """Live market data, a paper exchange. ConfigError, VenueError."""
    warnings = Warnings()
    market = await open_market(request, clock, warnings)
    past = read_past(request.directory.journal)
    context = market_context("paper", request, market, clock.now_ns(), past)
    opening = context.opening or Opening(Decimal(repr(request.config.execution.start_cash_quote)))
    daemon = Daemon(Session.open(replace(context, opening=opening)), market.source, clock, options)
    attend(daemon, market, clock, warnings)
    warnings.daemon = daemon
    return daemon


def market_context(
    mode: str, request: TradingRequest, market: LiveMarket, now_ns: int, past: Past | None
) -> RunContext:
    """What a session on `market` that starts now stands in. Its run id is that of the run it goes on with, or nobody
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
    )


def facts_of(request: TradingRequest, now_ns: int) -> dict[str, Any]:
    """What this start does not share with the next: from when on it trades, and the first file of its ticks."""
    return {"trade_from_ns": now_ns, "first_file": next_number(ticks_of(request.directory))}


def ticks_of(directory: RunDirectory) -> Path:
    """Where a run's ticks are recorded."""
    return directory.path / "ticks"


class RecordingWatch:
    """Called a few times a second: journals when ticks were lost to the recording, so that nobody repeats over it."""

    def __init__(self, recorder: Recorder, journal: Journal, progress: RunProgress) -> None:
        self._recorder = recorder
        self._journal = journal
        self._progress = progress
        self._lost = 0

    def __call__(self) -> None:
        recorder = self._recorder
        if recorder.lost > self._lost:
            self._lost = recorder.lost
            self._journal.append(NoteRow(self._progress.last_ts_ns, RECORDING_LOST, str(recorder.rows)))


def attend(daemon: Daemon, market: LiveMarket, clock: Clock, warn: Warnings) -> None:
    """Let `daemon` read `market`, and hold new risk back while it is not to be seen."""
    execution = daemon.session.assembly.config.execution
    memory = daemon.session.engine.live.gate.memory
    daemon.jobs |= market.jobs()
    daemon.streams = lambda: market.streams(clock.now_ns())
    daemon.recording = lambda: market.recording
    daemon.looks.append(MarketGuard(market, memory, execution.max_clock_skew_ms, warn))
    daemon.closing.append(market.source.close)
    if market.recorder is not None:
        session = daemon.session
        daemon.looks.append(RecordingWatch(market.recorder, session.journal, session.engine.progress))


async def open_market(request: TradingRequest, clock: Clock, warn: Warnings) -> LiveMarket:
    """Connect to the market, recording into the run's folder."""
    uniform = np.random.default_rng(request.seed).random
    return await open_live_market(
        request.config, ticks_of(request.directory), clock.now_ns, lambda: float(uniform()), warn
    )
