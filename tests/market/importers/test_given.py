"""What the caller says of a recording is obeyed where it was a guess, refused where it is known, never left unsaid."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from market.importers.writers import made_bars
from ztb.commands.data import import_
from ztb.errors import DataError
from ztb.market.history import History, open_history
from ztb.market.instrument import Instrument
from ztb.market.recording import RecordingWriter
from ztb.market.ticks import Ticks
from ztb.market.venues import costs

Read = Callable[[History], Ticks]
Write = Callable[[str, str], Path]
_SPOT = Instrument(
    "BTC/USDT", "BTC", "USDT", "kraken", Decimal("0.1"), Decimal("1e-8"), Decimal(5), Decimal("0.0016"),
    Decimal("0.0026"), 2.0,
)  # fmt: skip
_CONTRACT = Instrument(
    "BTC/USDT:USDT", "BTC", "USDT", "bybit", Decimal("0.1"), Decimal("0.001"), Decimal(5), Decimal("0.0002"),
    Decimal("0.00055"), 0.5, short=True,
)  # fmt: skip


def _recorded(folder: Path, instrument: Instrument, ticks: Ticks) -> Path:
    path = folder / "000001.ticks"
    with RecordingWriter(path, instrument) as writer:
        writer.append(ticks, ticks["ts_ns"])
    return path


@pytest.fixture
def ticks(write: Write, read: Read) -> Ticks:
    bars = made_bars(places=1)
    text = "".join(
        f"{ns // 10**9},{','.join(row)}\n" for ns, row in zip(bars.opens_ns, bars.rows, strict=True)
    )
    return read(open_history([write("bars.csv", "time,open,high,low,close,volume\n" + text)]))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"venue": "binance"}, "recorded as kraken, not as binance: leave out --venue"),
        ({"venue": "bybit"}, "recorded as kraken, not as bybit"),
        ({"symbol": "ETH/USDT"}, "recorded as BTC/USDT, not as ETH/USDT: leave out --symbol"),
        ({"symbol": "BTC/EUR"}, "recorded as BTC/USDT, not as BTC/EUR"),
        ({"symbol": "BTC/USDT:USDT"}, "recorded as BTC/USDT, not as BTC/USDT:USDT"),
        (
            {"tick_size": Decimal("0.5")},
            r"steps of 0\.1, which are no multiples of 0\.5: leave out --tick-size",
        ),
        ({"tick_size": Decimal("0.07")}, "no multiples"),
    ],
)
def test_what_a_recording_knows_better_is_refused(
    tmp_path: Path, ticks: Ticks, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(
        DataError, match=rf"000001\.ticks: was {'' if 'recorded' in reason else '.*'}{reason}"
    ):
        open_history([_recorded(tmp_path, _SPOT, ticks)], **given)


@pytest.mark.parametrize(
    ("instrument", "given"),
    [
        (_SPOT, {"venue": "kraken", "symbol": "BTC/USDT"}), (_SPOT, {"venue": "Kraken", "symbol": "XBTUSDT"}),
        (_CONTRACT, {"symbol": "BTC/USDT:USDT", "venue": "bybit-linear"}), (_CONTRACT, {"symbol": "BTCUSDT"}),
    ],
)  # fmt: skip
def test_what_a_recording_says_too_changes_nothing(
    tmp_path: Path, ticks: Ticks, instrument: Instrument, given: dict[str, Any]
) -> None:
    assert open_history([_recorded(tmp_path, instrument, ticks)], **given).instrument == instrument


def test_increments_and_fees_are_the_callers_to_choose(tmp_path: Path, ticks: Ticks, read: Read) -> None:
    path = _recorded(tmp_path, _SPOT, ticks)
    chosen: dict[str, Any] = {
        "tick_size": Decimal("0.05"), "lot_size": Decimal("0.01"), "maker_fee": Decimal(0), "taker_fee": Decimal("0.003"),
    }  # fmt: skip
    history = open_history([path], **chosen)
    assert {name: getattr(history.instrument, name) for name in chosen} == chosen
    assert read(history).tobytes() == ticks.tobytes()


@pytest.mark.parametrize(
    ("venue", "symbol"), [("binance", "BTC/USD"), ("kraken", "ETH/EUR"), ("okx", "XBTUSD")]
)
def test_what_an_import_had_to_guess_can_be_told_later(
    tmp_path: Path, write: Write, venue: str, symbol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = made_bars()
    text = "".join(
        f"{ns // 10**9},{','.join(row)}\n" for ns, row in zip(bars.opens_ns, bars.rows, strict=True)
    )
    source, out = write("history.csv", "time,open,high,low,close,volume\n" + text), tmp_path / "bars.ticks"
    import_([source], out)
    guessed, told = open_history([out]).instrument, open_history([out], symbol=symbol, venue=venue).instrument
    assert (guessed.symbol, guessed.venue) == ("BASE/QUOTE", "unknown")
    rules = costs(venue, "spot")
    assert (told.symbol, told.venue) == (symbol.replace("XBTUSD", "BTC/USD"), venue)
    assert (told.taker_fee, told.spread_bps) == (rules.taker_fee, rules.spread_bps)


@pytest.mark.parametrize(
    ("inside", "given"), [("bitmex", "binance"), ("deribit", "kraken"), ("okex-swap", "bybit")]
)
def test_a_venue_that_the_rows_contradict_is_refused(write: Write, inside: str, given: str) -> None:
    text = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n" + "".join(
        f"{inside},BTC-USD,{1704067200000000 + i},{1704067200000000 + i},a{i},buy,5.5,1\n" for i in range(9)
    )
    path = write("trades.csv", text)
    with pytest.raises(DataError, match=rf"its rows are of {inside}, not of {given}: leave out --venue"):
        open_history([path], venue=given)


@pytest.mark.parametrize(("name", "given"), [("kraken_XBTUSD_1.csv", "binance"), ("Bitstamp_BTCUSD_1.csv", "kraken"),
                                             ("okx-BTCUSD-1m.csv", "bitfinex")])  # fmt: skip
def test_a_venue_that_the_name_contradicts_is_said(write: Write, read: Read, name: str, given: str) -> None:
    bars = made_bars()
    text = "".join(
        f"{ns // 10**9},{','.join(row)}\n" for ns, row in zip(bars.opens_ns, bars.rows, strict=True)
    )
    history = open_history([write(name, "time,open,high,low,close,volume\n" + text)], venue=given)
    read(history)
    assert history.instrument.venue == given
    assert any(f"is taken for {given}'s as was asked for" in note for note in history.report.notes)
