"""`/control/faults`: POST arms one fault, GET lists them with how often each happened, DELETE clears them."""

from __future__ import annotations

import msgspec

from ztb.testing.exchange.exchange import Response
from ztb.testing.exchange.faults import Fault
from ztb.testing.exchange.gateway import Gateway

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
