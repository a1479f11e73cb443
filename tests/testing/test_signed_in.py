"""Somebody is signed in for a test, and the application sees what the middleware gives it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from paste.deploy import loadapp
from webtest import TestApp as Client

from oauth2_mw import OAuth2Middleware, get_identity, login_url, logout_url, require
from oauth2_mw.testing import DevelopmentProvider, signed_in, signed_in_environ
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import App, guard
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import make_settings


def seen(app: Any, path: str = "/", **headers: str) -> dict[str, Any]:
    """What the application says that it saw."""
    return dict(Client(app).get(path, headers=headers).json)


def test_an_application_alone_sees_what_the_middleware_gives() -> None:
    app = App()
    page = seen(signed_in(app, username="jané", groups=["staff"], email="jane@example.com"))
    assert (page["user"], page["auth_type"]) == ("jan\xc3\xa9", "OAuth2")
    identity = app.seen[0]["Identity"]
    assert (identity.username, identity.groups, identity.email) == ("jané", ("staff",), "jane@example.com")
    assert (identity.subject, identity.issuer, identity.provider) == (
        "jané",
        "https://provider.example",
        "default",
    )


def test_the_environ_is_that_of_a_real_sign_in(site: Any) -> None:
    browser = site.browser()
    browser.navigate(site.url + "/")
    real = site.app.seen[-1]
    other = App()
    middleware = OAuth2Middleware(other, site.settings)
    subject = real["Identity"].subject
    fields = {"subject": subject, "name": real["Identity"].name, "email": real["Identity"].email}
    seen(signed_in(middleware, username="jane", **fields))
    assert other.seen[0]["identity"] == real["identity"]
    assert other.seen[0]["user"] == real["user"]


def test_keys_of_environ_are_written_and_those_of_the_client_cut() -> None:
    settings = make_settings(issuer="https://id.example", environ={"HTTP_X_REMOTE_GROUPS": "groups"})
    app = signed_in(App(), username="jane", groups=["a", "b"], settings=settings)
    page = seen(app, X_Remote_Groups="admins", Remote_User="root")
    assert page["environ"]["HTTP_X_REMOTE_GROUPS"] == "a,b"
    assert page["user"] == "jane"


@pytest.mark.parametrize("key", ["session", "directory"])
def test_a_store_or_a_directory_is_used_like_by_everybody(tmp_path: Path, key: str) -> None:
    settings = make_settings(issuer="https://id.example", **{key: f"sqlite:///{tmp_path}/it.db"})
    assert seen(signed_in(App(), username="jane", settings=settings))["user"] == "jane"


def test_rules_of_the_wrapped_application_decide() -> None:
    rules = "denied /internal/\nrequired /admin/ if group:admins\nrequired /"
    middleware = guard(access={"rules": rules})
    client = Client(signed_in(middleware, username="jane", groups=["staff"]))
    assert client.get("/").json["user"] == "jane"
    client.get("/admin/", status=403)
    client.get("/internal/", status=403)
    admin = Client(signed_in(middleware, username="root", groups=["admins"]))
    assert admin.get("/admin/").json["user"] == "root"


def test_a_public_path_knows_nobody_as_in_production() -> None:
    client = Client(signed_in(guard(public_paths="/open/"), username="jane"))
    assert client.get("/open/").json["user"] is None


def test_the_urls_are_those_of_the_middleware() -> None:
    urls: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        urls.extend((login_url(environ), logout_url(environ)))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    Client(signed_in(OAuth2Middleware(app, make_settings(issuer="https://id.example")), username="jane")).get(
        "/"
    )
    assert urls == [f"https://app.example/auth/oauth2/{page}/" for page in ("login", "logout")]
    del urls[:]
    Client(app).get("/")
    assert urls == ["/auth/oauth2/login/", "/auth/oauth2/logout/"]


def test_require_works_with_the_application_alone() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        answer = require(environ, group="admins")
        if answer is not None:
            return answer(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"in"]

    Client(signed_in(app, username="jane", groups=["staff"])).get("/", status=403)
    assert Client(signed_in(app, username="jane", groups=["admins"])).get("/").text == "in"


def test_the_session_lasts_as_long_as_the_test() -> None:
    clock = ShiftedClocks()
    middleware = guard(clocks=clock.clocks, session_idle="1h")
    app = signed_in(middleware, username="jane")
    for _ in range(3):
        assert seen(app)["user"] == "jane"
        clock.ahead += 3 * 3600


def test_a_flask_application_is_found_through_what_stands_before_the_middleware() -> None:
    flask = Flask(__name__)
    flask.add_url_rule("/", view_func=lambda: "nobody")
    flask.wsgi_app = OAuth2Middleware(flask.wsgi_app, make_settings(issuer="https://id.example"))  # type: ignore[method-assign]

    class Outer:
        def __init__(self, app: Any) -> None:
            self.app = app

        def __call__(self, environ: Any, start_response: Any) -> Any:
            return self.app(environ, start_response)

    answer = Client(signed_in(Outer(flask), username="jane")).get("/")
    assert answer.text == "nobody"


def test_two_people_use_one_application() -> None:
    middleware = guard()
    jane, john = (signed_in(middleware, username=name) for name in ("jane", "john"))
    assert [seen(app)["user"] for app in (jane, john, jane)] == ["jane", "john", "jane"]


def test_a_client_that_calls_no_application_gets_the_keys() -> None:
    keys = signed_in_environ(username="jané", groups=["staff"])
    assert keys["REMOTE_USER"] == "jan\xc3\xa9"
    identity = get_identity(keys)
    assert identity is not None
    assert identity.groups == ("staff",)
    assert require({**keys, "PATH_INFO": "/"}, group="staff") is None
    assert "HTTP_COOKIE" not in keys


# What cannot be


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"username": ""}, ValueError),
        ({"username": "a\nb"}, ValueError),
        ({"username": "jane", "groups": "staff"}, TypeError),
        ({"username": "jane", "grups": ["staff"]}, TypeError),
        ({"username": "jane", "provider": "corp"}, ValueError),
    ],
)
def test_what_the_middleware_would_not_hand_on_is_an_error(
    fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        signed_in(App(), **fields)


def test_settings_beside_those_of_the_middleware_are_an_error() -> None:
    with pytest.raises(ValueError, match="already"):
        signed_in(guard(), username="jane", settings={})


def test_what_is_no_application_is_an_error() -> None:
    with pytest.raises(TypeError):
        signed_in({}, username="jane")  # type: ignore[arg-type]


# Nothing leads here in production


@pytest.mark.parametrize(
    "entry",
    [
        "paste.filter_app_factory = oauth2_mw.testing:signed_in",
        "paste.filter_factory = oauth2_mw.testing:signed_in",
        "use = call:oauth2_mw.testing:signed_in",
    ],
)
@pytest.mark.requirement("R-testing-apart")
def test_no_deployment_file_can_sign_anybody_in(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "app.ini"
    path.write_text(
        "[pipeline:main]\npipeline = sso hello\n"
        f"[filter:sso]\n{entry}\nusername = root\n"
        "[app:hello]\npaste.app_factory = tests.test_paste:app_factory\n"
    )
    with pytest.raises(TypeError):
        loadapp(f"config:{path}")


@pytest.mark.deep
@pytest.mark.requirement("R-testing-apart")
def test_a_server_never_loads_what_tests_use() -> None:
    code = (
        "import sys, oauth2_mw.paste, oauth2_mw.api, oauth2_mw.cli.main\n"
        f"s = dict(public_url='http://localhost', secret_keys={text_key()!r}, issuer='https://id.example',"
        " client_id='a', client_secret='b', preload='true', session='sqlite://')\n"
        "s.pop('session')\n"
        "m = oauth2_mw.OAuth2Middleware(lambda e, s: [], s); m._site()\n"
        "sys.exit(any(n.startswith('oauth2_mw.testing') for n in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


# Mistakes that are made


def test_who_is_signed_in_last_takes_the_place_of_the_one_before() -> None:
    shared = guard(App())
    first = signed_in(shared, username="jane", groups=["staff"])
    second = signed_in(signed_in(first, username="joe"), username="root", groups=["admins"])
    assert seen(second)["user"] == "root"
    assert seen(first)["user"] == "jane"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"group": ["staff"]}, "no field 'group' of a person; did you mean groups?"),
        ({"mail": "jane@example.com"}, "no field 'mail' of a person; did you mean email?"),
        ({"groups": "staff"}, "lists of names, and not a string"),
    ],
)
def test_a_field_that_there_is_not_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=re.escape(told)):
        signed_in(App(), username="jane", **fields)


def test_none_is_absent() -> None:
    app = App()
    seen(signed_in(app, username="jane", groups=None, organizations=None, claims=None, email=None))
    identity = app.seen[0]["Identity"]
    assert (identity.groups, identity.organizations, identity.email) == ((), (), None)


@pytest.mark.parametrize("users", [["jane"], {"jane"}, {"jane": "jane@example.com"}, "jane"])
def test_users_of_another_shape_are_told(users: Any) -> None:
    with pytest.raises(TypeError, match="users has the claims of each username"):
        DevelopmentProvider(users=users)
