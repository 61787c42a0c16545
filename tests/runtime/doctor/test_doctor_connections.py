"""The doctor goes where the daemon would: the venue, with or without a key, and the broker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from telemetry.mqtt.brokers import MOSQUITTO, Mosquitto, free_port
from ztb.config import Config, load_config
from ztb.runtime.doctor import Finding, Patient, Severity
from ztb.runtime.doctor.connections import broker, credentials, exchange
from ztb.testing import LocalExchange

HERE = ("127.0.0.1",)


def configured(**flags: Any) -> Config:
    return load_config(None, {key.replace("__", "."): value for key, value in flags.items()}, {}).config


def patient(config: Config, **secrets: str) -> Patient:
    return Patient(config, Path(), {f"ZTB_SECRET_{name.upper()}": value for name, value in secrets.items()})


def told(finding: Finding, verdict: Severity, *words: str) -> None:
    assert finding.verdict is verdict, finding
    assert all(word in finding.found + finding.remedy for word in words), finding


async def at_the_exchange(symbol: str = "BTC/USDT", with_key: bool = False, **flags: Any) -> Finding:
    """What the doctor finds at a local exchange, called as the command calls it: from outside any loop."""
    async with LocalExchange() as venue:
        options = venue.ccxt_options()
        secrets = {"exchange_api_key": options.pop("apiKey"), "exchange_secret": options.pop("secret")}
        market = {"market__venue": "binance", "market__symbol": symbol, "market__client": options}
        config = configured(**market, market__allowed_hosts=HERE, **flags)
        return await asyncio.to_thread(exchange, patient(config, **(secrets if with_key else {})))


async def test_a_venue_that_answers_and_a_key_that_cannot_withdraw_are_good():
    told(await at_the_exchange(), Severity.GOOD, "lists BTC/USDT", "ms from ours")
    told(await at_the_exchange(with_key=True), Severity.GOOD, "the key cannot withdraw")


async def test_a_symbol_that_is_not_listed_is_told():
    told(await at_the_exchange("XYZ/USDT"), Severity.BAD, "does not list XYZ/USDT", "market.symbol")


async def test_clocks_too_far_apart_are_told():
    told(
        await at_the_exchange(execution__max_clock_skew_ms=1e-6), Severity.BAD, "ms from ours", "time service"
    )


def test_what_is_not_configured_is_not_visited():
    nothing = patient(Config())
    for check in (credentials, exchange, broker):
        told(check(nothing), Severity.SKIPPED)


def test_half_a_key_and_one_that_others_may_read_are_told(tmp_path):
    told(
        credentials(patient(Config(), exchange_api_key="0123456789")),
        Severity.BAD,
        "exchange_secret is missing",
    )
    both = {"exchange_api_key": "0123456789", "exchange_secret": "0123456789"}
    told(credentials(patient(Config(), **both)), Severity.GOOD)
    open_file = tmp_path / "key"
    open_file.write_text("0123456789")
    open_file.chmod(0o644)
    told(credentials(patient(Config(), exchange_api_key_file=str(open_file))), Severity.BAD, "chmod 600")


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
async def test_a_broker_that_takes_us_is_good_and_one_that_is_away_is_told(tmp_path):
    mosquitto = Mosquitto(tmp_path)
    await mosquitto.start()
    try:
        there = configured(mqtt__broker="127.0.0.1", mqtt__port=mosquitto.port)
        told(await asyncio.to_thread(broker, patient(there)), Severity.GOOD, str(mosquitto.port))
    finally:
        mosquitto.stop()
    away = configured(mqtt__broker="127.0.0.1", mqtt__port=free_port())
    told(await asyncio.to_thread(broker, patient(away)), Severity.BAD, "mqtt.port")
