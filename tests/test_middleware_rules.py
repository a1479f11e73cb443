"""``[access] rules`` through the whole middleware: who reaches the application, and what everybody else is told."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from oauth2_mw.identity.model import Identity, freeze
from oauth2_mw.middleware import OAuth2Middleware
from tests.support.browser.protected_targets import PROTECTED_TARGETS
from tests.support.hosts.guarded import JANE, App, guard, sign_in
from tests.support.hosts.wsgi_call import WsgiResponse, call, environ_for

RULES = """
public     /static/ /public/
denied     /internal/
required   /admin/ if group:admins
required   GET /api/
required   /api/ if group:editors
delegated  /app-api/
optional   /
"""
PERSON = {"HTTP_ACCEPT": "text/html"}
ADMIN = replace(JANE, groups=("admins",))


class Site:
    """The middleware under the rules of this file, with somebody signed in or not."""

    def __init__(self, identity: Identity | None = None, rules: str = RULES, **keys: Any) -> None:
        self.app = App()
        self.middleware: OAuth2Middleware = guard(self.app, access={"rules": rules}, **keys)
        self.cookie = sign_in(self.middleware, identity) if identity is not None else None

    def get(self, path: str, **keys: Any) -> WsgiResponse:
        return call(self.middleware, environ_for(path, **{"HTTP_COOKIE": self.cookie, **keys}))


def test_a_public_path_needs_nobody_and_is_told_of_nobody() -> None:
    site = Site(ADMIN)
    assert site.get("/static/x.css").status == 200
    assert site.app.seen[-1]["user"] is None
    assert site.app.seen[-1]["cookie"] is None


@pytest.mark.parametrize("identity", [None, JANE, ADMIN])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("path", ["/internal/", "/internal", "/internal/a/b"])
def test_nobody_passes_where_everybody_is_denied(identity: Identity | None, method: str, path: str) -> None:
    site = Site(identity)
    answer = site.get(path, REQUEST_METHOD=method, **PERSON)
    assert answer.status == 403
    assert site.app.calls == 0
    # Another sign-in would not help, so that none is begun or offered.
    assert "login" not in answer.text
    assert answer.cookies == {}


def test_who_meets_the_condition_passes() -> None:
    site = Site(ADMIN)
    assert site.get("/admin/users").status == 200
    assert site.app.seen[-1]["user"] == "jane"


def test_who_does_not_meet_the_condition_is_told_as_whom_they_are_signed_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site(JANE)
    with caplog.at_level(logging.WARNING, "oauth2_mw.audit"):
        answer = site.get("/admin/users", **PERSON)
    assert answer.status == 403
    assert site.app.calls == 0
    assert "You are not allowed to open this address." in answer.text
    assert "<bdi>jane</bdi>" in answer.text
    assert "id.example" in answer.text
    assert "/auth/oauth2/logout/" in answer.text
    assert "next=/admin/users" in answer.text
    assert answer.header("Cache-Control") == "no-store"
    (line,) = caplog.messages
    assert "event=refused" in line
    assert "code=path_not_allowed" in line
    assert "the rule required /admin/ if group:admins does not let 'jane' pass; groups: staff" in line


def test_a_program_is_told_so_in_json() -> None:
    answer = Site(JANE).get("/admin/users", HTTP_ACCEPT="application/json")
    assert answer.status == 403
    assert answer.header("Content-Type") == "application/problem+json"
    document = json.loads(answer.text)
    assert document["status"] == 403
    assert document["title"] == "Forbidden"
    assert (document["username"], document["provider"]) == ("jane", "id.example")
    assert document["reference"]
    assert answer.header("WWW-Authenticate") is None


@pytest.mark.parametrize("path", ["/admin/", "/admin", "/api/x", "/app-api/x"])
def test_a_stranger_is_asked_to_sign_in(path: str) -> None:
    site = Site()
    answer = site.get(path, **PERSON)
    assert answer.status == 401
    assert f"next={path}" in answer.text
    assert site.app.calls == 0


def test_under_optional_the_application_decides() -> None:
    site = Site()
    assert site.get("/").status == 200
    assert site.app.seen[-1]["user"] is None
    site = Site(JANE)
    assert site.get("/wiki").status == 200
    assert site.app.seen[-1]["user"] == "jane"


@pytest.mark.requirement("3g.4", "R-methods")
def test_a_rule_for_one_method_opens_no_other() -> None:
    site = Site(JANE)
    assert site.get("/api/x").status == 200
    assert site.get("/api/x", REQUEST_METHOD="HEAD").status == 200
    for method in ("POST", "DELETE", "get", "Get", "PATCH", "GETX", "X"):
        assert site.get("/api/x", REQUEST_METHOD=method).status == 403, method
    assert site.app.calls == 2


@pytest.mark.requirement("R-methods")
@pytest.mark.parametrize("header", ["X_HTTP_METHOD_OVERRIDE", "X_HTTP_METHOD", "X_METHOD_OVERRIDE"])
@pytest.mark.parametrize("value", ["DELETE", "delete", " Delete ", "", "PATCH, GET"])
def test_a_header_that_overrides_the_method_opens_nothing(header: str, value: str) -> None:
    site = Site(JANE)
    assert site.get("/api/x", **{f"HTTP_{header}": value}).status == 403
    assert site.get("/api/x", REQUEST_METHOD="POST", **{f"HTTP_{header}": "GET"}).status == 403
    assert site.app.calls == 0
    assert site.get("/api/x", **{f"HTTP_{header}": "get"}).status == 200


@pytest.mark.requirement("R-methods")
@pytest.mark.parametrize("value", ["DELETE", "delete,get", "GET, DELETE", "get ,\tDelete"])
def test_an_override_that_came_twice_opens_nothing(value: str) -> None:
    site = Site(JANE, "denied DELETE /api/\noptional /")
    assert site.get("/api/x", HTTP_X_HTTP_METHOD_OVERRIDE=value).status == 403
    assert site.get("/api/x", REQUEST_METHOD="POST", HTTP_X_HTTP_METHOD=value).status == 403
    assert site.app.calls == 0


@pytest.mark.requirement("R-odd")
@pytest.mark.parametrize("target", PROTECTED_TARGETS, ids=ascii)
@pytest.mark.parametrize("identity", [None, JANE])
def test_no_spelling_goes_round_a_strict_rule_before_a_lax_one(
    target: str, identity: Identity | None, caplog: pytest.LogCaptureFixture
) -> None:
    path, _, query = target.partition("?")
    native = unquote_to_bytes(path.partition("#")[0].encode()).decode("latin-1")
    site = Site(
        identity, "public /public/\nrequired /admin/ if group:admins\ndenied /public /PUBLIC/\noptional /"
    )
    with caplog.at_level(logging.WARNING, "oauth2_mw.audit"):
        answer = site.get(native, QUERY_STRING=query, **PERSON)
    if answer.status == 200:
        # What is no spelling of either is the application's, under the last rule; the empty path under protect.
        others = (
            "/publicx",
            "/Public/",
            "/admin/x.css/",
            "/adminx",
            "/admins",
            "/Admin",
            "/ADMIN",
            "/admin.",
            "/admin ",
        )
        assert native.startswith(others) or (native == "" and identity is not None)
    else:
        assert answer.status in (401, 403, 404)
        assert site.app.calls == 0
    if answer.status == 404:
        assert "odd_paths" in answer.text
        assert "odd_paths" in caplog.text
        assert "code=odd_path" in caplog.text


@pytest.mark.requirement("R-odd")
def test_a_mount_that_is_not_ours_is_no_way_round_a_rule() -> None:
    site = Site(JANE)
    assert site.get("/", SCRIPT_NAME="/admin").status == 404
    assert site.get("/static/x", SCRIPT_NAME="/x").status == 404
    assert site.app.calls == 0


@pytest.mark.requirement("R-odd")
def test_in_odd_paths_the_application_sees_its_own_paths() -> None:
    rules = "denied /queues/private/\nrequired /queues/\noptional /"
    site = Site(JANE, rules, odd_paths="/queues/")
    assert site.get("/queues//name").status == 200
    assert site.app.seen[-1]["path"] == "/queues//name"
    assert site.get("/queues/%2F/name").status == 200
    assert site.get("/queues/;a/private/x").status == 403
    assert site.get("/other//name").status == 404
    assert Site(None, rules, odd_paths="/queues/").get("/queues//name").status == 401


# Delegated


@pytest.mark.parametrize("credential", ["Token abc", "token abc", "Bearer x.y.z", " Bearer x"])
@pytest.mark.parametrize("identity", [None, JANE])
def test_a_credential_of_the_application_passes_without_an_identity(
    credential: str, identity: Identity | None
) -> None:
    site = Site(identity)
    assert site.get("/app-api/x", HTTP_AUTHORIZATION=credential).status == 200
    seen = site.app.seen[-1]
    assert seen["user"] is None
    assert seen["identity"] is None
    assert seen["cookie"] is None
    assert seen["environ"]["HTTP_AUTHORIZATION"] == credential


@pytest.mark.parametrize("credential", ["Basic eDp5", "Token", "Token ", "", "Tokenx abc", "Digest a"])
def test_any_other_credential_is_none(credential: str) -> None:
    site = Site()
    assert site.get("/app-api/x", HTTP_AUTHORIZATION=credential).status == 401
    assert site.app.calls == 0


def test_without_a_credential_a_delegated_path_asks_for_a_sign_in() -> None:
    site = Site(JANE)
    assert site.get("/app-api/x").status == 200
    assert site.app.seen[-1]["user"] == "jane"


def test_a_credential_of_the_application_opens_no_other_path() -> None:
    site = Site()
    for path in ("/admin/", "/api/x", "/app-apix/../api/x"):
        assert site.get(path, HTTP_AUTHORIZATION="Token abc").status in (401, 404)
    assert site.app.calls == 0


def test_the_schemes_of_the_application_can_be_set() -> None:
    site = Site(None, app_schemes="ApiKey")
    assert site.get("/app-api/x", HTTP_AUTHORIZATION="apikey 1").status == 200
    assert site.get("/app-api/x", HTTP_AUTHORIZATION="Token 1").status == 401


# What conditions read


def test_a_claim_of_the_latest_sign_in_is_read() -> None:
    rules = 'required /x if claim:"https://a.example/level"=3\noptional /'
    claims = freeze({"https://a.example/level": 3})
    assert Site(replace(JANE, claims=claims), rules).get("/x").status == 200
    answer = Site(replace(JANE, claims=freeze({"https://a.example/level": 2})), rules).get("/x")
    assert answer.status == 403


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"email": "jane@example.com", "email_verified": True}, 200),
        ({"email": "jane@example.com"}, 200),
        ({"email": "jane@example.com", "email_verified": False}, 403),
        ({"email": "jane@example.com", "email_verified": "true"}, 403),
        ({"email": "jane@example.org", "email_verified": True}, 403),
        # What the directory has is nobody's proof.
        ({}, 403),
    ],
)
def test_an_address_counts_as_the_latest_sign_in_left_it(claims: dict[str, Any], status: int) -> None:
    site = Site(replace(JANE, claims=freeze(claims)), "required /x if email_domain:example.com\noptional /")
    assert site.get("/x").status == status


def test_claims_that_rules_read_stay_in_a_session_that_is_too_large() -> None:
    rules = "required /x if claim:level=3\nrequired /y if email:jane@example.com\noptional /"
    claims = {"level": 3, "email": "jane@example.com", "email_verified": True, "rest": "x" * 8000}
    site = Site(replace(JANE, claims=freeze(claims)), rules)
    assert site.get("/x").status == 200
    assert site.get("/y").status == 200
    identity = site.app.seen[-1]["Identity"]
    assert set(identity.claims) == {"level", "email", "email_verified"}


def test_whom_a_condition_denies() -> None:
    rules = "denied /x/ if group:interns\noptional /"
    assert Site(JANE, rules).get("/x/").status == 200
    assert Site(replace(JANE, groups=("interns",)), rules).get("/x/").status == 403
    assert Site(None, rules).get("/x/").status == 401


def test_our_own_urls_are_under_no_rule() -> None:
    site = Site(None, "denied /")
    assert site.get("/auth/oauth2/login/", **PERSON).status == 200
    assert site.get("/", **PERSON).status == 403
