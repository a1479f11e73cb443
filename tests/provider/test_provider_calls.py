"""A provider that is slow keeps few threads, and no code is spent for somebody who finds no place."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oauth2_mw.errors import OAuth2Error, ProviderError, ProviderUnavailableError
from oauth2_mw.provider.http import call_gate
from oauth2_mw.provider.http.call_gate import MAX_FAILURES
from tests.support.providers.sign_in import client_for, sign_in
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.providers import oidc_settings

WAIT = 20


class Slow:
    """An endpoint that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, good: Any) -> Any:
        self.asked.release()
        assert self.go_on.wait(WAIT)
        return good


@pytest.mark.requirement("R-calls")
@pytest.mark.parametrize("endpoint", ["token", "userinfo"])
def test_whoever_finds_no_place_keeps_their_code(
    provider: StandIn, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setattr(call_gate, "MAX_WAIT", 0.05)
    client = client_for(oidc_settings(provider, userinfo="always"), max_calls=2)
    # With metadata and keys at hand, the way there needs no call.
    sign_in(provider, client)
    slow = provider.answers[endpoint] = Slow()
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(sign_in, provider, client) for _ in range(2)]
        assert all(slow.asked.acquire(timeout=WAIT) for _ in waiting)
        provider.requests.clear()
        url = client.authorization_url(state="s", nonce="n", code_verifier="v" * 43)
        code = provider.follow(url)["code"]
        with pytest.raises(ProviderUnavailableError) as refusal:
            client.redeem(code=code, nonce="n", code_verifier="v" * 43)
        assert refusal.value.code == "provider_busy"
        assert provider.asked("/token") == []
        slow.go_on.set()
        assert {each.result().subject for each in waiting} == {"user-1"}
    assert client.redeem(code=code, nonce="n", code_verifier="v" * 43).subject == "user-1"


@pytest.mark.requirement("R-calls")
def test_a_refresh_that_finds_no_place_keeps_its_token(
    provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_gate, "MAX_WAIT", 0.05)
    client = client_for(oidc_settings(provider), max_calls=1)
    user = sign_in(provider, client)
    slow = provider.answers["token"] = Slow()
    refresh_token = user.tokens.refresh_token
    assert refresh_token is not None
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(sign_in, provider, client)
        assert slow.asked.acquire(timeout=WAIT)
        provider.requests.clear()
        with pytest.raises(ProviderUnavailableError, match="answers slowly"):
            client.refresh(refresh_token, subject=user.subject, auth_time=None)
        assert provider.asked("/token") == []
        slow.go_on.set()
        waiting.result()
    assert client.refresh(refresh_token, subject=user.subject, auth_time=None).tokens.access_token


@pytest.mark.requirement("R-calls")
def test_invented_codes_keep_nobody_out(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    for number in range(3 * MAX_FAILURES):
        with pytest.raises(ProviderError, match="invalid_grant"):
            client.redeem(code=f"invented-{number}", nonce="n", code_verifier="v" * 43)
    assert sign_in(provider, client).subject == "user-1"


@pytest.mark.requirement("R-calls")
def test_a_provider_with_a_fault_is_left_alone(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider))
    sign_in(provider, client)
    provider.answers["token"] = Answer(b"{}", 500)
    provider.requests.clear()
    codes = []
    for _ in range(2 * MAX_FAILURES):
        with pytest.raises(OAuth2Error) as refusal:
            sign_in(provider, client)
        codes.append(refusal.value.code)
    assert codes == ["provider_unavailable"] * MAX_FAILURES + ["provider_paused"] * MAX_FAILURES
    assert len(provider.asked("/token")) == MAX_FAILURES
