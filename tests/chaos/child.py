"""Makes processes that have done the daemon's imports and nothing else: each then runs `ztb` as a line of stdin asks.

A line is JSON. {"run": arguments, "environment": variables, "log": path} forks a process, and its id is printed;
{"wait": id} waits for its end and prints its exit status, that of a signal negative.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import ccxt.pro  # noqa: F401 (imported when called for, otherwise)

import ztb.commands.run  # noqa: F401 (as above)
from ztb.cli import run


def become(asked: dict[str, Any]) -> int:
    """In the new process: what was asked for."""
    os.environ.update(asked["environment"])
    with open(os.devnull) as nothing, open(asked["log"], "a") as log:
        for mine, its in ((0, nothing), (1, log), (2, log)):
            os.dup2(its.fileno(), mine)
    return run(asked["run"])


def serve() -> int:
    """Until stdin ends; in a forked process, the command's exit code."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        process = os.fork()
        if process == 0:
            return become(asked)
        print(process, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(serve())
