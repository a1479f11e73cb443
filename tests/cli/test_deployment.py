"""Commands that read the section of a filter in a PasteDeploy file."""

from __future__ import annotations

from pathlib import Path

import pytest
from paste.deploy import loadfilter

from oauth2_mw.cli.main import main
from oauth2_mw.errors import ConfigError
from oauth2_mw.settings.model import Settings
from tests.support.settings.keys import text_key

FILE = """[DEFAULT]
debug = true
host = id.example.com

[pipeline:main]
pipeline = sso hello

[filter:sso]
{entry}
public_url: https://app.example.com
secret_keys = file:keys
directory = sqlite:///%(here)s/users.db
provider.corp.issuer = https://%(host)s
provider.corp.client_id = app
provider.corp.client_secret = 100%%
provider.corp.attribute_map = {{"username": "login"}}
access.rules =
    denied /internal/
    required /

[app:hello]
paste.app_factory = tests.test_paste:app_factory
"""


@pytest.fixture
def app_ini(tmp_path: Path) -> Path:
    (tmp_path / "keys").write_text(f"a 2026-01-01T00:00:00Z {text_key()}\n")
    (tmp_path / "keys").chmod(0o600)
    path = tmp_path / "app.ini"
    path.write_text(FILE.format(entry="use = egg:oauth2-mw"))
    return path


def run(*words: str) -> int:
    return main(words)


def test_check_reads_the_filter_with_its_keys(app_ini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", f"{app_ini}#sso") == 0
    printed = capsys.readouterr().out
    assert f"{app_ini}#sso: no problem found." in printed
    assert "https://app.example.com/auth/oauth2/login/callback/corp/" in printed


@pytest.mark.parametrize(
    "entry",
    [
        "use = egg:oauth2-mw",
        "use = egg:oauth2-mw#oauth2",
        "paste.filter_factory = oauth2_mw.paste:filter_factory",
        "use = call:oauth2_mw.paste:filter_factory",
        "use = egg:OAuth2_MW#main",
        "paste.filter_app_factory = oauth2_mw.paste:filter_app_factory",
    ],
)
def test_what_is_read_is_what_pastedeploy_hands_over(app_ini: Path, entry: str) -> None:
    app_ini.write_text(FILE.format(entry=entry))
    read = Settings.from_ini(f"{app_ini}#sso")
    assert read == Settings.from_ini(f"{app_ini}#filter:sso")
    if "egg:" not in entry and "app_factory" not in entry:
        served = loadfilter(f"config:{app_ini}", name="sso")(lambda _environ, _start: [])._settings
        assert {**vars_of(read)} == {**vars_of(served)}
    assert read.providers["corp"].issuer == "https://id.example.com"


def vars_of(settings: Settings) -> dict[str, object]:
    return {
        name: getattr(settings, name) for name in ("public_url", "rules", "environ", "allow", "prefix")
    } | {name: provider.client_id for name, provider in settings.providers.items()}


def test_the_other_commands_read_it_too(app_ini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = f"{app_ini}#sso"
    assert run("access", place, "/internal/x") == 0
    printed = capsys.readouterr().out
    number = app_ini.read_text().splitlines().index("    denied /internal/") + 1
    assert f"decided by line {number}: denied /internal/" in printed
    assert run("keys", "list", place) == 0
    assert run("keys", "rotate", place) == 0
    assert len((app_ini.parent / "keys").read_text().splitlines()) == 2
    capsys.readouterr()
    for command in ("users", "sessions"):
        assert run(command, "list", place) in (0, 1)
        said = capsys.readouterr()
        assert "does not exist yet" in said.out + said.err
    (app_ini.parent / "users.db").touch()
    assert run("tokens", "list", place) == 1
    assert "personal_tokens" in capsys.readouterr().err


def test_a_section_that_uses_another_has_the_keys_of_both(app_ini: Path) -> None:
    app_ini.write_text(
        app_ini.read_text() + "\n[filter:test]\nuse = sso\npublic_url = https://test.example.com\n"
    )
    settings = Settings.from_ini(f"{app_ini}#test")
    assert settings.public_url == "https://test.example.com"
    assert list(settings.providers) == ["corp"]
    other = app_ini.with_name("other.ini")
    other.write_text("[filter:mine]\nuse = config:app.ini#sso\nprefix = /sso\n")
    assert Settings.from_ini(f"{other}#mine").prefix == "/sso"


def test_a_file_whose_name_has_the_sign_in_it_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a#b"
    path.write_text(
        f"[oauth2_mw]\npublic_url = https://a.example\nsecret_keys = {text_key()}\n"
        "issuer = https://id.example\nclient_id = a\nclient_secret = b\n"
    )
    assert Settings.from_ini(path).public_url == "https://a.example"


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("#ssso", ("", ""), "[filter:ssso] there is no such section; did you mean sso?"),
        ("#other", ("", ""), "there is no such section: there is sso"),
        ("", ("", ""), "this is a PasteDeploy file: name the section in it that is ours, app.ini#sso"),
        (
            "#sso",
            ("egg:oauth2-mw", "egg:Paste#gzip"),
            "[filter:sso] this section is not ours: it uses 'egg:Paste#gzip'",
        ),
        (
            "#sso",
            ("oauth2-mw", "oauth2-mw#sso"),
            "use = egg:oauth2-mw#sso: PasteDeploy finds no filter there; write",
        ),
        (
            "#sso",
            ("egg:oauth2-mw", "call:oauth2_mw.paste:filter_app_factory"),
            "PasteDeploy finds no filter there",
        ),
        (
            "#sso",
            ("use = egg:oauth2-mw", "paste.filter_factory = oauth2_mw.paste:filter_app_factory"),
            "PasteDeploy finds no filter there",
        ),
        ("#sso", ("[filter:sso]", "[app:sso]"), "[app:sso] this is no filter: begin it with [filter:sso]"),
        ("#sso", ("[DEFAULT]", "\ufeff[DEFAULT]"), "byte order mark: save it without"),
        (
            "#sso",
            ("    denied", "denied"),
            "line 18 is neither a section nor a key: write key = value, and indent",
        ),
        ("", ("[app:hello]", "[filter:x]\nuse = sso\n[app:hello]"), "app.ini#sso or app.ini#x"),
        ("#sso", ("100%%", "100%"), "write %% for a percent sign"),
        ("#sso", ("use = egg:oauth2-mw", "use = sso"), "in a circle"),
        ("#sso", ("debug = true", "debug"), "PasteDeploy cannot read this file"),
        ("#sso", ("secret_keys", "get secret_keys"), "there is no such key in [DEFAULT]"),
        ("#sso", ("client_id", "clientid"), "[filter:sso] provider.corp.clientid: unknown key"),
    ],
)
def test_what_is_wrong_is_told_by_the_file(
    app_ini: Path, name: str, change: tuple[str, str], text: str
) -> None:
    app_ini.write_text(app_ini.read_text().replace(*change))
    with pytest.raises(ConfigError) as caught:
        Settings.from_ini(f"{app_ini}{name}")
    assert text in str(caught.value)
    assert caught.value.source == str(app_ini)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Settings.from_ini(f"{tmp_path}/gone.ini#sso")
