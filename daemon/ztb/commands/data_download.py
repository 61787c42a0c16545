"""`ztb data download`: a venue's history into recordings that replay and train read."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ztb.config import MarketSection, load_config
from ztb.errors import UsageError
from ztb.runtime.clock import SystemClock
from ztb.utils.moments import when

if TYPE_CHECKING:
    from collections.abc import Generator

    from ztb.market.live.download import Fetched

# What happened a moment ago may not have reached the venue's history yet.
_LATE_MS = 5_000
_WORTH_SAYING_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """The flags of `ztb data download`. `what` is trades or bars; moments are nanoseconds since 1970."""

    config_path: Path | None
    flags: dict[str, Any]
    what: str
    start_ns: int
    end_ns: int | None
    out: Path
    as_json: bool


def download(options: DownloadOptions) -> int:
    """Fetch into `options.out`, going on where an earlier call stopped; 0 when all of it is there."""
    if options.what not in ("trades", "bars"):
        raise UsageError(f"--what {options.what!r}: give trades or bars")
    market = load_config(options.config_path, options.flags).config.market
    now_ms = SystemClock().now_ns() // 1_000_000 - _LATE_MS
    until_ms = now_ms if options.end_ns is None else min(now_ms, options.end_ns // 1_000_000)
    start_ms = options.start_ns // 1_000_000
    if start_ms >= until_ms:
        raise UsageError("--from: lies after --to, or in the future")
    with _bar(options.as_json, start_ms, until_ms) as progress:
        fetched = asyncio.run(_fetch(options, market, until_ms, progress))
    _tell(options, fetched, until_ms)
    return 0


async def _fetch(
    options: DownloadOptions, market: MarketSection, until_ms: int, progress: Callable[[int], None]
) -> Fetched:
    from ztb.market.live.bars import bar_span_ns
    from ztb.market.live.download import Download, DownloadRange
    from ztb.market.live.instrument import contract_size, instrument_of
    from ztb.market.live.rest import Backoff, Rest
    from ztb.runtime.sources.live import traded_symbol, venue_clients

    jitter = np.random.default_rng()
    symbol = traded_symbol(market)
    rest = Rest(venue_clients(market)(), lambda: Backoff(0.5, 60.0, jitter.random))
    try:
        await rest.call(lambda client: client.load_markets())
        wanted = DownloadRange(
            instrument=instrument_of(rest.client, symbol),
            what="bars" if options.what == "bars" else "trades",
            start_ms=options.start_ns // 1_000_000,
            until_ms=until_ms,
            timeframe=market.timeframe,
            span_ms=bar_span_ns(rest.client, market.timeframe) // 1_000_000,
            unit=float(contract_size(rest.client.markets[symbol])),
        )
        return await Download(rest, wanted, options.out, progress).run()
    finally:
        await rest.close()


@contextmanager
def _bar(quiet: bool, start_ms: int, until_ms: int) -> Generator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("download", total=float(until_ms - start_ms))

        def advance(moment_ms: int) -> None:
            bar.update(task, completed=float(moment_ms - start_ms))

        yield advance


def _tell(options: DownloadOptions, fetched: Fetched, until_ms: int) -> None:
    facts = asdict(fetched) | {"out": str(options.out)}
    if options.as_json:
        sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
        return
    gaps = f", {fetched.gaps} gaps ({fetched.missing} rows missing)" if fetched.gaps else ", no gap"
    ends = ""
    if until_ms - fetched.end_ms > _WORTH_SAYING_MS:
        ends = f"; the venue tells nothing after {when(fetched.end_ms * 1_000_000)}"
    sys.stdout.write(f"{options.out}: {fetched.rows:,} rows written{gaps}{ends}\n")
