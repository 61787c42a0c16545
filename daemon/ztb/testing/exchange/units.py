"""Exact amounts: integers of 1e-8 of an asset; prices are 1e-8 of quote currency for one unit of base."""

from __future__ import annotations

import re

SCALE = 10**8
_DECIMAL = re.compile(r"^(\d{1,20})(?:\.(\d{1,20}))?$")


def parse_amount(text: str) -> int:
    """`text`, a plain decimal number, in units; ValueError if it is none or finer than 1e-8."""
    found = _DECIMAL.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no decimal number")
    fraction = (found[2] or "").rstrip("0")
    if len(fraction) > 8:
        raise ValueError(f"{text!r} has more than 8 decimals")
    return int(found[1]) * SCALE + int(fraction.ljust(8, "0"))


def amount_text(units: int) -> str:
    """`units` as the venue writes them: eight decimals."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    return f"{sign}{units // SCALE}.{units % SCALE:08d}"


def cost_of(price: int, quantity: int) -> int:
    """Quote units of `quantity` at `price`; exact on a listing's grid."""
    return price * quantity // SCALE
