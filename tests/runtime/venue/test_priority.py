"""Where an order waits for the journal, the journal waits for nobody: its writer has the loop's priority, live alone."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from chaos.stage import WARM_S, stage
from ztb.testing.virtual_time import run_virtual
from ztb.utils.background import BACKGROUND_NICE


@pytest.mark.parametrize(("mode", "lowered"), [("live", 0), ("paper", BACKGROUND_NICE)])
def test_the_journals_writer_stands_back_where_no_order_waits_for_it(mode, lowered, tmp_path):
    found: list[int] = []
    before = set(threading.enumerate())

    async def go() -> None:
        async with stage(3, tmp_path / "run") as it, it.running(mode):
            await asyncio.sleep(WARM_S)
            begun = set(threading.enumerate()) - before
            (writer,) = (thread for thread in begun if thread.name == "ztb-journal")
            found.append(os.getpriority(os.PRIO_PROCESS, writer.native_id or 0))

    run_virtual(go())
    assert found == [min(19, os.getpriority(os.PRIO_PROCESS, 0) + lowered)]
