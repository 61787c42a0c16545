"""`ztb data info|import|download|verify`: what recorded history holds, in a faster form, and whether it is sound."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ztb.config import MarketSection, load_config
from ztb.errors import DataError, UsageError
from ztb.market.report import LEAP
from ztb.runtime.clock import SystemClock
from ztb.utils import files
from ztb.utils.moments import when

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ztb.market.history import History
    from ztb.market.live.download import Fetched
    from ztb.market.ticks import Ticks

_FAILED = 3


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """The caller's facts about the data; None: inferred. Times are nanoseconds since 1970."""

    symbol: str | None = None
    venue: str | None = None
    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    start_ns: int | None = None
    end_ns: int | None = None


def info(paths: Sequence[Path], *, as_json: bool = False, choice: SourceChoice = SourceChoice()) -> int:
    """Show what the files together are a history of; none: the shipped history. Returns the exit code.

    Raises DataError where they cannot be read together.
    """
    history = _open(paths, choice)
    for _ in _watched(history, "reading", quiet=as_json):
        pass
    facts = describe(history)
    if as_json:
        _write_json(facts)
    else:
        _show(facts, history)
    return 0


def import_(
    paths: Sequence[Path], out: Path, *, as_json: bool = False, choice: SourceChoice = SourceChoice()
) -> int:
    """Write the files' ticks into one recording of our own form, fast to read again; 0 if done.

    Receive times are not known from most layouts: event times stand in for them. `out` must not exist, and
    appears only when it is complete.
    """
    from ztb.market.recording import RecordingWriter

    if out.exists():
        raise DataError(f"{out}: exists already, recordings are never overwritten: name a new file")
    history = _open(paths, choice)
    with files.replacing(out) as partial, RecordingWriter(partial, history.instrument) as writer:
        for ticks in _watched(history, "importing", quiet=as_json):
            writer.append(ticks, ticks["ts_ns"])
    facts = describe(history) | {"out": str(out), "bytes": out.stat().st_size}
    if as_json:
        _write_json(facts)
    else:
        _show(facts, history)
    return 0


def verify(paths: Sequence[Path], *, as_json: bool = False, choice: SourceChoice = SourceChoice()) -> int:
    """Read every file by itself to its end. Returns 0 if each is sound, 3 if one is not.

    A file that is damaged or holds rows that cannot be true is not sound; gaps, duplicates and steps back in
    time are shown and are no failure.
    """
    from ztb.market.history import SHIPPED, expand

    results = [_verdict(path, choice, quiet=as_json) for path in expand(list(paths) or [SHIPPED])]
    if as_json:
        _write_json({"ok": all(r["ok"] for r in results), "files": results})
    else:
        _show_verdicts(results)
    return 0 if all(r["ok"] for r in results) else _FAILED


def describe(history: History) -> dict[str, Any]:
    """Facts of a history that was read to its end, as `--json` shows them."""
    return {
        "instrument": msgspec.to_builtins(history.instrument),
        "bar_ns": history.bar_ns,
        "digest": history.digest,
        "report": history.report.to_json(),
    }


def _open(paths: Sequence[Path], choice: SourceChoice) -> History:
    from ztb.market.history import YEAR_NS, open_history
    from ztb.runtime.clock import SystemClock

    return open_history(
        paths,
        symbol=choice.symbol,
        venue=choice.venue,
        tick_size=choice.tick_size,
        lot_size=choice.lot_size,
        start_ns=choice.start_ns,
        end_ns=choice.end_ns,
        latest_ns=SystemClock().now_ns() + YEAR_NS,
    )


def _verdict(path: Path, choice: SourceChoice, *, quiet: bool) -> dict[str, Any]:
    from ztb.market.book import CrossingCheck

    crossing = CrossingCheck()
    try:
        history = _open([path], choice)
        for ticks in _watched(history, path.name, quiet=quiet):
            crossing.see(ticks)
    except DataError as error:
        return {"file": str(path), "ok": False, "refused": str(error)}
    report = history.report
    ok = report.bad == 0 and report.torn == 0 and crossing.crossed == 0
    return {"file": str(path), "ok": ok, "crossed_messages": crossing.crossed} | describe(history)


def _watched(history: History, what: str, *, quiet: bool) -> Iterator[Ticks]:
    """The history's blocks, with a progress bar on a terminal."""
    with _bar(what, quiet=quiet) as advance:
        for ticks in history.blocks(65_536):
            advance(history.progress())
            yield ticks


@contextmanager
def _bar(what: str, *, quiet: bool) -> Generator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(what, total=1.0)

        def advance(share: float) -> None:
            progress.update(task, completed=share)

        yield advance


def _write_json(value: Mapping[str, Any]) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _show(facts: Mapping[str, Any], history: History) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in _lines(facts, history):
        table.add_row(f"[bold]{name}[/bold]", escape(value))
    Console().print(table)


def _lines(facts: Mapping[str, Any], history: History) -> Iterator[tuple[str, str]]:
    report, instrument = history.report, history.instrument
    yield "symbol", f"{instrument.symbol} at {instrument.venue}"
    yield "layout", ", ".join(dict.fromkeys(report.layouts)) + f" ({len(report.files)} files)"
    yield "span", f"{when(report.first_ns)} to {when(report.last_ns)}"
    if history.bar_ns is not None:
        yield "bars of", f"{history.bar_ns / 60e9:g} minutes"
    yield "ticks", ", ".join(f"{count:,} {kind}s" for kind, count in sorted(report.kinds.items())) or "none"
    if report.low is not None and report.high is not None:
        yield "prices", f"{report.low:,.10g} to {report.high:,.10g} {instrument.quote}"
    yield "increments", f"price {instrument.tick_size:f}, quantity {instrument.lot_size:f}"
    yield "fees", f"maker {instrument.maker_fee:f}, taker {instrument.taker_fee:f}"
    yield "inferred", ", ".join(instrument.inferred) or "nothing"
    for finding in findings(report.to_json()):
        yield "found", finding
    yield "digest", str(facts["digest"])
    if "out" in facts:
        yield "written", f"{facts['out']} ({facts['bytes']:,} bytes)"


def findings(report: Mapping[str, Any]) -> Iterator[str]:
    """Faults of the data, one sentence each."""
    for reason, count in report["dropped"].items():
        yield f"{count:,} rows left out: {reason} (first: {report['examples'].get(reason, 'not known')})"
    if report["gaps"]:
        longest = (
            f", the longest of {report['longest_gap_ns'] / 60e9:,.1f} minutes"
            if report["longest_gap_ns"]
            else ""
        )
        yield f"{report['gaps']:,} gaps{longest}"
    for name, what in (
        ("missing_bars", "bars missing"),
        ("missing_ids", "trade ids missing"),
        ("no_time", "rows without a time"),
        ("out_of_order", "rows out of order"),
    ):
        if report[name]:
            yield f"{report[name]:,} {what}"
    if report["leaps"]:
        yield f"{report['leaps']:,} {LEAP} (first: {report['examples'][LEAP]})"
    yield from report["notes"]


def _show_verdicts(results: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("file", "verdict", "ticks", "what was found")
    for result in results:
        report = result.get("report")
        found = [str(result["refused"])] if report is None else list(findings(report))
        if result.get("crossed_messages"):
            found.append(f"the book is crossed after {result['crossed_messages']:,} messages")
        ticks = "" if report is None else f"{report['ticks']:,}"
        verdict = "[green]sound[/green]" if result["ok"] else "[red]failed[/red]"
        name, text = Path(str(result["file"])).name, "; ".join(found) or "nothing"
        table.add_row(escape(name), verdict, ticks, escape(text))
    Console().print(table)


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
    with _fetch_bar(options.as_json, start_ms, until_ms) as progress:
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
def _fetch_bar(quiet: bool, start_ms: int, until_ms: int) -> Generator[Callable[[int], None]]:
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
