"""The operator's commands: what they print, what they write, and how they end."""

from __future__ import annotations

import argparse
import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import oauth2_mw
from oauth2_mw.cli.main import main
from oauth2_mw.settings import presets
from oauth2_mw.settings.fields import NOT_THERE
from oauth2_mw.settings.grammar import decode_key, parse_key_file
from tests.support.hosts.certificates import client_certificate
from tests.support.hosts.processes import child_environment
from tests.support.providers.client_keys import pem
from tests.support.providers.jose import ec_key
from tests.support.settings.keys import text_key


def write_ini(folder: Path, *lines: str) -> Path:
    path = folder / "oauth2.ini"
    path.write_text("[oauth2_mw]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


GOOD = (
    "public_url = https://app.example/core",
    f"secret_keys = {text_key()}",
    "issuer = https://id.example",
    "provider = Example",
    "client_id = app",
    "client_secret = s3cret",
    'attribute_map = {"username": "login"}',
)


def test_a_report_for_programs_is_json_also_where_there_is_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["file"] == "oauth2.ini"
    assert "there is no oauth2.ini in this folder" in report["problems"][0]["text"]


def test_keygen_prints_a_new_key_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen"]) == 0
    assert main(["keygen"]) == 0
    first, second = capsys.readouterr().out.split()
    assert first != second
    assert len(decode_key(first)) == 32


def test_keygen_writes_a_key_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    assert main(["keygen", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(parse_key_file(path.read_text())) == 1


def test_keygen_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    path.write_text("precious")
    assert main(["keygen", str(path)]) == 1
    assert path.read_text() == "precious"
    err = capsys.readouterr().err
    assert f"{path} is there already" in err
    assert "oauth2-mw keys rotate" in err


def test_a_written_key_file_serves_as_secret_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keygen", str(tmp_path / "keys")])
    lines = [line for line in GOOD if not line.startswith("secret_keys")]
    assert main(["check", str(write_ini(tmp_path, *lines, "secret_keys = file:keys"))]) == 0


def test_check_says_what_to_register(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(write_ini(tmp_path, *GOOD))]) == 0
    out = capsys.readouterr().out
    assert "https://app.example/core/auth/oauth2/login/callback/" in out
    assert "https://app.example/core/auth/oauth2/logout/done/" in out


@pytest.mark.parametrize("shared", ["directory = sqlite:///u.db", "session = sqlite:///s.db"])
def test_check_says_where_a_provider_can_tell_of_logouts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shared: str
) -> None:
    another = [
        *("[provider:corp]", "preset = keycloak", "issuer = https://corp.example", "client_id = app"),
        *("client_secret = s3cret", "username_prefix = corp-"),
    ]
    assert main(["check", str(write_ini(tmp_path, *GOOD, "username_prefix = one-", shared, *another))]) == 0
    out = capsys.readouterr().out
    for path in ("backchannel-logout/", "frontchannel-logout/"):
        assert f" https://app.example/core/auth/oauth2/{path}\n" in out
        assert f" https://app.example/core/auth/oauth2/{path}corp/\n" in out
    assert main(["check", str(write_ini(tmp_path, *GOOD))]) == 0
    assert "channel" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], "Sessions are kept in cookies alone: "),
        (
            ["directory = sqlite:///u.db"],
            "Sessions are kept in cookies, and listed in the directory's database: ",
        ),
        (["session = sqlite:///s.db"], "Sessions are kept in sqlite:///{folder}/s.db: "),
        (["session = postgresql://jane:canary@db.example/sso"], "in postgresql://db.example/sso: "),
        (["session = redis://:canary@cache.example"], "in redis://cache.example:6379/0: "),
        (["session = redis+sentinel://:canary@a,b/main"], "in redis+sentinel://a:26379,b:26379/main/0: "),
        (["session = env:SESSION_URL", "directory = sqlite:///u.db"], "in redis+cluster://a:6379: "),
    ],
)
def test_check_says_where_sessions_are_kept(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    settings: list[str],
    expected: str,
) -> None:
    monkeypatch.setenv("SESSION_URL", "redis+cluster://:canary@a")
    assert main(["check", str(write_ini(tmp_path, *GOOD, *settings))]) == 0
    out = capsys.readouterr().out
    assert expected.format(folder=tmp_path) in out
    assert ("every worker notices within 5s when one ends" in out) is bool(settings)
    assert "warning" not in out
    assert "canary" not in out
    assert list(tmp_path.glob("*.db")) == []


@pytest.mark.requirement("R-calls")
def test_check_says_whose_failed_sign_ins_are_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_ini(tmp_path, *GOOD)
    assert main(["check", str(path)]) == 0
    assert "behind a proxy one client can keep all others waiting" in capsys.readouterr().out
    assert main(["check", "--json", str(path)]) == 0
    assert "trusted_peers is not written" in json.loads(capsys.readouterr().out)["failed_sign_ins"]
    assert main(["check", str(write_ini(tmp_path, *GOOD, "trusted_peers = 10.0.0.1"))]) == 0
    assert "The addresses of trusted_peers are the proxies', and count among all alone" in (
        capsys.readouterr().out
    )


def test_check_warns_of_refresh_tokens_in_cookies_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(write_ini(tmp_path, *GOOD, "keep_tokens = id refresh"))]) == 0
    assert "  warning: keep_tokens: " in capsys.readouterr().out


def test_check_tells_a_key_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in GOOD if not line.startswith("client_secret")]
    path = write_ini(tmp_path, *lines, "client_auth_method = private_key_jwt", "client_key = file:key.pem")
    (tmp_path / "key.pem").write_text(pem(ec_key().private, passphrase=b"x"))
    assert main(["check", str(path)]) == 1
    assert "[oauth2_mw] client_key: cannot be used: it is encrypted" in capsys.readouterr().err
    (tmp_path / "key.pem").write_text(pem(ec_key().private))
    assert main(["check", str(path)]) == 0


def test_check_warns_of_a_certificate_that_has_expired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for line in GOOD if not line.startswith("client_secret")]
    signed = (
        "client_auth_method = private_key_jwt",
        "client_key = file:app.pem",
        "client_certificate = file:app.pem",
    )
    path = write_ini(tmp_path, *lines, *signed)
    key = ec_key().private
    (tmp_path / "app.pem").write_text(pem(key) + client_certificate(key, days=(-9, -2)))
    assert main(["check", str(path)]) == 0
    assert "  warning: client_certificate of provider default expired on " in capsys.readouterr().out
    (tmp_path / "app.pem").write_text(pem(key) + client_certificate(ec_key("ES384").private))
    assert main(["check", str(path)]) == 1
    assert "[oauth2_mw] client_certificate: cannot be used: it is the certificate of another key" in (
        capsys.readouterr().err
    )


def test_check_tells_every_problem_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_ini(tmp_path, "public_url = http://app.example", "cleint_id = x", "issuer = nonsense")
    assert main(["check", str(path)]) == 1
    err = capsys.readouterr().err
    for key in ("public_url", "secret_keys", "cleint_id", "issuer"):
        assert f"[oauth2_mw] {key}" in err
    assert "[oauth2_mw] client_id" not in err  # what was meant for it is written
    assert str(path) in err


def test_check_warns_and_tells_of_switched_off_providers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["check", str(write_ini(tmp_path, *GOOD, "directory = sqlite:///u.db", "allow = group:staff"))])
        == 0
    )
    assert "warning:" in capsys.readouterr().out
    assert main(["check", str(write_ini(tmp_path, *GOOD, "enabled = false"))]) == 0
    assert "503" in capsys.readouterr().out


def test_check_of_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "nothing.ini")]) == 1
    assert "nothing.ini" in capsys.readouterr().err


def test_settings_prints_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    everything = capsys.readouterr().out
    assert main(["settings", "attribute_map"]) == 0
    one = capsys.readouterr().out
    assert one in everything
    assert len(one) < len(everything)
    assert main(["settings", "nonsense"]) == 1
    # What there is no setting for is said once, after all of them.
    assert " ".join(everything.split()).endswith(NOT_THERE)
    assert "This version" not in one
    # Neither here nor in the documentation any other markup would be understood.
    assert not re.search(r":\w+:`", everything)


def test_a_setting_that_is_not_there_is_told_where_errors_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "atribute_map"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "did you mean attribute_map?" in err


def test_the_setting_preset_lists_the_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "preset"]) == 0
    listed = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["github", "GitHub"] in listed
    assert set(presets.names()) <= {words[0] for words in listed if words}


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"oauth2-mw {oauth2_mw.__version__}\n"


@pytest.mark.parametrize("line", [[], ["users"], ["keys"], ["sessions"], ["tokens"]])
def test_a_command_without_more_says_what_there_is(
    capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    assert main(line) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: " + " ".join(["oauth2-mw", *line]))
    assert ("list" if line else "sessions") in out
    assert err == ""


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (["chek"], "check"),
        (["user"], "users"),
        (["Check"], "check"),
        (["users", "lst"], "list"),
        (["keys", "rotat"], "rotate"),
    ],
)
def test_a_command_that_is_mistyped_is_recognised(
    capsys: pytest.CaptureFixture[str], line: list[str], meant: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line)
    assert ended.value.code == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_an_interrupted_command_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_options: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("oauth2_mw.cli.keygen.run", interrupted)
    assert main(["keygen"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_command_line_that_means_nothing_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2
    assert "usage: oauth2-mw" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        (GOOD, 0, "no problem found"),
        pytest.param(GOOD[:1], 1, "[oauth2_mw] secret_keys", marks=pytest.mark.deep),
    ],
)
def test_the_package_itself_can_be_run_where_no_script_is_installed(
    tmp_path: Path, lines: tuple[str, ...], code: int, said: str
) -> None:
    command = [sys.executable, "-m", "oauth2_mw.cli", "check", str(write_ini(tmp_path, *lines))]
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert said in (done.stderr if code else done.stdout)
