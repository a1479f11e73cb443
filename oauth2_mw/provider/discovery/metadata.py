"""Where a provider's endpoints are, and its keys: written settings first, then its own metadata.

OpenID Connect Discovery 1.0; where it finds nothing, RFC 8414. The ``issuer`` in the metadata is compared code point by
code point (section 4.3; there 3.3): a document that says otherwise belongs to somebody else, and nothing from it is
used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from oauth2_mw.errors import ProviderError, ProviderUnavailableError
from oauth2_mw.provider.discovery.cache import CachedDocument
from oauth2_mw.provider.http.documents import DocumentError, read_object
from oauth2_mw.provider.http.messages import Response
from oauth2_mw.provider.http.transport import Transport, endpoint_problem
from oauth2_mw.provider.jose.jwks import ALGORITHMS, KeySet, SigningKey, parse_key_set
from oauth2_mw.settings.model import ProviderSettings
from oauth2_mw.settings.text import shown

WELL_KNOWN = "/.well-known/openid-configuration"
OAUTH_WELL_KNOWN = "/.well-known/oauth-authorization-server"
#: bytes
METADATA_LIMIT = 256 * 1024
JWKS_LIMIT = 512 * 1024
#: seconds
LIFETIME = 3600
STALE = 24 * 3600
COOL_DOWN = 5
UNKNOWN_KEY_COOL_DOWN = 30
_REDIRECTS = 3
_ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "end_session_endpoint",
    "revocation_endpoint",
    "jwks_uri",
)
_LISTS = (
    "id_token_signing_alg_values_supported",
    "code_challenge_methods_supported",
    "token_endpoint_auth_methods_supported",
)


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """What is known of a provider. Lists that it does not publish are ``None``."""

    issuer: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    #: RFC 7009
    revocation_endpoint: str | None = None
    jwks_uri: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    #: RFC 9207, section 3
    authorization_response_iss_parameter_supported: bool = False

    def endpoint(self, name: str) -> str:
        """An endpoint that a sign-in cannot do without.

        :raises ProviderError: ``metadata`` when neither the settings nor the provider name it.
        """
        url: str | None = getattr(self, name)
        if url is None:
            raise ProviderError(f"the provider's metadata names no {name}: set it", code="metadata")
        return url


def parse_metadata(document: Mapping[str, Any], *, issuer: str, insecure_http: bool) -> ProviderMetadata:
    """Check a metadata document; members that are not named here are ignored (Discovery, section 3).

    :raises ProviderError: ``issuer_mismatch``, or ``metadata`` for a member of the wrong kind.
    """
    if document.get("issuer") != issuer:
        raise ProviderError(
            f"the metadata says issuer {shown(document.get('issuer'))}, and the setting is {shown(issuer)}: "
            "both must be the same to the letter",
            code="issuer_mismatch",
        )
    members: dict[str, Any] = {"issuer": issuer}
    for name in _ENDPOINTS:
        url = document.get(name)
        if url is None:
            continue
        problem = (
            endpoint_problem(url, insecure_http=insecure_http) if isinstance(url, str) else "it is no text"
        )
        if problem is not None:
            raise ProviderError(f"{name} in the metadata is {shown(url)}: {problem}", code="metadata")
        members[name] = url
    for name in _LISTS:
        values = document.get(name)
        if values is None:
            continue
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ProviderError(f"{name} in the metadata is not a list of texts", code="metadata")
        members[name] = tuple(values)
    answers_iss = document.get("authorization_response_iss_parameter_supported", False)
    if not isinstance(answers_iss, bool):
        raise ProviderError(
            "authorization_response_iss_parameter_supported in the metadata is neither true nor false",
            code="metadata",
        )
    members["authorization_response_iss_parameter_supported"] = answers_iss
    return ProviderMetadata(**members)


def allowed_algorithms(provider: ProviderSettings, metadata: ProviderMetadata) -> frozenset[str]:
    """The JWS algorithms to accept: those configured, else RS256 and what the provider announces.

    Asymmetric ones only: a symmetric one would make a signing key of the client secret.
    """
    announced = metadata.id_token_signing_alg_values_supported or ()
    wanted = provider.algorithms if provider.algorithms is not None else ("RS256", *announced)
    return frozenset(wanted) & ALGORITHMS.keys()


class MetadataCache:
    """A provider's metadata and keys, fetched when first needed and remembered.

    :param clock: seconds since the epoch.
    """

    def __init__(self, provider: ProviderSettings, transport: Transport, clock: Callable[[], float]) -> None:
        self._provider = provider
        self._transport = transport
        self._clock = clock
        self._fruitless_at: float | None = None
        self._documents: CachedDocument[ProviderMetadata] = CachedDocument(
            self._fetch_metadata,
            what=f"the metadata of provider {provider.name}",
            clock=clock,
            lifetime=LIFETIME,
            stale=STALE,
            cool_down=COOL_DOWN,
        )
        self._keys: CachedDocument[KeySet] = CachedDocument(
            self._fetch_keys,
            what=f"the key set of provider {provider.name}",
            clock=clock,
            lifetime=LIFETIME,
            stale=STALE,
            cool_down=COOL_DOWN,
        )

    def metadata(self) -> ProviderMetadata:
        """The endpoints to use. Without an issuer nothing is fetched.

        :raises ProviderUnavailable: when the metadata cannot be had.
        :raises ProviderError: when it is not to be used; ``issuer_mismatch`` when it is another issuer's.
        """
        provider = self._provider
        if provider.issuer is None:
            return self._with_written(ProviderMetadata())
        try:
            found = self._documents.get()
        except (ProviderError, ProviderUnavailableError) as error:
            everything = provider.authorization_endpoint and provider.token_endpoint and provider.jwks_uri
            if not everything or error.code == "issuer_mismatch":
                raise
            # A provider that publishes no metadata is used as it is written down.
            found = ProviderMetadata()
        return self._with_written(found)

    def load_keys(self) -> None:
        """Have a key set at hand, so that a token which costs something to get does not wait for one.

        :raises ProviderUnavailable, ProviderError: when no key set can be had at all.
        """
        self._keys.get()

    def keys_for(self, kid: str | None, alg: str) -> tuple[SigningKey, ...]:
        """The keys that may have signed a token with this header.

        An unknown key has the set fetched anew, so that a provider may change its keys at any moment; after a
        fetch that did not help, not again for 30 seconds (OpenID Connect Core, section 10.1.1).

        :raises ProviderUnavailable, ProviderError: when no key set can be had at all.
        """
        loads = self._keys.loads
        known = self._keys.get()
        keys = known.matching(kid, alg)
        # A set that was fetched just now holds what the provider has.
        if keys or self._keys.loads != loads or self._is_cooling_down():
            return keys
        keys = self._keys.refresh(known).matching(kid, alg)
        if not keys:
            self._fruitless_at = self._clock()
        return keys

    def _is_cooling_down(self) -> bool:
        since = self._fruitless_at
        return since is not None and 0 <= self._clock() - since < UNKNOWN_KEY_COOL_DOWN

    def _with_written(self, found: ProviderMetadata) -> ProviderMetadata:
        provider = self._provider
        return ProviderMetadata(
            issuer=provider.issuer,
            authorization_endpoint=provider.authorization_endpoint or found.authorization_endpoint,
            token_endpoint=provider.token_endpoint or found.token_endpoint,
            userinfo_endpoint=provider.userinfo_endpoint or found.userinfo_endpoint,
            end_session_endpoint=provider.logout_endpoint or found.end_session_endpoint,
            revocation_endpoint=found.revocation_endpoint,
            jwks_uri=provider.jwks_uri or found.jwks_uri,
            id_token_signing_alg_values_supported=found.id_token_signing_alg_values_supported,
            code_challenge_methods_supported=found.code_challenge_methods_supported,
            token_endpoint_auth_methods_supported=found.token_endpoint_auth_methods_supported,
            authorization_response_iss_parameter_supported=found.authorization_response_iss_parameter_supported,
        )

    def _fetch_metadata(self) -> ProviderMetadata:
        issuer = self._provider.issuer or ""
        # Discovery, section 4.1: a final slash goes before the well-known path is added.
        first, second = issuer.removesuffix("/") + WELL_KNOWN, oauth_metadata_url(issuer)
        response = self._get(first, limit=METADATA_LIMIT, accept="application/json")
        if response.status == 404:
            response = self._get(second, limit=METADATA_LIMIT, accept="application/json")
            if response.status == 404:
                raise ProviderError(
                    f"there is no metadata at {first}, nor at {second}: check issuer, or set the endpoints",
                    code="metadata",
                )
        document = _read(response, what="metadata")
        return parse_metadata(document, issuer=issuer, insecure_http=self._transport.insecure_http)

    def _fetch_keys(self) -> KeySet:
        url = self.metadata().endpoint("jwks_uri")
        response = self._get(url, limit=JWKS_LIMIT, accept="application/jwk-set+json, application/json")
        try:
            return parse_key_set(_read(response, what="key set"))
        except ValueError as error:
            raise ProviderError(f"the key set at {url} cannot be used: {error}", code="metadata") from error

    def _get(self, url: str, *, limit: int, accept: str) -> Response:
        return self._transport.get_json(url, limit=limit, headers={"Accept": accept}, redirects=_REDIRECTS)


def oauth_metadata_url(issuer: str) -> str:
    """Where an authorization server's metadata are (RFC 8414, section 3.1): the path of the issuer comes last."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}{OAUTH_WELL_KNOWN}{parts.path.removesuffix('/')}"


def _read(response: Response, *, what: str) -> dict[str, Any]:
    if response.status != 200:
        raise _not_ok(response, what=what)
    try:
        return read_object(response.body)
    except DocumentError as error:
        raise ProviderError(
            f"the {what} at {response.url} cannot be used: {error}", code="metadata"
        ) from error


def _not_ok(response: Response, *, what: str) -> ProviderError | ProviderUnavailableError:
    text = f"the {what} at {response.url} was answered with HTTP {response.status}"
    if response.status == 429 or response.status >= 500:
        return ProviderUnavailableError(f"{text}: the provider has a fault of its own")
    return ProviderError(f"{text}: check issuer, or set the endpoints", code="metadata")
