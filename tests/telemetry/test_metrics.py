"""What is exported says what the snapshot says; dashboard and alert rules name nothing that is not exported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from telemetry.made_up import START_NS, alert, fill_row, generation_row, refusal_row, snapshot
from ztb.telemetry.metrics import Metrics, described
from ztb.telemetry.snapshot import State

CONFIG = Path(__file__).resolve().parents[2] / "config"
COUNTED = {"ztb_generations_total", "ztb_refusals_total", "ztb_fills_total", "ztb_alerts_total"}
NAMED = re.compile(r"\bztb_[a-z0-9_]+\b")


def exported(metrics: Metrics | None = None, **changed: object) -> dict[tuple[str, tuple[str, ...]], float]:
    text = (metrics or full()).exposition(snapshot(**changed)).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def full() -> Metrics:
    metrics = Metrics([lambda: {"mqtt_waiting": 3.0}])
    for record in (fill_row(), refusal_row(), generation_row(1, "promoted"), generation_row(2, "rejected")):
        metrics.record(record)
    metrics.alert(alert())
    return metrics


def test_every_figure_is_exported_in_its_base_unit():
    found = exported()
    assert found["ztb_equity_quote", ()] == 10_012.6
    assert found["ztb_lag_seconds", ()] == pytest.approx(0.0125)
    assert found["ztb_memory_bytes", ()] == 512e6
    assert found["ztb_ticks_total", ()] == 120_000
    assert found["ztb_fills_total", ("taker",)] == 1.0
    assert found["ztb_refusals_total", ("max_exposure",)] == 1.0
    assert (
        found["ztb_generations_total", ("promoted",)] == found["ztb_generations_total", ("rejected",)] == 1.0
    )
    assert found["ztb_limit_used_ratio", ("drawdown",)] == pytest.approx(0.06)
    assert found["ztb_stream_reconnects_total", ("depth",)] == 5.0
    assert found["ztb_stream_stale", ("depth",)] == 1.0
    assert found["ztb_learner_kl", ()] == 0.012 and found["ztb_generation", ()] == 3.0
    assert found["ztb_checkpoint_seconds", ()] == pytest.approx(0.0065)
    assert found["ztb_learner_waiting", ()] == 30.0 and found["ztb_learner_dropped", ()] == 1.0
    assert found["ztb_learner_churn", ()] == 0.06 and found["ztb_learner_dormant", ()] == 0.02
    assert found["ztb_learner_tainted", ()] == 2.0 and found["ztb_learner_empty", ()] == 4.0
    assert found["ztb_expert_weight", ("trend",)] == 0.125
    assert found["ztb_expert_log_evidence", ("generation 3",)] == 2.0
    assert found["ztb_helping_ratio", ("unlearnt",)] == 0.0015
    assert found["ztb_telemetry", ("mqtt_waiting",)] == 3.0
    assert found["ztb_alerts_total", ("warning",)] == 1.0


def test_counters_are_there_from_the_start_at_zero():
    """Of one that begins with its first event, no rule sees the first increase."""
    found = exported(Metrics())
    counted = {key: value for key, value in found.items() if key[0] in COUNTED and key[1]}
    assert set(counted.values()) == {0.0} and {name for name, _ in counted} == COUNTED
    assert ("ztb_generations_total", ("rolled_back",)) in counted
    assert ("ztb_refusals_total", ("daily_loss",)) in counted and ("ztb_fills_total", ("maker",)) in counted
    assert ("ztb_alerts_total", ("critical",)) in counted


def test_one_state_is_one_and_the_others_are_zero():
    states = {
        labels[0]: value for (name, labels), value in exported(state="halted").items() if name == "ztb_state"
    }
    assert (
        states.pop("halted") == 1.0
        and len(states) == len(get_args(State)) - 1
        and set(states.values()) == {0.0}
    )


def test_the_age_of_a_tick_means_something_on_live_data_alone():
    assert exported(last_tick_ns=START_NS)["ztb_last_tick_age_seconds", ()] == 3600.0
    assert ("ztb_last_tick_age_seconds", ()) not in exported(mode="replay")


def test_what_does_not_exist_is_not_exported():
    found = exported(mid=None, learner=None, generation=None, hold_equity=None, last_save_ms=None)
    names = {name for name, _ in found}
    assert not names & {
        "ztb_mid_quote",
        "ztb_learner_kl",
        "ztb_generation",
        "ztb_hold_equity_quote",
        "ztb_checkpoint_seconds",
    }
    assert all(value == value for value in found.values())


def named_in_the_dashboard() -> set[str]:
    board = json.loads((CONFIG / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [str(item["query"]) for item in board["templating"]["list"]]
    return {name for expression in expressions for name in NAMED.findall(expression)}


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load((CONFIG / "prometheus-alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_metric_that_a_dashboard_or_a_rule_names_is_exported():
    available = {name for name, _ in exported()}
    asked = named_in_the_dashboard() | {name for rule in rules() for name in NAMED.findall(rule["expr"])}
    assert len(asked) >= 35 and asked - available == set()


def test_every_rule_says_what_is_wrong_and_how_bad_it_is():
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 10
    for rule in rules():
        assert (
            rule["labels"]["severity"] in {"info", "warning", "critical"} and rule["annotations"]["summary"]
        )
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_what_is_described_is_what_is_exported():
    text = full().exposition(snapshot()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    told = {name: (kind, labels, meaning) for name, kind, labels, meaning in described()}
    assert {name.removesuffix("_total") for name in told} == set(families)
    for name, (kind, labels, meaning) in told.items():
        family = families[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (kind, meaning)
        assert all(set(sample.labels) == set(labels) for sample in family.samples)
