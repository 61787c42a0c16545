"""Finds what is not finite before anything is learnt from it, or kept: one NaN in a weight is there for good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import NonFiniteError
from ztb.trading.ppo.rollout import Rollout

_NAMES = {
    "observations": "observation",
    "rewards": "reward",
    "actions": "action",
    "logprobs": "log-prob",
    "values": "value",
    "next_values": "value",
}


def check_rollout(rollout: Rollout) -> None:
    """NonFiniteError names the first environment and step of a number that would be learnt from and is not finite."""
    for name, what in _NAMES.items():
        array: NDArray[Any] = getattr(rollout, name)
        if np.isfinite(array).all():
            continue
        bad = _rows(array) & rollout.mask
        if name == "next_values":
            bad &= rollout.truncated | (np.arange(len(bad)) == len(bad) - 1)[:, None]
            bad &= ~rollout.terminated
        if bad.any():
            step, env = (int(index) for index in np.argwhere(bad)[0])
            number = array[step, env].ravel()
            found = number[~np.isfinite(number)][0]
            raise NonFiniteError(what, f"{what} {found} of environment {env} at step {step}", env, step)


def _rows(array: NDArray[Any]) -> NDArray[np.bool_]:
    """(T, N) where any number of a transition's is not finite."""
    bad: NDArray[np.bool_] = np.any(~np.isfinite(array.reshape(*array.shape[:2], -1)), axis=2)
    return bad


def unsound(state: object) -> str:
    """The first place of a number in `state` (dicts, lists, numbers, numpy arrays) that is not finite; "" for none."""
    return next(_places(state, ""), "")


def _places(state: Any, place: str) -> Iterator[str]:
    if isinstance(state, Mapping):
        for key, value in state.items():
            yield from _places(value, f"{place}.{key}" if place else str(key))
    elif isinstance(state, list | tuple):
        for index, value in enumerate(state):
            yield from _places(value, f"{place}[{index}]")
    elif _real(state) and not np.isfinite(state).all():
        yield place


def _real(value: Any) -> bool:
    return isinstance(value, float) or (
        isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f"
    )


def check_state(state: object, of: str) -> None:
    """NonFiniteError: a number in the `state` of a network and its optimiser is not finite."""
    place = unsound(state)
    if place:
        raise NonFiniteError("weights", f"{of}: {place} is not finite: go on from a generation before it")
