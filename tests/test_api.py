"""What an application calls."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import oauth2_mw
from oauth2_mw.errors import ConfigError, OAuth2Error
from oauth2_mw.identity.model import Identity, freeze
from tests.support.clock import ShiftedClocks
from tests.support.hosts.guarded import App as GuardedApp
from tests.support.hosts.guarded import guard, guarded, signed_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for
from tests.support.providers.standin import StandIn
from tests.support.settings.keys import text_key
from tests.support.settings.minimal import ORIGIN, make_settings
from tests.test_middleware import JANE, App, sign_in


def seen_by_the_application(identity: Identity = JANE, **keys: Any) -> dict[str, Any]:
    """The environ of a signed-in request."""
    app = App()
    middleware = guard(app, **keys)
    call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware, identity, access_token="at-1")))
    return app.environ


def test_the_identity_is_there_when_somebody_is_signed_in_and_none_otherwise() -> None:
    assert oauth2_mw.get_identity(seen_by_the_application()) == JANE
    assert oauth2_mw.get_identity({}) is None


def test_the_urls_start_with_public_url_and_keep_only_destinations_of_ours() -> None:
    environ = seen_by_the_application()
    assert oauth2_mw.login_url(environ) == f"{ORIGIN}/auth/oauth2/login/"
    assert (
        oauth2_mw.login_url(environ, destination="/a?b=c") == f"{ORIGIN}/auth/oauth2/login/?next=/a%3Fb%3Dc"
    )
    assert oauth2_mw.logout_url(environ, destination="/bye") == f"{ORIGIN}/auth/oauth2/logout/?next=/bye"
    assert oauth2_mw.logout_url(environ, destination="//evil.example") == f"{ORIGIN}/auth/oauth2/logout/"


@pytest.mark.parametrize("path", ["/static/x", "/app-api/x"])
def test_the_urls_are_there_on_paths_that_know_nobody(path: str) -> None:
    app = App()
    middleware = guard(app, access={"rules": "public /static/\ndelegated /app-api/"})
    call(middleware, environ_for(path, HTTP_AUTHORIZATION="Bearer x"))
    assert oauth2_mw.login_url(app.environ, destination="/a") == f"{ORIGIN}/auth/oauth2/login/?next=/a"
    assert oauth2_mw.logout_url(app.environ) == f"{ORIGIN}/auth/oauth2/logout/"
    assert oauth2_mw.get_identity(app.environ) is None
    with pytest.raises(OAuth2Error, match="nobody is known here: this path is public"):
        oauth2_mw.require(app.environ)


def test_without_the_middleware_the_urls_are_the_default_paths() -> None:
    assert oauth2_mw.login_url({}) == "/auth/oauth2/login/"
    assert oauth2_mw.logout_url({"SCRIPT_NAME": "/core"}) == "/core/auth/oauth2/logout/"
    environ = {"SCRIPT_NAME": "/core"}
    assert oauth2_mw.login_url(environ, destination="/core/a?b=c&d") == (
        "/core/auth/oauth2/login/?next=/core/a%3Fb%3Dc%26d"
    )
    for elsewhere in (
        "//evil.example",
        "https://evil.example/",
        "/other",
        "/core/auth/oauth2/login/",
        "/core\\",
    ):
        assert oauth2_mw.login_url(environ, destination=elsewhere) == "/core/auth/oauth2/login/"


# What is required


def answered(environ: dict[str, Any], **demanded: Any) -> WsgiResponse | None:
    answer = oauth2_mw.require(environ, **demanded)
    return None if answer is None else call(answer, environ)


@pytest.mark.parametrize(
    "demanded",
    [
        {},
        {"group": "staff"},
        {"group": ["admins", "staff"]},
        {"claim": "level=3"},
        {"claim": ("level=4", "level=3"), "group": "staff"},
        {"acr": "gold"},
        {"acr": "platinum gold"},
        {"max_age": 60},
    ],
)
def test_who_meets_what_is_required_passes(demanded: dict[str, Any]) -> None:
    jane = replace(JANE, claims=freeze({"level": 3}), acr="gold", auth_time=int(time.time()))
    assert answered(seen_by_the_application(jane), **demanded) is None
    # The application's own tests need no middleware.
    assert answered({"oauth2_mw.identity": jane}, **demanded) is None


@pytest.mark.parametrize(
    "demanded",
    [
        {"group": "admins"},
        {"group": "staff", "claim": "level=4"},
        {"claim": "level=3"},
        {"acr": "gold"},
        {"max_age": 60},
        {"group": "admins", "acr": "gold"},
    ],
)
def test_who_does_not_is_refused(demanded: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    answer = answered(seen_by_the_application(), **demanded)
    assert answer is not None
    assert answer.status == 403
    assert "the rule require(" in caplog.text
    answer = answered({**environ_for("/"), "oauth2_mw.identity": JANE}, **demanded)
    assert answer is not None
    assert answer.status == 403


def test_a_person_who_is_refused_reads_as_whom() -> None:
    environ = seen_by_the_application()
    environ["HTTP_ACCEPT"] = "text/html"
    answer = answered(environ, group="admins")
    assert answer is not None
    assert f"<bdi>{JANE.username}</bdi>" in answer.text
    assert "Use another account" in answer.text


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_stranger_is_asked_to_sign_in_whatever_is_required(accept: str) -> None:
    app = App()
    call(guard(app, protect="optional"), environ_for("/a", HTTP_ACCEPT=accept))
    # As by a framework that dispatches to applications below a path.
    app.environ |= {"SCRIPT_NAME": "/a", "PATH_INFO": ""}
    answer = answered(app.environ, group="staff")
    assert answer is not None
    assert answer.status == 401
    assert "/auth/oauth2/login/" in answer.text
    assert "next=/a" in answer.text
    without = answered(environ_for("/a"), group="staff")
    assert without is not None
    assert without.status == 401


@pytest.mark.parametrize(
    ("demanded", "error"),
    [
        ({"claim": "level"}, "write claim:PATH=VALUE"),
        ({"group": ""}, "is no group that anybody could have"),
        ({"group": []}, "group is a text, or a list of texts"),
        ({"group": 7}, "group is a text, or a list of texts"),
        ({"acr": ""}, "acr is a text, or a list of texts"),
        ({"acr": ["a b"]}, "is no acr that anybody could have"),
        ({"max_age": -1}, "max_age is a number of seconds"),
        ({"max_age": "5"}, "max_age is a number of seconds"),
        ({"max_age": True}, "max_age is a number of seconds"),
    ],
)
def test_what_nobody_could_meet_is_a_mistake(demanded: dict[str, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(error)):
        oauth2_mw.require(seen_by_the_application(), **demanded)


def test_no_request_outlives_its_response_until_the_collector_comes() -> None:
    class Input:
        pass

    app = App()
    middleware = guard(app)
    environ = environ_for("/", HTTP_COOKIE=sign_in(middleware)) | {"wsgi.input": Input()}
    body = weakref.ref(environ["wsgi.input"])
    gc.disable()
    try:
        call(middleware, environ)
        app.__dict__.clear()
        del environ
        assert body() is None
    finally:
        gc.enable()


# Wrong guesses


class Request:
    """What a framework calls a request."""


@pytest.mark.parametrize(
    "function", ["get_identity", "login_url", "logout_url", "require", "authorized_session"]
)
@pytest.mark.parametrize("request_", [Request(), None, "environ"])
def test_a_request_is_not_an_environ(function: str, request_: Any) -> None:
    with pytest.raises(TypeError, match=r"pass request\.environ .* or request\.META \(Django\)"):
        getattr(oauth2_mw, function)(request_)


def test_the_middleware_takes_a_path_and_a_mapping_for_settings(tmp_path: Path) -> None:
    keys = {
        "public_url": ORIGIN,
        "secret_keys": text_key(),
        "issuer": "https://id.example",
        "client_id": "app",
        "client_secret": "s3cret",
    }
    ini = tmp_path / "oauth2.ini"
    ini.write_text("[oauth2_mw]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()))
    for settings in (str(ini), ini, keys):
        middleware = oauth2_mw.OAuth2Middleware(App(), settings)
        assert call(middleware, environ_for("/")).status == 401
    with pytest.raises(ConfigError, match=r"gone\.ini"):
        oauth2_mw.OAuth2Middleware(App(), str(tmp_path / "gone.ini"))


@pytest.mark.parametrize(
    ("app", "settings", "error"),
    [
        ("oauth2.ini", App(), "takes the WSGI application first, and str is not one"),
        ({}, App(), "takes the WSGI application first, and dict is not one"),
        (make_settings(issuer="https://id.example"), App(), "first, and Settings is not one"),
        (App(), App(), "a mapping second, and not App"),
        (App(), None, "a mapping second, and not NoneType"),
        (App(), oauth2_mw.Settings, "a mapping second, and not Settings"),
    ],
)
def test_arguments_the_wrong_way_round_are_named(app: Any, settings: Any, error: str) -> None:
    with pytest.raises(TypeError, match=error):
        oauth2_mw.OAuth2Middleware(app, settings)


# The access token


def test_an_authorized_session_sends_the_access_token() -> None:
    session = oauth2_mw.authorized_session(seen_by_the_application(keep_tokens="id access"))
    assert session.token["access_token"] == "at-1"


@pytest.mark.parametrize("keep", ["id", None])
def test_without_a_kept_access_token_there_is_no_authorized_session(keep: str | None) -> None:
    environ = seen_by_the_application(keep_tokens=keep)
    with pytest.raises(OAuth2Error, match="keep_tokens"):
        oauth2_mw.authorized_session(environ)
    with pytest.raises(OAuth2Error, match="signed in"):
        oauth2_mw.authorized_session({})


@pytest.mark.parametrize("store", [None, "sqlite"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_authorized_session_has_a_token_that_holds(
    provider: StandIn, tmp_path: Path, store: str | None, when: str
) -> None:
    clocks = ShiftedClocks()
    provider.resources["/api"] = {"fine": True}
    seen: list[Any] = []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/api":
            return GuardedApp()(environ, start_response)
        if when == "after":
            start_response("200 OK", [("Content-Type", "text/plain")])
        # The work that comes first takes its time.
        clocks.ahead += 3590
        seen.append(oauth2_mw.authorized_session(environ).get(f"{provider.url}/api").json())
        if when == "before":
            start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    session = f"sqlite:///{tmp_path}/sessions.db" if store else "cookie"
    with guarded(
        issuer=provider.issuer, keep_tokens="id access refresh", clocks=clocks.clocks, session=session
    ) as site:
        browser = signed_in(site)
        site.middleware._app = application
        assert browser.navigate(site.url + "/api").text == "done"
        assert seen == [{"fine": True}]
        # Once the response has begun no cookie can bring a new token home.
        assert len(provider.asked("/token")) == (1 if when == "after" and not store else 2)
        before = len(provider.asked("/token"))
        # The browser has what came of it: the provider would end the session of one who uses a token twice.
        assert browser.navigate(site.url + "/").json()["user"] == "jane"
        assert len(provider.asked("/token")) == (2 if when == "after" and not store else before)


def test_every_public_name_is_there_and_no_other() -> None:
    for name in oauth2_mw.__all__:
        assert getattr(oauth2_mw, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = oauth2_mw.nonsense


def test_preload_imports_what_the_first_sign_in_needs() -> None:
    code = """
import sys
from oauth2_mw import OAuth2Middleware, Settings
OAuth2Middleware(lambda environ, start_response: [], Settings.from_mapping({
    "public_url": "https://app.example", "secret_keys": "FL9BPkFxvGWLCCcEkVJqIcv0-wfGKfNpDMnRyXsyXlw",
    "issuer": "https://id.example", "client_id": "app", "client_secret": "s", "preload": "true"}))
heavy = {"webob", "jwt", "requests", "urllib3", "oauthlib", "requests_oauthlib", "jinja2"}
print(sorted(heavy - set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_hot_path_imports_no_web_jwt_or_http_library() -> None:
    code = """
import sys
from oauth2_mw import OAuth2Middleware, Settings
OAuth2Middleware(lambda environ, start_response: [], Settings.from_mapping({
    "public_url": "https://app.example", "secret_keys": "FL9BPkFxvGWLCCcEkVJqIcv0-wfGKfNpDMnRyXsyXlw",
    "issuer": "https://id.example", "client_id": "app", "client_secret": "s"}))
heavy = {"webob", "jwt", "requests", "urllib3", "oauthlib", "requests_oauthlib", "jinja2", "sqlalchemy"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
