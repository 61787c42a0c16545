"""Requests on the sockets of market data: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from ztb.testing.exchange.candles import INTERVALS
from ztb.testing.exchange.connections import Connection, WebSocketFrame, encode

_KINDS = "|".join(
    ["trade", "aggTrade", "bookTicker", "depth@100ms", "ticker", "miniTicker"]
    + [f"kline_{interval}" for interval in INTERVALS]
)
_STREAM = re.compile(rf"^(?:(?P<symbol>[a-z0-9]+)@(?:{_KINDS})|!(?:ticker|miniTicker)@arr)$")


def answer(connection: Connection, request: dict[str, Any], symbols: Collection[str]) -> None:
    """Do what `request` asks, and say so; `symbols` are those listed, in capitals."""
    method, number = request.get("method"), request.get("id")
    given = request.get("params")
    streams = [str(stream) for stream in given] if isinstance(given, list) else []
    bad = next((stream for stream in streams if not _known(stream, symbols)), None)
    result = None
    if bad is not None:
        _refuse(connection, number, f"Invalid request: invalid stream {bad}")
        return
    match method:
        case "SUBSCRIBE":
            connection.streams |= set(streams)
        case "UNSUBSCRIBE":
            connection.streams -= set(streams)
        case "LIST_SUBSCRIPTIONS":
            result = sorted(connection.streams)
        case _:
            _refuse(connection, number, f"Invalid request: unknown method {method}")
            return
    connection.deliver(WebSocketFrame(encode({"result": result, "id": number})))


def _known(stream: str, symbols: Collection[str]) -> bool:
    found = _STREAM.match(stream)
    return found is not None and (found["symbol"] is None or found["symbol"].upper() in symbols)


def _refuse(connection: Connection, number: object, text: str) -> None:
    connection.deliver(WebSocketFrame(encode({"error": {"code": 2, "msg": text}, "id": number})))
