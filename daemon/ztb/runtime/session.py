"""A session: journal, books, lanes, engine, policy, learner and store of one run, wherever its ticks come from.

Replay and daemon make one each and drive it; what differs between them is the source, the broker and the end.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import structlog

from ztb.errors import ZtbError
from ztb.execution.paper import PaperExchange
from ztb.execution.risk import RiskLimits, unbounded
from ztb.learning.alarms import Alarms
from ztb.learning.allocation import Experts, name_of
from ztb.learning.generations import GenerationInfo, Lineage, ServedPolicy
from ztb.learning.service.base import Learning
from ztb.learning.service.generation_store import GenerationStore
from ztb.learning.service.initial_policy import CHECKPOINT_NAME, RANDOM, InitialPolicy
from ztb.learning.service.promotion import Promotion
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.capital import Opening
from ztb.ledger.export import export_decisions
from ztb.ledger.journal import Journal
from ztb.ledger.records import BEGAN, CANCEL_ALL, CONSUMED, FLATTEN, GONE_ON, LIMITS, NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.ports import Broker, Source
from ztb.runtime.build.assembly import Assembly, describe, hold_strategy
from ztb.runtime.build.learning_setup import learn, serve
from ztb.runtime.engine import Engine
from ztb.runtime.guards import MemoryGuard, resident_bytes
from ztb.runtime.recovery.past import Past
from ztb.runtime.recovery.resuming import open_account, resume, resume_lineage, resume_paper
from ztb.runtime.summary import Ending, allocation, remark, summarise
from ztb.telemetry.report import write_report
from ztb.trading.lane import Lane
from ztb.trading.policy.categorical import greatest_entropy
from ztb.trading.policy.weights import NetworkShape
from ztb.utils import CheckpointManager
from ztb.utils.background import peak_rss_bytes
from ztb.utils.installation import code_version

MakeInitialPolicy = Callable[[NetworkShape, str], InitialPolicy]
"""Generation 0 for a network's shape and a feature schema's hash."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a session stands in. `facts`: what `run.json` is to say of its data; `paced`: the ticks wait for a
    learner process that is behind; `past`: what earlier runs on the folder left, to be gone on with; `broker`: the
    live lane's, a paper exchange if None; `opening`: what its account begins with, journaled; None: as configured.
    `unproven`: whether generation 0 is random, where its file does not say.
    """

    mode: str
    assembly: Assembly
    directory: RunDirectory
    run_id: str
    facts: Mapping[str, Any]
    trade_from_ns: int = 0
    paced: bool = True
    past: Past | None = None
    opening: Opening | None = None
    broker: Broker | None = None
    unproven: bool | None = None


class Session:
    """One run's parts, made in order. Make it, await `run`, and whatever happens call `finish` or `abandon`.

    `patience_s`: how long the end waits for what the learner still owes; None: as long as it takes. `bound` narrows
    limits on risk to what the session may at most.
    """

    def __init__(self, frame: RunContext, make_origin: MakeInitialPolicy) -> None:
        self.frame = frame
        self.assembly = frame.assembly
        self.directory = frame.directory
        self.run_id = frame.run_id
        self.lineage = Lineage()
        self.journal = Journal(frame.directory.journal, reopen=frame.past is not None)
        self.opening = frame.opening or Opening(
            Decimal(repr(frame.assembly.config.execution.start_cash_quote))
        )
        self.origin: InitialPolicy | None = None
        self.store: GenerationStore | None = None
        self.promotion: Promotion | None = None
        self.patience_s: float | None = None
        self.bound: Callable[[RiskLimits], RiskLimits] = lambda limits: limits
        self._started = time.perf_counter()
        self._build(make_origin)

    def _write_manifest(self, features: tuple[str, ...]) -> None:
        """`run.json`: what the run was made of."""
        assembly = self.assembly
        self.directory.write_json(
            self.directory.manifest,
            {
                "mode": self.frame.mode,
                "run_id": self.run_id,
                "seed": assembly.seed,
                "code_version": code_version(),
                **self.frame.facts,
                "instrument": dict(describe(assembly.instrument)),
                "features": list(features),
                "ladder": list(assembly.bridge.ladder),
                "period_ns": assembly.period_ns,
                "config": assembly.config.model_dump(mode="json"),
            },
        )

    def _build(self, make_origin: MakeInitialPolicy) -> None:
        assembly = self.assembly
        features = assembly.features()
        self._write_manifest(features.names)
        normaliser = assembly.normaliser(features.size)
        self.books = Bookkeeper(self.journal, Account(assembly.instrument, self.opening.cash), self.run_id)
        self.policy, frozen, learning = self._learning(
            normaliser.width, normaliser.state, features.schema_hash, make_origin
        )
        if self.origin is not None and self.origin.normaliser_state is not None:
            normaliser.load_state(self.origin.normaliser_state)
        live = assembly.lane(
            normaliser.width,
            assembly.strategy,
            self.policy,
            self.frame.broker or self._exchange(),
            self.books,
        )
        open_account(self.books.account, live.broker, self.opening)
        shadows: dict[str, Lane] = {
            "hold": assembly.lane(normaliser.width, hold_strategy(), None, self._exchange("hold"))
        }
        experts = self._experts(normaliser.width)
        if frozen is not None and experts is None:
            exchange = self._exchange("frozen")
            shadows["frozen"] = assembly.lane(normaliser.width, assembly.strategy, frozen, exchange)
        self.engine = Engine(
            features, normaliser, assembly.clock(), live, shadows, self.books, learning,
            assembly.instrument.symbol, self.frame.trade_from_ns,
            MemoryGuard(
                assembly.config.limits.max_memory_gb, learning.guide,
                lambda: resident_bytes(learning.process_ids),
            ),
            experts,
        )  # fmt: skip
        self._resume()

    def _exchange(self, shadow: str = "") -> PaperExchange:
        """A paper exchange with the opening equity, or with what a shadow had when it was marked last."""
        past = self.frame.past
        marked = getattr(past.marks.last, f"{shadow}_equity", None) if past and shadow else None
        return self.assembly.exchange(marked or self.opening.equity)

    @property
    def unproven(self) -> bool:
        """Whether generation 0 knows nothing, in this start or since the first one on the folder."""
        if self.frame.unproven is not None:
            return self.frame.unproven
        if self.frame.past is not None:
            first = next((row for row in self.frame.past.generations if row.generation == 0), None)
            if first is not None:
                return bool(json.loads(first.detail).get("origin") == RANDOM)
        return self.origin is not None and self.origin.how == RANDOM

    @property
    def waits(self) -> bool:
        """Whether no order is sent because nothing speaks for anybody yet."""
        return self.engine.experts is not None and self.engine.experts.waits

    @property
    def awaited(self) -> str:
        """What is waited for while nothing has a share of the account, and how near that is."""
        if self.engine.experts is None:
            return ""
        reason = self.engine.experts.allocator.awaited
        return f"nothing has earned a share of the account, so no order is sent: {reason}"

    def _experts(self, feature_size: int) -> Experts | None:
        """Who trades beside the account and leads it; None where the strategy itself trades it."""
        assembly, policy, past = self.assembly, self.policy, self.frame.past
        if policy is None or self.origin is None or not assembly.allocates:
            return None
        cash, limits = self.opening.equity, unbounded(assembly.config.risk)
        told = past.allocations if past is not None else {}

        def of_generation(info: GenerationInfo, cash: float) -> Lane:
            served = ServedPolicy(policy.shape, info, assembly.config.strategy.sample, policy.make)
            exchange = assembly.exchange(cash)
            return assembly.lane(feature_size, assembly.strategy, served, exchange, limits=limits)

        def like_the_account(cash: float) -> Lane:
            return assembly.lane(feature_size, assembly.strategy, policy, assembly.exchange(cash))

        rules = {
            file.name: assembly.lane(
                feature_size, file, None,
                assembly.exchange(told[file.name].equity if file.name in told else cash), limits=limits,
            )
            for file in assembly.rules()
        }  # fmt: skip
        experts = Experts(
            config=assembly.config.allocation,
            band=assembly.pursuit_band,
            rules=rules,
            make=of_generation,
            make_account=like_the_account,
            serving=lambda: policy.info,
            unproven=self.unproven,
            limit=assembly.config.risk.max_drawdown_fraction,
        )
        experts.recall(told)
        first = self.origin.first or policy.info
        experts.begin(first, cash, self.origin.evidence)
        if policy.info.number != first.number:
            experts.begin(policy.info, cash)
        return experts

    def _resume(self) -> None:
        past = self.frame.past
        if past is not None:
            self.journal.append(NoteRow(past.last_ts_ns, GONE_ON, ""))
            resume(self.engine, past)
            adopt = self.assembly.config.execution.orders_at_start == "adopt"
            resume_paper(self.engine, past, adopt)

    def _learning(
        self,
        feature_size: int,
        normaliser_state: Callable[[], dict[str, Any]],
        schema_hash: str,
        make_origin: MakeInitialPolicy,
    ) -> tuple[ServedPolicy | None, ServedPolicy | None, Learning]:
        """The policy, generation 0 for the frozen lane, and what teaches; nothing for strategies without a policy."""
        assembly, config = self.assembly, self.assembly.config
        if not assembly.strategy.learns:
            return None, None, Learning()
        shape = assembly.shape(feature_size)
        self.origin = make_origin(shape, schema_hash)
        if self.frame.past is not None:
            resume_lineage(self.lineage, self.frame.past, self.origin)
        policy = serve(assembly, shape, self.lineage, self.origin)
        learns, first = assembly.learner != "off", self.origin.first or policy.info
        frozen = ServedPolicy(shape, first, config.strategy.sample, policy.make) if learns else None
        manager = CheckpointManager(self.directory.checkpoints, config.checkpoint.max_generations)
        self.store = GenerationStore(
            manager, CHECKPOINT_NAME, {"run_id": self.run_id, "feature_schema": schema_hash}
        )
        alarms = Alarms(config.gate, greatest_entropy(shape.heads))
        self.promotion = Promotion(
            policy, self.lineage, alarms, self.journal, self.store,
            lambda: {"normaliser": normaliser_state(), "feature_schema": schema_hash},
            config.online.stop_if_not_helping,
        )  # fmt: skip
        made = self.frame.past.updates if self.frame.past else 0
        return (
            policy,
            frozen,
            learn(assembly, self.origin, self.promotion, schema_hash, self.frame.paced, made),
        )

    @property
    def start_equity(self) -> float:
        """What was put in, quote currency: at the start, and what was adopted since."""
        return self.opening.equity + self.engine.progress.adopted

    async def run(self, source: Source) -> None:
        """Drive the engine over `source` to its end, generations being saved beside it."""
        async with asyncio.TaskGroup() as tasks:
            await self.drive(source, tasks)

    async def drive(self, source: Source, tasks: asyncio.TaskGroup) -> None:
        """As `run`, with the tasks in a group of the caller's; they have ended on return."""
        self.journal.append(NoteRow(self.engine.progress.last_ts_ns, "start", self.run_id))
        past = self.frame.past
        if self.frame.opening is not None and (past is None or past.opening is None):
            self.journal.append(self.opening.note(self.frame.trade_from_ns))
        if self.frame.opening is not None:
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
            if self.promotion is not None and self.frame.opening is not None:
                self.promotion.save_serving()
            if self.store is not None and saving is not None:
                self.store.close()
                await saving
        finally:
            learning.close()

    def _began(self) -> NoteRow:
        """What this start is made of, for whoever repeats it: a later one may be made of something else."""
        assembly, engine = self.assembly, self.engine
        made_of = {
            "mode": self.frame.mode,
            "code_version": code_version(),
            "seed": assembly.seed,
            "period_ns": assembly.period_ns,
            "generation": self.policy.info.number if self.policy else None,
            "checkpoint": self.origin.checkpoint if self.origin else None,
            "flattening": engine.live.flattening,
            "unproven": self.unproven,
            "limits": asdict(engine.live.gate.limits),
            "config": assembly.config.model_dump(mode="json"),
            "learner": assembly.learner,
            **self.frame.facts,
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
        self.engine.live.cancel_all(self.engine.progress.last_ts_ns)

    def flatten(self) -> bool:
        """See `Lane.flatten`."""
        self.record_external_event(FLATTEN)
        return self.engine.live.flatten(self.engine.progress.last_ts_ns)

    def limit(self, limits: RiskLimits) -> None:
        """Judge orders by `limits` from now on, and by what binds this session beside them."""
        gate = self.engine.live.gate
        gate.limits = self.bound(limits)
        self.journal.append(
            NoteRow(self.engine.progress.last_ts_ns, LIMITS, json.dumps(asdict(gate.limits), sort_keys=True))
        )

    async def _let_finish(self, learning: Learning) -> None:
        try:
            async with asyncio.timeout(self.patience_s):
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
        if self.frame.opening is not None:
            self.record_external_event(CONSUMED)
        self.journal.append(NoteRow(last_ns, "end", status))
        self.journal.close()
        export_decisions(self.directory.journal, self.directory.decisions)
        ending = self._ending(status, dropped)
        summary = summarise(self.frame.mode, self.run_id, self.assembly, self.engine, self.lineage, ending)
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
        """What generation 0 untouched earned; the live lane itself where nothing learns."""
        if self.policy is None or self.engine.progress.decisions == 0:
            return None
        experts = self.engine.experts
        lane = experts.lanes[name_of(0)] if experts else self.engine.shadows.get("frozen", self.engine.live)
        return lane.equity / self.start_equity - 1.0

    def _unlearnt_return(self) -> float | None:
        """What the account would have earned had nothing been learnt after generation 0; None without experts."""
        engine = self.engine
        if engine.experts is None or engine.progress.decisions == 0:
            return None
        return (engine.experts.account_unlearnt or engine.live).equity / self.start_equity - 1.0


def status_of(error: BaseException) -> str:
    """How a run that `error` ended is described in its summary."""
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, BaseExceptionGroup):
        return status_of(error.exceptions[0])
    return f"failed: {error}"
