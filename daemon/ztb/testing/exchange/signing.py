"""Who sent a request, and when: HMAC-SHA256 over the parameters, a timestamp, a window."""

from __future__ import annotations

import hashlib
import hmac

from ztb.testing.exchange.call import Call
from ztb.testing.exchange.refusals import Refusal
from ztb.testing.exchange.state import Credentials

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
