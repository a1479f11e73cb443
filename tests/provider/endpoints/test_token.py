"""Redeeming a code: which answers of the token endpoint are accepted, and how the others are reported."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.endpoints.token import TokenResponse, redeem_code
from oauth2_mw.provider.http.messages import Response, Timeouts
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import ProviderSettings
from tests.support.providers.client_keys import pem
from tests.support.providers.fixed_transport import FixedTransport
from tests.support.providers.jose import ec_key
from tests.support.providers.raw_server import raw_server
from tests.support.providers.sign_in import REDIRECT_URI
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.providers import oauth2_settings, oidc_settings, provider_settings


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn(oidc=False) as standin:
        yield standin


def redeem(provider: StandIn, settings: ProviderSettings | None = None, **changes: Any) -> TokenResponse:
    metadata = ProviderMetadata(token_endpoint=f"{provider.url}/token", **changes.pop("metadata", {}))
    authentication = ClientAuthentication(settings or oauth2_settings(provider))
    code = provider.issue_code({"redirect_uri": REDIRECT_URI, "scope": "user:email"})
    return redeem_code(
        AuthenticatedClient(
            Transport(timeouts=Timeouts(connect=2, read=5, total=5)), metadata, authentication
        ),
        **{"code": code, "redirect_uri": REDIRECT_URI, "code_verifier": None, **changes},
    )


def refusal_of(provider: StandIn, answer: Any) -> ProviderError:
    provider.token_response = answer
    with pytest.raises(ProviderError) as refusal:
        redeem(provider)
    return refusal.value


# Requests


@pytest.mark.requirement("N2.1.4", "N2.1.3")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_each_way_of_client_authentication_is_understood(provider: StandIn, method: str) -> None:
    provider.auth_method = method
    tokens = redeem(provider, oauth2_settings(provider, client_auth_method=method))
    assert tokens.expires_in == 3600
    (request,) = provider.requests
    assert request.method == "POST"
    assert not request.query
    assert {*request.form} - {"client_id", "client_secret"} == {"grant_type", "code", "redirect_uri"}


def test_a_query_of_the_token_endpoint_is_kept() -> None:
    with raw_server(b"HTTP/1.1 500 x\r\n\r\n") as server, pytest.raises(ProviderUnavailableError):
        redeem_code(
            AuthenticatedClient(
                Transport(),
                ProviderMetadata(token_endpoint=f"{server.origin}/token?tenant=a"),
                ClientAuthentication(provider_settings()),
            ),
            code="x",
            redirect_uri=REDIRECT_URI,
            code_verifier="v",
        )
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /token?tenant=a HTTP/1.1")
    assert b"code_verifier=v" in body


@pytest.mark.requirement("3a.6")
def test_the_code_is_sent_once_whatever_comes_back(provider: StandIn) -> None:
    for status in (503, 500, 302, 401):
        provider.token_response = Answer(b"", status, headers=(("Location", f"{provider.url}/userinfo"),))
        with pytest.raises((ProviderError, ProviderUnavailableError)):
            redeem(provider)
    assert [request.path for request in provider.requests] == ["/token"] * 4


# Answers that are accepted


def test_a_form_encoded_answer_is_accepted(provider: StandIn) -> None:
    provider.form_encoded = True
    tokens = redeem(provider)
    assert (len(tokens.access_token), tokens.expires_in) == (43, 3600)


@pytest.mark.requirement("F4", "N2.1.9")
@pytest.mark.parametrize(
    "changes",
    [
        {"token_type": "bEaReR"},
        {"token_type": LEFT_OUT},
        {"token_type": None},
        {"scope": "something else altogether"},
        {"scope": ""},
        {"scope": None},
        {"scope": ["user:email"]},
        {"scope": LEFT_OUT},
        {"expires_in": "3600"},
        {"expires_in": 3600.7},
        {"refresh_token": None},
        {"refresh_token": ""},
        {"id_token": ""},
        {"token_type": ""},
        {"error": None},
        {"error": ""},
        {"unknown": {"a": [1]}},
        {"expires_at": "junk"},
    ],
)
def test_what_providers_do_differently_is_accepted(provider: StandIn, changes: dict[str, Any]) -> None:
    provider.token_response = lambda good: {
        name: value for name, value in {**good, **changes}.items() if value is not LEFT_OUT
    }
    assert redeem(provider).expires_in == 3600


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token"])
def test_a_long_token_is_a_matter_of_whoever_uses_it(provider: StandIn, name: str) -> None:
    provider.token_response = lambda good: {**good, name: "a" * 65_536}
    assert len(getattr(redeem(provider), name)) == 65_536


@pytest.mark.requirement("F6")
@pytest.mark.parametrize("value", [0, "0", 0.0, None, "", LEFT_OUT])
def test_an_unknown_lifetime_is_unknown(provider: StandIn, value: Any) -> None:
    provider.token_response = lambda good: {
        name: value for name, value in {**good, "expires_in": value}.items() if value is not LEFT_OUT
    }
    assert redeem(provider).expires_in is None


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "application/json"])
def test_json_is_json_whatever_its_label(provider: StandIn, content_type: str) -> None:
    provider.token_response = lambda good: Answer(json.dumps(good).encode(), 201, content_type)
    assert redeem(provider).access_token


def test_no_token_is_in_a_repr(provider: StandIn) -> None:
    tokens = redeem(provider)
    assert tokens.access_token not in repr(tokens)
    assert tokens.refresh_token
    assert tokens.refresh_token not in repr(tokens)


# Answers that are refused

USELESS = {
    "HTML": Answer(b"<html><body>Sign in</body></html>", content_type="text/html"),
    "HTML in disguise": Answer(b"<html><body>Sign in</body></html>"),
    "empty": b"",
    "text": b"error",
    "list": b"[]",
    "list of one": lambda good: [good],
    "number": b"1",
    "null": b"null",
    "deep": b"[" * 100_000,
    "deep object": b'{"access_token":' * 10_000,
    "broken": b'{"access_token": "a"',
    "twice": b'{"access_token": "a", "access_token": "b"}',
    "twice in a form": Answer(
        b"access_token=a&access_token=b", content_type="application/x-www-form-urlencoded"
    ),
    "not UTF-8": b'{"access_token": "\xff"}',
    "UTF-16": '{"access_token": "a"}'.encode("utf-16"),
    "infinite": b'{"access_token": "a", "token_type": "bearer", "expires_in": Infinity}',
    "no token": {"token_type": "bearer"},
    "null token": lambda good: {**good, "access_token": None},
    "empty token": lambda good: {**good, "access_token": ""},
    "token list": lambda good: {**good, "access_token": ["a"]},
    "token object": lambda good: {**good, "access_token": {"a": 1}},
    "token number": lambda good: {**good, "access_token": 7},
    "token true": lambda good: {**good, "access_token": True},
    "token of two lines": lambda good: {**good, "access_token": "a\r\nX: y"},
    "token with a space": lambda good: {**good, "access_token": "a b"},
    "token beyond ASCII": lambda good: {**good, "access_token": "ä"},
    "long token": lambda good: {**good, "access_token": "a" * 65_537},
    "refresh token list": lambda good: {**good, "refresh_token": ["a"]},
    "id token number": lambda good: {**good, "id_token": 7},
    "type mac": lambda good: {**good, "token_type": "mac"},
    "type list": lambda good: {**good, "token_type": ["bearer"]},
    "type DPoP": lambda good: {**good, "token_type": "DPoP"},
    "lifetime text": lambda good: {**good, "expires_in": "soon"},
    "lifetime negative": lambda good: {**good, "expires_in": -1},
    "lifetime negative text": lambda good: {**good, "expires_in": "-1"},
    "lifetime true": lambda good: {**good, "expires_in": True},
    "lifetime list": lambda good: {**good, "expires_in": [3600]},
    "lifetime huge": lambda good: {**good, "expires_in": 1e300},
    "lifetime of ages": lambda good: {**good, "expires_in": 10**30},
    "lifetime of digits": lambda good: {**good, "expires_in": "9" * 30},
    "other digits": lambda good: {**good, "expires_in": "٣٦٠٠"},
    "tokens with 300": lambda good: Answer(json.dumps(good).encode(), 300),
    "tokens with 400": lambda good: Answer(json.dumps(good).encode(), 400),
    "404": Answer(b"{}", 404),
    "404 HTML": Answer(b"<html>", 404, "text/html"),
    "405": Answer(b"", 405),
    "302": Answer(b"", 302, headers=(("Location", "/userinfo"),)),
    "broken error": Answer(b'{"error": ', 400),
}


@pytest.mark.requirement("O3")
@pytest.mark.parametrize("answer", USELESS.values(), ids=USELESS.keys())
def test_a_useless_answer_is_refused(provider: StandIn, answer: Any) -> None:
    error = refusal_of(provider, answer)
    assert error.code == "token_response"
    assert f"{provider.url}/token" in error.detail


@pytest.mark.requirement("O3")
def test_a_huge_answer_is_refused(provider: StandIn) -> None:
    assert refusal_of(provider, b'{"access_token": "' + b"a" * 300_000).code == "answer_too_large"


def test_a_page_in_place_of_tokens_is_named_in_the_error(provider: StandIn) -> None:
    error = refusal_of(provider, Answer(b"<html>", content_type="text/html"))
    assert "an HTML page: check token_endpoint" in error.detail


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_fault_of_the_provider_is_a_provider_that_is_down(provider: StandIn, status: int) -> None:
    provider.token_response = Answer(b"oops", status, "text/plain")
    with pytest.raises(ProviderUnavailableError, match=str(status)):
        redeem(provider)


@pytest.mark.parametrize("status", [200, 400])
def test_a_provider_that_says_so_is_down_for_a_while(provider: StandIn, status: int) -> None:
    body = b'{"error": "temporarily_unavailable", "error_description": "busy"}'
    provider.token_response = Answer(body, status)
    with pytest.raises(ProviderUnavailableError, match="'temporarily_unavailable', 'busy'"):
        redeem(provider)


def test_a_provider_that_is_gone_is_unavailable(provider: StandIn) -> None:
    provider.close()
    with pytest.raises(ProviderUnavailableError, match="Connection refused"):
        redeem(provider)


@pytest.mark.requirement("N2.1.8")
def test_openid_connect_needs_an_id_token_and_a_token_type(provider: StandIn) -> None:
    settings = oidc_settings(provider)
    with pytest.raises(ProviderError, match="no id_token: does scope contain openid"):
        redeem(provider, settings)
    provider.oidc = True
    assert redeem(provider, settings).id_token
    provider.token_response = lambda good: {**good, "token_type": None}
    with pytest.raises(ProviderError, match="token_type"):
        redeem(provider, settings)


# Errors of RFC 6749, section 5.2


@pytest.mark.parametrize("habit", [{}, {"errors_with_200": True}, {"form_encoded": True}])
def test_a_wrong_secret_tells_the_operator_where_to_look(provider: StandIn, habit: dict[str, bool]) -> None:
    provider.client_secret = "another"
    for name, value in habit.items():
        setattr(provider, name, value)
    with pytest.raises(ProviderError) as refusal:
        redeem(provider, metadata={"token_endpoint_auth_methods_supported": ("client_secret_post",)})
    assert refusal.value.code == "invalid_client"
    for word in ("client_id", "client_secret", "client_auth_method", "now client_secret_basic", "_post"):
        assert word in refusal.value.detail
    assert "s3cret" not in refusal.value.detail


def test_a_refused_assertion_tells_where_else_to_look(provider: StandIn) -> None:
    provider.token_response = {"error": "invalid_client"}
    key = Secret.literal(pem(ec_key().private))
    settings = oauth2_settings(
        provider, client_auth_method="private_key_jwt", client_secret=None, client_key=key
    )
    with pytest.raises(ProviderError, match="Check client_id, client_key") as refusal:
        redeem(provider, settings)
    assert "client_assertion_audience (now issuer), this machine's clock" in refusal.value.detail
    (request,) = provider.requests
    assert request.form["client_assertion"] not in refusal.value.detail


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client", "incorrect_client_credentials"])
def test_every_way_to_refuse_the_client_is_understood(provider: StandIn, error: str) -> None:
    assert refusal_of(provider, {"error": error}).code == "invalid_client"


def test_401_without_a_reason_refuses_the_client(provider: StandIn) -> None:
    assert refusal_of(provider, Answer(b"", 401)).code == "invalid_client"
    assert refusal_of(provider, Answer(b"<html>", 401, "text/html")).code == "invalid_client"


def test_a_code_that_was_used_is_refused_in_words_for_a_person(provider: StandIn) -> None:
    with pytest.raises(ProviderError, match="used already") as refusal:
        redeem(provider, code="another")
    assert refusal.value.code == "invalid_grant"
    assert "sign in again" in refusal.value.message


def test_githubs_error_for_a_bad_code_is_understood(provider: StandIn) -> None:
    assert refusal_of(provider, b"error=bad_verification_code&error_description=x").code == "invalid_grant"


@pytest.mark.parametrize("error", ["invalid_scope", "server_error", ["invalid_grant"], {"a": 1}, 7, True])
def test_an_error_that_blames_neither_code_nor_client_is_a_refusal(provider: StandIn, error: Any) -> None:
    assert (
        refusal_of(provider, {"error": error, "access_token": "a", "token_type": "bearer"}).code
        == "token_refused"
    )


def test_an_error_is_logged_on_one_line_and_cut(provider: StandIn) -> None:
    error = refusal_of(
        provider, {"error": "x\r\nevent=login_ok", "error_description": "\u202eevil\0" + "y" * 50_000}
    )
    assert error.detail.isprintable()
    assert len(error.detail) < 600


def test_no_detail_repeats_a_token(provider: StandIn) -> None:
    for changes in ({"token_type": "mac"}, {"expires_in": -1}, {"error": "invalid_scope"}):
        error = refusal_of(
            provider,
            {"access_token": "canary-1", "refresh_token": "canary-2", "id_token": "canary-3", **changes},
        )
        assert "canary" not in "".join(traceback.format_exception(error))


MEMBERS = st.dictionaries(
    st.sampled_from(
        [
            "access_token",
            "token_type",
            "expires_in",
            "refresh_token",
            "id_token",
            "scope",
            "error",
            "x",
            "expires_at",
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("Bearer"),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
        max_leaves=4,
    ),
)


@given(
    MEMBERS.map(lambda members: json.dumps(members).encode()) | st.binary(max_size=99), st.integers(200, 599)
)
def test_nothing_but_our_own_errors_comes_out(body: bytes, status: int) -> None:
    response = Response(
        status=status, content_type="application/json", body=body, headers={}, url="https://op.example/token"
    )
    try:
        tokens = redeem_code(
            AuthenticatedClient(
                FixedTransport(response),
                ProviderMetadata(token_endpoint=response.url),
                ClientAuthentication(provider_settings(issuer=None)),
            ),
            code="x",
            redirect_uri=REDIRECT_URI,
            code_verifier="v",
        )
    except (ProviderError, ProviderUnavailableError):
        return
    assert tokens.access_token.isascii()
    assert tokens.expires_in is None or 1 <= tokens.expires_in < 4_000_000_000
