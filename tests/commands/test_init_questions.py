"""At a terminal `ztb init` asks, and what the answers make is sound; a wrong answer is asked for again."""

from __future__ import annotations

import json
import os
import pty
import socket
import stat
import sys
from pathlib import Path

import pytest

from ztb.cli import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def at_a_terminal(folder: Path, *answers: str) -> str:
    """All that the terminal shows while `ztb init FOLDER` is answered line by line."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(
            sys.executable,
            [sys.executable, "-m", "ztb", "init", str(folder)],
            os.environ | {"PYTHONPATH": str(ROOT / "daemon"), "TERM": "dumb", "COLUMNS": "200"},
        )
    os.write(terminal, "".join(f"{answer}\n" for answer in answers).encode())
    shown = b""
    while True:
        try:
            said = os.read(terminal, 65_536)
        except OSError:  # nobody holds the other end any more
            break
        if not said:
            break
        shown += said
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code == 0, shown.decode()
    return shown.decode()


def test_answers_make_a_configuration_that_a_start_accepts(tmp_path, capsys, free_port):
    shown = at_a_terminal(
        tmp_path, "real", "live", "krakn", "kraken", "eth-eur", "eth/eur", "much", "500", "2.5", "", f"127.0.0.1:{free_port}",
        "no",
    )  # fmt: skip
    for mended in (
        "'real' is neither",
        "krakn",
        "'eth-eur' is no market",
        "'much' is no number",
        "max_daily_loss_fraction",
    ):
        assert mended in shown, shown
    written = json.loads((tmp_path / "live.json").read_text())
    assert written["market"] == {"venue": "kraken", "symbol": "ETH/EUR"}
    assert (
        written["risk"]["max_daily_loss_fraction"] == 0.025
        and written["risk"]["max_drawdown_fraction"] == 0.1
    )
    assert written["risk"]["max_exposure"] == 0.5  # the rest is as shipped
    assert written["telemetry"] == {"web_listen": f"127.0.0.1:{free_port}"}
    assert run(["config", "check", "--config", str(tmp_path / "live.json")]) == 0
    assert "ztb arm" in shown and (tmp_path / "paper.json").exists()


def test_enter_is_an_answer_and_alerts_go_into_a_file_of_their_own(tmp_path, free_port):
    pytest.importorskip("apprise")
    shown = at_a_terminal(
        tmp_path, "", "", "", "", "", f"127.0.0.1:{free_port}", "nonsense", "json://127.0.0.1/secret"
    )
    secret = tmp_path / "notify_urls"
    assert secret.read_text() == "json://127.0.0.1/secret\n" and stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert f"ZTB_SECRET_NOTIFY_URLS_FILE={secret}" in shown
    written = (tmp_path / "paper.json").read_text()
    assert "secret" not in written and json.loads(written)["market"]["symbol"] == "BTC/USDT"


def test_what_is_there_is_kept_and_nothing_more_is_asked(tmp_path):
    (tmp_path / "paper.json").write_text("{}")
    assert "kept as it is" in at_a_terminal(tmp_path, "paper")
    assert (tmp_path / "paper.json").read_text() == "{}"
