"""Refusals as the venue words them: an HTTP status, a code and a message."""

from __future__ import annotations


class Refusal(Exception):
    """The request is refused."""

    def __init__(self, code: int, message: str, status: int = 400, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s


def filter_failure(name: str) -> Refusal:
    """An order outside of a filter of its symbol."""
    return Refusal(-1013, f"Filter failure: {name}")
