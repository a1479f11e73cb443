"""``oauth2-mw init``: what it asks, what it writes, and that it writes all of it or nothing."""

from __future__ import annotations

import os
import runpy
import stat
from pathlib import Path

import pytest
from paste.deploy import loadapp

from oauth2_mw.cli.answers import OF_PRESETS
from oauth2_mw.cli.main import main
from oauth2_mw.cli.new_files import NewFiles
from oauth2_mw.cli.start import Application
from oauth2_mw.cli.terminal import CommandError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.settings import presets
from oauth2_mw.settings.model import Settings
from tests.support.hosts.operator import CommandResult
from tests.support.hosts.terminal import at_terminal
from tests.support.providers.client_keys import pem
from tests.support.providers.jose import ec_key

NEEDED = {
    "--provider": "keycloak",
    "--public-url": "https://app.example/core",
    "--issuer": "https://id.example/realms/x",
    "--client-id": "app",
    "--client-secret-file": "given",
    "--allow": "group:staff user:jane",
}
#: What a preset's user would write in the place of its examples.
OWN = {
    "issuer": "https://id.example/realm",
    "authorization_endpoint": "https://id.example/authorize",
    "token_endpoint": "https://id.example/token",
    "userinfo_endpoint": "https://id.example/me",
    "logout_endpoint": "https://id.example/logout",
    "tenants": "12345678-90ab-cdef-1234-567890abcdef",
    "scope": "openid app",
    "auth_params": '{"agentid": "1000002"}',
}


class Folder:
    """A folder in which somebody types the command."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys
        (path / "given").write_text("s3cret\n")

    def init(self, *words: str, **changes: str | None) -> CommandResult:
        """Run it with all that is needed, *words*, and with options changed or (``None``) left out."""
        named = {f"--{name.replace('_', '-')}": text for name, text in changes.items()}
        options = {**NEEDED, **named}
        given = [word for name, text in options.items() if text is not None for word in (name, text)]
        self._capsys.readouterr()
        try:
            code = main(["init", *words, *given])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return CommandResult(code, *self._capsys.readouterr())

    def names(self) -> set[str]:
        return {path.name for path in self.path.iterdir()} - {"given"}


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, capsys)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# What it writes


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), 0o644),
        (("--directory", "sqlite:///users.db"), 0o644),
        (("--directory", "postgresql://app:s3cret@db.example/app"), 0o600),
        (("--set", "session=redis://:s3cret@127.0.0.1/0"), 0o600),
    ],
)
def test_an_ini_file_with_a_password_is_its_owners_alone(
    folder: Folder, words: tuple[str, ...], wanted: int
) -> None:
    umask = os.umask(0o022)
    try:
        answer = folder.init(*words)
    finally:
        os.umask(umask)
    assert answer.code == 0, answer.err
    assert mode(folder.path / "oauth2.ini") == wanted
    assert ("oauth2.ini (0600" in answer.out) is (wanted == 0o600)


def test_all_of_it_is_written_and_passes_check(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.path / "hello.py").write_text("")
    answer = folder.init("--app", "hello:app")
    assert answer.code == 0, answer.err
    assert folder.names() == {"oauth2.ini", "oauth2.keys", "oauth2.secret", "oauth2_app.py", "hello.py"}
    assert mode(folder.path / "oauth2.keys") == mode(folder.path / "oauth2.secret") == 0o600
    assert main(["check", "oauth2.ini"]) == 0
    settings = Settings.from_ini("oauth2.ini")
    provider = settings.providers["default"]
    assert settings.public_url == "https://app.example/core"
    assert (provider.issuer, provider.client_id) == ("https://id.example/realms/x", "app")
    assert provider.client_secret is not None
    assert provider.client_secret.value() == "s3cret"
    assert str(provider.allow) == "group:staff user:jane"
    assert "s3cret" not in (folder.path / "oauth2.ini").read_text() + answer.out + answer.err


def test_what_to_register_and_what_comes_next_is_told(folder: Folder) -> None:
    out = folder.init("--app", "json:loads").out
    base = "https://app.example/core/auth/oauth2"
    for url in ("login/callback/", "logout/done/", "backchannel-logout/", "frontchannel-logout/"):
        assert f" {base}/{url}\n" in out
        assert f"{base}/{url}\n" in (folder.path / "oauth2.ini").read_text()
    assert "Valid redirect URIs" in out
    assert "  oauth2-mw check --online oauth2.ini\n  oauth2-mw login oauth2.ini\n" in out
    assert "  SCRIPT_NAME=/core gunicorn --bind 127.0.0.1:8000 oauth2_app:application\n" in out
    assert "note:" not in out


def test_every_key_that_is_written_is_explained(folder: Folder) -> None:
    folder.init()
    lines = (folder.path / "oauth2.ini").read_text().splitlines()
    for key in ("public_url", "secret_keys", "allow", "preset", "client_id", "client_secret"):
        number = next(number for number, line in enumerate(lines) if line.startswith(f"{key} = "))
        assert lines[number - 1].startswith("# "), key


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_can_be_written_and_passes_check(folder: Folder, name: str) -> None:
    preset = presets.read(name, Path())
    options = {key: OWN[key] for key in preset.examples}
    allow = "claim:tid=12345678-90ab-cdef-1234-567890abcdef" if "tenants" in options else "*"
    if preset.unique_usernames is False:
        options["directory"] = "sqlite:///users.db"
    answer = folder.init(**{"issuer": None, "provider": name, "allow": allow, **options})
    assert answer.code == 0, answer.err
    assert main(["check", "oauth2.ini"]) == 0
    assert preset.notes["Documentation"] in answer.out
    assert ("back-channel" in answer.out) == ("issuer" in {**preset.values, **preset.examples})


def test_every_key_that_a_preset_leaves_open_has_an_option() -> None:
    keys = {key for name in presets.names() for key in presets.read(name, Path()).examples}
    assert keys == set(OF_PRESETS) == set(OWN)


def test_a_public_client_has_no_secret(folder: Folder) -> None:
    answer = folder.init("--public-client", client_secret_file=None)
    assert answer.code == 0, answer.err
    assert "oauth2.secret" not in folder.names()
    assert main(["check", "oauth2.ini"]) == 0
    assert folder.init("--public-client").code == 2


def test_further_settings_are_written_as_they_are(folder: Folder) -> None:
    words = ("--set", "session_lifetime=1d", "--set", 'attribute_map = {"username": "sub"}')
    answer = folder.init(*words, allow="user:jane")
    assert answer.code == 0, answer.err
    provider = Settings.from_ini("oauth2.ini").providers["default"]
    assert (provider.session_lifetime, provider.attribute_map["username"].text) == (86400, "sub")


def test_a_preset_whose_names_are_shared_takes_another_name_or_a_directory(folder: Folder) -> None:
    changes = {"provider": "discord", "issuer": None, "allow": "user:jane"}
    answer = folder.init(**changes)
    assert answer.code == 2
    assert "missing: --directory" in answer.err
    assert folder.init("--set", 'attribute_map={"username": "id"}', **changes).code == 0


def test_what_is_registered_follows_further_settings(folder: Folder) -> None:
    answer = folder.init(
        *("--set", "prefix=/sso", "--set", "callback_path=/oidc/callback", "--set", "insecure_http=true"),
        public_url="http://app.example/core",
    )
    assert answer.code == 0, answer.err
    assert "  redirect URI              http://app.example/core/oidc/callback\n" in answer.out
    assert " http://app.example/core/sso/logout/done/\n" in answer.out


def test_a_client_with_a_key_has_no_secret(folder: Folder) -> None:
    (folder.path / "key.pem").write_text(pem(ec_key().private))
    words = ("--set", "client_auth_method=private_key_jwt", "--set", "client_key=file:key.pem")
    answer = folder.init(*words, client_secret_file=None)
    assert answer.code == 0, answer.err
    assert "oauth2.secret" not in folder.names()
    assert main(["check", "oauth2.ini"]) == 0


def test_relative_paths_are_those_of_the_new_file(folder: Folder) -> None:
    (folder.path / "ca.pem").write_text("")
    (folder.path / "mine.ini").write_text(
        "# Register: there.\n# Set there: that.\n# Token: none.\n# Documentation: https://id.example\n"
        "[provider]\nprovider = Ours\n[example]\nissuer = https://id.example\n"
    )
    answer = folder.init("--set", "ca_bundle=ca.pem", provider="./mine.ini", allow="user:jane")
    assert answer.code == 0, answer.err
    assert main(["check", "oauth2.ini"]) == 0


def test_what_an_ini_file_cannot_hold_is_told(folder: Folder) -> None:
    answer = folder.init("--set", "attribute_map={\n[x] }")
    assert answer.code != 0
    assert folder.names() == set()
    answer = folder.init(client_id="a\n# b")
    assert answer.code != 0
    assert folder.names() == set()


# The application


@pytest.mark.parametrize(
    ("app", "name", "says"),
    [
        ("hello:app", "oauth2_app.py", "import hello\n"),
        ("shop.wsgi:make()", "oauth2_app.py", "OAuth2Middleware(shop.wsgi.make(), "),
        ("sites/a.wsgi", "oauth2_app.py", "'sites/a.wsgi'"),
        ("app.ini", "oauth2_app.ini", "use = config:app.ini#main\n"),
        ("app.ini#shop", "oauth2_app.ini", "use = config:app.ini#shop\n"),
    ],
)
def test_the_file_that_wraps_the_application(folder: Folder, app: str, name: str, says: str) -> None:
    (folder.path / "sites").mkdir()
    for each in ("sites/a.wsgi", "app.ini"):
        (folder.path / each).write_text("")
    answer = folder.init("--app", app)
    assert answer.code == 0, answer.err
    written = (folder.path / name).read_text()
    assert says in written
    if name.endswith(".py"):
        compile(written, name, "exec")


@pytest.mark.parametrize("app", ["shop_of_ours:make()", "shop.wsgi", "shop.ini#main"])
def test_what_is_written_is_the_application_behind_the_middleware(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, app: str
) -> None:
    code = "def application(environ, start_response): ...\ndef make(conf=None): return application\n"
    (folder.path / "shop_of_ours.py").write_text(code)
    (folder.path / "shop.wsgi").write_text(code)
    (folder.path / "shop.ini").write_text("[app:main]\npaste.app_factory = shop_of_ours:make\n")
    monkeypatch.syspath_prepend(folder.path)
    answer = folder.init("--app", app)
    assert answer.code == 0, answer.err
    if app.endswith("#main"):
        application = loadapp(f"config:{folder.path}/oauth2_app.ini")
    else:
        application = runpy.run_path(str(folder.path / "oauth2_app.py"))["application"]
    assert isinstance(application, OAuth2Middleware)


def test_a_loopback_address_is_the_one_that_gunicorn_listens_at(folder: Folder) -> None:
    answer = folder.init("--app", "json:loads", public_url="http://localhost:8123")
    assert "  gunicorn --bind 127.0.0.1:8123 oauth2_app:application\n" in answer.out


def test_a_module_that_is_not_here_is_remarked(folder: Folder) -> None:
    answer = folder.init("--app", "nowhere_at_all:app")
    assert answer.code == 0
    assert "note: there is no module nowhere_at_all here" in answer.out


def test_in_another_folder_gunicorn_is_sent_there(folder: Folder) -> None:
    (folder.path / "a b").mkdir()
    answer = folder.init("a b/sso.ini", "--app", "hello:app")
    assert answer.code == 0, answer.err
    there = folder.path / "a b"
    assert {path.name for path in there.iterdir()} == {"sso.ini", "sso.keys", "sso.secret", "sso_app.py"}
    assert f"--chdir '{there}' --pythonpath {folder.path} sso_app:application" in answer.out
    assert "oauth2-mw login 'a b/sso.ini'" in answer.out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "write module:callable"),
        ("hello:", "write module:callable"),
        ("hello:app; rm -rf", "write module:callable"),
        ("nothing.wsgi", "there is no file nothing.wsgi"),
        ("nothing.ini#main", "there is no file nothing.ini"),
        ("hello.py#app", "like hello:app"),
        ("app.ini#", "write module:callable"),
    ],
)
def test_what_is_no_application_is_told(folder: Folder, text: str, says: str) -> None:
    answer = folder.init("--app", text)
    assert answer.code == 2
    assert f"--app: {says}" in answer.err or says in answer.err
    assert folder.names() == set()
    with pytest.raises(ValueError, match=r"write|there is no file"):
        Application.parse(text)


# What is missing or wrong


def test_everything_that_is_missing_is_named_at_once(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init"])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    for name in ("--provider", "--public-url", "--client-id", "--client-secret-file", "--allow"):
        assert name in err
    assert "--issuer" in folder.init(issuer=None).err
    assert "--yes asks nothing; missing: --allow" in folder.init("--yes", allow=None).err
    assert folder.names() == set()


@pytest.mark.parametrize(
    ("option", "text", "says"),
    [
        ("provider", "keyclok", "did you mean keycloak?"),
        ("provider", "./none.ini", "cannot be read"),
        ("public_url", "app.example", "write a whole URL"),
        ("public_url", "http://app.example", "write https"),
        ("public_url", "https://app.example/?a=1", "a query (?) is not allowed"),
        ("public_url", "", "an answer is needed"),
        ("issuer", "http://id.example", "write https"),
        ("issuer", "https://keycloak.example.com/realms/YOUR-REALM", "is the example: write your own"),
        ("client_id", " ", "an answer is needed"),
        ("client_id", "a\x1bb", "control characters"),
        ("allow", "jane", "is not a valid term"),
        ("allow", "group:a,", "comma"),
        ("client_secret_file", "none", "none cannot be read: No such file"),
        ("directory", "users.db", "is not a database URL"),
    ],
)
def test_an_option_that_cannot_be_used_is_told_with_the_cure(
    folder: Folder, option: str, text: str, says: str
) -> None:
    answer = folder.init(**{option: text})
    assert answer.code == 2
    assert f"--{option.replace('_', '-')}: " in answer.err
    assert says in answer.err
    assert "\x1b" not in answer.err
    assert folder.names() == set()


def test_all_that_is_wrong_is_told_at_once(folder: Folder) -> None:
    err = folder.init("--app", "x", public_url="x", allow="x", client_secret_file="none").err
    for option in ("--public-url", "--allow", "--client-secret-file", "--app"):
        assert f"oauth2-mw init: {option}: " in err


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": None},
        {"provider": None},
        {"provider": "keyclok"},
        {"provider": "keyclok", "client_id": None},
    ],
)
def test_what_is_wrong_is_told_beside_what_is_missing(folder: Folder, changes: dict[str, str | None]) -> None:
    answer = folder.init("--app", "x", **{"public_url": "x", "allow": "x", **changes})
    assert answer.code == 2
    assert ("missing: " in answer.err) == (None in changes.values())
    for option in ("--public-url", "--allow", "--app", *(["--provider"] if changes.get("provider") else [])):
        assert f"oauth2-mw init: {option}: " in answer.err
    assert folder.names() == set()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"s3cret\nmore", "is one line of text"),
        (b"\xffs3cret", "is not UTF-8"),
        (b"s3cret" * 20_000, "longer than 64 KiB"),
    ],
)
def test_a_secret_that_is_none_is_told_and_not_shown(folder: Folder, content: bytes, says: str) -> None:
    (folder.path / "given").write_bytes(content)
    answer = folder.init()
    assert answer.code == 2
    assert says in answer.err
    assert "s3cret" not in answer.err


def test_a_secret_on_the_command_line_is_refused_and_not_shown(folder: Folder) -> None:
    for words in (("--client-secret", "hunter2"), ("--client-secret=hunter2",)):
        answer = folder.init(*words)
        assert answer.code == 2
        assert "--client-secret-file -" in answer.err
        assert "hunter2" not in answer.err
    assert folder.names() == set()


@pytest.mark.parametrize(
    "text", ["pkc=off", "session_lifetime=soon", "issuer=https://other", "nonsense", "secret_keys=x", "=x"]
)
def test_a_further_setting_that_cannot_be_written_is_told(folder: Folder, text: str) -> None:
    answer = folder.init("--set", text)
    assert answer.code == 2
    assert "--set " in answer.err
    assert folder.names() == set()


def test_settings_that_do_not_go_together_are_told(folder: Folder) -> None:
    answer = folder.init("--set", "session_idle=9h", "--set", "session_lifetime=8h")
    assert answer.code == 2
    assert "session_idle" in answer.err
    assert folder.names() == set()


# Nothing is overwritten, and nothing is half done


@pytest.mark.parametrize(
    "name", ["oauth2.ini", "oauth2.keys", "oauth2.secret", "oauth2_app.py", "oauth2_app.ini"]
)
def test_nothing_is_overwritten(folder: Folder, name: str) -> None:
    (folder.path / name).write_text("precious")
    answer = folder.init("--app", "hello:app")
    assert answer.code == 1
    assert f"{name} is there already, and nothing is overwritten" in answer.err
    assert "oauth2-mw init sso.ini" in answer.err
    assert folder.names() == {name}
    assert (folder.path / name).read_text() == "precious"
    assert folder.init("sso.ini", "--app", "hello:app").code == 0


def test_a_link_that_leads_nowhere_is_there_as_well(folder: Folder) -> None:
    (folder.path / "oauth2.secret").symlink_to(folder.path / "elsewhere")
    assert folder.init().code == 1
    assert not (folder.path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["sso.keys", "sso.secret"])
def test_the_name_of_a_file_beside_it_is_not_that_of_the_ini_file(folder: Folder, name: str) -> None:
    answer = folder.init(name)
    assert answer.code == 1
    assert "name it like sso.ini" in answer.err
    assert folder.names() == set()


def test_a_folder_that_is_not_there_is_told(folder: Folder) -> None:
    answer = folder.init("no/sso.ini")
    assert answer.code == 1
    assert "there is no folder" in answer.err


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=repr)
@pytest.mark.parametrize("at", range(4))
def test_whatever_happens_all_files_are_there_or_none(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, at: int, failure: BaseException
) -> None:
    link = os.link
    done: list[object] = []

    def failing(*args: object, **keys: object) -> None:
        if len(done) == at:
            raise failure
        done.append(args)
        link(*args, **keys)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr(os, "link", failing)
    answer = folder.init("--app", "hello:app")
    assert answer.code == (130 if isinstance(failure, KeyboardInterrupt) else 1)
    assert folder.names() == set()


def test_what_somebody_else_has_written_meanwhile_stays(tmp_path: Path) -> None:
    with NewFiles(tmp_path) as new:
        new.add("a", "ours")
        new.add("b", "ours")
        (tmp_path / "b").write_text("theirs")
        with pytest.raises(CommandError, match="b is there already: nothing was written"):
            new.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "theirs"


# Somebody at a terminal


def test_somebody_answers_wrongly_is_asked_again_and_gets_a_configuration(tmp_path: Path) -> None:
    with at_terminal("init", cwd=tmp_path) as terminal:
        assert "keycloak" in terminal.wait_for("Provider: ")
        terminal.press("keyclok\n")
        assert "did you mean keycloak?" in terminal.wait_for("Provider: ")
        terminal.press("keycloak\n")
        terminal.answer("mount included: ", "app.example")
        assert "write a whole URL" in terminal.wait_for("mount included: ")
        terminal.press("http://127.0.0.1:8123\n")
        told = terminal.wait_for("Client ID: ")
        assert "  redirect URI              http://127.0.0.1:8123/auth/oauth2/login/callback/\n" in told
        assert "  back-channel logout URI   http://127.0.0.1:8123/auth/oauth2/backchannel-logout/\n" in told
        terminal.press("\n")
        assert "an answer is needed here" in terminal.wait_for("Client ID: ")
        terminal.press("app\n")
        terminal.answer("Client secret (it is not shown): ", "hunter2")
        terminal.answer("YOUR-REALM: ", "https://keycloak.example.com/realms/YOUR-REALM")
        terminal.answer("YOUR-REALM: ", "https://id.example/realms/x")
        terminal.answer("Allow: ", "jane")
        terminal.answer("Allow: ", "user:jane")
        terminal.answer("Application: ", "hello")
        terminal.answer("Application: ", "hello:app")
        terminal.answer("(y/n) [y]: ", "perhaps")
        terminal.answer("(y/n) [y]: ", "n")
        terminal.answer("(y/n) [n]: ", "")
        assert terminal.end() == 0
    assert "hunter2" not in terminal.shown
    assert (tmp_path / "oauth2.secret").read_text() == "hunter2\n"
    assert str(Settings.from_ini(tmp_path / "oauth2.ini").providers["default"].allow) == "user:jane"


@pytest.mark.parametrize(
    ("key", "code", "says"),
    [pytest.param("\x03", 130, "interrupted", marks=pytest.mark.deep), ("\x04", 1, "nothing was done")],
)
def test_ctrl_c_and_ctrl_d_leave_nothing_behind(tmp_path: Path, key: str, code: int, says: str) -> None:
    words = ("--provider", "github", "--public-url", "http://localhost:8000", "--client-id", "app")
    with at_terminal("init", *words, cwd=tmp_path) as terminal:
        terminal.wait_for("Client secret (it is not shown): ")
        terminal.press(key)
        assert terminal.end() == code
    assert says in terminal.shown
    assert "Traceback" not in terminal.shown
    assert list(tmp_path.iterdir()) == []
