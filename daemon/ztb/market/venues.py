"""What is known of venues before anyone asks them: costs, what their quantities count, and how they are spelled."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ztb.market.symbols import is_money

COIN_MARGINED = "binancecoinm"
SPOT, LINEAR, INVERSE, CONTRACT = "spot", "linear", "inverse", "contract"
"""Kinds of market. Quantities of spot are coins; a linear contract's profit is in quote currency, an inverse one's in
coins; CONTRACT is either."""


@dataclass(frozen=True, slots=True)
class VenueCosts:
    """VenueCosts of a venue's first tier, as fractions of notional, and its typical spread.

    `min_notional` is in US dollars; `lot_size` stands in where bars alone cannot tell it.
    """

    maker_fee: Decimal
    taker_fee: Decimal
    spread_bps: float
    min_notional: Decimal
    lot_size: Decimal | None = None


@dataclass(frozen=True, slots=True)
class KeyRights:
    """Where a venue tells what a key may do: `call`, a method of ccxt's client, and how withdrawal is read off its
    answer."""

    call: str
    may_withdraw: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Venue:
    """VenueCosts by kind of market; None where it has none of the kind. `counted`: its linear quantities are numbers of
    contracts, not coins. `rights` is None where it cannot tell a key's. `stops`: on spot, what a stop order sells is
    told under the stop's own id, so that its fills are ours; elsewhere a stop that is triggered makes another order."""

    spot: VenueCosts | None = None
    contracts: VenueCosts | None = None
    counted: bool = False
    rights: KeyRights | None = None
    stops: bool = False


def _costs(
    maker: str, taker: str, spread_bps: float, min_notional: str = "5", lot: str | None = None
) -> VenueCosts:
    lot_size = None if lot is None else Decimal(lot)
    return VenueCosts(Decimal(maker), Decimal(taker), spread_bps, Decimal(min_notional), lot_size)


VENUES: dict[str, Venue] = {
    # Coinbase Pro's schedule of 2019, lowest tier but one; base increment 1e-8.
    "coinbase": Venue(_costs("0.0015", "0.0025", 1.0, "10", "1e-8")),
    # binance.com/en/fee/schedule, VIP 0, without the BNB discount; futures: binance.com/en/fee/futureFee, VIP 0.
    "binance": Venue(
        _costs("0.001", "0.001", 1.0, "10"),
        _costs("0.0002", "0.0005", 0.5),
        rights=KeyRights(
            "sapi_get_account_apirestrictions", lambda told: bool(told.get("enableWithdrawals"))
        ),
        stops=True,
    ),
    "binanceusdm": Venue(contracts=_costs("0.0002", "0.0005", 0.5)),
    "binancecoinm": Venue(contracts=_costs("0.0002", "0.0005", 0.5)),
    # bitflyer.com/en-jp/commission, spot, smallest volume; spread of its ticker in January 2018: 4 to 6 bps.
    "bitflyer": Venue(_costs("0.0015", "0.0015", 5.0, "1", "1e-8")),
    # bitmex.com/wallet/fees of 2020: taker 0.075 %; its maker rebate is not counted on.
    "bitmex": Venue(contracts=_costs("0.0002", "0.00075", 0.6, "1"), counted=True),
    # deribit.com/kb/fees, perpetuals: taker 0.05 %; maker 0 or a rebate, a little is charged to be careful.
    "deribit": Venue(contracts=_costs("0.0001", "0.0005", 0.8, "10")),
    # HTX (Huobi): spot, smallest volume; swaps, tier 0 of 2020.
    "htx": Venue(_costs("0.002", "0.002", 1.0, "10"), _costs("0.0002", "0.0005", 0.5, "100"), counted=True),
    # kraken.com/features/fee-schedule, lowest tier of 2019 to 2022; futures, lowest tier.
    "kraken": Venue(_costs("0.0016", "0.0026", 2.0, "5", "1e-8"), _costs("0.0002", "0.0005", 1.0)),
    # bitstamp.net/fee-schedule of 2021, smallest volume.
    "bitstamp": Venue(_costs("0.005", "0.005", 3.0, "25", "1e-8")),
    # bybit.com, VIP 0.
    "bybit": Venue(
        _costs("0.001", "0.001", 1.0),
        _costs("0.0002", "0.00055", 0.5),
        rights=KeyRights(
            "private_get_v5_user_query_api",
            lambda told: "Withdraw" in told["result"]["permissions"].get("Wallet", []),
        ),
    ),
    # okx.com/fees, regular user.
    "okx": Venue(_costs("0.0008", "0.001", 1.0, "10"), _costs("0.0002", "0.0005", 0.5), counted=True),
    # kucoin.com, gate.io and bitfinex.com, lowest tiers.
    "kucoin": Venue(_costs("0.001", "0.001", 1.5), _costs("0.0002", "0.0006", 1.0), counted=True),
    "gate": Venue(_costs("0.002", "0.002", 2.0), _costs("0.0002", "0.0005", 1.0), counted=True),
    "bitfinex": Venue(_costs("0.001", "0.002", 2.0), _costs("0.0002", "0.00065", 1.0)),
    # Nothing known: on the dear side of what venues take.
    "unknown": Venue(_costs("0.001", "0.002", 5.0, "10"), _costs("0.0004", "0.00075", 5.0, "10")),
}
NAMES = frozenset(VENUES) - {"unknown"}
"""Venues that files may be named after."""

# Spelling: ccxt's name, and the kind of market that the spelling tells.
_ALIASES: dict[str, tuple[str, str | None]] = {
    "binance-um": ("binanceusdm", LINEAR), "binance-futures": ("binanceusdm", LINEAR),
    "usdm": ("binanceusdm", LINEAR), "um": ("binanceusdm", LINEAR),
    "binance-cm": ("binancecoinm", INVERSE), "binance-delivery": ("binancecoinm", INVERSE),
    "coinm": ("binancecoinm", INVERSE), "binance-spot": ("binance", SPOT), "spot": ("binance", SPOT),
    "coinbase-pro": ("coinbase", SPOT), "gdax": ("coinbase", SPOT), "bybit-spot": ("bybit", SPOT),
    "bybit-linear": ("bybit", LINEAR), "bybit-inverse": ("bybit", INVERSE),
    "huobi": ("htx", None), "huobi-dm-swap": ("htx", INVERSE), "huobi-dm": ("htx", INVERSE),
    "huobi-dm-linear-swap": ("htx", LINEAR), "bitflyer.jp": ("bitflyer", None), "okex": ("okx", None),
    "okex-swap": ("okx", CONTRACT), "okx-swap": ("okx", CONTRACT), "okex-futures": ("okx", CONTRACT),
    "cryptofacilities": ("kraken", CONTRACT), "krakenfutures": ("kraken", CONTRACT),
    "kucoin-futures": ("kucoin", CONTRACT), "kucoinfutures": ("kucoin", CONTRACT),
    "gate-io": ("gate", None), "gateio": ("gate", None), "gate-io-futures": ("gate", CONTRACT),
    "bitfinex-derivatives": ("bitfinex", CONTRACT),
}  # fmt: skip
_OF_ONE_KIND = {"binanceusdm": LINEAR, "binancecoinm": INVERSE, "bitmex": CONTRACT, "deribit": CONTRACT}
# Venues whose contracts in dollars pay in coins.
_INVERSE_IN_DOLLARS = frozenset(
    {"bitmex", "bybit", "okx", "deribit", "htx", "binancecoinm", "kucoin", "gate"}
)
_WORTH = {"BTC": "0.00001", "ETH": "0.0005", "BNB": "0.002", "JPY": "100", "KRW": "1000", "TRY": "30"}
# Coins in one contract, from the venues' contract specifications.
_LINEAR_CONTRACTS: dict[str, dict[str, float]] = {
    "okx": {"BTC": 0.01, "ETH": 0.1, "LTC": 1, "XRP": 100, "SOL": 1, "DOGE": 1000, "ADA": 100, "DOT": 1, "LINK": 1,
            "BCH": 0.1, "ETC": 10, "TRX": 1000, "FIL": 0.1, "AVAX": 1, "ATOM": 1, "UNI": 1, "NEAR": 10,
            "SHIB": 1_000_000, "PEPE": 10_000_000},
    "htx": {"BTC": 0.001, "ETH": 0.01},
    "kucoin": {"BTC": 0.001, "ETH": 0.01},
    "gate": {"BTC": 0.0001, "ETH": 0.01},
    "bitmex": {"BTC": 0.000001},
}  # fmt: skip


def venue_name(text: str) -> str:
    """The name used here (ccxt's id) for a venue however it is spelled."""
    plain = _plain(text)
    return _ALIASES.get(plain, (plain, None))[0]


def market_in_venue(text: str) -> str | None:
    """The kind of market that a venue's spelling tells, such as `bybit-spot` or `okex-swap`; else None."""
    plain = _plain(text)
    return _ALIASES.get(plain, (plain, _OF_ONE_KIND.get(plain)))[1]


def _plain(text: str) -> str:
    return text.strip().lower().replace("_", "-").replace(" ", "-")


def venue_in_path(parts: tuple[str, ...], layout_venue: str | None) -> str | None:
    """The venue that a file's or folder's name mentions, nearest part first, as it is spelled; else the layout's.

    The bare name of a venue with several markets says less than a layout of one of them.
    """
    for part in reversed(parts):
        words = re.split(r"[_.\s]+", part)
        pieces = [word.lower() for word in words + [piece for word in words for piece in word.split("-")]]
        pieces += [re.split(r"[A-Z]", word)[0] for word in words if re.fullmatch(r"[a-z]{3,}[A-Z]{3}", word)]
        for piece in pieces:
            name = venue_name(piece)
            if name == piece and layout_venue is not None and layout_venue.startswith(name):
                return layout_venue
            if name in VENUES and name != "unknown":
                return piece
    return layout_venue


def key_rights(venue: str) -> KeyRights | None:
    """Where a venue, by ccxt's id, tells a key's rights; None if it cannot."""
    known = VENUES.get(venue)
    return None if known is None else known.rights


def keeps_stops(venue: str) -> bool:
    """Whether a venue, by ccxt's id, has stop orders whose fills can be told to be theirs."""
    known = VENUES.get(venue)
    return known is not None and known.stops


def costs(venue: str, market: str) -> VenueCosts:
    """The venue's costs in that kind of market, or the careful ones of an unknown venue."""
    known, unknown = VENUES.get(venue, VENUES["unknown"]), VENUES["unknown"]
    found = known.spot if market == SPOT else known.contracts
    spare = unknown.spot if market == SPOT else unknown.contracts
    assert spare is not None
    return found or spare


def min_notional(venue: str, market: str, quote: str) -> Decimal:
    """Smallest order in `quote` currency."""
    dollars = costs(venue, market).min_notional
    return dollars if is_money(quote) and quote not in _WORTH else dollars * Decimal(_WORTH.get(quote, "1"))


def settled(venue: str, quote: str, market: str | None) -> str:
    """SPOT, LINEAR or INVERSE of what is known: CONTRACT is one of the two, nothing is what the venue has."""
    market = market or _OF_ONE_KIND.get(venue)
    if market is None:
        # Where a venue trades contracts in dollars that pay in coins, it has no pair of the plain dollar.
        return INVERSE if venue == "bybit" and quote == "USD" else SPOT
    if market != CONTRACT:
        return market
    return INVERSE if quote == "USD" and venue in _INVERSE_IN_DOLLARS else LINEAR


@dataclass(frozen=True, slots=True)
class Unit:
    """What one unit of a quantity is: `coins` of base currency, or `quotes` of quote currency if that is above 0."""

    coins: float = 1.0
    quotes: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether quantities are coins already."""
        return self.coins == 1.0 and not self.quotes


def contract_unit(venue: str, market: str, base: str) -> Unit | None:
    """What the venue counts its quantities in; None if that are contracts whose size is not known here."""
    if market == INVERSE:
        if venue == "bitmex" and base != "BTC":
            return None  # a quanto, which pays in neither of its currencies
        large = venue in ("htx", "binancecoinm", "okx")  # their contract specifications
        return Unit(quotes=(100.0 if base == "BTC" else 10.0) if large else 1.0)
    if market == LINEAR and VENUES.get(venue, VENUES["unknown"]).counted:
        coins = _LINEAR_CONTRACTS.get(venue, {}).get(base)
        return None if coins is None else Unit(coins=float(coins))
    return Unit()
