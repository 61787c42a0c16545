"""There is no option that does nothing: each changes a decision, a weight, a figure or an output of who takes it.

`CHANGES` has a row for each key of the schema: what it is set to, and in what surroundings. Each row belongs to a proof,
a function from a configuration to what comes of it; the two results, without and with the change, must differ.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from execution.exchange_cases import market, run
from runtime.lenient import LENIENT
from trading.markets import HOUR_NS, PERPETUAL, SPOT, START_NS, bars, quoted
from ztb.config import Config, load_config, schema
from ztb.errors import ConfigError, ResourceError
from ztb.execution.paper import PaperExchange
from ztb.execution.permission import Permission
from ztb.execution.protection import floor_of, trigger_price
from ztb.execution.risk_gate import OrderFacts, Proposal, RiskGate
from ztb.learning.alarms import Alarms, Expectation
from ztb.learning.allocation import Allocator, GrowthEvidence
from ztb.learning.online import OnlineLearner, Transition
from ztb.learning.walk_forward import walk_forward
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import (
    AllocationRow,
    DecisionRow,
    FillRow,
    GenerationRow,
    NoteRow,
    RefusalRow,
    UpdateRow,
)
from ztb.ledger.run_directory import RunDirectory
from ztb.market.instrument import Instrument
from ztb.market.live import source
from ztb.market.live.source import LiveSource
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.context import configured_instrument
from ztb.runtime.build.pretraining import training_settings
from ztb.runtime.guards import MarketGuard, MemoryGuard
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.runtime.sources import live
from ztb.runtime.venue.client import patience_of
from ztb.runtime.venue.dead_man import dead_man_of
from ztb.telemetry.logs import configure_logging
from ztb.telemetry.mqtt.setup import mqtt_observer
from ztb.telemetry.notices import NoticeObserver
from ztb.telemetry.snapshot import AlertFact
from ztb.telemetry.web.listening import listening
from ztb.trading.episodes import Episodes
from ztb.trading.recording import record
from ztb.trading.simulation import Simulation

SMALL: dict[str, Any] = {
    "ppo.hidden": [8], "ppo.num_envs": 8, "ppo.num_steps": 8, "ppo.minibatch_size": 64, "ppo.epochs": 2,
    "features.names": ["return_1", "return_4", "rsi_14", "volatility_8"],
}  # fmt: skip
ONLINE: dict[str, Any] = {
    **SMALL, "online.update_every_decisions": 16, "online.window_decisions": 64, "online.rollout_lanes": 8,
    "online.rollout_horizon_decisions": 8, "strategy.sample": True, "allocation.by": "none",
    "checkpoint.interval_updates": 1,
}  # fmt: skip
GATED: dict[str, Any] = {**ONLINE, **LENIENT, "ppo.minibatch_size": 64}
EXPERTS: dict[str, Any] = {**SMALL, "online.learner": "off", "allocation.prior": 0.5}
MQTT: dict[str, Any] = {"mqtt.broker": "127.0.0.1"}
PAGE: dict[str, Any] = {"telemetry.web_listen": "127.0.0.1:8600"}


def data(folder: Path, n: int = 400, grid: float = 0.5) -> Path:
    """Hourly bars of a random walk, as a file."""
    made, path = bars(n), folder / "bars.csv"
    lines = ["timestamp,open,high,low,close,volume"]
    for row in made:
        prices = (np.round(row[name] / grid) * grid for name in ("open", "high", "low", "price"))
        lines.append(f"{row['ts_ns'] // 1_000_000},{','.join(f'{p:.2f}' for p in prices)},{row['size']:.4f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def simulated(
    config: Config, _folder: Path, on_bars: bool = False, instrument: Instrument = PERPETUAL
) -> Any:
    """What random actions earn in the simulation, and when they are taken."""
    ticks = bars(400) if on_bars else quoted(6000)
    bar_ns = HOUR_NS if on_bars else None
    assembly = assemble(config, instrument, bar_ns, 0)
    features = assembly.features()
    recording = record(
        ticks=ticks, instrument=instrument, period_ns=assembly.period_ns, clock=assembly.clock(),
        features=features, normaliser=assembly.normaliser(features.size),
    )  # fmt: skip
    simulation = Simulation(
        recording, assembly.bridge, config.paper, config.execution.start_cash_quote, Episodes(None), 4
    )
    simulation.reset(np.arange(4))
    rng, found = np.random.default_rng(0), [recording.shared.rows.tolist()]
    for _ in range(min(recording.decisions - 1, 150)):
        heads = len(assembly.bridge.ladder), 3
        outcome = simulation.step(np.array([[rng.integers(head) for head in heads] for _ in range(4)]))
        found.append([outcome.rewards.tolist(), outcome.observations.tolist(), outcome.terminated.tolist()])
        if outcome.terminated.any():
            break
    return found


def on_bars(config: Config, folder: Path) -> Any:
    """As `simulated`, on bars of an hour."""
    return simulated(config, folder, on_bars=True), simulated(config, folder, on_bars=True, instrument=SPOT)


def trained(config: Config, _folder: Path) -> Any:
    """The weights after three updates on history, and the curve that led there."""
    from ztb.learning.pretrain import begin_training

    settings = training_settings(assemble(config, SPOT, HOUR_NS, 0))
    training, _, _ = begin_training(bars(300), SPOT, replace(settings, updates=3), 0)
    while not training.over:
        training.update()
    weights = {name: array.tobytes() for name, array in training.updater.weights().items()}
    return weights, [point.plain() for point in training.curve]


def described(config: Config, folder: Path) -> Any:
    """The instrument that a history is read as, and the blocks in which it is read."""
    path = folder / "bars.csv" if (folder / "bars.csv").exists() else data(folder)
    history = open_data(ReplayRequest(config, (path,), 0))
    return configured_instrument(history.instrument, config.market), [
        len(b) for b in history.blocks(config.market.block_rows or 1024)
    ]


ROWS = (DecisionRow, FillRow, RefusalRow, UpdateRow, GenerationRow, AllocationRow)


def replayed(config: Config, folder: Path) -> Any:
    """Everything that a replay journals but its ids; generations kept on disk; the digest of the weights."""
    folder.mkdir(exist_ok=True)
    path, out = data(folder), RunDirectory(folder / f"run-{len(list(folder.iterdir()))}")
    out.path.mkdir()
    request = ReplayRequest(config, (path,), seed=0)
    summary = asyncio.run(run_to_end(Replay.over(request, open_data(request), out)))
    reader = JournalReader(out.journal)
    rows = [repr(row) for kind in ROWS for row in reader.rows(kind)]
    notes = [row.kind for row in reader.rows(NoteRow)]
    reader.close()
    kept = sorted(path.name for path in out.checkpoints.rglob("*") if path.is_file())
    return rows, notes, kept, summary["weights_sha256"], summary["strategy"]


def reported(config: Config, _folder: Path) -> Any:
    """What a paper exchange reports of a few orders."""
    return run(PaperExchange(PERPETUAL, config.paper, 0, 1e6), quoted(400), {1: [market(1, 1, 1)]})


def aged(config: Config, _folder: Path) -> Any:
    """How many transitions of an older generation are left out."""
    updater: Any = SimpleNamespace(state=dict, check=lambda: None, update=lambda _own: None, weights=dict)
    learner = OnlineLearner(updater, config.online, 1)
    for k in range(config.online.update_every_decisions):
        learner.add(Transition(np.zeros(9, np.float32), (0, 0), 0.0, 0.0, 0.0, k % 3, False, 1.0), 0.0, 2)
    return learner.counts.stale


def alarmed(config: Config, _folder: Path) -> Any:
    """When a generation that loses is found out, and by what."""
    alarms = Alarms(config.gate, 1.0)
    alarms.begin(Expectation(0.001, 0.01, 0.0), probation=True)
    found = [alarms.follow(1e4 * 0.999**k, -0.001, -0.5, 0.0) for k in range(600)]
    return [(k, alarm.kind) for k, alarm in enumerate(found) if alarm][:1]


def weighed(config: Config, _folder: Path) -> Any:
    """The weight of an expert that has grown, while the account loses."""
    allocator = Allocator(config.allocation)
    allocator.add("expert", evidence=GrowthEvidence(config.allocation.forgetting, 400, 3.0, 330.0, 1e-4))
    weights = []
    for k in range(40):
        allocator.follow({"expert": 1.0 + 0.001 * k}, 1.0 - 0.002 * k)
        weights.append(allocator.invested)
    return weights


def walked(config: Config, _folder: Path) -> Any:
    """The folds of a walk-forward, and the evidence that they give."""
    settings, heard = training_settings(assemble(config, SPOT, HOUR_NS, 0)), list[float]()
    walk_forward(
        ticks=bars(1200), instrument=SPOT, settings=replace(settings, updates=1), plan=config.allocation, seed=0,
        on_progress=heard.append,
    )  # fmt: skip
    return heard


def judged(config: Config, _folder: Path) -> Any:
    """Verdicts of the risk gate on orders of every kind."""
    gate, verdicts = RiskGate(config.risk), []
    gate.mark(START_NS, 10_000.0)
    for k in range(8):
        facts = OrderFacts(START_NS + 10**9, START_NS - k * 10**9, 100.0, 0.0, 10_000.0 - 40.0 * k, 0.0, 0.0)
        order = Proposal(1, 5.0 * (k + 1), 100.0 + 0.5 * k)
        verdicts.append(gate.check(order, facts))
        gate.record(order.side, START_NS + 10**9)
    return verdicts


def protected(config: Config, _folder: Path) -> Any:
    """The price of the stop behind a position of six at 100, with 400 in cash."""
    return trigger_price(floor_of(1000.0, 1000.0, config.risk.stop_fraction), 400.0, 6.0, 100.0)


async def _recorder(config: Config, folder: Path) -> Any:
    async def opened(settings: Any, **_: Any) -> Any:
        return LiveSource(instrument=SPOT, settings=settings, intake=None, rest=None, clock=None, feeds=())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "open_live_source", opened)
        market = await live.open_live_market(config, folder, lambda: 0, lambda: 0.0, print)
    return market.recorder and market.recorder._limits


def recorded(config: Config, folder: Path) -> Any:
    return asyncio.run(_recorder(config, folder))


def streamed(config: Config, _folder: Path) -> Any:
    return live.feed_settings(config.market)


def connected(config: Config, _folder: Path) -> Any:
    """What the venue's client is made with and speaks to, or why it is not made."""
    try:
        client: Any = live.venue_clients(config.market)()
        return client.options, client.urls["api"]
    except ConfigError as error:
        return str(error)


def decoded(config: Config, _folder: Path) -> Any:
    """Who decodes the messages of a stream; None: ccxt."""
    client = SimpleNamespace(id="binance", markets={"BTC/USDT": {"spot": True, "id": "BTCUSDT"}})
    return source._decoder_of(client, "BTC/USDT", live.feed_settings(config.market))("trades") is None


def logged(config: Config, _folder: Path) -> Any:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    stream = io.StringIO()
    try:
        configure_logging(config.telemetry.log_level, config.telemetry.log_format, stream=stream)
        logging.getLogger("test").info("said")
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
    return stream.getvalue()[:1]


def served(config: Config, folder: Path) -> Any:
    """Where the page is served, or what is missing for it."""
    try:
        return listening(config.telemetry, {})
    except ConfigError as error:
        return str(error)


def noticed(config: Config, _folder: Path) -> Any:
    async def heard() -> bool:
        observer = NoticeObserver(None, config.telemetry.notify_from, str)  # type: ignore[arg-type]
        observer.alert(AlertFact(0, "warning", "key", "text"))
        return bool(observer._causes._causes)

    return asyncio.run(heard())


def published(config: Config, folder: Path) -> Any:
    """Where and how often, or what is missing for it."""
    secrets = {"ZTB_SECRET_MQTT_PASSWORD": "p" * 16, "ZTB_SECRET_MQTT_COMMAND_KEY": "k" * 40}
    try:
        made = mqtt_observer(
            config.mqtt, "paper", folder, SimpleNamespace(now_ns=lambda: 0), print, secrets, warn=print
        )  # type: ignore[arg-type]
    except ConfigError as error:
        return str(error)
    if made is None:
        return None
    address = made._connect.args[0] if hasattr(made._connect, "args") else _closed_over(made._connect)
    commands = made._commands and sorted(map(str, made._commands._gate._permitted))
    return str(address), made._topics.state.name, made._interval_s, made._home_assistant, commands


def _closed_over(function: Any) -> list[str]:
    """What it was made of, and what those were made of; not where in memory that lies."""
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    inner = [text for each in held if hasattr(each, "__closure__") for text in _closed_over(each)]
    return inner + [str(each).split(" at 0x")[0] for each in held]


def guarded(config: Config, _folder: Path) -> Any:
    """What holds new risk back, and whether the run leaves for want of memory."""
    permission = Permission()
    source = SimpleNamespace(health=(), clock=SimpleNamespace(skew_ms=500.0))
    MarketGuard(SimpleNamespace(source=source), permission, config.execution.max_clock_skew_ms)()  # type: ignore[arg-type]
    try:
        MemoryGuard(config.limits.max_memory_gb, None, lambda: 10**9, lambda: None)()
    except ResourceError:
        return permission.holds, "left"
    return permission.holds, "stays"


def venue(config: Config, _folder: Path) -> Any:
    """How long the venue is waited for, and when it cancels by itself."""
    client = SimpleNamespace(has={"cancelAllOrdersAfter": True}, options={})
    switch: Any = dead_man_of(config, SimpleNamespace(client=client))  # type: ignore[arg-type]
    return patience_of(client, config.execution.unknown_order_s), switch._after_s  # type: ignore[arg-type]


@dataclass(frozen=True)
class Change:
    """`to`: the option's other value; `within`: settings of both runs."""

    proof: Callable[[Config, Path], Any]
    to: Any
    within: Mapping[str, Any] = field(default_factory=dict)


def many(proof: Callable[[Config, Path], Any], within: Mapping[str, Any], /, **to: Any) -> dict[str, Change]:
    """Rows of one proof in the same surroundings; `section__key=value`."""
    return {key.replace("__", "."): Change(proof, value, within) for key, value in to.items()}


FAULTY = {"paper.submit_lost_probability": 0.5}
QUOTED = {"decision.interval_ms": 200, **{key: SMALL[key] for key in ("features.names",)}}
CHANGES: dict[str, Change] = {
    **many(
        described, {}, market__symbol="ETH/USD", market__venue="kraken", market__tick_size=Decimal("0.25"),
        market__lot_size=Decimal("0.00001"), market__maker_fee=Decimal("0.0007"),
        market__taker_fee=Decimal("0.0007"), market__spread_bps=7.0, market__block_rows=7,
    ),
    **many(
        streamed, {}, market__streams=["bars"], market__timeframe="5m", market__depth_levels=5, market__poll_s=9.0,
        market__stale_s=9.0, market__flush_ms=9.0, market__warm_up_s=9.0,
    ),
    **many(
        recorded, {"market.venue": "binance", "market.symbol": "BTC/USDT"}, market__record=False, market__record_file_mb=9, market__record_file_minutes=9.0,
        market__record_min_free_mb=9, market__record_keep_gb=9.0, market__record_keep_days=9.0,
    ),
    **many(
        connected, {"market.venue": "binance"}, market__client={"options": {"recvWindow": 4321}},
        market__allowed_hosts=["127.0.0.1"], market__sandbox=True,
    ),
    "market.decoders": Change(decoded, False),
    **many(simulated, QUOTED, features__names=["return_1"], decision__ladder=[0.0, 1.0]),
    **many(simulated, QUOTED, decision__interval_ms=300),
    "decision.every": Change(simulated, "ticks", {**QUOTED, "decision.ticks": 20}),
    "decision.ticks": Change(simulated, 40, {**QUOTED, "decision.every": "ticks"}),
    **many(simulated, QUOTED, execution__start_cash_quote=500.0, execution__band_fraction=0.4),
    "execution.cost_reserve_fraction": Change(on_bars, 0.4, SMALL),
    **many(
        simulated, QUOTED, online__reward="sortino", online__drawdown_weight=1.0, online__turnover_weight=1.0
    ),
    "online.reward_rate": Change(simulated, 0.5, {**QUOTED, "online.reward": "sortino"}),
    **many(
        simulated, QUOTED, paper__feed_latency_ms=900.0, paper__feed_jitter_ms=20.0,
        paper__submit_latency_ms=900.0, paper__submit_jitter_ms=30.0, paper__ack_latency_ms=900.0,
        paper__ack_jitter_ms=20.0, paper__cancel_latency_ms=900.0, paper__cancel_jitter_ms=30.0,
        paper__queue_model="proportional", paper__level_typical_sizes=0.01, paper__walk_levels=1,
        paper__submit_lost_probability=0.5, paper__submit_rejected_probability=0.5,
        paper__ack_lost_probability=0.5,
    ),
    **many(simulated, {**QUOTED, "paper.level_typical_sizes": 0.01},
           paper__level_spacing_spreads=9.0, paper__impact_half_life_ms=1.0),
    "paper.lost_timeout_ms": Change(simulated, 10.0, {**QUOTED, **FAULTY}),
    "paper.duplicate_probability": Change(reported, 1.0),
    "paper.funding_rate_per_8h": Change(on_bars, 1.0, SMALL),
    "paper.bar_participation": Change(on_bars, 0.0001, SMALL),
    **many(
        judged, {}, risk__max_order_fraction=0.01, risk__max_order_notional_quote=1.0, risk__max_exposure=0.1,
        risk__max_daily_loss_fraction=0.001, risk__price_band_fraction=0.001, risk__max_data_age_ms=10,
        risk__max_orders_per_minute=2, risk__max_orders_per_day=2, risk__max_repeated_side=2,
    ),
    "risk.protective_stop_fraction": Change(protected, 0.01),
    "risk.max_drawdown_fraction": Change(judged, 0.001, {"risk.max_daily_loss_fraction": 1.0}),
    **many(
        trained, SMALL, ppo__num_envs=4, ppo__num_steps=4, ppo__gamma=0.5, ppo__gae_lambda=0.1, ppo__learning_rate=1e-2,
        ppo__anneal_learning_rate=False, ppo__adam_epsilon=1e-2, ppo__minibatch_size=16, ppo__epochs=5,
        ppo__max_grad_norm=1e-3, ppo__clip_range=1e-3, ppo__clip_value=1e-3, ppo__entropy_coef=1.0,
        ppo__value_coef=5.0, ppo__normalize_advantage=False, ppo__target_kl=1e-9, ppo__hidden=[4],
        ppo__shared_trunk=False, ppo__orthogonal_init=False, online__reward_scale=7.0, online__luck_weight=1.0,
    ),
    **many(logged, {"telemetry.log_format": "console"}, telemetry__log_level="error", telemetry__log_format="json"),
    "telemetry.web_listen": Change(served, "127.0.0.1:8600"),
    **many(served, PAGE, telemetry__web_hosts=["box"], telemetry__web_certificate="none.pem",
           telemetry__web_private_key="none.pem"),
    "telemetry.notify_from": Change(noticed, "critical"),
    "mqtt.broker": Change(published, "127.0.0.1"),
    **many(published, MQTT, mqtt__port=1999, mqtt__tls=True, mqtt__username="me", mqtt__prefix="mine",
           mqtt__interval_ms=5000, mqtt__home_assistant=True, mqtt__commands=True),
    "mqtt.ca_file": Change(published, "none.pem", {**MQTT, "mqtt.tls": True}),
    "mqtt.allow_resume": Change(published, True, {**MQTT, "mqtt.commands": True}),
    "online.max_generation_age": Change(aged, 0),
    **many(alarmed, {}, gate__probation_decisions=20, gate__alarm_drawdown_fraction=0.01,
           gate__alarm_shift_limit_sd=1.0),
    "gate.alarm_shift_slack_sd": Change(alarmed, 0.15, {"gate.alarm_shift_limit_sd": 1.0}),
    **many(weighed, {}, allocation__prior=0.2, allocation__drawdown_fraction=0.2),
    "allocation.folds": Change(walked, 1, SMALL),
    **many(guarded, {}, execution__max_clock_skew_ms=100.0, limits__max_memory_gb=0.9),
    **many(venue, {}, execution__unknown_order_s=60.0, execution__dead_man_s=9.0),
}  # fmt: skip

REPLAYED: dict[str, Change] = {
    **many(replayed, SMALL, strategy__name="hold"),
    "strategy.options": Change(replayed, {"fast": 3}, {"strategy.name": "ema_cross"}),
    "strategy.sample": Change(replayed, True, {**ONLINE, "strategy.sample": False}),
    **many(
        replayed,
        ONLINE,
        online__learner="off",
        online__update_every_decisions=32,
        online__window_decisions=128,
        online__rollout_lanes=16,
        online__rollout_horizon_decisions=4,
        online__passes=1,
        online__own_share=1.0,
        online__entropy_coef=1.0,
        online__learning_rate=1e-5,
        online__profile="volatile",
        checkpoint__interval_updates=3,
        checkpoint__max_generations=2,
    ),
    "online.profiles": Change(
        replayed, {"volatile": {"epochs": 1}}, {**ONLINE, "online.profile": "volatile"}
    ),
    **many(
        replayed,
        GATED,
        gate__slots=1,
        gate__paths=1,
        gate__piece_decisions=64,
        gate__block_decisions=8,
        gate__window_decisions=64,
        gate__most_false_promotion=0.01,
        gate__false_promotions_per_month=0.01,
        gate__max_kl=1e-9,
        gate__min_entropy_fraction=1.0,
        gate__max_turnover_fraction=1e-9,
        gate__max_excess_drawdown_fraction=1e-9,
    ),
    **many(
        replayed,
        EXPERTS,
        allocation__by="none",
        allocation__rules=["trend"],
        allocation__block_decisions=4,
        allocation__forgetting=0.9,
    ),
}

ELSEWHERE = {
    "allocation.library": "../learning/allocation/test_experts.py",
    "execution.orders_at_start": "recovery/test_restart.py",
    "execution.orders_at_stop": "recovery/test_restart.py",
    "execution.reconcile_every_s": "venue/test_user_stream.py",
    "online.stop_if_not_helping": "../learning/service/test_promotion.py",
}
"""What takes a daemon, and the tests in which it makes the difference."""


def test_the_table_has_each_option_of_the_schema_once():
    made = schema()
    keys = set()
    for section, item in made["properties"].items():
        name = (item.get("$ref") or item["allOf"][0]["$ref"]).rsplit("/", 1)[1]
        keys |= {f"{section}.{key}" for key in made["$defs"][name]["properties"]}
    listed = [*CHANGES, *REPLAYED, *ELSEWHERE]
    assert sorted(listed) == sorted(keys)


def results(key: str, change: Change, folder: Path) -> tuple[Any, Any]:
    """Without the change, and with it."""
    plain = load_config(None, dict(change.within), {}).config
    changed = load_config(None, {**change.within, key: _json(change.to)}, {}).config
    assert plain != changed, "the option has that value already"
    return change.proof(plain, folder), change.proof(changed, folder)


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


@pytest.mark.parametrize("key", CHANGES)
def test_each_option_changes_something(key, tmp_path):
    plain, changed = results(key, CHANGES[key], tmp_path)
    assert plain != changed


@pytest.mark.proof
@pytest.mark.parametrize("key", REPLAYED)
def test_each_option_of_learning_and_capital_changes_what_a_replay_journals(key, tmp_path):
    plain, changed = results(key, REPLAYED[key], tmp_path)
    assert plain != changed


@pytest.mark.parametrize("key", ELSEWHERE)
def test_the_tests_that_hold_the_rest_set_it(key):
    text = (Path(__file__).parent / ELSEWHERE[key]).read_text(encoding="utf-8")
    assert key in text or key.replace(".", "__") in text or key.split(".")[1] in text
