"""Every walk of CONTRIBUTING is made in a copy of the code, and what came of it is used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
WALKS = dict(re.findall(r"^## An? ([^:]+): [^\n]+\n.*?```diff\n(.*?)```", TEXT, re.M | re.S))
FILES = {"strategy": 1, "reward": 2, "feature": 2, "risk limit": 2, "exchange's quirk": 1}
USES = {
    "strategy": """
from types import SimpleNamespace as Given
from ztb.strategies.loader import load_strategy
made = load_strategy("mondays").make(Given(ladder=(-1.0, 0.0, 1.0)))
day = 86_400_000_000_000
sizes = [made.decide(Given(ts_ns=(4 + k) * day)).size for k in range(7)]
assert sizes == [2, 1, 1, 1, 1, 1, 1], sizes
""",
    "reward": """
from ztb.trading.rewards import begin_reward, new_reward, next_reward
from ztb.trading.settings import RewardConfig
state = new_reward(RewardConfig(reward="simple_return"))
begin_reward(state[0], 100.0, 0.0)
assert abs(next_reward(state[0], 103.0, 0.0) - 0.03) < 1e-12
""",
    "feature": """
import numpy as np
from features.feature_ticks import INSTRUMENT, PERIOD, bars
from ztb.features.featureset import FeatureSet
ticks = bars(40)
got = FeatureSet(INSTRUMENT, PERIOD, ["return_3"]).batch(ticks)[:, 0]
wanted = np.log(ticks["price"][3:] / ticks["price"][:-3])
assert np.allclose(got[4:], wanted[1:]), (got, wanted)
""",
    "risk limit": """
from ztb.execution.risk import REASONS, RefusalReason, RiskLimits
from ztb.execution.risk_gate import OrderFacts, Proposal, RiskGate
gate = RiskGate(RiskLimits(max_position_value_quote=150.0))
gate.mark(0, 1_000.0)
facts = OrderFacts(0, 0, mid=100.0, position=1.0, equity=1_000.0, open_buys=0.0, open_sells=0.0)
assert gate.check(Proposal(1, 0.4, 100.0), facts) is RefusalReason.PASSED
assert gate.check(Proposal(1, 0.6, 100.0), facts) is RefusalReason.POSITION_VALUE
assert set(REASONS) == set(RefusalReason)
""",
    "exchange's quirk": """
from ztb.market.venues import INVERSE, contract_unit, costs, market_in_venue, settled, venue_name
assert venue_name("Exemplary Futures") == "exemplary"
assert settled("exemplary", "USD", market_in_venue("exemplary-futures")) == INVERSE
assert contract_unit("exemplary", INVERSE, "BTC").quotes == 100.0
assert str(costs("exemplary", "spot").taker_fee) == "0.002"
""",
}


def _walk(text: str, copy: Path) -> list[Path]:
    """Change the files in `copy` as `text` says; returns them."""
    changed = []
    for part in re.split(r"^--- ", text, flags=re.M)[1:]:
        name, *hunks = re.split(r"\n@@\n", part.rstrip("\n"))
        path = copy / name
        content = path.read_text(encoding="utf-8") if path.exists() else ""
        for lines in (hunk.split("\n") for hunk in hunks):
            old = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
            new = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
            assert content.count(old) == 1 or not content, f"{name} has not once: {old}"
            content = content.replace(old, new) if content else new
        path.write_text(content, encoding="utf-8")
        changed.append(path)
    return changed


def test_there_are_five_walks() -> None:
    assert set(WALKS) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_walk_leads_where_it_says(name: str, tmp_path: Path) -> None:
    for part in ("daemon/ztb", "strategies"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "shipped"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert len(_walk(WALKS[name], tmp_path)) == FILES[name]
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path / 'daemon'}:{ROOT / 'tests'}",
        "NUMBA_DISABLE_JIT": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", USES[name]], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
