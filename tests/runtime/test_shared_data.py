"""Whole replays of real recordings: they end cleanly, add up, and never know what comes later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ztb.commands.report import as_text
from ztb.execution.risk import RefusalReason
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import FillRow, MarkRow, RefusalRow
from ztb.strategies.loader import available
from ztb.telemetry.report import write_report
from ztb.telemetry.why import explain

STRATEGIES = sorted(available())
BITFLYER = "ticks/trades_BTCJPY_201801{}.parquet"
BARS_2019 = "klines/binance-spot_BTCUSDT_1m_20191015-20191114.parquet"
PERPETUAL_2022 = "klines/binance-um_BTCUSDT_1m_2022.parquet"
TAPES = ("ticks/spot_btcusdt_20240808.jsonl.zst", "ticks/usdm_btcusdt_20240808.jsonl.zst")
EVERY_SECOND = {"decision__interval_ms": 1000}

LONG_ENOUGH = {
    "ccxt_fetch_ohlcv_BTCUSDT-perp_1m.json": 1376,
    "freqtrade_BTC_USDT-1m_first1000.json": 936,
    "vision_spot_aggTrades_noheader_ETHBTC-aggTrades-2020-11-01.csv": 264,
    "vision_um_klines_header_BTCUSDT-1m-2022-06-18.csv": 1376,
}
TOO_SHORT = (
    "ccxt_fetch_trades_BTCUSDT-perp.json",
    "tardis_binance-futures_book_snapshot_25_BTCUSDT.csv",
    "tardis_bitmex_trades_XBTUSD.csv",
    "tardis_deribit_incremental_book_L2_BTC-PERPETUAL.csv",
    "tardis_huobi-dm-swap_quotes_BTC-USD.csv",
    "vision_um_bookTicker_BTCUSDT-bookTicker-2024-08-08.csv",
    "vision_um_trades_BTCUSDT-trades-2024-08-08.csv",
)


@pytest.fixture
def end_to_end(replay, check_books) -> Callable[..., object]:
    """A replay whose books are in order and of which a report can be made."""

    def run(*arguments, **settings):
        ran = replay(*arguments, **settings)
        check_books(ran)
        assert write_report(ran.directory).stat().st_size > 10_000
        return ran

    return run


def first_rows(table: Path, out: Path, count: int) -> Path:
    pq.write_table(pq.read_table(table).slice(0, count), out)
    return out


def with_another_future(table: Path, out: Path, row: int) -> Path:
    """From `row` on, prices are a tenth higher."""
    content = pq.read_table(table)
    prices = content["price"].to_numpy().copy()
    prices[row:] = np.round(prices[row:] * 1.1)
    place = content.column_names.index("price")
    pq.write_table(content.set_column(place, "price", pa.array(prices, content["price"].type)), out)
    return out


def tape_lines(path: Path) -> list[bytes]:
    with zstandard.open(path, "rb") as file:
        return file.read().splitlines(keepends=True)


def tape(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(zstandard.compress(b"".join(lines)))
    return path


@pytest.mark.parametrize(("name", "decisions"), LONG_ENOUGH.items())
def test_a_sample_replays(shared, end_to_end, name, decisions):
    ran = end_to_end(shared / "samples" / name, allocation__by="none")  # nothing here has earned anything
    assert ran.summary["decisions"] == decisions and ran.summary["fills"] > 0
    assert ran.summary["remark"] is None


@pytest.mark.parametrize("name", TOO_SHORT)
def test_a_sample_shorter_than_the_warm_up_says_so(shared, end_to_end, name):
    summary = end_to_end(shared / "samples" / name).summary
    assert (summary["decisions"], summary["return"], summary["hold_return"]) == (0, 0.0, None)
    assert "the features need 65 complete periods of 10 s" in summary["remark"]


def test_a_perpetual_turns_round_without_being_refused(shared, replay):
    ran = replay(shared / "samples/vision_um_klines_header_BTCUSDT-1m-2022-06-18.csv", "random_walk")
    rows = ran.decisions
    assert min(row["position"] for row in rows) < 0 < max(row["position"] for row in rows)
    assert ran.summary["fills"] > 100
    reasons = {row.reason for row in JournalReader(ran.directory.journal).rows(RefusalRow)}
    assert not reasons & {RefusalReason.ORDER_SIZE, RefusalReason.EXPOSURE}


@pytest.mark.proof
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_six_days_of_bitflyer(shared, end_to_end, strategy):
    files = [shared / BITFLYER.format(day) for day in range(21, 27)]
    ran = end_to_end(files, strategy)
    summary = ran.summary
    assert (summary["ticks"], summary["decisions"]) == (850_051, 48_507)
    assert (summary["gaps"], summary["dropped"]) == (13, 0)
    if strategy == "ppo_online":
        again = end_to_end(files, strategy, market__block_rows=333)
        assert again.summary["journal_sha256"] == summary["journal_sha256"]
        assert again.summary["weights_sha256"] == summary["weights_sha256"]
        assert end_to_end(files, online__learner="off").summary["return"] == summary["frozen_return"]


@pytest.mark.proof
@pytest.mark.parametrize("strategy", ["ema_cross", "hold", "ppo_online"])
def test_a_year_of_minutes_long_and_short(shared, end_to_end, strategy):
    summary = end_to_end(shared / PERPETUAL_2022, strategy).summary
    assert (summary["ticks"], summary["decisions"]) == (525_600, 525_536)
    assert (summary["gaps"], summary["dropped"]) == (0, 0)


@pytest.mark.proof
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_repeated_and_missing_minutes_are_counted(shared, end_to_end, strategy):
    summary = end_to_end(shared / BARS_2019, strategy).summary
    minutes = (summary["last_ts"] - summary["first_ts"]) // 60_000_000_000
    assert summary["dropped"] == 143 and minutes - summary["ticks"] == 143 and summary["gaps"] == 2


@pytest.mark.proof
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", TAPES)
def test_a_tape_with_its_book_and_its_first_half(shared, end_to_end, replay, tmp_path, name, strategy):
    whole = end_to_end(shared / name, strategy, **EVERY_SECOND)
    assert whole.summary["decisions"] > 250 and whole.summary["gaps"] == 0
    lines = tape_lines(shared / name)
    half = replay(tape(tmp_path / Path(name).name, lines[: len(lines) // 2]), strategy, **EVERY_SECOND)
    assert 50 < half.summary["decisions"] < 0.6 * whole.summary["decisions"]
    assert half.decisions == whole.decisions[: half.summary["decisions"]]


@pytest.mark.proof
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_half_a_day_and_a_day_with_another_afternoon_decide_alike_before(shared, replay, tmp_path, strategy):
    day = shared / BITFLYER.format(22)
    row = pq.read_metadata(day).num_rows // 2
    whole = replay(day, strategy).decisions
    half = replay(first_rows(day, tmp_path / day.name, row), strategy).decisions
    (tmp_path / "other").mkdir()
    other = replay(with_another_future(day, tmp_path / "other" / day.name, row), strategy).decisions
    assert 2000 < len(half) < len(whole) - 2000
    assert half == whole[: len(half)] == other[: len(half)]
    assert other[len(half) :] != whole[len(half) :]


@pytest.mark.proof
def test_holding_earns_what_the_price_did_less_what_was_paid(shared, replay):
    # The price fell by a tenth that day: with limits on losses the position would have been closed.
    no_limits = {"risk__max_daily_loss_fraction": 1.0, "risk__max_drawdown_fraction": 1.0}
    ran = replay(shared / BITFLYER.format(22), "hold", **no_limits)
    reader = JournalReader(ran.directory.journal)
    fills, marks = list(reader.rows(FillRow)), list(reader.rows(MarkRow))
    bought = sum(float(fill.quantity) for fill in fills)
    paid = sum(float(fill.quantity) * float(fill.price) + float(fill.fee) for fill in fills)
    assert len(fills) == 1 and bought > 0
    assert marks[-1].equity == pytest.approx(10_000.0 - paid + bought * marks[-1].mid, rel=1e-12)
    assert ran.summary["hold_return"] == ran.summary["return"]


@pytest.mark.proof
def test_why_explains_a_fill_a_refusal_and_a_moment_of_a_run_on_ticks(shared, replay):
    settings = {"allocation__by": "none", "strategy__sample": True, "risk__max_daily_loss_fraction": 0.01}
    directory = replay(shared / BITFLYER.format(22), **settings).directory
    reader = JournalReader(directory.journal)
    assert next(iter(reader.rows(RefusalRow))).reason == RefusalReason.DAILY_LOSS
    mark = list(reader.rows(MarkRow))[1000]
    moment = datetime.fromtimestamp(mark.ts_ns / 1e9, UTC).isoformat()
    for what in ("1", "fill:1", "refusal:1", str(mark.ts_ns), moment):
        answer = explain(directory, what)
        assert answer.holds, what
        assert json.loads(as_text(answer))["holds"]
