"""Sections on what is traded, what is seen of it, and by whom it is decided."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ztb.config.section import NO_EFFECT, Section
from ztb.market.symbols import parse_symbol


def _can_be_cut(symbol: str) -> str:
    if parse_symbol(symbol) is None:
        raise ValueError("base and quote cannot be told apart: write BASE/QUOTE")
    return symbol


class MarketSection(Section):
    """The instrument and its data; empty values are inferred from the data and said so."""

    symbol: Annotated[str, AfterValidator(_can_be_cut)] | None = Field(
        default=None, description="such as BTC/USD"
    )
    venue: str | None = Field(
        default=None, description="such as coinbase; sets fees and spread not given here"
    )
    tick_size: Decimal | None = Field(
        default=None, gt=0, description="price increment, exact decimal, quote currency"
    )
    lot_size: Decimal | None = Field(
        default=None, gt=0, description="quantity increment, exact decimal, base currency"
    )
    maker_fee: Decimal | None = Field(
        default=None, ge=0, lt=0.05, description="fraction of notional, exact decimal: 0.001 is 0.1 %"
    )
    taker_fee: Decimal | None = Field(
        default=None, ge=0, lt=0.05, description="fraction of notional, exact decimal: 0.001 is 0.1 %"
    )
    spread_bps: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        default=None, description="typical spread where the data have no quotes, basis points"
    )
    block_rows: Annotated[int, Field(ge=1, le=1_048_576)] | None = Field(
        default=None,
        description="rows read at a time; null: 1,024 as they come, 32,768 of history",
        json_schema_extra=NO_EFFECT,
    )
    client: dict[str, Any] = Field(
        default_factory=dict,
        description="options for the venue's ccxt client, such as urls and options; never a key",
    )
    allowed_hosts: tuple[str, ...] | None = Field(
        default=None, description="the only hosts that may be reached; default: the venue's own"
    )
    sandbox: bool = Field(
        default=False, description="the venue's test system, with keys of its own, where ccxt knows one"
    )
    streams: tuple[Literal["trades", "quotes", "depth", "bars"], ...] = Field(
        default=("trades", "quotes"), min_length=1, description="what is read live"
    )
    decoders: bool = Field(
        default=True,
        description="trades, quotes and books of known venues are decoded without ccxt: the same rows, sooner",
    )
    timeframe: str = Field(default="1m", description="length of live bars, as ccxt writes it")
    depth_levels: int = Field(default=20, ge=1, le=200, description="levels a side of live books")
    poll_s: float = Field(
        default=2.0, ge=0.1, le=3600, description="between two requests where the venue has no stream"
    )
    stale_s: float = Field(
        default=10.0, ge=0.5, le=3600, description="silence of a stream after which the venue is asked"
    )
    flush_ms: float = Field(default=5.0, ge=0, le=1000, description="live rows are handed on this often")
    warm_up_s: float = Field(
        default=1800.0, ge=0, le=31_536_000, description="history fetched at a live start, not traded on"
    )
    record: bool = Field(default=True, description="keep live ticks in the run's folder")
    record_file_mb: int = Field(default=256, ge=1, le=65_536, description="a recording's file ends there")
    record_file_minutes: float = Field(
        default=60.0, ge=0.1, le=10_080, description="a recording's file ends then"
    )
    record_min_free_mb: int = Field(
        default=512, ge=0, le=1_048_576, description="free disk below which recording stops"
    )
    record_keep_gb: float = Field(
        default=100.0,
        ge=0,
        le=1_000_000,
        description="of all recorded ticks; beyond it the oldest go; 0: all stay",
    )
    record_keep_days: float = Field(
        default=365.0, ge=0, le=36_500, description="recorded ticks that are older go; 0: all stay"
    )


class FeaturesSection(Section):
    """The features that the policy sees."""

    names: tuple[str, ...] | None = Field(default=None, description="default: the strategy's, or all shipped")


class StrategySection(Section):
    """The strategy that trades, and its own options."""

    name: str = Field(default="ppo_online", description="a file in strategies/ or ZTB_STRATEGY_PATH")
    options: dict[str, Any] = Field(default_factory=dict, description="handed to the strategy as they are")
    sample: bool = Field(
        default=False,
        description="draw each action from the policy's probabilities, and pay for it with the account's money, "
        "in place of its most probable action",
    )
