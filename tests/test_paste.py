"""The door for PasteDeploy, opened by PasteDeploy itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from paste.deploy import loadapp, loadfilter

from oauth2_mw.errors import ConfigError
from oauth2_mw.middleware import OAuth2Middleware
from oauth2_mw.paste import filter_app_factory, filter_factory
from oauth2_mw.settings.model import Settings
from tests.support.lowest import metadata
from tests.support.settings.keys import text_key


def application(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application"]


def app_factory(_global_conf: dict[str, str], **_local_conf: str) -> WSGIApplication:
    return application


APP = """
[app:main]
paste.app_factory = tests.test_paste:app_factory
filter-with = sso
"""
INLINE = f"""
public_url = https://app.example.com/core
secret_keys = {text_key()}
provider.corp.issuer = https://id.example.com
provider.corp.client_id = app
provider.corp.client_secret = 100%%
provider.corp.attribute_map = {{"username": "login"}}
environ.REMOTE_EMAIL = email
login_page = on
"""
FILE = f"""
[oauth2_mw]
public_url = https://app.example.com
secret_keys = {text_key()}
issuer = https://id.example.com
client_id = app
client_secret = file:secret.txt
"""


def write(
    folder: Path,
    filter_section: str,
    *,
    entry: str = "paste.filter_app_factory = oauth2_mw.paste:filter_app_factory",
) -> str:
    path = folder / "app.ini"
    path.write_text(
        f"[DEFAULT]\ndebug = true\n{APP}\n[filter:sso]\n{entry}\n{filter_section}\n", encoding="utf-8"
    )
    return f"config:{path}"


@pytest.mark.parametrize(
    "entry",
    [
        "paste.filter_app_factory = oauth2_mw.paste:filter_app_factory",
        "paste.filter_factory = oauth2_mw.paste:filter_factory",
    ],
)
def test_the_keys_may_stand_in_the_filters_section(tmp_path: Path, entry: str) -> None:
    app = loadapp(write(tmp_path, INLINE, entry=entry))
    assert isinstance(app, OAuth2Middleware)


def test_the_keys_of_the_filters_section_are_those_of_the_file() -> None:
    conf = {
        "public_url": "https://app.example.com/core",
        "secret_keys": text_key(),
        "provider.corp.issuer": "https://id.example.com",
        "provider.corp.client_id": "app",
        "provider.corp.client_secret": "100%",
        "environ.REMOTE_EMAIL": "email",
        "access.rules": "",
        "login_page": "on",
    }
    settings = Settings.from_paste({}, conf)
    assert settings.providers["corp"].client_id == "app"
    secret = settings.providers["corp"].client_secret
    assert secret is not None
    assert secret.value() == "100%"
    assert dict(settings.environ) == {"REMOTE_EMAIL": "email"}
    assert settings.login_page


def test_rules_stand_in_the_filters_section(tmp_path: Path) -> None:
    rules = """access.rules =
    public  /static/

    required /admin/
        if claim:level=3 and user:"Jane Doe"
    # a comment
    optional /"""
    app = loadapp(write(tmp_path, f"{INLINE}\n{rules}"))
    assert [rule.text for rule in app._settings.rules] == [
        "public /static/",
        'required /admin/ if claim:level=3 and user:"Jane Doe"',
        "optional /",
    ]


def test_config_names_an_ini_file_beside_the_deployment_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("s3cret")
    (tmp_path / "oauth2.ini").write_text(FILE)
    assert isinstance(loadapp(write(tmp_path, "config = %(here)s/oauth2.ini")), OAuth2Middleware)
    assert isinstance(loadapp(write(tmp_path, "config = oauth2.ini")), OAuth2Middleware)


def test_a_filter_can_be_loaded_on_its_own(tmp_path: Path) -> None:
    entry = "paste.filter_factory = oauth2_mw.paste:filter_factory"
    wrap = loadfilter(write(tmp_path, INLINE, entry=entry), name="sso")
    assert isinstance(wrap(application), OAuth2Middleware)


def test_both_factories_take_what_pastedeploy_hands_them(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("s3cret")
    (tmp_path / "oauth2.ini").write_text(FILE)
    global_conf = {"here": str(tmp_path), "__file__": str(tmp_path / "app.ini"), "debug": "true"}
    assert isinstance(filter_app_factory(application, global_conf, config="oauth2.ini"), OAuth2Middleware)
    assert isinstance(filter_factory(global_conf, config="oauth2.ini")(application), OAuth2Middleware)


def test_the_signed_out_visitor_does_not_reach_the_application(tmp_path: Path) -> None:
    app = loadapp(write(tmp_path, INLINE))
    statuses: list[str] = []

    def start_response(status: str, *_: object) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _: None

    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/core",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "app.example.com",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "https",
    }
    body = b"".join(app(environ, start_response))
    assert statuses
    assert not statuses[0].startswith("200")
    assert b"the application" not in body


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("config = gone.ini", "cannot be read: No such file"),
        ("config =", "config: names no file"),
        (INLINE + "provider.corp = x", "provider.corp: write provider.NAME.KEY"),
        (INLINE + "provider..client_id = x", "write provider.NAME.KEY"),
        (INLINE + "provider.corp. = x", "write provider.NAME.KEY"),
        (INLINE + "enviorn.X = email", "unknown key; did you mean environ?"),
        (INLINE + "environ. = email", "unknown key"),
        (INLINE + "session.type = x", "before a dot write provider, environ or access"),
        (INLINE + "provider:corp.scope = openid", "a colon ends a key here"),
        (INLINE + "clientid = x", "clientid: unknown key; did you mean client_id?"),
        (
            INLINE + "set prefix = /sso",
            "[filter:sso] set prefix: set is for [DEFAULT], from which no filter reads",
        ),
        (INLINE + "set access.rules = denied /", "set access.rules: set is for [DEFAULT]"),
        (
            INLINE + "[access]\nrules =\n    denied /internal/",
            "[filter:sso] the section access of this file",
        ),
        (INLINE + "[environ]\nREMOTE_EMAIL = email", "the section environ of this file is read by no filter"),
        (
            INLINE + "[provider:corp]\nscope = openid",
            "the section provider:corp of this file is read by no filter",
        ),
        (
            "[oauth2_mw]\npublic_url = https://a.example",
            "write config = %(__file__)s here, or its keys inline",
        ),
        (INLINE + "provider.corp.isuer = x", "[filter:sso] provider.corp.isuer: unknown key"),
    ],
)
def test_what_is_wrong_is_told_with_the_deployment_file(tmp_path: Path, section: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loadapp(write(tmp_path, section))
    assert problem in str(caught.value)
    assert caught.value.source == str(tmp_path / "app.ini")


# As its users write it


def test_keys_beside_config_win_over_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("s3cret")
    (tmp_path / "oauth2.ini").write_text(FILE)
    keys = "config = oauth2.ini\npublic_url = https://other.example.com\nenviron.REMOTE_EMAIL = email"
    app = loadapp(write(tmp_path, keys))
    settings = app._settings
    assert settings.public_url == "https://other.example.com"
    assert settings.providers["default"].client_id == "app"
    assert dict(settings.environ) == {"REMOTE_EMAIL": "email"}
    with pytest.raises(ConfigError) as caught:
        loadapp(write(tmp_path, "config = oauth2.ini\npublic_url = ftp://x"))
    assert "[oauth2_mw] public_url" in str(caught.value)
    assert "(it comes from [filter:sso])" in str(caught.value)
    assert caught.value.source == str(tmp_path / "oauth2.ini")


def test_the_environment_wins_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTH2_MW_PUBLIC_URL", "https://env.example.com")
    (tmp_path / "secret.txt").write_text("s3cret")
    (tmp_path / "oauth2.ini").write_text(FILE)
    app = loadapp(write(tmp_path, "config = oauth2.ini\npublic_url = https://other.example.com"))
    assert app._settings.public_url == "https://env.example.com"


def test_one_file_may_hold_everything(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("s3cret")
    others = "[server:main]\nuse = egg:waitress\nlisten: 127.0.0.1:8000\n[loggers]\nkeys: root\n"
    place = write(
        tmp_path, f"config = %(__file__)s\n{others}{FILE}[access]\nrules =\n    denied /internal/\n"
    )
    assert [rule.text for rule in loadapp(place)._settings.rules] == ["denied /internal/"]
    place = write(tmp_path, f"config = %(here)s/app.ini\n{FILE}[acess]\nrules =\n    denied /internal/\n")
    with pytest.raises(ConfigError, match=r"\[acess\] unknown section; did you mean access"):
        loadapp(place)


@pytest.mark.parametrize("key", ["allow = group:staff", "client_id = x", "provider.corp.allow = group:staff"])
def test_a_key_of_ours_in_default_is_told(tmp_path: Path, key: str) -> None:
    path = Path(write(tmp_path, f"{INLINE}\n{key}").removeprefix("config:"))
    text = path.read_text()
    for written in (text.replace(f"\n{key}", ""), text):
        path.write_text(written.replace("debug = true", key))
        with pytest.raises(ConfigError) as caught:
            loadapp(f"config:{path}")
        assert f"[DEFAULT] {key.partition(' ')[0]}: PasteDeploy hands a key" in str(caught.value)
        assert "move it to [filter:sso]" in str(caught.value)


def test_what_others_write_into_default_is_passed_over(tmp_path: Path) -> None:
    path = Path(write(tmp_path, INLINE).removeprefix("config:"))
    path.write_text(
        path.read_text().replace("debug = true", "debug = true\nproxy = x\nsession = y\nprefix = /a")
    )
    assert isinstance(loadapp(f"config:{path}"), OAuth2Middleware)


def test_sections_of_ours_that_another_filter_reads_are_no_problem(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("s3cret")
    others = "[filter:other]\nuse = egg:oauth2-mw\nconfig = %(__file__)s\n"
    assert loadapp(write(tmp_path, f"{INLINE}\n{others}{FILE}[access]\nrules =\n    denied /internal/\n"))


@pytest.mark.parametrize("section", ["[access]\nlog = x", "[environ]\nPATH = /bin", "[alembic]\nrules = x"])
def test_sections_of_others_are_passed_over(tmp_path: Path, section: str) -> None:
    assert loadapp(write(tmp_path, f"{INLINE}\nset debug = false\n{section}"))


def test_a_key_may_be_got_from_default(tmp_path: Path) -> None:
    path = Path(write(tmp_path, f"{INLINE}\nget allow = allow").removeprefix("config:"))
    path.write_text(path.read_text().replace("debug = true", "allow = user:jane"))
    assert loadapp(f"config:{path}")._settings.providers["corp"].allow is not None


def test_messages_name_the_section_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loadapp(write(tmp_path, "public_url = https://a.example"))
    assert all(problem.section == "filter:sso" for problem in caught.value.problems)
    assert "[oauth2_mw]" not in str(caught.value)


def test_the_names_of_the_entry_points() -> None:
    points = metadata(str(Path(__file__).parents[1] / "setup.py"))["entry_points"]
    for group in ("paste.filter_app_factory", "paste.filter_factory"):
        names = [line.partition(" = ")[0] for line in points[group]]
        assert names == ["main", "oauth2", "oauth2_mw"]
        assert {line.partition(":")[2] for line in points[group]} == {group.removeprefix("paste.")}


def test_pastedeploy_is_never_imported_by_us() -> None:
    code = "import sys, oauth2_mw.paste; sys.exit('paste.deploy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Two of ours in one file

TWO = """
[composite:main]
paste.composite_factory = tests.support.hosts.urlmap:composite_factory
/wiki = wiki
/shop = shop

[pipeline:wiki]
pipeline = wiki-sso app

[app:shop]
paste.app_factory = tests.test_paste:app_factory
filter-with = shop-sso

[app:app]
paste.app_factory = tests.test_paste:app_factory

[filter:sso]
use = egg:oauth2-mw
secret_keys = {key}
issuer = https://id.example.com
client_id = app
client_secret = s3cret

[filter:wiki-sso]
use = sso
public_url = https://app.example.com/wiki
{wiki}

[filter:shop-sso]
use = sso
public_url = {shop_url}
{shop}
"""


def two(
    folder: Path, *, wiki: str = "", shop: str = "", shop_url: str = "https://app.example.com/shop"
) -> Path:
    path = folder / "app.ini"
    path.write_text(TWO.format(key=text_key(), wiki=wiki, shop=shop, shop_url=shop_url), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, "oauth2_mw"),
        ({"wiki": "cookie_name = a", "shop": "cookie_name = a"}, "a"),
        ({"shop_url": "https://App.Example.com"}, "oauth2_mw"),
        ({"shop_url": "https://app.example.com:8443/wiki"}, "oauth2_mw"),
    ],
)
def test_two_with_one_cookie_name_on_one_host_do_not_start(
    tmp_path: Path, keys: dict[str, str], name: str
) -> None:
    path = two(tmp_path, **keys)
    for start in (lambda: loadapp(f"config:{path}"), lambda: Settings.from_ini(f"{path}#wiki-sso")):
        with pytest.raises(ConfigError) as caught:
            start()
        (problem,) = caught.value.problems
        assert (problem.section, problem.key) == ("filter:wiki-sso", "cookie_name")
        assert (
            f"[filter:shop-sso] has the same, {name}, under another public_url of the host app.example.com:"
            in problem.text
        )


def test_the_cookie_names_may_stand_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "shop.ini").write_text("[oauth2_mw]\ncookie_name = b\n")
    path = two(tmp_path, wiki="cookie_name = b", shop="config = shop.ini")
    with pytest.raises(ConfigError, match=r"\[filter:shop-sso\] has the same, b,"):
        Settings.from_ini(f"{path}#wiki-sso")
    with pytest.raises(ConfigError, match=r"\[filter:wiki-sso\] has the same, b,"):
        Settings.from_ini(f"{path}#shop-sso")


def test_one_name_for_both_in_the_environment_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = two(tmp_path, wiki="cookie_name = a", shop="cookie_name = b")
    Settings.from_ini(f"{path}#wiki-sso")
    monkeypatch.setenv("OAUTH2_MW_COOKIE_NAME", "c")
    with pytest.raises(ConfigError, match="has the same, c,"):
        Settings.from_ini(f"{path}#wiki-sso")


@pytest.mark.parametrize(
    "keys",
    [
        {"wiki": "cookie_name = oauth2_mw_wiki", "shop": "cookie_name = oauth2_mw_shop"},
        {"shop_url": "https://shop.example.com/"},
        {"shop_url": "http://localhost/shop"},
        # Two filters of one application share its sessions.
        {"shop_url": "https://app.example.com/wiki/", "shop": "protect = optional"},
        {"shop_url": "https://App.example.com:443/wiki", "shop": "protect = optional"},
        # What is wrong with the other is said when that is built.
        {"shop_url": "https://[", "shop": "cookie_name = a b"},
        {"shop": "use_x = %(gone)s"},
    ],
)
def test_whatever_keeps_two_apart_starts(tmp_path: Path, keys: dict[str, str]) -> None:
    Settings.from_ini(f"{two(tmp_path, **keys)}#wiki-sso")


def test_a_section_that_no_application_names_is_passed_over(tmp_path: Path) -> None:
    path = two(tmp_path)
    path.write_text(path.read_text().replace("filter-with = shop-sso", ""))
    assert loadapp(f"config:{path}")


def test_the_problem_is_told_with_all_others(tmp_path: Path) -> None:
    path = two(tmp_path, wiki="protect = never")
    with pytest.raises(ConfigError) as caught:
        Settings.from_ini(f"{path}#wiki-sso")
    assert {problem.key for problem in caught.value.problems} == {"protect", "cookie_name"}


def test_a_section_that_uses_another_of_ours_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    path = two(tmp_path, wiki="protect = never", shop="cookie_name = b")
    with pytest.raises(ConfigError) as caught:
        loadapp(f"config:{path}")
    assert {problem.section for problem in caught.value.problems} == {"filter:wiki-sso"}
