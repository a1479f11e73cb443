"""Client authentication: one method in each request, and never in a URL."""

from __future__ import annotations

import hashlib
import json
import traceback
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth2_mw.errors import ProviderError
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.jose.client_key import ClientKey, parse_client_key
from oauth2_mw.settings.grammar import Secret
from oauth2_mw.settings.model import ProviderSettings
from tests.support.hosts.certificates import client_certificate
from tests.support.providers.client_keys import pem, private_jwk
from tests.support.providers.jose import Key, base64url, ec_key, ed_key, from_base64url, rsa_key
from tests.support.settings.providers import provider_settings

TOKEN_ENDPOINT = "https://op.example/token"
LONG_SECRET = "ein Geheimnis, das lang genug ist: ü"


def client_authentication(provider: ProviderSettings) -> tuple[dict[str, str], dict[str, str]]:
    return ClientAuthentication(provider).for_request(TOKEN_ENDPOINT)


def with_key(text: str, **changes: Any) -> ProviderSettings:
    """Return the settings of a client that authenticates with a private key."""
    key = Secret.literal(text)
    return provider_settings(
        **{"client_auth_method": "private_key_jwt", "client_secret": None, "client_key": key, **changes}
    )


def with_secret(**changes: Any) -> ProviderSettings:
    """Return the settings of a client that signs assertions with its secret."""
    return provider_settings(
        **{"client_auth_method": "client_secret_jwt", "client_secret": Secret.literal(LONG_SECRET), **changes}
    )


def assertion(provider: ProviderSettings) -> str:
    return client_authentication(provider)[1]["client_assertion"]


def part(token: str, number: int) -> dict[str, Any]:
    """The header (0) or the claims (1) of a compact JWS."""
    found: dict[str, Any] = json.loads(from_base64url(token.split(".")[number]))
    return found


@pytest.mark.requirement("N2.1.5")
@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_id_and_secret_come_back_from_the_basic_header(client_id: str, secret: str) -> None:
    headers, fields = client_authentication(
        provider_settings(client_id=client_id, client_secret=Secret.literal(secret))
    )
    assert fields == {}
    scheme, _, value = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    found_id, _, found_secret = b64decode(value, validate=True).decode("ascii").partition(":")
    assert (unquote_plus(found_id), unquote_plus(found_secret)) == (client_id, secret)


@pytest.mark.requirement("B16", "N2.1.5")
def test_the_basic_header_is_form_urlencoded_first() -> None:
    provider = provider_settings(client_id="a:b", client_secret=Secret.literal("c d%/é"))
    headers, _ = client_authentication(provider)
    assert b64decode(headers["Authorization"].removeprefix("Basic ")) == b"a%3Ab:c+d%25%2F%C3%A9"


def test_post_puts_both_into_the_body_and_nothing_into_the_header() -> None:
    provider = provider_settings(client_auth_method="client_secret_post", client_secret=Secret.literal("x y"))
    assert client_authentication(provider) == ({}, {"client_id": "client", "client_secret": "x y"})


def test_a_public_client_names_itself_and_sends_no_secret() -> None:
    provider = provider_settings(client_auth_method="none", client_secret=Secret.literal("x"))
    assert client_authentication(provider) == ({}, {"client_id": "client"})


def test_a_replaced_secret_file_counts_from_the_next_request(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    provider = provider_settings(client_auth_method="client_secret_post", client_secret=Secret.file(file))
    assert client_authentication(provider)[1]["client_secret"] == "old"
    file.write_text("brand-new\n")
    assert client_authentication(provider)[1]["client_secret"] == "brand-new"


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        (None, "needs a client_secret"),
        (Secret.file("/nonexistent/secret"), "/nonexistent/secret"),
        (Secret.env("OAUTH2_MW_NO_SUCH"), "OAUTH2_MW_NO_SUCH"),
    ],
)
def test_a_secret_that_cannot_be_read_refuses_the_sign_in(secret: Secret | None, why: str) -> None:
    with pytest.raises(ProviderError, match=why) as refusal:
        client_authentication(provider_settings(client_secret=secret))
    assert refusal.value.code == "client_secret"


# Assertions: client_secret_jwt and private_key_jwt


@pytest.mark.parametrize("provider", [with_secret(), with_key(pem(ec_key().private))])
def test_an_assertion_is_the_one_proof_and_goes_into_the_body(provider: ProviderSettings) -> None:
    headers, fields = client_authentication(provider)
    assert headers == {}
    assert set(fields) == {"client_id", "client_assertion_type", "client_assertion"}
    assert fields["client_id"] == "client"
    assert fields["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.mark.requirement("N2.6.21", "N2.8.3")
@pytest.mark.parametrize("provider", [with_secret(), with_key(pem(ec_key().private))])
def test_an_assertion_says_who_we_are_to_the_issuer_alone_and_for_a_minute(
    provider: ProviderSettings,
) -> None:
    _, fields = ClientAuthentication(provider, clock=lambda: 1_800_000_000.9).for_request(TOKEN_ENDPOINT)
    claims = part(fields["client_assertion"], 1)
    assert len(claims.pop("jti")) >= 22
    assert claims == {
        "iss": "client",
        "sub": "client",
        "aud": "https://op.example",
        "iat": 1_800_000_000,
        "exp": 1_800_000_060,
    }


@pytest.mark.requirement("N2.9.5")
def test_without_an_issuer_the_audience_is_the_token_endpoint() -> None:
    assert part(assertion(with_secret(issuer=None)), 1)["aud"] == TOKEN_ENDPOINT


@pytest.mark.requirement("N2.8.3")
@pytest.mark.parametrize("provider", [with_secret(), with_key(pem(ec_key().private))])
def test_every_request_has_an_assertion_of_its_own(provider: ProviderSettings) -> None:
    authentication = ClientAuthentication(provider, clock=lambda: 1_800_000_000)
    sent = [authentication.for_request(TOKEN_ENDPOINT)[1]["client_assertion"] for _ in range(20)]
    assert len({part(token, 1)["jti"] for token in sent}) == 20


def test_a_shared_assertion_is_signed_with_the_octets_of_the_secret() -> None:
    token = assertion(with_secret())
    assert part(token, 0) == {"alg": "HS256", "typ": "JWT"}
    jwt.decode(token, LONG_SECRET.encode(), algorithms=["HS256"], audience="https://op.example")
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(
            token, LONG_SECRET[:-1].encode() + b"u", algorithms=["HS256"], audience="https://op.example"
        )


@pytest.mark.requirement("N2.5.4")
@pytest.mark.parametrize(
    "key", [rsa_key(), ec_key("ES256"), ec_key("ES384"), ec_key("ES512"), ed_key()], ids=lambda key: key.alg
)
def test_the_kind_of_key_decides_the_algorithm(key: Key) -> None:
    token = assertion(with_key(pem(key.private)))
    assert part(token, 0) == {"alg": key.alg, "typ": "JWT"}
    jwt.decode(token, key.private.public_key(), algorithms=[key.alg], audience="https://op.example")


def test_a_jwk_names_itself_and_may_name_its_algorithm() -> None:
    key = rsa_key()
    token = assertion(with_key(private_jwk(key, kid="2026-a", alg="PS256")))
    assert part(token, 0) == {"alg": "PS256", "typ": "JWT", "kid": "2026-a"}
    jwt.decode(token, key.private.public_key(), algorithms=["PS256"], audience="https://op.example")


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_an_assertion_is_signed_under_the_name_that_the_key_has(alg: str) -> None:
    token = assertion(with_key(private_jwk(ed_key(), alg=alg)))
    assert part(token, 0)["alg"] == alg
    signed, _, signature = token.rpartition(".")
    ed_key().private.public_key().verify(from_base64url(signature), signed.encode())


def test_a_replaced_key_file_counts_from_the_next_request(tmp_path: Path) -> None:
    file = tmp_path / "client-key.pem"
    file.write_text(pem(rsa_key().private))
    authentication = ClientAuthentication(with_key("", client_key=Secret.file(file)))

    def algorithm() -> str:
        return str(part(authentication.for_request(TOKEN_ENDPOINT)[1]["client_assertion"], 0)["alg"])

    assert [algorithm(), algorithm()] == ["RS256", "RS256"]
    file.write_text(pem(ed_key().private))
    assert algorithm() == "EdDSA"
    file.write_text("half a key")
    with pytest.raises(ProviderError, match="client_key cannot be used: it is neither a PEM nor a JWK"):
        algorithm()
    file.write_text(pem(ec_key().private))
    assert algorithm() == "ES256"


# The audience of an assertion


REVOCATION_ENDPOINT = "https://op.example/revoke"


@pytest.mark.parametrize("make", [with_secret, lambda **changes: with_key(pem(ec_key().private), **changes)])
@pytest.mark.parametrize(
    ("changes", "at_the_token_endpoint", "at_another"),
    [
        ({}, "https://op.example", "https://op.example"),
        ({"client_assertion_audience": "token_endpoint"}, TOKEN_ENDPOINT, TOKEN_ENDPOINT),
        (
            {"client_assertion_audience": "token_endpoint", "quirk": "okta"},
            TOKEN_ENDPOINT,
            REVOCATION_ENDPOINT,
        ),
        ({"quirk": "okta"}, "https://op.example", "https://op.example"),
    ],
)
def test_an_assertion_has_one_audience(
    make: Any, changes: dict[str, Any], at_the_token_endpoint: str, at_another: str
) -> None:
    authentication = ClientAuthentication(make(**changes))
    audiences = [
        part(authentication.for_request(endpoint, token_endpoint=TOKEN_ENDPOINT)[1]["client_assertion"], 1)[
            "aud"
        ]
        for endpoint in (TOKEN_ENDPOINT, REVOCATION_ENDPOINT)
    ]
    assert audiences == [at_the_token_endpoint, at_another]


# The certificate of the key


def thumbprint(certificate: str, name: str) -> str:
    """Computed from the base64 of the PEM alone."""
    octets = b64decode("".join(certificate.splitlines()[1:-1]))
    return base64url(hashlib.new(name, octets).digest())


@pytest.mark.parametrize("quirk", [None, "adfs", "okta"])
def test_the_thumbprint_of_the_certificate_stands_in_the_header(quirk: str | None) -> None:
    certificate = client_certificate(rsa_key().private)
    provider = with_key(
        pem(rsa_key().private),
        client_certificate=Secret.literal(certificate),
        client_assertion_algorithm="PS256",
        quirk=quirk,
    )
    token = assertion(provider)
    expected = {"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(certificate, "sha256")}
    if quirk == "adfs":
        expected["x5t"] = thumbprint(certificate, "sha1")
    assert part(token, 0) == expected
    jwt.decode(token, rsa_key().private.public_key(), algorithms=["PS256"], audience="https://op.example")


def test_kid_and_thumbprint_stand_side_by_side() -> None:
    certificate = Secret.literal(client_certificate(ed_key().private))
    key = private_jwk(ed_key(), kid="2026-a")
    assert part(assertion(with_key(key, client_certificate=certificate)), 0).keys() == {
        "alg",
        "typ",
        "kid",
        "x5t#S256",
    }


def test_key_and_certificate_are_replaced_together_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "client.pem"

    def write(key: Key) -> str:
        certificate = client_certificate(key.private)
        file.write_text(pem(key.private) + certificate)
        return thumbprint(certificate, "sha256")

    expected = write(rsa_key())
    authentication = ClientAuthentication(
        with_key("", client_key=Secret.file(file), client_certificate=Secret.file(file))
    )

    def header() -> dict[str, Any]:
        return part(authentication.for_request(TOKEN_ENDPOINT)[1]["client_assertion"], 0)

    assert header()["x5t#S256"] == expected
    expected = write(ec_key())
    assert (header()["alg"], header()["x5t#S256"]) == ("ES256", expected)


def test_a_certificate_that_no_longer_fits_refuses_the_sign_in(tmp_path: Path) -> None:
    file = tmp_path / "client.crt"
    file.write_text(client_certificate(rsa_key().private))
    authentication = ClientAuthentication(
        with_key(pem(rsa_key().private), client_certificate=Secret.file(file))
    )
    authentication.for_request(TOKEN_ENDPOINT)
    file.write_text(client_certificate(ed_key().private, name="other"))
    with pytest.raises(
        ProviderError, match=r"client_certificate cannot be used: .*of another key"
    ) as refusal:
        authentication.for_request(TOKEN_ENDPOINT)
    assert refusal.value.code == "client_certificate"


def test_a_key_is_made_from_its_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def parse(text: str, *, alg: str | None) -> ClientKey:
        made.append(text)
        return parse_client_key(text, alg=alg)

    monkeypatch.setattr("oauth2_mw.provider.jose.assertion_key.parse_client_key", parse)
    authentication = ClientAuthentication(with_key(pem(ed_key().private)))
    for _ in range(3):
        authentication.for_request(TOKEN_ENDPOINT)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (None, "private_key_jwt needs a client_key, and none is set"),
        (Secret.file("/nonexistent/key.pem"), "/nonexistent/key.pem"),
        (Secret.env("OAUTH2_MW_NO_SUCH"), "OAUTH2_MW_NO_SUCH"),
        (Secret.literal("client-key.pem"), "neither a PEM nor a JWK"),
    ],
)
def test_a_key_that_cannot_be_used_refuses_the_sign_in(key: Secret | None, why: str) -> None:
    with pytest.raises(ProviderError, match=why) as refusal:
        client_authentication(with_key("", client_key=key))
    assert refusal.value.code == "client_key"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
def test_every_method_with_a_secret_needs_one(method: str) -> None:
    with pytest.raises(ProviderError, match=f"{method} needs a client_secret") as refusal:
        client_authentication(provider_settings(client_auth_method=method, client_secret=None))
    assert refusal.value.code == "client_secret"


def test_a_secret_that_became_too_short_signs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("x" * 32)
    authentication = ClientAuthentication(with_secret(client_secret=Secret.file(file)))
    authentication.for_request(TOKEN_ENDPOINT)
    file.write_text("canary" * 5)
    with pytest.raises(ProviderError, match="shorter than the 32 bytes") as refusal:
        authentication.for_request(TOKEN_ENDPOINT)
    assert refusal.value.code == "client_secret"
    assert "canary" not in text_of(refusal.value)


def test_a_key_in_the_place_of_the_secret_is_reported_and_not_shown() -> None:
    text = pem(ec_key().private)
    with pytest.raises(ProviderError, match="write it as client_key") as refusal:
        client_authentication(with_secret(client_secret=Secret.literal(text)))
    assert refusal.value.code == "client_secret"
    assert text.splitlines()[1] not in text_of(refusal.value)


@pytest.mark.parametrize("kind", ["jwk", "pem"])
def test_no_text_of_an_unusable_key_gets_out(kind: str) -> None:
    damaged = json.dumps({"kty": "RSA", "d": "canary", "n": "canary", "e": "canary"})
    if kind == "pem":
        damaged = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5canary\n-----END PRIVATE KEY-----"
    provider = with_key(damaged)
    with pytest.raises(ProviderError) as refusal:
        client_authentication(provider)
    assert "canary" not in text_of(refusal.value)
    assert "canary" not in repr(provider)


def text_of(error: BaseException) -> str:
    """Return all that a log could hold of an error."""
    return "".join(traceback.format_exception(error)) + repr(error.__context__) + repr(error.__cause__)
