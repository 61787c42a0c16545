"""Live market data as a session needs them: opened from the configuration, recorded, and with facts for status."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ztb.config import Config, MarketSection
from ztb.errors import ConfigError
from ztb.market.live.client import ClientFactory, ClientSettings, client_factory
from ztb.market.live.source import FeedSettings, LiveSource, open_live_source
from ztb.market.recorder import Recorder, RecordingLimits, Report
from ztb.market.venues import venue_name
from ztb.telemetry.snapshot import StreamFact

_SECRET = ("apikey", "secret", "password", "privatekey", "walletaddress", "token", "uid", "login", "twofa")


@dataclass(frozen=True, slots=True)
class LiveMarket:
    """`source` reads, `recorder` keeps (None: nothing is kept). Run `jobs` as tasks beside the engine's."""

    source: LiveSource
    recorder: Recorder | None

    def jobs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """The tasks that must run, by name; each until it is cancelled."""
        jobs: dict[str, Callable[[], Awaitable[None]]] = {"market-data": self.source.run}
        return jobs if self.recorder is None else jobs | {"recorder": self.recorder.run}

    @property
    def recording(self) -> bool:
        """True if what is received is being kept."""
        return self.recorder is not None and self.recorder.recording

    def streams(self, now_ns: int) -> tuple[StreamFact, ...]:
        """The health of each stream, for status."""
        return tuple(
            StreamFact(
                name=health.name,
                age_ms=None if health.last_ns is None else (now_ns - health.last_ns) / 1e6,
                stale=health.stale,
                reconnects=health.reconnects,
                gaps=health.gaps,
            )
            for health in self.source.health
        )


async def open_live_market(
    config: Config, ticks: Path, now_ns: Callable[[], int], uniform: Callable[[], float], report: Report
) -> LiveMarket:
    """Connect as `config.market` says, recording into the folder `ticks`.

    `now_ns` is wall time, `uniform` draws from [0, 1), `report` hears when recording stops and goes on. ConfigError
    if the configuration is wrong, VenueError if the venue does not answer.
    """
    market = config.market
    source = await open_live_source(
        make=venue_clients(market),
        symbol=traded_symbol(market),
        settings=feed_settings(market),
        now_ns=now_ns,
        uniform=uniform,
    )
    if not market.record:
        return LiveMarket(source, None)
    limits = RecordingLimits(
        file_bytes=market.record_file_mb << 20,
        file_s=market.record_file_minutes * 60.0,
        min_free_bytes=market.record_min_free_mb << 20,
        keep_bytes=round(market.record_keep_gb * (1 << 30)),
        keep_s=market.record_keep_days * 86_400.0,
    )
    recorder = Recorder(
        folder=ticks, instrument=source.instrument, limits=limits, free_bytes=_free_bytes, report=report
    )
    return LiveMarket(replace(source, keep=recorder.take), recorder)


def venue_clients(market: MarketSection) -> ClientFactory:
    """Makes clients of the configured venue. ConfigError if it is not named, or its options hold a secret."""
    if market.venue is None:
        raise ConfigError("market.venue: name the venue as ccxt does, such as binance or kraken")
    told = [key for key in market.client if key.lower().replace("_", "") in _SECRET]
    if told:
        raise ConfigError(f"market.client.{told[0]}: secrets never stand in this file: see `ztb run --help`")
    settings = ClientSettings(
        venue_name(market.venue), market.client, market.allowed_hosts, sandbox=market.sandbox
    )
    return client_factory(settings)


def traded_symbol(market: MarketSection) -> str:
    """The symbol; ConfigError if none is configured."""
    if market.symbol is None:
        raise ConfigError("market.symbol: name what is traded, such as BTC/USDT")
    return market.symbol


_BLOCK_ROWS = 1024
"""Handed on at a time where nothing else is said."""


def feed_settings(market: MarketSection) -> FeedSettings:
    """The way the configuration wants streams read."""
    return FeedSettings(
        streams=market.streams,
        timeframe=market.timeframe,
        depth_levels=market.depth_levels,
        poll_s=market.poll_s,
        stale_s=market.stale_s,
        flush_ms=market.flush_ms,
        block_rows=market.block_rows or _BLOCK_ROWS,
        warm_up_s=market.warm_up_s,
        decoders=market.decoders,
    )


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
