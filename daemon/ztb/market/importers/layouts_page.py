"""LAYOUTS.md, made from the table of layouts: `python -m ztb.market.importers.layouts_page` writes it anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ztb.market.importers.headerless import PATTERNS
from ztb.market.importers.layouts import ALIASES, GENERIC, LAYOUTS, Layout
from ztb.market.ticks import BAR, QUOTE, TRADE, TickKind
from ztb.market.venues import VENUES

PAGE = Path(__file__).parent / "LAYOUTS.md"
_INTRODUCTION = """# What files are understood

Made from the code by `python -m ztb.market.importers.layouts_page`; a test compares. A file is told by its content,
never by its suffix: first its format and packing, then its columns, then how its first rows write times and quantities.

- **Formats**: CSV with any separator, encoding (UTF-8, UTF-16, UTF-32, Latin-1) and decimal comma, with comments, blank
  lines and lines of credit; JSON as lists, records, lines, columns, or within the answer of a venue; parquet, feather,
  Arrow streams; recordings of our own and of Binance's streams. Packed by gzip, zstd, lz4, bzip2, xz or zip (one file).
- **Times**: seconds to nanoseconds since 1970, dates in digits (`YYYYMMDD`, `YYYYMMDDHHMM`, `YYMMDDHHMM` …), ISO 8601
  and the usual ways to write a date; day and clock may be two columns. Without a zone they are UTC. Day and month are
  told apart by what makes even steps; where nothing does, the file is refused. Rows that come newest first are turned
  around.
- **A bar's time** is its opening, unless its column says otherwise or the times are an instant short of the next bar.
- **Quantities** are coins on spot. A contract market counts as its venue does; a column of coins (`homeNotional`,
  `volCcy`, base volume) comes before one of contracts, and quote currency is divided by the price. Which of two columns
  is coins shows by what they cost.
- **The taker's side**: buy, buyer, b, bid, 1 and their opposites; whether the buyer was the maker; the quantity's sign.
- **Numbers** may have commas between thousands, a dollar, or K, M and B for what is left out.
- **Prices** without a grid (adjusted, averaged, of 32 bits) are rounded by less than a ten millionth, and that is said.
"""


def layouts_page() -> str:
    """The page as Markdown."""
    return "\n".join((_INTRODUCTION, *_named(), *_unnamed(), *_generic(), *_venues())).rstrip() + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(text.replace('|', '&#124;') for text in row)} |" for row in rows)
    yield ""


def _named() -> Iterator[str]:
    yield "## Tables whose columns have names, the first that fits\n"
    rows = [
        (layout.name, _kind(layout.kind), layout.venue or "", ", ".join(f"`{c}`" for c in layout.columns.values()),
         _assumed(layout))
        for layout in LAYOUTS
    ]  # fmt: skip
    yield from _table(("layout", "of", "venue", "columns", "assumed"), rows)


def _unnamed() -> Iterator[str]:
    yield "## Tables without names of columns, the first whose values hold together\n"
    rows = [
        (pattern.name, _kind(pattern.kind), pattern.venue or "", " ".join(pattern.roles),
         _assumed(pattern.layout()))
        for pattern in PATTERNS
    ]  # fmt: skip
    yield from _table(("layout", "of", "venue", "columns", "assumed"), rows)


def _generic() -> Iterator[str]:
    yield "## Any other table with these names\n"
    yield "Upper and lower case, blanks, brackets, camelCase and underscores are the same.\n"
    for name, _, needed, optional in GENERIC:
        yield f"- **{name}**: {', '.join(needed)}; if there: {', '.join(optional)}"
    yield ""
    rows = [
        (role, ", ".join(f"`{name}`" if name else "no name" for name in names))
        for role, names in ALIASES.items()
    ]
    yield from _table(("role", "names, the first that is there"), rows)


def _venues() -> Iterator[str]:
    yield "## Venues, and what they cost where nothing else tells\n"
    rows = []
    for name, venue in VENUES.items():
        for market, costs in (("spot", venue.spot), ("contracts", venue.contracts)):
            if costs is not None:
                counted = "contracts" if venue.counted and market == "contracts" else "coins"
                rows.append((name, market, f"{costs.maker_fee:f}", f"{costs.taker_fee:f}", f"{costs.spread_bps:g}",
                             counted))  # fmt: skip
    yield from _table(("venue", "market", "maker", "taker", "spread, bps", "linear quantities count"), rows)


def _kind(kind: int) -> str:
    return TickKind(kind).name.lower() + "s"


def _assumed(layout: Layout) -> str:
    """What is taken for granted of a layout, in words."""
    market = None if layout.market is None else f"{layout.market} market"
    ends = {True: "a bar's time is its end", False: "a bar's time is its opening"}[layout.closes]
    said = (market, _quantities(layout), ends if layout.kind == BAR else _side(layout), layout.assumes)
    return "; ".join(dict.fromkeys(filter(None, said)))


def _quantities(layout: Layout) -> str:
    roles = set(layout.columns)
    if layout.kind == QUOTE:
        return (
            "no quantities" if not {"bid_size", "ask_size"} & roles else "quantities count as the market does"
        )
    if "base_size" in roles:
        return "quantities are coins"
    if "tick_size" in roles:
        return ""
    if {"size", "signed_size"} & roles:
        return "quantities count as the market does"
    return "quantities are what a fixed sum buys" if "quote_size" not in roles else ""


def _side(layout: Layout) -> str:
    told = {"side", "maker", "maker_side", "buyer", "signed_size"} & set(layout.columns)
    return "nothing tells the taker's side" if layout.kind == TRADE and not told else ""


if __name__ == "__main__":
    PAGE.write_text(layouts_page(), encoding="utf-8")
