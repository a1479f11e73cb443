"""Metadata and keys: where they are found, how long they are cached, and failures to fetch them."""

from __future__ import annotations

import json
import threading
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields, replace
from itertools import product
from pathlib import Path
from re import escape
from typing import Any

import pytest

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.discovery.cache import CachedDocument
from oauth2_mw.provider.discovery.metadata import ProviderMetadata, allowed_algorithms, parse_metadata
from oauth2_mw.provider.discovery.metadata_cache import (
    OAUTH_WELL_KNOWN,
    WELL_KNOWN,
    MetadataCache,
    oauth_metadata_url,
)
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.provider.http.transport import Transport
from oauth2_mw.provider.jose.jwks import SigningKey
from oauth2_mw.settings.model import ProviderSettings
from tests.security.hostile import Hostile
from tests.support.clock import Clock
from tests.support.hosts.certificates import self_signed
from tests.support.providers.jose import rsa_key
from tests.support.providers.sign_in import client_for, sign_in
from tests.support.providers.standin import LEFT_OUT, Answer, StandIn
from tests.support.settings.providers import oauth2_settings, oidc_settings, provider_settings

ISSUER = "https://op.example"


def cache_for(settings: ProviderSettings, clock: Clock | None = None) -> MetadataCache:
    transport = Transport(ca_bundle=settings.ca_bundle, timeouts=Timeouts(connect=2, read=5, total=5))
    return MetadataCache(settings, transport, clock or Clock())


def found(cache: MetadataCache, kid: str | None, alg: str) -> SigningKey | None:
    """The first key to try: nobody asks for more when it verifies."""
    return next(cache.keys_for(kid, alg), None)


def parse(**members: Any) -> ProviderMetadata:
    return parse_metadata({"issuer": ISSUER, **members}, issuer=ISSUER, insecure_http=False)


# Discovery


@pytest.mark.requirement("C1")
def test_the_endpoints_come_from_the_well_known_document(provider: StandIn) -> None:
    metadata = cache_for(oidc_settings(provider)).metadata()
    assert metadata == ProviderMetadata(
        issuer=provider.url,
        authorization_endpoint=f"{provider.url}/authorize",
        token_endpoint=f"{provider.url}/token",
        userinfo_endpoint=f"{provider.url}/userinfo",
        end_session_endpoint=f"{provider.url}/end_session",
        revocation_endpoint=f"{provider.url}/revoke",
        introspection_endpoint=f"{provider.url}/introspect",
        jwks_uri=f"{provider.url}/jwks",
        id_token_signing_alg_values_supported=("RS256",),
        code_challenge_methods_supported=("S256",),
        token_endpoint_auth_methods_supported=("client_secret_basic",),
        authorization_response_iss_parameter_supported=False,
    )


@pytest.mark.requirement("N2.3.1")
@pytest.mark.parametrize(
    ("issuer", "path"),
    [("/", WELL_KNOWN), ("/tenant", f"/tenant{WELL_KNOWN}"), ("/a/b/", f"/a/b{WELL_KNOWN}")],
)
def test_the_well_known_path_follows_the_issuer_without_its_last_slash(
    provider: StandIn, issuer: str, path: str
) -> None:
    with pytest.raises(ProviderError):
        cache_for(provider_settings(issuer=f"{provider.url}{issuer}")).metadata()
    assert provider.requests[0].path == path


# RFC 8414


@pytest.fixture
def tenant() -> Iterator[Hostile]:
    """A provider below a path, that has its metadata where RFC 8414 puts them and nowhere else."""
    with Hostile(
        client_id="client", suffix="/tenant", moved={f"{OAUTH_WELL_KNOWN}/tenant": WELL_KNOWN}
    ) as standin:
        yield standin


@pytest.mark.requirement("N2.3.2")
@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://op.example", f"https://op.example{OAUTH_WELL_KNOWN}"),
        ("https://op.example/", f"https://op.example{OAUTH_WELL_KNOWN}"),
        ("https://op.example/tenant", f"https://op.example{OAUTH_WELL_KNOWN}/tenant"),
        ("https://op.example:8443/a/b/", f"https://op.example:8443{OAUTH_WELL_KNOWN}/a/b"),
        ("https://op.example/a//", f"https://op.example{OAUTH_WELL_KNOWN}/a/"),
        ("https://[::1]/t;v=1/%C3%BC", f"https://[::1]{OAUTH_WELL_KNOWN}/t;v=1/%C3%BC"),
    ],
)
def test_the_path_of_an_issuer_comes_after_the_well_known_one(issuer: str, url: str) -> None:
    assert oauth_metadata_url(issuer) == url


@pytest.mark.requirement("N2.3.2")
def test_metadata_are_looked_for_where_rfc_8414_puts_them_after_a_404(tenant: Hostile) -> None:
    cache = cache_for(oidc_settings(tenant))
    assert cache.metadata().token_endpoint == f"{tenant.url}/token"
    assert found(cache, "rsa-1", "RS256")
    assert tenant.calls == [f"/tenant{WELL_KNOWN}", f"{OAUTH_WELL_KNOWN}/tenant", "/jwks"]


def test_nothing_else_is_asked_when_the_metadata_are_where_they_usually_are(provider: StandIn) -> None:
    cache_for(oidc_settings(provider)).metadata()
    assert [request.path for request in provider.requests] == [WELL_KNOWN]


@pytest.mark.parametrize("status", [200, 302, 401, 403, 410, 500])
def test_nothing_but_a_404_leads_to_another_place(provider: StandIn, status: int) -> None:
    provider.answers["discovery"] = Answer(b"<html>", status, headers=(("Location", "http://127.0.0.1:1/"),))
    with pytest.raises((ProviderError, ProviderUnavailableError)):
        cache_for(oidc_settings(provider)).metadata()
    assert {request.path for request in provider.requests} == {WELL_KNOWN}


@pytest.mark.requirement("N2.3.2", "C3")
@pytest.mark.parametrize("other", ["{url}", "{url}/tenant/", "{url}/Tenant", None, LEFT_OUT])
def test_the_issuer_in_rfc_8414_metadata_is_compared(tenant: Hostile, other: Any) -> None:
    tenant.metadata["issuer"] = other.replace("{url}", tenant.url) if isinstance(other, str) else other
    with pytest.raises(ProviderError) as refusal:
        cache_for(oidc_settings(tenant)).metadata()
    assert refusal.value.code == "issuer_mismatch"


def test_a_provider_without_any_metadata_is_explained(provider: StandIn) -> None:
    with pytest.raises(ProviderError) as refusal:
        cache_for(provider_settings(issuer=f"{provider.url}/tenant")).metadata()
    assert refusal.value.code == "metadata"
    assert f"{provider.url}/tenant{WELL_KNOWN}" in refusal.value.detail
    assert f"{provider.url}{OAUTH_WELL_KNOWN}/tenant" in refusal.value.detail


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(b"", 503), ProviderUnavailableError),
        (Answer(b"", 403), ProviderError),
        (Answer(b"<html>"), ProviderError),
        (Answer(status=302, headers=(("Location", "http://127.0.0.1:1/"),)), ProviderError),
    ],
    ids=["503", "403", "HTML", "redirect elsewhere"],
)
def test_an_unusable_answer_at_the_rfc_8414_address_refuses_the_sign_in(
    tenant: Hostile, answer: Answer, expected: type[Exception]
) -> None:
    tenant.answers["discovery"] = answer
    with pytest.raises(expected):
        cache_for(oidc_settings(tenant)).metadata()


@pytest.mark.requirement("C3", "N2.3.3", "F12")
@pytest.mark.parametrize(
    "other",
    [
        f"{ISSUER}/",
        "https://OP.example",
        "https://op.example:443",
        "http://op.example",
        "https://op.example.evil.test",
        "https://op.exampl",
        "",
        None,
        [ISSUER],
        LEFT_OUT,
    ],
)
def test_another_issuer_in_the_metadata_is_refused(other: Any) -> None:
    members = {} if other is LEFT_OUT else {"issuer": other}
    with pytest.raises(ProviderError) as refusal:
        parse_metadata(members, issuer=ISSUER, insecure_http=False)
    assert refusal.value.code == "issuer_mismatch"


COMPOSED = "https://op.example/caf\u00e9"


@pytest.mark.requirement("C3", "N2.3.4")
@pytest.mark.parametrize(
    "other",
    [
        unicodedata.normalize("NFD", COMPOSED),
        COMPOSED.upper(),
        COMPOSED.replace("op", "OP"),
        COMPOSED.replace("\u00e9", "%C3%A9"),
        COMPOSED.replace("op", "\uff4f\uff50"),
        COMPOSED.replace("/caf", "/./caf"),
        COMPOSED.replace("example", "example:443"),
    ],
    ids=ascii,
)
def test_issuers_are_compared_by_code_points_and_not_as_text_looks(other: str) -> None:
    assert parse_metadata({"issuer": COMPOSED}, issuer=COMPOSED, insecure_http=False).issuer == COMPOSED
    with pytest.raises(ProviderError) as refusal:
        parse_metadata({"issuer": other}, issuer=COMPOSED, insecure_http=False)
    assert refusal.value.code == "issuer_mismatch"


@pytest.mark.requirement("C3")
def test_the_metadata_of_another_issuer_is_not_used(provider: StandIn) -> None:
    provider.metadata["issuer"] = f"{provider.url}/"
    cache = cache_for(oidc_settings(provider, token_endpoint="https://op.example/token"))
    with pytest.raises(ProviderError) as refusal:
        cache.metadata()
    assert refusal.value.code == "issuer_mismatch"
    assert provider.url in refusal.value.detail


@pytest.mark.requirement("N2.3.8")
def test_unknown_members_are_ignored() -> None:
    assert parse(signed_metadata="x", anything={"a": [1]}) == ProviderMetadata(issuer=ISSUER)


@pytest.mark.parametrize("value", [None, ""])
def test_a_member_without_a_value_is_missing(value: str | None) -> None:
    names = {field.name for field in fields(ProviderMetadata)} - {"issuer"}
    assert parse(**dict.fromkeys(names, value)) == ProviderMetadata(issuer=ISSUER)


NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ADDED = ("userinfo_endpoint", "end_session_endpoint", "revocation_endpoint", "introspection_endpoint")
LOOPBACK = ("http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]/x", "HTTP://127.0.0.1/x")


@pytest.mark.requirement("N2.3.5", "3f.1", "R-metadata")
@pytest.mark.parametrize("name", [*NEEDED, *ADDED])
@pytest.mark.parametrize("url", ["http://op.example/x", *LOOPBACK])
def test_an_https_issuer_names_no_http_endpoint(name: str, url: str) -> None:
    with pytest.raises(ProviderError, match=f"{name} .*{escape(url)}") as refusal:
        parse(**{name: url}).optional_endpoint(name)
    assert refusal.value.code == "metadata"


@pytest.mark.requirement("N2.3.5", "3f.1", "R-metadata")
@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("url", ["file:///etc/passwd", "https://op@evil.example/", "/relative", 7, False, []])
def test_an_endpoint_that_every_sign_in_needs_refuses_when_it_is_malformed(name: str, url: Any) -> None:
    with pytest.raises(ProviderError, match=f"{name} .*write {name}") as refusal:
        parse(**{name: url}).endpoint(name)
    assert refusal.value.code == "metadata"


@pytest.mark.requirement("R-metadata")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(ADDED, ("file:///etc/passwd", "/relative", 7, False, [])),
        *product(("token_endpoint_auth_methods_supported",), ("x", [None], {})),
    ],
)
def test_a_member_that_only_adds_something_is_absent_when_it_is_malformed(name: str, value: Any) -> None:
    metadata = parse(**{name: value})
    assert getattr(metadata, name) is None
    (reason,) = metadata.ignored
    assert name in reason


@pytest.mark.requirement("R-metadata")
@pytest.mark.parametrize("issuer", [ISSUER, "http://op.example", "http://127.0.0.1"])
@pytest.mark.parametrize("insecure_http", [True, False])
@pytest.mark.parametrize("url", ["http://op.example/x", *LOOPBACK])
def test_http_endpoints_are_those_of_http_issuers(issuer: str, insecure_http: object, url: str) -> None:
    found = parse_metadata(
        {"issuer": issuer, "jwks_uri": url}, issuer=issuer, insecure_http=insecure_http is True
    )
    may_call = issuer != ISSUER and (insecure_http or url in LOOPBACK)
    assert (found.jwks_uri == url) is bool(may_call)


@pytest.mark.requirement("R-metadata")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id_token_signing_alg_values_supported", "RS256"),
        ("id_token_signing_alg_values_supported", [1]),
        ("code_challenge_methods_supported", {}),
        ("code_challenge_methods_supported", "S256"),
        ("authorization_response_iss_parameter_supported", "true"),
        ("authorization_response_iss_parameter_supported", 0),
    ],
)
def test_a_member_by_which_something_is_checked_refuses_when_it_is_malformed(name: str, value: Any) -> None:
    with pytest.raises(ProviderError, match=name) as refusal:
        parse(**{name: value})
    assert refusal.value.code == "metadata"


@pytest.mark.parametrize(
    ("configured", "announced", "allowed"),
    [
        (None, None, {"RS256"}),
        (None, ("Ed25519", "HS256", "none"), {"RS256", "EdDSA"}),
        (("ES256", "HS256"), ("PS256",), {"ES256"}),
        ((), ("PS256",), set()),
    ],
)
def test_the_algorithms_are_those_of_the_settings_or_rs256_and_those_that_are_announced(
    configured: tuple[str, ...] | None, announced: tuple[str, ...] | None, allowed: set[str]
) -> None:
    metadata = ProviderMetadata(id_token_signing_alg_values_supported=announced)
    assert allowed_algorithms(provider_settings(algorithms=configured), metadata) == allowed


@pytest.mark.requirement("N2.3.6", "3f.5")
@pytest.mark.parametrize(("name", "limit"), [("discovery", 256 * 1024), ("jwks", 512 * 1024)])
@pytest.mark.parametrize("extra", [0, 1])
def test_a_document_has_a_length(provider: StandIn, name: str, limit: int, extra: int) -> None:
    document = provider._metadata() if name == "discovery" else {"keys": [rsa_key().jwk()]}
    provider.answers[name] = Answer(json.dumps(document).encode().ljust(limit + extra))
    cache = cache_for(oidc_settings(provider))
    if not extra:
        assert found(cache, "rsa-1", "RS256")
        return
    with pytest.raises(ProviderError) as refusal:
        found(cache, "rsa-1", "RS256")
    assert refusal.value.code == "answer_too_large"


# A provider with TLS, whose metadata point to where there is none


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(certificate=self_signed(tmp_path / "tls.pem")) as standin:
        yield standin


def tls_settings(tls: StandIn, **changes: Any) -> ProviderSettings:
    return oidc_settings(tls, ca_bundle=tls.certificate, **changes)


def tls_client(tls: StandIn, **changes: Any) -> ProviderClient:
    return client_for(tls_settings(tls, **changes), needs="email")


def test_a_provider_with_tls_signs_people_in(tls: StandIn) -> None:
    assert sign_in(tls, tls_client(tls)).claims["email"] == "jane@example.com"


@pytest.mark.requirement("R-metadata")
@pytest.mark.parametrize(
    ("name", "setting"),
    [
        *((name, name) for name in (*NEEDED, "userinfo_endpoint")),
        ("end_session_endpoint", "logout_endpoint"),
    ],
)
def test_a_used_endpoint_without_tls_begins_nothing_until_it_is_written(
    tls: StandIn, name: str, setting: str
) -> None:
    right = tls._metadata()[name]
    tls.metadata[name] = "http://127.0.0.1:9/x"
    for _ in range(2):
        asked = len(tls.requests)
        with pytest.raises(ProviderError, match=f"{name} .*write {setting}") as refusal:
            sign_in(tls, tls_client(tls))
        assert refusal.value.code == "metadata"
        assert {request.path for request in tls.requests[asked:]} == {WELL_KNOWN}
    client = tls_client(tls, **{setting: right})
    assert sign_in(tls, client).subject == "user-1"
    assert client.logout_endpoint() == tls._metadata()["end_session_endpoint"].replace(
        "http://127.0.0.1:9/x", right
    )


@pytest.mark.requirement("R-metadata")
def test_an_unused_endpoint_without_tls_is_absent_and_said_once(
    tls: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    tls.metadata |= {"end_session_endpoint": "http://127.0.0.1:9/x", "userinfo_endpoint": 7}
    clock = Clock()
    cache = cache_for(tls_settings(tls, sync_logout=False), clock)
    for _ in range(3):
        assert cache.metadata().end_session_endpoint is None
        assert cache.metadata().userinfo_endpoint is None
        clock.now += 3600
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    assert any("end_session_endpoint" in line and "it is not used" in line for line in said)
    assert sign_in(tls, tls_client(tls, sync_logout=False)).subject == "user-1"


@pytest.mark.requirement("R-metadata")
def test_userinfo_without_tls_refuses_where_it_may_be_asked_alone(tls: StandIn) -> None:
    tls.metadata["userinfo_endpoint"] = "http://127.0.0.1:9/x"
    settings = tls_settings(tls)
    assert cache_for(settings).metadata().userinfo_endpoint is None
    transport = Transport(ca_bundle=settings.ca_bundle)
    with pytest.raises(ProviderError, match="write userinfo_endpoint"):
        MetadataCache(settings, transport, Clock(), uses_userinfo=True).metadata()


@pytest.mark.requirement("R-metadata")
def test_no_token_is_revoked_without_tls(tls: StandIn) -> None:
    tls.metadata["revocation_endpoint"] = "http://127.0.0.1:9/x"
    client = tls_client(tls)
    tokens = sign_in(tls, client).tokens
    with pytest.raises(ProviderError, match=r"revocation_endpoint .*have the provider correct it"):
        client.revoke(tokens.access_token, kind="access_token")


@pytest.mark.requirement("R-metadata")
@pytest.mark.parametrize("answer", ["discovery", "jwks"])
def test_no_redirect_leads_from_tls_to_plain_http(tls: StandIn, answer: str) -> None:
    plain = f"http{tls.url.removeprefix('https')}/jwks"
    tls.answers[answer] = Answer(status=302, headers=(("Location", plain),))
    with pytest.raises(ProviderError) as refusal:
        found(cache_for(tls_settings(tls)), None, "RS256")
    assert refusal.value.code == "redirect"


@pytest.mark.requirement("N2.3.6")
@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>", content_type="text/html"),
        Answer(b""),
        Answer(b"[]"),
        Answer(b'{"issuer": 1, "issuer": 2}'),
        Answer(b'"' + b"x" * 300_000 + b'"'),
        Answer(b"{}", 404),
        Answer(b"{}", 204),
        Answer(status=302, headers=(("Location", "http://127.0.0.1:1/"),)),
    ],
    ids=["HTML", "empty", "list", "twice", "huge", "404", "204", "redirect elsewhere"],
)
def test_an_answer_without_metadata_refuses_the_sign_in(provider: StandIn, answer: Answer) -> None:
    provider.answers["discovery"] = answer
    with pytest.raises(ProviderError):
        cache_for(oidc_settings(provider)).metadata()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_of_the_provider_is_a_provider_that_is_down(provider: StandIn, status: int) -> None:
    provider.answers["discovery"] = Answer(b"{}", status)
    with pytest.raises(ProviderUnavailableError, match=str(status)):
        cache_for(oidc_settings(provider)).metadata()


def test_a_redirect_on_the_same_host_is_followed(provider: StandIn) -> None:
    provider.answers["discovery"] = Answer(status=302, headers=(("Location", "/jwks"),))
    with pytest.raises(ProviderError, match="issuer"):
        cache_for(oidc_settings(provider)).metadata()
    assert provider.asked("/jwks")


@pytest.mark.requirement("3f.3")
@pytest.mark.parametrize("name", ["discovery", "jwks"])
def test_redirects_that_lead_on_and_on_are_given_up_after_three(provider: StandIn, name: str) -> None:
    metadata = cache_for(oidc_settings(provider))
    path = {"discovery": "/.well-known/openid-configuration", "jwks": "/jwks"}[name]
    provider.answers[name] = Answer(status=302, headers=(("Location", path),))
    with pytest.raises(ProviderError, match="302"):
        metadata.load_keys()
    assert len(provider.asked(path)) == 4


# Endpoints in the settings


def test_written_endpoints_win_over_the_metadata(provider: StandIn) -> None:
    written = {
        "authorization_endpoint": "https://a.example/authorize",
        "token_endpoint": "https://a.example/token",
        "userinfo_endpoint": "https://a.example/userinfo",
        "jwks_uri": "https://a.example/jwks",
    }
    cache = cache_for(oidc_settings(provider, logout_endpoint="https://a.example/logout", **written))
    metadata = cache.metadata("revocation_endpoint")
    assert {name: getattr(metadata, name) for name in written} == written
    assert metadata.end_session_endpoint == "https://a.example/logout"
    assert metadata.code_challenge_methods_supported == ("S256",)


def test_without_an_issuer_nothing_is_fetched(provider: StandIn) -> None:
    metadata = cache_for(oauth2_settings(provider)).metadata()
    assert metadata.token_endpoint == f"{provider.url}/token"
    assert metadata.issuer is None
    assert not provider.requests


def test_a_missing_endpoint_is_named() -> None:
    with pytest.raises(ProviderError, match="no token_endpoint: set it"):
        ProviderMetadata().endpoint("token_endpoint")


def test_a_provider_without_metadata_works_when_all_is_written(provider: StandIn) -> None:
    provider.answers["discovery"] = Answer(b"", 404)
    written = {
        name: f"{provider.url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    assert cache_for(oidc_settings(provider, **written)).metadata().jwks_uri == f"{provider.url}/jwks_uri"
    for missing in written:
        with pytest.raises(ProviderError):
            cache_for(oidc_settings(provider, **{**written, missing: None})).metadata()


@pytest.mark.requirement("C3")
def test_the_metadata_of_another_issuer_are_refused_although_a_sign_in_needs_none(provider: StandIn) -> None:
    provider.metadata["issuer"] = "https://other.example"
    written = dict.fromkeys(("authorization_endpoint", "token_endpoint", "jwks_uri"), f"{provider.url}/x")
    with pytest.raises(ProviderError) as refusal:
        cache_for(oidc_settings(provider, **written)).metadata("userinfo_endpoint")
    assert refusal.value.code == "issuer_mismatch"


# Caching


def test_the_metadata_are_cached_for_an_hour(provider: StandIn, clock: Clock) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    cache.metadata()
    clock.now += 3599
    cache.metadata()
    assert len(provider.requests) == 1
    clock.now += 1
    cache.metadata()
    assert len(provider.requests) == 2


def test_old_metadata_serve_for_a_day_when_they_cannot_be_renewed(
    provider: StandIn, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    metadata = cache.metadata()
    provider.answers["discovery"] = Answer(b"", 500)
    clock.now += 24 * 3600 - 1
    assert cache.metadata() == metadata
    assert "metadata of provider default cannot be renewed" in caplog.text
    clock.now += 1
    with pytest.raises(ProviderUnavailableError):
        cache.metadata()


@pytest.mark.requirement("3l.9")
def test_a_clock_that_is_set_back_does_not_keep_metadata_forever(provider: StandIn, clock: Clock) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    cache.metadata()
    clock.now -= 10_000
    cache.metadata()
    assert len(provider.requests) == 2


@pytest.mark.requirement("3h.5")
def test_a_provider_that_is_down_is_asked_every_five_seconds(provider: StandIn, clock: Clock) -> None:
    provider.answers["discovery"] = Answer(b"", 500)
    cache = cache_for(oidc_settings(provider), clock)
    failures = []
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError) as failure:
            cache.metadata()
        failures.append(failure.value)
    assert len(provider.requests) == 1
    assert len({failure.detail for failure in failures}) == 1
    del provider.answers["discovery"]
    clock.now += 5
    assert cache.metadata().issuer == provider.url


def at_a_gate(provider: StandIn, name: str) -> tuple[threading.Event, threading.Event]:
    """Make an answer of the provider wait until the second event is set; the first tells that it is waiting."""
    waiting, gate = threading.Event(), threading.Event()

    def answer(good: Any) -> Any:
        waiting.set()
        assert gate.wait(5)
        return good

    provider.answers[name] = answer
    return waiting, gate


@pytest.mark.requirement("3h.7")
def test_one_thread_asks_and_the_others_share_the_answer(provider: StandIn) -> None:
    waiting, gate = at_a_gate(provider, "discovery")
    cache = cache_for(oidc_settings(provider))
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(cache.metadata) for _ in range(8)]
        assert waiting.wait(5)
        gate.set()
        assert {answer.result().issuer for answer in answers} == {provider.url}
    assert len(provider.requests) == 1


def test_while_one_thread_renews_the_others_are_served_the_old(provider: StandIn, clock: Clock) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    cache.metadata()
    clock.now += 4000
    waiting, gate = at_a_gate(provider, "discovery")
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(cache.metadata)
        assert waiting.wait(5)
        assert cache.metadata().issuer == provider.url
        assert not renewing.done()
        gate.set()
        renewing.result()
    assert len(provider.requests) == 2


def test_a_renewal_by_somebody_else_counts(clock: Clock) -> None:
    values = iter([["first"], ["second"], ["third"]])
    document: CachedDocument[list[str]] = CachedDocument(lambda: next(values), name="a list", clock=clock)
    first = document.get()
    assert document.refresh(first) == ["second"]
    assert document.refresh(first) == ["second"]
    assert document.loads == 2


# Keys


@pytest.mark.requirement("C2")
def test_the_keys_come_from_the_jwks_uri_of_the_metadata(provider: StandIn) -> None:
    key = found(cache_for(oidc_settings(provider)), "rsa-1", "RS256")
    assert key is not None
    assert key.kid == "rsa-1"
    assert [request.path for request in provider.requests] == [WELL_KNOWN, "/jwks"]


@pytest.mark.requirement("C4", "C5", "3b.17")
def test_an_unknown_key_has_the_set_fetched_once_more(provider: StandIn) -> None:
    cache = cache_for(oidc_settings(provider))
    assert found(cache, "rsa-1", "RS256")
    assert found(cache, "rsa-1", "RS256")
    assert len(provider.asked("/jwks")) == 1
    provider.jwks = [rsa_key(2).jwk()]
    assert found(cache, "rsa-2", "RS256")
    provider.jwks = [rsa_key(3).jwk()]
    assert found(cache, "rsa-3", "RS256")
    assert len(provider.asked("/jwks")) == 3


@pytest.mark.requirement("3b.18", "3h.4")
def test_unknown_names_do_not_make_us_hammer_the_provider(provider: StandIn, clock: Clock) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    assert not found(cache, "no", "RS256")
    assert len(provider.asked("/jwks")) == 1  # what was fetched just now is what there is
    for number in range(100):
        assert not found(cache, f"no-{number}", "RS256")
    assert len(provider.asked("/jwks")) == 2
    assert found(cache, "rsa-1", "RS256")
    clock.now += 30
    assert not found(cache, "no", "RS256")
    assert len(provider.asked("/jwks")) == 3


@pytest.mark.parametrize("kid", ["rsa-1", None])
def test_a_key_that_was_changed_under_its_old_name_is_fetched(
    provider: StandIn, clock: Clock, kid: str | None
) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    (old,) = cache.keys_for(kid, "RS256")
    provider.jwks = [replace(rsa_key(2), kid="rsa-1").jwk()]
    assert found(cache, kid, "RS256") == old
    assert len(provider.asked("/jwks")) == 1
    assert [key == old for key in cache.keys_for(kid, "RS256")] == [True, False]
    assert found(cache, kid, "RS256") != old
    assert len(provider.asked("/jwks")) == 2


@pytest.mark.requirement("3b.18", "3h.4")
@pytest.mark.parametrize("kid", ["rsa-1", None])
def test_wrong_signatures_do_not_make_us_hammer_the_provider(
    provider: StandIn, clock: Clock, kid: str | None
) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    for _ in range(100):
        assert len([*cache.keys_for(kid, "RS256")]) == 1
    assert len(provider.asked("/jwks")) == 2
    clock.now += 29
    assert len([*cache.keys_for(kid, "RS256")]) == 1
    assert len(provider.asked("/jwks")) == 2
    clock.now += 1
    assert len([*cache.keys_for(kid, "RS256")]) == 1
    assert len(provider.asked("/jwks")) == 3


def test_a_clock_that_is_set_back_does_not_keep_newer_keys_away(provider: StandIn, clock: Clock) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    for later, asked in ((0, 1), (0, 2), (-1, 3), (0, 4), (0, 4)):
        clock.now += later
        assert not found(cache, "no", "RS256")
        assert len(provider.asked("/jwks")) == asked


@pytest.mark.requirement("3b.18", "V16")
def test_old_keys_are_kept_when_the_set_cannot_be_fetched(provider: StandIn, clock: Clock) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    assert found(cache, "rsa-1", "RS256")
    provider.answers["jwks"] = Answer(b"", 500)
    assert not found(cache, "rsa-2", "RS256")
    clock.now += 7200
    assert found(cache, "rsa-1", "RS256")


@pytest.mark.requirement("3l.7", "3h.7")
def test_many_threads_with_an_unknown_key_fetch_once(provider: StandIn) -> None:
    cache = cache_for(oidc_settings(provider))
    assert found(cache, "rsa-1", "RS256")
    provider.jwks = [rsa_key(2).jwk()]
    waiting, gate = at_a_gate(provider, "jwks")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(found, cache, "rsa-2", "RS256") for _ in range(4)]
        assert waiting.wait(5)
        gate.set()
        assert all(answer.result() for answer in answers)
    assert len(provider.asked("/jwks")) == 2


@pytest.mark.requirement("3b.19")
@pytest.mark.parametrize(
    "answer",
    [b"[]", b'{"keys": 1}', b"{}", b"<html>", json.dumps({"keys": [{}] * 10_000}).encode(), b" " * 600_000],
    ids=["list", "no list", "no keys", "HTML", "10000 keys", "huge"],
)
def test_an_answer_without_a_key_set_refuses_the_sign_in(provider: StandIn, answer: bytes) -> None:
    provider.answers["jwks"] = answer
    with pytest.raises(ProviderError):
        found(cache_for(oidc_settings(provider)), "rsa-1", "RS256")


def test_a_provider_without_jwks_uri_is_explained(provider: StandIn) -> None:
    provider.metadata["jwks_uri"] = LEFT_OUT
    with pytest.raises(ProviderError, match="no jwks_uri"):
        found(cache_for(oidc_settings(provider)), "rsa-1", "RS256")


def test_keys_that_expired_are_fetched_anew_for_an_unknown_name(provider: StandIn, clock: Clock) -> None:
    cache = cache_for(oidc_settings(provider), clock)
    assert found(cache, "rsa-1", "RS256")
    clock.now += 48 * 3600
    provider.close()
    with pytest.raises(ProviderUnavailableError):
        found(cache, "rsa-2", "RS256")


def test_metadata_are_never_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ProviderMetadata().token_endpoint = "https://evil.example"  # type: ignore[misc]
