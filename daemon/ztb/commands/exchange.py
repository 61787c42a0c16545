"""`ztb exchange`: a local exchange to try and test against."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog
import typer

from ztb.errors import UsageError
from ztb.runtime.clock import SystemClock
from ztb.telemetry.logs import configure_logging
from ztb.testing.exchange.flow import Flow
from ztb.testing.exchange.listing import LISTINGS, Listing
from ztb.testing.exchange.local import HOST, LocalExchange

_log = structlog.get_logger("ztb.exchange")


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """The flags of `ztb exchange` as given; `balances` such as "USDT=1000"."""

    port: int
    seed: int
    balances: tuple[str, ...]
    data: tuple[Path, ...]
    speed: float
    as_json: bool


def run_exchange(options: ExchangeOptions) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    configure_logging()
    return asyncio.run(_serve(options))


async def _serve(options: ExchangeOptions) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    listings, flow = _recorded(options) if options.data else (LISTINGS, None)
    local = LocalExchange(
        options.seed, listings=listings, flow=flow, balances=_balances(options.balances), port=options.port
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(local)
        except OSError as error:
            raise UsageError(f"--port {options.port}: {error.strerror}: choose another, or 0") from None
        _announce(local, options.as_json)
        _log.info("listening", url=f"http://{HOST}:{local.port}", until="SIGTERM or Ctrl-C")
        await stopped.wait()
    _log.info("closed")
    return 0


def _recorded(options: ExchangeOptions) -> tuple[Sequence[Listing], Mapping[str, Flow]]:
    """The recorded market first, beside made-up ones."""
    from ztb.market.history import open_history
    from ztb.testing.exchange.recorded import recorded_market

    history = open_history(options.data)
    listing, flow = recorded_market(history, SystemClock().now_ns(), options.speed)
    others = [other for other in LISTINGS if other.symbol != listing.symbol]
    return [listing, *others], {listing.symbol: flow}


def _announce(exchange: LocalExchange, as_json: bool) -> None:
    options = exchange.ccxt_options()
    if as_json:
        typer.echo(json.dumps(options))
        return
    typer.echo(f"A local exchange on http://{HOST}:{exchange.port}. In Python, with ccxt:")
    typer.echo(f"  exchange = ccxt.pro.binance({options!r})")


def _balances(given: tuple[str, ...]) -> dict[str, float]:
    balances: dict[str, float] = {}
    for text in given:
        asset, _, amount = text.partition("=")
        try:
            balances[asset.upper()] = float(amount)
        except ValueError:
            raise UsageError(f"--balance {text!r}: write an asset and an amount, such as USDT=1000") from None
        if not 0 <= balances[asset.upper()] < float("inf"):
            raise UsageError(f"--balance {text!r}: an account holds nothing or more, such as USDT=1000")
    return balances
