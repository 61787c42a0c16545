"""Stops that the watchdog of an earlier start has sent: numbered beforehand, entered in the journal afterwards."""

from __future__ import annotations

import msgspec

from ztb.errors import DataError
from ztb.execution.orders import PROTECTIVE_SIDE
from ztb.ledger.journal import Journal
from ztb.ledger.records import OrderRow
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.venue.handover import PUT_BACK, StopPutBack, read_down


def enter_put_back(directory: RunDirectory) -> None:
    """Write into the journal what a watchdog wrote down before it sent it. DataError: it cannot be read."""
    path = directory.path / PUT_BACK
    past = read_past(directory.journal) if path.exists() else None
    if past is None:
        return
    try:
        stops = read_down(path)
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: what the watchdog wrote cannot be read ({error}); move it away") from None
    new = [stop for stop in stops if stop.order_id not in past.client_ids]
    if new:
        journal = Journal(directory.journal, reopen=True)
        for stop in new:
            journal.append(_row(stop, past))
        journal.close()
    path.unlink()


def _row(stop: StopPutBack, past: Past) -> OrderRow:
    last = past.marks.last
    return OrderRow(
        order_id=stop.order_id,
        client_id=stop.client_id,
        decision=0 if last is None else last.decision,
        generation=max(0, past.next_generation - 1),
        ts_ns=past.last_ts_ns,
        side=PROTECTIVE_SIDE,
        lots=stop.lots,
        order_type="stop",
        price_ticks=stop.trigger_ticks,
        time_in_force="GTC",
        post_only=False,
        reduce_only=True,
    )
