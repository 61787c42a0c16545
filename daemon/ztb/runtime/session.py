"""A session: journal, books, lanes, engine, policy, learner and store of one run, wherever its ticks come from.

Replay and daemon make one each and drive it; what differs between them is the source, the broker and the end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import time
from dataclasses import asdict
from typing import Any

import structlog

from ztb.errors import ZtbError
from ztb.execution.risk import RiskLimits, unbounded
from ztb.learning.allocation import name_of
from ztb.learning.service.base import Learning
from ztb.ledger.export import export_decisions
from ztb.ledger.records import BEGAN, CANCEL_ALL, CONSUMED, FLATTEN, LIMITS, NoteRow
from ztb.ports import Source
from ztb.runtime.build.context import RunContext
from ztb.runtime.build.parts import SessionParts, open_parts
from ztb.runtime.summary import Ending, allocation, remark, summarise
from ztb.telemetry.report import write_report
from ztb.utils.background import peak_rss_bytes
from ztb.utils.installation import code_version


class Session:
    """One run, driven: `open` it, await `run`, and whatever happens call `finish` or `abandon`."""

    def __init__(self, context: RunContext, parts: SessionParts) -> None:
        """Of parts that are open; `open` opens them."""
        learner = parts.learner
        self.context = context
        self.assembly = context.assembly
        self.directory = context.directory
        self.run_id = context.run_id
        self.opening = parts.opening
        self.journal = parts.journal
        self.books = parts.books
        self.engine = parts.engine
        self.lineage = learner.lineage
        self.policy = learner.policy
        self.origin = learner.origin
        self.store = learner.store
        self.promotion = learner.promotion
        self.unproven = learner.unproven
        self._patience_s: float | None = None
        self._started = time.perf_counter()

    @staticmethod
    def open(context: RunContext) -> Session:
        """A session with its files open. ConfigError, DataError: it cannot be."""
        return Session(context, open_parts(context))

    def hurry(self, patience_s: float) -> None:
        """The end is to wait no longer than that for what the learner still owes; else it takes what it takes."""
        self._patience_s = patience_s

    @property
    def waits(self) -> bool:
        """True if no order is sent because nothing speaks for anybody yet."""
        return self.engine.experts is not None and self.engine.experts.waits

    @property
    def awaited(self) -> str:
        """The state awaited while nothing has a share of the account, and how near it is."""
        if self.engine.experts is None:
            return ""
        reason = self.engine.experts.allocator.awaited
        return f"nothing has earned a share of the account, so no order is sent: {reason}"

    @property
    def start_equity(self) -> float:
        """Capital put in, quote currency: at the start, and what was adopted since."""
        return self.opening.equity + self.engine.progress.adopted

    async def run(self, source: Source) -> None:
        """Drive the engine over `source` to its end, generations being saved beside it.

        What exists now is not searched for garbage meanwhile: each search would take as long as ten thousand decisions.
        """
        gc.freeze()
        try:
            async with asyncio.TaskGroup() as tasks:
                await self.drive(source, tasks)
        finally:
            gc.unfreeze()

    async def drive(self, source: Source, tasks: asyncio.TaskGroup) -> None:
        """As `run`, with the tasks in a group of the caller's; they have ended on return."""
        self.journal.append(NoteRow(self.engine.progress.last_ts_ns, "start", self.run_id))
        past = self.context.past
        if self.context.opening is not None and (past is None or past.opening is None):
            self.journal.append(self.opening.note(self.context.trade_from_ns))
        if self.context.opening is not None:
            self.journal.append(self._began())
        if past is not None:
            past.forget()
        learning = self.engine.learning
        try:
            if self.origin is not None:
                learning.begin(0, self.origin.how)
            saving = tasks.create_task(self.store.run(), name="generation-store") if self.store else None
            tasks.create_task(learning.run(), name="learning")
            await tasks.create_task(self.engine.run(source), name="engine")
            await self._let_finish(learning)
            if self.promotion is not None and self.context.opening is not None:
                self.promotion.save_serving()
            if self.store is not None and saving is not None:
                self.store.close()
                await saving
        finally:
            learning.close()

    def _began(self) -> NoteRow:
        """Write down what this start is made of, for whoever repeats it: a later one may be made of something else."""
        assembly, engine = self.assembly, self.engine
        made_of = {
            "mode": self.context.mode,
            "code_version": code_version(),
            "seed": assembly.seed,
            "period_ns": assembly.period_ns,
            "generation": self.policy.info.number if self.policy else None,
            "checkpoint": self.origin.checkpoint if self.origin else None,
            "flattening": engine.live.flattening,
            "halted": engine.live.gate.memory.permission.halted,
            "unproven": self.unproven,
            "limits": asdict(engine.live.gate.limits),
            "config": assembly.config.model_dump(mode="json"),
            "learner": assembly.learner,
            **self.context.facts,
        }
        return NoteRow(engine.progress.last_ts_ns, BEGAN, json.dumps(made_of, sort_keys=True))

    def record_external_event(self, kind: str) -> None:
        """Journal that `kind` happens from outside, now: after how many rows of ticks."""
        progress = self.engine.progress
        self.journal.append(NoteRow(progress.last_ts_ns, kind, str(progress.rows)))

    def cancel_all(self) -> None:
        """Ask for the end of every order that works."""
        if not self.engine.live.resting:
            return
        self.record_external_event(CANCEL_ALL)
        self.engine.cancel_all(self.engine.progress.last_ts_ns)

    def flatten(self) -> bool:
        """Close the position; True once nothing is left that could be sold."""
        self.record_external_event(FLATTEN)
        return self.engine.live.flatten(self.engine.progress.last_ts_ns)

    def limit(self, limits: RiskLimits) -> None:
        """Judge orders by `limits` from now on, and by what binds this session beside them.

        The accounts beside the live one too; `hold` stays a yardstick, which no loss stops.
        """
        gate = self.engine.live.gate
        gate.limits = self.context.bound(limits)
        for name, lane in self.engine.benchmarks.items():
            lane.gate.limits = unbounded(gate.limits) if name == "hold" else gate.limits
        self.journal.append(
            NoteRow(self.engine.progress.last_ts_ns, LIMITS, json.dumps(asdict(gate.limits), sort_keys=True))
        )

    async def _let_finish(self, learning: Learning) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await learning.finish()
        except TimeoutError:
            learning.close()

    def finish(self, status: str, dropped: int = 0) -> dict[str, Any]:
        """Close the journal, export the decisions, write summary and report; returns the summary.

        `dropped`: rows of the data that were left out.
        """
        last_ns = self.engine.progress.last_ts_ns
        said = remark(self.assembly, self.engine)
        if said is not None:
            self.journal.append(NoteRow(last_ns, "no_decision", said))
        if self.context.opening is not None:
            self.record_external_event(CONSUMED)
        self.journal.append(NoteRow(last_ns, "end", status))
        self.journal.close()
        export_decisions(self.directory.journal, self.directory.decisions)
        ending = self._ending(status, dropped)
        summary = summarise(
            mode=self.context.mode,
            run_id=self.run_id,
            assembly=self.assembly,
            engine=self.engine,
            lineage=self.lineage,
            ending=ending,
        )
        self.directory.write_json(self.directory.summary, summary)
        write_report(self.directory)
        return summary

    def abandon(self, status: str, dropped: int = 0) -> None:
        """As `finish`, after an error: what cannot be written any more is left, what was stays readable."""
        try:
            self.finish(status, dropped)
        except (ZtbError, OSError, sqlite3.Error) as error:
            structlog.get_logger().warning(
                "run_not_finished", run=str(self.directory.path), reason=str(error)
            )

    def _ending(self, status: str, dropped: int) -> Ending:
        experts = self.engine.experts
        return Ending(
            status=status,
            start_equity=self.start_equity,
            wall_s=time.perf_counter() - self._started,
            peak_rss_mb=peak_rss_bytes() / 1e6,
            updates=self.engine.learning.updates,
            weights_sha256=self.policy.info.sha256 if self.policy else None,
            origin=self.origin.how if self.origin else None,
            frozen_return=self._frozen_return(),
            unlearnt_return=self._unlearnt_return(),
            allocation=allocation(experts, self.directory.journal) if experts is not None else None,
            dropped=dropped,
            checkpoints=self.store.saved if self.store else [],
        )

    def _frozen_return(self) -> float | None:
        """The return of generation 0 untouched; the live lane's itself where nothing learns."""
        if self.policy is None or self.engine.progress.decisions == 0:
            return None
        experts = self.engine.experts
        lane = experts.lanes[name_of(0)] if experts else self.engine.shadows.get("frozen", self.engine.live)
        return lane.equity / self.start_equity - 1.0

    def _unlearnt_return(self) -> float | None:
        """The account's return had nothing been learnt after generation 0; None without experts."""
        engine = self.engine
        if engine.experts is None or engine.progress.decisions == 0:
            return None
        return (engine.experts.account_unlearnt or engine.live).equity / self.start_equity - 1.0


def status_of(error: BaseException) -> str:
    """The status in the summary of a run that `error` ended."""
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, BaseExceptionGroup):
        return status_of(error.exceptions[0])
    return f"failed: {error}"
