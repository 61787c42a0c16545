"""`python -m ztb` and the command `ztb`."""

from __future__ import annotations

import errno
import io
import os
import sys

from ztb.errors import ResourceError


def main() -> None:
    """Run the command line; errors that ztb raises on purpose end in their exit code, without a traceback."""
    from ztb.cli import run

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without a letter shows a sign in its place.
            stream.reconfigure(errors="replace")
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has had enough; click ends so too. Python flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print("ztb: a disk is full: make room and run it again", file=sys.stderr)  # noqa: T201 (nothing else is left)
        code = ResourceError.exit_code
    sys.exit(code)


if __name__ == "__main__":
    main()
