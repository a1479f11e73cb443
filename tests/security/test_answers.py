"""What else a provider answers, and how it may lie there: the authorization response, tokens, userinfo, metadata.

The shapes of each document one by one are in tests/provider; here it is shown that the sign-in ends with them, and
that nothing is asked of anybody afterwards.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.http.messages import Timeouts
from tests.security.hostile import (
    AUTHORIZE,
    CALLBACK,
    DISCOVERY,
    JWKS,
    TOKEN,
    USERINFO,
    Case,
    Change,
    Hostile,
    accepted,
    answer_refused,
    answered,
    assert_refused,
    assert_signed_in,
    both,
    members_of,
    nothing,
    refused,
    responds,
    response,
    stage,
    tokens_refused,
    userinfo_refused,
)
from tests.support.providers.standin import LEFT_OUT, Answer

# The authorization response


def denies(error: str) -> Change:
    def change(provider: Hostile) -> None:
        provider.denies = error

    return change


def promises_no_issuer(provider: Hostile) -> None:
    provider.metadata["authorization_response_iss_parameter_supported"] = False


def repeated(name: str) -> Change:
    """A parameter twice, with the same value; the right one alone would do."""
    return responds(lambda right: [*right.items(), (name, right.get(name, "x"))])


OTHER = "https://op.example"
ISSUERS = [
    answer_refused("F8 N2.4.1 O2", "another", response(iss=OTHER), "issuer"),
    answer_refused(
        "N2.4.1", "another, with an error", both(denies("server_error"), response(iss=OTHER)), "issuer"
    ),
    answer_refused(
        "N2.4.1", "another, with a refusal", both(denies("access_denied"), response(iss=OTHER)), "issuer"
    ),
    answer_refused("N2.4.1", "with a slash", response(iss=lambda iss: iss + "/"), "issuer"),
    answer_refused("N2.4.1", "in capitals", response(iss=lambda iss: iss.upper()), "issuer"),
    answer_refused("N2.4.1", "empty", response(iss=""), "issuer"),
    answer_refused("F9 N2.4.2", "missing", response(iss=LEFT_OUT), "issuer"),
    answer_refused(
        "N2.4.2", "missing, with an error", both(denies("server_error"), response(iss=LEFT_OUT)), "issuer"
    ),
    answer_refused(
        "N2.4.3", "another, where none was promised", both(promises_no_issuer, response(iss=OTHER)), "issuer"
    ),
    accepted("N2.4.3", "the right one, where none was promised", promises_no_issuer),
    accepted("N2.4.3", "missing, where none was promised", both(promises_no_issuer, response(iss=LEFT_OUT))),
    answer_refused("O2", "another, as a form", response(iss=OTHER), "issuer", response_mode="form_post"),
    answer_refused("O2", "missing, as a form", response(iss=LEFT_OUT), "issuer", response_mode="form_post"),
]


@pytest.mark.parametrize("case", ISSUERS)
def test_an_answer_comes_from_the_issuer_that_was_asked(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


STATES = [
    answer_refused("F10 O1", "of somebody else", response(state="x" * 40), "state_foreign"),
    answer_refused(
        "F10 O1 N2.1.12", "changed", response(state=lambda state: state[:-4] + "AAAA"), "state_foreign"
    ),
    answer_refused("F11 O1", "missing", response(state=LEFT_OUT), "state_missing"),
    answer_refused("F11 O1", "empty", response(state=""), "state_missing"),
    answer_refused(
        "O7",
        "of somebody else, with an error",
        both(denies("server_error"), response(state="x" * 40)),
        "state_foreign",
    ),
    answer_refused(
        "O7",
        "changed, with a refusal",
        both(denies("access_denied"), response(state=lambda state: state[:-4] + "AAAA")),
        "state_foreign",
    ),
    answer_refused(
        "O7 N2.6.18",
        "missing, with an error",
        both(denies("server_error"), response(state=LEFT_OUT)),
        "state_missing",
    ),
    answer_refused("3a.9", "without end", response(state="x" * 9_000), "too_long"),
    answer_refused(
        "F10",
        "of somebody else, as a form",
        response(state="x" * 40),
        "state_foreign",
        response_mode="form_post",
    ),
    answer_refused(
        "F11", "missing, as a form", response(state=LEFT_OUT), "state_missing", response_mode="form_post"
    ),
]


@pytest.mark.parametrize("case", STATES)
def test_an_answer_without_our_state_is_not_heard(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


SHAPES = [
    *(
        answer_refused("N2.1.2 3a.10 O2", f"{name} twice", repeated(name), "bad_request")
        for name in ("code", "state", "iss")
    ),
    answer_refused("N2.1.2", "error twice", both(denies("server_error"), repeated("error")), "bad_request"),
    answer_refused(
        "N2.1.2",
        "session_state twice",
        both(
            response(session_state="x"),
            responds(lambda right: [*right.items(), ("session_state", "x"), ("session_state", "y")]),
        ),
        "bad_request",
    ),
    answer_refused("3a.14", "a code and an error", response(error="server_error"), "error_and_code"),
    answer_refused("3a.14", "a code and a refusal", response(error="access_denied"), "error_and_code"),
    answer_refused("O1", "no code", response(code=LEFT_OUT), "sign_in_declined", status=403),
    answer_refused("O1", "an empty code", response(code=""), "sign_in_declined", status=403),
    answer_refused("3a.9", "a long code", response(code="x" * 4097), "too_long"),
    answer_refused("N2.6.18", "an error", denies("login_required"), "error_response", status=502),
    answer_refused("N2.6.18", "a refusal", denies("access_denied"), "sign_in_declined", status=403),
    tokens_refused("3a.4 N2.5.9", "a code that was never given", response(code="x"), "invalid_grant"),
    accepted("N2.1.6", "parameters that nobody knows", response(session_state="x", scope="openid", x="1")),
    accepted(
        "N2.1.6", "what nobody knows, twice", responds(lambda right: [*right.items(), ("x", "1"), ("x", "2")])
    ),
]


@pytest.mark.parametrize("case", SHAPES)
def test_an_answer_is_a_code_or_an_error(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# Tokens


@pytest.mark.requirement("N2.1.3", "N2.1.7", "N2.2.3")
def test_the_token_request_repeats_what_began_the_sign_in(tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        assert_signed_in(there, there.sign_in())
        (asked,) = there.provider.asked(TOKEN)
        assert asked.method == "POST"
        assert asked.form["grant_type"] == "authorization_code"
        assert (
            asked.form["redirect_uri"] == there.provider.asked(AUTHORIZE)[0].query["redirect_uri"] == CALLBACK
        )
        assert len(asked.form["code_verifier"]) == 43


def tokens(**changes: Any) -> Change:
    return members_of("token", **changes)


def token_bytes(change: Any) -> Change:
    """The token response as text, changed by a function of the right text."""
    return answered("token", lambda right: change(json.dumps(right).encode()))


TOKENS = [
    accepted("F4 N2.1.8", "bEaReR", tokens(token_type="bEaReR")),
    accepted("F6", "no lifetime", tokens(expires_in=LEFT_OUT)),
    accepted("O3", "a lifetime as text", tokens(expires_in="3600")),
    accepted("N2.1.9", "a narrower scope", tokens(scope="openid")),
    accepted("N2.1.9", "a wider scope", tokens(scope="openid profile email admin")),
    accepted("N2.1.9", "no scope", tokens(scope=LEFT_OUT)),
    accepted("O3", "members that nobody knows", tokens(session_state="x", more={"a": [1]})),
    accepted("O3", "no refresh token", tokens(refresh_token=None)),
    *(
        tokens_refused("O3", what, change, "token_response")
        for what, change in {
            "a list": answered("token", []),
            "a list of it": answered("token", lambda right: [right]),
            "null": answered("token", b"null"),
            "nothing": answered("token", b""),
            "a page": answered("token", Answer(b"<html>Sign in</html>", content_type="text/html")),
            "deep": answered("token", b'{"a":' * 20_000),
            "cut off": token_bytes(lambda right: right[:-20]),
            "something behind it": token_bytes(lambda right: right + b"{}"),
            "access_token twice": token_bytes(lambda right: b'{"access_token": "x", ' + right[1:]),
            "id_token twice": token_bytes(lambda right: b'{"id_token": "x", ' + right[1:]),
            "a form without an ID token": answered("token", b"access_token=x&token_type=bearer"),
            "no access token": tokens(access_token=LEFT_OUT),
            "a list as access token": tokens(access_token=lambda right: [right]),
            "an access token that ends a header": tokens(access_token="x\r\nX-Admin: 1"),
            "no ID token": tokens(id_token=LEFT_OUT),
            "null as ID token": tokens(id_token=None),
            "an empty ID token": tokens(id_token=""),
            "a number as refresh token": tokens(refresh_token=7),
            "a lifetime in words": tokens(expires_in="x"),
            "a lifetime without end": token_bytes(lambda right: right.replace(b"3600", b"Infinity")),
            "a lifetime of ages": tokens(expires_in=1e300),
            "a lifetime that is over": tokens(expires_in=-1),
            "another HTTP status": token_bytes(lambda right: Answer(right, 300)),
        }.items()
    ),
    tokens_refused("N2.1.8 O3", "a MAC token", tokens(token_type="mac"), "token_response"),
    tokens_refused("N2.1.8 O3", "no type", tokens(token_type=LEFT_OUT), "token_response"),
    tokens_refused("N2.1.8", "a list of types", tokens(token_type=["bearer"]), "token_response"),
    tokens_refused("O3", "huge", answered("token", b"{" + b" " * 300_000), "answer_too_large"),
    tokens_refused("O3", "an error with HTTP 200", tokens(error="invalid_request"), "token_refused"),
    tokens_refused(
        "O3",
        "a code that was used",
        answered("token", Answer(b'{"error": "invalid_grant"}', 400)),
        "invalid_grant",
    ),
    tokens_refused(
        "O3",
        "a client that is not known",
        answered("token", Answer(b'{"error": "invalid_client"}', 401)),
        "invalid_client",
    ),
    tokens_refused(
        "O3", "a fault", answered("token", Answer(b"oops", 500)), "provider_unavailable", status=503
    ),
]


@pytest.mark.parametrize("case", TOKENS)
def test_a_token_response_has_the_right_members_or_is_none(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# Userinfo


SUBJECTS: dict[str, Any] = {
    "of somebody else": "user-2",
    "in capitals": str.upper,
    "with a blank": lambda sub: sub + " ",
    "true": True,
    "a list of it": lambda sub: [sub],
}


def userinfo(**changes: Any) -> Change:
    return members_of("userinfo", **changes)


PEOPLE = [
    accepted("N2.6.14", "the same subject", nothing),
    *(
        userinfo_refused(
            "N2.6.14 B13", f"a subject {what}", userinfo(sub=sub), "userinfo_subject", status=400
        )
        for what, sub in SUBJECTS.items()
    ),
    *(
        userinfo_refused("N2.6.14 B13", f"a subject {what}", userinfo(sub=sub), "userinfo")
        for what, sub in {"empty": "", "missing": LEFT_OUT, "null": None}.items()
    ),
    *(
        userinfo_refused("N2.6.14", what, answered("userinfo", answer), "userinfo")
        for what, answer in {
            "a page": Answer(b"<html>Sign in</html>", content_type="text/html"),
            "nothing": b"",
            "a list": lambda right: [right],
            "deep": b'{"sub":' * 20_000,
            "two subjects": b'{"sub": "user-1", "sub": "user-2", "preferred_username": "admin"}',
            "not UTF-8": b'{"sub": "user-1", "preferred_username": "\xff"}',
            "encrypted": Answer(b"e30.a.b.c.d", content_type="application/jose"),
        }.items()
    ),
    userinfo_refused(
        "3h.8", "a hundred thousand groups", userinfo(groups=["group"] * 100_000), "answer_too_large"
    ),
    userinfo_refused("3h.2", "six thousand groups", userinfo(groups=["g"] * 6_000), "userinfo"),
    userinfo_refused("O4", "huge", answered("userinfo", b"{" + b" " * 600_000), "answer_too_large"),
    userinfo_refused("N2.6.14", "refused", answered("userinfo", Answer(b"{}", 403)), "userinfo_refused"),
    userinfo_refused(
        "N2.6.14", "a fault", answered("userinfo", Answer(b"{}", 500)), "provider_unavailable", status=503
    ),
]


@pytest.mark.parametrize("case", PEOPLE)
def test_userinfo_is_about_the_subject_of_the_id_token(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


# Metadata


def metadata(**changes: Any) -> Change:
    return members_of("discovery", **changes)


def begins_nothing(requirements: str, what: str, change: Change, code: str, *, status: int = 502) -> Any:
    """No browser is sent to a provider whose metadata are of no use."""
    return refused(requirements, what, change, code, status=status, until=DISCOVERY)


METADATA = [
    accepted("N2.3.8", "members that nobody knows", metadata(signed_metadata="x", mtls_endpoint_aliases={})),
    *(
        begins_nothing("N2.3.3 C3 F12", f"an issuer {what}", metadata(issuer=issuer), "issuer_mismatch")
        for what, issuer in {
            "with a slash": lambda issuer: issuer + "/",
            "in capitals": str.upper,
            "of another host": lambda issuer: issuer.replace("127.0.0.1", "localhost"),
            "that begins with it": lambda issuer: issuer + ".evil.example",
            "that is a list of it": lambda issuer: [issuer],
            "missing": LEFT_OUT,
        }.items()
    ),
    *(
        begins_nothing(
            "N2.3.5 3f.1", f"{name} without TLS", metadata(**{name: "http://op.example/x"}), "metadata"
        )
        for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
    ),
    *(
        begins_nothing("3f.11", f"token_endpoint {url}", metadata(token_endpoint=url), "metadata")
        for url in (
            "https://op.example@127.0.0.1/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:70/",
            "//op.example/token",
            "http://2130706433/",
            "http://127.1/",
            "http://localhost./",
            "http://[::ffff:10.0.0.1]/",
            "https://op.example\\@evil.example/",
            "https://op.example/\r\nX: y",
        )
    ),
    *(
        begins_nothing("N2.3.6", what, answered("discovery", answer), "metadata")
        for what, answer in {
            "a page": Answer(b"<html>", content_type="text/html"),
            "nothing": b"",
            "a list": lambda right: [right],
            "deep": b'{"issuer":' * 20_000,
            "not found": Answer(b"{}", 404),
            "no content": Answer(b"", 204),
            "the right ones, with 203": lambda right: Answer(json.dumps(right).encode(), 203),
            "the right ones, with 403": lambda right: Answer(json.dumps(right).encode(), 403),
        }.items()
    ),
    begins_nothing(
        "N2.3.6", "ten megabytes", answered("discovery", b"{" + b" " * 10_000_000), "answer_too_large"
    ),
    begins_nothing(
        "N2.2.2 O6", "PKCE by plain alone", metadata(code_challenge_methods_supported=["plain"]), "pkce"
    ),
    begins_nothing("N2.2.2", "no way of PKCE", metadata(code_challenge_methods_supported=[]), "pkce"),
    begins_nothing(
        "N2.3.6", "no authorization endpoint", metadata(authorization_endpoint=LEFT_OUT), "metadata"
    ),
]


@pytest.mark.parametrize("case", METADATA)
def test_metadata_are_the_issuers_own_or_begin_nothing(case: Case, tmp_path: Path) -> None:
    case.run(tmp_path)


@pytest.mark.requirement("N2.3.1")
@pytest.mark.parametrize("suffix", ["/", "/tenant", "/tenant/"])
def test_an_issuer_may_end_in_a_slash_or_a_path(suffix: str, tmp_path: Path) -> None:
    with Hostile(suffix=suffix) as provider:
        provider.moved = {suffix.removesuffix("/") + DISCOVERY: DISCOVERY}
        with stage(tmp_path, provider=provider) as there:
            assert_signed_in(there, there.sign_in())
            assert provider.calls[0] == suffix.removesuffix("/") + DISCOVERY


@pytest.mark.requirement("O6", "N2.2.2", "N2.5.2")
@pytest.mark.parametrize("offered", [LEFT_OUT, ["S256"], ["plain", "S256"]])
def test_pkce_is_s256_whatever_is_offered(offered: Any, tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        there.provider.metadata["code_challenge_methods_supported"] = offered
        assert_signed_in(there, there.sign_in())
        query = there.provider.asked(AUTHORIZE)[0].query
        assert query["code_challenge_method"] == "S256"
        assert len(query["code_challenge"]) == 43


# Where it is fetched from, and how much of it


DOCUMENTS = {
    "discovery": (DISCOVERY, "redirect"),
    "token": (TOKEN, "token_response"),
    "jwks": (JWKS, "redirect"),
    "userinfo": (USERINFO, "userinfo"),
}


@pytest.mark.requirement("3f", "3f.2", "3f.9")
@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_nothing_is_fetched_from_where_a_redirect_points(name: str, status: int, tmp_path: Path) -> None:
    """Another port on this machine: it stands for whatever an attacker would like us to call."""
    until, code = DOCUMENTS[name]
    with Hostile() as elsewhere, stage(tmp_path) as there:
        target = (("Location", elsewhere.url + until),)
        there.provider.answers[name] = Answer(b"{}", status, headers=target)
        assert_refused(there, there.sign_in(), code=code, status=502, until=until)
        assert elsewhere.requests == []


BOMB = gzip.compress(b"{" + b" " * 20_000_000)


@pytest.mark.requirement("3f.7", "3f.5", "3h")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_compressed_bomb_is_not_unpacked(name: str, tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        there.provider.answers[name] = Answer(BOMB, headers=(("Content-Encoding", "gzip"),))
        page = there.sign_in()
        assert_refused(there, page, code="answer_too_large", status=502, until=DOCUMENTS[name][0])


@pytest.mark.requirement("3f.12", "3f.5", "O4")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_body_without_end_is_given_up(name: str, tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        there.provider.answers[name] = lambda _: Answer(b" " * 65_536 for _ in range(2_000))
        page = there.sign_in()
        assert_refused(there, page, code="answer_too_large", status=502, until=DOCUMENTS[name][0])


@pytest.mark.requirement("3f.12")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_body_that_breaks_off_is_no_answer(name: str, tmp_path: Path) -> None:
    with stage(tmp_path) as there:
        there.provider.answers[name] = Answer(b"{}", headers=(("Content-Length", "1000"),))
        page = there.sign_in()
        assert_refused(there, page, code="provider_unavailable", status=503, until=DOCUMENTS[name][0])


@pytest.mark.requirement("O4", "3f.4", "3h.1")
@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("pace", ["silent", "a byte at a time"])
def test_a_slow_provider_holds_nobody_for_long(
    name: str, pace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limits of a deployment are seconds; no test waits that long.
    short = Timeouts(connect=1, read=0.3, total=0.6)
    defaults = ProviderClient.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "timeouts", short)
    enough = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"{"
        while not enough.wait(10 if pace == "silent" else 0.05):
            yield b" "

    with stage(tmp_path) as there:
        there.provider.answers[name] = lambda _: Answer(body())
        page = there.sign_in()
        enough.set()
        assert_refused(there, page, code="provider_unavailable", status=503, until=DOCUMENTS[name][0])
