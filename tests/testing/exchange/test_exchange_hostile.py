"""Whatever a client sends, the exchange answers; nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testing.exchange.desk import LIMIT, Desk, opened
from ztb.testing import WebSocketFrame
from ztb.testing.exchange.api.routes import METHODS, ROUTES

NAMES = sorted(
    {*LIMIT, "limit", "fromId", "startTime", "endTime", "interval", "symbols", "orderId", "origClientOrderId"}
    | {"quoteOrderQty", "recvWindow", "timestamp", "newOrderRespType", "cancelOrderId"}
)
values = st.one_of(
    st.sampled_from(
        ["BTCUSDT", "1m", "BUY", "LIMIT", "MARKET", "1", "0", "-1", "1e9", "0.01", "[1]", "{}", "", "ß"]
    ),
    st.integers(-(10**25), 10**25).map(str),
    st.text(max_size=12),
)
parameters = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return opened()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(ROUTES)), parameters)
def test_any_signed_request_is_answered(desk: Desk, route: tuple[str, str], params: dict[str, str]) -> None:
    desk.clock.advance(61)
    response = desk.signed(*route, **params)
    assert response.status in (200, 400, 429)
    if response.status != 200:
        assert json.loads(response.body).keys() == {"code", "msg"}


@settings(max_examples=100)
@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=60))
def test_any_unsigned_request_is_answered(desk: Desk, method: str, path: str, params: str) -> None:
    assert desk.exchange.handle_request(method, path, params, {}).status == 404
    assert desk.exchange.handle_request("GET", "/api/v3/account", params, {}).status == 401


@settings(max_examples=200)
@given(
    st.sampled_from(["/ws/stream/0", "/ws-api/v3"]), st.sampled_from([*METHODS, "SUBSCRIBE", "x"]), anything
)
def test_any_message_is_answered(desk: Desk, path: str, method: str, params: Any) -> None:
    desk.clock.advance(61)
    connection = desk.connect(path)
    before = len(desk.frames)
    desk.exchange.receive(connection, json.dumps({"id": 1, "method": method, "params": params}))
    assert len(desk.frames) == before + 1
    desk.exchange.disconnect(connection)


@given(st.text(max_size=30))
def test_any_text_is_answered_or_ends_the_connection(desk: Desk, text: str) -> None:
    outputs: list[Any] = []
    connection = desk.exchange.connect("/ws", outputs.append)
    desk.exchange.receive(connection, text)
    assert len(outputs) == 1
    assert isinstance(outputs[0], WebSocketFrame) == (connection in desk.exchange.connections.open)
    desk.exchange.disconnect(connection)
