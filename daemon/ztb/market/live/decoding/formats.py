"""Formats of messages, and decoding by them.

A decoder takes a frame's text. It gives trades, a touch or a book's changes; SNAPSHOT where ccxt has to make a book
anew; None where the frame is nothing of its kind, and ccxt's. Where one of its kind is not as it should be it raises
Unfamiliar. Fields that it does not need may come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from ztb.market.live.messages import Touch, Trade

Levels: TypeAlias = Sequence[Sequence[Any]]
Text: TypeAlias = str | bytes


class Unfamiliar(Exception):
    """A message of the kind that a decoder decodes is not as venues were known to send it."""


class BookUpdate(Struct, gc=False):
    """Changes of a book, (price, quantity, …) each. `first` to `last` are the venue's numbers of them, `previous` that
    of the change before, None where it tells none. `ms`: milliseconds since 1970."""

    bids: Levels
    asks: Levels
    ms: int
    first: int | None = None
    last: int | None = None
    previous: int | None = None


class Fit(Enum):
    """The place of a change in a book: the next, in it already, or after one that is missing."""

    NEXT = "next"
    OLD = "old"
    GAP = "gap"


class BookSnapshot(Enum):
    """In a change's place: the book has to be made anew, which is ccxt's to do."""

    SNAPSHOT = "snapshot"


SNAPSHOT = BookSnapshot.SNAPSHOT
Told: TypeAlias = list[Trade] | Touch | BookUpdate | BookSnapshot | None


@dataclass(frozen=True, slots=True)
class MessageFormat:
    """A venue's way to send one kind of message, about markets that it names as ccxt's market table does under `named`.

    `frame` is the message, whole, and `told` what it says of a market, None if it is of another. `ours` tells of its
    beginning, `head`, whether it should have been one. `fits` tells from a book's nonce whether a change is the next;
    `keep` is how many levels a side the venue speaks of, where it leaves it to us to forget those beyond.
    """

    frame: type
    told: Callable[[Any, str], Told]
    head: type
    ours: Callable[[Any, str], bool]
    fits: Callable[[int | None, BookUpdate], Fit] = lambda _nonce, _update: Fit.NEXT
    keep: int | None = None
    named: Literal["id", "symbol"] = "id"


class MessageDecoder:
    """Decodes the messages of `format` about `market`, a row of ccxt's market table."""

    def __init__(self, form: MessageFormat, market: dict[str, Any]) -> None:
        self.form = form
        self._name: str = market[form.named]
        self._frame: msgspec.json.Decoder[Any] = msgspec.json.Decoder(form.frame, strict=False)
        self._head: msgspec.json.Decoder[Any] = msgspec.json.Decoder(form.head, strict=False)

    def decode(self, text: Text) -> Told:
        """The news in a frame. Unfamiliar: one of its kind is not as it should be."""
        try:
            return self.form.told(self._frame.decode(text), self._name)
        except msgspec.ValidationError as error:
            if self._should_be(text):
                raise Unfamiliar(str(error)) from error
            return None
        except msgspec.DecodeError:
            return None  # no JSON: ccxt's to deal with

    def _should_be(self, text: Text) -> bool:
        try:
            return self.form.ours(self._head.decode(text), self._name)
        except msgspec.ValidationError:
            return False


def iso_ms(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time in UTC, digits beyond them cut off. Unfamiliar if it is none."""
    if text[-1:] != "Z" or text[19:20] not in (".", "Z"):
        raise Unfamiliar(f"{text!r} is no time in UTC")
    return _second_ms(text[:19]) + int((text[20:23].rstrip("Z") + "000")[:3])


@lru_cache(maxsize=64)
def _second_ms(text: str) -> int:
    try:
        return int(datetime.fromisoformat(f"{text}+00:00").timestamp()) * 1000
    except ValueError as error:
        raise Unfamiliar(f"{text!r} is no time") from error
