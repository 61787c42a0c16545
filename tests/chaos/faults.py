"""What goes wrong in a chaos run: drawn from a seed, one thing after another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chaos.stage import Stage

REQUESTS = ("POST /api/v3/order", "DELETE /api/v3/order", "GET /api/v3/order", "GET /api/v3/myTrades",
            "GET /api/v3/account", "GET *", "*")  # fmt: skip
MESSAGES = ("btcusdt@trade", "btcusdt@bookTicker", "user", "answer", "*")
ORDERS = ("POST /api/v3/order", "DELETE /api/v3/order")

_Draw = np.random.Generator


def _count(rng: _Draw) -> int:
    return int(rng.integers(1, 5))


def _status(it: Stage, rng: _Draw) -> None:
    status = int(rng.choice([418, 429, 500, 502, 503, 504]))
    it.inject("status", match=str(rng.choice(REQUESTS)), status=status, count=_count(rng))


def _status_after_accepting(it: Stage, rng: _Draw) -> None:
    it.inject(
        "status", match=str(rng.choice(ORDERS)), status=int(rng.choice([500, 502, 503, 504])), accepted=True
    )


def _no_answer(it: Stage, rng: _Draw) -> None:
    it.inject("no_answer", match=str(rng.choice(REQUESTS)), accepted=bool(rng.random() < 0.7))


def _reset(it: Stage, rng: _Draw) -> None:
    it.inject("reset", match=str(rng.choice(REQUESTS)), accepted=bool(rng.random() < 0.7), count=_count(rng))


def _slow(it: Stage, rng: _Draw) -> None:
    it.inject(
        "slow", match=str(rng.choice(REQUESTS)), seconds=float(rng.uniform(0.2, 12.0)), count=_count(rng)
    )


def _stray(it: Stage, rng: _Draw) -> None:
    it.venue.strays.append(float(rng.uniform(0.0, 10.0)))


def _message(kind: str) -> Callable[[Stage, _Draw], None]:
    def inject(it: Stage, rng: _Draw) -> None:
        late_s = float(rng.uniform(0.2, 5.0)) if kind == "delay" else 0.0
        it.inject(kind, match=str(rng.choice(MESSAGES)), count=_count(rng), seconds=late_s)

    return inject


def _silence(it: Stage, rng: _Draw) -> None:
    it.inject("silence", match=str(rng.choice(MESSAGES)), seconds=float(rng.uniform(2.0, 40.0)))


def _down(it: Stage, rng: _Draw) -> None:
    it.venue.down = True
    it.inject("disconnect")
    it.loop.call_later(float(rng.uniform(0.5, 15.0)), setattr, it.venue, "down", False)


def _skew(it: Stage, rng: _Draw) -> None:
    it.skew_s = float(rng.choice([-20.0, -6.0, -0.5, 0.5, 3.0, 20.0]))
    it.loop.call_later(float(rng.uniform(2.0, 20.0)), setattr, it, "skew_s", 0.0)


FAULTS: dict[str, Callable[[Stage, _Draw], None]] = {
    "status": _status,
    "status after accepting": _status_after_accepting,
    "no answer": _no_answer,
    "reset": _reset,
    "slow": _slow,
    "stray": _stray,
    "drop": _message("drop"),
    "duplicate": _message("duplicate"),
    "delay": _message("delay"),
    "malform": _message("malform"),
    "silence": _silence,
    "disconnect": lambda it, _rng: it.inject("disconnect"),
    "session ends": lambda it, _rng: it.inject("end_session"),
    "down": _down,
    "skew": _skew,
}


def clear(it: Stage) -> None:
    """From now on nothing goes wrong."""
    it.gateway.clear_faults()
    it.venue.strays.clear()
    it.venue.down = False
    it.skew_s = 0.0
