"""The past of a journal, row by row: what was booked, what is left open, what a restart counts on from."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from ztb.errors import DataError
from ztb.execution.orders import PROTECTIVE_FROM, OrderType, TimeInForce
from ztb.execution.risk import DAY_NS, RefusalReason, RiskLimits
from ztb.execution.risk_gate import OrderFacts, Proposal, RiskGate
from ztb.ledger.bookkeeper import BASE_FEE
from ztb.ledger.capital import Adoption, Opening
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import (
    COSTS_CORRECTED,
    LIMITS_LIFTED,
    AllocationRow,
    FillRow,
    GenerationRow,
    MarkRow,
    NoteRow,
    OrderEventRow,
    OrderRow,
    Record,
    RefusalRow,
    UpdateRow,
)
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.decision_log import RunProgress
from ztb.runtime.recovery.past import Past, read_past, remember_progress, remember_risk
from ztb.runtime.recovery.put_back import enter_put_back
from ztb.runtime.venue.handover import PUT_BACK, StopPutBack, write_down

STOP = PROTECTIVE_FROM


def journal(folder: Path, *rows: Record) -> Path:
    made = Journal(folder / "journal.sqlite")
    for row in rows:
        made.append(row)
    made.close()
    return folder / "journal.sqlite"


def past_of(folder: Path, *rows: Record) -> Past:
    past = read_past(journal(folder, *rows))
    assert past is not None
    return past


def order(number: int, ts_ns: int, lots: int = 5, side: int = 1) -> OrderRow:
    return OrderRow(number, f"id{number}", 0, 0, ts_ns, side, lots, "limit", 100, "IOC", True, False)


def fill(
    order_id: int, fill_id: int, ts_ns: int, lots: int, side: int = 1, liquidity: str = "maker"
) -> FillRow:
    return FillRow(order_id, fill_id, ts_ns, side, lots, 101, "10.1", "1", liquidity, "0.25")


def event(order_id: int, what: str, ts_ns: int, reason: str | None = None) -> OrderEventRow:
    return OrderEventRow(order_id, ts_ns, what, None, reason)


def mark(number: int, ts_ns: int, equity: float, frozen: float | None = 70.0) -> MarkRow:
    return MarkRow(number, ts_ns, 100.0, 1.0, 2.0, equity, 0.5, None, frozen)


def figures(past: Past) -> RunProgress:
    progress = RunProgress()
    remember_progress(past, progress)
    return progress


def generation(number: int, what: str) -> GenerationRow:
    return GenerationRow(number, 1, what, None, "", "{}")


def test_there_is_no_past_without_a_journal(tmp_path):
    assert read_past(tmp_path / "journal.sqlite") is None


def test_nothing_is_marked_before_a_journal_is_read():
    assert list(Past().marks) == []


def test_an_order_may_be_the_last_that_is_known_of_a_past(tmp_path):
    past = past_of(tmp_path, mark(0, 9, 100.0), order(1, 10))
    assert (past.last_ts_ns, past.unsettled_ns) == (10, 10)


def test_an_empty_journal_is_a_past_of_nothing(tmp_path):
    past = past_of(tmp_path)
    assert past == Past(marks=past.marks) and list(past.marks) == [] and past.marks.last is None
    assert (past.last_ts_ns, past.next_order_id, past.next_generation, past.unsettled_ns) == (0, 1, 0, 0)
    assert past.served == [] and past.filled == {} and figures(past).decisions == 0


def test_what_is_open_is_what_neither_ended_nor_filled_and_stops_are_apart(tmp_path):
    past = past_of(
        tmp_path,
        order(1, 10), order(2, 11), order(3, 12), order(4, 13), order(5, 14), order(STOP, 15), order(STOP + 1, 16),
        fill(1, 1, 20, 5), fill(2, 2, 21, 2), fill(2, 3, 22, 1, liquidity="taker"),
        event(3, "rejected", 23), event(4, "cancelled", 24), event(5, "accepted", 25), event(STOP, "expired", 26),
    )  # fmt: skip
    assert [(each.request.order_id, each.remaining_lots) for each in past.open_orders] == [(2, 2), (5, 5)]
    assert [each.request.order_id for each in past.open_stops] == [STOP + 1] and past.stops == 2
    request = past.open_orders[0].request
    assert (request.side, request.lots, request.order_type, request.price_ticks, request.time_in_force) == (
        1, 5, OrderType.LIMIT, 100, TimeInForce.IOC,
    )  # fmt: skip
    assert (request.post_only, request.reduce_only) == (True, False)
    assert past.filled == {1: 5, 2: 3} and past.rejects == 1 and past.next_order_id == 6
    assert [row.order_id for row in past.orders] == [1, 2, 3, 4, 5]
    assert past.client_ids == {n: f"id{n}" for n in (1, 2, 3, 4, 5, STOP, STOP + 1)}
    assert past.sent_ns == {1: 10, 2: 11, 3: 12, 4: 13, 5: 14, STOP: 15, STOP + 1: 16}
    assert past.last_ts_ns == 26 and past.unsettled_ns == 11


def test_fills_are_booked_in_order_with_what_each_cost_in_base_currency(tmp_path):
    past = past_of(
        tmp_path,
        order(1, 10), order(2, 11, side=-1),
        event(1, BASE_FEE, 12, "0.5"), event(1, BASE_FEE, 12, "0.25"), fill(1, 1, 12, 2),
        fill(1, 2, 13, 1, liquidity="taker"),
        event(2, BASE_FEE, 14, None), fill(2, 3, 14, 4, side=-1),
    )  # fmt: skip
    told = [
        (each.side, each.fill.order_id, each.fill.fill_id, each.fill.ts_ns, each.fill.lots,
         each.fill.cumulative_lots, each.fill.liquidity, each.fill.fee, each.fill.base_fee)
        for each in past.booked
    ]  # fmt: skip
    assert told == [
        (1, 1, 1, 12, 2, 2, "maker", Decimal("0.25"), Decimal("0.75")),
        (1, 1, 2, 13, 1, 3, "taker", Decimal("0.25"), Decimal(0)),
        (-1, 2, 3, 14, 4, 4, "maker", Decimal("0.25"), Decimal(0)),
    ]
    assert past.booked[0].fill.price_ticks == 101


def test_funding_costs_counts_and_the_newest_row_of_each_expert_are_known(tmp_path):
    expert = AllocationRow(1, 5, "trend", 0.5, 1.0, 10.0, "{}")
    past = past_of(
        tmp_path,
        Opening(Decimal(7), Decimal(2), 3.0).note(4),
        event(0, "funded", 6, "-1.5"), event(0, "funded", 7, None),
        RefusalRow(0, 5, "halted", 1, 2, 3.0), RefusalRow(1, 5, "halted", 1, 2, 3.0),
        UpdateRow(3, 5, 1, 0.0, 0.0, 0.0, 0.0, 0.0, None, 0.0), UpdateRow(2, 6, 1, 0.0, 0.0, 0.0, 0.0, 0.0, None, 0.0),
        expert, msgspec.structs.replace(expert, weight=0.75),
        NoteRow(6, COSTS_CORRECTED, "first"), NoteRow(7, COSTS_CORRECTED, "last"),
        generation(0, "made"), generation(2, "promoted"), generation(3, "restored"), generation(3, "quarantined"),
        generation(1, "promoted"),
    )  # fmt: skip
    assert past.opening == Opening(Decimal(7), Decimal(2), 3.0) and past.last_ts_ns == 7
    assert past.funding == [Decimal("-1.5"), Decimal(0)] and past.refusals == 2 and past.updates == 3
    assert past.allocations["trend"].weight == 0.75 and past.own_costs == "last"
    assert past.served == [2, 1] and past.next_generation == 4
    assert (past.count("promoted"), past.count("made"), past.count("rejected")) == (2, 1, 0)


def test_what_came_is_in_the_marks_before_it_as_if_it_had_always_been_there(tmp_path):
    past = past_of(
        tmp_path,
        mark(0, 10, 100.0), mark(1, 20, 110.0),
        Adoption(20, Decimal(5), Decimal(1), 10.0).note(0, {}),
        mark(2, 30, 130.0),
        NoteRow(20, LIMITS_LIFTED, json.dumps({"equity": 100.0})),
        NoteRow(25, LIMITS_LIFTED, json.dumps({"equity": 120.0})),
    )  # fmt: skip
    assert list(past.marks) == [(10, 115.0), (20, 125.0), (30, 130.0)]
    assert past.lifted == [(20, 115.0), (25, 120.0)] and past.marks.last is not None
    assert past.marks.last.equity == 130.0 and past.last_ts_ns == 30
    assert figures(past).adopted == 15.0


def test_what_came_after_the_last_mark_is_in_it_and_in_the_yardsticks_that_there_are(tmp_path):
    past = past_of(tmp_path, mark(0, 10, 100.0), Adoption(15, Decimal(5), Decimal(0), 1.0).note(0, {}))
    last = past.marks.last
    assert last is not None and (last.equity, last.hold_equity, last.frozen_equity) == (105.0, None, 75.0)
    assert list(past.marks) == [(10, 105.0)]


def test_only_rows_before_a_sequence_number_are_read(tmp_path):
    path = journal(tmp_path, order(1, 10), mark(0, 11, 100.0), order(2, 12), mark(1, 13, 90.0))
    past = read_past(path, 3)
    assert past is not None and [row.order_id for row in past.orders] == [1]
    assert past.last_ts_ns == 11 and list(past.marks) == [(11, 100.0)]


def test_the_figures_go_on_from_the_last_mark(tmp_path):
    past = past_of(
        tmp_path, mark(0, 10, 100.0), mark(1, 20, 120.0), mark(2, 30, 90.0), event(1, "accepted", 35)
    )
    progress = figures(past)
    assert (progress.decisions, progress.first_ts_ns, progress.trade_first_ts_ns, progress.last_ts_ns) == (
        3,
        10,
        10,
        35,
    )
    assert (progress.last_equity, progress.peak, progress.equity_sum) == (90.0, 120.0, 310.0)
    assert progress.max_drawdown == pytest.approx(0.25)
    assert progress.return_sum == pytest.approx(0.2 - 0.25)
    assert progress.return_square_sum == pytest.approx(0.04 + 0.0625)


def test_what_has_been_put_in_its_place_is_forgotten_but_for_the_last_mark(tmp_path):
    past = past_of(tmp_path, order(1, 10), fill(1, 1, 11, 5), mark(0, 12, 100.0), mark(1, 13, 90.0),
                   event(0, "funded", 14, "1"), NoteRow(15, LIMITS_LIFTED, '{"equity": 1.0}'))  # fmt: skip
    past.forget()
    assert [*past.booked, *past.orders, *past.funding, *past.lifted, *past.sent_ns] == []
    assert list(past.marks) == [(13, 90.0)] and past.marks.last is not None


def test_the_gate_remembers_orders_marks_and_what_was_lifted_in_the_order_of_time(tmp_path):
    limits = RiskLimits(max_daily_loss_fraction=0.1, max_orders_per_day=3)
    day = 5 * DAY_NS
    past = past_of(
        tmp_path,
        order(1, day - 1), mark(0, day, 1000.0), order(2, day), mark(1, day + 1, 880.0), order(3, day + 5),
        NoteRow(day + 6, LIMITS_LIFTED, '{"equity": 880.0}'), mark(2, day + 7, 870.0), order(4, day + 8, side=-1),
    )  # fmt: skip
    gate = RiskGate(limits)
    remember_risk(past, gate)
    memory = gate.memory
    assert (memory.orders_today, memory.last_side, memory.repeated) == (3, -1, 1)
    assert (memory.day_start_equity, memory.peak_equity, memory.rung) == (880.0, 880.0, 0)
    facts = OrderFacts(day + 9, day + 9, 100.0, 0.0, 870.0, 0.0, 0.0)
    assert gate.check(Proposal(1, 1.0, 100.0), facts) is RefusalReason.ORDERS_PER_DAY


def test_what_was_lifted_after_the_last_mark_is_lifted(tmp_path):
    day = 5 * DAY_NS
    past = past_of(tmp_path, mark(0, day, 1000.0), mark(1, day + 1, 700.0),
                   NoteRow(day + 1, LIMITS_LIFTED, '{"equity": 700.0}'))  # fmt: skip
    gate = RiskGate(RiskLimits())
    remember_risk(past, gate)
    assert gate.memory.rung == 0 and gate.memory.peak_equity == 700.0


def test_what_was_lifted_at_the_moment_of_a_mark_came_after_it(tmp_path):
    day = 5 * DAY_NS
    past = past_of(tmp_path, mark(0, day, 1000.0), NoteRow(day, LIMITS_LIFTED, '{"equity": 900.0}'), mark(1, day + 1, 880.0))  # fmt: skip
    gate = RiskGate(RiskLimits())
    remember_risk(past, gate)
    assert gate.memory.day_start_equity == gate.memory.peak_equity == 900.0


def put_back(folder: Path) -> None:
    stop = StopPutBack(order_id=STOP + 3, client_id="stop", lots=7, trigger_ticks=80)
    write_down([stop], folder)


def test_a_stop_that_the_watchdog_put_back_is_in_the_journal_once_and_its_note_goes(tmp_path):
    journal(tmp_path, generation(4, "made"), mark(6, 50, 100.0))
    for _ in range(2):
        put_back(tmp_path)
        enter_put_back(RunDirectory(tmp_path))
        assert not (tmp_path / PUT_BACK).exists()
    past = read_past(tmp_path / "journal.sqlite")
    assert past is not None and past.stops == 1 and past.client_ids == {STOP + 3: "stop"}
    (stop,) = past.open_stops
    assert (stop.remaining_lots, stop.request.side, stop.request.price_ticks) == (7, -1, 80)
    assert (stop.request.reduce_only, stop.request.post_only) == (True, False)
    assert past.sent_ns == {STOP + 3: 50}


def test_a_stop_of_a_run_without_a_decision_is_of_none(tmp_path):
    path = journal(tmp_path, NoteRow(5, "gap", ""))
    put_back(tmp_path)
    enter_put_back(RunDirectory(tmp_path))
    past = read_past(path)
    assert past is not None and past.stops == 1 and past.last_ts_ns == 0


@pytest.mark.parametrize(
    ("rows", "of"), [((), (0, 0)), ((generation(4, "made"), mark(6, 50, 100.0)), (6, 4))]
)
def test_a_stop_that_was_put_back_is_of_the_last_decision_and_generation(tmp_path, rows, of):
    path = journal(tmp_path, *rows)
    put_back(tmp_path)
    enter_put_back(RunDirectory(tmp_path))
    reader = JournalReader(path)
    (row,) = reader.rows(OrderRow)
    reader.close()
    assert (row.decision, row.generation) == of


def test_all_that_the_watchdog_sent_is_entered_and_nothing_twice(tmp_path):
    path = journal(tmp_path, order(STOP + 3, 10))
    stops = [StopPutBack(STOP + 3 + k, f"id{STOP + 3 + k}", 7, 80 - k) for k in range(3)]
    write_down(stops, tmp_path)
    enter_put_back(RunDirectory(tmp_path))
    past = read_past(path)
    assert past is not None and past.stops == 3
    assert past.client_ids == {stop.order_id: stop.client_id for stop in stops}


def test_what_the_watchdog_wrote_and_nobody_can_read_is_said_and_kept(tmp_path):
    journal(tmp_path)
    (tmp_path / PUT_BACK).write_bytes(b"{")
    with pytest.raises(DataError, match="move it away"):
        enter_put_back(RunDirectory(tmp_path))
    assert (tmp_path / PUT_BACK).exists()


def test_a_run_that_came_no_further_than_its_opening_goes_on_from_there(tmp_path):
    past = past_of(tmp_path, Opening(Decimal(7)).note(4))
    assert (past.last_ts_ns, past.unsettled_ns) == (4, 4)


def test_a_single_mark_is_a_figure_without_returns(tmp_path):
    progress = figures(past_of(tmp_path, mark(0, 10, 100.0)))
    assert (progress.decisions, progress.equity_sum, progress.peak) == (1, 100.0, 100.0)
    assert (progress.return_sum, progress.return_square_sum, progress.max_drawdown) == (0.0, 0.0, 0.0)


def test_without_a_note_of_the_watchdog_nothing_is_written(tmp_path):
    enter_put_back(RunDirectory(tmp_path))
    assert not (tmp_path / "journal.sqlite").exists()
