"""Symbols: their spellings, and which market they name: spot, or a contract with its settlement."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_STABLE = ("USDT", "USDC", "BUSD", "TUSD", "FDUSD", "PYUSD", "USDE", "USDP", "GUSD", "HUSD", "SUSD", "DAI",
           "UST", "USDD", "USDQ", "RLUSD", "EURT", "EURC", "EURI", "AEUR", "PAX", "XAUT")  # fmt: skip
_FIAT = ("USD", "EUR", "GBP", "JPY", "KRW", "TRY", "BRL", "AUD", "CAD", "CHF", "PLN", "CZK", "SEK", "NOK", "DKK",
         "HUF", "RUB", "UAH", "INR", "IDR", "THB", "VND", "PHP", "SGD", "HKD", "CNY", "CNH", "TWD", "MXN", "ARS",
         "COP", "ZAR", "NGN", "NZD", "ILS", "AED", "RON")  # fmt: skip
_QUOTING_COINS = ("BTC", "ETH", "BNB", "XBT")
_QUOTES = (*_STABLE, *_FIAT, *_QUOTING_COINS)
# What ends in USD by itself: a base in front of it may have lent it its last letters.
_DOLLARS_OF_LETTERS = tuple(q for q in _STABLE if q.endswith("USD"))
_COIN_NAMES = """
1INCH AAVE ACH ADA AGIX AGLD AIOZ ALCX ALGO ALICE ALPHA ALT AMP ANKR ANT APE API3 APT AR ARB ARKM ARPA
ASTR ATOM AUCTION AUDIO AVAX AXL AXS BADGER BAL BAND BAT BCH BEAM BICO BLUR BLZ BNB BNT BOME BONK BSV BTC
BTG BTT C98 CAKE CELO CELR CFX CHR CHZ COMP COTI CRO CRV CTSI CTXC CVC CVX DAI DASH DCR DENT DGB DODO DOGE
DOT DYDX DYM EGLD EIGEN ELF ENA ENJ ENS EOS ETC ETH ETHFI ETHW EUR FET FIDA FIL FLOKI FLOW FLR FORTH FTM
FTT FUN FXS GAL GALA GBP GLM GLMR GMT GMX GNO GNS GRT GTC HBAR HFT HIVE HNT HOOK HOT HYPE ICP ICX ID IDEX
ILV IMX INJ IOST IOTA IOTX JASMY JOE JTO JUP KAS KAVA KDA KEY KLAY KNC KSM LDO LEO LINA LINK LIT LOKA LPT
LQTY LRC LSK LTC LUNA LUNC MAGIC MANA MANTA MASK MATIC MAVIA MEME METIS MINA MIOTA MKR MLN MNT MOVR MTL
NEAR NEO NEXO NKN NMR NOT NU OCEAN OGN OKB OM OMG ONDO ONE ONT OP ORDI OXT PAXG PENDLE PEOPLE PEPE PERP
PHA POL POLYX POND POWR PUNDIX PYR PYTH QKC QNT QTUM RAD RARE RAY RENDER REN REP REQ RLC RNDR RON ROSE RPL
RSR RUNE RVN SAND SATS SC SCRT SEI SFP SHIB SKL SLP SNT SNX SOL SPELL SSV STEEM STG STMX STORJ STRK STX
SUI SUN SUPER SUSHI SXP SYN SYS THETA TIA TLM TNSR TON TRB TRU TRX TWT UMA UNI USD USDC USDT UST USTC VET
VTHO WAVES WAXP WBTC WIF WLD WOO XAI XAU XAG XBT XDC XDG XEC XEM XLM XMR XNO XRP XTZ XVG YFI YGG ZEC ZEN
ZIL ZK ZRO ZRX JST FLUX BAKE AKT TAO TURBO MOG GAS GFT ACA DUSK PROM NULS STPT SWEAT VIDT WAN WIN ARDR
HIGH HARD IRIS KMD LEVER LOOM MBL MDT MDX NFP OAX ORN PIVX PLA PNT POLS PORTAL QUICK RDNT RIF SAGA SANTOS
"""
_COINS = frozenset(_COIN_NAMES.split())
_FRIDAY = 1  # of days since 1970, by sevens
_RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
_CONTRACT_TAIL = re.compile(r"([-_.]?PERP(ETUAL)?|[-_]SWAP|\.P|[-_]\d{6}|[-_]\d{1,2}[A-Z]{3}\d{2})$")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A pair; `market`: spot, linear, inverse or contract where its spelling tells, else None."""

    base: str
    quote: str
    market: str | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """(base, quote)."""
        return self.base, self.quote


def is_money(currency: str) -> bool:
    """True if a currency is a state's or stands for one, so that prices are in it rather than of it."""
    return currency in _FIAT or currency in _STABLE


def is_coin(currency: str) -> bool:
    """True if a currency is one of the coins known by name."""
    return currency in _COINS


def parse_symbol(text: str, *, binance: bool = False) -> Symbol | None:
    """A symbol however it is spelled: `BTC/USDT`, `btcusdt`, `BTC/USDT:USDT`, `BTC-PERPETUAL`, `XBTUSD`, `tBTCUSD`.

    `binance`: where a joined pair can be cut twice, its quote is the longer one: that venue has no plain dollar.
    """
    words = text.strip()
    if re.fullmatch(r"t[A-Z0-9]{6,}|t[A-Z0-9]{2,}:[A-Z0-9]{2,}", words):
        found = _bitfinex(words[1:])
    else:
        found = _spelled(words.upper(), binance)
    return found if found is not None and all(map(_is_currency, found.pair)) else None


def _is_currency(text: str) -> bool:
    return all(letter.isalnum() or letter in ".$" for letter in text)


def _spelled(words: str, binance: bool) -> Symbol | None:
    """A symbol in capitals, in any spelling but Bitfinex'."""
    before, found, after = words.partition(":")
    if found and before.isalpha() and before not in _COINS:
        words = after  # TradingView's and Polygon's have a venue in front
    elif found and before in _COINS and after in _QUOTES:
        return _known(before, after, None)
    if re.fullmatch(r"FX[_-][A-Z]+[_-][A-Z]+", words):
        base, quote = re.split("[_-]", words)[1:]
        return _known(base, quote, "linear")  # bitFlyer's
    kraken = re.fullmatch(r"P?([PF])[IF]_([A-Z]+)(_\d+)?", words)
    if kraken is not None:
        joined = _joined(kraken[2], binance)
        return joined and Symbol(*joined, "inverse" if "I_" in words else "linear")
    settled = re.fullmatch(r"([A-Z0-9.]+)[/_-]([A-Z0-9]+)[:_]([A-Z0-9]+)(-\S+)?", words)
    if settled is not None and settled[3] in (settled[1], settled[2], "USDT", "USDC", "USD", "BTC"):
        return _known(settled[1], settled[2], "inverse" if settled[3] == settled[1] else "linear")
    tail = _CONTRACT_TAIL.search(words)
    body, market = (words[: tail.start()], "contract") if tail else (words, None)
    if market and not re.search(r"[/_-]", body) and body in _COINS:
        if words == body + "PERP":
            return _known(body, "USDC", "linear")  # Bybit's, which alone has no hyphen there
        # Deribit's and FTX's: the dollar goes without saying.
        return _known(body, "USD", "contract" if words.endswith("PERP") else "inverse")
    for separator in "/_-":
        base, found, quote = body.partition(separator)
        if found and base and quote and separator not in quote:
            # Upbit's KRW-BTC and Poloniex' USDT_BTC have the money first.
            turned = separator != "/" and is_money(base) and is_coin(quote) and not is_money(quote)
            return _known(quote, base, market) if turned else _known(base, quote, market)
    if re.fullmatch(r"[A-Z]{3,}USD[TC]?M", body):
        pair = _joined(body[:-1], binance)
        return pair and Symbol(*pair, "contract")
    pair = _joined(body, binance)
    return pair and Symbol(*pair, market)


def split_symbol(text: str, *, binance: bool = False) -> tuple[str, str] | None:
    """(base, quote) of a symbol however it is spelled; None if they cannot be told apart."""
    found = parse_symbol(text, binance=binance)
    return None if found is None else found.pair


def _known(base: str, quote: str, market: str | None) -> Symbol:
    return Symbol(_RENAMED.get(base, base), _RENAMED.get(quote, quote), market)


def _bitfinex(text: str) -> Symbol | None:
    base, found, quote = text.partition(":")
    if not found:
        base, quote = text[:-3], text[-3:]
    market = "contract" if base.endswith("F0") else None
    base, quote = base.removesuffix("F0"), quote.removesuffix("F0")
    return _known(base, "USDT" if quote == "UST" else quote, market)


def _joined(text: str, binance: bool) -> tuple[str, str] | None:
    """A pair written without a separator. `GRTUSD`: two cuts, of which the coin that exists decides."""
    old_kraken = re.fullmatch(r"(?:X([A-Z]{3,4})|(USDT))Z([A-Z]{3})|X([A-Z]{3})X(XBT|ETH)", text)
    if old_kraken is not None:
        base, quote = (part for part in old_kraken.groups() if part)
        if base in _COINS and (quote in _FIAT or quote in _QUOTING_COINS):
            return _known(base, quote, None).pair
    ways = [(text[: -len(q)], q) for q in _QUOTES if text.endswith(q) and len(text) > len(q) + 1]
    if not ways:
        return None
    ways.sort(key=lambda way: -len(way[1]))
    chosen = ways[0]
    if len(ways) > 1 and chosen[1] in _DOLLARS_OF_LETTERS and not binance:
        # Most venues have the dollar: another one must show by a coin that exists only when cut so.
        plain = next(way for way in ways if way[1] == "USD")
        other_exists = chosen[0] in _COINS and plain[0] not in _COINS
        chosen = chosen if other_exists else plain
    elif len(ways) > 1 and not (chosen[1] in _DOLLARS_OF_LETTERS and binance):
        chosen = next((way for way in ways if way[0] in _COINS), chosen)
    return _known(*chosen, None).pair


_QUOTE_WORDS = "|".join(sorted(_QUOTES, key=len, reverse=True))
_PAIR = re.compile(
    rf"(?<![A-Za-z0-9])((?=[0-9]*[A-Z])(?:FX-)?[A-Z0-9]{{2,15}}?)([_/-]?)({_QUOTE_WORDS})"
    r"((?:[-_.]?PERP(?:ETUAL)?|-SWAP|\.P|(?<=USD[TC])M|-\d{6}(?!\d))?)"
    r"(?=$|[^A-Za-z0-9!]|20\d\d-|(?:1|5|15|30|60|240|1440|10080|43200)(?:[^A-Za-z0-9!]|$))"
)
_FREQTRADE = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)_([A-Z0-9]+)-")
_ALONE = re.compile(r"(?<![A-Za-z0-9])([A-Z0-9]{2,10}-PERP(?:ETUAL)?)(?![A-Za-z0-9])")
_BITCOINCHARTS = re.compile(r"(?<![A-Za-z])([a-z]{3,})([A-Z]{3})(?![A-Za-z])")
_KRAKEN_OLD = re.compile(
    r"(?<![A-Za-z0-9])(X[A-Z]{3,4}Z[A-Z]{3}|USDTZ[A-Z]{3}|X[A-Z]{3}XXBT|P[IF]_[A-Z]{5,}|p[if]_[a-z]{5,}|t[A-Z0-9]{6,}"
    r"|t[A-Z0-9]{2,}:[A-Z0-9]{2,})(?![A-Za-z])"
)


def symbol_in_name(
    name: str, venues: frozenset[str] = frozenset(), *, binance: bool = False
) -> Symbol | None:
    """The symbol in a file's name, such as `trades_BTCJPY_20180121.parquet`; `venues` are names that are no coins."""
    name = re.sub("%2f", "/", name, flags=re.IGNORECASE)
    freqtrade = _FREQTRADE.match(name)
    if freqtrade is not None:
        found = parse_symbol("_".join(freqtrade.groups()))
        if found is not None and found.market is not None:
            return found
    chart = _BITCOINCHARTS.search(name)
    if chart is not None and chart[1] in venues and chart[2] in _FIAT:
        return Symbol("BTC", chart[2])  # its archives, and those made of them, are of bitcoin alone
    old = _KRAKEN_OLD.search(name)
    found = parse_symbol(old[1]) if old else None
    return found or _in_words(name, venues, binance) or _in_words(name.upper(), venues, binance, sure=True)


def _in_words(name: str, venues: frozenset[str], binance: bool, *, sure: bool = False) -> Symbol | None:
    """`sure`: only of coins that are known."""
    words, at = name.replace("_", "-"), 0
    while (match := _PAIR.search(words, at)) is not None:
        if match[1].lower() in venues:
            at = match.end(1)
            continue
        tail = "" if match[4][-6:].isdigit() and not _is_expiry(match[4][-6:]) else match[4]
        found = parse_symbol(match[1] + match[2] + match[3] + tail, binance=binance)
        if found is not None and (not sure or found.base in _COINS):
            return found
        at = match.start() + 1
    alone = None if sure else _ALONE.search(words)
    return alone and parse_symbol(alone[1])


def _is_expiry(digits: str) -> bool:
    """True if YYMMDD is the last Friday of a quarter, on which contracts end: other dates tell when data are from."""
    try:
        day = np.datetime64(f"20{digits[:2]}-{digits[2:4]}-{digits[4:]}", "D")
    except ValueError:
        return False
    month = day.astype("datetime64[M]")
    last = (day + 7).astype("datetime64[M]") != month
    return bool(last and day.astype(int) % 7 == _FRIDAY and int(digits[2:4]) % 3 == 0)


def unified_symbol(base: str, quote: str, market: str) -> str:
    """The pair as ccxt writes it: `BTC/USD`, a contract's with its settlement, `BTC/USDT:USDT`, `BTC/USD:BTC`."""
    if market == "spot":
        return f"{base}/{quote}"
    return f"{base}/{quote}:{base if market == 'inverse' else quote}"
