"""Requests on the socket of the websocket API: orders and queries as over REST, and the user stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ztb.testing.exchange.api.call import Call, check_key, check_signature, check_time
from ztb.testing.exchange.api.limits import Limits
from ztb.testing.exchange.api.routes import METHODS, ROUTES, Route
from ztb.testing.exchange.connections import Connection, WebSocketFrame, encode
from ztb.testing.exchange.orders import Refusal
from ztb.testing.exchange.venue import USER, State

_SUBSCRIBE = "userDataStream.subscribe.signature"
_UNSUBSCRIBE = "userDataStream.unsubscribe"


class SessionHost(Protocol):
    """The receiver that carries a request out."""

    @property
    def state(self) -> State: ...

    @property
    def limits(self) -> Limits: ...

    def now_ms(self) -> int: ...

    def call(self, route: Route, params: Mapping[str, str], account: str) -> Any: ...


def answer(venue: SessionHost, connection: Connection, request: dict[str, Any]) -> None:
    """Do what `request` asks, and answer it."""
    number = request.get("id")
    given = request.get("params")
    params = {str(key): _plain(value) for key, value in given.items()} if isinstance(given, dict) else {}
    try:
        result = _result(venue, connection, str(request.get("method")), params)
        whole: dict[str, Any] = {"id": number, "status": 200, "result": result}
    except Refusal as refusal:
        error = {"code": refusal.code, "msg": refusal.message}
        whole = {"id": number, "status": refusal.status, "error": error}
    if params.get("returnRateLimits") != "false":
        whole["rateLimits"] = venue.limits.as_rows()
    connection.deliver(WebSocketFrame(encode(whole)))


def _result(venue: SessionHost, connection: Connection, method: str, params: dict[str, str]) -> Any:
    if method == _SUBSCRIBE:
        _check(venue, params)
        check_time(Call(params, venue.now_ms()))
        connection.user_subscription = 0
        return {"subscriptionId": 0}
    if method == _UNSUBSCRIBE:
        connection.user_subscription = None
        return {}
    if method not in METHODS:
        raise Refusal(-1000, f"Method {method} is not spoken here.")
    route = ROUTES[METHODS[method]]
    if not route.signed:
        return venue.call(route, params, "")
    _check(venue, params)
    return venue.call(route, params, USER)


def _check(venue: SessionHost, params: dict[str, str]) -> None:
    credentials = venue.state.credentials
    check_key(credentials, params.get("apiKey", ""))
    payload = "&".join(f"{key}={value}" for key, value in sorted(params.items()) if key != "signature")
    check_signature(credentials, payload, params.get("signature", ""))


def _plain(value: object) -> str:
    """A JSON value as it is signed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
