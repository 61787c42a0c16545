"""The state of an environment as plain data, so that training resumes bit for bit.

An environment may offer `state()` and `load_state(state)` itself. Of any other, the attributes of it and its
wrappers are read: numbers, texts, arrays, random generators, and lists, tuples, dicts and deques of them;
spaces, specs, functions and classes never change and are left alone. One that holds anything else (a physics
engine, a process, a file) cannot be saved this way.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import zip_longest
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

_PLAIN = (bool, int, float, str, bytes, type(None))
_STATIC = (gym.Space, EnvSpec, Enum, type, ModuleType, logging.Logger)


class _Unsupported(Exception):
    """Something whose state cannot be read."""


def environment_state(env: object) -> dict[str, Any] | None:
    """The state of an Env or VectorEnv; None where it holds something that cannot be saved."""
    try:
        return _encode(env)
    except _Unsupported:
        return None


def load_environment_state(env: object, state: dict[str, Any]) -> None:
    """Put a state that `environment_state` gave into an environment made the same way."""
    _decode(state, env)


def _own_state(env: object) -> Callable[[], Any] | None:
    saving, loading = getattr(env, "state", None), getattr(env, "load_state", None)
    return saving if callable(saving) and callable(loading) else None


def _encode(value: Any) -> dict[str, Any]:
    match value:
        case np.ndarray() if value.dtype != object:
            return {"array": value.copy()}
        case np.generic():
            return {"scalar": np.array(value)}
        case np.random.Generator():
            return {"generator": value.bit_generator.state}
        case list() | tuple() | deque():
            return {"sequence": type(value).__name__, "items": [_encode(item) for item in value]}
        case dict() if all(isinstance(key, _PLAIN) for key in value):
            return {"entries": [[key, _encode(entry)] for key, entry in value.items()]}
        case gym.Env() | VectorEnv():
            return _encode_environment(value)
        case _ if isinstance(value, _STATIC) or callable(value):
            return {}
        case _ if isinstance(value, _PLAIN):
            return {"plain": value}
        case _:
            raise _Unsupported


def _encode_environment(env: Any) -> dict[str, Any]:
    saving = _own_state(env)
    if saving:
        return {"own": saving()}
    return {"attributes": {name: _encode(value) for name, value in vars(env).items()}}


def _decode(state: dict[str, Any], current: Any) -> Any:
    """The value that `state` stands for; environments and what never changes are kept, as `current` has them."""
    match state:
        case {"array": value}:
            return np.array(value)
        case {"scalar": value}:
            return np.array(value)[()]
        case {"generator": value}:
            return _generator(value)
        case {"sequence": kind, "items": items}:
            return _sequence(kind, items, current)
        case {"entries": entries}:
            return _entries(entries, current if isinstance(current, dict) else {})
        case {"own": value}:
            current.load_state(value)
        case {"attributes": value}:
            for name, entry in value.items():
                setattr(current, name, _decode(entry, getattr(current, name, None)))
        case {"plain": value}:
            return value
        case _:
            pass
    return current


def _generator(state: dict[str, Any]) -> np.random.Generator:
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)


def _sequence(kind: str, states: list[dict[str, Any]], current: Any) -> Any:
    known = list(current) if isinstance(current, list | tuple | deque) else []
    values = [_decode(state, old) for state, old in zip_longest(states, known[: len(states)])]
    if kind == "deque":
        return deque(values, getattr(current, "maxlen", None))
    return tuple(values) if kind == "tuple" else values


def _entries(states: list[list[Any]], current: dict[Any, Any]) -> dict[Any, Any]:
    return {key: _decode(state, current.get(key)) for key, state in states}
