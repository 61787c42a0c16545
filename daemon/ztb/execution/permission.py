"""Permission to trade: what an operator, or who watches venue and market, leaves to an account. Its gate obeys it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Obeying(Protocol):
    """A gate's memory, whose `row` (1,) GATE has the fields that permission is told to."""

    row: NDArray[np.void]


class _Holds(dict[str, str]):
    """Reasons by name, each with more in words; whoever obeys is told how many there are."""

    def __init__(self, permission: Permission) -> None:
        super().__init__()
        self._permission = permission

    def __setitem__(self, name: str, words: str) -> None:
        super().__setitem__(name, words)
        self._permission.tell()

    def pop(self, name: str, *otherwise: Any) -> Any:
        """See `dict.pop`."""
        found = super().pop(name, *otherwise)
        self._permission.tell()
        return found

    def put(self, holds: Mapping[str, str]) -> None:
        """Hold for these reasons and no others."""
        super().clear()
        super().update(holds)
        self._permission.tell()


class Permission:
    """The latitude that others give an account: an operator, or who watches venue and market. Accounts that are to be
    compared share one.

    `halted`: nothing; `reduce_only`: only what brings the position towards zero; `flattening`: the position is closed.
    `holds`: why no new risk is taken just now, such as a stale stream; whoever put a reason in takes it out again.
    """

    def __init__(self, flattening: bool = False) -> None:
        self._obeying: list[Obeying] = []
        self._halted = self._reduce_only = False
        self._flattening = flattening
        self._holds = _Holds(self)

    def obeyed_by(self, memory: Obeying) -> None:
        """Tell `memory` too, from now on."""
        self._obeying.append(memory)
        self.tell()

    def no_longer_obeyed_by(self, memory: Obeying) -> None:
        """`memory` has another one."""
        self._obeying.remove(memory)

    def tell(self) -> None:
        """Let whoever obeys know what is so."""
        for memory in self._obeying:
            row = memory.row
            row["halted"], row["reduce_only"] = self._halted, self._reduce_only
            row["flattening"], row["held"] = self._flattening, len(self._holds)

    @property
    def holds(self) -> dict[str, str]:
        return self._holds

    @holds.setter
    def holds(self, holds: Mapping[str, str]) -> None:
        self._holds.put(holds)

    @property
    def halted(self) -> bool:
        return self._halted

    @halted.setter
    def halted(self, halted: bool) -> None:
        self._halted = halted
        self.tell()

    @property
    def reduce_only(self) -> bool:
        return self._reduce_only

    @reduce_only.setter
    def reduce_only(self, reduce_only: bool) -> None:
        self._reduce_only = reduce_only
        self.tell()

    @property
    def flattening(self) -> bool:
        return self._flattening

    @flattening.setter
    def flattening(self, flattening: bool) -> None:
        self._flattening = flattening
        self.tell()
