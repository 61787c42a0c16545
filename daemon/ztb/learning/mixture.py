"""Own transitions and rollouts as one batch: transitions are folded into lanes as long as the rollouts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.trading.ppo.rollout import Rollout


def fold(own: Rollout, steps: int) -> Rollout:
    """A rollout of one environment, (T, 1), as (steps, ceil(T / steps)): consecutive stretches, side by side.

    The first is filled up in front with what is masked. Each ends as cut off: the value of what follows it is the
    value of the next one's first observation.
    """
    total = len(own.rewards)
    lanes = -(-total // steps)
    missing = lanes * steps - total
    parts = {field.name: _fold(getattr(own, field.name), missing, lanes, steps) for field in fields(Rollout)}
    parts["truncated"][-1] = True
    parts["next_values"][-1, :-1] = parts["values"][0, 1:]
    return Rollout(**parts)


def _fold(array: NDArray[Any], missing: int, lanes: int, steps: int) -> NDArray[Any]:
    flat = array[:, 0]
    padded = np.concatenate([np.zeros((missing, *flat.shape[1:]), flat.dtype), flat])
    return np.ascontiguousarray(np.moveaxis(padded.reshape(lanes, steps, *flat.shape[1:]), 0, 1))


def newest_lanes(rollout: Rollout, lanes: int) -> Rollout:
    """Its last `lanes` environments, as views."""
    first = max(0, rollout.rewards.shape[1] - lanes)
    return Rollout(**{field.name: getattr(rollout, field.name)[:, first:] for field in fields(Rollout)})


def side_by_side(rollouts: Sequence[Rollout]) -> Rollout:
    """Rollouts of the same number of steps as one of all their environments."""
    if len(rollouts) == 1:
        return rollouts[0]
    names = [field.name for field in fields(Rollout)]
    return Rollout(**{name: np.concatenate([getattr(r, name) for r in rollouts], axis=1) for name in names})
