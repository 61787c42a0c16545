"""A set of features: shipped ones and a user's own, row by row or over a history.

Also here: the one kernel of all shipped features: rows in, values out, live and over a history alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError
from ztb.features.emit import emit
from ztb.features.registry import FEATURES, SHIPPED, Feature, columns
from ztb.features.schema import schema_hash, source_of
from ztb.features.state import State, new_state
from ztb.features.update import update
from ztb.features.user import UserFeature, UserKernel
from ztb.market.instrument import Instrument
from ztb.market.ticks import TICK, Ticks, empty_ticks, plain_ticks
from ztb.utils.kernel import entry, kernel

FloatArray = NDArray[np.float64]


@kernel
def advance(state: State, ticks: Ticks, i0: int, i1: int, values: FloatArray) -> None:
    """Take rows [i0, i1) into the state; `values`: (size,), what the features are after the last of them."""
    record = state[0]
    for i in range(i0, min(i1, len(ticks))):
        update(record, ticks[i])
    emit(record, values)


@kernel
def advance_at(state: State, ticks: Ticks, rows: NDArray[np.int64], values: FloatArray) -> None:
    """Take all rows into the state; `values`: (len(rows), size or more), the features after each."""
    record = state[0]
    done = 0
    for k in range(len(rows)):
        for i in range(done, rows[k] + 1):
            update(record, ticks[i])
        emit(record, values[k])
        done = max(done, rows[k] + 1)
    for i in range(done, len(ticks)):
        update(record, ticks[i])


class FeatureSet:
    """Features of one instrument, for buckets of `period_ns` (the bar length; 10 s on ticks).

    `values`: (size,) float64, what the features are after the last row that was advanced, in the order of
    `names`: the shipped ones, then the user's; written in place. `warm_up`: completed buckets until every
    one is warm; a shipped feature is 0 before its own warm-up. Making one compiles the kernels, where they
    are not on disk yet. ConfigError for an unknown or repeated name, a period that is not positive, a user's
    feature that does not compile.
    """

    def __init__(
        self,
        instrument: Instrument,
        period_ns: int,
        names: Sequence[str] = SHIPPED,
        user: Sequence[UserFeature] = (),
    ) -> None:
        if period_ns <= 0:
            raise ConfigError(f"features: the period is {period_ns} ns; it must be positive")
        chosen = [FEATURES[place] for place in columns(names)]
        every: list[Feature | UserFeature] = [*chosen, *user]
        own = [feature.name for feature in user]
        _check_names(own)
        self.names: tuple[str, ...] = (*names, *own)
        self.size = len(self.names)
        self.warm_up = max((feature.warm_up for feature in every), default=0)
        formulas = [f"{feature.name}: {feature.formula} [{feature.unit}]" for feature in every]
        self.schema_hash = schema_hash(formulas, [source_of(feature.update) for feature in user], period_ns)
        self.values: FloatArray = np.zeros(self.size)
        self._shipped = self.values[: len(chosen)]
        self._state = new_state(instrument, period_ns, tuple(names))
        self._user = UserKernel(user, instrument) if user else None
        self._entry = entry(advance, self._state, empty_ticks(0), 0, 0, self._shipped)
        self._hold(empty_ticks(0))

    @property
    def ready(self) -> bool:
        """True if every feature is warm."""
        return self.buckets >= self.warm_up

    @property
    def buckets(self) -> int:
        """Buckets completed so far."""
        return int(self._state["buckets"][0])

    @property
    def mid(self) -> float:
        """Mid after the last row, quote currency; 0 before the first."""
        return float(self._state["view"]["mid"][0])

    @property
    def ts_ns(self) -> int:
        """Event time of the last row that counted."""
        return int(self._state["ts_ns"][0])

    def advance(self, ticks: Ticks, i0: int, i1: int) -> None:
        """Take rows [i0, i1) of `ticks`, and update `values`."""
        if ticks is not self._ticks:
            self._hold(ticks)
        self._entry(self._state, self._block, i0, i1, self._shipped)
        if self._user is not None:
            self._user.advance(self._block, i0, i1, self.values[len(self._shipped) :])

    def batch(self, ticks: Ticks) -> FloatArray:
        """Take all rows; (n, size): the values after each, as `advance` gives them row by row."""
        return self.batch_at(ticks, np.arange(len(ticks)))

    def batch_at(self, ticks: Ticks, rows: NDArray[np.int64]) -> FloatArray:
        """Take all rows; (len(rows), size): the values after each of `rows`; ValueError if they fall."""
        chosen = np.array(rows, np.int64)
        if len(chosen) and (chosen[0] < 0 or chosen[-1] >= len(ticks) or (np.diff(chosen) < 0).any()):
            raise ValueError(f"features: rows must rise within the {len(ticks)} of the block")
        self._hold(ticks)
        history = np.empty((len(chosen), self.size))
        advance_at(self._state, self._block, chosen, history)
        if self._user is not None:
            self._user.advance_at(self._block, chosen, history)
        self.advance(ticks, 0, 0)
        return history

    @property
    def memory(self) -> State:
        """The state itself, for kernels that advance it without a call of Python."""
        return self._state

    @property
    def all_shipped(self) -> bool:
        """True if none is a user's own."""
        return self._user is None

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of everything that the next values depend on."""
        own = {} if self._user is None else self._user.state()
        return {"shipped": self._state.copy(), **own}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `state()` gave, bit for bit."""
        self._state[:] = state["shipped"]
        if self._user is not None:
            self._user.load_state(state)
        self.advance(self._ticks, 0, 0)

    def _hold(self, ticks: Ticks) -> None:
        """Take a block for the calls that follow."""
        if ticks.dtype != TICK:
            raise TypeError(f"features: rows of dtype TICK are needed, not of {ticks.dtype}")
        self._block = plain_ticks(ticks)
        self._ticks = ticks


def _check_names(own: Sequence[str]) -> None:
    for name in own:
        if name in SHIPPED or own.count(name) > 1:
            raise ConfigError(
                f"features: a user's feature is named {name!r}, which is taken; name it otherwise"
            )
