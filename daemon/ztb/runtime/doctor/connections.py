"""Checks of what is reached over a network, as far as it is configured: the venue, its key, the MQTT broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import numpy as np

from ztb.config import Config
from ztb.errors import ConfigError, ZtbError
from ztb.market.live.rest import Backoff, Rest
from ztb.market.live.venue_clock import VenueClock
from ztb.runtime.clock import SystemClock
from ztb.runtime.doctor.findings import Finding, Patient, bad, good, skipped, warning
from ztb.runtime.sources.live import traded_symbol, venue_clients
from ztb.runtime.venue.client import private_client, refuse_withdrawal_rights
from ztb.secrets import read_secret
from ztb.telemetry.mqtt.connection import LinkLost, connecting
from ztb.telemetry.mqtt.setup import EMBEDDED, address_of
from ztb.telemetry.mqtt.topics import Topic

_PATIENCE_S = 20.0
_KEY = ("exchange_api_key", "exchange_secret")


def _given(environment: Mapping[str, str]) -> list[str]:
    """The parts of the venue's key that there are. ConfigError: one cannot be read, or others may read it."""
    return [name for name in _KEY if read_secret(name, environment) is not None]


def credentials(patient: Patient) -> Finding:
    """Check that the venue's key is where the daemon looks for it, and safe there."""
    try:
        found = _given(patient.environment)
    except ConfigError as error:
        return bad("credentials", str(error), "only the daemon's user may read it, and it must be whole")
    if not found:
        return skipped("credentials", "no key: paper and replay need none")
    missing = [name for name in _KEY if name not in found]
    if missing:
        return bad(
            "credentials", f"{missing[0]} is missing", f"give the secret {missing[0]} too: config/README.md"
        )
    return good("credentials", "a key is given, and nobody else may read it")


def exchange(patient: Patient) -> Finding:
    """Check that the venue answers, lists the symbol, agrees on the time, and the key has no right it should not
    have.
    """
    market = patient.config.market
    if market.venue is None or market.symbol is None:
        return skipped("exchange", "no market.venue and market.symbol are configured")
    remedy = "check market.venue, market.symbol and the network"
    return _reach("exchange", lambda: _visit(patient.config, patient.environment), remedy)


async def _visit(config: Config, environment: Mapping[str, str]) -> Finding:
    market = config.market
    symbol = traded_symbol(market)
    private = private_client(market, environment) if len(_given(environment)) == len(_KEY) else None
    client = private or venue_clients(market)()
    draw = np.random.default_rng(0)
    rest = Rest(client, lambda: Backoff(0.5, 5.0, draw.random))
    try:
        markets = await rest.call(lambda each: each.load_markets())
        if symbol not in markets:
            return bad("exchange", f"{client.id} does not list {symbol}", "correct market.symbol")
        clock = VenueClock(rest, SystemClock().now_ns, every_s=1.0)
        await clock.measure()
        checked = private is not None and await refuse_withdrawal_rights(private, rest)
    finally:
        await rest.close()
    said = f"{client.id} answers and lists {symbol}"
    if clock.skew_ms is not None:
        said += f", its clock is {clock.skew_ms:+.0f} ms from ours"
        if abs(clock.skew_ms) > config.execution.max_clock_skew_ms:
            return bad("exchange", said, "start a time service: systemd-timesyncd or chrony")
    if private is not None and not checked:
        return warning(
            "exchange", f"{said}; it cannot tell the key's rights", "make sure that the key cannot withdraw"
        )
    return good("exchange", said + ("; the key cannot withdraw" if checked else ""))


def broker(patient: Patient) -> Finding:
    """Check that the MQTT broker takes our connection."""
    section = patient.config.mqtt
    if section.broker is None:
        return skipped("broker", "no mqtt.broker is configured")
    if section.broker == EMBEDDED:
        return good("broker", "embedded: the daemon brings its own")
    name = section.broker

    async def visit() -> Finding:
        connect = connecting(address_of(section, name, "doctor", patient.environment))
        async with connect(Topic(f"{section.prefix}/doctor/status"), b""):
            return good("broker", f"{name}:{section.port} takes our connection")

    return _reach("broker", visit, "check mqtt.broker, mqtt.port, the account and the broker's log")


def _reach(check: str, visit: Callable[[], Awaitable[Finding]], remedy: str) -> Finding:
    """The findings of `visit`, within bounds; its error, where it could not get there."""

    async def bounded() -> Finding:
        async with asyncio.timeout(_PATIENCE_S):
            return await visit()

    try:
        return asyncio.run(bounded())
    except (ZtbError, LinkLost) as error:
        return bad(check, str(error), remedy)
    except TimeoutError:
        return bad(check, f"no answer within {_PATIENCE_S:g} s", remedy)
