"""`python -m ztb` and the command `ztb`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; errors that ztb raises on purpose end in their exit code, without a traceback."""
    from ztb.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
