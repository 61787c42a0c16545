"""`ztb init` gives a newcomer what works as it stands, and never overwrites what is theirs."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

import ztb.strategies
from ztb.cli import run
from ztb.config import load_config
from ztb.utils.installation import shipped_folder

CONFIGS = ("paper.json", "live.json", "replay.json")


def written(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, str]:
    assert run(["init", "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)["files"]


def test_every_configuration_is_sound_as_it_stands(capsys, tmp_path):
    written(capsys, tmp_path)
    for name in CONFIGS:
        assert load_config(tmp_path / name, {}, {}).config


def test_live_is_more_careful_than_paper(capsys, tmp_path):
    written(capsys, tmp_path)
    live, paper = (load_config(tmp_path / name, {}, {}).config.risk for name in ("live.json", "paper.json"))
    assert live.max_exposure < paper.max_exposure and live.max_drawdown_fraction < paper.max_drawdown_fraction


def test_the_example_strategy_trades(capsys, tmp_path, write_bars, monkeypatch):
    written(capsys, tmp_path)
    monkeypatch.setenv("ZTB_STRATEGY_PATH", str(tmp_path / "strategies"))
    monkeypatch.setattr(ztb.strategies, "__path__", [*ztb.strategies.__path__, str(tmp_path / "strategies")])
    out = tmp_path / "run"
    assert (
        run(["replay", "--data", str(write_bars(400)), "--strategy", "my_strategy", "--out", str(out)]) == 0
    )
    summary = json.loads((out / "summary.json").read_text())
    assert summary["strategy"] == "my_strategy" and summary["fills"] > 0


def test_what_is_the_users_is_kept_and_what_is_ours_is_renewed(capsys, tmp_path):
    written(capsys, tmp_path)
    (tmp_path / "paper.json").write_text("{}")
    (tmp_path / "trade-config.schema.json").write_text("{}")
    again = written(capsys, tmp_path)
    assert (tmp_path / "paper.json").read_text() == "{}"
    assert again[str(tmp_path / "paper.json")] == "kept"
    assert again[str(tmp_path / "trade-config.schema.json")] == "written"
    assert again[str(tmp_path / "live.json")] == "unchanged"


def test_the_system_files_are_where_systemd_looks_and_verify(capsys, tmp_path):
    written(capsys, "--system", "--root", tmp_path)
    units = tmp_path / "etc/systemd/system"
    shipped = shipped_folder("systemd") / "ztb@.service"
    assert (units / "ztb@.service").read_bytes() == shipped.read_bytes()
    assert stat.S_IMODE((tmp_path / "etc/ztb/ztb.env").stat().st_mode) == 0o600
    program = units / "ztb@.service.d" / "program.conf"
    start = program.read_text().splitlines()[-1]
    assert Path(start.removeprefix("ExecStart=").split()[0]).is_file()
    if shutil.which("systemd-analyze") is not None:
        (units / "ztb@paper.service").write_bytes(shipped.read_bytes())
        (units / "ztb@paper.service.d").mkdir()
        shutil.copy(program, units / "ztb@paper.service.d")
        done = subprocess.run(
            ["systemd-analyze", "verify", units / "ztb@paper.service"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_live_instance_gets_its_key_as_credentials(capsys, tmp_path):
    written(capsys, "--system", "--root", tmp_path)
    drop_in = tmp_path / "etc/systemd/system/ztb@live.service.d/credentials.conf"
    loaded = dict(line.split("=")[1].split(":") for line in drop_in.read_text().splitlines()[1:])
    assert set(loaded) == {"exchange_api_key", "exchange_secret"}


def test_a_folder_that_cannot_be_written_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert run(["init", str(tmp_path / "file" / "sub")]) == 2
    said = capsys.readouterr().err
    assert "paper.json: cannot be written" in said and "choose another folder" in said
