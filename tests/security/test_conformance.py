"""The OpenID Foundation's tests for relying parties: Basic, Config, Form Post, and RP-Initiated Logout.

The ids: B of the Basic plan, C of the Config plan, L of the logout plan, D6 for signed userinfo. The Form Post plan is
the Basic plan once more with ``response_mode=form_post``.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

from tests.security.hostile import (
    DISCOVERY,
    JWKS,
    TOKEN,
    USERINFO,
    Case,
    Hostile,
    Stage,
    accepted,
    answered,
    assert_refused,
    assert_signed_in,
    both,
    claims,
    claims_of,
    edited,
    header,
    members_of,
    nothing,
    refused,
    sealed,
    signed_by,
    stage,
    unsigned,
    with_signature,
)
from tests.support.browser.page import Page
from tests.support.providers.jose import Key, rsa_key, to_json
from tests.support.providers.standin import LEFT_OUT, Answer
from tests.support.settings.minimal import ORIGIN

MODES = ["query", "form_post"]


def another_last_octet(signature: bytes) -> bytes:
    return signature[:-1] + bytes([signature[-1] ^ 1])


def in_each_mode(
    make: Callable[..., Any], requirements: str, what: str, *arguments: Any, **options: Any
) -> list[Any]:
    """A parameter of the Basic plan, and the same one of the Form Post plan."""
    return [
        make(
            requirements,
            what if mode == "query" else f"{what}, as a form",
            *arguments,
            **options,
            response_mode=mode,
        )
        for mode in MODES
    ]


BASIC = [
    *in_each_mode(accepted, "B1", "everything as it should be", nothing),
    *in_each_mode(refused, "B2 F13", "another iss", claims(iss=lambda iss: iss + "INVALID"), "token_issuer"),
    *in_each_mode(refused, "B3", "no sub", claims(sub=LEFT_OUT), "token_subject"),
    *in_each_mode(refused, "B4 F15", "another aud", claims(aud="INVALID"), "token_audience"),
    *in_each_mode(refused, "B5", "no iat", claims(iat=LEFT_OUT), "token_time"),
    *in_each_mode(accepted, "B6", "no kid and one key", header(kid=None)),
    *in_each_mode(
        accepted,
        "B7",
        "no kid and several keys",
        both(header(kid=None), signed_by(rsa_key(), rsa_key(2).jwk(), rsa_key(3).jwk(), rsa_key().jwk())),
    ),
    *in_each_mode(
        refused,
        "B7",
        "no kid and several keys of others",
        both(header(kid=None), signed_by(rsa_key(), rsa_key(2).jwk(), rsa_key(3).jwk())),
        "token_signature",
    ),
    *in_each_mode(accepted, "B8", "RS256", header(alg="RS256")),
    *in_each_mode(
        refused, "B9 F22", "the algorithm none", unsigned("none", b"any"), "token_algorithm", until=TOKEN
    ),
    *in_each_mode(
        refused, "B9", "the algorithm none, unsigned", unsigned("none", b""), "token_malformed", until=TOKEN
    ),
    *in_each_mode(refused, "B10", "a wrong signature", with_signature(another_last_octet), "token_signature"),
    *in_each_mode(
        refused,
        "B13",
        "userinfo of somebody else",
        members_of("userinfo", sub=lambda sub: sub + "INVALID"),
        "userinfo_subject",
        until=USERINFO,
    ),
    *in_each_mode(
        refused, "B14 F20", "another nonce", claims(nonce=lambda nonce: nonce + "INVALID"), "token_nonce"
    ),
]


@pytest.mark.parametrize("case", BASIC)
def test_basic(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("mode", MODES)
def test_a_sign_in_asks_each_endpoint_once_and_in_order(mode: str, tmp_path: Path) -> None:
    with stage(tmp_path, response_mode=mode) as there:
        assert_signed_in(there, there.sign_in())
        assert there.provider.calls == [DISCOVERY, "/authorize", TOKEN, JWKS, USERINFO]


@pytest.mark.requirement("B11")
@pytest.mark.parametrize("mode", MODES)
def test_the_access_token_travels_in_the_header_alone(mode: str, tmp_path: Path) -> None:
    with stage(tmp_path, response_mode=mode) as there:
        assert_signed_in(there, there.sign_in())
        (asked,) = there.provider.asked(USERINFO)
        scheme, _, token = asked.headers["Authorization"].partition(" ")
        assert (asked.method, scheme, bool(token)) == ("GET", "Bearer", True)
        assert dict(asked.query) == dict(asked.form) == {}


@pytest.mark.requirement("B11", "3f.2")
@pytest.mark.parametrize("mode", MODES)
def test_the_access_token_is_never_tried_in_a_body(mode: str, tmp_path: Path) -> None:
    with stage(tmp_path, response_mode=mode) as there:
        there.provider.answers["userinfo"] = Answer(b'{"error": "invalid_request"}', 400)
        page = there.sign_in()
        assert_refused(there, page, code="userinfo_refused", status=502, until=USERINFO)
        assert [asked.method for asked in there.provider.asked(USERINFO)] == ["GET"]


@pytest.mark.requirement("B15")
@pytest.mark.parametrize("mode", MODES)
def test_claims_are_asked_for_by_scope(mode: str, tmp_path: Path) -> None:
    scope = "openid profile email phone address"
    attributes = '{"username": "preferred_username", "email": "email", "phone": "phone_number"}'
    environ = {"HTTP_X_TOWN": "claims.address.locality"}
    with stage(tmp_path, response_mode=mode, scope=scope, attribute_map=attributes, environ=environ) as there:
        there.provider.userinfo |= {"phone_number": "+47 555", "address": {"locality": "Oslo"}}
        assert_signed_in(there, there.sign_in())
        assert there.provider.asked("/authorize")[0].query["scope"] == scope
        seen = there.site.app.seen[-1]
        assert (seen["Identity"].email, seen["Identity"].phone) == ("jane@example.com", "+47 555")
        assert seen["environ"]["HTTP_X_TOWN"] == "Oslo"


@pytest.mark.requirement("B16")
@pytest.mark.parametrize("mode", MODES)
def test_client_secret_basic_is_the_one_way_the_secret_travels(mode: str, tmp_path: Path) -> None:
    with stage(tmp_path, response_mode=mode, client_auth_method="client_secret_basic") as there:
        assert_signed_in(there, there.sign_in())
        (asked,) = there.provider.asked(TOKEN)
        pair = b64decode(asked.headers["Authorization"].removeprefix("Basic ")).decode()
        assert [unquote_plus(text) for text in pair.split(":")] == ["app", there.provider.client_secret]
        assert "client_secret" not in asked.form
        assert dict(asked.query) == {}


@pytest.mark.requirement("N2.8.12")
def test_form_post_is_asked_for_and_nothing_of_the_form_stays_in_an_address(tmp_path: Path) -> None:
    with stage(tmp_path, response_mode="form_post") as there:
        assert_signed_in(there, there.sign_in())
        assert there.provider.asked("/authorize")[0].query["response_mode"] == "form_post"
        assert not any("code=" in step.url for step in there.browser.steps)


@pytest.mark.requirement("X8")
def test_an_error_as_a_form_is_a_page(tmp_path: Path) -> None:
    with stage(tmp_path, response_mode="form_post", prompt="none", max_age="0") as there:
        there.provider.denies = "invalid_scope"
        assert_refused(there, there.sign_in(), code="error_response", status=502, until="/authorize")
        asked = there.provider.asked("/authorize")[0].query
        assert (asked["prompt"], asked["max_age"]) == ("none", "0")


# Config


@pytest.mark.requirement("C1")
def test_the_endpoints_are_those_of_the_metadata(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        endpoints = {
            "authorization_endpoint": "/o/auth",
            "token_endpoint": "/o/t",
            "userinfo_endpoint": "/o/u",
        }
        there.provider.moved = {"/o/auth": "/authorize", "/o/t": TOKEN, "/o/u": USERINFO}
        there.provider.metadata = {name: there.provider.url + path for name, path in endpoints.items()}
        assert_signed_in(there, there.sign_in())
        assert there.provider.calls == [DISCOVERY, "/o/auth", "/o/t", JWKS, "/o/u"]


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("path", ["/keys/1", "/keys/2?v=3"])
def test_the_keys_are_those_of_the_jwks_uri(path: str, tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        there.provider.moved = {path.partition("?")[0]: JWKS}
        there.provider.metadata = {"jwks_uri": there.provider.url + path}
        assert_signed_in(there, there.sign_in())
        assert there.provider.asked(JWKS) == []


@pytest.mark.requirement("C3", "F12", "N2.3.3")
def test_metadata_of_another_issuer_starts_no_sign_in(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        there.provider.metadata = {"issuer": "https://op.example"}
        assert_refused(there, there.sign_in(), code="issuer_mismatch", status=502, until=DISCOVERY)


@pytest.mark.requirement("C4", "N2.6.22", "3b.17")
def test_a_key_that_is_made_just_before_signing_is_found(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        assert there.sign_in().status == 200
        provider, other = there.provider, there.site.browser()

        def rotate(token: str) -> str:
            provider.key = rsa_key(2)
            return provider.key.sign(claims_of(token))

        provider.forge = rotate
        del provider.requests[:]
        assert other.navigate(there.site.url + "/").json()["user"] == "jane"
        assert provider.calls == ["/authorize", TOKEN, JWKS, USERINFO]


@pytest.mark.requirement("C5", "N2.6.22", "3b.17")
def test_a_key_that_was_changed_between_two_sign_ins_is_found(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        assert there.sign_in().status == 200
        there.provider.key = rsa_key(2)
        assert there.site.browser().navigate(there.site.url + "/").json()["user"] == "jane"
        assert there.provider.calls.count(JWKS) == 2


@pytest.mark.requirement("C5", "3b.17")
def test_a_key_that_is_taken_back_signs_nobody_in_once_the_new_one_is_known(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        provider, old = there.provider, there.provider.key
        assert there.sign_in().status == 200
        provider.key = rsa_key(2)
        assert there.site.browser().navigate(there.site.url + "/").status == 200
        provider.forge = lambda token: old.sign(claims_of(token))
        last = there.site.browser()
        assert last.navigate(there.site.url + "/").status == 400
        assert last.fetch(there.site.url + "/whoami").status == 401
        assert "code=token_key" in there.site.audit[-1]


@pytest.mark.requirement("3b.17")
def test_an_unknown_key_has_the_set_fetched_once_more_and_not_twice(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        assert there.sign_in().status == 200
        there.provider.forge = lambda token: rsa_key(3).sign(claims_of(token))
        del there.provider.requests[:]
        for _ in range(3):
            assert there.site.browser().navigate(there.site.url + "/").status == 400
        assert there.provider.calls.count(JWKS) == 1
        assert there.provider.calls.count(USERINFO) == 0


# RP-Initiated Logout


LOGOUT, DONE = f"{ORIGIN}/auth/oauth2/logout/", f"{ORIGIN}/auth/oauth2/logout/done/"


def signed_out(there: Stage, *, path: str = "") -> Page:
    """Sign in, then out; the page that it ends at."""
    assert_signed_in(there, there.sign_in())
    page = there.browser.navigate(LOGOUT + path, initiator=ORIGIN)
    assert there.site.session_cookie not in there.browser.jar.names(there.site.url)
    assert there.browser.fetch(there.site.url + "/whoami").status == 401
    return page


@pytest.mark.requirement("L1", "N2.7.1")
def test_a_logout_goes_over_the_provider_and_comes_back(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        page = signed_out(there)
        (asked,) = there.provider.asked("/end_session")
        assert claims_of(asked.query["id_token_hint"])["sub"] == "user-1"
        assert asked.query["client_id"] == "app"
        assert asked.query["post_logout_redirect_uri"] == DONE
        assert page.url.partition("?")[0] == DONE
        assert page.status == 200
        assert "signed out" in page.visible_text.lower()


def back_with(requirement: str, what: str, state: Callable[[str], str | None], *, status: int = 200) -> Any:
    return pytest.param(
        state, status, id=f"{requirement} {what}", marks=pytest.mark.requirement(requirement, "N2.7.3")
    )


LOGOUT_STATES = [
    back_with("L2", "longer", lambda state: state + "INVALID"),
    back_with("L2", "changed", lambda state: state[:-4] + "AAAA"),
    back_with("L2", "another", lambda _: "x"),
    back_with("L2", "control characters", lambda _: "\x00\r\n", status=400),
    back_with("L2", "endless", lambda _: "A" * 20_000, status=400),
    back_with("L3", "empty", lambda _: ""),
    back_with("L3", "none", lambda _: None),
]


@pytest.mark.parametrize(("state", "status"), LOGOUT_STATES)
def test_whatever_state_comes_back_from_a_logout_the_person_lands(
    state: Callable[[str], str | None], status: int, tmp_path: Path
) -> None:
    with stage(tmp_path) as there:
        there.provider.logout_state = state
        page = signed_out(there, path="?next=/bye")
        assert page.url.startswith(DONE)
        assert page.status == status
        assert page.content_type == "text/html"


# Signed userinfo


def userinfo_jwt(make: Callable[[Hostile, dict[str, Any]], str | bytes]) -> Any:
    """The userinfo answer as ``application/jwt`` (OpenID Connect Core, section 5.3.2)."""

    def change(provider: Hostile) -> None:
        def answer(right: dict[str, Any]) -> Answer:
            made = make(provider, {"iss": provider.issuer, "aud": provider.client_id, **right})
            return Answer(made.encode() if isinstance(made, str) else made, content_type="application/jwt")

        provider.answers["userinfo"] = answer

    return change


def signed_userinfo(key: Key | None = None, **changes: Any) -> Any:
    return userinfo_jwt(lambda provider, right: (key or provider.key).sign(edited(right, changes)))


def unsigned_userinfo(_: Hostile, right: dict[str, Any]) -> str:
    return sealed({"alg": "none"}, right, lambda _: b"any")


def userinfo_under_the_secret(provider: Hostile, right: dict[str, Any]) -> str:
    secret = provider.client_secret.encode()
    return sealed({"alg": "HS256"}, right, lambda text: hmac.digest(secret, text, hashlib.sha256))


def encrypted_userinfo(provider: Hostile, right: dict[str, Any]) -> str:
    return "e30.a.b.c.d"


SIGNED_USERINFO = [
    accepted("D6 N2.6.15", "as it should be", signed_userinfo()),
    accepted("D6", "for a list of us alone", signed_userinfo(aud=["app"])),
    refused(
        "D6 N2.6.15", "another iss", signed_userinfo(iss="https://op.example"), "token_issuer", until=USERINFO
    ),
    refused("D6 N2.6.15", "another aud", signed_userinfo(aud="other"), "token_audience", until=USERINFO),
    accepted("D6", "without iss and aud", signed_userinfo(iss=LEFT_OUT, aud=LEFT_OUT)),
    refused("D6", "a second aud", signed_userinfo(aud=["app", "other"]), "token_audience", until=USERINFO),
    refused("D6", "another sub", signed_userinfo(sub="user-2"), "userinfo_subject", until=USERINFO),
    refused("D6", "no sub", signed_userinfo(sub=LEFT_OUT), "token_subject", until=USERINFO),
    refused(
        "D6",
        "a key of somebody else",
        signed_userinfo(Key(rsa_key(2).private, kid="rsa-1")),
        "token_signature",
        until=USERINFO,
    ),
    refused("D6", "no signature", userinfo_jwt(unsigned_userinfo), "token_algorithm", until=USERINFO),
    refused(
        "D6", "the secret as key", userinfo_jwt(userinfo_under_the_secret), "token_algorithm", until=USERINFO
    ),
    refused("D6 3b.22 J5", "too long", signed_userinfo(x="x" * 13_000), "token_malformed", until=USERINFO),
    refused("D6", "encrypted", userinfo_jwt(encrypted_userinfo), "token_malformed", until=USERINFO),
    refused(
        "D6",
        "JSON that calls itself signed",
        userinfo_jwt(lambda _, right: to_json(right)),
        "token_malformed",
        until=USERINFO,
    ),
    refused("D6", "not ASCII", userinfo_jwt(lambda *_: b"\xff.\xff.\xff"), "token_malformed", until=USERINFO),
    refused(
        "D6",
        "signed under another name",
        answered("userinfo", lambda right: Answer(rsa_key().sign(right).encode(), content_type="text/plain")),
        "userinfo",
        status=502,
        until=USERINFO,
    ),
]


@pytest.mark.parametrize("case", SIGNED_USERINFO)
def test_signed_userinfo(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)
