"""Columns of a table as numpy arrays, whatever type the file gave them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.files import printable

# Its stubs know fewer overloads than it has.
pc: Any = arrow_compute

_BUY = (
    *("buy", "b", "bid", "bids", "1", "1.0", "+1", "+", "long", "buyer", "bought", "taker_buy", "buy_taker"),
    *("买", "买入"),
)
_SELL = (
    *("sell", "s", "a", "ask", "asks", "-1", "-1.0", "2", "2.0", "-", "short", "seller", "sold", "offer"),
    *("taker_sell", "sell_taker", "卖", "卖出"),
)
KNOWN_SIDES = frozenset(_BUY + _SELL)
_TRUE, _FALSE = ("true", "1", "t", "1.0", "yes", "y"), ("false", "0", "f", "0.0", "no", "n")
_MIX = np.uint64(0x9E3779B97F4A7C15)


def floats(column: Any) -> NDArray[np.float64]:
    """(n,) float64, NaN where the column is empty; text is parsed."""
    if column.type == pa.float32():
        # A price kept in 32 bits is the decimal that its shortest spelling says.
        column = pc.cast(column, pa.string())
    values: NDArray[np.float64] = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    return values


def sides(column: Any) -> NDArray[np.int8]:
    """(n,) +1 for a buyer or a bid, -1 for a seller or an ask, 0 otherwise."""
    return _by_word(column, _BUY, _SELL)


def truths(column: Any) -> NDArray[np.bool_]:
    """(n,) bool of a column of truth values or of their names."""
    return _by_word(column, _TRUE, ()) > 0


def signs(column: Any) -> NDArray[np.int8]:
    """(n,) +1 where a truth value is true, -1 where it is false, 0 where it is neither."""
    return _by_word(column, _TRUE, _FALSE)


def _by_word(column: Any, plus: Collection[str], minus: Collection[str]) -> NDArray[np.int8]:
    """(n,) +1 where a column's word is one of `plus`, -1 where it is one of `minus`, 0 otherwise."""
    found = pc.dictionary_encode(column if column.type == pa.string() else pc.cast(column, pa.string()))
    words = [str(word).strip().lower() for word in found.dictionary.to_pylist()]
    meaning = np.array([(word in plus) - (word in minus) for word in words] + [0], np.int8)
    indices = found.indices if found.null_count == 0 else pc.fill_null(found.indices, len(words))
    values: NDArray[np.int8] = meaning[indices.to_numpy(zero_copy_only=False)]
    return values


def _whole(column: Any) -> NDArray[np.int64]:
    filled = pc.fill_null(pc.cast(column, pa.int64()), pa.scalar(-1, pa.int64()))
    values: NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return values


def identities(column: Any) -> NDArray[np.int64]:
    """(n,) ids: whole numbers as they are, -1 where there is none; other text as a 63-bit hash."""
    if pa.types.is_integer(column.type):
        return _whole(column)
    text = pc.fill_null(pc.cast(column, pa.string()), "")
    if pc.all(pc.match_substring_regex(text, r"^\d{1,18}$")).as_py():
        return _whole(text)
    return _mixed(np.asarray(pc.cast(text, pa.binary()).to_pylist(), dtype=np.bytes_))


def _mixed(text: NDArray[np.bytes_]) -> NDArray[np.int64]:
    width = -(-text.dtype.itemsize // 8) * 8
    words = text.astype(f"S{width}").view(np.uint64).reshape(len(text), width // 8)
    result = np.zeros(len(text), np.uint64)
    for i in range(words.shape[1]):
        result = (result ^ words[:, i]) * _MIX
        result ^= result >> np.uint64(29)
    return (result >> np.uint64(1)).view(np.int64)


def one_value(column: Any, where: str, what: str) -> str | None:
    """The single text in a column; None if it is empty; DataError if it has several."""
    values = [str(v) for v in pc.unique(column).to_pylist() if v not in (None, "")]
    if len(values) > 1:
        raise DataError(
            f"{where}: holds more than one {what} ({printable(', '.join(sorted(values)[:5]))}): split it, one for each"
        )
    return values[0] if values else None
