"""Files that ship beside the code: in a checkout in the repository's folders, in a wheel as package data."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = _PACKAGE.parents[1]


def shipped_folder(name: str) -> Path:
    """The folder `config` or `systemd` as shipped."""
    in_checkout = _CHECKOUT / name
    if (_CHECKOUT / "pyproject.toml").is_file() and in_checkout.is_dir():
        return in_checkout
    return _PACKAGE / f"{name}_files"
