"""The gateway between the exchange and those who call it: everything passes here, and faults happen here.

Also here: `/control/faults`: POST arms one fault, GET lists them with how often each happened, DELETE clears them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import msgspec

from ztb.testing.exchange.api import events
from ztb.testing.exchange.connections import Close, Connection, Deliver, Output, WebSocketFrame
from ztb.testing.exchange.exchange import Exchange, Response
from ztb.testing.exchange.faults import Armed, Fault, FaultKind, Faults


class CallOutcome(Enum):
    """A transport's task with a reply: send it, never answer, or break the connection."""

    ANSWERED = "answered"
    NO_ANSWER = "no answer"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, how late it comes, and whether it comes at all."""

    response: Response
    delay_s: float = 0.0
    outcome: CallOutcome = CallOutcome.ANSWERED


_TEXTS = {
    418: (-1003, "Way too much request weight used; IP banned."),
    429: (-1003, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE."),
    504: (-1007, "Timeout waiting for response from backend server. Execution status unknown."),
}


class Gateway:
    """The exchange as a transport sees it, be it a socket or memory; free of I/O."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.faults = Faults()

    def handle_request(self, method: str, path: str, params: str, headers: Mapping[str, str]) -> Reply:
        """Answer one REST request. `params`: query string and form as sent, joined with &."""
        struck = list(self.faults.of_request(f"{method} {path}", self._now_ns()))
        fails = next((fault for fault in struck if fault.kind is not FaultKind.SLOW), None)
        delay_s = sum(fault.seconds for fault in struck if fault.kind is FaultKind.SLOW)
        if fails is None or fails.accepted:
            response = self.exchange.handle_request(method, path, params, headers)
        else:
            response = _failure(fails.status)
        if fails is None:
            return Reply(response, delay_s)
        match fails.kind:
            case FaultKind.NO_ANSWER:
                return Reply(response, delay_s, CallOutcome.NO_ANSWER)
            case FaultKind.RESET:
                return Reply(response, delay_s, CallOutcome.RESET)
            case _:
                return Reply(_failure(fails.status), delay_s)

    def connect(self, path: str, deliver: Deliver) -> Connection:
        """A websocket opens; `deliver` gets what reaches the client."""

        def through(output: Output) -> None:
            for passed in self._passed(output):
                deliver(passed)

        return self.exchange.connect(path, through)

    def disconnect(self, connection: Connection) -> None:
        """The client has gone."""
        self.exchange.disconnect(connection)

    def receive(self, connection: Connection, text: str) -> None:
        """A message of a client."""
        self.exchange.receive(connection, text)

    def answers_pings(self) -> bool:
        """True if a transport answers websocket pings now."""
        return not self.faults.silent(self._now_ns())

    def inject(self, fault: Fault) -> Armed:
        """Arm `fault`; those that happen at once have happened on return."""
        armed = self.faults.arm(fault, self._now_ns())
        match fault.kind:
            case FaultKind.SKEW:
                self.exchange.skew_ms = round(fault.seconds * 1_000)
                armed.happened = 1
            case FaultKind.FALL:
                armed.happened = self.exchange.fall(fault.fraction, fault.seconds)
            case FaultKind.DISCONNECT:
                armed.happened = self._disconnect_all()
            case FaultKind.END_SESSION:
                armed.happened = self._end_sessions()
            case _:
                pass
        return armed

    def clear_faults(self) -> None:
        """Nothing goes wrong any more; the clock is right again."""
        self.faults.clear()
        self.exchange.skew_ms = 0

    def _disconnect_all(self) -> int:
        connections = list(self.exchange.connections.open)
        for connection in connections:
            self.exchange.disconnect(connection)
            connection.deliver(Close(None))
        return len(connections)

    def _end_sessions(self) -> int:
        connections = self.exchange.connections
        ended = list(connections.users())
        connections.publish_user(events.stream_terminated(self.exchange.now_ms()))
        for connection in ended:
            connection.user_subscription = None
        return len(ended)

    def _passed(self, output: Output) -> list[Output]:
        """The part of a message that gets through: it, changed, twice, or nothing."""
        if isinstance(output, Close):
            return [output]
        frames = [output]
        for fault in self.faults.of_message(output.stream, self._now_ns()):
            match fault.kind:
                case FaultKind.DROP | FaultKind.SILENCE:
                    return []
                case FaultKind.DUPLICATE:
                    frames = frames * 2
                case FaultKind.MALFORM:
                    frames = [replace(frame, text=fault.text or _half(frame)) for frame in frames]
                case _:
                    frames = [replace(frame, delay_s=frame.delay_s + fault.seconds) for frame in frames]
        return [*frames]

    def _now_ns(self) -> int:
        return self.exchange.clock.now_ns()


def _half(frame: WebSocketFrame) -> str:
    return frame.text[: len(frame.text) // 2]


def _failure(status: int) -> Response:
    """Statuses that the venue itself gives carry JSON; those of what stands before it carry a page."""
    if status not in _TEXTS:
        return Response(status, f"<html><body><h1>{status}</h1></body></html>".encode())
    code, text = _TEXTS[status]
    headers = {"Retry-After": "1"} if status != 504 else {}
    return Response(status, msgspec.json.encode({"code": code, "msg": text}), headers)


PATH = "/control/faults"


def handle_control(gateway: Gateway, method: str, body: str) -> Response:
    """Answer one request to `PATH`."""
    match method:
        case "POST":
            try:
                fault = msgspec.json.decode(body, type=Fault)
            except msgspec.DecodeError as error:
                return Response(400, msgspec.json.encode({"error": str(error)}))
            gateway.inject(fault)
        case "DELETE":
            gateway.clear_faults()
        case _:
            pass
    rows = [{"fault": armed.fault, "happened": armed.happened} for armed in gateway.faults.armed]
    return Response(200, msgspec.json.encode(rows))
