"""A caller of an exchange on a virtual clock, without a socket."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from ztb.testing import Close, Exchange, Response, Setup, VirtualClock, WebSocketFrame, open_exchange
from ztb.testing.exchange.listing import BTCUSDT

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "50000",
}


@dataclass
class Desk:
    """A caller of one exchange."""

    clock: VirtualClock
    exchange: Exchange
    frames: list[Any] = field(default_factory=list)

    def get(self, path: str, **params: object) -> Response:
        return self.exchange.handle_request("GET", path, urlencode(params), {})

    def signed(
        self, method: str, path: str, secret: str | None = None, key: str | None = None, **params: Any
    ) -> Response:
        credentials = self.exchange.state.credentials
        query = urlencode({"timestamp": self.exchange.now_ms(), **params})
        digest = hmac.new((secret or credentials.secret).encode(), query.encode(), hashlib.sha256).hexdigest()
        headers = {"X-MBX-APIKEY": credentials.key if key is None else key}
        return self.exchange.handle_request(method, path, f"{query}&signature={digest}", headers)

    def order(self, **changes: str | None) -> Response:
        params = {key: value for key, value in (LIMIT | changes).items() if value is not None}
        return self.signed("POST", "/api/v3/order", **params)

    def run(self, seconds: float) -> None:
        self.clock.advance(seconds)
        while self.exchange.advance():
            pass

    def connect(self, path: str) -> Any:
        def deliver(output: WebSocketFrame | Close) -> None:
            self.frames.append(json.loads(output.text) if isinstance(output, WebSocketFrame) else output)

        return self.exchange.connect(path, deliver)


def opened(seed: int = 1, listings: tuple = (BTCUSDT,)) -> Desk:
    clock = VirtualClock()
    return Desk(clock, open_exchange(Setup(seed=seed, listings=listings), clock))


def answer(response: Response) -> Any:
    return json.loads(response.body)
