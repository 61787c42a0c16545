"""Balances with locks: free and locked units of each asset, and where fees go."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from ztb.errors import InvariantError


@dataclass(slots=True)
class Balance:
    """Units of one asset."""

    free: int = 0
    locked: int = 0


@dataclass(slots=True)
class Accounts:
    """All accounts of the venue; units are only ever moved between them, except by `deposit`.

    Raises InvariantError rather than let a balance go below zero.
    """

    held: defaultdict[str, defaultdict[str, Balance]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Balance))
    )
    touched: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])

    def deposit(self, account: str, asset: str, units: int) -> None:
        """Units come from outside."""
        self._change(account, asset, units, 0)

    def lock(self, account: str, asset: str, units: int) -> None:
        """Hold back free units."""
        self._change(account, asset, -units, units)

    def release(self, account: str, asset: str, units: int) -> None:
        """Let go what an order held back."""
        self._change(account, asset, units, -units)

    def pay(self, payer: str, receiver: str, asset: str, units: int) -> None:
        """Locked units of `payer` become free ones of `receiver`."""
        self._change(payer, asset, 0, -units)
        self._change(receiver, asset, units, 0)

    def charge(self, account: str, collector: str, asset: str, units: int) -> None:
        """A fee, from free units."""
        self._change(account, asset, -units, 0)
        self._change(collector, asset, units, 0)

    def free(self, account: str, asset: str) -> int:
        """Units that can be spent."""
        return self.held[account][asset].free

    def total(self, asset: str) -> int:
        """Units of `asset` in all accounts."""
        return sum(balances[asset].free + balances[asset].locked for balances in self.held.values())

    def take_touched(self) -> dict[str, dict[str, None]]:
        """Accounts and assets that changed since the last call, in order."""
        touched, self.touched = self.touched, {}
        return touched

    def _change(self, account: str, asset: str, free: int, locked: int) -> None:
        balance = self.held[account][asset]
        balance.free += free
        balance.locked += locked
        if balance.free < 0 or balance.locked < 0:
            raise InvariantError(f"account {account!r}: {asset} below zero: {balance}")
        self.touched.setdefault(account, {})[asset] = None
