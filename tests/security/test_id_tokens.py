"""What an ID token must prove before anybody is signed in by it, seen from outside: a provider that lies in one point.

The requirements are those of OpenID Connect Core, section 3.1.3.7 (N2.6), the extra modules of the OpenID Foundation
(X), the FAPI list for the code flow (F), the traps of the JWT library (J) and the attacks on tokens (3b). Each check
by itself is in tests/provider/tokens/test_id_token.py; here it is shown that the sign-in ends with it. Signatures:
test_signatures.py.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.security.hostile import (
    JWKS,
    SECRET,
    Case,
    Change,
    Hostile,
    accepted,
    assert_refused,
    assert_signed_in,
    both,
    claims,
    claims_of,
    forged,
    header,
    members_of,
    nothing,
    payload,
    refused,
    refused_unread,
    signed,
    signed_by,
    stage,
    tokens_refused,
    unsigned,
    with_signature,
)
from tests.support.providers.jose import Key, at_hash, base64url, ec_key, ed_key, rsa_key
from tests.support.providers.standin import LEFT_OUT

MINUTE, HOUR = 60, 3600


@pytest.mark.parametrize(
    "case",
    [
        accepted("B1", "no setting at all", nothing),
        accepted("N2.6.6", "RS256 alone", nothing, algorithms="RS256"),
        accepted("N2.6.8", "no leeway", claims(iat=lambda now: now - 1), leeway="0"),
        accepted("N2.6.12", "max_age", nothing, max_age="5m"),
        accepted("N2.6.11", "acr_values", claims(acr="loa3"), acr_values="loa2 loa3"),
    ],
)
def test_without_the_lie_the_same_settings_sign_in(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# Who it is from, and for whom


ISSUERS = [
    refused("N2.6.2 J6", "with a slash", claims(iss=lambda iss: iss + "/"), "token_issuer"),
    refused("N2.6.2 3b.11", "in capitals", claims(iss=lambda iss: iss.upper()), "token_issuer"),
    refused("N2.6.2 V14", "a part of it", claims(iss=lambda iss: iss[:-1]), "token_issuer"),
    refused("N2.6.2 V14", "more than it", claims(iss=lambda iss: iss + ".evil.example"), "token_issuer"),
    refused("3b.11", "inside another", claims(iss=lambda iss: f"https://evil.example/{iss}"), "token_issuer"),
    refused("3b.11", "over https", claims(iss=lambda iss: iss.replace("http:", "https:")), "token_issuer"),
    refused(
        "3b.11",
        "another name of the host",
        claims(iss=lambda iss: iss.replace("127.0.0.1", "localhost")),
        "token_issuer",
    ),
    refused("3b.11", "with a path", claims(iss=lambda iss: iss + "/tenant"), "token_issuer"),
    refused("3b.11", "with a blank", claims(iss=lambda iss: iss + " "), "token_issuer"),
    refused("3b.11", "with a NUL", claims(iss=lambda iss: iss + "\0"), "token_issuer"),
    refused("J6 3b.11", "a list of it", claims(iss=lambda iss: [iss]), "token_issuer"),
    refused("3b.11", "an object with it", claims(iss=lambda iss: {iss: iss}), "token_issuer"),
    refused("F14 J1", "missing", claims(iss=LEFT_OUT), "token_issuer"),
    refused("F14", "null", claims(iss=None), "token_issuer"),
    refused("F14", "empty", claims(iss=""), "token_issuer"),
]


@pytest.mark.parametrize("case", ISSUERS)
def test_only_the_configured_issuer_counts(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


AUDIENCES = [
    accepted("F3 N2.6.3", "a list of us", claims(aud=["app"])),
    accepted("N2.6.3", "us twice", claims(aud=["app", "app"])),
    accepted("N2.6.3", "us and a trusted one", claims(aud=["app", "other"]), trusted_audiences="third other"),
    accepted("N2.6.3", "any", claims(aud=["app", "other"], azp="app"), trusted_audiences="*"),
    refused("N2.6.3", "any, not ours", claims(aud=["app", "x"]), "token_audience", trusted_audiences="*"),
    refused("N2.6.3", "a trusted one alone", claims(aud="x"), "token_audience", trusted_audiences="x"),
    refused("X5 F16 J1", "missing", claims(aud=LEFT_OUT), "token_audience"),
    refused("F17 J2 3b.10", "us and another", claims(aud=["app", "other"]), "token_audience"),
    refused(
        "F17 J2 3b.10",
        "us and another, issued to us",
        claims(aud=["app", "other"], azp="app"),
        "token_audience",
    ),
    refused(
        "J2 3b.10",
        "us and another, issued to the other",
        claims(aud=["app", "other"], azp="other"),
        "token_audience",
    ),
    refused("N2.6.3", "an empty list", claims(aud=[]), "token_audience"),
    refused("N2.6.3", "null", claims(aud=None), "token_audience"),
    refused("N2.6.3", "a list of null", claims(aud=[None]), "token_audience"),
    refused("N2.6.3", "a list in a list", claims(aud=[["app"]]), "token_audience"),
    refused("N2.6.3", "an object", claims(aud={"app": True}), "token_audience"),
    refused("N2.6.3", "two in one text", claims(aud="app other"), "token_audience"),
    refused("N2.6.3", "more than us", claims(aud="application"), "token_audience"),
    refused("N2.6.3", "a part of us", claims(aud="ap"), "token_audience"),
    refused("N2.6.3", "in capitals", claims(aud="APP"), "token_audience"),
    refused("N2.6.3", "true", claims(aud=True), "token_audience"),
]


@pytest.mark.parametrize("case", AUDIENCES)
def test_only_a_token_for_us_alone_counts(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


PARTIES = [
    accepted("N2.6.4", "us", claims(azp="app")),
    refused("N2.6.4 3b.10", "another", claims(azp="other"), "token_azp"),
    refused("N2.6.4", "a list of us", claims(azp=["app"]), "token_azp"),
    refused("N2.6.4", "a number", claims(azp=0), "token_azp"),
    accepted("N2.6.4", "null", claims(azp=None)),
    accepted("N2.6.4", "empty", claims(azp="")),
]


@pytest.mark.parametrize("case", PARTIES)
def test_a_token_that_was_issued_to_another_party_is_refused(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


SUBJECTS = [
    refused("3b.14 J1", "missing", claims(sub=LEFT_OUT), "token_subject"),
    refused("3b.14 J3", "empty", claims(sub=""), "token_subject"),
    refused("3b.14", "null", claims(sub=None), "token_subject"),
    refused("3b.14 J6", "a number", claims(sub=7), "token_subject"),
    refused("3b.14", "a list", claims(sub=["user-1"]), "token_subject"),
    refused("3b.14", "256 characters", claims(sub="x" * 256), "token_subject"),
    refused("3b.14", "4 KB", claims(sub="x" * 4096), "token_subject"),
    refused("3b.14", "with a NUL", claims(sub="user-1\0"), "token_subject"),
    refused("3b.14", "with a line break", claims(sub="user-1\n"), "token_subject"),
    refused("3b.14", "written backwards", claims(sub="user-1\u202e"), "token_subject"),
]


@pytest.mark.parametrize("case", SUBJECTS)
def test_a_subject_that_is_no_short_plain_text_is_refused(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# Times


def seconds(name: str, change: float) -> Change:
    """A time that lies *change* seconds beside the right one."""
    return claims(**{name: lambda right: right + change})


def as_json(name: str, text: bytes) -> Change:
    """A claim with any text as its JSON."""

    def make(octets: bytes) -> bytes:
        members = json.loads(octets)
        del members[name]
        return json.dumps(members).encode()[:-1] + b', "' + name.encode() + b'": ' + text + b"}"

    return payload(make)


NO_TIMES: dict[str, Any] = {
    "missing": LEFT_OUT,
    "a text": lambda right: str(right),
    "null": None,
    "true": True,
    "a list": lambda right: [right],
    "0": 0,
    "negative": -1,
    "beyond all dates": 1e300,
    "in milliseconds": lambda right: right * 1000,
}

TIMES = [
    *(refused("3b.8 J3", f"exp {what}", claims(exp=value), "token_time") for what, value in NO_TIMES.items()),
    *(refused("B5 J3", f"iat {what}", claims(iat=value), "token_time") for what, value in NO_TIMES.items()),
    *(
        refused("J3", f"{name} {what}", claims(**{name: value}), "token_time", max_age="5m")
        for name in ("nbf", "auth_time")
        for what, value in NO_TIMES.items()
        if what in ("a text", "true", "beyond all dates")
    ),
    *(
        accepted("N2.6.12", f"auth_time {what} where nobody asked", claims(auth_time=value))
        for what, value in NO_TIMES.items()
    ),
    *(
        refused_unread("3b.8 J3", f"exp {what}", as_json("exp", text.encode()), "token_malformed")
        for what, text in (("NaN",) * 2, ("Infinity",) * 2, ("1e999",) * 2, ("of 5000 digits", "9" * 5000))
    ),
    refused("F19 J1", "exp missing", claims(exp=LEFT_OUT), "token_time"),
    refused("F18 N2.6.8", "ended six minutes ago", seconds("exp", -11 * MINUTE), "token_expired"),
    refused("N2.6.8", "ended just beyond the leeway", seconds("exp", -5 * MINUTE - 61), "token_expired"),
    refused(
        "N2.6.8",
        "ended a moment ago, without leeway",
        seconds("exp", -5 * MINUTE - 1),
        "token_expired",
        leeway="0",
    ),
    accepted("N2.6.8", "ended within the leeway", seconds("exp", -5 * MINUTE - 40)),
    accepted("N2.6.8", "parts of a second", seconds("exp", 0.5)),
    refused("N2.6.9 3b.9 J6", "issued in an hour", seconds("iat", HOUR), "token_issued"),
    refused("N2.6.9 3b.9", "issued in two minutes", seconds("iat", 2 * MINUTE), "token_issued"),
    accepted("N2.6.9", "issued within the leeway", seconds("iat", 30)),
    refused("N2.6.9 3b.9", "issued two hours ago", seconds("iat", -2 * HOUR), "token_issued"),
    refused("3b.9", "good in two minutes", claims(nbf=lambda _: time.time() + 2 * MINUTE), "token_not_yet"),
]


@pytest.mark.parametrize("case", TIMES)
def test_a_token_lives_between_two_moments(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


AUTHENTICATIONS = [
    refused("N2.6.11", "another class than asked for", claims(acr="loa1"), "token_acr", acr_values="loa3"),
    refused("N2.6.11", "no class", nothing, "token_acr", acr_values="loa3"),
    refused("N2.6.11", "a list of classes", claims(acr=["loa3"]), "token_acr", acr_values="loa3"),
    refused("N2.6.11", "a part of the class", claims(acr="loa"), "token_acr", acr_values="loa3"),
    refused("N2.6.12", "no auth_time", claims(auth_time=LEFT_OUT), "token_time", max_age="5m"),
    refused(
        "N2.6.12", "auth_time long ago", seconds("auth_time", -7 * MINUTE), "token_auth_time", max_age="5m"
    ),
    refused(
        "N2.6.12", "auth_time to come", seconds("auth_time", 2 * MINUTE), "token_auth_time", max_age="5m"
    ),
    refused(
        "N2.6.12",
        "auth_time before a fresh sign-in was asked for",
        seconds("auth_time", -2 * MINUTE),
        "token_auth_time",
        max_age="0",
    ),
    accepted("N2.6.12", "auth_time long ago where nobody asked", seconds("auth_time", -100 * HOUR)),
]


@pytest.mark.parametrize("case", AUTHENTICATIONS)
def test_what_was_asked_of_the_authentication_is_checked(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# The nonce


NONCES = [
    refused("F21 3b.12", "missing", claims(nonce=LEFT_OUT), "token_nonce"),
    refused("3b.12", "null", claims(nonce=None), "token_nonce"),
    refused("3b.12", "empty", claims(nonce=""), "token_nonce"),
    refused("F20 B14", "another", claims(nonce="A" * 43), "token_nonce"),
    refused("N2.6.10", "a part of it", claims(nonce=lambda nonce: nonce[:-1]), "token_nonce"),
    refused("N2.6.10", "more than it", claims(nonce=lambda nonce: nonce + "="), "token_nonce"),
    refused("N2.6.10", "in other letters", claims(nonce=str.swapcase), "token_nonce"),
    refused("N2.6.10", "a list of it", claims(nonce=lambda nonce: [nonce]), "token_nonce"),
    refused("N2.6.10", "not ASCII", claims(nonce="ä" * 43), "token_nonce"),
]


@pytest.mark.parametrize("case", NONCES)
def test_a_token_without_the_nonce_of_this_sign_in_is_refused(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


@pytest.mark.requirement("N2.6.10", "3b.12")
def test_the_token_of_an_earlier_sign_in_is_refused(tmp_path: Path) -> None:
    seen: list[str] = []

    def first_one_again(token: str) -> str:
        seen.append(token)
        return seen[0]

    with stage(tmp_path) as there:
        there.provider.forge = first_one_again
        there.provider.claims = {"at_hash": LEFT_OUT}
        assert_signed_in(there, there.sign_in())
        later = there.site.browser()
        assert later.navigate(there.site.url + "/").status == 400
        assert later.fetch(there.site.url + "/whoami").status == 401
        assert "code=token_nonce" in there.site.audit[-1].split()


@pytest.mark.requirement("X12", "N2.6.10")
def test_every_request_carries_a_nonce_of_its_own(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        for _ in range(5):
            there.site.browser().navigate(there.site.url + "/")
        nonces = {asked.query["nonce"] for asked in there.provider.asked("/authorize")}
        assert len(nonces) == 5
        assert all(len(nonce) == 43 for nonce in nonces)


# Hashes


def hash_of(change: Callable[[str], Any]) -> Change:
    return claims(at_hash=change)


def hashed_with(digest: str) -> Change:
    """``at_hash`` by another hash than the algorithm's."""

    def change(provider: Hostile) -> None:
        def make(members: dict[str, Any]) -> dict[str, Any]:
            right = {**claims_of(members["id_token"]), "at_hash": at_hash(members["access_token"], digest)}
            return {**members, "id_token": signed(provider, right)}

        provider.answers["token"] = make

    return change


def of_another_code(provider: Hostile) -> None:
    provider.claims = {"c_hash": at_hash("another code")}


HASHES = [
    accepted("X14", "no at_hash", claims(at_hash=LEFT_OUT)),
    accepted("N2.6.13", "SHA-384 with ES384", signed_by(ec_key("ES384"))),
    accepted("N2.6.13", "SHA-512 with EdDSA", signed_by(ed_key())),
    refused("X13 3b.13", "of another access token", hash_of(lambda _: at_hash("another")), "token_at_hash"),
    refused("X13", "a part of it", hash_of(lambda right: right[:-1]), "token_at_hash"),
    refused("X13", "padded", hash_of(lambda right: right + "=="), "token_at_hash"),
    refused("X13", "a list of it", hash_of(lambda right: [right]), "token_at_hash"),
    accepted("X14", "empty", hash_of(lambda _: "")),
    accepted("X14", "null", hash_of(lambda _: None)),
    refused("X13", "not ASCII", hash_of(lambda _: "ä"), "token_at_hash"),
    refused("N2.6.13", "SHA-512 with RS256", hashed_with("sha512"), "token_at_hash"),
    refused(
        "N2.6.13",
        "SHA-256 with ES384",
        both(signed_by(ec_key("ES384")), hashed_with("sha256")),
        "token_at_hash",
    ),
    refused(
        "N2.6.13", "SHA-256 with EdDSA", both(signed_by(ed_key()), hashed_with("sha256")), "token_at_hash"
    ),
    accepted("X15", "c_hash of another code", of_another_code),
    accepted("X16", "no c_hash", nothing),
]


@pytest.mark.parametrize("case", HASHES)
def test_a_hash_belongs_to_the_access_token_that_came_along(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# The spelling of a token


def segments(change: Callable[[list[str]], list[str]]) -> Change:
    """The right token with its three parts changed."""
    return forged(lambda _, token: ".".join(change(token.split("."))))


def part(number: int, change: Callable[[str], str]) -> Change:
    return segments(lambda parts: [*parts[:number], change(parts[number]), *parts[number + 1 :]])


def as_json_form(_: Hostile, token: str) -> str:
    head, body, signature = token.split(".")
    return json.dumps({"payload": body, "protected": head, "signature": signature}, separators=(",", ":"))


def next_letter(text: str) -> str:
    """The same octets in another spelling: the unused bits of the last letter."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def twice(name: str, first: str) -> Callable[[bytes], bytes]:
    """A claim that is there once more, before the right one."""
    return lambda octets: b'{"%s": "%s", ' % (name.encode(), first.encode()) + octets[1:]


def header_bytes(octets: bytes) -> Change:
    return part(0, lambda _: base64url(octets))


SPELLINGS = [
    *(
        refused_unread(requirements, what, change, "token_malformed")
        for requirements, what, change in (
            ("3b.21", "five parts", segments(lambda parts: [*parts, "a", "b"])),
            ("3b.21", "encrypted", forged(lambda *_: f"{base64url(b'{}')}.a.b.c.d")),
            ("3b.23", "four parts", segments(lambda parts: [*parts, ""])),
            ("3b.23", "two parts", segments(lambda parts: parts[:2])),
            ("3b.23 V24", "as JSON", forged(as_json_form)),
            ("3b.23", "payload with padding", part(1, lambda text: text + "=" * (-len(text) % 4 or 4))),
            ("3b.23", "signature with padding", part(2, lambda text: text + "==")),
            ("3b.23", "signature in base64", part(2, lambda text: "+/" + text[2:])),
            ("3b.23", "signature with a stray mark", part(2, lambda text: text[:9] + "!" + text[9:])),
            ("3b.23", "signature in another spelling", part(2, next_letter)),
            ("3b.23", "an empty payload", part(1, lambda _: "")),
            ("3b.23", "an empty header", part(0, lambda _: "")),
            ("3b.24", "sub twice", payload(twice("sub", "admin"))),
            ("3b.24", "nonce twice", payload(twice("nonce", "x"))),
            ("3b.24", "a name that is escaped, twice", payload(twice("s\\u0075b", "admin"))),
            ("3b.24 J6", "alg twice", header_bytes(b'{"alg": "none", "alg": "RS256", "kid": "rsa-1"}')),
            ("3b.24", "kid twice", header_bytes(b'{"alg": "RS256", "kid": "rsa-1", "kid": "rsa-1"}')),
            ("3b.23", "a list as payload", payload(lambda octets: b"[" + octets + b"]")),
            ("3b.23", "a number as payload", payload(lambda _: b"1")),
            ("3b.23", "a payload that is not UTF-8", payload(lambda octets: octets[:-1] + b', "x": "\xff"}')),
            ("3b.23", "a payload in UTF-16", payload(lambda octets: octets.decode().encode("utf-16"))),
            ("3b.23", "half a character", payload(lambda octets: octets[:-1] + b', "x": "\\ud800"}')),
            ("3b.23", "something after the payload", payload(lambda octets: octets + b"{}")),
            (
                "J6",
                "a deep payload",
                payload(lambda o: o[:-1] + b', "x": ' + b"[" * 3000 + b"]" * 3000 + b"}"),
            ),
            ("J6", "a deep header", header_bytes(b'{"a":' * 1000 + b"1" + b"}" * 1000)),
            ("3b.23", "a header that is a list", header_bytes(b'["RS256"]')),
        )
    ),
    refused_unread("3b.22", "just above 16 KiB", claims(x="x" * 13_000), "token_malformed"),
    tokens_refused(
        "3b.22 J5 V4", "a header of 200 KB", forged(lambda *_: "A" * 200_000 + ".e30.AA"), "token_response"
    ),
    tokens_refused(
        "J5 V4", "a header of 20 MB", forged(lambda *_: "A" * 20_000_000 + ".e30.AA"), "answer_too_large"
    ),
    tokens_refused("3b.23", "a line break", part(2, lambda text: text + "\n"), "token_response"),
    tokens_refused("3b.23", "a blank", part(1, lambda text: " " + text), "token_response"),
    tokens_refused("3b.23", "no text", members_of("token", id_token=["a.b.c"]), "token_response"),
]


@pytest.mark.parametrize("case", SPELLINGS)
def test_a_token_has_one_spelling(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# Tokens of another kind, and of another provider


def as_another_kind(members: dict[str, Any], **head: Any) -> Change:
    """Another token of the same provider where the ID token should be."""

    def make(provider: Hostile, token: str) -> str:
        right = claims_of(token)
        common = {name: right[name] for name in ("iss", "aud", "sub", "iat", "exp")}
        return provider.key.sign({**common, **members}, **head)

    return forged(make)


LOGOUT_EVENT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
KINDS = [
    refused_unread(
        "3b.15", "an access token", as_another_kind({"scope": "openid"}, typ="at+jwt"), "token_type"
    ),
    refused("3b.15", "an access token without its type", as_another_kind({"scope": "openid"}), "token_nonce"),
    refused_unread(
        "3b.15",
        "a logout token",
        as_another_kind({"events": LOGOUT_EVENT, "jti": "1"}, typ="logout+jwt"),
        "token_type",
    ),
    refused(
        "3b.15",
        "a logout token without its type",
        as_another_kind({"events": LOGOUT_EVENT, "jti": "1"}),
        "token_nonce",
    ),
    refused("3b.15", "a userinfo answer", as_another_kind({"preferred_username": "admin"}), "token_nonce"),
    refused(
        "3b.15",
        "an answer to an authorization request",
        as_another_kind({"code": "x", "state": "y"}),
        "token_nonce",
    ),
]


@pytest.mark.parametrize("case", KINDS)
def test_another_kind_of_token_is_no_id_token(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


@pytest.mark.requirement("3b.16", "V33")
@pytest.mark.parametrize("kid", ["rsa-1", "rsa-2"])
@pytest.mark.parametrize("says", ["the other", "the first"])
def test_a_token_of_another_provider_is_refused(says: str, kid: str, tmp_path: Path) -> None:
    """Both are configured, both have a key of that name, and the other one's token is all right there."""
    theirs = Key(rsa_key(2).private, kid=kid)
    with Hostile(key=theirs) as other, Hostile() as provider:
        settings = {
            f"provider:{name}": {
                "issuer": each.issuer,
                "client_id": "app",
                "client_secret": SECRET,
                "username_prefix": f"{name}-",
            }
            for name, each in (("other", other), ("first", provider))
        }
        none = dict.fromkeys(("issuer", "client_id", "client_secret"))
        with stage(tmp_path, provider=provider, **none, **settings) as there:
            there.browser.navigate(f"{there.site.url}/auth/oauth2/login/other/")
            assert there.browser.fetch(there.site.url + "/whoami").json()["user"] == "other-jane"
            issuer = other.issuer if says == "the other" else provider.issuer
            provider.forge = lambda token: theirs.sign({**claims_of(token), "iss": issuer})
            victim = there.site.browser()
            page = victim.navigate(f"{there.site.url}/auth/oauth2/login/first/")
            assert page.status == 400
            assert victim.fetch(there.site.url + "/whoami").status == 401
            assert provider.calls[-1] == JWKS
            code = "token_signature" if kid == "rsa-1" else "token_key"
            assert f"code={code}" in there.site.audit[-1].split()


# What a token says beside


def aggregated(provider: Hostile) -> None:
    """OpenID Connect Core, section 5.6.2: claims of somebody else, in a token of theirs."""
    theirs = rsa_key(2).sign({"email": "admin@corp.example", "preferred_username": "admin"})
    sources = {
        "_claim_names": {"email": "1", "preferred_username": "1"},
        "_claim_sources": {"1": {"JWT": theirs}},
    }
    provider.claims = sources
    provider.userinfo |= sources


@pytest.mark.requirement("X9")
def test_aggregated_claims_decide_nothing(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        aggregated(there.provider)
        assert_signed_in(there, there.sign_in())
        assert there.site.app.seen[-1]["Identity"].email == "jane@example.com"


@pytest.mark.requirement("X10", "3f.14", "3k.10")
def test_distributed_claims_are_never_fetched(tmp_path: Path) -> None:
    with Hostile() as elsewhere, stage(tmp_path) as there:
        sources = {"1": {"endpoint": elsewhere.url + "/claims", "access_token": "x"}}
        more = {"_claim_names": {"groups": "1"}, "_claim_sources": sources}
        there.provider.claims = more
        there.provider.userinfo |= more
        there.provider.userinfo |= {
            name: f"{elsewhere.url}/{name}" for name in ("picture", "website", "profile")
        }
        assert_signed_in(there, there.sign_in())
        assert elsewhere.requests == []
        assert there.site.app.seen[-1]["Identity"].groups == ()


@pytest.mark.requirement("N2.6.16")
def test_a_user_is_the_subject_and_nothing_else(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        people = there.provider.userinfo
        seen = []
        for sub, username, email in (
            ("user-1", "jane", "jane@example.com"),
            ("user-1", "jane.doe", "jane.doe@example.com"),
            ("USER-1", "joe", "jane@example.com"),
        ):
            people |= {"sub": sub, "preferred_username": username, "email": email}
            there.site.browser().navigate(there.site.url + "/")
            seen.append(there.site.app.seen[-1]["Identity"].id)
        assert seen[0] == seen[1] != seen[2]
        assert there.users() == 2


@pytest.mark.requirement("N2.6.17")
def test_what_is_configured_of_the_request_is_passed_on(tmp_path: Path) -> None:
    asked_for: dict[str, Any] = {"prompt": "login", "acr_values": "loa2 loa3", "ui_locales": "nb en"}
    with stage(tmp_path, **asked_for, max_age="90s", auth_params='{"hd": "example.com"}') as there:
        there.provider.claims = {"acr": "loa2"}
        assert_signed_in(there, there.sign_in())
        query = there.provider.asked("/authorize")[0].query
        assert {name: query[name] for name in asked_for} == asked_for
        assert (query["max_age"], query["hd"]) == ("90", "example.com")


# What a person is told


@pytest.mark.requirement("3i.5")
def test_the_page_does_not_tell_which_check_failed(tmp_path: Path) -> None:
    pages = set()
    for number, change in enumerate(
        (
            with_signature(bytes.swapcase),
            claims(aud="other"),
            claims(nonce="x"),
            claims(exp=1),
            unsigned("none"),
            header(kid="unknown"),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with stage(folder) as there:
            change(there.provider)
            page = there.sign_in()
            pages.add((page.status, re.sub(r"\b[0-9a-f]{8}\b", "REFERENCE", page.text)))
    assert len(pages) == 1


@pytest.mark.requirement("J8")
@pytest.mark.parametrize("error", [TypeError, RecursionError, OverflowError, MemoryError, UnicodeError])
def test_any_exception_inside_the_library_is_a_refusal(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error("a fault of the library")

    monkeypatch.setattr(jwt.PyJWS, "decode_complete", fail)
    with stage(tmp_path) as there:
        assert_refused(there, there.sign_in(), code="token_signature")
