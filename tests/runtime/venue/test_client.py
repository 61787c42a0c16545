"""What an error means for an order, what a key may do, and how a client of the venue is made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ccxt.base import errors

from ztb.config import MarketSection
from ztb.errors import ConfigError, VenueError
from ztb.market.live.rest import Backoff, Rest
from ztb.runtime.venue.client import (
    is_unknown_order,
    keys,
    outcome_of,
    patience_of,
    private_client,
    refuse_withdrawal_rights,
)
from ztb.testing.virtual_time import run_virtual

SECRETS = {"ZTB_SECRET_EXCHANGE_API_KEY": "the key of it", "ZTB_SECRET_EXCHANGE_SECRET": "its secret"}


@pytest.mark.parametrize(
    "error",
    [
        errors.InsufficientFunds, errors.InvalidOrder, errors.BadRequest, errors.BadSymbol, errors.AuthenticationError,
        errors.NotSupported, errors.ArgumentsRequired, errors.RateLimitExceeded, errors.DDoSProtection,
        errors.InvalidNonce, errors.OrderImmediatelyFillable,
    ],
)  # fmt: skip
def test_what_the_venue_or_ccxt_said_no_to_is_refused(error):
    assert outcome_of(error("no")) == "refused"


@pytest.mark.parametrize(
    "error",
    [
        errors.RequestTimeout,
        errors.NetworkError,
        errors.ExchangeNotAvailable,
        errors.ExchangeError,
        OSError,
        KeyError,
    ],
)
def test_what_may_have_been_taken_is_unknown(error):
    assert outcome_of(error("what?")) == "unknown"


def test_only_a_venue_that_says_so_does_not_know_an_order():
    assert is_unknown_order(errors.OrderNotFound("no such order"))
    assert not is_unknown_order(errors.InvalidOrder("no")) and not is_unknown_order(
        errors.NetworkError("cut")
    )


def test_a_key_is_read_with_its_password_where_there_is_one():
    assert keys(SECRETS) == {"apiKey": "the key of it", "secret": "its secret"}
    with_password = keys(SECRETS | {"ZTB_SECRET_EXCHANGE_PASSWORD": "a word of it"})
    assert with_password == keys(SECRETS) | {"password": "a word of it"}
    for name in SECRETS:
        with pytest.raises(ConfigError, match="--mode live"):
            keys({other: value for other, value in SECRETS.items() if other != name})


@pytest.mark.parametrize(
    ("window_ms", "least_s", "patience_s"), [(None, 6.0, 6.0), (None, 1.0, 2.0), (3000, 1.0, 5.0)]
)
def test_patience_lasts_two_seconds_longer_than_the_venues_window(window_ms, least_s, patience_s):
    options = {} if window_ms is None else {"recvWindow": window_ms}
    assert patience_of(SimpleNamespace(options=options), least_s) == patience_s  # type: ignore[arg-type]


def test_a_window_shorter_than_five_seconds_stays_as_it_is():
    market = MarketSection(venue="binance", client={"options": {"recvWindow": 700}})
    assert private_client(market, SECRETS).options["recvWindow"] == 700
    made = private_client(MarketSection(venue="kraken"), SECRETS)
    assert made.apiKey == "the key of it" and "recvWindow" not in made.options


def asked(answer: Any, venue: str = "binance") -> Any:
    """What is said of a key whose venue answers so, and how often it was asked."""
    calls: list[str] = []

    class Client:
        id = venue

        def __getattr__(self, name: str) -> Any:
            async def call() -> Any:
                calls.append(name)
                if isinstance(answer, Exception):
                    raise answer
                return answer

            return call

    client: Any = Client()
    rest = Rest(client, lambda: Backoff(0.01, 0.02, lambda: 0.5))
    return run_virtual(refuse_withdrawal_rights(client, rest)), calls


def test_a_key_that_may_withdraw_is_refused_by_name():
    known, calls = asked({"enableWithdrawals": False})
    assert known is True and len(calls) == 1
    with pytest.raises(ConfigError, match="the key of binance may withdraw: make one that may trade only"):
        asked({"enableWithdrawals": True})


def test_where_the_venue_cannot_tell_it_is_not_known():
    assert asked({}, venue="kraken") == (False, [])
    assert asked(errors.NotSupported("no such question"))[0] is False
    assert asked(errors.PermissionDenied("not for you"))[0] is False


def test_a_wrong_key_and_a_venue_that_does_not_answer_are_errors():
    with pytest.raises(ConfigError, match="wrong key"):
        asked(errors.AuthenticationError("wrong key"))
    with pytest.raises(VenueError, match="cut"):
        asked(errors.NetworkError("cut"))
