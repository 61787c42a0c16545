"""Numbers as people write them: thousands apart, a sign of money in front, K, M or B for what is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

_SIGNS = "$€£¥₩"
_MULTIPLES = {"K": 10**3, "M": 10**6, "B": 10**9}
_BLANKS = "' \u00a0\u202f\u2009"


@dataclass(frozen=True, slots=True)
class Notation:
    """One way to write numbers for people, by its sign between thousands and that of the decimals."""

    thousands: str
    decimal: str

    def is_sure(self, text: str) -> bool:
        """True if a text is a number that only people write so, and in no other notation: `1,234` may be a decimal."""
        return _surely(self).fullmatch(text.strip()) is not None

    def bare(self, text: str) -> str:
        """A number as machines write it, and in full; other text as it is."""
        if re.fullmatch(_number(self.thousands, self.decimal), text.strip()) is None:
            return text
        plain = re.sub(rf"[{_SIGNS}{_BLANKS}{re.escape(self.thousands)}]", "", text).replace(
            self.decimal, "."
        )
        if plain[-1:] in _MULTIPLES:
            return f"{Decimal(plain[:-1]) * _MULTIPLES[plain[-1]]:f}"
        return plain

    def undecorated(self, block: bytes | memoryview, delimiter: str) -> bytes:
        """A block of a table whose numbers are as machines write them."""
        text = bytes(block).decode("utf-8")
        return _cell(self, delimiter).sub(lambda found: self.bare(found[1] or found[2]), text).encode()


def _number(thousands: str, decimal: str) -> str:
    """A pattern of numbers; an empty sign stands for none."""
    whole = rf"\d{{1,3}}(?:[{re.escape(thousands)}{_BLANKS}]\d{{3}})+"
    fraction = rf"(?:{re.escape(decimal)}\d+)?" if decimal else ""
    return rf"[{_SIGNS}]?(?:{whole}|\d+){fraction}[KMB]?"


@cache
def _surely(notation: Notation) -> re.Pattern[str]:
    apart, point, money = re.escape(notation.thousands), re.escape(notation.decimal), rf"[{_SIGNS}]?"
    signed = rf"[{_SIGNS}]{_number(notation.thousands, notation.decimal)[len(money) :]}"
    return re.compile(
        rf"{money}\d{{1,3}}(?:[{apart}{_BLANKS}]\d{{3}})+{point}\d+[KMB]?|{money}\d{{1,3}}(?:{apart}\d{{3}}){{2,}}"
        rf"|{money}\d{{1,3}}(?:[{_BLANKS}]\d{{3}})+|{signed}|\d+(?:{point}\d+)?[KMB]"
    )


@cache
def _cell(notation: Notation, delimiter: str) -> re.Pattern[str]:
    """Numbers that fill a cell; without quotes they have no sign that parts cells."""
    quoted = _number(notation.thousands, notation.decimal)
    alone = _number(*(sign if sign != delimiter else "" for sign in (notation.thousands, notation.decimal)))
    edge = re.escape(delimiter)
    return re.compile(rf'"({quoted})"|(?:^|(?<={edge}))({alone})(?=[{edge}\r\n]|$)', re.MULTILINE)


_SUSPECT = re.compile(rf"[,{_SIGNS}{_BLANKS}]|[KMB]$|\..*\.")
_NOTATIONS = (Notation(",", "."), Notation(".", ","))


def notation_of(texts: Iterable[str]) -> Notation | None:
    """The notation of a table's cells; None where all are as machines write them, save for a decimal comma."""
    texts = [text for text in texts if _SUSPECT.search(text)]
    counts = [sum(notation.is_sure(text) for text in texts) for notation in _NOTATIONS]
    return _NOTATIONS[counts.index(max(counts))] if any(counts) else None


def is_number(text: str) -> bool:
    """True if a text is a finite number, with a point or a comma."""
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")


def is_decorated(text: str) -> bool:
    """True if a text is a number that only people write so."""
    return any(notation.is_sure(text) for notation in _NOTATIONS)
