"""Strategies as modules: the shipped folder, and the folders of `ZTB_STRATEGY_PATH` (separated by colons).

In a checkout the shipped ones lie in the repository's `strategies/`; in a wheel beside this file.
"""

from __future__ import annotations

import os
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_CHECKOUT = _HERE.parents[2] / "strategies"
SHIPPED: Path = _CHECKOUT if (_HERE.parents[2] / "pyproject.toml").is_file() and _CHECKOUT.is_dir() else _HERE


def user_folders() -> list[Path]:
    """The folders of `ZTB_STRATEGY_PATH`, in order."""
    return [
        Path(part).expanduser().resolve()
        for part in os.environ.get("ZTB_STRATEGY_PATH", "").split(":")
        if part
    ]


__path__ = [str(_HERE), *({str(SHIPPED)} - {str(_HERE)}), *map(str, user_folders())]
