"""What a past comes to in a fresh engine: books, account, open orders, figures, the numbers and weights of generations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.recovery.test_past import STOP, event, fill, mark, order, past_of
from trading.markets import PERPETUAL
from trading.test_floor import FEATURES, Elsewhere, Follows, floor
from ztb.errors import ConfigError
from ztb.execution.order_states import OrderProgress, OrderState
from ztb.execution.orders import Filled
from ztb.execution.own_costs import OwnCosts
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import RiskLimits
from ztb.learning.generations import Descent, GenerationInfo, Lineage
from ztb.learning.service.initial_policy import CHECKPOINT_NAME, InitialPolicy
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import BASE_FEE, Bookkeeper
from ztb.ledger.capital import Adoption, Opening
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import COSTS_CORRECTED, GenerationRow, NoteRow, OrderEventRow, RefusalRow
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.decision_log import RunProgress
from ztb.runtime.recovery.past import Past
from ztb.runtime.recovery.resuming import (
    open_account,
    resume,
    resume_lineage,
    resume_paper,
    resumed_origin,
)
from ztb.trading.bridge import Wanted
from ztb.trading.lane import Lane
from ztb.trading.policy.weights import NetworkShape, initial_weights
from ztb.trading.sizing import TIMING_AGGRESSIVE
from ztb.trading.strategy import Action
from ztb.utils import CheckpointManager

D = Decimal
CASH = D(10_000)
FREE = RiskLimits(max_exposure=2.0, max_order_fraction=3.0, max_repeated_side=100)


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., Any]:
    """An engine as a start makes it, as far as resuming goes: a lane, its books in `after.sqlite`, no figures yet."""

    def make(paper: bool = False, own_costs: OwnCosts | None = None, experts: Any = None) -> Any:
        broker = PaperExchange(PERPETUAL, PaperConfig(), 0, float(CASH)) if paper else Elsewhere()
        books = Bookkeeper(Journal(tmp_path / "after.sqlite"), Account(PERPETUAL, CASH), "run", own_costs)
        lane = Lane(floor(1), broker, FREE, Follows(Action(2)), books)
        open_account(books.account, broker, Opening(CASH))
        return SimpleNamespace(books=books, live=lane, progress=RunProgress(), experts=experts)

    return make


def account_of(engine: Any) -> dict[str, float]:
    account = engine.live.broker.account
    return {name: account[name].item() for name in account.dtype.names}


def test_an_account_begins_with_what_the_venue_held(fresh):
    engine = fresh()
    open_account(engine.books.account, engine.live.broker, Opening(D(700), D("0.25"), 1200.0))
    assert engine.books.account.exact_position == D("0.25")
    begun = account_of(engine)
    assert (begun["cash"], begun["position"], begun["entry_price"]) == (700.0, 0.25, 1200.0)
    assert begun["start_equity"] == begun["peak_equity"] == 1000.0 and begun["opened_ns"] == 0


def test_books_and_account_come_to_what_was_filled_funded_and_taken_over(fresh, tmp_path):
    past = past_of(
        tmp_path,
        order(1, 10), event(1, BASE_FEE, 12, "0.001"), fill(1, 1, 12, 5),
        order(2, 11), fill(2, 2, 13, 2, side=-1), order(3, 13), event(3, "rejected", 13),
        event(0, "funded", 14, "-1.5"), Adoption(15, D(7), D("0.002"), 10.0).note(0, {}),
        *(RefusalRow(0, 5, "halted", 1, 2, 3.0) for _ in range(4)),
    )  # fmt: skip
    engine = fresh()
    resume(engine, past)
    books, exact, account = engine.books, engine.books.account, account_of(engine)
    paid = D("0.1") * D("0.001") * 101 * (5 - 2)
    assert exact.exact_cash == CASH - paid - 2 * D("0.25") - D("1.5") + 7
    assert exact.exact_position == D("0.003") - D("0.001") + D("0.002") and exact.fills == 2
    assert exact.fees == pytest.approx(0.5 + 0.001 * 10.1)
    assert account["cash"] == pytest.approx(exact.cash, abs=1e-9) and account["position"] == exact.position
    assert account["fees"] == pytest.approx(exact.fees) and account["funding"] == -1.5
    assert account["start_equity"] == pytest.approx(10_000.0 + 7.0 + 0.002 * 10.0)
    assert (books.orders, books.rejects, books.refusals, engine.live.rejects) == (3, 1, 4, 1)


def test_orders_left_open_are_known_as_far_as_they_had_come_and_no_fill_of_theirs_counts_twice(
    fresh, tmp_path
):
    past = past_of(tmp_path, order(1, 10), order(2, 11), order(STOP, 12), fill(2, 7, 20, 3), mark(0, 21, 1e4))
    engine = fresh()
    resume(engine, past)
    lane, books = engine.live, engine.books
    assert [(each.order_id, each.remaining_lots) for each in lane.working] == [(1, 5), (2, 2)]
    assert books.progress == {
        1: OrderProgress(1, 5),
        2: OrderProgress(2, 5, OrderState.PARTIALLY_FILLED, 3),
        STOP: OrderProgress(STOP, 5),
    }
    lane.hear(Filled(2, 20, 7, 3, 101, "maker", 3))
    assert books.account.fills == 1
    lane.hear(Filled(2, 22, 8, 2, 101, "maker", 5))
    assert books.account.fills == 2 and books.progress[2].state is OrderState.FILLED


def test_the_next_order_has_the_next_number_at_the_last_price_of_the_past(fresh, tmp_path):
    past = past_of(tmp_path, order(4, 10, side=-1), event(4, "cancelled", 11), mark(6, 12, 1e4))
    engine = fresh()
    resume(engine, past)
    lane = engine.live
    assert lane.broker.view["mid"].item() == 100.0
    assert lane.gate.memory.last_side == -1
    lane.pursue(20, 7, np.zeros(FEATURES, np.float32), Wanted(1.0, TIMING_AGGRESSIVE))
    assert [sent.order_id for sent in lane.broker.sent] == [5]


def test_risk_is_measured_from_the_highest_equity_of_the_past(fresh, tmp_path):
    past = past_of(tmp_path, mark(0, 10, 1e4), mark(1, 11, 2e4), mark(2, 12, 15e3))
    engine = fresh()
    resume(engine, past)
    assert (
        account_of(engine)["peak_equity"]
        == engine.progress.peak
        == engine.live.gate.memory.peak_equity
        == 2e4
    )
    assert engine.progress.decisions == 3


def test_before_the_first_decision_there_is_neither_a_price_nor_another_peak(fresh, tmp_path):
    engine = fresh()
    peak = account_of(engine)["peak_equity"]
    resume(engine, past_of(tmp_path, order(1, 10)))
    assert np.isnan(engine.live.broker.view["mid"].item()) or engine.live.broker.view["mid"].item() == 0.0
    assert account_of(engine)["peak_equity"] == peak and engine.progress.decisions == 0


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_accounts_on_paper_are_charged_what_our_own_fills_were_found_to_cost(
    fresh, tmp_path, told, measured, beside
):
    found = OwnCosts(0.001, 0.0005, fills=9, surplus=0.0004, correction=0.0003)
    past = past_of(tmp_path, *([NoteRow(5, COSTS_CORRECTED, found.detail())] if told else []))
    charged: list[float] = []
    costs = OwnCosts(0.001, 0.0005) if measured else None
    resume(fresh(own_costs=costs, experts=SimpleNamespace(charge=charged.append) if beside else None), past)
    assert charged == ([0.0003] if told and measured and beside else [])
    if costs is not None:
        assert (costs == found) is (told and beside)


def left_open(folder: Path) -> Past:
    """A buyer filled in part, another not at all, and a stop."""
    return past_of(
        folder, order(1, 10), order(2, 11), order(STOP, 12), fill(2, 7, 20, 3), mark(0, 21, 1e4)
    )  # fmt: skip


def cancelled(engine: Any) -> list[tuple[int, int, int | None]]:
    """(order, time, remaining lots) as it was journaled."""
    engine.books.journal.close()
    reader = JournalReader(engine.books.journal.path)
    rows = [(row.order_id, row.ts_ns, row.remaining_lots) for row in reader.rows(OrderEventRow)]
    reader.close()
    return rows


def test_on_paper_orders_left_open_work_on_for_what_was_left_of_them_and_stops_are_over(fresh, tmp_path):
    past, engine = left_open(tmp_path), fresh(paper=True)
    resume(engine, past)
    resume_paper(engine, past, adopt=True)
    lane, books = engine.live, engine.books
    at_work = [(1, 5), (2, 2)]
    assert [(each.order_id, each.remaining_lots) for each in lane.broker.open_orders()] == at_work
    assert [(each.order_id, each.request.lots) for each in lane.working] == at_work
    assert books.progress == {
        1: OrderProgress(1, 5),
        2: OrderProgress(2, 2),
        STOP: OrderProgress(STOP, 5, OrderState.CANCELLED),
    }
    assert cancelled(engine) == [(STOP, 21, 5)]


def test_on_paper_orders_left_open_are_cancelled_where_none_is_to_work_on(fresh, tmp_path):
    past, engine = left_open(tmp_path), fresh(paper=True)
    resume(engine, past)
    resume_paper(engine, past, adopt=False)
    assert engine.live.working == engine.live.broker.open_orders() == []
    assert cancelled(engine) == [(1, 21, 5), (2, 21, 2), (STOP, 21, 5)]


def test_the_paper_venue_goes_on_with_the_cash_lots_and_numbers_that_it_had(fresh, tmp_path):
    past, engine = left_open(tmp_path), fresh(paper=True)
    resume(engine, past)
    resume_paper(engine, past, adopt=True)
    venue = engine.live.broker.exchange
    assert (venue["position_lots"], venue["fills"], venue["stops"]) == (3, 7, 1)
    assert venue["cash"].item() == account_of(engine)["cash"] != float(CASH)


def test_the_first_fill_of_a_paper_venue_without_any_before_is_number_one(fresh, tmp_path):
    past, engine = past_of(tmp_path, order(1, 10)), fresh(paper=True)
    resume_paper(engine, past, adopt=True)
    assert engine.live.broker.exchange["fills"].item() == 0


def test_what_works_at_a_real_venue_is_not_sent_again(fresh, tmp_path):
    past, engine = left_open(tmp_path), fresh()
    resume_paper(engine, past, adopt=True)
    assert engine.live.broker.sent == [] and engine.books.progress == {}


def row(number: int, what: str, parent: int | None = None) -> GenerationRow:
    return GenerationRow(number, 1, what, parent, f"sha{number}", "{}")


LIVES = (
    row(0, "made"), row(0, "promoted"), row(1, "made", 0), row(1, "promoted", 0), row(2, "made", 1),
    row(2, "rejected", 1), row(3, "made", 1), row(3, "promoted", 1), row(3, "rolled_back", 1),
    row(4, "made", 3), row(4, "quarantined", 3), row(1, "restored", 0),
)  # fmt: skip


@pytest.mark.parametrize("served", [None, GenerationInfo(1, 0, {}, "sha1")])
def test_generations_are_numbered_counted_and_barred_as_before(tmp_path, served):
    lineage = Lineage()
    resume_lineage(lineage, past_of(tmp_path, *LIVES), InitialPolicy("made", {}, served=served))
    assert lineage == Lineage(
        made=5,
        promoted=3,
        rejected=1,
        rolled_back=1,
        known={
            0: Descent(None, "sha0"), 1: Descent(0, "sha1"), 2: Descent(1, "sha2"), 3: Descent(1, "sha3"),
            4: Descent(3, "sha4"),
        },
        quarantined={3, 4},
        served=[0, 1, 1],
        resumed=served is not None,
    )  # fmt: skip


SHAPE = NetworkShape(4, (3, 2), (4,))


class Saved:
    """Generations on disk, in the files of a run."""

    def __init__(self, folder: Path) -> None:
        self.directory = RunDirectory(folder)
        self._manager = CheckpointManager(self.directory.checkpoints, max_generations=9)

    def save(self, generation: int, schema: str = "features", seed: int | None = None) -> Path:
        weights = initial_weights(SHAPE, generation if seed is None else seed)
        state = {"weights": weights, "updater": None, "normaliser": None, "feature_schema": schema}
        made = asyncio.run(
            self._manager.save_async(state, CHECKPOINT_NAME, lineage={"generation": generation})
        )
        return made.path

    def origin(self, past: Past) -> InitialPolicy | None:
        return resumed_origin(self.directory, past, SHAPE, "features", None)


def same(weights: Any, seed: int) -> bool:
    wanted = initial_weights(SHAPE, seed)
    return all(np.array_equal(weights[name], wanted[name]) for name in wanted)


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path)


def test_the_generation_that_served_last_serves_again_from_its_newest_file(saved, tmp_path):
    saved.save(0)
    saved.save(1, seed=70)
    saved.save(2)
    saved.save(1)
    origin = saved.origin(past_of(tmp_path, *LIVES))
    assert origin is not None and origin.served is not None and origin.first is not None
    assert origin.how == "generation 1 of this run" and origin.checkpoint == 3
    assert same(origin.weights, 1) and same(origin.served.weights, 1) and same(origin.first.weights, 0)
    assert (origin.served.number, origin.served.parent, origin.served.sha256) == (1, 0, "sha1")
    assert (origin.first.number, origin.first.parent, origin.first.sha256) == (0, None, "sha0")


@pytest.mark.parametrize("keep", [0, 100])
def test_a_damaged_file_gives_way_to_the_one_before_it(saved, tmp_path, keep):
    saved.save(0)
    damaged = saved.save(1)
    damaged.write_bytes(damaged.read_bytes()[:keep])
    origin = saved.origin(past_of(tmp_path, *LIVES))
    assert origin is not None and origin.served is not None and origin.served.number == 0
    assert origin.first is not None and origin.first.number == 0
    assert same(origin.weights, 0) and origin.checkpoint == 0


def test_a_file_that_only_loading_finds_damaged_gives_way_too(saved, tmp_path):
    saved.save(0)
    damaged = saved.save(1)
    content = bytearray(damaged.read_bytes())
    content[-8] ^= 1
    damaged.write_bytes(content)
    origin = saved.origin(past_of(tmp_path, *LIVES))
    assert origin is not None and origin.served is not None and origin.served.number == 0


def test_where_generation_0_is_gone_the_one_that_serves_stands_for_it(saved, tmp_path):
    saved.save(1)
    origin = saved.origin(past_of(tmp_path, *LIVES))
    assert origin is not None and origin.served is not None and origin.served.number == 1
    assert origin.first is origin.served


def test_a_generation_that_never_served_or_is_barred_does_not_begin_to(saved, tmp_path):
    saved.save(2)
    saved.save(3)
    assert saved.origin(past_of(tmp_path, *LIVES)) is None


def test_what_was_made_for_other_features_is_refused_and_nothing_older_stands_for_it(saved, tmp_path):
    saved.save(0)
    saved.save(1, schema="others")
    with pytest.raises(ConfigError, match="made for feature schema others"):
        saved.origin(past_of(tmp_path, *LIVES))
