"""Runs ccxt's own tests, copied out of site-packages, in a process of their own.

`python ccxt_suite.py ROOT binance [--ws] [--private] [--sync] …`: ROOT is what `test_ccxt_suite` has prepared.
Two things are not as shipped: the check that the client's address is the real exchange's is left out, and a
connection to anything but the loopback interface ends the process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path


def guard(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: no connection but to the loopback interface."""
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] != "127.0.0.1":
        print(f"FOREIGN HOST {arguments[1]}", flush=True)
        os._exit(9)


def main() -> None:
    """Run the suite that the arguments ask for."""
    sys.addaudithook(guard)
    root = Path(sys.argv.pop(1))
    sys.path[:0] = [str(root / "python" / "ccxt" / "test"), str(root / "python")]
    from tests_helpers import IS_SYNCHRONOUS, argvExchange, argvMethod, argvSymbol

    if IS_SYNCHRONOUS:
        from tests_sync import testMainClass as Main
    else:
        from tests_async import testMainClass as Main

    class Suite(Main):
        def check_constructor(self, exchange: object) -> None:
            """The address is another one, on purpose."""

    started = Suite().init(argvExchange, argvSymbol, argvMethod)
    if not IS_SYNCHRONOUS:
        asyncio.run(started)


if __name__ == "__main__":
    main()
