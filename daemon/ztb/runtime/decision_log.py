"""Decisions and marks as the journal holds them, one at a time or those of a stretch; the run's figures of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.packs import Columns, Words
from ztb.ledger.records import DecisionRow, MarkRow, Record
from ztb.market.ticks import BAR, DEPTH, GAP, LAST, Ticks
from ztb.trading.bridge import FACT_CASH, FACT_EQUITY, FACT_MID, FACT_POSITION, FACT_REWARD
from ztb.trading.course import Course
from ztb.trading.decided import Decided, verdict_text
from ztb.trading.lane import Lane
from ztb.trading.lane_state import DECIDED


@dataclass(slots=True)
class RunProgress:
    """Counts and sums of the engine so far; `peak` and `max_drawdown` are of the live equity at decisions.

    `rows`: of ticks, let happen since this process started. `adopted`: quote currency that came into the books without
    being earned.
    """

    rows: int = 0
    ticks: int = 0
    decisions: int = 0
    gaps: int = 0
    first_ts_ns: int = 0
    last_ts_ns: int = 0
    trade_first_ts_ns: int = 0
    return_sum: float = 0.0
    return_square_sum: float = 0.0
    peak: float = 0.0
    max_drawdown: float = 0.0
    last_equity: float = 0.0
    equity_sum: float = 0.0
    adopted: float = 0.0

    def count(self, ticks: Ticks) -> int:
        """Take in a block of ticks that is about to happen; all their flags. A bar began before its time, its close."""
        flags = ticks["flags"]
        all_flags = int(np.bitwise_or.reduce(flags))
        self.ticks += len(ticks)
        depth = ticks["kind"] == DEPTH
        if np.count_nonzero(depth):  # rows of one change of a book are one tick
            self.ticks -= int(np.count_nonzero(depth & ((flags & LAST) == 0)))
        if all_flags & GAP:
            self.gaps += int(np.count_nonzero(flags & GAP))
        if self.first_ts_ns == 0:
            first = ticks[0]
            self.first_ts_ns = int(first["ts_ns"]) - (int(first["span_ns"]) if first["kind"] == BAR else 0)
        self.last_ts_ns = int(ticks["ts_ns"][-1])
        return all_flags

    def adopt(self, value: float) -> None:
        """`value` quote currency came into the books, and nothing earned it."""
        self.adopted += value
        self.last_equity += value
        self.peak += value

    def track(self, equity: float, ts_ns: int) -> None:
        """Take in the equity at the next decision."""
        if self.decisions == 0:
            self.trade_first_ts_ns = ts_ns
        else:
            change = equity / self.last_equity - 1.0
            self.return_sum += change
            self.return_square_sum += change * change
        self.peak = max(self.peak, equity)
        self.max_drawdown = max(self.max_drawdown, 1.0 - equity / self.peak)
        self.last_equity = equity
        self.equity_sum += equity
        self.decisions += 1

    def track_all(self, equity: NDArray[np.float64]) -> None:
        """As `track`, at the next N decisions, none of which is the first."""
        before = np.append(self.last_equity, equity[:-1])
        change = equity / before - 1.0
        self.return_sum = _sum(self.return_sum, change)
        self.return_square_sum = _sum(self.return_square_sum, change * change)
        self.equity_sum = _sum(self.equity_sum, equity)
        peaks = np.maximum.accumulate(np.append(self.peak, equity))[1:]
        self.max_drawdown = max(self.max_drawdown, float(np.max(1.0 - equity / peaks)))
        self.peak, self.last_equity = float(peaks[-1]), float(equity[-1])
        self.decisions += len(equity)


def _sum(start: float, values: NDArray[np.float64]) -> float:
    """`start` plus `values` one after the other, whatever the processor could add at once."""
    return float(np.add.accumulate(np.append(start, values))[-1])


@dataclass(frozen=True, slots=True)
class Stood:
    """Facts (N, FACTS) of the account at the N decisions of a stretch, equity (N,) of those beside it, quote currency.

    `aims`: what experts wanted, as the journal has it, where there are any. `generation` made the decisions.
    """

    generation: int
    account: NDArray[np.float64]
    hold: NDArray[np.float64] | None
    frozen: NDArray[np.float64] | None
    aims: list[bytes] | None = None
    before: Sequence[tuple[int, Sequence[Record]]] = ()
    """Rows to be journaled before a decision, by its place."""


class _Places:
    """Places in the journal of N decisions, as they come to them; `account` (N, FACTS) is how it stood at each."""

    def __init__(self, books: Bookkeeper, account: NDArray[np.float64]) -> None:
        held = account[:, [FACT_CASH, FACT_POSITION]]
        self.fees = np.empty(len(account))
        """(N,) quote currency paid until then."""
        self._books = books
        self._account = account
        self._moves = deque((np.flatnonzero((held[1:] != held[:-1]).any(axis=1)) + 1).tolist())
        self._shifts = np.empty(len(account), np.int64)
        self._given = 0
        self._booked: tuple[object, ...] = ()
        self._paid = 0.0

    def give(self, end: int) -> None:
        """Give decisions up to `end`, since the last of those before nothing was filled, the next places.

        InvariantError: the books do not agree with the account.
        """
        begin, moves, account = self._given, self._moves, self._books.account
        if end <= begin:
            return
        booked = account.cash_units, account.lots, account.dust, account.fees_units
        while moves and moves[0] < begin:
            moves.popleft()
        if booked != self._booked or (moves and moves[0] == begin):
            self._booked, self._paid = booked, account.fees
            self._agree(begin)
        if moves and begin < moves[0] < end:
            self._agree(moves[0])
        self._shifts[begin:end] = self._books.journal.reserve(2 * (end - begin)) - 2 * begin
        self.fees[begin:end] = self._paid
        self._given = end

    def _agree(self, k: int) -> None:
        cash, position, equity = self._account[k, [FACT_CASH, FACT_POSITION, FACT_EQUITY]].tolist()
        self._books.agree(cash, position, equity)

    @property
    def seqs(self) -> NDArray[np.int64]:
        """(N,) each decision's place; its mark has the next."""
        return self._shifts + 2 * np.arange(len(self._shifts))


class DecisionLog:
    """Journals decisions on `symbol`, each with its mark, and checks the books at each."""

    def __init__(self, books: Bookkeeper, symbol: str) -> None:
        self._books = books
        self._symbol = symbol

    def record(self, decided: Decided, tainted: bool, aims: bytes, equities: Mapping[str, float]) -> None:
        """Journal one decision; `equities` of the accounts beside ours by name."""
        books, action = self._books, decided.action
        books.agree(decided.cash, decided.position, decided.equity)
        observation = decided.observation.tobytes()
        books.journal.append(
            DecisionRow(
                decision=decided.decision,
                ts_ns=decided.ts_ns,
                symbol=self._symbol,
                generation=books.generation,
                action_size=action.size,
                action_timing=action.timing,
                target=decided.target,
                position=decided.position,
                mid=decided.mid,
                equity=decided.equity,
                value=action.value,
                logprob=action.logprob,
                obs_hash=xxhash.xxh3_64_hexdigest(observation),
                verdict=decided.verdict,
                reward=None if decided.decision == 0 else decided.reward,
                tainted=tainted,
                observation=observation,
                uniforms=decided.uniforms.tobytes(),
                aims=aims,
            )
        )
        books.journal.append(
            MarkRow(
                decision=decided.decision,
                ts_ns=decided.ts_ns,
                mid=decided.mid,
                cash=decided.cash,
                position=decided.position,
                equity=decided.equity,
                fees=books.account.fees,
                hold_equity=equities.get("hold"),
                frozen_equity=equities.get("frozen"),
            )
        )

    def record_stretch(self, lane: Lane, course: Course, stood: Stood, first: int) -> None:
        """Journal the decisions of a stretch from number `first` on, and what `lane` did meanwhile, all in order.

        What is sent before the first of them is of the generation that made the decision before.
        """
        log, n = lane.take_log(), len(stood.account)
        is_decision = log["what"] == DECIDED
        made, told = np.cumsum(is_decision), np.flatnonzero(~is_decision)
        begins = np.flatnonzero(is_decision)
        ends = begins + log["lots"][begins]  # the last row of what came of each decision at once
        places, waiting = _Places(self._books, stood.account), deque(stood.before)

        def place(until: int, begun: int) -> None:
            """Decisions come to their places up to `until`, and rows that were to come before those that have begun."""
            while waiting and waiting[0][0] < begun:
                k, rows = waiting.popleft()
                places.give(k)
                for row in rows:
                    self._books.journal.append(row)
            places.give(until)

        for at, row in zip(told.tolist(), log[told].tolist(), strict=True):
            begun = int(made[at])
            place(begun - int(begun > 0 and at <= ends[begun - 1]), begun)
            lane.floor.decision = first + begun - 1
            if begun:
                self._books.generation = stood.generation
            lane.pass_on(row)
        place(n, n + 1)
        self._books.generation = stood.generation
        marks = self._marks(course, stood, first, places.fees)
        journal, seqs = self._books.journal, places.seqs
        journal.append_columns(DecisionRow, seqs, self._decisions(course, stood, first))
        journal.append_columns(MarkRow, seqs + 1, marks)

    def _decisions(self, course: Course, stood: Stood, first: int) -> Columns:
        n, account = len(stood.account), stood.account
        observations = course.observations[:n].view(np.uint8)
        hashes = map(xxhash.xxh3_64_intdigest, observations)
        verdicts, places = np.unique(course.verdicts[:n], return_inverse=True)
        return {
            "decision": np.arange(first, first + n),
            "ts_ns": course.ts_ns[:n],
            "symbol": Words((self._symbol,), np.zeros(n, np.int64)),
            "generation": np.full(n, self._books.generation),
            "action_size": course.actions[:n, 0],
            "action_timing": course.actions[:n, 1],
            "target": course.targets[:n],
            "position": account[:, FACT_POSITION],
            "mid": account[:, FACT_MID],
            "equity": account[:, FACT_EQUITY],
            "value": course.values[:n, 1],
            "logprob": course.values[:n, 0],
            "obs_hash": np.fromiter(hashes, "<u8", n),
            "verdict": Words(tuple(map(verdict_text, verdicts.tolist())), places),
            "reward": account[:, FACT_REWARD],
            "tainted": course.tainted[:n],
            "observation": observations,
            "uniforms": course.uniforms[:n].view(np.uint8),
            "aims": stood.aims or np.zeros((n, 0), np.uint8),
        }

    @staticmethod
    def _marks(course: Course, stood: Stood, first: int, fees: NDArray[np.float64]) -> Columns:
        n, account = len(stood.account), stood.account
        unknown = np.full(n, np.nan)
        return {
            "decision": np.arange(first, first + n),
            "ts_ns": course.ts_ns[:n],
            "mid": account[:, FACT_MID],
            "cash": account[:, FACT_CASH],
            "position": account[:, FACT_POSITION],
            "equity": account[:, FACT_EQUITY],
            "fees": fees,
            "hold_equity": unknown if stood.hold is None else stood.hold,
            "frozen_equity": unknown if stood.frozen is None else stood.frozen,
        }
