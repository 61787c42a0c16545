"""Numbers that come in order, as spans of consecutive ones: how a hole is journaled in few words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Spans:
    """Spans [first, last] since they were taken last."""

    def __init__(self) -> None:
        self._spans: list[list[int]] = []

    def add(self, number: int) -> None:
        """One more, beyond all before."""
        if self._spans and self._spans[-1][1] == number - 1:
            self._spans[-1][1] = number
        else:
            self._spans.append([number, number])

    def take(self) -> list[list[int]]:
        """Those since the last call."""
        taken, self._spans = self._spans, []
        return taken


def numbers(spans: Iterable[Iterable[int]]) -> Iterator[int]:
    """Every number in `spans`."""
    for first, last in spans:
        yield from range(first, last + 1)
