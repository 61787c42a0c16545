"""`ztb` with its imports done first: says "imported" on stdout, then runs the command line that it was given."""

from __future__ import annotations

import sys

import ccxt.pro  # noqa: F401 (imported when called for, otherwise)

import ztb.commands.run  # noqa: F401 (as above)
from ztb.cli import run

if __name__ == "__main__":
    print("imported", flush=True)
    sys.exit(run(sys.argv[1:]))
