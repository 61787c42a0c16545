"""No client reaches a host that it was not told of, and no default reaches any."""

from __future__ import annotations

import ccxt.pro
import pytest

from ztb.config import Config, load_config
from ztb.errors import ConfigError
from ztb.market.live.client import LOOPBACK, ClientSettings, client_factory, refuse_other_hosts
from ztb.runtime.sources.live import venue_clients
from ztb.testing.exchange.local import client_options
from ztb.testing.exchange.venue import Credentials


@pytest.mark.parametrize("venue", ["binance", "kraken", "okx", "coinbase", "bybit"])
def test_a_venues_own_addresses_are_refused_where_only_loopback_is_allowed(venue: str):
    with pytest.raises(ConfigError, match=r"only 127\.0\.0\.1, ::1, localhost may be reached"):
        client_factory(ClientSettings(venue, {}, LOOPBACK))()


def test_one_address_left_out_is_refused_by_name_and_all_replaced_are_taken():
    options = client_options("127.0.0.1", 9, Credentials())
    assert client_factory(ClientSettings("binance", options, LOOPBACK))().id == "binance"
    urls = {**options["urls"], "api": {**options["urls"]["api"], "private": "https://api.binance.com/api/v3"}}
    with pytest.raises(
        ConfigError, match=r"urls\.api\.private: 'https://api\.binance\.com.* leads to api\.binance"
    ):
        client_factory(ClientSettings("binance", {**options, "urls": urls}, LOOPBACK))()


def test_a_sandbox_is_the_venues_test_system_and_refused_where_there_is_none():
    options = client_options("127.0.0.1", 9, Credentials())
    made = client_factory(ClientSettings("binance", options, LOOPBACK, sandbox=True))()
    assert made.urls["api"] == made.urls["test"] and "sapi" not in made.urls["api"]
    with pytest.raises(ConfigError, match=r"market\.sandbox: ccxt knows no sandbox of kraken"):
        client_factory(ClientSettings("kraken", {}, None, sandbox=True))()


def test_a_host_in_a_template_is_looked_at_with_its_name():
    refuse_other_hosts({"api": {"rest": "https://{hostname}/v5"}}, "127.0.0.1", LOOPBACK)
    with pytest.raises(ConfigError, match=r"leads to www\.okx\.com"):
        refuse_other_hosts({"api": {"rest": "https://{hostname}/v5"}}, "www.okx.com", LOOPBACK)


def test_no_default_names_a_venue_to_reach():
    assert Config().market.venue is None
    with pytest.raises(ConfigError, match=r"market\.venue: name the venue"):
        venue_clients(Config().market)


@pytest.mark.parametrize("key", ["apiKey", "secret", "password", "privateKey"])
def test_a_secret_in_the_file_is_refused_without_being_shown(key: str):
    flags = {"market.venue": "binance", "market.client": {key: "hush"}}
    with pytest.raises(ConfigError, match=f"market.client.{key}") as refused:
        venue_clients(load_config(None, flags, {}).config.market)
    assert "hush" not in str(refused.value)


async def test_the_guard_of_these_tests_stops_ccxt_from_leaving_the_machine():
    client = ccxt.pro.kraken({"timeout": 2000})
    try:
        with pytest.raises((AssertionError, ccxt.NetworkError, ccxt.ExchangeError)) as stopped:
            await client.fetch_time()
    finally:
        await client.close()
    chain: list[str] = []
    error: BaseException | None = stopped.value
    while error is not None:
        chain.append(str(error))
        error = error.__cause__ or error.__context__
    assert any("a test tried to reach" in text for text in chain)
