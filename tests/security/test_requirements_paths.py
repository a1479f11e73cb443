"""Paths and environs, through the whole middleware: what opens a protected path, and who is believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import ConfigError
from oauth2_mw.middleware import OAuth2Middleware
from tests.support.browser.protected_targets import PROTECTED_TARGETS
from tests.support.hosts.guarded import JANE, App, sign_in
from tests.support.hosts.wsgi_call import call, environ_for
from tests.support.settings.minimal import make_settings

COOKIE = "__Host-oauth2_mw"
PREFIX = "/auth/oauth2"


def guard(app: App, **keys: Any) -> OAuth2Middleware:
    return OAuth2Middleware(
        app,
        make_settings(
            **{"issuer": "https://id.example", "login_page": True, "public_paths": "/public/", **keys}
        ),
    )


def request_for(target: str, **keys: Any) -> dict[str, Any]:
    """The environ that a server makes of a request target."""
    path, _, query = target.partition("?")
    return environ_for(
        unquote_to_bytes(path.encode()).decode("latin-1"),
        QUERY_STRING=query,
        RAW_URI=target,
        REQUEST_URI=target,
        **keys,
    )


@pytest.mark.requirement("3g", "3g.7", "3g.5")
@pytest.mark.parametrize("target", PROTECTED_TARGETS, ids=ascii)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
def test_no_spelling_of_a_protected_path_reaches_the_application(target: str, method: str) -> None:
    app = App()
    assert call(guard(app), request_for(target, REQUEST_METHOD=method)).status == 401
    assert app.calls == 0


@pytest.mark.requirement("3g.1")
def test_a_path_is_judged_as_the_application_routes_it() -> None:
    app = App()
    middleware = guard(app)
    # Whatever else names a path, the one that the application sees decides.
    elsewhere = {
        "RAW_URI": "/admin",
        "REQUEST_URI": "/admin",
        "HTTP_HOST": "app.example/admin?",
        "QUERY_STRING": "/admin",
    }
    assert call(middleware, environ_for("/public/x", **elsewhere)).status == 200
    here = {name: value.replace("admin", "public/x") for name, value in elsewhere.items()}
    assert call(middleware, environ_for("/admin", **here)).status == 401
    assert [seen["path"] for seen in app.seen] == ["/public/x"]


@pytest.mark.requirement("3g.2")
@pytest.mark.parametrize(
    "script", ["/public", "/public/", "/x", "/core/", "/CORE", "core", "/core/public", "//core"]
)
@pytest.mark.parametrize("path", ["/admin", "/public/x", f"{PREFIX}/login/", f"{PREFIX}/logout/"])
def test_a_mount_that_is_not_ours_is_never_public_and_never_ours(script: str, path: str) -> None:
    app = App()
    middleware = guard(app, public_url="https://app.example/core")
    answer = call(middleware, environ_for(path, SCRIPT_NAME=script))
    assert (answer.status, answer.header("Content-Type")) == (401, "application/problem+json")
    assert app.calls == 0


@pytest.mark.requirement("3g.3")
@pytest.mark.parametrize(
    "path", ["/PUBLIC/x", "/Public/x", "/public", "/publicx/y", "/xpublic/y", "/x/public/y"]
)
def test_a_rule_minds_case_and_ends_at_a_slash(path: str) -> None:
    app = App()
    middleware = guard(app)
    assert call(middleware, environ_for(path)).status == 401
    assert call(middleware, environ_for("/public/")).status == 200


SHARED_APP = App()
SHARED = guard(SHARED_APP)


@pytest.mark.requirement("3g.6")
@given(
    st.sampled_from(["", "/public/", "path=/public/", "x=/public/&y", "#/public/", "?/public/"]),
    st.text("a/.?#&=", max_size=8),
)
def test_neither_query_nor_fragment_opens_a_path(query: str, more: str) -> None:
    assert call(SHARED, environ_for("/admin", QUERY_STRING=query + more)).status == 401
    assert SHARED_APP.calls == 0


@pytest.mark.requirement("3g.9", "3e.5")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_X_ORIGINAL_URL", "/public/x"),
        ("HTTP_X_REWRITE_URL", "/public/x"),
        ("HTTP_X_ORIGINAL_URI", "/public/x"),
        ("HTTP_X_FORWARDED_PATH", "/public/x"),
        ("HTTP_X_HTTP_METHOD_OVERRIDE", "OPTIONS"),
        ("HTTP_X_HTTP_METHOD", "OPTIONS"),
        ("HTTP_X_METHOD_OVERRIDE", "HEAD"),
        ("HTTP_USER_AGENT", "kube-probe/1.29"),
        ("HTTP_USER_AGENT", "GoogleHC/1.0"),
        ("HTTP_USER_AGENT", "ELB-HealthChecker/2.0"),
        ("HTTP_REFERER", "https://app.example/public/x"),
        ("HTTP_ORIGIN", "https://app.example"),
        ("HTTP_UPGRADE", "websocket"),
        ("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "GET"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_no_header_opens_a_path(name: str, value: str, method: str) -> None:
    app = App()
    assert call(guard(app), environ_for("/admin", REQUEST_METHOD=method, **{name: value})).status == 401
    assert app.calls == 0


@pytest.mark.requirement("3g.10")
@pytest.mark.parametrize(
    "path", ["", None, "public/x", "*", "http://app.example/public/x", "https:/public/x", "\\public\\x"]
)
def test_what_is_no_path_at_all_is_protected(path: str | None) -> None:
    app = App()
    assert call(guard(app), environ_for("/", PATH_INFO=path)).status == 401
    assert app.calls == 0


@pytest.mark.requirement("3e.7")
@pytest.mark.parametrize("address", [None, "", "127.0.0.1", "::1", "unix:", "10.0.0.1"])
def test_nobody_is_trusted_for_where_they_come_from(address: str | None) -> None:
    app = App()
    environ = environ_for(
        "/admin",
        REMOTE_ADDR=address,
        REMOTE_HOST="localhost",
        REMOTE_USER="root",
        HTTP_X_FORWARDED_USER="root",
    )
    assert call(guard(app), environ).status == 401
    assert app.calls == 0
    assert "root" not in environ.values()


IDENTITY_NAMES = (
    "REMOTE_USER",
    "AUTH_TYPE",
    "HTTP_REMOTE_USER",
    "HTTP_X_REMOTE_USER",
    "HTTP_X_FORWARDED_USER",
    "HTTP_X_FORWARDED_EMAIL",
    "HTTP_X_FORWARDED_GROUPS",
    "HTTP_X_FORWARDED_PREFERRED_USERNAME",
    "HTTP_X_FORWARDED_ACCESS_TOKEN",
    "HTTP_X_AUTH_REQUEST_USER",
    "HTTP_OIDC_CLAIM_SUB",
    "OIDC_access_token",
    "oauth2_mw.identity",
    "REDIRECT_REMOTE_USER",
)


@pytest.mark.requirement("3e.2", "V36")
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"REQUEST_METHOD": "OPTIONS", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"},
        {"PATH_INFO": "/public/x"},
        {"PATH_INFO": "/public/../x"},
        {"PATH_INFO": f"{PREFIX}/static/oauth2_mw.css"},
        {"PATH_INFO": f"{PREFIX}/login/"},
        {"PATH_INFO": f"{PREFIX}/login/callback/"},
        {"PATH_INFO": f"{PREFIX}/nothing"},
        {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "upgrade"},
        {"HTTP_COOKIE": f"{COOKIE}=bad"},
        {"SCRIPT_NAME": "/elsewhere"},
        {"HTTP_ACCEPT": "text/html"},
    ],
    ids=str,
)
@pytest.mark.parametrize("protect", ["required", "optional"])
def test_what_claims_an_identity_is_gone_before_every_way_out(keys: dict[str, Any], protect: str) -> None:
    app = App()
    claims = dict.fromkeys(IDENTITY_NAMES, "mallory")
    environ = {**environ_for("/x"), **claims, **keys}
    call(guard(app, protect=protect), environ)
    assert "mallory" not in environ.values()
    assert all("mallory" not in seen["environ"].values() for seen in app.seen)


@pytest.mark.requirement("3e.4")
@pytest.mark.parametrize(
    "target",
    [
        "PATH_INFO",
        "HTTP_HOST",
        "HTTP_COOKIE",
        "wsgi.input",
        "wsgi.url_scheme",
        "REQUEST_METHOD",
        "CONTENT_LENGTH",
    ],
)
def test_a_name_that_the_server_needs_cannot_be_handed_on(target: str) -> None:
    with pytest.raises(ConfigError):
        guard(App(), environ={target: "username"})


@pytest.mark.requirement("3e.3")
def test_a_comma_in_a_group_cannot_make_two_of_one() -> None:
    app = App()
    middleware = guard(app, environ={"HTTP_X_GROUPS": "groups"})
    groups = []
    for identity in (replace(JANE, groups=("staff,admin",)), replace(JANE, groups=("staff", "admin"))):
        call(middleware, environ_for("/", HTTP_COOKIE=sign_in(middleware, identity)))
        groups.append(app.seen[-1]["environ"]["HTTP_X_GROUPS"])
    assert groups == ["staff%2Cadmin", "staff,admin"]
