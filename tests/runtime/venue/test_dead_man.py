"""The venue's own dead man's switch: told again and again while we live, and taken back when we leave on purpose."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from ccxt.base import errors

from ztb.market.live.rest import Backoff, Rest
from ztb.runtime.venue.dead_man import VenueSwitch
from ztb.testing.virtual_time import run_virtual


class Client:
    """A venue that notes for how long it is told to wait, and fails while `faults` are left."""

    id = "fake"

    def __init__(self, faults: int = 0) -> None:
        self.faults = faults
        self.told: list[tuple[float, int]] = []

    async def cancel_all_orders_after(self, milliseconds: int) -> None:
        if self.faults:
            self.faults -= 1
            raise errors.NetworkError("down")
        self.told.append((asyncio.get_running_loop().time(), milliseconds))


def switch(client: Client) -> VenueSwitch:
    rest = Rest(client, lambda: Backoff(0.01, 0.02, lambda: 0.5))
    return VenueSwitch(SimpleNamespace(client=client, rest=rest), 30.0)


async def live(client: Client, seconds: float) -> None:
    made = switch(client)
    task = asyncio.ensure_future(made.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await made.release()


def test_it_is_set_anew_well_before_it_would_act_and_taken_back_at_the_end():
    client = Client()
    run_virtual(live(client, 65.0))
    assert client.told == [(10.0 * i, 30_000) for i in range(7)] + [(65.0, 0)]


def test_a_venue_that_does_not_answer_for_a_while_is_told_again():
    client = Client(faults=12)
    run_virtual(live(client, 45.0))
    assert [after_ms for _, after_ms in client.told[:-1]] == [30_000] * 3 and client.told[-1][1] == 0
