"""ccxt without the exchanges that nobody names."""

from __future__ import annotations

import json
import subprocess
import sys

_ASKED = """
import json, sys
from ztb.market.live.exchanges import ccxt_errors, ccxt_pro
loaded = lambda: sum(name.count(".") == 2 and name.startswith("ccxt.pro.") for name in sys.modules)
before = loaded()
derived = ccxt_pro.binanceusdm
import ccxt
from ccxt import kraken
try:
    ccxt.nowhere
    unknown = ""
except AttributeError as error:
    unknown = str(error)
print(json.dumps({
    "before": before, "after": loaded(), "id": derived().describe()["id"],
    "derives": issubclass(derived, ccxt_pro.binance) and issubclass(ccxt_pro.binance, ccxt.async_support.binance),
    "class": isinstance(kraken, type) and ccxt.kraken is kraken, "unknown": unknown,
    "error": ccxt.NetworkError is ccxt_errors.NetworkError, "known": len(ccxt.exchanges) > len(ccxt_pro.exchanges) > 50,
}))
"""


def test_only_the_exchanges_that_are_named_are_loaded_and_they_are_what_ccxt_makes_them():
    """In a process of its own: what is imported here already would be found."""
    done = subprocess.run([sys.executable, "-c", _ASKED], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said == {
        "before": 0,
        "after": 2,  # it, and what it derives from
        "id": "binanceusdm",
        "derives": True,
        "class": True,
        "unknown": "module 'ccxt' has no attribute 'nowhere'",
        "error": True,
        "known": True,
    }
