"""The daemon on a live market: the market opened, the past put back, and the jobs beside the engine's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from ztb.config import Config, config_hash
from ztb.learning.service.initial_policy import InitialPolicy, load_origin, random_origin
from ztb.ledger.capital import Opening
from ztb.ledger.journal import Journal
from ztb.ledger.records import RECORDING_LOST, NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.market.instrument import Instrument
from ztb.market.recorder import Recorder, next_number
from ztb.ports import Clock
from ztb.runtime.build.assembly import Assembly, assemble
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.engine import RunProgress
from ztb.runtime.guards import MarketGuard
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.recovery.resuming import resumed_origin
from ztb.runtime.session import MakeInitialPolicy, RunContext, Session
from ztb.runtime.sources.live import LiveMarket, open_live_market
from ztb.trading.policy.weights import NetworkShape
from ztb.utils.installation import code_version


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
    assembly = assembly_of(request, market)
    opening = Opening(Decimal(repr(request.config.execution.start_cash_quote)))
    now_ns = clock.now_ns()
    frame = RunContext(
        "paper", assembly, request.directory, run_id_of(request, past, clock), facts_of(request, now_ns),
        now_ns, False, past,
        past.opening if past and past.opening else opening,
    )  # fmt: skip
    daemon = Daemon(Session(frame, origin_of(request, frame)), market.source, clock, options)
    attend(daemon, market, clock, warnings)
    warnings.daemon = daemon
    return daemon


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


def assembly_of(request: TradingRequest, market: LiveMarket) -> Assembly:
    """What the lanes share, for the market's instrument."""
    source = market.source
    return assemble(
        request.config, configured(source.instrument, request.config), source.bar_ns, request.seed, live=True
    )


def configured(instrument: Instrument, config: Config) -> Instrument:
    """The venue's instrument, with the fees and the spread that the configuration gives."""
    market = config.market
    return replace(
        instrument,
        maker_fee=instrument.maker_fee if market.maker_fee is None else market.maker_fee,
        taker_fee=instrument.taker_fee if market.taker_fee is None else market.taker_fee,
        spread_bps=instrument.spread_bps if market.spread_bps is None else market.spread_bps,
    )


def run_id_of(request: TradingRequest, past: Past | None, clock: Clock) -> str:
    """Of the run that is gone on with, or a new one: nobody else's, since no two begin at the same time."""
    directory = request.directory
    if past is not None and directory.manifest.exists():
        return str(directory.read_json(directory.manifest)["run_id"])
    parts = [config_hash(request.config), str(request.seed), code_version(), str(clock.now_ns())]
    return hashlib.sha256("\n".join([*parts, str(directory.path.resolve())]).encode()).hexdigest()[:32]


def origin_of(request: TradingRequest, frame: RunContext) -> MakeInitialPolicy:
    """The generation that served last; where there is no past, the one asked for, or a random one."""

    def make(shape: NetworkShape, schema_hash: str) -> InitialPolicy:
        network = frame.assembly.strategy.network
        if frame.past is not None:
            found = resumed_origin(frame.directory, frame.past, shape, schema_hash, network)
            if found is not None:
                return found
        if request.from_generation is not None:
            return load_origin(request.from_generation, shape, schema_hash, network)
        return random_origin(shape, request.seed, network)

    return make
