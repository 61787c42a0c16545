"""A secret has three sources and no place in anything that is written."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztb.errors import ConfigError
from ztb.secrets import HIDDEN, Redactor, known_secrets, read_secret, require_secret


def test_environment_beats_file_beats_credential(tmp_path):
    (tmp_path / "mqtt_password").write_text("from the unit\n")
    private = tmp_path / "private"
    private.write_text("from the file\n")
    private.chmod(0o600)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_secret("mqtt_password", environment) == "from the unit"
    environment["ZTB_SECRET_MQTT_PASSWORD_FILE"] = str(private)
    assert read_secret("mqtt_password", environment) == "from the file"
    environment["ZTB_SECRET_MQTT_PASSWORD"] = "from the environment"
    assert read_secret("mqtt_password", environment) == "from the environment"
    assert read_secret("another", environment) is None


def test_a_file_that_others_may_read_is_refused(tmp_path):
    open_to_all = tmp_path / "open"
    open_to_all.write_text("long enough to be one")
    open_to_all.chmod(0o640)
    with pytest.raises(ConfigError, match=f"chmod 600 {open_to_all}"):
        read_secret("x", {"ZTB_SECRET_X_FILE": str(open_to_all)})


def test_what_is_wrong_with_a_secret_is_said_without_it():
    with pytest.raises(ConfigError, match=r"\$ZTB_SECRET_X: .* at least 8 characters") as raised:
        read_secret("x", {"ZTB_SECRET_X": "short"})
    assert "short" not in str(raised.value)
    with pytest.raises(ConfigError, match=r"mqtt.username needs the secret 'x': set \$ZTB_SECRET_X"):
        require_secret("x", "mqtt.username", {})
    with pytest.raises(ConfigError, match=r"nowhere: the secret cannot be read"):
        read_secret("x", {"ZTB_SECRET_X_FILE": "/nowhere"})


def test_all_secrets_within_reach_are_known(tmp_path):
    (tmp_path / "a").write_text("secret of the unit")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "ZTB_SECRET_B": "secret of the environment"}
    assert known_secrets(environment) == ["secret of the unit", "secret of the environment"]


HARD = "p@ss \"w/ö\\rd'+=&%41 tail"
FORMS = {
    "raw": lambda s: s,
    "json": json.dumps,
    "json of json": lambda s: json.dumps(json.dumps(s)),
    "unicode json": lambda s: json.dumps(s, ensure_ascii=False),
    "repr": repr,
    "repr of repr": lambda s: repr(repr(s)),
    "bytes": lambda s: repr(s.encode()),
    "quoted": quote,
    "quoted entirely": lambda s: quote(s, safe=""),
    "quoted, lower case": lambda s: quote(s, safe="").lower(),
    "quoted twice": lambda s: quote(quote(s, safe=""), safe=""),
    "form": quote_plus,
    "query": lambda s: urlencode({"token": s}),
    "basic authorization": lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
    "basic, shifted": lambda s: base64.b64encode(f"us:{s}:more".encode()).decode(),
    "url-safe base64": lambda s: base64.urlsafe_b64encode(f"u:{s}?".encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "upper hex": lambda s: s.encode().hex().upper(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [HARD, "hunter2-hunter2", "0123456789abcdef"])
def test_no_form_of_a_secret_passes(form, secret):
    if form == "quoted, lower case" and secret != secret.lower():
        pytest.skip("that is another secret")
    redacted = Redactor([secret])(f"before {FORMS[form](secret)} after")
    assert HIDDEN in redacted and redacted.startswith("before ") and redacted.endswith(" after")
    left = redacted.replace(HIDDEN, "")
    assert len(left) < len("before 'token= after") + 12, left


SECRETS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=8, max_size=40
)


@given(SECRETS, st.sampled_from(sorted(set(FORMS) - {"quoted, lower case", "bytes"})))
def test_whatever_the_secret_no_form_passes(secret, form):
    written = FORMS[form](secret)
    assert HIDDEN in Redactor([secret])(f"<{written}>")


@given(st.text())
def test_other_text_is_left_alone(text):
    assert Redactor(["hunter2-hunter2"])(text) == text
    assert Redactor()(text) == text


def test_the_longer_of_two_secrets_goes_first():
    assert Redactor(["hunter2-h", "hunter2-hunter2"])("hunter2-hunter2") == HIDDEN
