"""One request: its parameters, read strictly, and the account it acts for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from ztb.testing.exchange.refusals import Refusal
from ztb.testing.exchange.units import parse_amount

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Call:
    """`params` as sent; `account` is empty on public requests."""

    params: Mapping[str, str]
    now_ms: int
    account: str = ""

    def text(self, name: str) -> str:
        """A mandatory parameter."""
        value = self.params.get(name, "")
        if not value:
            raise _missing(name)
        return value

    def integer(self, name: str, default: int) -> int:
        """A whole number, or `default`."""
        found = self.maybe_integer(name)
        return default if found is None else found

    def maybe_integer(self, name: str) -> int | None:
        """A whole number, if sent."""
        value = self.params.get(name)
        if value is None:
            return None
        if not value.isascii() or not value.isdigit() or len(value) > 19:
            raise Refusal(
                -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
            )
        return int(value)

    def amount(self, name: str) -> int:
        """A mandatory decimal number above 0, in units."""
        try:
            units = parse_amount(self.text(name))
        except ValueError:
            raise Refusal(-1111, f"Parameter '{name}' has too much precision.") from None
        if units == 0:
            raise Refusal(-1013, f"Invalid {name}.")
        return units

    def choice(self, name: str, kind: type[Choice], code: int, what: str) -> Choice:
        """One of the members of `kind`; a Refusal with `code` that says `what` is invalid."""
        try:
            return kind(self.text(name))
        except ValueError:
            raise Refusal(code, f"Invalid {what}.") from None


def _missing(name: str) -> Refusal:
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
