"""When metadata are fetched at all: written endpoints, another address, and a host that is silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oauth2_mw.errors import ProviderError, ProviderUnavailableError, StateError, TokenError
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.discovery.cache import NOT_SENT_COOL_DOWN
from oauth2_mw.provider.discovery.metadata_cache import TOLERATED_COOL_DOWN, WELL_KNOWN, MetadataCache
from oauth2_mw.provider.http.call_gate import NOT_SENT, CallGate
from oauth2_mw.provider.http.messages import Response, Timeouts
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.settings.model import ProviderSettings
from tests.support.clock import Clock
from tests.support.providers.jose import ec_key, rsa_key
from tests.support.providers.raw_server import RawServer, raw_server, silence
from tests.support.providers.sign_in import client_for, sign_in
from tests.support.providers.standin import Answer, StandIn
from tests.support.settings.providers import oidc_settings, provider_settings

#: seconds that a call to the silent host takes
PATIENCE = 1.0
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
PATHS = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}


@pytest.fixture
def silent() -> Iterator[RawServer]:
    """A host that accepts connections and never answers."""
    with raw_server(silence) as server:
        yield server


def written(provider: StandIn, **more: Any) -> dict[str, Any]:
    """The endpoints that every sign-in needs."""
    return {**{name: f"{provider.url}/{path}" for name, path in PATHS.items()}, **more}


def of_the_silent_host(provider: StandIn, silent: RawServer, **changes: Any) -> ProviderSettings:
    """Settings with everything at the provider but the metadata, whose host is silent."""
    provider.claims["iss"] = silent.origin
    return provider_settings(issuer=silent.origin, **{**written(provider), **changes})


def impatient(settings: ProviderSettings, **options: Any) -> ProviderClient:
    return client_for(settings, timeouts=Timeouts(connect=PATIENCE, read=PATIENCE, total=PATIENCE), **options)


def cache_for(settings: ProviderSettings, clock: Clock | None = None) -> MetadataCache:
    timeouts = Timeouts(connect=PATIENCE, read=PATIENCE, total=PATIENCE)
    return MetadataCache(settings, Transport(timeouts=timeouts), clock or Clock())


class FullGate(CallGate):
    """A gate that refuses by the code that a test says."""

    code: str | None = None
    refused = 0

    def call(self, send: Callable[[], Response]) -> Response:
        if self.code is None:
            return super().call(send)
        self.refused += 1
        raise ProviderUnavailableError("nothing was sent", code=self.code)


# All that is needed is written


@pytest.mark.parametrize("userinfo", ["written", "never", "not needed"])
def test_a_silent_host_is_not_asked_when_all_that_is_needed_is_written(
    provider: StandIn, silent: RawServer, userinfo: str
) -> None:
    changes = {
        "written": {"userinfo_endpoint": f"{provider.url}/userinfo", "userinfo": "always"},
        "never": {"userinfo": "never"},
        "not needed": {},
    }[userinfo]
    provider.claims["email"] = "jane@example.com"
    client = impatient(of_the_silent_host(provider, silent, **changes), needs="email")
    for _ in range(2):
        signed_in = sign_in(provider, client)
        assert signed_in.claims["email"] == "jane@example.com"
        client.check_issuer(None)
        assert signed_in.tokens.refresh_token
        client.refresh(signed_in.tokens.refresh_token, subject="user-1", auth_time=None)
    assert silent.requests == []


@pytest.mark.requirement("R-metadata")
def test_iss_is_compared_where_no_metadata_are_fetched(provider: StandIn, silent: RawServer) -> None:
    client = impatient(of_the_silent_host(provider, silent))
    client.check_issuer(silent.origin)
    with pytest.raises(StateError) as refusal:
        client.check_issuer("https://evil.example")
    assert refusal.value.code == "issuer"
    assert silent.requests == []


@pytest.mark.parametrize("missing", NEEDED)
def test_without_one_that_every_sign_in_needs_the_metadata_are_fetched(
    provider: StandIn, missing: str
) -> None:
    client = client_for(oidc_settings(provider, **{**written(provider), missing: None}))
    assert sign_in(provider, client).subject == "user-1"
    assert len(provider.asked(WELL_KNOWN)) == 1


def test_without_metadata_algorithms_says_what_is_allowed_beside_rs256(
    provider: StandIn, silent: RawServer
) -> None:
    provider.key = ec_key()
    with pytest.raises(TokenError, match=r"RS256 is allowed: .*add ES256 to algorithms"):
        sign_in(provider, impatient(of_the_silent_host(provider, silent)))
    settings = of_the_silent_host(provider, silent, algorithms=("ES256",))
    assert sign_in(provider, impatient(settings)).subject == "user-1"


# What a later step needs is fetched then


def test_userinfo_that_is_not_written_is_looked_up_when_it_is_worth_a_request(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider, **written(provider)), needs="email")
    client.authorization_url(state="s", nonce="n", code_verifier="v" * 43)
    assert provider.asked(WELL_KNOWN) == []
    assert sign_in(provider, client).claims["email"] == "jane@example.com"
    assert len(provider.asked(WELL_KNOWN)) == 1


def test_the_logout_endpoint_is_looked_up_at_a_sign_out(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider, **written(provider)))
    sign_in(provider, client)
    assert provider.asked(WELL_KNOWN) == []
    assert client.logout_endpoint() == f"{provider.url}/end_session"


def test_a_token_is_revoked_where_the_metadata_say(provider: StandIn) -> None:
    client = client_for(oidc_settings(provider, **written(provider)))
    token = sign_in(provider, client).tokens.access_token
    assert client.revoke(token, kind="access_token")
    assert len(provider.asked("/revoke")) == 1


@pytest.mark.requirement("C3")
def test_the_metadata_of_another_issuer_are_not_used_for_what_is_not_written(provider: StandIn) -> None:
    provider.metadata["issuer"] = "https://other.example"
    client = client_for(oidc_settings(provider, **written(provider)))
    token = sign_in(provider, client).tokens.access_token
    assert client.logout_endpoint() is None
    with pytest.raises(ProviderError) as refusal:
        client.revoke(token, kind="access_token")
    assert refusal.value.code == "issuer_mismatch"


# A failure that is tolerated


def test_a_tolerated_failure_cools_down_for_minutes_and_is_logged_once(
    provider: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    cache = cache_for(oidc_settings(provider, **written(provider)), clock)
    provider.answers["discovery"] = Answer(b"", 503)
    asked = []
    for _ in range(3):
        for _ in range(5):
            assert cache.metadata("userinfo_endpoint").userinfo_endpoint is None
        asked.append(len(provider.asked(WELL_KNOWN)))
        clock.now += TOLERATED_COOL_DOWN
    assert TOLERATED_COOL_DOWN >= 120
    assert asked == [asked[0], 2 * asked[0], 3 * asked[0]]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "provider default: go on without its metadata" in caplog.text
    del provider.answers["discovery"]
    assert cache.metadata("userinfo_endpoint").userinfo_endpoint == f"{provider.url}/userinfo"
    provider.answers["discovery"] = Answer(b"", 503)
    clock.now += 48 * 3600
    cache.metadata("userinfo_endpoint")
    assert len(caplog.records) == 2


@pytest.mark.parametrize("code", sorted(NOT_SENT))
def test_that_nothing_was_sent_is_soon_forgotten(provider: StandIn, code: str) -> None:
    clock, gate = Clock(), FullGate()
    transport = Transport(gate=gate)
    cache = MetadataCache(oidc_settings(provider, **written(provider)), transport, clock)
    gate.code = code
    for _ in range(3):
        assert cache.metadata("userinfo_endpoint").userinfo_endpoint is None
    assert gate.refused == 1
    gate.code = None
    clock.now += NOT_SENT_COOL_DOWN
    assert cache.metadata("userinfo_endpoint").userinfo_endpoint == f"{provider.url}/userinfo"


def test_a_new_key_is_looked_for_again_soon_after_nothing_was_sent(provider: StandIn) -> None:
    clock, gate = Clock(), FullGate()
    cache = MetadataCache(oidc_settings(provider), Transport(gate=gate), clock)
    assert [*cache.keys_for("rsa-1", "RS256")]
    provider.jwks = [rsa_key(2).jwk()]
    gate.code = "provider_busy"
    for _ in range(3):
        assert not [*cache.keys_for("rsa-2", "RS256")]
    assert gate.refused == 1
    gate.code = None
    clock.now += NOT_SENT_COOL_DOWN
    assert [*cache.keys_for("rsa-2", "RS256")]


def test_nobody_waits_for_a_host_that_was_silent_before(provider: StandIn, silent: RawServer) -> None:
    clock = Clock()
    cache = cache_for(of_the_silent_host(provider, silent), clock)
    cache.metadata("userinfo_endpoint")
    before = len(silent.requests)
    clock.now += TOLERATED_COOL_DOWN
    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(cache.metadata, "userinfo_endpoint")
        deadline = time.monotonic() + 5
        while len(silent.requests) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
        for _ in range(20):
            assert cache.metadata("userinfo_endpoint").userinfo_endpoint is None
        assert time.monotonic() - started < PATIENCE / 2
        assert not trying.done()
        trying.result()


def test_who_asks_first_all_together_waits_once(provider: StandIn, silent: RawServer) -> None:
    cache = cache_for(of_the_silent_host(provider, silent))
    together = threading.Barrier(6)

    def ask() -> float:
        together.wait()
        started = time.monotonic()
        cache.metadata("userinfo_endpoint")
        return time.monotonic() - started

    with ThreadPoolExecutor(6) as pool:
        waited = [asking.result() for asking in [pool.submit(ask) for _ in range(6)]]
    # A GET is tried again within its time; nobody waits for the tries of another after their own.
    assert max(waited) < 2 * PATIENCE


# metadata_url


def test_the_metadata_are_read_where_metadata_url_says(provider: StandIn) -> None:
    issuer = "https://login.example/realm"
    provider.claims["iss"] = issuer
    provider.metadata["issuer"] = issuer
    metadata_url = f"{provider.url}{WELL_KNOWN}?appid=7"
    # The endpoints of an https issuer are https; the stand-in is not.
    settings = provider_settings(issuer=issuer, metadata_url=metadata_url, **written(provider))
    client = client_for(settings)
    assert sign_in(provider, client).issuer == issuer
    assert provider.asked(WELL_KNOWN) == []
    with pytest.raises(ProviderError, match=r"revocation_endpoint .*plain http"):
        client.revoke("token", kind="access_token")
    assert [request.query for request in provider.asked(WELL_KNOWN)] == [{"appid": "7"}]


@pytest.mark.requirement("C3")
@pytest.mark.parametrize("other", ["https://login.example/realm/", "{url}", None])
def test_metadata_from_another_address_still_name_the_issuer(provider: StandIn, other: str | None) -> None:
    provider.metadata["issuer"] = other.replace("{url}", provider.url) if other else None
    cache = cache_for(
        provider_settings(issuer="https://login.example/realm", metadata_url=f"{provider.url}{WELL_KNOWN}")
    )
    with pytest.raises(ProviderError) as refusal:
        cache.metadata()
    assert refusal.value.code == "issuer_mismatch"


def test_nothing_is_looked_for_elsewhere_when_metadata_url_leads_nowhere(provider: StandIn) -> None:
    cache = cache_for(oidc_settings(provider, metadata_url=f"{provider.url}/nowhere"))
    with pytest.raises(ProviderError, match=r"/nowhere was answered with HTTP 404: check metadata_url"):
        cache.metadata()
    assert [request.path for request in provider.requests] == ["/nowhere"]


def test_a_silent_metadata_url_fails_in_time(silent: RawServer) -> None:
    cache = cache_for(
        provider_settings(issuer="https://login.example", metadata_url=f"{silent.origin}/metadata")
    )
    with pytest.raises(ProviderUnavailableError):
        cache.metadata()
