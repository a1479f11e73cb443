"""Revoking a token: the request, and what each answer of the provider means."""

from __future__ import annotations

import threading
import traceback
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import OAuth2Error, ProviderError, ProviderUnavailableError
from oauth2_mw.provider.discovery.metadata import ProviderMetadata
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.endpoints.revocation import REVOCATION_TIMEOUTS, RevocableKind, revoke_token
from oauth2_mw.provider.http.messages import DEFAULT_TIMEOUTS, Response, Timeouts
from tests.support.providers.fixed_transport import FixedTransport
from tests.support.providers.sign_in import client_for, sign_in
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.providers import oauth2_settings, oidc_settings, provider_settings

TOKEN = "the-token"


def refused(provider: StandIn, answer: Any = None) -> OAuth2Error:
    if answer is not None:
        provider.answers["revocation"] = answer
    with pytest.raises(OAuth2Error) as refusal:
        client_for(oidc_settings(provider)).revoke(TOKEN, kind="refresh_token")
    assert TOKEN not in "".join(traceback.format_exception(refusal.value))
    return refusal.value


def test_a_revoked_refresh_token_is_worth_nothing(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    user = sign_in(provider, client)
    token = user.tokens.refresh_token or ""
    assert client.revoke(token, kind="refresh_token") is True
    with pytest.raises(ProviderError) as refusal:
        client.refresh(token, subject=user.subject, auth_time=None)
    assert refusal.value.code == "invalid_grant"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
def test_the_request_names_the_token_and_its_kind_and_proves_the_client(
    provider: StandIn, method: str, kind: RevocableKind
) -> None:
    provider.auth_method = method
    client = client_for(oidc_settings(provider, client_auth_method=method))
    assert client.revoke("the-token", kind=kind) is True
    (request,) = provider.asked("/revoke")
    assert (request.method, request.query) == ("POST", {})
    form = {name: value for name, value in request.form.items() if not name.startswith("client_")}
    assert form == {"token": "the-token", "token_type_hint": kind}


def test_a_token_that_nobody_knows_is_as_good_as_revoked(provider: StandIn) -> None:
    assert client_for(oidc_settings(provider)).revoke("never given out", kind="access_token") is True


@pytest.mark.parametrize("answer", [Answer(b"<html>", 200, "text/html"), Answer(b"", 204)])
def test_what_a_good_answer_says_beside_its_status_means_nothing(provider: StandIn, answer: Answer) -> None:
    provider.answers["revocation"] = answer
    assert client_for(oidc_settings(provider)).revoke("the-token", kind="refresh_token") is True


def test_a_provider_that_revokes_nothing_is_not_asked(provider: StandIn) -> None:
    provider.metadata["revocation_endpoint"] = LEFT_OUT
    assert client_for(oidc_settings(provider)).revoke("the-token", kind="refresh_token") is False
    assert client_for(oauth2_settings(provider)).revoke("the-token", kind="refresh_token") is False
    assert not provider.asked("/revoke")


def test_a_kind_of_token_that_is_not_revoked_is_no_failure(provider: StandIn) -> None:
    provider.answers["revocation"] = Answer(b'{"error": "unsupported_token_type"}', 400)
    assert client_for(oidc_settings(provider)).revoke("the-token", kind="access_token") is False


def test_googles_error_for_a_token_that_was_revoked_before_is_understood(provider: StandIn) -> None:
    provider.answers["revocation"] = Answer(b'{"error": "invalid_token"}', 400)
    assert client_for(oidc_settings(provider)).revoke("the-token", kind="refresh_token") is True


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_fault_of_the_provider_is_a_provider_that_is_down(provider: StandIn, status: int) -> None:
    error = refused(provider, Answer(b'{"error": "x"}', status, headers=(("Retry-After", "9"),)))
    assert isinstance(error, ProviderUnavailableError)
    assert len(provider.asked("/revoke")) == 1


def test_a_provider_that_says_so_is_down_for_a_while(provider: StandIn) -> None:
    error = refused(provider, Answer(b'{"error": "temporarily_unavailable"}', 400))
    assert isinstance(error, ProviderUnavailableError)


def test_a_provider_that_is_gone_is_unavailable(provider: StandIn) -> None:
    provider.close()
    assert isinstance(refused(provider), ProviderUnavailableError)


def test_nobody_waits_long_for_a_revocation(provider: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oauth2_mw.provider.client.REVOCATION_TIMEOUTS", Timeouts(total=0.2))
    gate = threading.Event()
    provider.answers["revocation"] = lambda good: gate.wait(30) and good
    try:
        assert isinstance(refused(provider), ProviderUnavailableError)
    finally:
        gate.set()


def test_the_time_for_a_revocation_is_short_and_never_longer_than_for_other_requests() -> None:
    assert DEFAULT_TIMEOUTS.at_most(REVOCATION_TIMEOUTS) == REVOCATION_TIMEOUTS
    assert REVOCATION_TIMEOUTS.total < 5
    assert Timeouts(1, 9, 2).at_most(Timeouts(2, 3, 4)) == Timeouts(1, 3, 2)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(b'{"error": "invalid_client"}', 401), "invalid_client"),
        (Answer(b"", 401), "invalid_client"),
        (Answer(b'{"error": "invalid_request"}', 400), "revocation_refused"),
        (Answer(b'{"error": ["unsupported_token_type"]}', 400), "revocation_refused"),
        (Answer(b'{"error": "x", "error_description": "the-token is odd"}', 400), "revocation_refused"),
        (Answer(b"<html>", 404, "text/html"), "revocation_refused"),
        (Answer(status=302, headers=(("Location", "/token"),)), "revocation_refused"),
        (Answer(b"x" * 100_000, 400), "answer_too_large"),
    ],
    ids=["client", "401", "request", "list", "description", "404", "302", "huge"],
)
def test_a_refusal_to_revoke_is_reported(provider: StandIn, answer: Answer, code: str) -> None:
    error = refused(provider, answer)
    assert (type(error), error.code) == (ProviderError, code)
    assert error.detail.isprintable()
    assert not provider.asked("/token")


def test_a_secret_that_cannot_be_read_is_reported(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider, client_secret=None))
    with pytest.raises(ProviderError) as refusal:
        client.revoke("the-token", kind="refresh_token")
    assert refusal.value.code == "client_secret"


@given(
    st.text(max_size=20) | st.just("\udcff"),
    st.binary(max_size=60) | st.just(b'{"error": 1}'),
    st.integers(200, 599),
)
def test_no_token_and_no_answer_gets_more_than_our_own_errors(token: str, body: bytes, status: int) -> None:
    url = "https://op.example/revoke"
    transport = FixedTransport(Response(status, "application/json", body, {}, url))
    try:
        metadata = ProviderMetadata(revocation_endpoint=url)
        client = AuthenticatedClient(transport, metadata, ClientAuthentication(provider_settings()))
        revoke_token(client, token, kind="refresh_token")
    except (ProviderError, ProviderUnavailableError) as error:
        assert error.detail.isprintable()
    form = transport.form.removeprefix("token=").partition("&")[0]
    assert unquote_plus(form) == token.encode("utf-8", "replace").decode()
