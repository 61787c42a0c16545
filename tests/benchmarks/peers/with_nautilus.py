"""The rule of `bench_peers.py` on nautilus_trader: `python with_nautilus.py TICKS`. It hears of every trade, as it must."""

import json
import sys
import time
from decimal import Decimal

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType, OrderSide
from nautilus_trader.model.identifiers import TradeId, Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

SECOND = 1_000_000_000
FAST, SLOW = 0.1, 0.01


class Rule(Strategy):
    def __init__(self, instrument):
        super().__init__()
        self.instrument = instrument
        self.due = self.decisions = self.orders = 0
        self.fast = self.slow = 0.0
        self.held = False
        self.size = instrument.make_qty(Decimal("0.1"))

    def on_start(self):
        self.subscribe_trade_ticks(self.instrument.id)

    def on_trade_tick(self, tick):
        if tick.ts_event < self.due:
            return
        self.due = (tick.ts_event // SECOND + 1) * SECOND
        price = tick.price.as_double()
        self.decisions += 1
        self.fast = price if self.fast == 0.0 else self.fast + FAST * (price - self.fast)
        self.slow = price if self.slow == 0.0 else self.slow + SLOW * (price - self.slow)
        wanted = self.fast > self.slow
        if wanted is not self.held:
            self.orders += 1
            side = OrderSide.BUY if wanted else OrderSide.SELL
            self.submit_order(self.order_factory.market(self.instrument.id, side, self.size))
        self.held = wanted


def main():
    ticks = np.load(sys.argv[1])
    instrument = TestInstrumentProvider.btcusdt_binance()
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("BINANCE"),
        OmsType.NETTING,
        AccountType.CASH,
        [Money(10_000, USDT), Money(1, BTC)],
        trade_execution=True,
    )
    engine.add_instrument(instrument)
    columns = (ticks[name].tolist() for name in ("ts_ns", "price", "size", "side"))
    engine.add_data([
        TradeTick(
            instrument.id, instrument.make_price(price), instrument.make_qty(size),
            AggressorSide.BUYER if side > 0 else AggressorSide.SELLER, TradeId(str(number)), ts, ts,
        )
        for number, (ts, price, size, side) in enumerate(zip(*columns, strict=True))
    ])  # fmt: skip
    rule = Rule(instrument)
    engine.add_strategy(rule)
    cpu, wall = time.process_time(), time.perf_counter()
    engine.run()
    told = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    print(json.dumps({**told, "decisions": rule.decisions, "orders": rule.orders}))


if __name__ == "__main__":
    main()
