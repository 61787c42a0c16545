"""A stop that the watchdog of an earlier start has put back: numbered beforehand, entered in the journal afterwards."""

from __future__ import annotations

import msgspec

from ztb.errors import DataError
from ztb.execution.orders import PROTECTIVE_SIDE
from ztb.ledger.journal import Journal
from ztb.ledger.records import OrderRow
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.recovery.past import read_past
from ztb.runtime.venue.watchdog import PUT_BACK, StopPutBack


def enter_put_back(directory: RunDirectory) -> None:
    """Write into the journal what a watchdog wrote down before it sent it. DataError: it cannot be read."""
    path = directory.path / PUT_BACK
    past = read_past(directory.journal) if path.exists() else None
    if past is None:
        return
    try:
        stop = msgspec.json.decode(path.read_bytes(), type=StopPutBack)
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: what the watchdog wrote cannot be read ({error}); move it away") from None
    if stop.order_id not in past.client_ids:
        journal = Journal(directory.journal, reopen=True)
        last = past.marks.last
        journal.append(
            OrderRow(
                stop.order_id, stop.client_id, 0 if last is None else last.decision, max(0, past.next_generation - 1),
                past.last_ts_ns, PROTECTIVE_SIDE, stop.lots, "stop", stop.trigger_ticks, "GTC", False, True,
            )
        )  # fmt: skip
        journal.close()
    path.unlink()
