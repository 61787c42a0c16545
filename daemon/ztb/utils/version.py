"""Which code this is: the release, and a digest of every source file that can change a result."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from ztb import __version__

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def code_version() -> str:
    """`release+digest`, twelve hexadecimal digits over the package's Python sources by path and content."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:12]}"
