"""The configuration is strict, bounded, published, and every value knows its origin."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from ztb.config import Config, config_hash, load_config, recorded_config, schema
from ztb.errors import ConfigError, DataError

FOLDER = Path(__file__).resolve().parents[1] / "config"
SECTIONS = {
    "market", "features", "decision", "strategy", "ppo", "online", "gate", "allocation", "risk",
    "execution", "paper",
    "checkpoint", "telemetry", "mqtt", "limits",
}  # fmt: skip


def test_the_published_files_are_the_codes():
    content = json.loads((FOLDER / "trade-config.json").read_text())
    assert content.pop("$schema") == "trade-config.schema.json"
    assert content == Config().model_dump(mode="json") and set(content) == SECTIONS
    assert json.loads((FOLDER / "trade-config.schema.json").read_text()) == schema()
    assert load_config(FOLDER / "trade-config.json", {}, {}).config == Config()


def numbers(node: object, path: str = "") -> list[tuple[str, dict[str, object]]]:
    found: list[tuple[str, dict[str, object]]] = []
    if isinstance(node, dict):
        if node.get("type") in ("number", "integer"):
            found.append((path, node))
        for key, value in node.items():
            found += numbers(value, f"{path}/{key}")
    if isinstance(node, list):
        for i, value in enumerate(node):
            found += numbers(value, f"{path}/{i}")
    return found


def test_every_number_has_a_bound_in_the_schema():
    bounds = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}
    free = [
        path for path, node in numbers(schema()["$defs"]) if not bounds & set(node) and "/items" not in path
    ]
    assert free == []


def test_flags_beat_environment_beats_file_beats_default(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(
        json.dumps({"online": {"update_every_decisions": 11, "reward_scale": 5}, "gate": {"max_kl": 0.1}})
    )
    environment = {"ZTB_ONLINE__UPDATE_EVERY_DECISIONS": "12", "ZTB_GATE__MAX_KL": "0.2"}
    loaded = load_config(path, {"gate.max_kl": 0.3}, environment)
    assert (loaded.config.online.update_every_decisions, loaded.config.online.reward_scale) == (12, 5)
    assert loaded.config.gate.max_kl == 0.3 and loaded.config.gate.min_entropy_fraction == 0.02
    assert loaded.origins == {
        "online.update_every_decisions": "environment", "online.reward_scale": str(path), "gate.max_kl": "flag",
    }  # fmt: skip


def test_the_two_short_names_of_the_environment():
    loaded = load_config(None, {}, {"ZTB_CHECKPOINT_INTERVAL": "7", "ZTB_MAX_MEMORY_GB": "2.5"})
    assert loaded.config.checkpoint.interval_updates == 7 and loaded.config.limits.max_memory_gb == 2.5


def test_an_unknown_environment_setting_is_an_error():
    with pytest.raises(ConfigError, match=r"environment: unknown key in risk: 'max_exposur'; did you mean"):
        load_config(None, {}, {"ZTB_RISK__MAX_EXPOSUR": "1"})


def test_the_hash_sees_what_can_change_a_result_and_nothing_else():
    base = config_hash(Config())
    assert (
        config_hash(load_config(None, {"market.block_rows": 7, "telemetry.log_level": "debug"}, {}).config)
        == base
    )
    assert config_hash(load_config(None, {"risk.max_exposure": 1.0}, {}).config) != base
    assert config_hash(load_config(None, {"ppo.gamma": 0.9}, {}).config) != base


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Config().online.reward_scale = 3.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        Config().market.symbol = "BTC/USD"  # type: ignore[misc]


def test_sections_that_are_settings_are_as_strict_as_the_others():
    for flag, reason in (
        ({"gate.slots": 0}, "gate.slots: Input should be greater"),
        ({"online.reward_scale": "inf"}, "online.reward_scale: Input should be a finite number"),
        ({"allocation.prior": 0.6}, "allocation.prior: Input should be less"),
        ({"execution.band_fractio": 0.1}, "did you mean 'band_fraction'"),
        ({"online.profiles": {"mad": {}}}, "online.profiles: no profile 'mad'"),
    ):
        with pytest.raises(ConfigError, match=reason):
            load_config(None, flag, {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{\n "risk": {"max_exposure": 0.2},\n "market": {},\n "risk": {}\n}', r"'risk' stands twice \(line 2 and line 4\)"),
        ('{"risk": {"max_exposure": 0.2,\n "max_exposure": 0.9}}', r"'risk\.max_exposure' stands twice \(line 1 and line 2\)"),
        ('{"strategy": {"options": {"a": 1, "b": {"c": 1,\n\n "c": 1}}}}', r"'strategy\.options\.b\.c' stands twice \(line 1 and line 3\)"),
        ('{"market": {"symbol": "A/B", "s\\u0079mbol": "C/D"}}', r"'market\.symbol' stands twice"),
        ('{"features": {"names": []}, "features": {"names": []}}', "'features' stands twice"),
    ],
)  # fmt: skip
def test_what_stands_twice_is_refused_with_both_lines(tmp_path, text, reason):
    path = tmp_path / "twice.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        load_config(path, {}, {})


def test_keys_of_different_objects_and_in_texts_are_not_twice(tmp_path):
    path = tmp_path / "once.json"
    path.write_text(
        '{"strategy": {"name": "hold", "options": {"name": "\\"name\\": {", "list": [{"a": 1}, {"a": 2}]}}}'
    )
    assert load_config(path, {}, {}).config.strategy.options["list"] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_the_configuration(tmp_path, encoding):
    path = tmp_path / "marked.json"
    path.write_bytes('{"risk": {"max_exposure": 0.2}}'.encode(encoding))
    assert load_config(path, {}, {}).config.risk.max_exposure == 0.2


@pytest.mark.parametrize("fee", ["0.1", "0.05", "-0.001"])
def test_a_fee_of_ten_per_cent_is_a_slip(fee):
    with pytest.raises(ConfigError, match=r"market\.taker_fee"):
        load_config(None, {"market.taker_fee": fee}, {})


@pytest.mark.parametrize("symbol", ["hello", "BTC/", "BTC/USDT:"])
def test_a_symbol_that_cannot_be_cut_is_refused_where_it_stands(symbol):
    with pytest.raises(
        ConfigError, match=r"^flag: market\.symbol: base and quote .*: write BASE/QUOTE \(got '"
    ):
        load_config(None, {"market.symbol": symbol}, {})
    assert load_config(None, {"market.symbol": "btc-usdt"}, {}).config.market.symbol == "btc-usdt"


RETIRED = (
    "normalize_observations",
    "clip_observations",
    "normalize_rewards",
    "clip_rewards",
    "log_std",
    "squash_actions",
)


@pytest.mark.parametrize("key", RETIRED)
def test_an_option_that_never_did_anything_is_named_with_what_to_do(key, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"ppo": {"gamma": 0.9, key: 0}}))
    with pytest.raises(ConfigError, match=rf"old\.json: ppo\.{key} never did anything: .*; remove it"):
        load_config(path, environment={})


def test_what_a_run_wrote_down_is_read_without_what_never_did_anything():
    tree = Config().model_dump(mode="json")
    tree["ppo"] |= {**dict.fromkeys(RETIRED, 0), "gamma": 0.9}
    config = recorded_config({"config": tree, "code_version": "0.0.9"}, "runs/old")
    assert config == load_config(None, {"ppo.gamma": 0.9}, {}).config
    tree["ppo"]["momentum"] = 0.9
    with pytest.raises(DataError, match=r"runs/old: made by version 0\.0\.9, .*: ppo\.momentum"):
        recorded_config({"config": tree, "code_version": "0.0.9"}, "runs/old")
