"""Replay: recorded history through the very engine that trades live."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import structlog

from ztb.config import Config
from ztb.errors import ZtbError
from ztb.learning.generations import Lineage, ServedPolicy
from ztb.learning.sanity import SanityConfig
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.export import export_decisions
from ztb.ledger.journal import Journal
from ztb.ledger.records import NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.market.history import History, open_history
from ztb.market.instrument import Instrument
from ztb.runtime.assembly import assemble, describe, hold_strategy
from ztb.runtime.engine import Engine, Learning
from ztb.runtime.generation_store import GenerationStore
from ztb.runtime.history_source import HistorySource, trading_start
from ztb.runtime.learning_setup import learn, serve
from ztb.runtime.memory_guard import MemoryGuard
from ztb.runtime.origin import CHECKPOINT_NAME, Origin, load_origin, random_origin
from ztb.runtime.promotion import Promotion
from ztb.runtime.summary import Ending, remark, summarise
from ztb.telemetry.report import write_report
from ztb.trading.lane import Lane
from ztb.trading.policy import NetworkShape
from ztb.utils import CheckpointManager
from ztb.utils.memory import peak_rss_bytes
from ztb.utils.version import code_version


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What to replay. The first `pretrain_ns` of the data train generation 0 and are not traded."""

    config: Config
    paths: tuple[Path, ...]
    seed: int
    start_ns: int | None = None
    end_ns: int | None = None
    pretrain_ns: int = 0
    from_generation: str | None = None


def open_data(request: ReplayRequest) -> History:
    """The history of a request, with what the configuration says of its instrument."""
    market = request.config.market
    return open_history(
        request.paths or None,
        symbol=market.symbol,
        tick_size=market.tick_size,
        lot_size=market.lot_size,
        venue=market.venue,
        maker_fee=market.maker_fee,
        taker_fee=market.taker_fee,
        start_ns=request.start_ns,
        end_ns=request.end_ns,
    )


def traded_instrument(history: History, config: Config) -> Instrument:
    """The history's instrument, with the spread that the configuration gives."""
    spread = config.market.spread_bps
    return history.instrument if spread is None else replace(history.instrument, spread_bps=spread)


class Replay:
    """One replay from request to summary. Make it, `await run()`, and whatever happens call `finish`."""

    def __init__(
        self,
        request: ReplayRequest,
        history: History,
        directory: RunDirectory,
        on_progress: Callable[[str, float], None] = lambda _name, _done: None,
    ) -> None:
        self.request = request
        self.directory = directory
        config = request.config
        self.assembly = assemble(config, traded_instrument(history, config), history.bar_ns, request.seed)
        self.run_id = self.assembly.run_id(
            history.digest, str(request.pretrain_ns), str(request.from_generation)
        )
        self._on_progress = on_progress
        self.source = HistorySource(
            history, config.market.block_rows, lambda done: on_progress("replay", done)
        )
        self.lineage = Lineage()
        self.journal = Journal(directory.journal)
        self._started = time.perf_counter()
        self._trade_from_ns = trading_start(history, request.pretrain_ns)
        self._write_manifest(history)
        self._build()

    def _write_manifest(self, history: History) -> None:
        self.directory.write_json(
            self.directory.manifest,
            {
                "mode": "replay",
                "run_id": self.run_id,
                "seed": self.request.seed,
                "code_version": code_version(),
                "data_digest": history.digest,
                "data": [str(path.resolve()) for path in self.request.paths],
                "start_ns": self.request.start_ns,
                "end_ns": self.request.end_ns,
                "pretrain_ns": self.request.pretrain_ns,
                "from_generation": self.request.from_generation,
                "instrument": dict(describe(self.assembly.instrument)),
                "features": list(self.assembly.features().names),
                "ladder": list(self.assembly.bridge.ladder),
                "period_ns": self.assembly.period_ns,
                "config": self.request.config.model_dump(mode="json"),
            },
        )

    def _build(self) -> None:
        assembly = self.assembly
        features = assembly.features()
        normaliser = assembly.normaliser(features.size)
        account = Account(assembly.instrument, Decimal(repr(assembly.config.execution.start_cash_quote)))
        self.books = Bookkeeper(self.journal, account, self.run_id)
        policy, frozen, learning = self._learning(features.size, normaliser.state, features.schema_hash)
        self.policy = policy
        if self.origin is not None and self.origin.normaliser_state is not None:
            normaliser.load_state(self.origin.normaliser_state)
        live = assembly.lane(features.size, assembly.strategy, policy, self.books)
        shadows: dict[str, Lane] = {"hold": assembly.lane(features.size, hold_strategy(), None)}
        if frozen is not None:
            shadows["frozen"] = assembly.lane(features.size, assembly.strategy, frozen)
        self.engine = Engine(
            features, normaliser, assembly.clock(), live, shadows, self.books, learning,
            assembly.instrument.symbol, self._trade_from_ns,
            MemoryGuard(assembly.config.limits.max_memory_gb),
        )  # fmt: skip

    def _learning(
        self, feature_size: int, normaliser_state: Callable[[], dict[str, Any]], schema_hash: str
    ) -> tuple[ServedPolicy | None, ServedPolicy | None, Learning]:
        """The policy, generation 0 for the frozen lane, and what teaches; nothing for strategies without a policy."""
        assembly, config = self.assembly, self.assembly.config
        self.origin: Origin | None = None
        self.store: GenerationStore | None = None
        if not assembly.strategy.learns:
            return None, None, Learning()
        shape = assembly.shape(feature_size)
        self.origin = self._origin(shape, schema_hash)
        policy = serve(assembly, shape, self.lineage, self.origin)
        learns = config.online.learner != "off"
        frozen = ServedPolicy(shape, policy.info, config.strategy.sample, policy.make) if learns else None
        manager = CheckpointManager(self.directory.checkpoints, config.checkpoint.max_generations)
        self.store = GenerationStore(
            manager, CHECKPOINT_NAME, {"run_id": self.run_id, "feature_schema": schema_hash}
        )
        sanity = SanityConfig(config.gate.max_kl, config.gate.min_entropy_fraction)
        promotion = Promotion(
            policy, self.lineage, sanity, self.journal, self.store,
            lambda: {"normaliser": normaliser_state(), "feature_schema": schema_hash},
        )  # fmt: skip
        return policy, frozen, learn(assembly, self.origin, promotion, paced=True)

    def _origin(self, shape: NetworkShape, schema_hash: str) -> Origin:
        """Generation 0 as requested."""
        network = self.assembly.strategy.network
        if self.request.from_generation is not None:
            return load_origin(self.request.from_generation, shape, schema_hash, network)
        if self.request.pretrain_ns:
            # Imported here alone: a run that does not train in this process never needs torch.
            from ztb.runtime.pretraining import pretrained_origin

            return pretrained_origin(
                self.assembly, self.source.history, self._trade_from_ns, self.request.seed,
                lambda done: self._on_progress("pretrain", done),
            )  # fmt: skip
        return random_origin(shape, self.request.seed, network)

    async def run(self) -> None:
        """Drive the engine to the end of the history, generations being saved beside it."""
        self.journal.append(NoteRow(0, "start", self.run_id))
        learning = self.engine.learning
        try:
            if self.origin is not None:
                learning.begin(0, self.origin.how)
            async with asyncio.TaskGroup() as tasks:
                saving = tasks.create_task(self.store.run(), name="generation-store") if self.store else None
                tasks.create_task(learning.run(), name="learning")
                await tasks.create_task(self.engine.run(self.source), name="engine")
                await learning.finish()
                if self.store is not None and saving is not None:
                    self.store.close()
                    await saving
        finally:
            learning.close()

    def finish(self, status: str) -> dict[str, Any]:
        """Close the journal, export the decisions, write `summary.json`; returns the summary."""
        last_ns = self.engine.progress.last_ts_ns
        said = remark(self.assembly, self.engine)
        if said is not None:
            self.journal.append(NoteRow(last_ns, "no_decision", said))
        self.journal.append(NoteRow(last_ns, "end", status))
        self.journal.close()
        export_decisions(self.directory.journal, self.directory.decisions)
        summary = summarise(
            "replay", self.run_id, self.assembly, self.engine, self.lineage, self._ending(status)
        )
        self.directory.write_json(self.directory.summary, summary)
        write_report(self.directory)
        return summary

    def abandon(self, status: str) -> None:
        """As `finish`, after an error: what cannot be written any more is left, what was stays readable."""
        try:
            self.finish(status)
        except (ZtbError, OSError, sqlite3.Error) as error:
            structlog.get_logger().warning(
                "run_not_finished", run=str(self.directory.path), reason=str(error)
            )

    def _ending(self, status: str) -> Ending:
        return Ending(
            status=status,
            wall_s=time.perf_counter() - self._started,
            peak_rss_mb=peak_rss_bytes() / 1e6,
            updates=self.engine.learning.updates,
            weights_sha256=self.policy.info.sha256 if self.policy else None,
            origin=self.origin.how if self.origin else None,
            frozen_return=self._frozen_return(),
            dropped=sum(self.source.history.report.dropped.values()),
            checkpoints=self.store.saved if self.store else [],
        )

    def _frozen_return(self) -> float | None:
        """What generation 0 untouched earned; the live lane itself where nothing learns."""
        if self.policy is None or self.engine.progress.decisions == 0:
            return None
        lane = self.engine.shadows.get("frozen", self.engine.live)
        start = self.assembly.config.execution.start_cash_quote
        return lane.equity / start - 1.0


async def run_to_end(run: Replay) -> dict[str, Any]:
    """Run to the end, or to the error or interrupt that ends it; the summary is written in any case."""
    try:
        await run.run()
    except BaseException as error:
        run.abandon(_status(error))
        raise
    return run.finish("complete")


def _status(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, BaseExceptionGroup):
        return _status(error.exceptions[0])
    return f"failed: {error}"
