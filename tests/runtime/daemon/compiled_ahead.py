"""A program: compiles ahead, trades live in memory, and prints what was compiled (or loaded) only then."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from numba.core.dispatcher import Dispatcher

from chaos.stage import WARM_S, configuration, stage
from runtime.made_policy import made_policy
from runtime.venue.fake_account import INSTRUMENT
from ztb.runtime.build.compiling import compile_ahead
from ztb.testing.virtual_time import run_virtual

late: list[str] = []


async def trade(folder: Path, policy: str, settings: dict[str, Any]) -> int:
    async with stage(3, folder, **settings) as it, it.running("live", 0, policy) as daemon:
        await asyncio.sleep(WARM_S + 10.0)
        return daemon.session.books.account.fills


def main(folder: str, strategy: str) -> None:
    # A policy that draws, so that it trades at once.
    settings = {"strategy.name": strategy, "strategy.sample": True}
    config = configuration(**settings)
    policy = made_policy(Path(folder).with_name("policy"), config, INSTRUMENT)
    compile_ahead(config)
    compile_one: Any = Dispatcher.compile

    def overheard(dispatcher: Any, signature: Any) -> Any:
        late.append(dispatcher.py_func.__qualname__)
        return compile_one(dispatcher, signature)

    Dispatcher.compile = overheard
    fills = run_virtual(trade(Path(folder), policy, settings))
    sys.stdout.write(json.dumps({"fills": fills, "late": late}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
