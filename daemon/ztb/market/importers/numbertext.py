"""Numbers as people write them: with commas between thousands, with a dollar, with K, M or B for what is left out."""

from __future__ import annotations

import re
from decimal import Decimal

_DECORATED = re.compile(
    r"\$?\d{1,3}(?:,\d{3})+\.\d+|\$?\d{1,3}(?:,\d{3}){2,}|\$\d+(?:[.,]\d+)*|\$?\d+(?:\.\d+)?[KMB]"
)
_QUOTED = re.compile(r'"(\$?(?:\d{1,3}(?:,\d{3})*|\d+)(?:\.\d+)?[KMB]?)"')
_ALONE = re.compile(
    r"(?:^|(?<=[,;\t|]))(?:\$\d+(?:\.\d+)?[KMB]?|\d+(?:\.\d+)?[KMB])(?=[,;\t|\r\n]|$)", re.MULTILINE
)
_MULTIPLES = {"K": 10**3, "M": 10**6, "B": 10**9}


def is_number(text: str) -> bool:
    """Whether a text is a finite number, with a point or a comma."""
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")


def is_decorated(text: str) -> bool:
    """Whether a text is a number that only people write so. `1,234` alone may be a decimal."""
    return _DECORATED.fullmatch(text) is not None


def undecorated(block: bytes | memoryview) -> bytes:
    """A block of a table whose numbers are as machines write them."""
    text = _QUOTED.sub(lambda found: bare(found[1]), bytes(block).decode("utf-8"))
    return _ALONE.sub(lambda found: bare(found[0]), text).encode()


def bare(text: str) -> str:
    """A number without commas between thousands, without a dollar, and in full; other text without commas."""
    plain = text.replace(",", "").lstrip("$")
    if plain[-1:] in _MULTIPLES and is_number(plain[:-1]):
        return f"{Decimal(plain[:-1]) * _MULTIPLES[plain[-1]]:f}"
    return plain
