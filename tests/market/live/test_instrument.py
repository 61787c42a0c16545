"""The instrument that a venue's own market table describes, in each of ccxt's ways to tell precision."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ztb.errors import ConfigError
from ztb.market.live.instrument import instrument_of, refuse_contracts


class Venue:
    id = "kraken"

    def __init__(self, mode: int, **market: Any) -> None:
        self.precisionMode = mode
        self.markets = {"A/B": {"base": "A", "quote": "B", **market}}


@pytest.mark.parametrize(
    ("mode", "precision", "tick", "lot"),
    [
        (4, {"price": 0.05, "amount": 1e-8}, "0.05", "1e-8"),
        (4, {"price": "1e-10", "amount": 1}, "1e-10", "1"),
        (2, {"price": 8, "amount": 0}, "1e-8", "1"),
        (2, {"price": 2, "amount": -2}, "0.01", "100"),
        (3, {"price": 5, "amount": 8}, "1e-8", "1e-8"),
        (3, {"price": 4, "amount": 4}, "1e-8", "1e-8"),
        (3, {"price": 7, "amount": 0}, "1e-8", "1e-8"),
    ],
)
def test_increments_of_every_mode(mode: int, precision: dict[str, Any], tick: str, lot: str) -> None:
    instrument = instrument_of(Venue(mode, precision=precision), "A/B")  # type: ignore[arg-type]
    assert (instrument.tick_size, instrument.lot_size) == (Decimal(tick), Decimal(lot))


@pytest.mark.parametrize(
    ("market", "reason"),
    [
        ({"precision": None}, "does not say the price increment"),
        ({"precision": {"price": None, "amount": 1}}, "does not say the price increment"),
        ({"precision": {"price": 0.0, "amount": 1}}, "says that the price increment of A/B is 0"),
        ({"precision": {"price": 0.1, "amount": 0}}, "says that the amount increment of A/B is 0"),
        ({"precision": {"price": "0", "amount": "1e-8"}}, "says that the price increment of A/B is 0"),
        ({"precision": {"price": 0.1, "amount": 1}, "active": False}, "does not trade it at present"),
        ({"precision": None, "active": False}, "does not trade it at present"),
        (
            {"precision": {"price": 0.1, "amount": 1}, "active": False, "contract": True, "inverse": True},
            "at present",
        ),
        ({"precision": {"price": 0.1, "amount": 1}, "contract": True, "inverse": True}, "inverse contracts"),
    ],
)
def test_what_cannot_be_traded_is_refused_by_name(market: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        instrument_of(Venue(4, **market), "A/B")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "quantity", "notional"),
    [
        ({"amount": {"min": 0.0002}, "cost": {"min": 5}}, "0.0002", "5"),
        ({"amount": {"min": "4e-5"}}, "0.00004", None),
        ({"amount": {"min": 2}, "cost": {"min": 0}}, "2", "0"),
        ({"amount": {"min": None}, "cost": {"min": 10.0}}, "0", "10"),
        ({"amount": {}}, "0", None),
        ({}, "0", None),
        (None, "0", None),
    ],
)
def test_the_smallest_order_is_what_the_venue_says(limits: Any, quantity: str, notional: str | None) -> None:
    """Bitfinex, KuCoin, Kraken and Bybit tell a smallest quantity; most a smallest notional; some neither."""
    market = {"precision": {"price": 0.1, "amount": 1e-8}, "limits": limits}
    instrument = instrument_of(Venue(4, **market), "A/B")  # type: ignore[arg-type]
    assert instrument.min_quantity == Decimal(quantity)
    if notional is None:
        assert instrument.min_notional > 0, "what is usual there stands in"
    else:
        assert instrument.min_notional == Decimal(notional)


def test_the_smallest_quantity_of_contracts_is_told_in_coins() -> None:
    market = {"contract": True, "linear": True, "contractSize": 0.01, "limits": {"amount": {"min": 2}}}
    venue = Venue(4, precision={"price": 0.1, "amount": 1}, **market)
    assert instrument_of(venue, "A/B").min_quantity == Decimal("0.02")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0.01, 1, 1_000_000])
def test_contracts_are_for_paper_alone_whatever_their_size(size: float) -> None:
    market = {
        "contract": True,
        "linear": True,
        "contractSize": size,
        "precision": {"price": 0.1, "amount": 1},
    }
    instrument = instrument_of(Venue(4, **market), "A/B")  # type: ignore[arg-type]
    assert instrument.lot_size == Decimal(str(size))
    with pytest.raises(ConfigError, match=r"market\.symbol 'A/B': live mode trades spot alone") as caught:
        refuse_contracts(instrument)
    assert caught.value.exit_code == 78
    refuse_contracts(instrument_of(Venue(4, precision={"price": 0.1, "amount": 1}), "A/B"))  # type: ignore[arg-type]
