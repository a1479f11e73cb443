"""What a provider sends: documents, keys, tokens and whole answers, each as hostile as it likes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import ada_url
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from oauth2_mw.errors import ProviderError, ProviderUnavailableError, TokenError
from oauth2_mw.provider.client import ProviderClient
from oauth2_mw.provider.discovery.metadata import ProviderMetadata, parse_metadata
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.endpoints.token import redeem_code
from oauth2_mw.provider.endpoints.userinfo import fetch_userinfo
from oauth2_mw.provider.further_sources import FURTHER_SOURCES, Access
from oauth2_mw.provider.http import documents as reader
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.jose.jwks import ALGORITHMS, parse_key_set
from oauth2_mw.provider.quirks import QUIRKS
from oauth2_mw.settings.grammar import AttributePath
from tests.fuzz.tokens import CLAIMS, ISSUER, NOW, check_refreshed, ed_key, explained, read_signed
from tests.support.providers.fixed_transport import FixedTransport
from tests.support.settings.providers import provider_settings

# Documents


def documents(data: bytes) -> None:
    """What is read is what the standard library reads; what is refused is ambiguous or out of bounds."""
    try:
        value = reader.read_json(data)
    except reader.DocumentError as error:
        assert str(error).isprintable()
        assert not _is_ordinary(data), "an ordinary document is refused"
    else:
        # As text: nan is not equal to itself, and must not be there.
        assert repr(value) == repr(json.loads(data.decode("utf-8"))), "it is read otherwise"
        assert _is_ordinary(data), "what is ambiguous or out of bounds is read"
    try:
        form = reader.read_form(data)
    except reader.DocumentError as error:
        assert str(error).isprintable()
    else:
        assert list(form.items()) == parse_qsl(data.decode("ascii"), keep_blank_values=True)


def _is_ordinary(data: bytes) -> bool:
    repeated = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        repeated = repeated or len(dict(items)) != len(items)
        return dict(items)

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return False
    return not repeated and _within_bounds(value)


def _within_bounds(value: Any, depth: int = 0) -> bool:
    match value:
        case dict():
            return (
                depth < reader.MAX_DEPTH
                and len(value) <= reader.MAX_MEMBERS
                and all(
                    _within_bounds(name) and _within_bounds(item, depth + 1) for name, item in value.items()
                )
            )
        case list():
            return (
                depth < reader.MAX_DEPTH
                and len(value) <= reader.MAX_ITEMS
                and all(_within_bounds(item, depth + 1) for item in value)
            )
        case str():
            return len(value) <= reader.MAX_TEXT and not any("\ud800" <= mark <= "\udfff" for mark in value)
        case bool() | None:
            return True
        case int():
            return len(str(value)) <= reader.MAX_DIGITS
        case _:
            return math.isfinite(value)


def metadata(data: bytes) -> None:
    """Every endpoint that is taken from a provider's metadata is https, and the same host to every parser."""
    try:
        found = parse_metadata(reader.read_object(data), issuer=ISSUER, insecure_http=False)
    except reader.DocumentError:
        return
    except ProviderError as error:
        explained(error)
        return
    assert found.issuer == ISSUER
    for name in ("authorization", "token", "userinfo", "end_session", "revocation"):
        _check_endpoint(getattr(found, f"{name}_endpoint"))
    _check_endpoint(found.jwks_uri)


def _check_endpoint(url: str | None) -> None:
    if url is None:
        return
    check_host(url)
    assert urlsplit(url).scheme == "https", "plain http, although the issuer is https"


def check_host(url: str) -> None:
    """Two parsers read the same host out of *url*, and no password."""
    ours = urlsplit(url)
    try:
        browsers = ada_url.URL(url)
    except ValueError:
        raise AssertionError(f"no browser reads {url!a}") from None
    assert browsers.protocol == f"{ours.scheme}:"
    assert browsers.hostname.strip("[]") == _canonical(ours.hostname or ""), "two parsers see two hosts"
    assert (browsers.username, browsers.password, browsers.hash) == ("", "", "")


def _canonical(host: str) -> str:
    """The host as the URL standard writes it, where it stands alone."""
    return ada_url.URL(f"https://{f'[{host}]' if ':' in host else host}/").hostname.strip("[]")


def keys(data: bytes) -> None:
    """A key that is taken from a key set is public, strong, and of the kind that it says."""
    try:
        document = reader.read_object(data)
        found = parse_key_set(document)
    except ValueError:
        return
    assert len(found.keys) <= 100
    for key in found.keys:
        assert (key.kty, key.crv) in ALGORITHMS.values()
        assert key.alg is None or ALGORITHMS[key.alg] == (key.kty, key.crv)
        assert key.kid is None or len(key.kid) <= 256
        match key.kty:
            case "RSA":
                assert isinstance(key.public, rsa.RSAPublicKey)
                assert 2048 <= key.public.key_size <= 8192
                numbers = key.public.public_numbers()
                assert numbers.e >= 3
                assert numbers.e % 2 == 1
            case "EC":
                assert isinstance(key.public, ec.EllipticCurvePublicKey)
                sizes = {"P-256": 256, "P-384": 384, "P-521": 521}
                assert key.public.curve.key_size == sizes[key.crv or ""]
            case _:
                assert isinstance(key.public, ed25519.Ed25519PublicKey)
        for alg in ALGORITHMS:
            assert (key in found.matching(key.kid, alg)) <= (ALGORITHMS[alg] == (key.kty, key.crv))


# Whole answers


def response(data: bytes) -> Response:
    """Status and content type on the first line, the body below."""
    line, _, body = data.partition(b"\n")
    status, _, content_type = line.decode("latin-1").partition(" ")
    return Response(
        status=int(status) if len(status) == 3 and status.isascii() and status.isdigit() else 200,
        content_type=content_type.partition(";")[0].strip().lower(),
        body=body,
        headers=MappingProxyType({}),
        url=f"{ISSUER}/answer",
    )


def token_response(data: bytes) -> None:
    """An answer of the token endpoint is checked before anything of it is believed."""
    for issuer in (ISSUER, None):
        settings = provider_settings(issuer=issuer, token_endpoint=f"{ISSUER}/token")
        try:
            found = redeem_code(
                AuthenticatedClient(
                    FixedTransport(response(data)),
                    ProviderMetadata(token_endpoint=f"{ISSUER}/token"),
                    ClientAuthentication(settings),
                ),
                code="the-code",
                redirect_uri="https://app.example/auth/oauth2/login/callback/",
                code_verifier="the-verifier",
            )
        except ProviderError as error:
            explained(error)
        except ProviderUnavailableError as error:
            assert error.detail.isprintable()
        else:
            for text in (found.access_token, found.refresh_token or "x", found.id_token or "x"):
                assert text.isascii()
                assert text.isprintable()
                assert " " not in text
                assert 0 < len(text) <= 64 * 1024
            assert issuer is None or found.id_token
            assert found.expires_in is None or type(found.expires_in) is int
            assert 1 <= (found.expires_in or 1) < 4 * 10**9


def refresh(data: bytes) -> None:
    """An answer to a refresh token brings tokens of the same sign-in, or an error that can be logged.

    An ID token is written as its claims, and is signed here with the provider's own key.
    """
    answer = response(data)
    try:
        members = reader.read_object(answer.body)
    except reader.DocumentError:
        pass
    else:
        if isinstance(members.get("id_token"), dict):
            members["id_token"] = ed_key().sign(members["id_token"])
            answer = replace(answer, body=json.dumps(members).encode())
    for needs in ("", "email"):
        client = _refreshing(answer, needs)
        try:
            found = client.refresh(
                "the-token", subject="user-1", auth_time=NOW - 100, id_token=_first_token()
            )
        except (ProviderError, TokenError) as error:
            explained(error)
            assert "the-token" not in error.detail
            continue
        except ProviderUnavailableError as error:
            assert error.detail.isprintable()
            continue
        for text in (found.tokens.access_token, found.tokens.refresh_token or "x"):
            assert text.isascii()
            assert text.isprintable()
        if found.tokens.id_token is not None:
            assert found.claims is not None
            check_refreshed(found.claims)
        assert found.claims is None or found.claims["sub"] == "user-1"


def _refreshing(answer: Response, needs: str) -> ProviderClient:
    """A client whose provider gives *answer* to a refresh token, and right ones to all else."""
    documents: dict[str, Any] = {
        "/.well-known/openid-configuration": {
            "issuer": ISSUER,
            "token_endpoint": f"{ISSUER}/token",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "jwks_uri": f"{ISSUER}/jwks",
            "id_token_signing_alg_values_supported": ["EdDSA"],
        },
        "/jwks": {"keys": [ed_key().jwk()]},
        "/userinfo": {"sub": "user-1", "email": "jane@example.com"},
    }

    def get(url: str, **_options: Any) -> Response:
        body = json.dumps(documents[url.removeprefix(ISSUER)]).encode()
        return Response(200, "application/json", body, MappingProxyType({}), url)

    client = ProviderClient(
        provider_settings(issuer=ISSUER),
        redirect_uri="https://app.example/auth/oauth2/login/callback/",
        needs=frozenset(AttributePath.parse(path) for path in needs.split()),
        clock=lambda: NOW,
    )
    for transport in (client._transport, client._refresh_transport):
        vars(transport).update(get_json=get, post_form=FixedTransport(answer).post_form)
    return client


@cache
def _first_token() -> str:
    return ed_key().sign(CLAIMS)


def userinfo(data: bytes) -> None:
    """An answer of the userinfo endpoint gives claims or an error that can be logged, whatever the quirk."""
    for quirk in (None, *QUIRKS):
        for signed in (None, read_signed):
            try:
                found = fetch_userinfo(
                    FixedTransport(response(data)),
                    f"{ISSUER}/userinfo",
                    "token",
                    quirk=quirk,
                    read_signed=signed,
                )
            except (ProviderError, TokenError) as error:
                explained(error)
            except ProviderUnavailableError as error:
                assert error.detail.isprintable()
            else:
                assert isinstance(found, dict)
                assert all(isinstance(name, str) for name in found)
                AttributePath.parse("a[0].b").get(found)
    _further(data)


def _further(data: bytes) -> None:
    """An answer of a further address gives claims or an error that can be logged, whichever address it is."""
    access = Access(
        provider_settings(issuer="https://login.microsoftonline.com/t/v2.0"),
        get=FixedTransport(response(data)).get_json,
        below_userinfo=lambda path: f"{ISSUER}/userinfo{path}",
    )
    for source in (each for sources in FURTHER_SOURCES.values() for each in sources):
        try:
            found = source.ask({"email": "jane@example.com"}, access)
        except (ProviderError, ProviderUnavailableError) as error:
            assert error.detail.isprintable()
        else:
            assert found.claims.keys() <= source.gives
            assert all(isinstance(each, str) for each in found.claims.get("groups", ()))
