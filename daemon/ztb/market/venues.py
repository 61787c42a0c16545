"""Venues, as known before anyone asks them: costs, what their quantities count, and how they are spelled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ztb.market.symbols import is_money

COIN_MARGINED = "binancecoinm"
SPOT, LINEAR, INVERSE, CONTRACT = "spot", "linear", "inverse", "contract"
"""Kinds of market. Quantities of spot are coins; a linear contract's profit is in quote currency, an inverse one's in
coins; CONTRACT is either."""


@dataclass(frozen=True, slots=True)
class VenueCosts:
    """Costs of a venue's first tier, as fractions of notional, and its typical spread.

    `min_notional` is in US dollars; `lot_size` stands in where bars alone cannot tell it.
    """

    maker_fee: Decimal
    taker_fee: Decimal
    spread_bps: float
    min_notional: Decimal
    lot_size: Decimal | None = None


@dataclass(frozen=True, slots=True)
class KeyRights:
    """The call by which a venue tells what a key may do: `call`, a method of ccxt's client, and how withdrawal is
    read off its answer."""

    call: str
    may_withdraw: Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """Everything that is known of one venue and no other: its quirks stand here and nowhere else.

    `spot`, `contracts`: costs by kind of market; None where it has none of the kind. `only`: the one kind it has.
    `spellings`: how else it is written, with the kind of market that the spelling tells. `rights` is None where it
    cannot tell a key's.

    Contracts: `counted`: linear quantities are numbers of contracts, not coins, with `linear_coins` in each;
    `inverse_quotes`: dollars in an inverse contract of BTC, and of anything else; `quanto`: those on other coins than
    BTC pay in neither of their currencies. `inverse_in_dollars`: contracts in dollars pay in coins; `no_plain_dollar`:
    so does whatever is priced in the plain dollar. `sells_first`: of sides in numbers 1 is the seller, as at few.
    `stops`: on spot, what a stop order sells is told under the stop's own id, so that its fills are ours; elsewhere a
    stop that is triggered makes another order.
    """

    spot: VenueCosts | None = None
    contracts: VenueCosts | None = None
    only: str | None = None
    spellings: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    counted: bool = False
    linear_coins: Mapping[str, float] = field(default_factory=dict[str, float])
    inverse_quotes: tuple[float, float] = (1.0, 1.0)
    quanto: bool = False
    inverse_in_dollars: bool = False
    no_plain_dollar: bool = False
    sells_first: bool = False
    rights: KeyRights | None = None
    stops: bool = False


def _costs(
    maker: str, taker: str, spread_bps: float, min_notional: str = "5", lot: str | None = None
) -> VenueCosts:
    lot_size = None if lot is None else Decimal(lot)
    return VenueCosts(
        maker_fee=Decimal(maker),
        taker_fee=Decimal(taker),
        spread_bps=spread_bps,
        min_notional=Decimal(min_notional),
        lot_size=lot_size,
    )


# Coins in one linear contract.
_OKX_COINS = {
    "BTC": 0.01, "ETH": 0.1, "LTC": 1, "XRP": 100, "SOL": 1, "DOGE": 1000, "ADA": 100, "DOT": 1, "LINK": 1,
    "BCH": 0.1, "ETC": 10, "TRX": 1000, "FIL": 0.1, "AVAX": 1, "ATOM": 1, "UNI": 1, "NEAR": 10,
    "SHIB": 1_000_000, "PEPE": 10_000_000,
}  # fmt: skip
_LARGE = (100.0, 10.0)  # dollars in an inverse contract, by the venues' contract specifications

VENUES: dict[str, Venue] = {
    "coinbase": Venue(
        # Coinbase Pro's schedule of 2019, lowest tier but one; base increment 1e-8.
        spot=_costs("0.0015", "0.0025", 1.0, "10", "1e-8"),
        spellings={"coinbase-pro": SPOT, "gdax": SPOT},
    ),
    "binance": Venue(
        # binance.com/en/fee/schedule, VIP 0, without the BNB discount; futures: binance.com/en/fee/futureFee, VIP 0.
        spot=_costs("0.001", "0.001", 1.0, "10"),
        contracts=_costs("0.0002", "0.0005", 0.5),
        spellings={"binance-spot": SPOT, "spot": SPOT},
        rights=KeyRights(
            "sapi_get_account_apirestrictions", lambda told: bool(told.get("enableWithdrawals"))
        ),
        stops=True,
    ),
    "binanceusdm": Venue(
        contracts=_costs("0.0002", "0.0005", 0.5),
        only=LINEAR,
        spellings=dict.fromkeys(("binance-um", "binance-futures", "usdm", "um"), LINEAR),
    ),
    "binancecoinm": Venue(
        contracts=_costs("0.0002", "0.0005", 0.5),
        only=INVERSE,
        spellings=dict.fromkeys(("binance-cm", "binance-delivery", "coinm"), INVERSE),
        inverse_quotes=_LARGE,
        inverse_in_dollars=True,
    ),
    "bitflyer": Venue(
        # bitflyer.com/en-jp/commission, spot, smallest volume; spread of its ticker in January 2018: 4 to 6 bps.
        spot=_costs("0.0015", "0.0015", 5.0, "1", "1e-8"),
        spellings={"bitflyer.jp": None},
    ),
    "bitmex": Venue(
        # bitmex.com/wallet/fees of 2020: taker 0.075 %; its maker rebate is not counted on.
        contracts=_costs("0.0002", "0.00075", 0.6, "1"),
        only=CONTRACT,
        counted=True,
        linear_coins={"BTC": 0.000001},
        quanto=True,
        inverse_in_dollars=True,
    ),
    "deribit": Venue(
        # deribit.com/kb/fees, perpetuals: taker 0.05 %; maker 0 or a rebate, a little is charged to be careful.
        contracts=_costs("0.0001", "0.0005", 0.8, "10"),
        only=CONTRACT,
        inverse_in_dollars=True,
    ),
    "htx": Venue(
        # Once Huobi: spot, smallest volume; swaps, tier 0 of 2020.
        spot=_costs("0.002", "0.002", 1.0, "10"),
        contracts=_costs("0.0002", "0.0005", 0.5, "100"),
        spellings={
            "huobi": None,
            "huobi-dm-swap": INVERSE,
            "huobi-dm": INVERSE,
            "huobi-dm-linear-swap": LINEAR,
        },
        counted=True,
        linear_coins={"BTC": 0.001, "ETH": 0.01},
        inverse_quotes=_LARGE,
        inverse_in_dollars=True,
    ),
    "kraken": Venue(
        # kraken.com/features/fee-schedule, lowest tier of 2019 to 2022; futures, lowest tier.
        spot=_costs("0.0016", "0.0026", 2.0, "5", "1e-8"),
        contracts=_costs("0.0002", "0.0005", 1.0),
        spellings={"cryptofacilities": CONTRACT, "krakenfutures": CONTRACT},
    ),
    "bitstamp": Venue(
        # bitstamp.net/fee-schedule of 2021, smallest volume.
        spot=_costs("0.005", "0.005", 3.0, "25", "1e-8")
    ),
    "bybit": Venue(
        # bybit.com, VIP 0.
        spot=_costs("0.001", "0.001", 1.0),
        contracts=_costs("0.0002", "0.00055", 0.5),
        spellings={"bybit-spot": SPOT, "bybit-linear": LINEAR, "bybit-inverse": INVERSE},
        inverse_in_dollars=True,
        no_plain_dollar=True,
        rights=KeyRights(
            "private_get_v5_user_query_api",
            lambda told: "Withdraw" in told["result"]["permissions"].get("Wallet", []),
        ),
    ),
    "okx": Venue(
        # okx.com/fees, regular user.
        spot=_costs("0.0008", "0.001", 1.0, "10"),
        contracts=_costs("0.0002", "0.0005", 0.5),
        spellings={"okex": None} | dict.fromkeys(("okex-swap", "okx-swap", "okex-futures"), CONTRACT),
        counted=True,
        linear_coins=_OKX_COINS,
        inverse_quotes=_LARGE,
        inverse_in_dollars=True,
    ),
    "kucoin": Venue(
        # kucoin.com, lowest tier.
        spot=_costs("0.001", "0.001", 1.5),
        contracts=_costs("0.0002", "0.0006", 1.0),
        spellings={"kucoin-futures": CONTRACT, "kucoinfutures": CONTRACT},
        counted=True,
        linear_coins={"BTC": 0.001, "ETH": 0.01},
        inverse_in_dollars=True,
    ),
    "gate": Venue(
        # gate.io, lowest tier.
        spot=_costs("0.002", "0.002", 2.0),
        contracts=_costs("0.0002", "0.0005", 1.0),
        spellings={"gate-io": None, "gateio": None, "gate-io-futures": CONTRACT},
        counted=True,
        sells_first=True,
        linear_coins={"BTC": 0.0001, "ETH": 0.01},
        inverse_in_dollars=True,
    ),
    "bitfinex": Venue(
        # bitfinex.com, lowest tier.
        spot=_costs("0.001", "0.002", 2.0),
        contracts=_costs("0.0002", "0.00065", 1.0),
        spellings={"bitfinex-derivatives": CONTRACT},
    ),
}
UNKNOWN = Venue(
    # On the dear side of what venues take.
    spot=_costs("0.001", "0.002", 5.0, "10"),
    contracts=_costs("0.0004", "0.00075", 5.0, "10"),
)
"""Stands for a venue of which nothing is known."""
_UNPRICED = frozenset({
    "ascendex", "bigone", "bingx", "bitbank", "bitget", "bithumb", "bitmart", "bitso", "bittrex", "bitvavo", "btcturk",
    "coincheck", "coinex", "coinone", "cryptocom", "exmo", "ftx", "gemini", "gmo", "hitbtc", "hyperliquid", "indodax",
    "korbit", "lbank", "liquid", "luno", "mexc", "mtgox", "okcoin", "phemex", "poloniex", "probit", "quoine", "upbit",
    "whitebit", "zaif",
})  # fmt: skip
NAMES = frozenset(VENUES) | _UNPRICED
"""Venues that files may be named after; what some of them cost is not known here."""
_BINANCES_OWN = ("spot", "um", "usdm", "coinm")

_SPELLED = {text: (name, kind) for name, venue in VENUES.items() for text, kind in venue.spellings.items()}
_WORTH = {"BTC": "0.00001", "ETH": "0.0005", "BNB": "0.002", "JPY": "100", "KRW": "1000", "TRY": "30"}


def venue_name(text: str) -> str:
    """The name used here (ccxt's id) for a venue however it is spelled."""
    plain = _plain(text)
    return _SPELLED.get(plain, (plain, None))[0]


def market_in_venue(text: str) -> str | None:
    """The kind of market that a venue's spelling tells, such as `bybit-spot` or `okex-swap`; else None."""
    plain = _plain(text)
    return _SPELLED.get(plain, (plain, venue_known_as(plain).only))[1]


def venue_known_as(name: str) -> Venue:
    """The record of the venue with ccxt's id `name`, or that of an unknown one."""
    return VENUES.get(name, UNKNOWN)


def _plain(text: str) -> str:
    return text.strip().lower().replace("_", "-").replace(" ", "-")


def venue_in_path(parts: tuple[str, ...], layout_venue: str | None) -> str | None:
    """The venue that a file's or folder's name mentions, nearest part first, as it is spelled; else the layout's.

    The bare name of a venue with several markets says less than a layout of one of them.
    """
    mentioned = [piece for part in reversed(parts) for piece in _pieces(part) if venue_name(piece) in NAMES]
    named = [piece for piece in mentioned if piece not in _BINANCES_OWN]
    if any(name.startswith("binance") for name in [*named[:1], layout_venue or ""]):
        named = [*(piece for piece in mentioned if piece in _BINANCES_OWN), *named]
    if not named:
        return layout_venue
    first = named[0]
    bare = venue_name(first) == first and layout_venue is not None and layout_venue.startswith(first)
    return layout_venue if bare else first


def _pieces(part: str) -> list[str]:
    """Words of a name that may be a venue's: `kraken` of `krakenEUR.csv`, `okex-swap` and then `okex`."""
    words = re.split(r"[_.\s]+", part)
    pieces = [word.lower() for word in words + [piece for word in words for piece in word.split("-")]]
    return pieces + [
        re.split(r"[A-Z]", word)[0] for word in words if re.fullmatch(r"[a-z]{3,}[A-Z]{3}", word)
    ]


def key_rights(venue: str) -> KeyRights | None:
    """The call by which a venue, by ccxt's id, tells a key's rights; None if it has none."""
    return venue_known_as(venue).rights


def keeps_stops(venue: str) -> bool:
    """True if a venue, by ccxt's id, has stop orders whose fills can be told to be theirs."""
    return venue_known_as(venue).stops


def costs(venue: str, market: str) -> VenueCosts:
    """The venue's costs in that kind of market, or the careful ones of an unknown venue."""
    known = venue_known_as(venue)
    found, spare = (known.spot, UNKNOWN.spot) if market == SPOT else (known.contracts, UNKNOWN.contracts)
    assert spare is not None
    return found or spare


def min_notional(venue: str, market: str, quote: str) -> Decimal:
    """Smallest order in `quote` currency."""
    dollars = costs(venue, market).min_notional
    return dollars if is_money(quote) and quote not in _WORTH else dollars * Decimal(_WORTH.get(quote, "1"))


def settled(venue: str, quote: str, market: str | None) -> str:
    """SPOT, LINEAR or INVERSE of what is known: CONTRACT is one of the two, nothing is what the venue has."""
    known = venue_known_as(venue)
    market = market or known.only
    if market is None:
        return INVERSE if known.no_plain_dollar and quote == "USD" else SPOT
    if market != CONTRACT:
        return market
    return INVERSE if quote == "USD" and known.inverse_in_dollars else LINEAR


@dataclass(frozen=True, slots=True)
class Unit:
    """The size of one unit of a quantity: `coins` of base currency, or `quotes` of quote currency if above 0."""

    coins: float = 1.0
    quotes: float = 0.0

    @property
    def plain(self) -> bool:
        """True if quantities are coins already."""
        return self.coins == 1.0 and not self.quotes


def contract_unit(venue: str, market: str, base: str) -> Unit | None:
    """The unit of the venue's quantities; None if that are contracts whose size is not known here."""
    known = venue_known_as(venue)
    if market == INVERSE:
        if known.quanto and base != "BTC":
            return None
        bitcoin, other = known.inverse_quotes
        return Unit(quotes=bitcoin if base == "BTC" else other)
    if market == LINEAR and known.counted:
        coins = known.linear_coins.get(base)
        return None if coins is None else Unit(coins=float(coins))
    return Unit()
