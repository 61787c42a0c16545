"""Each alert rule fires where it should and keeps quiet where it should not, as Prometheus' own promtool sees it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = Path(__file__).resolve().parents[2] / "config" / "prometheus-alerts.yml"
PROMTOOL = shutil.which("promtool")
ONE, ZERO = "1x90", "0x90"
SECOND_HALF = "0x40 1x50"

# Of each rule: series that make it fire by minute 80, and series that do not, by name and a value each minute.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "ZtbDown": ({'up{job="ztb"}': ZERO}, {'up{job="ztb"}': ONE, 'up{job="other"}': ZERO}),
    "ZtbNotTrading": (
        {'ztb_state{state="flat"}': ONE},
        {'ztb_state{state="trading"}': ONE, 'ztb_state{state="waiting"}': ONE, 'ztb_state{state="halted"}': ZERO},
    ),
    "ZtbLimitReached": (
        {'ztb_condition{kind="daily_loss"}': SECOND_HALF},
        {'ztb_condition{kind="daily_loss"}': ZERO, 'ztb_condition{kind="waiting"}': ONE},
    ),
    "ZtbHeld": (
        {'ztb_condition{kind="clock_skew"}': ONE},
        {'ztb_condition{kind="clock_skew"}': "0x79 1 0x10", 'ztb_condition{kind="halted"}': ONE},
    ),
    "ZtbStarting": ({'ztb_state{state="starting"}': ONE}, {'ztb_state{state="starting"}': "1x5 0x85"}),
    "ZtbNoTicks": ({"ztb_last_tick_age_seconds": "600x90"}, {"ztb_last_tick_age_seconds": "20x90"}),
    "ZtbStreamStale": ({'ztb_stream_stale{stream="depth"}': ONE}, {'ztb_stream_stale{stream="depth"}': ZERO}),
    "ZtbReconnecting": (
        {'ztb_stream_reconnects_total{stream="depth"}': "0+1x90"},
        {'ztb_stream_reconnects_total{stream="depth"}': "7x90"},
    ),
    "ZtbLimitNear": (
        {'ztb_limit_used_ratio{limit="drawdown"}': "0.95x90"}, {'ztb_limit_used_ratio{limit="drawdown"}': "0.5x90"}
    ),
    "ZtbDrawdown": ({"ztb_drawdown_ratio": "0.12x90"}, {"ztb_drawdown_ratio": "0.05x90"}),
    "ZtbOrdersRejected": ({"ztb_rejects_total": "0+1x90"}, {"ztb_rejects_total": "100x90"}),
    "ZtbOrdersRefused": (
        {'ztb_refusals_total{reason="daily_loss"}': "0+2x90"}, {'ztb_refusals_total{reason="daily_loss"}': "92x90"}
    ),
    "ZtbAlerted": (
        {'ztb_alerts_total{severity="critical"}': "0x77 1x10"},
        {'ztb_alerts_total{severity="critical"}': "1x90", 'ztb_alerts_total{severity="info"}': "0+1x90"},
    ),
    "ZtbMemoryNear": (
        {"ztb_memory_bytes": "95x90", "ztb_memory_limit_bytes": "100x90"},
        {"ztb_memory_bytes": "50x90", "ztb_memory_limit_bytes": "100x90"},
    ),
    "ZtbLearnerDown": (
        {"ztb_learner_alive": ZERO, "ztb_learner_frozen": ZERO},
        {"ztb_learner_alive": ZERO, "ztb_learner_frozen": ONE},
    ),
    "ZtbLearnerInTrouble": (
        {'ztb_learner_state{state="hung"}': ONE},
        {'ztb_learner_state{state="hung"}': ZERO, 'ztb_learner_state{state="resting"}': ONE},
    ),
    "ZtbUpdateDropped": ({"ztb_learner_non_finite": "0x60 1x30"}, {"ztb_learner_non_finite": "3x90"}),
    "ZtbLearnerCollapsed": ({"ztb_learner_entropy": "0.01x90"}, {"ztb_learner_entropy": "1.2x90"}),
    # The first roll-back of a daemon: its counter has been there from the start, at zero.
    "ZtbRolledBack": (
        {'ztb_generations_total{event="rolled_back"}': "0x60 1x30"},
        {'ztb_generations_total{event="rolled_back"}': ZERO, 'ztb_generations_total{event="made"}': "0+1x90"},
    ),
    "ZtbSlowCheckpoint": ({"ztb_checkpoint_seconds": "30x90"}, {"ztb_checkpoint_seconds": "0.01x90"}),
    "ZtbTelemetryMissed": (
        {'ztb_telemetry{name="mqtt_missed"}': "0+1x90"},
        {'ztb_telemetry{name="mqtt_missed"}': "9x90", 'ztb_telemetry{name="mqtt_waiting"}': "0+1x90"},
    ),
}  # fmt: skip


def case(alert: str, series: dict[str, str], fires: bool) -> dict[str, Any]:
    """A test of promtool's: at minute 80 the rule fires, or does not."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": "80m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_every_rule_has_a_case():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    assert {rule["alert"] for group in groups for rule in group["rules"]} == set(CASES)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)")
class TestAsPromtoolSeesThem:
    def test_they_are_rules(self, tmp_path):
        assert promtool("check", "rules", str(RULES), cwd=tmp_path).returncode == 0

    def test_each_fires_where_it_should_and_keeps_quiet_where_it_should_not(self, tmp_path):
        tests = [
            case(alert, series, fires)
            for alert, both in CASES.items()
            for series, fires in zip(both, (True, False), strict=True)
        ]
        (tmp_path / "tests.yml").write_text(
            yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests})
        )
        done = promtool("test", "rules", "tests.yml", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_a_counter_that_begins_with_its_first_event_would_be_missed(self, tmp_path):
        """Which is why counters are exported from the start, at zero."""
        late = {'ztb_generations_total{event="rolled_back"}': "_x60 1x30"}
        tests = [case("ZtbRolledBack", late, True)]
        (tmp_path / "tests.yml").write_text(
            yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests})
        )
        assert promtool("test", "rules", "tests.yml", cwd=tmp_path).returncode != 0
