"""A provider, asked what can be asked without a person: its metadata, keys and clock, and whether it knows this client.

The requests are those of a sign-in, sent by the package's own modules; the code in them is made up.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from oauth2_mw.cli.online.authorization import check_authorization
from oauth2_mw.cli.online.finding import Finding, failure
from oauth2_mw.cli.online.noting import NotingTransport
from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.demand import NO_DEMAND
from oauth2_mw.provider.dialects import make_dialect
from oauth2_mw.provider.dialects.dialect import CodeGrant
from oauth2_mw.provider.discovery.metadata import ProviderMetadata, allowed_algorithms
from oauth2_mw.provider.discovery.metadata_cache import MetadataCache
from oauth2_mw.provider.endpoints.authorization import AuthorizationRequest
from oauth2_mw.provider.endpoints.client_authentication import ClientAuthentication
from oauth2_mw.provider.endpoints.client_request import AuthenticatedClient
from oauth2_mw.provider.endpoints.introspection import introspect
from oauth2_mw.provider.http.documents import read_object
from oauth2_mw.provider.http.messages import Timeouts
from oauth2_mw.settings.addresses import parse_issuer
from oauth2_mw.settings.model import ProviderSettings, Settings

_Failure = (ProviderError, ProviderUnavailableError)
#: bytes of a page that are read
_PAGE = 512 * 1024


@dataclass(frozen=True, slots=True)
class Client:
    """This application at one provider."""

    provider: ProviderSettings
    redirect_uri: str
    transport: NotingTransport
    cache: MetadataCache

    @property
    def what(self) -> str:
        """How the report calls it."""
        return f"provider {self.provider.name}"


def check_provider(
    settings: Settings, provider: ProviderSettings, *, redirect_uri: str, timeouts: Timeouts
) -> Generator[Finding, None, ProviderMetadata | None]:
    """Yield what is found about one provider; what cannot be asked is left out, and why is said.

    :returns: its metadata, or ``None`` if they are not known.
    """
    transport = NotingTransport(
        ca_bundle=provider.ca_bundle,
        proxy=provider.proxy,
        trust_env=provider.trust_env,
        insecure_http=settings.insecure_http,
        timeouts=timeouts,
    )
    client = Client(provider, redirect_uri, transport, MetadataCache(provider, transport, time.time))
    metadata = yield from _check_metadata(client)
    if metadata is None:
        yield Finding(
            client.what,
            "unknown",
            "its endpoints are not known: keys, client and redirect URI were not tried",
        )
    else:
        yield from _check_keys(client, metadata)
        yield from _check_client(client, metadata)
        yield from _check_endpoints(client, metadata)
    if transport.notes:
        yield transport.clock(client.what, leeway=provider.leeway)
        yield from transport.certificates(client.what)
    return metadata


def _check_metadata(client: Client) -> Generator[Finding, None, ProviderMetadata | None]:
    what, provider = f"{client.what}: metadata", client.provider
    try:
        # Endpoints that are written need no metadata: those of an issuer are looked at all the same.
        metadata = client.cache.metadata("revocation_endpoint")
    except _Failure as error:
        yield failure(what, error, cure=_issuer_cure(client) if error.code == "issuer_mismatch" else "")
        return None
    if provider.issuer is None:
        yield Finding(what, "ok", "there is no issuer: the endpoints are those that are written")
    elif any(response.status == 200 for response, _ in client.transport.notes):
        yield Finding(what, "ok", f"those of {provider.issuer} were read, and name it to the letter")
    else:
        yield Finding(
            what,
            "warning",
            f"those of {provider.issuer} cannot be read, and the endpoints that are written serve",
            "check issuer: without metadata no token is revoked when somebody signs out",
        )
    return metadata


def _issuer_cure(client: Client) -> str:
    """Return what to write when the metadata names another issuer: mostly a slash at its end is the difference."""
    response, _ = client.transport.notes[-1]
    try:
        issuer = parse_issuer(str(read_object(response.body).get("issuer")))
    except ValueError:
        return "have the provider name its issuer"
    is_near = issuer.rstrip("/") == (client.provider.issuer or "").rstrip("/")
    return f"write issuer = {issuer}" + ("" if is_near else ", if that is the provider that is meant")


def _check_keys(client: Client, metadata: ProviderMetadata) -> Iterator[Finding]:
    if not client.provider.is_oidc:
        return
    what = f"{client.what}: keys"
    algorithms = sorted(allowed_algorithms(client.provider, metadata))
    try:
        found = {algorithm for algorithm in algorithms if any(client.cache.keys_for(None, algorithm))}
    except _Failure as error:
        yield failure(what, error)
        return
    if found:
        yield Finding(what, "ok", f"there are keys for {' '.join(sorted(found))}")
    else:
        yield Finding(
            what,
            "problem",
            f"no key at {metadata.jwks_uri} is for {' '.join(algorithms)}",
            "have the provider sign with one of these, or write in algorithms what it signs with",
        )


def _check_client(client: Client, metadata: ProviderMetadata) -> Iterator[Finding]:
    """Yield whether the provider knows this client: by an authorization request, and by a code that was made up."""
    provider, dialect = client.provider, make_dialect(client.provider.dialect, time.time)

    def url_for(redirect_uri: str) -> str:
        request = AuthorizationRequest(
            redirect_uri,
            state=secrets.token_urlsafe(16),
            nonce=secrets.token_urlsafe(16),
            code_verifier=secrets.token_urlsafe(48),
            login_hint=None,
            languages=(),
            interactive=True,
            demand=NO_DEMAND,
        )
        return dialect.authorization_url(provider, metadata, request)

    yield from check_authorization(client.what, client.transport, url_for, redirect_uri=client.redirect_uri)
    what = f"{client.what}: client"
    authenticated = AuthenticatedClient(
        client.transport, metadata, ClientAuthentication(provider, clock=time.time)
    )
    verifier = secrets.token_urlsafe(48) if provider.pkce else None
    code = f"oauth2-mw-check-{secrets.token_urlsafe(8)}"
    try:
        dialect.redeem_code(authenticated, CodeGrant(code, client.redirect_uri, verifier))
    except ProviderUnavailableError as error:
        yield failure(f"{client.what}: token endpoint", error)
    except ProviderError as error:
        if error.code == "invalid_grant":
            proof = "client_id" if provider.client_auth_method == "none" else "client_id and its proof"
            yield Finding(
                what, "ok", f"{proof} seem right: a made-up code was refused for itself (invalid_grant)"
            )
        elif error.code == "invalid_client":
            says, _, cure = error.detail.partition(". Check ")
            yield Finding(what, "problem", f"{says}, error invalid_client", f"check {cure}")
        elif error.code == "token_refused":
            says = f"a made-up code was refused in a way that tells nothing of the client: {error.detail}"
            yield Finding(what, "unknown", says)
        else:
            yield failure(f"{client.what}: token endpoint", error)
    else:
        yield Finding(
            f"{client.what}: token endpoint",
            "problem",
            f"{metadata.token_endpoint} gives tokens for a code that nobody has issued",
            "write the token endpoint of a provider that can be trusted",
        )


def _check_endpoints(client: Client, metadata: ProviderMetadata) -> Iterator[Finding]:
    provider = client.provider
    if provider.dialect is None and metadata.userinfo_endpoint and provider.userinfo != "never":
        yield _look_at(client, "userinfo_endpoint", metadata.userinfo_endpoint, refuses=True)
    if provider.sync_logout and metadata.end_session_endpoint:
        yield _look_at(client, "logout_endpoint", metadata.end_session_endpoint, refuses=False)
    if "introspection" in provider.accept_tokens:
        what = f"{client.what}: introspection_endpoint"
        authentication = ClientAuthentication(provider, clock=time.time)
        try:
            introspect(AuthenticatedClient(client.transport, metadata, authentication), "made-up")
        except _Failure as error:
            yield failure(what, error)
        else:
            yield Finding(what, "ok", "it answers, and calls a made-up token inactive")


def _look_at(client: Client, setting: str, url: str, *, refuses: bool) -> Finding:
    """Return what an endpoint answers to nobody.

    :param refuses: whether it must refuse a request without a token (RFC 6750, section 3).
    """
    what = f"{client.what}: {setting}"
    try:
        response = client.transport.get_json(url, limit=_PAGE)
        response.check_available()
    except _Failure as error:
        return failure(what, error)
    if response.status in (404, 405, 410):
        return Finding(
            what, "problem", f"{url} answers HTTP {response.status}: nothing is there", f"check {setting}"
        )
    if refuses and response.status < 400 and response.content_type == "text/html":
        return Finding(
            what,
            "warning",
            f"{url} answers a request without a token with a page, which no such endpoint does",
            f"check {setting}",
        )
    return Finding(what, "ok", f"it answers (HTTP {response.status})")
