"""Requests on the socket of the websocket API: orders and queries as over REST, and the user stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ztb.testing.exchange.call import Call
from ztb.testing.exchange.connections import Connection, Frame, encode
from ztb.testing.exchange.refusals import Refusal
from ztb.testing.exchange.routes import METHODS, ROUTES
from ztb.testing.exchange.signing import check_key, check_signature, check_time
from ztb.testing.exchange.state import USER

if TYPE_CHECKING:
    from ztb.testing.exchange.exchange import Exchange

_SUBSCRIBE = "userDataStream.subscribe.signature"
_UNSUBSCRIBE = "userDataStream.unsubscribe"


def answer(exchange: Exchange, connection: Connection, request: dict[str, Any]) -> None:
    """Do what `request` asks, and answer it."""
    number = request.get("id")
    given = request.get("params")
    params = {str(key): _plain(value) for key, value in given.items()} if isinstance(given, dict) else {}
    try:
        result = _result(exchange, connection, str(request.get("method")), params)
        whole: dict[str, Any] = {"id": number, "status": 200, "result": result}
    except Refusal as refusal:
        error = {"code": refusal.code, "msg": refusal.message}
        whole = {"id": number, "status": refusal.status, "error": error}
    if params.get("returnRateLimits") != "false":
        whole["rateLimits"] = exchange.limits.as_rows()
    connection.deliver(Frame(encode(whole)))


def _result(exchange: Exchange, connection: Connection, method: str, params: dict[str, str]) -> Any:
    if method == _SUBSCRIBE:
        _check(exchange, params)
        check_time(Call(params, exchange.now_ms()))
        connection.user_subscription = 0
        return {"subscriptionId": 0}
    if method == _UNSUBSCRIBE:
        connection.user_subscription = None
        return {}
    if method not in METHODS:
        raise Refusal(-1000, f"Method {method} is not spoken here.")
    route = ROUTES[METHODS[method]]
    if not route.signed:
        return exchange.call(route, params, "")
    _check(exchange, params)
    return exchange.call(route, params, USER)


def _check(exchange: Exchange, params: dict[str, str]) -> None:
    credentials = exchange.state.credentials
    check_key(credentials, params.get("apiKey", ""))
    payload = "&".join(f"{key}={value}" for key, value in sorted(params.items()) if key != "signature")
    check_signature(credentials, payload, params.get("signature", ""))


def _plain(value: object) -> str:
    """A JSON value as it is signed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
