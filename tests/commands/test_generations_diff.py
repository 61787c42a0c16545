"""`ztb generations diff` tells lineage, figures, and the distance of weights and behaviour."""

from __future__ import annotations

import json

import numpy as np
import pytest

from telemetry.conftest import SHAPE, WEIGHTS, make_run  # noqa: F401 (a fixture)
from ztb.commands.generations_diff import diff
from ztb.errors import NotFoundError, ZtbError
from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.weights import flatten


def test_figures_lineage_distance_and_divergence(make_run, capsys):  # noqa: F811
    directory = make_run()
    assert diff(directory.path, 0, 1, as_json=True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lineage"] == [[0], [1, 0]] and facts["common_ancestor"] == 0
    assert facts["figures"][1]["reason"] == "passed" and facts["figures"][1]["log_evidence"] == 3.5
    vectors = [flatten(SHAPE, WEIGHTS[number]) for number in (0, 1)]
    assert facts["weights_distance"] == pytest.approx(np.linalg.norm(vectors[1] - vectors[0]), rel=1e-5)
    assert facts["observations"] == 40 and facts["kl"] > 0.0
    assert diff(directory.path, 1, 1, as_json=True) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["weights_distance"] == same["kl"] == 0.0
    assert ServingPolicy(SHAPE, WEIGHTS[0]).shape == SHAPE


def test_the_table_has_both_generations(make_run, capsys):  # noqa: F811
    assert diff(make_run().path, 0, 1, as_json=False) == 0
    printed = capsys.readouterr().out
    for words in ("generation 0", "generation 1", "1 ← 0", "weights_distance", "passed"):
        assert words in printed


def test_the_other_one_is_the_newest_unless_it_is_named(make_run, capsys):  # noqa: F811
    assert diff(make_run().path, 0, None, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["generations"] == [0, 1]


def test_what_is_not_there_is_said(make_run, tmp_path):  # noqa: F811
    with pytest.raises(NotFoundError, match="no run directory"):
        diff(tmp_path, 0, 1, as_json=True)
    with pytest.raises(ZtbError, match="generation 7 were not kept; those of 0, 1 were"):
        diff(make_run().path, 0, 7, as_json=True)
