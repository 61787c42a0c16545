"""The hot messages of venues, decoded without ccxt."""

from __future__ import annotations

from typing import Any

from ztb.market.live.decoding.binance import BINANCE
from ztb.market.live.decoding.bybit import BYBIT
from ztb.market.live.decoding.coinbase import COINBASE
from ztb.market.live.decoding.formats import MessageDecoder
from ztb.market.live.decoding.kraken import KRAKEN
from ztb.market.live.decoding.okx import OKX

FORMATS = {
    "binance": BINANCE, "binanceusdm": BINANCE, "bybit": BYBIT, "okx": OKX, "kraken": KRAKEN,
    "coinbase": COINBASE,
}  # fmt: skip
"""By ccxt's id of the venue and the kind of stream."""


def decoder_of(venue: str, kind: str, market: dict[str, Any]) -> MessageDecoder | None:
    """The decoder of `kind` ("trades", "quotes", "depth") for a market of ccxt's venue, None if there is none."""
    form = FORMATS.get(venue, {}).get(kind)
    return None if form is None else MessageDecoder(form, market)
