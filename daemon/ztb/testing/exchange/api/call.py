"""One request: its parameters, read strictly, and the account it acts for.

Also here: who sent a request, and when: HMAC-SHA256 over the parameters, a timestamp, a window.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from ztb.testing.exchange.listing import parse_amount
from ztb.testing.exchange.orders import Refusal
from ztb.testing.exchange.venue import Credentials

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


_AHEAD_MS = 1_000
_WINDOW_MS = 5_000
_WIDEST_MS = 60_000


def check_key(credentials: Credentials, key: str) -> None:
    """Refusal unless `key` is the one that was made."""
    if not key:
        raise Refusal(-2014, "API-key format invalid.", 401)
    if not hmac.compare_digest(key.encode(), credentials.key.encode()):
        raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def check_signature(credentials: Credentials, payload: str, signature: str) -> None:
    """Refusal unless `signature` is the HMAC-SHA256 of `payload`, in hexadecimal."""
    if not signature:
        raise Refusal(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    expected = hmac.new(credentials.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature):
        raise Refusal(-1022, "Signature for this request is not valid.")


def check_time(call: Call) -> None:
    """Refusal if the request was sent too long ago, or in the future."""
    call.text("timestamp")
    sent = call.integer("timestamp", 0)
    window = call.integer("recvWindow", _WINDOW_MS)
    if window > _WIDEST_MS:
        raise Refusal(-1131, "recvWindow must be less than 60000")
    if sent >= call.now_ms + _AHEAD_MS:
        raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if call.now_ms - sent > window:
        raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
