"""The installation: which code this is, and the files that ship beside it.

In a checkout they lie in the repository's folders, in a wheel they are package data.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from ztb import __version__

_PACKAGE = Path(__file__).resolve().parents[1]


@cache
def code_version() -> str:
    """`release+digest`, twelve hexadecimal digits over the package's Python sources by path and content."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:12]}"


_CHECKOUT = _PACKAGE.parents[1]


def shipped_folder(name: str) -> Path:
    """The folder `config` or `systemd` as shipped."""
    in_checkout = _CHECKOUT / name
    if (_CHECKOUT / "pyproject.toml").is_file() and in_checkout.is_dir():
        return in_checkout
    return _PACKAGE / f"{name}_files"
