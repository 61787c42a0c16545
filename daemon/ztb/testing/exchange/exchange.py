"""The exchange without its sockets: requests and messages in, answers and messages out, on an injected clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ztb.ports import Clock
from ztb.testing.exchange.api import api_socket, subscriptions
from ztb.testing.exchange.api.call import Call, check_key, check_signature, check_time
from ztb.testing.exchange.api.limits import Limits
from ztb.testing.exchange.api.publisher import DEPTH_MS, SLOW_MS, Publisher
from ztb.testing.exchange.api.routes import ROUTES, Route
from ztb.testing.exchange.background import Background
from ztb.testing.exchange.connections import Close, Connection, Connections, Deliver
from ztb.testing.exchange.flow import Flow, SyntheticFlow
from ztb.testing.exchange.listing import Listing
from ztb.testing.exchange.orders import Refusal
from ztb.testing.exchange.venue import USER, Credentials, State

_MS = 1_000_000
_IDLE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a request: HTTP status, JSON and headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Exchange:
    """One venue. Nothing happens but in `handle_request`, `receive` and `advance`; time is `clock`'s.

    `balances` are units (1e-8) that the account of the one key begins with. `skew_ms` is by how much the
    venue's own clock is ahead of `clock`.
    """

    def __init__(
        self,
        clock: Clock,
        listings: Sequence[Listing],
        flows: Mapping[str, Flow],
        balances: Mapping[str, int],
        credentials: Credentials,
    ) -> None:
        self.clock = clock
        self.skew_ms = 0
        self.state = State.of(listings, credentials)
        self.limits = Limits()
        self.connections = Connections()
        self._publisher = Publisher(self.state, self.connections)
        self._flows = {
            symbol: (flow, Background(self.state.venue, self.state.venue.market(symbol)))
            for symbol, flow in flows.items()
        }
        for asset, units in balances.items():
            self.state.venue.accounts.deposit(USER, asset, units)
        self.state.venue.accounts.take_touched()
        self._timers = {DEPTH_MS: clock.now_ns(), SLOW_MS: clock.now_ns()}

    def now_ms(self) -> int:
        """The venue's own time."""
        return self._venue_ms(self.clock.now_ns())

    @property
    def next_due_ns(self) -> int:
        """The time at which `advance` has something to do next; a subscription may bring it forward by some seconds."""
        due = [flow.next_ns for flow, _ in self._flows.values() if flow.next_ns is not None]
        due += [at_ns for every, at_ns in self._timers.items() if self._publisher.listened_to(every)]
        return min(due, default=self.clock.now_ns() + _IDLE_NS)

    def advance(self, most: int = 1_000) -> bool:
        """Let happen what is due, at most `most` things; returns whether more is due already."""
        now_ns = self.clock.now_ns()
        for _ in range(most):
            if self.next_due_ns > now_ns:
                return False
            self._step(self.next_due_ns)
        return True

    def fall(self, fraction: float, seconds: float) -> int:
        """From now on every price that is made up falls by `fraction`, evenly over so long; how many there are."""
        flows = [flow for flow, _ in self._flows.values() if isinstance(flow, SyntheticFlow)]
        for flow in flows:
            flow.fall(fraction, self.clock.now_ns(), round(seconds * 1e9))
        return len(flows)

    def handle_request(self, method: str, path: str, params: str, headers: Mapping[str, str]) -> Response:
        """Answer one REST request. `params`: query string and form as sent, joined with &."""
        try:
            answer = self._answer(method, path, params, headers)
        except Refusal as refusal:
            return self._refused(refusal)
        return Response(200, msgspec.json.encode(answer), self.limits.headers())

    def connect(self, path: str, deliver: Deliver) -> Connection:
        """A websocket opens; `deliver` gets what is sent to it."""
        connection = Connection(path, deliver)
        self.connections.open[connection] = None
        return connection

    def disconnect(self, connection: Connection) -> None:
        """The client has gone."""
        self.connections.open.pop(connection, None)

    def receive(self, connection: Connection, text: str) -> None:
        """A message of a client."""
        try:
            request = json.loads(text)
        except json.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            self.disconnect(connection)
            connection.deliver(Close(1008, "Invalid request"))
        elif connection.is_api:
            api_socket.answer(self, connection, request)
        else:
            subscriptions.answer(connection, request, self.state.venue.markets)
            self._go_on()

    def _go_on(self) -> None:
        """Timers that nobody listened to have stood still: they go on with the next beat."""
        now_ns = self.clock.now_ns()
        for every, at_ns in self._timers.items():
            behind = max(0, now_ns - at_ns) // (every * _MS)
            self._timers[every] += behind * every * _MS

    def call(self, route: Route, params: Mapping[str, str], account: str) -> Any:
        """Do what `route` does, counted towards the limits, and publish what came of it."""
        call = Call(params, self.now_ms(), account)
        self.limits.spend("REQUEST_WEIGHT", route.weight, call.now_ms)
        if route.signed:
            check_time(call)
        if route.is_order:
            self.limits.spend("ORDERS", 1, call.now_ms)
        try:
            return route.handle(self.state, call)
        finally:
            self._publisher.publish_facts(call.now_ms)

    def _answer(self, method: str, path: str, params: str, headers: Mapping[str, str]) -> Any:
        route = ROUTES.get((method, path))
        if route is None:
            raise Refusal(-1, f"{method} {path} is not spoken here.", 404)
        sent = dict(parse_qsl(params, keep_blank_values=True))
        if not route.signed:
            return self.call(route, sent, "")
        credentials = self.state.credentials
        check_key(credentials, _header(headers, "X-MBX-APIKEY"))
        signature = sent.pop("signature", "")
        payload = "&".join(part for part in params.split("&") if not part.startswith("signature="))
        check_signature(credentials, payload, signature)
        return self.call(route, sent, USER)

    def _refused(self, refusal: Refusal) -> Response:
        headers = self.limits.headers()
        if refusal.retry_after_s:
            headers["Retry-After"] = str(refusal.retry_after_s)
        body = msgspec.json.encode({"code": refusal.code, "msg": refusal.message})
        return Response(refusal.status, body, headers)

    def _venue_ms(self, now_ns: int) -> int:
        return now_ns // _MS + self.skew_ms

    def _step(self, due_ns: int) -> None:
        """The one thing that is due at `due_ns`: an act of a flow, or else a timer."""
        now_ms = self._venue_ms(due_ns)
        for flow, background in self._flows.values():
            if flow.next_ns == due_ns:
                flow.act(background, now_ms)
                self._publisher.publish_facts(now_ms)
                return
        every = next(every for every, at_ns in self._timers.items() if at_ns == due_ns)
        self._timers[every] += every * _MS
        if every == DEPTH_MS:
            self._publisher.publish_depth(now_ms)
        else:
            self._publisher.publish_slow(now_ms)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name.lower()), "")
