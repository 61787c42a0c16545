"""What is known of venues before anyone asks them: costs, and how their names and symbols are spelled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Venue:
    """Costs of a venue's first tier, as fractions of notional, and its typical spread.

    `min_notional` is in US dollars; `lot_size` stands in where bars alone cannot tell it. `short` is True
    where exposure may be below 0; `inverse` where quantities are contracts of quote currency.
    """

    maker_fee: Decimal
    taker_fee: Decimal
    spread_bps: float
    min_notional: Decimal
    lot_size: Decimal | None = None
    short: bool = False
    inverse: bool = False


def _venue(maker: str, taker: str, spread_bps: float, min_notional: str, lot: str | None = None,
           *, short: bool = False, inverse: bool = False) -> Venue:  # fmt: skip
    lot_size = None if lot is None else Decimal(lot)
    return Venue(Decimal(maker), Decimal(taker), spread_bps, Decimal(min_notional), lot_size, short, inverse)


VENUES: dict[str, Venue] = {
    # Coinbase Pro's schedule of 2019, lowest tier but one; base increment 1e-8.
    "coinbase": _venue("0.0015", "0.0025", 1.0, "10", "1e-8"),
    # binance.com/en/fee/schedule, VIP 0, without the BNB discount.
    "binance": _venue("0.001", "0.001", 1.0, "10"),
    # binance.com/en/fee/futureFee, USD-margined, VIP 0.
    "binanceusdm": _venue("0.0002", "0.0005", 0.5, "5", short=True),
    # Coin-margined futures of the same schedule.
    "binancecoinm": _venue("0.0002", "0.0005", 0.5, "5", short=True, inverse=True),
    # bitflyer.com/en-jp/commission, spot, smallest volume; spread of its ticker in January 2018: 4 to 6 bps.
    "bitflyer": _venue("0.0015", "0.0015", 5.0, "1", "1e-8"),
    # bitmex.com/wallet/fees of 2020: taker 0.075 %; its maker rebate is not counted on.
    "bitmex": _venue("0.0002", "0.00075", 0.6, "1", short=True, inverse=True),
    # deribit.com/kb/fees, perpetuals: taker 0.05 %; maker 0 or a rebate, a little is charged to be careful.
    "deribit": _venue("0.0001", "0.0005", 0.8, "10", short=True, inverse=True),
    # HTX (Huobi) coin-margined swaps, tier 0 of 2020.
    "htx": _venue("0.0002", "0.0005", 0.5, "100", short=True, inverse=True),
    # kraken.com/features/fee-schedule, lowest tier of 2019 to 2022.
    "kraken": _venue("0.0016", "0.0026", 2.0, "5", "1e-8"),
    # bitstamp.net/fee-schedule of 2021, smallest volume.
    "bitstamp": _venue("0.005", "0.005", 3.0, "25", "1e-8"),
    # bybit.com: linear perpetuals, VIP 0.
    "bybit": _venue("0.0002", "0.00055", 0.5, "5", short=True),
    # okx.com/fees: spot, regular user.
    "okx": _venue("0.0008", "0.001", 1.0, "10"),
    # Nothing known: on the dear side of what venues take.
    "unknown": _venue("0.001", "0.002", 5.0, "10"),
}

_ALIASES = {
    "binance-um": "binanceusdm", "binance-futures": "binanceusdm", "usdm": "binanceusdm", "um": "binanceusdm",
    "binance-cm": "binancecoinm", "binance-delivery": "binancecoinm", "coinm": "binancecoinm",
    "binance-spot": "binance", "spot": "binance", "coinbase-pro": "coinbase", "gdax": "coinbase",
    "huobi-dm-swap": "htx", "huobi": "htx", "bitflyer.jp": "bitflyer", "okex": "okx",
}  # fmt: skip
_DOLLARS = frozenset({"USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "DAI", "EUR", "GBP"})
_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "KRW", "TRY", "BRL", "AUD", "DAI",
    "BTC", "ETH", "BNB", "XBT",
)  # fmt: skip
_COMMON = frozenset({
    "BTC", "ETH", "BNB", "XRP", "ADA", "SOL", "DOGE", "DOT", "LTC", "LINK", "BCH", "TRX", "AVAX", "MATIC",
    "SHIB", "UNI", "ATOM", "XLM", "EOS", "BAT", "NEAR", "FIL", "APT",
})  # fmt: skip
_WORTH = {"BTC": "0.00001", "ETH": "0.0005", "BNB": "0.002", "JPY": "100", "KRW": "1000", "TRY": "30"}
_PAIR = re.compile(
    rf"(?<![A-Za-z0-9])([A-Z0-9]{{2,10}}?)([_/-]?)({'|'.join(_QUOTES)})(?:[-_]?PERP(?:ETUAL)?)?(?![A-Za-z0-9])"
)


def venue_name(text: str) -> str:
    """The name used here (ccxt's id) for a venue however it is spelled."""
    plain = text.strip().lower().replace("_", "-").replace(" ", "-")
    return _ALIASES.get(plain, plain)


def venue_in_path(parts: tuple[str, ...], layout_venue: str | None) -> str | None:
    """The venue that a file's or folder's name mentions, nearest part first; else the layout's.

    The bare name of a venue with several markets says less than a layout of one of them.
    """
    for part in reversed(parts):
        words = re.split(r"[_.\s]+", part.lower())
        pieces = words + [piece for word in words for piece in word.split("-")]
        for piece in pieces:
            name = venue_name(piece)
            if name == piece and layout_venue is not None and layout_venue.startswith(name):
                return layout_venue
            if name in VENUES and name != "unknown":
                return name
    return layout_venue


def known(venue: str) -> Venue:
    """The venue's costs, or the careful ones of an unknown venue."""
    return VENUES.get(venue, VENUES["unknown"])


def min_notional(venue: str, quote: str) -> Decimal:
    """Smallest order in `quote` currency."""
    dollars = known(venue).min_notional
    return dollars if quote in _DOLLARS else dollars * Decimal(_WORTH.get(quote, "1"))


def split_symbol(text: str) -> tuple[str, str] | None:
    """(base, quote) of `BTC/USDT`, `BTC-USD`, `btcusdt`, `BTC/USDT:USDT`, `BTC-PERPETUAL`, `XBTUSD`."""
    plain = text.strip().upper().split(":")[0].removesuffix("_PERP")
    if plain.endswith(("-PERPETUAL", "-PERP")) and plain.count("-") == 1:
        plain = plain.split("-")[0] + "/USD"
    for separator in "/_-":
        base, found, quote = plain.partition(separator)
        if found and base and quote and separator not in quote:
            return _bitcoin(base), _bitcoin(quote)
    return _joined(plain)


def _joined(plain: str) -> tuple[str, str] | None:
    """A pair written without a separator; where it can be split twice (`BNBUSD`), a common base decides."""
    ways = [(plain[: -len(q)], q) for q in _QUOTES if plain.endswith(q) and len(plain) > len(q) + 1]
    ways.sort(key=lambda way: _bitcoin(way[0]) not in _COMMON)
    return (_bitcoin(ways[0][0]), _bitcoin(ways[0][1])) if ways else None


def _bitcoin(currency: str) -> str:
    return "BTC" if currency == "XBT" else currency


def symbol_in_name(name: str) -> tuple[str, str] | None:
    """(base, quote) if a file's name has a pair in capitals, such as `trades_BTCJPY_20180121.parquet`."""
    match = _PAIR.search(name.replace("_", "-"))
    return None if match is None else split_symbol(match.group(1) + match.group(2) + match.group(3))


def is_perpetual(text: str) -> bool:
    """Whether a symbol or file name says that it is a perpetual future: `BTC/USDT:USDT`, `BTC-PERPETUAL`."""
    return bool(re.search(r"[/_-]\w+:\w+|[-_]perp(etual)?(?![a-z])", text, re.IGNORECASE))


def unified_symbol(base: str, quote: str, perpetual: bool, inverse: bool) -> str:
    """The pair as ccxt writes it: `BTC/USD`, a perpetual's with its settlement, `BTC/USDT:USDT`."""
    if not perpetual:
        return f"{base}/{quote}"
    return f"{base}/{quote}:{base if inverse else quote}"


def contract_worth(venue: str, base: str) -> float:
    """Quote currency that one contract of an inverse venue is worth; 0 where quantities are base currency."""
    if not known(venue).inverse:
        return 0.0
    if venue in ("htx", "binancecoinm"):
        return 100.0 if base == "BTC" else 10.0  # their contract specifications
    return 1.0
