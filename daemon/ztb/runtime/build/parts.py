"""Opens the parts of a session, in order: journal, books, policy and learner, lanes, engine, and the past."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ztb.errors import ZtbError
from ztb.execution.own_costs import OwnCosts
from ztb.execution.paper import PaperExchange
from ztb.execution.risk import unbounded
from ztb.features import FeatureSet
from ztb.learning.alarms import Alarms
from ztb.learning.allocation import Experts
from ztb.learning.generations import GenerationInfo, Lineage, ServedPolicy
from ztb.learning.service.base import Learning
from ztb.learning.service.generation_store import GenerationStore
from ztb.learning.service.initial_policy import CHECKPOINT_NAME, RANDOM, InitialPolicy
from ztb.learning.service.promotion import Promotion
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.capital import Opening
from ztb.ledger.journal import Journal
from ztb.ledger.records import GONE_ON, NoteRow
from ztb.runtime.build.assembly import Assembly, describe, hold_strategy
from ztb.runtime.build.context import RunContext
from ztb.runtime.build.learning_setup import learn, serve
from ztb.runtime.engine import Engine
from ztb.runtime.guards import MemoryGuard, resident_bytes
from ztb.runtime.recovery.resuming import open_account, resume, resume_lineage, resume_paper
from ztb.trading.floor import TradingFloor
from ztb.trading.lane import Lane
from ztb.trading.policy.categorical import greatest_entropy
from ztb.utils import CheckpointManager
from ztb.utils.installation import code_version


@dataclass(frozen=True, slots=True)
class Learner:
    """The policy that serves and what teaches it; without a policy where the strategy has none."""

    learning: Learning = field(default_factory=Learning)
    lineage: Lineage = field(default_factory=Lineage)
    policy: ServedPolicy | None = None
    frozen: ServedPolicy | None = None
    """Generation 0, for a lane that never learns."""
    origin: InitialPolicy | None = None
    store: GenerationStore | None = None
    promotion: Promotion | None = None
    unproven: bool = False
    """Generation 0 knows nothing, in this start or since the first one on the folder."""


@dataclass(frozen=True, slots=True)
class SessionParts:
    """The parts that a session drives."""

    opening: Opening
    journal: Journal
    books: Bookkeeper
    learner: Learner
    engine: Engine


def open_parts(context: RunContext) -> SessionParts:
    """Files and all: `run.json` is written, the journal opened, generation 0 made or loaded, the past put back."""
    assembly = context.assembly
    opening = context.opening or Opening(Decimal(repr(assembly.config.execution.start_cash_quote)))
    features = assembly.features()
    _write_manifest(context, features.names)
    journal = Journal(
        context.directory.journal,
        reopen=context.past is not None,
        tell=context.broadcast.record,
        waited_for=context.broker is not None,
        packs=context.packs,
    )
    try:
        return _parts(context, opening, features, journal)
    except ZtbError:
        journal.close()
        if context.past is None:  # nothing has happened yet
            context.directory.remove_begun()
        raise


def _parts(context: RunContext, opening: Opening, features: FeatureSet, journal: Journal) -> SessionParts:
    assembly = context.assembly
    instrument = assembly.instrument
    own_costs = OwnCosts(instrument.turnover_cost, float(instrument.taker_fee)) if context.broker else None
    books = Bookkeeper(journal, Account(instrument, opening.cash), context.run_id, own_costs)
    normaliser = assembly.normaliser(features.size)
    learner = _learner(
        context=context,
        journal=journal,
        feature_size=normaliser.width,
        schema_hash=features.schema_hash,
        normaliser_state=normaliser.state,
    )
    if learner.origin is not None and learner.origin.normaliser_state is not None:
        normaliser.load_state(learner.origin.normaliser_state)
    floor = assembly.floor(normaliser.width, features.names)
    lanes = _Lanes(context, opening, floor, learner)
    live = lanes.live(books)
    open_account(books.account, live.broker, opening)
    learning, limit_gb = learner.learning, assembly.config.limits.max_memory_gb
    experts = lanes.experts()
    engine = Engine(
        features=features,
        normaliser=normaliser,
        clock=assembly.clock(),
        live=live,
        shadows=lanes.shadows(frozen=experts is None),
        books=books,
        learning=learning,
        symbol=assembly.instrument.symbol,
        trade_from_ns=context.trade_from_ns,
        watch=MemoryGuard(limit_gb, learning.relief, lambda: resident_bytes(learning.process_ids)),
        experts=experts,
        progress=context.progress,
    )
    _resume(context, journal, engine)
    return SessionParts(opening=opening, journal=journal, books=books, learner=learner, engine=engine)


def _write_manifest(context: RunContext, features: tuple[str, ...]) -> None:
    """`run.json`: what the run was made of."""
    assembly = context.assembly
    manifest = {
        "mode": context.mode,
        "run_id": context.run_id,
        "seed": assembly.seed,
        "code_version": code_version(),
        **context.facts,
        "instrument": dict(describe(assembly.instrument)),
        "features": list(features),
        "ladder": list(assembly.bridge.ladder),
        "period_ns": assembly.period_ns,
        "config": assembly.config.model_dump(mode="json"),
    }
    context.directory.write_json(context.directory.manifest, manifest)


def _learner(
    context: RunContext,
    journal: Journal,
    feature_size: int,
    schema_hash: str,
    normaliser_state: Callable[[], dict[str, Any]],
) -> Learner:
    assembly, config, past = context.assembly, context.assembly.config, context.past
    if not assembly.strategy.learns:
        return Learner()
    shape, lineage = assembly.shape(feature_size), Lineage()
    origin = context.initial_policy(shape, schema_hash)
    if past is not None:
        resume_lineage(lineage, past, origin)
    policy = serve(assembly, shape, lineage, origin)
    first = origin.first or policy.info
    store = GenerationStore(
        CheckpointManager(context.directory.checkpoints, config.checkpoint.max_generations),
        CHECKPOINT_NAME,
        {"run_id": context.run_id, "feature_schema": schema_hash},
    )
    promotion = Promotion(
        policy=policy,
        lineage=lineage,
        alarms=Alarms(config.gate, greatest_entropy(shape.heads)),
        journal=journal,
        store=store,
        extra_state=lambda: {"normaliser": normaliser_state(), "feature_schema": schema_hash},
        alert=context.broadcast.warn,
        stop_if_not_helping=config.online.stop_if_not_helping,
    )
    made, learns = past.updates if past else 0, assembly.learner != "off"
    if context.learning is not None:
        learning = context.learning(policy, origin, schema_hash)
    else:
        learning = learn(
            assembly=assembly,
            origin=origin,
            promotion=promotion,
            schema_hash=schema_hash,
            paced=context.paced,
            made=made,
        )
    return Learner(
        learning=learning,
        lineage=lineage,
        policy=policy,
        frozen=ServedPolicy(shape, first, config.strategy.sample, policy.make) if learns else None,
        origin=origin,
        store=store,
        promotion=promotion,
        unproven=_unproven(context, origin),
    )


def _unproven(context: RunContext, origin: InitialPolicy) -> bool:
    if context.unproven is not None:
        return context.unproven
    generations = context.past.generations if context.past is not None else []
    first = next((row for row in generations if row.generation == 0), None)
    return (json.loads(first.detail).get("origin") if first else origin.how) == RANDOM


class _Lanes:
    """Makes the lanes of a session: the account's, those beside it, and the experts'."""

    def __init__(self, context: RunContext, opening: Opening, floor: TradingFloor, learner: Learner) -> None:
        self._context = context
        self._assembly: Assembly = context.assembly
        self._opening = opening
        self._floor = floor
        self._learner = learner
        self._account: Lane | None = None

    def live(self, books: Bookkeeper) -> Lane:
        """The account's own."""
        broker, strategy = self._context.broker or self._exchange(), self._assembly.strategy
        policy, guard = self._learner.policy, self._context.guard
        self._account = self._assembly.lane(
            self._floor, strategy, policy, broker, listener=books, guard=guard
        )
        return self._account

    def shadows(self, frozen: bool) -> dict[str, Lane]:
        """`hold`, a yardstick that no loss stops, and, where it is wanted, generation 0 that never learns."""
        assembly, policy = self._assembly, self._learner.frozen
        exchange, limits = self._exchange("hold"), unbounded(assembly.config.risk)
        lanes = {"hold": assembly.lane(self._floor, hold_strategy(), None, exchange, limits=limits)}
        if frozen and policy is not None:
            lanes["frozen"] = assembly.lane(self._floor, assembly.strategy, policy, self._exchange("frozen"))
        for lane in lanes.values():
            self._obey(lane)
        return lanes

    def _obey(self, lane: Lane) -> None:
        """Let an account that ours is compared with do what ours may do: halts, disarming and holds are its too."""
        assert self._account is not None
        lane.gate.memory.permission = self._account.gate.memory.permission

    def _exchange(self, shadow: str = "") -> PaperExchange:
        """A paper exchange with the opening equity, or with what a shadow had when it was marked last."""
        past = self._context.past
        marked = getattr(past.marks.last, f"{shadow}_equity", None) if past and shadow else None
        return self._assembly.exchange(marked or self._opening.equity)

    def experts(self) -> Experts | None:
        """The experts beside the account, which lead it; None where the strategy itself trades it."""
        assembly, past = self._assembly, self._context.past
        policy, origin = self._learner.policy, self._learner.origin
        if policy is None or origin is None or not assembly.allocates:
            return None
        told = past.allocations if past is not None else {}
        experts = Experts(
            config=assembly.config.allocation,
            band=assembly.pursuit_band,
            rules=self._rules({name: row.equity for name, row in told.items()}),
            make=self._of_generation,
            make_account=self._like_the_account,
            serving=lambda: policy.info,
            unproven=self._learner.unproven,
            limit=assembly.config.risk.max_drawdown_fraction,
        )
        experts.recall(told)
        first, cash = origin.first or policy.info, self._opening.equity
        experts.begin(first, cash, origin.evidence)
        if policy.info.number != first.number:
            experts.begin(policy.info, cash)
        return experts

    def _rules(self, equities: dict[str, float]) -> dict[str, Lane]:
        """By name, each with the equity that it had, or the account's."""
        assembly, limits = self._assembly, unbounded(self._assembly.config.risk)
        lanes: dict[str, Lane] = {}
        for file in assembly.rules():
            exchange = assembly.exchange(equities.get(file.name, self._opening.equity))
            lanes[file.name] = assembly.lane(self._floor, file, None, exchange, limits=limits)
        return lanes

    def _of_generation(self, info: GenerationInfo, cash: float) -> Lane:
        assembly, policy = self._assembly, self._learner.policy
        assert policy is not None
        served = ServedPolicy(policy.shape, info, assembly.config.strategy.sample, policy.make)
        limits = unbounded(assembly.config.risk)
        return assembly.lane(self._floor, assembly.strategy, served, assembly.exchange(cash), limits=limits)

    def _like_the_account(self, cash: float) -> Lane:
        assert self._account is not None
        exchange, limits = self._assembly.exchange(cash), self._account.gate.limits
        lane = self._assembly.lane(
            self._floor, self._assembly.strategy, self._learner.policy, exchange, limits=limits
        )
        self._obey(lane)
        return lane


def _resume(context: RunContext, journal: Journal, engine: Engine) -> None:
    past = context.past
    if past is not None:
        journal.append(NoteRow(past.last_ts_ns, GONE_ON, ""))
        resume(engine, past)
        resume_paper(engine, past, context.assembly.config.execution.orders_at_start == "adopt")
        engine.follow_limits(past.last_ts_ns)
