"""The constructor options with which an unmodified `ccxt.pro.binance` talks to a local exchange."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ztb.testing.exchange.state import Credentials

_SPOT_STREAMS = ("stream.binance.com", "stream.testnet.binance.vision", "demo-stream.binance.com")


def client_options(host: str, port: int, credentials: Credentials) -> dict[str, Any]:
    """Every address that the client knows replaced by one of `host`:`port`, a key, and spot markets only."""
    from ccxt.pro import binance

    description: Any = binance().describe()
    return {
        "apiKey": credentials.key,
        "secret": credentials.secret,
        "urls": _local(description["urls"], f"{host}:{port}"),
        "options": {
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            "fetchMargins": False,
            "fetchCurrencies": False,
        },
    }


def _local(urls: Any, place: str) -> Any:
    """`urls`, of whatever shape, at `place`. ccxt merges what it is given: one left out would stay as it was."""
    if isinstance(urls, dict):
        return {key: _local(value, place) for key, value in urls.items()}
    if isinstance(urls, list):
        return [_local(value, place) for value in urls]
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    parts = urlsplit(urls)
    scheme = "ws" if parts.scheme.startswith("ws") else "http"
    path = parts.path
    if path == "/ws":
        # The client knows spot streams by "/stream" in the address; other venues' streams are not spoken.
        path = "/ws/stream" if parts.hostname in _SPOT_STREAMS else f"/unspoken/{parts.hostname}/ws"
    return f"{scheme}://{place}{path}"
