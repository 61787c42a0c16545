"""Without the compiler the kernels are plain Python, and give the same values."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from features.feature_ticks import INSTRUMENT, PERIOD, bars, mixed
from features.test_feature_user import MEAN_PRICE
from ztb.features import SHIPPED, FeatureSet
from ztb.market.ticks import Ticks

ROOT = Path(__file__).resolve().parents[2]
TRANSCENDENTAL = ("return", "body", "volatility", "parkinson", "garman", "downside", "jump", "skewness", "auto",
                  "change", "fast", "slow")  # fmt: skip
PROGRAM = """
import sys
import numpy as np
from features.feature_ticks import INSTRUMENT, PERIOD, bars, mixed
from features.test_feature_user import MEAN_PRICE
from ztb.features import SHIPPED, FeatureSet
from ztb.utils.kernel import COMPILED
assert not COMPILED
made = [FeatureSet(INSTRUMENT, PERIOD, SHIPPED, [MEAN_PRICE]).batch(t) for t in (bars(90), mixed(60))]
np.save(sys.argv[1], np.concatenate(made))
"""


def values(ticks: Ticks) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return FeatureSet(INSTRUMENT, PERIOD, SHIPPED, [MEAN_PRICE]).batch(ticks)


def test_plain_python_gives_the_same_values(tmp_path: Path) -> None:
    paths = os.pathsep.join((str(ROOT / "daemon"), str(ROOT / "tests")))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": paths}
    out = tmp_path / "plain.npy"
    subprocess.run([sys.executable, "-c", PROGRAM, str(out)], check=True, env=environment, timeout=300)
    plain, compiled = np.load(out), np.concatenate((values(bars(90)), values(mixed(60))))
    np.testing.assert_allclose(plain, compiled, rtol=1e-12, atol=1e-12)
    for j, name in enumerate((*SHIPPED, "mean_price")):
        if not any(part in name for part in TRANSCENDENTAL):
            assert plain[:, j].tobytes() == compiled[:, j].tobytes(), name
